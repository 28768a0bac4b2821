//! Bytes as they come: each read is a message.

use bytes::BytesMut;

use super::{Joiner, Splitter};
use crate::buffer::Outbox;
use crate::ending::Ending;
use crate::message::{Batch, Fragment, Head, Kind};
use crate::peer::Event;
use crate::utf8::Utf8;

/// Cuts wherever a read ended; as text, never within a character.
pub(super) struct Chunks {
    kind: Kind,
    offset: u64,
    /// Whether all reads are fragments of one message, which ends with the stream.
    is_one: bool,
    /// Whether fragments of that message are out and its last is not.
    within: bool,
}

impl Chunks {
    pub(super) fn new(kind: Kind, is_one: bool) -> Chunks {
        Chunks {
            kind,
            offset: 0,
            is_one,
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
        let len = match self.kind {
            Kind::Binary => bytes.len(),
            Kind::Text => match self.text_len(bytes) {
                Ok(len) => len,
                Err(ending) => return Some(Event::End(ending)),
            },
        };
        self.take(bytes, len).map(Event::Fragment)
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
