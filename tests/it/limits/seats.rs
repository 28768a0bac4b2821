//! Seats and descriptors: a full house refuses, freed seats are used again, and the server outlives both.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use super::raise_own_descriptors;
use crate::support::{Bridge, Frame, PATIENCE, Tcp, TcpEnd, Ws, spawn_under};

/// Asks for an upgrade; the status of the answer.
#[track_caller]
fn status(port: u16) -> String {
    let ws = Ws::ask(port, "/", &[]);
    ws.head.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Waits for something that has no event of its own.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_full_house_says_503_and_freed_seats_are_used_again() {
    let bridge = Bridge::start(&["--max-connections", "2", "ws-l:0", "echo:"]);
    for _ in 0..5 {
        // A seat is free a moment after its session has ended.
        let mut pair = Vec::new();
        until("both seats", || {
            // Whoever is in from the last try leaves first.
            pair.clear();
            let asked = [(), ()].map(|()| Ws::ask(bridge.port, "/", &[]));
            let is_in = |ws: &Ws| ws.head.starts_with("HTTP/1.1 101 ");
            let are_in = asked.iter().all(is_in);
            pair = asked.into_iter().filter(is_in).collect();
            are_in
        });
        let refused = Ws::ask(bridge.port, "/", &[]);
        assert!(
            refused.head.starts_with("HTTP/1.1 503 "),
            "{}",
            refused.head
        );
        let head = refused.head.to_ascii_lowercase();
        let retry = head
            .lines()
            .find_map(|line| line.strip_prefix("retry-after: "));
        assert!(retry.unwrap().trim().parse::<u32>().unwrap() > 0);
        bridge.running.line("--max-connections");
        // One leaves as it should, one just goes.
        let mut first = pair.remove(0);
        assert_eq!(first.text("hi").next(), Frame::text("hi"));
        first.close(1000, "");
        assert_eq!(first.next(), Frame::Close(1000, String::new()));
        pair.remove(0).reset();
    }
}

#[test]
fn refused_callers_take_no_seats() {
    let bridge = Bridge::start(&[
        "--max-connections",
        "1",
        "--path",
        "/only",
        "ws-l:0",
        "echo:",
    ]);
    for _ in 0..20 {
        assert_eq!(status(bridge.port), "404");
    }
    let halves: Vec<_> = (0..20)
        .map(|_| {
            let mut tcp = Tcp::connect(bridge.port);
            tcp.send("GET /only HTTP/1.1\r\n");
            tcp
        })
        .collect();
    let mut ws = Ws::ask(bridge.port, "/only", &[]);
    assert_eq!(ws.text("in").next(), Frame::text("in"));
    drop(halves);
}

#[test]
fn a_full_house_of_tcp_resets() {
    let bridge = Bridge::start(&["--max-connections", "1", "tcp-l:0", "echo:"]);
    let mut first = Tcp::connect(bridge.port);
    first.send("in");
    assert_eq!(first.read(2), b"in");
    assert_eq!(Tcp::connect(bridge.port).rest(), (vec![], TcpEnd::Reset));
    first.fin();
    assert_eq!(first.rest(), (vec![], TcpEnd::Eof));
    until("the freed seat", || {
        let mut tcp = Tcp::connect(bridge.port);
        let mut got = [0; 2];
        tcp.0.write_all(b"in").is_ok() && tcp.0.read_exact(&mut got).is_ok()
    });
}

#[test]
fn without_descriptors_the_server_goes_on() {
    raise_own_descriptors();
    let few = "handshakes are unfinished";
    for (words, said) in [
        (&["ws-l:0", "echo:"][..], few),
        (&["--max-connections", "1000", "ws-l:0", "echo:"], few),
        // Each of them is a session at once.
        (
            &["--max-connections", "1000", "tcp-l:0", "echo:"],
            "too many open files",
        ),
        (&["tcp-l:0", "echo:"], "callers wait"),
    ] {
        let mut bridge = Bridge::of(spawn_under("ulimit -n 100", words));
        let flood: Vec<_> = (0..400).map(|_| Tcp::connect(bridge.port)).collect();
        // It says so, and not a line for each of them.
        bridge.running.line(said);
        assert!(!bridge.running.has_ended());
        drop(flood);
        until("a session after the flood", || {
            if words.contains(&"tcp-l:0") {
                let mut tcp = Tcp::connect(bridge.port);
                let mut got = [0; 2];
                tcp.0.write_all(b"in").is_ok() && tcp.0.read_exact(&mut got).is_ok()
            } else {
                let mut ws = Ws::ask(bridge.port, "/", &[]);
                ws.head.starts_with("HTTP/1.1 101 ") && ws.text("in").next() == Frame::text("in")
            }
        });
        let done = bridge.stop();
        assert_eq!(done.status, 0, "{}", done.stderr);
        assert!(
            done.stderr
                .lines()
                .filter(|line| line.contains(said) || line.contains("open files"))
                .count()
                < 100
        );
    }
}

#[test]
fn the_default_of_seats_fits_the_descriptors() {
    // (104 - 64 kept for other things) / 2 a session, so a flood of sessions never runs out of them.
    let bridge = Bridge::of(spawn_under("ulimit -n 104", &["ws-l:0", "echo:"]));
    let sessions: Vec<_> = (0..60).map(|_| Ws::ask(bridge.port, "/", &[])).collect();
    let count = |status: &str| {
        let begins = format!("HTTP/1.1 {status} ");
        sessions
            .iter()
            .filter(|ws| ws.head.starts_with(&begins))
            .count()
    };
    assert!(count("101") >= 1);
    assert_eq!(count("101") + count("503"), 60);
}
