//! `literal:TEXT` and `literal-base64:DATA`: says one message, takes everything, and ends.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{BoxFuture, Dial, Endpoint, Facts, Scheme, read_framing};
use crate::caller::Caller;
use crate::ending::Ending;
use crate::framing::{self, Cut, Framing};
use crate::message::Kind;
use crate::peer::{ByteStream, During, Opened, StreamFacts};

/// `literal:`
pub const SCHEME: Scheme = Scheme {
    names: &["literal"],
    syntax: "literal:TEXT",
    summary: "Say TEXT, as one text message, and end; all of TEXT is taken as it is",
    example: "wsbridge ws-l:8080 literal:hello",
    is_raw: true,
    options: &[<framing::Options as clap::Args>::augment_args],
    build: |address, settings| {
        let own = Framing {
            cut: Cut::Chunks,
            kind: Kind::Text,
            ..Framing::BYTES
        };
        Ok(literal(
            address.place.as_bytes().to_vec(),
            read_framing(&SCHEME, address, settings, own)?,
        ))
    },
};

/// `literal-base64:`
pub const BASE64: Scheme = Scheme {
    names: &["literal-base64"],
    syntax: "literal-base64:DATA",
    summary: "Say the bytes that DATA is the base64 of, as one binary message, and end",
    example: "wsbridge ws-l:8080 literal-base64:AP/+",
    is_raw: true,
    options: &[<framing::Options as clap::Args>::augment_args],
    build: |address, settings| {
        let bytes = data_encoding::BASE64.decode(address.place.as_bytes());
        let bytes = bytes.map_err(|error| {
            let at = address.place_at + error.position;
            let end = address.text.len().min(at + 1);
            address.error(at..end, "this is no base64 (RFC 4648 4)")
        })?;
        Ok(literal(
            bytes,
            read_framing(&BASE64, address, settings, Framing::BYTES)?,
        ))
    },
};

fn literal(bytes: Vec<u8>, framing: Framing) -> Endpoint {
    let facts = Facts {
        framing: Some(framing),
        ..Facts::default()
    };
    Endpoint::dial(Literal { bytes, framing }, facts)
}

struct Literal {
    bytes: Vec<u8>,
    framing: Framing,
}

impl Dial for Literal {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        let reader = Bytes(io::Cursor::new(self.bytes.clone()));
        let facts = StreamFacts {
            is_whole: true,
            ..StreamFacts::of_bytes(self.framing)
        };
        Box::pin(async { Ok(Opened::bytes(Box::new(reader), facts)) })
    }
}

struct Bytes(io::Cursor<Vec<u8>>);

impl ByteStream for Bytes {
    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Ready(Ending::Eof)
    }

    fn failed(&self, _during: During, error: &io::Error) -> Ending {
        Ending::of_error(error)
    }

    fn poll_end(&mut self, _cx: &mut Context<'_>, _why: &Ending) -> Poll<io::Result<()>> {
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

impl AsyncRead for Bytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Bytes {
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
