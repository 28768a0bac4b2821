//! Handshakes that are not finished. Each has a place; where all are taken, who gives way follows rules that a caller of one
//! address cannot turn against those of others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::caller::Source;

/// Places that an address may have before one of them gives way whatever its age.
const FEW: usize = 8;
/// The age from which a place may have to give way to a newer one.
const OLD: Duration = Duration::from_secs(1);
/// Handshakes of an address over its limit that are kept, so that they can be answered.
const OVER: usize = 8;
/// How often the log says that places are taken away from an address.
const TELL: Duration = Duration::from_secs(10);

/// The places of all handshakes.
pub(super) struct Places {
    limit: usize,
    few: usize,
    /// Places that callers behind trusted proxies may have together before one of them gives way whatever its age: their own
    /// addresses are not known yet.
    of_proxies: usize,
    table: Mutex<Table>,
    /// Told of each place that is left.
    freed: Notify,
    /// How many connections wait for a place.
    waiting: AtomicUsize,
    /// Told when none waits any longer.
    entered: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    /// By number, and so by age.
    all: BTreeMap<u64, Entry>,
    of: HashMap<Source, BTreeSet<u64>>,
    told_at: Option<Instant>,
}

struct Entry {
    source: Source,
    since: Instant,
    /// Whether its address has as many connections as it may already.
    is_over: bool,
    give_up: oneshot::Sender<()>,
}

/// A place of a handshake, until it is dropped.
pub(super) struct Place<'a> {
    places: &'a Places,
    id: u64,
    given_up: oneshot::Receiver<()>,
}

impl Places {
    /// Makes so many places, at least one.
    pub(super) fn new(limit: usize) -> Places {
        let limit = limit.max(1);
        Places {
            limit,
            // Where there are few places, one address must not hold all of them for a second.
            few: FEW.min(limit / 4).max(1),
            of_proxies: (limit / 2).max(1),
            table: Mutex::default(),
            freed: Notify::new(),
            waiting: AtomicUsize::new(0),
            entered: Notify::new(),
        }
    }

    /// Takes a place; waits while all are taken and none has to give way. `is_over` says that the address has as many
    /// connections as it may: of those only a few are kept.
    pub(super) async fn enter(&self, source: Source, is_over: bool) -> Place<'_> {
        if let Ok(place) = self.try_enter(source, is_over) {
            return place;
        }
        let _waiting = Waiting::begin(self);
        loop {
            let freed = self.freed.notified();
            match self.try_enter(source, is_over) {
                Ok(place) => return place,
                Err(until) => tokio::select! {
                    () = freed => {}
                    () = sleep_until(until) => {}
                },
            }
        }
    }

    /// Waits until no connection waits for a place.
    pub(super) async fn none_waits(&self) {
        while self.waiting.load(Ordering::Acquire) > 0 {
            self.entered.notified().await;
        }
    }

    fn try_enter(&self, source: Source, is_over: bool) -> Result<Place<'_>, Instant> {
        let mut table = self.lock();
        let now = Instant::now();
        if is_over {
            table.leave_few_over(source);
        }
        if table.all.len() >= self.limit {
            let victim = table.victim(self, now)?;
            table.tell(victim, self.limit, now);
            table.give_up(victim);
        }
        let (id, given_up) = table.add(source, is_over, now);
        Ok(Place {
            places: self,
            id,
            given_up,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it is held; a poisoned table is a whole one.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn add(&mut self, source: Source, is_over: bool, now: Instant) -> (u64, oneshot::Receiver<()>) {
        let (give_up, given_up) = oneshot::channel();
        let id = self.next;
        self.next += 1;
        self.of.entry(source).or_default().insert(id);
        let entry = Entry {
            source,
            since: now,
            is_over,
            give_up,
        };
        self.all.insert(id, entry);
        (id, given_up)
    }

    /// Which place gives way, or when one will: the oldest of the address that has most of them, where those are more than
    /// few, else the oldest of all once it is old. Trusted proxies are no address while they have no more than their share.
    fn victim(&self, places: &Places, now: Instant) -> Result<u64, Instant> {
        let has_many = |(source, ids): &(&Source, &BTreeSet<u64>)| match source {
            Source::Proxy => ids.len() > places.of_proxies,
            _ => ids.len() > places.few,
        };
        let many = self.of.iter().filter(has_many).map(|(_, ids)| ids);
        let most = many.max_by_key(|ids| (ids.len(), Reverse(ids.first())));
        if let Some(first) = most.and_then(BTreeSet::first) {
            return Ok(*first);
        }
        match self.all.first_key_value() {
            Some((id, oldest)) if now >= oldest.since + OLD => Ok(*id),
            Some((_, oldest)) => Err(oldest.since + OLD),
            None => Err(now),
        }
    }

    /// Keeps fewer than [`OVER`] of an address that are over its limit.
    fn leave_few_over(&mut self, source: Source) {
        let ids = self.of.get(&source).into_iter().flatten();
        let is_over = |id: &&u64| self.all.get(id).is_some_and(|entry| entry.is_over);
        let over: Vec<u64> = ids.filter(is_over).copied().collect();
        if let (true, Some(oldest)) = (over.len() >= OVER, over.first()) {
            self.give_up(*oldest);
        }
    }

    /// Says now and then that places are taken away, and from whom most are.
    fn tell(&mut self, victim: u64, limit: usize, now: Instant) {
        let Some(source) = self.all.get(&victim).map(|entry| entry.source) else {
            return;
        };
        if self.told_at.is_some_and(|at| now < at + TELL) {
            return;
        }
        self.told_at = Some(now);
        let count = self.of.get(&source).map_or(0, BTreeSet::len);
        warn!(
            "{limit} handshakes are unfinished, {count} of them from {source}: the oldest give way; see --max-handshakes"
        );
    }

    fn give_up(&mut self, id: u64) {
        if let Some(entry) = self.remove(id) {
            // It may have finished meanwhile.
            let _ = entry.give_up.send(());
        }
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.all.remove(&id)?;
        if let Some(ids) = self.of.get_mut(&entry.source) {
            ids.remove(&id);
            if ids.is_empty() {
                self.of.remove(&entry.source);
            }
        }
        Some(entry)
    }
}

/// A connection that waits for a place.
struct Waiting<'a>(&'a Places);

impl Waiting<'_> {
    fn begin(places: &Places) -> Waiting<'_> {
        places.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(places)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.entered.notify_one();
        }
    }
}

impl Place<'_> {
    /// Waits until it has to be given up.
    pub(super) async fn given_up(&mut self) {
        // An error is a place that is gone, and that only its own drop removes.
        if (&mut self.given_up).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.places.lock().remove(self.id).is_some() {
            self.places.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::time::{advance, timeout};

    use super::*;

    fn address(last: u8) -> Source {
        Source::V4(Ipv4Addr::new(192, 0, 2, last))
    }

    /// Takes a place that must be there at once.
    #[track_caller]
    fn enter(places: &Places, source: Source) -> Place<'_> {
        places.try_enter(source, false).expect("no place")
    }

    fn has_given_up(place: &mut Place<'_>) -> bool {
        place.given_up.try_recv().is_ok()
    }

    fn given_up(all: &mut [Place<'_>]) -> Vec<usize> {
        let all = all.iter_mut().enumerate();
        all.filter_map(|(at, place)| has_given_up(place).then_some(at))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_the_address_with_most_places_gives_way_whatever_its_age() {
        let places = Places::new(40);
        let mut far = enter(&places, address(1));
        let mut many: Vec<_> = (0..39).map(|_| enter(&places, address(2))).collect();
        for next in 0..100 {
            many.push(enter(&places, address(2)));
            assert_eq!(given_up(&mut many), [next]);
        }
        // Nor does it have to give way to others, however old it is.
        advance(10 * OLD).await;
        let others: Vec<_> = (3..30).map(|last| enter(&places, address(last))).collect();
        assert!(!has_given_up(&mut far));
        assert_eq!(given_up(&mut many).len(), others.len());
    }

    #[tokio::test(start_paused = true)]
    async fn where_no_address_has_many_the_oldest_gives_way_once_it_is_old() {
        let places = Places::new(40);
        let mut all: Vec<_> = (0..40).map(|at| enter(&places, address(at / 8))).collect();
        assert!(places.try_enter(address(99), false).is_err());
        advance(OLD / 2).await;
        let begun = Instant::now();
        let waiting = places.enter(address(99), false);
        let _place = timeout(2 * OLD, waiting).await.expect("no place");
        assert_eq!(begun.elapsed(), OLD / 2);
        assert_eq!(given_up(&mut all), [0]);
        // The others are as old.
        let _place = enter(&places, address(98));
        assert_eq!(given_up(&mut all), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_holds_few_of_few_places() {
        let places = Places::new(4);
        let mut all: Vec<_> = (0..4).map(|_| enter(&places, address(1))).collect();
        let _other = enter(&places, address(2));
        assert_eq!(given_up(&mut all), [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_left_is_taken_by_the_one_that_waits() {
        let places = Places::new(2);
        let first = enter(&places, address(1));
        let _second = enter(&places, address(2));
        let begun = Instant::now();
        let (third, ()) = tokio::join!(places.enter(address(3), false), async {
            assert_eq!(places.waiting.load(Ordering::Acquire), 1);
            drop(first);
            places.none_waits().await;
        });
        assert_eq!(begun.elapsed(), Duration::ZERO);
        drop(third);
        assert!(places.try_enter(address(4), false).is_ok());
    }

    /// Many users are behind a proxy, and each is as good as a caller of another address.
    #[tokio::test(start_paused = true)]
    async fn callers_behind_a_proxy_do_not_give_way_first_where_they_have_no_more_than_their_share()
    {
        let places = Places::new(40);
        let mut behind: Vec<_> = (0..20).map(|_| enter(&places, Source::Proxy)).collect();
        let mut others: Vec<_> = (0..20).map(|at| enter(&places, address(at / 5))).collect();
        // Where nobody has many a newcomer waits, as others do.
        assert!(places.try_enter(Source::Proxy, false).is_err());
        assert!(places.try_enter(address(9), false).is_err());
        // An address that has many loses its own, and not those of the proxy, which are older and more.
        drop(others.split_off(11));
        others.extend((0..9).map(|_| enter(&places, address(9))));
        let _next = enter(&places, address(10));
        assert_eq!(given_up(&mut behind), Vec::<usize>::new());
        assert_eq!(given_up(&mut others), [11]);
    }

    #[tokio::test(start_paused = true)]
    async fn callers_behind_a_proxy_leave_half_of_the_places_to_others() {
        let places = Places::new(40);
        let mut behind: Vec<_> = (0..30).map(|_| enter(&places, Source::Proxy)).collect();
        let mut others: Vec<_> = (0..10).map(|at| enter(&places, address(at))).collect();
        let next: Vec<_> = (10..20).map(|at| enter(&places, address(at))).collect();
        assert_eq!(given_up(&mut behind), (0..10).collect::<Vec<_>>());
        assert_eq!(given_up(&mut others), Vec::<usize>::new());
        // What is left are its share and callers that have few.
        assert!(places.try_enter(address(20), false).is_err());
        drop(next);
    }

    #[tokio::test(start_paused = true)]
    async fn of_an_address_over_its_limit_few_are_kept() {
        let places = Places::new(100);
        let mut allowed = enter(&places, address(1));
        let over = |_| places.try_enter(address(1), true).ok().unwrap();
        let mut over: Vec<_> = (0..20).map(over).collect();
        assert_eq!(given_up(&mut over), (0..20 - OVER).collect::<Vec<_>>());
        assert!(!has_given_up(&mut allowed));
    }
}
