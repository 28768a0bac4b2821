//! The callers of a right side that listens, until sessions take them: each session takes the one that has waited longest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::caller::Caller;
use crate::ending::errno_text;
use crate::endpoint::{Accept, Agreed, Handshake, Offer};
use crate::peer::Peer;

/// Connections that wait at most: the oldest gives way, which most likely nobody holds any more.
const WAITING: usize = 64;
/// The pause after an accept that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the other tasks have their turn before a caller that says nothing counts as one that is there.
const TURNS: usize = 3;

/// Connections that were accepted and not read yet. They are read by the session that takes them, on its own thread.
pub struct Takers {
    waiting: Arc<Waiting>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct Waiting {
    all: Mutex<VecDeque<Box<dyn Handshake>>>,
    came: Notify,
}

impl Takers {
    /// Accepts from now on, in a task of its own.
    pub fn of(accept: Box<dyn Accept>) -> Takers {
        let waiting = Arc::<Waiting>::default();
        let accepting = tokio::spawn(waiting.clone().gather(accept)).abort_handle();
        Takers { waiting, accepting }
    }

    /// Takes one through its handshake and accepts it for a caller of the left; waits for one where there is none. Cancel-safe but for the one
    /// whose handshake it is in, which is dropped then.
    pub async fn next(&self, caller: &Caller) -> Peer {
        loop {
            let accepted = match self.waiting.next().await.shake().await {
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
        // Nothing panics while it is held.
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back(handshake);
        let oldest = (all.len() > WAITING).then(|| all.pop_front());
        drop(all);
        drop(oldest);
        self.came.notify_one();
    }

    async fn next(&self) -> Box<dyn Handshake> {
        loop {
            if let Some(oldest) = self.oldest() {
                return oldest;
            }
            self.came.notified().await;
        }
    }

    fn oldest(&self) -> Option<Box<dyn Handshake>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = all.pop_front();
        if !all.is_empty() {
            // Several have come at one notice.
            self.came.notify_one();
        }
        oldest
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
