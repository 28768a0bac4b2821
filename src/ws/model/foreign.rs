//! The model of a WebSocket that carries no half-closes: the end of a caller's input leaves it open until the server closes or
//! has been silent, that of a target closes it. Beside it servers that know no half-close, and proxies that hide it.

use std::future::poll_fn;

use tokio::time::sleep_until;

use super::script::{Act, pattern};
use super::*;
use crate::ending::{Close, Ending};
use crate::message::Fragment;
use crate::peer::{Event, MessageStream, MessageStreamExt};

/// How far what is seen may be from the model: the lines take time.
const TOLERANCE: Duration = Duration::from_millis(200);
const CALLER_LINGER: Duration = Duration::from_secs(10);
const LINGER: Duration = Duration::from_secs(2);

/// What the right side is.
#[derive(Clone, Copy, Debug)]
enum Far {
    /// A server of messages: its end is a Close, and it answers ours at once.
    Server,
    /// A bridge before bytes, whose end is a Close after so long a wait for the proof.
    Bridge(Duration),
}

/// What one end must see.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Expected {
    bytes: usize,
    end: Option<(End, Instant)>,
}

/// The state of the model.
struct Model {
    far: Far,
    moved: Instant,
    /// When something last came from the right.
    heard: Option<Instant>,
    fins: [Option<Instant>; 2],
    /// When each side sent its Close: the near bridge, the far side.
    closes: [Option<Instant>; 2],
    expected: [Expected; 2],
    is_over: bool,
    /// Whether an event was so near to a deadline that either may be first.
    is_close_call: bool,
}

impl Model {
    fn new(far: Far, begun: Instant) -> Model {
        Model {
            far,
            moved: begun,
            heard: None,
            fins: [None; 2],
            closes: [None; 2],
            expected: [Expected {
                bytes: 0,
                end: None,
            }; 2],
            is_over: false,
            is_close_call: false,
        }
    }

    /// When which side closes next, if nothing comes.
    fn deadline(&self) -> Option<(Instant, usize)> {
        let near = match (self.fins[0], self.closes) {
            (_, [Some(_), _]) => None,
            (Some(fin_at), [None, None]) => {
                let heard = self.heard.filter(|at| *at > fin_at);
                let linger = heard.map_or(CALLER_LINGER, |_| LINGER);
                Some(self.moved.max(fin_at) + linger)
            }
            (Some(fin_at), [None, Some(closed_at)]) => Some(closed_at.max(fin_at)),
            (None, [None, Some(closed_at)]) => Some(closed_at.max(self.moved) + LINGER),
            (None, [None, None]) => None,
        };
        let far = match (self.fins[1], self.closes, self.far) {
            (_, [_, Some(_)], _) => None,
            (_, [Some(closed_at), None], Far::Server) => Some(closed_at),
            (Some(fin_at), [None, None], Far::Server) => Some(fin_at),
            (Some(fin_at), [None, None], Far::Bridge(wait)) => Some(fin_at + wait),
            (Some(fin_at), [Some(closed_at), None], Far::Bridge(_)) => Some(closed_at.max(fin_at)),
            (None, [Some(closed_at), None], Far::Bridge(_)) => {
                Some(closed_at.max(self.moved) + LINGER)
            }
            (None, [None, None], _) => None,
        };
        let near = near.map(|at| (at, 0));
        let far = far.map(|at| (at, 1));
        near.into_iter().chain(far).min()
    }

    /// Lets all deadlines pass up to a time.
    fn advance(&mut self, until: Option<Instant>) {
        while let Some((at, side)) = self.deadline().filter(|_| !self.is_over) {
            // Whatever is decided within the tolerance may go either way.
            let is_near = |until: Instant| until.max(at) - until.min(at) < TOLERANCE;
            self.is_close_call |= until.is_some_and(is_near);
            if until.is_some_and(|until| until < at) {
                return;
            }
            self.closes[side] = Some(at);
            self.expected[1 - side].end.get_or_insert((End::Eof, at));
            self.is_over = self.closes.iter().all(Option::is_some);
        }
    }

    fn take(&mut self, at: Instant, side: usize, act: Act) {
        self.advance(Some(at));
        if self.is_over {
            return;
        }
        let is_open = self.closes[side].is_none();
        match act {
            Act::Write(len) if is_open => {
                self.expected[1 - side].bytes += len;
                self.moved = at;
                if side == 1 {
                    self.heard = Some(at);
                }
            }
            Act::Fin => {
                self.fins[side] = Some(at);
                // That of the right is not passed on before its time.
                if is_open && side == 0 {
                    self.moved = at;
                }
            }
            Act::Reset => {
                if is_open {
                    self.expected[1 - side].end.get_or_insert((End::Reset, at));
                }
                self.is_over = true;
            }
            Act::Write(_) | Act::Pause(_) => {}
        }
    }

    /// What both ends must see of all that they did; `None` where that hangs on less than the tolerance.
    fn of(far: Far, played: &Played) -> Option<[Expected; 2]> {
        let mut model = Model::new(far, played.begun);
        let mut acts: Vec<_> = [0, 1]
            .into_iter()
            .flat_map(|side| {
                played.sent[side]
                    .acts
                    .iter()
                    .map(move |act| (act.0, side, act.1))
            })
            .collect();
        acts.sort_by_key(|act| act.0);
        let gaps = acts.windows(2).map(|two| (two[0], two[1]));
        // Ends of both sides that meet on their way.
        let meets = gaps.into_iter().any(|(one, other)| {
            one.1 != other.1 && other.0 - one.0 < TOLERANCE && one.2 != other.2
        });
        for (at, side, act) in acts {
            model.take(at, side, act);
        }
        model.advance(None);
        (!meets && !model.is_close_call).then_some(model.expected)
    }
}

fn differences(expected: &[Expected; 2], played: &Played) -> Vec<String> {
    let mut found = Vec::new();
    for (side, name) in ["left", "right"].into_iter().enumerate() {
        let (expected, seen) = (expected[side], &played.seen[side]);
        if let Some(at) = seen.wrong_at {
            found.push(format!("{name}: byte {at} is not the one that was sent"));
        }
        // Who has reset sees nothing more.
        if played.sent[side].reset_at.is_some() {
            continue;
        }
        let is_same = match (expected.end, seen.end) {
            (Some((one, due)), Some((other, at))) => {
                one == other && due.max(at) - due.min(at) < TOLERANCE
            }
            (None, None) => true,
            _ => false,
        };
        if !is_same || expected.bytes != seen.bytes {
            let end = expected.end.map(|end| end.0);
            let due = seconds(played.begun, expected.end.map(|end| end.1));
            found.push(format!(
                "{name} is to see {} bytes, {end:?} at {due}",
                expected.bytes
            ));
        }
    }
    found
}

/// Plays seeds, those apart whose outcome hangs on less than the tolerance.
fn beside_foreign<F: Future<Output = Played>>(
    count: u64,
    far: Far,
    hops: usize,
    play: impl Fn([Script; 2], Vec<Line>) -> F,
) {
    let (mut judged, mut seed) = (0, 0);
    while judged < count {
        let mut dice = Dice::new(seed);
        let scripts = [Script::short(&mut dice), Script::short(&mut dice)];
        let lines: Vec<Line> = (0..hops + 2)
            .map(|_| Line {
                delay: dice.millis(&[(0, 5)]),
                window: 65_536,
                queue: 65_536,
            })
            .collect();
        let played = run(play(scripts.clone(), lines.clone()));
        if let Some(expected) = Model::of(far, &played) {
            judged += 1;
            let found = differences(&expected, &played);
            assert!(
                found.is_empty(),
                "seed {seed} differs from the model\n  {}\n{}",
                found.join("\n  "),
                history(&scripts, &played, &lines)
            );
        }
        seed += 1;
    }
    assert!(seed < count * 20, "only {count} of {seed} seeds are clear");
}

/// A server that knows no half-close: says what its script has, closes at its end, answers a Close at once.
async fn serve(port: Port, script: Script) -> (Sent, Seen) {
    let (mut sent, mut seen) = (Sent::default(), Seen::default());
    let connection = Connection::new(port.clone());
    let mut socket = Socket::new(connection, b"", Role::Server, Options::default());
    let (mut acts, mut due) = (script.acts.into_iter(), Instant::now());
    let mut next = acts.next();
    loop {
        let event = tokio::select! {
            biased;
            event = socket.next() => Some(event),
            () = sleep_until(due), if next.is_some() => None,
        };
        match (event, next) {
            (Some(Event::Fragment(fragment)), _) => seen.add(0, &fragment.payload),
            (Some(Event::Batch(batch)), _) => {
                batch.messages().for_each(|message| seen.add(0, message));
            }
            (Some(Event::End(ending)), _) => {
                let end = match &ending {
                    Ending::Close(Close {
                        code: Some(1000), ..
                    }) => End::Eof,
                    _ => End::Reset,
                };
                seen.end = Some((end, Instant::now()));
                let _ = poll_fn(|cx| socket.poll_close(cx, &ending)).await;
                return (sent, seen);
            }
            (_, Some(act)) => {
                let now = Instant::now();
                match act {
                    Act::Pause(time) => due = now + time,
                    Act::Write(len) => {
                        let payload = pattern(0x55, sent.bytes, len);
                        socket.start_send(Fragment::binary(payload).into()).unwrap();
                        let _ = poll_fn(|cx| socket.poll_flush(cx)).await;
                        sent.bytes += len;
                    }
                    Act::Fin => {
                        sent.fin_at = Some(now);
                        let _ = poll_fn(|cx| socket.poll_close(cx, &Ending::Eof)).await;
                    }
                    Act::Reset => {
                        sent.reset_at = Some(now);
                        port.reset();
                    }
                }
                sent.acts.push((now, act));
                if act == Act::Reset {
                    return (sent, seen);
                }
                next = acts.next();
            }
            (_, None) => {}
        }
    }
}

/// A caller, a bridge and such a server.
async fn play_server(scripts: [Script; 2], lines: Vec<Line>) -> Played {
    let begun = Instant::now();
    let [left_end, near] = link(lines[0]);
    let [client, server] = link(lines[1]);
    let bridge = bridge(bytes(near), socket(client, Role::Client, false));
    let player = Player::new(&left_end, &scripts[0], 0, 0x55);
    let (sent, seen) = serve(server, scripts[1].clone()).await;
    let outcome = timeout(HANG, bridge)
        .await
        .expect("the bridge hangs")
        .unwrap();
    tokio::time::sleep(Duration::from_secs(200)).await;
    let left = player.end().await;
    Played {
        sent: [left.0, sent],
        seen: [left.1, seen],
        outcomes: vec![outcome],
        begun,
    }
}

#[test]
fn a_server_that_ignores_the_extension_is_closed_after_the_linger() {
    beside_foreign(500, Far::Server, 1, play_server);
}

/// The shortest wait for a proof, that of a short handshake.
const PROOF_WAIT: Duration = Duration::from_secs(1);

#[test]
fn behind_a_proxy_that_hides_the_agreement_both_bridges_are_foreign() {
    let far = Far::Bridge(PROOF_WAIT);
    beside_foreign(500, far, 1, async |scripts, lines| {
        play(&scripts, &[DROPPED], &lines).await
    });
}

#[test]
fn two_bridges_without_the_extension_close_as_they_did() {
    let far = Far::Bridge(Duration::ZERO);
    beside_foreign(200, far, 1, async |scripts, lines| {
        play(&scripts, &[FOREIGN], &lines).await
    });
}

#[test]
fn a_relay_carries_no_half_close_over_one_hop_alone() {
    for hops in [[FOREIGN, DROPPED], [DROPPED, AGREED]] {
        let far = Far::Bridge(PROOF_WAIT);
        beside_foreign(100, far, 2, async |scripts, lines| {
            play(&scripts, &hops, &lines).await
        });
    }
}
