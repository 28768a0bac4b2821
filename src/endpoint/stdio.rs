//! `-`: the process's own standard input and output.

mod screen;

use std::io::{self, IsTerminal};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::screen::Screen;
#[cfg(feature = "interactive")]
use super::Settings;
use super::descriptor::{self, Input, Output, ReaderWatch};
#[cfg(feature = "interactive")]
use super::prompt;
use super::send::{self, Messages};
use super::{BoxFuture, Dial, Endpoint, Facts, Scheme, read_framing, read_options};
#[cfg(feature = "interactive")]
use crate::address::Address;
use crate::caller::Caller;
use crate::ending::{Cause, Ending, errno_text};
use crate::framing::{self, Cut, Framing};
use crate::memory::Memory;
use crate::peer::{ByteStream, During, Opened, StreamFacts};

/// `-`
pub const SCHEME: Scheme = Scheme {
    names: &["-", "stdio", "inetd"],
    syntax: "- | stdio:",
    summary: "Use standard input and output, as lines of text",
    example: "wsbridge - ws://localhost:8080",
    is_raw: false,
    options: &[
        framing::Options::augment_args,
        send::Options::augment_args,
        Options::augment_args,
    ],
    build: |address, settings| {
        address.expect_no_place()?;
        let framing = read_framing(&SCHEME, address, settings, Framing::LINES)?;
        let send = read_options::<send::Options>(&SCHEME, address, settings)?;
        let messages = Messages::read(&send, framing.kind)?;
        let state = Arc::<State>::default();
        let facts = Facts {
            framing: Some(framing),
            can_half_close: framing.can_half_close(),
            remote: descriptor::remote(rustix::stdio::stdin()),
            spent: match messages {
                // Messages of the command line can be sent to any number of callers.
                Some(_) => Arc::default(),
                None => state.has_ended.clone(),
            },
            ..Facts::default()
        };
        let dial = Stdio {
            framing,
            memory: settings.memory.clone(),
            #[cfg(feature = "interactive")]
            prompt: wanted(address, settings, framing)?.filter(|_| messages.is_none()),
            messages,
            state,
        };
        Ok(Endpoint::dial(dial, facts))
    },
};

/// Options of standard input and output at a terminal.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
#[command(next_help_heading = "At a terminal")]
pub struct Options {
    /// Read plain lines from a terminal, without a prompt
    ///
    /// Where stdin and stdout are both terminals there is a prompt with editing and history. -b, --framing, --send, -u, -U and
    /// TERM=dumb leave it out too. /help at the prompt shows its commands; ctrl-C clears the line, and on an empty one ends with
    /// status 130; ctrl-D on an empty line is the end of input.
    #[arg(long)]
    pub no_interactive: bool,
    /// Keep no history of what is typed at the prompt
    ///
    /// It is kept in wsbridge/history in $XDG_STATE_HOME or ~/.local/state, readable by nobody else; never lines that begin
    /// with a blank, and none over 4096 bytes.
    #[arg(long)]
    pub no_history: bool,
}

/// The prompt that is to be opened, if there is to be one.
#[cfg(feature = "interactive")]
fn wanted(
    address: &Address,
    settings: &Settings,
    framing: Framing,
) -> Result<Option<prompt::Wanted>> {
    let options = read_options::<Options>(&SCHEME, address, settings)?;
    let wanted = prompt::Wanted {
        opposite: settings.opposite.clone(),
        keeps_history: !options.no_history,
        framing,
        variables: settings.variables.clone(),
    };
    Ok(Some(wanted).filter(|it| !options.no_interactive && it.is_possible()))
}

struct Stdio {
    framing: Framing,
    memory: Memory,
    #[cfg(feature = "interactive")]
    prompt: Option<prompt::Wanted>,
    /// What is said instead of stdin.
    messages: Option<Messages>,
    state: Arc<State>,
}

/// There is one standard input: one session has it at a time, and its end is for ever.
#[derive(Default)]
struct State {
    is_in_use: AtomicBool,
    has_ended: Arc<AtomicBool>,
}

impl Dial for Stdio {
    fn dial<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async move {
            if self.state.is_in_use.swap(true, Ordering::AcqRel) {
                return Err(
                    anyhow::Error::new(Cause::Busy).context("stdio is in use by another session")
                );
            }
            #[cfg(feature = "interactive")]
            if let Some(wanted) = &self.prompt {
                let (ending, leaving) = (self.state.clone(), self.state.clone());
                let end = move || ending.has_ended.store(true, Ordering::Release);
                let gone = move || leaving.is_in_use.store(false, Ordering::Release);
                return wanted.open(caller, end, gone);
            }
            #[cfg(not(feature = "interactive"))]
            let _ = caller;
            let mut streams = Streams {
                state: self.state.clone(),
                input: None,
                output: None,
                reader: None,
                screen: self.shows().then(Box::default),
            };
            if self.messages.is_none() {
                let input = Input::inherited(rustix::stdio::stdin());
                streams.input = Some(input.context("opening stdin")?);
            }
            let output = Output::inherited(rustix::stdio::stdout());
            let output = output.context("opening stdout")?;
            // Where it cannot be watched the next write shows it.
            streams.reader = ReaderWatch::of(&output).ok().flatten();
            streams.output = Some(output);
            let facts = StreamFacts {
                is_local: true,
                is_whole: true,
                ..StreamFacts::of_bytes(self.framing)
            };
            let opened = Opened::bytes(Box::new(streams), facts);
            Ok(match &self.messages {
                Some(messages) => messages.before(opened.into_messages(&self.memory)).into(),
                None => opened,
            })
        })
    }
}

impl Stdio {
    /// Whether what comes is shown on a terminal, rather than passed on as it is: bytes that were asked for (`-b`) are.
    fn shows(&self) -> bool {
        let are_bytes = self.framing.is_asked && self.framing.cut == Cut::Chunks;
        !are_bytes && io::stdout().is_terminal()
    }
}

struct Streams {
    state: Arc<State>,
    input: Option<Input>,
    output: Option<Output>,
    /// Who reads stdout, until that has gone.
    reader: Option<ReaderWatch>,
    /// What is on its way to a terminal.
    screen: Option<Box<Screen>>,
}

impl Streams {
    fn poll_output(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.output {
            Some(output) => Pin::new(output).poll_write_vectored(cx, bufs),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Writes what is on its way to a terminal.
    fn poll_screen(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(mut screen) = self.screen.take() else {
            return Poll::Ready(Ok(()));
        };
        let written = loop {
            if screen.pending().is_empty() {
                break Poll::Ready(Ok(()));
            }
            match self.poll_output(cx, &[io::IoSlice::new(screen.pending())]) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => screen.advance(count),
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.screen = Some(screen);
        written
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.state.is_in_use.store(false, Ordering::Release);
    }
}

impl ByteStream for Streams {
    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        self.state.has_ended.store(true, Ordering::Release);
        Poll::Ready(Ending::Eof)
    }

    fn failed(&self, during: During, error: &io::Error) -> Ending {
        match during {
            During::Read => Ending::ReadFailed(errno_text(error)),
            During::Write if error.kind() == io::ErrorKind::BrokenPipe => Ending::ReaderGone,
            During::Write => Ending::WriteFailed(errno_text(error)),
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, _why: &Ending) -> Poll<io::Result<()>> {
        if let Some(screen) = &mut self.screen {
            screen.finish();
        }
        // Our exit closes it; until then others may hold it too.
        self.poll_screen(cx)
    }

    fn queued(&self) -> usize {
        0
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().map(|_| rustix::stdio::stdout())
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if let Some(reader) = &mut self.reader {
            ready!(reader.poll_gone(cx));
            self.reader = None;
            return Poll::Ready(Ending::ReaderGone);
        }
        Poll::Pending
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn is_closed(&self) -> bool {
        false
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
        ready!(self.poll_screen(cx))?;
        match &mut self.screen {
            Some(screen) => {
                let first = bufs.iter().find(|buf| !buf.is_empty());
                Poll::Ready(Ok(first.map_or(0, |first| screen.take(first))))
            }
            None => self.poll_output(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_screen(cx))?;
        match &mut self.output {
            Some(output) => Pin::new(output).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
