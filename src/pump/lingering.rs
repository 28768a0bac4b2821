//! Sessions whose caller has ended and that only wait for late answers: they give up their permits when a new caller finds
//! none, the one that has been quiet for longest first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

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
        let mut sessions = self.lock();
        let quietest = sessions
            .iter()
            .enumerate()
            .min_by_key(|(_, permit)| permit.lock().quiet_since);
        let at = quietest?.0;
        let permit = sessions.swap_remove(at);
        let mut state = permit.lock();
        state.is_given_up = true;
        if let Some(session) = state.session.take() {
            session.wake();
        }
        state.permit.take()
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
    /// Notes that the session only waits for answers, and since when nothing has come; ready when it has to end.
    pub fn poll_linger(self: &Arc<Self>, quiet_since: Instant, cx: &Context<'_>) -> Poll<()> {
        let is_new = {
            let mut state = self.lock();
            if state.is_given_up {
                return Poll::Ready(());
            }
            state.session = Some(cx.waker().clone());
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
    use std::time::Duration;
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
        assert!(quiet.permit().poll_linger(earlier, &cx).is_pending());
        assert!(loud.permit().poll_linger(now, &cx).is_pending());
        let permit = lingering.take_quietest().unwrap();
        assert!(quiet.permit().poll_linger(earlier, &cx).is_ready());
        assert!(loud.permit().poll_linger(now, &cx).is_pending());
        loud.permit().resume();
        assert!(lingering.take_quietest().is_none());
        drop(quiet);
        assert_eq!(permits.available_permits(), 0);
        drop((permit, loud, busy));
        assert_eq!(permits.available_permits(), 3);
    }
}
