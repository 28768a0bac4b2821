//! What the server takes as an upgrade: path, headers, version and Host, and the bytes that come glued to either head.

use std::thread;

use super::{ACCEPT, KEY, changed, echo, exchange, headers, listener, read_head, status, upgrade};
use crate::support::{Bridge, Frame, Tcp, TcpEnd, Ws, frame_bytes, run};

#[test]
fn any_path_is_upgraded() {
    let bridge = echo();
    for target in ["/", "/chat", "/a/b?c=d", "/%C3%BC", "//"] {
        let mut ws = Ws::ask(bridge.port, target, &[]);
        assert!(
            ws.head.starts_with("HTTP/1.1 101 "),
            "{target}: {}",
            ws.head
        );
        assert_eq!(ws.text("hi").next(), Frame::text("hi"));
    }
}

#[test]
fn a_path_can_be_the_only_one_and_is_given_in_four_ways() {
    for words in [
        &["--path", "/chat", "ws-l:0", "echo:"][..],
        &["ws-l:0,path=/chat", "echo:"],
        &["ws-l:0/chat", "echo:"],
        &["-o", "left.path=/chat", "ws-l:0", "echo:"],
    ] {
        let bridge = Bridge::start(words);
        let ask = |target: &str| exchange(bridge.port, upgrade(bridge.port, target, &[])).unwrap();
        assert_eq!(ask("/chat").status, 101, "{words:?}");
        assert_eq!(ask("/chat?x=1").status, 101, "{words:?}");
        for other in ["/", "/chat/", "/chatter", "/CHAT"] {
            let answer = ask(other);
            assert_eq!(answer.status, 404, "{words:?} {other}");
            assert!(!answer.line().is_empty());
        }
    }
}

#[test]
fn the_answer_of_an_upgrade_is_that_of_the_rfc() {
    let bridge = echo();
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", &[])).unwrap();
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
    assert!(
        answer
            .header("upgrade")
            .unwrap()
            .eq_ignore_ascii_case("websocket")
    );
    assert!(
        answer
            .header("connection")
            .unwrap()
            .eq_ignore_ascii_case("upgrade")
    );
    assert_eq!(answer.header("sec-websocket-protocol"), None);
    assert_eq!(answer.header("sec-websocket-extensions"), None);
    // What is offered and not known is not agreed to.
    let offer = [("Sec-WebSocket-Extensions", "x-nonsense; a=1")];
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", &offer)).unwrap();
    assert_eq!(answer.header("sec-websocket-extensions"), None);
}

#[test]
fn frames_glued_to_the_request_are_kept() {
    let bridge = echo();
    let mut bytes = upgrade(bridge.port, "/", &[]).into_bytes();
    bytes.extend(frame_bytes(0x81, b"early", true));
    bytes.extend(frame_bytes(0x82, &[7; 3000], true));
    bytes.extend(frame_bytes(0x88, &1000u16.to_be_bytes(), true));
    let mut tcp = Tcp::connect(bridge.port);
    tcp.send(&bytes);
    read_head(&mut tcp.0);
    let mut expected = frame_bytes(0x81, b"early", false);
    expected.extend(frame_bytes(0x82, &[7; 3000], false));
    expected.extend(frame_bytes(0x88, &1000u16.to_be_bytes(), false));
    assert_eq!(tcp.rest(), (expected, TcpEnd::Eof));
}

#[test]
fn frames_glued_to_the_request_reach_a_target_that_is_slow_to_open() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("ws://127.0.0.1:{port}")]);
    let mut bytes = upgrade(bridge.port, "/", &[]).into_bytes();
    bytes.extend(frame_bytes(0x81, b"one", true));
    bytes.extend(&frame_bytes(0x81, b"two", true)[..3]);
    let mut tcp = Tcp::connect(bridge.port);
    tcp.send(&bytes);
    // The bridge has asked, so the early bytes lie with it; the rest comes while the target has not answered.
    let mut target = Tcp::accept(&listener);
    let request = read_head(&mut target.0);
    tcp.send(&frame_bytes(0x81, b"two", true)[3..]);
    let key = headers(&request, "sec-websocket-key")[0];
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    target.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    ));
    // Masked frames of three bytes of payload each.
    for expected in [b"one", b"two"] {
        let frame = target.read(9);
        assert_eq!(frame[..2], [0x81, 0x83]);
        let payload: Vec<u8> = (0..3).map(|at| frame[6 + at] ^ frame[2 + at]).collect();
        assert_eq!(payload, expected);
    }
}

#[test]
fn frames_glued_to_the_answer_are_kept() {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let mut glued = frame_bytes(0x81, b"early", false);
        glued.extend(frame_bytes(0x82, b"raw", false));
        glued.extend(frame_bytes(0x88, &1000u16.to_be_bytes(), false));
        let mut ws = Ws::accept_with(&listener, &glued);
        ws.messages()
    });
    let done = run(&["-", &format!("ws://127.0.0.1:{port}")], "");
    assert_eq!(
        (done.text(), done.status),
        ("early\nraw", 0),
        "{}",
        done.stderr
    );
    assert_eq!(server.join().unwrap().1, Frame::Close(1000, String::new()));
}

#[test]
fn upgrade_and_connection_are_lists_without_regard_to_case() {
    let bridge = echo();
    for good in [
        &[("Upgrade", "WebSocket")][..],
        &[("Upgrade", "h2c, WEBSOCKET")],
        &[("Connection", "keep-alive, uPGRADE")],
        &[("Connection", "keep-alive,Upgrade ,  x")],
        &[("Connection", "keep-alive"), ("+Connection", "upgrade")],
        &[("upgrade", "websocket"), ("connection", "upgrade")],
        &[("SEC-WEBSOCKET-KEY", KEY), ("sec-websocket-version", "13")],
    ] {
        assert_eq!(changed(bridge.port, good), 101, "{good:?}");
    }
    for bad in [
        &[("Connection", "close")][..],
        &[("Connection", "not-upgrade")],
        &[("Connection", "up grade")],
        &[("Connection", "")],
    ] {
        assert_eq!(changed(bridge.port, bad), 400, "{bad:?}");
    }
    for plain in [
        ("Upgrade", "h2c"),
        ("Upgrade", "websockets"),
        ("Upgrade", ""),
    ] {
        assert_eq!(changed(bridge.port, &[plain]), 426, "{plain:?}");
    }
}

#[test]
fn a_key_is_sixteen_bytes_in_base64() {
    let bridge = echo();
    for bad in [
        "",
        "c2hvcnQ=",
        "dGhlIHNhbXBsZSBub25jZTEyMw==",
        "dGhlIHNhbXBsZSBub25jZTE=",
        "!!!lIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ",
    ] {
        assert_eq!(
            changed(bridge.port, &[("Sec-WebSocket-Key", bad)]),
            400,
            "{bad}"
        );
    }
    let twice = [("Sec-WebSocket-Key", KEY), ("+Sec-WebSocket-Key", KEY)];
    assert_eq!(changed(bridge.port, &twice), 400);
}

#[test]
fn another_version_is_answered_with_ours() {
    let bridge = echo();
    for version in ["8", "0", "14", "13, 8", ""] {
        let request = upgrade(bridge.port, "/", &[("Sec-WebSocket-Version", version)]);
        let answer = exchange(bridge.port, request).unwrap();
        assert_eq!(answer.status, 426, "{version}");
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        assert!(answer.line().contains("13"));
    }
}

#[test]
fn a_plain_request_is_told_what_this_is() {
    let bridge = echo();
    let host = format!("127.0.0.1:{}", bridge.port);
    let answer = exchange(
        bridge.port,
        format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    )
    .unwrap();
    assert_eq!(answer.status, 426);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert!(answer.line().contains("WebSocket"), "{answer:?}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
        let answer = exchange(bridge.port, request).unwrap();
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET"));
        assert!(!answer.line().is_empty());
    }
    let posted = upgrade(bridge.port, "/", &[]).replacen("GET", "POST", 1);
    assert_eq!(status(bridge.port, posted), 405);
}

#[test]
fn a_request_has_exactly_one_valid_host() {
    let bridge = echo();
    for bad in [
        &[("Host", "")][..],
        &[("+Host", "localhost"), ("+Host", "127.0.0.1")],
        &[("Host", "a b")],
        &[("Host", "localhost:port")],
        &[("Host", "user@localhost")],
    ] {
        assert_eq!(changed(bridge.port, bad), 400, "{bad:?}");
    }
}
