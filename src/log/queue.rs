//! What waits to be written, in order and in bounds.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use super::limit;
use super::writer::Writer;

/// Bytes of lines that wait at most. Further ones are left out until half of them are written.
const LINES: usize = 1024 * 1024;
/// Bytes of its dump that a session has waiting at most before it waits itself, where few sessions have any.
const DUMP: usize = 256 * 1024;
/// The same where many have some.
const LEAST_DUMP: usize = 16 * 1024;
/// Bytes of all dumps together, as far as [`LEAST_DUMP`] allows.
const DUMPS: usize = 16 * 1024 * 1024;
/// Bytes of all dumps together above which those of a bridge are left out whose sessions wait for them no more.
const RELEASED: usize = 1024 * 1024;

/// How long the thread lets lines gather once it has written one. Where callers come and go by the thousand, to wake it for
/// each of their lines takes 5 % of the CPU.
const REST: Duration = Duration::from_millis(5);

/// Bytes of the stack of its thread.
const STACK: usize = 256 * 1024;

/// How a queue shows lines and tells what it has lost.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// Shows a line above a prompt; false where there is none.
    pub show: fn(&str) -> bool,
    /// Tells of lines that were left out, by a line of the same queue.
    pub tell_lost: fn(&Queue, u64),
}

/// A queue with the thread that writes what it has.
pub struct Queue {
    state: Mutex<State>,
    has_more: Condvar,
    has_moved: Condvar,
    hooks: Hooks,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Piece>,
    /// Bytes of lines that are not written yet, and of dumps.
    lines: usize,
    dumps: usize,
    /// Number of sources that have bytes waiting.
    talking: usize,
    /// Lines that were left out and not told of, and lines of dumps.
    lost: u64,
    lost_of_dumps: u64,
    /// The newest line of progress, until it is drawn.
    progress: Option<String>,
    /// Whether something is being written.
    is_busy: bool,
    /// How the thread waits for more, while it does.
    sleep: Sleep,
    /// Number of threads that wait for progress.
    watchers: usize,
    takes_all: bool,
    has_failed: bool,
    /// Bytes written so far.
    written: u64,
    waiting: Vec<(Arc<Source>, Waker)>,
}

/// How the thread waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Sleep {
    #[default]
    No,
    /// For more than a line.
    Rest,
    /// For anything.
    Full,
}

/// What is written in one piece.
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Whose dump it is of; `None` for a line.
    source: Option<Arc<Source>>,
}

/// What is to be done next.
pub(super) enum Work {
    /// A line, or part of a dump.
    Write(Piece),
    /// The line of progress.
    Draw(String),
    /// Lines that were left out are to be told of.
    Lost(u64),
    /// What the limits have left out is to be told of.
    Limits,
}

/// Whether the sessions of a bridge wait for their dumps no more: it is to stop. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Release(Arc<AtomicBool>);

impl Release {
    fn is_given(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// One side of a session, whose dump waits to be written.
pub struct Source {
    queue: Arc<Queue>,
    release: Release,
    /// Bytes that are not written yet; changed while the queue is locked.
    backlog: AtomicUsize,
}

impl Queue {
    /// Starts a queue that is written to a file.
    ///
    /// # Errors
    /// There cannot be another thread.
    pub fn start(to: impl AsFd + Send + 'static, hooks: Hooks) -> io::Result<Arc<Queue>> {
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            has_more: Condvar::new(),
            has_moved: Condvar::new(),
            hooks,
        });
        let own = queue.clone();
        let thread = thread::Builder::new().name("log".to_owned());
        let thread = thread.stack_size(STACK);
        thread.spawn(move || own.run(&mut Writer::new(to, hooks.show)))?;
        Ok(queue)
    }

    fn run(&self, writer: &mut Writer<impl AsFd>) {
        let mut has_rested = true;
        loop {
            match self.next(&mut has_rested) {
                Work::Write(piece) => self.write(writer, &piece),
                Work::Draw(line) => writer.draw(&line),
                Work::Lost(lines) => (self.hooks.tell_lost)(self, lines),
                Work::Limits => limit::tell_due(),
            }
        }
    }

    fn write(&self, writer: &mut Writer<impl AsFd>, piece: &Piece) {
        let is_line = piece.source.is_none();
        let mut left = piece.bytes.len();
        let written = writer.write(&piece.bytes, is_line, |count| {
            left -= count;
            self.note(piece, count, true);
        });
        // What could not be written is done with.
        self.note(piece, left, false);
        if let Err(error) = written {
            // A reader that has gone has seen what it wanted.
            self.lock().has_failed |= !is_line && error.kind() != io::ErrorKind::BrokenPipe;
        }
    }

    /// Waits for what is to be done next. Between two waits it rests once.
    fn next(&self, has_rested: &mut bool) -> Work {
        let mut state = self.lock();
        loop {
            state.is_busy = true;
            if let Some(lines) = state.found_again() {
                return Work::Lost(lines);
            }
            if let Some(piece) = state.pieces.pop_front() {
                *has_rested = false;
                return Work::Write(piece);
            }
            if let Some(line) = state.progress.take() {
                return Work::Draw(line);
            }
            state.is_busy = false;
            self.tell_moved(&state);
            let left = limit::due().map(|due| due.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                state.is_busy = true;
                return Work::Limits;
            }
            let (sleep, patience) = match std::mem::replace(has_rested, true) {
                false => (Sleep::Rest, Some(left.map_or(REST, |left| left.min(REST)))),
                true => (Sleep::Full, left),
            };
            state = self.sleep(state, sleep, patience);
        }
    }

    /// Lets the thread wait for more.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        sleep: Sleep,
        patience: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        state.sleep = sleep;
        let mut state = match patience {
            None => self
                .has_more
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let woken = self.has_more.wait_timeout(state, patience);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.sleep = Sleep::No;
        state
    }

    /// Wakes the thread from this sleep: a condition variable costs a system call even where no thread waits.
    fn wake_from(&self, sleep: Sleep, state: &mut State) {
        if state.sleep >= sleep {
            state.sleep = Sleep::No;
            self.has_more.notify_one();
        }
    }

    /// Wakes those who wait for progress, where there are any.
    fn tell_moved(&self, state: &State) {
        if state.watchers > 0 {
            self.has_moved.notify_all();
        }
    }

    /// Waits for progress while `waits` holds, at most for `patience`; returns whether that time ran out.
    fn wait_while<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        patience: Duration,
        waits: impl Fn(&State) -> bool,
    ) -> (MutexGuard<'a, State>, bool) {
        self.wake_from(Sleep::Rest, &mut state);
        state.watchers += 1;
        let waits = |state: &mut State| waits(state);
        let waited = self.has_moved.wait_timeout_while(state, patience, waits);
        let (mut state, time) = waited.unwrap_or_else(PoisonError::into_inner);
        state.watchers -= 1;
        (state, time.timed_out())
    }

    /// Notes bytes of a piece that wait no longer.
    fn note(&self, piece: &Piece, count: usize, is_written: bool) {
        let mut state = self.lock();
        if is_written {
            state.written += count as u64;
        }
        match &piece.source {
            None => state.lines -= count,
            Some(source) => {
                state.dumps -= count;
                let before = source.backlog.fetch_sub(count, Ordering::Relaxed);
                state.talking -= usize::from(before > 0 && before == count);
            }
        }
        let woken = state.woken();
        self.tell_moved(&state);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Has lines written, which end with a newline; where too many wait they are counted instead. Never waits.
    pub fn line(&self, bytes: &[u8]) {
        let mut state = self.lock();
        let is_full = state.lost > 0 || state.lines + bytes.len() > LINES;
        if is_full && !state.takes_all {
            state.lost += 1;
            return;
        }
        state.lines += bytes.len();
        state.put(bytes.to_vec(), None);
        self.wake_from(Sleep::Full, &mut state);
    }

    /// Has the line of progress drawn anew, in place of one that was not drawn yet; the last one stays. Never waits.
    pub(super) fn progress(&self, line: String, is_last: bool) {
        let mut state = self.lock();
        if is_last {
            state.progress = None;
            let line = format!("\r{line}\x1b[K\n").into_bytes();
            state.lines += line.len();
            state.put(line, None);
        } else {
            state.progress = Some(line);
        }
        self.wake_from(Sleep::Rest, &mut state);
    }

    /// Lets the sources of a bridge wait no more. What is more than a little of theirs is lost from now on.
    pub fn release(&self, release: &Release) {
        // Under the lock, which those hold that look at it before they wait.
        let mut state = self.lock();
        release.0.store(true, Ordering::Release);
        let woken = state.woken();
        self.tell_moved(&state);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Takes every line from now on, however many wait.
    pub(super) fn take_all(&self) {
        let mut state = self.lock();
        let lost = std::mem::take(&mut state.lost) + std::mem::take(&mut state.lost_of_dumps);
        state.takes_all = true;
        drop(state);
        if lost > 0 {
            (self.hooks.tell_lost)(self, lost);
        }
    }

    /// Waits until all is written, at most for `patience`.
    pub fn finish(&self, patience: Duration) {
        drop(self.wait_while(self.lock(), patience, |state| !state.is_done()));
    }

    /// Waits until all is written, nothing has been for `patience`, or the sources of the bridge are released.
    pub fn settle(&self, patience: Duration, release: &Release) {
        let mut state = self.lock();
        while !state.is_done() && !release.is_given() {
            let written = state.written;
            let waits =
                |state: &State| !state.is_done() && !release.is_given() && state.written == written;
            let (now, has_timed_out) = self.wait_while(state, patience, waits);
            if has_timed_out {
                return;
            }
            state = now;
        }
    }

    /// Whether a dump could not be written, though somebody was there to read it.
    pub fn has_failed(&self) -> bool {
        self.lock().has_failed
    }

    /// Has the thread look at the limits.
    pub(super) fn wake(&self) {
        self.wake_from(Sleep::Rest, &mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, bytes: Vec<u8>, source: Option<Arc<Source>>) {
        self.pieces.push_back(Piece { bytes, source });
    }

    /// The lines that were left out, now that there is room again.
    fn found_again(&mut self) -> Option<u64> {
        let mut lines = 0;
        if self.lines <= LINES / 2 {
            lines += std::mem::take(&mut self.lost);
        }
        if self.dumps <= RELEASED / 2 {
            lines += std::mem::take(&mut self.lost_of_dumps);
        }
        Some(lines).filter(|lines| *lines > 0)
    }

    fn is_done(&self) -> bool {
        let is_empty = self.pieces.is_empty() && self.progress.is_none();
        is_empty && !self.is_busy && self.lost + self.lost_of_dumps == 0
    }

    /// Whether a source may have more waiting.
    fn has_room(&self, source: &Source) -> bool {
        let share = (DUMPS / self.talking.max(1)).clamp(LEAST_DUMP, DUMP);
        source.release.is_given() || source.backlog.load(Ordering::Relaxed) < share
    }

    /// Takes out the sessions that wait no longer.
    fn woken(&mut self) -> Vec<Waker> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let woken = waiting.extract_if(.., |(source, _)| self.has_room(source));
        let woken = woken.map(|(_, waker)| waker).collect();
        self.waiting = waiting;
        woken
    }
}

impl Source {
    /// Makes a source that has nothing waiting.
    pub fn new(queue: &Arc<Queue>, release: &Release) -> Arc<Source> {
        Arc::new(Source {
            queue: queue.clone(),
            release: release.clone(),
            backlog: AtomicUsize::new(0),
        })
    }

    /// Has part of a dump written: whole lines.
    pub fn push(self: &Arc<Source>, bytes: Vec<u8>) {
        let mut state = self.queue.lock();
        if bytes.is_empty() {
            return;
        }
        if self.release.is_given() && state.dumps + bytes.len() > RELEASED {
            state.lost_of_dumps += memchr::memchr_iter(b'\n', &bytes).count() as u64;
            return;
        }
        state.dumps += bytes.len();
        let before = self.backlog.fetch_add(bytes.len(), Ordering::Relaxed);
        state.talking += usize::from(before == 0);
        state.put(bytes, Some(self.clone()));
        self.queue.wake_from(Sleep::Rest, &mut state);
    }

    /// Whether more may be pushed.
    pub fn has_room(&self) -> bool {
        self.queue.lock().has_room(self)
    }

    /// Whether more may be pushed; where not, `waker` is woken when it may.
    pub fn has_room_or_wakes(self: &Arc<Source>, waker: &Waker) -> bool {
        let mut state = self.queue.lock();
        if state.has_room(self) {
            return true;
        }
        state
            .waiting
            .retain(|(source, _)| !Arc::ptr_eq(source, self));
        state.waiting.push((self.clone(), waker.clone()));
        false
    }
}

#[cfg(test)]
mod tests;
