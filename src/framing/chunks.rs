//! Bytes as they come: each read becomes messages of a bounded length.

use bytes::BytesMut;

use super::{Joiner, Splitter};
use crate::buffer::Outbox;
use crate::ending::Ending;
use crate::message::{Batch, Fragment, Head, Kind, SHORT};
use crate::peer::Event;
use crate::utf8::Utf8;

/// Cuts wherever a read ended, and after so many bytes; as text, never within a character.
pub(super) struct Chunks {
    kind: Kind,
    offset: u64,
    /// Whether all reads are fragments of one message, which ends with the stream.
    is_one: bool,
    /// Bytes of a message at most.
    most: usize,
    /// Whether fragments of that message are out and its last is not.
    within: bool,
}

impl Chunks {
    pub(super) fn new(kind: Kind, is_one: bool, most: usize) -> Chunks {
        Chunks {
            kind,
            offset: 0,
            is_one,
            most,
            within: false,
        }
    }

    fn take(&mut self, bytes: &mut BytesMut, len: usize) -> Option<Fragment> {
        self.offset += len as u64;
        (len > 0).then(|| {
            self.within = self.is_one;
            Fragment {
                kind: self.kind,
                fin: !self.is_one,
                payload: bytes.split_to(len),
            }
        })
    }

    /// Takes many short messages of equal length at once.
    fn take_batch(&mut self, bytes: &mut BytesMut, len: usize) -> Batch {
        let (mut begin, mut spans) = (0, Vec::new());
        while begin < len && spans.len() < Batch::MOST {
            let end = begin + self.piece_len(&bytes[begin..len]);
            // A batch is much shorter than 4 GiB.
            #[allow(clippy::cast_possible_truncation)]
            spans.push((begin as u32, end as u32));
            begin = end;
        }
        self.offset += begin as u64;
        Batch::new(self.kind, bytes.split_to(begin), spans)
    }

    /// How many of these bytes are one message; of a text they are whole characters.
    fn piece_len(&self, bytes: &[u8]) -> usize {
        let begins_character = |at: &usize| bytes[*at] & 0xC0 != 0x80;
        match self.kind {
            _ if bytes.len() <= self.most => bytes.len(),
            Kind::Binary => self.most,
            // A character has four bytes at most, and a message no fewer.
            Kind::Text => (1..=self.most)
                .rev()
                .find(begins_character)
                .unwrap_or(self.most),
        }
    }

    /// How many bytes are whole characters.
    fn text_len(&self, bytes: &[u8]) -> Result<usize, Ending> {
        let mut utf8 = Utf8::default();
        match utf8.feed(bytes) {
            Ok(()) => Ok(bytes.len() - utf8.partial_len()),
            // What is right before it goes out first.
            Err(at) if at > 0 => Ok(at),
            Err(at) => Err(Ending::NotText {
                offset: self.offset + at as u64,
            }),
        }
    }
}

impl Splitter for Chunks {
    fn next(&mut self, bytes: &mut BytesMut, _full: bool) -> Option<Event> {
        let window = match self.most {
            _ if self.is_one => bytes.len(),
            ..=SHORT => bytes.len().min(Batch::LENGTH),
            most => bytes.len().min(most),
        };
        let len = match self.kind {
            Kind::Binary => window,
            Kind::Text => match self.text_len(&bytes[..window]) {
                Ok(len) => len,
                Err(ending) => return Some(Event::End(ending)),
            },
        };
        if self.is_one || len <= self.most {
            return self.take(bytes, len).map(Event::Fragment);
        }
        Some(Event::Batch(self.take_batch(bytes, len)))
    }

    fn cut_at(&mut self, most: usize) {
        self.most = most;
    }

    fn finish(&mut self, bytes: &mut BytesMut) -> Option<Event> {
        let event = self.next(bytes, true);
        if event.is_some() {
            return event;
        }
        if bytes.is_empty() {
            return std::mem::take(&mut self.within)
                .then(|| Event::Fragment(Fragment::whole(self.kind, b"")));
        }
        // A character that was begun and never finished.
        Some(Event::End(Ending::NotText {
            offset: self.offset,
        }))
    }
}

/// Writes the payloads one behind the other.
pub(super) struct Plain;

impl Joiner for Plain {
    fn push(&mut self, fragment: Fragment, out: &mut Outbox) -> Result<(), Ending> {
        out.push(fragment.payload);
        Ok(())
    }

    fn push_batch(&mut self, batch: Batch, out: &mut Outbox) -> Result<(), Ending> {
        out.put(Batch::ROOM, |room| batch.write(room, |_| Head::NONE, b""));
        Ok(())
    }
}
