//! Who is let in: whole requests are served however many wait, and one address keeps out no other.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;

use rustix::process::Signal;

use super::raise_own_descriptors;
use crate::support::{Bridge, Frame, Tcp, Ws, connect_from, spawn_under};

const NEAR: [u8; 4] = [127, 0, 0, 1];
const ATTACKER: [u8; 4] = [127, 0, 0, 2];

/// A whole request.
fn request(port: u16) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// The status of the answer, or how the connection ended instead.
fn status(stream: &mut TcpStream) -> String {
    let mut head = [0; 12];
    match stream.read_exact(&mut head) {
        Ok(()) => String::from_utf8_lossy(&head[9..]).into_owned(),
        Err(error) => error.kind().to_string(),
    }
}

/// A stopped program accepts no one: what its callers send waits with them.
#[test]
fn whole_requests_that_waited_in_the_backlog_are_all_served() {
    raise_own_descriptors();
    for threads in ["1", "2"] {
        let bridge = Bridge::start(&["--threads", threads, "ws-l:0", "echo:"]);
        bridge.running.signal(Signal::STOP);
        let mut callers: Vec<_> = (0..1000)
            .map(|_| {
                let mut tcp = Tcp::connect(bridge.port);
                tcp.send(request(bridge.port));
                tcp.0
            })
            .collect();
        bridge.running.signal(Signal::CONT);
        for (at, caller) in callers.iter_mut().enumerate() {
            assert_eq!(status(caller), "101", "caller {at}");
        }
    }
}

/// They hold their places until they are taken away from them.
#[test]
fn bare_connections_of_one_address_keep_out_no_caller_of_another() {
    raise_own_descriptors();
    for words in [
        &["--max-handshakes", "64", "ws-l:0", "echo:"][..],
        &[
            "--max-handshakes",
            "64",
            "--threads",
            "1",
            "ws-l:0",
            "echo:",
        ],
        &["--max-handshakes", "64", "ws-u:tcp-l:0", "echo:"],
    ] {
        let bridge = Bridge::start(words);
        let mut far = connect_from(NEAR, bridge.port);
        far.write_all(b"GET / HT").unwrap();
        let mut bare = Vec::new();
        for _ in 0..5 {
            bare.extend((0..100).map(|_| connect_from(ATTACKER, bridge.port)));
            // A whole request takes no place; its answer shows that those before it were accepted.
            let mut whole = bridge.client();
            assert_eq!(whole.text("whole").next(), Frame::text("whole"));
        }
        let first = bare[0].read(&mut [0; 1]);
        assert_eq!(first.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let rest = request(bridge.port);
        far.write_all(&rest.as_bytes()["GET / HT".len()..]).unwrap();
        assert_eq!(status(&mut far), "101", "{words:?}");
    }
}

#[test]
fn callers_for_whom_there_is_no_descriptor_are_served_as_seats_come_free() {
    raise_own_descriptors();
    for target in ["echo:", "sh-c:cat"] {
        let bridge = Bridge::of(spawn_under("ulimit -n 64", &["ws-l:0", target]));
        let port = bridge.port;
        let callers: Vec<_> = (0..150)
            .map(|_| {
                thread::spawn(move || {
                    let mut ws = Ws::ask(port, "/", &[]);
                    assert!(ws.head.starts_with("HTTP/1.1 101 "), "{}", ws.head);
                    assert_eq!(ws.text("in").heard(), Frame::text("in"));
                    ws.close(1000, "");
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
    }
}
