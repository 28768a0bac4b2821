//! Stdin and stdout: which messages come of lines and bytes, and what is printed of messages.

use std::io::{Read, Write};
use std::thread;

use super::{listener, normal, printed, sent, server, texts};
use crate::support::{Bridge, Frame, Ws, run, spawn};

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
