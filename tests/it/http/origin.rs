//! Host and Origin: which pages and names may connect, and where the flag is named that allows others.

use super::{changed, echo, exchange, status, upgrade};
use crate::support::{Bridge, run, spawn};

/// What a caller with these headers gets, and the line on stderr where it is refused.
#[track_caller]
fn refused(bridge: &Bridge, changes: &[(&str, &str)], wanted: u16, flag: &str) {
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", changes)).unwrap();
    assert_eq!(answer.status, wanted, "{changes:?}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    // The page learns nothing, and nothing that it said comes back.
    assert!(!answer.line().contains("--"), "{answer:?}");
    for (_, value) in changes {
        assert!(
            !format!("{answer:?}").contains(value),
            "{value} in {answer:?}"
        );
    }
    let line = bridge.running.line(flag);
    assert!(line.contains(&wanted.to_string()), "{line}");
    assert!(line.contains(" path=/ host="), "{line}");
}

#[test]
fn a_foreign_page_is_refused_and_told_the_flag() {
    let bridge = echo();
    for origin in [
        "http://evil.test",
        "https://evil.test:8443",
        "null",
        "http://127.0.0.1.evil.test",
        "http://localhost.evil.test",
        "http://evil-localhost",
        "chrome-extension://abcdef",
        "file://",
    ] {
        let flag = format!("--origin {origin} allows it");
        refused(&bridge, &[("Origin", origin)], 403, &flag);
    }
    // What no browser sends can not be allowed either.
    for (origin, shown) in [
        "http://evil.test/http://localhost",
        "http://[::1].evil.test",
        "http://localhost/x",
        "http://localhost/",
    ]
    .map(|origin| (origin, origin))
    .into_iter()
    .chain([
        ("http://localhost@evil.test", "http://***@evil.test"),
        ("http://evil.test@localhost", "http://***@localhost"),
    ]) {
        let flag = format!("'{shown}' is no origin that a browser sends");
        refused(&bridge, &[("Origin", origin)], 403, &flag);
        // A slash at the end is what the address line of a browser has.
        if !origin.ends_with("t/") {
            let done = run(&["ws-l:0", "echo:", "--origin", origin], "");
            assert_eq!(done.status, 2, "{}", done.stderr);
            assert!(done.stderr.contains("can never match"), "{}", done.stderr);
        }
    }
    let own = format!("http://127.0.0.1:{}", bridge.port);
    let twice = [("+Origin", own.as_str()), ("+Origin", "http://evil.test")];
    assert_eq!(changed(bridge.port, &twice), 403);
    assert_eq!(changed(bridge.port, &[("Origin", "nonsense")]), 403);
    assert_eq!(changed(bridge.port, &[("Origin", " ")]), 403);
}

#[test]
fn own_pages_and_what_is_no_page_pass() {
    let bridge = echo();
    let port = bridge.port;
    assert_eq!(changed(port, &[]), 101);
    let own = format!("http://127.0.0.1:{port}");
    assert_eq!(changed(port, &[("Origin", &own)]), 101);
    for local in [
        "http://localhost:3000",
        "http://127.0.0.1",
        "https://[::1]:5",
        "http://LOCALHOST",
    ] {
        assert_eq!(changed(port, &[("Origin", local)]), 101, "{local}");
    }
}

#[test]
fn a_name_that_was_rebound_to_us_is_misdirected() {
    let bridge = echo();
    let port = bridge.port;
    for name in [
        "evil.test",
        "127.0.0.1.evil.test",
        "localhost.evil.test",
        "localhost.evil",
    ] {
        let host = format!("{name}:{port}");
        let flag = format!("--host {name} allows it");
        refused(&bridge, &[("Host", &host)], 421, &flag);
        // Even if the page is of the same host and port: it is what rebinding looks like.
        let origin = format!("http://{host}");
        refused(&bridge, &[("Host", &host), ("Origin", &origin)], 421, &flag);
    }
    for good in [
        "localhost",
        "LocalHost:1",
        "127.0.0.1",
        "[::1]:80",
        "192.0.2.1:80",
    ] {
        assert_eq!(changed(port, &[("Host", good)]), 101, "{good}");
    }
}

#[test]
fn what_was_allowed_passes_and_nothing_beside_it() {
    let words = [
        "--origin",
        "https://app.example.com",
        "--origin",
        "null",
        "--host",
        "my.test",
    ];
    let words: Vec<_> = words.into_iter().chain(["ws-l:0", "echo:"]).collect();
    let bridge = Bridge::start(&words);
    let port = bridge.port;
    for origin in ["https://app.example.com", "HTTPS://App.Example.com", "null"] {
        assert_eq!(changed(port, &[("Origin", origin)]), 101, "{origin}");
    }
    for origin in [
        "http://app.example.com",
        "https://app.example.com:444",
        "https://app.example.com.evil.test",
        "https://example.com",
        "https://evil.app.example.com",
    ] {
        assert_eq!(changed(port, &[("Origin", origin)]), 403, "{origin}");
    }
    for host in ["my.test", "MY.test:1", "localhost", "127.0.0.1"] {
        assert_eq!(changed(port, &[("Host", host)]), 101, "{host}");
    }
    for host in ["your.test", "sub.my.test", "my.test.evil.test"] {
        assert_eq!(changed(port, &[("Host", host)]), 421, "{host}");
    }
    let own = format!("my.test:{port}");
    let page = format!("http://my.test:{port}");
    assert_eq!(changed(port, &[("Host", &own), ("Origin", &page)]), 101);
    assert_eq!(
        changed(port, &[("Host", &own), ("Origin", "http://my.test:1")]),
        403
    );
}

#[test]
fn on_all_interfaces_tools_pass_and_pages_of_other_names_or_of_this_machine_do_not() {
    let bridge = Bridge::start(&["ws-l:*:0", "echo:"]);
    let port = bridge.port;
    let host = format!("public.test:{port}");
    assert_eq!(changed(port, &[("Host", &host)]), 101);
    let page = format!("http://public.test:{port}");
    refused(
        &bridge,
        &[("Host", &host), ("Origin", &page)],
        421,
        &format!("--origin {page} or --host public.test allows it"),
    );
    let own = format!("http://192.0.2.1:{port}");
    let asked = format!("192.0.2.1:{port}");
    assert_eq!(changed(port, &[("Host", &asked), ("Origin", &own)]), 101);
    for origin in [
        "http://localhost:3000",
        "http://127.0.0.1:3000",
        "http://public.test",
        "null",
    ] {
        let flag = format!("--origin {origin} allows it");
        refused(&bridge, &[("Host", &asked), ("Origin", origin)], 403, &flag);
    }
}

#[test]
fn what_is_open_to_other_machines_is_said_at_the_start() {
    for words in [
        &["ws-l:*:0", "tcp:localhost:6379"][..],
        &["tcp-l:*:0", "tcp:localhost:6379"],
        &["ws-u:tcp-l:*:0", "tcp:localhost:6379"],
        &["wss-l:*:0,self-signed", "tcp:localhost:6379"],
        &[
            "ws-l:*:0",
            "--origin",
            "https://app.test",
            "tcp:localhost:6379",
        ],
        &["ws-l:*:0", "--host", "*", "tcp:localhost:6379"],
    ] {
        let bridge = spawn(words);
        let line = bridge.line("is open to every machine that can reach it");
        assert!(line.starts_with("wsbridge: warning: "), "{line}");
        assert!(line.contains("joined to tcp:localhost:6379"), "{line}");
    }
    // The right side that listens is one, too.
    let bridge = spawn(&["tcp-l:0", "tcp-l:*:0"]);
    let line = bridge.line("is open to every machine that can reach it");
    assert!(line.contains("joined to tcp-l:0"), "{line}");
    for words in [
        &["ws-l:0", "echo:"][..],
        &["ws-l:127.0.0.2:0", "echo:"],
        &["ws-l:*:0", "--host", "bridge.test", "echo:"],
    ] {
        let done = Bridge::start(words).stop();
        assert!(!done.stderr.contains("warning"), "{}", done.stderr);
    }
}

#[test]
fn a_rule_that_is_turned_off_is_said() {
    let bridge = spawn(&["ws-l:0", "--host", "*", "echo:"]);
    bridge.line("warning: --host *: a web page reaches this server by any name");
    let bridge = Bridge::of(bridge);
    assert_eq!(changed(bridge.port, &[("Host", "evil.test")]), 101);
}

#[test]
fn what_can_never_match_is_refused_at_the_start() {
    for (option, value, why) in [
        (
            "--origin",
            "https://app.example.com/x",
            "a path is no part of it",
        ),
        (
            "--origin",
            "https://*",
            "* stands for whole labels in front",
        ),
        (
            "--origin",
            "https://a*.example.com",
            "* stands for whole labels in front",
        ),
        (
            "--origin",
            "wss://app.example.com",
            "https://app.example.com",
        ),
        ("--origin", "https://bü%cher.example", "xn--"),
        ("--host", "bü cher.example", "xn--"),
        (
            "--host",
            "https://app.example.com",
            "a name without a scheme",
        ),
        (
            "--host",
            "*example.com",
            "* stands for whole labels in front",
        ),
        ("--host", "a.test:x", "a port is a number"),
    ] {
        for listens in ["ws-l:0", "ws-u:tcp-l:0"] {
            let done = run(&[option, value, listens, "echo:"], "");
            assert_eq!(done.status, 2, "{}", done.stderr);
            let line = format!("wsbridge: {option}: '{value}' can never match: ");
            assert!(done.stderr.starts_with(&line), "{}", done.stderr);
            assert!(done.stderr.contains(why), "{}", done.stderr);
        }
    }
    let done = run(&["--origin-only", "--origin", "*", "ws-l:0", "echo:"], "");
    assert_eq!(done.status, 2, "{}", done.stderr);
    assert!(
        done.stderr.contains("exclude each other"),
        "{}",
        done.stderr
    );
}

#[test]
fn the_first_judgement_that_fails_wins() {
    let bridge = Bridge::start(&["--path", "/chat", "ws-l:0", "echo:"]);
    let port = bridge.port;
    let evil = ("Origin", "http://evil.test");
    let rebound = ("Host", "evil.test");
    let ask = |target: &str, changes: &[(&str, &str)]| status(port, upgrade(port, target, changes));
    assert_eq!(ask("/", &[rebound, evil]), 421);
    assert_eq!(ask("/", &[evil]), 403);
    assert_eq!(ask("/chat", &[evil]), 403);
    assert_eq!(ask("/", &[]), 404);
    assert_eq!(ask("/", &[rebound, ("X-Long", &"x".repeat(20_000))]), 431);
    // A page learns nothing by a plain request either.
    let plain =
        format!("GET /chat HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://evil.test\r\n\r\n");
    assert_eq!(status(port, plain), 403);
}
