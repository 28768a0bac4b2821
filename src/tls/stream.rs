//! An open TLS connection as a stream of bytes: its clean end is a close_notify, without one it was cut.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsStream;
use tokio_rustls::rustls::Error;

use super::reason;
use crate::buffer::ReadBuffer;
use crate::ending::{Cause, Ending, Failure, Loss};
use crate::peer::ByteStream;

/// How long one that failed is read after our alert, so that a reset does not destroy it.
const FINISH: Duration = Duration::from_secs(1);

/// What TLS runs over. Its end is not that of TLS: who ends the one ends the other too.
///
/// It reads all that has come at once: rustls asks for 4 KiB at a time, which would be a call of the system each.
pub(super) struct Transport {
    io: Box<dyn ByteStream>,
    read: ReadBuffer,
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Transport { io, read } = self.get_mut();
        if read.bytes().is_empty() {
            ready!(read.poll_fill(io, cx))?;
        }
        let bytes = read.bytes();
        let count = bytes.len().min(buf.remaining());
        buf.put_slice(&bytes[..count]);
        bytes.advance(count);
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
        Transport {
            io,
            read: ReadBuffer::default(),
        }
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
}

impl Stream {
    pub(super) fn over(tls: TlsStream<Transport>) -> Box<dyn ByteStream> {
        Box::new(Stream {
            tls,
            has_read: false,
        })
    }

    fn transport(&mut self) -> &mut dyn ByteStream {
        &mut *self.tls.get_mut().0.io
    }

    /// Makes of an alert about our certificate what decides the exit status.
    fn late(&self, error: io::Error) -> io::Error {
        match reason::inner(&error) {
            Some(Error::AlertReceived(alert)) if !self.has_read => {
                let what = reason::of_alert(*alert);
                let failure = |what| Failure {
                    cause: Cause::OwnCertificate,
                    what,
                };
                what.map(failure).map_or(error, io::Error::other)
            }
            _ => error,
        }
    }
}

impl ByteStream for Stream {
    fn read_failed(&self, error: &io::Error) -> Ending {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Ending::Lost(Loss::NoClose);
        }
        if let Some(failure) = Failure::of(error) {
            tracing::warn!("{failure}");
            return Ending::Unreachable(failure.cause);
        }
        self.tls.get_ref().0.io.read_failed(error)
    }

    fn write_failed(&self, error: &io::Error) -> Ending {
        self.tls.get_ref().0.io.write_failed(error)
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

    fn is_local(&self) -> bool {
        self.tls.get_ref().0.io.is_local()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            let at = buf.filled().len();
            let result = Pin::new(&mut self.tls).poll_read(cx, buf);
            let has_more = buf.filled().len() > at && buf.remaining() > 0;
            // What fails or ends does so again at the next call; what was read before comes first.
            if has_more && !self.tls.get_mut().0.read.bytes().is_empty() {
                continue;
            }
            if buf.filled().len() > before {
                self.has_read = true;
                return Poll::Ready(Ok(()));
            }
            return result.map_err(|error| self.late(error));
        }
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
