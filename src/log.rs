//! The log: all that goes to stderr waits in a bounded queue for a thread of its own, so that nothing else waits for stderr.
//!
//! Lines are left out and counted where the queue is full. A dump is not: its session waits until there is room, unless the
//! bridge is to stop. What shows progress is a single line, of which the newest counts.

mod limit;
mod queue;
mod writer;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use limit::{CLOSINGS, Limit, REFUSALS};
pub use queue::{Hooks, Queue, Release, Source};

/// The queue of stderr, once there is one.
static STDERR: OnceLock<Arc<Queue>> = OnceLock::new();

/// Starts the thread that writes to stderr. `show` shows a line above a prompt; false where there is none.
///
/// # Errors
/// There cannot be another thread.
pub fn start(show: fn(&str) -> bool) -> io::Result<Arc<Queue>> {
    if let Some(queue) = STDERR.get() {
        return Ok(queue.clone());
    }
    let hooks = Hooks {
        show,
        tell_lost: |_, lines| tell_lost(lines),
    };
    let queue = Queue::start(io::stderr(), hooks)?;
    Ok(STDERR.get_or_init(|| queue).clone())
}

/// The queue of stderr, which is started where it was not.
///
/// # Errors
/// There cannot be another thread.
pub fn stderr() -> io::Result<Arc<Queue>> {
    start(|_| false)
}

/// Has lines written, which end with a newline. Never waits.
pub fn line(bytes: &[u8]) {
    if let Some(queue) = STDERR.get() {
        queue.line(bytes);
    }
}

/// Has the line of progress drawn anew; the last one stays. Never waits.
pub fn progress(line: String, is_last: bool) {
    if let Some(queue) = STDERR.get() {
        queue.progress(line, is_last);
    }
}

/// Lets no session of a bridge wait for its dump any more: that bridge is to stop.
pub fn release(release: &Release) {
    if let Some(queue) = STDERR.get() {
        queue.release(release);
    }
}

/// Takes every line from now on, however many wait: what is said at the end of the process is not left out.
pub fn take_all() {
    if let Some(queue) = STDERR.get() {
        queue.take_all();
    }
}

/// Waits until all is written, at most for `patience`.
pub fn finish(patience: Duration) {
    limit::tell_all();
    if let Some(queue) = STDERR.get() {
        queue.finish(patience);
    }
}

fn tell_lost(lines: u64) {
    let lines = counted(lines, "line", "lines");
    // Where nothing but errors is wanted, errors are what was lost.
    if tracing::enabled!(tracing::Level::WARN) {
        tracing::warn!("{lines} lost: stderr was not read in time");
    } else {
        tracing::error!("{lines} lost: stderr was not read in time");
    }
}

/// A number with its noun.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
