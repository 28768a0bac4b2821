//! What was read from files and can be read again while the bridge runs: certificates, passwords, records.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Something that was read from files.
pub trait Reread: Send + Sync {
    /// Reads the files again, and logs what was read, or why what was read before stays. It may wait for a disk.
    fn read_again(&self);
}

/// All that is in use.
static ALL: Mutex<Vec<Weak<dyn Reread>>> = Mutex::new(Vec::new());

/// Has something read again whenever that is asked for, for as long as it is in use.
pub fn register<T: Reread + 'static>(what: &Arc<T>) {
    let what: Arc<dyn Reread> = what.clone();
    // Nothing panics while it is held.
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|other| other.strong_count() > 0);
    if !all.iter().any(|other| other.ptr_eq(&Arc::downgrade(&what))) {
        all.push(Arc::downgrade(&what));
    }
}

/// Reads all again, and returns how many things that were.
pub fn all() -> usize {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let used: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
    used.iter().for_each(|what| what.read_again());
    used.len()
}
