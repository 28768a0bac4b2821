//! The threads that sessions run on, each with a runtime of its own: what a session waits for wakes its own thread alone.
//!
//! With one runtime over all threads those that are idle are woken for what the busy one does: twice for every read of a
//! flood, and for every timer and every new task.

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Tasks that run before events and tasks from elsewhere are looked for: each may take a tenth of a millisecond.
const INTERVAL: u32 = 16;

/// How often a thread looks at its timers while tasks begin on it.
const BEAT: Duration = Duration::from_millis(200);

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
    /// How many tasks of a thread may not have read anything yet.
    unread: usize,
    /// Told when a thread that had as many has one less.
    has_read: Arc<Notify>,
    _ended: DropGuard,
}

struct Worker {
    runtime: Handle,
    load: Arc<Load>,
}

/// What a thread has to do.
#[derive(Default)]
struct Load {
    /// How many tasks it has.
    tasks: AtomicUsize,
    /// How many of them have not read anything of their connection yet.
    unread: AtomicUsize,
    /// How many tasks have begun, wrapping around.
    begun: AtomicUsize,
    /// Whether a [beat](Share::begin) is on.
    is_beating: AtomicBool,
}

impl Load {
    /// Lets a timer expire again and again as long as tasks begin.
    async fn beat(self: Arc<Load>) {
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            sleep(BEAT).await;
            if self.begun.load(Ordering::Relaxed) == begun {
                break;
            }
        }
        self.is_beating.store(false, Ordering::Relaxed);
    }
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
    load: Arc<Load>,
    /// Told when the task has read, until it has.
    unread: Option<Unread>,
}

/// A task that has not read anything yet.
struct Unread {
    load: Arc<Load>,
    limit: usize,
    has_read: Arc<Notify>,
}

impl Workers {
    /// Starts threads until there are `count` with the calling one, which must be in a runtime. Each may have `unread`
    /// tasks, at least one, that have not read anything yet.
    ///
    /// # Errors
    /// The system's, where it has no more threads or descriptors.
    pub fn start(count: NonZero<usize>, unread: usize) -> io::Result<Workers> {
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
            unread: unread.max(1),
            has_read: Arc::default(),
            _ended: ended.drop_guard(),
        })
    }

    /// Waits until a thread may have another task that has not read anything yet. For one caller at a time.
    pub async fn room(&self) {
        while !self.all.iter().any(|worker| self.has_room(worker)) {
            self.has_read.notified().await;
        }
    }

    fn has_room(&self, worker: &Worker) -> bool {
        worker.load.unread.load(Ordering::Acquire) < self.unread
    }

    /// Picks the thread that has the fewest tasks of those that have [`room`](Workers::room), of several the calling one.
    pub fn share(&self) -> Share {
        let load = |worker: &&Worker| {
            let tasks = worker.load.tasks.load(Ordering::Relaxed);
            (!self.has_room(worker), tasks)
        };
        // There is always the calling thread.
        let least = self.all.iter().min_by_key(load).unwrap_or(&self.all[0]);
        least.load.tasks.fetch_add(1, Ordering::Relaxed);
        least.load.unread.fetch_add(1, Ordering::AcqRel);
        Share {
            runtime: least.runtime.clone(),
            load: least.load.clone(),
            unread: Some(Unread {
                load: least.load.clone(),
                limit: self.unread,
                has_read: self.has_read.clone(),
            }),
        }
    }
}

impl Workers {
    /// Runs something once on each thread; the returned future waits until it has run on all of them.
    pub fn on_each(&self, run: fn()) -> impl Future<Output = ()> + use<> {
        let each = |worker: &Worker| worker.runtime.spawn(async move { run() });
        let running: Vec<_> = self.all.iter().map(each).collect();
        async move {
            for one in running {
                // A thread that has ended keeps nothing.
                let _ = one.await;
            }
        }
    }
}

impl Share {
    /// The runtime to spawn the task on.
    pub fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    /// Notes that the task begins, which now runs on its thread.
    ///
    /// While tasks begin, a timer is always due soon on the thread: tokio wakes a thread's poll, by a write to its eventfd and
    /// another turn, for each new timer that is due before all others, and each session has four of those.
    pub fn begin(&self) {
        self.load.begun.fetch_add(1, Ordering::Relaxed);
        if !self.load.is_beating.swap(true, Ordering::Relaxed) {
            tokio::spawn(self.load.clone().beat());
        }
    }

    /// Notes that the task has tried to read.
    pub fn has_read(&mut self) {
        self.unread = None;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.load.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if self.load.unread.fetch_sub(1, Ordering::AcqRel) == self.limit {
            self.has_read.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};
    use std::sync::Mutex;
    use std::time::Duration;

    #[tokio::test]
    async fn tasks_are_spread_evenly_and_leave_room_when_they_end() {
        let workers = Workers::start(NonZero::new(3).unwrap(), 64).unwrap();
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
    async fn a_thread_that_has_not_read_gets_no_more() {
        let workers = Workers::start(NonZero::new(2).unwrap(), 2).unwrap();
        let mut shares: Vec<_> = (0..4).map(|_| workers.share()).collect();
        let id = |share: &Share| share.runtime().id();
        let full = async { tokio::time::timeout(Duration::ZERO, workers.room()).await };
        assert!(full.await.is_err());
        // The thread of the one that has read is the next, though both have as many tasks.
        shares[1].has_read();
        workers.room().await;
        assert_eq!(id(&workers.share()), id(&shares[1]));
        let mut ended = Box::pin(workers.room());
        let now = tokio::time::timeout(Duration::ZERO, &mut ended).await;
        assert!(now.is_ok(), "the share was dropped before it had read");
    }

    #[tokio::test]
    async fn what_is_to_run_on_each_thread_does_so_once() {
        static SEEN: Mutex<Vec<thread::ThreadId>> = Mutex::new(Vec::new());
        let workers = Workers::start(NonZero::new(3).unwrap(), 64).unwrap();
        let note = || SEEN.lock().unwrap().push(thread::current().id());
        workers.on_each(note).await;
        let seen = SEEN.lock().unwrap().clone();
        let threads: HashSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), threads.len()), (3, 3));
        assert!(threads.contains(&thread::current().id()));
    }

    #[tokio::test]
    async fn threads_end_with_it() {
        let workers = Workers::start(NonZero::new(2).unwrap(), 64).unwrap();
        let _first = workers.share();
        let second = workers.share().runtime();
        let running = second.spawn(std::future::pending::<()>());
        drop(workers);
        assert!(running.await.unwrap_err().is_cancelled());
    }
}
