//! `literal:TEXT`: says one text, takes everything, and ends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{BoxFuture, Dial, Endpoint, Scheme};
use crate::caller::Caller;
use crate::ending::Ending;
use crate::framing::{self, Cut, Framing};
use crate::message::Kind;
use crate::peer::{ByteStream, Peer};

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
        };
        let options = super::read_options::<framing::Options>(&SCHEME, address, settings)?;
        Ok(Endpoint::Dial(Arc::new(Literal {
            text: address.place.clone(),
            framing: options.over(own),
        })))
    },
};

struct Literal {
    text: String,
    framing: Framing,
}

impl Dial for Literal {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Peer>> {
        let reader = Text(io::Cursor::new(self.text.clone()));
        Box::pin(async { Ok(Peer::Bytes(Box::new(reader), self.framing)) })
    }
}

struct Text(io::Cursor<String>);

impl ByteStream for Text {
    fn poll_end(&mut self, _cx: &mut Context<'_>, _why: &Ending) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Text {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Text {
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
