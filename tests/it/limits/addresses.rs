//! `--max-per-ip`: how many connections one address may have.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::{Bridge, Frame, PATIENCE, Tcp, TcpEnd, Ws, connect_from, run};

const OTHER: [u8; 4] = [127, 0, 0, 2];

fn asked_from(from: [u8; 4], bridge: &Bridge) -> Ws {
    Ws::ask_over(connect_from(from, bridge.port), "/", &[])
}

#[track_caller]
fn assert_refused(ws: &Ws) {
    let head = ws.head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 429 "), "{head}");
    assert!(head.contains("\r\nretry-after: "), "{head}");
}

/// A connection that ended is counted until its task has.
#[track_caller]
fn until_served(bridge: &Bridge) -> Ws {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ws = Ws::ask(bridge.port, "/", &[]);
        if ws.head.starts_with("HTTP/1.1 101 ") {
            return ws;
        }
        assert_refused(&ws);
        assert!(Instant::now() < deadline, "it is still refused");
    }
}

#[test]
fn an_address_has_so_many_sessions_and_one_more_is_told_429() {
    let bridge = Bridge::start(&["--max-per-ip", "2", "ws-l:0", "echo:"]);
    let mut first = bridge.client();
    let _second = bridge.client();
    assert_refused(&Ws::ask(bridge.port, "/", &[]));
    let line = bridge.running.line("refused: ");
    assert!(
        line.contains("--max-per-ip") && line.contains("caller=127.0.0.1:"),
        "{line}"
    );
    // Others have connections of their own.
    let mut other = asked_from(OTHER, &bridge);
    assert_eq!(other.text("other").next(), Frame::text("other"));
    first.close(1000, "");
    assert_eq!(first.next(), Frame::Close(1000, String::new()));
    drop(first);
    let mut third = until_served(&bridge);
    assert_eq!(third.text("third").next(), Frame::text("third"));
    assert_refused(&Ws::ask(bridge.port, "/", &[]));
}

/// The address that counts is the one that a trusted proxy speaks for.
#[test]
fn behind_a_trusted_proxy_each_caller_has_an_address_of_its_own() {
    let words = ["--max-per-ip", "2", "--trusted-proxy", "127.0.0.1"];
    let bridge = Bridge::start(&[&words[..], &["ws-l:0", "echo:"]].concat());
    let ask = |from| Ws::ask(bridge.port, "/", &[("X-Forwarded-For", from)]);
    let is_served = |ws: &Ws| ws.head.starts_with("HTTP/1.1 101 ");
    // The proxy itself is not counted before it has said for whom it speaks.
    let _silent: Vec<_> = (0..40)
        .map(|_| connect_from([127, 0, 0, 1], bridge.port))
        .collect();
    let mut kept = Vec::new();
    for from in [
        "192.0.2.1",
        "192.0.2.2:4321",
        "192.0.2.1",
        "192.0.2.2",
        "[2001:db8::1]",
        "[2001:db8::2]:1",
    ] {
        let ws = ask(from);
        assert!(is_served(&ws), "{from}: {}", ws.head);
        kept.push(ws);
    }
    assert_refused(&ask("192.0.2.1"));
    assert_refused(&ask("2001:db8::3"));
    let third = ask("192.0.2.3");
    assert!(is_served(&third), "{}", third.head);
}

#[test]
fn handshakes_are_counted_and_those_over_the_limit_are_answered() {
    let bridge = Bridge::start(&["--threads", "1", "--max-per-ip", "2", "ws-l:0", "echo:"]);
    let mut halves: Vec<_> = (0..2)
        .map(|_| {
            let mut half = Tcp::connect(bridge.port);
            half.send("GET / HTTP/1.1\r\n");
            half.0
        })
        .collect();
    // One thread reads them in their order.
    assert_refused(&Ws::ask(bridge.port, "/", &[]));
    let mut other = asked_from(OTHER, &bridge);
    assert_eq!(other.text("other").next(), Frame::text("other"));
    // One over the limit that takes its time is answered when it has asked.
    let mut slow = Tcp::connect(bridge.port);
    slow.send("GET / HTTP/1.1\r\n");
    assert_refused(&Ws::ask(bridge.port, "/", &[]));
    let host = format!("Host: 127.0.0.1:{}\r\n", bridge.port);
    let rest = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    slow.send(host.clone()).send(rest);
    assert_eq!(slow.read(12), b"HTTP/1.1 429");
    // The first two are served.
    for half in &mut halves {
        half.write_all(format!("{host}{rest}").as_bytes()).unwrap();
        let mut head = [0; 12];
        half.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 101");
    }
}

#[test]
fn bare_connections_over_the_limit_are_few() {
    let bridge = Bridge::start(&["--threads", "1", "--max-per-ip", "1", "ws-l:0", "echo:"]);
    let _session = bridge.client();
    let mut bare: Vec<TcpStream> = (0..50).map(|_| Tcp::connect(bridge.port).0).collect();
    for stream in &mut bare[..40] {
        let end = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    }
    let last = bare.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let end = last.read(&mut [0; 1]).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::WouldBlock, "it may still ask");
}

#[test]
fn over_tls_it_is_429_too() {
    let words = [
        "--threads",
        "1",
        "--max-per-ip",
        "1",
        "wss-l:0,self-signed",
        "echo:",
    ];
    let bridge = Bridge::start(&words);
    let mut held = Tcp::connect(bridge.port);
    // A handshake of TLS that stops within its first record.
    held.send([0x16, 3, 1]);
    let url = format!("wss://127.0.0.1:{}", bridge.port);
    let done = run(&["-k", "--send", "in", "-1", &url], "");
    assert_eq!(done.status, 22, "{}", done.stderr);
    assert!(done.stderr.contains("429"), "{}", done.stderr);
}

#[test]
fn a_stream_of_bytes_is_reset_and_a_user_is_an_address() {
    let bridge = Bridge::start(&["--max-per-ip", "1", "tcp-l:0", "echo:"]);
    let mut first = Tcp::connect(bridge.port);
    first.send("in");
    assert_eq!(first.read(2), b"in");
    assert_eq!(Tcp::connect(bridge.port).rest(), (vec![], TcpEnd::Reset));
    let mut other = connect_from(OTHER, bridge.port);
    other.write_all(b"in").unwrap();
    other.read_exact(&mut [0; 2]).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _bridge = Bridge::start(&[
        "--max-per-ip",
        "1",
        &format!("unix-l:{}", path.display()),
        "echo:",
    ]);
    let mut first = UnixStream::connect(&path).unwrap();
    first.write_all(b"in").unwrap();
    first.read_exact(&mut [0; 2]).unwrap();
    let mut second = UnixStream::connect(&path).unwrap();
    assert!(matches!(second.read(&mut [0; 2]), Ok(0) | Err(_)));
}
