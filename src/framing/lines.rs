//! One message a line, of any length; what ends it, a newline, a NUL or another separator, is not part of it.

use std::task::Context;

use bytes::BytesMut;
use memchr::{memchr, memchr_iter, memmem};
use tracing::{Level, debug, enabled};

use super::collect::leave_out;
use super::encoded::Encoder;
use super::piece::Pieces;
use super::{Encoding, Framing, Joiner, Separator, Splitter, time};
use crate::buffer::Outbox;
use crate::ending::{Ending, Shortage};
use crate::memory::{Collected, Memory};
use crate::message::{Batch, Fragment, Head, Kind, SHORT};
use crate::peer::Event;

/// Where lines end in what was read.
pub(super) struct Search {
    end: Separator,
    /// Bytes at the front that are known to hold no end of a line.
    searched: usize,
}

impl Search {
    pub(super) fn new(end: Separator) -> Search {
        Search { end, searched: 0 }
    }

    /// The length of the first line and of what ends it.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<(usize, usize)> {
        let found = match self.end.as_ref() {
            [end] => memchr(*end, &bytes[self.searched..]),
            end => memmem::find(&bytes[self.searched..], end),
        };
        let len = self.end.as_ref().len();
        let Some(at) = found else {
            // The beginning of a separator may be there already.
            self.searched = self.searched.max((bytes.len() + 1).saturating_sub(len));
            return None;
        };
        Some((std::mem::take(&mut self.searched) + at, len))
    }

    /// How many bytes at the front belong to the line for certain, after a search that found no end.
    pub(super) fn certain(&self) -> usize {
        self.searched
    }

    /// Begins anew, after bytes were taken from the front.
    pub(super) fn restart(&mut self) {
        self.searched = 0;
    }
}

/// Cuts after each separator. A line that is longer than the buffer goes out in fragments; nothing is collected.
pub(super) struct Lines {
    search: Search,
    pieces: Pieces,
}

impl Lines {
    pub(super) fn new(kind: Kind, end: Separator) -> Lines {
        Lines {
            search: Search::new(end),
            pieces: Pieces::new(kind),
        }
    }

    /// Takes all short lines that stand at the front, if there are at least two and a single byte of ASCII ends them.
    fn take_batch(&mut self, bytes: &mut BytesMut) -> Option<Batch> {
        let &[end @ ..128] = self.search.end.as_ref() else {
            return None;
        };
        if self.pieces.within || self.search.searched > 0 {
            return None;
        }
        let window = &bytes[..bytes.len().min(Batch::LENGTH)];
        let (mut begin, mut spans) = (0, Vec::new());
        for end in memchr_iter(end, window).take(Batch::MOST) {
            if end - begin > SHORT {
                break;
            }
            // A batch is much shorter than 4 GiB.
            #[allow(clippy::cast_possible_truncation)]
            spans.push((begin as u32, end as u32));
            begin = end + 1;
        }
        // No character has the end of a line in it: the lines are text where all of them together are.
        if self.pieces.kind == Kind::Text
            && let Err(error) = str::from_utf8(&window[..begin])
        {
            let wrong = error.valid_up_to();
            spans.retain(|(_, end)| (*end as usize) < wrong);
            begin = spans.last().map_or(0, |(_, end)| *end as usize + 1);
        }
        if spans.len() < 2 {
            return None;
        }
        self.pieces.offset += begin as u64;
        Some(Batch::new(self.pieces.kind, bytes.split_to(begin), spans))
    }
}

impl Splitter for Lines {
    fn next(&mut self, bytes: &mut BytesMut, full: bool) -> Option<Event> {
        if let Some(batch) = self.take_batch(bytes) {
            return Some(Event::Batch(batch));
        }
        let line = if let Some((len, end)) = self.search.find(bytes) {
            let line = self.pieces.take(bytes, len, true);
            self.pieces.skip(bytes, end);
            line
        } else {
            let len = self.search.certain();
            if !full || len == 0 {
                return None;
            }
            self.search.restart();
            self.pieces.take(bytes, len, false)
        };
        Some(line.map_or_else(Event::End, Event::Fragment))
    }

    fn finish(&mut self, bytes: &mut BytesMut) -> Option<Event> {
        if bytes.is_empty() && !self.pieces.within {
            return None;
        }
        let line = self.pieces.take(bytes, bytes.len(), true);
        Some(line.map_or_else(Event::End, Event::Fragment))
    }
}

/// Writes messages one behind the other, each with its end where it is a line.
pub(super) struct Ends {
    end: Separator,
    framing: Framing,
    encoder: Option<Encoder>,
    /// Whether some of the message is out and its last fragment has not come.
    within: bool,
    /// What holds a message back until it is whole, as far as the limit: digits and JSON-RPC are for programs, which must not
    /// take a part for a message. A longer one goes out as it comes.
    held: Option<Box<Held>>,
    inner: Option<Box<InnerEnds>>,
}

struct Held {
    bytes: Collected,
    /// The message whose bytes are to be written now: its kind, and whether these are the last.
    passing: Option<(Kind, bool)>,
}

/// Looks for ends of lines within messages, where that is to be refused or told.
struct InnerEnds {
    end: Separator,
    is_strict: bool,
    /// The last bytes of a message that goes on, which may be the beginning of an end.
    tail: Vec<u8>,
}

impl InnerEnds {
    fn of(framing: Framing, end: Separator) -> Option<Box<InnerEnds>> {
        let looks = framing.is_strict || enabled!(Level::DEBUG);
        looks.then(|| {
            Box::new(InnerEnds {
                end,
                is_strict: framing.is_strict,
                tail: Vec::new(),
            })
        })
    }

    /// Whether a message has the end of a line in it, as far as this fragment of it.
    fn has_end(&mut self, payload: &[u8], fin: bool) -> bool {
        let end = self.end.as_ref();
        let mut seam = std::mem::take(&mut self.tail);
        let has_tail = !seam.is_empty();
        seam.extend_from_slice(&payload[..payload.len().min(end.len() - 1)]);
        if !fin {
            let all = if payload.len() < end.len() {
                &seam
            } else {
                payload
            };
            self.tail = all[(all.len() + 1).saturating_sub(end.len())..].to_vec();
        }
        memmem::find(payload, end).is_some() || (has_tail && memmem::find(&seam, end).is_some())
    }
}

impl Ends {
    pub(super) fn new(framing: Framing, end: Separator, memory: &Memory) -> Ends {
        let is_held_back = framing.encoding != Encoding::Plain || framing.makes_requests;
        Ends {
            end,
            framing,
            encoder: Encoder::new(framing.encoding),
            within: false,
            held: is_held_back.then(|| {
                Box::new(Held {
                    bytes: Collected::new(memory),
                    passing: None,
                })
            }),
            inner: InnerEnds::of(framing, end),
        }
    }

    /// Adds a fragment to what is held back; gives what is to be written now.
    fn hold(&mut self, fragment: Fragment) -> Result<Option<Fragment>, Ending> {
        let Some(held) = self.held.as_mut().filter(|_| !self.within) else {
            return Ok(Some(fragment));
        };
        if fragment.fin && held.bytes.is_empty() {
            return Ok(Some(fragment));
        }
        let pushed = held.bytes.push(&fragment.payload);
        pushed.map_err(Ending::OutOfMemory)?;
        if fragment.fin || held.bytes.len() > self.framing.limit {
            held.bytes.end();
            held.passing = Some((fragment.kind, fragment.fin));
        }
        Ok(None)
    }

    /// Refuses a message that has the end of a line in it, or tells of the first one.
    fn judge(&mut self, payload: &[u8], fin: bool) -> Result<(), Ending> {
        let Some(inner) = &mut self.inner else {
            return Ok(());
        };
        if !inner.has_end(payload, fin) {
            return Ok(());
        }
        if inner.is_strict {
            return Err(Ending::WrongKind {
                takes: "no end of a line within a message (--strict-lines)",
            });
        }
        self.inner = None;
        debug!(
            "a message has the end of a line in it, and is written as more than one; --strict-lines refuses it"
        );
        Ok(())
    }

    /// Writes a fragment, unless it has what lines must not have.
    fn write(&mut self, fragment: Fragment, out: &mut Outbox) -> Result<(), Ending> {
        let Fragment { kind, fin, payload } = fragment;
        if self.encoder.is_none() || kind == Kind::Text {
            self.judge(&payload, fin)?;
        }
        let is_line = self.is_line(kind);
        if is_line && self.framing.is_stamped && !self.within {
            out.copy(time::now().as_bytes());
            out.copy(b" ");
        }
        self.within = !fin;
        match &mut self.encoder {
            Some(encoder) if kind == Kind::Binary => encoder.push(&payload, fin, out),
            _ => out.push(payload),
        }
        if fin && is_line {
            out.copy(self.end.as_ref());
        }
        Ok(())
    }

    /// Whether a message becomes a line. A binary one is written exactly as it is, unless lines of bytes were asked for.
    fn is_line(&self, kind: Kind) -> bool {
        kind == Kind::Text || self.framing.kind == Kind::Binary || self.encoder.is_some()
    }
}

impl Joiner for Ends {
    fn push(&mut self, fragment: Fragment, out: &mut Outbox) -> Result<(), Ending> {
        match self.hold(fragment)? {
            Some(fragment) => self.write(fragment, out),
            None => Ok(()),
        }
    }

    fn push_batch(&mut self, batch: Batch, out: &mut Outbox) -> Result<(), Ending> {
        let is_line = self.is_line(batch.kind);
        let is_encoded = self.encoder.is_some() && batch.kind == Kind::Binary;
        if self.inner.is_some() && !self.framing.is_strict && !is_encoded {
            for message in batch.messages() {
                self.judge(message, true)?;
            }
        }
        let tail = if is_line { self.end.as_ref() } else { b"" };
        if self.framing.is_strict
            || tail.len() > 1
            || is_encoded
            || (is_line && self.framing.is_stamped)
        {
            return batch
                .fragments()
                .try_for_each(|fragment| self.push(fragment, out));
        }
        let write = |room: &mut [u8]| batch.write(room, |_| Head::NONE, tail);
        out.put(Batch::ROOM, write);
        Ok(())
    }

    /// The part of a line stands without its end.
    fn finish(&mut self, _why: &Ending, _out: &mut Outbox) {
        if let Some(held) = &mut self.held
            && held.passing.is_none()
        {
            leave_out(held.bytes.len());
            held.bytes.clear();
        }
    }

    fn refill(&mut self, out: &mut Outbox) -> Result<bool, Ending> {
        let Some(held) = &mut self.held else {
            return Ok(false);
        };
        let Some((kind, fin)) = held.passing else {
            return Ok(false);
        };
        let (payload, is_last) = held.bytes.take_piece().map_err(Ending::OutOfMemory)?;
        if is_last {
            held.passing = None;
        }
        let fin = fin && is_last;
        self.write(Fragment { kind, fin, payload }, out)?;
        Ok(!is_last)
    }

    fn shortage(&self, cx: &mut Context<'_>) -> Option<Shortage> {
        self.held.as_ref()?.bytes.shortage(cx)
    }
}
