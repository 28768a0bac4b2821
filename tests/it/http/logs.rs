//! What is printed: JSON lines, nothing when quiet, and never a credential or a control byte.

use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use rustix::process::Signal;

use super::{
    answering, assert_is_printable, changed, exchange, listener, opened_with, refusing_port,
    upgrade,
};
use crate::support::{Bridge, Frame, PATIENCE, Ws, free_port, run, spawn};

#[test]
fn messages_as_json_are_json_lines() {
    let words = ["--log-format", "json", "-v", "ws-l:0", "echo:"];
    let running = spawn(&words);
    let line = running.line("listening on ");
    let port = line.split("127.0.0.1:").nth(1).unwrap();
    let port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    let port: u16 = port.parse().unwrap();
    let mut ws = Ws::ask(port, "/%22quoted%22%5C%1B", &[]);
    ws.text("hi").close(4000, "a \"quoted\"\n\u{1b}[31m reason");
    ws.messages();
    running.line("closed");
    assert_eq!(changed(port, &[("Origin", "http://e\"vil\\.test")]), 403);
    exchange(port, b"\x01garbage\r\n\r\n");
    let mut running = running;
    running.signal(Signal::TERM);
    let done = running.finish();
    assert!(done.stderr.lines().count() >= 3, "{}", done.stderr);
    assert_is_printable(&done.stderr);
    let mut python = Command::new("python3")
        .args([
            "-c",
            "import json,sys\nfor l in sys.stdin: assert isinstance(json.loads(l), dict)",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    python
        .stdin
        .take()
        .unwrap()
        .write_all(done.stderr.as_bytes())
        .unwrap();
    assert!(python.wait().unwrap().success(), "{}", done.stderr);
}

#[test]
fn quiet_prints_nothing() {
    let port = free_port();
    let mut running = spawn(&["-q", &format!("ws-l:{port}"), "echo:"]);
    // There is no line to wait for.
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline && !running.has_ended());
    }
    let mut ws = Ws::connect(port);
    assert_eq!(ws.text("hi").next(), Frame::text("hi"));
    ws.close(1000, "");
    ws.messages();
    assert_eq!(changed(port, &[("Origin", "http://evil.test")]), 403);
    running.signal(Signal::TERM);
    let done = running.finish();
    assert_eq!((done.text(), done.stderr.as_str()), ("", ""));
    // An error is no chatter.
    let (_socket, port) = refusing_port();
    let done = run(&["-q", &format!("ws://127.0.0.1:{port}")], "");
    assert!(
        done.status == 7 && done.stderr.contains("refused"),
        "{}",
        done.stderr
    );
}

#[test]
fn credentials_are_never_printed() {
    let secrets = [
        "-H",
        "Authorization: Bearer s3cr3t-token",
        "-H",
        "Cookie: id=s3cr3t-cookie",
    ];
    let url = |port: u16| format!("ws://127.0.0.1:{port}");
    for answer in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "garbage\r\n\r\n",
        "",
    ] {
        for format in ["text", "json"] {
            let (port, server) = answering(answer);
            let own = url(port);
            let words = ["-vvv", "--log-format", format, &own];
            let words: Vec<_> = secrets.iter().copied().chain(words).collect();
            let done = run(&words, "");
            assert!(server.join().unwrap().contains("s3cr3t-token"));
            assert!(!done.stderr.contains("s3cr3t"), "{}", done.stderr);
        }
    }
    // A session that works, and a caller who sends its own through a bridge.
    let inner = Bridge::start(&["-vvv", "ws-l:0", "echo:"]);
    let own = url(inner.port);
    let words: Vec<_> = secrets
        .iter()
        .copied()
        .chain(["-vvv", "ws-l:0", &own])
        .collect();
    let outer = Bridge::start(&words);
    let mut ws = Ws::ask(
        outer.port,
        "/?token=s3cr3t-query",
        &[("Authorization", "Bearer s3cr3t-caller")],
    );
    assert_eq!(ws.text("hi").next(), Frame::text("hi"));
    ws.close(1000, "");
    ws.messages();
    inner.closed();
    outer.closed();
    for done in [outer.stop(), inner.stop()] {
        assert!(!done.stderr.contains("s3cr3t"), "{}", done.stderr);
    }
    // The query of a target is often a credential: it is for the target alone, not for a caller or the log.
    let (_socket, port) = refusing_port();
    let target = format!("{}/?token=s3cr3t-query", url(port));
    let done = run(&["-vvv", &target], "");
    assert!(!done.stderr.contains("s3cr3t"), "{}", done.stderr);
    let bridge = Bridge::start(&["-vvv", "ws-l:0", &target]);
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", &[])).unwrap();
    assert!(!answer.body.contains("s3cr3t"), "{answer:?}");
    let done = bridge.stop();
    assert!(!done.stderr.contains("s3cr3t"), "{}", done.stderr);
    // A header that is refused is not repeated either.
    let done = run(
        &[
            "-H",
            "Authorization: Bearer s3cr3t\u{1}",
            "ws://127.0.0.1:1",
        ],
        "",
    );
    assert_eq!(done.status, 2, "{}", done.stderr);
}

#[test]
fn secrets_in_what_a_caller_sends_are_never_printed() {
    for format in ["text", "json"] {
        let words = ["-vvv", "--log-format", format, "--path", "/only"];
        let bridge = Bridge::start(&[&words[..], &["ws-l:0", "echo:"]].concat());
        let port = bridge.port;
        for (name, value) in [
            ("Origin", "http://me:s3cr3t@evil.test"),
            ("Origin", "http://evil.test/?token=s3cr3t"),
            ("Origin", "http://s3cr3t@[::1]"),
            ("Host", "me:s3cr3t@evil.test"),
            ("Host", "evil.test/?token=s3cr3t"),
        ] {
            let status = changed(port, &[(name, value)]);
            assert!([400, 403].contains(&status), "{name}: {value}: {status}");
        }
        // One that is understood, behind one that is not.
        let twice = [
            ("Origin", "http://evil.test"),
            ("+Origin", "http://me:s3cr3t@evil.test"),
        ];
        assert_eq!(changed(port, &twice), 403);
        // A path is no place for one, and some put it there all the same.
        for path in ["/a;token=s3cr3t", "/a&token=s3cr3t", "//me:s3cr3t@h/"] {
            assert_eq!(
                exchange(port, upgrade(port, path, &[])).unwrap().status,
                404
            );
        }
        let done = bridge.stop();
        assert!(!done.stderr.contains("s3cr3t"), "{}", done.stderr);
        assert!(done.stderr.contains("http://evil.test"), "{}", done.stderr);
    }
}

#[test]
fn control_bytes_of_a_caller_never_reach_stderr() {
    let bridge = Bridge::start(&["-vvv", "--path", "/only", "ws-l:0", "echo:"]);
    let port = bridge.port;
    // ESC, BEL, DEL, CR, C1 in UTF-8 and alone, and a line of its own that looks like ours.
    let nasty = [
        &b"\x1b[31mred"[..],
        b"\x07",
        b"\x7f",
        b"\xc2\x9b31m",
        b"\x9b31m",
        b"%0a%1b",
        b"a\rwsbridge: forged",
        b"a\x0b\x0c",
    ];
    for bytes in nasty {
        for (before, after) in [
            ("GET /", " HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: ", "\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: ", ".test\r\n\r\n"),
            (
                "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://",
                "\r\n\r\n",
            ),
            ("GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: ", "\r\n\r\n"),
            ("", " / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ] {
            let mut request = before.as_bytes().to_vec();
            request.extend_from_slice(bytes);
            request.extend_from_slice(after.as_bytes());
            if let Some(answer) = exchange(port, request) {
                assert!(answer.status >= 400, "{answer:?}");
            }
        }
    }
    let mut ws = Ws::ask(port, "/only", &[]);
    ws.close(4000, "a\u{1b}[31m\u{9b}\nwsbridge: forged");
    ws.messages();
    bridge.closed();
    let done = bridge.stop();
    assert_is_printable(&done.stderr);
    assert!(
        done.stderr
            .lines()
            .all(|line| line.starts_with("wsbridge: ")),
        "{}",
        done.stderr
    );
    let is_forged = |line: &str| line.starts_with("wsbridge: forged");
    assert!(!done.stderr.lines().any(is_forged), "{}", done.stderr);
}

#[test]
fn control_bytes_of_a_server_never_reach_stderr() {
    for answer in [
        &b"HTTP/1.1 404 \x1b[31mred\x07\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.1 404 \xc2\x9b31m\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 No\r\nContent-Length: 18\r\n\r\n\x1b[31mred\x07\x7f\xc2\x9b\x9b\r\x0b\n",
        b"HTTP/1.1 404 No\r\nLocation: \xc2\x9b31m\r\nContent-Length: 0\r\n\r\n",
        b"\x1b[31m\r\n\r\n",
        b"HTTP/1.1 101 \x1b\r\nUpgrade: \x1b[31m\r\n\r\n",
    ] {
        let (port, server) = answering(answer);
        let done = run(&["-vvv", &format!("ws://127.0.0.1:{port}")], "");
        server.join().unwrap();
        assert!(
            [8, 22].contains(&done.status),
            "{} {}",
            done.status,
            done.stderr
        );
        assert_is_printable(&done.stderr);
    }
    for more in [
        "Sec-WebSocket-Extensions: \u{9b}31m\r\n",
        "Sec-WebSocket-Protocol: \u{9b}31m\r\n",
    ] {
        let (_, stderr, _) = opened_with(&["-vvv"], more);
        assert_is_printable(&stderr);
    }
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let mut ws = Ws::accept(&listener);
        ws.close(4000, "a\u{1b}[31m\u{9b}\nwsbridge: forged");
        ws.messages()
    });
    let done = run(&["-vvv", "-", &format!("ws://127.0.0.1:{port}")], "");
    server.join().unwrap();
    assert_eq!(done.status, 111, "{}", done.stderr);
    assert_is_printable(&done.stderr);
    assert!(
        !done.stderr.contains("\nwsbridge: forged"),
        "{}",
        done.stderr
    );
    // The reason of a refusal that is passed on stays one line for the next.
    let (port, server) = answering("HTTP/1.1 404 No\r\nContent-Length: 10\r\n\r\na\r\n\r\nb: c\n");
    let bridge = Bridge::start(&["ws-l:0", &format!("ws://127.0.0.1:{port}")]);
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", &[])).unwrap();
    server.join().unwrap();
    assert_eq!(answer.status, 502);
    assert!(!answer.line().chars().any(char::is_control), "{answer:?}");
}
