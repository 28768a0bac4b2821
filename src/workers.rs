//! The threads that sessions run on, each with a runtime of its own: what a session waits for wakes its own thread alone.
//!
//! With one runtime over all threads those that are idle are woken for what the busy one does: twice for every read of a
//! flood, and for every timer and every new task.

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Tasks that run before events and tasks from elsewhere are looked for: each may take a tenth of a millisecond.
const INTERVAL: u32 = 16;

/// Makes the runtime of a thread.
///
/// # Errors
/// Where the system has no descriptors left.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .event_interval(INTERVAL)
        .global_queue_interval(INTERVAL)
        .build()
}

/// Threads that take sessions. Dropping it ends them, and what runs on them but the calling thread.
pub struct Workers {
    all: Vec<Worker>,
    _ended: DropGuard,
}

struct Worker {
    runtime: Handle,
    /// How many tasks it has.
    load: Arc<AtomicUsize>,
}

impl Worker {
    fn of(runtime: &Handle) -> Worker {
        Worker {
            runtime: runtime.clone(),
            load: Arc::default(),
        }
    }
}

/// A task's share of a thread; it is to live as long as the task does.
pub struct Share {
    runtime: Handle,
    load: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts threads until there are `count` with the calling one, which must be in a runtime.
    ///
    /// # Errors
    /// The system's, where it has no more threads or descriptors.
    pub fn start(count: NonZero<usize>) -> io::Result<Workers> {
        let mut all = vec![Worker::of(&Handle::current())];
        let ended = CancellationToken::new();
        for number in 1..count.get() {
            let (runtime, ended) = (runtime()?, ended.clone());
            all.push(Worker::of(runtime.handle()));
            let run = move || {
                runtime.block_on(ended.cancelled());
                // A thread of its own may be blocked for ever.
                runtime.shutdown_background();
            };
            let name = format!("worker-{number}");
            thread::Builder::new().name(name).spawn(run)?;
        }
        Ok(Workers {
            all,
            _ended: ended.drop_guard(),
        })
    }

    /// Picks the thread that has the fewest tasks, of several the calling one.
    pub fn share(&self) -> Share {
        let load = |worker: &&Worker| worker.load.load(Ordering::Relaxed);
        // There is always the calling thread.
        let least = self.all.iter().min_by_key(load).unwrap_or(&self.all[0]);
        least.load.fetch_add(1, Ordering::Relaxed);
        Share {
            runtime: least.runtime.clone(),
            load: least.load.clone(),
        }
    }
}

impl Share {
    /// The runtime to spawn the task on.
    pub fn runtime(&self) -> Handle {
        self.runtime.clone()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[tokio::test]
    async fn tasks_are_spread_evenly_and_leave_room_when_they_end() {
        let workers = Workers::start(NonZero::new(3).unwrap()).unwrap();
        let mut shares: Vec<_> = (0..9).map(|_| workers.share()).collect();
        let mut threads: HashMap<_, usize> = HashMap::new();
        for share in &shares {
            let id = share.runtime().spawn(async { thread::current().id() });
            *threads.entry(id.await.unwrap()).or_default() += 1;
        }
        assert_eq!(threads.values().collect::<Vec<_>>(), [&3, &3, &3]);
        assert_eq!(threads[&thread::current().id()], 3);
        // One that is left is the next to be taken.
        let left = shares.remove(4).runtime();
        assert_eq!(workers.share().runtime().id(), left.id());
    }

    #[tokio::test]
    async fn threads_end_with_it() {
        let workers = Workers::start(NonZero::new(2).unwrap()).unwrap();
        let _first = workers.share();
        let second = workers.share().runtime();
        let running = second.spawn(std::future::pending::<()>());
        drop(workers);
        assert!(running.await.unwrap_err().is_cancelled());
    }
}
