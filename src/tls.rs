//! TLS over any stream of bytes, in both roles. Nothing here dials or listens.
//!
//! [`client::Client`] and [`server::Server`] read their options once and shake hands as often as they are asked. What comes
//! out is a stream of bytes again: its clean end is a close_notify, and one that was cut without it is lost.

mod callers;
mod certificate;
pub mod client;
mod named;
mod notes;
mod own;
mod pem;
mod pin;
mod plain;
mod reason;
mod record;
mod resolver;
pub mod server;
mod side;
mod stream;
mod verify;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::{KeyLog, SupportedProtocolVersion, version};

use crate::ending::{Cause, errno_text};
use crate::word::Word;

/// The oldest version of TLS that is spoken.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// RFC 5246.
    #[default]
    #[value(name = "1.2")]
    Tls12,
    /// RFC 8446.
    #[value(name = "1.3")]
    Tls13,
}

impl Version {
    /// Those from it on.
    fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        const ALL: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
        match self {
            Version::Tls12 => ALL,
            Version::Tls13 => &ALL[..1],
        }
    }
}

/// The cryptography: ring, or with the feature `aws-lc` that library.
fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc")]
    use tokio_rustls::rustls::crypto::aws_lc_rs as chosen;
    #[cfg(not(feature = "aws-lc"))]
    use tokio_rustls::rustls::crypto::ring as chosen;
    Arc::new(chosen::default_provider())
}

/// An error with its cause.
fn failed(cause: Cause, what: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(cause).context(what.into())
}

/// The names of files, as a list for the log.
fn listed<'a>(files: impl Iterator<Item = &'a PathBuf>) -> String {
    let names = files.map(|file| file.as_os_str().escaped());
    names.collect::<Vec<_>>().join(", ")
}

/// Names of application protocols as they go over the wire: those that were asked for, else `own`.
fn protocols(asked: &[String], own: &[&str]) -> Vec<Vec<u8>> {
    match asked.is_empty() {
        true => own.iter().map(|name| name.as_bytes().to_vec()).collect(),
        false => asked.iter().map(|name| name.as_bytes().to_vec()).collect(),
    }
}

/// A file that the secrets of sessions are appended to, for programs that decrypt what was recorded.
#[derive(Debug)]
struct KeyLogFile(Mutex<File>);

impl KeyLogFile {
    fn open(path: &Path) -> Result<Arc<KeyLogFile>> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| anyhow!(errno_text(&error)))
            .with_context(|| format!("--keylog: opening {}", path.display()))?;
        Ok(Arc::new(KeyLogFile(Mutex::new(file))))
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes| data_encoding::HEXLOWER.encode(bytes);
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Who watches sees that lines are missing; the session does not depend on it.
        let _ = file.write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cryptography_is_that_which_was_asked_for() {
        let asked = match cfg!(feature = "aws-lc") {
            true => "AwsLcRs",
            false => "Ring",
        };
        assert_eq!(format!("{:?}", provider().key_provider), asked);
    }
}
