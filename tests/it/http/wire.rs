//! The bytes of the opening handshake as they leave, in both roles: names as RFC 6455 spells them, or as they were typed.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use super::{
    ACCEPT, KEY, answer, answer_101, changed, exchange, headers, listener, read_head, upgrade,
};
use crate::support::{Bridge, Frame, Tcp, Ws, frame_bytes, run};

/// What a client sends to a server that answers 101 and closes; `{}` in a word is the port of that server.
#[track_caller]
fn sent(words: &[&str]) -> String {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let mut tcp = Tcp::accept(&listener);
        let request = read_head(&mut tcp.0);
        let protocol = headers(&request, "sec-websocket-protocol");
        let more = protocol
            .first()
            .map(|it| format!("Sec-WebSocket-Protocol: {it}\r\n"));
        let mut bytes = answer_101(&request, &more.unwrap_or_default()).into_bytes();
        bytes.extend(frame_bytes(0x88, &1000u16.to_be_bytes(), false));
        tcp.send(bytes);
        let _ = tcp.0.read_to_end(&mut Vec::new());
        request
    });
    let words: Vec<_> = words
        .iter()
        .map(|it| it.replace("{}", &port.to_string()))
        .collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let done = run(&words, "");
    assert_eq!(done.status, 0, "{}", done.stderr);
    let request = server.join().unwrap();
    let [key] = headers(&request, "sec-websocket-key")[..] else {
        panic!("not one key: {request}");
    };
    request
        .replace(key, "KEY")
        .replace(&format!(":{port}"), ":PORT")
}

const AGENT: &str = concat!("wsbridge/", env!("CARGO_PKG_VERSION"));

#[test]
fn a_request_is_spelled_as_in_the_rfc() {
    let expected = format!(
        "GET /chat?a=b HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: KEY\r\nSec-WebSocket-Version: 13\r\nUser-Agent: {AGENT}\r\n\
         Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: wsbridge-half-close\r\n\
         Authorization: Bearer x\r\nCookie: a=b\r\nOrigin: http://o.test\r\n\r\n"
    );
    let words = [
        "--protocol",
        "chat",
        "--bearer",
        "x",
        "--cookie",
        "a=b",
        "--origin",
        "http://o.test",
    ];
    let url = "ws://127.0.0.1:{}/chat?a=b";
    assert_eq!(sent(&[&words[..], &[url]].concat()), expected);
}

#[test]
fn typed_headers_leave_as_they_are_typed_and_in_their_order() {
    let expected = "GET / HTTP/1.1\r\nHOST: virtual.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: KEY\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: wsbridge-half-close\r\n\
         x-Api-KEY: v\r\nSOAPAction: q\r\nX-API-key: w\r\nx_empty: \r\n\r\n";
    let typed = [
        "x-Api-KEY: v",
        "SOAPAction:q",
        "user-agent:",
        "X-API-key:  w ",
        "HOST: virtual.test",
        "x_empty;",
    ];
    let mut words: Vec<_> = typed.iter().flat_map(|it| ["-H", it]).collect();
    words.push("ws://127.0.0.1:{}/");
    assert_eq!(sent(&words), expected);
}

#[test]
fn forwarded_headers_leave_as_they_are_named() {
    let (listener, port) = listener();
    let url = format!("ws://127.0.0.1:{port}/");
    let forwards = [
        "--forward-header",
        "X-tRACE-id",
        "--forward-header",
        "cookie",
    ];
    let bridge = Bridge::start(&[&forwards[..], &["ws-l:0", &url]].concat());
    let server = thread::spawn(move || {
        let mut tcp = Tcp::accept(&listener);
        let request = read_head(&mut tcp.0);
        tcp.send(answer_101(&request, ""));
        (request, tcp)
    });
    let typed = [
        ("X-Trace-Id", "1"),
        ("Cookie", "a=b"),
        ("X-Other", "2"),
        ("x-trace-id", "3"),
    ];
    let ws = Ws::ask(bridge.port, "/", &typed);
    assert!(ws.head.starts_with("HTTP/1.1 101 "), "{}", ws.head);
    let request = server.join().unwrap().0;
    let behind = "\r\nX-tRACE-id: 1\r\nX-tRACE-id: 3\r\ncookie: a=b\r\n\r\n";
    assert!(request.ends_with(behind), "{request}");
}

#[test]
fn a_proxy_is_asked_with_the_usual_names() {
    let (listener, port) = listener();
    let proxy = thread::spawn(move || {
        let mut tcp = Tcp::accept(&listener);
        read_head(&mut tcp.0)
    });
    let flag = format!("--proxy=http://me:hush@127.0.0.1:{port}");
    run(&[&flag, "ws://h.test/"], "");
    let expected = format!(
        "CONNECT h.test:80 HTTP/1.1\r\nHost: h.test:80\r\nUser-Agent: {AGENT}\r\n\
         Proxy-Authorization: Basic bWU6aHVzaA==\r\n\r\n"
    );
    assert_eq!(proxy.join().unwrap(), expected);
}

#[test]
fn an_answer_is_spelled_as_in_the_rfc() {
    let head = |bridge: &Bridge, changes: &[(&str, &str)]| {
        exchange(bridge.port, upgrade(bridge.port, "/", changes))
            .unwrap()
            .head
    };
    let expected = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}"
    );
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    assert_eq!(head(&bridge, &[]), expected);
    let (_listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let offers = [
        ("Sec-WebSocket-Protocol", "mqtt"),
        ("Sec-WebSocket-Extensions", "wsbridge-half-close"),
    ];
    let expected = format!(
        "{expected}\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Extensions: wsbridge-half-close; ack=1\r\n\
         Wsbridge-Target: bytes"
    );
    assert_eq!(head(&bridge, &offers), expected);
}

#[test]
fn a_head_comes_byte_by_byte() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let mut tcp = Tcp::connect(bridge.port);
    let mut bytes = upgrade(bridge.port, "/", &[]).into_bytes();
    bytes.extend(frame_bytes(0x81, b"hi", true));
    for byte in &bytes {
        tcp.send([*byte]);
    }
    read_head(&mut tcp.0);
    assert_eq!(tcp.read(4), frame_bytes(0x81, b"hi", false));
}

#[test]
fn an_upgrade_behind_another_request_is_not_answered() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let port = bridge.port;
    let plain = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    let mut tcp = Tcp::connect(port);
    tcp.send(plain + &upgrade(port, "/", &[]));
    let answer = answer(&mut tcp.0).unwrap();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (426, Some("upgrade, close"))
    );
    assert!(!answer.body.contains("HTTP/1.1"), "{answer:?}");
}

/// What may have a body is read by hyper, which sees where it ends.
#[test]
fn an_upgrade_that_speaks_of_a_body_is_judged_as_any_other() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    for (name, value, expected) in [
        ("Content-Length", "0", 101),
        ("Content-Length", "5", 400),
        ("Content-Length", "-1", 400),
        ("Transfer-Encoding", "chunked", 400),
        ("Transfer-Encoding", "x", 400),
        ("Expect", "100-continue", 101),
    ] {
        let changes = [(name, value)];
        assert_eq!(changed(bridge.port, &changes), expected, "{name}: {value}");
        if expected == 101 {
            let mut ws = Ws::ask(bridge.port, "/", &changes);
            assert_eq!(ws.text("hi").next(), Frame::text("hi"), "{name}: {value}");
        }
    }
    // Frames behind a head are no body.
    let mut tcp = Tcp::connect(bridge.port);
    let mut bytes = upgrade(bridge.port, "/", &[("Content-Length", "0")]).into_bytes();
    bytes.extend(frame_bytes(0x81, b"early", true));
    tcp.send(&bytes);
    read_head(&mut tcp.0);
    assert_eq!(tcp.read(7), frame_bytes(0x81, b"early", false));
}

#[test]
fn what_is_no_head_is_refused_with_constant_text() {
    let bridge = Bridge::start(&["--handshake-timeout", "300ms", "ws-l:0", "echo:"]);
    let port = bridge.port;
    let long = format!("canary{}", "x".repeat(17 * 1024));
    let many: String = (0..200).map(|at| format!("canary-{at}: 1\r\n")).collect();
    let key = format!(
        "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n"
    );
    for (request, expected) in [
        ("canary\r\n\r\n".to_owned(), 400),
        ("GET /canary HTTP/9.9\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nno canary\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\n{key}canary : a\r\n\r\n"), 400),
        (
            format!("GET / HTTP/1.1\r\n{key}X: a\r\n canary\r\n\r\n"),
            400,
        ),
        (format!("GET / HTTP/1.1\r\n{key}X: canary\0\r\n\r\n"), 400),
        (
            format!("GET / HTTP/1.1\r\n{key}Content-Length: canary\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{key}Content-Length: -1\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{key}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{key}Transfer-Encoding: canary\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.0\r\n{key}Transfer-Encoding: chunked\r\n\r\n"),
            400,
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400),
        (format!("GET /{long} HTTP/1.1\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), 431),
        ("GET /canary".to_owned(), 408),
    ] {
        let shown = &request[..request.len().min(80)];
        let answer = exchange(port, &request).unwrap();
        assert_eq!(answer.status, expected, "{shown}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("connection"), Some("close"));
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
        assert!(!answer.line().contains("canary"), "{answer:?}");
    }
    assert_eq!(changed(port, &[]), 101);
}

/// A server may answer and end before the rest of the request is there to be read.
#[test]
fn a_refusal_of_a_whole_head_is_read_though_more_was_sent() {
    let bridge = Bridge::start(&["ws-l:0/only", "echo:"]);
    let mut tcp = Tcp::connect(bridge.port);
    tcp.send(upgrade(bridge.port, "/other", &[]));
    let _ = tcp.0.write_all(&[b'x'; 100_000]);
    let _ = tcp.0.shutdown(Shutdown::Write);
    assert_eq!(answer(&mut tcp.0).unwrap().status, 404);
}
