//! Who is let in, and when: between the backlog of the system and a session.
//!
//! | a caller | waits | is turned away |
//! |---|---|---|
//! | not accepted yet | while a thread has [unread](crate::workers) connections, or no place or seat is free | after [`PATIENCE`](super::seats::PATIENCE) without a free seat, with 503 from a [spare](Spares) descriptor |
//! | accepted and not read | for its thread | never |
//! | whole request at the first read | for a seat | by a limit that the user set, at once; else as above |
//! | anything else | in a [place](Places) | when others need the place, by the rules there |

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::addresses::{Addresses, Guest};
use super::descriptors::{Budget, Spare, Spares};
use super::places::Places;
use super::seats::{LOOK, Seats};
use crate::caller::Source;
use crate::ending::is_out_of_descriptors;
use crate::endpoint::{Accept, BoxFuture, Handshake};
use crate::pump::lingering::Held;

/// What all callers of a bridge share on their way in.
pub(super) struct Admission {
    places: Places,
    addresses: Arc<Addresses>,
    seats: Seats,
    spares: Arc<Spares>,
    /// Told of each caller that has left.
    left: Notify,
    count: usize,
    is_asked: bool,
    /// Whether the log says that callers wait.
    has_said_full: AtomicBool,
}

/// A caller that was accepted, and the spare descriptor that it has where it is only to be turned away.
pub(super) type Accepted = (Box<dyn Handshake>, Option<Spare>);

impl Admission {
    /// Makes room for as many as the budget has; an address may have so many connections.
    pub(super) fn new(budget: &Budget, max_per_ip: Option<usize>) -> Admission {
        Admission {
            places: Places::new(budget.places),
            addresses: Arc::new(Addresses::new(max_per_ip)),
            seats: Seats::new(budget.seats, budget.is_asked),
            spares: Spares::open(),
            left: Notify::new(),
            count: budget.seats,
            is_asked: budget.is_asked,
            has_said_full: AtomicBool::new(false),
        }
    }

    /// Waits until a caller may be accepted, and for one. Cancel-safe.
    ///
    /// # Errors
    /// Those of `accept(2)`, but that no descriptor is free: that is waited for.
    pub(super) async fn next(&self, accept: &mut dyn Accept) -> io::Result<Accepted> {
        loop {
            self.places.none_waits().await;
            if self.seats.is_open() {
                match accept.accept().await {
                    Ok(handshake) => {
                        self.note_accepted();
                        return Ok((handshake, None));
                    }
                    Err(error) if is_out_of_descriptors(&error) => self.say_full(true),
                    Err(error) => return Err(error),
                }
            } else {
                self.say_full(false);
            }
            let until = self.seats.full_until();
            let now = Instant::now();
            if now < until {
                self.changed(until.min(now + LOOK)).await;
            } else if let Some(accepted) = self.turned_away(accept).await {
                return accepted;
            }
        }
    }

    /// Accepts a caller with a spare descriptor; `None` where another may be free.
    async fn turned_away(&self, accept: &mut dyn Accept) -> Option<io::Result<Accepted>> {
        let accepted = async {
            let spare = self.spares.take().await;
            (accept.accept().await, spare)
        };
        tokio::select! {
            biased;
            () = self.changed(Instant::now() + LOOK) => None,
            (accepted, spare) = accepted => match accepted {
                Ok(handshake) => Some(Ok((handshake, Some(spare)))),
                Err(error) if is_out_of_descriptors(&error) => {
                    self.changed(Instant::now() + LOOK).await;
                    None
                }
                Err(error) => Some(Err(error)),
            },
        }
    }

    /// Waits until a caller has left, or for a time.
    async fn changed(&self, until: Instant) {
        tokio::select! {
            () = self.left.notified() => {}
            () = sleep_until(until) => {}
        }
    }

    /// Says that no caller can be served, once until one can.
    fn say_full(&self, is_out_of_descriptors: bool) {
        if self.has_said_full.swap(true, Ordering::Relaxed) {
            return;
        }
        let count = self.count;
        match is_out_of_descriptors {
            true => warn!("accepting: too many open files (ulimit -n); callers wait"),
            false => warn!(
                "all {count} sessions that the limit of open files (ulimit -n) is enough for are taken; callers wait"
            ),
        }
    }

    fn note_accepted(&self) {
        if self.has_said_full.load(Ordering::Relaxed) {
            self.has_said_full.store(false, Ordering::Relaxed);
            self.seats.note_free();
            self.spares.refill();
        }
    }

    /// Does what depends on a caller: at once as far as that goes, then in a place. `None` where that had to be given up.
    /// `is_over` is called before the place is taken, and says whether the address has as many connections as it may.
    pub(super) async fn in_place<T>(
        &self,
        source: Source,
        is_over: impl FnOnce() -> bool,
        mut work: BoxFuture<'_, T>,
    ) -> Option<T> {
        if let Some(done) = at_once(&mut work).await {
            return Some(done);
        }
        let entering = pin!(self.places.enter(source, is_over()));
        let mut place = tokio::select! {
            biased;
            done = &mut work => return Some(done),
            place = entering => place,
        };
        tokio::select! {
            biased;
            () = place.given_up() => None,
            done = &mut work => Some(done),
        }
    }

    /// Counts a connection of an address; `None` where that has as many as it may.
    pub(super) fn enter(&self, source: Source) -> Option<Guest> {
        self.addresses.enter(source)
    }

    /// Takes a seat for a session; `None` where there is none for this caller.
    pub(super) async fn seat(&self) -> Option<Held> {
        self.seats.take().await
    }

    /// Whether the user set how many sessions there are.
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// Notes that a caller has left, with all that it held.
    pub(super) fn note_left(&self) {
        self.left.notify_one();
    }
}

/// Polls once: what is there is done.
pub(super) async fn at_once<T>(work: &mut BoxFuture<'_, T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = std::future::ready(()) => None,
    }
}
