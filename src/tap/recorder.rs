//! One thread that writes what was seen to a file, so that no session's thread waits for it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::address::Address;
use crate::buffer::LARGE;
use crate::ending::{Cause, errno_text};
use crate::reread::{Reread, Rereads};

/// Bytes that wait to be written at most, before what still comes has to wait.
const BACKLOG: u64 = LARGE as u64;
/// Bytes that are written at once to what may be slow, so that it is seen that some are taken.
const WRITE: usize = 64 * 1024;

/// What waits to be written, in order.
pub(super) struct Recorder(Arc<Shared>);

struct Shared {
    name: String,
    path: PathBuf,
    state: Mutex<State>,
    has_more: Condvar,
}

#[derive(Default)]
struct State {
    pending: Vec<u8>,
    /// Bytes not written yet, those that are being written included.
    backlog: u64,
    written: u64,
    /// The file that was opened in place of the one that is written to.
    fresh: Option<File>,
    /// Whether nothing is written any more.
    is_over: bool,
    has_failed: bool,
    waiting: Vec<Waker>,
}

/// The file, and whether it is a regular one, rather than a FIFO or a device.
struct Target {
    file: File,
    is_regular: bool,
}

impl Recorder {
    /// Appends to a file, which is made where there is none.
    pub(super) fn open(path: &Path, rereads: &Rereads) -> Result<Recorder> {
        let name = Address::shown(path);
        let file = open(path)
            .map_err(|error| anyhow::Error::new(Cause::NotWritable).context(errno_text(&error)))
            .with_context(|| format!("opening {name} for --tee"))?;
        let is_regular = file.metadata().is_ok_and(|about| about.is_file());
        let shared = Arc::new(Shared {
            name,
            path: path.to_owned(),
            state: Mutex::default(),
            has_more: Condvar::new(),
        });
        let own = shared.clone();
        let thread = thread::Builder::new().name("recorder".to_owned());
        thread
            .spawn(move || own.run(Target { file, is_regular }))
            .context("starting a thread")?;
        // A FIFO that is opened again waits for another reader.
        if is_regular {
            rereads.register(&shared);
        }
        Ok(Recorder(shared))
    }

    /// Adds what `write` appends, in one piece.
    pub(super) fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        if state.is_over {
            return;
        }
        let before = state.pending.len();
        write(&mut state.pending);
        state.backlog += (state.pending.len() - before) as u64;
        self.0.has_more.notify_one();
    }

    pub(super) fn has_room(&self) -> bool {
        self.0.lock().backlog < BACKLOG
    }

    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_until(cx, |state| state.backlog < BACKLOG)
    }

    /// Waits until all is written, or nothing has been for `patience`.
    pub(super) async fn drained(&self, patience: Duration) {
        loop {
            let (backlog, written) = {
                let state = self.0.lock();
                (state.backlog, state.written)
            };
            let moved = std::future::poll_fn(|cx| {
                let has_moved = |state: &State| state.backlog == 0 || state.written > written;
                self.0.poll_until(cx, has_moved)
            });
            if backlog == 0 || timeout(patience, moved).await.is_err() {
                return;
            }
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.0.lock().has_failed
    }
}

/// Opens a file to append to, and makes it where there is none.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// The file may have been moved away: what comes from now on is for the one that has its name.
impl Reread for Shared {
    fn read_again(&self) {
        let name = &self.name;
        match open(&self.path) {
            _ if self.lock().is_over => warn!("{name}: nothing is recorded there any more"),
            Ok(file) => {
                self.lock().fresh = Some(file);
                info!("record reopened: {name}");
            }
            Err(error) => warn!("{name}: {}; the record stays open", errno_text(&error)),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.has_more.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_until(&self, cx: &mut Context<'_>, is_so: impl Fn(&State) -> bool) -> Poll<()> {
        let mut state = self.lock();
        if is_so(&state) {
            return Poll::Ready(());
        }
        if !state
            .waiting
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn run(&self, mut target: Target) {
        loop {
            let mut state = self.lock();
            while state.pending.is_empty() && !state.is_over {
                let woken = self.has_more.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            }
            if state.pending.is_empty() {
                return;
            }
            let bytes = std::mem::take(&mut state.pending);
            if let Some(fresh) = state.fresh.take() {
                target.file = fresh;
            }
            drop(state);
            if let Err(error) = self.write(&target, &bytes) {
                return self.fail(error);
            }
        }
    }

    fn write(&self, target: &Target, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            // A regular file in one write: other programs may append to it too.
            let most = if target.is_regular {
                bytes.len()
            } else {
                WRITE
            };
            let written = rustix::io::write(&target.file, &bytes[..bytes.len().min(most)]);
            match written {
                Ok(count) => {
                    bytes = &bytes[count..];
                    self.note(count as u64);
                }
                Err(Errno::INTR) => {}
                // Others that share it may have made it so.
                Err(Errno::AGAIN) => wait_for_room(target)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note(&self, written: u64) {
        let mut state = self.lock();
        state.backlog -= written;
        state.written += written;
        wake(state);
    }

    fn fail(&self, error: Errno) {
        // Said first: who waits for the rest to be written may be about to exit.
        let (name, reason) = (&self.name, errno_text(&error.into()));
        error!("{name}: {reason}; what passes from now on is not recorded there");
        let mut state = self.lock();
        state.is_over = true;
        state.pending = Vec::new();
        state.backlog = 0;
        state.has_failed = true;
        wake(state);
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waiting = std::mem::take(&mut state.waiting);
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
}

fn wait_for_room(target: &Target) -> Result<(), Errno> {
    match poll(&mut [PollFd::new(&target.file, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}
