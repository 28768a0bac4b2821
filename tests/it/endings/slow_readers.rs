//! 8 MiB are on their way when the end comes, and the reader is slow: it gets every byte, and only then the end.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{
    Row, assert_same, each, once, pattern, status, stdio_to_ws, tcp_to_tcp, tcp_to_ws,
    tcp_to_ws_to_tcp, ws_to_tcp, ws_to_ws,
};
use crate::support::{Frame, Tcp, TcpEnd, Ws};

const LEN: usize = 8 << 20;
/// How long a slow reader pauses before it takes up to 256 KiB. The pauses are what is tested.
const PAUSE: Duration = Duration::from_millis(10);

/// How a WebSocket ends behind the bytes, with what a TCP reader then sees, the code across, and the exit status.
type Way = (&'static str, TcpEnd, u16, i32);
const WAYS: &[Way] = &[
    ("1000", TcpEnd::Eof, 1000, 0),
    ("4001", TcpEnd::Eof, 4001, 111),
    ("1011", TcpEnd::Reset, 1011, 110),
    ("FIN", TcpEnd::Reset, 1011, 56),
];

/// Sends all the bytes and ends. A thread does it, since it takes as long as the reader.
fn send(mut ws: Ws, bytes: &[u8], end: &str) -> thread::JoinHandle<Ws> {
    let bytes = bytes.to_vec();
    let end = end.to_owned();
    thread::spawn(move || {
        for chunk in bytes.chunks(100_000) {
            ws.binary(chunk);
        }
        match end.as_str() {
            "FIN" => ws.fin(),
            code => ws.close(code.parse().unwrap(), ""),
        };
        ws
    })
}

fn send_tcp(mut tcp: Tcp, bytes: &[u8]) -> thread::JoinHandle<Tcp> {
    let bytes = bytes.to_vec();
    thread::spawn(move || {
        tcp.send(&bytes).fin();
        tcp
    })
}

/// Makes a reader's window small, so that what it has not read is with the bridge and not with the kernel.
fn narrow(stream: &TcpStream) {
    SockRef::from(stream)
        .set_recv_buffer_size(16 * 1024)
        .unwrap();
}

fn read_slowly(from: impl Read) -> (Vec<u8>, TcpEnd) {
    read_slowly_with(from, PAUSE)
}

fn read_slowly_with(mut from: impl Read, pause: Duration) -> (Vec<u8>, TcpEnd) {
    let mut bytes = Vec::new();
    let mut buf = vec![0; 256 * 1024];
    loop {
        thread::sleep(pause);
        match from.read(&mut buf) {
            Ok(0) => return (bytes, TcpEnd::Eof),
            Ok(count) => bytes.extend_from_slice(&buf[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                return (bytes, TcpEnd::Reset);
            }
            Err(error) => panic!("{error} after {} bytes", bytes.len()),
        }
    }
}

/// The payload up to the Close, or to the end of the connection.
fn read_frames_slowly(ws: &mut Ws, pause: Duration) -> (Vec<u8>, Frame) {
    let mut bytes = Vec::new();
    loop {
        thread::sleep(pause);
        match ws.next() {
            Frame::Binary(payload) | Frame::Text(payload) | Frame::Piece(_, _, payload) => {
                bytes.extend(payload);
            }
            Frame::Ping(_) | Frame::Pong(_) => {}
            end => return (bytes, end),
        }
    }
}

#[test]
fn a_slow_backend_gets_all_of_a_client_before_its_end() {
    each(WAYS, |(how, tcp, _, exit)| {
        let sent = pattern(LEN);
        let (bridge, client, backend) = ws_to_tcp(&[]);
        let client = send(client, &sent, how);
        let (bytes, end) = read_slowly(&backend.0);
        assert_same(&bytes, &sent);
        assert_eq!(end, *tcp);
        drop(backend);
        drop(client.join().unwrap());
        assert_eq!(status(bridge), *exit);
    });
}

#[test]
fn a_slow_backend_with_a_small_window_gets_all_before_the_reset() {
    let sent = pattern(1 << 20);
    let (bridge, client, backend) = ws_to_tcp(&[]);
    narrow(&backend.0);
    let client = send(client, &sent, "1011");
    // All that fits is with the bridge and its kernel by then, the Close perhaps too.
    thread::sleep(Duration::from_millis(500));
    let (bytes, end) = read_slowly(&backend.0);
    assert_same(&bytes, &sent);
    assert_eq!(end, TcpEnd::Reset);
    drop(client.join().unwrap());
    assert_eq!(status(bridge), 110);
}

#[test]
fn a_slow_tcp_client_gets_all_of_a_server_before_its_end() {
    each(WAYS, |(how, tcp, _, exit)| {
        let sent = pattern(LEN);
        let (bridge, client, server) = tcp_to_ws(&[]);
        let server = send(server, &sent, how);
        let (bytes, end) = read_slowly(&client.0);
        assert_same(&bytes, &sent);
        assert_eq!(end, *tcp);
        drop(client);
        drop(server.join().unwrap());
        assert_eq!(status(bridge), *exit);
    });
}

#[test]
fn a_slow_stdout_gets_all_of_a_server_before_the_exit() {
    each(WAYS, |(how, _, _, exit)| {
        let sent = pattern(LEN);
        let (mut running, server) = stdio_to_ws(&[]);
        let server = send(server, &sent, how);
        let (bytes, _) = read_slowly(running.stdout());
        assert_same(&bytes, &sent);
        drop(server.join().unwrap());
        assert_eq!(running.wait(), *exit);
    });
}

#[test]
fn a_slow_server_gets_all_of_a_client_before_its_end() {
    each(WAYS, |(how, _, across, exit)| {
        let sent = pattern(LEN);
        let (bridge, client, mut server) = ws_to_ws(&[]);
        let client = send(client, &sent, how);
        let (bytes, end) = read_frames_slowly(&mut server, PAUSE);
        assert_same(&bytes, &sent);
        assert!(
            matches!(end, Frame::Close(code, _) if code == *across),
            "{end:?}"
        );
        server.answer_close(*across);
        drop(client.join().unwrap());
        assert_eq!(status(bridge), *exit);
    });
}

#[test]
fn a_slow_client_gets_all_of_a_server_before_its_end() {
    each(WAYS, |(how, _, across, exit)| {
        let sent = pattern(LEN);
        let (bridge, mut client, server) = ws_to_ws(&[]);
        let server = send(server, &sent, how);
        let (bytes, end) = read_frames_slowly(&mut client, PAUSE);
        assert_same(&bytes, &sent);
        assert!(
            matches!(end, Frame::Close(code, _) if code == *across),
            "{end:?}"
        );
        client.close(*across, "");
        drop(server.join().unwrap());
        assert_eq!(status(bridge), *exit);
    });
}

#[test]
fn a_slow_client_gets_all_of_a_backend_before_the_close() {
    let sent = pattern(LEN);
    let (bridge, mut client, backend) = ws_to_tcp(&[]);
    let backend = send_tcp(backend, &sent);
    let (bytes, end) = read_frames_slowly(&mut client, PAUSE);
    assert_same(&bytes, &sent);
    assert_eq!(end, Frame::Close(1000, String::new()));
    client.close(1000, "");
    assert_eq!(backend.join().unwrap().rest(), (vec![], TcpEnd::Eof));
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_slow_server_gets_all_of_a_tcp_client_before_the_close() {
    let sent = pattern(LEN);
    let (bridge, client, mut server) = tcp_to_ws(&[]);
    let client = send_tcp(client, &sent);
    let (bytes, end) = read_frames_slowly(&mut server, PAUSE);
    assert_same(&bytes, &sent);
    assert_eq!(end, Frame::Close(1000, String::new()));
    server.answer_close(1000);
    assert_eq!(client.join().unwrap().rest(), (vec![], TcpEnd::Eof));
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_slow_server_gets_all_of_stdin_before_the_close() {
    let sent = pattern(LEN);
    let (mut running, mut server) = stdio_to_ws(&["-b", "--linger", "0"]);
    let mut stdin = running.stdin();
    let input = sent.clone();
    let writer = thread::spawn(move || stdin.write_all(&input).unwrap());
    let (bytes, end) = read_frames_slowly(&mut server, PAUSE);
    assert_same(&bytes, &sent);
    assert_eq!(end, Frame::Close(1000, String::new()));
    writer.join().unwrap();
    server.answer_close(1000);
    assert_eq!(running.wait(), 0);
}

#[test]
fn a_slow_tcp_peer_gets_all_of_the_other_before_its_end() {
    let sent = pattern(LEN);
    let (bridge, client, mut backend) = tcp_to_tcp(&[]);
    let client = send_tcp(client, &sent);
    let (bytes, end) = read_slowly(&backend.0);
    assert_same(&bytes, &sent);
    assert_eq!(end, TcpEnd::Eof);
    backend.fin();
    assert_eq!(client.join().unwrap().rest(), (vec![], TcpEnd::Eof));
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_slow_client_of_two_bridges_gets_all_of_the_backend() {
    let sent = pattern(LEN);
    let Row {
        near,
        far,
        mut client,
        backend,
    } = tcp_to_ws_to_tcp(&[]);
    let backend = send_tcp(backend, &sent);
    let (bytes, end) = read_slowly(&client.0);
    assert_same(&bytes, &sent);
    assert_eq!(end, TcpEnd::Eof);
    client.fin();
    assert_eq!(backend.join().unwrap().rest(), (vec![], TcpEnd::Eof));
    assert_eq!((status(near), status(far)), (0, 0));
}

#[test]
fn a_slow_client_gets_all_that_was_read_from_a_backend_that_reset() {
    let sent = pattern(LEN);
    let (bridge, mut client, mut backend) = ws_to_tcp(&[]);
    let input = sent.clone();
    let writer = thread::spawn(move || {
        backend.send(&input);
        // What its kernel has not sent yet is lost with it.
        backend.reset();
    });
    let (bytes, end) = read_frames_slowly(&mut client, PAUSE);
    writer.join().unwrap();
    assert_same(&bytes, &sent[..bytes.len()]);
    assert!(matches!(end, Frame::Close(1011, _)), "{end:?}");
    client.close(1011, "");
    let line = bridge.closed();
    assert!(
        line.contains(&format!(" bytes_left={} ", bytes.len())),
        "{} in {line}",
        bytes.len()
    );
    assert_eq!(status(bridge), 56);
}

#[test]
fn an_echo_gives_a_slow_client_all_before_the_end() {
    let sent = pattern(LEN);
    let bridge = once("tcp-l:0", "echo:", &[]);
    let client = Tcp::connect(bridge.port);
    let reader = client.0.try_clone().unwrap();
    let writer = send_tcp(client, &sent);
    let (bytes, end) = read_slowly(reader);
    assert_same(&bytes, &sent);
    assert_eq!(end, TcpEnd::Eof);
    drop(writer.join().unwrap());
    assert_eq!(status(bridge), 0);
}

/// A reader that needs longer than the deadline for all of it, and less for each piece.
#[test]
fn a_slow_client_that_takes_something_is_not_given_up() {
    let sent = pattern(LEN);
    let (bridge, mut client, backend) = ws_to_tcp(&["--close-timeout", "500ms"]);
    narrow(&client.stream);
    let backend = send_tcp(backend, &sent);
    let begun = Instant::now();
    let (bytes, end) = read_frames_slowly(&mut client, Duration::from_millis(60));
    assert_same(&bytes, &sent);
    assert_eq!(end, Frame::Close(1000, String::new()));
    assert!(begun.elapsed() > Duration::from_millis(500));
    client.close(1000, "");
    assert_eq!(backend.join().unwrap().rest(), (vec![], TcpEnd::Eof));
    assert_eq!(status(bridge), 0);
}

/// The same for a backend, of which more than a deadline's worth is still with our kernel when the client ends.
#[test]
fn a_slow_backend_that_takes_something_is_not_given_up() {
    each(WAYS, |(how, tcp, _, exit)| {
        let sent = pattern(LEN / 4);
        let (bridge, client, backend) = ws_to_tcp(&["--close-timeout", "500ms"]);
        narrow(&backend.0);
        let client = send(client, &sent, how);
        let (bytes, end) = read_slowly_with(&backend.0, Duration::from_millis(20));
        assert_same(&bytes, &sent);
        assert_eq!(end, *tcp);
        drop(backend);
        drop(client.join().unwrap());
        assert_eq!(status(bridge), *exit);
    });
}

/// Its pong lies behind megabytes that it takes in its own time.
#[test]
fn a_slow_reader_is_not_silent() {
    let sent = pattern(LEN);
    let (bridge, mut client, backend) = ws_to_tcp(&["--ping", "500ms"]);
    narrow(&client.stream);
    let backend = send_tcp(backend, &sent);
    let (bytes, end) = read_frames_slowly(&mut client, Duration::from_millis(100));
    assert_same(&bytes, &sent);
    assert_eq!(end, Frame::Close(1000, String::new()));
    client.answer_close(1000);
    drop(backend.join().unwrap());
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_reader_that_stands_still_is_not_silent() {
    let sent = pattern(LEN);
    let (bridge, mut client, backend) = ws_to_tcp(&["--ping", "500ms"]);
    narrow(&client.stream);
    let backend = send_tcp(backend, &sent);
    // Many periods of pings: it is the time that is tested.
    thread::sleep(Duration::from_secs(5));
    let (bytes, end) = client.bytes();
    assert_same(&bytes, &sent);
    assert_eq!(end, Frame::Close(1000, String::new()));
    client.answer_close(1000);
    drop(backend.join().unwrap());
    assert_eq!(status(bridge), 0);
}
