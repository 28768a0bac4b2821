//! One side has ended and the other still has something to say: nothing of it is lost, in either direction.

use std::thread;
use std::time::{Duration, Instant};

use super::{
    Row, assert_same, close_code, listener, pattern, status, tcp_to_tcp, tcp_to_ws,
    tcp_to_ws_to_tcp, ws_to_tcp, ws_to_ws,
};
use crate::support::{Bridge, Frame, Tcp, TcpEnd, Ws};

const MIB: usize = 1024 * 1024;

#[test]
fn a_backend_answers_after_the_clients_close_and_before_ours() {
    let (bridge, mut client, mut backend) = ws_to_tcp(&[]);
    client.binary(b"question").close(1000, "bye");
    assert_eq!(backend.rest(), (b"question".to_vec(), TcpEnd::Eof));
    let answer = pattern(MIB);
    let sent = answer.clone();
    let writer = thread::spawn(move || {
        backend.send(&sent);
    });
    let (bytes, end) = client.bytes();
    assert_same(&bytes, &answer);
    assert!(matches!(end, Frame::Close(1000, _)), "{end:?}");
    assert_eq!(client.next(), Frame::Eof);
    writer.join().unwrap();
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_client_sends_on_after_our_close() {
    let (bridge, mut client, mut backend) = ws_to_tcp(&[]);
    backend.send("hello").fin();
    assert_eq!(client.next(), Frame::Binary(b"hello".to_vec()));
    assert_eq!(close_code(&mut client), 1000);
    let late = pattern(MIB);
    let sent = late.clone();
    let writer = thread::spawn(move || {
        client.binary(&sent).close(1000, "");
        client.next()
    });
    let (bytes, end) = backend.rest();
    assert_same(&bytes, &late);
    assert_eq!(end, TcpEnd::Eof);
    assert_eq!(writer.join().unwrap(), Frame::Eof);
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_server_answers_after_the_end_of_a_tcp_client() {
    let (bridge, mut client, mut server) = tcp_to_ws(&[]);
    client.send("question").fin();
    assert_eq!(
        server.bytes(),
        (b"question".to_vec(), Frame::Close(1000, String::new()))
    );
    let answer = pattern(MIB);
    let sent = answer.clone();
    let writer = thread::spawn(move || server.binary(&sent).answer_close(1000));
    let (bytes, end) = client.rest();
    assert_same(&bytes, &answer);
    assert_eq!(end, TcpEnd::Eof);
    writer.join().unwrap();
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_tcp_client_sends_on_after_the_servers_close() {
    let (bridge, mut client, mut server) = tcp_to_ws(&[]);
    server.binary(b"hello").close(1000, "");
    assert_eq!(client.rest(), (b"hello".to_vec(), TcpEnd::Eof));
    let late = pattern(MIB);
    let sent = late.clone();
    let writer = thread::spawn(move || {
        client.send(&sent).fin();
    });
    let (bytes, end) = server.bytes();
    assert_same(&bytes, &late);
    assert!(matches!(end, Frame::Close(1000, _)), "{end:?}");
    server.fin();
    writer.join().unwrap();
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_relay_carries_late_messages_in_either_direction() {
    let (bridge, mut client, mut server) = ws_to_ws(&[]);
    client.text("question").close(4001, "done");
    assert_eq!(server.next(), Frame::text("question"));
    assert_eq!(server.next(), Frame::Close(4001, "done".to_owned()));
    server.text("late").binary(b"").close(4001, "done").fin();
    let late = vec![Frame::text("late"), Frame::Binary(vec![])];
    assert_eq!(
        client.messages(),
        (late.clone(), Frame::Close(4001, "done".to_owned()))
    );
    assert_eq!(client.next(), Frame::Eof);
    assert_eq!(status(bridge), 111);

    let (bridge, mut client, mut server) = ws_to_ws(&[]);
    server.text("hello").close(1000, "");
    assert_eq!(client.next(), Frame::text("hello"));
    assert_eq!(close_code(&mut client), 1000);
    client.text("late").binary(b"").close(1000, "");
    assert_eq!(server.messages(), (late, Frame::Close(1000, String::new())));
    server.fin();
    assert_eq!(client.next(), Frame::Eof);
    assert_eq!(status(bridge), 0);
}

#[test]
fn both_sides_may_close_at_the_same_time() {
    let (bridge, mut client, mut server) = ws_to_ws(&[]);
    client.text("from the client");
    server.text("from the server");
    // Neither has seen the other's.
    client.close(1000, "");
    server.close(1000, "");
    assert_eq!(client.next(), Frame::text("from the server"));
    assert_eq!(server.next(), Frame::text("from the client"));
    assert_eq!(close_code(&mut client), 1000);
    assert_eq!(close_code(&mut server), 1000);
    server.fin();
    assert_eq!(client.next(), Frame::Eof);
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_half_close_of_the_client_is_carried_through_two_bridges() {
    let Row {
        near,
        far,
        mut client,
        mut backend,
    } = tcp_to_ws_to_tcp(&[]);
    client.send("question").fin();
    assert_eq!(backend.rest(), (b"question".to_vec(), TcpEnd::Eof));
    let answer = pattern(MIB);
    let sent = answer.clone();
    let writer = thread::spawn(move || {
        backend.send(&sent);
    });
    let (bytes, end) = client.rest();
    assert_same(&bytes, &answer);
    assert_eq!(end, TcpEnd::Eof);
    writer.join().unwrap();
    assert_eq!((status(near), status(far)), (0, 0));
}

#[test]
fn a_half_close_of_the_backend_is_carried_through_two_bridges() {
    let Row {
        near,
        far,
        mut client,
        mut backend,
    } = tcp_to_ws_to_tcp(&[]);
    backend.send("greeting").fin();
    assert_eq!(client.rest(), (b"greeting".to_vec(), TcpEnd::Eof));
    let late = pattern(MIB);
    let sent = late.clone();
    let writer = thread::spawn(move || {
        client.send(&sent);
    });
    let (bytes, end) = backend.rest();
    assert_same(&bytes, &late);
    assert_eq!(end, TcpEnd::Eof);
    writer.join().unwrap();
    assert_eq!((status(near), status(far)), (0, 0));
}

#[test]
fn a_reset_is_carried_through_two_bridges_in_either_direction() {
    let Row {
        near,
        far,
        mut client,
        mut backend,
    } = tcp_to_ws_to_tcp(&[]);
    client.send("some");
    assert_eq!(backend.read(4), b"some");
    client.reset();
    assert_eq!(backend.rest(), (vec![], TcpEnd::Reset));
    assert_eq!((status(near), status(far)), (56, 110));

    let Row {
        near,
        far,
        mut client,
        mut backend,
    } = tcp_to_ws_to_tcp(&[]);
    backend.send("some");
    assert_eq!(client.read(4), b"some");
    backend.reset();
    assert_eq!(client.rest(), (vec![], TcpEnd::Reset));
    assert_eq!((status(near), status(far)), (110, 56));
}

#[test]
fn a_reset_after_a_half_close_is_carried_through_two_bridges() {
    let Row {
        near: _near,
        far,
        mut client,
        mut backend,
    } = tcp_to_ws_to_tcp(&[]);
    client.send("question").fin();
    assert_eq!(backend.rest(), (b"question".to_vec(), TcpEnd::Eof));
    backend.send("half an answer");
    assert_eq!(client.read(14), b"half an answer");
    backend.reset();
    assert_eq!(
        client.rest(),
        (vec![], TcpEnd::Reset),
        "broken is not finished"
    );
    assert_eq!(status(far), 56);
}

#[test]
fn a_close_is_answered_after_the_linger_when_the_backend_does_not_end() {
    let (bridge, mut client, mut backend) = ws_to_tcp(&["--linger", "300ms"]);
    let closed_at = Instant::now();
    client.close(1000, "");
    assert_eq!(backend.rest(), (vec![], TcpEnd::Eof));
    assert_eq!(close_code(&mut client), 1000);
    assert!(closed_at.elapsed() >= Duration::from_millis(300));
    assert_eq!(client.next(), Frame::Eof);
    assert_eq!(status(bridge), 0);
}

#[test]
fn without_linger_a_close_is_answered_at_once() {
    let (bridge, mut client, mut backend) = ws_to_tcp(&["--linger", "0"]);
    client.binary(b"all").close(1000, "");
    assert_eq!(close_code(&mut client), 1000);
    assert_eq!(backend.rest(), (b"all".to_vec(), TcpEnd::Eof));
    assert_eq!(status(bridge), 0);
}

#[test]
fn an_answer_that_outlasts_the_linger_is_never_cut_silently() {
    let Row {
        near,
        far,
        mut client,
        mut backend,
    } = tcp_to_ws_to_tcp(&["--linger", "300ms"]);
    client.send("question").fin();
    assert_eq!(backend.rest(), (b"question".to_vec(), TcpEnd::Eof));
    let writer = thread::spawn(move || {
        // The time that the answer takes is what is tested: it flows on, for longer than the linger.
        for _ in 0..20 {
            if std::io::Write::write_all(&mut backend.0, &[b'a'; 1000]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    let (bytes, end) = client.rest();
    let is_whole = bytes.len() == 20_000;
    assert!(
        is_whole || end == TcpEnd::Reset,
        "{} of 20000 bytes and then a clean end",
        bytes.len()
    );
    writer.join().unwrap();
    let statuses = (status(near), status(far));
    assert_eq!(statuses == (0, 0), is_whole, "{statuses:?}");
}

#[test]
fn half_closed_tcp_peers_wait_for_each_other_as_long_as_they_like() {
    let (bridge, mut client, mut backend) =
        tcp_to_tcp(&["--linger", "0", "--close-timeout", "100ms"]);
    client.send("question").fin();
    assert_eq!(backend.rest(), (b"question".to_vec(), TcpEnd::Eof));
    // Longer than every deadline there is after an end.
    thread::sleep(Duration::from_millis(500));
    backend.send("late answer").fin();
    assert_eq!(client.rest(), (b"late answer".to_vec(), TcpEnd::Eof));
    assert_eq!(status(bridge), 0);
}

/// Both have sent the marker, and no Close comes: however near the reset is to ours, the session was cut.
#[test]
fn a_reset_behind_both_markers_is_no_normal_end() {
    for _ in 0..20 {
        let (listener, port) = listener();
        let target = format!("tcp:127.0.0.1:{port}");
        let bridge = Bridge::start(&["--once", "ws-l:0", &target]);
        let offer = [("Sec-WebSocket-Extensions", "wsbridge-half-close")];
        let mut client = Ws::ask(bridge.port, "/", &offer);
        client.frame(0x8A, b"wsbridge-half-close").frame(0xA2, b"");
        let mut backend = Tcp::accept(&listener);
        assert_eq!(backend.rest(), (vec![], TcpEnd::Eof));
        backend.fin();
        assert_eq!(client.next(), Frame::Pong(b"wsbridge-half-close".to_vec()));
        assert_eq!(client.next(), Frame::Piece(true, 2, vec![]));
        client.reset();
        assert_eq!(status(bridge), 56);
    }
}
