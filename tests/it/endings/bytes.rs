//! The ways in which a byte side ends: end of file and reset, of TCP, of Unix sockets and of a literal.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};

use super::{close_code, listener, once, status, tcp_to_tcp, tcp_to_ws, ws_to_tcp};
use crate::support::{Bridge, Frame, PATIENCE, Tcp, TcpEnd, Ws};

#[test]
fn a_backend_that_ends_is_a_close_1000_to_the_client() {
    let (bridge, mut client, mut backend) = ws_to_tcp(&[]);
    backend.send("all").fin();
    assert_eq!(
        client.bytes(),
        (b"all".to_vec(), Frame::Close(1000, String::new()))
    );
    client.close(1000, "");
    assert_eq!(client.next(), Frame::Eof);
    assert_eq!(backend.rest(), (vec![], TcpEnd::Eof));
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_backend_that_resets_is_a_close_1011_to_the_client() {
    let (bridge, mut client, mut backend) = ws_to_tcp(&[]);
    backend.send("some");
    assert_eq!(client.next(), Frame::Binary(b"some".to_vec()));
    backend.reset();
    assert_eq!(close_code(&mut client), 1011);
    client.close(1011, "");
    assert_eq!(client.next(), Frame::Eof);
    assert_eq!(status(bridge), 56);
}

#[test]
fn a_tcp_client_that_ends_is_a_close_1000_to_the_server() {
    let (bridge, mut client, mut server) = tcp_to_ws(&[]);
    client.send("all").fin();
    assert_eq!(
        server.bytes(),
        (b"all".to_vec(), Frame::Close(1000, String::new()))
    );
    server.answer_close(1000);
    assert_eq!(client.rest(), (vec![], TcpEnd::Eof));
    assert_eq!(server.next(), Frame::Eof);
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_tcp_client_that_resets_is_a_close_1011_to_the_server() {
    let (bridge, mut client, mut server) = tcp_to_ws(&[]);
    client.send("some");
    assert_eq!(server.next(), Frame::Binary(b"some".to_vec()));
    client.reset();
    assert_eq!(close_code(&mut server), 1011);
    server.answer_close(1011);
    assert_eq!(status(bridge), 56);
}

#[test]
fn tcp_ends_and_resets_cross_a_bridge_between_tcp_peers() {
    let (bridge, mut client, mut backend) = tcp_to_tcp(&[]);
    client.send("question").fin();
    assert_eq!(backend.rest(), (b"question".to_vec(), TcpEnd::Eof));
    backend.send("answer").fin();
    assert_eq!(client.rest(), (b"answer".to_vec(), TcpEnd::Eof));
    assert_eq!(status(bridge), 0);

    let (bridge, mut client, mut backend) = tcp_to_tcp(&[]);
    client.send("half a question");
    assert_eq!(backend.read(15), b"half a question");
    client.reset();
    assert_eq!(backend.rest(), (vec![], TcpEnd::Reset));
    assert_eq!(status(bridge), 56);

    let (bridge, mut client, mut backend) = tcp_to_tcp(&[]);
    backend.send("half an answer");
    assert_eq!(client.read(14), b"half an answer");
    backend.reset();
    assert_eq!(client.rest(), (vec![], TcpEnd::Reset));
    assert_eq!(status(bridge), 56);
}

#[test]
fn a_reset_after_a_half_close_is_no_clean_end() {
    let (bridge, mut client, mut backend) = tcp_to_tcp(&[]);
    client.send("question").fin();
    assert_eq!(backend.rest(), (b"question".to_vec(), TcpEnd::Eof));
    backend.send("half an answer");
    assert_eq!(client.read(14), b"half an answer");
    backend.reset();
    assert_eq!(client.rest(), (vec![], TcpEnd::Reset));
    assert_eq!(status(bridge), 56);
}

fn unix_backend() -> (tempfile::TempDir, UnixListener, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let address = format!("unix:{}", path.display());
    (dir, listener, address)
}

fn accept(listener: &UnixListener) -> UnixStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn rest(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_close_half_closes_a_unix_backend_and_its_late_answer_arrives() {
    let (_dir, listener, address) = unix_backend();
    let bridge = once("ws-l:0", &address, &[]);
    let mut client = bridge.client();
    let mut backend = accept(&listener);
    client.binary(b"question").close(1000, "");
    assert_eq!(rest(&mut backend), b"question");
    backend.write_all(b"late answer").unwrap();
    drop(backend);
    assert_eq!(client.next(), Frame::Binary(b"late answer".to_vec()));
    assert_eq!(close_code(&mut client), 1000);
    assert_eq!(status(bridge), 0);
}

#[test]
fn an_abort_ends_a_unix_backend_in_both_directions_after_all_was_delivered() {
    let (_dir, listener, address) = unix_backend();
    let bridge = once("ws-l:0", &address, &[]);
    let mut client = bridge.client();
    let mut backend = accept(&listener);
    client.binary(b"some").close(1011, "oops");
    assert_eq!(rest(&mut backend), b"some");
    assert_eq!(client.next(), Frame::Close(1011, "oops".to_owned()));
    assert_eq!(status(bridge), 110);
    // Nobody is there to take an answer.
    assert!(backend.write_all(b"answer").is_err());
}

#[test]
fn a_unix_backend_that_ends_is_a_close_1000_to_the_client() {
    let (_dir, listener, address) = unix_backend();
    let bridge = once("ws-l:0", &address, &[]);
    let mut client = bridge.client();
    let mut backend = accept(&listener);
    backend.write_all(b"all").unwrap();
    drop(backend);
    assert_eq!(client.next(), Frame::Binary(b"all".to_vec()));
    assert_eq!(close_code(&mut client), 1000);
    client.close(1000, "");
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_unix_client_is_half_closed_in_both_directions_like_tcp() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let (listener, port) = listener();
    let bridge = Bridge::start(&[
        "--once",
        &format!("unix-l:{}", path.display()),
        &format!("ws://127.0.0.1:{port}"),
    ]);
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut server = Ws::accept(&listener);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        server.bytes(),
        (b"question".to_vec(), Frame::Close(1000, String::new()))
    );
    server.binary(b"late answer").answer_close(1000);
    assert_eq!(rest(&mut client), b"late answer");
    assert_eq!(status(bridge), 0);
    assert!(!path.exists(), "the socket is removed at the end");
}

#[test]
fn a_literal_is_said_and_then_the_session_ends() {
    let bridge = once("ws-l:0", "literal:hello", &[]);
    let mut client = bridge.client();
    assert_eq!(client.next(), Frame::text("hello"));
    assert_eq!(close_code(&mut client), 1000);
    client.close(1000, "");
    assert_eq!(client.next(), Frame::Eof);
    assert_eq!(status(bridge), 0);

    let bridge = once("tcp-l:0", "literal:hello", &[]);
    let mut client = Tcp::connect(bridge.port);
    assert_eq!(client.rest(), (b"hello".to_vec(), TcpEnd::Eof));
    client.fin();
    assert_eq!(status(bridge), 0);
}

#[test]
fn an_echo_gives_back_all_and_then_the_end() {
    let bridge = once("tcp-l:0", "echo:", &[]);
    let mut client = Tcp::connect(bridge.port);
    client.send("again").fin();
    assert_eq!(client.rest(), (b"again".to_vec(), TcpEnd::Eof));
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_null_takes_all_and_ends_with_its_caller() {
    let bridge = once("tcp-l:0", "null:", &[]);
    let mut client = Tcp::connect(bridge.port);
    client.send("gone").fin();
    assert_eq!(client.rest(), (vec![], TcpEnd::Eof));
    assert_eq!(status(bridge), 0);
}
