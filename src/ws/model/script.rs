//! What the two ends of a modelled connection do, and what they see of each other.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::link::Port;

/// Numbers from a seed (splitmix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    /// A number of a range that is chosen first.
    pub(super) fn of(&mut self, ranges: &[(usize, usize)]) -> usize {
        let (from, to) = ranges[self.below(ranges.len())];
        from + self.below(to - from)
    }

    pub(super) fn millis(&mut self, ranges: &[(usize, usize)]) -> Duration {
        Duration::from_millis(self.of(ranges) as u64)
    }
}

/// What an end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Write(usize),
    Pause(Duration),
    Fin,
    Reset,
}

/// What an end does in order, and behind how many bytes it stops reading for how long.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    pub(super) acts: Vec<Act>,
    pub(super) stops: Vec<(usize, Duration)>,
}

impl Script {
    /// Writes, pauses and an end: a half-close, a reset, or the one behind the other.
    pub(super) fn random(dice: &mut Dice) -> Script {
        let mut acts = Vec::new();
        for _ in 0..dice.below(6) {
            acts.push(match dice.below(2) {
                0 => Act::Write(dice.of(&[(1, 10), (1, 2000), (1, 100_000), (1, 400_000)])),
                _ => Act::Pause(dice.millis(&[
                    (0, 50),
                    (50, 2000),
                    (2500, 15_000),
                    (20_000, 120_000),
                ])),
            });
        }
        match dice.below(8) {
            0 => acts.push(Act::Reset),
            1 => {
                let pause = dice.millis(&[(0, 1000), (1000, 20_000)]);
                acts.extend([Act::Fin, Act::Pause(pause), Act::Reset]);
            }
            _ => acts.push(Act::Fin),
        }
        let stops = (0..dice.below(4).saturating_sub(1)).map(|_| {
            (
                dice.of(&[(0, 2000), (0, 200_000)]),
                dice.millis(&[(0, 1000), (1000, 8000)]),
            )
        });
        let mut stops: Vec<_> = stops.collect();
        stops.sort();
        Script { acts, stops }
    }

    /// Short writes and pauses that are far from every deadline of a linger, and a half-close or a reset.
    pub(super) fn short(dice: &mut Dice) -> Script {
        let mut acts = Vec::new();
        for _ in 0..1 + dice.below(6) {
            acts.push(Act::Pause(dice.millis(&[
                (10, 300),
                (500, 1500),
                (2500, 8000),
                (12_000, 30_000),
            ])));
            acts.push(Act::Write(dice.of(&[(1, 10), (1, 4000)])));
        }
        acts.push(Act::Pause(dice.millis(&[
            (10, 300),
            (500, 1500),
            (2500, 8000),
            (12_000, 30_000),
        ])));
        acts.push(if dice.below(8) == 0 {
            Act::Reset
        } else {
            Act::Fin
        });
        let is_mute = dice.below(4) == 0;
        acts.retain(|act| !is_mute || !matches!(act, Act::Write(_)));
        Script {
            acts,
            stops: Vec::new(),
        }
    }
}

/// How a direction ended for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Eof,
    Reset,
}

/// What an end did, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    /// Bytes that were written at these times, and the end.
    pub(super) acts: Vec<(Instant, Act)>,
    pub(super) bytes: usize,
    pub(super) fin_at: Option<Instant>,
    pub(super) reset_at: Option<Instant>,
    /// Bytes that its own reset destroyed.
    pub(super) lost: usize,
}

/// What an end saw, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) bytes: usize,
    /// Where the first byte is that is not the one that was sent.
    pub(super) wrong_at: Option<usize>,
    pub(super) end: Option<(End, Instant)>,
    /// Until when it read nothing, at last.
    pub(super) stopped_until: Option<Instant>,
    /// When its connection was reset, also behind the end.
    pub(super) reset_at: Option<Instant>,
}

impl Seen {
    /// Compares bytes with what `from` sends there.
    pub(super) fn add(&mut self, from: u8, bytes: &[u8]) {
        for byte in bytes {
            if *byte != byte_at(from, self.bytes) {
                self.wrong_at.get_or_insert(self.bytes);
            }
            self.bytes += 1;
        }
    }
}

/// The byte that an end sends at a place.
pub(super) fn byte_at(from: u8, at: usize) -> u8 {
    let [low, middle, high, ..] = at.to_le_bytes();
    low ^ middle ^ high ^ from
}

/// Bytes that an end sends from a place on.
pub(super) fn pattern(from: u8, at: usize, len: usize) -> Vec<u8> {
    (at..at + len).map(|at| byte_at(from, at)).collect()
}

/// Plays the writing half of a script.
pub(super) async fn write(port: Port, from: u8, acts: Vec<Act>) -> Sent {
    let mut sent = Sent::default();
    for act in acts {
        let done = match act {
            Act::Pause(time) => {
                sleep(time).await;
                continue;
            }
            Act::Write(len) => port.write(&pattern(from, sent.bytes, len)).await,
            Act::Fin => port.shutdown(),
            Act::Reset => {
                port.reset();
                sent.lost = port.lost();
                Ok(())
            }
        };
        let now = Instant::now();
        match (done, act) {
            // The connection was reset meanwhile.
            (Err(_), _) => break,
            (_, Act::Write(len)) => sent.bytes += len,
            (_, Act::Fin) => sent.fin_at = Some(now),
            (_, Act::Reset) => sent.reset_at = Some(now),
            (_, Act::Pause(_)) => {}
        }
        sent.acts.push((now, act));
    }
    sent
}

/// Plays the reading half of a script: reads to the end, then looks for a reset until it is dropped.
pub(super) async fn read(
    port: Port,
    from: u8,
    mut stops: Vec<(usize, Duration)>,
    seen: std::sync::Arc<std::sync::Mutex<Seen>>,
) {
    let watched = (port.clone(), seen.clone());
    let watch = tokio::spawn(async move {
        let (port, seen) = watched;
        poll_fn(|cx| port.poll_reset(cx)).await;
        seen.lock().unwrap().reset_at = Some(Instant::now());
    });
    stops.reverse();
    loop {
        let here = seen.lock().unwrap().bytes;
        if let Some((_, time)) = stops.pop_if(|(at, _)| *at <= here) {
            sleep(time).await;
            seen.lock().unwrap().stopped_until = Some(Instant::now());
        }
        let read = poll_fn(|cx| port.poll_read(cx, 16 * 1024)).await;
        let mut seen = seen.lock().unwrap();
        let end = match read {
            // The writer may have met the error, which is told once.
            Ok(bytes) if bytes.is_empty() && port.is_cut() => End::Reset,
            Ok(bytes) if bytes.is_empty() => End::Eof,
            Ok(bytes) => {
                seen.add(from, &bytes);
                continue;
            }
            Err(_) => End::Reset,
        };
        seen.end = Some((end, Instant::now()));
        break;
    }
    // A panic of it is one of the test.
    watch.await.unwrap();
}
