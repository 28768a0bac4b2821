//! Sessions whose caller has ended and that only wait for late answers: they give up their permits when a new caller finds
//! none, the one that has been quiet for longest first. Those that have had their answer also end where a caller waits for
//! what they hold of a right side that listens.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// How long nothing must have moved in a session that ends for a caller that waits: what follows an answer is on its way.
const QUIET: Duration = Duration::from_millis(50);

/// All sessions that linger at the moment.
#[derive(Debug, Default)]
pub struct Lingering(Mutex<Vec<Arc<Permit>>>);

/// The permit of one session, which it holds until it is dropped or gives it up.
#[derive(Debug)]
pub struct Permit {
    all: Arc<Lingering>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    permit: Option<OwnedSemaphorePermit>,
    quiet_since: Option<Instant>,
    /// Whether the last that moved was an answer, before the caller ended.
    is_answered: bool,
    is_given_up: bool,
    session: Option<Waker>,
}

/// What a session has of its permit: dropping it frees the permit.
#[derive(Debug)]
pub struct Held(Arc<Permit>);

impl Lingering {
    /// Gives a session its permit.
    pub fn hold(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Held {
        let state = State {
            permit: Some(permit),
            ..State::default()
        };
        Held(Arc::new(Permit {
            all: self.clone(),
            state: Mutex::new(state),
        }))
    }

    /// Takes the permit of the lingering session that has been quiet for longest; that session ends. `None` where no session
    /// lingers.
    pub fn take_quietest(&self) -> Option<OwnedSemaphorePermit> {
        self.end_quietest(|_| true)?.lock().permit.take()
    }

    /// Ends the session that has been quiet for longest of those that have had their answer. Returns whether there was one.
    /// What still awaits an answer, or hears it, is left alone.
    pub fn end_answered(&self) -> bool {
        let now = Instant::now();
        let is_quiet = |since: Instant| now.saturating_duration_since(since) >= QUIET;
        let ended =
            self.end_quietest(|state| state.is_answered && state.quiet_since.is_some_and(is_quiet));
        ended.is_some()
    }

    fn end_quietest(&self, may_end: impl Fn(&State) -> bool) -> Option<Arc<Permit>> {
        let mut sessions = self.lock();
        loop {
            let all = sessions.iter().enumerate().filter_map(|(at, permit)| {
                let state = permit.lock();
                let quiet_since = state.quiet_since.filter(|_| may_end(&state))?;
                Some((at, quiet_since))
            });
            let (at, _) = all.min_by_key(|(_, quiet_since)| *quiet_since)?;
            let permit = sessions.swap_remove(at);
            let mut state = permit.lock();
            if state.quiet_since.is_none() {
                // It has gone on meanwhile.
                continue;
            }
            state.is_given_up = true;
            if let Some(session) = state.session.take() {
                session.wake();
            }
            drop(state);
            return Some(permit);
        }
    }

    /// Whether a session could give up its permit.
    pub fn has_any(&self) -> bool {
        !self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Permit>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// What the session's pump has of it.
    pub fn permit(&self) -> &Arc<Permit> {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.resume();
        self.0.lock().permit = None;
    }
}

impl Permit {
    /// All sessions that linger at the moment.
    pub fn all(&self) -> &Arc<Lingering> {
        &self.all
    }

    /// Notes that the session only waits for answers, since when nothing has come, and whether the last that moved was an
    /// answer, before the caller ended; ready when it has to end.
    pub fn poll_linger(
        self: &Arc<Self>,
        quiet_since: Instant,
        is_answered: bool,
        cx: &Context<'_>,
    ) -> Poll<()> {
        let is_new = {
            let mut state = self.lock();
            if state.is_given_up {
                return Poll::Ready(());
            }
            state.session = Some(cx.waker().clone());
            state.is_answered = is_answered;
            state.quiet_since.replace(quiet_since).is_none()
        };
        if is_new {
            self.all.lock().push(self.clone());
        }
        Poll::Pending
    }

    /// Notes that the session goes on, or has ended.
    pub fn resume(self: &Arc<Self>) {
        if self.lock().quiet_since.take().is_some() {
            self.all.lock().retain(|other| !Arc::ptr_eq(self, other));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn the_quietest_gives_up_its_permit_and_is_told() {
        let permits = Arc::new(Semaphore::new(3));
        let lingering = Arc::<Lingering>::default();
        let hold = || lingering.hold(permits.clone().try_acquire_owned().unwrap());
        let (loud, quiet, busy) = (hold(), hold(), hold());
        assert!(permits.clone().try_acquire_owned().is_err());
        assert!(lingering.take_quietest().is_none());
        let now = Instant::now();
        let cx = Context::from_waker(Waker::noop());
        let earlier = now - Duration::from_secs(1);
        assert!(quiet.permit().poll_linger(earlier, false, &cx).is_pending());
        assert!(loud.permit().poll_linger(now, false, &cx).is_pending());
        let permit = lingering.take_quietest().unwrap();
        assert!(quiet.permit().poll_linger(earlier, false, &cx).is_ready());
        assert!(loud.permit().poll_linger(now, false, &cx).is_pending());
        loud.permit().resume();
        assert!(lingering.take_quietest().is_none());
        drop(quiet);
        assert_eq!(permits.available_permits(), 0);
        drop((permit, loud, busy));
        assert_eq!(permits.available_permits(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_has_had_its_answer_and_is_quiet_ends_for_one_that_waits() {
        let permits = Arc::new(Semaphore::new(2));
        let lingering = Arc::<Lingering>::default();
        let hold = || lingering.hold(permits.clone().try_acquire_owned().unwrap());
        let (asks, answered) = (hold(), hold());
        let cx = Context::from_waker(Waker::noop());
        let since = Instant::now();
        assert!(asks.permit().poll_linger(since, false, &cx).is_pending());
        assert!(answered.permit().poll_linger(since, true, &cx).is_pending());
        assert!(!lingering.end_answered());
        tokio::time::advance(QUIET).await;
        assert!(lingering.end_answered());
        assert!(answered.permit().poll_linger(since, true, &cx).is_ready());
        assert!(!lingering.end_answered());
        assert!(asks.permit().poll_linger(since, false, &cx).is_pending());
        // Its permit is free once it has ended.
        assert_eq!(permits.available_permits(), 0);
        drop(answered);
        assert_eq!(permits.available_permits(), 1);
    }
}
