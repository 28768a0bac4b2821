//! Whether a caller that shows a certificate is let in.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use super::certificate::Described;
use super::named::{self, CLIENT_AUTH};
use super::notes::Notes;
use super::side::CALLER;
use super::verify;

/// Judges the certificates of callers by who issued them, or because they were named themselves.
#[derive(Debug)]
pub(super) struct Callers {
    issuers: Arc<dyn ClientCertVerifier>,
    roots: Vec<TrustAnchor<'static>>,
}

impl Callers {
    /// Lets in who has a certificate that these issued, as `issuers` judges, or one of these.
    pub(super) fn of(roots: &RootCertStore, issuers: Arc<dyn ClientCertVerifier>) -> Callers {
        Callers {
            issuers,
            roots: roots.roots.clone(),
        }
    }
}

impl ClientCertVerifier for Callers {
    fn offer_client_auth(&self) -> bool {
        self.issuers.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.issuers.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.issuers.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let judged = self
            .issuers
            .verify_client_cert(end_entity, intermediates, now);
        let judged = match judged {
            Err(_) if named::is_named(end_entity, &self.roots) => {
                named::judge(end_entity, CLIENT_AUTH, None, now)
                    .map(|()| ClientCertVerified::assertion())
                    .map_err(Error::InvalidCertificate)
            }
            judged => judged,
        };
        if let Err(Error::InvalidCertificate(error)) = &judged {
            Notes::untrusted(verify::words(
                error,
                &Described::of(end_entity),
                None,
                &CALLER,
            ));
        }
        judged
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.issuers.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.issuers.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.issuers.supported_verify_schemes()
    }
}
