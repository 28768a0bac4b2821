//! The client's handshake: what it sends, and what it makes of each answer.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::{
    ACCEPT, answering, faced_with, headers, listener, opened_with, read_head, refusing_port,
};
use crate::support::{Tcp, run, spawn};

#[test]
fn a_client_sends_the_headers_that_it_is_given() {
    let (status, stderr, request) = opened_with(
        &[
            "-H",
            "X-Plain: a b: c, d",
            "-H",
            "Authorization: Basic dXNlcjpwYXNz",
            "-H",
            "X-Twice: 1",
            "-H",
            "X-Twice: 2",
            "-H",
            "X-Tight:v",
            "--header",
            "Origin: http://example.com:81",
        ],
        "",
    );
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(headers(&request, "x-plain"), ["a b: c, d"]);
    assert_eq!(headers(&request, "authorization"), ["Basic dXNlcjpwYXNz"]);
    assert_eq!(headers(&request, "x-twice"), ["1", "2"]);
    assert_eq!(headers(&request, "x-tight"), ["v"]);
    assert_eq!(headers(&request, "origin"), ["http://example.com:81"]);
    assert_eq!(headers(&request, "sec-websocket-version"), ["13"]);
    assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
    let (status, stderr, request) = opened_with(&["-H", "Host: virtual.test"], "");
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(headers(&request, "host"), ["virtual.test"]);
}

#[test]
fn a_client_names_host_path_and_query_and_a_fresh_key() {
    let mut keys = BTreeSet::new();
    for (path, target) in [
        ("", "/"),
        ("/", "/"),
        ("/a/b?c=d&e=f:g", "/a/b?c=d&e=f:g"),
        ("?q=1", "/?q=1"),
        ("/a,b", "/a,b"),
        ("/ü", "/%C3%BC"),
    ] {
        let (port, server) = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        run(&[&format!("ws://127.0.0.1:{port}{path}")], "");
        let request = server.join().unwrap();
        let line = format!("GET {target} HTTP/1.1\r\n");
        assert!(request.starts_with(&line), "{path}: {request}");
        assert_eq!(headers(&request, "host"), [format!("127.0.0.1:{port}")]);
        assert!(headers(&request, "origin").is_empty());
        keys.insert(headers(&request, "sec-websocket-key")[0].to_owned());
    }
    assert_eq!(keys.len(), 6);
}

#[test]
fn a_header_that_is_none_is_a_usage_error() {
    for bad in ["no colon", ": empty", "a b: c", "X: a\r\nY: b"] {
        let done = run(&["-H", bad, "ws://127.0.0.1:1"], "");
        assert_eq!(
            (done.status, done.text()),
            (2, ""),
            "{bad}: {}",
            done.stderr
        );
    }
}

#[test]
fn another_http_answer_is_shown_and_is_exit_22() {
    for (line, shown) in [
        ("404 Not Found", "404"),
        ("301 Moved Permanently\r\nLocation: ws://elsewhere/", "301"),
        ("200 OK", "200"),
        ("503 Service Unavailable", "503"),
        ("401 Unauthorized", "401"),
    ] {
        let body = "first line of it\nsecond line\n";
        let len = body.len();
        let answer = format!("HTTP/1.1 {line}\r\nContent-Length: {len}\r\n\r\n{body}");
        let (status, stderr) = faced_with(answer);
        assert_eq!(status, 22, "{stderr}");
        for part in [
            shown,
            "first line of it",
            "second line",
            "connecting to ws://127.0.0.1:",
        ] {
            assert!(stderr.contains(part), "no '{part}' in {stderr}");
        }
    }
    // Bodies without a length, in chunks, or empty.
    let (status, stderr) = faced_with("HTTP/1.1 403 Forbidden\r\n\r\nup to the end");
    assert!(
        status == 22 && stderr.contains("up to the end"),
        "{status} {stderr}"
    );
    let (status, stderr) = faced_with(
        "HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    assert!(
        status == 22 && stderr.contains("hello"),
        "{status} {stderr}"
    );
    let (status, stderr) = faced_with("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    assert!(status == 22 && stderr.contains("500"), "{status} {stderr}");
    // The answer counts even if its body is cut.
    let (status, stderr) = faced_with("HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\ncut");
    assert!(status == 22 && stderr.contains("404"), "{status} {stderr}");
}

#[test]
fn only_the_first_lines_of_a_refusal_are_shown() {
    let body = "a line of a long page\n".repeat(100_000);
    let len = body.len();
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let mut tcp = Tcp::accept(&listener);
        read_head(&mut tcp.0);
        let answer = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {len}\r\n\r\n{body}");
        // The client goes when it has seen enough.
        let _ = tcp.0.write_all(answer.as_bytes());
    });
    let done = run(&[&format!("ws://127.0.0.1:{port}")], "");
    server.join().unwrap();
    assert_eq!(done.status, 22, "{}", done.stderr);
    assert!(
        (2..=20).contains(&done.stderr.lines().count()),
        "{}",
        done.stderr
    );
}

#[test]
fn a_refusal_whose_body_never_ends_is_still_exit_22() {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let mut tcp = Tcp::accept(&listener);
        read_head(&mut tcp.0);
        tcp.send("HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\nwait for it\n");
        // Nothing more comes until the client goes.
        let _ = tcp.0.read_to_end(&mut Vec::new());
    });
    let url = format!("ws://127.0.0.1:{port}");
    let done = run(&["--handshake-timeout", "300ms", &url], "");
    server.join().unwrap();
    assert_eq!(done.status, 22, "{}", done.stderr);
    assert!(done.stderr.contains("404"), "{}", done.stderr);
}

#[test]
fn an_answer_that_makes_no_sense_is_exit_8_and_says_what() {
    let good = |change: (&str, &str)| {
        let mut answer = "HTTP/1.1 101 Switching Protocols\r\n".to_owned();
        for (name, value) in [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", ACCEPT),
        ] {
            let value = if name == change.0 { change.1 } else { value };
            if !value.is_empty() {
                answer += &format!("{name}: {value}\r\n");
            }
        }
        answer + "\r\n"
    };
    // The accept of another key than that of the client.
    for (answer, what) in [
        (good(("", "")), "Sec-WebSocket-Accept"),
        (good(("Sec-WebSocket-Accept", "")), "Sec-WebSocket-Accept"),
        (
            good(("Sec-WebSocket-Accept", "nonsense")),
            "Sec-WebSocket-Accept",
        ),
        (good(("Upgrade", "")), "Upgrade"),
        (good(("Upgrade", "h2c")), "Upgrade"),
        (good(("Connection", "")), "Connection"),
        (good(("Connection", "close")), "Connection"),
    ] {
        let (status, stderr) = faced_with(answer.clone());
        assert_eq!(status, 8, "{answer}: {stderr}");
        assert!(stderr.contains(what), "no '{what}' in {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    for answer in [
        &b"\x15\x03\x01\x00\x02\x02\x28"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"220 mail.example.com ESMTP\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\0\0\0\0",
    ] {
        let (status, stderr) = faced_with(answer);
        assert_eq!(status, 8, "{:?}: {stderr}", String::from_utf8_lossy(answer));
        assert!(stderr.contains("HTTP"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    let (status, stderr, _) = opened_with(&[], "Sec-WebSocket-Extensions: permessage-unknown\r\n");
    assert_eq!(status, 8, "{stderr}");
    assert!(stderr.contains("permessage-unknown"), "{stderr}");
}

#[test]
fn a_huge_head_of_an_answer_is_not_swallowed() {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let mut tcp = Tcp::accept(&listener);
        read_head(&mut tcp.0);
        let mut sent = 0u64;
        let line = "X-Header: some value that goes on and on\r\n".repeat(1000);
        tcp.send("HTTP/1.1 101 Switching Protocols\r\n");
        while tcp.0.write_all(line.as_bytes()).is_ok() {
            sent += line.len() as u64;
            assert!(sent < 256 << 20, "it takes everything");
        }
    });
    let done = run(&[&format!("ws://127.0.0.1:{port}")], "");
    server.join().unwrap();
    assert_eq!(done.status, 8, "{}", done.stderr);
}

#[test]
fn a_connection_that_ends_in_the_handshake_is_exit_7_or_8() {
    for answer in [
        "",
        "HTTP/1.1 101 Switching Proto",
        "HTTP/1.1 101 Switching Protocols\r\nUpgr",
    ] {
        let (status, stderr) = faced_with(answer);
        assert!([7, 8].contains(&status), "{answer}: {status} {stderr}");
        assert!(
            stderr.contains("clos") || stderr.contains("end"),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let mut tcp = Tcp::accept(&listener);
        read_head(&mut tcp.0);
        tcp.reset();
    });
    let done = run(&[&format!("ws://127.0.0.1:{port}")], "");
    server.join().unwrap();
    assert!(
        [7, 8].contains(&done.status),
        "{} {}",
        done.status,
        done.stderr
    );
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
}

#[test]
fn a_client_that_gets_no_answer_gives_up_with_28() {
    let (listener, port) = listener();
    let url = format!("ws://127.0.0.1:{port}");
    let mut client = spawn(&["--handshake-timeout", "300ms", &url]);
    let mut silent = Tcp::accept(&listener);
    let done = client.finish();
    assert_eq!(done.status, 28, "{}", done.stderr);
    assert!(done.stderr.contains("300ms"), "{}", done.stderr);
    silent.rest();
}

#[test]
fn a_refused_connection_is_exit_7_with_address_and_reason_in_one_line() {
    let (_socket, port) = refusing_port();
    for (address, place) in [
        (format!("ws://127.0.0.1:{port}"), "(127.0.0.1)"),
        (format!("ws://127.0.0.1:{port}/path"), "(127.0.0.1)"),
        (format!("tcp:127.0.0.1:{port}"), "(127.0.0.1)"),
    ] {
        let done = run(&[&address], "");
        assert_eq!((done.status, done.text()), (7, ""), "{}", done.stderr);
        let wanted = format!("connecting to {address}: connection refused {place}");
        assert!(done.stderr.contains(&wanted), "{}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    }
    // RFC 6761 6.4: no resolver knows it.
    let done = run(&["ws://no-such-host.invalid/"], "");
    assert_eq!(done.status, 6, "{}", done.stderr);
    assert!(
        done.stderr.contains("no-such-host.invalid"),
        "{}",
        done.stderr
    );
}

#[test]
fn the_host_header_of_an_ipv6_literal_has_its_brackets() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut tcp = Tcp::accept(&listener);
        let request = read_head(&mut tcp.0);
        tcp.send("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
        let _ = tcp.0.read_to_end(&mut Vec::new());
        request
    });
    assert_eq!(run(&[&format!("ws://[::1]:{port}/")], "").status, 22);
    let request = server.join().unwrap();
    assert_eq!(headers(&request, "host"), [format!("[::1]:{port}")]);
}

#[test]
fn a_subprotocol_that_is_offered_by_a_header_may_be_chosen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let mut client = spawn(&["-H", "Sec-WebSocket-Protocol: chat", &url]);
    let mut server = Tcp::accept(&listener);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(server.read(1)[0]));
    }
    let key = headers(&head, "sec-websocket-key").remove(0);
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    server.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    ));
    server.send([0x88, 0]);
    let finished = client.finish();
    assert_eq!(finished.status, 0, "{}", finished.stderr);
}
