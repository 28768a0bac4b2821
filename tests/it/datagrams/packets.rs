//! `unix-dgram:`, `seqpacket:` and `seqpacket-l:`, over sockets of another implementation (socket2).

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::thread;

use socket2::{Domain, SockAddr, Socket, Type};

use super::{message, mixed};
use crate::support::{Bridge, Frame, PATIENCE, Ws, run};

fn normal() -> Frame {
    Frame::Close(1000, String::new())
}

fn seqpacket() -> Socket {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A server of packets, its folder and its address.
fn server() -> (Socket, tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let socket = seqpacket();
    socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(8).unwrap();
    (socket, folder, format!("seqpacket:{}", path.display()))
}

/// The longest packet: what the system says of its buffer, less what it keeps for itself.
fn longest() -> usize {
    seqpacket().send_buffer_size().unwrap() - 32
}

fn packet(mut socket: &Socket) -> Vec<u8> {
    let mut buf = vec![0; 1_000_000];
    let len = socket.read(&mut buf).unwrap();
    buf.truncate(len);
    buf
}

#[test]
fn packets_keep_their_boundaries_both_ways() {
    let (server, _folder, place) = server();
    let bridge = Bridge::start(&["ws-l:0", &place]);
    let mut ws = bridge.client();
    let (peer, _) = server.accept().unwrap();
    for payload in mixed(60, longest()) {
        let (first, rest) = payload.split_at(payload.len() / 3);
        ws.frame(0x02, first).frame(0x80, rest);
        assert!(packet(&peer) == payload, "another one came");
        peer.send(&payload).unwrap();
        assert!(
            message(&mut ws) == Frame::Binary(payload),
            "another one came back"
        );
    }
    // An empty packet is a message; only the end is an end, though the same read tells of both.
    peer.send(b"").unwrap();
    peer.send(b"last").unwrap();
    peer.send(b"").unwrap();
    drop(peer);
    let empty = || Frame::Binary(vec![]);
    let got = [(); 4].map(|()| message(&mut ws));
    assert_eq!(
        got,
        [empty(), Frame::Binary(b"last".to_vec()), empty(), normal()]
    );
}

#[test]
fn a_packet_over_what_the_socket_takes_is_told_the_limit() {
    let (server, _folder, place) = server();
    // The caller does not answer a Close.
    let bridge = Bridge::start(&["ws-l:0", &place, "--close-timeout", "300ms"]);
    let mut ws = bridge.client();
    let (peer, _) = server.accept().unwrap();
    ws.binary(b"before").binary(&vec![7; longest() + 1]);
    let why = format!("over {} bytes", longest());
    assert_eq!(message(&mut ws), Frame::Close(1009, why));
    assert_eq!((packet(&peer), packet(&peer)), (b"before".to_vec(), vec![]));
}

#[test]
fn no_close_waits_for_the_answers_to_packets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("listener");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let left = format!("seqpacket-l:{}", path.display());
    let url = format!("ws://127.0.0.1:{port}");
    let mut bridge = Bridge::start(&["--once", "-n", &left, &url]);
    let client = seqpacket();
    client.connect(&SockAddr::unix(&path).unwrap()).unwrap();
    client.send(b"question").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut server = Ws::accept(&listener);
    assert_eq!(server.next(), Frame::Binary(b"question".to_vec()));
    server.frame(0x89, b"still open");
    assert_eq!(server.next(), Frame::Pong(b"still open".to_vec()));
    server.binary(b"answer").close(1000, "");
    assert_eq!(packet(&client), b"answer");
    assert_eq!(packet(&client), b"");
    assert_eq!(server.next(), normal());
    server.fin();
    assert_eq!(bridge.running.wait(), 0);
}

#[test]
fn a_listener_serves_packets_and_half_closes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("listener");
    let place = format!("seqpacket-l:{}", path.display());
    let bridge = Bridge::start(&[&place, "echo:", "--threads", "3"]);
    assert!(bridge.place.starts_with("seqpacket:"), "{}", bridge.place);
    let clients: Vec<_> = (0..4).map(|_| seqpacket()).collect();
    for client in &clients {
        client.connect(&SockAddr::unix(&path).unwrap()).unwrap();
        for payload in [&b"one"[..], b"", &[7; 100_000]] {
            client.send(payload).unwrap();
            assert_eq!(packet(client), payload);
        }
    }
    for client in &clients {
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(packet(client), b"");
    }
    let line = bridge.closed();
    assert!(
        line.contains("left=eof right=eof ") && line.contains("caller=unix pid "),
        "{line}"
    );
    // It is ours, and gone when we are; a stale one is replaced.
    assert_eq!(bridge.stop().status, 0);
    assert!(!path.exists());
    seqpacket().bind(&SockAddr::unix(&path).unwrap()).unwrap();
    drop(Bridge::start(&[&place, "echo:"]));
}

#[test]
fn nobody_there_is_named() {
    let done = run(&["-", "seqpacket:/nowhere/at/all"], "");
    let reason = "connecting to seqpacket:/nowhere/at/all: no such file or directory";
    assert!(
        done.status == 7 && done.stderr.contains(reason),
        "{}",
        done.stderr
    );
    let done = run(&["-", "unix-dgram:@wsbridge-nobody"], "");
    assert!(
        done.status == 7 && done.stderr.contains("connection refused"),
        "{}",
        done.stderr
    );
}

#[test]
fn unix_datagrams_are_answered_at_a_name_that_the_system_chose() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("datagrams");
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let place = format!("unix-dgram:{}", path.display());
    let bridge = Bridge::start(&["ws-l:0", &place, "--linger", "0"]);
    let mut ws = bridge.client();
    let mut buf = vec![0; 300_000];
    for payload in mixed(30, 150_000) {
        ws.binary(&payload);
        let (len, from) = server.recv_from(&mut buf).unwrap();
        assert!(buf[..len] == payload, "another one came");
        server.send_to_addr(&payload, &from).unwrap();
        assert!(
            message(&mut ws) == Frame::Binary(payload),
            "another one came back"
        );
    }
    ws.close(1000, "");
    assert_eq!(message(&mut ws), normal());
    // A question and its answer, and the end when no more come.
    let answering = thread::spawn(move || {
        let (len, from) = server.recv_from(&mut buf).unwrap();
        server.send_to_addr(b"answer", &from).unwrap();
        buf[..len].to_vec()
    });
    let done = run(&["-", &place], "question\n");
    assert_eq!(answering.join().unwrap(), b"question");
    assert_eq!((done.status, done.text()), (0, "answer"), "{}", done.stderr);
}
