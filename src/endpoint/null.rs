//! `null:`: takes everything, says nothing, and ends when the other side does.

use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{BoxFuture, Dial, Endpoint, Facts, Scheme};
use crate::caller::Caller;
use crate::ending::Ending;
use crate::framing::Framing;
use crate::peer::{ByteStream, During, Opened, StreamFacts};

/// `null:`
pub const SCHEME: Scheme = Scheme {
    names: &["null", "discard"],
    syntax: "null:",
    summary: "Take everything and say nothing, until the other side ends",
    example: "wsbridge ws-l:8080 null:",
    is_raw: false,
    options: &[],
    build: |address, settings| {
        address.expect_no_place()?;
        super::read_options::<super::NoOptions>(&SCHEME, address, settings)?;
        Ok(Endpoint::dial(Null, Facts::default()))
    },
};

struct Null;

impl Dial for Null {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        let facts = StreamFacts::of_bytes(Framing::BYTES);
        Box::pin(async { Ok(Opened::bytes(Box::new(Sink::default()), facts)) })
    }
}

#[derive(Default)]
struct Sink {
    is_ended: bool,
    reader: Option<Waker>,
}

impl ByteStream for Sink {
    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Ready(Ending::Eof)
    }

    fn failed(&self, _during: During, error: &io::Error) -> Ending {
        Ending::of_error(error)
    }

    fn poll_end(&mut self, _cx: &mut Context<'_>, _why: &Ending) -> Poll<io::Result<()>> {
        self.is_ended = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(()))
    }

    fn queued(&self) -> usize {
        0
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn is_closed(&self) -> bool {
        false
    }
}

impl AsyncRead for Sink {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_ended {
            return Poll::Ready(Ok(()));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
