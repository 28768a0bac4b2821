//! What a source was read on while its sink takes nothing, and what is known of such a source.

use std::collections::VecDeque;

use bytes::BytesMut;
use tokio::time::Instant;

use super::budget::BYTES_A_POLL;
use crate::ending::Ending;
use crate::memory::{Memory, Spare};
use crate::message::Fragment;
use crate::peer::Event;

/// Bytes that a source is read on at most.
pub(super) const AHEAD: usize = 4 * 1024 * 1024;
/// Bytes that are counted for what is kept beside the payload of an event.
const OVERHEAD: usize = 128;

/// What was read of a source and could not be delivered yet.
pub(super) struct Ahead {
    pub(super) events: VecDeque<Event>,
    pub(super) size: usize,
    pub(super) spare: Spare,
}

impl Ahead {
    pub(super) fn new(memory: &Memory) -> Ahead {
        Ahead {
            events: VecDeque::new(),
            size: 0,
            spare: Spare::of(memory),
        }
    }

    /// Whether more may be read: its end has not come, or one that its Close follows, and there is memory for it.
    pub(super) fn has_room(&mut self, awaits_close: bool) -> bool {
        let next = self.size + BYTES_A_POLL;
        (self.end().is_none() || awaits_close) && next <= AHEAD && self.spare.covers(next)
    }

    /// How the source ended, where that was read.
    pub(super) fn end(&self) -> Option<&Ending> {
        match self.events.back() {
            Some(Event::End(ending)) => Some(ending),
            _ => None,
        }
    }

    /// Keeps an event, in memory of its own: a slice of a buffer would hold on to all of it.
    pub(super) fn push(&mut self, event: Event) {
        let event = match event {
            Event::Fragment(fragment) => Event::Fragment(Fragment {
                payload: BytesMut::from(&fragment.payload[..]),
                ..fragment
            }),
            Event::Batch(batch) => Event::Batch(batch.part(0, batch.count())),
            other => other,
        };
        self.size += event.size() + OVERHEAD;
        self.events.push_back(event);
    }
}

/// What is known of a source whose sink takes nothing.
pub(super) struct Watch {
    /// When the sink last took something, and how much was left for it then.
    pub(super) since: Instant,
    pub(super) unsent: usize,
    pub(super) look_at: Instant,
    /// Whether the end of the source had been read then.
    pub(super) has_ended: bool,
    /// How the source has gone, and when that was seen.
    pub(super) gone: Option<(Ending, Instant)>,
}
