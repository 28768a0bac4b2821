//! Pings that a person asks for: from the side where they are asked for to the side that can send them, in one task.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// A wish for pings and where their round trips are told. Whoever has none of it pays nothing.
pub struct Pings {
    state: Mutex<State>,
    tell: Box<dyn Fn(Duration) + Send + Sync>,
}

#[derive(Default)]
struct State {
    is_carried: bool,
    is_asked: bool,
    sent_at: Option<Instant>,
    sender: Option<Waker>,
}

impl Pings {
    /// Makes pings whose round trips are told so.
    pub fn new(tell: impl Fn(Duration) + Send + Sync + 'static) -> Pings {
        Pings {
            state: Mutex::default(),
            tell: Box::new(tell),
        }
    }

    /// Asks for a ping; false where the other side has none.
    pub fn ask(&self) -> bool {
        let mut state = self.lock();
        state.is_asked = state.is_carried;
        if let Some(sender) = state.sender.take() {
            sender.wake();
        }
        state.is_carried
    }

    /// Says that somebody will send them.
    pub fn carry(&self) {
        self.lock().is_carried = true;
    }

    /// Whether one is to be sent now; wakes the task where one is asked for later.
    pub fn is_due(&self, cx: &mut Context<'_>) -> bool {
        let mut state = self.lock();
        state.sender = Some(cx.waker().clone());
        let is_due = std::mem::take(&mut state.is_asked);
        if is_due {
            state.sent_at = Some(Instant::now());
        }
        is_due
    }

    /// Tells that a pong has come.
    pub fn answered(&self) {
        let sent_at = self.lock().sent_at.take();
        if let Some(sent_at) = sent_at {
            (self.tell)(sent_at.elapsed());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pings")
    }
}
