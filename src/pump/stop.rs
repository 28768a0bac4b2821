//! The graceful stop of a session: what is under way comes to its end first, or is told to be cut.

use std::time::Duration;

use tokio::time::Instant;

use super::{Copied, End, Pump, earliest};
use crate::ending::{Deadline, Ending};

/// How long nothing must have moved for a stop to find nothing under way.
const QUIET: Duration = Duration::from_millis(250);

impl Pump<'_> {
    /// After a stop, asks each side to end once nothing is on its way to it: a WebSocket by a Close, so that it can still say
    /// what it has; bytes when nobody else is there to. What takes longer than half the drain is cut, and both are told so.
    /// A person at the terminal does not wait, and in a room or from datagrams there is nothing to wait for.
    ///
    /// Returns when time alone may change that.
    pub(super) fn stop_when_quiet(&mut self) -> Option<Instant> {
        let (stop, at) = self.stopped?;
        let (left, right) = (&mut self.left, &mut self.right);
        let both_half_close = left.stream.half_closes() && right.stream.half_closes();
        let ends = [&*left, &*right];
        let waits = !(ends.iter()).any(|end| end.stream.is_local() || end.stream.is_feed());
        let quiet = QUIET.min(self.options.drain / 4);
        let latest = at + self.options.drain / 2;
        let other = [&*right, &*left].map(|other| {
            let said = other.said.as_ref();
            let is_told_that = said.is_some_and(|said| waits || said.is_abort());
            (is_told_that, other.busy_until(quiet).filter(|_| waits))
        });
        let (mut wake_at, mut is_late) = (None, false);
        for (end, (is_told_that, busy)) in [left, right].into_iter().zip(other) {
            let is_asked = both_half_close || !end.stream.half_closes();
            if is_told_that || !is_asked || !end.takes() {
                continue;
            }
            match busy {
                None => end.tell(Ending::Stopped(stop)),
                Some(until) if Instant::now() < latest => {
                    earliest(&mut wake_at, Some(until.min(latest)));
                }
                Some(_) => is_late = true,
            }
        }
        if is_late {
            self.expire(Deadline::Drain);
        }
        wake_at
    }
}

impl End<'_> {
    /// Until when more of it is to be expected, if it is: it moved a moment ago, or waits for the other side to take some.
    fn busy_until(&self, quiet: Duration) -> Option<Instant> {
        let now = Instant::now();
        let until = if self.is_held_up { now } else { self.moved_at } + quiet;
        let may_come = self.said.is_none() && self.copied != Copied::Nothing;
        (may_come && now < until).then_some(until)
    }
}
