//! The certificate that a client shows where a server asks for one.

use std::sync::Arc;

use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::sign::CertifiedKey;

use super::notes::Notes;

/// Shows our certificate, where we have one, and notes that one was asked for where we have none.
#[derive(Debug)]
pub(super) struct Own(pub(super) Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        if self.0.is_none() {
            Notes::asked_in_vain();
        }
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}
