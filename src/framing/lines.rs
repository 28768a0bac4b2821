//! One message a line, of any length; the byte that ends it, a newline or NUL, is not part of it.

use bytes::{Buf, BytesMut};
use memchr::{memchr, memchr_iter};

use super::Splitter;
use crate::ending::Ending;
use crate::message::{Batch, Fragment, Kind, SHORT};
use crate::peer::Event;
use crate::utf8::Utf8;

/// Cuts after each newline or NUL. A line that is longer than the buffer goes out in fragments; nothing is collected.
pub(super) struct Lines {
    kind: Kind,
    /// The byte that ends a line: one below 128, so that no character of UTF-8 has it in it.
    end: u8,
    utf8: Utf8,
    /// Bytes taken so far, those that end lines too.
    offset: u64,
    /// Bytes at the front that are known to hold no end of a line.
    searched: usize,
    /// Whether fragments of the current line are out already.
    within: bool,
}

impl Lines {
    pub(super) fn new(kind: Kind, end: u8) -> Lines {
        Lines {
            kind,
            end,
            utf8: Utf8::default(),
            offset: 0,
            searched: 0,
            within: false,
        }
    }

    /// Takes all short lines that stand at the front, if there are at least two.
    fn take_batch(&mut self, bytes: &mut BytesMut) -> Option<Batch> {
        if self.within || self.searched > 0 {
            return None;
        }
        let window = &bytes[..bytes.len().min(Batch::LENGTH)];
        let (mut begin, mut spans) = (0, Vec::new());
        for end in memchr_iter(self.end, window).take(Batch::MOST) {
            if end - begin > SHORT {
                break;
            }
            // A batch is much shorter than 4 GiB.
            #[allow(clippy::cast_possible_truncation)]
            spans.push((begin as u32, end as u32));
            begin = end + 1;
        }
        // No character has the end of a line in it: the lines are text where all of them together are.
        if self.kind == Kind::Text
            && let Err(error) = str::from_utf8(&window[..begin])
        {
            let wrong = error.valid_up_to();
            spans.retain(|(_, end)| (*end as usize) < wrong);
            begin = spans.last().map_or(0, |(_, end)| *end as usize + 1);
        }
        if spans.len() < 2 {
            return None;
        }
        self.offset += begin as u64;
        Some(Batch::new(self.kind, bytes.split_to(begin), spans))
    }

    fn take(&mut self, bytes: &mut BytesMut, len: usize, fin: bool) -> Result<Fragment, Ending> {
        let payload = bytes.split_to(len);
        if self.kind == Kind::Text {
            let result = self.utf8.feed(&payload);
            if result.is_err() || (fin && !self.utf8.is_complete()) {
                let at = result
                    .err()
                    .unwrap_or(len - self.utf8.partial_len().min(len));
                return Err(Ending::NotText {
                    offset: self.offset + at as u64,
                });
            }
        }
        self.offset += len as u64;
        self.searched = 0;
        self.within = !fin;
        Ok(Fragment {
            kind: self.kind,
            fin,
            payload,
        })
    }
}

impl Splitter for Lines {
    fn next(&mut self, bytes: &mut BytesMut, full: bool) -> Option<Event> {
        if let Some(batch) = self.take_batch(bytes) {
            return Some(Event::Batch(batch));
        }
        let line = if let Some(at) = memchr(self.end, &bytes[self.searched..]) {
            let line = self.take(bytes, self.searched + at, true);
            bytes.advance(1);
            self.offset += 1;
            line
        } else {
            self.searched = bytes.len();
            if !full || bytes.is_empty() {
                return None;
            }
            self.take(bytes, bytes.len(), false)
        };
        Some(line.map_or_else(Event::End, Event::Fragment))
    }

    fn finish(&mut self, bytes: &mut BytesMut) -> Result<Option<Fragment>, Ending> {
        if bytes.is_empty() && !self.within {
            return Ok(None);
        }
        self.take(bytes, bytes.len(), true).map(Some)
    }
}
