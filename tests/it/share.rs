//! `share:` and `each:`: one connection for all callers, and one for each message.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::{Bridge, Frame, Tcp, Ws, run, spawn_under};

#[track_caller]
fn hears(ws: &mut Ws, text: &str) {
    assert_eq!(ws.next(), Frame::text(text));
}

fn close(code: u16, reason: &str) -> Frame {
    Frame::Close(code, reason.to_owned())
}

/// Says which process it is, and then each line that it gets.
const TALKER: &str = "share:sh-c:echo pid $$; while read -r line; do [ \"$line\" = quit ] && exit 3; echo \"got $line\"; done";

#[test]
fn one_program_serves_all_callers() {
    let bridge = Bridge::start(&["ws-l:0", TALKER]);
    let mut one = bridge.client();
    let pid = one.next();
    let mut other = bridge.client();
    // What was said before it came it has not heard.
    other.text("from the other");
    for ws in [&mut one, &mut other] {
        hears(ws, "got from the other");
    }
    one.text("ü").text("");
    for ws in [&mut one, &mut other] {
        hears(ws, "got ü");
        hears(ws, "got ");
    }
    one.close(1000, "");
    assert_eq!(one.next(), close(1000, ""));
    other.text("still here");
    hears(&mut other, "got still here");
    other.close(1000, "");
    assert_eq!(other.next(), close(1000, ""));
    bridge.running.line("nobody is left");
    // The last one has left: the next one has a program of its own.
    let mut third = bridge.client();
    let next = third.next();
    assert!(
        matches!(&next, Frame::Text(text) if text.starts_with(b"pid ")),
        "{next:?}"
    );
    assert_ne!(pid, next);
}

#[test]
fn newcomers_hear_what_was_said_last() {
    for (replay, expected) in [("2", &["got b", "got c"][..]), ("11", &[]), ("5K", &[])] {
        let bridge = Bridge::start(&["ws-l:0", TALKER, "--replay", replay]);
        let mut one = bridge.client();
        one.next();
        for text in ["a", "b", "c"] {
            one.text(text);
            hears(&mut one, &format!("got {text}"));
        }
        let mut other = bridge.client();
        match expected {
            [] => {
                assert!(matches!(other.next(), Frame::Text(text) if text.starts_with(b"pid ")));
                hears(&mut other, "got a");
            }
            expected => expected.iter().for_each(|text| hears(&mut other, text)),
        }
    }
}

#[test]
fn who_may_write_is_told_who_may_not() {
    let bridge = Bridge::start(&["ws-l:0", TALKER, "-o", "right.write=first"]);
    let mut one = bridge.client();
    one.next();
    one.text("a");
    hears(&mut one, "got a");
    let mut other = bridge.client();
    other.text("b");
    hears(&mut other, "* not sent: only who came first writes here");
    one.text("c");
    hears(&mut other, "got c");
    // It is the first one now.
    one.close(1000, "");
    hears(&mut one, "got c");
    assert_eq!(one.next(), close(1000, ""));
    other.text("d");
    hears(&mut other, "got d");

    let bridge = Bridge::start(&["ws-l:0", TALKER, "-o", "right.write=none", "--gap", "close"]);
    let mut one = bridge.client();
    one.next();
    one.text("a");
    assert_eq!(one.next(), close(1008, "nobody writes here"));

    let bridge = Bridge::start(&["ws-l:0", TALKER, "-o", "right.write=lock"]);
    let (mut one, mut other) = (bridge.client(), bridge.client());
    one.next();
    one.text("a");
    for ws in [&mut one, &mut other] {
        while ws.next() != Frame::text("got a") {}
    }
    other.text("b");
    hears(&mut other, "* not sent: 1 is writing");
    one.close(1000, "");
    assert_eq!(one.next(), close(1000, ""));
    other.text("c");
    hears(&mut other, "got c");
}

#[test]
fn what_has_ended_is_started_again_and_callers_are_told() {
    let bridge = Bridge::start(&["ws-l:0", TALKER]);
    let (mut one, mut other) = (bridge.client(), bridge.client());
    let first = one.next();
    one.text("quit");
    hears(&mut one, "* started again: exit 3");
    while other.next() != Frame::text("* started again: exit 3") {}
    let second = one.next();
    assert!(matches!(&second, Frame::Text(text) if text.starts_with(b"pid ")));
    assert_ne!(first, second);
    assert_eq!(other.next(), second);
    other.text("a");
    hears(&mut one, "got a");
    // Or they are told how it ended, and come again if they like.
    let bridge = Bridge::start(&["ws-l:0", TALKER, "--gap", "close"]);
    let mut one = bridge.client();
    one.next();
    one.text("quit");
    assert_eq!(one.next(), close(4003, "exit 3"));
    let mut again = bridge.client();
    assert!(matches!(again.next(), Frame::Text(text) if text.starts_with(b"pid ")));
}

#[test]
fn a_stream_that_is_cut_is_never_told_as_going_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("share:tcp:{}", listener.local_addr().unwrap());
    let bridge = Bridge::start(&["ws-l:0", &place]);
    let (mut one, mut other) = (bridge.client(), bridge.client());
    let mut tcp = Tcp::accept(&listener);
    tcp.send(b"to all");
    for ws in [&mut one, &mut other] {
        assert_eq!(ws.next(), Frame::Binary(b"to all".to_vec()));
    }
    tcp.reset();
    for ws in [&mut one, &mut other] {
        assert_eq!(ws.next(), close(1011, "reset"));
    }
    let mut third = bridge.client();
    let mut tcp = Tcp::accept(&listener);
    third.binary(b"hello");
    assert_eq!(tcp.read(5), b"hello");
}

#[test]
fn what_cannot_be_opened_is_told_before_the_101() {
    let bridge = Bridge::start(&["ws-l:0", "share:tcp:localhost:1"]);
    let mut tcp = Tcp::connect(bridge.port);
    tcp.send(format!(
        "GET / HTTP/1.1\r\nHost: localhost:{}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        bridge.port
    ));
    assert_eq!(tcp.read(12), b"HTTP/1.1 502");
    let done = run(&["-", "share:tcp:localhost:1"], "");
    assert_eq!(done.status, 7, "{}", done.stderr);
}

#[test]
fn an_answer_is_for_who_asked() {
    let line = "share:sh-c:while read -r line; do echo \"answer to $line\"; done";
    let bridge = Bridge::start(&["ws-l:0", line, "--pair"]);
    let mut callers: Vec<Ws> = (0..4).map(|_| bridge.client()).collect();
    for round in 0..50 {
        for (nth, ws) in callers.iter_mut().enumerate() {
            ws.text(&format!("{nth}/{round}"));
        }
        if round == 20 {
            // One asks and leaves: nobody else gets its answer.
            drop(callers.pop());
        }
        for (nth, ws) in callers.iter_mut().enumerate() {
            hears(ws, &format!("answer to {nth}/{round}"));
        }
    }
    // Who has asked and ends waits for the answer, and no longer.
    let mut last = bridge.client();
    last.text("last").close(1000, "");
    hears(&mut last, "answer to last");
    assert_eq!(last.next(), close(1000, ""));
}

#[test]
fn an_answer_that_does_not_come_ends_the_connection() {
    let line = "share:sh-c:while read -r line; do [ $line = never ] || echo $line; done";
    let bridge = Bridge::start(&["ws-l:0", line, "--pair", "--pair-time", "300ms"]);
    let mut one = bridge.client();
    one.text("a");
    hears(&mut one, "a");
    one.text("never");
    let Frame::Text(told) = one.next() else {
        panic!("no text");
    };
    assert!(told.starts_with(b"* started again: "), "{told:?}");
    one.text("b");
    hears(&mut one, "b");
}

#[test]
fn it_may_begin_before_anybody_calls_and_outlive_all() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let line = format!("share:sh-c:echo begun >> {}; cat", log.display());
    let begun = || std::fs::read_to_string(&log).unwrap_or_default();
    let bridge = Bridge::start(&["ws-l:0", &line, "--start", "now", "--stop", "never"]);
    while begun().is_empty() {
        std::thread::yield_now();
    }
    for _ in 0..3 {
        let mut ws = bridge.client();
        ws.text("a");
        hears(&mut ws, "a");
        ws.close(1000, "");
        assert_eq!(ws.next(), close(1000, ""));
    }
    assert_eq!(begun(), "begun\n");
    // A stop does not wait for it.
    assert_eq!(bridge.stop().status, 0);
}

/// 20 MB in lines of 1,000 digits, when it is told to.
const FLOOD: &str = "share:sh-c:read -r go; seq -f %01000g 20000";

fn hears_the_flood(ws: &mut Ws) {
    for number in 1..=20_000 {
        assert_eq!(ws.heard(), Frame::text(&format!("{number:01000}")));
    }
}

#[test]
fn a_slow_caller_holds_up_nobody() {
    let bridge = Bridge::start(&["ws-l:0", FLOOD, "--slow", "drop-newest"]);
    let stalled = bridge.client();
    let mut one = bridge.client();
    one.text("go");
    // It may lose something itself where the machine has no time for it, but it comes to the end.
    let last = Frame::text(&format!("{:01000}", 20_000));
    let mut heard = 0;
    loop {
        let next = one.next();
        heard += 1;
        if next == last || next == Frame::text("* started again: eof") {
            break;
        }
    }
    assert!(heard > 100, "{heard}");
    drop(stalled);
}

#[test]
fn one_caller_alone_is_waited_for_as_if_nothing_were_shared() {
    let bridge = Bridge::start(&["ws-l:0", FLOOD]);
    let mut one = bridge.client();
    one.text("go");
    // The program has ended, or waits, long before anything is read.
    one.text("and again");
    hears_the_flood(&mut one);
}

#[test]
fn each_message_has_an_endpoint_of_its_own() {
    let bridge = Bridge::start(&["ws-l:0", "each:sh-c:echo $$; cat"]);
    let mut ws = bridge.client();
    ws.text("one").text("two").text("");
    let mut pids = Vec::new();
    for expected in ["one", "two", ""] {
        pids.push(ws.next());
        hears(&mut ws, expected);
    }
    pids.dedup();
    assert_eq!(pids.len(), 3);
    ws.close(1000, "");
    assert_eq!(ws.next(), close(1000, ""));
}

#[test]
fn one_that_fails_is_the_end_of_all_and_no_sooner() {
    let line = "each:sh-c:read -r n; echo got $n; exit $n";
    let done = run(&["-", line, "--exit-status", "command"], "0\n3\n0\n");
    assert_eq!(done.text(), "got 0\ngot 3\ngot 0\n");
    assert_eq!(done.status, 3, "{}", done.stderr);
    let done = run(&["-", "each:tcp:localhost:1"], "a\nb\n");
    assert_eq!(done.status, 7, "{}", done.stderr);
}

#[test]
fn many_messages_at_once_are_answered_in_order() {
    let bridge = Bridge::start(&["ws-l:0", "each:sh-c:cat"]);
    let mut ws = bridge.client();
    for number in 0..100 {
        ws.text(&number.to_string());
    }
    for number in 0..100 {
        hears(&mut ws, &number.to_string());
    }
    ws.text(&"x".repeat(200_000));
    let mut got = 0;
    loop {
        match ws.next() {
            Frame::Text(payload) | Frame::Piece(true, _, payload) => {
                got += payload.len();
                break;
            }
            Frame::Piece(false, _, payload) => got += payload.len(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, 200_000);
}

#[test]
fn one_web_socket_or_datagram_answers_each_message() {
    let inner = Bridge::start(&["ws-l:0", "echo:"]);
    let place = format!("each:ws://127.0.0.1:{}/", inner.port);
    let bridge = Bridge::start(&["ws-l:0", &place]);
    let mut ws = bridge.client();
    ws.text("a").text("b");
    hears(&mut ws, "a");
    hears(&mut ws, "b");
    // Each was a session of its own, and ended well.
    for _ in 0..2 {
        let line = inner.closed();
        assert!(line.contains("left=close 1000"), "{line}");
    }
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = format!("each:udp:{}", socket.local_addr().unwrap());
    let bridge = Bridge::start(&["ws-l:0", &place]);
    let mut ws = bridge.client();
    for text in [b"first", b"again"] {
        ws.binary(text);
        let mut buf = [0; 16];
        let (len, from) = socket.recv_from(&mut buf).unwrap();
        socket.send_to(&buf[..len], from).unwrap();
        assert_eq!(ws.next(), Frame::Binary(text.to_vec()));
    }
}

#[test]
fn callers_of_bytes_are_cut_as_what_is_shared_is() {
    for kind in ["share", "each", "reconnect"] {
        let place = format!("{kind}:sh-c:while read -r line; do echo \"got $line\"; done");
        let bridge = Bridge::start(&["tcp-l:0", &place]);
        let mut tcp = Tcp::connect(bridge.port);
        tcp.send("a\nü\n");
        assert_eq!(tcp.read(13), "got a\ngot ü\n".as_bytes(), "{kind}");
    }
}

#[test]
fn a_newcomer_is_served_at_once_after_the_last_one_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let line = format!(
        "share:sh-c:trap 'echo $$ >> {}; exit' TERM; echo $$; while :; do echo tick; sleep 0.1; done",
        log.display()
    );
    let bridge = Bridge::start(&["ws-l:0", &line, "--kill-after", "1s"]);
    let mut one = bridge.client();
    let pid = one.next();
    one.close(1000, "");
    let begun = Instant::now();
    while matches!(one.next(), Frame::Text(_)) {}
    bridge.running.line("nobody is left");
    let mut other = bridge.client();
    let next = other.next();
    assert_ne!(pid, next);
    hears(&mut other, "tick");
    // The first has the time of --kill-after, and no other; the second is not meant.
    let ended = || std::fs::read_to_string(&log).unwrap_or_default();
    while ended().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(8), "no TERM yet");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(Frame::text(ended().trim()), pid);
    hears(&mut other, "tick");
}

#[test]
fn what_callers_said_before_they_left_is_heard_and_what_it_had_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let line = format!(
        "share:sh-c:cat >> {}; sleep 0.3; echo end >> {0}",
        log.display()
    );
    let bridge = Bridge::start(&["ws-l:0", &line, "--max-children", "1"]);
    let mut expected = String::new();
    for round in 0..3 {
        // The place of the last program is waited for.
        let mut ws = bridge.client();
        for number in 0..1000 {
            ws.text(&format!("{round}/{number}"));
            expected += &format!("{round}/{number}\n");
        }
        expected += "end\n";
        ws.close(1000, "");
        assert_eq!(ws.next(), close(1000, ""));
        bridge.running.line("nobody is left");
    }
    assert_eq!(bridge.stop().status, 0);
    let heard = std::fs::read_to_string(&log).unwrap();
    assert!(heard == expected, "{} bytes", heard.len());
}

#[test]
fn what_cannot_begin_again_ends_its_callers() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    for place in ["share:fd:3", "reuse:open-fd:3"] {
        // Only what is written from here keeps it open.
        let opened = format!("exec 3<{}", fifo.display());
        let holder = std::fs::File::options().read(true).write(true).open(&fifo);
        let mut holder = holder.unwrap();
        let mut bridge = Bridge::of(spawn_under(&opened, &["ws-l:0", place]));
        let (mut one, mut other) = (bridge.client(), bridge.client());
        holder.write_all(b"to all\n").unwrap();
        for ws in [&mut one, &mut other] {
            hears(ws, "to all");
        }
        drop(holder);
        for ws in [&mut one, &mut other] {
            assert_eq!(ws.next(), close(1000, ""), "{place}");
            ws.close(1000, "");
        }
        assert_eq!(bridge.running.wait(), 0);
    }
}

/// Reads until the terminal has shown `part`, and returns all of that.
#[track_caller]
fn shown(ws: &mut Ws, part: &str) -> String {
    let mut all = String::new();
    while !all.contains(part) {
        match ws.next() {
            Frame::Binary(bytes) => all += &String::from_utf8_lossy(&bytes),
            other => panic!("{other:?} after {all:?}"),
        }
    }
    all
}

#[test]
fn a_shared_terminal_is_as_small_as_the_smallest_page() {
    let line = "share:sh-c:stty -echo; echo up; while read -r line; do echo \"[$line] $(stty size)\"; done";
    let bridge = Bridge::start(&["ws-l:0", line, "--pty"]);
    let mut one = Ws::ask(bridge.port, "/?cols=100&rows=30&resize=1", &[]);
    shown(&mut one, "up\r\n");
    one.binary(b"a\n");
    shown(&mut one, "[a] 30 100\r\n");
    let mut other = Ws::ask(bridge.port, "/?cols=90&rows=50&resize=1", &[]);
    other.binary(b"b\n");
    for ws in [&mut one, &mut other] {
        shown(ws, "[b] 30 90\r\n");
    }
    // A size is never typed, nor is what is none; who does not say its size has none.
    one.text("{\"cols\":70,\"rows\":20}")
        .text("typed?")
        .binary(b"c\n");
    for ws in [&mut one, &mut other] {
        let all = shown(ws, "[c] 20 70\r\n");
        assert!(!all.contains("cols") && !all.contains("typed"), "{all}");
    }
    let mut plain = bridge.client();
    plain.text("d\n");
    for ws in [&mut one, &mut other, &mut plain] {
        shown(ws, "[d] 20 70\r\n");
    }
    // The smallest has left.
    one.close(1000, "");
    assert_eq!(one.messages().1, close(1000, ""));
    other.binary(b"e\n");
    shown(&mut other, "[e] 50 90\r\n");
}

#[test]
fn where_answers_go_nowhere_each_message_is_heard_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let line = format!("each:sh-c:cat >> {}; echo ignored", log.display());
    let done = run(&["-u", "-", &line], "one\ntwo\nthree\n");
    assert_eq!((done.status, done.text()), (0, ""), "{}", done.stderr);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "one\ntwo\nthree\n");
    let done = run(
        &[
            "-u",
            "-",
            "each:sh-c:read -r n; exit $n",
            "--exit-status",
            "command",
        ],
        "0\n3\n",
    );
    assert_eq!(done.status, 3, "{}", done.stderr);
    let bridge = Bridge::start(&["ws-l:0", &line, "-u"]);
    let mut ws = bridge.client();
    ws.text("four").text("five").close(1000, "");
    assert_eq!(ws.next(), close(1000, ""));
    let heard = std::fs::read_to_string(&log).unwrap();
    assert_eq!(heard, "one\ntwo\nthree\nfour\nfive\n");
}
