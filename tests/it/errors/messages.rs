//! What goes wrong with a WebSocket that is open: Closes, cuts, breaches of the protocol, and messages that have no form.

use std::net::TcpListener;
use std::thread;

use super::{filled, judged, run_line};
use crate::support::{Frame, Ws, close_frame, frame_bytes};

/// A code and a reason that a server closes with, the exit status, and how it is told.
const CLOSES: &[(u16, &str, i32, &str)] = &[
    (1002, "", 110, "closed with 1002, protocol error"),
    (
        1003,
        "text only",
        110,
        "closed with 1003, unsupported data: \"text only\"",
    ),
    (1007, "", 110, "closed with 1007, malformed data"),
    (
        1008,
        "banned",
        110,
        "closed with 1008, policy violation: \"banned\"",
    ),
    (1009, "", 110, "closed with 1009, message too big"),
    (1010, "", 110, "closed with 1010, an extension is missing"),
    (
        1011,
        "boom",
        110,
        "closed with 1011, internal error: \"boom\"",
    ),
    (1012, "", 110, "closed with 1012, service restart"),
    (
        1013,
        "slow",
        110,
        "closed with 1013, try again later: \"slow\"",
    ),
    (
        1014,
        "refused",
        110,
        "closed with 1014, bad gateway: \"refused\"",
    ),
    (3000, "", 111, "closed with 3000"),
    (4003, "exit 3", 111, "closed with 4003: \"exit 3\""),
    (
        4999,
        "a \"b\"\n",
        111,
        "closed with 4999: \"a \\\"b\\\"\\n\"",
    ),
];

/// Opens one WebSocket, does with it what a script says, and judges what the program makes of it.
#[track_caller]
fn told(
    line: &str,
    input: &str,
    script: impl FnOnce(Ws) + Send + 'static,
    status: i32,
    expected: &str,
) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let server = thread::spawn(move || script(Ws::accept(&listener)));
    let url = format!("ws://127.0.0.1:{port}/");
    let parts = [("{url}", url.as_str())];
    let mut done = run_line(line, &parts, input);
    // With --framing json the end of it is told there.
    done.stdout.clear();
    server.join().unwrap();
    judged(
        &format!("{line}: {expected}"),
        &done,
        status,
        &filled(expected, &parts),
    )
}

/// Waits until the other side has ended too, whose Close is answered.
fn see_the_end(mut ws: Ws) {
    loop {
        match ws.next() {
            Frame::Close(..) => ws.answer_close(1000),
            Frame::Eof | Frame::Reset => return,
            _ => {}
        }
    }
}

#[test]
fn a_close_code_has_its_meaning_beside_it() {
    let mut wrong = Vec::new();
    for (code, reason, status, expected) in CLOSES {
        let script = |mut ws: Ws| {
            ws.close(*code, reason);
            see_the_end(ws);
        };
        let expected = format!("{{url}}: {expected}");
        wrong.extend(told("-U {url}", "", script, *status, &expected));
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn a_connection_that_is_cut_may_have_lost_data() {
    let lost = "{url}: connection lost without Close, data may be incomplete";
    let reset = "{url}: connection reset, data may be incomplete";
    let cut_so = |bytes: &'static [u8]| {
        move |mut ws: Ws| {
            ws.raw(bytes).fin();
            see_the_end(ws);
        }
    };
    let wrong = [
        told("-U {url}", "", cut_so(b""), 56, lost),
        told("-U {url}", "", cut_so(b"\x81"), 56, lost),
        told("-U {url}", "", Ws::reset, 56, reset),
    ];
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn a_breach_of_the_protocol_is_told_in_words() {
    let masked = frame_bytes(0x81, b"hello", true);
    let bytes: Vec<(Vec<u8>, &str)> = vec![
        (
            frame_bytes(0x81, b"\xff", false),
            "it sent text that is not UTF-8 (1007 not-utf8)",
        ),
        (
            masked,
            "it masks as the other role does: clients mask, servers do not (1002 mask)",
        ),
        (
            frame_bytes(0xC1, b"", false),
            "it sent a frame of an extension that was not agreed to (1002 reserved-bits)",
        ),
        (
            frame_bytes(0x83, b"", false),
            "it sent a frame of an unknown kind (1002 opcode)",
        ),
        (
            frame_bytes(0x09, b"", false),
            "it sent a control frame in pieces (1002 fragmented-control)",
        ),
        (
            frame_bytes(0x89, &[0; 126], false),
            "it sent a control frame over 125 bytes (1002 long-control)",
        ),
        (
            frame_bytes(0x80, b"", false),
            "it went on with a message that had not begun (1002 continuation)",
        ),
        (
            [frame_bytes(0x02, b"", false), frame_bytes(0x82, b"", false)].concat(),
            "it began a message within another (1002 interleaved-message)",
        ),
        (
            vec![0x82, 126, 0, 1, 0],
            "it wrote a length in a form that is not allowed (1002 length)",
        ),
        (
            frame_bytes(0x88, b"\x03", false),
            "it sent a Close of one byte (1002 close-length)",
        ),
        (
            frame_bytes(0x88, &close_frame(1005, ""), false),
            "it sent a Close with a code that is not sent (1002 close-code)",
        ),
    ];
    let mut wrong = Vec::new();
    for (bytes, expected) in bytes {
        let script = move |mut ws: Ws| {
            ws.raw(&bytes);
            see_the_end(ws);
        };
        let expected = format!("{{url}}: protocol error: {expected}");
        wrong.extend(told("-U {url}", "", script, 112, &expected));
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// A command line, its input, the exit status and how that is told: what is in a line has no form as a message.
const INPUTS: &[(&str, &str, i32, &str)] = &[
    (
        "-u --framing json {url}",
        "nonsense\n",
        112,
        "stdio: a line that is no JSON object, at byte 1",
    ),
    (
        "-u --framing json {url}",
        "{\"kind\":\"txt\"}\n",
        112,
        "stdio: a message has \"kind\": \"text\", \"binary\" or \"close\", at byte 0",
    ),
    (
        "-u --base64 -b {url}",
        "!!!\n",
        112,
        "stdio: a line that is no base64 (RFC 4648 4), at byte 0",
    ),
    (
        "-u --hex -b {url}",
        "zz\n",
        112,
        "stdio: a line that is no pairs of hex digits, at byte 0",
    ),
    (
        "-u --framing lsp {url}",
        "GET / HTTP/1.1\r\n\r\n",
        112,
        "stdio: this is no lsp header; wanted is 'Content-Length: N', at byte 0",
    ),
    (
        "-u --framing length {url}",
        "\0\0\0\u{9}short",
        56,
        "stdio: ended within a message, data is incomplete",
    ),
];

#[test]
fn input_that_makes_no_message_is_told_with_its_place() {
    let mut wrong = Vec::new();
    for (line, input, status, expected) in INPUTS {
        wrong.extend(told(line, input, see_the_end, *status, expected));
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn a_message_that_one_side_does_not_take_is_told() {
    let long = |mut ws: Ws| {
        ws.text("too long");
        see_the_end(ws);
    };
    let wrong = [
        told(
            "-U --framing length --max-message 4 {url}",
            "",
            long,
            63,
            "stdio: message over the limit of 4 bytes (--max-message)",
        ),
        told(
            "{url} --framing length",
            "\0\0",
            see_the_end,
            56,
            "stdio: ended within a message, data is incomplete",
        ),
    ];
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn a_wait_that_is_over_names_its_flag() {
    let silent = |mut ws: Ws| while !matches!(ws.next(), Frame::Eof | Frame::Reset) {};
    let wrong = [
        told(
            "-U --idle 100ms --close-timeout 100ms {url}",
            "",
            silent,
            28,
            "stdio and {url}: nothing has moved for the time of --idle",
        ),
        told(
            "-U --max-time 1s --close-timeout 100ms {url}",
            "",
            silent,
            28,
            "stdio and {url}: not at its end within --max-time",
        ),
        told(
            "--linger 0 --close-timeout 100ms {url}",
            "",
            silent,
            28,
            "{url}: no answer to our Close within --close-timeout",
        ),
    ];
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}
