//! Readers that do not read: their sources are stopped, and what is held for them is bounded.

use std::collections::VecDeque;
use std::io::Read;
use std::net::Shutdown;
use std::thread;

use socket2::SockRef;

use super::{Flood, MIB, flood, listener};
use crate::support::{Bridge, Frame, Tcp, Ws, frame_bytes};

const STALLS: usize = 20;

/// Leaves the kernel little room for what a socket, or those that a listener accepts, does not read: with millions of small
/// messages in it a test would take minutes.
fn with_small_room<S: std::os::fd::AsFd>(socket: S) -> S {
    SockRef::from(&socket)
        .set_recv_buffer_size(16 * 1024)
        .unwrap();
    socket
}

/// Fewer than elsewhere: the kernel takes millions of their small messages.
fn deaf_clients(bridge: &Bridge) -> Vec<Ws> {
    let clients: Vec<_> = (0..2).map(|_| bridge.client()).collect();
    for ws in &clients {
        with_small_room(&ws.stream);
    }
    clients
}

/// A connection may hold a MiB, and once it is blocked for a while its source is read on by up to 4 MiB, within the budget of all
/// buffers, to see its end. A few of them are measured beside the free buffers that the pool keeps, many are not.
#[track_caller]
fn assert_grown_little(bridge: &Bridge, before: u64, stalls: usize) {
    let grown = bridge.running.memory().saturating_sub(before);
    let pool = if stalls < STALLS { 4 * MIB } else { 0 };
    let ahead = (5 * stalls as u64 * MIB).min(128 * MIB);
    let allowed = stalls as u64 * MIB + ahead + pool;
    assert!(
        grown < allowed,
        "{} KiB for {stalls} connections",
        grown / 1024
    );
}

#[track_caller]
fn stalled_to_tcp(frame: &[u8], payload: u64) {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut sockets = Vec::new();
    let mut targets = VecDeque::new();
    for _ in 0..STALLS {
        sockets.push(bridge.client());
        targets.push_back(Tcp::accept(&listener));
    }
    let before = bridge.running.memory();
    let streams = sockets.iter().map(|ws| ws.stream.try_clone().unwrap());
    let mut floods: Vec<_> = streams
        .map(|stream| Flood::new(stream, frame.to_vec()))
        .collect();
    flood(&mut floods);
    assert_grown_little(&bridge, before, sockets.len());
    // Nothing of it is lost when somebody reads after all.
    let mut target = targets.pop_front().unwrap();
    let one = floods.remove(0);
    let reader = thread::spawn(move || {
        let mut got = 0;
        let mut buf = vec![0; 65536];
        loop {
            match target.0.read(&mut buf).unwrap() {
                0 => return got,
                count => got += count as u64,
            }
        }
    });
    let (_, written) = one.finish();
    sockets[0].close(1000, "");
    let messages = written / frame.len() as u64;
    assert_eq!(reader.join().unwrap(), messages * payload);
}

#[test]
fn twenty_targets_that_do_not_read_stop_their_sources() {
    stalled_to_tcp(&frame_bytes(0x82, &[7; 65536], true), 65536);
}

#[test]
fn small_messages_to_targets_that_do_not_read_are_not_piled_up() {
    stalled_to_tcp(&frame_bytes(0x82, &[7; 16], true).repeat(1000), 16_000);
}

#[test]
fn twenty_sockets_that_do_not_read_stop_their_sources() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut sockets = Vec::new();
    let mut targets = Vec::new();
    for _ in 0..STALLS {
        sockets.push(bridge.client());
        targets.push(Tcp::accept(&listener).0);
    }
    let before = bridge.running.memory();
    let floods = targets
        .into_iter()
        .map(|stream| Flood::new(stream, vec![7; 65536]));
    let mut floods: Vec<_> = floods.collect();
    flood(&mut floods);
    assert_grown_little(&bridge, before, sockets.len());
    let mut ws = sockets.remove(0);
    let one = floods.remove(0);
    let reader = thread::spawn(move || ws.bytes());
    let (stream, written) = one.finish();
    stream.shutdown(Shutdown::Write).unwrap();
    let (bytes, end) = reader.join().unwrap();
    assert_eq!(
        (bytes.len() as u64, end),
        (written, Frame::Close(1000, String::new()))
    );
}

#[test]
fn sockets_that_do_not_read_stop_sockets_that_write() {
    let (listener, port) = listener();
    let listener = with_small_room(listener);
    let bridge = Bridge::start(&["ws-l:0", &format!("ws://127.0.0.1:{port}")]);
    let mut sockets = Vec::new();
    let mut targets = Vec::new();
    for _ in 0..STALLS {
        let own = bridge.port;
        let asking = thread::spawn(move || Ws::connect(own));
        targets.push(Ws::accept(&listener));
        sockets.push(asking.join().unwrap());
    }
    let before = bridge.running.memory();
    // Many small messages: what is kept for each of them counts most.
    let piece = frame_bytes(0x81, &[b'x'; 50], true).repeat(1000);
    let streams = sockets.iter().map(|ws| ws.stream.try_clone().unwrap());
    let mut floods: Vec<_> = streams
        .map(|stream| Flood::new(stream, piece.clone()))
        .collect();
    flood(&mut floods);
    assert_grown_little(&bridge, before, sockets.len());
}

#[test]
fn an_echo_that_nobody_reads_is_bounded() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let sockets = deaf_clients(&bridge);
    let before = bridge.running.memory();
    let piece = frame_bytes(0x81, b"sixteen bytes...", true).repeat(3000);
    let streams = sockets.iter().map(|ws| ws.stream.try_clone().unwrap());
    let mut floods: Vec<_> = streams
        .map(|stream| Flood::new(stream, piece.clone()))
        .collect();
    flood(&mut floods);
    assert_grown_little(&bridge, before, sockets.len());
}

#[test]
fn empty_messages_that_nobody_reads_are_bounded() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let sockets = deaf_clients(&bridge);
    let before = bridge.running.memory();
    // Empty messages and empty fragments have no bytes to count.
    let mut piece = frame_bytes(0x81, b"", true).repeat(2500);
    piece.extend(frame_bytes(0x01, b"", true));
    piece.extend(frame_bytes(0x00, b"", true).repeat(2500));
    piece.extend(frame_bytes(0x80, b"", true));
    let streams = sockets.iter().map(|ws| ws.stream.try_clone().unwrap());
    let mut floods: Vec<_> = streams
        .map(|stream| Flood::new(stream, piece.clone()))
        .collect();
    flood(&mut floods);
    assert_grown_little(&bridge, before, sockets.len());
}
