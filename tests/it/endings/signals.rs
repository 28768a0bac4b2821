//! SIGTERM and SIGINT: all that was read is delivered, a WebSocket gets Close 1001, and a second signal ends at once.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{
    Output, assert_same, close_code, listener, payload, stdio_to_ws, tcp_to_tcp, tcp_to_ws,
    ws_to_tcp, ws_to_ws,
};
use crate::support::{Bridge, Frame, Tcp, TcpEnd, Ws, frame_bytes, spawn, spawn_under};

/// The signals that stop, with the exit status of what they cut.
const STOPS: [(Signal, i32); 2] = [(Signal::TERM, 143), (Signal::INT, 130)];

#[test]
fn a_bridge_without_sessions_ends_with_0() {
    for (signal, _) in STOPS {
        let mut bridge = Bridge::start(&["ws-l:0", "echo:"]);
        bridge.running.signal(signal);
        assert_eq!(bridge.running.wait(), 0);
    }
}

#[test]
fn a_session_of_stdin_ends_with_the_status_of_the_signal_and_a_close_1001() {
    for (signal, status) in STOPS {
        let (mut running, mut server) = stdio_to_ws(&[]);
        running.stdin().write_all(b"before\n").unwrap();
        assert_eq!(server.next(), Frame::text("before"));
        running.signal(signal);
        assert_eq!(close_code(&mut server), 1001);
        // What the server still says is delivered.
        server.text("late").answer_close(1001);
        let finished = running.finish();
        assert_eq!((finished.status, finished.text()), (status, "late\n"));
    }
}

/// As nohup starts it, or a shell without job control in the background.
#[test]
fn a_signal_that_was_ignored_stays_so() {
    let mut bridge = Bridge::of(spawn_under("trap '' HUP INT", &["ws-l:0", "echo:"]));
    for signal in [Signal::HUP, Signal::INT, Signal::HUP] {
        bridge.running.signal(signal);
    }
    let mut ws = bridge.client();
    ws.text("here");
    assert_eq!(ws.next(), Frame::text("here"));
    ws.close(1000, "");
    ws.next();
    bridge.running.signal(Signal::TERM);
    assert_eq!(bridge.running.wait(), 0);
}

#[test]
fn a_signal_while_connecting_ends_at_once() {
    let (listener, port) = listener();
    for (signal, status) in STOPS {
        let mut running = spawn(&[&format!("ws://127.0.0.1:{port}")]);
        // It has asked, and is never answered.
        let mut server = Tcp::accept(&listener);
        assert_eq!(server.read(4), b"GET ");
        running.signal(signal);
        assert_eq!(running.wait(), status);
    }
}

#[test]
fn a_caller_whose_target_has_not_answered_is_told_no() {
    let (listener, port) = listener();
    let mut bridge = Bridge::start(&["ws-l:0", &format!("ws://127.0.0.1:{port}")]);
    let bridge_port = bridge.port;
    let caller = thread::spawn(move || Ws::ask(bridge_port, "/", &[]).head);
    let mut server = Tcp::accept(&listener);
    assert_eq!(server.read(4), b"GET ");
    bridge.running.signal(Signal::TERM);
    let head = caller.join().unwrap();
    assert!(head.starts_with("HTTP/1.1 50"), "{head}");
    assert_eq!(bridge.running.wait(), 0);
}

#[test]
fn a_bridge_whose_sessions_are_done_ends_with_0() {
    for (signal, _) in STOPS {
        let (mut bridge, mut client, mut backend) = ws_to_tcp(&[]);
        client.binary(b"before");
        assert_eq!(backend.read(6), b"before");
        bridge.running.signal(signal);
        assert_eq!(close_code(&mut client), 1001);
        client.binary(b"late").close(1001, "");
        assert_eq!(backend.rest(), (b"late".to_vec(), TcpEnd::Eof));
        assert_eq!(client.next(), Frame::Eof);
        assert_eq!(bridge.running.wait(), 0);
    }
}

#[test]
fn every_session_of_a_bridge_is_told() {
    let mut bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let mut clients: Vec<_> = (0..10).map(|_| bridge.client()).collect();
    for client in &mut clients {
        client.text("here");
        assert_eq!(client.next(), Frame::text("here"));
    }
    bridge.running.signal(Signal::TERM);
    for client in &mut clients {
        assert_eq!(close_code(client), 1001);
        client.close(1001, "");
        assert_eq!(client.next(), Frame::Eof);
    }
    assert_eq!(bridge.running.wait(), 0);
}

#[test]
fn a_tcp_client_and_its_server_are_told() {
    let (mut bridge, mut client, mut server) = tcp_to_ws(&[]);
    client.send("before");
    assert_eq!(server.next(), Frame::Binary(b"before".to_vec()));
    bridge.running.signal(Signal::TERM);
    assert_eq!(close_code(&mut server), 1001);
    server.binary(b"late").answer_close(1001);
    assert_eq!(client.rest(), (b"late".to_vec(), TcpEnd::Eof));
    assert_eq!(bridge.running.wait(), 0);
}

#[test]
fn both_sides_of_a_relay_are_told() {
    let (mut bridge, mut client, mut server) = ws_to_ws(&[]);
    client.text("before");
    assert_eq!(server.next(), Frame::text("before"));
    bridge.running.signal(Signal::TERM);
    assert_eq!(close_code(&mut client), 1001);
    assert_eq!(close_code(&mut server), 1001);
    client.close(1001, "");
    server.answer_close(1001);
    assert_eq!(client.next(), Frame::Eof);
    assert_eq!(bridge.running.wait(), 0);
}

#[test]
fn tcp_peers_are_half_closed() {
    let (mut bridge, mut client, mut backend) = tcp_to_tcp(&[]);
    client.send("before");
    assert_eq!(backend.read(6), b"before");
    bridge.running.signal(Signal::TERM);
    assert_eq!(client.rest(), (vec![], TcpEnd::Eof));
    assert_eq!(backend.rest(), (vec![], TcpEnd::Eof));
    client.fin();
    backend.fin();
    assert_eq!(bridge.running.wait(), 0);
}

#[test]
fn under_load_all_that_a_client_sent_until_its_close_is_delivered() {
    // It is told at half of the drain, and has the rest.
    let (mut bridge, mut client, mut backend) = ws_to_tcp(&["--drain", "6s"]);
    let mut out = client.stream.try_clone().unwrap();
    // Numbers, so that a hole shows. It sends until it is told, and then its Close.
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let writer = thread::spawn(move || {
        let mut count = 0_u32;
        while told.try_recv().is_err() {
            let numbers: Vec<u8> = (count..count + 4096).flat_map(u32::to_be_bytes).collect();
            out.write_all(&frame_bytes(0x82, &numbers, true)).unwrap();
            count += 4096;
        }
        out.write_all(&frame_bytes(0x88, &1001_u16.to_be_bytes(), true))
            .unwrap();
        count
    });
    let mut begun = backend.read(1 << 20);
    bridge.running.signal(Signal::TERM);
    let reader = thread::spawn(move || backend.rest());
    assert_eq!(close_code(&mut client), 1001);
    tell.send(()).unwrap();
    let count = writer.join().unwrap();
    let (rest, end) = reader.join().unwrap();
    begun.extend(rest);
    let sent: Vec<u8> = (0..count).flat_map(u32::to_be_bytes).collect();
    assert_same(&begun, &sent);
    assert_eq!(end, TcpEnd::Eof);
    assert_eq!(bridge.running.wait(), 0);
}

/// Writes numbers to a backend's caller, so that a hole shows: `most` bytes and then nothing, or until it is cut.
fn tell_numbers(backend: &Tcp, most: usize) -> thread::JoinHandle<()> {
    let mut out = backend.0.try_clone().unwrap();
    thread::spawn(move || {
        for count in (0_u32..).step_by(4096).take(most / 16384) {
            let numbers: Vec<u8> = (count..count + 4096).flat_map(u32::to_be_bytes).collect();
            if out.write_all(&numbers).is_err() {
                return;
            }
        }
    })
}

fn assert_numbers(seen: &[u8]) {
    let told: Vec<u8> = (0..=(seen.len() / 4) as u32)
        .flat_map(u32::to_be_bytes)
        .collect();
    assert_same(seen, &told[..seen.len()]);
}

fn first_megabyte(client: &mut Ws) -> Vec<u8> {
    let mut seen = Vec::new();
    while seen.len() < 1 << 20 {
        match client.next() {
            Frame::Binary(bytes) => seen.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
    seen
}

/// A stop in the midst of an answer, which all comes, whose reader takes none of it for a while.
fn stop_amid_an_answer(signal: Signal, pause: Duration) {
    let (mut bridge, mut client, backend) = ws_to_tcp(&["--drain", "1h"]);
    let writer = tell_numbers(&backend, 48 << 20);
    let mut seen = first_megabyte(&mut client);
    bridge.running.signal(signal);
    thread::sleep(pause);
    let (rest, end) = client.bytes();
    seen.extend(rest);
    assert_eq!(seen.len(), 48 << 20);
    assert!(matches!(end, Frame::Close(1001, _)), "{end:?}");
    // The Close is waited for, and to look at all numbers takes its time.
    client.close(1001, "");
    assert_numbers(&seen);
    writer.join().unwrap();
    assert_eq!(bridge.running.wait(), 0);
}

#[test]
fn a_stop_lets_an_answer_that_is_under_way_come_whole() {
    for (signal, _) in STOPS {
        stop_amid_an_answer(signal, Duration::ZERO);
    }
}

/// The answer waits for its reader, and nothing moves for longer than whatever it takes for a silence.
#[test]
fn a_stop_waits_for_a_slow_reader() {
    stop_amid_an_answer(Signal::TERM, Duration::from_secs(1));
}

/// Whoever answers is a WebSocket itself, and says nothing more once it is told.
#[test]
fn a_stop_tells_a_server_nothing_while_its_answer_comes() {
    let (mut bridge, mut client, mut server) = ws_to_ws(&["--drain", "1h"]);
    let mut out = server.stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        for _ in 0..48 << 4 {
            out.write_all(&frame_bytes(0x82, &[b'x'; 65536], false))
                .unwrap();
        }
    });
    let begun = client.next();
    bridge.running.signal(Signal::TERM);
    // Long enough to be told, if that did not wait for the client to take the rest.
    thread::sleep(Duration::from_secs(1));
    server.stream.set_nonblocking(true).unwrap();
    let told = server.stream.peek(&mut [0]).unwrap_err().kind();
    assert_eq!(told, std::io::ErrorKind::WouldBlock);
    server.stream.set_nonblocking(false).unwrap();
    let (Frame::Binary(mut seen) | Frame::Piece(_, _, mut seen)) = begun else {
        panic!("{begun:?}");
    };
    let end = loop {
        match client.heard() {
            Frame::Binary(more) | Frame::Piece(_, _, more) => seen.extend(more),
            end => break end,
        }
    };
    assert_eq!(
        (seen.len(), end),
        (48 << 20, Frame::Close(1001, "stop".to_owned()))
    );
    writer.join().unwrap();
    assert_eq!(close_code(&mut server), 1001);
    client.close(1001, "");
    server.answer_close(1001);
    assert_eq!(client.next(), Frame::Eof);
    assert_eq!(bridge.running.wait(), 0);
}

#[test]
fn a_stop_waits_for_the_rest_of_a_message_and_tells_where_there_is_none() {
    for is_ended in [true, false] {
        let (mut bridge, mut client, mut server) =
            ws_to_ws(&["--drain", if is_ended { "1h" } else { "2s" }]);
        server.raw(&frame_bytes(0x01, b"first half,", false));
        assert_eq!(
            client.next(),
            Frame::Piece(false, 1, b"first half,".to_vec())
        );
        bridge.running.signal(Signal::TERM);
        if is_ended {
            // Longer than whatever it takes for a silence.
            thread::sleep(Duration::from_secs(1));
            server.raw(&frame_bytes(0x80, b"second half", false));
            assert_eq!(
                client.next(),
                Frame::Piece(true, 0, b"second half".to_vec())
            );
        }
        let (code, reason) = if is_ended {
            (1001, "stop")
        } else {
            (1011, "drain")
        };
        for peer in [&mut client, &mut server] {
            assert_eq!(peer.next(), Frame::Close(code, reason.to_owned()));
        }
        client.close(code, "");
        server.answer_close(code);
        assert_eq!(bridge.running.wait(), if is_ended { 0 } else { 143 });
    }
}

#[test]
fn an_answer_that_a_stop_cuts_is_told_as_cut() {
    let (mut bridge, mut client, backend) = ws_to_tcp(&["--drain", "1s"]);
    let writer = tell_numbers(&backend, usize::MAX);
    let mut seen = first_megabyte(&mut client);
    bridge.running.signal(Signal::TERM);
    let (rest, end) = client.bytes();
    seen.extend(rest);
    assert_eq!(end, Frame::Close(1011, "drain".to_owned()));
    client.close(1011, "");
    let line = bridge.closed();
    assert!(
        line.contains(&format!(" bytes_left={} ", seen.len())),
        "{} in {line}",
        seen.len()
    );
    assert_numbers(&seen);
    assert_eq!(bridge.running.wait(), 143);
    writer.join().unwrap();
}

#[test]
fn what_a_stop_cuts_between_tcp_peers_is_reset() {
    let (mut bridge, client, backend) = tcp_to_tcp(&["--drain", "1s"]);
    let writer = tell_numbers(&backend, usize::MAX);
    let mut client = client;
    client.read(1 << 20);
    bridge.running.signal(Signal::TERM);
    assert_eq!(client.rest().1, TcpEnd::Reset);
    assert_eq!(bridge.running.wait(), 143);
    writer.join().unwrap();
}

/// Nothing of what is said in a room is an answer that could be cut.
#[test]
fn a_stop_interrupts_a_room_at_once() {
    let mut bridge = Bridge::start(&["--drain", "1h", "ws-l:0", "hub:"]);
    let (mut speaker, mut hearer) = (bridge.client(), bridge.client());
    let mut out = speaker.stream.try_clone().unwrap();
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let writer = thread::spawn(move || {
        while told.recv_timeout(Duration::from_millis(10)).is_err() {
            out.write_all(&frame_bytes(0x81, b"said", true)).unwrap();
        }
        out.write_all(&frame_bytes(0x88, &1001_u16.to_be_bytes(), true))
            .unwrap();
    });
    assert_eq!(hearer.next(), Frame::text("said"));
    bridge.running.signal(Signal::TERM);
    // A speaker hears itself, too.
    for member in [&mut hearer, &mut speaker] {
        let end = loop {
            match member.next() {
                Frame::Text(_) => {}
                other => break other,
            }
        };
        assert_eq!(end, Frame::Close(1001, "stop".to_owned()));
    }
    hearer.close(1001, "");
    tell.send(()).unwrap();
    writer.join().unwrap();
    assert_eq!(bridge.running.wait(), 0);
}

#[test]
fn under_load_all_of_stdin_that_was_read_is_delivered_before_the_close() {
    let (mut running, mut server) = stdio_to_ws(&["-b"]);
    let mut stdin = running.stdin();
    let writer = thread::spawn(move || {
        let mut count = 0_u32;
        loop {
            let numbers: Vec<u8> = (count..count + 4096).flat_map(u32::to_be_bytes).collect();
            if stdin.write_all(&numbers).is_err() {
                return;
            }
            count += 4096;
        }
    });
    let begun = match server.next() {
        Frame::Binary(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    running.signal(Signal::TERM);
    let (rest, end) = server.bytes();
    assert!(matches!(end, Frame::Close(1001, _)), "{end:?}");
    server.answer_close(1001);
    let seen = [begun, rest].concat();
    let sent: Vec<u8> = (0..=(seen.len() / 4) as u32)
        .flat_map(u32::to_be_bytes)
        .collect();
    assert_same(&seen, &sent[..seen.len()]);
    assert_eq!(running.wait(), 143);
    writer.join().unwrap();
}

#[test]
fn a_client_that_does_not_end_is_cut_by_the_drain() {
    for (signal, status) in STOPS {
        let (mut bridge, mut client, mut backend) = ws_to_tcp(&["--drain", "300ms"]);
        client.binary(b"before");
        assert_eq!(backend.read(6), b"before");
        let begun = Instant::now();
        bridge.running.signal(signal);
        assert_eq!(close_code(&mut client), 1001);
        // It goes on sending and never closes.
        client.binary(b"late");
        assert_eq!(
            backend.rest(),
            (b"late".to_vec(), TcpEnd::Reset),
            "cut, not finished"
        );
        assert!(matches!(client.next(), Frame::Eof | Frame::Reset));
        assert_eq!(bridge.running.wait(), status);
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }
}

#[test]
fn whoever_interrupts_a_client_does_not_wait_for_a_server_that_never_stops() {
    for (signal, status) in STOPS {
        // Another end than the drain's would come in an hour only; one has the drain of a server, and is asked first.
        let (mut patient, mut its_server) =
            stdio_to_ws(&["-n", "--close-timeout", "1h", "--drain", "10s"]);
        patient.signal(signal);
        assert_eq!(close_code(&mut its_server), 1001);
        let (mut running, mut server) = stdio_to_ws(&["-n", "--close-timeout", "1h"]);
        running.signal(signal);
        assert_eq!(close_code(&mut server), 1001);
        server.text("more");
        assert_eq!(running.wait(), status);
        assert!(!patient.has_ended());
    }
}

#[test]
fn a_client_that_does_not_end_is_cut_by_the_close_timeout_and_counts_as_cut() {
    let (mut bridge, mut client, mut backend) = ws_to_tcp(&["--close-timeout", "300ms"]);
    bridge.running.signal(Signal::TERM);
    assert_eq!(close_code(&mut client), 1001);
    assert_eq!(backend.rest(), (vec![], TcpEnd::Reset));
    assert_eq!(bridge.running.wait(), 143);
}

#[test]
fn a_client_that_takes_nothing_is_cut_and_counts_as_cut() {
    let (mut bridge, client, mut backend) = ws_to_tcp(&["--close-timeout", "300ms"]);
    backend.0.set_nonblocking(true).unwrap();
    // Until every buffer is full: nothing is taken for longer than it takes to take something.
    let mut full_since = Instant::now();
    while full_since.elapsed() < Duration::from_millis(300) {
        if backend.0.write(&[b'x'; 60_000]).is_ok() {
            full_since = Instant::now();
        }
    }
    bridge.running.signal(Signal::TERM);
    assert_eq!(bridge.running.wait(), 143);
    drop(client);
}

#[test]
fn a_second_signal_ends_at_once() {
    for (second, status) in STOPS {
        let (mut bridge, mut client, _backend) =
            ws_to_tcp(&["--drain", "1h", "--close-timeout", "1h"]);
        bridge.running.signal(Signal::TERM);
        assert_eq!(close_code(&mut client), 1001);
        bridge.running.signal(second);
        assert_eq!(bridge.running.wait(), status);
        assert!(matches!(client.next(), Frame::Eof | Frame::Reset));
    }
    for (second, status) in STOPS {
        let (mut running, mut server) = stdio_to_ws(&["--drain", "1h", "--close-timeout", "1h"]);
        running.signal(Signal::INT);
        assert_eq!(close_code(&mut server), 1001);
        running.signal(second);
        assert_eq!(running.wait(), status);
    }
}

#[test]
fn a_stop_does_not_wait_for_the_answer_to_the_end_of_stdin() {
    let (mut running, mut server) = stdio_to_ws(&["-n"]);
    let stdout = Output::of(running.stdout());
    running.stdin().write_all(b"subscribe").unwrap();
    assert_eq!(payload(&mut server, 9), b"subscribe");
    running.signal(Signal::TERM);
    assert_eq!(close_code(&mut server), 1001);
    server.answer_close(1001);
    assert_eq!(running.wait(), 143);
    assert_eq!(stdout.rest(), b"");
}

/// A caller that was accepted first while the other side, which listens, has no caller of its own.
#[test]
fn a_stop_ends_one_that_waits_for_the_other_side() {
    let mut bridge = Bridge::start(&["--accept-first", "ws-l:0", "tcp-l:0"]);
    // The right side is announced first.
    let line = bridge.running.line("listening on ws://");
    let port = line.split("127.0.0.1:").nth(1).unwrap();
    let mut client = Ws::connect(port.split_whitespace().next().unwrap().parse().unwrap());
    bridge.running.signal(Signal::TERM);
    assert_eq!(client.next(), Frame::Close(1001, "stop".to_owned()));
    client.answer_close(1001);
    assert_eq!(bridge.running.finish().status, 0);
}
