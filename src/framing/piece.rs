//! Payloads cut out of a byte stream, judged as text where they are to be text.

use bytes::{Buf, BytesMut};

use crate::ending::Ending;
use crate::message::{Fragment, Kind};
use crate::utf8::Utf8;

/// Cuts fragments off the front of what was read and counts what passes.
pub(super) struct Pieces {
    pub(super) kind: Kind,
    /// Bytes of the stream taken so far.
    pub(super) offset: u64,
    /// Whether fragments of the current message are out already.
    pub(super) within: bool,
    utf8: Utf8,
}

impl Pieces {
    pub(super) fn new(kind: Kind) -> Pieces {
        Pieces {
            kind,
            offset: 0,
            within: false,
            utf8: Utf8::default(),
        }
    }

    /// Takes the next `len` bytes as a fragment.
    ///
    /// # Errors
    /// [`Ending::NotText`] where they should be text and are none, or a text ends within a character.
    pub(super) fn take(
        &mut self,
        bytes: &mut BytesMut,
        len: usize,
        fin: bool,
    ) -> Result<Fragment, Ending> {
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
        self.within = !fin;
        Ok(Fragment {
            kind: self.kind,
            fin,
            payload,
        })
    }

    /// Drops the next `len` bytes, which belong to no message.
    pub(super) fn skip(&mut self, bytes: &mut BytesMut, len: usize) {
        bytes.advance(len);
        self.offset += len as u64;
    }
}

/// The rest of a message whose length was told before it.
#[derive(Default)]
pub(super) struct Rest(pub(super) u64);

impl Rest {
    /// Takes the message, or as much of it as there is room for; nothing before that has come.
    ///
    /// # Errors
    /// Those of [`Pieces::take`].
    pub(super) fn take(
        &mut self,
        pieces: &mut Pieces,
        bytes: &mut BytesMut,
        full: bool,
    ) -> Option<Result<Fragment, Ending>> {
        let len = usize::try_from(self.0)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let fin = len as u64 == self.0;
        if !fin && (!full || len == 0) {
            return None;
        }
        self.0 -= len as u64;
        Some(pieces.take(bytes, len, fin))
    }
}
