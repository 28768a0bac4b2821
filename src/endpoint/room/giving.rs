//! What a room does where memory is short: what newcomers would hear goes, or the member whose queue is largest.

use std::collections::VecDeque;
use std::sync::Arc;

use super::queue::Seat;
use super::{Room, State, release};
use crate::ending::{Ending, Shortage};
use crate::memory::{Holder, reserve};

/// Bytes from which the system is asked whether it has as many as they may become.
const LONG: usize = 64 * 1024;

impl Room {
    /// Makes sure that there is memory for what is said, `bytes` of it. Called without a lock.
    pub(super) fn ensure(&self, bytes: usize) -> Result<(), Shortage> {
        // Digits and quotes for who says it.
        let grown = match self.manner.id {
            None => bytes,
            Some(_) => 2 * bytes,
        };
        self.holding.ensure(grown, bytes)?;
        if self.manner.id.is_some() && bytes > LONG {
            // Freed at once: an object is made in steps that each must succeed.
            reserve(&mut Vec::new(), 2 * grown)?;
        }
        Ok(())
    }

    /// Ends one member at once, where it is still here.
    pub(in crate::endpoint) fn cut(&self, id: u64, ending: Ending) {
        let mut state = self.lock();
        if let Some(seat) = state.members.get(&id).cloned() {
            self.cut_seat(&mut state, &seat, ending);
        }
        release(state);
    }

    fn cut_seat(&self, state: &mut State, seat: &Seat, ending: Ending) {
        let mut queue = seat.lock();
        queue.cut_with(ending);
        state.woken.extend(queue.reader.take());
        if self.count_waited_for(&mut queue) {
            state.woken.append(&mut state.waiting);
        }
    }
}

impl State {
    /// The member with the largest queue, first of those that take nothing; with its bytes.
    fn fullest(&self) -> Option<(Arc<Seat>, usize)> {
        let queues = self.members.values().map(|seat| {
            let queue = seat.lock();
            ((queue.is_blocked, queue.bytes()), seat)
        });
        let fullest = queues.max_by_key(|(rank, _)| *rank);
        fullest
            .filter(|((_, bytes), _)| *bytes > 0)
            .map(|((_, bytes), seat)| (seat.clone(), bytes))
    }
}

impl Holder for Room {
    fn weight(&self) -> usize {
        let state = self.lock();
        let queue = state.fullest().map_or(0, |(_, bytes)| bytes);
        queue.max(state.replayed.1)
    }

    fn give_way(&self) -> usize {
        let held = self.holding.held();
        let mut state = self.lock();
        if state.replayed.1 > 0 {
            (state.replay, state.replayed) = (VecDeque::new(), (0, 0));
        }
        // Several may wait for the same words.
        while self.holding.held() >= held {
            let Some((seat, bytes)) = state.fullest() else {
                break;
            };
            let ending = Ending::OutOfMemory(Shortage::Queue { held: bytes });
            self.cut_seat(&mut state, &seat, ending);
        }
        release(state);
        held.saturating_sub(self.holding.held())
    }

    fn told(&self, held: usize) -> String {
        Shortage::Queue { held }.told()
    }
}
