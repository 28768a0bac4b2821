//! What was read from files and can be read again while the bridge runs: certificates, passwords, records.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Something that was read from files.
pub trait Reread: Send + Sync {
    /// Reads the files again, and logs what was read, or why what was read before stays. It may wait for a disk.
    fn read_again(&self);
}

/// All of one owner that can be read again and is in use. A clone is the same list.
#[derive(Clone, Default)]
pub struct Rereads(Arc<Mutex<Vec<Weak<dyn Reread>>>>);

impl fmt::Debug for Rereads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rereads")
    }
}

impl Rereads {
    /// Has something read again whenever that is asked for, for as long as it is in use.
    pub fn register<T: Reread + 'static>(&self, what: &Arc<T>) {
        let what: Arc<dyn Reread> = what.clone();
        let mut all = self.lock();
        all.retain(|other| other.strong_count() > 0);
        if !all.iter().any(|other| other.ptr_eq(&Arc::downgrade(&what))) {
            all.push(Arc::downgrade(&what));
        }
    }

    /// Reads all again, and returns how many things that were.
    pub fn read_again(&self) -> usize {
        let all = self.lock().clone();
        let used: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
        used.iter().for_each(|what| what.read_again());
        used.len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn Reread>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Reread for Counted {
        fn read_again(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_an_owner_registers_is_read_again_by_that_owner_while_it_is_in_use() {
        let owners = [Rereads::default(), Rereads::default()];
        let what = [(); 2].map(|()| Arc::new(Counted::default()));
        for (owner, what) in owners.iter().zip(&what) {
            owner.register(what);
            owner.register(what);
        }
        assert_eq!(owners[0].read_again(), 1);
        let counts = what.each_ref().map(|it| it.0.load(Ordering::Relaxed));
        assert_eq!(counts, [1, 0]);
        drop(what);
        assert_eq!(owners[0].read_again(), 0);
    }
}
