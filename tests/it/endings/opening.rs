//! Sessions that never come about: what the caller is told, and the exit status.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use socket2::{Domain, Socket, Type};

use super::{close_code, each, listener, once, status};
use crate::http::refusing_port;
use crate::support::{Bridge, Frame, Tcp, TcpEnd, Ws, free_port, run, spawn};

/// A port that answers no connection: its backlog is full (Linux drops what comes then).
fn silent_port() -> (Vec<Socket>, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap();
    let mut kept = vec![socket];
    for _ in 0..3 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        // In progress, or waiting for ever.
        let _ = filler.connect(&addr);
        kept.push(filler);
    }
    (kept, addr.as_socket().unwrap().port())
}

/// A server that answers the first request with these bytes and ends.
fn answering(answer: &'static [u8]) -> u16 {
    let (listener, port) = listener();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
            head.push(byte[0]);
        }
        stream.write_all(answer).unwrap();
    });
    port
}

#[derive(Debug)]
enum Target {
    Nobody,
    NoName,
    Silent,
    NeverAnswers,
    Answers(&'static [u8]),
}
use Target::{Answers, NeverAnswers, NoName, Nobody, Silent};

#[test]
fn a_server_that_can_not_be_reached_has_an_exit_status_of_its_own() {
    let not_found = b"HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\nnothing here";
    let wrong_key =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n\r\n";
    let table: &[(Target, i32, &[&str])] = &[
        (Nobody, 7, &["ws://127.0.0.1:", "connection refused"]),
        (NoName, 6, &["no-such-name.invalid"]),
        (Silent, 28, &["ws://127.0.0.1:"]),
        (NeverAnswers, 28, &["ws://127.0.0.1:"]),
        (Answers(not_found), 22, &["404", "nothing here"]),
        (
            Answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
            22,
            &["200", "hello"],
        ),
        (
            Answers(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
            22,
            &["503"],
        ),
        (Answers(wrong_key), 8, &["Sec-WebSocket-Accept"]),
        (
            Answers(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            8,
            &["ws://127.0.0.1:"],
        ),
        (Answers(b"SSH-2.0-OpenSSH_9.0\r\n"), 8, &["ws://127.0.0.1:"]),
    ];
    each(table, |(target, status, parts)| {
        let url = |port| format!("ws://127.0.0.1:{port}");
        let (_silent, silent) = silent_port();
        let (_listener, deaf) = listener();
        let url = match target {
            Nobody => url(free_port()),
            NoName => "ws://no-such-name.invalid:1".to_owned(),
            Silent => url(silent),
            NeverAnswers => url(deaf),
            Answers(answer) => url(answering(answer)),
        };
        let timeouts = ["--connect-timeout", "10s", "--handshake-timeout", "10s"];
        let mut words = vec![url.as_str()];
        words.extend(timeouts);
        match target {
            Silent => words[2] = "300ms",
            NeverAnswers => words[4] = "300ms",
            _ => {}
        }
        let finished = run(&words, "never sent\n");
        assert_eq!(finished.status, *status, "{}", finished.stderr);
        assert_eq!(finished.text(), "");
        for part in *parts {
            assert!(
                finished.stderr.contains(part),
                "no '{part}' in: {}",
                finished.stderr
            );
        }
    });
}

#[test]
fn other_targets_and_listeners_have_the_same_exit_statuses() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port();
    let _keep = TcpListener::bind(("127.0.0.1", taken));
    let refused = format!("tcp:127.0.0.1:{}", free_port());
    let (_silent, silent) = silent_port();
    let silent = format!("tcp:127.0.0.1:{silent}");
    let in_use = format!("ws-l:127.0.0.1:{taken}");
    let table: &[(&[&str], i32)] = &[
        (&[&refused], 7),
        (&["tcp:no-such-name.invalid:1"], 6),
        (&[&silent, "--connect-timeout", "300ms"], 28),
        (&["unix:/nonexistent/socket"], 7),
        (&[&in_use, "echo:"], 7),
        (&["ws-l:no-such-name.invalid:0", "echo:"], 6),
        (&["tcp:127.0.0.1:99999"], 3),
        (&["ws://"], 3),
        (&["nonsense:1"], 2),
        (&["--nonsense", "echo:"], 2),
    ];
    each(table, |(words, status)| {
        let finished = run(words, "never sent\n");
        assert_eq!(finished.status, *status, "{}", finished.stderr);
        assert_eq!(finished.text(), "");
        assert!(!finished.stderr.is_empty());
    });
}

#[test]
fn a_client_is_told_by_an_http_status_that_the_backend_can_not_be_reached() {
    let (_silent, silent) = silent_port();
    let silent = format!("tcp:127.0.0.1:{silent}");
    let refused = format!("tcp:127.0.0.1:{}", free_port());
    let refused_ws = format!("ws://127.0.0.1:{}", free_port());
    let not_found = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let refusing = format!("ws://127.0.0.1:{}", answering(not_found));
    let table: &[(&str, &str, i32)] = &[
        (&refused, "502", 7),
        (&refused_ws, "502", 7),
        ("tcp:no-such-name.invalid:1", "502", 6),
        ("unix:/nonexistent/socket", "502", 7),
        (&refusing, "502", 22),
        (&silent, "504", 28),
    ];
    each(table, |(target, http, exit)| {
        let bridge = once("ws-l:0", target, &["--connect-timeout", "1s"]);
        let client = Ws::ask(bridge.port, "/", &[]);
        assert!(
            client.head.starts_with(&format!("HTTP/1.1 {http} ")),
            "{}",
            client.head
        );
        assert_eq!(status(bridge), *exit);
    });
}

#[test]
fn a_client_that_was_accepted_first_is_told_by_a_close_1014() {
    let (_silent, silent) = silent_port();
    let silent = format!("tcp:127.0.0.1:{silent}");
    let refused = format!("tcp:127.0.0.1:{}", free_port());
    let table: &[(&str, i32)] = &[
        (&refused, 7),
        ("tcp:no-such-name.invalid:1", 6),
        (&silent, 28),
    ];
    each(table, |(target, exit)| {
        let bridge = once(
            "ws-l:0",
            target,
            &["--accept-first", "--connect-timeout", "1s"],
        );
        let mut client = bridge.client();
        client.text("never delivered");
        assert_eq!(close_code(&mut client), 1014);
        client.close(1014, "");
        assert_eq!(client.next(), Frame::Eof);
        assert_eq!(status(bridge), *exit);
    });
}

#[test]
fn what_a_client_sends_before_the_backend_is_there_is_delivered() {
    let (listener, port) = listener();
    let target = format!("tcp:127.0.0.1:{port}");
    let bridge = once("ws-l:0", &target, &["--accept-first"]);
    let mut client = bridge.client();
    client.binary(b"early").close(1000, "");
    let mut backend = Tcp::accept(&listener);
    assert_eq!(backend.rest(), (b"early".to_vec(), TcpEnd::Eof));
    drop(backend);
    assert_eq!(close_code(&mut client), 1000);
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_tcp_client_is_reset_when_the_target_can_not_be_reached() {
    let (_socket, refusing) = refusing_port();
    for (target, exit) in [
        (format!("ws://127.0.0.1:{refusing}"), 7),
        (format!("tcp:127.0.0.1:{refusing}"), 7),
        ("ws://no-such-name.invalid".to_owned(), 6),
    ] {
        let bridge = once("tcp-l:0", &target, &[]);
        let mut client = Tcp::connect(bridge.port);
        assert_eq!(client.rest(), (vec![], TcpEnd::Reset), "{target}");
        assert_eq!(status(bridge), exit, "{target}");
    }
}

#[test]
fn a_bridge_serves_on_after_a_target_that_could_not_be_reached() {
    let port = free_port();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let refused = Ws::ask(bridge.port, "/", &[]);
    assert!(
        refused.head.starts_with("HTTP/1.1 502 "),
        "{}",
        refused.head
    );
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut client = bridge.client();
    client.binary(b"now").close(1000, "");
    assert_eq!(
        Tcp::accept(&listener).rest(),
        (b"now".to_vec(), TcpEnd::Eof)
    );
    assert_eq!(close_code(&mut client), 1000);
    assert_eq!(bridge.stop().status, 0);
}

#[test]
fn a_caller_that_leaves_before_the_target_answers_ends_nothing() {
    let (_silent, silent) = silent_port();
    let bridge = Bridge::start(&["tcp-l:0", &format!("tcp:127.0.0.1:{silent}")]);
    drop(TcpStream::connect(("127.0.0.1", bridge.port)).unwrap());
    assert_eq!(bridge.stop().status, 0);
}

/// The longest time counts from the connection of the caller, also while the other side is not open.
#[test]
fn a_served_caller_ends_at_the_longest_time_though_the_other_side_is_not_open() {
    // It takes a connection and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", mute.local_addr().unwrap());
    let flags = ["--max-time", "300ms", "--connect-timeout", "1h"];
    let flags = [&flags[..], &["--handshake-timeout", "1h"]].concat();
    for (left, right) in [("tcp-l:0", "ws-l:0"), ("tcp-l:0", &*url), ("ws-l:0", &*url)] {
        let words = [&flags[..], &[left, right]].concat();
        let running = spawn(&words);
        if right == "ws-l:0" {
            // The right side is announced first.
            running.line("listening on ws://");
        }
        let bridge = Bridge::of(running);
        if left == "tcp-l:0" {
            assert_eq!(Tcp::connect(bridge.port).rest(), (vec![], TcpEnd::Reset));
        } else {
            let head = Ws::ask(bridge.port, "/", &[]).head;
            assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
        }
    }
}
