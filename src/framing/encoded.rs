//! Binary messages as lines of base64 (RFC 4648 4) or hex digits.

use bytes::{Bytes, BytesMut};
use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};

use super::Encoding;
use super::collect::Reader;
use crate::buffer::Outbox;
use crate::ending::Ending;
use crate::message::{Fragment, Kind};

/// Bytes that are encoded at once: whole groups of base64.
const STEP: usize = 48 * 1024;

/// Encodes a message as its fragments come; nothing is collected.
pub(super) struct Encoder {
    is_base64: bool,
    /// Up to two bytes that make no whole group of base64 yet.
    carried: BytesMut,
}

impl Encoder {
    /// Makes an encoder, where there is something to encode.
    pub(super) fn new(encoding: Encoding) -> Option<Encoder> {
        (encoding != Encoding::Plain).then(|| Encoder {
            is_base64: encoding == Encoding::Base64,
            carried: BytesMut::new(),
        })
    }

    /// Writes the digits of a piece, and at the end of a message those that were carried.
    pub(super) fn push(&mut self, mut payload: &[u8], fin: bool, out: &mut Outbox) {
        if !self.is_base64 {
            for step in payload.chunks(STEP) {
                out.put(2 * step.len(), |room| {
                    HEXLOWER.encode_mut(step, &mut room[..2 * step.len()]);
                    2 * step.len()
                });
            }
            return;
        }
        if !self.carried.is_empty() {
            let missing = (3 - self.carried.len()).min(payload.len());
            let (head, rest) = payload.split_at(missing);
            self.carried.extend_from_slice(head);
            payload = rest;
            if self.carried.len() == 3 {
                write(&self.carried, out);
                self.carried.clear();
            }
        }
        // What is left over is less than a group, and there is only one where all of the piece went into the last.
        let (groups, rest) = payload.split_at(payload.len() / 3 * 3);
        groups.chunks(STEP).for_each(|step| write(step, out));
        self.carried.extend_from_slice(rest);
        if fin {
            write(&self.carried, out);
            self.carried.clear();
        }
    }
}

fn write(bytes: &[u8], out: &mut Outbox) {
    let len = BASE64.encode_len(bytes.len());
    out.put(len, |room| {
        BASE64.encode_mut(bytes, &mut room[..len]);
        len
    });
}

/// Reads lines of digits as binary messages.
pub(super) struct Decoder {
    pub(super) encoding: Encoding,
}

impl Reader for Decoder {
    fn read(&mut self, line: &[u8], offset: u64) -> Result<Option<Fragment>, Ending> {
        let digits = line.trim_ascii();
        let before = line.len() - line.trim_ascii_start().len();
        let (decoded, what) = match self.encoding {
            Encoding::Base64 => (
                BASE64.decode(digits),
                "a line that is no base64 (RFC 4648 4)",
            ),
            _ => (
                HEXLOWER_PERMISSIVE.decode(digits),
                "a line that is no pairs of hex digits",
            ),
        };
        match decoded {
            Ok(payload) => Ok(Some(Fragment {
                kind: Kind::Binary,
                fin: true,
                payload: BytesMut::from(Bytes::from(payload)),
            })),
            Err(error) => Err(Ending::Malformed {
                what,
                offset: offset + (before + error.position) as u64,
            }),
        }
    }
}
