//! The page that a browser gets at the address of a room: to whom, where, and with which headers.

use super::{Answer, exchange, upgrade};
use crate::support::{Bridge, Frame, Ws, run};

/// What Chromium says that it takes when an address is opened.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// Asks with a method and a path, as a browser but for these headers.
#[track_caller]
fn ask(bridge: &Bridge, request: &str, headers: &[(&str, &str)]) -> Answer {
    let has = |name: &str| headers.iter().any(|(other, _)| *other == name);
    let host = format!("127.0.0.1:{}", bridge.port);
    let mut text = format!("{request} HTTP/1.1\r\n");
    for (name, value) in [("Host", host.as_str()), ("Accept", BROWSER)] {
        if !has(name) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    exchange(bridge.port, text + "\r\n").expect("no answer")
}

#[test]
fn a_browser_gets_the_chat_page_of_a_room_and_others_a_hint() {
    let bridge = Bridge::start(&["ws-l:0", "hub:"]);
    let page = ask(&bridge, "GET /", &[]);
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.starts_with("<!doctype html>") && page.body.contains("data-echo=\"yes\""));
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("connection", "close"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let policy = page.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");

    let head = ask(&bridge, "HEAD /any?x", &[]);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let len = page.body.len().to_string();
    assert_eq!(head.header("content-length"), Some(len.as_str()));

    for accept in [
        "*/*",
        "image/avif,image/*",
        "text/htmlx",
        "application/json",
    ] {
        for method in ["GET", "HEAD"] {
            let answer = ask(&bridge, &format!("{method} /"), &[("Accept", accept)]);
            assert_eq!(answer.status, 426, "{method} {accept}");
        }
    }
    let post = ask(&bridge, "POST /", &[("Content-Length", "0")]);
    assert_eq!(
        (post.status, post.header("allow")),
        (405, Some("GET, HEAD"))
    );
    let head = ask(&bridge, "HEAD /", &[("Upgrade", "websocket")]);
    assert_eq!((head.status, head.header("allow")), (405, Some("GET")));

    let browser = [("Accept", BROWSER)];
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", &browser)).unwrap();
    assert_eq!(answer.status, 101);
    // Nobody is refused who gets the page, and the room goes on.
    let (mut one, mut other) = (bridge.client(), bridge.client());
    one.text("hello");
    assert_eq!(other.next(), Frame::text("hello"));
    drop((one, other));
    // It is told once the caller has gone, who may have its answer long before.
    for _ in 0..10 {
        bridge.running.line("refused with");
    }
    let stderr = bridge.stop().stderr;
    let refused = stderr.lines().filter(|line| line.contains("refused with"));
    assert_eq!(refused.count(), 10, "{stderr}");
}

#[test]
fn who_may_not_connect_gets_no_page() {
    let bridge = Bridge::start(&["ws-l:0", "hub:"]);
    for (headers, status) in [
        (&[("Host", "evil.test")][..], 421),
        (&[("Origin", "http://evil.test")], 403),
        (&[("Host", "a b")], 400),
    ] {
        assert_eq!(ask(&bridge, "GET /", headers).status, status, "{headers:?}");
    }
}

#[test]
fn the_page_is_where_the_room_is() {
    let paths = Bridge::start(&["ws-l:0", "hub:{path}"]);
    let one = Bridge::start(&["ws-l:0/chat", "hub:"]);
    for (path, status) in [
        ("/", 404),
        ("/chat", 200),
        ("/chat?x", 200),
        ("/chat/", 404),
    ] {
        let get = format!("GET {path}");
        assert_eq!(ask(&one, &get, &[]).status, status, "{path}");
        assert_eq!(ask(&paths, &get, &[]).status, 200, "{path}");
    }
}

#[test]
fn an_option_says_which_page_there_is() {
    for (words, status) in [
        (&["ws-l:0", "hub:", "--page", "none"][..], 426),
        (&["ws-l:0,page=none", "hub:"], 426),
        (&["ws-l:0", "echo:"], 426),
        (&["ws-l:0,page=chat", "echo:"], 200),
        (&["ws-l:0", "hub:", "--page", "chat"], 200),
        (&["ws-u:tcp-l:0", "hub:"], 200),
        (&["ws-u:tcp-l:0,page=none", "hub:"], 426),
    ] {
        let bridge = Bridge::start(words);
        assert_eq!(ask(&bridge, "GET /", &[]).status, status, "{words:?}");
        let head = if status == 200 { 200 } else { 405 };
        assert_eq!(ask(&bridge, "HEAD /", &[]).status, head, "{words:?}");
    }
}

#[test]
fn the_page_knows_the_manners_of_its_room() {
    for (words, manners) in [
        (&["--id", "json"][..], "data-echo=\"yes\" data-id=\"json\""),
        (&["--id", "prefix"], "data-echo=\"yes\" data-id=\"prefix\""),
        (&["--echo", "no"], "data-echo=\"no\" data-id=\"none\""),
        // What is asked for by name is no other than what suits.
        (&["--echo", "no", "--page", "chat"], "data-echo=\"no\""),
    ] {
        let words: Vec<_> = ["ws-l:0", "hub:"].iter().chain(words).copied().collect();
        let page = ask(&Bridge::start(&words), "GET /", &[]);
        assert!(page.body.contains(manners), "{words:?}");
    }
}

#[test]
fn a_page_is_not_the_one_session_that_is_served() {
    let mut bridge = Bridge::start(&["ws-l:0", "hub:", "--once"]);
    assert_eq!(ask(&bridge, "GET /", &[]).status, 200);
    bridge.client().close(1000, "");
    assert_eq!(bridge.running.wait(), 0);
}

#[test]
fn a_file_is_a_page_and_is_read_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.html");
    let path = path.to_str().unwrap();
    std::fs::write(path, "<!doctype html><p>one: \u{fc}").unwrap();
    let own = format!("ws-l:0,page={path}");
    for words in [
        &["ws-l:0/own", "echo:", "--page", path][..],
        // What is asked for wins over what suits.
        &[own.as_str(), "hub:"],
        &["ws-u:tcp-l:0", "echo:", "--page", path],
    ] {
        std::fs::write(path, "<!doctype html><p>one: \u{fc}").unwrap();
        let bridge = Bridge::start(words);
        let page = ask(&bridge, "GET /own?x", &[]);
        assert_eq!(
            (page.status, page.body.as_str()),
            (200, "<!doctype html><p>one: \u{fc}"),
            "{words:?}"
        );
        for (name, value) in [
            ("content-type", Some("text/html; charset=utf-8")),
            ("x-content-type-options", Some("nosniff")),
            ("cache-control", Some("no-store")),
            ("vary", Some("Accept")),
            ("content-length", Some("25")),
            ("content-security-policy", Some("frame-ancestors 'self'")),
            ("referrer-policy", None),
        ] {
            assert_eq!(page.header(name), value, "{name}");
        }
        std::fs::write(path, "two").unwrap();
        assert_eq!(ask(&bridge, "GET /own", &[]).body, "two");
        let head = ask(&bridge, "HEAD /own", &[]);
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert_eq!(head.header("content-length"), Some("3"));
        let script = ask(&bridge, "GET /own", &[("Accept", "*/*")]);
        assert_eq!(script.status, 426);
        let evil = ask(&bridge, "GET /own", &[("Host", "evil.test")]);
        assert_eq!(evil.status, 421);
        let mut client = Ws::ask(bridge.port, "/own", &[]);
        assert_eq!(client.text("hello").next(), Frame::text("hello"));
    }
}

#[test]
fn a_file_that_can_not_be_read_any_more_is_told_to_the_log_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.html");
    std::fs::write(&path, "one").unwrap();
    let shown = path.to_str().unwrap();
    let bridge = Bridge::start(&["ws-l:0", "echo:", "--page", shown]);
    std::fs::remove_file(&path).unwrap();
    let gone = ask(&bridge, "GET /", &[]);
    assert_eq!(
        (gone.status, gone.body.as_str()),
        (500, "the page can not be read\n")
    );
    let big = std::fs::File::create(&path).unwrap();
    big.set_len((4 << 20) + 1).unwrap();
    assert_eq!(ask(&bridge, "GET /", &[]).status, 500);
    big.set_len(4 << 20).unwrap();
    assert_eq!(ask(&bridge, "GET /", &[]).body.len(), 4 << 20);
    for why in ["no such file or directory", "it has more than 4 MiB"] {
        let line = format!("refused with HTTP 500: the page can not be read: {shown}: {why}");
        bridge.running.line(&line);
    }
}

#[test]
fn a_page_that_can_not_be_served_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let missing = format!("{folder}/no.html");
    let option = format!("ws-l:0,page={missing}");
    let cases: [(&[&str], &str, i32, &str); 5] = [
        (
            &["ws-l:0"],
            "chats",
            2,
            "--page: 'chats' is none of chat, none and files such as ./chats",
        ),
        (
            &["ws-l:0"],
            "./chats",
            2,
            "--page: './chats' can not be read: no such file or directory",
        ),
        (
            &["ws-l:0"],
            &missing,
            2,
            "/no.html' can not be read: no such file or directory",
        ),
        (&["ws-l:0"], folder, 2, "' can not be read: it is no file"),
        (
            &[&option],
            "",
            2,
            "/no.html' can not be read: no such file or directory",
        ),
    ];
    for (words, page, status, why) in cases {
        let mut words = words.to_vec();
        words.push("echo:");
        if !page.is_empty() {
            words.extend(["--page", page]);
        }
        let done = run(&words, "");
        assert_eq!(done.status, status, "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(why), "{words:?}: {}", done.stderr);
    }
}
