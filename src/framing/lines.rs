//! One message a line, of any length; what ends it, a newline, a NUL or another separator, is not part of it.

use bytes::BytesMut;
use memchr::{memchr, memchr_iter, memmem};
use tracing::{Level, debug, enabled};

use super::collect::leave_out;
use super::encoded::Encoder;
use super::piece::Pieces;
use super::{Encoding, Framing, Joiner, Separator, Splitter, time};
use crate::buffer::Outbox;
use crate::ending::Ending;
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
    /// Bytes of a message that are held back until it is whole, as far as the limit: digits and JSON-RPC are for programs, which
    /// must not take a part for a message. A longer one goes out as it comes.
    held: BytesMut,
    is_held_back: bool,
    inner: Option<Box<InnerEnds>>,
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
    pub(super) fn new(framing: Framing, end: Separator) -> Ends {
        Ends {
            end,
            framing,
            encoder: Encoder::new(framing.encoding),
            within: false,
            held: BytesMut::new(),
            is_held_back: framing.encoding != Encoding::Plain || framing.makes_requests,
            inner: InnerEnds::of(framing, end),
        }
    }

    /// Adds a fragment to what is held back; gives what is to be written now.
    fn hold(&mut self, fragment: Fragment) -> Option<Fragment> {
        let Fragment { kind, fin, payload } = fragment;
        if !self.is_held_back || self.within || (fin && self.held.is_empty()) {
            return Some(Fragment { kind, fin, payload });
        }
        self.held.extend_from_slice(&payload);
        if !fin && self.held.len() <= self.framing.limit {
            return None;
        }
        let payload = std::mem::take(&mut self.held);
        Some(Fragment { kind, fin, payload })
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

    /// Whether a message becomes a line. A binary one is written exactly as it is, unless lines of bytes were asked for.
    fn is_line(&self, kind: Kind) -> bool {
        kind == Kind::Text || self.framing.kind == Kind::Binary || self.encoder.is_some()
    }
}

impl Joiner for Ends {
    fn push(&mut self, fragment: Fragment, out: &mut Outbox) -> Result<(), Ending> {
        let Some(Fragment { kind, fin, payload }) = self.hold(fragment) else {
            return Ok(());
        };
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
        leave_out(std::mem::take(&mut self.held).len());
    }
}
