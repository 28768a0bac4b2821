//! Subprotocols: which one the server chooses, and what the client makes of the choice.

use std::net::TcpListener;
use std::thread;

use super::{answer_101, echo, exchange, headers, listener, opened_with, read_head, upgrade};
use crate::support::{Bridge, Frame, Tcp, Ws};

/// Accepts a connection and answers its request, with `more` in the head; what was offered.
#[track_caller]
fn agree(listener: &TcpListener, more: &str) -> (Tcp, String) {
    let mut tcp = Tcp::accept(listener);
    let request = read_head(&mut tcp.0);
    tcp.send(answer_101(&request, more));
    let offered = headers(&request, "sec-websocket-protocol").join(", ");
    (tcp, offered)
}

/// The code of the Close that a caller hears, behind whatever else it does.
#[track_caller]
fn close_code(caller: &mut Ws) -> u16 {
    match caller.messages().1 {
        Frame::Close(code, _) => code,
        other => panic!("no Close: {other:?}"),
    }
}

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
fn a_server_that_is_opened_for_each_message_has_agreed_to_nothing() {
    let offer = [("Sec-WebSocket-Protocol", "a, b")];
    for (more, chosen) in [
        (&[][..], None),
        (&["--accept-first"], None),
        (&["-o", "left.protocol=b"], Some("b")),
    ] {
        let (listener, port) = listener();
        let target = format!("each:ws://127.0.0.1:{port}");
        let bridge = Bridge::start(&[&["ws-l:0", &target][..], more].concat());
        let answer = exchange(bridge.port, upgrade(bridge.port, "/", &offer)).unwrap();
        assert_eq!(answer.status, 101);
        assert_eq!(answer.header("sec-websocket-protocol"), chosen, "{more:?}");
        let mut caller = Ws::ask(bridge.port, "/", &offer);
        caller.text("hi");
        assert_eq!(agree(&listener, "").1, "", "{more:?}");
    }
    // What is no server's is answered as ever.
    let bridge = Bridge::start(&["ws-l:0", "each:echo:"]);
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", &offer)).unwrap();
    assert_eq!(answer.header("sec-websocket-protocol"), Some("a"));
}

#[test]
fn what_the_listener_was_told_to_serve_holds_before_a_server_that_knows_of_none() {
    let (listener, port) = listener();
    let target = format!("ws://127.0.0.1:{port}");
    let words = ["--accept-first", "-o", "left.protocol=a", "ws-l:0", &target];
    let bridge = Bridge::start(&words);
    // A Close with a code of its own crosses: 1014 would be the bridge's.
    let server = thread::spawn(move || {
        let (mut tcp, offered) = agree(&listener, "");
        tcp.send([0x88, 2, 0x0F, 0xA1]);
        (tcp, offered)
    });
    let mut caller = Ws::ask(bridge.port, "/", &[("Sec-WebSocket-Protocol", "a")]);
    assert_eq!(close_code(&mut caller), 4001);
    assert_eq!(server.join().unwrap().1, "a");
}

#[test]
fn a_caller_that_was_accepted_first_is_closed_where_the_server_does_not_agree() {
    let (listener, port) = listener();
    let target = format!("ws://127.0.0.1:{port}");
    let bridge = Bridge::start(&["--accept-first", "ws-l:0", &target]);
    let server = thread::spawn(move || agree(&listener, ""));
    let mut caller = Ws::ask(bridge.port, "/", &[("Sec-WebSocket-Protocol", "a")]);
    assert_eq!(close_code(&mut caller), 1014);
    bridge
        .running
        .line("was answered with the subprotocol a, and the server behind agreed to none");
    assert_eq!(server.join().unwrap().1, "a");
}

#[test]
fn a_server_that_comes_back_with_another_subprotocol_ends_its_callers() {
    let b = "Sec-WebSocket-Protocol: b\r\n";
    let offer = [("Sec-WebSocket-Protocol", "a, b")];
    for (wrapper, options, first) in [
        (
            "reconnect:",
            &["-o", "right.reconnect-max=100ms"][..],
            "a, b",
        ),
        ("share:", &["-o", "right.protocol=b"], "b"),
        (
            "share:",
            &["-o", "right.protocol=b", "--stop", "never"],
            "b",
        ),
    ] {
        let (listener, port) = listener();
        let target = format!("{wrapper}ws://127.0.0.1:{port}");
        let bridge = Bridge::start(&[&["ws-l:0", &target], options].concat());
        let server = thread::spawn(move || {
            let (tcp, offered) = agree(&listener, b);
            assert_eq!(offered, first);
            tcp.reset();
            agree(&listener, "")
        });
        let mut caller = Ws::ask(bridge.port, "/", &offer);
        assert_eq!(close_code(&mut caller), 1014, "{wrapper}");
        bridge
            .running
            .line("the server agreed to none of the subprotocols, where it had agreed to b");
        let (_tcp, offered) = server.join().unwrap();
        assert_eq!(offered, "b");
        if options.contains(&"never") {
            // Who comes later is a caller of that one.
            let answer = exchange(bridge.port, upgrade(bridge.port, "/", &offer)).unwrap();
            assert_eq!(
                (answer.status, answer.header("sec-websocket-protocol")),
                (101, None)
            );
        }
    }
}

#[test]
fn tokens_among_subprotocols_are_shown_nowhere() {
    let token = "base64url.bearer.authorization.k8s.io.czNjcjN0";
    let offers = [
        token,
        "bearer, czNjcjN0",
        "access_token.czNjcjN0",
        "eyJhbGciOiJIUzI1NiJ9czNjcjN0.e30.abc",
    ];
    let named = Bridge::start(&["-vvv", "--protocol", "mqtt", "ws-l:0", "echo:"]);
    let any = Bridge::start(&["-vvv", "ws-l:0", "echo:"]);
    let url = any.url();
    let relay = Bridge::start(&["-vvv", "ws-l:0", &url]);
    for bridge in [&named, &any, &relay] {
        for offer in offers {
            let changes = [("Sec-WebSocket-Protocol", offer)];
            let answer = exchange(bridge.port, upgrade(bridge.port, "/", &changes)).unwrap();
            assert_eq!(answer.status, 101);
        }
    }
    named
        .running
        .line("offers the subprotocols base64url.bearer.authorization.k8s.io.***; served is mqtt");
    named.running.line("offers the subprotocols bearer, ***;");
    for bridge in [named, relay, any] {
        let done = bridge.stop();
        assert!(!done.stderr.contains("czNjcjN0"), "{}", done.stderr);
    }
    // Those that are typed, and what becomes of them.
    for more in [
        "",
        "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.czNjcjN0\r\n",
        "Sec-WebSocket-Protocol: bearer.czNjcjN0\r\n",
    ] {
        let (_, stderr, request) = opened_with(&["-vvv", "-i", "--protocol", token], more);
        assert!(request.contains(token));
        assert!(!stderr.contains("czNjcjN0"), "{stderr}");
    }
    let done = crate::support::run(&["--explain", "--protocol", token, "ws://h"], "");
    assert!(!done.text().contains("czNjcjN0"), "{}", done.text());
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
