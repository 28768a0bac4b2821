//! The table of sessions, for whom it may concern. An open session tells its row only when it is asked, and costs nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tracing::info;

use crate::ending::Stop;
use crate::pump::Glance;

/// How long sessions have to tell their rows: each thread must come to them.
const PATIENCE: Duration = Duration::from_millis(500);

/// All sessions of a bridge.
pub struct Table {
    /// What all sessions wait on: a word on it has each of them polled.
    wake: watch::Sender<Option<Stop>>,
    /// Number of the newest session.
    last: AtomicU32,
    /// How often the table was asked for.
    asked: AtomicU32,
    /// Number of open sessions.
    open: AtomicUsize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Sessions whose other side is not open yet: who called, and when.
    opening: HashMap<u32, (String, Instant)>,
    rows: Vec<Row>,
    /// Sessions that ended before they told their row.
    ended: usize,
}

/// What is told of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) number: u32,
    pub(super) caller: String,
    pub(super) age: Duration,
    pub(super) glance: Glance,
}

/// A session whose other side is being opened.
pub(super) struct Opening<'a> {
    table: &'a Table,
    pub(super) number: u32,
}

/// An open session.
pub(super) struct Seat<'a> {
    table: &'a Table,
    number: u32,
    seen: u32,
    /// What its caller is called.
    pub(super) caller: String,
    /// When it began.
    pub(super) begun: Instant,
}

impl Table {
    /// Makes a table of the sessions that wait on a channel for the stop.
    pub fn new(stop: &watch::Sender<Option<Stop>>) -> Arc<Table> {
        Arc::new(Table {
            wake: stop.clone(),
            last: AtomicU32::new(0),
            asked: AtomicU32::new(0),
            open: AtomicUsize::new(0),
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Writes the table to the log. `target` is what the right side is called.
    pub async fn log(&self, target: &str) {
        let (rows, silent) = self.rows().await;
        match rows.len() {
            0 => info!("SIGUSR1: no sessions"),
            1 => info!("SIGUSR1: 1 session"),
            count => info!("SIGUSR1: {count} sessions"),
        }
        for row in rows {
            info!(
                number = row.number,
                caller = %row.caller,
                %target,
                seconds = %format_args!("{:.3}", row.age.as_secs_f64()),
                bytes_right = row.glance.bytes_right,
                bytes_left = row.glance.bytes_left,
                state = row.glance.state,
                "session"
            );
        }
        if silent > 0 {
            info!("SIGUSR1: more sessions, which are busy: {silent}");
        }
    }

    /// All sessions by their numbers, and how many have not told their row.
    async fn rows(&self) -> (Vec<Row>, usize) {
        let now = Instant::now();
        let (asked, mut rows) = {
            let mut state = self.lock();
            (state.rows, state.ended) = (Vec::new(), 0);
            let opening = state.opening.iter().map(|(number, (caller, begun))| Row {
                number: *number,
                caller: caller.clone(),
                age: now - *begun,
                glance: Glance::CONNECTING,
            });
            let opening: Vec<_> = opening.collect();
            self.asked.fetch_add(1, Ordering::AcqRel);
            (self.open.load(Ordering::Acquire), opening)
        };
        self.wake.send_modify(|_| {});
        let told = async {
            loop {
                let changed = self.changed.notified();
                let told = {
                    let state = self.lock();
                    state.rows.len() + state.ended
                };
                if told >= asked {
                    return;
                }
                changed.await;
            }
        };
        // Who has not told by then is left out.
        let _ = timeout(PATIENCE, told).await;
        let mut state = self.lock();
        let silent = asked.saturating_sub(state.rows.len() + state.ended);
        rows.append(&mut state.rows);
        drop(state);
        rows.sort_unstable_by_key(|row| row.number);
        rows.dedup_by_key(|row| row.number);
        (rows, silent)
    }

    /// Notes a session whose other side is to be opened.
    pub(super) fn opening(&self, caller: String) -> Opening<'_> {
        let number = self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut state = self.lock();
        state.opening.insert(number, (caller, Instant::now()));
        drop(state);
        Opening {
            table: self,
            number,
        }
    }

    /// Notes a session that is open, and no longer opening.
    pub(super) fn seat(&self, number: u32, caller: String, begun: Instant) -> Seat<'_> {
        // Under the lock: it is counted as one that is asked, or not asked.
        let mut state = self.lock();
        state.opening.remove(&number);
        self.open.fetch_add(1, Ordering::AcqRel);
        Seat {
            table: self,
            number,
            seen: self.asked.load(Ordering::Acquire),
            caller,
            begun,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.table.lock().opening.remove(&self.number);
    }
}

impl Seat<'_> {
    /// Tells the row where it was asked for since.
    pub(super) fn look(&mut self, glance: &dyn Fn() -> Glance) {
        let asked = self.table.asked.load(Ordering::Acquire);
        if asked == self.seen {
            return;
        }
        self.seen = asked;
        let row = Row {
            number: self.number,
            caller: self.caller.clone(),
            age: self.begun.elapsed(),
            glance: glance(),
        };
        self.table.lock().rows.push(row);
        self.table.changed.notify_one();
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut state = self.table.lock();
        self.table.open.fetch_sub(1, Ordering::AcqRel);
        let is_owing = self.seen != self.table.asked.load(Ordering::Acquire);
        state.ended += usize::from(is_owing);
        drop(state);
        if is_owing {
            self.table.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glance(bytes: u64) -> Glance {
        Glance {
            bytes_right: bytes,
            bytes_left: 0,
            state: "open",
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_rows_are_those_of_all_sessions_by_number() {
        let (stop, _) = watch::channel(None);
        let table = Table::new(&stop);
        let begun = Instant::now();
        let mut seats = ["one", "two", "three"].map(|name| {
            let number = table.opening(name.to_owned()).number;
            table.seat(number, name.to_owned(), begun)
        });
        let _opening = table.opening("early".to_owned());
        tokio::time::advance(Duration::from_secs(3)).await;
        let (answers, _) = tokio::join!(table.rows(), async {
            // The last is too busy; the first tells before the second.
            let [first, second, _] = &mut seats;
            first.look(&|| glance(1));
            second.look(&|| glance(2));
            first.look(&|| glance(9));
        });
        let row = |number: u32, caller: &str, glance| Row {
            number,
            caller: caller.to_owned(),
            age: Duration::from_secs(3),
            glance,
        };
        let expected = [
            row(1, "one", glance(1)),
            row(2, "two", glance(2)),
            row(4, "early", Glance::CONNECTING),
        ];
        assert_eq!(answers.0, expected);
        assert_eq!(answers.1, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_ends_meanwhile_is_not_waited_for() {
        let (stop, mut waked) = watch::channel(None);
        let table = Table::new(&stop);
        let number = table.opening("caller".to_owned()).number;
        let begun = Instant::now();
        let seat = table.seat(number, "caller".to_owned(), begun);
        let ((rows, silent), ()) = tokio::join!(table.rows(), async {
            waked.changed().await.unwrap();
            drop(seat);
        });
        assert_eq!((rows, silent), (Vec::new(), 0));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(table.rows().await, (Vec::new(), 0));
    }

    #[test]
    fn a_session_that_opens_is_in_the_table_all_the_time_and_once() {
        let (stop, _) = watch::channel(None);
        let table = Table::new(&stop);
        let count = || table.lock().opening.len() + table.open.load(Ordering::Acquire);
        let opening = table.opening("caller".to_owned());
        assert_eq!(count(), 1);
        let seat = table.seat(opening.number, "caller".to_owned(), Instant::now());
        assert_eq!(count(), 1);
        drop(opening);
        assert_eq!(count(), 1);
        drop(seat);
        assert_eq!(count(), 0);
    }
}
