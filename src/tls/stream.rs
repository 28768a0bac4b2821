//! An open TLS connection as a stream of bytes: its clean end is a close_notify, without one it was cut.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsStream;
use tokio_rustls::rustls::Error;

use super::reason;
use crate::ending::{Cause, Ending, Failure, Loss};
use crate::peer::ByteStream;

/// How long one that failed is read after our alert, so that a reset does not destroy it.
const FINISH: Duration = Duration::from_secs(1);

/// What TLS runs over. Its end is not that of TLS: who ends the one ends the other too.
pub(super) struct Transport(pub(super) Box<dyn ByteStream>);

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
}

impl Transport {
    /// Ends one whose handshake failed, after the alert that says why.
    pub(super) async fn end(mut self) {
        let _ = timeout(FINISH, async {
            poll_fn(|cx| self.0.poll_end(cx, &Ending::Eof)).await?;
            let mut rest = [0; 1024];
            while self.0.read(&mut rest).await? > 0 {}
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
        &mut *self.tls.get_mut().0.0
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
        self.tls.get_ref().0.0.read_failed(error)
    }

    fn write_failed(&self, error: &io::Error) -> Ending {
        self.tls.get_ref().0.0.write_failed(error)
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
        self.tls.get_ref().0.0.queued()
    }

    fn is_local(&self) -> bool {
        self.tls.get_ref().0.0.is_local()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.tls).poll_read(cx, buf));
        Poll::Ready(match result {
            Ok(()) => {
                self.has_read = true;
                Ok(())
            }
            Err(error) => Err(self.late(error)),
        })
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
