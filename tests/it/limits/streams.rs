//! One message of any size streams through in little memory, in each direction.

use std::io::{Read, Write};
use std::thread;

use super::{MIB, listener};
use crate::support::{Bridge, Frame, Running, Tcp, TcpEnd, Ws, spawn};

/// Bytes without an end that can be made and checked at any place, with a newline nowhere and characters of 1 to 4 bytes.
struct Pattern {
    /// Two periods, so that any slice up to one period is within.
    bytes: Vec<u8>,
    masked: Vec<u8>,
}

const PERIOD: usize = 1_000_004;
const KEY: [u8; 4] = [0xA5, 0x3C, 0x00, 0x77];

impl Pattern {
    fn new() -> Pattern {
        let mut text = String::new();
        for number in 0.. {
            text += ["a", "ü", "€", "𝄞", "plain"][number % 5];
            text += &number.to_string();
            if text.len() > PERIOD - 20 {
                break;
            }
        }
        let mut bytes = text.into_bytes();
        bytes.resize(PERIOD, b'.');
        // A period is a multiple of the key's length, so what is masked repeats too.
        let masked: Vec<u8> = bytes
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect();
        Pattern {
            bytes: [bytes.as_slice(), &bytes].concat(),
            masked: [masked.as_slice(), &masked].concat(),
        }
    }

    /// Writes so many bytes of it.
    fn write(bytes: &[u8], size: u64, out: &mut impl Write) {
        let mut at = 0;
        while at < size {
            let from = usize::try_from(at).unwrap() % PERIOD;
            let count = usize::try_from(size - at).unwrap().min(200_000);
            out.write_all(&bytes[from..from + count]).unwrap();
            at += count as u64;
        }
    }

    /// Checks a piece of it that begins at `at`.
    #[track_caller]
    fn check(&self, at: u64, piece: &[u8]) {
        let mut from = usize::try_from(at).unwrap() % PERIOD;
        for part in piece.chunks(PERIOD) {
            // A plain comparison of slices: a byte at a time would take minutes.
            assert!(
                part == &self.bytes[from..from + part.len()],
                "altered at {at} or behind"
            );
            from = (from + part.len()) % PERIOD;
        }
    }

    /// Reads and checks so many bytes of it.
    #[track_caller]
    fn read(&self, size: u64, input: &mut impl Read) {
        let mut buf = vec![0; 256 * 1024];
        let mut at = 0;
        while at < size {
            let wanted = usize::try_from(size - at).unwrap().min(buf.len());
            let count = input.read(&mut buf[..wanted]).unwrap();
            assert_ne!(count, 0, "it ended after {at} of {size} bytes");
            self.check(at, &buf[..count]);
            at += count as u64;
        }
    }
}

/// The header of one frame with a length of eight bytes, masked by `KEY` or not.
fn long_header(first: u8, size: u64, masks: bool) -> Vec<u8> {
    let mut head = vec![first, if masks { 0xFF } else { 0x7F }];
    head.extend(size.to_be_bytes());
    if masks {
        head.extend(KEY);
    }
    head
}

#[track_caller]
fn assert_small(running: &Running, size: u64) {
    let peak = running.peak_memory();
    assert!(
        peak < 32 * MIB,
        "{} MiB at the peak for {} MiB",
        peak / MIB,
        size / MIB
    );
}

fn a_message_to_tcp(size: u64) {
    let pattern = Pattern::new();
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut ws = bridge.client();
    let mut target = Tcp::accept(&listener);
    thread::scope(|scope| {
        scope.spawn(|| {
            ws.raw(&long_header(0x82, size, true));
            Pattern::write(&pattern.masked, size, &mut ws.stream);
            ws.close(1000, "");
        });
        pattern.read(size, &mut target.0);
        assert_eq!(target.rest(), (vec![], TcpEnd::Eof));
    });
    assert_small(&bridge.running, size);
}

fn a_line_there_and_back(size: u64) {
    let pattern = Pattern::new();
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let mut client = spawn(&[&bridge.url()]);
    let (mut stdin, mut stdout) = (client.stdin(), client.stdout());
    thread::scope(|scope| {
        scope.spawn(|| {
            Pattern::write(&pattern.bytes, size, &mut stdin);
            stdin.write_all(b"\n").unwrap();
            stdin.write_all(b"next\n").unwrap();
        });
        pattern.read(size, &mut stdout);
        let mut rest = [0; 6];
        stdout.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"\nnext\n");
    });
    assert_small(&bridge.running, size);
    assert_small(&client, size);
    drop(stdin);
    assert_eq!(stdout.read(&mut [0]).unwrap(), 0);
    assert_eq!(client.wait(), 0);
}

fn a_message_to_stdout(first: u8, size: u64) {
    let pattern = Pattern::new();
    let (listener, port) = listener();
    let mut client = spawn(&[&format!("ws://127.0.0.1:{port}")]);
    let mut stdout = client.stdout();
    let mut ws = Ws::accept(&listener);
    thread::scope(|scope| {
        scope.spawn(|| {
            ws.raw(&long_header(first, size, false));
            Pattern::write(&pattern.bytes, size, &mut ws.stream);
            ws.text("next");
        });
        pattern.read(size, &mut stdout);
        let expected: &[u8] = if first == 0x81 {
            b"\nnext\n"
        } else {
            b"next\n"
        };
        let mut rest = vec![0; expected.len()];
        stdout.read_exact(&mut rest).unwrap();
        assert_eq!(rest, expected);
    });
    assert_small(&client, size);
    ws.close(1000, "");
    assert_eq!(client.wait(), 0);
}

fn a_flood_from_tcp(size: u64) {
    let pattern = Pattern::new();
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut ws = bridge.client();
    let mut target = Tcp::accept(&listener);
    thread::scope(|scope| {
        scope.spawn(|| {
            Pattern::write(&pattern.bytes, size, &mut target.0);
            target.fin();
        });
        let mut at = 0;
        while at < size {
            match ws.heard() {
                Frame::Binary(bytes) | Frame::Piece(_, _, bytes) => {
                    pattern.check(at, &bytes);
                    at += bytes.len() as u64;
                }
                other => panic!("{other:?} after {at} bytes"),
            }
        }
        assert_eq!(at, size);
        assert_eq!(ws.heard(), Frame::Close(1000, String::new()));
    });
    assert_small(&bridge.running, size);
}

#[test]
fn a_frame_of_64_mib_streams_to_tcp() {
    a_message_to_tcp(64 * MIB);
}

#[test]
fn a_line_of_64_mib_goes_there_and_back() {
    a_line_there_and_back(64 * MIB);
}

#[test]
fn a_frame_of_64_mib_streams_to_stdout() {
    a_message_to_stdout(0x81, 64 * MIB);
    a_message_to_stdout(0x82, 64 * MIB);
}

#[test]
fn a_flood_of_64_mib_streams_from_tcp() {
    a_flood_from_tcp(64 * MIB);
}

#[test]
#[ignore = "long"]
fn a_frame_of_1_gib_streams_to_tcp() {
    a_message_to_tcp(1024 * MIB);
}

#[test]
#[ignore = "long"]
fn a_line_of_1_gib_goes_there_and_back() {
    a_line_there_and_back(1024 * MIB);
}

#[test]
#[ignore = "long"]
fn a_frame_of_1_gib_streams_to_stdout() {
    a_message_to_stdout(0x81, 1024 * MIB);
    a_message_to_stdout(0x82, 1024 * MIB);
}

#[test]
#[ignore = "long"]
fn a_flood_of_1_gib_streams_from_tcp() {
    a_flood_from_tcp(1024 * MIB);
}
