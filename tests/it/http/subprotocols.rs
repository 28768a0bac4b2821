//! Subprotocols: which one the server chooses, and what the client makes of the choice.

use super::{echo, exchange, headers, opened_with, upgrade};
use crate::support::Bridge;

#[test]
fn a_server_echoes_the_first_subprotocol_or_chooses_among_its_own() {
    let chosen = |bridge: &Bridge, changes: &[(&str, &str)]| {
        let answer = exchange(bridge.port, upgrade(bridge.port, "/", changes)).unwrap();
        assert_eq!(answer.status, 101);
        answer.header("sec-websocket-protocol").map(str::to_owned)
    };
    let any = echo();
    let offer = |names: &'static str| [("Sec-WebSocket-Protocol", names)];
    assert_eq!(chosen(&any, &offer("mqtt, chat")).as_deref(), Some("mqtt"));
    assert_eq!(chosen(&any, &offer("Chat.v2")).as_deref(), Some("Chat.v2"));
    let lines = [
        ("+Sec-WebSocket-Protocol", "b"),
        ("+Sec-WebSocket-Protocol", "a"),
    ];
    assert_eq!(chosen(&any, &lines).as_deref(), Some("b"));
    assert_eq!(chosen(&any, &[]), None);
    // What is no token (RFC 6455 4.1) is not sent back.
    for names in ["a b", "\"a\"", "<b>", "a;b", "(", "a=b"] {
        assert_eq!(chosen(&any, &[("Sec-WebSocket-Protocol", names)]), None);
    }
    assert_eq!(chosen(&any, &offer("<b>, mqtt")).as_deref(), Some("mqtt"));
    let choosing = Bridge::start(&["--protocol", "a,b", "ws-l:0", "echo:"]);
    assert_eq!(chosen(&choosing, &offer("b, a")).as_deref(), Some("a"));
    assert_eq!(chosen(&choosing, &offer("x, b")).as_deref(), Some("b"));
    assert_eq!(chosen(&choosing, &lines).as_deref(), Some("a"));
    assert_eq!(chosen(&choosing, &offer("x")), None);
    assert_eq!(chosen(&choosing, &[]), None);
}

#[test]
fn what_is_not_agreed_to_is_said() {
    let offer = |names: &'static str| [("Sec-WebSocket-Protocol", names)];
    let asked = |bridge: &Bridge, names: &'static str| {
        let answer = exchange(bridge.port, upgrade(bridge.port, "/", &offer(names))).unwrap();
        assert_eq!(answer.status, 101);
        answer.header("sec-websocket-protocol").map(str::to_owned)
    };
    let any = echo();
    assert_eq!(asked(&any, "base64, binary").as_deref(), Some("binary"));
    assert_eq!(asked(&any, "base64, v4.channel.k8s.io"), None);
    any.running.line(
        "offers the subprotocols base64, v4.channel.k8s.io, which are not spoken here; --protocol NAME agrees to one all the same",
    );
    let named = Bridge::start(&["--protocol", "base64, mqtt", "ws-l:0", "echo:"]);
    assert_eq!(asked(&named, "binary, base64").as_deref(), Some("base64"));
    assert_eq!(asked(&named, "chat, superchat"), None);
    named
        .running
        .line("offers the subprotocols chat, superchat; served is base64, mqtt (--protocol)");
    let relay = Bridge::start(&["ws-l:0", &any.url()]);
    assert_eq!(asked(&relay, "base64"), None);
    relay
        .running
        .line("offers the subprotocols base64; the server behind agreed to none");
}

#[test]
fn a_share_agrees_to_what_its_server_agreed_to() {
    let offer = [("Sec-WebSocket-Protocol", "chat, mqtt")];
    for (server, client, expected) in [
        ("mqtt", "--protocol=mqtt", Some("mqtt")),
        ("other", "--protocol=mqtt", None),
        ("mqtt", "--ping=30s", None),
    ] {
        let behind = Bridge::start(&["--protocol", server, "ws-l:0", "echo:"]);
        let address = format!("share:{}", behind.url());
        let option = format!("right.{}", client.trim_start_matches("--"));
        let bridge = Bridge::start(&["ws-l:0", &address, "-o", &option]);
        let answer = exchange(bridge.port, upgrade(bridge.port, "/", &offer)).unwrap();
        assert_eq!(answer.header("sec-websocket-protocol"), expected);
    }
}

#[test]
fn names_stand_as_in_the_header() {
    let words = ["--protocol", "chat, superchat"];
    let (status, stderr, request) = opened_with(&words, "Sec-WebSocket-Protocol: superchat\r\n");
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(
        headers(&request, "sec-websocket-protocol"),
        ["chat, superchat"]
    );
}

#[test]
fn a_client_offers_subprotocols_and_takes_what_comes_of_it() {
    let (status, stderr, request) =
        opened_with(&["--protocol", "a,b"], "Sec-WebSocket-Protocol: b\r\n");
    assert_eq!(status, 0, "{stderr}");
    let offered = headers(&request, "sec-websocket-protocol").join(", ");
    let offered: Vec<_> = offered.split(',').map(str::trim).collect();
    assert_eq!(offered, ["a", "b"]);
    assert!(!stderr.contains("ignored"), "{stderr}");

    let (status, stderr, _) = opened_with(&["--protocol", "a,b"], "");
    assert_eq!(status, 0, "{stderr}");
    assert!(stderr.contains("subprotocol"), "a note is wanted: {stderr}");

    let (status, stderr, request) = opened_with(&[], "");
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(headers(&request, "sec-websocket-protocol").is_empty());

    for words in [&["--protocol", "a,b"][..], &[]] {
        let (status, stderr, _) = opened_with(words, "Sec-WebSocket-Protocol: c\r\n");
        assert_eq!(status, 8, "{stderr}");
        assert!(
            stderr.contains("subprotocol") && stderr.contains('c'),
            "{stderr}"
        );
    }
}
