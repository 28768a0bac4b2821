//! Whether a server is trusted: by who issued its certificate, by its key, or without a look.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::certificate::Described;
use super::pin::Pin;
use super::{failed, provider};
use crate::ending::Cause;

/// Why a certificate is not to be trusted, in one line.
#[derive(Debug)]
pub(super) struct Untrusted(pub(super) String);

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Untrusted {}

/// What judges the certificates of servers. The signature that proves the key is always checked.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Judges issuer, names and time; `None` judges nothing of that.
    issuers: Option<Arc<dyn ServerCertVerifier>>,
    /// Those who were named as issuers, in place of the system's.
    roots: Vec<TrustAnchor<'static>>,
    /// Keys of which the server must have one; none: any.
    pins: Vec<Pin>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// Trusts whoever has one of these keys, or anybody where there is none.
    pub(super) fn of_keys(pins: Vec<Pin>) -> Verifier {
        Verifier {
            issuers: None,
            roots: Vec::new(),
            pins,
            provider: provider(),
        }
    }

    /// Trusts what these issued, and the system's where there are none; with pins also the key must be one of them.
    ///
    /// # Errors
    /// Where the system has nobody to trust, with [`Cause::CaFile`].
    pub(super) fn of_issuers(roots: Option<RootCertStore>, pins: Vec<Pin>) -> Result<Verifier> {
        let named = roots.as_ref().map_or(Vec::new(), |it| it.roots.clone());
        let issuers: Arc<dyn ServerCertVerifier> = match roots {
            None => platform()?,
            Some(roots) => {
                let builder =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
                let built = builder.build();
                built.map_err(|error| failed(Cause::CaFile, error.to_string()))?
            }
        };
        Ok(Verifier {
            issuers: Some(issuers),
            roots: named,
            pins,
            provider: provider(),
        })
    }

    /// The same no with its reason in words, and what helps.
    fn explained(
        &self,
        error: Error,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
    ) -> Error {
        let Error::InvalidCertificate(error) = error else {
            return error;
        };
        let own = webpki::anchor_from_trusted_cert(certificate);
        let is_named = own.is_ok_and(|own| self.roots.contains(&own));
        let described = Described::of(certificate);
        let is_unknown = matches!(error, CertificateError::UnknownIssuer);
        untrusted(match Pin::of(certificate) {
            Some(pin) if is_named && is_issuers(&error) => format!(
                "--cacert has its very certificate, which is that of an issuer and not of a server; --pin-sha256 {pin} trusts it"
            ),
            Some(pin) if is_unknown && described.is_self_signed() => format!(
                "its certificate is self-signed; --cacert FILE trusts it, or --pin-sha256 {pin} where that is what the server printed"
            ),
            _ => words(&error, &described, Some(&name.to_str())),
        })
    }
}

/// The system's judgement, made ready once.
fn platform() -> Result<Arc<dyn ServerCertVerifier>> {
    static READY: OnceLock<Result<Arc<rustls_platform_verifier::Verifier>, String>> =
        OnceLock::new();
    let ready = READY.get_or_init(|| {
        let made = rustls_platform_verifier::Verifier::new(provider());
        made.map(Arc::new).map_err(|error| error.to_string())
    });
    match ready {
        Ok(ready) => Ok(ready.clone()),
        Err(what) => Err(failed(
            Cause::CaFile,
            format!("reading whom this system trusts: {what}; --cacert FILE names others"),
        )),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(issuers) = &self.issuers {
            issuers
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| self.explained(error, end_entity, server_name))?;
        }
        let pin = Pin::of(end_entity);
        if !self.pins.is_empty() && !pin.is_some_and(|pin| self.pins.contains(&pin)) {
            let shown = pin.map_or_else(|| "unreadable".to_owned(), |pin| pin.to_string());
            return Err(untrusted(format!(
                "its key is {shown}, which is not the one that --pin-sha256 asks for"
            )));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn untrusted(what: String) -> Error {
    let what = Untrusted(what);
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(what))))
}

/// Whether a server shows a certificate that says of itself that it issues others.
fn is_issuers(error: &CertificateError) -> bool {
    match error {
        CertificateError::Other(other) => other.to_string().contains("CaUsedAsEndEntity"),
        _ => false,
    }
}

/// What is wrong with a certificate; `wanted` is the name that it should be for.
pub(super) fn words(
    error: &CertificateError,
    certificate: &Described,
    wanted: Option<&str>,
) -> String {
    let issuer = &certificate.issuer;
    match error {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "its certificate expired on {}, {} ago",
            date(*not_after),
            days(*not_after, *time)
        ),
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "its certificate is valid from {} on, in {}; is the clock right?",
            date(*not_before),
            days(*time, *not_before)
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let wanted = wanted.unwrap_or("that name");
            let offered = match error {
                CertificateError::NotValidForNameContext { presented, .. }
                    if !presented.is_empty() =>
                {
                    presented
                        .iter()
                        .map(|name| bare(name))
                        .collect::<Vec<_>>()
                        .join(", ")
                }
                _ => "no name at all".to_owned(),
            };
            format!(
                "its certificate is not for '{wanted}' but for {offered}; --tls-name NAME asks for another name"
            )
        }
        CertificateError::UnknownIssuer if certificate.is_self_signed() => {
            "its certificate is self-signed; --cacert FILE or --pin-sha256 HASH trusts it"
                .to_owned()
        }
        CertificateError::UnknownIssuer => format!(
            "its certificate was issued by '{issuer}', which is not known here; --cacert FILE trusts it"
        ),
        error if is_issuers(error) => {
            "its certificate is that of an issuer and not of a server; --pin-sha256 HASH trusts it"
                .to_owned()
        }
        other => format!("its certificate is bad: {other}"),
    }
}

/// The name out of `DnsName("name")`.
fn bare(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

fn date(time: UnixTime) -> impl fmt::Display {
    humantime::format_rfc3339_seconds(system(time))
}

fn system(time: UnixTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(time.as_secs())
}

fn days(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    match seconds / 86400 {
        0 => "less than a day".to_owned(),
        1 => "a day".to_owned(),
        days => format!("{days} days"),
    }
}
