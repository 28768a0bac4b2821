//! Every wait ends: what each side sees when one of our deadlines passes, and status 28.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use super::{Output, close_code, status, stdio_to_ws, tcp_to_tcp, tcp_to_ws, ws_to_tcp, ws_to_ws};
use crate::support::{Frame, TcpEnd, Ws};

/// A Close of a deadline: 1001 or 1011, and a reason that names it.
#[track_caller]
fn assert_named(close: &Frame, name: &str) {
    match close {
        Frame::Close(1001 | 1011, reason) => assert!(reason.contains(name), "'{reason}'"),
        other => panic!("{other:?} instead of a Close"),
    }
}

#[test]
fn an_idle_client_of_a_bridge_is_closed_and_its_backend_reset() {
    let (bridge, mut client, mut backend) = ws_to_tcp(&["--idle", "300ms"]);
    client.binary(b"once");
    assert_eq!(backend.read(4), b"once");
    let close = client.next();
    assert_named(&close, "idle");
    client.close(1001, "");
    assert_eq!(backend.rest(), (vec![], TcpEnd::Reset));
    assert_eq!(status(bridge), 28);
}

#[test]
fn idle_tcp_peers_are_both_reset() {
    let (bridge, mut client, mut backend) = tcp_to_tcp(&["--idle", "300ms"]);
    assert_eq!(client.rest(), (vec![], TcpEnd::Reset));
    assert_eq!(backend.rest(), (vec![], TcpEnd::Reset));
    assert_eq!(status(bridge), 28);
}

#[test]
fn an_idle_session_of_stdin_is_closed() {
    let (mut running, mut server) = stdio_to_ws(&["--idle", "300ms"]);
    assert_named(&server.next(), "idle");
    server.answer_close(1001);
    assert_eq!(running.wait(), 28);
}

#[test]
fn what_moves_in_either_direction_is_not_idle() {
    let (bridge, mut client, mut backend) = ws_to_tcp(&["--idle", "1s"]);
    for _ in 0..5 {
        // The pauses are what is tested: each shorter than the deadline, all together longer.
        thread::sleep(Duration::from_millis(300));
        backend.send("tick");
        assert_eq!(client.next(), Frame::Binary(b"tick".to_vec()));
    }
    client.close(1000, "");
    assert_eq!(backend.rest(), (vec![], TcpEnd::Eof));
    drop(backend);
    assert_eq!(close_code(&mut client), 1000);
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_server_that_never_answers_our_close_is_left() {
    let (mut running, mut server) = stdio_to_ws(&["--linger", "0", "--close-timeout", "300ms"]);
    drop(running.stdin());
    assert_eq!(close_code(&mut server), 1000);
    server.text("late");
    assert!(matches!(server.next(), Frame::Eof | Frame::Reset));
    let finished = running.finish();
    assert_eq!((finished.status, finished.text()), (28, "late\n"));
}

#[test]
fn a_server_that_talks_on_for_ever_after_our_close_is_left() {
    let (mut running, mut server) = stdio_to_ws(&["--linger", "0", "--close-timeout", "300ms"]);
    let mut stdout = Output::of(running.stdout());
    drop(running.stdin());
    assert_eq!(close_code(&mut server), 1000);
    let talker = thread::spawn(move || {
        while server.stream.write_all(b"\x81\x03la!").is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    });
    assert_eq!(stdout.read(8), b"la!\nla!\n");
    assert_eq!(running.wait(), 28);
    talker.join().unwrap();
}

#[test]
fn a_client_that_never_answers_our_close_is_left_and_its_backend_reset() {
    let (bridge, mut client, mut backend) = ws_to_tcp(&["--close-timeout", "300ms"]);
    backend.send("all").fin();
    assert_eq!(
        client.bytes(),
        (b"all".to_vec(), Frame::Close(1000, String::new()))
    );
    client.binary(b"late, and no Close");
    assert_eq!(
        backend.rest(),
        (b"late, and no Close".to_vec(), TcpEnd::Reset)
    );
    assert!(matches!(client.next(), Frame::Eof | Frame::Reset));
    assert_eq!(status(bridge), 28);
}

#[test]
fn a_server_that_never_answers_is_left_and_the_tcp_client_reset() {
    let (bridge, mut client, mut server) = tcp_to_ws(&["--close-timeout", "300ms"]);
    client.send("all").fin();
    assert_eq!(
        server.bytes(),
        (b"all".to_vec(), Frame::Close(1000, String::new()))
    );
    assert_eq!(client.rest(), (vec![], TcpEnd::Reset));
    assert_eq!(status(bridge), 28);
}

#[test]
fn a_relay_leaves_a_server_that_never_answers_and_tells_the_client() {
    let (bridge, mut client, mut server) = ws_to_ws(&["--close-timeout", "300ms"]);
    client.text("all").close(1000, "");
    assert_eq!(server.next(), Frame::text("all"));
    assert_eq!(close_code(&mut server), 1000);
    // The server may have had more to say: that is not passed on as a clean end.
    assert!(matches!(client.next(), Frame::Close(1001 | 1011, _)));
    assert_eq!(client.next(), Frame::Eof);
    assert_eq!(status(bridge), 28);
}

#[test]
fn a_client_that_answers_no_ping_is_dead() {
    let (bridge, mut client, mut backend) = ws_to_tcp(&["--ping", "200ms"]);
    client.binary(b"last words");
    assert_eq!(backend.read(10), b"last words");
    assert!(matches!(client.next(), Frame::Ping(_)));
    assert_eq!(backend.rest(), (vec![], TcpEnd::Reset));
    assert_eq!(status(bridge), 56);
}

#[test]
fn a_server_that_answers_no_ping_is_dead() {
    let (mut running, mut server) = stdio_to_ws(&["--ping", "200ms"]);
    assert!(matches!(server.next(), Frame::Ping(_)));
    assert_eq!(running.wait(), 56);
}

/// A client that sends until nobody takes any more.
fn flood(client: &Ws) -> thread::JoinHandle<()> {
    let mut out = client.stream.try_clone().unwrap();
    thread::spawn(move || {
        let frame = crate::support::frame_bytes(0x82, &[b'x'; 60_000], true);
        while out.write_all(&frame).is_ok() {}
    })
}

#[test]
fn a_backend_that_takes_nothing_is_idle_in_the_end() {
    let flags = ["--idle", "500ms", "--close-timeout", "300ms"];
    let (bridge, mut client, backend) = ws_to_tcp(&flags);
    let flood = flood(&client);
    assert_named(&client.next(), "idle");
    assert_eq!(status(bridge), 28);
    flood.join().unwrap();
    drop(backend);
}

#[test]
fn a_client_that_takes_nothing_of_what_is_left_is_given_up() {
    let (bridge, client, mut backend) = ws_to_tcp(&["--idle", "500ms", "--close-timeout", "300ms"]);
    // It fills every buffer there is and is then reset.
    while backend.0.write_all(&[b'x'; 60_000]).is_ok() {}
    assert_eq!(status(bridge), 28);
    drop(client);
}

#[test]
fn a_target_that_stalls_after_the_clients_close_is_given_up() {
    let begun = Instant::now();
    let (bridge, mut client, mut backend) =
        ws_to_tcp(&["--linger", "100ms", "--close-timeout", "300ms"]);
    client.binary(b"all").close(1000, "");
    assert_eq!(backend.rest(), (b"all".to_vec(), TcpEnd::Eof));
    // It neither answers nor ends: not later than linger and close timeout together the session is over.
    assert_eq!(close_code(&mut client), 1000);
    assert_eq!(status(bridge), 0);
    assert!(begun.elapsed() < Duration::from_secs(10));
}
