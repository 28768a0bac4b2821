//! The graceful stop of a session: what is under way comes to its end first, or is told to be cut.

use std::time::Duration;

use tokio::time::Instant;

use super::Pump;
use super::end::End;
use super::options::Copied;
use crate::ending::{Deadline, Ending};

/// How long nothing must have come for a stop to find nothing under way.
const QUIET: Duration = Duration::from_millis(250);

impl Pump<'_> {
    /// After a stop, asks both sides to end once nothing is under way: a WebSocket by a Close, so that it can still say what it
    /// has; bytes when nobody else is there to. What is on its way to one of them for longer than half the drain is cut, and
    /// both are told so. A person at the terminal does not wait, and in a room or from datagrams there is nothing to wait for.
    ///
    /// Returns when time alone may change that.
    pub(super) fn stop_when_quiet(&mut self) -> Option<Instant> {
        let (stop, at) = self.stopped?;
        let latest = at + self.options.drain / 2;
        let (left, right) = (&mut self.left, &mut self.right);
        let both_half_close = !left.closes_both() && !right.closes_both();
        let waits = ![&*left, &*right]
            .iter()
            .any(|end| end.is_local || end.is_feed);
        let busy = [right.busy_until(left), left.busy_until(right)];
        let busy_until = busy[0].max(busy[1]).filter(|_| waits);
        // What a side said goes across by itself.
        let passes = [&*right, &*left].map(|other| {
            let said = other.said.as_ref();
            said.is_some_and(|said| waits || said.0.is_abort())
        });
        let ends = [left, right];
        let asked = [0, 1].map(|at| {
            let is_asked = both_half_close || ends[at].closes_both();
            is_asked && !passes[at] && (ends[at].takes() || ends[at].owes_close())
        });
        if let Some(until) = busy_until.filter(|_| asked != [false; 2]) {
            if Instant::now() < latest {
                return Some(until.min(latest));
            }
            if (0..2).any(|at| asked[at] && busy[at].is_some()) {
                self.expire(Deadline::Drain);
                return None;
            }
        }
        for (end, is_asked) in ends.into_iter().zip(asked) {
            if is_asked {
                end.tell(Ending::Stopped(stop));
            }
        }
        None
    }
}

impl End {
    /// Until when more of it is to be expected for `sink`, if it is: something came a moment ago, or waits for the sink to
    /// take some, or is a message of which the rest has yet to come.
    fn busy_until(&self, sink: &End) -> Option<Instant> {
        let now = Instant::now();
        let is_within = self.is_within_message && !sink.ignores_boundaries;
        let since = match self.is_held_up || is_within {
            true => now,
            false => self.heard_at?,
        };
        let may_come = self.said.is_none() && self.copied != Copied::Nothing && sink.takes();
        Some(since + QUIET).filter(|until| may_come && now < *until)
    }
}
