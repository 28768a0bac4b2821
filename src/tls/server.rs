//! The server's side of TLS: its certificates, whom it lets in, and its handshake.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::callers::Callers;
use super::certificate::Described;
use super::notes::Notes;
use super::pin::Pin;
use super::resolver::Resolver;
use super::stream::{Stream, Transport};
use super::{KeyLogFile, Version, failed, listed, pem, plain, protocols, provider, reason};
use crate::ending::Cause;
use crate::peer::ByteStream;
use crate::reread::Reread;

/// What a caller is told that speaks HTTP to a port of TLS.
const PLAIN_HTTP: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\
    x-content-type-options: nosniff\r\ncontent-length: 52\r\n\r\nthis port speaks TLS: write wss:// or https:// here\n";

/// Files are looked at for changes at most this often.
const LOOK: Duration = Duration::from_secs(1);

/// Options of everything that accepts TLS.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "TLS server")]
pub struct Options {
    /// Show this certificate, in PEM, with its chain
    ///
    /// As a server repeatable: which one is shown depends on the name that is asked for, exact or by a wildcard; else it is the
    /// first. Files are read again on SIGHUP, a server's when they change too. Example: wss-l:8443,cert=a.pem,key=a.key
    #[arg(long, value_name = "FILE")]
    pub cert: Vec<PathBuf>,
    /// The key of --cert, where it is not in the same file
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Make a certificate for localhost, to try things out; its pin is printed
    #[arg(long, conflicts_with = "cert")]
    pub self_signed: bool,
    /// Let in who has a certificate that these issued, or one of these
    ///
    /// A file of certificates in PEM, or a folder of such files. The certificate of a client may be its own issuer. Programs find the subject in SSL_CLIENT_S_DN.
    #[arg(long, value_name = "FILE|DIR")]
    pub client_ca: Option<PathBuf>,
    /// Whether callers must have one; without it they must
    #[arg(long, value_name = "WHETHER", value_enum)]
    pub client_auth: Option<ClientAuth>,
    /// Speak no older version of TLS
    #[arg(long, value_name = "VERSION", value_enum, default_value = "1.2")]
    pub tls_min: Version,
    /// Choose among these application protocols, best first
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub alpn: Vec<String>,
    /// Append the keys of sessions to this file: who reads it reads them
    #[arg(long, value_name = "FILE")]
    pub keylog: Option<PathBuf>,
}

/// Whether callers must show a certificate.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Who has none is refused.
    Required,
    /// Who has none is let in; who has a wrong one is not.
    Optional,
}

/// A server that is ready for any number of handshakes.
pub struct Server {
    options: Options,
    protocols: Vec<Vec<u8>>,
    /// What was made for `--self-signed`, and its pin.
    own: Option<(CertifiedKey, Pin)>,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    /// The host names of the certificates.
    names: Arc<[String]>,
    /// When each of the files had changed last.
    changed: Vec<Option<SystemTime>>,
    looked: Instant,
}

impl Server {
    /// Reads the files that the options name. `own_protocols` are spoken where none were asked for.
    ///
    /// # Errors
    /// What is wrong with a file, with a [`Cause`].
    pub fn read(options: Options, own_protocols: &[&str], host: Option<&str>) -> Result<Server> {
        if options.cert.is_empty() && !options.self_signed {
            let what =
                "TLS needs a certificate: cert=FILE and key=FILE, or self-signed to try things out";
            return Err(failed(Cause::OwnCertificate, what));
        }
        if !options.key.is_empty() && options.key.len() != options.cert.len() {
            let what = "each --cert needs a --key, or each has its key in the same file";
            return Err(failed(Cause::OwnCertificate, what));
        }
        if options.client_auth.is_some() && options.client_ca.is_none() {
            let what = "--client-auth without --client-ca: nobody vouches for callers\n";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, what).into());
        }
        let own = match options.self_signed {
            true => Some(self_signed(host)?),
            false => None,
        };
        let protocols = protocols(&options.alpn, own_protocols);
        let changed = changed(&options);
        let (config, names) = config(&options, own.as_ref().map(|own| &own.0), &protocols)?;
        Ok(Server {
            options,
            protocols,
            own,
            loaded: Mutex::new(Loaded {
                config: Arc::new(config),
                names,
                changed,
                looked: Instant::now(),
            }),
        })
    }

    /// The pin of a certificate that was made for `--self-signed`.
    pub fn pin(&self) -> Option<Pin> {
        self.own.as_ref().map(|own| own.1)
    }

    /// Whether it has files that can be read again.
    pub fn has_files(&self) -> bool {
        !self.options.cert.is_empty() || self.options.client_ca.is_some()
    }

    /// Returns the host names of its certificates, wildcards included.
    pub fn names(&self) -> Arc<[String]> {
        self.lock().names.clone()
    }

    /// Whether callers must show a certificate that was issued for them.
    pub fn admits_known_only(&self) -> bool {
        self.options.client_ca.is_some() && self.options.client_auth != Some(ClientAuth::Optional)
    }

    fn load(&self, loaded: &mut Loaded) {
        match config(
            &self.options,
            self.own.as_ref().map(|own| &own.0),
            &self.protocols,
        ) {
            Ok((config, names)) => {
                (loaded.config, loaded.names) = (Arc::new(config), names);
                let files = listed(files(&self.options));
                tracing::info!("certificates reloaded: {files}");
            }
            Err(error) => tracing::warn!(
                "the certificates stay as they were: {}",
                Cause::line(&error)
            ),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        // Nothing panics while it is held; a poisoned state is a whole one.
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Arc<ServerConfig> {
        let mut loaded = self.lock();
        if loaded.looked.elapsed() >= LOOK {
            let now = changed(&self.options);
            if now != loaded.changed {
                loaded.changed = now;
                self.load(&mut loaded);
            }
            loaded.looked = Instant::now();
        }
        loaded.config.clone()
    }

    /// Shakes hands with a caller within a deadline; returns also who it is, where it showed a certificate.
    ///
    /// # Errors
    /// Why there is no TLS, with a [`Cause`].
    pub async fn accept(
        &self,
        io: Box<dyn ByteStream>,
        deadline: Duration,
    ) -> Result<(Box<dyn ByteStream>, Option<String>)> {
        let acceptor = TlsAcceptor::from(self.current());
        let accepting = async {
            let mut transport = Transport::new(io);
            if transport.begins_with_http().await {
                transport.answer(PLAIN_HTTP).await;
                return Err(failed(Cause::Tls, "the caller speaks HTTP without TLS"));
            }
            Ok(Notes::of(acceptor.accept(transport).into_fallible()).await)
        };
        match timeout(deadline, accepting).await {
            Ok(Ok((Ok(tls), _))) => {
                let shown = tls.get_ref().1.peer_certificates();
                let subject = shown.and_then(|chain| Some(Described::of(chain.first()?).subject));
                Ok((Stream::over(TlsStream::Server(tls), None), subject))
            }
            Ok(Ok((Err((error, io)), notes))) => {
                io.end().await;
                let (cause, what) = reason::of_server(&error, &notes);
                Err(failed(cause, what))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(failed(Cause::Timeout, "no TLS handshake in time")),
        }
    }
}

impl Reread for Server {
    fn read_again(&self) {
        let mut loaded = self.lock();
        loaded.changed = changed(&self.options);
        self.load(&mut loaded);
    }
}

/// The files that can be read again.
fn files(options: &Options) -> impl Iterator<Item = &PathBuf> {
    let own = options.cert.iter().chain(&options.key);
    own.chain(&options.client_ca)
}

/// When the files had changed last; one that is not there has not.
fn changed(options: &Options) -> Vec<Option<SystemTime>> {
    files(options)
        .map(|file| file.metadata().ok()?.modified().ok())
        .collect()
}

fn config(
    options: &Options,
    own: Option<&CertifiedKey>,
    protocols: &[Vec<u8>],
) -> Result<(ServerConfig, Arc<[String]>)> {
    let keys = match own {
        Some(own) => vec![own.clone()],
        None => {
            let keys = options.key.iter().map(Some).chain(std::iter::repeat(None));
            let pairs = options.cert.iter().zip(keys);
            pairs
                .map(|(cert, key)| pem::certified(cert, key.map(PathBuf::as_path)))
                .collect::<Result<_>>()?
        }
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(options.tls_min.and_newer())
        .map_err(|error| failed(Cause::Tls, format!("TLS: {}", plain::error(&error))))?;
    let builder = match &options.client_ca {
        None => builder.with_no_client_auth(),
        Some(place) => {
            let roots = Arc::new(pem::roots("--client-ca", place)?);
            let named = roots.clone();
            let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            if options.client_auth == Some(ClientAuth::Optional) {
                verifier = verifier.allow_unauthenticated();
            }
            let built = verifier.build();
            let wrong = |error| {
                failed(
                    Cause::CaFile,
                    format!("--client-ca {}: {error}", place.display()),
                )
            };
            let callers = Callers::of(&named, built.map_err(wrong)?);
            builder.with_client_cert_verifier(Arc::new(callers))
        }
    };
    let resolver = Resolver::new(keys);
    let names = resolver.names();
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = protocols.to_vec();
    if let Some(file) = &options.keylog {
        config.key_log = KeyLogFile::open(file)?;
    }
    Ok((config, names))
}

/// A certificate for this machine and the host that is listened on, and its pin.
fn self_signed(host: Option<&str>) -> Result<(CertifiedKey, Pin)> {
    let own = |error: &dyn std::fmt::Display| {
        failed(Cause::OwnCertificate, format!("--self-signed: {error}"))
    };
    let mut names: Vec<_> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    names.extend(host.filter(|host| *host != "*").map(str::to_owned));
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| own(&error))?;
    let chain = vec![made.cert.der().clone()];
    let pin = Pin::of(&chain[0]).ok_or_else(|| own(&"it can not be read"))?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let certified = CertifiedKey::from_der(chain, key, &provider());
    Ok((certified.map_err(|error| own(&plain::error(&error)))?, pin))
}
