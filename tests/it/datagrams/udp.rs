//! `udp:` and `udp-l:`.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{message, mixed, socket};
use crate::support::{Bridge, Frame, PATIENCE, Ws, run, spawn};

/// The longest datagram over IPv4.
const LONGEST: usize = 65_507;

/// A socket that gives back every datagram until it gets `stop`; its port.
fn echo() -> (u16, thread::JoinHandle<usize>) {
    let socket = socket();
    let port = socket.local_addr().unwrap().port();
    let task = thread::spawn(move || {
        let mut buf = vec![0; 65_536];
        let mut count = 0;
        loop {
            let (len, from) = socket.recv_from(&mut buf).unwrap();
            if &buf[..len] == b"stop" {
                return count;
            }
            socket.send_to(&buf[..len], from).unwrap();
            count += 1;
        }
    });
    (port, task)
}

fn bridge_to(port: u16, words: &[&str]) -> Bridge {
    let target = format!("udp:127.0.0.1:{port}");
    let words: Vec<_> = words.iter().copied().chain(["ws-l:0", &target]).collect();
    Bridge::start(&words)
}

#[test]
fn a_thousand_messages_of_all_lengths_are_a_thousand_datagrams() {
    let (port, echo) = echo();
    let bridge = bridge_to(port, &["--linger", "0"]);
    let mut ws = bridge.client();
    for (number, payload) in mixed(1000, LONGEST).enumerate() {
        // Every third message comes in three frames.
        if number % 3 == 0 {
            let (first, rest) = payload.split_at(payload.len() / 2);
            ws.frame(0x02, first).frame(0x00, b"").frame(0x80, rest);
        } else {
            ws.binary(&payload);
        }
        // One at a time: of UDP nobody promises that a flood arrives.
        assert!(
            message(&mut ws) == Frame::Binary(payload),
            "message {number} is another one"
        );
    }
    ws.binary(b"stop").close(1000, "");
    assert_eq!(echo.join().unwrap(), 1000);
    assert_eq!(message(&mut ws), Frame::Close(1000, String::new()));
}

#[test]
fn too_long_a_message_is_told_the_limit_and_never_cut() {
    let target = socket();
    let place = format!("udp:{}", target.local_addr().unwrap());
    // These callers do not answer a Close.
    let bridge = Bridge::start(&["ws-l:0", &place, "--close-timeout", "300ms"]);
    let why = Frame::Close(1009, "over 65507 bytes".to_owned());
    let mut ws = bridge.client();
    ws.binary(b"before").binary(&vec![7; LONGEST + 1]);
    assert_eq!(message(&mut ws), why);
    // In pieces, of which each would fit.
    let mut ws = bridge.client();
    ws.frame(0x02, &vec![7; LONGEST]).frame(0x80, b"x");
    assert_eq!(message(&mut ws), why);
    let line = bridge.closed();
    assert!(
        line.contains("message over the limit of 65507 bytes"),
        "{line}"
    );
    let mut buf = vec![0; 65_536];
    assert_eq!(target.recv(&mut buf).unwrap(), b"before".len());
    target.set_nonblocking(true).unwrap();
    assert!(target.recv(&mut buf).is_err(), "something else was sent");
    let done = run(&["-", &place], "x".repeat(LONGEST + 1));
    assert_eq!(done.status, 63, "{}", done.stderr);
    assert!(
        done.stderr.contains("limit of 65507 bytes"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_question_on_stdin_gets_its_answer_and_the_program_ends() {
    let target = socket();
    let place = format!("udp:{}", target.local_addr().unwrap());
    let server = thread::spawn(move || {
        let mut buf = [0; 100];
        let (len, from) = target.recv_from(&mut buf).unwrap();
        target.send_to(b"late ", from).unwrap();
        // Within the linger time, and after the end of stdin.
        thread::sleep(Duration::from_millis(300));
        target.send_to(b"answer", from).unwrap();
        buf[..len].to_vec()
    });
    let done = run(&["-", &place], "hi\n");
    assert_eq!(server.join().unwrap(), b"hi");
    assert_eq!(
        (done.status, done.text()),
        (0, "late answer"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_port_where_nobody_is_ends_with_an_error_that_says_so() {
    let place = format!("udp:{}", socket().local_addr().unwrap());
    let done = run(&["-", &place], "hi\n");
    assert_eq!(done.status, 56, "{}", done.stderr);
    assert!(
        done.stderr.contains("connection refused"),
        "{}",
        done.stderr
    );
    let bridge = Bridge::start(&["ws-l:0", &place]);
    let mut ws = bridge.client();
    ws.text("hi");
    assert_eq!(message(&mut ws), Frame::Close(1011, "refused".to_owned()));
}

#[test]
fn text_is_asked_for_and_must_be_text() {
    let target = socket();
    let place = format!("udp:{}", target.local_addr().unwrap());
    let bridge = Bridge::start(&["-t", "ws-l:0", &place]);
    let mut ws = bridge.client();
    ws.text("ü");
    let mut buf = [0; 100];
    let (len, from) = target.recv_from(&mut buf).unwrap();
    assert_eq!(&buf[..len], "ü".as_bytes());
    target.send_to("one €".as_bytes(), from).unwrap();
    assert_eq!(message(&mut ws), Frame::text("one €"));
    target.send_to(b"two \xff", from).unwrap();
    assert_eq!(message(&mut ws), Frame::Close(1011, "not-utf8".to_owned()));
}

/// A bridge from UDP to a WebSocket server of ours.
fn listener(words: &[&str]) -> (Bridge, TcpListener) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", server.local_addr().unwrap());
    let words: Vec<_> = words
        .iter()
        .copied()
        .chain(["udp-l:127.0.0.1:0", &url])
        .collect();
    (Bridge::start(&words), server)
}

fn sender(bridge: &Bridge) -> UdpSocket {
    let socket = socket();
    socket.connect(("127.0.0.1", bridge.port)).unwrap();
    socket
}

fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut buf = vec![0; 65_536];
    let len = socket.recv(&mut buf).unwrap();
    buf.truncate(len);
    buf
}

#[test]
fn each_sender_has_a_session_of_its_own() {
    let (bridge, server) = listener(&["--threads", "3"]);
    let mut sessions: Vec<_> = (0..5)
        .map(|number: u8| {
            let udp = sender(&bridge);
            udp.send(&[number]).unwrap();
            let mut ws = Ws::accept(&server);
            assert_eq!(message(&mut ws), Frame::Binary(vec![number]));
            (udp, ws, number)
        })
        .collect();
    for round in 0..3u8 {
        for (udp, ws, number) in &mut sessions {
            udp.send(&[*number, round]).unwrap();
            assert_eq!(message(ws), Frame::Binary(vec![*number, round]));
            ws.binary(&[round, *number]).binary(b"");
            assert_eq!(received(udp), [round, *number]);
            assert_eq!(received(udp), b"");
        }
    }
    // The end of one session is not that of another, and who comes back is a new caller.
    let (udp, mut ws, number) = sessions.remove(2);
    ws.close(1000, "");
    assert_eq!(message(&mut ws), Frame::Close(1000, String::new()));
    bridge.closed();
    udp.send(b"again").unwrap();
    let mut again = Ws::accept(&server);
    assert_eq!(message(&mut again), Frame::Binary(b"again".to_vec()));
    let (udp, ws, other) = &mut sessions[0];
    assert_ne!(*other, number);
    udp.send(b"still here").unwrap();
    assert_eq!(message(ws), Frame::Binary(b"still here".to_vec()));
}

#[test]
fn a_sender_that_is_silent_has_ended_cleanly() {
    let (bridge, server) = listener(&["--udp-timeout", "300ms"]);
    let udp = sender(&bridge);
    udp.send(b"only this").unwrap();
    let begun = Instant::now();
    let mut ws = Ws::accept(&server);
    assert_eq!(message(&mut ws), Frame::Binary(b"only this".to_vec()));
    assert_eq!(message(&mut ws), Frame::Close(1000, String::new()));
    assert!(begun.elapsed() >= Duration::from_millis(290));
    ws.answer_close(1000);
    let line = bridge.closed();
    assert!(line.contains("left=eof right=close 1000 "), "{line}");
}

#[test]
fn what_comes_faster_than_it_is_taken_is_bounded_and_said_once() {
    // The server takes nothing after its handshake.
    let (bridge, server) = listener(&[]);
    let udp = sender(&bridge);
    udp.send(b"first").unwrap();
    let ws = Ws::accept(&server);
    let payload = vec![7; 60_000];
    let is_said = AtomicBool::new(false);
    let line = thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            while !is_said.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
                udp.send(&payload).unwrap();
            }
        });
        let line = bridge.running.line("some are dropped");
        is_said.store(true, Ordering::Relaxed);
        line
    });
    assert!(line.contains("warning: "), "{line}");
    let memory = bridge.running.peak_memory();
    assert!(memory < 64 * 1024 * 1024, "{memory} bytes");
    drop(ws);
}

#[test]
fn a_caller_too_many_is_not_answered_and_the_others_go_on() {
    let (bridge, server) = listener(&["--max-connections", "1"]);
    let (first, second) = (sender(&bridge), sender(&bridge));
    first.send(b"one").unwrap();
    let mut ws = Ws::accept(&server);
    assert_eq!(message(&mut ws), Frame::Binary(b"one".to_vec()));
    second.send(b"two").unwrap();
    bridge.running.line("connection limit reached");
    first.send(b"more").unwrap();
    assert_eq!(message(&mut ws), Frame::Binary(b"more".to_vec()));
}

#[test]
fn two_bridges_carry_udp_over_a_websocket() {
    let (port, echo) = echo();
    let far = bridge_to(port, &[]);
    let near = Bridge::start(&["udp-l:127.0.0.1:0", &far.url()]);
    let udp = sender(&near);
    for payload in mixed(40, LONGEST) {
        udp.send(&payload).unwrap();
        assert!(received(&udp) == payload, "another one came back");
    }
    udp.send(b"stop").unwrap();
    assert_eq!(echo.join().unwrap(), 40);
}

#[test]
fn stdout_is_the_sessions_of_one_sender_after_the_other() {
    let bridge = spawn(&["--once", "--udp-timeout", "200ms", "udp-l:127.0.0.1:0", "-"]);
    let mut bridge = Bridge::of(bridge);
    let udp = sender(&bridge);
    udp.send(b"to stdout").unwrap();
    let done = bridge.running.finish();
    assert_eq!(
        (done.status, done.text()),
        (0, "to stdout"),
        "{}",
        done.stderr
    );
}
