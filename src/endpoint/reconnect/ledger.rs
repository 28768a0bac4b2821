//! What is known of the messages that went out and came in when a connection is lost.

use bytes::BytesMut;

use crate::memory::{FREE, Memory, Spare};
use crate::message::{Fragment, Kind};
use crate::peer::{Event, Gap, MessageStream, Notice};

/// What was sent and is not known to have been taken.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Since the last proof.
    uncertain: Gap,
    /// The part of it that the probe on its way says nothing of.
    unasked: Gap,
    /// The number of the probe on its way.
    asked: Option<u64>,
    is_within_message: bool,
    /// Whether the rest of a message is left out, whose beginning went to a connection that is gone.
    is_skipping: bool,
}

impl Ledger {
    /// Whether a fragment is to be sent: the rest of a message that another connection has is not, and is lost.
    pub(super) fn admits(&mut self, fragment: &Fragment, gap: &mut Gap) -> bool {
        if !self.is_skipping {
            return true;
        }
        gap.bytes += fragment.payload.len() as u64;
        self.is_skipping = !fragment.fin;
        false
    }

    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Fragment(fragment) => self.note_fragment(fragment),
            Event::Batch(batch) => self.add(batch.count() as u64, batch.payload()),
            Event::Gap(_) | Event::End(_) => {}
        }
    }

    fn note_fragment(&mut self, fragment: &Fragment) {
        let is_first = !self.is_within_message;
        self.add(u64::from(is_first), fragment.payload.len());
        self.is_within_message = !fragment.fin;
    }

    fn add(&mut self, messages: u64, bytes: usize) {
        for part in [&mut self.uncertain, &mut self.unasked] {
            part.messages += messages;
            part.bytes += bytes as u64;
        }
    }

    /// Asks the peer for a proof where one is due: a WebSocket answers a ping behind all that came before it. Of a stream
    /// that can not be asked it counts that its system has taken all.
    pub(super) fn ask(&mut self, stream: &mut dyn MessageStream) {
        if self.asked.is_some() || self.unasked == Gap::default() {
            return;
        }
        stream.notify(Notice::Probe);
        self.asked = stream.tally().asked;
        if self.asked.is_some() {
            self.unasked = Gap::default();
        } else if stream.unsent() == 0 {
            (self.uncertain, self.unasked) = Default::default();
        }
    }

    /// Looks for the answer.
    pub(super) fn hear(&mut self, stream: &dyn MessageStream) {
        if self
            .asked
            .is_some_and(|number| stream.tally().answered >= number)
        {
            self.uncertain = self.unasked;
            self.asked = None;
        }
    }

    /// Ends a connection; what may have been lost with it.
    pub(super) fn close(&mut self) -> Gap {
        let is_skipping = self.is_skipping || self.is_within_message;
        let lost = std::mem::take(self).uncertain;
        self.is_skipping = is_skipping;
        lost
    }
}

/// A message that has come in part: held back, because its rest may never come.
#[derive(Debug)]
pub(super) struct Partial {
    held: BytesMut,
    spare: Spare,
    /// The kind of the message that is held.
    kind: Option<Kind>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Between,
    Held,
    /// Some of it was passed on.
    Passed,
}

impl Partial {
    /// Bytes of a message that are held back until its end has come, where half of `--memory` is free.
    pub(super) const MOST: usize = 1 << 20;

    pub(super) fn new(memory: &Memory) -> Partial {
        Partial {
            held: BytesMut::new(),
            spare: Spare::of(memory),
            kind: None,
            state: State::Between,
        }
    }

    /// Takes a fragment; gives what is to be passed on.
    pub(super) fn push(&mut self, fragment: Fragment) -> Option<Fragment> {
        let Fragment { kind, fin, payload } = fragment;
        let payload = match (self.state, fin) {
            (State::Between, true) => payload,
            (State::Passed, _) => {
                self.state = if fin { State::Between } else { State::Passed };
                payload
            }
            (State::Between | State::Held, _) => {
                self.kind = Some(kind);
                self.held.extend_from_slice(&payload);
                return self.whole(kind, fin);
            }
        };
        Some(Fragment { kind, fin, payload })
    }

    fn whole(&mut self, kind: Kind, fin: bool) -> Option<Fragment> {
        self.state = match fin {
            true => State::Between,
            false if self.may_hold() => State::Held,
            false => State::Passed,
        };
        let payload = std::mem::take(&mut self.held);
        if self.state == State::Held {
            self.held = payload;
            return None;
        }
        self.spare.clear();
        Some(Fragment { kind, fin, payload })
    }

    /// Whether what is held may stay.
    fn may_hold(&mut self) -> bool {
        let len = self.held.len();
        len < Partial::MOST && (len <= FREE || self.spare.covers(len))
    }

    /// Whether some of an unfinished message was passed on, so that no other connection can finish it.
    pub(super) fn is_passed(&self) -> bool {
        self.state == State::Passed
    }

    /// Takes what is held of an unfinished message, which is to be passed on: there is no other connection that could bring it
    /// whole.
    pub(super) fn pass(&mut self) -> Option<Fragment> {
        let kind = self.kind.filter(|_| self.state == State::Held)?;
        self.state = State::Passed;
        self.spare.clear();
        Some(Fragment {
            kind,
            fin: false,
            payload: std::mem::take(&mut self.held),
        })
    }

    /// Drops what is held of an unfinished message; how many bytes, where there is one.
    pub(super) fn clear(&mut self) -> Option<usize> {
        let held = std::mem::take(&mut self.held);
        self.spare.clear();
        self.kind = None;
        let state = std::mem::take(&mut self.state);
        (state == State::Held).then_some(held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, fin: bool) -> Fragment {
        Fragment {
            fin,
            ..Fragment::text(text)
        }
    }

    #[test]
    fn a_message_is_passed_on_when_it_is_whole() {
        let mut partial = Partial::new(&Memory::default());
        assert_eq!(
            partial.push(piece("whole", true)),
            Some(Fragment::text("whole"))
        );
        assert_eq!(partial.push(piece("a", false)), None);
        assert_eq!(partial.push(piece("", false)), None);
        assert_eq!(partial.push(piece("b", true)), Some(Fragment::text("ab")));
        assert_eq!(partial.clear(), None);
        assert_eq!(partial.push(piece("abc", false)), None);
        assert_eq!(partial.clear(), Some(3));
        assert_eq!(partial.push(piece("d", true)), Some(Fragment::text("d")));
    }

    #[test]
    fn a_long_message_is_passed_on_in_parts() {
        let mut partial = Partial::new(&Memory::default());
        let long = "x".repeat(Partial::MOST - 1);
        assert_eq!(partial.push(piece(&long, false)), None);
        let passed = partial.push(piece("yz", false)).unwrap();
        assert_eq!(
            (passed.payload.len(), passed.fin),
            (Partial::MOST + 1, false)
        );
        assert!(partial.is_passed());
        assert_eq!(partial.push(piece("end", true)), Some(piece("end", true)));
        assert!(!partial.is_passed());
    }

    #[test]
    fn the_rest_of_a_message_is_left_out_and_counted() {
        let (mut ledger, mut gap) = (Ledger::default(), Gap::default());
        ledger.note(&piece("begin", false).into());
        assert_eq!((ledger.close().messages, ledger.is_skipping), (1, true));
        assert!(!ledger.admits(&piece("more", false), &mut gap));
        // Once more, before the rest has come.
        ledger.close();
        assert!(!ledger.admits(&piece("end", true), &mut gap));
        assert_eq!((gap.messages, gap.bytes), (0, 7));
        assert!(ledger.admits(&piece("next", true), &mut gap));
    }
}
