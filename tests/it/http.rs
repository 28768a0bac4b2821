//! The opening handshake in both roles, who may connect, what the listening side binds, and what the program prints of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use super::support::{
    Bridge, Frame, PATIENCE, Tcp, TcpEnd, Ws, frame_bytes, free_port, run, spawn,
};

/// The key of RFC 6455 1.3 and the answer to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An upgrade as a browser sends it; a change replaces the header of its name, `""` leaves it out, `+name` adds another.
fn upgrade(port: u16, target: &str, changes: &[(&str, &str)]) -> String {
    let host = format!("127.0.0.1:{port}");
    let usual = [
        ("Host", host.as_str()),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
    ];
    let mut request = format!("GET {target} HTTP/1.1\r\n");
    let is_changed = |name: &str| {
        changes
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
    };
    for (name, value) in usual
        .iter()
        .filter(|(name, _)| !is_changed(name))
        .chain(changes.iter().filter(|(_, value)| !value.is_empty()))
    {
        request += &format!("{}: {value}\r\n", name.trim_start_matches('+'));
    }
    request + "\r\n"
}

/// An HTTP answer; that of an upgrade has no body.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// The value of its only header of that name.
    #[track_caller]
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.trim());
        assert!(found.next().is_none(), "two headers {name}: {}", self.head);
        value
    }

    /// Its body, which must be one line of text.
    #[track_caller]
    fn line(&self) -> &str {
        let line = self.body.strip_suffix('\n').unwrap_or(&self.body);
        assert!(!line.is_empty() && !line.contains('\n'), "{self:?}");
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/plain"), "{self:?}");
        line
    }
}

/// Sends bytes and reads the answer to its end; `None` where the connection ended without one.
#[track_caller]
fn exchange(port: u16, bytes: impl AsRef<[u8]>) -> Option<Answer> {
    let mut tcp = Tcp::connect(port);
    // A server may answer and end before it has taken all.
    let _ = tcp.0.write_all(bytes.as_ref());
    answer(&mut tcp.0)
}

#[track_caller]
fn answer(stream: &mut impl Read) -> Option<Answer> {
    let mut bytes = Vec::new();
    let mut buf = [0; 4096];
    loop {
        let head_end = bytes.windows(4).position(|end| end == b"\r\n\r\n");
        if head_end.is_some() && bytes.starts_with(b"HTTP/1.1 101") {
            break;
        }
        match stream.read(&mut buf) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&buf[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&bytes)),
        }
    }
    if bytes.is_empty() {
        return None;
    }
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3]
        .parse()
        .unwrap();
    Some(Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

#[track_caller]
fn status(port: u16, bytes: impl AsRef<[u8]>) -> u16 {
    exchange(port, bytes).expect("no answer").status
}

/// The status that an upgrade of `/` with these changes gets.
#[track_caller]
fn changed(port: u16, changes: &[(&str, &str)]) -> u16 {
    status(port, upgrade(port, "/", changes))
}

fn echo() -> Bridge {
    Bridge::start(&["ws-l:0", "echo:"])
}

/// A port of loopback that refuses connections for as long as the socket lives: bound, but nobody listens.
fn refusing_port() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A server that reads one request, answers with these bytes and ends; what it was asked.
fn answering(answer: impl Into<Vec<u8>>) -> (u16, thread::JoinHandle<String>) {
    let (listener, port) = listener();
    let answer = answer.into();
    let server = thread::spawn(move || {
        let mut tcp = Tcp::accept(&listener);
        let request = read_head(&mut tcp.0);
        tcp.0.write_all(&answer).unwrap();
        // A reset would destroy the answer; the client may be gone as soon as it has it.
        let _ = tcp.0.shutdown(Shutdown::Write);
        let _ = tcp.0.read_to_end(&mut Vec::new());
        request
    });
    (port, server)
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Runs a client against a server that answers so; its exit status and stderr.
#[track_caller]
fn faced_with(answer: impl Into<Vec<u8>>) -> (i32, String) {
    let (port, server) = answering(answer);
    let done = run(&[&format!("ws://127.0.0.1:{port}/x")], "");
    server.join().unwrap();
    assert_eq!(done.text(), "", "stdout carries payload and nothing else");
    (done.status, done.stderr)
}

/// The headers of that name in a request, in their order.
fn headers<'a>(request: &'a str, name: &str) -> Vec<&'a str> {
    let lines = request.lines().filter_map(|line| line.split_once(':'));
    let named = lines.filter(|(other, _)| other.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.trim()).collect()
}

// ---- the server: what is upgraded

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

// ---- the server: limits of a head

#[test]
fn a_head_over_16_kib_or_100_headers_is_refused() {
    let bridge = echo();
    let port = bridge.port;
    let fits = "x".repeat(15 * 1024);
    assert_eq!(changed(port, &[("X-Long", &fits)]), 101);
    let long = "x".repeat(17 * 1024);
    assert_eq!(changed(port, &[("X-Long", &long)]), 431);
    assert_eq!(changed(port, &[("X-Long", &"x".repeat(1 << 20))]), 431);
    let answered = status(port, upgrade(port, &format!("/{long}"), &[]));
    assert!([414, 431].contains(&answered), "{answered}");
    let many = |count: usize| {
        let added: Vec<_> = (0..count).map(|at| (format!("+X-{at}"), "1")).collect();
        let added: Vec<_> = added
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        changed(port, &added)
    };
    // Five are the upgrade's own.
    assert_eq!(many(95), 101);
    assert_eq!(many(96), 431);
    assert_eq!(many(1000), 431);
}

#[test]
fn a_head_that_never_ends_is_refused_before_its_end() {
    let bridge = echo();
    let mut tcp = Tcp::connect(bridge.port);
    tcp.send(format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n",
        bridge.port
    ));
    let flood = "X-Header: some value that goes on and on\r\n".repeat(500);
    let _ = tcp.0.write_all(flood.as_bytes());
    assert_eq!(answer(&mut tcp.0).unwrap().status, 431);
}

#[test]
fn a_half_sent_head_is_answered_at_the_deadline() {
    let bridge = Bridge::start(&["--handshake-timeout", "300ms", "ws-l:0", "echo:"]);
    let whole = upgrade(bridge.port, "/", &[]);
    for sent in [10, whole.len() / 2, whole.len() - 2] {
        let begun = Instant::now();
        let answer = exchange(bridge.port, &whole[..sent]).expect("no answer");
        assert_eq!(answer.status, 408, "{sent} bytes");
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }
    // One that says nothing gets no more time.
    let answer = exchange(bridge.port, "");
    assert!(answer.is_none_or(|answer| answer.status == 408));
    assert_eq!(changed(bridge.port, &[]), 101);
}

#[test]
fn a_head_that_trickles_in_has_no_more_time_than_another() {
    let bridge = Bridge::start(&["--handshake-timeout", "300ms", "ws-l:0", "echo:"]);
    let mut tcp = Tcp::connect(bridge.port);
    let head = upgrade(bridge.port, "/", &[("X-Long", &"x".repeat(4000))]);
    tcp.0
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let begun = Instant::now();
    let mut bytes = head.as_bytes().iter();
    let mut buf = [0; 1024];
    let got = loop {
        // The pause is the thing tested: a byte every 20 ms, 80 s for all of them.
        match tcp.0.read(&mut buf) {
            Ok(count) => break String::from_utf8_lossy(&buf[..count]).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break String::new(),
        }
        assert!(begun.elapsed() < PATIENCE, "it is still listened to");
        let _ = tcp.0.write_all(&[*bytes.next().unwrap()]);
    };
    assert!(got.is_empty() || got.starts_with("HTTP/1.1 408 "), "{got}");
}

#[test]
fn what_is_no_http_is_answered_400_or_ended() {
    let bridge = Bridge::start(&["--handshake-timeout", "300ms", "ws-l:0", "echo:"]);
    let noise: Vec<u8> = (0..4096u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\0\0\0\0",
        b"\r\n\r\n\r\n\r\n",
        b"hello\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        &noise,
        b"g",
    ] {
        let answer = exchange(bridge.port, garbage);
        let status = answer.as_ref().map(|answer| answer.status);
        // What could still become a request is waited for, and no longer than any other.
        let is_fine = status.is_none_or(|status| [400, 408, 426, 505].contains(&status));
        assert!(
            is_fine,
            "{:?}: {answer:?}",
            String::from_utf8_lossy(garbage)
        );
    }
    assert_eq!(changed(bridge.port, &[]), 101);
}

// ---- subprotocols

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
    let choosing = Bridge::start(&["--protocol", "a,b", "ws-l:0", "echo:"]);
    assert_eq!(chosen(&choosing, &offer("b, a")).as_deref(), Some("a"));
    assert_eq!(chosen(&choosing, &offer("x, b")).as_deref(), Some("b"));
    assert_eq!(chosen(&choosing, &lines).as_deref(), Some("a"));
    assert_eq!(chosen(&choosing, &offer("x")), None);
    assert_eq!(chosen(&choosing, &[]), None);
}

fn answer_101(request: &str, more: &str) -> String {
    let key = headers(request, "sec-websocket-key")[0];
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
    )
}

/// Runs a client against a server that answers 101 with further headers and then closes with 1000.
#[track_caller]
fn opened_with(words: &[&str], more: &'static str) -> (i32, String, String) {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let mut tcp = Tcp::accept(&listener);
        let request = read_head(&mut tcp.0);
        let mut bytes = answer_101(&request, more).into_bytes();
        bytes.extend(frame_bytes(0x88, &1000u16.to_be_bytes(), false));
        tcp.send(bytes);
        let _ = tcp.0.read_to_end(&mut Vec::new());
        request
    });
    let url = format!("ws://127.0.0.1:{port}/");
    let words: Vec<_> = words.iter().copied().chain([url.as_str()]).collect();
    let done = run(&words, "");
    (done.status, done.stderr, server.join().unwrap())
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

// ---- the client: what it sends

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

// ---- the client: what it is answered

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

// ---- what a caller is told of a target that is not there

#[test]
fn a_refused_target_is_a_502_that_says_why() {
    let (_socket, port) = refusing_port();
    for target in [
        format!("tcp:127.0.0.1:{port}"),
        format!("ws://127.0.0.1:{port}"),
        "unix:/nonexistent/socket".to_owned(),
        "tcp:no-such-host.invalid:1".to_owned(),
    ] {
        let bridge = Bridge::start(&["ws-l:0", &target]);
        let answer = exchange(bridge.port, upgrade(bridge.port, "/", &[])).unwrap();
        assert_eq!(answer.status, 502, "{target}");
        let reason = match target.split(':').next().unwrap() {
            "unix" => "no such file",
            _ if target.contains("invalid") => "no-such-host.invalid",
            _ => "connection refused",
        };
        assert!(answer.line().to_lowercase().contains(reason), "{answer:?}");
        let line = bridge.running.line(reason);
        assert!(line.contains("127.0.0.1:"), "the caller is named: {line}");
        // It goes on, and so the target may come up later.
        assert_eq!(changed(bridge.port, &[]), 502);
    }
}

#[test]
fn a_target_that_answers_no_is_a_502() {
    let (port, server) = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nnobody");
    let bridge = Bridge::start(&["ws-l:0", &format!("ws://127.0.0.1:{port}")]);
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", &[])).unwrap();
    server.join().unwrap();
    assert_eq!(answer.status, 502);
    assert!(answer.line().contains("404"), "{answer:?}");
    let (port, server) = answering("nonsense\r\n\r\n");
    let bridge = Bridge::start(&["ws-l:0", &format!("ws://127.0.0.1:{port}")]);
    assert_eq!(changed(bridge.port, &[]), 502);
    server.join().unwrap();
}

#[test]
fn a_target_that_is_too_slow_is_a_504() {
    let (_silent, port) = listener();
    let target = format!("ws://127.0.0.1:{port}");
    let bridge = Bridge::start(&["--handshake-timeout", "300ms", "ws-l:0", &target]);
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", &[])).unwrap();
    assert_eq!(answer.status, 504);
    assert!(answer.line().contains("300ms"), "{answer:?}");
}

#[test]
fn accept_first_says_it_with_a_close_1014() {
    let (_socket, port) = refusing_port();
    let target = format!("tcp:127.0.0.1:{port}");
    let bridge = Bridge::start(&["--accept-first", "ws-l:0", &target]);
    let Frame::Close(1014, reason) = bridge.client().next() else {
        panic!("no Close 1014");
    };
    assert!(!reason.is_empty());
    bridge.running.line("connection refused");
    let (_silent, port) = listener();
    let target = format!("ws://127.0.0.1:{port}");
    let words = [
        "--accept-first",
        "--handshake-timeout",
        "300ms",
        "ws-l:0",
        &target,
    ];
    let bridge = Bridge::start(&words);
    let mut ws = bridge.client();
    // What it says meanwhile changes nothing.
    ws.text("hello?");
    assert!(matches!(ws.next(), Frame::Close(1014, _)));
}

#[test]
fn a_tcp_caller_whose_target_is_not_there_gets_a_reset() {
    let (_socket, port) = refusing_port();
    let target = format!("tcp:127.0.0.1:{port}");
    let bridge = Bridge::start(&["tcp-l:0", &target]);
    assert_eq!(Tcp::connect(bridge.port).rest(), (vec![], TcpEnd::Reset));
}

#[test]
fn a_caller_that_goes_away_frees_the_target_that_was_being_opened() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("ws://127.0.0.1:{port}")]);
    let mut caller = Tcp::connect(bridge.port);
    caller.send(upgrade(bridge.port, "/", &[]));
    let mut target = Tcp::accept(&listener);
    read_head(&mut target.0);
    caller.reset();
    // Long before the handshake's deadline of 10 s.
    target
        .0
        .set_read_timeout(Some(Duration::from_secs(8)))
        .unwrap();
    target.rest();
}

// ---- Host and Origin

/// What a caller with these headers gets, and the line on stderr where it is refused.
#[track_caller]
fn refused(bridge: &Bridge, changes: &[(&str, &str)], wanted: u16, flag: &str) {
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", changes)).unwrap();
    assert_eq!(answer.status, wanted, "{changes:?}");
    assert!(answer.line().contains(flag), "no '{flag}' in {answer:?}");
    let line = bridge.running.line(flag);
    assert!(line.contains(&wanted.to_string()), "{line}");
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
        "http://evil.test/http://localhost",
        "http://localhost@evil.test",
        "chrome-extension://abcdef",
        "file://",
    ] {
        let flag = format!("--origin {origin}");
        refused(&bridge, &[("Origin", origin)], 403, &flag);
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
        "evil-localhost",
    ] {
        let host = format!("{name}:{port}");
        let flag = format!("--host {name}");
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
fn on_all_interfaces_names_pass_and_pages_of_this_machine_do_not() {
    let bridge = Bridge::start(&["ws-l:*:0", "echo:"]);
    let port = bridge.port;
    let host = format!("public.test:{port}");
    assert_eq!(changed(port, &[("Host", &host)]), 101);
    let page = format!("http://public.test:{port}");
    assert_eq!(changed(port, &[("Host", &host), ("Origin", &page)]), 101);
    for origin in [
        "http://localhost:3000",
        "http://127.0.0.1:3000",
        "http://public.test",
        "null",
    ] {
        assert_eq!(
            changed(port, &[("Host", &host), ("Origin", origin)]),
            403,
            "{origin}"
        );
    }
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

// ---- where it listens

/// The local addresses on which anybody of this machine listens on a port, as the kernel writes them.
fn listening(port: u16) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table)
            .unwrap_or_default()
            .lines()
            .skip(1)
        {
            let fields: Vec<_> = line.split_whitespace().collect();
            let (addr, own) = fields[1].split_once(':').unwrap();
            // 0A is LISTEN.
            if fields[3] == "0A" && own == format!("{port:04X}") {
                found.insert(addr.to_owned());
            }
        }
    }
    found
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn a_bare_port_is_loopback_in_both_families_and_nothing_else() {
    for listens in ["ws-l:0", "tcp-l:0"] {
        let bridge = Bridge::start(&[listens, "echo:"]);
        let mut expected = BTreeSet::from(["0100007F".to_owned()]);
        if has_ipv6() {
            expected.insert("00000000000000000000000001000000".to_owned());
            TcpStream::connect(("::1", bridge.port)).unwrap();
        }
        TcpStream::connect(("127.0.0.1", bridge.port)).unwrap();
        assert_eq!(listening(bridge.port), expected, "{listens}");
        assert!(TcpStream::connect(("127.0.0.2", bridge.port)).is_err());
        assert_ne!(bridge.port, 0, "{}", bridge.place);
    }
}

#[test]
fn a_star_is_all_interfaces() {
    for listens in ["ws-l:*:0", "tcp-l:*:0"] {
        let bridge = Bridge::start(&[listens, "echo:"]);
        TcpStream::connect(("127.0.0.1", bridge.port)).unwrap();
        TcpStream::connect(("127.0.0.2", bridge.port)).unwrap();
        if has_ipv6() {
            TcpStream::connect(("::1", bridge.port)).unwrap();
        }
        assert_ne!(bridge.port, 0, "{}", bridge.place);
    }
}

#[test]
fn the_line_that_says_where_it_listens_names_every_address() {
    let bridge = spawn(&["ws-l:0", "echo:"]);
    let line = bridge.line("listening on");
    assert!(line.contains("ws://127.0.0.1:"), "{line}");
    if has_ipv6() {
        assert!(line.contains("ws://[::1]:"), "{line}");
    }
}

#[test]
fn names_and_addresses_can_be_listened_on() {
    for (listens, port_of) in [
        ("ws-l:localhost:0", "127.0.0.1"),
        ("ws-l:127.0.0.2:0", "127.0.0.2"),
    ] {
        let bridge = Bridge::start(&[listens, "echo:"]);
        TcpStream::connect((port_of, bridge.port)).unwrap();
    }
    if has_ipv6() {
        let (tcp, port) = {
            let listener = TcpListener::bind("[::1]:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            (listener, port)
        };
        let bridge = Bridge::start(&["ws-l:[::1]:0", &format!("tcp:[::1]:{port}")]);
        assert!(bridge.place.starts_with("ws://[::1]:"), "{}", bridge.place);
        assert!(TcpStream::connect(("127.0.0.1", bridge.port)).is_err());
        let mut client = spawn(&[&format!("ws://[::1]:{}", bridge.port)]);
        let mut target = Tcp::accept(&tcp);
        client.stdin().write_all(b"ping\n").unwrap();
        assert_eq!(target.read(4), b"ping");
        target.send("pong").fin();
        assert_eq!(client.finish().text(), "pong");
    }
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
fn a_port_in_use_is_exit_7_and_named() {
    let (_taken, port) = listener();
    for address in [
        format!("ws-l:{port}"),
        format!("tcp-l:{port}"),
        format!("ws-l:127.0.0.1:{port}"),
        format!("ws-l:*:{port}"),
    ] {
        let done = run(&[&address, "echo:"], "");
        assert_eq!(
            (done.status, done.text()),
            (7, ""),
            "{address}: {}",
            done.stderr
        );
        assert!(done.stderr.contains(&address), "{}", done.stderr);
        assert!(
            done.stderr.contains("address already in use"),
            "{}",
            done.stderr
        );
        assert!(
            !done.stderr.contains("listening on ws://"),
            "{}",
            done.stderr
        );
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    }
    // 192.0.2.0/24 is for documentation (RFC 5737); the machine may have even that.
    if TcpListener::bind("198.51.100.77:0").is_err() {
        let done = run(&["ws-l:198.51.100.77:0", "echo:"], "");
        assert_eq!(done.status, 7, "{}", done.stderr);
        assert!(done.stderr.contains("198.51.100.77"), "{}", done.stderr);
    }
}

#[test]
fn the_short_server_serves_stdin_and_stdout() {
    let mut server = spawn(&["-s", "0"]);
    let line = server.line("listening on ws://127.0.0.1:");
    let port = line.split("127.0.0.1:").nth(1).unwrap();
    let port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    let mut ws = Ws::connect(port.parse().unwrap());
    let mut stdin = server.stdin();
    ws.text("up");
    let mut stdout = server.stdout();
    let mut got = [0; 3];
    stdout.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"up\n");
    stdin.write_all(b"down\n").unwrap();
    assert_eq!(ws.next(), Frame::text("down"));
}

// ---- addresses that make no sense

#[test]
fn a_wrong_address_is_shown_with_a_caret() {
    for (words, status, what, shown, caret) in [
        (
            &["tpc:localhost:1"][..],
            2,
            "did you mean 'tcp:'",
            "tpc:localhost:1",
            0..3,
        ),
        (&["tcp:h:99999"], 3, "99999", "tcp:h:99999", 6..11),
        (&["ws-l:http", "echo:"], 3, "http", "ws-l:http", 5..9),
        (
            &["ws-l:0,pth=/a", "echo:"],
            2,
            "did you mean 'path'",
            "ws-l:0,pth=/a",
            7..13,
        ),
        (
            &["ws-l:0", "ehco:"],
            2,
            "did you mean 'echo:'",
            "ehco:",
            0..4,
        ),
        (&["ws://[::1/"], 3, "']'", "ws://[::1/", 5..10),
        (&["tcp:"], 3, "port", "tcp:", 4..5),
    ] {
        let done = run(words, "");
        assert_eq!(
            (done.status, done.text()),
            (status, ""),
            "{words:?}: {}",
            done.stderr
        );
        let lines: Vec<_> = done.stderr.lines().collect();
        assert!(
            lines[0].starts_with("wsbridge: ") && lines[0].contains(what),
            "{}",
            done.stderr
        );
        let at = lines.iter().position(|line| line.trim() == shown);
        let at = at.unwrap_or_else(|| panic!("the address is not shown:\n{}", done.stderr));
        let indent = lines[at].len() - lines[at].trim_start().len();
        let carets = lines[at + 1];
        assert_eq!(carets.trim_matches([' ', '^']), "", "{}", done.stderr);
        let begin = carets.find('^').expect("no caret") - indent;
        let end = carets.rfind('^').unwrap() + 1 - indent;
        assert!(
            caret.contains(&begin) && end <= caret.end,
            "the caret stands at {begin}..{end}, not in {caret:?}:\n{}",
            done.stderr
        );
    }
}

#[test]
fn wrong_words_and_flags_are_exit_2() {
    for words in [
        &["--nonsense"][..],
        &[],
        &["ws-l:0", "echo:", "third:"],
        &["--path", "/a", "tcp:1"],
        &["--path", "a", "ws-l:0", "echo:"],
        &["-o", "left.nonsense=1", "ws-l:0", "echo:"],
        &["-o", "path=/a", "ws-l:0", "echo:"],
        &["--handshake-timeout", "soon", "ws-l:0", "echo:"],
        &["-t", "-b", "tcp:1"],
        &["-q", "-v", "ws://h"],
        &["--max-connections", "0", "ws-l:0", "echo:"],
        &["--log-format", "xml", "ws-l:0", "echo:"],
        &["8080"],
        &["echo"],
        &["wss://host/"],
    ] {
        let done = run(words, "");
        assert_eq!(
            (done.status, done.text()),
            (2, ""),
            "{words:?}: {}",
            done.stderr
        );
        assert!(!done.stderr.is_empty());
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    }
    for words in [
        &["ws://"][..],
        &["ws://user:pass@host/"],
        &["ws://h:0x50/"],
        &["tcp:[::1"],
        &["tcp:::1:80"],
        &["unix:"],
    ] {
        let done = run(words, "");
        assert_eq!(
            (done.status, done.text()),
            (3, ""),
            "{words:?}: {}",
            done.stderr
        );
    }
}

#[test]
fn a_password_in_a_url_is_refused_with_the_way_that_serves() {
    for url in [
        "ws://user@host/",
        "ws://user:pass@host/",
        "ws://user:pass@host:80/",
    ] {
        let done = run(&[url], "");
        assert_eq!(done.status, 3, "{}", done.stderr);
        assert!(done.stderr.contains("-H"), "{}", done.stderr);
    }
}

#[test]
fn control_bytes_of_an_address_are_not_printed() {
    for bad in [
        "tpc\x1b[31m:x",
        "ws://h\x1b[31m/",
        "ws://h/\x1b[31m",
        "tcp:a\x07b:1",
        "\x1b]0;x\x07",
    ] {
        let done = run(&[bad], "");
        assert!(
            [2, 3].contains(&done.status),
            "{bad:?}: {} {}",
            done.status,
            done.stderr
        );
        assert_is_printable(&done.stderr);
    }
}

// ---- Unix sockets

#[test]
fn a_unix_socket_is_made_and_removed_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let address = format!("unix-l:{}", path.display());
    let bridge = Bridge::start(&[&address, "echo:"]);
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    let mut unix = UnixStream::connect(&path).unwrap();
    unix.set_read_timeout(Some(PATIENCE)).unwrap();
    unix.write_all(b"hello").unwrap();
    let mut got = [0; 5];
    unix.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello");
    drop(unix);
    bridge.closed();
    bridge.stop();
    assert!(!path.exists());
}

#[test]
fn a_path_that_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "precious").unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let inner = dir.path().join("dir");
    fs::create_dir(&inner).unwrap();
    for path in [&file, &link, &inner] {
        let address = format!("unix-l:{}", path.display());
        let done = run(&[&address, "echo:"], "");
        assert_eq!(done.status, 7, "{}", done.stderr);
        assert!(done.stderr.contains(&address), "{}", done.stderr);
        assert!(path.symlink_metadata().is_ok());
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    let done = run(&["unix-l:/nonexistent/dir/socket", "echo:"], "");
    assert_eq!(done.status, 7, "{}", done.stderr);
}

#[test]
fn a_live_socket_is_refused_and_a_stale_one_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let address = format!("unix-l:{}", path.display());
    let live = UnixListener::bind(&path).unwrap();
    let done = run(&[&address, "echo:"], "");
    assert_eq!(done.status, 7, "{}", done.stderr);
    assert!(done.stderr.contains("in use"), "{}", done.stderr);
    UnixStream::connect(&path).unwrap();
    drop(live);
    assert!(path.exists(), "it is stale now");
    let bridge = Bridge::start(&[&address, "echo:"]);
    UnixStream::connect(&path).unwrap();
    // Another one stands there at the end: it is not ours to remove.
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    bridge.stop();
    assert!(path.exists());
}

#[test]
fn the_mode_of_a_socket_can_be_set() {
    let dir = tempfile::tempdir().unwrap();
    for (name, mode) in [("flag", 0o600), ("option", 0o660)] {
        let path = dir.path().join(name);
        let place = path.display();
        let _bridge = if name == "flag" {
            Bridge::start(&["--mode", "600", &format!("unix-l:{place}"), "echo:"])
        } else {
            Bridge::start(&[&format!("unix-l:{place},mode=660"), "echo:"])
        };
        let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
    let address = format!("unix-l:{}", dir.path().join("bad").display());
    assert_eq!(run(&["--mode", "888", &address, "echo:"], "").status, 2);
}

#[test]
fn an_abstract_socket_connects_two_bridges() {
    let name = format!("@wsbridge-test-{}", std::process::id());
    let inner = Bridge::start(&[&format!("unix-l:{name}"), "echo:"]);
    let outer = Bridge::start(&["ws-l:0", &format!("unix:{name}")]);
    let mut ws = outer.client();
    assert_eq!(
        ws.binary(b"through").next(),
        Frame::Binary(b"through".to_vec())
    );
    assert!(inner.place.contains(&name), "{}", inner.place);
    assert!(!std::path::Path::new(&name).exists());
    let again = run(&[&format!("unix-l:{name}"), "echo:"], "");
    assert_eq!(again.status, 7, "{}", again.stderr);
}

// ---- many callers

#[test]
fn many_callers_are_served_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let tcp = Bridge::start(&["tcp-l:0", "echo:"]);
    let _unix = Bridge::start(&[&format!("unix-l:{}", path.display()), "echo:"]);
    let ws = echo();
    let mut tcps: Vec<_> = (0..20).map(|_| Tcp::connect(tcp.port)).collect();
    let mut unixes: Vec<_> = (0..20)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    let mut sockets: Vec<_> = (0..20).map(|_| ws.client()).collect();
    // All are open, and the last is served first.
    for at in (0..20).rev() {
        let word = format!("caller {at:02}");
        tcps[at].send(&word);
        assert_eq!(tcps[at].read(word.len()), word.as_bytes());
        unixes[at].set_read_timeout(Some(PATIENCE)).unwrap();
        unixes[at].write_all(word.as_bytes()).unwrap();
        let mut got = vec![0; word.len()];
        unixes[at].read_exact(&mut got).unwrap();
        assert_eq!(got, word.as_bytes());
        assert_eq!(sockets[at].text(&word).next(), Frame::text(&word));
    }
}

#[test]
fn a_listener_on_the_right_takes_one_caller_a_session() {
    let running = spawn(&["ws-l:0", "tcp-l:0"]);
    let mut ports = [0, 0];
    for _ in 0..2 {
        let line = running.line("listening on ");
        let at = usize::from(line.contains("tcp://"));
        let port = line.split("127.0.0.1:").nth(1).unwrap();
        let port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        ports[at] = port.parse().unwrap();
    }
    let [ws_port, tcp_port] = ports;
    for at in 0..3 {
        // The caller waits for its answer until somebody has come to the other side.
        let mut right = Tcp::connect(tcp_port);
        let mut left = Ws::connect(ws_port);
        let word = format!("session {at}");
        left.binary(word.as_bytes());
        assert_eq!(right.read(word.len()), word.as_bytes());
        right.send(&word);
        assert_eq!(left.next(), Frame::Binary(word.into_bytes()));
        // The session stays open while the next one is made.
        std::mem::forget((left, right));
    }
}

// ---- what is printed

#[test]
fn messages_as_json_are_json_lines() {
    let words = ["--log-format", "json", "-v", "ws-l:0", "echo:"];
    let running = spawn(&words);
    let line = running.line("listening on ");
    let port = line.split("127.0.0.1:").nth(1).unwrap();
    let port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    let port: u16 = port.parse().unwrap();
    let mut ws = Ws::ask(port, "/%22quoted%22%5C%1B", &[]);
    ws.text("hi").close(4000, "a \"quoted\"\n\u{1b}[31m reason");
    ws.messages();
    running.line("closed");
    assert_eq!(changed(port, &[("Origin", "http://e\"vil\\.test")]), 403);
    exchange(port, b"\x01garbage\r\n\r\n");
    let mut running = running;
    running.signal(Signal::TERM);
    let done = running.finish();
    assert!(done.stderr.lines().count() >= 3, "{}", done.stderr);
    assert_is_printable(&done.stderr);
    let mut python = Command::new("python3")
        .args([
            "-c",
            "import json,sys\nfor l in sys.stdin: assert isinstance(json.loads(l), dict)",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    python
        .stdin
        .take()
        .unwrap()
        .write_all(done.stderr.as_bytes())
        .unwrap();
    assert!(python.wait().unwrap().success(), "{}", done.stderr);
}

#[test]
fn quiet_prints_nothing() {
    let port = free_port();
    let mut running = spawn(&["-q", &format!("ws-l:{port}"), "echo:"]);
    // There is no line to wait for.
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline && !running.has_ended());
    }
    let mut ws = Ws::connect(port);
    assert_eq!(ws.text("hi").next(), Frame::text("hi"));
    ws.close(1000, "");
    ws.messages();
    assert_eq!(changed(port, &[("Origin", "http://evil.test")]), 403);
    running.signal(Signal::TERM);
    let done = running.finish();
    assert_eq!((done.text(), done.stderr.as_str()), ("", ""));
    // An error is no chatter.
    let (_socket, port) = refusing_port();
    let done = run(&["-q", &format!("ws://127.0.0.1:{port}")], "");
    assert!(
        done.status == 7 && done.stderr.contains("refused"),
        "{}",
        done.stderr
    );
}

#[test]
fn credentials_are_never_printed() {
    let secrets = [
        "-H",
        "Authorization: Bearer s3cr3t-token",
        "-H",
        "Cookie: id=s3cr3t-cookie",
    ];
    let url = |port: u16| format!("ws://127.0.0.1:{port}");
    for answer in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "garbage\r\n\r\n",
        "",
    ] {
        for format in ["text", "json"] {
            let (port, server) = answering(answer);
            let own = url(port);
            let words = ["-vvv", "--log-format", format, &own];
            let words: Vec<_> = secrets.iter().copied().chain(words).collect();
            let done = run(&words, "");
            assert!(server.join().unwrap().contains("s3cr3t-token"));
            assert!(!done.stderr.contains("s3cr3t"), "{}", done.stderr);
        }
    }
    // A session that works, and a caller who sends its own through a bridge.
    let inner = Bridge::start(&["-vvv", "ws-l:0", "echo:"]);
    let own = url(inner.port);
    let words: Vec<_> = secrets
        .iter()
        .copied()
        .chain(["-vvv", "ws-l:0", &own])
        .collect();
    let outer = Bridge::start(&words);
    let mut ws = Ws::ask(
        outer.port,
        "/?token=s3cr3t-query",
        &[("Authorization", "Bearer s3cr3t-caller")],
    );
    assert_eq!(ws.text("hi").next(), Frame::text("hi"));
    ws.close(1000, "");
    ws.messages();
    inner.closed();
    outer.closed();
    for done in [outer.stop(), inner.stop()] {
        assert!(!done.stderr.contains("s3cr3t"), "{}", done.stderr);
    }
    // The query of a target is often a credential: it is for the target alone, not for a caller or the log.
    let (_socket, port) = refusing_port();
    let target = format!("{}/?token=s3cr3t-query", url(port));
    let done = run(&["-vvv", &target], "");
    assert!(!done.stderr.contains("s3cr3t"), "{}", done.stderr);
    let bridge = Bridge::start(&["-vvv", "ws-l:0", &target]);
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", &[])).unwrap();
    assert!(!answer.body.contains("s3cr3t"), "{answer:?}");
    let done = bridge.stop();
    assert!(!done.stderr.contains("s3cr3t"), "{}", done.stderr);
    // A header that is refused is not repeated either.
    let done = run(
        &[
            "-H",
            "Authorization: Bearer s3cr3t\u{1}",
            "ws://127.0.0.1:1",
        ],
        "",
    );
    assert_eq!(done.status, 2, "{}", done.stderr);
}

#[track_caller]
fn assert_is_printable(text: &str) {
    let bad = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(bad, None, "{text:?}");
}

#[test]
fn control_bytes_of_a_caller_never_reach_stderr() {
    let bridge = Bridge::start(&["-vvv", "--path", "/only", "ws-l:0", "echo:"]);
    let port = bridge.port;
    // ESC, BEL, DEL, CR, C1 in UTF-8 and alone, and a line of its own that looks like ours.
    let nasty = [
        &b"\x1b[31mred"[..],
        b"\x07",
        b"\x7f",
        b"\xc2\x9b31m",
        b"\x9b31m",
        b"%0a%1b",
        b"a\rwsbridge: forged",
        b"a\x0b\x0c",
    ];
    for bytes in nasty {
        for (before, after) in [
            ("GET /", " HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: ", "\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: ", ".test\r\n\r\n"),
            (
                "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://",
                "\r\n\r\n",
            ),
            ("GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: ", "\r\n\r\n"),
            ("", " / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ] {
            let mut request = before.as_bytes().to_vec();
            request.extend_from_slice(bytes);
            request.extend_from_slice(after.as_bytes());
            if let Some(answer) = exchange(port, request) {
                assert!(answer.status >= 400, "{answer:?}");
            }
        }
    }
    let mut ws = Ws::ask(port, "/only", &[]);
    ws.close(4000, "a\u{1b}[31m\u{9b}\nwsbridge: forged");
    ws.messages();
    bridge.closed();
    let done = bridge.stop();
    assert_is_printable(&done.stderr);
    assert!(
        done.stderr
            .lines()
            .all(|line| line.starts_with("wsbridge: ")),
        "{}",
        done.stderr
    );
    let is_forged = |line: &str| line.starts_with("wsbridge: forged");
    assert!(!done.stderr.lines().any(is_forged), "{}", done.stderr);
}

#[test]
fn control_bytes_of_a_server_never_reach_stderr() {
    for answer in [
        &b"HTTP/1.1 404 \x1b[31mred\x07\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.1 404 \xc2\x9b31m\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 No\r\nContent-Length: 18\r\n\r\n\x1b[31mred\x07\x7f\xc2\x9b\x9b\r\x0b\n",
        b"HTTP/1.1 404 No\r\nLocation: \xc2\x9b31m\r\nContent-Length: 0\r\n\r\n",
        b"\x1b[31m\r\n\r\n",
        b"HTTP/1.1 101 \x1b\r\nUpgrade: \x1b[31m\r\n\r\n",
    ] {
        let (port, server) = answering(answer);
        let done = run(&["-vvv", &format!("ws://127.0.0.1:{port}")], "");
        server.join().unwrap();
        assert!(
            [8, 22].contains(&done.status),
            "{} {}",
            done.status,
            done.stderr
        );
        assert_is_printable(&done.stderr);
    }
    for more in [
        "Sec-WebSocket-Extensions: \u{9b}31m\r\n",
        "Sec-WebSocket-Protocol: \u{9b}31m\r\n",
    ] {
        let (_, stderr, _) = opened_with(&["-vvv"], more);
        assert_is_printable(&stderr);
    }
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let mut ws = Ws::accept(&listener);
        ws.close(4000, "a\u{1b}[31m\u{9b}\nwsbridge: forged");
        ws.messages()
    });
    let done = run(&["-vvv", "-", &format!("ws://127.0.0.1:{port}")], "");
    server.join().unwrap();
    assert_eq!(done.status, 111, "{}", done.stderr);
    assert_is_printable(&done.stderr);
    assert!(
        !done.stderr.contains("\nwsbridge: forged"),
        "{}",
        done.stderr
    );
    // The reason of a refusal that is passed on stays one line for the next.
    let (port, server) = answering("HTTP/1.1 404 No\r\nContent-Length: 10\r\n\r\na\r\n\r\nb: c\n");
    let bridge = Bridge::start(&["ws-l:0", &format!("ws://127.0.0.1:{port}")]);
    let answer = exchange(bridge.port, upgrade(bridge.port, "/", &[])).unwrap();
    server.join().unwrap();
    assert_eq!(answer.status, 502);
    assert!(!answer.line().chars().any(char::is_control), "{answer:?}");
}
