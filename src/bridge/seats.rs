//! The seats of sessions: how many there are at a time, and how long a caller waits for one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::pump::lingering::{Held, Lingering};

/// How long callers wait for a seat where descriptors are what limits them, from when the last was taken.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether a session has begun to linger while all seats are taken.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// The seats of all sessions.
pub(super) struct Seats {
    permits: Arc<Semaphore>,
    lingering: Arc<Lingering>,
    /// Whether the user set how many there are: then no caller waits for one.
    is_asked: bool,
    /// Since when a caller has found none, while there is none.
    full_since: Mutex<Option<Instant>>,
}

impl Seats {
    /// Makes so many seats.
    pub(super) fn new(count: usize, is_asked: bool) -> Seats {
        Seats {
            permits: Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))),
            lingering: Arc::default(),
            is_asked,
            full_since: Mutex::default(),
        }
    }

    /// Takes a seat; that of the session that lingers and has been quiet for longest where all are taken. `None` where the
    /// user limits them, or none came free for [`PATIENCE`].
    pub(super) async fn take(&self) -> Option<Held> {
        if let Some(permit) = self.free_now() {
            return Some(self.lingering.hold(permit));
        }
        if self.is_asked {
            return None;
        }
        let mut next = std::pin::pin!(self.permits.clone().acquire_owned());
        loop {
            let until = self.full_until();
            if Instant::now() >= until {
                return None;
            }
            let permit = tokio::select! {
                biased;
                permit = &mut next => permit.ok(),
                () = sleep_until(until.min(Instant::now() + LOOK)) => self.lingering.take_quietest(),
            };
            if let Some(permit) = permit {
                self.note_free();
                return Some(self.lingering.hold(permit));
            }
        }
    }

    /// Whether a caller may be accepted: there is a seat, or it can be told at once that there is none.
    pub(super) fn is_open(&self) -> bool {
        self.is_asked || self.permits.available_permits() > 0 || self.lingering.has_any()
    }

    /// When callers that find no seat need not wait any longer; the time begins with the first of them.
    pub(super) fn full_until(&self) -> Instant {
        *self.lock().get_or_insert_with(Instant::now) + PATIENCE
    }

    /// Notes that a seat or a descriptor was free.
    pub(super) fn note_free(&self) {
        *self.lock() = None;
    }

    fn free_now(&self) -> Option<OwnedSemaphorePermit> {
        let permit = self.permits.clone().try_acquire_owned().ok();
        permit.or_else(|| self.lingering.take_quietest())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        // Nothing panics while it is held.
        self.full_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_was_set_makes_no_one_wait() {
        let seats = Seats::new(1, true);
        let first = seats.take().await.unwrap();
        let begun = Instant::now();
        assert!(seats.is_open());
        assert!(seats.take().await.is_none());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        drop(first);
        assert!(seats.take().await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_a_seat_is_waited_for_as_long_as_some_come_free() {
        let seats = Seats::new(1, false);
        let mut held = seats.take().await.unwrap();
        for _ in 0..5 {
            assert!(!seats.is_open());
            let (next, ()) = tokio::join!(seats.take(), async {
                tokio::time::sleep(PATIENCE - LOOK).await;
                drop(held);
            });
            held = next.expect("a seat came free");
        }
        let begun = Instant::now();
        assert!(seats.take().await.is_none());
        assert_eq!(begun.elapsed(), PATIENCE);
        // None has come free since: those that come now are told at once.
        assert!(seats.take().await.is_none());
        assert_eq!(begun.elapsed(), PATIENCE);
        drop(held);
        assert!(seats.is_open());
        let held = seats.take().await.unwrap();
        seats.note_free();
        advance(PATIENCE).await;
        assert!(timeout(PATIENCE / 2, seats.take()).await.is_err());
        drop(held);
    }
}
