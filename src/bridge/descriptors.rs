//! Descriptors: how many callers they are enough for, and those that are kept to say no with.

use std::fs::{self, File};
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;

use super::options::Options;

/// Sessions at a time, where the limit of descriptors allows.
pub(super) const CONNECTIONS: usize = 4096;
/// Descriptors that are kept to answer callers with while there is no other.
pub(super) const SPARE: usize = 8;
/// Descriptors that are left for other things than callers: files, names, programs that start.
const OTHERS: usize = 64;
/// Connections that a thread accepts beyond those that it has tried to read.
const UNREAD: usize = 64;
/// Descriptors of one more thread: its events and signals.
const PER_THREAD: usize = 4;
/// What a process has open at its start where that cannot be counted.
const AT_START: usize = 32;

/// What the limit of descriptors is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    /// Threads that sessions run on.
    pub(super) threads: NonZero<usize>,
    /// Connections that a thread accepts beyond those that it has tried to read.
    pub(super) unread: usize,
    /// Unfinished handshakes.
    pub(super) places: usize,
    /// Sessions.
    pub(super) seats: usize,
    /// Whether the number of sessions was asked for.
    pub(super) is_asked: bool,
}

impl Budget {
    /// Raises the soft limit of descriptors as far as it helps, and divides them; a session has so many of them at its right
    /// side.
    pub(super) fn of(options: &Options, of_right: usize) -> Budget {
        let threads = options.threads.unwrap_or_else(|| {
            std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
        });
        let open = open_now();
        let fixed = open + (PER_THREAD + UNREAD) * threads.get() + SPARE + OTHERS;
        let asked = options.max_connections.map(|count| count as usize);
        let sessions = asked.unwrap_or(CONNECTIONS).saturating_mul(1 + of_right);
        let places = options.max_handshakes as usize;
        let callers = (sessions.saturating_add(places)).max(places.saturating_mul(4));
        let limit = raise_limit(fixed.saturating_add(callers));
        Budget::within(limit, open, options, threads, of_right)
    }

    /// Divides so many descriptors, of which some are open.
    fn within(
        limit: usize,
        open: usize,
        options: &Options,
        threads: NonZero<usize>,
        of_right: usize,
    ) -> Budget {
        // Where few are allowed, many threads would take them all.
        let most = NonZero::new(limit / 16).unwrap_or(NonZero::<usize>::MIN);
        let threads = options.threads.unwrap_or(threads.min(most));
        let open = open + PER_THREAD * (threads.get() - 1);
        let free = limit.saturating_sub(open + SPARE + OTHERS.min(limit / 8));
        let places = (options.max_handshakes as usize).min(free / 4).max(1);
        let unread = UNREAD.min(free / 8 / threads.get()).max(1);
        let left = free.saturating_sub(places + unread * threads.get());
        let asked = options.max_connections.map(|count| count as usize);
        Budget {
            threads,
            unread,
            places,
            seats: asked.unwrap_or_else(|| CONNECTIONS.min(left / (1 + of_right)).max(1)),
            is_asked: asked.is_some(),
        }
    }
}

/// How many descriptors are open.
fn open_now() -> usize {
    fs::read_dir("/dev/fd").map_or(AT_START, Iterator::count)
}

/// Raises the soft limit of descriptors as far as is wanted and the hard limit allows; how many there are then.
fn raise_limit(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    let allowed = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if limit.current.is_some_and(|current| current < allowed) {
        let raised = Rlimit {
            current: Some(allowed),
            ..limit
        };
        // Where it can not be raised there are fewer seats.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(current).unwrap_or(usize::MAX)
}

/// Descriptors that are given up, one for each, to callers that are only told that there is no other.
#[derive(Default)]
pub(super) struct Spares {
    kept: Mutex<Kept>,
    back: Notify,
}

#[derive(Default)]
struct Kept {
    files: Vec<File>,
    /// How many could not be opened again.
    missing: usize,
}

/// A descriptor that was given up, until it is taken back.
pub(super) struct Spare(Arc<Spares>);

impl Spares {
    /// Opens as many as there are to be.
    pub(super) fn open() -> Arc<Spares> {
        let spares = Arc::<Spares>::default();
        for _ in 0..SPARE {
            spares.reopen();
        }
        spares
    }

    /// Gives one up; waits where all are given up.
    pub(super) async fn take(self: &Arc<Self>) -> Spare {
        loop {
            let file = self.lock().files.pop();
            if let Some(file) = file {
                drop(file);
                return Spare(self.clone());
            }
            self.back.notified().await;
        }
    }

    fn reopen(&self) {
        let file = File::open("/dev/null");
        let mut kept = self.lock();
        match file {
            Ok(file) => {
                kept.files.push(file);
                self.back.notify_one();
            }
            // Another has taken it meanwhile.
            Err(_) => kept.missing += 1,
        }
    }

    /// Opens those that are missing, when descriptors are free again.
    pub(super) fn refill(&self) {
        let missing = std::mem::take(&mut self.lock().missing);
        for _ in 0..missing {
            self.reopen();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while it is held.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.0.reopen();
    }
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;

    fn options(words: &[&str]) -> Options {
        use clap::FromArgMatches;
        let command = Options::augment_args(clap::Command::new("").no_binary_name(true));
        Options::from_arg_matches(&command.get_matches_from(words)).unwrap()
    }

    #[track_caller]
    fn budget(limit: usize, words: &[&str], of_right: usize) -> Budget {
        let threads = NonZero::new(2).unwrap();
        let budget = Budget::within(limit, 12, &options(words), threads, of_right);
        let spent = budget.places
            + budget.unread * budget.threads.get()
            + budget.seats * (1 + of_right)
            + 12
            + SPARE;
        assert!(
            budget.is_asked || spent <= limit.max(40),
            "{budget:?} of {limit}"
        );
        budget
    }

    #[test]
    fn descriptors_are_enough_for_what_they_are_spent_on() {
        for limit in [32, 64, 100, 256, 1024, 4096, 20_000, usize::MAX] {
            for of_right in [1, 4] {
                let budget = budget(limit, &[], of_right);
                assert!(budget.places <= limit / 4, "{budget:?}");
                assert!(budget.seats <= CONNECTIONS && budget.unread <= UNREAD);
            }
        }
        let plenty = budget(20_000, &[], 1);
        assert_eq!((plenty.places, plenty.unread), (2048, UNREAD));
        assert_eq!(plenty.seats, CONNECTIONS);
        assert!(budget(64, &[], 1).seats >= 8);
    }

    #[test]
    fn what_is_asked_for_is_had() {
        let budget = budget(
            64,
            &[
                "--max-connections=1000",
                "--max-handshakes=3",
                "--threads=1",
            ],
            1,
        );
        assert_eq!((budget.seats, budget.places), (1000, 3));
        assert!(budget.is_asked && budget.threads.get() == 1);
    }

    #[tokio::test]
    async fn a_spare_is_one_descriptor_for_as_long_as_it_is_taken() {
        let spares = Spares::open();
        let mut taken = Vec::new();
        for _ in 0..SPARE {
            taken.push(spares.take().await);
        }
        let mut next = Box::pin(spares.take());
        let now = tokio::time::timeout(std::time::Duration::ZERO, &mut next).await;
        assert!(now.is_err());
        taken.clear();
        let _next = next.await;
        assert_eq!(spares.lock().files.len(), SPARE - 1);
    }
}
