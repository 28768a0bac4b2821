//! Messages and the bytes or lines of TCP.

use std::io::Write;

use super::{listener, normal, texts, ws_and_tcp};
use crate::support::{Bridge, Frame, Tcp, TcpEnd, spawn};

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
fn messages_end_with_nul_both_ways() {
    for words in [&["-t", "-0"][..], &["-t", "--framing", "null"]] {
        let (_bridge, mut ws, mut tcp) = ws_and_tcp(words);
        ws.text("one\ntwo").text("");
        assert_eq!(tcp.read(9), b"one\ntwo\0\0");
        tcp.send("eins\nzwei\0\0last").fin();
        let expected = (texts(&["eins\nzwei", "", "last"]), normal());
        assert_eq!(ws.messages(), expected, "{words:?}");
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
