//! Bridges between two scripted ends, beside a model of one TCP connection: half-closes, resets and pauses at random, over
//! WebSockets that carry half-closes and over such that do not. Everything runs in memory on paused time.

mod foreign;
mod link;
mod lost;
mod script;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use self::link::{Connection, Line, Port, link};
use self::script::{Dice, End, Script, Seen, Sent, read, write};
use super::{Options, Role, Socket};
use crate::framing::Framing;
use crate::memory::Memory;
use crate::peer::{Messages, Notice, Opened, StreamFacts, into_messages};
use crate::pump::{self, Outcome, pump};

/// Whether the two sides of a hop believe that half-closes were agreed: its client, its server.
type Hop = [bool; 2];

const AGREED: Hop = [true, true];
/// A proxy has taken the field out of the 101.
const DROPPED: Hop = [false, true];
const FOREIGN: Hop = [false, false];

/// Longer than every session is.
const HANG: Duration = Duration::from_secs(3600);

/// Both ends of a connection through bridges, and how the bridges ended.
struct Played {
    sent: [Sent; 2],
    seen: [Seen; 2],
    outcomes: Vec<(Outcome, Instant)>,
    begun: Instant,
}

/// A WebSocket over one end of a connection.
fn socket(port: Port, role: Role, is_agreed: bool) -> Opened {
    let socket = Socket::new(Connection::new(port), b"", role, Options::default());
    match is_agreed {
        true => socket.with_half_close(Duration::from_millis(20)),
        false => socket,
    }
    .into()
}

fn bytes(port: Port) -> Opened {
    Opened::bytes(Connection::new(port), StreamFacts::of_bytes(Framing::BYTES))
}

/// A bridge between two peers, as `session` joins them.
fn bridge(left: Opened, right: Opened) -> JoinHandle<(Outcome, Instant)> {
    let [mut left, mut right] = into_messages(left, right, &Memory::default());
    let proof = |of: &Messages| Notice::Prove(of.facts.proof.clone());
    left.stream.notify(proof(&right));
    right.stream.notify(proof(&left));
    tokio::spawn(async move {
        let options = pump::Options::default();
        let outcome = pump(left, right, &options, std::future::pending()).await;
        (outcome, Instant::now())
    })
}

/// One end of the whole: what it does and sees.
struct Player {
    writer: JoinHandle<Sent>,
    reader: JoinHandle<()>,
    seen: Arc<Mutex<Seen>>,
}

impl Player {
    /// Plays a script as `own`; what comes is compared with what `other` sends.
    fn new(port: &Port, script: &Script, own: u8, other: u8) -> Player {
        let seen = Arc::new(Mutex::new(Seen::default()));
        Player {
            writer: tokio::spawn(write(port.clone(), own, script.acts.clone())),
            reader: tokio::spawn(read(
                port.clone(),
                other,
                script.stops.clone(),
                seen.clone(),
            )),
            seen,
        }
    }

    async fn end(self) -> (Sent, Seen) {
        let sent = self.writer.await.unwrap();
        self.reader.abort();
        (sent, self.seen.lock().unwrap().clone())
    }
}

/// Plays two scripts at the ends of a row of bridges with these hops between them; the first connection is the left end's.
async fn play(scripts: &[Script; 2], hops: &[Hop], lines: &[Line]) -> Played {
    play_until_lost(scripts, hops, lines, None).await
}

/// The same, where the connection of the first hop is lost after so long.
async fn play_until_lost(
    scripts: &[Script; 2],
    hops: &[Hop],
    lines: &[Line],
    mut lost_after: Option<Duration>,
) -> Played {
    let begun = Instant::now();
    let [left_end, near] = link(lines[0]);
    let (mut bridges, mut left) = (Vec::new(), bytes(near));
    for (hop, line) in hops.iter().zip(&lines[1..]) {
        let [client, server] = link(*line);
        if let Some(time) = lost_after.take() {
            tokio::spawn(lost::lose(time, client.clone(), server.clone()));
        }
        bridges.push(bridge(left, socket(client, Role::Client, hop[0])));
        left = socket(server, Role::Server, hop[1]);
    }
    let [far, right_end] = link(lines[hops.len() + 1]);
    bridges.push(bridge(left, bytes(far)));
    let players = [
        Player::new(&left_end, &scripts[0], 0, 0x55),
        Player::new(&right_end, &scripts[1], 0x55, 0),
    ];
    let mut outcomes = Vec::new();
    for bridge in bridges {
        outcomes.push(
            timeout(HANG, bridge)
                .await
                .expect("a bridge hangs")
                .unwrap(),
        );
    }
    // What the bridges had written comes still.
    tokio::time::sleep(Duration::from_secs(200)).await;
    let [left, right] = players;
    let (left, right) = (left.end().await, right.end().await);
    Played {
        sent: [left.0, right.0],
        seen: [left.1, right.1],
        outcomes,
        begun,
    }
}

/// Runs something on paused time of its own.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

/// Runs seeds, and names those that differ from a model.
#[track_caller]
fn seeds(count: u64, differences: impl Fn(&mut Dice) -> (String, Vec<String>)) {
    let failed: Vec<String> = (0..count)
        .filter_map(|seed| {
            let (history, differences) = differences(&mut Dice::new(seed));
            (!differences.is_empty())
                .then(|| format!("seed {seed}:\n  {}\n{history}", differences.join("\n  ")))
        })
        .collect();
    let shown = failed.iter().take(5).cloned().collect::<Vec<_>>();
    assert!(
        failed.is_empty(),
        "{} of {count} seeds differ from the model\n{}",
        failed.len(),
        shown.join("\n\n")
    );
}

/// A time of a history, in seconds since its begin.
fn seconds(begun: Instant, at: Option<Instant>) -> String {
    at.map_or("-".into(), |at| {
        format!("{:.3}", (at - begun).as_secs_f64())
    })
}

fn history(scripts: &[Script; 2], played: &Played, more: &dyn Debug) -> String {
    let mut text = format!("  {more:?}\n");
    for (side, name) in ["left", "right"].into_iter().enumerate() {
        let (sent, seen) = (&played.sent[side], &played.seen[side]);
        let at = |at| seconds(played.begun, at);
        text += &format!("  {name}: {:?}\n", scripts[side]);
        text += &format!(
            "    sent {} bytes, lost {}, fin {}, reset {}\n    saw {} bytes, {:?} at {}, reset {}, read on at {}\n",
            sent.bytes,
            sent.lost,
            at(sent.fin_at),
            at(sent.reset_at),
            seen.bytes,
            seen.end.map(|end| end.0),
            at(seen.end.map(|end| end.1)),
            at(seen.reset_at),
            at(seen.stopped_until),
        );
    }
    for (outcome, ended_at) in &played.outcomes {
        text += &format!(
            "  bridge until {}: {:?} | {:?}, status {}\n",
            seconds(played.begun, Some(*ended_at)),
            outcome.left,
            outcome.right,
            outcome.exit_status()
        );
    }
    text
}

/// What differs from one TCP connection. `transit` is how long all that is under way may take through all bridges.
fn differences_from_tcp(played: &Played, scripts: &[Script; 2], transit: Duration) -> Vec<String> {
    let mut found = Vec::new();
    for (name, from, to) in [("left to right", 0, 1), ("right to left", 1, 0)] {
        let stops = scripts[to].stops.iter().map(|stop| stop.1).sum();
        let direction = Direction {
            sent: &played.sent[from],
            seen: &played.seen[to],
            readers: &played.sent[to],
            stops,
            transit,
        };
        found.extend(
            direction
                .differences()
                .map(|what| format!("{name}: {what}")),
        );
    }
    let is_reset = |side: usize| played.sent[side].reset_at.is_some();
    let broken = [0, 1].map(|side| matches!(played.seen[side].end, Some((End::Reset, _))));
    for (at, (outcome, ended_at)) in played.outcomes.iter().enumerate() {
        let status = outcome.exit_status();
        if !is_reset(0) && !is_reset(1) && status != 0 {
            found.push(format!(
                "bridge {at} ended with {status} after a clean session"
            ));
        }
        let is_told = |side: usize| is_reset(1 - side) && !is_reset(side) && broken[side];
        if (is_told(0) || is_told(1)) && status == 0 {
            found.push(format!(
                "bridge {at} ended with 0 although an end saw a reset"
            ));
        }
        let last = last_event(played);
        if *ended_at > last + transit + Duration::from_secs(5) {
            found.push(format!("bridge {at} outlived the session"));
        }
    }
    found
}

/// When the ends did or saw something last.
fn last_event(played: &Played) -> Instant {
    let sent = played.sent.iter().flat_map(|it| [it.fin_at, it.reset_at]);
    let seen = played.seen.iter();
    let seen = seen.flat_map(|it| [it.end.map(|end| end.1), it.reset_at, it.stopped_until]);
    sent.chain(seen).flatten().max().unwrap_or(played.begun)
}

/// One direction of a TCP connection, as it was played.
struct Direction<'a> {
    sent: &'a Sent,
    seen: &'a Seen,
    /// What the reader sent.
    readers: &'a Sent,
    /// How long the reader stood still.
    stops: Duration,
    transit: Duration,
}

impl Direction<'_> {
    /// A clean direction: all bytes, then EOF. A reset: a prefix, then an error, never EOF. Nothing too late.
    fn differences(&self) -> impl Iterator<Item = String> {
        let (sent, seen) = (self.sent, self.seen);
        let mut found = Vec::new();
        if let Some(at) = seen.wrong_at {
            found.push(format!("byte {at} is not the one that was sent"));
        }
        let all = sent.bytes - sent.lost.min(sent.bytes);
        let end = seen.end.map(|end| end.0);
        // Who reset reads nothing more.
        let readers_reset_at = self.readers.reset_at;
        let is_judged =
            readers_reset_at.is_none_or(|reset_at| seen.end.is_some_and(|it| it.1 < reset_at));
        if is_judged && end == Some(End::Eof) && (sent.fin_at.is_none() || seen.bytes != sent.bytes)
        {
            found.push(format!("EOF after {} of {} bytes", seen.bytes, sent.bytes));
        }
        if readers_reset_at.is_none() {
            found.extend(match sent.reset_at {
                None => self.clean(),
                Some(at) => self.reset(at, all),
            });
        }
        found.into_iter()
    }

    fn latest(&self, at: Instant) -> Instant {
        self.seen.stopped_until.map_or(at, |stop| stop.max(at)) + self.transit
    }

    fn clean(&self) -> Vec<String> {
        let (sent, seen) = (self.sent, self.seen);
        let Some(fin_at) = sent.fin_at else {
            return vec!["the writer met an error".into()];
        };
        match seen.end {
            Some((End::Eof, at)) if at <= self.latest(fin_at) => Vec::new(),
            Some((End::Eof, at)) => {
                vec![format!("EOF {:?} too late", at - self.latest(fin_at))]
            }
            end => vec![format!("{end:?} instead of EOF after {} bytes", sent.bytes)],
        }
    }

    fn reset(&self, reset_at: Instant, all: usize) -> Vec<String> {
        let (sent, seen) = (self.sent, self.seen);
        let mut found = Vec::new();
        let latest = self.latest(reset_at) + link::RESET_PATIENCE;
        match seen.end {
            None => found.push("neither end nor error after a reset".into()),
            Some((End::Eof, _)) if sent.fin_at.is_none() => {}
            Some((_, at)) if at > latest => found.push(format!("{:?} too late", at - latest)),
            // What its system has taken is delivered, unless the reader stands still.
            Some((End::Reset, _)) if self.stops.is_zero() && seen.bytes != all => {
                found.push(format!("a reset after {} of {all} bytes", seen.bytes));
            }
            _ => {}
        }
        // Who has ended its own direction before may be at the end of all.
        let is_open = self.readers.fin_at.is_none_or(|fin_at| fin_at > latest);
        if is_open && seen.reset_at.is_none_or(|at| at > latest) {
            found.push(format!(
                "told of the reset at {:?} only",
                seen.reset_at.map(|at| at - reset_at)
            ));
        }
        found
    }
}

/// Connections that are fast or slow, wide or narrow.
fn lines(dice: &mut Dice, count: usize) -> Vec<Line> {
    (0..count)
        .map(|_| Line {
            delay: dice.millis(&[(0, 1), (0, 5), (5, 40)]),
            window: dice.of(&[(16_000, 20_000), (60_000, 70_000), (200_000, 300_000)]),
            queue: dice.of(&[(16_000, 20_000), (60_000, 70_000), (200_000, 300_000)]),
        })
        .collect()
}

/// How long all that can be under way takes, there and back for the proof, with what the bridges need.
fn transit(lines: &[Line], scripts: &[Script; 2]) -> Duration {
    let written = |script: &Script| -> usize {
        let lens = script.acts.iter().map(|act| match act {
            script::Act::Write(len) => *len,
            _ => 0,
        });
        lens.sum()
    };
    let most = scripts.iter().map(written).max().unwrap_or(0);
    let rounds = |line: &Line| u32::try_from(most / line.window + 4).unwrap();
    let moving: Duration = lines.iter().map(|line| line.delay * 2 * rounds(line)).sum();
    moving + Duration::from_millis(100)
}

/// Plays seeds over hops that all carry half-closes.
fn beside_tcp(count: u64, hops: &[Hop]) {
    // More of them by hand: MODEL_SEEDS=10000 cargo test --lib ws::model
    let asked = std::env::var("MODEL_SEEDS").ok();
    let count = asked.map_or(count, |asked| asked.parse().unwrap());
    seeds(count, |dice| {
        let lines = lines(dice, hops.len() + 2);
        let scripts = [Script::random(dice), Script::random(dice)];
        let transit = transit(&lines, &scripts);
        let played = run(play(&scripts, hops, &lines));
        let differences = differences_from_tcp(&played, &scripts, transit);
        (history(&scripts, &played, &(lines, transit)), differences)
    });
}

#[test]
fn two_bridges_are_one_tcp_connection() {
    beside_tcp(500, &[AGREED]);
}

#[test]
fn a_relay_between_two_bridges_is_part_of_one_tcp_connection() {
    beside_tcp(150, &[AGREED, AGREED]);
}
