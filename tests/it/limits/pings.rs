//! Pings: a flood of them is bounded, and those of a stalled connection are answered.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use super::{Flood, MIB, flood, listener};
use crate::support::{Bridge, Frame, Tcp, Ws, frame_bytes};

#[test]
fn a_flood_of_pings_from_one_that_never_reads_is_bounded() {
    let (listener, port) = listener();
    for target in [
        "echo:".to_owned(),
        "null:".to_owned(),
        format!("tcp:127.0.0.1:{port}"),
    ] {
        let bridge = Bridge::start(&["ws-l:0", &target]);
        let mut ws = bridge.client();
        let _silent = target.starts_with("tcp").then(|| Tcp::accept(&listener));
        let before = bridge.running.memory();
        let mut flood = Flood::new(
            ws.stream.try_clone().unwrap(),
            frame_bytes(0x89, &[b'p'; 125], true).repeat(500),
        );
        // Pongs that are not taken are dropped but the newest, or the pings are no longer read: both are fine.
        let limit = 32 * MIB;
        let mut quiet_since = Instant::now();
        while flood.written < limit && quiet_since.elapsed() < Duration::from_secs(1) {
            if flood.push(limit) {
                quiet_since = Instant::now();
            } else {
                thread::sleep(Duration::from_millis(1));
            }
        }
        let grown = bridge.running.memory().saturating_sub(before);
        assert!(grown < 2 * MIB, "{} KiB more for {target}", grown / 1024);
        // It reads after all: there are pongs, and the newest ping is answered.
        let reader = thread::spawn(move || {
            loop {
                match ws.heard() {
                    Frame::Pong(payload) if payload == b"last" => return ws,
                    Frame::Pong(payload) => assert_eq!(payload, [b'p'; 125]),
                    other => panic!("{other:?}"),
                }
            }
        });
        let (mut stream, _) = flood.finish();
        stream.write_all(&frame_bytes(0x89, b"last", true)).unwrap();
        reader.join().unwrap();
    }
}

#[test]
fn a_pong_is_told_with_the_session_that_it_is_of() {
    let bridge = Bridge::start(&["-v", "--ping", "1s", "ws-l:0", "echo:"]);
    let mut sessions = ["/one", "/two"].map(|path| (path, Ws::ask(bridge.port, path, &[])));
    for (path, ws) in &mut sessions {
        let Frame::Ping(number) = ws.next() else {
            panic!("no ping");
        };
        ws.frame(0x8A, &number);
        let line = bridge.running.line("client: pong after ");
        let from = ws.stream.local_addr().unwrap();
        assert!(line.ends_with(&format!(" caller={from} {path}")), "{line}");
    }
}

#[test]
fn pings_during_a_stalled_direction_are_answered_once_it_moves() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut ws = bridge.client();
    let mut target = Tcp::accept(&listener);
    let mut floods = [Flood::new(target.0.try_clone().unwrap(), vec![7; 65536])];
    flood(&mut floods);
    // The other direction still goes: what stands behind the pings arrives, so they have been read.
    ws.frame(0x89, b"first")
        .frame(0x89, b"newest")
        .binary(b"behind");
    target.0.set_nonblocking(false).unwrap();
    assert_eq!(target.read(6), b"behind");
    let [one] = floods;
    let writer = thread::spawn(move || {
        let (stream, written) = one.finish();
        stream.shutdown(Shutdown::Write).unwrap();
        written
    });
    let (mut got, mut pongs) = (0, Vec::new());
    let end = loop {
        match ws.heard() {
            Frame::Binary(bytes) | Frame::Piece(_, _, bytes) => got += bytes.len() as u64,
            Frame::Pong(payload) => pongs.push(payload),
            end => break end,
        }
    };
    assert_eq!(end, Frame::Close(1000, String::new()));
    assert_eq!(got, writer.join().unwrap());
    assert_eq!(pongs.last().map(Vec::as_slice), Some(&b"newest"[..]));
}

#[test]
fn pings_are_answered_while_the_target_does_not_read() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut ws = bridge.client();
    let _target = Tcp::accept(&listener);
    // More than the bridge holds, less than the kernel takes: it is read, and so the ping behind it.
    for _ in 0..4 {
        ws.binary(&[7; 65536]);
    }
    ws.frame(0x89, b"alive?");
    assert_eq!(ws.next(), Frame::Pong(b"alive?".to_vec()));
}
