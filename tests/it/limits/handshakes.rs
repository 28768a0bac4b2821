//! Callers that never finish their handshake: they keep nobody out and are ended.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::raise_own_descriptors;
use crate::support::{Bridge, Frame, PATIENCE, Tcp};

/// Whether the other side has ended the connection; what it says before is read.
#[track_caller]
fn wait_for_end(stream: &mut TcpStream) {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("it is still open: {error}"),
        }
    }
}

#[track_caller]
fn half_sent_handshakes(words: &[&str], deadline: Duration) {
    raise_own_descriptors();
    let bridge = Bridge::start(words);
    let begun = Instant::now();
    let mut half: Vec<_> = (0..1000)
        .map(|at| {
            let mut tcp = Tcp::connect(bridge.port);
            let head = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n";
            // Cut at every place.
            tcp.send(&head[..1 + at % (head.len() - 1)]);
            if at % 100 == 0 {
                let mut ws = bridge.client();
                assert_eq!(ws.text("meanwhile").next(), Frame::text("meanwhile"));
            }
            tcp
        })
        .collect();
    let mut ws = bridge.client();
    assert_eq!(ws.text("after").next(), Frame::text("after"));
    for tcp in &mut half {
        wait_for_end(&mut tcp.0);
    }
    // The last ones can only have been ended by their deadline.
    assert!(begun.elapsed() >= deadline);
    assert!(begun.elapsed() < deadline + PATIENCE);
    assert_eq!(ws.text("still").next(), Frame::text("still"));
}

#[test]
fn a_thousand_half_sent_handshakes_keep_nobody_out_and_are_ended() {
    half_sent_handshakes(
        &["--handshake-timeout", "2s", "ws-l:0", "echo:"],
        Duration::from_secs(2),
    );
}

#[test]
#[ignore = "long"]
fn a_thousand_half_sent_handshakes_are_ended_by_the_default_deadline() {
    half_sent_handshakes(&["ws-l:0", "echo:"], Duration::from_secs(10));
}

#[test]
fn a_caller_that_never_takes_its_refusal_is_ended() {
    let bridge = Bridge::start(&["--path", "/only", "ws-l:0", "echo:"]);
    let mut tcp = Tcp::connect(bridge.port);
    tcp.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // It goes on sending and keeps its own direction open.
    tcp.0
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let begun = Instant::now();
    while tcp.0.write_all(b"more").is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it is still listened to");
        let _ = tcp.0.read(&mut [0; 512]).map(|count| assert!(count < 512));
        thread::sleep(Duration::from_millis(1));
    }
}
