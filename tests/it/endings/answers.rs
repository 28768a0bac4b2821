//! Answers that come after the end of the input: they are waited for, for as long as the sides and the flags say.

use std::io::Write;
use std::os::unix::net::UnixStream;

use super::{listener, status, stdio_to_ws, tcp_to_ws};
use crate::support::{Bridge, Frame, Tcp, TcpEnd, Ws, run, spawn};

/// A pong behind what was sent to it shows that nothing else, such as a Close, was sent after the question.
#[track_caller]
fn is_open(server: &mut Ws) {
    server.frame(0x89, b"still open");
    assert_eq!(server.next(), Frame::Pong(b"still open".to_vec()));
}

#[test]
fn the_half_close_of_a_caller_leaves_the_websocket_open() {
    let (bridge, mut client, mut server) = tcp_to_ws(&[]);
    client.send("question").fin();
    assert_eq!(server.next(), Frame::Binary(b"question".to_vec()));
    is_open(&mut server);
    server.binary(b"answer").close(1000, "");
    assert_eq!(client.rest(), (b"answer".to_vec(), TcpEnd::Eof));
    assert_eq!(server.next(), Frame::Close(1000, String::new()));
    server.fin();
    assert_eq!(status(bridge), 0);
}

#[test]
fn a_linger_that_runs_out_is_said_in_the_closing_line() {
    let (bridge, mut client, mut server) = tcp_to_ws(&["--linger", "100ms"]);
    client.send("question").fin();
    assert_eq!(server.next(), Frame::Binary(b"question".to_vec()));
    assert_eq!(server.next(), Frame::Close(1000, String::new()));
    server.answer_close(1000);
    assert_eq!(client.rest(), (vec![], TcpEnd::Eof));
    let line = bridge.closed();
    assert!(
        line.contains("left=eof right=linger expired after 100ms "),
        "{line}"
    );
    assert_eq!(status(bridge), 0);
}

#[test]
fn no_close_holds_for_every_caller_of_bytes() {
    let (bridge, mut client, mut server) = tcp_to_ws(&["-n"]);
    client.send("question").fin();
    assert_eq!(server.next(), Frame::Binary(b"question".to_vec()));
    is_open(&mut server);
    server.close(4001, "done");
    assert_eq!(client.rest(), (vec![], TcpEnd::Eof));
    assert_eq!(server.next(), Frame::Close(4001, "done".to_owned()));
    server.fin();
    assert_eq!(status(bridge), 111);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (listener, port) = listener();
    let left = format!("unix-l:{}", path.display());
    let bridge = Bridge::start(&["--once", "-n", &left, &format!("ws://127.0.0.1:{port}")]);
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut server = Ws::accept(&listener);
    assert_eq!(server.next(), Frame::Binary(b"question".to_vec()));
    is_open(&mut server);
    server.close(1000, "");
    assert_eq!(server.next(), Frame::Close(1000, String::new()));
    server.fin();
    assert_eq!(status(bridge), 0);
}

/// Who has closed a Unix socket altogether hears no answer.
#[test]
fn a_unix_socket_that_was_closed_waits_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (listener, port) = listener();
    let left = format!("unix-l:{}", path.display());
    let bridge = Bridge::start(&["--once", "-n", &left, &format!("ws://127.0.0.1:{port}")]);
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"news").unwrap();
    let mut server = Ws::accept(&listener);
    assert_eq!(server.next(), Frame::Binary(b"news".to_vec()));
    drop(client);
    assert_eq!(server.next(), Frame::Close(1000, String::new()));
    server.answer_close(1000);
    assert_eq!(status(bridge), 0);
}

#[test]
fn one_message_is_answered_however_long_the_server_thinks() {
    for words in [&["--send", "question", "-1"][..], &["-1"]] {
        let (mut running, mut server) = stdio_to_ws(words);
        let mut stdin = running.stdin();
        stdin.write_all(b"question\n").unwrap();
        drop(stdin);
        assert_eq!(server.next(), Frame::text("question"));
        is_open(&mut server);
        server.text("answer");
        assert_eq!(server.next(), Frame::Close(1000, String::new()));
        server.answer_close(1000);
        let finished = running.finish();
        assert_eq!((finished.status, finished.text()), (0, "answer\n"));
    }
}

#[test]
fn fewer_messages_than_were_asked_for_are_a_failure_that_says_how_many() {
    let asked = |end: fn(&mut Ws), words: &[&str]| {
        let (mut running, mut server) = stdio_to_ws(words);
        let mut stdin = running.stdin();
        stdin.write_all(b"question\n").unwrap();
        drop(stdin);
        assert_eq!(server.next(), Frame::text("question"));
        end(&mut server);
        running.finish()
    };
    let done = asked(|server| server.answer_close(1000), &["-1"]);
    assert_eq!(done.status, 28);
    assert!(
        done.stderr
            .contains(": 0 of 1 messages came before the end"),
        "{}",
        done.stderr
    );
    let one = |server: &mut Ws| server.text("one").answer_close(1000);
    let done = asked(one, &["--max-messages", "2"]);
    assert_eq!((done.status, done.text()), (28, "one\n"));
    assert!(
        done.stderr.contains(": 1 of 2 messages came"),
        "{}",
        done.stderr
    );
    // What the peer says about its end comes first.
    for (code, expected) in [(1011, 110), (4000, 111)] {
        let close: fn(&mut Ws) = match code {
            1011 => |server| server.answer_close(1011),
            _ => |server| server.answer_close(4000),
        };
        assert_eq!(asked(close, &["-1"]).status, expected);
    }
    let lost = |server: &mut Ws| {
        server.fin();
    };
    assert_eq!(asked(lost, &["-1"]).status, 56);
    // By hand a linger is a limit here, too.
    let quiet = |server: &mut Ws| {
        assert_eq!(server.next(), Frame::Close(1000, String::new()));
        server.answer_close(1000);
    };
    assert_eq!(asked(quiet, &["-1", "--linger", "100ms"]).status, 28);
}

/// An input that has ended asks no more: what was to come is enough.
#[test]
fn messages_that_came_are_enough_where_the_input_has_ended() {
    let (mut running, mut server) = stdio_to_ws(&["--max-messages", "2"]);
    drop(running.stdin());
    is_open(&mut server);
    server.text("one").text("two").text("never printed");
    assert_eq!(server.next(), Frame::Close(1000, String::new()));
    server.answer_close(1000);
    let finished = running.finish();
    assert_eq!((finished.status, finished.text()), (0, "one\ntwo\n"));
}

#[test]
fn a_session_in_which_nothing_came_names_the_flags_that_wait() {
    let quiet = |input: &[u8]| {
        let (mut running, mut server) = stdio_to_ws(&[]);
        let mut stdin = running.stdin();
        stdin.write_all(input).unwrap();
        drop(stdin);
        assert!(matches!(server.messages(), (_, Frame::Close(1000, _))));
        server.answer_close(1000);
        running.finish()
    };
    let done = quiet(b"question\n");
    assert_eq!(done.status, 0);
    let hint = "nothing came after the end of input for 1s; -n waits until the other side closes, --linger 1m waits longer";
    assert!(done.stderr.contains(hint), "{}", done.stderr);
    let done = quiet(b"");
    assert_eq!(done.status, 0);
    let hint = "the input was empty, and then nothing came for 1s; -n waits";
    assert!(done.stderr.contains(hint), "{}", done.stderr);
}

/// A target of bytes takes lines with their newlines, and what it says is no lines either.
#[test]
fn a_client_speaks_bytes_to_a_server_of_bytes() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let backend = std::thread::spawn(move || {
        let mut backend = Tcp::accept(&listener);
        let asked = backend.read(5);
        backend.send("+PONG\r\n").fin();
        (asked, backend.rest())
    });
    let done = run(&[&bridge.url()], "PING\n");
    assert_eq!(
        (done.status, done.text()),
        (0, "+PONG\r\n"),
        "{}",
        done.stderr
    );
    let (asked, rest) = backend.join().unwrap();
    assert_eq!((asked, rest), (b"PING\n".to_vec(), (vec![], TcpEnd::Eof)));
}

#[test]
fn the_answer_says_whether_the_target_takes_bytes() {
    let (_listener, port) = listener();
    let tcp = format!("tcp:127.0.0.1:{port}");
    let servers = [
        (Bridge::start(&["ws-l:0", &tcp]), true),
        (Bridge::start(&["ws-l:0", "-t", &tcp]), false),
        (Bridge::start(&["ws-l:0", "echo:"]), false),
        (Bridge::start(&["ws-l:0", "sh-c:cat"]), false),
        (Bridge::start(&["ws-l:0", "--accept-first", &tcp]), false),
        (Bridge::start(&["ws-l:0", "hub:"]), false),
    ];
    let says = |bridge: &Bridge| {
        Ws::ask(bridge.port, "/", &[])
            .head
            .to_ascii_lowercase()
            .contains("\r\nwsbridge-target: bytes\r\n")
    };
    for (server, is_of_bytes) in &servers {
        assert_eq!(says(server), *is_of_bytes);
        let relay = Bridge::start(&["ws-l:0", &server.url()]);
        assert_eq!(says(&relay), *is_of_bytes);
    }
}

#[test]
fn half_close_is_agreed_to_where_both_sides_can() {
    let (_listener, port) = listener();
    let tcp = format!("tcp:127.0.0.1:{port}");
    let offer = [(
        "Sec-WebSocket-Extensions",
        "permessage-deflate, wsbridge-half-close",
    )];
    for (words, is_agreed) in [
        (&["ws-l:0", &tcp][..], true),
        (&["ws-l:0", "echo:"], true),
        (&["ws-l:0", "sh-c:cat"], true),
        (&["ws-l:0", "each:sh-c:cat"], true),
        (&["ws-l:0", "--pty", "--", "cat"], false),
        (&["ws-l:0", "hub:"], false),
        (&["ws-l:0", "share:sh-c:cat"], false),
        (&["ws-l:0", "--framing", "json", &tcp], false),
        (&["ws-l:0", "--half-close", "no", &tcp], false),
        (&["ws-l:0", "--accept-first", &tcp], false),
        (&["ws-l:0", "-n", &tcp], false),
        (&["ws-l:0", "--linger", "1s", &tcp], false),
    ] {
        let bridge = Bridge::start(words);
        for (headers, expected) in [(&offer[..], is_agreed), (&[], false)] {
            let head = Ws::ask(bridge.port, "/", headers).head.to_ascii_lowercase();
            let accepted = "\r\nsec-websocket-extensions: wsbridge-half-close; ack=1\r\n";
            assert_eq!(head.contains(accepted), expected, "{words:?}: {head}");
            assert!(!head.contains("deflate"), "{head}");
        }
    }
}

/// A session that only waits for late answers ends when its permit is needed.
#[test]
fn a_lingering_session_makes_room_for_a_new_caller() {
    let (listener, port) = listener();
    let url = format!("ws://127.0.0.1:{port}");
    let bridge = Bridge::start(&["--max-connections", "1", "-n", "tcp-l:0", &url]);
    let mut first = Tcp::connect(bridge.port);
    first.send("question").fin();
    let mut server = Ws::accept(&listener);
    assert_eq!(server.next(), Frame::Binary(b"question".to_vec()));
    // Its input has ended when this is answered.
    is_open(&mut server);
    let mut second = Tcp::connect(bridge.port);
    let mut next = Ws::accept(&listener);
    second.send("next").fin();
    assert_eq!(next.next(), Frame::Binary(b"next".to_vec()));
    assert_eq!(server.next(), Frame::Close(1000, String::new()));
    server.answer_close(1000);
    assert_eq!(first.rest(), (vec![], TcpEnd::Eof));
}

/// The one that has been quiet for longest goes first.
#[test]
fn the_quietest_of_the_lingering_sessions_makes_room() {
    let (listener, port) = listener();
    let url = format!("ws://127.0.0.1:{port}");
    let bridge = Bridge::start(&["--max-connections", "3", "-n", "tcp-l:0", &url]);
    let ask = || {
        let mut caller = Tcp::connect(bridge.port);
        caller.send("question").fin();
        let mut server = Ws::accept(&listener);
        assert_eq!(server.next(), Frame::Binary(b"question".to_vec()));
        is_open(&mut server);
        (caller, server)
    };
    let [mut first, mut second, mut third] = [ask(), ask(), ask()];
    first.1.binary(b"a part of the answer");
    assert_eq!(first.0.read(20), b"a part of the answer");
    let mut next = [ask(), ask()];
    for (caller, server) in [&mut second, &mut third] {
        assert_eq!(server.next(), Frame::Close(1000, String::new()));
        server.answer_close(1000);
        assert_eq!(caller.rest(), (vec![], TcpEnd::Eof));
    }
    for (_, server) in [&mut first].into_iter().chain(&mut next) {
        is_open(server);
    }
}

/// Toward bytes the one message is all of the input, however many lines it has.
#[test]
fn one_message_to_a_server_of_bytes_is_the_whole_input() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let input = "a line of the input\n".repeat(50_000);
    let expected = input.clone();
    let backend = std::thread::spawn(move || {
        let mut backend = Tcp::accept(&listener);
        let (asked, end) = backend.rest();
        backend.send("taken").fin();
        (asked == expected.as_bytes(), end)
    });
    let done = run(&["-1", &bridge.url()], &input);
    assert_eq!((done.status, done.text()), (0, "taken"), "{}", done.stderr);
    assert_eq!(backend.join().unwrap(), (true, TcpEnd::Eof));
}

/// An open stdin holds no session whose target has ended, be there one bridge or two.
#[test]
fn a_target_that_has_ended_ends_the_session_while_stdin_is_open() {
    let (listener, port) = listener();
    let target = format!("tcp:127.0.0.1:{port}");
    let bridge = Bridge::start(&["ws-l:0", &target]);
    for words in [
        vec![bridge.url()],
        vec!["-b".to_owned(), "-".to_owned(), target.clone()],
    ] {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let mut running = spawn(&words);
        let _open = running.stdin();
        let mut backend = Tcp::accept(&listener);
        backend.send("all of it\n").fin();
        let finished = running.finish();
        assert_eq!((finished.status, finished.text()), (0, "all of it\n"));
    }
}
