//! What travels over a bridge: fragments of text or binary messages.

use bytes::BytesMut;

/// What a message is made of (RFC 6455 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

/// A piece of a message: every message is one or more fragments of one kind, the last of them with `fin`.
///
/// The payload is owned alone (`BytesMut`, not `Bytes`), so that whoever sends it on may mask it where it lies.
/// It is a slice of the buffer that it was read into; dropping it is what makes that buffer free again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The kind of the whole message, the same on all of its fragments.
    pub kind: Kind,
    /// Whether this is the last piece of its message.
    pub fin: bool,
    /// The bytes, of any length and possibly none. A character of a text may be split between two fragments.
    pub payload: BytesMut,
}

impl Fragment {
    /// Makes a whole message of one fragment.
    pub fn whole(kind: Kind, payload: impl AsRef<[u8]>) -> Fragment {
        Fragment {
            kind,
            fin: true,
            payload: BytesMut::from(payload.as_ref()),
        }
    }

    /// Makes a whole text message.
    pub fn text(text: &str) -> Fragment {
        Fragment::whole(Kind::Text, text)
    }

    /// Makes a whole binary message.
    pub fn binary(bytes: impl AsRef<[u8]>) -> Fragment {
        Fragment::whole(Kind::Binary, bytes)
    }
}
