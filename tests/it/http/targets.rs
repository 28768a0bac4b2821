//! What a caller is told of a target that is not there.

use std::time::Duration;

use super::{answering, changed, exchange, listener, read_head, refusing_port, upgrade};
use crate::support::{Bridge, Frame, Tcp, TcpEnd, run};

/// What a caller reads; why is in the log.
const AWAY: &str = "the other side cannot be reached; the log of the server says why";

#[test]
fn a_refused_target_is_a_502_that_says_why() {
    let (_socket, port) = refusing_port();
    for target in [
        format!("tcp:127.0.0.1:{port}"),
        format!("ws://127.0.0.1:{port}"),
        "unix:/nonexistent/socket".to_owned(),
        "tcp:no-such-host.invalid:1".to_owned(),
    ] {
        let bridge = Bridge::start(&["ws-l:0", &target]);
        let answer = exchange(bridge.port, upgrade(bridge.port, "/", &[])).unwrap();
        assert_eq!(answer.status, 502, "{target}");
        let reason = match target.split(':').next().unwrap() {
            "unix" => "no such file",
            _ if target.contains("invalid") => "no-such-host.invalid",
            _ => "connection refused",
        };
        assert_eq!(answer.line(), AWAY, "{target}");
        let line = bridge.running.line(reason);
        assert!(line.contains("127.0.0.1:"), "the caller is named: {line}");
        // It goes on, and so the target may come up later.
        assert_eq!(changed(bridge.port, &[]), 502);
    }
}

#[test]
fn a_target_that_answers_no_is_a_502() {
    let (port, server) = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nnobody");
    let bridge = Bridge::start(&["ws-l:0", &format!("ws://127.0.0.1:{port}")]);
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", &[])).unwrap();
    server.join().unwrap();
    assert_eq!(answer.status, 502);
    assert_eq!(answer.line(), AWAY);
    bridge.running.line("404");
    let (port, server) = answering("nonsense\r\n\r\n");
    let bridge = Bridge::start(&["ws-l:0", &format!("ws://127.0.0.1:{port}")]);
    assert_eq!(changed(bridge.port, &[]), 502);
    server.join().unwrap();
}

#[test]
fn a_target_that_is_too_slow_is_a_504() {
    let (_silent, port) = listener();
    let target = format!("ws://127.0.0.1:{port}");
    let bridge = Bridge::start(&["--handshake-timeout", "300ms", "ws-l:0", &target]);
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", &[])).unwrap();
    assert_eq!(answer.status, 504);
    assert_eq!(answer.line(), "the other side did not answer in time");
    bridge.running.line("300ms");
}

#[test]
fn accept_first_says_it_with_a_close_1014() {
    let (_socket, port) = refusing_port();
    let target = format!("tcp:127.0.0.1:{port}");
    let bridge = Bridge::start(&["--accept-first", "ws-l:0", &target]);
    let Frame::Close(1014, reason) = bridge.client().next() else {
        panic!("no Close 1014");
    };
    assert!(!reason.is_empty());
    bridge.running.line("connection refused");
    let (_silent, port) = listener();
    let target = format!("ws://127.0.0.1:{port}");
    let words = [
        "--accept-first",
        "--handshake-timeout",
        "300ms",
        "ws-l:0",
        &target,
    ];
    let bridge = Bridge::start(&words);
    let mut ws = bridge.client();
    // What it says meanwhile changes nothing.
    ws.text("hello?");
    assert!(matches!(ws.next(), Frame::Close(1014, _)));
}

#[test]
fn a_tcp_caller_whose_target_is_not_there_gets_a_reset() {
    let (_socket, port) = refusing_port();
    let target = format!("tcp:127.0.0.1:{port}");
    let bridge = Bridge::start(&["tcp-l:0", &target]);
    assert_eq!(Tcp::connect(bridge.port).rest(), (vec![], TcpEnd::Reset));
}

#[test]
fn a_caller_that_goes_away_frees_the_target_that_was_being_opened() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("ws://127.0.0.1:{port}")]);
    let mut caller = Tcp::connect(bridge.port);
    caller.send(upgrade(bridge.port, "/", &[]));
    let mut target = Tcp::accept(&listener);
    read_head(&mut target.0);
    caller.reset();
    // Long before the handshake's deadline of 10 s.
    target
        .0
        .set_read_timeout(Some(Duration::from_secs(8)))
        .unwrap();
    target.rest();
}

#[test]
fn paths_are_compared_percent_decoded() {
    for (listens, asked, status) in [
        ("/ü", "/%C3%BC", 101),
        ("/ü", "/%c3%bc", 101),
        ("/a b", "/a%20b", 101),
        ("/%61", "/a", 101),
        ("/a/b", "/a%2Fb", 404),
        ("/a", "/a%00", 404),
        ("/a", "/%2561", 404),
        ("/a", "*", 400),
    ] {
        let bridge = Bridge::start(&[&format!("ws-l:0{listens}"), "echo:"]);
        let answer = exchange(bridge.port, upgrade(bridge.port, asked, &[])).unwrap();
        assert_eq!(answer.status, status, "{listens} {asked}");
    }
    // Where any path is served the target is one too.
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let answer = exchange(bridge.port, upgrade(bridge.port, "*", &[])).unwrap();
    assert_eq!(answer.status, 400);
    // Both ends of the program understand each other.
    let bridge = Bridge::start(&["ws-l:0/ü", "echo:"]);
    let done = run(&[&format!("{}/ü", bridge.url())], "hello\n");
    assert_eq!(
        (done.status, done.text()),
        (0, "hello\n"),
        "{}",
        done.stderr
    );
}
