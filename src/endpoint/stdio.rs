//! `-`: the process's own standard input and output.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::descriptor::{Input, Output};
use super::send::{self, Messages};
use super::{BoxFuture, Dial, Endpoint, Scheme, read_framing, read_options};
use crate::caller::Caller;
use crate::ending::{Cause, Ending, errno_text};
use crate::framing::{self, Framed, Framing};
use crate::peer::{ByteStream, Peer};

/// `-`
pub const SCHEME: Scheme = Scheme {
    names: &["-", "stdio", "inetd"],
    syntax: "- | stdio:",
    summary: "Use standard input and output, as lines of text",
    example: "wsbridge - ws://localhost:8080",
    is_raw: false,
    options: &[framing::Options::augment_args, send::Options::augment_args],
    build: |address, settings| {
        address.expect_no_place()?;
        let framing = read_framing(&SCHEME, address, settings, Framing::LINES)?;
        let send = read_options::<send::Options>(&SCHEME, address, settings)?;
        Ok(Endpoint::Dial(Arc::new(Stdio {
            framing,
            messages: Messages::read(&send, framing.kind)?,
            state: Arc::default(),
        })))
    },
};

struct Stdio {
    framing: Framing,
    /// What is said instead of stdin.
    messages: Option<Messages>,
    state: Arc<State>,
}

/// There is one standard input: one session has it at a time, and its end is for ever.
#[derive(Default)]
struct State {
    is_in_use: AtomicBool,
    has_ended: AtomicBool,
}

impl Dial for Stdio {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Peer>> {
        Box::pin(async {
            if self.state.is_in_use.swap(true, Ordering::AcqRel) {
                return Err(
                    anyhow::Error::new(Cause::Busy).context("stdio is in use by another session")
                );
            }
            let mut streams = Streams {
                state: self.state.clone(),
                input: None,
                output: None,
            };
            if self.messages.is_none() {
                let input = Input::inherited(rustix::stdio::stdin());
                streams.input = Some(input.context("opening stdin")?);
            }
            let output = Output::inherited(rustix::stdio::stdout());
            streams.output = Some(output.context("opening stdout")?);
            Ok(match &self.messages {
                Some(messages) => {
                    let printed = Framed::new(Box::new(streams), self.framing);
                    Peer::Messages(messages.before(Box::new(printed)))
                }
                None => Peer::Bytes(Box::new(streams), self.framing),
            })
        })
    }

    fn is_spent(&self) -> bool {
        // Messages of the command line can be sent to any number of callers.
        self.messages.is_none() && self.state.has_ended.load(Ordering::Acquire)
    }
}

struct Streams {
    state: Arc<State>,
    input: Option<Input>,
    output: Option<Output>,
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.state.is_in_use.store(false, Ordering::Release);
    }
}

impl ByteStream for Streams {
    fn read_failed(&self, error: &io::Error) -> Ending {
        Ending::ReadFailed(errno_text(error))
    }

    fn write_failed(&self, error: &io::Error) -> Ending {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Ending::ReaderGone,
            _ => Ending::WriteFailed(errno_text(error)),
        }
    }

    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        self.state.has_ended.store(true, Ordering::Release);
        Poll::Ready(Ending::Eof)
    }

    fn poll_end(&mut self, _cx: &mut Context<'_>, _why: &Ending) -> Poll<io::Result<()>> {
        // Our exit closes it; until then others may hold it too.
        Poll::Ready(Ok(()))
    }

    fn is_local(&self) -> bool {
        true
    }
}

impl AsyncRead for Streams {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Streams {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.output {
            Some(output) => Pin::new(output).poll_write_vectored(cx, bufs),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.output {
            Some(output) => Pin::new(output).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
