//! WebSockets over other endpoints: `ws-c:` and `ws-u:`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::{OPEN, assert_greeted, opening, server};
use crate::http::headers;
use crate::support::{Bridge, run, spawn};

/// An upgrade by a client of this host.
fn upgrade(host: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

#[test]
fn a_client_speaks_over_tcp_and_asks_for_what_it_is_told() {
    let (port, server) = opening();
    let address = format!("ws-c:tcp:127.0.0.1:{port},uri=ws://me:hush@app.test/chat?q=1");
    let done = run(&["-vv", &address], "");
    assert_greeted(&done);
    assert!(!done.stderr.contains("hush"), "{}", done.stderr);
    let request = &server.join().unwrap()[0];
    assert!(
        request.starts_with("GET /chat?q=1 HTTP/1.1\r\n"),
        "{request}"
    );
    assert_eq!(headers(request, "host"), ["app.test"]);
    assert_eq!(headers(request, "authorization"), ["Basic bWU6aHVzaA=="]);
    let (port, server) = opening();
    let done = run(&["--cookie=a=b", &format!("ws-c:tcp:127.0.0.1:{port}")], "");
    assert_eq!(done.status, 0, "{}", done.stderr);
    let request = &server.join().unwrap()[0];
    assert_eq!(headers(request, "host"), ["localhost"]);
    assert_eq!(headers(request, "cookie"), ["a=b"]);
}

#[test]
fn a_client_over_another_endpoint_follows_to_the_same_server_only() {
    let to = |location: &str| {
        format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
    };
    let (port, same) = server(vec![to("/new"), OPEN.to_owned()]);
    let done = run(&["--follow", &format!("ws-c:tcp:127.0.0.1:{port}")], "");
    assert_greeted(&done);
    same.join().unwrap();
    let (port, other) = server(vec![to("ws://other.test/new")]);
    let done = run(&["--follow", &format!("ws-c:tcp:127.0.0.1:{port}")], "");
    assert_eq!(done.status, 47, "{}", done.stderr);
    other.join().unwrap();
}

#[test]
fn a_caller_over_stdin_is_answered_when_the_other_side_is_open() {
    let port = crate::support::free_port();
    let target = format!("tcp:127.0.0.1:{port}");
    let mut running = spawn(&["ws-u:-", &target]);
    let (mut stdin, mut stdout) = (running.stdin(), running.stdout());
    stdin.write_all(upgrade("localhost").as_bytes()).unwrap();
    let mut head = String::new();
    stdout.read_to_string(&mut head).unwrap();
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert_eq!(running.wait(), 7);
}

#[test]
fn a_server_speaks_over_stdin_and_stdout() {
    let mut running = spawn(&["ws-u:-", "echo:"]);
    let (mut stdin, mut stdout) = (running.stdin(), running.stdout());
    stdin.write_all(upgrade("localhost").as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
    let mut frame = crate::support::frame_bytes(0x81, b"hello", true);
    frame.extend(crate::support::frame_bytes(
        0x88,
        &1000u16.to_be_bytes(),
        true,
    ));
    stdin.write_all(&frame).unwrap();
    let mut answer = Vec::new();
    stdout.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"\x81\x05hello\x88\x02\x03\xe8");
    assert_eq!(running.wait(), 0);
}

#[test]
fn a_server_over_stdin_refuses_what_a_listener_refuses() {
    let mut running = spawn(&["ws-u:-", "echo:"]);
    let (mut stdin, mut stdout) = (running.stdin(), running.stdout());
    stdin.write_all(upgrade("evil.test").as_bytes()).unwrap();
    let mut answer = String::new();
    stdout.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert_ne!(running.wait(), 0);
    let done = run(&["ws-u:-", "echo:"], "nonsense\r\n\r\n");
    assert!(done.text().starts_with("HTTP/1.1 400 "), "{}", done.text());
    assert_ne!(done.status, 0);
}

#[test]
fn a_server_listens_on_a_unix_socket_and_a_client_calls_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let path = path.display();
    let bridge = Bridge::start(&[&format!("ws-u:unix-l:{path}"), "echo:"]);
    for _ in 0..3 {
        let done = run(&["-1", &format!("ws-c:unix:{path}")], "ping\n");
        assert_eq!((done.status, done.text()), (0, "ping\n"), "{}", done.stderr);
    }
    // One that says nothing holds up nobody.
    let _silent = UnixStream::connect(path.to_string()).unwrap();
    let done = run(&["-1", &format!("ws-c:unix:{path}")], "ping\n");
    assert_eq!((done.status, done.text()), (0, "ping\n"), "{}", done.stderr);
    assert_eq!(bridge.stop().status, 0);
}

#[test]
fn a_target_that_can_not_be_reached_is_told_over_another_endpoint_too() {
    let (_socket, refusing) = crate::http::refusing_port();
    let bridge = Bridge::start(&["ws-u:tcp-l:0", &format!("tcp:127.0.0.1:{refusing}")]);
    let ws = crate::support::Ws::ask(bridge.port, "/", &[]);
    assert!(ws.head.starts_with("HTTP/1.1 502 "), "{}", ws.head);
}

#[test]
fn what_can_not_be_wrapped_is_a_usage_error() {
    for address in [
        "ws-c:echo:",
        "ws-c:ws://h",
        "ws-u:ws-l:0",
        "ws-c:",
        "ws-c:nonsense:",
    ] {
        let done = run(&[address], "");
        assert!(
            [2, 3].contains(&done.status),
            "{address}: {} {}",
            done.status,
            done.stderr
        );
        assert!(done.stderr.contains('^'), "{}", done.stderr);
    }
    let done = run(&["ws-c:tcp-l:0", "echo:"], "");
    assert_eq!(done.status, 3, "{}", done.stderr);
    let done = run(&["ws-c:tcp:1,uri=nonsense"], "");
    assert_eq!(done.status, 3, "{}", done.stderr);
}
