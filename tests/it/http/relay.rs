//! A server in front of another: what a caller asks for, offers and says reaches the other, and its answer the caller.

use std::thread;

use super::{answer_101, exchange, headers, listener, read_head, upgrade};
use crate::support::{Bridge, Tcp};

/// What a caller's request becomes, and the subprotocol that the caller is answered with, where the other server says `more`.
/// `{}` in a word is the port of the other server.
#[track_caller]
fn asked(
    words: &[&str],
    target: &str,
    changes: &[(&str, &str)],
    more: &'static str,
) -> (String, Option<String>) {
    let (listener, port) = listener();
    let words: Vec<_> = words
        .iter()
        .map(|word| word.replace("{}", &port.to_string()))
        .collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let bridge = Bridge::start(&words);
    let server = thread::spawn(move || {
        let mut tcp = Tcp::accept(&listener);
        let request = read_head(&mut tcp.0);
        tcp.send(answer_101(&request, more));
        // It stays open until the caller has its answer.
        (request, tcp)
    });
    let answer = exchange(bridge.port, upgrade(bridge.port, target, changes)).unwrap();
    assert_eq!(answer.status, 101, "{words:?}: {answer:?}");
    let protocol = answer.header("sec-websocket-protocol").map(str::to_owned);
    (server.join().unwrap().0, protocol)
}

#[test]
fn path_and_query_are_kept_where_the_url_has_none() {
    for (words, target, expected) in [
        (
            &["ws-l:0", "ws://127.0.0.1:{}"][..],
            "/a/b?c=d%20e",
            "/a/b?c=d%20e",
        ),
        (&["ws-l:0", "ws://127.0.0.1:{}/"], "/a?b", "/"),
        (&["ws-l:0", "ws://127.0.0.1:{}/x?y"], "/a?b", "/x?y"),
        (
            &["ws-l:0", "ws://127.0.0.1:{}/x{path}?key=1"],
            "/a?b",
            "/x/a?key=1",
        ),
        (
            &["ws-l:0", "ws://127.0.0.1:{}{path}{query}"],
            "/a?b",
            "/a?b",
        ),
        (&["ws-l:0/chat", "ws://127.0.0.1:{}"], "/chat?b", "/chat?b"),
        (
            &["ws-l:0", "ws-c:tcp:127.0.0.1:{},uri=ws://app"],
            "/a?b",
            "/a?b",
        ),
        (&["ws-l:0", "ws-c:tcp:127.0.0.1:{}"], "/a?b", "/"),
        (&["ws-l:0", "reconnect:ws://127.0.0.1:{}"], "/a?b", "/a?b"),
    ] {
        let (request, _) = asked(words, target, &[], "");
        let line = format!("GET {expected} HTTP/1.1\r\n");
        assert!(request.starts_with(&line), "{words:?}: {request}");
    }
}

#[test]
fn a_path_leads_out_of_no_other() {
    let (_listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("ws://127.0.0.1:{port}/in{{path}}")]);
    let answer = exchange(bridge.port, upgrade(bridge.port, "/%2e%2E/out", &[])).unwrap();
    assert_eq!(answer.status, 502);
    bridge.running.line("dots");
}

#[test]
fn subprotocols_are_offered_on_and_the_choice_comes_back() {
    let relay = ["ws-l:0", "ws://127.0.0.1:{}"];
    let offer = |names: &'static str| [("Sec-WebSocket-Protocol", names)];
    let b = "Sec-WebSocket-Protocol: b\r\n";
    let with = |more: &[&'static str]| [&relay[..], more].concat();
    let within = |wrapper| {
        let target: &'static str = match wrapper {
            "reconnect:" => "reconnect:ws://127.0.0.1:{}",
            "share:" => "share:ws://127.0.0.1:{}",
            _ => "share:reconnect:ws://127.0.0.1:{}",
        };
        vec!["ws-l:0", target, "-o", "right.protocol=b"]
    };
    for (words, names, more, offered, chosen) in [
        (with(&[]), "a, b", b, "a, b", Some("b")),
        (with(&[]), "a, b", "", "a, b", None),
        (with(&[]), "", "", "", None),
        // Those that both sides may choose, best first.
        (with(&["--protocol", "c,b,a"]), "a, b", b, "b, a", Some("b")),
        (with(&["--protocol", "a,b"]), "x, b", b, "b", Some("b")),
        // What the left side was told to choose it chooses where the right side knows of none, but never against it.
        (with(&["-o", "left.protocol=a"]), "a, b", "", "a", Some("a")),
        (with(&["-o", "right.protocol=b"]), "a", b, "b", None),
        (with(&["-o", "right.protocol=b"]), "", b, "b", None),
        // Its answer is due before the right side is asked.
        (with(&["--accept-first"]), "b, a", b, "b", Some("b")),
        (with(&["--reconnect"]), "a, b", b, "a, b", Some("b")),
        (within("reconnect:"), "a", b, "b", None),
        (within("reconnect:"), "a, b", b, "b", Some("b")),
        (within("reconnect:"), "a, b", "", "b", None),
        (within("share:"), "a", b, "b", None),
        (within("share:"), "a, b", b, "b", Some("b")),
        (within("share:"), "a, b", "", "b", None),
        (within("share:reconnect:"), "a", b, "b", None),
    ] {
        let (request, protocol) = asked(&words, "/", &offer(names), more);
        let found = headers(&request, "sec-websocket-protocol").join(", ");
        assert_eq!(
            (found.as_str(), protocol.as_deref()),
            (offered, chosen),
            "{words:?} {names}"
        );
    }
}

#[test]
fn headers_of_the_caller_are_sent_on_where_it_is_asked() {
    let said = [
        ("Cookie", "a=1"),
        ("Authorization", "Bearer x"),
        ("Origin", "http://localhost"),
        ("X-Token", "one"),
        ("+X-Token", "two"),
        ("User-Agent", "caller"),
    ];
    let relay = ["ws-l:0", "ws://127.0.0.1:{}"];
    let (request, _) = asked(&relay, "/", &said, "");
    for name in ["cookie", "authorization", "origin", "x-token"] {
        assert!(headers(&request, name).is_empty(), "{request}");
    }
    assert!(headers(&request, "user-agent")[0].starts_with("wsbridge/"));

    let asking = [
        "--forward-header=cookie",
        "--forward-header=X-Token",
        "--forward-header=User-Agent",
        "--forward-header=X-None",
        "--forward-header=Host",
    ];
    let (request, _) = asked(&[&relay[..], &asking].concat(), "/", &said, "");
    assert_eq!(headers(&request, "cookie"), ["a=1"]);
    assert_eq!(headers(&request, "x-token"), ["one", "two"]);
    assert_eq!(headers(&request, "user-agent"), ["caller"]);
    assert_eq!(headers(&request, "host").len(), 1);
    assert!(headers(&request, "authorization").is_empty());
    assert!(headers(&request, "x-none").is_empty());

    let typed = ["-H", "Cookie: own=1", "--forward-header", "Cookie"];
    let (request, _) = asked(&[&relay[..], &typed].concat(), "/", &said, "");
    assert_eq!(headers(&request, "cookie"), ["own=1"]);
}

#[test]
fn what_is_of_one_connection_is_not_sent_on() {
    for name in [
        "Connection",
        "Upgrade",
        "Sec-WebSocket-Key",
        "Transfer-Encoding",
        "a b",
        "",
    ] {
        let done = crate::support::run(&["--forward-header", name, "ws-l:0", "ws://h"], "");
        assert_eq!(done.status, 2, "{name}: {}", done.stderr);
    }
}
