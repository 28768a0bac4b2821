//! How long the messages and frames are that are sent: bytes are cut to messages, what must stay one goes out in fragments.

use std::fs;
use std::net::UdpSocket;
use std::thread;

use super::{listener, normal, relay, server};
use crate::support::{Bridge, Finished, Frame, Tcp, Ws, run};

/// What most servers take, and so what is sent without `--chunk`.
const USUAL: usize = 32_768;

/// Bytes that are not alike anywhere near each other.
fn noise(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect()
}

/// What a server was sent up to the Close: the length of each frame, and the messages.
struct Sent {
    frames: Vec<usize>,
    messages: Vec<Vec<u8>>,
    end: Frame,
}

impl Sent {
    /// Reads until `enough` of the messages' bytes have come, or to the end.
    fn read(ws: &mut Ws, enough: usize) -> Sent {
        let (mut frames, mut messages, mut begun) = (Vec::new(), Vec::new(), Vec::new());
        let mut count = 0;
        loop {
            let (payload, fin) = match ws.next() {
                Frame::Text(payload) | Frame::Binary(payload) => (payload, true),
                Frame::Piece(fin, _, payload) => (payload, fin),
                Frame::Ping(_) | Frame::Pong(_) => continue,
                end => {
                    assert!(begun.is_empty(), "{end:?} within a message");
                    return Sent {
                        frames,
                        messages,
                        end,
                    };
                }
            };
            frames.push(payload.len());
            count += payload.len();
            begun.extend(payload);
            if fin {
                messages.push(std::mem::take(&mut begun));
            }
            if fin && count >= enough {
                return Sent {
                    frames,
                    messages,
                    end: normal(),
                };
            }
        }
    }

    fn longest_frame(&self) -> usize {
        self.frames.iter().copied().max().unwrap_or(0)
    }

    fn longest(&self) -> usize {
        self.messages.iter().map(Vec::len).max().unwrap_or(0)
    }
}

/// What a client sends with this input; `options` stand behind the URL.
#[track_caller]
fn sent_with(words: &[&str], options: &str, input: &[u8]) -> Sent {
    let (url, server) = server(|ws| {
        let sent = Sent::read(ws, usize::MAX);
        ws.answer_close(1000);
        sent
    });
    let url = format!("{url}{options}");
    let words = [words, &["--linger", "0", "-", &url]].concat();
    let done = run(&words, input);
    // Who asks with -1 has no answer here.
    let status = if words.contains(&"-1") { 28 } else { 0 };
    assert_eq!(done.status, status, "{words:?}: {}", done.stderr);
    let sent = server.join().unwrap();
    assert_eq!(sent.end, normal());
    sent
}

#[test]
fn bytes_become_messages_of_the_size_that_is_asked_for_in_all_ways() {
    let input = noise(1_000_000);
    for (words, options, most) in [
        (&["-b"][..], "", USUAL),
        (&["-b", "-B", "8K"], "", 8192),
        (&["-b", "--chunk", "15360"], "", 15_360),
        (&["-b", "--buffer-size", "65536"], "", 65_536),
        (&["-b", "-o", "right.chunk=8K"], "", 8192),
        (&["-b", "-o", "left.chunk=8K"], "", 8192),
        (&["-b"], "#chunk=8K", 8192),
        (&["-b", "-B", "1000"], "", 1000),
        (&["-b", "-B", "4"], "", 4),
        (&["--framing", "chunks", "-B", "8K"], "", 8192),
    ] {
        let input: &[u8] = match words {
            ["--framing", ..] => "ü€𝄞".as_bytes(),
            [.., "4"] => &input[..50_000],
            _ => &input,
        };
        let sent = sent_with(words, options, input);
        assert!(sent.messages.concat() == input, "{words:?} {options}");
        assert!(sent.longest() <= most, "{} {words:?}", sent.longest());
        assert_eq!(sent.frames.len(), sent.messages.len(), "{words:?}");
        // Each read is cut from its front on: most are as long as may be.
        let full = sent.frames.iter().filter(|len| **len == most).count();
        assert!(
            full * most * 2 >= input.len() || input.len() < most,
            "{full} full ones, {words:?}"
        );
    }
}

#[test]
fn text_is_never_cut_within_a_character() {
    let text = "ü€𝄞x".repeat(30_000);
    for size in ["4", "7", "5000", "32K"] {
        let words = ["-t", "--framing", "chunks", "--chunk", size];
        let sent = sent_with(&words, "", text.as_bytes());
        assert!(sent.messages.concat() == text.as_bytes(), "{size}");
        for message in &sent.messages {
            assert!(std::str::from_utf8(message).is_ok(), "{size}");
        }
    }
}

#[test]
fn both_roles_and_sockets_cut_what_they_send() {
    let bytes = noise(500_000);
    for (left, right, most) in [
        ("ws-l:0", "", USUAL),
        ("ws-l:0,chunk=8K", "", 8192),
        ("ws-l:0", ",chunk=8K", 8192),
    ] {
        let (listener, port) = listener();
        let bridge = Bridge::start(&[left, &format!("tcp:127.0.0.1:{port}{right}")]);
        let mut ws = bridge.client();
        let mut tcp = Tcp::accept(&listener);
        tcp.send(&bytes).fin();
        let sent = Sent::read(&mut ws, bytes.len());
        assert!(sent.messages.concat() == bytes, "{left} {right}");
        assert!(sent.longest() <= most, "{} {left} {right}", sent.longest());
        ws.close(1000, "");
        // What is counted is what was sent.
        let line = bridge.closed();
        let count = format!("messages_left={}", sent.messages.len());
        assert!(line.contains(&count), "{count}: {line}");
    }
    let (listener, port) = listener();
    let target = format!("ws://127.0.0.1:{port}");
    let bridge = Bridge::start(&["--chunk", "8K", "tcp-l:0", &target]);
    let mut tcp = Tcp::connect(bridge.port);
    let mut ws = Ws::accept(&listener);
    tcp.send(&bytes).fin();
    let sent = Sent::read(&mut ws, bytes.len());
    assert!(sent.messages.concat() == bytes);
    assert!(sent.longest() <= 8192, "{}", sent.longest());
}

#[test]
fn what_must_stay_one_message_goes_out_in_fragments() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let bytes = noise(100_000);
    fs::write(&path, &bytes).unwrap();
    let at = format!("@{}", path.display());
    for (words, input, message, most) in [
        (&["-b", "-1"][..], &bytes[..], &bytes[..], USUAL),
        (&["-b", "--send", &at], b"", &bytes, USUAL),
        (&["-b", "--send", &at, "-B", "8K"], b"", &bytes, 8192),
        (&["-b", "--send", &at, "-B", "100"], b"", &bytes, 100),
    ] {
        let sent = sent_with(words, "", input);
        assert!(sent.messages == [message], "{words:?}");
        assert!(sent.longest_frame() <= most, "{:?} {words:?}", sent.frames);
    }
    let long = "ü€𝄞".repeat(10_000);
    for (size, lengths) in [
        ("32K", &[90_000, 3, 0][..]),
        ("1K", &[3000, 0, 1025, 1024, 3]),
        ("4", &[3000, 0, 5, 4]),
    ] {
        // Characters may be cut by fragments, and lines are short enough to travel together, or longer than any buffer.
        let lines: Vec<&str> = lengths.iter().map(|len| &long[..*len / 9 * 9]).collect();
        let sent = sent_with(&["-B", size], "", (lines.join("\n") + "\n").as_bytes());
        let messages = sent.messages.iter().map(|it| std::str::from_utf8(it));
        assert!(messages.map(Result::unwrap).eq(lines), "{size}");
        let most = match size {
            "32K" => USUAL,
            "1K" => 1024,
            _ => 4,
        };
        assert!(sent.longest_frame() <= most, "{size}: {:?}", sent.frames);
    }
}

#[test]
fn a_datagram_is_one_message_in_fragments() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let bridge = Bridge::start(&["ws-l:0", &format!("udp:127.0.0.1:{port}"), "-B", "8K"]);
    let mut ws = bridge.client();
    ws.binary(b"hello");
    let (_, from) = socket.recv_from(&mut [0; 100]).unwrap();
    let datagram = noise(40_000);
    socket.send_to(&datagram, from).unwrap();
    let sent = Sent::read(&mut ws, datagram.len());
    assert!(sent.messages == [datagram]);
    assert_eq!(sent.longest_frame(), 8192);
}

#[test]
fn between_two_websockets_messages_stay_as_long_as_they_are() {
    for words in [&[][..], &["-B", "8K"]] {
        let most = if words.is_empty() { USUAL } else { 8192 };
        let (_bridge, mut left, mut right) = relay(words);
        let bytes = noise(150_000);
        // In one frame, in three, and shorter than any limit.
        left.binary(&bytes);
        let (first, rest) = bytes.split_at(70_000);
        left.frame(0x02, first).frame(0x00, b"").frame(0x80, rest);
        left.binary(b"short");
        let sent = Sent::read(&mut right, 2 * bytes.len() + 5);
        assert!(sent.messages == [&bytes[..], &bytes, b"short"], "{words:?}");
        assert!(sent.longest_frame() <= most, "{:?} {words:?}", sent.frames);
    }
}

/// Sends this input to a server that closes with 1009 as soon as anything has come.
fn refused(words: &[&str], input: &[u8]) -> Finished {
    let (url, server) = server(|ws| {
        while !matches!(
            ws.next(),
            Frame::Text(_) | Frame::Binary(_) | Frame::Piece(true, ..)
        ) {}
        ws.close(1009, "");
        ws.messages()
    });
    let words = [words, &["-", &url]].concat();
    let done = run(&words, input);
    server.join().unwrap();
    done
}

#[test]
fn the_error_after_a_1009_names_our_largest_message_and_what_helps() {
    let bytes = noise(100_000);
    let line = [&b"short\n"[..], &[b'x'; 40_000], b"\n"].concat();
    for (words, input, part) in [
        (
            &["-b"][..],
            &bytes[..],
            "closed with 1009, message too big; our largest message had 32768 bytes; --chunk 8K makes smaller ones of bytes\n",
        ),
        (
            &["-b", "-B", "4K"],
            &bytes,
            "our largest message had 4096 bytes; --chunk 2048 makes smaller ones of bytes\n",
        ),
        (
            &["-1"],
            &line[6..],
            "our largest message had 40000 bytes; --chunk makes its fragments of 32768 bytes smaller, not the message\n",
        ),
    ] {
        let done = refused(words, input);
        assert_eq!(done.status, 110, "{}", done.stderr);
        assert!(done.stderr.ends_with(part), "{}", done.stderr);
    }
}

#[test]
fn a_server_logs_what_its_caller_or_its_target_found_too_big() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut ws = bridge.client();
    let mut tcp = Tcp::accept(&listener);
    tcp.send([7; 1000]);
    assert_eq!(Sent::read(&mut ws, 1000).messages, [[7; 1000]]);
    ws.close(1009, "");
    bridge
        .running
        .line("closed with 1009; our largest message had 1000 bytes; --chunk 512 makes smaller");
    let (listener, port) = self::listener();
    let share = format!("share:ws://127.0.0.1:{port}");
    let bridge = Bridge::start(&["ws-l:0", &share]);
    let upstream = thread::spawn(move || Ws::accept(&listener));
    let mut caller = bridge.client();
    let mut upstream = upstream.join().unwrap();
    caller.binary(&[7; 1000]);
    assert_eq!(Sent::read(&mut upstream, 1000).messages, [[7; 1000]]);
    upstream.close(1009, "");
    bridge
        .running
        .line("closed with 1009; our largest message had 1000 bytes; --chunk 512 makes smaller");
}

#[test]
fn bytes_of_a_shared_target_are_cut_too() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("share:tcp:127.0.0.1:{port}")]);
    let mut ws = bridge.client();
    let mut tcp = Tcp::accept(&listener);
    let bytes = noise(300_000);
    tcp.send(&bytes);
    let sent = Sent::read(&mut ws, bytes.len());
    assert!(sent.messages.concat() == bytes);
    assert!(sent.longest() <= USUAL, "{}", sent.longest());
}

#[test]
fn a_size_that_no_character_fits_in_is_refused() {
    for (words, part) in [
        (
            &["--chunk", "3", "-", "ws://localhost:1"][..],
            "--chunk: '3' is too small: a character of a text has up to 4 bytes",
        ),
        (
            &["-", "ws://localhost:1#chunk=big"],
            "chunk: 'big' is no size; 4096 bytes, 64K, 16M and 1G are",
        ),
    ] {
        let done = run(words, "");
        assert_eq!(done.status, 2, "{}", done.stderr);
        assert!(done.stderr.contains(part), "{}", done.stderr);
    }
}
