//! An open TLS connection as a stream of bytes: its clean end is a close_notify, without one it was cut.

use std::future::poll_fn;
use std::io::{self, BufRead, Read};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsStream;
use tokio_rustls::rustls::{ConnectionCommon, Error};

use super::reason;
use super::record::Records;
use super::side::{SERVER, Side};
use crate::buffer::{LARGE, ReadBuffer};
use crate::ending::{Cause, Ending, Failure, Loss};
use crate::heap;
use crate::log::REFUSALS;
use crate::message::SHORT;
use crate::peer::{ByteStream, During};

/// How long one that failed is read after our alert, so that a reset does not destroy it.
const FINISH: Duration = Duration::from_secs(1);

/// How requests of HTTP begin that a browser, curl or a WebSocket client sends.
const METHODS: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI ",
];

/// Bytes that are encrypted before they are written: a buffer that is full, and the headers of the frames that it is made to,
/// which are at least as long as what is written from where it lies.
const WRITTEN: usize = LARGE + LARGE / SHORT * MAX_HEADER;
/// Bytes of the longest header of a frame (RFC 6455 5.2).
const MAX_HEADER: usize = 14;

/// Records that are read before others run: one takes the time of about eight frames.
const RECORDS: usize = 512;

/// What TLS runs over. Its end is not that of TLS: who ends the one ends the other too.
///
/// It reads all that has come at once, and gives it to rustls a record at a time: rustls by itself asks for 4 KiB, which would
/// be a call of the system each, and looks each time whether that is a record.
pub(super) struct Transport {
    io: Box<dyn ByteStream>,
    read: ReadBuffer,
    records: Records,
    /// What a read has failed with, after what was read before.
    failed: Option<io::Error>,
    /// Records that were read since others ran.
    turn: usize,
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let transport = self.get_mut();
        let mut count = 0;
        while count == 0 {
            count = transport.records.first(transport.read.bytes());
            if count == 0 && ready!(transport.poll_fill(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        count = count.min(buf.remaining());
        buf.put_slice(&transport.read.bytes()[..count]);
        transport.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

impl Transport {
    pub(super) fn new(io: Box<dyn ByteStream>) -> Transport {
        heap::keep_records();
        Transport {
            io,
            read: ReadBuffer::default(),
            records: Records::default(),
            failed: None,
            turn: 0,
        }
    }

    /// Takes away what rustls was given.
    fn advance(&mut self, count: usize) {
        let bytes = self.read.bytes();
        self.records.advance(&bytes[..count]);
        bytes.advance(count);
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.failed.take() {
            Some(error) => Poll::Ready(Err(error)),
            None => self.read.poll_fill(&mut *self.io, cx),
        }
    }

    /// Waits for the first bytes; returns whether they are those of a request of HTTP. No record of TLS begins so.
    pub(super) async fn begins_with_http(&mut self) -> bool {
        loop {
            let read = self.read.bytes();
            let could_be = |method: &&[u8]| {
                let len = method.len().min(read.len());
                read[..len] == method[..len]
            };
            let Some(method) = METHODS.iter().find(|method| could_be(method)) else {
                return false;
            };
            if read.len() >= method.len() {
                return true;
            }
            // An error or an end is for the handshake to tell.
            match poll_fn(|cx| self.poll_fill(cx)).await {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => {
                    self.failed = Some(error);
                    return false;
                }
            }
        }
    }

    /// Answers without TLS and ends.
    pub(super) async fn answer(mut self, text: &str) {
        // A caller that does not take it goes without.
        let _ = timeout(FINISH, self.io.write_all(text.as_bytes())).await;
        self.end().await;
    }

    /// Ends one whose handshake failed, after the alert that says why.
    pub(super) async fn end(mut self) {
        let _ = timeout(FINISH, async {
            poll_fn(|cx| self.io.poll_end(cx, &Ending::Eof)).await?;
            let mut rest = [0; 1024];
            while self.io.read(&mut rest).await? > 0 {}
            Ok::<_, io::Error>(())
        })
        .await;
    }
}

/// An open TLS connection.
pub(super) struct Stream {
    tls: TlsStream<Transport>,
    /// Whether anything of the other end has come through: a server may refuse our certificate after the handshake
    /// (RFC 8446 4.4.2.4), but not later.
    has_read: bool,
    /// The server, where it asked for a certificate and we have none.
    asked_in_vain: Option<&'static Side>,
}

impl Stream {
    pub(super) fn over(
        mut tls: TlsStream<Transport>,
        asked_in_vain: Option<&'static Side>,
    ) -> Box<dyn ByteStream> {
        match &mut tls {
            TlsStream::Client(tls) => tls.get_mut().1.set_buffer_limit(Some(WRITTEN)),
            TlsStream::Server(tls) => tls.get_mut().1.set_buffer_limit(Some(WRITTEN)),
        }
        Box::new(Stream {
            tls,
            has_read: false,
            asked_in_vain,
        })
    }

    fn transport(&mut self) -> &mut dyn ByteStream {
        &mut *self.tls.get_mut().0.io
    }

    /// Makes of an alert about our certificate what decides the exit status, and says what an end without an alert may mean.
    fn late(&self, error: io::Error) -> io::Error {
        if self.has_read {
            return error;
        }
        let is_asked = self.asked_in_vain.is_some();
        let side = self.asked_in_vain.unwrap_or(&SERVER);
        let found = match (reason::inner(&error), error.kind()) {
            (Some(Error::AlertReceived(alert)), _) => {
                let what = reason::of_alert(*alert, is_asked, side);
                what.map(|what| (Cause::OwnCertificate, what))
            }
            (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) if is_asked => {
                Some((Cause::TlsCut, side.ended_without_alert()))
            }
            _ => None,
        };
        let failure = found.map(|(cause, what)| Failure { cause, what });
        failure.map_or(error, io::Error::other)
    }
}

/// Decrypts what has come, as much as there is room for.
///
/// What fails or ends does so again at the next call; what was read before comes first.
fn read<Side>(
    transport: &mut Transport,
    tls: &mut ConnectionCommon<Side>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let before = buf.filled().len();
    while buf.remaining() > 0 {
        let mut reader = tls.reader();
        let is_first = buf.filled().len() == before;
        match reader.fill_buf() {
            Ok([]) => break,
            Ok(bytes) => {
                let count = bytes.len().min(buf.remaining());
                buf.put_slice(&bytes[..count]);
                reader.consume(count);
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) if !is_first => break,
            Err(error) => return Poll::Ready(Err(error)),
        }
        if is_first {
            process(tls)?;
        }
        // Records may be small, as frames may: what they carry does not measure the work.
        if transport.turn >= RECORDS {
            if is_first {
                transport.turn = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            break;
        }
        // rustls gives its own buffer back whenever that is empty: a header in it keeps it from growing anew each time.
        let count = transport.records.first_and_header(transport.read.bytes());
        if count == 0 {
            // Who reads the plaintext wants a full buffer too, and what is there costs a call and no wait.
            match transport.poll_fill(cx) {
                Poll::Ready(Ok(0)) => drop(tls.read_tls(&mut io::empty())?),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) if !is_first => {
                    transport.failed = Some(error);
                    break;
                }
                Poll::Pending if !is_first => break,
                Poll::Pending => {
                    transport.turn = 0;
                    // It gives its buffer back when it wants to read and that is empty.
                    let _ = tls.read_tls(&mut Silence);
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
            continue;
        }
        let mut record = &transport.read.bytes()[..count];
        while !record.is_empty() && tls.read_tls(&mut record)? > 0 {}
        transport.advance(count);
        match process(tls) {
            Err(_) if !is_first => break,
            result => result?,
        }
        transport.turn += 1;
    }
    Poll::Ready(Ok(()))
}

/// A transport on which nothing has come.
struct Silence;

impl Read for Silence {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

fn process<Side>(tls: &mut ConnectionCommon<Side>) -> io::Result<()> {
    let result = tls.process_new_packets();
    result.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(())
}

impl ByteStream for Stream {
    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Ready(Ending::Eof)
    }

    fn failed(&self, during: During, error: &io::Error) -> Ending {
        if during == During::Read {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                return Ending::Lost(Loss::NoClose);
            }
            if let Some(failure) = Failure::of(error) {
                if REFUSALS.admits() {
                    tracing::warn!("{failure}");
                }
                return Ending::Unreachable(failure.cause);
            }
        }
        self.tls.get_ref().0.io.failed(during, error)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<io::Result<()>> {
        // What was accepted goes out before either end, but only a clean one is announced.
        let sent = match why.is_abort() {
            true => ready!(Pin::new(&mut self.tls).poll_flush(cx)),
            false => ready!(Pin::new(&mut self.tls).poll_shutdown(cx)),
        };
        let ended = ready!(self.transport().poll_end(cx, why));
        Poll::Ready(sent.and(ended))
    }

    fn queued(&self) -> usize {
        self.tls.get_ref().0.io.queued()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.tls.get_ref().0.io.descriptor()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.transport().poll_gone(cx)
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.transport().poll_reset(cx)
    }

    fn is_closed(&self) -> bool {
        self.tls.get_ref().0.io.is_closed()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = match &mut self.tls {
            TlsStream::Client(tls) => {
                let (transport, tls) = tls.get_mut();
                read(transport, tls, cx, buf)
            }
            TlsStream::Server(tls) => {
                let (transport, tls) = tls.get_mut();
                read(transport, tls, cx, buf)
            }
        };
        self.has_read |= buf.filled().len() > before;
        result.map_err(|error| self.late(error))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(cx, &Ending::Eof)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};

    use tokio::io::duplex;
    use tokio_rustls::rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::{
        ClientConfig, ConnectionTrafficSecrets, ContentType, ExtractedSecrets, ProtocolVersion,
        RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version,
    };
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::super::provider;
    use super::*;
    use crate::peer::wire::Wire;

    const VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13];
    /// Bytes that are on their way at most: more than all records of a test.
    const CAPACITY: usize = 1 << 20;

    fn configs() -> (ClientConfig, ServerConfig) {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (own.cert.der().clone(), own.signing_key.serialize_der());
        let mut roots = RootCertStore::empty();
        roots.add(cert.clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert], PrivateKeyDer::Pkcs8(key.into()))
            .unwrap();
        (client, server)
    }

    /// A stream of a server, and what a client has sent it: records of these payloads.
    async fn sent(payloads: impl Iterator<Item = &'static [u8]>) -> Box<dyn ByteStream> {
        let (mut client, server) = configs();
        client.enable_secret_extraction = true;
        let (near, far) = duplex(CAPACITY);
        let accepting =
            TlsAcceptor::from(Arc::new(server)).accept(Transport::new(Box::new(Wire(far))));
        let connecting = TlsConnector::from(Arc::new(client))
            .connect(ServerName::try_from("localhost").unwrap(), near);
        let (near, far) = tokio::join!(connecting, accepting);
        let (mut wire, tls) = near.unwrap().into_inner();
        let Some(SupportedCipherSuite::Tls13(suite)) = tls.negotiated_cipher_suite() else {
            unreachable!("it is TLS 1.3 alone")
        };
        let ExtractedSecrets {
            tx: (first, secrets),
            ..
        } = tls.dangerous_extract_secrets().unwrap();
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            unreachable!("rustls has no others")
        };
        // rustls itself sends no empty records.
        let mut encrypter = suite.aead_alg.encrypter(key, iv);
        for (payload, number) in payloads.zip(first..) {
            let record = OutboundPlainMessage {
                typ: ContentType::ApplicationData,
                version: ProtocolVersion::TLSv1_2,
                payload: OutboundChunks::Single(payload),
            };
            let record = encrypter.encrypt(record, number).unwrap().encode();
            wire.write_all(&record).await.unwrap();
        }
        let stream = Stream::over(TlsStream::Server(far.unwrap()), None);
        // It would tell of its end.
        std::mem::forget(wire);
        stream
    }

    /// Reads until others are to run; how many bytes came, and whether it goes on by itself.
    fn turn(stream: &mut dyn ByteStream) -> (usize, bool) {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let (mut room, mut count) = (vec![0; LARGE], 0);
        loop {
            let mut buf = ReadBuf::new(&mut room);
            match Pin::new(&mut *stream).poll_read(&mut cx, &mut buf) {
                Poll::Ready(result) => result.unwrap(),
                Poll::Pending => return (count, woken.0.load(Ordering::Relaxed)),
            }
            count += buf.filled().len();
        }
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Woken>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_flood_of_small_records_lets_others_run() {
        let records = 3 * RECORDS;
        for (what, payloads) in [
            ("one byte each", &[&b"x"[..]][..]),
            (
                "most of them empty",
                &[b"x", b"", b"", b"", b"", b"", b"", b""],
            ),
        ] {
            let carrying = records / payloads.len();
            let cycle = payloads.iter().copied().cycle().take(records);
            let mut stream = sent(cycle).await;
            let (mut all, mut turns) = (0, 0);
            while all < carrying {
                let (count, goes_on) = turn(&mut *stream);
                assert!(count <= RECORDS / payloads.len() + 1, "{what}: {count}");
                assert!(goes_on || all + count == carrying, "{what}");
                (all, turns) = (all + count, turns + 1);
            }
            assert!((all, turns) >= (carrying, 3), "{what}: {turns} turns");
        }
    }
}
