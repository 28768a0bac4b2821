//! Text that is none: it is never passed on, and the error names its place.

use std::io::{Read, Write};

use super::{listener, sent, server, texts};
use crate::support::{Bridge, Frame, Tcp, TcpEnd, Ws, run, spawn};

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
