//! What all measurements share: the content, the certificate, how a caller shakes hands, and how much is measured.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;

use crate::caller::{self, Cipher};
use crate::content::{Content, Kind};

/// The place of all measurements.
pub struct Scene {
    /// For configuration files.
    pub dir: TempDir,
    pub cert: PathBuf,
    pub key: PathBuf,
    pub client: Arc<ClientConfig>,
    pub noise: Arc<Content>,
    /// What is expected.
    pub expected: Arc<Content>,
    /// How much one run carries.
    pub mib: u64,
    /// How many are idle.
    pub pairs: usize,
    /// How long connections are made.
    pub time: Duration,
}

impl Scene {
    pub fn new(cipher: Cipher, mib: u64, pairs: usize, time: Duration) -> Result<Scene> {
        let dir = TempDir::new()?;
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        // rcgen makes keys of ECDSA P-256 where no other is asked for.
        let CertifiedKey {
            cert: made,
            signing_key,
        } = generate_simple_self_signed(vec!["localhost".to_owned()])?;
        fs::write(&cert, made.pem())?;
        fs::write(&key, signing_key.serialize_pem())?;
        let noise = Arc::new(Content::noise());
        Ok(Scene {
            dir,
            cert,
            key,
            client: caller::config(cipher)?,
            expected: Arc::clone(&noise),
            noise,
            mib,
            pairs,
            time,
        })
    }

    /// Expects what is never sent.
    pub fn damage(&mut self) {
        self.expected = Arc::new(Content::lines(64, true));
    }

    /// What flows where nothing is framed.
    pub fn kind(&self) -> Kind {
        Kind::Noise
    }
}
