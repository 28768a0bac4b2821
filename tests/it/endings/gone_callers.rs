//! A target takes nothing, and its caller goes: that is noticed, and the session ends in its time. A caller that is there, or has
//! only half-closed, is kept.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::{assert_same, each, once, pattern, status, stdio_to_ws, tcp_to_tcp, tcp_to_ws_to_tcp};
use crate::support::{Bridge, Frame, PATIENCE, Tcp, TcpEnd, Ws, frame_bytes};

/// Short times for what a target may take.
const SHORT: &[&str] = &["--close-timeout", "300ms", "--deliver-timeout", "300ms"];

/// Writes pieces until none is taken for a while, or so many bytes were.
fn fill(mut stream: &TcpStream, piece: &[u8], most: usize) {
    let mut written = 0;
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    while written < most && stream.write_all(piece).is_ok() {
        written += piece.len();
    }
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
}

/// A caller that has sent 2 MiB to a target that takes nothing.
fn stuck(flags: &[&str]) -> (Bridge, Ws) {
    let bridge = once("ws-l:0", "clogged:", flags);
    let client = bridge.client();
    let piece = frame_bytes(0x82, &[7; 65536], true);
    fill(&client.stream, &piece, 2 << 20);
    (bridge, client)
}

#[test]
fn a_caller_that_goes_is_noticed_behind_what_it_has_sent() {
    each(&["RST", "FIN", "Close", "Close and FIN"], |how| {
        let (bridge, mut client) = stuck(SHORT);
        match *how {
            "RST" => client.reset(),
            "FIN" => drop(client.fin()),
            "Close" => {
                client.close(1000, "");
                assert_eq!(client.heard(), Frame::Close(1011, "stall".to_owned()));
            }
            _ => drop(client.close(1000, "").fin()),
        }
        assert_eq!(status(bridge), 28);
    });
}

#[test]
fn a_caller_that_goes_is_noticed_though_there_is_too_much_to_read() {
    let bridge = once("ws-l:0", "clogged:", SHORT);
    let client = bridge.client();
    let piece = frame_bytes(0x82, &[7; 65536], true);
    fill(&client.stream, &piece, usize::MAX);
    // There is room again once the bridge reads on, until that has its limit too.
    (&client.stream).write_all(&piece).unwrap();
    fill(&client.stream, &piece, usize::MAX);
    client.reset();
    assert_eq!(status(bridge), 28);
}

#[test]
fn a_program_that_reads_nothing_ends_when_its_caller_has_gone() {
    let flags = [SHORT, &["-b", "--kill-after", "100ms"]].concat();
    let bridge = once("ws-l:0", "sh-c:exec sleep 1000", &flags);
    let client = bridge.client();
    let piece = frame_bytes(0x82, &[7; 65536], true);
    // Until nothing more is taken: a reset throws away what our kernel has not sent yet.
    fill(&client.stream, &piece, usize::MAX);
    client.reset();
    assert_eq!(status(bridge), 28);
}

#[test]
fn a_unix_caller_that_closes_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let bridge = once(&format!("unix-l:{}", path.display()), "clogged:", SHORT);
    let mut caller = UnixStream::connect(&path).unwrap();
    caller.write_all(&[7; 1 << 20]).unwrap();
    drop(caller);
    assert_eq!(status(bridge), 28);
}

/// What a caller has half-closed behind waits for a target as long as it likes.
#[test]
fn a_caller_that_half_closed_is_not_gone() {
    let (bridge, mut caller, mut backend) = tcp_to_tcp(SHORT);
    let sent = pattern(24 << 20);
    let bytes = sent.clone();
    let writer = thread::spawn(move || {
        caller.send(&bytes).fin();
        caller
    });
    // The time in which nothing must happen: longer than all deadlines together.
    thread::sleep(Duration::from_secs(5));
    let (got, end) = backend.rest();
    assert_same(&got, &sent);
    assert_eq!(end, TcpEnd::Eof);
    drop(backend);
    assert_eq!(writer.join().unwrap().rest(), (vec![], TcpEnd::Eof));
    assert_eq!(status(bridge), 0);
}

/// Nor where the half-close came through a WebSocket, and all but what the kernel holds was delivered.
#[test]
fn a_half_close_through_two_bridges_waits_for_its_target() {
    for len in [24 << 20, 1 << 20] {
        let mut row = tcp_to_ws_to_tcp(SHORT);
        SockRef::from(&row.backend.0)
            .set_recv_buffer_size(16 * 1024)
            .unwrap();
        let sent = pattern(len);
        let bytes = sent.clone();
        let writer = thread::spawn(move || {
            row.client.send(&bytes).fin();
            row.client
        });
        // The time in which nothing must happen.
        thread::sleep(Duration::from_secs(4));
        let (got, end) = row.backend.rest();
        assert_same(&got, &sent);
        assert_eq!(end, TcpEnd::Eof);
        drop(row.backend);
        assert_eq!(writer.join().unwrap().rest(), (vec![], TcpEnd::Eof));
        assert_eq!((status(row.near), status(row.far)), (0, 0));
    }
}

#[test]
fn a_target_that_takes_nothing_has_the_time_of_stall() {
    let (bridge, mut client) = stuck(&["--stall", "3s"]);
    assert_eq!(client.heard(), Frame::Close(1011, "stall".to_owned()));
    client.answer_close(1011);
    assert_eq!(status(bridge), 28);
}

/// A caller that is there, and says so all the time, but takes nothing of what its target sends.
#[test]
fn a_caller_that_takes_nothing_has_the_time_of_stall_though_it_answers_pings() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp:{}", listener.local_addr().unwrap());
    let bridge = once("ws-l:0", &target, &["--stall", "3s", "--ping", "500ms"]);
    let client = bridge.client();
    let mut target = Tcp::accept(&listener).0;
    let writer = thread::spawn(move || while target.write_all(&[7; 65536]).is_ok() {});
    let mut stream = client.stream.try_clone().unwrap();
    let answers = [frame_bytes(0x8A, b"", true), frame_bytes(0x89, b"", true)].concat();
    while stream.write_all(&answers).is_ok() {
        thread::sleep(Duration::from_millis(50));
    }
    writer.join().unwrap();
    assert_eq!(status(bridge), 28);
}

/// A client whose stdout stands still.
#[test]
fn a_client_that_is_not_read_answers_pings() {
    let (mut running, mut server) = stdio_to_ws(&["-b"]);
    let mut out = running.stdout();
    let sent = pattern(3 << 19);
    for chunk in sent.chunks(65536) {
        server.binary(chunk);
    }
    server.frame(0x89, b"alive?");
    assert_eq!(server.next(), Frame::Pong(b"alive?".to_vec()));
    // And loses nothing when the server ends meanwhile.
    server.close(1000, "");
    let mut got = Vec::new();
    let reader = thread::spawn(move || {
        out.read_to_end(&mut got).unwrap();
        got
    });
    assert_eq!(server.heard(), Frame::Close(1000, String::new()));
    server.fin();
    assert_same(&reader.join().unwrap(), &sent);
    assert_eq!(running.finish().status, 0);
}

#[test]
fn a_client_that_is_not_read_sends_pings_and_misses_no_pong() {
    let (mut running, mut server) = stdio_to_ws(&["-b", "--ping", "500ms"]);
    let out = running.stdout();
    let mut stream = server.stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        let piece = frame_bytes(0x82, &[7; 65536], false);
        while stream.write_all(&piece).is_ok() {}
    });
    for _ in 0..3 {
        assert!(matches!(server.next(), Frame::Ping(_)));
    }
    drop(out);
    drop(running);
    drop(server);
    writer.join().unwrap();
}
