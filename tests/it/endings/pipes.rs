//! Sessions of stdin and stdout: how they end by either, by the server, and by the flags that say when.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use super::{Output, assert_same, close_code, each, listener, once, pattern, stdio_to_ws};
use crate::support::{
    Bridge, Frame, Running, Tcp, TcpEnd, Ws, frame_bytes, run, spawn, spawn_under,
};

#[test]
fn echo_request_into_wsbridge_prints_the_answer_and_exits() {
    let (mut running, mut server) = stdio_to_ws(&[]);
    running.stdin().write_all(b"request\n").unwrap();
    assert_eq!(server.next(), Frame::text("request"));
    server.text("answer");
    assert_eq!(close_code(&mut server), 1000);
    server.answer_close(1000);
    let finished = running.finish();
    assert_eq!((finished.status, finished.text()), (0, "answer\n"));
    assert_eq!(finished.stderr, "");
}

#[test]
fn the_last_line_needs_no_newline() {
    let (mut running, mut server) = stdio_to_ws(&["--linger", "0"]);
    running.stdin().write_all(b"one\ntwo").unwrap();
    let lines = vec![Frame::text("one"), Frame::text("two")];
    assert_eq!(
        server.messages(),
        (lines, Frame::Close(1000, String::new()))
    );
    server.answer_close(1000);
    assert_eq!(running.finish().status, 0);
}

#[test]
fn an_answer_that_comes_after_our_close_is_printed() {
    let (mut running, mut server) = stdio_to_ws(&["--linger", "0"]);
    drop(running.stdin());
    assert_eq!(close_code(&mut server), 1000);
    server.text("late").answer_close(1000);
    let finished = running.finish();
    assert_eq!((finished.status, finished.text()), (0, "late\n"));
}

#[test]
fn the_linger_begins_anew_with_each_message() {
    let (mut running, mut server) = stdio_to_ws(&["--linger", "1500ms"]);
    drop(running.stdin());
    let begun = Instant::now();
    for _ in 0..6 {
        // The pauses are what is tested: each shorter than the linger, all together longer.
        thread::sleep(Duration::from_millis(400));
        server.text("tick");
    }
    let last = Instant::now();
    assert_eq!(close_code(&mut server), 1000);
    assert!(begun.elapsed() > Duration::from_millis(2400));
    assert!(
        last.elapsed() > Duration::from_millis(1000),
        "{:?}",
        last.elapsed()
    );
    server.answer_close(1000);
    let finished = running.finish();
    assert_eq!(
        (finished.status, finished.text()),
        (0, "tick\n".repeat(6).as_str())
    );
}

#[test]
fn no_close_waits_for_the_server() {
    for flag in ["-n", "--no-close"] {
        let (mut running, mut server) = stdio_to_ws(&[flag, "--linger", "50ms"]);
        running.stdin().write_all(b"subscribe\n").unwrap();
        assert_eq!(server.next(), Frame::text("subscribe"));
        // Longer than the linger: the time in which nothing must happen.
        thread::sleep(Duration::from_millis(500));
        server.text("news").close(1000, "");
        assert_eq!(
            close_code(&mut server),
            1000,
            "no Close before the answer to ours"
        );
        server.fin();
        let finished = running.finish();
        assert_eq!((finished.status, finished.text()), (0, "news\n"));
    }
}

#[test]
fn the_answer_to_our_close_decides_the_exit_status() {
    let answers: &[(&str, i32)] = &[
        ("1000", 0),
        ("none", 0),
        ("1001", 0),
        ("1011", 110),
        ("4001", 111),
        ("1005", 112),
        ("FIN", 56),
        ("RST", 56),
    ];
    each(answers, |(answer, exit)| {
        let (mut running, mut server) = stdio_to_ws(&["--linger", "0"]);
        drop(running.stdin());
        assert_eq!(close_code(&mut server), 1000);
        server.text("late");
        // What a reset destroys can not be printed: it is read before.
        let mut stdout = Output::of(running.stdout());
        assert_eq!(stdout.read(5), b"late\n");
        match *answer {
            "none" => drop(server.frame(0x88, b"").fin()),
            "FIN" => drop(server.fin()),
            "RST" => server.reset(),
            code => server.answer_close(code.parse().unwrap()),
        }
        assert_eq!(running.wait(), *exit);
    });
}

#[test]
fn a_server_that_closes_gets_all_of_stdin_that_was_read() {
    let (mut running, mut server) = stdio_to_ws(&["-b"]);
    let mut stdin = running.stdin();
    let sent = pattern(8 << 20);
    let whole = sent.clone();
    // It ends when nobody reads any more.
    let writer = thread::spawn(move || stdin.write_all(&whole).is_ok());
    server.close(1000, "");
    let (bytes, end) = server.bytes();
    assert!(matches!(end, Frame::Close(1000, _)), "{end:?}");
    assert_same(&bytes, &sent[..bytes.len()]);
    server.fin();
    assert_eq!(running.wait(), 0);
    writer.join().unwrap();
}

#[test]
fn head_ends_a_session_with_status_0_and_a_close_1000() {
    let (mut running, mut server) = stdio_to_ws(&[]);
    let mut stdout = running.stdout();
    server.text("first");
    let mut line = [0; 6];
    std::io::Read::read_exact(&mut stdout, &mut line).unwrap();
    assert_eq!(&line, b"first\n");
    drop(stdout);
    server.text("second");
    assert_eq!(server.next(), Frame::Close(1000, String::new()));
    // What still comes has no reader and is no error.
    server.text("third").answer_close(1000);
    assert_eq!(running.wait(), 0);
    assert_eq!(running.finish().stderr, "");
}

#[test]
fn head_ends_a_session_under_load_too() {
    let (mut running, mut server) = stdio_to_ws(&[]);
    let mut stdout = running.stdout();
    let mut out = server.stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        let line = frame_bytes(0x81, &[b'x'; 1023], false);
        out.write_all(&line.repeat(8 * 1024))
    });
    std::io::Read::read_exact(&mut stdout, &mut [0; 1024]).unwrap();
    drop(stdout);
    assert_eq!(server.next(), Frame::Close(1000, String::new()));
    // What still comes is taken and has no reader.
    writer.join().unwrap().unwrap();
    server.answer_close(1000);
    assert_eq!(running.wait(), 0);
    assert_eq!(running.finish().stderr, "");
}

#[test]
fn head_does_not_wait_for_a_server_that_never_stops() {
    // Another end than that of --linger would come in an hour only.
    let flags = ["-n", "--close-timeout", "1h"];
    let (mut running, mut server) = stdio_to_ws(&flags);
    let stdout = running.stdout();
    server.text("one");
    drop(stdout);
    server.text("two");
    assert_eq!(close_code(&mut server), 1000);
    // It answers nothing.
    let finished = running.finish();
    assert_eq!((finished.status, &*finished.stderr), (0, ""));
}

#[test]
fn head_behind_a_listener_is_a_close_1000_too() {
    let mut bridge = once("ws-l:0", "-", &[]);
    drop(bridge.running.stdout());
    let mut client = bridge.client();
    client.text("nobody reads");
    assert_eq!(client.next(), Frame::Close(1000, String::new()));
    client.close(1000, "");
    assert_eq!(client.next(), Frame::Eof);
    assert_eq!(bridge.running.wait(), 0);
}

/// Starts the program with a full disk as its stdout.
fn spawn_onto_full_disk(target: &str) -> Running {
    spawn_under("exec > /dev/full", &[target])
}

#[test]
fn a_full_disk_is_status_23_and_no_clean_close() {
    let (listener, port) = listener();
    let mut running = spawn_onto_full_disk(&format!("ws://127.0.0.1:{port}"));
    let mut server = Ws::accept(&listener);
    server.text("lost");
    assert_eq!(close_code(&mut server), 1011);
    server.answer_close(1011);
    let finished = running.finish();
    assert_eq!(finished.status, 23, "{}", finished.stderr);
    assert!(
        finished.stderr.contains("no space left"),
        "it says why: '{}'",
        finished.stderr
    );
}

#[test]
fn a_full_disk_resets_a_tcp_server() {
    let (listener, port) = listener();
    let mut running = spawn_onto_full_disk(&format!("tcp:127.0.0.1:{port}"));
    let mut server = Tcp::accept(&listener);
    server.send("lost");
    assert_eq!(server.rest(), (vec![], TcpEnd::Reset));
    assert_eq!(running.wait(), 23);
}

#[test]
fn a_line_that_is_no_text_is_an_error_that_names_the_flag() {
    let (mut running, mut server) = stdio_to_ws(&[]);
    running
        .stdin()
        .write_all(b"good\nb\xFFd\nnever sent\n")
        .unwrap();
    assert_eq!(server.next(), Frame::text("good"));
    assert_eq!(close_code(&mut server), 1011);
    server.answer_close(1011);
    let finished = running.finish();
    assert_eq!(finished.status, 1);
    assert!(
        finished.stderr.contains("-b"),
        "it names -b: '{}'",
        finished.stderr
    );
}

#[test]
fn a_stdin_that_is_closed_has_ended_and_a_stdout_that_is_closed_takes_all() {
    for redirection in ["exec <&-", "exec >&-"] {
        let (listener, port) = listener();
        let url = format!("ws://127.0.0.1:{port}");
        let mut running = spawn_under(redirection, &["--linger", "0", &url]);
        let mut server = Ws::accept(&listener);
        server.text("answer");
        drop(running.stdin());
        assert_eq!(close_code(&mut server), 1000);
        server.answer_close(1000);
        assert_eq!(running.wait(), 0, "{redirection}");
        assert_eq!(running.finish().stderr, "", "{redirection}");
    }
}

#[test]
fn an_abort_says_on_stderr_what_happened() {
    let (mut running, server) = stdio_to_ws(&[]);
    server.reset();
    let finished = running.finish();
    assert_eq!(finished.status, 56);
    assert!(!finished.stderr.is_empty(), "it says why it failed");
}

#[test]
fn a_tcp_server_answers_after_the_end_of_stdin() {
    let (listener, port) = listener();
    let mut running = spawn(&[&format!("tcp:127.0.0.1:{port}")]);
    running.stdin().write_all(b"question\n").unwrap();
    let mut server = Tcp::accept(&listener);
    assert_eq!(server.rest(), (b"question\n".to_vec(), TcpEnd::Eof));
    server.send("answer without a newline").fin();
    let finished = running.finish();
    assert_eq!(
        (finished.status, finished.text()),
        (0, "answer without a newline")
    );
}

#[test]
fn a_tcp_server_that_resets_is_status_56() {
    let (listener, port) = listener();
    let mut running = spawn(&["-b", &format!("tcp:127.0.0.1:{port}")]);
    let mut stdout = Output::of(running.stdout());
    let mut server = Tcp::accept(&listener);
    server.send("half a line");
    assert_eq!(stdout.read(11), b"half a line");
    server.reset();
    assert_eq!(running.wait(), 56);
    assert_eq!(stdout.rest(), b"");
}

#[test]
fn a_tcp_server_that_ends_first_ends_the_session_while_stdin_is_open() {
    let (listener, port) = listener();
    let mut running = spawn(&[&format!("tcp:127.0.0.1:{port}")]);
    let mut server = Tcp::accept(&listener);
    server.send("bye\n");
    drop(server);
    // Its stdin is a pipe that stays open.
    assert_eq!(running.wait(), 0);
    assert_eq!(running.finish().text(), "bye\n");
}

#[test]
fn lines_reach_a_tcp_server_as_they_are() {
    let (listener, port) = listener();
    let mut running = spawn(&[&format!("tcp:127.0.0.1:{port}")]);
    running.stdin().write_all(b"one\n\ntwo").unwrap();
    let mut server = Tcp::accept(&listener);
    assert_eq!(server.rest(), (b"one\n\ntwo".to_vec(), TcpEnd::Eof));
    server.send("\n1\nü").fin();
    let finished = running.finish();
    assert_eq!((finished.status, finished.text()), (0, "\n1\nü"));
}

#[test]
fn head_ends_a_session_with_a_tcp_server_without_noise() {
    let (listener, port) = listener();
    let mut running = spawn(&["-b", &format!("tcp:127.0.0.1:{port}")]);
    let mut server = Tcp::accept(&listener);
    let mut stdout = running.stdout();
    server.send("first\n");
    std::io::Read::read_exact(&mut stdout, &mut [0; 6]).unwrap();
    drop(stdout);
    server.send("second\n");
    assert_eq!(running.wait(), 0);
    assert_eq!(running.finish().stderr, "");
}

#[test]
fn stdin_may_be_joined_to_a_listener_on_the_right() {
    let bridge = Bridge::of(spawn(&["-", "ws-l:0"]));
    let mut client = bridge.client();
    client.text("hello").close(4001, "done");
    assert_eq!(client.next(), Frame::Close(4001, "done".to_owned()));
    let mut running = bridge.running;
    assert_eq!(running.wait(), 111);
    assert_eq!(running.finish().text(), "hello\n");
}

#[test]
fn the_end_of_stdin_closes_a_client_after_the_linger() {
    let mut bridge = once("ws-l:0", "-", &["--linger", "200ms"]);
    let mut client = bridge.client();
    bridge.running.stdin().write_all(b"welcome\n").unwrap();
    assert_eq!(client.next(), Frame::text("welcome"));
    assert_eq!(close_code(&mut client), 1000);
    client.text("late").close(1000, "");
    assert_eq!(client.next(), Frame::Eof);
    let finished = bridge.running.finish();
    assert_eq!((finished.status, finished.text()), (0, "late\n"));
}

#[test]
fn no_input_at_all_is_a_clean_session() {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let mut server = Ws::accept(&listener);
        let seen = server.messages();
        server.answer_close(1000);
        seen
    });
    let finished = run(&["--linger", "0", &format!("ws://127.0.0.1:{port}")], "");
    assert_eq!((finished.status, finished.text()), (0, ""));
    assert_eq!(
        server.join().unwrap(),
        (vec![], Frame::Close(1000, String::new()))
    );
}

/// A client whose stdout is read no more, while the server says nothing: it ends at once, not at the next message.
#[test]
fn a_client_ends_when_its_reader_has_gone_and_nothing_comes() {
    for words in [&["-n"][..], &["-n", "-b"]] {
        let (mut running, mut server) = stdio_to_ws(words);
        let mut out = running.stdout();
        server.text("x");
        // Lines have a newline behind them, bytes have none.
        let len = if words.len() == 1 { 2 } else { 1 };
        let mut read = vec![0; len];
        std::io::Read::read_exact(&mut out, &mut read).unwrap();
        drop(out);
        assert_eq!(close_code(&mut server), 1000);
        server.answer_close(1000);
        assert_eq!(running.finish().status, 0);
    }
}

/// Who only sends does not need a reader.
#[test]
fn a_client_that_prints_nothing_goes_on_without_a_reader() {
    let (mut running, mut server) = stdio_to_ws(&["-u"]);
    drop(running.stdout());
    running.stdin().write_all(b"one\n").unwrap();
    assert_eq!(server.next(), Frame::text("one"));
}
