//! Messages behind their length, a number of 1, 2, 4 or 8 bytes.

use std::task::Context;

use bytes::BytesMut;

use super::collect::{Added, Whole};
use super::piece::{Pieces, Rest};
use super::{Framing, Joiner, Prefix, Splitter};
use crate::buffer::Outbox;
use crate::ending::{Ending, Loss, Shortage};
use crate::memory::Memory;
use crate::message::{Batch, Fragment, Head, Kind};
use crate::peer::Event;

impl Prefix {
    /// The longest message.
    fn most(self) -> u64 {
        u64::MAX >> (64 - 8 * u32::from(self.size))
    }

    /// Reads a length out of as many bytes as it has.
    fn read(self, bytes: &[u8]) -> u64 {
        let mut number = [0; 8];
        number[..bytes.len()].copy_from_slice(bytes);
        if !self.is_little {
            number[..bytes.len()].reverse();
        }
        u64::from_le_bytes(number)
    }

    /// Writes a length of at most [`Prefix::most`] as the head of a message.
    fn head(self, len: usize) -> Head {
        let (len, size) = (len as u64, usize::from(self.size));
        let mut bytes = len.to_le_bytes();
        if !self.is_little {
            bytes[..size].reverse();
        }
        Head {
            bytes,
            len: size,
            mask: 0,
        }
    }
}

/// Cuts by the lengths. A message that is longer than the buffer goes out in fragments; nothing is collected.
pub(super) struct Lengths {
    prefix: Prefix,
    pieces: Pieces,
    /// Within a message, what is left of it.
    rest: Option<Rest>,
}

impl Lengths {
    pub(super) fn new(kind: Kind, prefix: Prefix) -> Lengths {
        Lengths {
            prefix,
            pieces: Pieces::new(kind),
            rest: None,
        }
    }
}

impl Splitter for Lengths {
    fn next(&mut self, bytes: &mut BytesMut, full: bool) -> Option<Event> {
        let rest = match &mut self.rest {
            Some(rest) => rest,
            none => {
                let size = usize::from(self.prefix.size);
                let len = self.prefix.read(bytes.get(..size)?);
                self.pieces.skip(bytes, size);
                none.insert(Rest(len))
            }
        };
        let fragment = rest.take(&mut self.pieces, bytes, full)?;
        if !self.pieces.within {
            self.rest = None;
        }
        Some(fragment.map_or_else(Event::End, Event::Fragment))
    }

    fn finish(&mut self, bytes: &mut BytesMut) -> Option<Event> {
        // What is whole is out; what is left is cut.
        if let Some(event) = self.next(bytes, true) {
            return Some(event);
        }
        let is_cut = self.rest.is_some() || !bytes.is_empty();
        is_cut.then_some(Event::End(Ending::Lost(Loss::Short)))
    }
}

/// Writes the length of each message before it; one that comes in fragments is collected.
pub(super) struct Prefixes {
    prefix: Prefix,
    whole: Whole,
}

impl Prefixes {
    pub(super) fn new(framing: Framing, prefix: Prefix, memory: &Memory) -> Prefixes {
        let most = usize::try_from(prefix.most()).unwrap_or(usize::MAX);
        let whole = match most < framing.limit {
            true => Whole::fixed(most, memory),
            false => Whole::new(framing.limit, memory),
        };
        Prefixes { prefix, whole }
    }
}

impl Joiner for Prefixes {
    fn finish(&mut self, _why: &Ending, _out: &mut Outbox) {
        self.whole.leave_out();
    }

    fn refill(&mut self, out: &mut Outbox) -> Result<bool, Ending> {
        self.whole.refill(out)
    }

    fn shortage(&self, cx: &mut Context<'_>) -> Option<Shortage> {
        self.whole.shortage(cx)
    }

    fn push(&mut self, fragment: Fragment, out: &mut Outbox) -> Result<(), Ending> {
        let (len, payload) = match self.whole.collect(fragment)? {
            None => return Ok(()),
            Some(Added::AtOnce(payload)) => (payload.len(), Some(payload)),
            Some(Added::Collected(len)) => (len, None),
        };
        let head = self.prefix.head(len);
        out.copy(&head.bytes[..head.len]);
        if let Some(payload) = payload {
            out.push(payload);
        }
        Ok(())
    }

    fn push_batch(&mut self, batch: Batch, out: &mut Outbox) -> Result<(), Ending> {
        if batch
            .messages()
            .any(|message| message.len() > self.whole.limit())
        {
            return batch
                .fragments()
                .try_for_each(|fragment| self.push(fragment, out));
        }
        let write = |room: &mut [u8]| batch.write(room, |len| self.prefix.head(len), b"");
        out.put(Batch::ROOM, write);
        Ok(())
    }
}
