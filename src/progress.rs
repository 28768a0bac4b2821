//! What has passed so far in all sessions, and the line of a terminal that shows it while they go on.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

use crate::columns::WIDTH;
use crate::log;

/// How often the line is drawn anew.
const PAUSE: Duration = Duration::from_millis(250);
/// How many drawings the shown rate is the mean of.
const SMOOTHED: usize = 8;
/// The signs of both directions, as `--dump` has them.
const SIGNS: [char; 2] = ['>', '<'];

/// Counts what passes, from left to right and from right to left.
#[derive(Debug, Default)]
pub struct Meter {
    ways: [Way; 2],
    open: AtomicUsize,
}

#[derive(Debug, Default)]
struct Way {
    bytes: AtomicU64,
    messages: AtomicU64,
}

/// What has passed in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Bytes of payload.
    pub bytes: u64,
    /// Whole messages.
    pub messages: u64,
}

/// A session that is counted as open.
pub struct Open<'a>(&'a Meter);

impl Meter {
    /// Counts a session, until what it returns is dropped.
    pub fn open(&self) -> Open<'_> {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(self)
    }

    /// Adds what has passed since it was told last; the first is from left to right.
    pub fn add(&self, passed: [Passed; 2]) {
        for (way, passed) in self.ways.iter().zip(passed) {
            way.bytes.fetch_add(passed.bytes, Ordering::Relaxed);
            way.messages.fetch_add(passed.messages, Ordering::Relaxed);
        }
    }

    fn read(&self) -> [Passed; 2] {
        self.ways.each_ref().map(|way| Passed {
            bytes: way.bytes.load(Ordering::Relaxed),
            messages: way.messages.load(Ordering::Relaxed),
        })
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The line, which a thread of its own hands to the log: nothing waits for the terminal. Dropped it shows the whole, and stays.
pub struct Line {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Line {
    /// Begins to draw what a meter says on stderr; `None` where that is no terminal.
    ///
    /// # Errors
    /// There can not be another thread.
    pub fn start(meter: Arc<Meter>) -> io::Result<Option<Line>> {
        if !io::stderr().is_terminal() {
            return Ok(None);
        }
        let (end, ended) = channel();
        let thread = thread::Builder::new().name("progress".to_owned());
        let thread = thread.spawn(move || {
            let begun = Instant::now();
            let mut seen = vec![(begun, [0; 2])];
            while ended.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                let (now, passed) = (Instant::now(), meter.read());
                let rates = rates(seen[0], (now, passed.map(|way| way.bytes)));
                seen.push((now, passed.map(|way| way.bytes)));
                if seen.len() > SMOOTHED {
                    seen.remove(0);
                }
                let open = meter.open.load(Ordering::Relaxed);
                log::progress(text(now - begun, passed, rates, open, width()), false);
            }
            let (now, passed) = (Instant::now(), meter.read());
            let rates = rates((begun, [0; 2]), (now, passed.map(|way| way.bytes)));
            log::progress(text(now - begun, passed, rates, 0, width()), true);
        })?;
        Ok(Some(Line {
            end: Some(end),
            thread: Some(thread),
        }))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // It has drawn all that it will.
            let _ = thread.join();
        }
    }
}

fn width() -> usize {
    let columns = tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    if columns > 1 { columns - 1 } else { WIDTH }
}

/// Bytes a second in both directions, between two moments.
fn rates(before: (Instant, [u64; 2]), now: (Instant, [u64; 2])) -> [f64; 2] {
    let seconds = (now.0 - before.0).as_secs_f64().max(0.001);
    #[allow(clippy::cast_precision_loss)]
    [0, 1].map(|way| (now.1[way] - before.1[way]) as f64 / seconds)
}

/// The words of the line, in at most so many columns. A direction in which nothing has passed is left out beside the other.
fn text(took: Duration, passed: [Passed; 2], rates: [f64; 2], open: usize, width: usize) -> String {
    let seconds = took.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let mut line = format!("{hours}:{minutes:02}:{:02}", seconds % 60);
    for way in 0..2 {
        let Passed { bytes, messages } = passed[way];
        if passed[way] == Passed::default() && (way == 1 || passed[1] != passed[0]) {
            continue;
        }
        #[allow(clippy::cast_precision_loss)]
        let (all, rate) = (size(bytes as f64), size(rates[way]));
        // Writing to a string can not fail.
        let _ = write!(line, "  {} {all}  {rate}/s  {messages} msg", SIGNS[way]);
    }
    if open > 1 {
        let _ = write!(line, "  {open} sessions");
    }
    line.chars().take(width).collect()
}

/// A number of bytes in three digits or four.
fn size(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut bytes = bytes;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while bytes >= 1023.5
        && let Some(next) = units.next()
    {
        (bytes, unit) = (bytes / 1024.0, Some(next));
    }
    let unit = unit.unwrap_or(&"");
    let digits = match bytes {
        _ if *unit == "B" => 0,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{bytes:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, shown) in [
            (0.0, "0 B"),
            (1023.0, "1023 B"),
            (1024.0, "1.00 KiB"),
            (10_239.0, "10.0 KiB"),
            (1_048_000.0, "1023 KiB"),
            (1_048_576.0, "1.00 MiB"),
            (129.6 * 1_048_576.0, "130 MiB"),
            (2e15, "1819 TiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn a_line_says_what_has_passed() {
        let passed = |bytes, messages| Passed { bytes, messages };
        let line = |ways, open| text(Duration::from_secs(3725), ways, [2048.0, 0.0], open, 79);
        assert_eq!(
            line([passed(0, 0), passed(0, 0)], 1),
            "1:02:05  > 0 B  2.00 KiB/s  0 msg"
        );
        assert_eq!(
            line([passed(1 << 20, 12), passed(0, 0)], 1),
            "1:02:05  > 1.00 MiB  2.00 KiB/s  12 msg"
        );
        assert_eq!(
            line([passed(0, 0), passed(5, 1)], 2),
            "1:02:05  < 5 B  0 B/s  1 msg  2 sessions"
        );
        assert_eq!(
            line([passed(9, 1), passed(5, 1)], 1),
            "1:02:05  > 9 B  2.00 KiB/s  1 msg  < 5 B  0 B/s  1 msg"
        );
        let narrow = text(Duration::ZERO, [passed(9, 1); 2], [0.0; 2], 4096, 20);
        assert_eq!(narrow, "0:00:00  > 9 B  0 B/");
    }

    #[test]
    fn rates_are_of_the_time_between() {
        let now = Instant::now();
        let later = now + Duration::from_secs(2);
        assert_eq!(rates((now, [0, 10]), (later, [4096, 10])), [2048.0, 0.0]);
    }
}
