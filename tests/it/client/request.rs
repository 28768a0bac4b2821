//! The headers of the request.

use std::fs;

use super::{OPEN, assert_greeted, opening, server};
use crate::http::headers;
use crate::support::{Bridge, run};

/// The request that these words make.
#[track_caller]
fn asked(words: &[&str]) -> String {
    let (port, server) = opening();
    let url = format!("ws://127.0.0.1:{port}/");
    let words: Vec<_> = words.iter().copied().chain([url.as_str()]).collect();
    let done = run(&words, "");
    assert_greeted(&done);
    server.join().unwrap().remove(0)
}

#[test]
fn a_header_is_set_left_out_or_sent_empty() {
    let request = asked(&[
        "-H",
        "User-Agent:",
        "-H",
        "X-Empty;",
        "-H",
        "Host: virtual.test",
    ]);
    assert!(headers(&request, "user-agent").is_empty(), "{request}");
    assert_eq!(headers(&request, "x-empty"), [""]);
    assert_eq!(headers(&request, "host"), ["virtual.test"]);
    let request = asked(&["--user-agent", "tester/1", "--origin", "https://a.test"]);
    assert_eq!(headers(&request, "user-agent"), ["tester/1"]);
    assert_eq!(headers(&request, "origin"), ["https://a.test"]);
    let request = asked(&["--cookie", "a=b; c=d", "--cookie", "e=f"]);
    assert_eq!(headers(&request, "cookie"), ["a=b; c=d; e=f"]);
    let request = asked(&["--cookie", "a=b", "-H", "Cookie: c=d"]);
    assert_eq!(headers(&request, "cookie"), ["c=d"]);
}

#[test]
fn headers_are_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    fs::write(&file, "X-One: 1\n\nX-Two: 2\r\nUser-Agent:\n").unwrap();
    let file = format!("@{}", file.display());
    let request = asked(&["-H", &file, "-H", "X-Three: 3"]);
    assert_eq!(headers(&request, "x-one"), ["1"]);
    assert_eq!(headers(&request, "x-two"), ["2"]);
    assert_eq!(headers(&request, "x-three"), ["3"]);
    assert!(headers(&request, "user-agent").is_empty());
    fs::write(&file[1..], "X-One: 1\nX-Two: a\x07b\n").unwrap();
    let done = run(&["-H", &file, "ws://127.0.0.1:1"], "");
    assert_eq!(done.status, 2, "{}", done.stderr);
    assert!(
        done.stderr.contains(", line 2: character 9 "),
        "{}",
        done.stderr
    );
    let done = run(&["-H", "@/nonexistent", "ws://127.0.0.1:1"], "");
    assert_eq!(done.status, 2, "{}", done.stderr);
    assert!(done.stderr.contains("no such file"), "{}", done.stderr);
}

#[test]
fn control_characters_are_refused_with_the_place_and_without_the_value() {
    for words in [
        &["--cookie", "secret=a\rb"][..],
        &["--origin", "http://secret\n"],
        &["--user-agent", "secret\x1b[31m"],
        &["--user", "me:secret\x07"],
        &["--bearer", "secret\nX: y"],
        &["-H", "X: secret\nY: z"],
    ] {
        let words: Vec<_> = words.iter().copied().chain(["ws://127.0.0.1:1"]).collect();
        let done = run(&words, "");
        assert_eq!(done.status, 2, "{words:?}: {}", done.stderr);
        assert!(
            done.stderr.contains("is a control character"),
            "{}",
            done.stderr
        );
        assert!(!done.stderr.contains("secret"), "{}", done.stderr);
    }
}

#[test]
fn the_head_of_the_answer_is_shown_where_it_is_asked_for() {
    for (word, is_shown) in [("-i", true), ("--include", true), ("-v", false)] {
        let (port, server) = opening();
        let done = run(&[word, &format!("ws://127.0.0.1:{port}/")], "");
        server.join().unwrap();
        assert_greeted(&done);
        for line in ["HTTP/1.1 101 Switching Protocols", "upgrade: websocket"] {
            assert_eq!(done.stderr.contains(line), is_shown, "{}", done.stderr);
        }
    }
    let no = "HTTP/1.1 403 No\r\nX-Why: because \x1b\r\nContent-Length: 0\r\n\r\n";
    let no = no.replace('\x1b', "\u{9b}");
    let (port, server) = server(vec![no]);
    let done = run(&["-i", &format!("ws://127.0.0.1:{port}/")], "");
    server.join().unwrap();
    assert_eq!(done.status, 22, "{}", done.stderr);
    assert!(
        done.stderr.contains("x-why: because \\u{9b}"),
        "{:?}",
        done.stderr
    );
}

#[test]
fn the_head_of_an_answer_is_shown_without_secrets() {
    let head = "Location: http://me:CANARY@h/?room=3&token=CANARY\r\n\
                Set-Cookie: sid=CANARY; Path=/; HttpOnly\r\n\
                X-Auth-Token: CANARY\r\nWWW-Authenticate: Basic realm=\"here\"\r\n\
                Refresh: 5; url=http://me:CANARY@h/?token=CANARY\r\n\
                Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.CANARY\r\n";
    for status in ["302 Found", "401 Unauthorized"] {
        let no = format!("HTTP/1.1 {status}\r\n{head}Content-Length: 0\r\n\r\n");
        let (port, server) = server(vec![no]);
        let done = run(&["-i", "-vvv", &format!("ws://127.0.0.1:{port}/")], "");
        server.join().unwrap();
        let stderr = &done.stderr;
        assert!(!stderr.contains("CANARY"), "{stderr}");
        for shown in [
            "location: http://h/?room=3&token=***",
            "set-cookie: sid=***; Path=/; HttpOnly",
            "x-auth-token: ***",
            "www-authenticate: Basic realm=\"here\"",
            "refresh: 5; url=http://h/?token=***",
            "sec-websocket-protocol: base64url.bearer.authorization.k8s.io.***",
        ] {
            assert!(stderr.contains(shown), "{shown} in {stderr}");
        }
    }
}

#[test]
fn origin_between_a_server_and_a_client_is_the_servers() {
    let (port, server) = server(vec![OPEN.to_owned()]);
    let bridge = Bridge::start(&[
        "--origin",
        "https://page.test",
        "-o",
        "right.cookie=a=b",
        "ws-l:0",
        &format!("ws://127.0.0.1:{port}/"),
    ]);
    let client = crate::support::Ws::ask(bridge.port, "/", &[("Origin", "https://page.test")]);
    assert!(client.head.starts_with("HTTP/1.1 101"), "{}", client.head);
    drop(client);
    let request = server.join().unwrap().remove(0);
    assert!(headers(&request, "origin").is_empty(), "{request}");
    assert_eq!(headers(&request, "cookie"), ["a=b"]);
}
