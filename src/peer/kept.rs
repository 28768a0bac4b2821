//! A stream of bytes whose first bytes are kept, for messages about what came instead of what was expected.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ByteStream;

/// Bytes that are kept: an answer of HTTP may have interim answers before it.
const KEPT: usize = 1024;

/// Passes bytes on and keeps the first of those that are read.
pub struct Kept {
    io: Box<dyn ByteStream>,
    first: Vec<u8>,
}

impl Kept {
    /// Reads and writes a stream.
    pub fn new(io: Box<dyn ByteStream>) -> Kept {
        Kept {
            io,
            first: Vec::new(),
        }
    }

    /// The first bytes that were read, up to 1 KiB.
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// The stream itself.
    pub fn into_inner(self) -> Box<dyn ByteStream> {
        self.io
    }
}

impl AsyncRead for Kept {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        let read = &buf.filled()[before..];
        let room = KEPT - self.first.len();
        self.first.extend_from_slice(&read[..read.len().min(room)]);
        polled
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
