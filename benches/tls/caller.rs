//! A caller over TLS: its handshakes, its ends, and streams that are encrypted before and decrypted after they are sent.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::ring::{self, cipher_suite};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    SupportedCipherSuite, version,
};

use crate::content::Kind;
use crate::digest::Digest;
use crate::frame::{self, Parser, Role};
use crate::handshake;
use crate::link::Speech;

/// How long a single read or write may wait.
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_HEAD: usize = 8192;

/// The one cipher that is offered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    Aes128,
    Aes256,
    ChaCha20,
}

impl Cipher {
    pub fn named(name: &str) -> Result<Cipher> {
        Ok(match name {
            "aes128" => Cipher::Aes128,
            "aes256" => Cipher::Aes256,
            "chacha20" => Cipher::ChaCha20,
            other => bail!("no cipher {other}"),
        })
    }

    pub fn name(self) -> &'static str {
        self.suite().suite().as_str().unwrap_or_default()
    }

    fn suite(self) -> SupportedCipherSuite {
        match self {
            Cipher::Aes128 => cipher_suite::TLS13_AES_128_GCM_SHA256,
            Cipher::Aes256 => cipher_suite::TLS13_AES_256_GCM_SHA384,
            Cipher::ChaCha20 => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        }
    }
}

/// How all callers shake hands: in full, with one cipher, and without a look at who answers, which costs the same for all.
pub fn config(cipher: Cipher) -> Result<Arc<ClientConfig>> {
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![cipher.suite()];
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let mut config = builder
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// An open connection.
pub struct Caller {
    tls: StreamOwned<ClientConnection, TcpStream>,
    speech: Speech,
    parser: Option<Parser>,
}

impl Caller {
    /// Connects, shakes hands, and asks for a WebSocket if that is spoken.
    pub fn call(config: &Arc<ClientConfig>, port: u16, speech: Speech) -> Result<Caller> {
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting")?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost")?;
        let mut connection = ClientConnection::new(Arc::clone(config), name)?;
        connection.set_buffer_limit(None);
        let mut tls = StreamOwned::new(connection, tcp);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).context("TLS")?;
        }
        if speech != Speech::Plain {
            tls.write_all(handshake::request(port).as_bytes())?;
            read_answer(&mut tls)?;
        }
        let parser = (speech != Speech::Plain).then(|| Parser::new(None));
        Ok(Caller {
            tls,
            speech,
            parser,
        })
    }

    /// The socket under it.
    pub fn socket(&self) -> &TcpStream {
        &self.tls.sock
    }

    /// Sends a payload as one message.
    pub fn send(&mut self, payload: &[u8]) -> Result<()> {
        let mut wire = Vec::new();
        match self.speech {
            Speech::Plain => wire.extend_from_slice(payload),
            Speech::Frames(role) => {
                frame::put(&mut wire, Kind::Noise, role, payload);
            }
        }
        Ok(self.tls.write_all(&wire)?)
    }

    /// Reads a payload of this length, in whichever messages.
    pub fn receive(&mut self, len: u64) -> Result<u64> {
        let mut digest = Digest::new();
        let mut buf = [0; 16 * 1024];
        while digest.count() < len {
            let count = self.tls.read(&mut buf)?;
            ensure!(count > 0, "the connection ended before all had come");
            match &mut self.parser {
                Some(parser) => parser.feed(&buf[..count], &mut digest),
                None => digest.update(&buf[..count], [0; 4]),
            }
        }
        ensure!(digest.count() == len, "more came than was sent");
        Ok(digest.value())
    }

    /// Says that nothing more will be sent.
    pub fn end(&mut self) -> Result<()> {
        if self.speech != Speech::Plain {
            self.tls.write_all(&frame::close(Role::Client))?;
        }
        self.tls.conn.send_close_notify();
        self.tls.flush()?;
        Ok(())
    }

    /// Ends our direction and waits for the other's end.
    pub fn close(mut self) -> Result<()> {
        self.end()?;
        let mut buf = [0; 1024];
        // Some end with a reset, which ends it too.
        while self.tls.read(&mut buf).is_ok_and(|count| count > 0) {}
        Ok(())
    }

    /// What is written becomes the ciphertext to be sent.
    pub fn seal(&mut self, room: usize) -> Sealer<'_> {
        Sealer {
            connection: &mut self.tls.conn,
            ciphertext: Vec::with_capacity(room),
        }
    }

    /// Takes what comes as it is, from when both are `ready`: until at least `least` bytes have come and then for as long as more comes.
    pub fn capture(&mut self, least: usize, ready: &Barrier) -> Result<Capture> {
        // Written to beforehand, in order that the system gives no memory while it is measured.
        let mut ciphertext = vec![1; least + least / 8 + (4 << 20)];
        let (mut len, mut times) = (0, Vec::new());
        ready.wait();
        loop {
            let count = match self.tls.sock.read(&mut ciphertext[len..]) {
                Ok(0) => break,
                Ok(count) => count,
                Err(_) if len >= least => break,
                Err(error) => return Err(error).context(format!("reading after {len} bytes")),
            };
            len += count;
            times.push((len, Instant::now()));
            if len >= least {
                let pause = Some(Duration::from_millis(150));
                self.tls.sock.set_read_timeout(pause)?;
            }
        }
        ciphertext.truncate(len);
        Ok(Capture { ciphertext, times })
    }

    /// Decrypts what was taken.
    pub fn open<'a>(&'a mut self, capture: &'a Capture) -> Opener<'a> {
        Opener {
            connection: &mut self.tls.conn,
            capture,
            at: 0,
        }
    }
}

fn read_answer(tls: &mut impl Read) -> Result<()> {
    let mut head = Vec::new();
    let mut buf = [0; 1024];
    // Nothing follows it: the target speaks only when it is spoken to.
    while !head.ends_with(b"\r\n\r\n") {
        let count = tls.read(&mut buf)?;
        ensure!(
            count > 0 && head.len() < MAX_HEAD,
            "the handshake has no end"
        );
        head.extend_from_slice(&buf[..count]);
    }
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next().unwrap_or_default();
    ensure!(line.contains(" 101 "), "the handshake was answered: {line}");
    Ok(())
}

/// Encrypts what is written to it.
pub struct Sealer<'a> {
    connection: &'a mut ClientConnection,
    pub ciphertext: Vec<u8>,
}

impl Write for Sealer<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.connection.writer().write_all(buf)?;
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.ciphertext)?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came, and how much of it had come when.
pub struct Capture {
    ciphertext: Vec<u8>,
    times: Vec<(usize, Instant)>,
}

/// Decrypts what was taken from the socket.
pub struct Opener<'a> {
    connection: &'a mut ClientConnection,
    capture: &'a Capture,
    at: usize,
}

impl Opener<'_> {
    /// When that had come that was decrypted last.
    pub fn time(&self) -> Option<Instant> {
        let times = &self.capture.times;
        let at = times.partition_point(|(len, _)| *len < self.at);
        times.get(at).map(|(_, time)| *time)
    }
}

impl Read for Opener<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            let mut rest = &self.capture.ciphertext[self.at..];
            if rest.is_empty() {
                return Ok(0);
            }
            self.at += self.connection.read_tls(&mut rest)?;
            self.connection
                .process_new_packets()
                .map_err(io::Error::other)?;
        }
    }
}
