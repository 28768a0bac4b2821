//! The watch over a peer whose system tells what it acknowledges, on paused time.

use std::cell::RefCell;
use std::future::poll_fn;

use super::*;

const PERIOD: Duration = Duration::from_secs(30);

/// A peer's system as the watch sees it.
struct Peer {
    unacked: usize,
    /// When its last acknowledgement came.
    acked_at: Instant,
    /// Whether it answers probes and retransmissions.
    answers: bool,
}

impl Peer {
    fn idle() -> Peer {
        Peer {
            unacked: 0,
            acked_at: Instant::now(),
            answers: true,
        }
    }

    fn delivery(&mut self) -> Delivery {
        let is_tried = self.unacked > 0;
        if is_tried && self.answers {
            self.acked_at = Instant::now();
        }
        Delivery::Tcp(Acks {
            unacked: self.unacked,
            since_ack: self.acked_at.elapsed(),
            tries: if is_tried && !self.answers { 5 } else { 0 },
            ..Acks::default()
        })
    }
}

/// Waits for what a silence finds.
async fn found(alive: &mut Alive, is_flushed: bool, peer: &RefCell<Peer>) -> Silence {
    poll_fn(|cx| alive.poll(cx, is_flushed, || peer.borrow_mut().delivery())).await
}

/// Waits for the ping that breaks a silence, and queues it.
async fn pinged(alive: &mut Alive, peer: &RefCell<Peer>) {
    assert_eq!(found(alive, true, peer).await, Silence::Ping);
    alive.pinged(1);
    alive.flushed();
}

/// Waits for so long; whether it was found dead, and after how many seconds.
async fn dead_within(alive: &mut Alive, peer: &RefCell<Peer>, seconds: u64) -> Option<u64> {
    let begun = Instant::now();
    let limit = Duration::from_secs(seconds);
    match tokio::time::timeout(limit, found(alive, true, peer)).await {
        Ok(Silence::Dead) => Some(begun.elapsed().as_secs()),
        Ok(Silence::Ping) => panic!("a second ping for one silence"),
        Err(_) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stands_still_is_alive_as_long_as_its_system_answers() {
    let mut alive = Alive::new(Some(PERIOD));
    let peer = RefCell::new(Peer::idle());
    peer.borrow_mut().unacked = 4_000_000;
    pinged(&mut alive, &peer).await;
    assert_eq!(dead_within(&mut alive, &peer, 3600).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_system_does_not_answer_is_dead_after_two_periods() {
    let mut alive = Alive::new(Some(PERIOD));
    let begun = Instant::now();
    let peer = RefCell::new(Peer::idle());
    peer.borrow_mut().unacked = 1000;
    peer.borrow_mut().answers = false;
    pinged(&mut alive, &peer).await;
    assert!(dead_within(&mut alive, &peer, 600).await.is_some());
    let took = begun.elapsed().as_secs();
    assert!((60..=64).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_was_acknowledged_has_a_period_for_its_pong() {
    let mut alive = Alive::new(Some(PERIOD));
    let peer = RefCell::new(Peer::idle());
    pinged(&mut alive, &peer).await;
    peer.borrow_mut().acked_at = Instant::now();
    assert_eq!(dead_within(&mut alive, &peer, 600).await, Some(30));
}

/// The ping was queued behind what a reader took only long afterwards: only then the time for its pong begins.
#[tokio::test(start_paused = true)]
async fn the_time_for_a_pong_begins_with_the_acknowledgement_of_all_before_it() {
    let mut alive = Alive::new(Some(PERIOD));
    let peer = RefCell::new(Peer::idle());
    peer.borrow_mut().unacked = 100_000;
    pinged(&mut alive, &peer).await;
    assert_eq!(dead_within(&mut alive, &peer, 1000).await, None);
    peer.borrow_mut().unacked = 0;
    peer.borrow_mut().acked_at = Instant::now();
    assert_eq!(dead_within(&mut alive, &peer, 1000).await, Some(30));
}

#[tokio::test(start_paused = true)]
async fn a_pong_behind_a_proxy_may_be_later_by_what_lies_before_it() {
    let mut alive = Alive::new(Some(PERIOD));
    let peer = RefCell::new(Peer::idle());
    // Each MiB has a ping, and of three the first is answered: 16 KiB/s for the other two.
    for number in 1..=3 {
        assert!(alive.sent(1024 * 1024));
        alive.pinged(number);
    }
    alive.answered(1);
    assert_eq!(found(&mut alive, true, &peer).await, Silence::Ping);
    alive.pinged(4);
    alive.flushed();
    peer.borrow_mut().acked_at = Instant::now();
    assert_eq!(dead_within(&mut alive, &peer, 600).await, Some(30 + 128));
}

#[tokio::test(start_paused = true)]
async fn pings_among_what_is_sent_are_bounded_while_none_is_answered() {
    let mut alive = Alive::new(Some(PERIOD));
    let mut pings = 0;
    for _ in 0..1000 {
        if alive.sent(1024 * 1024) {
            pings += 1;
            alive.pinged(pings);
        }
    }
    assert_eq!(pings, PINGS_AHEAD as u64);
    alive.answered(pings);
    assert!(alive.sent(0), "one is due again");
    assert_eq!(alive.volume.pings.capacity(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_unix_socket_is_never_dead_by_silence() {
    let mut alive = Alive::new(Some(PERIOD));
    let mut pings = 0;
    let waits = poll_fn(|cx| {
        while let Poll::Ready(silence) = alive.poll(cx, true, || Delivery::Unix) {
            assert_eq!(silence, Silence::Ping);
            pings += 1;
        }
        Poll::<()>::Pending
    });
    let waited = tokio::time::timeout(Duration::from_secs(3600), waits).await;
    assert!(waited.is_err());
    assert_eq!(pings, 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_not_read_is_pinged_each_period_and_misses_no_pong() {
    let mut alive = Alive::new(Some(PERIOD));
    let peer = RefCell::new(Peer::idle());
    let mut pings = 0;
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match alive.look_unread(true, || peer.borrow_mut().delivery()) {
            Some(Silence::Ping) => pings += 1,
            Some(Silence::Dead) => panic!("dead though its pongs are not read"),
            None => {}
        }
    }
    assert_eq!(pings, 600 / 30);
    // It is read again: its silence begins now.
    let begun = Instant::now();
    pinged(&mut alive, &peer).await;
    assert!(begun.elapsed() >= PERIOD * 3 / 4);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_not_read_is_found_dead_by_its_system_alone() {
    let mut alive = Alive::new(Some(PERIOD));
    let begun = Instant::now();
    let peer = RefCell::new(Peer::idle());
    peer.borrow_mut().answers = false;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match alive.look_unread(true, || peer.borrow_mut().delivery()) {
            Some(Silence::Ping) => peer.borrow_mut().unacked += 14,
            Some(Silence::Dead) => break,
            None => {}
        }
    }
    let took = begun.elapsed().as_secs();
    assert!((60..=62).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn many_connections_do_not_ping_in_one_instant() {
    let begun = Instant::now();
    let mut pings = vec![0; 30];
    for _ in 0..1000 {
        let wait = jittered(Duration::from_secs(30));
        pings[usize::try_from(wait.as_secs()).unwrap().min(29)] += 1;
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // 7.5 seconds: about 133 in each of them.
    assert!(pings.iter().all(|count| *count < 200), "{pings:?}");
}

#[test]
fn what_may_lie_before_a_pong_is_bounded_and_nothing_where_no_pings_are_sent() {
    let second_per_16_kib = |bytes: u64| Duration::from_secs(bytes / SLOWEST);
    for (period, sent, expected) in [
        (Some(PERIOD), 1 << 20, second_per_16_kib(1 << 20)),
        (Some(PERIOD), 1 << 30, second_per_16_kib(4 << 20)),
        (None, 1 << 30, Duration::ZERO),
    ] {
        let mut alive = Alive::new(period);
        alive.sent(sent);
        assert_eq!(alive.backlog(), expected);
    }
}
