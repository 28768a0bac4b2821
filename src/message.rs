//! What travels over a bridge: fragments of text or binary messages, and batches of short ones.

use std::sync::{Arc, OnceLock};

use bytes::BytesMut;

/// Bytes of a payload up to which it is copied behind others rather than sent on from where it lies.
pub const SHORT: usize = 4096;

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

/// Many short whole messages of one kind, next to each other in the buffer that they were read into.
///
/// It is worth as much as that many fragments, but costs a fraction of them: no message of it has a buffer of its own.
/// One that is [shared](Batch::shared) is cloned without a copy, and is encoded once for all who send it alike.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The kind of every message.
    pub kind: Kind,
    body: Body,
    payload: usize,
}

#[derive(Clone, Debug)]
enum Body {
    Own(Messages),
    Shared(Arc<Shared>),
}

#[derive(Clone, Debug)]
struct Messages {
    bytes: BytesMut,
    spans: Vec<Span>,
}

#[derive(Debug)]
struct Shared {
    messages: Messages,
    encoded: OnceLock<Box<[u8]>>,
}

impl PartialEq for Batch {
    fn eq(&self, other: &Batch) -> bool {
        self.kind == other.kind && self.messages().eq(other.messages())
    }
}

impl Eq for Batch {}

/// Where a message begins and ends in the bytes of its batch.
pub type Span = (u32, u32);

/// What stands before a message on the wire, and what its bytes are XORed with.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The bytes before it, as many as `len` says.
    pub bytes: [u8; Batch::HEAD],
    /// How many of them there are, 0 to 8.
    pub len: usize,
    /// The mask of each eight bytes of payload, the first lowest; 0 leaves them as they are.
    pub mask: u64,
}

impl Head {
    /// Nothing.
    pub const NONE: Head = Head {
        bytes: [0; Batch::HEAD],
        len: 0,
        mask: 0,
    };
}

impl Batch {
    /// Messages of one batch at most.
    pub const MOST: usize = 4096;
    /// A batch is ended when it is so long: it fits into the room of one write whatever is put around its messages.
    pub const LENGTH: usize = 64 * 1024;
    /// The longest head of a message.
    pub const HEAD: usize = 8;
    /// Bytes that any batch becomes at most when it is written.
    pub const ROOM: usize = Batch::LENGTH + SHORT + Batch::MOST * (Batch::HEAD + 1) + WORD;

    /// Makes a batch of the messages that lie at `spans` in `bytes`: in order, without overlap, at most [`Batch::MOST`] of at
    /// most [`SHORT`] bytes each.
    pub fn new(kind: Kind, bytes: BytesMut, spans: Vec<Span>) -> Batch {
        let payload = spans
            .iter()
            .map(|(begin, end)| (end - begin) as usize)
            .sum();
        Batch {
            kind,
            body: Body::Own(Messages { bytes, spans }),
            payload,
        }
    }

    /// Makes it one that many may have: a clone of it is no copy.
    #[must_use]
    pub fn shared(self) -> Batch {
        let body = match self.body {
            Body::Own(messages) => Body::Shared(Arc::new(Shared {
                messages,
                encoded: OnceLock::new(),
            })),
            shared @ Body::Shared(_) => shared,
        };
        Batch { body, ..self }
    }

    /// Makes one of the messages from `begin` to before `end` alone.
    #[must_use]
    pub fn part(&self, begin: usize, end: usize) -> Batch {
        let (mut bytes, mut spans) = (BytesMut::new(), Vec::new());
        // A batch is much shorter than 4 GiB.
        #[allow(clippy::cast_possible_truncation)]
        for message in self.messages().take(end).skip(begin) {
            let at = bytes.len() as u32;
            bytes.extend_from_slice(message);
            spans.push((at, bytes.len() as u32));
        }
        Batch::new(self.kind, bytes, spans)
    }

    /// What `write` made of it where it is shared, the first time that it was asked: only those ask who all write it alike,
    /// which are servers of WebSockets.
    pub fn encoded(&self, write: impl FnOnce(&mut [u8]) -> usize) -> Option<&[u8]> {
        let Body::Shared(shared) = &self.body else {
            return None;
        };
        Some(shared.encoded.get_or_init(|| {
            let mut room = vec![0; self.payload + self.count() * (Batch::HEAD + 1) + WORD];
            let len = write(&mut room);
            room.truncate(len);
            room.into_boxed_slice()
        }))
    }

    fn body(&self) -> &Messages {
        match &self.body {
            Body::Own(messages) => messages,
            Body::Shared(shared) => &shared.messages,
        }
    }

    /// How many messages there are.
    pub fn count(&self) -> usize {
        self.body().spans.len()
    }

    /// Bytes of all messages together.
    pub fn payload(&self) -> usize {
        self.payload
    }

    /// Bytes of its longest message.
    pub fn longest(&self) -> usize {
        let lengths = self.body().spans.iter().map(|(begin, end)| end - begin);
        lengths.max().unwrap_or(0) as usize
    }

    /// Bytes of memory that it holds on to.
    pub fn size(&self) -> usize {
        let Messages { bytes, spans } = self.body();
        bytes.len() + spans.len() * size_of::<Span>()
    }

    /// The messages.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let Messages { bytes, spans } = self.body();
        let span = |&(begin, end): &Span| &bytes[begin as usize..end as usize];
        spans.iter().map(span)
    }

    /// The messages one by one, each copied to a place of its own.
    pub fn fragments(&self) -> impl Iterator<Item = Fragment> {
        let whole = |message| Fragment::whole(self.kind, message);
        self.messages().map(whole)
    }

    /// Drops all messages behind the first `count`.
    pub fn truncate(&mut self, count: usize) {
        if count >= self.count() {
            return;
        }
        match &mut self.body {
            Body::Own(messages) => {
                messages.spans.truncate(count);
                self.payload = self.messages().map(<[u8]>::len).sum();
            }
            Body::Shared(_) => *self = self.part(0, count),
        }
    }

    /// Writes the messages into `room`, each behind its head and before `tail`, at most one byte; returns how many bytes that
    /// were. `room` is [`Batch::ROOM`] bytes long; what lies behind the bytes that are counted is spoilt.
    pub fn write(
        &self,
        room: &mut [u8],
        mut head: impl FnMut(usize) -> Head,
        tail: &[u8],
    ) -> usize {
        let mut at = 0;
        let Messages { bytes, spans } = self.body();
        for &(begin, end) in spans {
            let (begin, len) = (begin as usize, (end - begin) as usize);
            let head = head(len);
            room[at..at + Batch::HEAD].copy_from_slice(&head.bytes);
            at += head.len;
            copy(bytes, begin, len, &mut room[at..], head.mask);
            at += len;
            room[at..at + tail.len()].copy_from_slice(tail);
            at += tail.len();
        }
        at
    }
}

/// Bytes that are copied at once.
const WORD: usize = 16;

/// Copies `len` bytes at `begin` of `from` to the front of `to`, whole words at once where there are some on both sides. A word is
/// a number: of an array of bytes not every level of optimization makes a vector.
#[inline(always)]
fn copy(from: &[u8], begin: usize, len: usize, to: &mut [u8], mask: u64) {
    let (from, whole) = (&from[begin..], len.next_multiple_of(WORD));
    let mask = u128::from(mask) << 64 | u128::from(mask);
    if let (Some(from), Some(to)) = (from.get(..whole), to.get_mut(..whole)) {
        let words = from.as_chunks::<WORD>().0.iter();
        let words = words.zip(to.as_chunks_mut::<WORD>().0);
        for (from, to) in words {
            *to = (u128::from_le_bytes(*from) ^ mask).to_le_bytes();
        }
    } else {
        let mask = mask.to_le_bytes();
        let masked = from.iter().zip(mask.iter().cycle());
        for (to, (byte, mask)) in to[..len].iter_mut().zip(masked) {
            *to = byte ^ mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A batch with `gap` bytes before each message.
    fn batch(messages: &[Vec<u8>], gap: usize) -> Batch {
        let (mut bytes, mut spans) = (BytesMut::new(), Vec::new());
        for message in messages {
            bytes.extend_from_slice(&vec![0xEE; gap]);
            let begin = u32::try_from(bytes.len()).unwrap();
            bytes.extend_from_slice(message);
            spans.push((begin, u32::try_from(bytes.len()).unwrap()));
        }
        Batch::new(Kind::Binary, bytes, spans)
    }

    proptest! {
        #[test]
        fn what_is_written_are_the_messages_with_heads_and_tails(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 0..20),
            gap in 0usize..9,
            head_len in 0..=Batch::HEAD,
            mask: u64,
            tailed: bool,
        ) {
            let batch = batch(&messages, gap);
            let tail = if tailed { &b"\n"[..] } else { b"" };
            let mut room = vec![0; Batch::ROOM];
            let head = |len: usize| Head { bytes: [u8::try_from(len).unwrap(); 8], len: head_len, mask };
            let len = batch.write(&mut room, head, tail);
            let expected: Vec<u8> = messages.iter().flat_map(|message| {
                let head = std::iter::repeat_n(u8::try_from(message.len()).unwrap(), head_len);
                let keys = mask.to_le_bytes().into_iter().cycle();
                let masked = message.iter().zip(keys).map(|(byte, key)| byte ^ key);
                head.chain(masked).chain(tail.iter().copied()).collect::<Vec<u8>>()
            }).collect();
            prop_assert_eq!(&room[..len], &expected[..]);
            prop_assert_eq!(batch.messages().map(<[u8]>::to_vec).collect::<Vec<_>>(), messages);
        }
    }

    #[test]
    fn the_largest_batch_fits_into_its_room() {
        let messages = vec![vec![7; 15]; Batch::MOST];
        let batch = batch(&messages, 1);
        assert!(batch.size() >= Batch::LENGTH);
        let head = Head {
            bytes: [1; 8],
            len: 8,
            mask: 0,
        };
        let len = batch.write(&mut vec![0; Batch::ROOM], |_| head, b"\n");
        assert_eq!(len, Batch::MOST * (8 + 15 + 1));
    }

    #[test]
    fn a_shared_batch_is_encoded_once_and_its_parts_are_others() {
        let batch = batch(&[b"a".to_vec(), Vec::new(), vec![b'c'; 70]], 1).shared();
        let plain = |batch: &Batch, room: &mut [u8]| batch.write(room, |_| Head::NONE, b"\n");
        let len = plain(&batch, &mut vec![0; Batch::ROOM]);
        let first = batch.encoded(|room| plain(&batch, room)).unwrap();
        assert_eq!((first.len(), &first[..3]), (len, &b"a\n\n"[..]));
        let clone = batch.clone();
        assert_eq!(
            clone.encoded(|_| unreachable!("it is encoded")),
            Some(first)
        );
        let part = batch.part(1, 3);
        assert_eq!((part.count(), part.payload()), (2, 70));
        assert_eq!(part.encoded(|_| 0), None);
        let mut cut = clone;
        cut.truncate(1);
        assert_eq!(cut.messages().collect::<Vec<_>>(), [b"a"]);
        assert_eq!(cut.encoded(|_| 0), None);
    }

    #[test]
    fn what_is_truncated_is_gone() {
        let mut batch = batch(&[b"a".to_vec(), b"bc".to_vec(), b"def".to_vec()], 0);
        batch.truncate(2);
        assert_eq!((batch.count(), batch.payload()), (2, 3));
        assert_eq!(batch.messages().last(), Some(&b"bc"[..]));
    }
}
