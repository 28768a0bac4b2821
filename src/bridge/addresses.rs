//! How many connections each address has: `--max-per-ip`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::caller::Source;

/// The sessions and handshakes of each address.
pub(super) struct Addresses {
    limit: Option<usize>,
    counts: Mutex<HashMap<Source, usize>>,
}

/// One connection of an address, until it is dropped.
pub(super) struct Guest {
    _counted: Option<Box<Counted>>,
}

struct Counted {
    addresses: Arc<Addresses>,
    source: Source,
}

impl Addresses {
    /// Allows each address so many connections; `None` is any number.
    pub(super) fn new(limit: Option<usize>) -> Addresses {
        Addresses {
            limit,
            counts: Mutex::default(),
        }
    }

    /// Counts a connection; `None` where its address has as many as it may.
    pub(super) fn enter(self: &Arc<Self>, source: Source) -> Option<Guest> {
        let is_counted = !matches!(source, Source::Unknown | Source::Proxy);
        let Some(limit) = self.limit.filter(|_| is_counted) else {
            return Some(Guest { _counted: None });
        };
        let mut counts = self.lock();
        let count = counts.entry(source).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Guest {
            _counted: Some(Box::new(Counted {
                addresses: self.clone(),
                source,
            })),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Source, usize>> {
        // Nothing panics while it is held; a poisoned map is a whole one.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.addresses.lock();
        if let Some(count) = counts.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn source(text: &str) -> Source {
        Source::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn an_address_has_so_many_connections_and_one_that_is_left_is_free() {
        let addresses = Arc::new(Addresses::new(Some(2)));
        let first = addresses.enter(source("192.0.2.1")).unwrap();
        let _mapped = addresses.enter(source("::ffff:192.0.2.1")).unwrap();
        assert!(addresses.enter(source("192.0.2.1")).is_none());
        let _other = addresses.enter(source("192.0.2.2")).unwrap();
        drop(first);
        assert!(addresses.enter(source("192.0.2.1")).is_some());
        drop(_mapped);
        drop(_other);
        assert!(addresses.lock().is_empty());
    }

    #[test]
    fn the_64_bits_of_a_network_are_one_address_and_so_is_a_user() {
        let addresses = Arc::new(Addresses::new(Some(1)));
        let _near = addresses.enter(source("2001:db8:1:2::1")).unwrap();
        assert!(addresses.enter(source("2001:db8:1:2:ffff::2")).is_none());
        assert!(addresses.enter(source("2001:db8:1:3::1")).is_some());
        let _user = addresses.enter(Source::Uid(1000)).unwrap();
        assert!(addresses.enter(Source::Uid(1000)).is_none());
        assert!(addresses.enter(Source::Uid(1001)).is_some());
    }

    #[test]
    fn without_a_limit_or_an_address_nothing_is_counted() {
        for (limit, source) in [(None, Source::Uid(1)), (Some(1), Source::Unknown)] {
            let addresses = Arc::new(Addresses::new(limit));
            let guests: Vec<_> = (0..3).map(|_| addresses.enter(source)).collect();
            assert!(guests.iter().all(Option::is_some));
            assert!(addresses.lock().is_empty());
        }
    }
}
