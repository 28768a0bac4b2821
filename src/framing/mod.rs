//! How a byte stream is cut into messages and put together again: the seam between bytes and messages.

mod chunks;
mod collect;
mod encoded;
mod json;
mod length;
mod lines;
mod lsp;
mod options;
mod piece;
mod requests;
mod time;

use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::AsyncWrite;

use crate::buffer::{Outbox, ReadBuffer};
use crate::ending::{Ending, Shortage};
use crate::memory::Memory;
use crate::message::{Batch, Fragment, Kind};
use crate::peer::{ByteStream, During, Event, Gap, MessageStream, Notice, Spent, Tally};
use collect::WholeLines;

pub use collect::{Added, Whole};
pub use options::{CUTS, ChunkOptions, Options};

/// Bytes of the messages that bytes without boundaries become, at most: what every server takes but a few, which have 8 KiB.
pub const CHUNK: usize = 32 * 1024;

/// Where a byte stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Wherever a read happened to end, and where a message would be too long: boundaries mean nothing.
    Chunks,
    /// After each separator, which is not part of the message.
    Lines(Separator),
    /// By the length that stands before each message.
    Length(Prefix),
    /// By the headers that stand before each message (Language Server Protocol).
    Lsp,
    /// After each newline; a line is a JSON object that says what the message is.
    Json,
}

impl Cut {
    /// Lines as they are known.
    pub const LINES: Cut = Cut::Lines(Separator::byte(b'\n'));
    /// Lines that a NUL ends.
    pub const NULL: Cut = Cut::Lines(Separator::byte(b'\0'));
}

/// What ends a line: 1 to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Separator {
    bytes: [u8; Separator::MOST],
    len: u8,
}

impl Separator {
    const MOST: usize = 16;

    const fn byte(byte: u8) -> Separator {
        let mut bytes = [0; Separator::MOST];
        bytes[0] = byte;
        Separator { bytes, len: 1 }
    }

    /// Whether its end may be its beginning: of `a\n\n\n` nobody can say whether the message is `a` or `a\n` where `\n\n` ends
    /// it.
    fn overlaps_itself(text: &[u8]) -> bool {
        (1..text.len()).any(|len| text.ends_with(&text[..len]))
    }

    /// Makes a separator of 1 to 16 bytes.
    pub fn new(text: &[u8]) -> Option<Separator> {
        let mut bytes = [0; Separator::MOST];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        let len = u8::try_from(text.len()).ok()?;
        (len > 0).then_some(Separator { bytes, len })
    }
}

impl AsRef<[u8]> for Separator {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// How a length is written before a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Its bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// Whether the lowest byte comes first.
    pub is_little: bool,
}

/// How binary messages are written as lines, and lines read as binary messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Plain,
    /// As base64 (RFC 4648 4).
    Base64,
    /// As hex digits.
    Hex,
}

/// How a byte stream is cut, and the kind of message that the pieces become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// Where it is cut.
    pub cut: Cut,
    /// The kind of each message that does not say it itself.
    pub kind: Kind,
    /// How binary messages stand in lines.
    pub encoding: Encoding,
    /// Whether the time is written before each line.
    pub is_stamped: bool,
    /// Whether requests of JSON-RPC are made of lines.
    pub makes_requests: bool,
    /// Whether a message that has the end of a line in it is refused where messages become lines.
    pub is_strict: bool,
    /// Whether all that is read is one message, in fragments; only where it is cut into [`Cut::Chunks`].
    pub is_one: bool,
    /// Bytes of a message that is made of [`Cut::Chunks`], at most, where that was asked for.
    pub chunk: Option<NonZeroU32>,
    /// Bytes of a message that must be whole to be framed, at most.
    pub limit: usize,
    /// Whether it was asked for, rather than the endpoint's own.
    pub is_asked: bool,
}

impl Framing {
    /// Bytes as they come, binary: TCP and Unix sockets.
    pub const BYTES: Framing = Framing {
        cut: Cut::Chunks,
        kind: Kind::Binary,
        encoding: Encoding::Plain,
        is_stamped: false,
        makes_requests: false,
        is_strict: false,
        is_one: false,
        chunk: None,
        limit: 16 << 20,
        is_asked: false,
    };
    /// Lines of text: stdin and stdout.
    pub const LINES: Framing = Framing {
        cut: Cut::LINES,
        kind: Kind::Text,
        ..Framing::BYTES
    };

    /// Returns a framing that makes one message, in fragments, of all that is read; lines and other messages with an end of their
    /// own stay as they are.
    #[must_use]
    pub fn whole(self) -> Framing {
        Framing {
            is_one: true,
            ..self
        }
    }

    /// What this and the framing of another byte side become when both are joined: bytes as they are, unless framings were
    /// asked for that differ. Then one becomes the other, and the kind of message in between is for them alone.
    pub fn joined_to(self, other: Framing) -> [Framing; 2] {
        let is_same = other
            == Framing {
                kind: other.kind,
                is_asked: other.is_asked,
                is_one: other.is_one,
                chunk: other.chunk,
                ..self
            };
        if is_same || !(self.is_asked || other.is_asked) {
            return [Framing::BYTES; 2];
        }
        let both = [self, other];
        if both.iter().any(|framing| framing.cut == Cut::Json) {
            return both;
        }
        let kind = match both.iter().any(|framing| framing.cut == Cut::Lsp) {
            true => Kind::Text,
            false => Kind::Binary,
        };
        both.map(|framing| Framing { kind, ..framing })
    }

    /// Whether an end of input can be told apart from the end of the session: an object of JSON tells both.
    pub fn can_half_close(self) -> bool {
        self.cut != Cut::Json
    }

    /// Whether messages are collected in one direction.
    fn collects(self) -> bool {
        match self.cut {
            Cut::Chunks => false,
            Cut::Lines(_) => self.makes_requests || self.encoding != Encoding::Plain,
            Cut::Length(_) | Cut::Lsp | Cut::Json => true,
        }
    }

    fn splitter(self, memory: &Memory) -> Box<dyn Splitter> {
        let is_encoded = self.encoding != Encoding::Plain && self.kind == Kind::Binary;
        match self.cut {
            Cut::Chunks => Box::new(chunks::Chunks::new(
                self.kind,
                self.is_one,
                self.chunk.map_or(CHUNK, |most| most.get() as usize),
            )),
            Cut::Lines(end) if self.makes_requests => Box::new(WholeLines::new(
                requests::Requests::default(),
                end,
                self.limit,
                memory,
            )),
            Cut::Lines(end) if is_encoded => {
                let encoding = self.encoding;
                Box::new(WholeLines::new(
                    encoded::Decoder { encoding },
                    end,
                    self.limit,
                    memory,
                ))
            }
            Cut::Lines(end) => Box::new(lines::Lines::new(self.kind, end)),
            Cut::Length(prefix) => Box::new(length::Lengths::new(self.kind, prefix)),
            Cut::Lsp => Box::new(lsp::Headed::new()),
            Cut::Json => Box::new(WholeLines::new(
                json::Objects,
                Separator::byte(b'\n'),
                self.limit,
                memory,
            )),
        }
    }

    fn joiner(self, memory: &Memory) -> Box<dyn Joiner> {
        match self.cut {
            Cut::Chunks => Box::new(chunks::Plain),
            Cut::Lines(end) => Box::new(lines::Ends::new(self, end, memory)),
            Cut::Length(prefix) => Box::new(length::Prefixes::new(self, prefix, memory)),
            Cut::Lsp => Box::new(lsp::Headers::new(self, memory)),
            Cut::Json => Box::new(json::Lines::new(self)),
        }
    }
}

/// Cuts bytes into fragments, without doing I/O.
trait Splitter: Send {
    /// Takes the next fragment, batch or end out of `bytes`: [`Ending::NotText`] where text was wanted and the bytes are
    /// none, [`Ending::Malformed`] where they do not follow the framing. `full` says that no more will be read before some
    /// are taken.
    fn next(&mut self, bytes: &mut BytesMut, full: bool) -> Option<Event>;

    /// Takes what is left when the stream has come to its end, the last line that nothing ends; called until it has nothing
    /// more. An end where the stream may not end here.
    fn finish(&mut self, bytes: &mut BytesMut) -> Option<Event>;

    /// Makes messages of at most `most` bytes; only bytes without boundaries of their own can be cut anywhere.
    fn cut_at(&mut self, _most: usize) {}

    /// Takes the next piece of a long message that was collected; `None` where there is none.
    fn piece(&mut self) -> Option<Event> {
        None
    }

    /// Returns why what was collected had to give way, once it had to; wakes the task when it has to.
    fn shortage(&self, _cx: &mut Context<'_>) -> Option<Shortage> {
        None
    }
}

/// Puts messages together to bytes, without doing I/O.
trait Joiner: Send {
    /// Adds a fragment to what is to be written.
    ///
    /// # Errors
    /// [`Ending::TooLong`], [`Ending::OutOfMemory`] and [`Ending::WrongKind`] for a message that cannot be framed.
    fn push(&mut self, fragment: Fragment, out: &mut Outbox) -> Result<(), Ending>;

    /// Adds a batch.
    ///
    /// # Errors
    /// Those of [`Joiner::push`].
    fn push_batch(&mut self, batch: Batch, out: &mut Outbox) -> Result<(), Ending> {
        batch
            .fragments()
            .try_for_each(|fragment| self.push(fragment, out))
    }

    /// Adds what tells a gap between two messages, where the framing has a way to.
    fn gap(&mut self, _gap: Gap, _out: &mut Outbox) {}

    /// Adds what tells the end, where the framing has a way to; called again without effect.
    fn finish(&mut self, _why: &Ending, _out: &mut Outbox) {}

    /// Adds a piece of a long message that was collected and is whole; whether there is more of it. Nothing else is added
    /// before its last piece.
    ///
    /// # Errors
    /// [`Ending::OutOfMemory`]: it had to give way.
    fn refill(&mut self, _out: &mut Outbox) -> Result<bool, Ending> {
        Ok(false)
    }

    /// Returns why what was collected had to give way, once it had to; wakes the task when it has to.
    fn shortage(&self, _cx: &mut Context<'_>) -> Option<Shortage> {
        None
    }
}

/// A byte stream seen as messages.
pub struct Framed {
    io: Box<dyn ByteStream>,
    framing: Framing,
    splitter: Box<dyn Splitter>,
    joiner: Box<dyn Joiner>,
    read: ReadBuffer,
    outbox: Outbox,
    read_state: ReadState,
    write_end: Option<Ending>,
    /// Whether it was sent a message that can not be framed. What was framed before goes out, and nothing more is taken.
    is_unframed: bool,
    /// Whether the pump was woken to take the end that follows from that.
    is_said: bool,
    /// Whether more of a long message is to be written that has been sent already.
    has_more: bool,
    /// Whether messages are collected here.
    collects: bool,
    unflushed: bool,
    is_local: bool,
    /// Bytes that were read in this turn.
    spent: u32,
}

enum ReadState {
    Open,
    AtEnd,
    /// The transport failed; what was read before comes first.
    Failed(Ending),
    Ended(Ending),
}

impl Framed {
    /// Frames a byte stream; what is collected is counted in `memory`.
    pub fn new(io: Box<dyn ByteStream>, framing: Framing, memory: &Memory) -> Framed {
        Framed {
            io,
            framing,
            splitter: framing.splitter(memory),
            joiner: framing.joiner(memory),
            read: ReadBuffer::default(),
            outbox: Outbox::default(),
            read_state: ReadState::Open,
            write_end: None,
            is_unframed: false,
            is_said: false,
            has_more: false,
            collects: framing.collects(),
            unflushed: false,
            is_local: false,
            spent: 0,
        }
    }

    /// Notes whether the byte stream is the process's own input and output.
    #[must_use]
    pub fn local(self, is_local: bool) -> Framed {
        Framed { is_local, ..self }
    }

    fn take_event(&mut self) -> Option<Event> {
        if self.collects
            && !matches!(self.read_state, ReadState::Ended(_))
            && let Some(piece) = self.splitter.piece()
        {
            return Some(piece);
        }
        match &self.read_state {
            ReadState::Open => {
                let full = self.read.is_full();
                self.splitter.next(self.read.bytes(), full)
            }
            ReadState::AtEnd => self.splitter.finish(self.read.bytes()),
            ReadState::Failed(ending) => Some(match self.splitter.finish(self.read.bytes()) {
                // A line that was cut is no whole line.
                Some(Event::Fragment(rest)) => Event::Fragment(Fragment { fin: false, ..rest }),
                Some(Event::Batch(batch)) => Event::Batch(batch),
                Some(Event::Gap(_) | Event::End(_)) | None => Event::End(ending.clone()),
            }),
            ReadState::Ended(ending) => Some(Event::End(ending.clone())),
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        if let Some(ending) = &self.write_end {
            return Poll::Ready(Err(ending.clone()));
        }
        loop {
            if let Err(error) = ready!(self.outbox.poll_write(&mut self.io, cx)) {
                return Poll::Ready(Err(self.fail(&error)));
            }
            if !self.has_more {
                return Poll::Ready(Ok(()));
            }
            if let Err(ending) = self.refill() {
                return Poll::Ready(Err(ending));
            }
        }
    }

    /// Adds more of a long message to what is to be written.
    fn refill(&mut self) -> Result<(), Ending> {
        match self.joiner.refill(&mut self.outbox) {
            Ok(has_more) => {
                self.has_more = has_more;
                Ok(())
            }
            Err(ending) => {
                self.give_way(ending.clone());
                Err(ending)
            }
        }
    }

    /// Ends both directions where what was collected had to give way. A message of which some was written is cut.
    fn give_way(&mut self, ending: Ending) {
        if std::mem::take(&mut self.has_more) {
            self.outbox = Outbox::default();
            self.write_end = Some(ending.clone());
        }
        self.is_unframed = true;
        if matches!(self.read_state, ReadState::Open | ReadState::AtEnd) {
            self.read_state = ReadState::Failed(ending);
        }
    }

    /// Looks whether what was collected had to give way, which another session may have asked for.
    fn look_for_shortage(&mut self, cx: &mut Context<'_>) {
        if !self.collects || self.is_unframed {
            return;
        }
        if let Some(shortage) = self.splitter.shortage(cx) {
            let ending = Ending::OutOfMemory(shortage);
            self.is_unframed = true;
            self.read_state = ReadState::Ended(ending);
        } else if let Some(shortage) = self.joiner.shortage(cx) {
            self.give_way(Ending::OutOfMemory(shortage));
        }
    }

    /// The end where what was collected had to give way.
    fn out_of_memory(&self) -> Option<Ending> {
        match &self.read_state {
            ReadState::Failed(ending @ Ending::OutOfMemory(_))
            | ReadState::Ended(ending @ Ending::OutOfMemory(_)) => Some(ending.clone()),
            _ => None,
        }
    }

    /// Notes whether a message could be framed. Where not, that is what the other direction ends with, after what was read
    /// before.
    fn note_pushed(&mut self, pushed: Result<(), Ending>) -> Result<(), Ending> {
        if let Err(ending) = &pushed {
            self.is_unframed = true;
            if matches!(self.read_state, ReadState::Open | ReadState::AtEnd) {
                self.read_state = ReadState::Failed(ending.clone());
            }
        } else if self.collects {
            return self.refill();
        }
        pushed
    }

    fn fail(&mut self, error: &std::io::Error) -> Ending {
        let ending = self.io.failed(During::Write, error);
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
        self.look_for_shortage(cx);
        if self.spent >= Spent::TURN.bytes {
            return self.spent().poll_turn(cx);
        }
        self.read_state = match &self.read_state {
            ReadState::Open => match ready!(self.read.poll_fill(&mut self.io, cx)) {
                Ok(0) => ReadState::AtEnd,
                Ok(count) => {
                    self.spent = Spent::add(self.spent, count);
                    ReadState::Open
                }
                Err(error) => ReadState::Failed(self.io.failed(During::Read, &error)),
            },
            ReadState::AtEnd => ReadState::Ended(ready!(self.io.poll_ending(cx))),
            ReadState::Failed(_) | ReadState::Ended(_) => return Poll::Ready(()),
        };
        Poll::Ready(())
    }

    fn spent(&mut self) -> Spent {
        Spent {
            bytes: std::mem::take(&mut self.spent),
            frames: 0,
        }
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.look_for_shortage(cx);
        self.out_of_memory().map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        match &self.read_state {
            // Only a socket can have half-closed.
            ReadState::Ended(ending) if self.io.descriptor().is_none() && !self.is_local => {
                Poll::Ready(ending.clone())
            }
            _ => self.io.poll_gone(cx),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.look_for_shortage(cx);
        if self.outbox.is_full() || self.has_more || self.write_end.is_some() {
            return self.poll_drain(cx);
        }
        if self.is_unframed {
            if let Some(ending) = self.out_of_memory() {
                return Poll::Ready(Err(ending));
            }
            // Our end is there to be taken, which is said once: the other side may have no room for it.
            if !std::mem::replace(&mut self.is_said, true) {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(&mut self, event: Event) -> Result<(), Ending> {
        if let Some(ending) = &self.write_end {
            return Err(ending.clone());
        }
        self.unflushed = true;
        let pushed = match event {
            Event::Fragment(fragment) => self.joiner.push(fragment, &mut self.outbox),
            Event::Batch(batch) => self.joiner.push_batch(batch, &mut self.outbox),
            Event::Gap(gap) => {
                self.joiner.gap(gap, &mut self.outbox);
                return Ok(());
            }
            Event::End(_) => return Ok(()),
        };
        self.note_pushed(pushed)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.look_for_shortage(cx);
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
        if self.write_end.is_none() {
            self.joiner.finish(why, &mut self.outbox);
            self.unflushed = true;
        }
        ready!(self.poll_flush(cx))?;
        if let Err(error) = ready!(self.io.poll_end(cx, why)) {
            return Poll::Ready(Err(self.fail(&error)));
        }
        Poll::Ready(Ok(()))
    }

    fn unsent(&self) -> usize {
        self.outbox.len() + self.io.queued()
    }

    fn is_closed(&self) -> bool {
        self.io.is_closed()
    }

    fn tally(&self) -> Tally {
        Tally {
            half_closes: true,
            can_go: self.io.descriptor().is_some() && !self.is_local,
            ..Tally::default()
        }
    }

    fn notify(&mut self, notice: Notice) {
        match notice {
            Notice::CutAt(most) if self.framing.chunk.is_none() => self.splitter.cut_at(most),
            _ => {}
        }
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.io.poll_reset(cx)
    }
}

#[cfg(test)]
mod tests;
