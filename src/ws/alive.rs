//! Whether the peer of a WebSocket is dead: judged by what moves, and by pongs only where nothing is on its way to it.
//!
//! A pong says that all before its ping was read, and so a slow reader's pong is late while the reader lives. Therefore
//! three signs are looked at, on timers alone:
//!
//! * A byte that was received is life, and so is a byte that the peer's system has acknowledged.
//! * While something is not acknowledged the peer is dead when nothing has moved for two periods, no acknowledgement has
//!   come in them and the system has tried twice or more. A reader that stands still is alive: its system answers.
//! * While all is acknowledged, the pong is due a period after the acknowledgement of its ping, and later by the time that a
//!   slow reader behind a proxy needs for what it was sent since the last ping that it answered.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rand::RngExt;
use tokio::time::{Instant, Sleep};

use crate::sendqueue::{Acks, Delivery};

/// Bytes a second that the slowest reader takes: a pong may be as much later as this takes for what lies before it.
const SLOWEST: u64 = 16 * 1024;
/// Bytes after which a ping is sent, so that little lies between two of them.
const PING_EACH: u64 = 1024 * 1024;
/// Bytes that the systems and proxies between us and a reader hold, when no more is in our own system's queue.
const ON_THE_WAY: u64 = 4 * 1024 * 1024;
/// Pings without an answer, after which no more are sent for the bytes that pass.
const PINGS_AHEAD: usize = 64;
/// Retransmissions or probes without an answer that are no accident.
const TRIES: u8 = 2;
/// How often an unanswered ping is looked at in its period.
const LOOKS: u32 = 8;

/// The watch over a peer.
pub(super) struct Alive {
    period: Option<Duration>,
    /// How long a silence this one may be before a ping breaks it.
    wait: Duration,
    last_read: Instant,
    /// When a ping broke the silence that lasts, if one did.
    pinged_at: Option<Instant>,
    /// When its ping was acknowledged or, where that cannot be told, when all before it and it had left.
    delivered_at: Option<Instant>,
    /// While it is not read: when the next ping is due.
    unread: Option<Instant>,
    /// Whether it was read since it was last looked at as one that may not be.
    is_read: bool,
    timer: Option<Pin<Box<Sleep>>>,
    volume: Volume,
}

/// Bytes that were sent, and pings among them.
#[derive(Default)]
struct Volume {
    sent: u64,
    /// How many had been sent before the last ping that was answered.
    answered: u64,
    /// At how many the next ping is due.
    ping_at: u64,
    /// Pings without an answer: their numbers, and how many bytes had been sent before.
    pings: VecDeque<(u64, u64)>,
}

/// What a look at a silence finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// A ping is due.
    Ping,
    /// The peer is dead.
    Dead,
}

impl Alive {
    /// Watches with this period; `None` is never.
    pub(super) fn new(period: Option<Duration>) -> Alive {
        let now = Instant::now();
        Alive {
            period,
            wait: period.map_or(Duration::ZERO, jittered),
            last_read: now,
            pinged_at: None,
            delivered_at: None,
            unread: None,
            is_read: true,
            timer: None,
            volume: Volume {
                ping_at: PING_EACH,
                ..Volume::default()
            },
        }
    }

    /// Returns how long a silence may be; `None` where nothing is watched.
    pub(super) fn period(&self) -> Option<Duration> {
        self.period
    }

    /// Notes that something was read.
    pub(super) fn heard(&mut self) {
        if self.period.is_some() {
            self.last_read = Instant::now();
            (self.unread, self.is_read) = (None, true);
            if self.pinged_at.take().is_some() {
                self.delivered_at = None;
                self.wait = self.period.map_or(Duration::ZERO, jittered);
            }
        }
    }

    /// Notes bytes that were sent; whether a ping is due behind them.
    pub(super) fn sent(&mut self, bytes: usize) -> bool {
        let volume = &mut self.volume;
        volume.sent += bytes as u64;
        volume.sent >= volume.ping_at && volume.pings.len() < PINGS_AHEAD && self.period.is_some()
    }

    /// Notes a ping by its number.
    pub(super) fn pinged(&mut self, number: u64) {
        let volume = &mut self.volume;
        volume.ping_at = volume.sent + PING_EACH;
        if volume.pings.len() < PINGS_AHEAD {
            volume.pings.push_back((number, volume.sent));
        }
    }

    /// Notes that all pings up to this one are answered.
    pub(super) fn answered(&mut self, number: u64) {
        let volume = &mut self.volume;
        while let Some((_, sent)) = volume.pings.front().filter(|(asked, _)| *asked <= number) {
            volume.answered = *sent;
            volume.pings.pop_front();
        }
        if volume.pings.is_empty() {
            volume.pings = VecDeque::new();
        }
    }

    /// How long a slow reader needs for what it was sent since the last ping that it answered, as far as that lies on the way.
    /// Where no pings are sent nothing is known of that.
    pub(super) fn backlog(&self) -> Duration {
        let behind = (self.volume.sent - self.volume.answered).min(ON_THE_WAY);
        let seconds = self.period.map_or(0, |_| behind / SLOWEST);
        Duration::from_secs(seconds)
    }

    /// Notes that all that was put, the ping included, has left.
    pub(super) fn flushed(&mut self) {
        if self.pinged_at.is_some() && self.delivered_at.is_none() {
            self.delivered_at = Some(Instant::now());
        }
    }

    /// Ready when the silence has lasted until something is due. `is_flushed` says whether nothing waits in our own queue.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        is_flushed: bool,
        delivery: impl Fn() -> Delivery,
    ) -> Poll<Silence> {
        let Some(period) = self.period else {
            return Poll::Pending;
        };
        if self.unread.is_some() {
            // Its pongs lay unread: the silence begins now.
            self.heard();
        }
        self.is_read = true;
        loop {
            let wait = self.wait;
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(wait)));
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            let next = match self.pinged_at {
                None if now >= self.last_read + self.wait => {
                    self.pinged_at = Some(now);
                    self.delivered_at = None;
                    self.look_again(now + period / LOOKS);
                    return Poll::Ready(Silence::Ping);
                }
                None => self.last_read + self.wait,
                Some(pinged_at) => match self.judge(now, pinged_at, period, is_flushed, delivery())
                {
                    None => return Poll::Ready(Silence::Dead),
                    Some(next) => next,
                },
            };
            self.look_again(next);
        }
    }

    fn look_again(&mut self, at: Instant) {
        if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(at);
        }
    }

    /// Looks at a peer of which what it says has nowhere to go. Where it is not read its pong may lie unread: none is missed
    /// then, and a ping is due each period.
    pub(super) fn look_unread(
        &mut self,
        is_flushed: bool,
        delivery: impl FnOnce() -> Delivery,
    ) -> Option<Silence> {
        let period = self.period?;
        if std::mem::take(&mut self.is_read) {
            return None;
        }
        let now = Instant::now();
        let since = self.pinged_at.unwrap_or(self.last_read);
        let ping_at = *self.unread.get_or_insert(since + period);
        if let Delivery::Tcp(acks) = delivery()
            && self.is_lost(now, period, is_flushed, acks)
        {
            return Some(Silence::Dead);
        }
        (now >= ping_at).then(|| {
            self.unread = Some(now + period);
            Silence::Ping
        })
    }

    /// Judges a silence that a ping has not broken: `None` where the peer is dead, else when to look again.
    fn judge(
        &mut self,
        now: Instant,
        pinged_at: Instant,
        period: Duration,
        is_flushed: bool,
        delivery: Delivery,
    ) -> Option<Instant> {
        let soon = now + period / LOOKS;
        match delivery {
            Delivery::Unix => return Some(soon),
            Delivery::Unknown if !is_flushed => return Some(soon),
            Delivery::Unknown => {}
            Delivery::Tcp(acks) => {
                let is_lost = self.is_lost(now, period, is_flushed, acks);
                if !is_flushed || acks.unacked > 0 {
                    self.delivered_at = None;
                    return (!is_lost).then_some(soon);
                }
                let acked_at = now.checked_sub(acks.since_ack).unwrap_or(pinged_at);
                self.delivered_at.get_or_insert(acked_at.max(pinged_at));
            }
        }
        if self.volume.pings.is_empty() {
            // After our Close there is none.
            return Some(soon);
        }
        let delivered_at = *self.delivered_at.get_or_insert(now);
        let due = delivered_at + period + self.volume.allowance();
        (now < due).then_some(due.min(soon))
    }

    /// Whether what is on its way to the peer has stopped to move, and nothing says that the peer is there.
    fn is_lost(&self, now: Instant, period: Duration, is_flushed: bool, acks: Acks) -> bool {
        let is_queued = acks.unacked > 0 || !is_flushed;
        let is_silent = now >= self.last_read + 2 * period && acks.since_ack >= 2 * period;
        is_queued && is_silent && acks.tries >= TRIES
    }
}

impl Volume {
    /// How much later than its period a pong may come.
    fn allowance(&self) -> Duration {
        let most = PINGS_AHEAD as u64 * PING_EACH;
        let behind = (self.sent - self.answered).min(most);
        Duration::from_secs(behind / SLOWEST)
    }
}

/// Between three quarters of a time and all of it, so that many connections do not ping in one instant.
fn jittered(most: Duration) -> Duration {
    most.mul_f64(rand::rng().random_range(0.75..=1.0))
}

#[cfg(test)]
mod tests;
