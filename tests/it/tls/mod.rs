//! TLS: whom a client trusts, whom a server lets in, how streams end, and certificates that change.
//!
//! The peers are rustls by itself, with certificates that are made for each test; what other programs make of it is seen by
//! `tests/conformance/tls`.

mod client;
mod endings;
mod identity;
mod records;
mod reload;
mod server;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion, version,
};

use crate::support::{PATIENCE, Tcp};

/// Who issues certificates.
pub struct Authority {
    pub pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        Authority {
            pem: cert.pem(),
            der: cert.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Issues a certificate for names of hosts or IP addresses.
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_so(names, |_| {})
    }

    pub fn issue_so(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = params(names);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Pair {
            cert: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Issues the certificate of a client.
    pub fn client(&self, name: &str) -> Pair {
        self.issue_so(&[], |params| {
            params.distinguished_name.push(DnType::CommonName, name);
            params
                .distinguished_name
                .push(DnType::OrganizationName, "Example, Inc.");
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        Arc::new(roots)
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

/// A certificate that nobody else vouches for.
pub fn self_signed(names: &[&str]) -> Pair {
    let key = KeyPair::generate().unwrap();
    Pair {
        cert: params(names).self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

impl Pair {
    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    /// The certificate and behind it the key.
    pub fn both(&self) -> String {
        format!("{}{}", self.cert, self.key)
    }
}

/// A folder of files for the program.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Files {
        Files(TempDir::new().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file in one step; its path.
    pub fn put(&self, name: &str, text: &str) -> String {
        let fresh = self.path(&format!("{name}.fresh"));
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, self.path(name)).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }
}

pub const TLS12: &[&SupportedProtocolVersion] = &[&version::TLS12];
pub const TLS13: &[&SupportedProtocolVersion] = &[&version::TLS13];
pub const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

pub type ServerStream = StreamOwned<ServerConnection, TcpStream>;
pub type ClientStream = StreamOwned<ClientConnection, TcpStream>;

/// The configuration of a server, which asks for certificates of `clients`.
pub fn server_config(
    pair: &Pair,
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<&Authority>,
) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(clients.roots(), provider)
                .build()
                .unwrap(),
        ),
    };
    builder
        .with_single_cert(vec![pair.certificate()], pair.private_key())
        .unwrap()
}

/// Serves one caller by a script; what that returned, or how its handshake failed.
pub fn serve<T: Send + 'static>(
    config: ServerConfig,
    script: impl FnOnce(&mut ServerStream) -> io::Result<T> + Send + 'static,
) -> (u16, JoinHandle<io::Result<T>>) {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let stream = Tcp::accept(&listener).0;
        let tls = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = StreamOwned::new(tls, stream);
        while stream.conn.is_handshaking() {
            if let Err(error) = stream.conn.complete_io(&mut stream.sock) {
                // The alert is out; a reset would destroy it.
                let _ = stream.sock.shutdown(std::net::Shutdown::Write);
                let _ = stream.sock.read_to_end(&mut Vec::new());
                return Err(error);
            }
        }
        script(&mut stream)
    });
    (port, server)
}

pub fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Says hello and ends.
pub fn hello(stream: &mut ServerStream) -> io::Result<()> {
    stream.write_all(b"hello\n")?;
    stream.conn.send_close_notify();
    stream.conn.complete_io(&mut stream.sock)?;
    let _ = stream.read_to_end(&mut Vec::new());
    Ok(())
}

/// The configuration of a client that trusts an authority, and shows a certificate where it has one.
pub fn client_config(trusted: &Authority, own: Option<&Pair>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted.roots());
    match own {
        None => builder.with_no_client_auth(),
        Some(own) => builder
            .with_client_auth_cert(vec![own.certificate()], own.private_key())
            .unwrap(),
    }
}

/// Connects and shakes hands.
pub fn connect(config: &ClientConfig, name: &str, port: u16) -> io::Result<ClientStream> {
    let sock = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    sock.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let conn = ClientConnection::new(Arc::new(config.clone()), name).unwrap();
    let mut stream = StreamOwned::new(conn, sock);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// The certificate that a server showed.
pub fn shown(stream: &ClientStream) -> CertificateDer<'static> {
    stream.conn.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}
