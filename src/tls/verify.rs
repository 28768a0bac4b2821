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
use super::named::{self, SERVER_AUTH};
use super::pin::Pin;
use super::plain;
use super::side::Side;
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
    /// Who is judged.
    side: &'static Side,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// Trusts whoever has one of these keys, or anybody where there is none.
    pub(super) fn of_keys(pins: Vec<Pin>, side: &'static Side) -> Verifier {
        Verifier {
            issuers: None,
            roots: Vec::new(),
            pins,
            side,
            provider: provider(),
        }
    }

    /// Trusts these and what they issued, and the system's where there are none; with pins also the key must be one of them.
    ///
    /// # Errors
    /// Where the system has nobody to trust, with [`Cause::CaFile`].
    pub(super) fn of_issuers(
        roots: Option<RootCertStore>,
        pins: Vec<Pin>,
        side: &'static Side,
    ) -> Result<Verifier> {
        let named = roots.as_ref().map_or(Vec::new(), |it| it.roots.clone());
        let issuers: Arc<dyn ServerCertVerifier> = match roots {
            None => platform(side)?,
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
            side,
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
        let described = Described::of(certificate);
        let pin = Pin::of(certificate).filter(|_| self.side.is_chosen);
        untrusted(match pin {
            Some(pin) if is_unknown(&error) && described.is_self_signed() => format!(
                "its certificate is self-signed; --cacert FILE trusts it, or --pin-sha256 {pin} where that is what the server printed"
            ),
            _ => words(&error, &described, Some(&name.to_str()), self.side),
        })
    }
}

/// The system's judgement, made ready once.
fn platform(side: &Side) -> Result<Arc<dyn ServerCertVerifier>> {
    static READY: OnceLock<Result<Arc<rustls_platform_verifier::Verifier>, String>> =
        OnceLock::new();
    let ready = READY.get_or_init(|| {
        let made = rustls_platform_verifier::Verifier::new(provider());
        made.map(Arc::new).map_err(|error| plain::error(&error))
    });
    match ready {
        Ok(ready) => Ok(ready.clone()),
        Err(what) => Err(failed(
            Cause::CaFile,
            format!(
                "reading whom this system trusts: {what}; {} FILE names others",
                side.trusts
            ),
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
            let judged = issuers.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
            let judged = match judged {
                Err(_) if named::is_named(end_entity, &self.roots) => {
                    named::judge(end_entity, SERVER_AUTH, Some(server_name), now)
                        .map_err(Error::InvalidCertificate)
                }
                judged => judged.map(|_| ()),
            };
            judged.map_err(|error| self.explained(error, end_entity, server_name))?;
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

/// Whether the certificate that is shown says of itself that it issues others.
fn is_issuers(error: &CertificateError) -> bool {
    is_other(error, "CaUsedAsEndEntity")
}

/// Whether nobody who is trusted has issued it, or it is an issuer's itself.
fn is_unknown(error: &CertificateError) -> bool {
    matches!(error, CertificateError::UnknownIssuer) || is_issuers(error)
}

/// Whether a certificate is of a version of X.509 before the third.
pub(super) fn is_old(error: &CertificateError) -> bool {
    is_other(error, "UnsupportedCertVersion")
}

fn is_other(error: &CertificateError, name: &str) -> bool {
    matches!(error, CertificateError::Other(other) if other.to_string().contains(name))
}

/// What is wrong with a certificate of version 1.
pub(super) const OLD: &str = "certificate is of version 1 of X.509, which says neither its names nor what it is for; 'openssl req -x509' makes one of version 3";

/// What is wrong with a certificate of a side; `wanted` is the name that it should be for.
pub(super) fn words(
    error: &CertificateError,
    certificate: &Described,
    wanted: Option<&str>,
    side: &Side,
) -> String {
    let (issuer, trusts) = (&certificate.issuer, side.trusts);
    match error {
        error if certificate.is_v1 || is_old(error) => format!("its {OLD}"),
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
            let names: Vec<_> = match error {
                CertificateError::NotValidForNameContext { presented, .. } => {
                    presented.iter().map(|name| plain::name(name)).collect()
                }
                _ => Vec::new(),
            };
            let offered = match names.is_empty() {
                true => "no name".to_owned(),
                false => names.join(", "),
            };
            let what = format!("its certificate is for {offered}, not for {wanted}");
            match side.is_chosen {
                true => what + "; --tls-name NAME asks for another name",
                false => what,
            }
        }
        error if is_unknown(error) && certificate.is_self_signed() => {
            format!("its certificate is self-signed; {trusts} FILE trusts it")
        }
        CertificateError::UnknownIssuer => format!(
            "its certificate was issued by '{issuer}', which is not known here; {trusts} FILE trusts it"
        ),
        error if is_issuers(error) => format!(
            "its certificate is that of an issuer and not of a {}; {trusts} FILE with this very certificate trusts it",
            side.kind
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("its certificate is not for a {}", side.kind)
        }
        other => format!("its certificate is bad: {}", plain::certificate(other)),
    }
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
