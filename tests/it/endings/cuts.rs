//! A message that is cut between its fragments: by a Close, which RFC 6455 5.5.1 allows there, or by the loss of the connection.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use super::{close_code, each, listener, once, payload, status, stdio_to_ws, ws_to_ws};
use crate::support::{Bridge, Frame, PATIENCE, Running, Tcp, TcpEnd, Ws, spawn};

const TEXT: u8 = 0x01;
const BINARY: u8 = 0x02;

/// What a client that was sent a whole message and a part of another leaves of them on stdout.
struct Row {
    words: &'static [&'static str],
    kind: u8,
    printed: &'static str,
    /// Whether the part is left out, and stderr says so.
    is_left_out: bool,
}

const fn row(
    words: &'static [&'static str],
    kind: u8,
    printed: &'static str,
    is_left_out: bool,
) -> Row {
    Row {
        words,
        kind,
        printed,
        is_left_out,
    }
}

const CLOSE: &str = r#"{"kind":"close","code":4001,"reason":"bye"}"#;

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(&[],                      TEXT,   "whole\nhalf", false),
    row(&["-0"],                  TEXT,   "whole\0half", false),
    row(&["-b"],                  BINARY, "wholehalf", false),
    row(&["--framing", "length"], TEXT,   "\0\0\0\x05whole", true),
    row(&["--framing", "length"], BINARY, "\0\0\0\x05whole", true),
    row(&["--framing", "lsp"],    TEXT,   "Content-Length: 5\r\n\r\nwhole", true),
    row(&["--base64"],            BINARY, "d2hvbGU=\n", true),
    row(&["--base64"],            TEXT,   "whole\n", true),
    row(&["--hex"],               BINARY, "77686f6c65\n", true),
    row(&["--jsonrpc"],           TEXT,   "whole\n", true),
    row(&["--framing", "json"],   TEXT,   "{\"kind\":\"text\",\"text\":\"whole\"}\n{\"kind\":\"text\",\"text\":\"half\",\"cut\":true}\n", false),
    row(&["--framing", "json"],   BINARY, "{\"kind\":\"binary\",\"base64\":\"d2hvbGU=\"}\n{\"kind\":\"binary\",\"base64\":\"aGFsZg==\",\"cut\":true}\n", false),
];

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.words, self.kind)
    }
}

/// A client that was sent a whole message and then a part of one.
fn begun(words: &[&str], kind: u8) -> (Running, Ws) {
    let (running, mut server) = stdio_to_ws(words);
    server
        .frame(0x80 | kind, b"whole")
        .frame(kind, b"ha")
        .frame(0, b"lf");
    (running, server)
}

#[test]
fn a_close_within_a_message_is_told_by_every_framing() {
    each(ROWS, |row| {
        let (mut running, mut server) = begun(row.words, row.kind);
        server.close(4001, "bye");
        assert_eq!(close_code(&mut server), 4001, "its own code comes back");
        server.fin();
        let done = running.finish();
        let is_json = row.words.contains(&"json");
        let close = if is_json {
            format!("{CLOSE}\n")
        } else {
            String::new()
        };
        assert_eq!(done.text(), format!("{}{close}", row.printed));
        assert_eq!(done.status, 56, "{}", done.stderr);
        let told =
            "closed with 4001: \"bye\", within a message: 4 bytes of it came, the rest did not";
        assert!(done.stderr.contains(told), "{}", done.stderr);
        let left_out = "a message was cut: the 4 bytes that came of it are left out";
        assert_eq!(
            done.stderr.contains(left_out),
            row.is_left_out,
            "{}",
            done.stderr
        );
    });
}

#[test]
fn a_connection_that_is_lost_within_a_message_is_told_by_every_framing() {
    each(ROWS, |row| {
        let (mut running, mut server) = begun(row.words, row.kind);
        server.fin();
        let done = running.finish();
        let is_json = row.words.contains(&"json");
        let close = if is_json {
            "{\"kind\":\"close\",\"code\":1011,\"reason\":\"lost\"}\n"
        } else {
            ""
        };
        assert_eq!(done.text(), format!("{}{close}", row.printed));
        assert_eq!(done.status, 56, "{}", done.stderr);
        let left_out = "the 4 bytes that came of it are left out";
        assert_eq!(
            done.stderr.contains(left_out),
            row.is_left_out,
            "{}",
            done.stderr
        );
    });
}

#[test]
fn any_close_within_a_message_is_status_56() {
    for code in [None, Some(1000), Some(1001), Some(1011), Some(3000)] {
        let (mut running, mut server) = begun(&[], TEXT);
        match code {
            Some(code) => server.close(code, ""),
            None => server.frame(0x88, b""),
        };
        assert_eq!(close_code(&mut server), code.unwrap_or(1005));
        server.fin();
        assert_eq!(running.finish().status, 56, "{code:?}");
    }
}

#[test]
fn a_cut_that_was_recorded_as_json_is_a_cut_again() {
    let (listener, port) = listener();
    let url = format!("ws://127.0.0.1:{port}");
    let mut running = spawn(&["--framing", "json", &url]);
    let mut server = Ws::accept(&listener);
    let lines = "{\"kind\":\"text\",\"text\":\"whole\"}\n{\"kind\":\"text\",\"text\":\"half\",\"cut\":true}\n";
    let lines = format!("{lines}{CLOSE}\n");
    running.stdin().write_all(lines.as_bytes()).unwrap();
    assert_eq!(server.next(), Frame::text("whole"));
    assert_eq!(server.next(), Frame::Piece(false, 1, b"half".to_vec()));
    assert_eq!(server.next(), Frame::Close(1011, "cut".to_owned()));
    server.answer_close(1011);
    assert_eq!(running.finish().status, 56);
}

#[test]
fn a_program_gets_term_when_its_message_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trapped");
    let script = format!(
        "trap 'echo TERM >{0}; exit' TERM; echo ready; while :; do sleep 0.1; done",
        path.display()
    );
    let bridge = Bridge::start(&["--once", "ws-l:0", "--", "sh", "-c", &script]);
    let mut client = bridge.client();
    assert_eq!(client.next(), Frame::text("ready"));
    client.frame(TEXT, b"half").close(1000, "");
    assert_eq!(close_code(&mut client), 1000);
    client.fin();
    assert_eq!(status(bridge), 56);
    let deadline = Instant::now() + PATIENCE;
    while fs::read(&path).ok() != Some(b"TERM\n".to_vec()) {
        assert!(Instant::now() < deadline, "no TERM");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_part_is_no_datagram_and_no_word_in_a_room() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let target = format!("udp:{}", socket.local_addr().unwrap());
    let mut bridge = Bridge::start(&["--once", "ws-l:0", &target]);
    let mut client = bridge.client();
    client.frame(BINARY, b"half").close(1000, "");
    assert_eq!(close_code(&mut client), 1000);
    client.fin();
    let done = bridge.running.finish();
    assert_eq!(done.status, 56);
    assert!(
        done.stderr.contains("the 4 bytes that came"),
        "{}",
        done.stderr
    );
    socket.set_nonblocking(true).unwrap();
    socket.recv(&mut [0; 10]).unwrap_err();

    let bridge = Bridge::start(&["ws-l:0", "hub:"]);
    let (mut one, mut other) = (bridge.client(), bridge.client());
    // Both are there when it has come.
    one.text("here");
    for member in [&mut one, &mut other] {
        assert_eq!(member.next(), Frame::text("here"));
    }
    one.frame(TEXT, b"half").close(1000, "");
    assert_eq!(close_code(&mut one), 1000);
    assert!(bridge.closed().contains("within a message, after 4 bytes"));
    other.text("last");
    assert_eq!(other.next(), Frame::text("last"));
}

#[test]
fn what_a_shared_connection_cut_is_told_to_its_callers() {
    let (listener, port) = listener();
    let target = format!("share:ws://127.0.0.1:{port}");
    let bridge = Bridge::start(&["ws-l:0", &target]);
    // It is answered only when the server has answered.
    let port = bridge.port;
    let client = thread::spawn(move || Ws::connect(port));
    let mut server = Ws::accept(&listener);
    let mut client = client.join().unwrap();
    server.text("whole").frame(TEXT, b"half").close(1000, "");
    assert_eq!(client.next(), Frame::text("whole"));
    let told = "* started again: close 1000 within a message, after 4 bytes of it";
    assert_eq!(client.next(), Frame::text(told));
    bridge
        .running
        .line("the 4 bytes that came of it are left out");
}

#[test]
fn a_part_that_no_other_connection_finishes_is_passed_on() {
    // Close 1002 is not retried: the part is the last that comes.
    let (mut running, mut server) = stdio_to_ws(&["--reconnect", "--framing", "json"]);
    server.frame(TEXT, b"half").close(1002, "bad");
    assert_eq!(close_code(&mut server), 1002);
    server.fin();
    let done = running.finish();
    let expected = "{\"kind\":\"text\",\"text\":\"half\",\"cut\":true}\n{\"kind\":\"close\",\"code\":1002,\"reason\":\"bad\"}\n";
    assert_eq!(
        (done.text(), done.status),
        (expected, 56),
        "{}",
        done.stderr
    );
}

#[test]
fn a_relay_of_relays_passes_the_cut_on() {
    let (far, mut client, mut server) = ws_to_ws(&[]);
    server.frame(TEXT, b"half").close(1001, "away");
    assert_eq!(payload(&mut client, 4), b"half");
    assert_eq!(client.next(), Frame::Close(1011, "cut".to_owned()));
    client.close(1011, "cut");
    assert_eq!(close_code(&mut server), 1001);
    server.fin();
    assert_eq!(client.next(), Frame::Eof);
    assert_eq!(status(far), 56);
    // To one that receives this Close within the message it is the same.
    let (mut running, mut server) = begun(&[], TEXT);
    server.close(1011, "cut");
    assert_eq!(close_code(&mut server), 1011);
    server.fin();
    assert_eq!(running.finish().status, 56);
}

/// Between two messages nothing of this holds, also where messages are merged for a side that ignores boundaries.
#[test]
fn a_close_behind_a_message_of_fragments_is_no_cut() {
    let (listener, port) = listener();
    let bridge = once("ws-l:0", &format!("tcp:127.0.0.1:{port}"), &[]);
    let mut client = bridge.client();
    let mut backend = Tcp::accept(&listener);
    client
        .frame(BINARY, b"a")
        .frame(0, b"b")
        .frame(0x80, b"")
        .close(1000, "");
    assert_eq!(backend.rest(), (b"ab".to_vec(), TcpEnd::Eof));
    drop(backend);
    assert_eq!(close_code(&mut client), 1000);
    client.fin();
    assert_eq!(status(bridge), 0);
}
