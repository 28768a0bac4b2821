//! How a byte stream is cut into messages and put together again: the seam between bytes and messages.

mod chunks;
mod lines;

use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use clap::Args;
use tokio::io::AsyncWrite;

use crate::buffer::{Outbox, ReadBuffer};
use crate::ending::Ending;
use crate::message::{Batch, Fragment, Head, Kind};
use crate::peer::{ByteStream, Event, MessageStream};
use chunks::Chunks;
use lines::Lines;

/// Where a byte stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Wherever a read happened to end: boundaries mean nothing.
    Chunks,
    /// After each newline, which is not part of the message.
    Lines,
    /// After each NUL, which is not part of the message.
    Null,
}

/// How a byte stream is cut, and the kind of message that the pieces become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// Where it is cut.
    pub cut: Cut,
    /// The kind of each message.
    pub kind: Kind,
}

impl Framing {
    /// Bytes as they come, binary: TCP and Unix sockets.
    pub const BYTES: Framing = Framing {
        cut: Cut::Chunks,
        kind: Kind::Binary,
    };
    /// Lines of text: stdin and stdout.
    pub const LINES: Framing = Framing {
        cut: Cut::Lines,
        kind: Kind::Text,
    };
}

/// Options of every endpoint that speaks bytes.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
#[command(next_help_heading = "Messages")]
pub struct Options {
    /// Send lines of text as text messages
    ///
    /// This is what stdin and stdout do anyway; TCP and Unix sockets send bytes as binary messages without it.
    #[arg(long, short, conflicts_with = "binary")]
    pub text: bool,
    /// Send bytes as they come, as binary messages
    #[arg(long, short)]
    pub binary: bool,
    /// Cut bytes into messages: chunks, lines or null
    ///
    /// With chunks each read becomes a message. With lines each line does, without its newline. With null a NUL ends each
    /// message instead of a newline, so that a message may have newlines in it.
    #[arg(long, value_name = "HOW")]
    pub framing: Option<Cut>,
    /// End each message with NUL: --framing null
    #[arg(long, short = '0', conflicts_with = "framing")]
    pub null: bool,
}

impl Options {
    /// Puts what was asked for over an endpoint's own framing.
    pub fn over(&self, own: Framing) -> Framing {
        let framing = match (self.text, self.binary) {
            (true, _) => Framing::LINES,
            (_, true) => Framing::BYTES,
            _ => own,
        };
        let asked = if self.null {
            Some(Cut::Null)
        } else {
            self.framing
        };
        Framing {
            cut: asked.unwrap_or(framing.cut),
            ..framing
        }
    }
}

/// The names that `--framing` takes.
pub const CUTS: &[(&str, Cut)] = &[
    ("chunks", Cut::Chunks),
    ("lines", Cut::Lines),
    ("null", Cut::Null),
];

impl FromStr for Cut {
    type Err = String;

    fn from_str(name: &str) -> Result<Cut, String> {
        let found = CUTS.iter().find(|row| row.0 == name);
        found.map(|row| row.1).ok_or_else(|| {
            let names: Vec<_> = CUTS.iter().map(|row| row.0).collect();
            format!("no such framing; there is: {}", names.join(", "))
        })
    }
}

/// Cuts bytes into fragments, without doing I/O.
trait Splitter: Send {
    /// Takes the next fragment, batch or end out of `bytes`: [`Ending::NotText`] where text was wanted and the bytes are
    /// none. `full` says that no more will be read before some are taken.
    fn next(&mut self, bytes: &mut BytesMut, full: bool) -> Option<Event>;

    /// Takes what is left when the stream has come to its end; called until it has nothing more.
    ///
    /// # Errors
    /// [`Ending::NotText`] where text was wanted and the bytes are none.
    fn finish(&mut self, bytes: &mut BytesMut) -> Result<Option<Fragment>, Ending>;
}

/// A byte stream seen as messages.
pub struct Framed {
    io: Box<dyn ByteStream>,
    framing: Framing,
    splitter: Box<dyn Splitter>,
    read: ReadBuffer,
    outbox: Outbox,
    read_state: ReadState,
    write_end: Option<Ending>,
    unflushed: bool,
}

enum ReadState {
    Open,
    AtEnd,
    /// The transport failed; what was read before comes first.
    Failed(Ending),
    Ended(Ending),
}

impl Framed {
    /// Frames a byte stream.
    pub fn new(io: Box<dyn ByteStream>, framing: Framing) -> Framed {
        let splitter: Box<dyn Splitter> = match framing.cut {
            Cut::Chunks => Box::new(Chunks::new(framing.kind)),
            Cut::Lines => Box::new(Lines::new(framing.kind, b'\n')),
            Cut::Null => Box::new(Lines::new(framing.kind, b'\0')),
        };
        Framed {
            io,
            framing,
            splitter,
            read: ReadBuffer::default(),
            outbox: Outbox::default(),
            read_state: ReadState::Open,
            write_end: None,
            unflushed: false,
        }
    }

    fn take_event(&mut self) -> Option<Event> {
        match &self.read_state {
            ReadState::Open => {
                let full = self.read.is_full();
                self.splitter.next(self.read.bytes(), full)
            }
            ReadState::AtEnd => match self.splitter.finish(self.read.bytes()) {
                Ok(rest) => rest.map(Event::Fragment),
                Err(ending) => Some(Event::End(ending)),
            },
            ReadState::Failed(ending) => {
                // A line that was cut is no whole line.
                Some(match self.splitter.finish(self.read.bytes()) {
                    Ok(Some(rest)) => Event::Fragment(Fragment { fin: false, ..rest }),
                    Ok(None) | Err(_) => Event::End(ending.clone()),
                })
            }
            ReadState::Ended(ending) => Some(Event::End(ending.clone())),
        }
    }

    /// What is written behind a message.
    fn tail(&self, kind: Kind) -> &'static [u8] {
        // A binary message is written exactly as it is, unless lines of bytes were asked for.
        let is_line = kind == Kind::Text || self.framing.kind == Kind::Binary;
        match self.framing.cut {
            Cut::Lines if is_line => b"\n",
            Cut::Null if is_line => b"\0",
            _ => b"",
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        if let Some(ending) = &self.write_end {
            return Poll::Ready(Err(ending.clone()));
        }
        match ready!(self.outbox.poll_write(&mut self.io, cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(self.fail(&error))),
        }
    }

    fn fail(&mut self, error: &std::io::Error) -> Ending {
        let ending = self.io.write_failed(error);
        self.outbox = Outbox::default();
        self.write_end = Some(ending.clone());
        ending
    }
}

impl MessageStream for Framed {
    fn take(&mut self) -> Option<Event> {
        let event = self.take_event()?;
        if let Event::End(ending) = &event {
            self.read_state = ReadState::Ended(ending.clone());
        }
        Some(event)
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.read_state = match &self.read_state {
            ReadState::Open => match ready!(self.read.poll_fill(&mut self.io, cx)) {
                Ok(0) => ReadState::AtEnd,
                Ok(_) => ReadState::Open,
                Err(error) => ReadState::Failed(self.io.read_failed(&error)),
            },
            ReadState::AtEnd => ReadState::Ended(ready!(self.io.poll_ending(cx))),
            ReadState::Failed(_) | ReadState::Ended(_) => return Poll::Ready(()),
        };
        Poll::Ready(())
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        if self.outbox.is_full() || self.write_end.is_some() {
            return self.poll_drain(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(&mut self, fragment: Fragment) -> Result<(), Ending> {
        if let Some(ending) = &self.write_end {
            return Err(ending.clone());
        }
        self.unflushed = true;
        self.outbox.push(fragment.payload);
        if fragment.fin {
            self.outbox.copy(self.tail(fragment.kind));
        }
        Ok(())
    }

    fn start_send_batch(&mut self, batch: Batch) -> Result<(), Ending> {
        if let Some(ending) = &self.write_end {
            return Err(ending.clone());
        }
        self.unflushed = true;
        let tail = self.tail(batch.kind);
        let write = |room: &mut [u8]| batch.write(room, |_| Head::NONE, tail);
        self.outbox.put(Batch::ROOM, write);
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        if !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(cx))?;
        if let Err(error) = ready!(AsyncWrite::poll_flush(Pin::new(&mut self.io), cx)) {
            return Poll::Ready(Err(self.fail(&error)));
        }
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        ready!(self.poll_flush(cx))?;
        if let Err(error) = ready!(self.io.poll_end(cx, why)) {
            return Poll::Ready(Err(self.fail(&error)));
        }
        Poll::Ready(Ok(()))
    }

    fn unsent(&self) -> usize {
        self.outbox.len() + self.io.queued()
    }

    fn half_closes(&self) -> bool {
        true
    }

    fn is_local(&self) -> bool {
        self.io.is_local()
    }

    fn ignores_boundaries(&self) -> bool {
        self.framing.cut == Cut::Chunks
    }
}

#[cfg(test)]
mod tests;
