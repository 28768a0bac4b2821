//! An opened stream and the facts about it: what is known once it is open and does not change.

use std::sync::Arc;

use super::{ByteStream, MessageStream, Pings, Proof};
use crate::framing::{Cut, Framed, Framing};
use crate::memory::Memory;
use crate::message::Fragment;

/// An open connection and what is known about it.
///
/// A wrapper replaces the stream and inherits the facts: `Opened { stream: wrap(inner.stream), facts: inner.facts }`, with
/// `StreamFacts { chunk: None, ..inner.facts }` for what it changes.
pub struct Opened<S = Stream> {
    /// The stream, which is read and written.
    pub stream: S,
    /// What is known about it.
    pub facts: StreamFacts,
}

/// A stream of messages with its facts.
pub type Messages = Opened<Box<dyn MessageStream>>;

/// An open stream in one of two shapes.
pub enum Stream {
    /// Bytes without boundaries.
    Bytes(Box<dyn ByteStream>),
    /// Messages.
    Messages(Box<dyn MessageStream>),
}

/// What is known about an open stream and does not change.
#[derive(Clone, Debug, Default)]
pub struct StreamFacts {
    /// How its bytes are cut into messages, also where they lie below messages; `None` where it has messages of its own.
    pub framing: Option<Framing>,
    /// The subprotocol that its opening handshake agreed to, of those that were offered; `""` where it agreed to none of them.
    pub protocol: Option<Arc<str>>,
    /// Bytes of the messages that bytes without boundaries are sent here as, at most; `None` where that makes no difference.
    pub chunk: Option<usize>,
    /// Whether the end of what it takes and the end of what it yields are two events, so that a WebSocket across may offer to
    /// carry half-closes. Not for a serial line, a terminal or a framing that cannot tell the two apart.
    pub can_half_close: bool,
    /// Whether this is the process's own input and output: the end of one says nothing about the other.
    pub is_local: bool,
    /// Whether it never says that it is finished: a serial line, datagrams. After the end of the other side answers are
    /// awaited only for as long as some arrive.
    pub has_no_end: bool,
    /// Whether what it yields answers nothing and goes on whether or not it is read: a stop interrupts it at once.
    pub is_feed: bool,
    /// Whether it makes no difference to what is sent here where a message begins and ends.
    pub ignores_boundaries: bool,
    /// Whether its input is one whole that ends by itself: stdin, a file, the output of a program. A connection stays open for
    /// another answer.
    pub is_whole: bool,
    /// What the other side sends first on each further connection, where it connects again.
    pub greeting: Vec<Fragment>,
    /// The pings that a person may ask for here, which the other side sends.
    pub pings: Option<Arc<Pings>>,
    /// The proof that its peer knows half-closes, where the extension was agreed to.
    pub proof: Option<Arc<Proof>>,
}

impl StreamFacts {
    /// Returns the facts of a byte stream that is cut so and half-closes, and of which nothing else is to be said.
    pub fn of_bytes(framing: Framing) -> StreamFacts {
        StreamFacts {
            framing: Some(framing),
            can_half_close: framing.can_half_close(),
            ..StreamFacts::default()
        }
    }

    /// Whether the stream takes bytes whose boundaries mean nothing, so that a client need not cut lines.
    pub fn is_byte_stream(&self) -> bool {
        self.framing
            .is_some_and(|framing| framing.cut == Cut::Chunks)
    }
}

impl Opened {
    /// Makes an open byte stream.
    pub fn bytes(io: Box<dyn ByteStream>, facts: StreamFacts) -> Opened {
        Opened {
            stream: Stream::Bytes(io),
            facts,
        }
    }

    /// Makes an open message stream.
    pub fn messages(stream: Box<dyn MessageStream>, facts: StreamFacts) -> Opened {
        Opened {
            stream: Stream::Messages(stream),
            facts,
        }
    }

    /// Returns the byte stream, where it is one.
    pub fn into_bytes(self) -> Option<Box<dyn ByteStream>> {
        match self.stream {
            Stream::Bytes(io) => Some(io),
            Stream::Messages(_) => None,
        }
    }

    /// Makes messages of it, by its own framing where it is a byte stream. What is collected for that is counted in `memory`.
    pub fn into_messages(self, memory: &Memory) -> Messages {
        self.cut_as(None, memory)
    }

    /// Makes messages of it, where it is a byte stream by `joined` if there is one, else by its own framing.
    fn cut_as(self, joined: Option<Framing>, memory: &Memory) -> Messages {
        let Opened { stream, facts } = self;
        match stream {
            Stream::Messages(stream) => Opened { stream, facts },
            Stream::Bytes(io) => {
                let own = facts.framing.unwrap_or(Framing::BYTES);
                let framing = Framing {
                    is_one: own.is_one,
                    ..joined.unwrap_or(own)
                };
                let framed = Framed::new(io, framing, memory).local(facts.is_local);
                Opened {
                    stream: Box::new(framed),
                    facts: StreamFacts {
                        // Its bytes lie below messages no longer: they were cut here.
                        framing: None,
                        ignores_boundaries: framing.cut == Cut::Chunks,
                        ..facts
                    },
                }
            }
        }
    }
}

impl From<Messages> for Opened {
    fn from(messages: Messages) -> Opened {
        Opened::messages(messages.stream, messages.facts)
    }
}

/// Makes messages of both sides: the one seam between bytes and messages.
///
/// A byte stream is cut by its framing, but between two of them nothing is cut: their bytes pass as they are, unless framings
/// were asked for that differ; nor where a side of messages is one of bytes within, which both sides are cut as.
/// What is collected for that is counted in `memory`.
pub fn into_messages(left: Opened, right: Opened, memory: &Memory) -> [Messages; 2] {
    let as_it_is = |own: Framing, other: &StreamFacts| match own.is_asked {
        true => None,
        false if other.ignores_boundaries => Some(Framing::BYTES),
        false => other.framing,
    };
    let keeps_chunk = |own: Framing, other: &StreamFacts| {
        as_it_is(own, other).map(|framing| Framing {
            chunk: own.chunk,
            ..framing
        })
    };
    let [of_left, of_right] = match (left.own_framing(), right.own_framing()) {
        (Some(left), Some(right)) => left.joined_to(right).map(Some),
        (Some(own), None) => [keeps_chunk(own, &right.facts), None],
        (None, Some(own)) => [None, keeps_chunk(own, &left.facts)],
        (None, None) => [None; 2],
    };
    [left.cut_as(of_left, memory), right.cut_as(of_right, memory)]
}

impl Opened {
    /// How it is to be cut into messages, where it is a byte stream.
    fn own_framing(&self) -> Option<Framing> {
        match self.stream {
            Stream::Bytes(_) => Some(self.facts.framing.unwrap_or(Framing::BYTES)),
            Stream::Messages(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::pipe;
    use crate::peer::wire::Wire;

    fn bytes(facts: StreamFacts) -> Opened {
        Opened::bytes(Box::new(Wire(tokio::io::duplex(1).0)), facts)
    }

    #[test]
    fn messages_of_bytes_inherit_the_facts_and_have_no_bytes_below_them() {
        for (framing, ignores_boundaries) in [(Framing::BYTES, true), (Framing::LINES, false)] {
            let facts = StreamFacts {
                is_local: true,
                has_no_end: true,
                ..StreamFacts::of_bytes(framing)
            };
            let facts = bytes(facts).into_messages(&Memory::default()).facts;
            assert_eq!(facts.framing, None);
            assert_eq!(facts.ignores_boundaries, ignores_boundaries);
            assert!(facts.is_local && facts.has_no_end && facts.can_half_close);
        }
    }

    #[test]
    fn bytes_are_cut_as_the_bytes_below_messages_across() {
        let messages = |framing| {
            let mut opened = Opened::from(pipe().0);
            opened.facts.framing = framing;
            opened
        };
        for (across, ignores_boundaries) in [(None, false), (Some(Framing::BYTES), true)] {
            let lines = bytes(StreamFacts::of_bytes(Framing::LINES));
            let [left, right] = into_messages(lines, messages(across), &Memory::default());
            assert_eq!(left.facts.ignores_boundaries, ignores_boundaries);
            assert!(!right.facts.ignores_boundaries);
        }
    }
}
