//! A byte stream of which some bytes have been read already.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ByteStream;
use crate::ending::Ending;

/// Puts bytes that were read of a stream before it again.
pub fn behind(early: Bytes, io: Box<dyn ByteStream>) -> Box<dyn ByteStream> {
    match early.is_empty() {
        true => io,
        false => Box::new(Early { early, io }),
    }
}

struct Early {
    early: Bytes,
    io: Box<dyn ByteStream>,
}

impl ByteStream for Early {
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.io.poll_ending(cx)
    }

    fn read_failed(&self, error: &io::Error) -> Ending {
        self.io.read_failed(error)
    }

    fn write_failed(&self, error: &io::Error) -> Ending {
        self.io.write_failed(error)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<io::Result<()>> {
        self.io.poll_end(cx, why)
    }

    fn queued(&self) -> usize {
        self.io.queued()
    }

    fn is_local(&self) -> bool {
        self.io.is_local()
    }

    fn has_no_end(&self) -> bool {
        self.io.has_no_end()
    }

    fn can_half_close(&self) -> bool {
        self.io.can_half_close()
    }

    fn is_closed(&self) -> bool {
        self.io.is_closed()
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.io.poll_reset(cx)
    }
}

impl AsyncRead for Early {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let count = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early[..count]);
        self.early.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Early {
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
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
