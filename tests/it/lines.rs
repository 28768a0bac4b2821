//! Lines and messages: what goes in comes out unchanged, by stdin and stdout, TCP and between two WebSockets.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::support::{Bridge, Finished, Frame, Tcp, TcpEnd, Ws, frame_bytes, run, spawn};

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A WebSocket server for one client that does as told; its URL.
fn server<T: Send + 'static>(
    does: impl FnOnce(&mut Ws) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let (listener, port) = listener();
    let server = thread::spawn(move || does(&mut Ws::accept(&listener)));
    (format!("ws://127.0.0.1:{port}"), server)
}

/// What a server is sent by a client with this input, up to its Close, and what the client left.
#[track_caller]
fn sent(words: &[&str], input: impl AsRef<[u8]>) -> (Vec<Frame>, Frame, Finished) {
    let (url, server) = server(|ws| {
        let (messages, end) = ws.messages();
        if let Frame::Close(code, _) = end {
            ws.answer_close(code);
        }
        (messages, end)
    });
    let words: Vec<_> = words
        .iter()
        .copied()
        .chain(["--linger", "0", "-", &url])
        .collect();
    let done = run(&words, input);
    let (messages, end) = server.join().unwrap();
    (messages, end, done)
}

/// What a client prints that is sent these frames and a Close 1000.
#[track_caller]
fn printed(words: &[&str], frames: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (first, payload) in frames {
        bytes.extend(frame_bytes(*first, payload, false));
    }
    let (url, server) = server(move |ws| {
        ws.raw(&bytes).close(1000, "");
        ws.messages()
    });
    let words: Vec<_> = words.iter().copied().chain(["-", &url]).collect();
    let done = run(&words, "");
    server.join().unwrap();
    assert_eq!(done.status, 0, "{}", done.stderr);
    done.stdout
}

fn normal() -> Frame {
    Frame::Close(1000, String::new())
}

fn texts(lines: &[&str]) -> Vec<Frame> {
    lines.iter().map(|line| Frame::text(line)).collect()
}

// ---- stdin and stdout

#[test]
fn a_hundred_thousand_lines_come_back_as_they_went() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let input: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    let done = run(&[&bridge.url()], &input);
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert!(
        done.text() == input,
        "{} of {} bytes",
        done.stdout.len(),
        input.len()
    );
    let line = bridge.closed();
    assert!(line.contains("messages_right=100000"), "{line}");
    assert!(line.contains("messages_left=100000"), "{line}");
}

#[test]
fn a_hundred_thousand_lines_come_from_the_stdin_of_a_server() {
    let mut server = spawn(&["-s", "0"]);
    let line = server.line("listening on ws://127.0.0.1:");
    let port = line.split("127.0.0.1:").nth(1).unwrap();
    let port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    let mut ws = Ws::connect(port.parse().unwrap());
    let input: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    let mut stdin = server.stdin();
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    for number in 1..=100_000 {
        assert_eq!(ws.next(), Frame::text(&number.to_string()));
    }
    writer.join().unwrap();
    assert_eq!(ws.next(), normal());
}

#[test]
fn each_line_is_a_text_message_without_its_newline() {
    for (input, expected) in [
        ("", &[][..]),
        ("one\n", &["one"]),
        ("one\ntwo\n", &["one", "two"]),
        ("one\nlast", &["one", "last"]),
        ("\n", &[""]),
        ("\n\n\n", &["", "", ""]),
        ("a\n\nb\n\n", &["a", "", "b", ""]),
        ("crlf\r\n\r\n\r", &["crlf\r", "\r", "\r"]),
        ("nul\0in\0it\n\0\n", &["nul\0in\0it", "\0"]),
        (" blanks \t\n", &[" blanks \t"]),
        ("ü€𝄞\n\u{feff}\u{2028}\n", &["ü€𝄞", "\u{feff}\u{2028}"]),
        ("\x1b[31mred\x07\n", &["\x1b[31mred\x07"]),
    ] {
        let (messages, end, done) = sent(&[], input);
        assert_eq!((messages, end), (texts(expected), normal()), "{input:?}");
        assert_eq!((done.status, done.text()), (0, ""), "{}", done.stderr);
    }
}

#[test]
fn a_line_longer_than_every_buffer_is_one_message() {
    for size in [
        125, 126, 65_535, 65_536, 150_000, 262_143, 262_144, 262_145, 600_000,
    ] {
        // Characters of two, three and four bytes fall on every border.
        let mut line = "x".repeat(size % 7);
        while line.len() < size {
            line += ["ü", "€", "𝄞"][line.len() % 3];
        }
        let input = format!("before\n{line}\n\nafter\n");
        let (messages, end, done) = sent(&[], &input);
        assert!(messages == texts(&["before", &line, "", "after"]), "{size}");
        assert_eq!((end, done.status), (normal(), 0), "{}", done.stderr);
        let text = format!("{line}!");
        let out = printed(
            &[],
            &[(0x81, b"before"), (0x81, text.as_bytes()), (0x81, b"after")],
        );
        assert!(
            out == format!("before\n{text}\nafter\n").into_bytes(),
            "{size}"
        );
    }
}

#[test]
fn a_line_leaves_when_its_newline_comes_and_not_before() {
    let (listener, port) = listener();
    let mut client = spawn(&[&format!("ws://127.0.0.1:{port}")]);
    let mut ws = Ws::accept(&listener);
    let mut stdin = client.stdin();
    stdin.write_all(b"one\ntw").unwrap();
    assert_eq!(ws.next(), Frame::text("one"));
    stdin.write_all(b"o\n").unwrap();
    assert_eq!(ws.next(), Frame::text("two"));
    // And what is answered is printed while stdin is open.
    let mut stdout = client.stdout();
    ws.text("answer");
    let mut got = [0; 7];
    stdout.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"answer\n");
}

#[test]
fn text_is_printed_with_a_newline_and_binary_as_it_is() {
    assert_eq!(
        printed(&[], &[(0x81, b"one"), (0x81, b"two")]),
        b"one\ntwo\n"
    );
    assert_eq!(printed(&[], &[(0x81, b"")]), b"\n");
    assert_eq!(printed(&[], &[(0x82, b"")]), b"");
    assert_eq!(
        printed(&[], &[(0x82, b"raw"), (0x82, b"\0\xff\n"), (0x81, b"t")]),
        b"raw\0\xff\nt\n"
    );
    assert_eq!(
        printed(&[], &[(0x81, b"own newline\n"), (0x81, b"crlf\r\n")]),
        b"own newline\n\ncrlf\r\n\n"
    );
    assert_eq!(
        printed(&[], &[(0x81, "ü\0€".as_bytes())]),
        "ü\0€\n".as_bytes()
    );
}

#[test]
fn a_fragmented_message_is_printed_whole() {
    let euro = "€".as_bytes();
    let frames: &[(u8, &[u8])] = &[
        (0x01, b"a"),
        (0x00, &euro[..1]),
        (0x89, b"ping between"),
        (0x00, b""),
        (0x00, &euro[1..]),
        (0x80, b""),
        (0x02, b"b"),
        (0x80, b"c"),
        (0x01, b""),
        (0x80, b""),
    ];
    assert_eq!(printed(&[], frames), "a€\nbc\n".as_bytes());
}

#[test]
fn bytes_of_stdin_and_stdout_are_left_alone() {
    let bytes: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
    let (messages, end, done) = sent(&["-b"], &bytes);
    let mut got = Vec::new();
    for message in messages {
        let Frame::Binary(payload) = message else {
            panic!("{message:?}");
        };
        got.extend(payload);
    }
    assert!(got == bytes);
    assert_eq!((end, done.status), (normal(), 0), "{}", done.stderr);
    assert_eq!(
        printed(&["-b"], &[(0x81, b"text"), (0x82, b"\0\xff"), (0x81, b"")]),
        b"text\0\xff"
    );
    assert_eq!(sent(&["--binary"], "").0, []);
    let (messages, ..) = sent(&["-t"], "one\n\ntwo");
    assert_eq!(messages, texts(&["one", "", "two"]));
}

#[test]
fn lines_of_bytes_are_binary_messages() {
    let (messages, end, done) = sent(&["-b", "--framing", "lines"], b"one\n\xff\0\n\nlast");
    let expected = [&b"one"[..], b"\xff\0", b"", b"last"].map(|line| Frame::Binary(line.to_vec()));
    assert_eq!((messages, end), (expected.to_vec(), normal()));
    assert_eq!(done.status, 0, "{}", done.stderr);
}

#[test]
fn chunks_of_text_never_cut_a_character() {
    let (listener, port) = listener();
    let mut client = spawn(&[
        "--framing",
        "chunks",
        "-",
        &format!("ws://127.0.0.1:{port}"),
    ]);
    let mut ws = Ws::accept(&listener);
    let mut stdin = client.stdin();
    stdin.write_all(b"a\n\xe2").unwrap();
    assert_eq!(ws.next(), Frame::text("a\n"));
    stdin.write_all(b"\x82").unwrap();
    stdin.write_all(b"\xacb").unwrap();
    let mut got = Vec::new();
    while got.len() < 4 {
        let Frame::Text(text) = ws.next() else {
            panic!("no text");
        };
        assert!(std::str::from_utf8(&text).is_ok());
        got.extend(text);
    }
    assert_eq!(got, "€b".as_bytes());
}

#[test]
fn how_bytes_are_cut_can_be_an_option_of_one_side() {
    let (url, server) = server(|ws| {
        let got = ws.messages();
        ws.answer_close(1000);
        got
    });
    let done = run(
        &[
            "--linger",
            "0",
            "-o",
            "left.framing=lines",
            "-o",
            "left.binary",
            "-",
            &url,
        ],
        "one\ntwo\n",
    );
    let (messages, _) = server.join().unwrap();
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert_eq!(
        messages,
        [b"one", b"two"].map(|line| Frame::Binary(line.to_vec()))
    );
    assert_eq!(
        run(&["--framing", "words", "-", "ws://127.0.0.1:1"], "").status,
        2
    );
}

// ---- text that is none

#[test]
fn a_line_that_is_not_utf8_is_an_error_with_its_place() {
    let long = "x".repeat(300_000);
    let mut in_long = format!("good\n{long}").into_bytes();
    in_long.extend(b"\xff\nmore\n");
    for (input, offset) in [
        (&b"good\nbad \xff here\nmore\n"[..], 9),
        (b"good\n\xff", 5),
        // A character that the line ends within begins where it begins.
        (b"good\nab\xe2\x82\nmore\n", 7),
        (b"good\nab\xe2\x82", 7),
        // A surrogate, an overlong form, a code point too high (RFC 3629 3).
        (b"good\n\xed\xa0\x80\n", 5),
        (b"good\n\xc0\x80\n", 5),
        (b"good\n\xf4\x90\x80\x80\n", 5),
        (&in_long, 300_005),
    ] {
        let (messages, end, done) = sent(&[], input);
        let what = String::from_utf8_lossy(&input[..input.len().min(30)]);
        assert_eq!(messages, texts(&["good"]), "{what}");
        assert!(matches!(end, Frame::Close(1011, _)), "{what}: {end:?}");
        assert_eq!(
            (done.status, done.text()),
            (1, ""),
            "{what}: {}",
            done.stderr
        );
        let names_place = done.stderr.contains(&format!("byte {offset}"));
        assert!(
            names_place && done.stderr.contains("-b"),
            "{what}: {}",
            done.stderr
        );
    }
}

#[test]
fn an_answer_before_text_that_is_none_is_printed() {
    let (listener, port) = listener();
    let mut client = spawn(&[&format!("ws://127.0.0.1:{port}")]);
    let mut ws = Ws::accept(&listener);
    let mut stdin = client.stdin();
    stdin.write_all(b"ask\n").unwrap();
    assert_eq!(ws.next(), Frame::text("ask"));
    ws.text("answer");
    let mut stdout = client.stdout();
    let mut got = [0; 7];
    stdout.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"answer\n");
    // stdin stays open: the error alone ends it.
    stdin.write_all(b"\xff\n").unwrap();
    assert!(matches!(ws.next(), Frame::Close(1011, _)));
    ws.answer_close(1011);
    assert_eq!(client.wait(), 1);
}

#[test]
fn tcp_that_should_be_text_and_is_not_is_reset() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["-t", "ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut ws = bridge.client();
    let mut target = Tcp::accept(&listener);
    target.send(b"good\nbad \xff\n");
    let (messages, end) = ws.messages();
    assert_eq!(messages, texts(&["good"]));
    assert!(matches!(end, Frame::Close(1011, _)), "{end:?}");
    ws.answer_close(1011);
    assert_eq!(target.rest(), (vec![], TcpEnd::Reset));
    let line = bridge.closed();
    assert!(line.contains("byte 9"), "{line}");
    let done = bridge.stop();
    assert!(done.stderr.contains("-b"), "{}", done.stderr);
}

#[test]
fn text_of_a_peer_that_is_none_is_told_1007() {
    let (url, server) = server(|ws| {
        ws.text("good").frame(0x81, b"bad \xff");
        ws.messages()
    });
    let done = run(&["-n", "-", &url], "");
    let (_, end) = server.join().unwrap();
    assert!(matches!(end, Frame::Close(1007, _)), "{end:?}");
    assert_eq!(done.status, 112, "{}", done.stderr);
    assert!(done.stdout.starts_with(b"good\n"));
    assert!(
        !done.stdout.ends_with(b"\n") || done.stdout == b"good\n",
        "it is not a whole line"
    );
}

// ---- the end of stdin and of the server

#[test]
fn an_answer_that_comes_later_is_printed() {
    let (url, server) = server(|ws| {
        assert_eq!(ws.next(), Frame::text("question"));
        // The delay is the thing tested: stdin has long ended.
        thread::sleep(Duration::from_millis(300));
        ws.text("first");
        thread::sleep(Duration::from_millis(700));
        // Within a second of the last one: the quiet begins anew.
        ws.text("second");
        let end = ws.messages().1;
        ws.answer_close(1000);
        end
    });
    let begun = Instant::now();
    let done = run(&[&url], "question\n");
    assert_eq!(server.join().unwrap(), normal());
    assert_eq!(
        (done.text(), done.status),
        ("first\nsecond\n", 0),
        "{}",
        done.stderr
    );
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

#[test]
fn without_linger_the_close_comes_at_once_and_answers_before_the_reply_are_printed() {
    let (url, server) = server(|ws| {
        assert_eq!(ws.next(), Frame::text("question"));
        assert_eq!(ws.next(), normal());
        ws.text("late answer").answer_close(1000);
    });
    let done = run(&["--linger", "0", "-", &url], "question\n");
    server.join().unwrap();
    assert_eq!(
        (done.text(), done.status),
        ("late answer\n", 0),
        "{}",
        done.stderr
    );
}

#[test]
fn with_no_close_the_server_has_the_last_word() {
    let (url, server) = server(|ws| {
        assert_eq!(ws.next(), Frame::text("question"));
        // Longer than the linger would be.
        thread::sleep(Duration::from_millis(1500));
        ws.text("answer").close(1000, "");
        ws.messages()
    });
    let done = run(&["-n", "-", &url], "question\n");
    assert_eq!(server.join().unwrap(), (vec![], normal()));
    assert_eq!(
        (done.text(), done.status),
        ("answer\n", 0),
        "{}",
        done.stderr
    );
}

#[test]
fn a_server_that_closes_at_once_ends_the_client_with_stdin_open() {
    let (url, server) = server(|ws| {
        ws.text("bye").close(1000, "");
        ws.messages()
    });
    let mut client = spawn(&[&url]);
    let stdin = client.stdin();
    let mut stdout = client.stdout();
    let mut got = Vec::new();
    stdout.read_to_end(&mut got).unwrap();
    assert_eq!((got.as_slice(), client.wait()), (&b"bye\n"[..], 0));
    assert_eq!(server.join().unwrap(), (vec![], normal()));
    drop(stdin);
}

// ---- literal: and null:

#[test]
fn a_literal_is_one_text_message() {
    for text in ["hello", "a,b=c#d:e", "ü €", "two\nlines", "1,path=/x", " "] {
        let (url, server) = server(|ws| {
            let got = ws.messages();
            ws.answer_close(1000);
            got
        });
        let done = run(&[&format!("literal:{text}"), &url], "not read");
        assert_eq!(
            server.join().unwrap(),
            (texts(&[text]), normal()),
            "{text:?}"
        );
        assert_eq!((done.status, done.text()), (0, ""), "{}", done.stderr);
    }
    let bridge = Bridge::start(&["ws-l:0", "literal:hi"]);
    for _ in 0..3 {
        let mut ws = bridge.client();
        assert_eq!((ws.next(), ws.next()), (Frame::text("hi"), normal()));
        ws.answer_close(1000);
    }
}

#[test]
fn null_takes_everything_and_says_nothing() {
    let bridge = Bridge::start(&["ws-l:0", "null:"]);
    let mut ws = bridge.client();
    for _ in 0..100 {
        ws.text("into the void").binary(&[7; 10_000]);
    }
    ws.close(1000, "");
    assert_eq!(ws.next(), normal());
    let line = bridge.closed();
    assert!(line.contains("bytes_right=1001300 "), "{line}");
    assert!(line.contains("bytes_left=0 "), "{line}");
    let (url, server) = server(|ws| {
        ws.text("unheard").close(1000, "");
        ws.messages()
    });
    let done = run(&["null:", &url], "not read");
    assert_eq!(server.join().unwrap(), (vec![], normal()));
    assert_eq!((done.status, done.text()), (0, ""), "{}", done.stderr);
}

// ---- TCP

/// A bridge from a raw WebSocket to a raw TCP peer.
fn ws_and_tcp(words: &[&str]) -> (Bridge, Ws, Tcp) {
    let (listener, port) = listener();
    let target = format!("tcp:127.0.0.1:{port}");
    let words: Vec<_> = words.iter().copied().chain(["ws-l:0", &target]).collect();
    let bridge = Bridge::start(&words);
    let ws = bridge.client();
    let tcp = Tcp::accept(&listener);
    (bridge, ws, tcp)
}

#[test]
fn tcp_is_bytes_and_binary_messages() {
    let (_bridge, mut ws, mut tcp) = ws_and_tcp(&[]);
    ws.text("text")
        .binary(b"\0\xff")
        .text("")
        .binary(b"")
        .text("line\n");
    assert_eq!(tcp.read(11), b"text\0\xffline\n");
    tcp.send(b"one\ntwo\xff");
    let mut got = Vec::new();
    while got.len() < 8 {
        let Frame::Binary(payload) = ws.next() else {
            panic!("not binary");
        };
        assert!(!payload.is_empty());
        got.extend(payload);
    }
    assert_eq!(got, b"one\ntwo\xff");
    ws.close(1000, "");
    assert_eq!(tcp.rest(), (vec![], TcpEnd::Eof));
    tcp.fin();
    assert_eq!(ws.next(), normal());
}

#[test]
fn tcp_as_text_is_lines_both_ways() {
    let (_bridge, mut ws, mut tcp) = ws_and_tcp(&["-t"]);
    ws.text("one").text("").text("ü").binary(b"raw");
    ws.frame(0x01, b"in ").frame(0x80, b"two");
    assert_eq!(tcp.read(18), "one\n\nü\nrawin two\n".as_bytes());
    tcp.send("eins\n\nzw\u{f6}lf\r\nlast").fin();
    let (messages, end) = ws.messages();
    assert_eq!(
        (messages, end),
        (texts(&["eins", "", "zwölf\r", "last"]), normal())
    );
}

#[test]
fn tcp_in_lines_is_binary_messages() {
    for words in [&["--framing", "lines"][..], &["-o", "right.framing=lines"]] {
        let (_bridge, mut ws, mut tcp) = ws_and_tcp(words);
        tcp.send(b"one\n\xff\n\nlast").fin();
        let (messages, end) = ws.messages();
        let expected =
            [&b"one"[..], b"\xff", b"", b"last"].map(|line| Frame::Binary(line.to_vec()));
        assert_eq!((messages, end), (expected.to_vec(), normal()), "{words:?}");
    }
}

#[test]
fn an_address_says_its_framing_too() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port},text")]);
    let mut ws = bridge.client();
    let mut tcp = Tcp::accept(&listener);
    tcp.send("one\ntwo\n").fin();
    assert_eq!(ws.messages(), (texts(&["one", "two"]), normal()));
}

#[test]
fn bytes_of_tcp_go_through_stdin_and_stdout_as_they_are() {
    let (listener, port) = listener();
    let mut client = spawn(&["-b", &format!("tcp:127.0.0.1:{port}")]);
    let mut tcp = Tcp::accept(&listener);
    let mut stdin = client.stdin();
    stdin.write_all(b"\0one\n\xff").unwrap();
    assert_eq!(tcp.read(6), b"\0one\n\xff");
    tcp.send(b"\xfe\n\0").fin();
    drop(stdin);
    let done = client.finish();
    assert_eq!(
        (done.stdout, done.status),
        (b"\xfe\n\0".to_vec(), 0),
        "{}",
        done.stderr
    );
}

#[test]
fn lines_between_stdin_and_tcp_keep_every_byte() {
    // Neither side has messages: nothing may be added or taken away.
    for input in ["one\ntwo\n", "unterminated", "\n\n", "a\r\nb"] {
        let (listener, port) = listener();
        let mut client = spawn(&[&format!("tcp:127.0.0.1:{port}")]);
        let mut tcp = Tcp::accept(&listener);
        let mut stdin = client.stdin();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        assert_eq!(tcp.read(input.len()), input.as_bytes(), "{input:?}");
        tcp.send("answer").fin();
        let done = client.finish();
        assert_eq!((done.text(), done.status), ("answer", 0), "{}", done.stderr);
        assert_eq!(tcp.rest(), (vec![], TcpEnd::Eof), "{input:?}");
    }
}

// ---- between two WebSockets

/// A bridge between a raw client and a raw server.
fn relay(words: &[&str]) -> (Bridge, Ws, Ws) {
    let (listener, port) = listener();
    let target = format!("ws://127.0.0.1:{port}");
    let words: Vec<_> = words.iter().copied().chain(["ws-l:0", &target]).collect();
    let bridge = Bridge::start(&words);
    let own = bridge.port;
    let asking = thread::spawn(move || Ws::connect(own));
    let right = Ws::accept(&listener);
    (bridge, asking.join().unwrap(), right)
}

/// The next message put together of its frames; control frames are kept for the caller.
#[track_caller]
fn whole(ws: &mut Ws) -> Frame {
    let mut begun: Option<(u8, Vec<u8>)> = None;
    loop {
        match ws.next() {
            Frame::Piece(fin, opcode, payload) => {
                assert_eq!(opcode == 0, begun.is_some(), "fragments in disorder");
                let (kind, mut bytes) = begun.take().unwrap_or((opcode, Vec::new()));
                bytes.extend(payload);
                match (fin, kind) {
                    (false, _) => begun = Some((kind, bytes)),
                    (true, 1) => return Frame::Text(bytes),
                    (true, _) => return Frame::Binary(bytes),
                }
            }
            Frame::Ping(_) | Frame::Pong(_) => {}
            other => {
                assert!(begun.is_none(), "{other:?} within a message");
                return other;
            }
        }
    }
}

#[test]
fn a_relay_keeps_kinds_boundaries_and_empty_messages() {
    for words in [&[][..], &["-t"], &["-b"]] {
        let (_bridge, mut left, mut right) = relay(words);
        for turned in [false, true] {
            let (from, to) = if turned {
                (&mut right, &mut left)
            } else {
                (&mut left, &mut right)
            };
            from.text("one")
                .text("")
                .binary(b"")
                .binary(b"\0\xff\n")
                .text("two\nlines\n")
                .text("");
            for expected in [
                Frame::text("one"),
                Frame::text(""),
                Frame::Binary(vec![]),
                Frame::Binary(b"\0\xff\n".to_vec()),
                Frame::text("two\nlines\n"),
                Frame::text(""),
            ] {
                assert_eq!(whole(to), expected, "{words:?} turned: {turned}");
            }
        }
        left.close(3001, "reason ü");
        assert_eq!(right.next(), Frame::Close(3001, "reason ü".to_owned()));
        right.answer_close(3001);
        assert!(matches!(left.next(), Frame::Close(3001, _)));
    }
}

#[test]
fn a_relay_passes_a_fragment_on_before_its_message_is_whole() {
    let (_bridge, mut left, mut right) = relay(&[]);
    left.frame(0x01, b"begun");
    assert_eq!(right.next(), Frame::Piece(false, 1, b"begun".to_vec()));
    // Control frames go between fragments and are answered by the bridge itself.
    left.frame(0x89, b"here?");
    assert_eq!(left.next(), Frame::Pong(b"here?".to_vec()));
    left.frame(0x00, b"").frame(0x80, b" and done").text("next");
    let mut message = b"begun".to_vec();
    loop {
        match right.next() {
            Frame::Piece(fin, 0, payload) => {
                message.extend(payload);
                if fin {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(message, b"begun and done");
    assert_eq!(whole(&mut right), Frame::text("next"));
}

#[test]
fn pings_and_pongs_stay_on_their_side() {
    let (_bridge, mut left, mut right) = relay(&[]);
    left.frame(0x89, b"left")
        .frame(0x8A, b"unasked")
        .text("data");
    assert_eq!(right.next(), Frame::text("data"));
    assert_eq!(left.next(), Frame::Pong(b"left".to_vec()));
    right.frame(0x89, b"right").text("data");
    assert_eq!(left.next(), Frame::text("data"));
    assert_eq!(right.next(), Frame::Pong(b"right".to_vec()));
}

// ---- any sizes, any fragments

/// Numbers that look random and are the same each time (Marsaglia's xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % limit as u64).unwrap()
    }

    /// Sizes at which headers and buffers change, and some between.
    fn size(&mut self) -> usize {
        const EDGES: &[usize] = &[
            0, 1, 125, 126, 127, 4095, 4096, 4097, 65_535, 65_536, 262_144,
        ];
        match self.below(8) {
            0 => EDGES[self.below(EDGES.len())],
            1 => self.below(300_000),
            2 => self.below(20_000),
            _ => self.below(200),
        }
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.roll().to_le_bytes()[..part.len()]);
        }
        bytes
    }

    fn text(&mut self, len: usize) -> Vec<u8> {
        let mut text = String::new();
        while text.len() < len {
            text.push(['a', '\n', 'ü', '€', '𝄞', '\0'][self.below(6)]);
        }
        text.into_bytes()
    }

    /// A message and the frames that it is sent in, control frames between them.
    fn message(&mut self, masks: bool) -> (Frame, Vec<u8>) {
        let len = self.size();
        let (kind, bytes) = match self.below(2) {
            0 => (1, self.text(len)),
            _ => (2, self.bytes(len)),
        };
        let mut frames = Vec::new();
        let mut rest = bytes.as_slice();
        let mut opcode = kind;
        for _ in 0..[0, 0, 1, 2, 30][self.below(5)] {
            let (piece, behind) = rest.split_at(self.below(rest.len() + 1));
            frames.extend(frame_bytes(opcode, piece, masks));
            (rest, opcode) = (behind, 0);
            if self.below(4) == 0 {
                let len = self.below(126);
                frames.extend(frame_bytes(0x8A, &self.bytes(len), masks));
            }
        }
        frames.extend(frame_bytes(0x80 | opcode, rest, masks));
        let message = if kind == 1 {
            Frame::Text(bytes)
        } else {
            Frame::Binary(bytes)
        };
        (message, frames)
    }

    /// Many messages, and the writes that they leave in: cut anywhere, headers too.
    fn messages(&mut self, count: usize, masks: bool) -> (Vec<Frame>, Vec<Vec<u8>>) {
        let (messages, frames): (Vec<_>, Vec<_>) = (0..count).map(|_| self.message(masks)).unzip();
        let mut wire = frames.concat();
        wire.extend(frame_bytes(0x88, &1000u16.to_be_bytes(), masks));
        (messages, self.cut(&wire))
    }

    fn cut(&mut self, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut writes = Vec::new();
        while !bytes.is_empty() {
            let len = [1 + self.below(16), 1 + self.below(100_000)][self.below(2)];
            let (write, rest) = bytes.split_at(len.min(bytes.len()));
            writes.push(write.to_vec());
            bytes = rest;
        }
        writes
    }
}

/// Writes on a thread of its own, so that what comes back can be read meanwhile.
fn write_all(stream: &std::net::TcpStream, writes: Vec<Vec<u8>>) -> JoinHandle<()> {
    let mut stream = stream.try_clone().unwrap();
    thread::spawn(move || {
        for write in writes {
            stream.write_all(&write).unwrap();
        }
    })
}

fn payload(messages: &[Frame]) -> Vec<u8> {
    let payloads = messages.iter().map(|message| match message {
        Frame::Text(bytes) | Frame::Binary(bytes) => bytes.as_slice(),
        other => panic!("{other:?}"),
    });
    payloads.collect::<Vec<_>>().concat()
}

const ROUNDS: u64 = 8;
const MESSAGES: usize = 60;

#[test]
fn any_messages_become_their_bytes_in_tcp() {
    for seed in 1..=ROUNDS {
        let mut dice = Dice(seed);
        let (messages, writes) = dice.messages(MESSAGES, true);
        let (_bridge, ws, mut tcp) = ws_and_tcp(&[]);
        let writer = write_all(&ws.stream, writes);
        let (bytes, end) = tcp.rest();
        assert!(
            bytes == payload(&messages),
            "seed {seed}: {} bytes",
            bytes.len()
        );
        assert_eq!(end, TcpEnd::Eof, "seed {seed}");
        writer.join().unwrap();
    }
}

#[test]
fn any_bytes_of_tcp_become_messages_in_their_order() {
    for seed in 1..=ROUNDS {
        let mut dice = Dice(seed);
        let sent = dice.bytes(2_000_000);
        let writes = dice.cut(&sent);
        let (_bridge, mut ws, mut tcp) = ws_and_tcp(&[]);
        let stream = tcp.0.try_clone().unwrap();
        let writer = write_all(&stream, writes);
        let ender = thread::spawn(move || {
            writer.join().unwrap();
            tcp.fin();
            tcp
        });
        let (messages, end) = ws.messages();
        assert!(payload(&messages) == sent, "seed {seed}");
        assert!(
            messages
                .iter()
                .all(|message| matches!(message, Frame::Binary(bytes) if !bytes.is_empty()))
        );
        assert_eq!(end, normal(), "seed {seed}");
        ender.join().unwrap();
    }
}

#[test]
fn any_messages_pass_a_relay_unchanged_in_both_directions_at_once() {
    for seed in 1..=ROUNDS {
        let mut dice = Dice(seed);
        let (forth, forth_writes) = dice.messages(MESSAGES, true);
        let (back, mut back_writes) = dice.messages(MESSAGES, false);
        // The Close of the right side is its answer to the one that comes through.
        let mut wire = back_writes.concat();
        wire.truncate(wire.len() - 4);
        back_writes = dice.cut(&wire);
        let (_bridge, left, right) = relay(&[]);
        let writers = [
            write_all(&left.stream, forth_writes),
            write_all(&right.stream, back_writes),
        ];
        let read = |mut ws: Ws, mut wanted: usize, closes: bool| {
            thread::spawn(move || {
                let mut messages = Vec::new();
                loop {
                    match whole(&mut ws) {
                        data @ (Frame::Text(_) | Frame::Binary(_)) => {
                            messages.push(data);
                            wanted = wanted.saturating_sub(1);
                        }
                        end => {
                            assert!(!closes || wanted == 0, "{end:?} before all had come");
                            return (messages, end, ws);
                        }
                    }
                }
            })
        };
        let (right, left) = (read(right, MESSAGES, true), read(left, MESSAGES, true));
        let (got, end, mut right) = right.join().unwrap();
        assert!(
            got == forth,
            "seed {seed}: {} of {} messages",
            got.len(),
            forth.len()
        );
        assert_eq!(end, normal(), "seed {seed}");
        for writer in writers {
            writer.join().unwrap();
        }
        right.answer_close(1000);
        let (got, end, _) = left.join().unwrap();
        assert!(
            got == back,
            "seed {seed}: {} of {} messages",
            got.len(),
            back.len()
        );
        assert_eq!(end, normal(), "seed {seed}");
    }
}

#[test]
fn any_messages_come_back_from_an_echo() {
    for seed in 1..=ROUNDS {
        let mut dice = Dice(seed ^ 0xEC40);
        let (messages, writes) = dice.messages(MESSAGES, true);
        let bridge = Bridge::start(&["ws-l:0", "echo:"]);
        let mut ws = bridge.client();
        let writer = write_all(&ws.stream, writes);
        let (got, end) = ws.messages();
        assert!(
            got == messages,
            "seed {seed}: {} of {}",
            got.len(),
            messages.len()
        );
        assert_eq!(end, normal(), "seed {seed}");
        writer.join().unwrap();
    }
}

#[test]
fn any_lines_go_there_and_back_through_two_processes() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    for seed in 1..=ROUNDS / 2 {
        let mut dice = Dice(seed ^ 0x11E5);
        let mut input = Vec::new();
        for _ in 0..MESSAGES {
            let len = dice.size();
            input.extend(dice.text(len));
            input.push(b'\n');
        }
        let done = run(&["--linger", "0", "-", &bridge.url()], &input);
        assert_eq!(done.status, 0, "{}", done.stderr);
        assert!(
            done.stdout == input,
            "seed {seed}: {} of {}",
            done.stdout.len(),
            input.len()
        );
    }
}
