//! One message a line, of any length; the newline is not part of it.

use bytes::{Buf, BytesMut};
use memchr::memchr;

use super::Splitter;
use crate::ending::Ending;
use crate::message::{Fragment, Kind};
use crate::utf8::Utf8;

/// Cuts after each newline. A line that is longer than the buffer goes out in fragments; nothing is collected.
pub(super) struct Lines {
    kind: Kind,
    utf8: Utf8,
    /// Bytes taken so far, newlines too.
    offset: u64,
    /// Bytes at the front that are known to hold no newline.
    searched: usize,
    /// Whether fragments of the current line are out already.
    within: bool,
}

impl Lines {
    pub(super) fn new(kind: Kind) -> Lines {
        Lines {
            kind,
            utf8: Utf8::default(),
            offset: 0,
            searched: 0,
            within: false,
        }
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
    fn next(&mut self, bytes: &mut BytesMut, full: bool) -> Result<Option<Fragment>, Ending> {
        if let Some(at) = memchr(b'\n', &bytes[self.searched..]) {
            let line = self.take(bytes, self.searched + at, true)?;
            bytes.advance(1);
            self.offset += 1;
            return Ok(Some(line));
        }
        self.searched = bytes.len();
        if full && !bytes.is_empty() {
            return self.take(bytes, bytes.len(), false).map(Some);
        }
        Ok(None)
    }

    fn finish(&mut self, bytes: &mut BytesMut) -> Result<Option<Fragment>, Ending> {
        if bytes.is_empty() && !self.within {
            return Ok(None);
        }
        self.take(bytes, bytes.len(), true).map(Some)
    }
}
