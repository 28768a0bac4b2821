//! The account of what is held, and those who hold it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tracing::warn;

use crate::ending::Shortage;
use crate::heap;

/// Bytes of a step in which a holder of many small things is counted.
const STEP: usize = 64 * 1024;
/// How often the log says that holders gave way.
const LOG_PAUSE: Duration = Duration::from_secs(1);
/// Bytes that holders give back before free memory is given back to the system.
const TRIM: usize = 2 * 1024 * 1024;

/// The account of what is held. A clone is the same account.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Account>);

#[derive(Debug)]
struct Account {
    limit: usize,
    used: AtomicUsize,
    next: AtomicU64,
    holders: Mutex<BTreeMap<u64, Weak<dyn Holder>>>,
    log: Mutex<Log>,
    /// Bytes given back under pressure since free memory was last given back to the system.
    shed: AtomicUsize,
}

/// What the log has said of holders that gave way.
#[derive(Debug, Default)]
struct Log {
    said_at: Option<Instant>,
    unsaid: u64,
}

/// What holds memory and can give it back. No method is called while a lock of the account is held.
pub trait Holder: Send + Sync {
    /// Bytes of the one message or queue that it would give back first.
    fn weight(&self) -> usize;

    /// Gives that back and ends the session that it belongs to. Returns the bytes that were given back; 0 where nothing could
    /// be.
    fn give_way(&self) -> usize;

    /// Returns what the log says of it where it gives `held` bytes back.
    fn told(&self, held: usize) -> String;
}

impl Default for Memory {
    /// Makes an account without a bound.
    fn default() -> Memory {
        Memory::new(usize::MAX)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held; a poisoned state is a whole one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// Makes an account with a bound in bytes.
    pub fn new(limit: usize) -> Memory {
        Memory(Arc::new(Account {
            limit,
            used: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            holders: Mutex::default(),
            log: Mutex::default(),
            shed: AtomicUsize::new(0),
        }))
    }

    /// Returns the bound in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Returns the bytes that are counted now.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Begins to count what a holder has, in steps of `step` bytes.
    pub(super) fn hold(&self, holder: Weak<dyn Holder>, step: usize) -> Holding {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.0.holders).insert(id, holder);
        Holding {
            memory: self.clone(),
            id,
            step,
            held: AtomicUsize::new(0),
            counted: AtomicUsize::new(0),
        }
    }

    /// Begins to count what a queue has, in steps of 64 KiB.
    pub fn hold_queue(&self, holder: Weak<dyn Holder>) -> Holding {
        self.hold(holder, STEP)
    }

    fn fits(&self, bytes: usize, limit: usize) -> bool {
        self.used().saturating_add(bytes) <= limit
    }

    /// Makes sure that `bytes` more fit for a holder of which `weight` bytes are one message: larger ones give way.
    ///
    /// `own` is the holder that asks, where it cannot give way to itself.
    fn ensure(&self, bytes: usize, weight: usize, own: Option<u64>) -> bool {
        let mut spent: Vec<u64> = own.into_iter().collect();
        while !self.fits(bytes, self.0.limit) {
            let Some((id, holder)) = self.largest(weight, &spent) else {
                return false;
            };
            let held = holder.weight();
            match holder.give_way() {
                0 => spent.push(id),
                given => self.gave_way(&holder.told(held), given),
            }
        }
        true
    }

    /// Finds the largest holder of more than `weight` bytes, but for those in `spent`.
    fn largest(&self, weight: usize, spent: &[u64]) -> Option<(u64, Arc<dyn Holder>)> {
        let holders: Vec<_> = {
            let holders = lock(&self.0.holders);
            let others = holders.iter().filter(|(id, _)| !spent.contains(id));
            others
                .filter_map(|(id, holder)| Some((*id, holder.upgrade()?)))
                .collect()
        };
        let weighed = holders
            .into_iter()
            .map(|(id, holder)| (holder.weight(), id, holder));
        let largest = weighed.max_by_key(|(weight, ..)| *weight);
        largest
            .filter(|(held, ..)| *held > weight)
            .map(|(_, id, holder)| (id, holder))
    }

    /// Notes that a holder gave way.
    fn gave_way(&self, what: &str, given: usize) {
        self.tell(what);
        if self.0.shed.fetch_add(given, Ordering::Relaxed) + given >= TRIM {
            self.0.shed.store(0, Ordering::Relaxed);
            heap::give_back();
        }
    }

    /// Says in the log that a holder gave way: at most one line a second.
    fn tell(&self, what: &str) {
        let mut log = lock(&self.0.log);
        if log.said_at.is_some_and(|at| at.elapsed() < LOG_PAUSE) {
            log.unsaid += 1;
            return;
        }
        let others = std::mem::take(&mut log.unsaid);
        log.said_at = Some(Instant::now());
        drop(log);
        let others = match others {
            0 => String::new(),
            count => format!(", as {count} others since the last such line"),
        };
        let limit = self.0.limit;
        warn!("the {limit} bytes of --memory are used up: {what}{others}");
    }
}

/// What one holder has, counted with that of all others until it is dropped.
#[derive(Debug)]
pub struct Holding {
    memory: Memory,
    id: u64,
    step: usize,
    held: AtomicUsize,
    /// How much of the account it has: `held` in whole steps.
    counted: AtomicUsize,
}

impl Holding {
    /// Returns the bytes that it holds.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Makes sure that `bytes` more fit, of one message of `weight` bytes; larger holders give way, this one too. Called
    /// without a lock that a holder takes.
    ///
    /// # Errors
    /// There is no room, and no larger holder.
    pub fn ensure(&self, bytes: usize, weight: usize) -> Result<(), Shortage> {
        // What is counted in advance is there already.
        if self.held() + bytes <= self.counted.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.judged(self.memory.ensure(bytes, weight, None), weight)
    }

    /// Makes sure that `bytes` more fit where this holder cannot give way to itself.
    pub(super) fn ensure_by_others(&self, bytes: usize, weight: usize) -> Result<(), Shortage> {
        let fits = self.memory.ensure(bytes, weight, Some(self.id));
        self.judged(fits, weight)
    }

    fn judged(&self, fits: bool, weight: usize) -> Result<(), Shortage> {
        if fits {
            return Ok(());
        }
        let shortage = Shortage::Message { held: weight };
        self.memory.tell(&shortage.told());
        Err(shortage)
    }

    /// Whether `bytes` more fit as it is: nobody gives way.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.held() + bytes <= self.counted.load(Ordering::Relaxed)
            || self.memory.fits(bytes, self.memory.limit())
    }

    /// Counts `bytes` more.
    pub fn add(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.settle();
    }

    /// Counts `bytes` less.
    pub fn sub(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.settle();
    }

    /// Brings the account up to date, where it is off by a step.
    fn settle(&self) {
        loop {
            let held = self.held();
            let counted = self.counted.load(Ordering::Relaxed);
            if held <= counted && counted - held < 2 * self.step && (held > 0 || counted == 0) {
                return;
            }
            let wanted = held.next_multiple_of(self.step);
            let more = wanted.saturating_sub(counted);
            let used = &self.memory.0.used;
            // What is counted here is in the sum before others can take it away: the sum never goes below zero.
            used.fetch_add(more, Ordering::AcqRel);
            let swapped =
                self.counted
                    .compare_exchange(counted, wanted, Ordering::AcqRel, Ordering::Relaxed);
            let less = match swapped {
                Ok(_) => counted.saturating_sub(wanted),
                Err(_) => more,
            };
            used.fetch_sub(less, Ordering::AcqRel);
            if swapped.is_ok() {
                return;
            }
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        lock(&self.memory.0.holders).remove(&self.id);
        let counted = self.counted.load(Ordering::Relaxed);
        self.memory.0.used.fetch_sub(counted, Ordering::Relaxed);
    }
}

/// Bytes that a queue holds, counted until it is dropped.
#[derive(Debug)]
pub struct Charge {
    holding: Arc<Holding>,
    bytes: usize,
}

impl Charge {
    /// Counts `bytes` for a holding.
    pub fn new(holding: &Arc<Holding>, bytes: usize) -> Charge {
        holding.add(bytes);
        Charge {
            holding: holding.clone(),
            bytes,
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.holding.sub(self.bytes);
    }
}

/// Memory for what can do without: it is taken while less than half of the bound is used, and nobody gives way for it.
#[derive(Debug, Default)]
pub struct Spare {
    memory: Memory,
    counted: usize,
}

impl Spare {
    /// Begins to count.
    pub fn of(memory: &Memory) -> Spare {
        Spare {
            memory: memory.clone(),
            counted: 0,
        }
    }

    /// Whether there is room for so many bytes; counts what is missing, in steps of 64 KiB.
    pub fn covers(&mut self, bytes: usize) -> bool {
        if bytes <= self.counted {
            return true;
        }
        let more = bytes.next_multiple_of(STEP) - self.counted;
        if !self.memory.fits(more, self.memory.limit() / 2) {
            return false;
        }
        self.memory.0.used.fetch_add(more, Ordering::Relaxed);
        self.counted += more;
        true
    }

    /// Gives all of it back.
    pub fn clear(&mut self) {
        let counted = std::mem::take(&mut self.counted);
        self.memory.0.used.fetch_sub(counted, Ordering::Relaxed);
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests;
