//! Messages and lines that must be whole, collected as they come and bounded.

use std::task::Context;

use bytes::{Buf, BytesMut};
use tracing::warn;

use super::lines::Search;
use super::{Separator, Splitter};
use crate::buffer::{LARGE, Outbox};
use crate::ending::{Close, Ending, Shortage};
use crate::log::REFUSALS;
use crate::memory::{Collected, Memory};
use crate::message::{Fragment, Kind};
use crate::peer::Event;

/// Collects the fragments of a message, growing with what comes.
pub struct Whole {
    begun: Collected,
    limit: usize,
    /// Whether `--max-message` is that limit.
    is_set: bool,
    /// Whether the message is whole and waits to be passed on in pieces.
    is_waiting: bool,
}

/// A message that is whole.
pub enum Added {
    /// It came in one fragment.
    AtOnce(BytesMut),
    /// It was collected, so many bytes, and is to be taken in pieces.
    Collected(usize),
}

impl Whole {
    /// Makes an empty one for messages of at most `limit` bytes, by `--max-message`.
    pub fn new(limit: usize, memory: &Memory) -> Whole {
        Whole {
            begun: Collected::new(memory),
            limit,
            is_set: true,
            is_waiting: false,
        }
    }

    /// Makes an empty one for messages of at most `limit` bytes, which no option changes.
    pub fn fixed(limit: usize, memory: &Memory) -> Whole {
        Whole {
            is_set: false,
            ..Whole::new(limit, memory)
        }
    }

    /// The most bytes of a message.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns the end of a side that was sent a message over the limit.
    pub fn too_long(&self) -> Ending {
        Ending::TooLong {
            limit: self.limit,
            is_set: self.is_set,
        }
    }

    /// Adds a fragment; returns the payload of the message once it is whole.
    ///
    /// # Errors
    /// [`Ending::TooLong`] as soon as it is over the limit, [`Ending::OutOfMemory`] where it cannot be collected.
    pub fn add(&mut self, fragment: Fragment) -> Result<Option<BytesMut>, Ending> {
        match self.collect(fragment)? {
            None => Ok(None),
            Some(Added::AtOnce(payload)) => Ok(Some(payload)),
            Some(Added::Collected(_)) => self.take_all().map(Some),
        }
    }

    /// Adds a fragment. What was collected is then taken by [`Whole::take_piece`].
    ///
    /// # Errors
    /// Those of [`Whole::add`].
    pub fn collect(&mut self, fragment: Fragment) -> Result<Option<Added>, Ending> {
        let len = self.begun.len() + fragment.payload.len();
        if len > self.limit {
            self.begun.clear();
            return Err(self.too_long());
        }
        if fragment.fin && self.begun.is_empty() {
            return Ok(Some(Added::AtOnce(fragment.payload)));
        }
        let pushed = self.begun.push(&fragment.payload);
        pushed.map_err(Ending::OutOfMemory)?;
        if fragment.fin {
            self.begun.end();
            self.is_waiting = true;
        }
        Ok(fragment.fin.then_some(Added::Collected(len)))
    }

    /// Takes all of a message that waits.
    ///
    /// # Errors
    /// [`Ending::OutOfMemory`]: it had to give way.
    pub fn take_all(&mut self) -> Result<BytesMut, Ending> {
        self.is_waiting = false;
        self.begun.take().map_err(Ending::OutOfMemory)
    }

    /// Takes a piece of a message that waits, with whether it is the last; `None` where none waits.
    ///
    /// # Errors
    /// [`Ending::OutOfMemory`]: it had to give way.
    pub fn take_piece(&mut self) -> Result<Option<(BytesMut, bool)>, Ending> {
        if !self.is_waiting {
            return Ok(None);
        }
        let (piece, is_last) = self.begun.take_piece().map_err(Ending::OutOfMemory)?;
        self.is_waiting = !is_last;
        Ok(Some((piece, is_last)))
    }

    /// Adds a piece of a message that waits to what is to be written; whether there is more of it.
    ///
    /// # Errors
    /// Those of [`Whole::take_piece`].
    pub(super) fn refill(&mut self, out: &mut Outbox) -> Result<bool, Ending> {
        if let Some((piece, _)) = self.take_piece()? {
            out.push(piece);
        }
        Ok(self.is_waiting)
    }

    /// Returns why the message had to give way, once it had to; wakes the task when it has to.
    pub fn shortage(&self, cx: &mut Context<'_>) -> Option<Shortage> {
        self.begun.shortage(cx)
    }

    /// Drops a message that waits, or had to give way.
    pub fn drop_waiting(&mut self) {
        self.is_waiting = false;
        self.begun.clear();
    }

    /// Drops the part that came of a message whose rest never comes, and logs how long it is; called at the end.
    pub fn leave_out(&mut self) {
        if !self.is_waiting {
            leave_out(self.begun.len());
            self.begun.clear();
        }
    }
}

/// Logs that `received` bytes of a message that was cut are not passed on; silent where there are none.
pub(super) fn leave_out(received: usize) {
    if received > 0 && REFUSALS.admits() {
        let end = if received == 1 { "" } else { "s" };
        warn!("a message was cut: the {received} byte{end} that came of it are left out");
    }
}

/// Makes something of one line at a time.
pub(super) trait Reader: Send {
    /// How many bytes it needs beside a line for each byte of it.
    const BESIDE: usize = 2;

    /// Reads a line that begins at byte `offset` of the stream; `None` where it says nothing. A fragment that is not the last
    /// of its message is all of a message that was cut.
    ///
    /// # Errors
    /// [`Ending::Malformed`], or any end that the line tells.
    fn read(&mut self, line: &[u8], offset: u64) -> Result<Option<Fragment>, Ending>;
}

/// Cuts whole lines and has them read.
pub(super) struct WholeLines<R> {
    reader: R,
    search: Search,
    memory: Memory,
    begun: Collected,
    limit: usize,
    /// Bytes of the stream taken so far, and where the line that is collected began.
    offset: u64,
    began: u64,
    /// Bytes of a message that was cut: the end is next.
    cut: Option<u64>,
    /// A long message that is yielded in pieces.
    long: Option<Box<Long>>,
}

struct Long {
    kind: Kind,
    fin: bool,
    rest: Collected,
}

impl<R: Reader> WholeLines<R> {
    pub(super) fn new(reader: R, end: Separator, limit: usize, memory: &Memory) -> WholeLines<R> {
        WholeLines {
            reader,
            search: Search::new(end),
            memory: memory.clone(),
            begun: Collected::new(memory),
            limit,
            offset: 0,
            began: 0,
            cut: None,
            long: None,
        }
    }

    fn too_long(&self) -> Ending {
        Ending::TooLong {
            limit: self.limit,
            is_set: true,
        }
    }

    /// Reads the line that is made whole by the first `len` bytes, behind which `end` bytes belong to no line.
    fn read(
        &mut self,
        bytes: &mut BytesMut,
        len: usize,
        end: usize,
    ) -> Result<Option<Fragment>, Ending> {
        if self.begun.len() + len > self.limit {
            return Err(self.too_long());
        }
        let rest = bytes.split_to(len);
        bytes.advance(end);
        self.offset += (len + end) as u64;
        let began = std::mem::replace(&mut self.began, self.offset);
        let read = if self.begun.is_empty() {
            self.reader.read(&rest, began)
        } else {
            self.read_collected(&rest, began)
        };
        if let Ok(Some(Fragment {
            fin: false,
            payload,
            ..
        })) = &read
        {
            self.cut = Some(payload.len() as u64);
        }
        read
    }

    /// Reads a line of which `rest` is the end. A long message is yielded in pieces, so that none waits where it is not counted.
    fn read_collected(&mut self, rest: &[u8], began: u64) -> Result<Option<Fragment>, Ending> {
        let short = Ending::OutOfMemory;
        self.begun.push(rest).map_err(short)?;
        let beside = R::BESIDE * self.begun.len();
        self.begun.allows(beside).map_err(short)?;
        let line = self.begun.lend(beside).map_err(short)?;
        let read = self.reader.read(&line, began);
        drop(line);
        self.begun.clear();
        Ok(match read? {
            Some(Fragment { kind, fin, payload }) if payload.len() > LARGE => {
                let rest = Collected::whole(&self.memory, payload.into());
                if !fin {
                    self.cut = Some(rest.len() as u64);
                }
                self.long = Some(Box::new(Long { kind, fin, rest }));
                None
            }
            read => read,
        })
    }

    /// The end of a stream that says so itself, within a message.
    fn cut(&self) -> Option<Event> {
        let ending = Ending::Close(Close::new(1011, "cut"));
        let received = self.cut?;
        Some(Event::End(ending.within_message(received)))
    }
}

impl<R: Reader> Splitter for WholeLines<R> {
    fn next(&mut self, bytes: &mut BytesMut, full: bool) -> Option<Event> {
        if let Some(cut) = self.cut() {
            return Some(cut);
        }
        while let Some((len, end)) = self.search.find(bytes) {
            match self.read(bytes, len, end) {
                Ok(None) if self.long.is_some() => return self.piece(),
                Ok(None) => {}
                Ok(Some(fragment)) => return Some(Event::Fragment(fragment)),
                Err(ending) => return Some(Event::End(ending)),
            }
        }
        if self.begun.len() + self.search.certain() > self.limit {
            return Some(Event::End(self.too_long()));
        }
        if full {
            let part = bytes.split_to(self.search.certain());
            self.offset += part.len() as u64;
            self.search.restart();
            if let Err(shortage) = self.begun.push(&part) {
                return Some(Event::End(Ending::OutOfMemory(shortage)));
            }
        }
        None
    }

    fn finish(&mut self, bytes: &mut BytesMut) -> Option<Event> {
        if let Some(cut) = self.cut() {
            return Some(cut);
        }
        if bytes.is_empty() && self.begun.is_empty() {
            return None;
        }
        match self.read(bytes, bytes.len(), 0) {
            Ok(None) => self.piece(),
            Ok(fragment) => fragment.map(Event::Fragment),
            Err(ending) => Some(Event::End(ending)),
        }
    }

    fn piece(&mut self) -> Option<Event> {
        let long = self.long.as_mut()?;
        let (kind, fin) = (long.kind, long.fin);
        let taken = long.rest.take_piece();
        if !matches!(taken, Ok((_, false))) {
            self.long = None;
        }
        Some(match taken {
            Ok((payload, is_last)) => Event::Fragment(Fragment {
                kind,
                fin: is_last && fin,
                payload,
            }),
            Err(shortage) => Event::End(Ending::OutOfMemory(shortage)),
        })
    }

    fn shortage(&self, cx: &mut Context<'_>) -> Option<Shortage> {
        let long = self.long.as_ref();
        let long = long.and_then(|long| long.rest.shortage(cx));
        long.or_else(|| self.begun.shortage(cx))
    }
}
