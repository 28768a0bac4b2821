//! The opening handshake in both roles, who may connect, what the listening side binds, and what the program prints of it.

mod client;
mod command_line;
mod gates;
mod heads;
mod listeners;
mod logs;
mod origin;
mod pages;
mod relay;
mod subprotocols;
mod targets;
mod unix;
mod upgrade;
mod wire;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::support::{Bridge, Tcp, frame_bytes, run};

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
pub fn refusing_port() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

pub fn listener() -> (TcpListener, u16) {
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

pub fn read_head(stream: &mut TcpStream) -> String {
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
pub fn headers<'a>(request: &'a str, name: &str) -> Vec<&'a str> {
    let lines = request.lines().filter_map(|line| line.split_once(':'));
    let named = lines.filter(|(other, _)| other.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.trim()).collect()
}

pub fn answer_101(request: &str, more: &str) -> String {
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

#[track_caller]
fn assert_is_printable(text: &str) {
    let bad = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(bad, None, "{text:?}");
}
