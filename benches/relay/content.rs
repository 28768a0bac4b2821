//! What is sent: an endless repetition of a prebuilt pattern, whose digest is known for every length.

use crate::digest::Digest;
use crate::frame::{self, Role};

/// The pattern's length: over 1 MiB, a multiple of 64 KiB, and no power of two, so that a lost or doubled buffer shifts it.
const LENGTH: usize = 17 * 64 * 1024;

/// A pattern that is repeated without end.
pub struct Content {
    bytes: Vec<u8>,
}

/// How a stream is made of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any bytes, binary messages.
    Noise,
    /// Lines of printable ASCII, each a text message.
    Lines,
}

impl Content {
    /// Any bytes.
    pub fn noise() -> Content {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let words = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_ne_bytes()
        });
        Content {
            bytes: words.take(LENGTH / 8).flatten().collect(),
        }
    }

    /// Lines of printable characters, each of `len` bytes with its newline, which may be left out. `len` is a power of two
    /// up to 64 KiB.
    pub fn lines(len: usize, newline: bool) -> Content {
        let mut bytes = Content::noise().bytes;
        for byte in &mut bytes {
            *byte = b' ' + *byte % 95;
        }
        for line in bytes.chunks_exact_mut(len) {
            line[len - 1] = b'\n';
        }
        if !newline {
            bytes.retain(|byte| *byte != b'\n');
        }
        Content { bytes }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of the first `count` bytes of the repetition.
    pub fn digest(&self, count: u64) -> u64 {
        let mut digest = Digest::new();
        let mut left = count;
        while left > 0 {
            let len = usize::try_from(left).map_or(self.bytes.len(), |n| n.min(self.bytes.len()));
            digest.update(&self.bytes[..len], [0; 4]);
            left -= len as u64;
        }
        digest.value()
    }

    /// The whole pattern as frames of `message` bytes each, and how many those are.
    pub fn frames(&self, message: usize, role: Role, kind: Kind) -> (Vec<u8>, u64) {
        let mut wire = Vec::with_capacity(self.bytes.len() * 5 / 4);
        let messages = self.bytes.chunks_exact(message);
        let count = messages.len() as u64;
        for payload in messages {
            frame::put(&mut wire, kind, role, payload);
        }
        (wire, count)
    }
}
