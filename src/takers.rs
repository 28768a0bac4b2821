//! The callers of a right side that listens, until sessions take them: each session takes the one that has waited longest.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::caller::Caller;
use crate::ending::errno_text;
use crate::endpoint::{Accept, Agreed, Handshake, Offer};
use crate::peer::Opened;
use crate::pump::lingering::Lingering;

/// Connections that were not read yet at most, those in a handshake, and offers. The oldest of the first is read then; that of
/// the others gives way, which most likely nobody holds any more.
const WAITING: usize = 64;
/// The pause after an accept that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the other tasks have their turn before a caller that says nothing counts as one that is there.
const TURNS: usize = 3;
/// How long a caller waits before it looks for a lingering session to end, first and at most.
const LOOKS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(100)];
/// How long the agent of a session that was ended has to connect again, before another session is ended.
const AGAIN: Duration = Duration::from_secs(1);

/// Connections that were accepted and not read yet. They are read by the session that takes them, on its own thread.
pub struct Takers {
    waiting: Arc<Waiting>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct Waiting {
    all: Mutex<All>,
    came: Notify,
}

/// A connection is in one of these lists.
#[derive(Default)]
struct All {
    /// Accepted and not read yet.
    accepted: VecDeque<Box<dyn Handshake>>,
    /// Tasks that shake hands, each within the handshake's own deadline.
    shaking: VecDeque<AbortHandle>,
    /// Those that wait for an answer.
    offers: VecDeque<Box<dyn Offer>>,
}

/// What a caller of the left has to do next.
enum Next {
    Answer(Box<dyn Offer>),
    Shake(Box<dyn Handshake>),
    Wait,
}

impl Takers {
    /// Accepts from now on, in a task of its own.
    pub fn of(accept: Box<dyn Accept>) -> Takers {
        let waiting = Arc::<Waiting>::default();
        let accepting = tokio::spawn(waiting.clone().gather(accept)).abort_handle();
        Takers { waiting, accepting }
    }

    /// Takes the first connection whose handshake is done and accepts it for a caller of the left; waits for one where there is
    /// none, and then has a session end that lingers and has its answer. Cancel-safe but for a connection that is just being
    /// accepted.
    pub async fn next(&self, caller: &Caller, lingering: Option<&Lingering>) -> Opened {
        tokio::select! {
            biased;
            opened = self.take(caller) => opened,
            never = make_room(lingering) => match never {},
        }
    }

    async fn take(&self, caller: &Caller) -> Opened {
        loop {
            match accept(self.waiting.offer().await, caller).await {
                Ok(Some(opened)) => return opened,
                Ok(None) => debug!("a caller of the right side has gone before it was taken"),
                Err(error) => debug!("{error:#}"),
            }
        }
    }
}

impl Drop for Takers {
    fn drop(&mut self) {
        self.accepting.abort();
        self.waiting
            .lock()
            .shaking
            .iter()
            .for_each(AbortHandle::abort);
    }
}

impl Waiting {
    async fn gather(self: Arc<Waiting>, mut accept: Box<dyn Accept>) {
        loop {
            match accept.accept().await {
                Ok(handshake) => {
                    // Those that say nothing push out none that has asked already.
                    if let Some(oldest) = self.add(|all| &mut all.accepted, handshake) {
                        self.shake(oldest);
                    }
                }
                Err(error) => {
                    let what = errno_text(&error);
                    warn!("accepting: {what}; trying again in {PAUSE:?}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Adds one to a list; returns its oldest where there are too many.
    fn add<T>(&self, list: fn(&mut All) -> &mut VecDeque<T>, one: T) -> Option<T> {
        let mut all = self.lock();
        let list = list(&mut all);
        list.push_back(one);
        let oldest = (list.len() > WAITING).then(|| list.pop_front());
        drop(all);
        self.came.notify_one();
        oldest.flatten()
    }

    /// Waits for a connection whose handshake is done. Handshakes go on beside each other, also without a caller that waits: a
    /// slow one keeps nobody from one that is ready. Cancel-safe.
    async fn offer(self: &Arc<Waiting>) -> Box<dyn Offer> {
        loop {
            match self.next() {
                Next::Answer(offer) => return offer,
                Next::Shake(handshake) => {
                    self.shake(handshake);
                    // One whose request is here already is done by then, and no further one is begun.
                    turns().await;
                }
                Next::Wait => self.came.notified().await,
            }
        }
    }

    fn next(&self) -> Next {
        let mut all = self.lock();
        let next = match all.offers.pop_front() {
            Some(offer) => Next::Answer(offer),
            None => all.accepted.pop_front().map_or(Next::Wait, Next::Shake),
        };
        if !all.offers.is_empty() || !all.accepted.is_empty() {
            // Several have come at one notice.
            self.came.notify_one();
        }
        next
    }

    /// Begins a handshake, in a task of its own.
    fn shake(self: &Arc<Waiting>, handshake: Box<dyn Handshake>) {
        let waiting = self.clone();
        let task = tokio::spawn(async move {
            match handshake.shake().await {
                Ok(Some(offer)) => drop(waiting.add(|all| &mut all.offers, offer)),
                Ok(None) => {}
                Err(error) => debug!("{error:#}"),
            }
        });
        let mut all = self.lock();
        all.shaking.retain(|task| !task.is_finished());
        all.shaking.push_back(task.abort_handle());
        if all.shaking.len() > WAITING
            && let Some(oldest) = all.shaking.pop_front()
        {
            oldest.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        // Nothing panics while it is held.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has lingering sessions end that have their answers, one after the other, for as long as it is polled.
async fn make_room(lingering: Option<&Lingering>) -> Infallible {
    let Some(lingering) = lingering else {
        return pending().await;
    };
    let mut pause = LOOKS[0];
    loop {
        sleep(pause).await;
        pause = match lingering.end_answered() {
            true => AGAIN,
            false => (2 * pause).min(LOOKS[1]),
        };
    }
}

/// Gives the other tasks their turns.
async fn turns() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

/// Accepts a caller that is still there; `None` where it is not. One that gave up waiting has left its request behind.
async fn accept(mut offer: Box<dyn Offer>, caller: &Caller) -> Result<Option<Opened>> {
    tokio::select! {
        biased;
        () = offer.gone() => return Ok(None),
        () = turns() => {}
    }
    offer.agree(&Agreed {
        half_close: caller.half_closes,
        ..Agreed::default()
    });
    offer.accept().await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Source;
    use std::io;
    use std::task::{Context, Waker};

    use tokio::sync::Semaphore;
    use tokio::time::{Instant, timeout};

    use crate::ending::Cause;
    use crate::endpoint::BoxFuture;
    use crate::peer::pipe;

    /// Hands out connections whose handshakes take so long, one after the other.
    struct Scripted(VecDeque<Duration>);

    struct Slow(Duration);

    struct Ready(Arc<Caller>);

    impl Accept for Scripted {
        fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn Handshake>>> {
            Box::pin(async {
                match self.0.pop_front() {
                    Some(time) => Ok(Box::new(Slow(time)) as Box<dyn Handshake>),
                    None => pending().await,
                }
            })
        }
    }

    impl Handshake for Slow {
        fn source(&self) -> Source {
            Source::Unknown
        }

        fn shake(self: Box<Self>) -> BoxFuture<'static, Result<Option<Box<dyn Offer>>>> {
            Box::pin(async move {
                sleep(self.0).await;
                let caller = Arc::new(Caller::new("agent"));
                Ok(Some(Box::new(Ready(caller)) as Box<dyn Offer>))
            })
        }
    }

    impl Offer for Ready {
        fn caller(&self) -> &Arc<Caller> {
            &self.0
        }

        fn is_accepted_first(&self) -> bool {
            false
        }

        fn gone(&mut self) -> BoxFuture<'_, ()> {
            Box::pin(std::future::pending())
        }

        fn agree(&mut self, _agreed: &Agreed<'_>) {}

        fn accept(self: Box<Self>) -> BoxFuture<'static, Result<Opened>> {
            Box::pin(async { Ok(pipe().0.into()) })
        }

        fn refuse(self: Box<Self>, _cause: Cause, _why: String) -> BoxFuture<'static, ()> {
            Box::pin(async {})
        }
    }

    fn takers(handshakes: &[u64]) -> Takers {
        let times = handshakes.iter().copied().map(Duration::from_secs);
        Takers::of(Box::new(Scripted(times.collect())))
    }

    /// When callers that come at once are served, in seconds; `None` is not within 10.
    async fn served(takers: &Takers, callers: usize) -> Vec<Option<u64>> {
        let begun = Instant::now();
        let mut served = Vec::new();
        for _ in 0..callers {
            let caller = Caller::new("caller");
            let next = takers.next(&caller, None);
            let taken = timeout(Duration::from_secs(10), next).await;
            served.push(taken.ok().map(|_| begun.elapsed().as_secs()));
        }
        served
    }

    const NEVER: u64 = 1 << 20;

    #[tokio::test(start_paused = true)]
    async fn a_slow_handshake_keeps_no_caller_from_one_that_is_done() {
        let mut handshakes = vec![NEVER; WAITING - 1];
        handshakes.push(0);
        assert_eq!(served(&takers(&handshakes), 1).await, [Some(0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_say_nothing_push_out_none_that_asks() {
        let mut handshakes = vec![0];
        handshakes.resize(WAITING + WAITING / 2, NEVER);
        let takers = takers(&handshakes);
        turns().await;
        assert_eq!(served(&takers, 1).await, [Some(0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_handshake_goes_on_for_later_callers() {
        let takers = takers(&[5, 0, 12]);
        let expected = [Some(0), Some(5), Some(12), None];
        assert_eq!(served(&takers, 4).await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn who_still_waits_for_an_answer_makes_no_room() {
        let permits = Arc::new(Semaphore::new(1));
        let lingering = Arc::<Lingering>::default();
        let held = lingering.hold(permits.try_acquire_owned().unwrap());
        let (takers, caller) = (takers(&[]), Caller::new("caller"));
        let cx = Context::from_waker(Waker::noop());
        let since = Instant::now();
        for is_answered in [false, true] {
            let lingers = held.permit().poll_linger(since, is_answered, &cx);
            assert!(lingers.is_pending());
            let next = takers.next(&caller, Some(&lingering));
            assert!(timeout(Duration::from_secs(10), next).await.is_err());
            let lingers = held.permit().poll_linger(since, is_answered, &cx);
            assert_eq!(lingers.is_ready(), is_answered);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_end_with_their_side() {
        let takers = takers(&[NEVER]);
        assert_eq!(served(&takers, 1).await, [None]);
        let waiting = Arc::downgrade(&takers.waiting);
        drop(takers);
        turns().await;
        assert!(waiting.upgrade().is_none());
    }
}
