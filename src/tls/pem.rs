//! Certificates and keys out of files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys, RootCertStore};

use super::{failed, plain, provider, verify};
use crate::ending::{Cause, errno_text};

/// Reads a chain of certificates and the key of its first, which may stand in the same file.
///
/// # Errors
/// Which file is not what it should be, and how it becomes that, with [`Cause::OwnCertificate`].
pub(super) fn certified(cert: &Path, key: Option<&Path>) -> Result<CertifiedKey> {
    let (chain, secret) = pair(cert, key)?;
    CertifiedKey::from_der(chain, secret, &provider()).map_err(|error| {
        let is_other = error == Error::InconsistentKeys(InconsistentKeys::KeyMismatch);
        let shown = cert.display();
        if matches!(&error, Error::InvalidCertificate(error) if verify::is_old(error)) {
            let what = format!("--cert {shown}: the {}", verify::OLD);
            return failed(Cause::OwnCertificate, what);
        }
        let what = match (key, is_other) {
            (Some(key), true) => {
                let key = key.display();
                format!("--cert {shown} and --key {key} do not go together: the key is that of another certificate")
            }
            (None, true) => format!("--cert {shown}: the key in it is that of another certificate than its first"),
            (Some(key), false) => format!("--cert {shown} and --key {}: {}", key.display(), plain::error(&error)),
            (None, false) => format!("--cert {shown}: {}", plain::error(&error)),
        };
        failed(Cause::OwnCertificate, what)
    })
}

fn pair(
    cert: &Path,
    key: Option<&Path>,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let own = Cause::OwnCertificate;
    let text = read("--cert", cert, own)?;
    let chain = certificates(&text);
    if chain.is_empty() {
        return Err(failed(own, format!("--cert {}", no_pem(cert, &text))));
    }
    let (option, file) = match key {
        Some(key) => ("--key", key),
        None => ("--cert", cert),
    };
    let text = match key {
        Some(key) => read("--key", key, own)?,
        None => text,
    };
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let shown = file.display();
        let what = if contains(&text, "ENCRYPTED PRIVATE KEY")
            || contains(&text, "Proc-Type: 4,ENC")
        {
            format!(
                "{shown}: its key is encrypted; 'openssl pkey -in {shown} -out FILE' decrypts it"
            )
        } else if contains(&text, "-----BEGIN ") && key.is_none() {
            format!("{shown}: it has no private key; --key FILE is one")
        } else {
            no_pem(file, &text).replace("certificate", "private key")
        };
        failed(own, format!("{option} {what}"))
    })?;
    Ok((chain, key))
}

/// Reads those who vouch for others: a file, or all files of a folder.
///
/// # Errors
/// What can not be read, with [`Cause::CaFile`].
pub(super) fn roots(option: &str, place: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for file in files(option, place)? {
        let text = read(option, &file, Cause::CaFile)?;
        let (added, _) = roots.add_parsable_certificates(certificates(&text));
        if added == 0 && file == place {
            let what = format!("{option} {}", no_pem(place, &text));
            return Err(failed(Cause::CaFile, what));
        }
    }
    match roots.is_empty() {
        true => Err(failed(
            Cause::CaFile,
            format!(
                "{option} {}: no file in it has a certificate in PEM",
                place.display()
            ),
        )),
        false => Ok(roots),
    }
}

fn files(option: &str, place: &Path) -> Result<Vec<PathBuf>> {
    if !place.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let entries =
        fs::read_dir(place).map_err(|error| unreadable(option, place, Cause::CaFile, &error))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths.filter(|path| path.is_file()).collect())
}

fn read(option: &str, file: &Path, cause: Cause) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| unreadable(option, file, cause, &error))
}

fn unreadable(option: &str, file: &Path, cause: Cause, error: &std::io::Error) -> anyhow::Error {
    let reason = errno_text(error);
    failed(cause, format!("{option} {}: {reason}", file.display()))
}

fn certificates(text: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(text)
        .filter_map(Result::ok)
        .collect()
}

/// Why a file has no certificate, and what makes one of it.
fn no_pem(file: &Path, text: &[u8]) -> String {
    let shown = file.display();
    // A PFX begins with its version 3, a certificate with another sequence (RFC 7292 4, RFC 5280 4.1).
    let is_der = text.first() == Some(&0x30);
    let is_pfx = text.windows(3).take(8).any(|bytes| bytes == [2, 1, 3]);
    match (is_der, is_pfx) {
        (true, true) => format!(
            "{shown}: it is PKCS#12; 'openssl pkcs12 -in {shown} -nodes -out FILE.pem' makes PEM of it"
        ),
        (true, false) => {
            format!(
                "{shown}: it is DER; 'openssl x509 -inform der -in {shown} -out FILE.pem' makes PEM of it"
            )
        }
        _ => format!("{shown}: it has no certificate in PEM"),
    }
}

fn contains(text: &[u8], part: &str) -> bool {
    memchr::memmem::find(text, part.as_bytes()).is_some()
}
