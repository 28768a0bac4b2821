//! Lines that callers cause are limited in number a second, with one line that counts those left out.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::counted;

/// What is counted, and limited, together.
const SECOND: Duration = Duration::from_secs(1);

/// Lines of sessions that have ended.
///
/// Both limits are the process's, as stderr is: they bound what its reader is given, however many bridges there are.
pub static CLOSINGS: Limit = Limit::new(1000, |lines| {
    let more = counted(lines, "more session", "more sessions");
    info!("{more} closed within a second; the log takes 1000 a second");
});

/// Lines of callers that were refused, or whose session could not be opened, lost something or did something wrong.
pub static REFUSALS: Limit = Limit::new(100, |lines| {
    let more = counted(lines, "more line", "more lines");
    warn!("{more} about single callers within a second; the log takes 100 a second");
});

/// All limits.
const ALL: [&Limit; 2] = [&CLOSINGS, &REFUSALS];

/// A number of lines that are written in a second at most.
#[derive(Debug)]
pub struct Limit {
    most: u32,
    /// Tells how many were left out in a second.
    tell: fn(u64),
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    /// When the second began.
    begun: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Limit {
    const fn new(most: u32, tell: fn(u64)) -> Limit {
        Limit {
            most,
            tell,
            window: Mutex::new(Window {
                begun: None,
                lines: 0,
                left_out: 0,
            }),
        }
    }

    /// Counts a line, and returns whether it is to be written.
    pub fn admits(&self) -> bool {
        self.admits_at(Instant::now())
    }

    fn admits_at(&self, now: Instant) -> bool {
        self.tell_due(now);
        let mut window = self.lock();
        if window.begun.is_none_or(|begun| now >= begun + SECOND) {
            (window.begun, window.lines) = (Some(now), 0);
        }
        let is_admitted = window.lines < self.most;
        window.lines += u32::from(is_admitted);
        window.left_out += u64::from(!is_admitted);
        let is_first = window.left_out == 1;
        drop(window);
        if !is_admitted && is_first {
            // The thread of the log says so when the second is over.
            super::STDERR.get().inspect(|queue| queue.wake());
        }
        is_admitted
    }

    /// Says how many lines were left out in the second that is over.
    fn tell_due(&self, now: Instant) {
        let mut window = self.lock();
        let is_over = window.begun.is_some_and(|begun| now >= begun + SECOND);
        let left_out = match is_over {
            true => std::mem::take(&mut window.left_out),
            false => 0,
        };
        drop(window);
        if left_out > 0 {
            (self.tell)(left_out);
        }
    }

    fn due(&self) -> Option<Instant> {
        let window = self.lock();
        let begun = window.begun.filter(|_| window.left_out > 0);
        begun.map(|begun| begun + SECOND)
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        // Nothing panics while it is held.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When lines that were left out are to be told of, if there are any.
pub(super) fn due() -> Option<Instant> {
    ALL.iter().filter_map(|limit| limit.due()).min()
}

/// Says how many lines were left out in the seconds that are over.
pub(super) fn tell_due() {
    let now = Instant::now();
    ALL.iter().for_each(|limit| limit.tell_due(now));
}

/// Says how many lines were left out: no second is waited for.
pub(super) fn tell_all() {
    let now = Instant::now() + SECOND;
    ALL.iter().for_each(|limit| limit.tell_due(now));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_is_over_the_limit_of_a_second_is_counted_and_told_once() {
        static TOLD: AtomicU64 = AtomicU64::new(0);
        let limit = Limit::new(3, |lines| {
            TOLD.fetch_add(lines, Ordering::Relaxed);
        });
        let told = || TOLD.swap(0, Ordering::Relaxed);
        let begin = Instant::now();
        let admitted = |at| (0..10).filter(|_| limit.admits_at(begin + at)).count();
        assert_eq!(admitted(Duration::ZERO), 3);
        assert_eq!(limit.due(), Some(begin + SECOND));
        assert_eq!(admitted(SECOND / 2), 0);
        assert_eq!(told(), 0, "the second is not over");
        assert_eq!(admitted(SECOND), 3);
        assert_eq!(told(), 17);
        limit.tell_due(begin + 2 * SECOND);
        assert_eq!((told(), limit.due()), (7, None));
        limit.tell_due(begin + 3 * SECOND);
        assert!(limit.admits_at(begin + 9 * SECOND));
        assert_eq!(told(), 0);
    }

    #[test]
    fn the_words_name_the_numbers() {
        assert_eq!((CLOSINGS.most, REFUSALS.most), (1000, 100));
    }
}
