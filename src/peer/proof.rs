//! The proof that the peer of one hop knows half-closes, as the other hop of a relay waits for it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// Something that is not given at first, then given for ever.
#[derive(Debug, Default)]
pub struct Proof(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_given: bool,
    waiting: Option<Waker>,
}

impl Proof {
    /// Gives it and wakes the task that waits for it.
    pub fn give(&self) {
        let mut state = self.lock();
        state.is_given = true;
        if let Some(waker) = state.waiting.take() {
            waker.wake();
        }
    }

    /// Whether it was given.
    pub fn was_given(&self) -> bool {
        self.lock().is_given
    }

    /// Whether it was given; wakes the task when it is later.
    pub fn is_given(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        if !state.is_given {
            state.waiting = Some(cx.waker().clone());
        }
        state.is_given
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
