//! Messages and lines that must be whole, collected as they come and bounded.

use bytes::{Buf, BytesMut};
use tracing::warn;

use super::lines::Search;
use super::{Separator, Splitter};
use crate::ending::{Close, Ending};
use crate::log::REFUSALS;
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

    /// Drops the part that came of a message whose rest never comes, and logs how long it is; called at the end.
    pub fn leave_out(&mut self) {
        leave_out(std::mem::take(&mut self.begun).len());
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
    begun: BytesMut,
    limit: usize,
    /// Bytes of the stream taken so far, and where the line that is collected began.
    offset: u64,
    began: u64,
    /// Bytes of a message that was cut: the end is next.
    cut: Option<u64>,
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
            cut: None,
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
        let read = if self.begun.is_empty() {
            self.reader.read(&rest, began)
        } else {
            let mut line = std::mem::take(&mut self.begun);
            line.extend_from_slice(&rest);
            self.reader.read(&line, began)
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
        if let Some(cut) = self.cut() {
            return Some(cut);
        }
        if bytes.is_empty() && self.begun.is_empty() {
            return None;
        }
        match self.read(bytes, bytes.len(), 0) {
            Ok(fragment) => fragment.map(Event::Fragment),
            Err(ending) => Some(Event::End(ending)),
        }
    }
}
