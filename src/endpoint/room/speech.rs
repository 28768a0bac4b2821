//! What is said in a room at once: short messages together, encoded once for all who hear them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::message::Message;
use crate::memory::{Charge, Holding};
use crate::message::{Batch, Kind, SHORT, Span};

/// Messages that were said at once, of one member and one kind.
#[derive(Debug)]
struct Speech {
    /// Who says it; 0 is the room itself.
    from: u64,
    body: Body,
    _charge: Charge,
}

#[derive(Debug)]
enum Body {
    /// Short ones, with the bytes of each and those before it.
    Short(Batch, Vec<Span>),
    /// A long one.
    Long(Kind, Bytes),
}

/// Messages next to each other of what was said at once; many members may have it.
#[derive(Clone, Debug)]
pub(super) struct Part {
    of: Arc<Speech>,
    begin: usize,
    end: usize,
}

/// What a member is to be sent.
pub(super) enum Wire {
    Batch(Batch),
    Long(Kind, Bytes),
}

/// Puts messages of `from` together, as many as a batch holds; they are counted in `holding` as long as somebody has them.
pub(super) fn gather(
    from: u64,
    messages: impl IntoIterator<Item = Message>,
    holding: &Arc<Holding>,
) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut kind, mut bytes, mut spans) = (Kind::Text, BytesMut::new(), Vec::new());
    for Message {
        kind: its,
        bytes: message,
    } in messages
    {
        let is_long = message.len() > SHORT;
        let is_full = bytes.len() + message.len() > Batch::LENGTH || spans.len() == Batch::MOST;
        if is_long || is_full || kind != its {
            parts.extend(Part::short(from, kind, &mut bytes, &mut spans, holding));
        }
        if is_long {
            let charge = Charge::new(holding, message.len());
            parts.push(Part::new(from, Body::Long(its, message), 1, charge));
            continue;
        }
        kind = its;
        // A batch is much shorter than 4 GiB.
        #[allow(clippy::cast_possible_truncation)]
        let span = (bytes.len() as u32, (bytes.len() + message.len()) as u32);
        spans.push(span);
        bytes.extend_from_slice(&message);
    }
    parts.extend(Part::short(from, kind, &mut bytes, &mut spans, holding));
    parts
}

impl Part {
    fn new(from: u64, body: Body, end: usize, charge: Charge) -> Part {
        Part {
            of: Arc::new(Speech {
                from,
                body,
                _charge: charge,
            }),
            begin: 0,
            end,
        }
    }

    fn short(
        from: u64,
        kind: Kind,
        bytes: &mut BytesMut,
        spans: &mut Vec<Span>,
        holding: &Arc<Holding>,
    ) -> Option<Part> {
        if spans.is_empty() {
            return None;
        }
        let (count, spans) = (spans.len(), std::mem::take(spans));
        let batch = Batch::new(kind, std::mem::take(bytes), spans.clone()).shared();
        // Once more for what it is when it is encoded.
        let charge = Charge::new(holding, 2 * batch.size());
        Some(Part::new(from, Body::Short(batch, spans), count, charge))
    }

    /// Who says it.
    pub(super) fn from(&self) -> u64 {
        self.of.from
    }

    /// How many messages there are.
    pub(super) fn count(&self) -> usize {
        self.end - self.begin
    }

    /// Bytes of all messages together.
    pub(super) fn bytes(&self) -> usize {
        match &self.of.body {
            Body::Long(_, bytes) => bytes.len() * self.count(),
            // They lie one behind the other.
            Body::Short(_, spans) => match &spans[self.begin..self.end] {
                [] => 0,
                [first, .., last] => (last.1 - first.0) as usize,
                [(begin, end)] => (end - begin) as usize,
            },
        }
    }

    /// The messages one by one.
    pub(super) fn each(&self) -> impl Iterator<Item = Part> {
        (self.begin..self.end).map(|begin| Part {
            of: self.of.clone(),
            begin,
            end: begin + 1,
        })
    }

    /// Takes the first message, of at least one.
    pub(super) fn take_first(&mut self) -> Part {
        let first = Part {
            of: self.of.clone(),
            begin: self.begin,
            end: self.begin + 1,
        };
        self.begin += 1;
        first
    }

    /// Takes what comes right behind it of what was said at once; false where that is something else.
    pub(super) fn joins(&mut self, next: &Part) -> bool {
        let is_next = Arc::ptr_eq(&self.of, &next.of) && self.end == next.begin;
        if is_next {
            self.end = next.end;
        }
        is_next
    }

    /// What is to be sent.
    pub(super) fn wire(&self) -> Wire {
        match &self.of.body {
            Body::Long(kind, bytes) => Wire::Long(*kind, bytes.clone()),
            Body::Short(batch, spans) if self.count() == spans.len() => Wire::Batch(batch.clone()),
            Body::Short(batch, _) => Wire::Batch(batch.part(self.begin, self.end)),
        }
    }
}
