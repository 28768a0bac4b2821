//! Framings between a WebSocket and bytes: lengths, headers of language servers, JSON, encodings, and what does not fit.

use std::thread;

use super::{listener, normal, printed, sent, server, texts, whole, ws_and_tcp};
use crate::support::{Bridge, Frame, Tcp, TcpEnd, run};

fn binary(bytes: &[u8]) -> Frame {
    Frame::Binary(bytes.to_vec())
}

#[test]
fn lengths_keep_every_boundary_both_ways() {
    let (_bridge, mut ws, mut tcp) = ws_and_tcp(&["--framing", "length:2:le"]);
    ws.binary(b"\0\n")
        .binary(b"")
        .frame(0x02, b"in ")
        .frame(0x80, b"two");
    assert_eq!(tcp.read(13), b"\x02\0\0\n\0\0\x06\0in two"[..13]);
    tcp.send(b"\x03\0abc\0\0").fin();
    let (messages, end) = ws.messages();
    assert_eq!(messages, [binary(b"abc"), binary(b"")]);
    assert_eq!(end, normal());
}

#[test]
fn a_message_that_ends_early_is_an_abort() {
    let (_bridge, mut ws, mut tcp) = ws_and_tcp(&["--framing", "length"]);
    tcp.send(b"\0\0\0\x02ok\0\0\0\x09bro").fin();
    assert_eq!(ws.next(), binary(b"ok"));
    let (messages, end) = ws.messages();
    assert_eq!(
        (messages, end),
        (vec![], Frame::Close(1011, "short".to_owned()))
    );
    let done = sent(&["--framing", "lsp"], "Content-Length: 9\r\n\r\n{}");
    assert_eq!(
        (done.0, done.1),
        (vec![], Frame::Close(1011, "short".to_owned()))
    );
    assert_eq!(done.2.status, 56);
    let line = "stdio: ended within a message, data is incomplete";
    assert!(done.2.stderr.contains(line), "{}", done.2.stderr);
}

#[test]
fn language_servers_see_headers_and_the_websocket_bare_json() {
    let (_bridge, mut ws, mut tcp) = ws_and_tcp(&["--framing", "lsp"]);
    ws.text("{\"id\":1}").text("\"ü\"");
    let expected = "Content-Length: 8\r\n\r\n{\"id\":1}Content-Length: 4\r\n\r\n\"ü\"";
    assert_eq!(tcp.read(expected.len()), expected.as_bytes());
    tcp.send("Content-Length: 8\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n\"\r\n\r\né\"");
    assert_eq!(whole(&mut ws), Frame::text("\"\r\n\r\né\""));
    ws.close(1000, "");
    assert_eq!(tcp.rest(), (vec![], TcpEnd::Eof));
    drop(tcp);
    assert_eq!(ws.next(), normal());

    // A program that says what is none of the protocol: what, where, and 1007.
    let script = "printf 'Content-Length: 2\\r\\n\\r\\n{}Starting up\\n'; exec cat";
    let bridge = Bridge::start(&["ws-l:0", "--framing", "lsp", "--", "sh", "-c", script]);
    let mut ws = bridge.client();
    assert_eq!(ws.next(), Frame::text("{}"));
    assert_eq!(ws.next(), Frame::Close(1007, "malformed".to_owned()));
    ws.answer_close(1007);
    let what = "this is no lsp header; wanted is 'Content-Length: N', at byte 23";
    assert!(bridge.closed().contains(what));
}

#[test]
fn a_message_of_the_wrong_kind_is_refused_at_once() {
    let (bridge, mut ws, mut tcp) = ws_and_tcp(&["--framing", "lsp"]);
    ws.text("{}").binary(b"{}");
    assert_eq!(ws.next(), Frame::Close(1003, "kind".to_owned()));
    ws.answer_close(1003);
    assert_eq!(
        tcp.rest(),
        (b"Content-Length: 2\r\n\r\n{}".to_vec(), TcpEnd::Reset)
    );
    assert!(
        bridge
            .closed()
            .contains("message of the wrong kind; it takes text")
    );
}

#[test]
fn a_message_over_the_limit_is_refused_at_once_and_never_cut() {
    for words in [
        &["--framing", "length:1"][..],
        &["--framing", "length", "--max-message", "255"],
        &["--framing", "lsp", "--max-message", "255"],
    ] {
        let (bridge, mut ws, mut tcp) = ws_and_tcp(words);
        ws.text("ok");
        // In frames of which the last is never sent.
        ws.frame(0x01, &[b'a'; 200]).frame(0x00, &[b'b'; 56]);
        assert_eq!(
            ws.next(),
            Frame::Close(1009, "over 255 bytes".to_owned()),
            "{words:?}"
        );
        ws.answer_close(1009);
        let (got, end) = tcp.rest();
        assert!(got.ends_with(b"ok") && end == TcpEnd::Reset, "{words:?}");
        assert!(bridge.closed().contains("over the limit of 255 bytes"));
    }
    let (url, server) = server(|ws| {
        ws.text("fits").binary(&[7; 256]);
        ws.messages()
    });
    let done = run(&["--framing", "length:1", "-n", "-", &url], "");
    let end = Frame::Close(1009, "over 255 bytes".to_owned());
    assert_eq!(server.join().unwrap(), (vec![], end));
    assert_eq!(
        (done.status, done.stdout),
        (63, b"\x04fits".to_vec()),
        "{}",
        done.stderr
    );
}

#[test]
fn a_line_over_the_limit_is_refused_and_never_cut() {
    let line = format!("{{\"text\":\"{}\"}}\n", "x".repeat(90));
    for (words, input) in [
        (
            &["--framing", "json"][..],
            format!("{{\"text\":\"a\"}}\n{line}{line}"),
        ),
        (&["-b", "--hex"], format!("61\n{}\n", "00".repeat(51))),
        (&["-b", "--base64"], format!("YQ==\n{}", "A".repeat(104))),
    ] {
        let words: Vec<_> = words
            .iter()
            .copied()
            .chain(["--max-message", "100"])
            .collect();
        let (messages, end, done) = sent(&words, &input);
        assert_eq!(messages.len(), 1, "{words:?}");
        assert_eq!(
            end,
            Frame::Close(1009, "over 100 bytes".to_owned()),
            "{words:?}"
        );
        assert_eq!(done.status, 63, "{}", done.stderr);
        let what = "stdio: message over the limit of 100 bytes";
        assert!(done.stderr.contains(what), "{}", done.stderr);
    }
}

#[test]
fn json_tells_and_takes_kinds_and_the_close() {
    let input = "{\"kind\":\"text\",\"text\":\"\\u00fc\\n\"}\n\n{\"kind\":\"binary\",\"base64\":\"AP8=\"}\n{\"text\":\"\"}\n\
        {\"kind\":\"close\",\"code\":4001,\"reason\":\"bye\"}\n";
    let (messages, end, done) = sent(&["--framing", "json"], input);
    assert_eq!(
        messages,
        [Frame::text("ü\n"), binary(b"\0\xff"), Frame::text("")]
    );
    assert_eq!(end, Frame::Close(4001, "bye".to_owned()));
    // It was asked for.
    assert_eq!(done.status, 0, "{}", done.stderr);
    // The answer to our Close is told as well.
    assert_eq!(
        done.text(),
        "{\"kind\":\"close\",\"code\":4001,\"reason\":\"\"}\n"
    );
    let out = printed(
        &["--framing", "json"],
        &[
            (0x81, b"a \"b\"\n\\"),
            (0x82, b"\0\xff"),
            (0x01, "ü".as_bytes().split_at(1).0),
            (0x80, "ü".as_bytes().split_at(1).1),
            (0x02, b"in"),
            (0x80, b" two"),
            (0x81, b""),
        ],
    );
    let expected = "{\"kind\":\"text\",\"text\":\"a \\\"b\\\"\\n\\\\\"}\n{\"kind\":\"binary\",\"base64\":\"AP8=\"}\n\
        {\"kind\":\"text\",\"text\":\"ü\"}\n{\"kind\":\"binary\",\"base64\":\"aW4gdHdv\"}\n{\"kind\":\"text\",\"text\":\"\"}\n\
        {\"kind\":\"close\",\"code\":1000,\"reason\":\"\"}\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_bridge_that_speaks_json_to_itself_is_exact() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let input = "{\"kind\":\"text\",\"text\":\"a\\nb\"}\n{\"kind\":\"binary\",\"base64\":\"AAECAw==\"}\n{\"kind\":\"text\",\"text\":\"\"}\n";
    let done = run(&["--framing", "json", "-", &bridge.url()], input);
    let close = "{\"kind\":\"close\",\"code\":1000,\"reason\":\"\"}\n";
    assert_eq!(
        (done.status, done.text()),
        (0, &*format!("{input}{close}")),
        "{}",
        done.stderr
    );
}

#[test]
fn a_malformed_line_of_json_is_told_with_its_byte() {
    let (messages, end, done) = sent(&["--framing", "json"], "{\"text\":\"a\"}\n{\"text\":}\n");
    assert_eq!(
        (messages, end),
        (texts(&["a"]), Frame::Close(1007, "malformed".to_owned()))
    );
    assert_eq!(done.status, 112);
    let what = "stdio: a line that is no JSON object, at byte 21";
    assert!(done.stderr.contains(what), "{}", done.stderr);
}

#[test]
fn binary_messages_are_lines_of_digits() {
    let frames: &[(u8, &[u8])] = &[
        (0x82, b"\0\xff"),
        (0x81, b"text"),
        (0x82, b""),
        (0x02, b"in"),
        (0x80, b" two"),
    ];
    assert_eq!(printed(&["--base64"], frames), b"AP8=\ntext\n\naW4gdHdv\n");
    assert_eq!(printed(&["--hex"], frames), b"00ff\ntext\n\n696e2074776f\n");
    for (flag, input) in [("--base64", "AP8=\n\naW4="), ("--hex", "00FF\n\n696e\n")] {
        let (messages, end, _) = sent(&["-b", flag], input);
        assert_eq!(messages, [binary(b"\0\xff"), binary(b""), binary(b"in")]);
        assert_eq!(end, normal());
        // Without -b what is typed is text.
        let (messages, _, _) = sent(&[flag], "AP8=\n");
        assert_eq!(messages, texts(&["AP8="]));
    }
    let (_, end, done) = sent(&["-b", "--hex"], "6\n");
    assert_eq!(end, Frame::Close(1007, "malformed".to_owned()));
    assert_eq!(done.status, 112);
}

#[test]
fn any_separator_ends_messages() {
    let (_bridge, mut ws, mut tcp) = ws_and_tcp(&["-t", "--separator", r"\r\n"]);
    ws.text("one\n").text("").binary(b"raw");
    assert_eq!(tcp.read(11), b"one\n\r\n\r\nraw");
    tcp.send("a\nb\r\n\r\nlast\r").fin();
    let (messages, end) = ws.messages();
    assert_eq!((messages, end), (texts(&["a\nb", "", "last\r"]), normal()));
}

#[test]
fn lines_are_requests_or_carry_the_time() {
    let (messages, _, _) = sent(&["--jsonrpc"], "add 1, 2\n\nping\n");
    let expected = [
        r#"{"id":1,"jsonrpc":"2.0","method":"add","params":[1,2]}"#,
        r#"{"id":2,"jsonrpc":"2.0","method":"ping"}"#,
    ];
    assert_eq!(messages, texts(&expected));
    let out = printed(&["--timestamp"], &[(0x81, b"tick"), (0x82, b"raw")]);
    let line = String::from_utf8(out).unwrap();
    assert_eq!(&line[24..], " tick\nraw", "{line}");
    assert!(
        line.starts_with("20") && line.as_bytes()[23] == b'Z',
        "{line}"
    );
}

/// Two sides of bytes are joined as they are, but where what was asked for of them differs one becomes the other.
#[test]
fn one_framing_becomes_another() {
    let (listener, port) = listener();
    let target = format!("tcp:127.0.0.1:{port},framing=length:1");
    let peer = thread::spawn(move || {
        let mut tcp = Tcp::accept(&listener);
        tcp.send(b"\x03\na\n\x00").fin();
        tcp.rest()
    });
    let done = run(&["-", &target, "-o", "left.null"], "one\n\0two");
    assert_eq!(
        peer.join().unwrap(),
        (b"\x04one\n\x03two".to_vec(), TcpEnd::Eof)
    );
    assert_eq!(
        (done.status, done.stdout),
        (0, b"\na\n\0\0".to_vec()),
        "{}",
        done.stderr
    );
}

#[test]
fn what_does_not_go_together_is_said_before_anything_is_opened() {
    for (words, what) in [
        (&["--hex", "--framing", "chunks"][..], "--hex is for lines"),
        (
            &["--framing", "lsp", "-b"],
            "--binary is for anything but lsp; lsp is text",
        ),
        (
            &["--timestamp", "--framing", "length"],
            "--timestamp is for lines or json",
        ),
        (
            &["--framing", "length:3"],
            "length:1, length:2, length:4 and length:8",
        ),
        (
            &["--separator", ""],
            "is no separator, which has 1 to 16 bytes",
        ),
        (&["--max-message", "0"], "is no size"),
        (&["--base64", "--hex"], "exclude each other"),
    ] {
        let words: Vec<_> = words
            .iter()
            .copied()
            .chain(["-", "ws://127.0.0.1:1"])
            .collect();
        let done = run(&words, "");
        assert_eq!(done.status, 2, "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(what), "{words:?}: {}", done.stderr);
    }
}
