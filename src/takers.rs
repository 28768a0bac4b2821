//! The callers of a right side that listens, until sessions take them: each session takes the first that has asked for anything,
//! of several the one that has waited longest.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::caller::{Caller, Source};
use crate::ending::errno_text;
use crate::endpoint::{Accept, Agreed, BoxFuture, Handshake, Offer};
use crate::peer::Peer;

/// Connections that wait at most. Then the oldest gives way, which most likely nobody holds any more: that of the address that
/// has most of them.
const WAITING: usize = 64;
/// The pause after an accept that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the other tasks have their turn before a caller that says nothing counts as one that is there.
const TURNS: usize = 3;

/// Connections that were accepted and not taken yet. They are read by the session that takes them, on its own thread.
pub struct Takers {
    waiting: Arc<Waiting>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct Waiting {
    all: Mutex<VecDeque<Taker>>,
    came: Notify,
}

/// One connection.
struct Taker {
    source: Source,
    state: State,
}

type Shaken = Result<Option<Box<dyn Offer>>>;

enum State {
    /// Nothing of it has been read.
    Fresh(Box<dyn Handshake>),
    /// A session has read it, and found another meanwhile.
    Begun(BoxFuture<'static, Shaken>),
}

impl Takers {
    /// Accepts from now on, in a task of its own.
    pub fn of(accept: Box<dyn Accept>) -> Takers {
        let waiting = Arc::<Waiting>::default();
        let accepting = tokio::spawn(waiting.clone().gather(accept)).abort_handle();
        Takers { waiting, accepting }
    }

    /// Takes one through its handshake and accepts it for a caller of the left; waits for one where there is none. One that
    /// says nothing holds up no other. Cancel-safe.
    pub async fn next(&self, caller: &Caller) -> Peer {
        let mut begun = Begun {
            all: Vec::new(),
            waiting: &self.waiting,
        };
        loop {
            let shaken = tokio::select! {
                biased;
                shaken = begun.shaken() => shaken,
                taker = self.waiting.next() => {
                    begun.add(taker);
                    continue;
                }
            };
            let accepted = match shaken {
                Ok(Some(offer)) => accept(offer, caller).await,
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match accepted {
                Ok(Some(peer)) => return peer,
                Ok(None) => debug!("a caller of the right side has gone before it was taken"),
                Err(error) => debug!("{error:#}"),
            }
        }
    }
}

impl Drop for Takers {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The handshakes that a session is in. Those that it does not need wait on for others.
struct Begun<'a> {
    /// Oldest first.
    all: Vec<(Source, BoxFuture<'static, Shaken>)>,
    waiting: &'a Waiting,
}

impl Begun<'_> {
    fn add(&mut self, taker: Taker) {
        let handshake = match taker.state {
            State::Fresh(handshake) => handshake.shake(),
            State::Begun(handshake) => handshake,
        };
        self.all.push((taker.source, handshake));
        if self.all.len() > WAITING {
            let sources = self.all.iter().map(|(source, _)| *source);
            drop(self.all.remove(victim(sources)));
        }
    }

    /// Waits until one of them is over; for ever where there is none.
    async fn shaken(&mut self) -> Shaken {
        poll_fn(|cx| {
            for at in 0..self.all.len() {
                if let Poll::Ready(shaken) = self.all[at].1.as_mut().poll(cx) {
                    drop(self.all.remove(at));
                    return Poll::Ready(shaken);
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock();
        for (source, handshake) in self.all.drain(..).rev() {
            let state = State::Begun(handshake);
            waiting.push_front(Taker { source, state });
        }
        if !waiting.is_empty() {
            self.waiting.came.notify_one();
        }
    }
}

/// Which of too many gives way: the oldest of the source that has most.
fn victim(sources: impl Iterator<Item = Source> + Clone) -> usize {
    let mut counts = HashMap::<_, usize>::new();
    for source in sources.clone() {
        *counts.entry(source).or_default() += 1;
    }
    let most = counts.values().max().copied();
    let mut sources = sources;
    sources
        .position(|source| counts.get(&source).copied() == most)
        .unwrap_or(0)
}

impl Waiting {
    async fn gather(self: Arc<Waiting>, mut accept: Box<dyn Accept>) {
        loop {
            match accept.accept().await {
                Ok(handshake) => self.add(handshake),
                Err(error) => {
                    let what = errno_text(&error);
                    warn!("accepting: {what}; trying again in {PAUSE:?}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn add(&self, handshake: Box<dyn Handshake>) {
        let source = handshake.source();
        let state = State::Fresh(handshake);
        let mut all = self.lock();
        all.push_back(Taker { source, state });
        let has_too_many = all.len() > WAITING;
        let at = has_too_many.then(|| victim(all.iter().map(|taker| taker.source)));
        let given_up = at.and_then(|at| all.remove(at));
        drop(all);
        drop(given_up);
        self.came.notify_one();
    }

    async fn next(&self) -> Taker {
        loop {
            if let Some(oldest) = self.oldest() {
                return oldest;
            }
            self.came.notified().await;
        }
    }

    fn oldest(&self) -> Option<Taker> {
        let mut all = self.lock();
        let oldest = all.pop_front();
        if !all.is_empty() {
            // Several have come at one notice.
            self.came.notify_one();
        }
        oldest
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Taker>> {
        // Nothing panics while it is held.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts a caller that is still there; `None` where it is not. One that gave up waiting has left its request behind.
async fn accept(mut offer: Box<dyn Offer>, caller: &Caller) -> Result<Option<Peer>> {
    let turns = async {
        for _ in 0..TURNS {
            yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = offer.gone() => return Ok(None),
        () = turns => {}
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

    #[test]
    fn the_oldest_of_the_source_that_has_most_gives_way() {
        let [one, other] = [1, 2].map(Source::Uid);
        for (sources, expected) in [
            (&[one, other][..], 0),
            (&[one, other, other], 1),
            (&[other, one, one, other, one], 1),
            (&[one], 0),
        ] {
            assert_eq!(victim(sources.iter().copied()), expected, "{sources:?}");
        }
    }
}
