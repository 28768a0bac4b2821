//! Any sizes, any fragments, any cuts: messages that look random, the same in each run.

use std::io::Write;
use std::thread::{self, JoinHandle};

use super::{normal, relay, whole, ws_and_tcp};
use crate::support::{Bridge, Frame, TcpEnd, Ws, frame_bytes, run};

/// Numbers that look random and are the same each time (Marsaglia's xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % limit as u64).unwrap()
    }

    /// Sizes at which headers and buffers change, and some between.
    fn size(&mut self) -> usize {
        const EDGES: &[usize] = &[
            0, 1, 125, 126, 127, 4095, 4096, 4097, 65_535, 65_536, 262_144,
        ];
        match self.below(8) {
            0 => EDGES[self.below(EDGES.len())],
            1 => self.below(300_000),
            2 => self.below(20_000),
            _ => self.below(200),
        }
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.roll().to_le_bytes()[..part.len()]);
        }
        bytes
    }

    fn text(&mut self, len: usize) -> Vec<u8> {
        let mut text = String::new();
        while text.len() < len {
            text.push(['a', '\n', 'ü', '€', '𝄞', '\0'][self.below(6)]);
        }
        text.into_bytes()
    }

    /// A message and the frames that it is sent in, control frames between them.
    fn message(&mut self, masks: bool) -> (Frame, Vec<u8>) {
        let len = self.size();
        let (kind, bytes) = match self.below(2) {
            0 => (1, self.text(len)),
            _ => (2, self.bytes(len)),
        };
        let mut frames = Vec::new();
        let mut rest = bytes.as_slice();
        let mut opcode = kind;
        for _ in 0..[0, 0, 1, 2, 30][self.below(5)] {
            let (piece, behind) = rest.split_at(self.below(rest.len() + 1));
            frames.extend(frame_bytes(opcode, piece, masks));
            (rest, opcode) = (behind, 0);
            if self.below(4) == 0 {
                let len = self.below(126);
                frames.extend(frame_bytes(0x8A, &self.bytes(len), masks));
            }
        }
        frames.extend(frame_bytes(0x80 | opcode, rest, masks));
        let message = if kind == 1 {
            Frame::Text(bytes)
        } else {
            Frame::Binary(bytes)
        };
        (message, frames)
    }

    /// Many messages, and the writes that they leave in: cut anywhere, headers too.
    fn messages(&mut self, count: usize, masks: bool) -> (Vec<Frame>, Vec<Vec<u8>>) {
        let (messages, frames): (Vec<_>, Vec<_>) = (0..count).map(|_| self.message(masks)).unzip();
        let mut wire = frames.concat();
        wire.extend(frame_bytes(0x88, &1000u16.to_be_bytes(), masks));
        (messages, self.cut(&wire))
    }

    fn cut(&mut self, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut writes = Vec::new();
        while !bytes.is_empty() {
            let len = [1 + self.below(16), 1 + self.below(100_000)][self.below(2)];
            let (write, rest) = bytes.split_at(len.min(bytes.len()));
            writes.push(write.to_vec());
            bytes = rest;
        }
        writes
    }
}

/// Writes on a thread of its own, so that what comes back can be read meanwhile.
fn write_all(stream: &std::net::TcpStream, writes: Vec<Vec<u8>>) -> JoinHandle<()> {
    let mut stream = stream.try_clone().unwrap();
    thread::spawn(move || {
        for write in writes {
            stream.write_all(&write).unwrap();
        }
    })
}

fn payload(messages: &[Frame]) -> Vec<u8> {
    let payloads = messages.iter().map(|message| match message {
        Frame::Text(bytes) | Frame::Binary(bytes) => bytes.as_slice(),
        other => panic!("{other:?}"),
    });
    payloads.collect::<Vec<_>>().concat()
}

const ROUNDS: u64 = 8;
const MESSAGES: usize = 60;

#[test]
fn any_messages_become_their_bytes_in_tcp() {
    for seed in 1..=ROUNDS {
        let mut dice = Dice(seed);
        let (messages, writes) = dice.messages(MESSAGES, true);
        let (_bridge, ws, mut tcp) = ws_and_tcp(&[]);
        let writer = write_all(&ws.stream, writes);
        let (bytes, end) = tcp.rest();
        assert!(
            bytes == payload(&messages),
            "seed {seed}: {} bytes",
            bytes.len()
        );
        assert_eq!(end, TcpEnd::Eof, "seed {seed}");
        writer.join().unwrap();
    }
}

#[test]
fn any_bytes_of_tcp_become_messages_in_their_order() {
    for seed in 1..=ROUNDS {
        let mut dice = Dice(seed);
        let sent = dice.bytes(2_000_000);
        let writes = dice.cut(&sent);
        let (_bridge, mut ws, mut tcp) = ws_and_tcp(&[]);
        let stream = tcp.0.try_clone().unwrap();
        let writer = write_all(&stream, writes);
        let ender = thread::spawn(move || {
            writer.join().unwrap();
            tcp.fin();
            tcp
        });
        let (messages, end) = ws.messages();
        assert!(payload(&messages) == sent, "seed {seed}");
        assert!(
            messages
                .iter()
                .all(|message| matches!(message, Frame::Binary(bytes) if !bytes.is_empty()))
        );
        assert_eq!(end, normal(), "seed {seed}");
        ender.join().unwrap();
    }
}

#[test]
fn any_messages_pass_a_relay_unchanged_in_both_directions_at_once() {
    for seed in 1..=ROUNDS {
        let mut dice = Dice(seed);
        let (forth, forth_writes) = dice.messages(MESSAGES, true);
        let (back, mut back_writes) = dice.messages(MESSAGES, false);
        // The Close of the right side is its answer to the one that comes through.
        let mut wire = back_writes.concat();
        wire.truncate(wire.len() - 4);
        back_writes = dice.cut(&wire);
        let (_bridge, left, right) = relay(&[]);
        let writers = [
            write_all(&left.stream, forth_writes),
            write_all(&right.stream, back_writes),
        ];
        let read = |mut ws: Ws, mut wanted: usize, closes: bool| {
            thread::spawn(move || {
                let mut messages = Vec::new();
                loop {
                    match whole(&mut ws) {
                        data @ (Frame::Text(_) | Frame::Binary(_)) => {
                            messages.push(data);
                            wanted = wanted.saturating_sub(1);
                        }
                        end => {
                            assert!(!closes || wanted == 0, "{end:?} before all had come");
                            return (messages, end, ws);
                        }
                    }
                }
            })
        };
        let (right, left) = (read(right, MESSAGES, true), read(left, MESSAGES, true));
        let (got, end, mut right) = right.join().unwrap();
        assert!(
            got == forth,
            "seed {seed}: {} of {} messages",
            got.len(),
            forth.len()
        );
        assert_eq!(end, normal(), "seed {seed}");
        for writer in writers {
            writer.join().unwrap();
        }
        right.answer_close(1000);
        let (got, end, _) = left.join().unwrap();
        assert!(
            got == back,
            "seed {seed}: {} of {} messages",
            got.len(),
            back.len()
        );
        assert_eq!(end, normal(), "seed {seed}");
    }
}

#[test]
fn any_messages_come_back_from_an_echo() {
    for seed in 1..=ROUNDS {
        let mut dice = Dice(seed ^ 0xEC40);
        let (messages, writes) = dice.messages(MESSAGES, true);
        let bridge = Bridge::start(&["ws-l:0", "echo:"]);
        let mut ws = bridge.client();
        let writer = write_all(&ws.stream, writes);
        let (got, end) = ws.messages();
        assert!(
            got == messages,
            "seed {seed}: {} of {}",
            got.len(),
            messages.len()
        );
        assert_eq!(end, normal(), "seed {seed}");
        writer.join().unwrap();
    }
}

#[test]
fn any_lines_go_there_and_back_through_two_processes() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    for seed in 1..=ROUNDS / 2 {
        let mut dice = Dice(seed ^ 0x11E5);
        let mut input = Vec::new();
        for _ in 0..MESSAGES {
            let len = dice.size();
            input.extend(dice.text(len));
            input.push(b'\n');
        }
        let done = run(&["--linger", "0", "-", &bridge.url()], &input);
        assert_eq!(done.status, 0, "{}", done.stderr);
        assert!(
            done.stdout == input,
            "seed {seed}: {} of {}",
            done.stdout.len(),
            input.len()
        );
    }
}
