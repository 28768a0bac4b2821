//! `--memory`: what all sessions collect and queue has one bound, and the largest holder gives way.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{MIB, listener};
use crate::support::{Bridge, Frame, PATIENCE, Tcp, Ws, run, spawn_under};

fn memory(code: u16) -> Frame {
    Frame::Close(code, "memory".to_owned())
}

/// The next pong, or the end before it.
#[track_caller]
fn pong(ws: &mut Ws) -> Frame {
    loop {
        match ws.heard() {
            Frame::Text(_) | Frame::Binary(_) | Frame::Piece(..) => {}
            other => return other,
        }
    }
}

/// The end of what a caller hears.
#[track_caller]
fn end(ws: &mut Ws) -> Frame {
    loop {
        match ws.heard() {
            Frame::Text(_) | Frame::Binary(_) | Frame::Piece(..) | Frame::Pong(_) => {}
            end => return end,
        }
    }
}

/// What the log says of a shortage, and of the end of the session that gave way. Either may come first.
#[track_caller]
fn shortage(bridge: &Bridge) -> [String; 2] {
    let mut lines = [(); 2].map(|()| bridge.running.line("--memory"));
    lines.sort_by_key(|line| line.contains("closed caller="));
    assert!(lines[0].contains("of --memory are used up"), "{lines:?}");
    assert!(lines[1].contains("closed caller="), "{lines:?}");
    lines
}

const MIB_BYTES: usize = 1 << 20;

/// Right sides that take whole messages.
fn collecting() -> Vec<(Vec<&'static str>, &'static str)> {
    vec![
        (vec!["hub:"], "a room"),
        (
            vec!["share:sh-c:cat >/dev/null", "-o", "right.framing=length"],
            "a share",
        ),
        (vec!["each:sh-c:cat >/dev/null"], "each:"),
        (vec!["sh-c:cat >/dev/null", "--framing", "length"], "length"),
        (vec!["sh-c:cat >/dev/null", "--framing", "lsp", "-t"], "lsp"),
        (vec!["sh-c:cat >/dev/null", "--base64"], "base64"),
        (vec!["sh-c:cat >/dev/null", "--jsonrpc"], "jsonrpc"),
    ]
}

#[test]
fn the_largest_unfinished_message_gives_way_and_the_others_go_on() {
    for (right, name) in collecting() {
        let mut words = vec!["ws-l:0", "--memory", "5M", "--max-message", "16M"];
        words.extend(right);
        let bridge = Bridge::start(&words);
        // A message may take a quarter more than has come of it: neither that nor its lack changes who is the largest, or when
        // the bound is reached.
        let mut sizes = [25, 32, 1].map(|parts| (bridge.client(), parts * MIB_BYTES / 16));
        let first = if name == "lsp" { 0x01 } else { 0x02 };
        for (ws, len) in &mut sizes {
            ws.frame(first, &vec![b'x'; *len]).frame(0x89, b"");
            assert!(matches!(ws.heard(), Frame::Pong(_)), "{name}");
        }
        let [(mut small, _), (mut large, _), (mut third, _)] = sizes;
        third.frame(0x00, &vec![b'x'; 24 * MIB_BYTES / 16]);
        assert_eq!(end(&mut large), memory(1009), "{name}");
        large.answer_close(1009);
        let [line, closed] = shortage(&bridge);
        assert!(line.contains("5242880 bytes of --memory"), "{line}");
        assert!(line.contains("an unfinished message of 2"), "{line}");
        assert!(closed.contains("out of memory (--memory)"), "{closed}");
        // Those that stay can finish.
        for ws in [&mut small, &mut third] {
            ws.frame(0x80, b"end").frame(0x89, b"here");
            assert_eq!(pong(ws), Frame::Pong(b"here".to_vec()), "{name}");
        }
    }
}

#[test]
fn lines_that_do_not_end_give_way_too() {
    for framing in [
        &["--framing", "json"][..],
        &["-b", "--base64"],
        &["-b", "--hex"],
        &["--jsonrpc"],
    ] {
        let mut words = vec!["tcp-l:0", "hub:", "--memory", "8M", "-o"];
        words.push("left.max-message=16M");
        words.extend(framing);
        let bridge = Bridge::start(&words);
        let mut large = Tcp::connect(bridge.port);
        large.send(vec![b'7'; 5 * MIB_BYTES]);
        let mut small = Tcp::connect(bridge.port);
        small.send(vec![b'7'; 2 * MIB_BYTES]);
        // It grows until there is no room.
        let mut next = Tcp::connect(bridge.port);
        let _ = next.0.write_all(&vec![b'7'; 4 * MIB_BYTES]);
        let line = bridge.closed();
        assert!(
            line.contains("an unfinished message of"),
            "{framing:?}: {line}"
        );
        // Which of the two largest was the larger then depends on what had been read of them.
        let ends = [large.0, next.0];
        // What JSON says of the end may come before.
        let is_reset = |mut stream: &TcpStream| {
            let timeout = Some(Duration::from_millis(100));
            stream.set_read_timeout(timeout).unwrap();
            let read = stream.read_to_end(&mut Vec::new());
            matches!(read, Err(error) if error.kind() == ErrorKind::ConnectionReset)
        };
        let (begun, mut resets) = (Instant::now(), 0);
        while resets == 0 {
            resets = ends.iter().filter(|it| is_reset(it)).count();
            assert!(begun.elapsed() < PATIENCE, "{framing:?}: none is reset");
        }
        assert_eq!(resets, 1, "{framing:?}");
    }
}

#[test]
fn a_queue_that_is_not_read_gives_way_before_those_who_read() {
    let words = [
        "ws-l:0",
        "hub:",
        "--memory",
        "4M",
        "--queue",
        "100000",
        "--queue-bytes",
        "64M",
        "--echo",
        "no",
    ];
    let bridge = Bridge::start(&words);
    let (mut slow, mut reader, mut speaker) = (bridge.client(), bridge.client(), bridge.client());
    slow.frame(0x89, b"");
    assert!(matches!(slow.heard(), Frame::Pong(_)));
    let count = 400;
    let reading = std::thread::spawn(move || {
        let mut heard = 0;
        while heard < count {
            match reader.heard() {
                Frame::Binary(_) | Frame::Piece(true, ..) => heard += 1,
                Frame::Piece(..) => {}
                other => panic!("after {heard}: {other:?}"),
            }
        }
        reader
    });
    for _ in 0..count {
        speaker.binary(&vec![b'x'; 60_000]);
    }
    let mut reader = reading.join().unwrap();
    assert_eq!(end(&mut slow), memory(1013));
    slow.answer_close(1013);
    let [line, closed] = shortage(&bridge);
    assert!(
        line.contains("that is not read is given up with Close 1013"),
        "{line}"
    );
    assert!(closed.contains("a queue of"), "{closed}");
    speaker.text("still here");
    assert_eq!(reader.heard(), Frame::text("still here"));
}

#[test]
fn what_newcomers_would_hear_is_within_the_bound() {
    let words = [
        "ws-l:0",
        "hub:",
        "--memory",
        "2M",
        "--replay",
        "60M",
        "--queue",
        "100000",
        "--queue-bytes",
        "64M",
    ];
    let bridge = Bridge::start(&words);
    let before = bridge.running.memory();
    let mut speaker = bridge.client();
    for _ in 0..500 {
        speaker.binary(&vec![b'x'; 60_000]);
        while !matches!(speaker.heard(), Frame::Binary(_) | Frame::Piece(true, ..)) {}
    }
    let grown = bridge.running.memory().saturating_sub(before) / MIB;
    assert!(grown < 15, "{grown} MiB more for 30 MB that were said");
    let mut newcomer = bridge.client();
    assert!(matches!(
        newcomer.heard(),
        Frame::Binary(_) | Frame::Piece(..)
    ));
}

#[test]
fn a_finished_message_that_the_target_does_not_take_gives_way_as_a_queue() {
    let (backend, port) = listener();
    let target = format!("tcp:127.0.0.1:{port}");
    let words = ["ws-l:0", &target, "--framing", "length", "--memory", "20M"];
    let bridge = Bridge::start(&words);
    let mut stuck = bridge.client();
    let _silent = backend.accept().unwrap();
    // More than the buffers of the systems take.
    stuck
        .frame(0x02, &vec![b'x'; 11 * MIB_BYTES])
        .frame(0x80, &vec![b'x'; 2 * MIB_BYTES]);
    let mut next = bridge.client();
    let (served, _) = backend.accept().unwrap();
    next.frame(0x02, &vec![b'x'; 8 * MIB_BYTES]);
    assert_eq!(end(&mut stuck), memory(1013));
    next.frame(0x80, b"end");
    let mut served = Tcp(served);
    let len = 8 * MIB_BYTES + 3;
    let head = u32::try_from(len).unwrap().to_be_bytes();
    assert_eq!(served.read(4), head);
    assert_eq!(served.read(len).len(), len);
}

#[test]
fn rooms_and_shares_take_a_mebibyte_and_the_error_names_the_option() {
    for right in ["hub:", "share:echo:"] {
        let bridge = Bridge::start(&["ws-l:0", right]);
        let mut ws = bridge.client();
        ws.binary(&vec![b'x'; MIB_BYTES]);
        let mut heard = 0;
        while heard < MIB_BYTES {
            match ws.heard() {
                Frame::Binary(payload) | Frame::Piece(_, _, payload) => heard += payload.len(),
                other => panic!("{other:?}"),
            }
        }
        ws.binary(&vec![b'x'; MIB_BYTES + 1]);
        let over = Frame::Close(1009, "over 1048576 bytes".to_owned());
        assert_eq!(end(&mut ws), over);
        ws.answer_close(1009);
        let line = bridge.closed();
        assert!(
            line.contains("message over the limit of 1048576 bytes (--max-message)"),
            "{line}"
        );
    }
}

#[test]
fn datagrams_of_many_senders_are_within_the_bound() {
    let target = "sh-c:exec sleep 1000 >/dev/null";
    let words = ["udp-l:127.0.0.1:0", target, "--memory", "4M"];
    let bridge = Bridge::start(&words);
    let before = bridge.running.memory();
    let (port, is_over) = (bridge.port, Arc::new(AtomicBool::new(false)));
    let until = is_over.clone();
    let sending = std::thread::spawn(move || {
        let bind = |_| UdpSocket::bind("127.0.0.1:0").unwrap();
        let senders: Vec<_> = (0..100).map(bind).collect();
        // No program takes anything after its pipe is full.
        while !until.load(Ordering::Relaxed) {
            for sender in &senders {
                let _ = sender.send_to(&[b'x'; 50_000], ("127.0.0.1", port));
            }
        }
    });
    bridge.running.line("some are dropped");
    is_over.store(true, Ordering::Relaxed);
    sending.join().unwrap();
    let grown = bridge.running.peak_memory().saturating_sub(before) / MIB;
    assert!(grown < 60, "{grown} MiB more");
}

#[test]
fn a_client_that_held_too_much_ends_with_27() {
    let (backend, port) = listener();
    let url = format!("ws://127.0.0.1:{port}");
    let serving = std::thread::spawn(move || {
        let mut ws = Ws::accept(&backend);
        ws.frame(0x02, &vec![b'x'; 2 * MIB_BYTES]);
        ws.next()
    });
    let done = run(
        &["-U", "--framing", "length", "--memory", "1M", "-", &url],
        "",
    );
    assert_eq!(done.status, 27, "{}", done.stderr);
    assert!(
        done.stderr
            .contains("out of memory (--memory): an unfinished message of"),
        "{}",
        done.stderr
    );
    assert_eq!(serving.join().unwrap(), memory(1009));
}

#[test]
fn what_the_system_has_no_memory_for_ends_one_session() {
    // The bound is far above what the address space leaves.
    let words = [
        "ws-l:0",
        "sh-c:cat >/dev/null",
        "--framing",
        "length",
        "--memory",
        "2G",
        "--max-message",
        "2G",
        "--threads",
        "1",
    ];
    let running = spawn_under("ulimit -v 600000", &words);
    let mut bridge = Bridge::of(running);
    let mut witness = bridge.client();
    let mut greedy = bridge.client();
    let piece = vec![b'x'; 4 * MIB_BYTES];
    greedy.frame(0x02, &piece);
    let frame = crate::support::frame_bytes(0x00, &piece, true);
    for _ in 0..250 {
        if greedy.stream.write_all(&frame).is_err() {
            break;
        }
    }
    // What it has sent is more than there is room for: it waits for no answer.
    let _ = greedy.stream.shutdown(Shutdown::Both);
    let line = bridge.closed();
    assert!(line.contains("the system has no"), "{line}");
    assert!(!bridge.running.has_ended());
    witness.frame(0x89, b"here");
    assert_eq!(witness.heard(), Frame::Pong(b"here".to_vec()));
}

#[test]
fn an_explanation_shows_the_bound() {
    let done = run(&["--explain", "ws-l:8080", "hub:"], "");
    let line = done.text().lines().find(|line| line.contains(" memory "));
    let value = line.unwrap().split_whitespace().last().unwrap();
    let mib: u32 = value.strip_suffix('M').unwrap().parse().unwrap();
    assert!((32..=256).contains(&mib), "{line:?}");
    let done = run(
        &["--explain", "--memory", "64M", "-", "ws://localhost:1"],
        "",
    );
    assert!(
        done.text().contains(" * memory             64M"),
        "{}",
        done.text()
    );
}
