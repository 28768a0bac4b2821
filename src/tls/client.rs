//! The client's side of TLS: whom it trusts, who it says it is, and its handshake.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use humantime::format_rfc3339_seconds;
use tokio::time::timeout;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ClientConfig, ClientConnection};
use tokio_rustls::{TlsConnector, TlsStream};

use super::certificate::Described;
use super::notes::Notes;
use super::own::Own;
use super::pin::Pin;
use super::side::{PROXY, SERVER, Side};
use super::stream::{Stream, Transport};
use super::verify::Verifier;
use super::{KeyLogFile, Version, failed, listed, pem, plain, protocols, provider, reason};
use crate::ending::Cause;
use crate::host;
use crate::log::REFUSALS;
use crate::peer::ByteStream;
use crate::reread::{Reread, Rereads};
use crate::steps::Step;

/// Options of everything that dials TLS.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
#[command(next_help_heading = "TLS client")]
pub struct Options {
    /// Trust these and what they issued instead of whom the system trusts
    ///
    /// A file of certificates in PEM, or a folder of such files. The certificate of the server itself may be one of them, as
    /// 'openssl req -x509' makes it.
    #[arg(long, value_name = "FILE|DIR")]
    pub cacert: Option<PathBuf>,
    /// Show this certificate, in PEM, with its chain
    ///
    /// As a server repeatable: which one is shown depends on the name that is asked for, exact or by a wildcard; else it is the
    /// first. Files are read again on SIGHUP, a server's when they change too. Example: wss-l:8443,cert=a.pem,key=a.key
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// The key of --cert, where it is not in the same file
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Trust a server by its public key (repeatable)
    ///
    /// Its SHA-256 in base64 or hex. Who issued the certificate does not matter then, unless there is --cacert too.
    #[arg(long, value_name = "HASH")]
    pub pin_sha256: Vec<Pin>,
    /// Trust any server: whoever stands between can read and change all
    #[arg(long, short = 'k')]
    pub insecure: bool,
    /// Tell even a server that is not known who we are
    #[arg(long)]
    pub insecure_send_credentials: bool,
    /// Ask for this name instead of the host, and want a certificate for it
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub tls_name: Option<String>,
    /// Speak no older version of TLS
    #[arg(long, value_name = "VERSION", value_enum, default_value = "1.2")]
    pub tls_min: Version,
    /// Offer these application protocols, best first
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub alpn: Vec<String>,
    /// Append the keys of sessions to this file: who reads it reads them
    #[arg(long, value_name = "FILE")]
    pub keylog: Option<PathBuf>,
}

fn parse_name(text: &str) -> Result<String, String> {
    let name = host::ascii(text).filter(|name| ServerName::try_from(name.as_str()).is_ok());
    match name {
        Some(name) => Ok(name),
        None => Err("is no name of a host and no IP address".to_owned()),
    }
}

/// A client that is ready for any number of handshakes.
pub struct Client {
    options: Options,
    files: Arc<Files>,
    protocols: Vec<Vec<u8>>,
}

/// What the options name, as it was read last.
struct Files {
    options: Options,
    /// Who is dialled.
    side: &'static Side,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    own: Option<Arc<CertifiedKey>>,
    roots: Option<RootCertStore>,
    /// Made at the first handshake: only then the system is asked whom it trusts.
    config: Option<Arc<ClientConfig>>,
}

impl Loaded {
    fn read(options: &Options, side: &Side) -> Result<Loaded> {
        let own = match (&options.cert, &options.key) {
            (Some(cert), key) => Some(Arc::new(pem::certified(cert, key.as_deref())?)),
            (None, Some(_)) => {
                return Err(failed(Cause::OwnCertificate, "--key without --cert"));
            }
            (None, None) => None,
        };
        let roots = options.cacert.as_deref();
        Ok(Loaded {
            own,
            roots: roots
                .map(|place| pem::roots(side.trusts, place))
                .transpose()?,
            config: None,
        })
    }
}

impl Files {
    fn names(&self) -> impl Iterator<Item = &PathBuf> {
        let Options {
            cacert, cert, key, ..
        } = &self.options;
        cacert.iter().chain(cert).chain(key)
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        // Nothing panics while it is held.
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reread for Files {
    fn read_again(&self) {
        match Loaded::read(&self.options, self.side) {
            Ok(loaded) => {
                *self.lock() = loaded;
                tracing::info!("certificates reloaded: {}", listed(self.names()));
            }
            Err(error) => tracing::warn!(
                "the certificates stay as they were: {}",
                Cause::line(&error)
            ),
        }
    }
}

impl Client {
    /// Reads the files that the options name, and again when `rereads` says so. `own_protocols` are offered where none were asked
    /// for.
    ///
    /// # Errors
    /// What is wrong with a file, with a [`Cause`].
    pub fn read(options: Options, own_protocols: &[&str], rereads: &Rereads) -> Result<Client> {
        Client::of_side(&SERVER, options, own_protocols, rereads)
    }

    /// Reads the certificates to trust of a proxy that is reached over TLS.
    ///
    /// # Errors
    /// What is wrong with the file, with a [`Cause`].
    pub fn of_proxy(
        cacert: Option<&Path>,
        own_protocols: &[&str],
        rereads: &Rereads,
    ) -> Result<Client> {
        let options = Options {
            cacert: cacert.map(Path::to_owned),
            ..Options::default()
        };
        Client::of_side(&PROXY, options, own_protocols, rereads)
    }

    fn of_side(
        side: &'static Side,
        options: Options,
        own_protocols: &[&str],
        rereads: &Rereads,
    ) -> Result<Client> {
        let files = Arc::new(Files {
            loaded: Mutex::new(Loaded::read(&options, side)?),
            options: options.clone(),
            side,
        });
        if files.names().next().is_some() {
            rereads.register(&files);
        }
        Ok(Client {
            files,
            protocols: protocols(&options.alpn, own_protocols),
            options,
        })
    }

    /// Whether it must not tell a server who we are: it does not look whether it is the right one.
    pub fn keeps_credentials(&self) -> bool {
        self.options.insecure
            && self.options.pin_sha256.is_empty()
            && !self.options.insecure_send_credentials
    }

    /// Whether a name of the server was given.
    pub fn has_name(&self) -> bool {
        self.options.tls_name.is_some()
    }

    /// Shakes hands with the server of a host, which is a name or an IP address without brackets, within a deadline.
    ///
    /// # Errors
    /// Why there is no TLS or no trust, with a [`Cause`].
    pub async fn connect(
        &self,
        io: Box<dyn ByteStream>,
        host: &str,
        deadline: Duration,
    ) -> Result<Box<dyn ByteStream>> {
        let host = self.options.tls_name.as_deref().unwrap_or(host);
        let host = host::without_zone(host);
        let side = self.files.side;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            let hint = if side.is_chosen {
                "; see --tls-name"
            } else {
                ""
            };
            let what = format!("'{host}' is no name that TLS can ask for{hint}");
            failed(Cause::Tls, what)
        })?;
        let is_blind = self.options.insecure && self.options.pin_sha256.is_empty();
        if is_blind && REFUSALS.admits() {
            tracing::warn!(
                "{host}: --insecure: it may be anybody, and anybody may read and change all"
            );
        }
        let step = Step::begin("tls");
        let connector = TlsConnector::from(self.config()?);
        let connecting = connector.connect(name, Transport::new(io)).into_fallible();
        match timeout(deadline, Notes::of(connecting)).await {
            Ok((Ok(tls), notes)) => {
                step.done(|| shown(tls.get_ref().1));
                let asked = notes.is_asked_in_vain();
                Ok(Stream::over(TlsStream::Client(tls), asked.then_some(side)))
            }
            Ok((Err((error, io)), notes)) => {
                io.end().await;
                let (cause, what) = reason::of_client(&error, &notes, side);
                Err(failed(cause, what))
            }
            Err(_) => Err(failed(
                Cause::Timeout,
                format!("no TLS handshake within {deadline:?}"),
            )),
        }
    }

    fn config(&self) -> Result<Arc<ClientConfig>> {
        let mut loaded = self.files.lock();
        if let Some(config) = &loaded.config {
            return Ok(config.clone());
        }
        let config = Arc::new(self.make_config(&loaded)?);
        loaded.config = Some(config.clone());
        Ok(config)
    }

    fn make_config(&self, loaded: &Loaded) -> Result<ClientConfig> {
        let options = &self.options;
        let side = self.files.side;
        let pins = options.pin_sha256.clone();
        let verifier = match options.insecure || (!pins.is_empty() && loaded.roots.is_none()) {
            true => Verifier::of_keys(pins, side),
            false => Verifier::of_issuers(loaded.roots.clone(), pins, side)?,
        };
        let tls = |error| failed(Cause::Tls, format!("TLS: {}", plain::error(&error)));
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(options.tls_min.and_newer())
            .map_err(tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = builder.with_client_cert_resolver(Arc::new(Own(loaded.own.clone())));
        config.alpn_protocols.clone_from(&self.protocols);
        if let Some(file) = &options.keylog {
            config.key_log = KeyLogFile::open(file)?;
        }
        Ok(config)
    }
}

/// What was agreed upon, and whose certificate was shown.
fn shown(tls: &ClientConnection) -> String {
    let version = tls.protocol_version().and_then(|it| it.as_str());
    let suite = tls.negotiated_cipher_suite();
    let suite = suite.and_then(|it| it.suite().as_str()).unwrap_or_default();
    let mut text = format!("{} {suite}", version.unwrap_or_default().replace('_', "."));
    if let Some(certificate) = tls.peer_certificates().and_then(<[_]>::first) {
        let described = Described::of(certificate);
        text += &format!("; {} by {}", described.subject, described.issuer);
        if let Some(until) = described.until {
            text += &format!(
                ", until {}",
                &format_rfc3339_seconds(until).to_string()[..10]
            );
        }
    }
    text
}
