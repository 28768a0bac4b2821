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
