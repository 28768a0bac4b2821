//! An answer that is read a second time, from its first byte, by another reader.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ByteStream, behind};

/// Bytes that are kept: an answer of HTTP may have interim answers before it.
const KEPT: usize = 1024;

/// A stream on which a request was sent and part of the answer was read, for a client that does both itself. The client writes
/// its request, which is discarded, and reads the answer from its first byte. The first bytes are kept for error messages.
pub struct Kept {
    io: Box<dyn ByteStream>,
    /// Bytes that are read again before the stream is.
    again: Bytes,
    first: Vec<u8>,
    /// Whether the client has written its request; it can read nothing before.
    is_asked: bool,
    /// The task that waits to read.
    reader: Option<Waker>,
}

impl Kept {
    /// Reads `again` first, then the stream. Discards what is written.
    pub fn new(again: Bytes, io: Box<dyn ByteStream>) -> Kept {
        Kept {
            io,
            again,
            first: Vec::new(),
            is_asked: false,
            reader: None,
        }
    }

    /// The first bytes that were read, up to 1 KiB.
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// Returns the stream, with the bytes of `again` that were not read.
    pub fn into_inner(self) -> Box<dyn ByteStream> {
        behind(self.again, self.io)
    }
}

impl AsyncRead for Kept {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_asked {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = match self.again.is_empty() {
            true => Pin::new(&mut self.io).poll_read(cx, buf),
            false => {
                let count = self.again.len().min(buf.remaining());
                buf.put_slice(&self.again[..count]);
                self.again.advance(count);
                Poll::Ready(Ok(()))
            }
        };
        let read = &buf.filled()[before..];
        let room = KEPT - self.first.len();
        self.first.extend_from_slice(&read[..read.len().min(room)]);
        polled
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_asked = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
