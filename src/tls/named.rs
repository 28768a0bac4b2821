//! A certificate that is trusted because it was named itself, such as the one that `openssl req -x509` makes.
//!
//! It is its own issuer and says that it issues others, which rules it out as the certificate of a server or a client for a
//! library that builds chains. Whoever names it by `--cacert` means that very certificate, as with curl and browsers.

use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, Error};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};

use super::certificate::Described;

/// What the certificate of a server is for (RFC 5280 4.2.1.12).
pub(super) const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// What the certificate of a client is for.
pub(super) const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// Whether a certificate is one of those that were named as trusted.
pub(super) fn is_named(certificate: &CertificateDer<'_>, roots: &[TrustAnchor<'static>]) -> bool {
    let own = webpki::anchor_from_trusted_cert(certificate);
    own.is_ok_and(|own| roots.contains(&own))
}

/// Judges a certificate that was named: its time, what it is for, and its name where it is a server's. That the other end has
/// its key is judged by the signature of the handshake.
///
/// # Errors
/// What is wrong with it.
pub(super) fn judge(
    certificate: &CertificateDer<'_>,
    purpose: ObjectIdentifier,
    name: Option<&ServerName<'_>>,
    now: UnixTime,
) -> Result<(), CertificateError> {
    let parsed = Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    judge_time(&parsed, now)?;
    judge_purpose(&parsed, purpose)?;
    match name {
        None => Ok(()),
        Some(name) => judge_name(certificate, &parsed, name),
    }
}

fn judge_time(certificate: &Certificate, now: UnixTime) -> Result<(), CertificateError> {
    let validity = &certificate.tbs_certificate.validity;
    let from = UnixTime::since_unix_epoch(validity.not_before.to_unix_duration());
    let until = UnixTime::since_unix_epoch(validity.not_after.to_unix_duration());
    if now > until {
        return Err(CertificateError::ExpiredContext {
            time: now,
            not_after: until,
        });
    }
    if now < from {
        return Err(CertificateError::NotValidYetContext {
            time: now,
            not_before: from,
        });
    }
    Ok(())
}

fn judge_purpose(
    certificate: &Certificate,
    wanted: ObjectIdentifier,
) -> Result<(), CertificateError> {
    let purposes = certificate.tbs_certificate.get::<ExtendedKeyUsage>();
    let purposes = purposes.map_err(|_| CertificateError::BadEncoding)?;
    match purposes {
        Some((_, ExtendedKeyUsage(purposes)))
            if !purposes.iter().any(|it| [wanted, ANY_PURPOSE].contains(it)) =>
        {
            Err(CertificateError::InvalidPurpose)
        }
        _ => Ok(()),
    }
}

fn judge_name(
    certificate: &CertificateDer<'_>,
    parsed: &Certificate,
    name: &ServerName<'_>,
) -> Result<(), CertificateError> {
    let names = parsed.tbs_certificate.get::<SubjectAltName>();
    if names.is_ok_and(|names| names.is_none()) {
        // Before 2017 its common name was the name of a server, and openssl's command still makes such certificates.
        return match Described::of(certificate).common_name {
            Some(own) if own.eq_ignore_ascii_case(&name.to_str()) => Ok(()),
            own => Err(CertificateError::NotValidForNameContext {
                expected: name.to_owned(),
                presented: own.into_iter().collect(),
            }),
        };
    }
    let parsed = ParsedCertificate::try_from(certificate).map_err(certificate_error)?;
    verify_server_name(&parsed, name).map_err(certificate_error)
}

fn certificate_error(error: Error) -> CertificateError {
    match error {
        Error::InvalidCertificate(error) => error,
        _ => CertificateError::BadEncoding,
    }
}
