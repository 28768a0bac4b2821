//! Messages and lines that must be whole, collected as they come and bounded.

use bytes::{Buf, BytesMut};

use super::lines::Search;
use super::{Separator, Splitter};
use crate::ending::Ending;
use crate::message::Fragment;
use crate::peer::Event;

/// Collects the fragments of a message, growing with what comes.
pub struct Whole {
    begun: BytesMut,
    limit: usize,
}

impl Whole {
    /// Makes an empty one for messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Whole {
        Whole {
            begun: BytesMut::new(),
            limit,
        }
    }

    /// The most bytes of a message.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Adds a fragment; returns the payload of the message once it is whole.
    ///
    /// # Errors
    /// [`Ending::TooLong`] as soon as it is over the limit.
    pub fn add(&mut self, fragment: Fragment) -> Result<Option<BytesMut>, Ending> {
        if self.begun.len() + fragment.payload.len() > self.limit {
            self.begun = BytesMut::new();
            return Err(Ending::TooLong { limit: self.limit });
        }
        if fragment.fin && self.begun.is_empty() {
            return Ok(Some(fragment.payload));
        }
        self.begun.extend_from_slice(&fragment.payload);
        Ok(fragment.fin.then(|| std::mem::take(&mut self.begun)))
    }
}

/// Makes something of one line at a time.
pub(super) trait Reader: Send {
    /// Reads a line that begins at byte `offset` of the stream; `None` where it says nothing.
    ///
    /// # Errors
    /// [`Ending::Malformed`], or any end that the line tells.
    fn read(&mut self, line: &[u8], offset: u64) -> Result<Option<Fragment>, Ending>;
}

/// Cuts whole lines and has them read.
pub(super) struct WholeLines<R> {
    reader: R,
    search: Search,
    begun: BytesMut,
    limit: usize,
    /// Bytes of the stream taken so far, and where the line that is collected began.
    offset: u64,
    began: u64,
}

impl<R: Reader> WholeLines<R> {
    pub(super) fn new(reader: R, end: Separator, limit: usize) -> WholeLines<R> {
        WholeLines {
            reader,
            search: Search::new(end),
            begun: BytesMut::new(),
            limit,
            offset: 0,
            began: 0,
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
            return Err(Ending::TooLong { limit: self.limit });
        }
        let rest = bytes.split_to(len);
        bytes.advance(end);
        self.offset += (len + end) as u64;
        let began = std::mem::replace(&mut self.began, self.offset);
        if self.begun.is_empty() {
            return self.reader.read(&rest, began);
        }
        let mut line = std::mem::take(&mut self.begun);
        line.extend_from_slice(&rest);
        self.reader.read(&line, began)
    }
}

impl<R: Reader> Splitter for WholeLines<R> {
    fn next(&mut self, bytes: &mut BytesMut, full: bool) -> Option<Event> {
        while let Some((len, end)) = self.search.find(bytes) {
            match self.read(bytes, len, end) {
                Ok(None) => {}
                Ok(Some(fragment)) => return Some(Event::Fragment(fragment)),
                Err(ending) => return Some(Event::End(ending)),
            }
        }
        if self.begun.len() + self.search.certain() > self.limit {
            return Some(Event::End(Ending::TooLong { limit: self.limit }));
        }
        if full {
            let part = bytes.split_to(self.search.certain());
            self.offset += part.len() as u64;
            self.begun.extend_from_slice(&part);
            self.search.restart();
        }
        None
    }

    fn finish(&mut self, bytes: &mut BytesMut) -> Option<Event> {
        if bytes.is_empty() && self.begun.is_empty() {
            return None;
        }
        match self.read(bytes, bytes.len(), 0) {
            Ok(fragment) => fragment.map(Event::Fragment),
            Err(ending) => Some(Event::End(ending)),
        }
    }
}
