//! `hub:`: rooms, who hears what, and what becomes of who does not keep up.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use crate::support::{Bridge, Frame, Ws, frame_bytes, run, spawn};

fn normal() -> Frame {
    Frame::Close(1000, String::new())
}

/// Waits until a member hears `text`: all that is said later it will hear too.
#[track_caller]
fn hears(ws: &mut Ws, text: &str) {
    assert_eq!(ws.next(), Frame::text(text));
}

#[test]
fn everyone_hears_every_message_once_in_one_order() {
    let bridge = Bridge::start(&["ws-l:0", "hub:"]);
    let mut members: Vec<Ws> = (0..5).map(|_| bridge.client()).collect();
    members[0].text("first").binary(b"\0\xff").text("");
    members[0].frame(0x01, b"in ").frame(0x80, b"two");
    for ws in &mut members {
        hears(ws, "first");
        assert_eq!(ws.next(), Frame::Binary(b"\0\xff".to_vec()));
        hears(ws, "");
        hears(ws, "in two");
    }
    let writers: Vec<_> = members
        .into_iter()
        .enumerate()
        .map(|(nth, mut ws)| {
            std::thread::spawn(move || {
                for number in 0..200 {
                    ws.text(&format!("{nth}/{number}"));
                }
                (0..1000).map(|_| ws.next()).collect::<Vec<_>>()
            })
        })
        .collect();
    let heard: Vec<_> = writers.into_iter().map(|it| it.join().unwrap()).collect();
    for other in &heard[1..] {
        assert!(*other == heard[0], "not one order");
    }
    for nth in 0..5 {
        let own = format!("{nth}/");
        let of = heard[0].iter().filter_map(|frame| match frame {
            Frame::Text(text) => str::from_utf8(text).unwrap().strip_prefix(&own),
            _ => None,
        });
        let expected: Vec<_> = (0..200).map(|number| number.to_string()).collect();
        assert_eq!(of.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_long_message_reaches_all_whole() {
    let bridge = Bridge::start(&["ws-l:0", "hub:", "--echo", "no"]);
    let (mut one, mut other) = (bridge.client(), bridge.client());
    let long = "ü€😀".repeat(100_000);
    one.text(&long).close(1000, "");
    let mut got = Vec::new();
    loop {
        match other.next() {
            Frame::Text(payload) | Frame::Piece(true, _, payload) => {
                got.extend(payload);
                break;
            }
            Frame::Piece(false, _, payload) => got.extend(payload),
            end => panic!("{end:?}"),
        }
    }
    assert!(got == long.as_bytes());
    // It has not heard itself, and it is let go at once.
    assert_eq!(one.next(), normal());
}

#[test]
fn rooms_are_by_name_and_by_path() {
    let bridge = Bridge::start(&[
        "ws-l:0",
        "hub:{path}",
        "--rooms",
        "2",
        "--room-members",
        "2",
    ]);
    let ask = |path| Ws::ask(bridge.port, path, &[]);
    let (mut a, mut other_a, mut b) = (ask("/a"), ask("/a?x"), ask("/b"));
    a.text("to a");
    b.text("to b");
    hears(&mut a, "to a");
    hears(&mut other_a, "to a");
    hears(&mut b, "to b");
    let third = ask("/a");
    assert!(third.head.starts_with("HTTP/1.1 503 "), "{}", third.head);
    let third = ask("/c");
    assert!(third.head.starts_with("HTTP/1.1 503 "), "{}", third.head);
    // A room that all have left gives its place to another.
    b.close(1000, "");
    assert_eq!(b.next(), normal());
    let line = bridge.closed();
    assert!(line.contains("/b"), "{line}");
    let mut c = ask("/c");
    c.text("to c");
    hears(&mut c, "to c");
}

#[test]
fn newcomers_hear_the_last_messages_and_all_hear_who_comes_and_goes() {
    let words = [
        "ws-l:0", "hub:", "--replay", "2", "--join", "--id", "prefix",
    ];
    let bridge = Bridge::start(&words);
    let mut one = bridge.client();
    hears(&mut one, "* 1 joined (1 here)");
    one.text("a").text("b").binary(b"raw");
    hears(&mut one, "1: a");
    hears(&mut one, "1: b");
    assert_eq!(one.next(), Frame::Binary(b"raw".to_vec()));
    let mut two = bridge.client();
    hears(&mut two, "1: b");
    assert_eq!(two.next(), Frame::Binary(b"raw".to_vec()));
    hears(&mut two, "* 2 joined (2 here)");
    hears(&mut one, "* 2 joined (2 here)");
    two.text("hi").close(1000, "");
    hears(&mut one, "2: hi");
    hears(&mut one, "* 2 left (1 here)");
}

#[test]
fn objects_of_json_say_who_and_which() {
    let bridge = Bridge::start(&["ws-l:0", "hub:", "--join", "--id", "json"]);
    let mut one = bridge.client();
    hears(&mut one, r#"{"event":"joined","id":1,"members":1}"#);
    one.text("a \"b\"").binary(b"\0\xff");
    hears(
        &mut one,
        r#"{"id":1,"kind":"text","seq":1,"text":"a \"b\""}"#,
    );
    hears(
        &mut one,
        r#"{"base64":"AP8=","id":1,"kind":"binary","seq":2}"#,
    );
}

/// A member that has taken nothing for so long that its room is full; it has heard nothing yet.
fn stuck(bridge: &Bridge, speaker: &mut Ws) -> (Ws, usize) {
    let stuck = bridge.client();
    let text = "x".repeat(64 * 1024);
    // More than both systems' buffers and the room hold.
    let count = 400;
    for number in 0..count {
        speaker.text(&format!("{number} {text}"));
        // Whoever reads keeps up.
        let Frame::Text(got) = whole(speaker) else {
            panic!("no text");
        };
        assert!(got.starts_with(format!("{number} ").as_bytes()));
    }
    (stuck, count)
}

/// The next message, put together.
fn whole(ws: &mut Ws) -> Frame {
    let mut got = Vec::new();
    loop {
        match ws.heard() {
            Frame::Piece(false, _, payload) => got.extend(payload),
            Frame::Piece(true, _, payload) => {
                got.extend(payload);
                return Frame::Text(got);
            }
            other => return other,
        }
    }
}

/// The numbers of the messages that it hears up to what is none, and that.
fn numbers(ws: &mut Ws) -> (Vec<usize>, Frame) {
    let mut numbers = Vec::new();
    loop {
        match whole(ws) {
            Frame::Text(text) if text.len() > 64 * 1024 => {
                let text = str::from_utf8(&text).unwrap();
                numbers.push(text.split(' ').next().unwrap().parse().unwrap());
            }
            other => return (numbers, other),
        }
    }
}

#[test]
fn one_that_does_not_keep_up_is_closed_and_the_others_miss_nothing() {
    let bridge = Bridge::start(&["ws-l:0", "hub:", "--queue", "10"]);
    let mut speaker = bridge.client();
    let (mut stuck, count) = stuck(&bridge, &mut speaker);
    let (heard, end) = numbers(&mut stuck);
    assert_eq!(end, Frame::Close(1013, "slow".to_owned()));
    let expected: Vec<_> = (0..heard.len()).collect();
    assert!(heard == expected && heard.len() < count, "{heard:?}");
}

#[test]
fn what_one_loses_that_does_not_keep_up_is_told() {
    for (slow, check) in [
        (
            "drop-oldest",
            (|count, last| last == count - 1) as fn(usize, usize) -> bool,
        ),
        ("drop-newest", |count, last| last < count - 1),
        ("latest", |count, last| last == count - 1),
    ] {
        let bridge = Bridge::start(&["ws-l:0", "hub:", "--queue", "10", "--slow", slow]);
        let mut speaker = bridge.client();
        let (mut stuck, count) = stuck(&bridge, &mut speaker);
        let (mut heard, notice) = numbers(&mut stuck);
        let before = heard.len();
        let Frame::Text(notice) = notice else {
            panic!("{slow}: {notice:?}");
        };
        let notice = String::from_utf8(notice).unwrap();
        let lost: usize = notice.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(
            notice.starts_with("* ") && notice.contains(" messages lost ("),
            "{notice}"
        );
        speaker.text("the end");
        let (rest, end) = numbers(&mut stuck);
        assert_eq!(end, Frame::text("the end"), "{slow}");
        heard.extend(rest);
        assert_eq!(heard.len() + lost, count, "{slow}");
        assert!(heard.is_sorted(), "{slow}");
        if slow == "drop-newest" {
            assert_eq!(
                heard.len(),
                before,
                "{slow}: the notice is where the messages were"
            );
        } else {
            assert_eq!(
                heard[before],
                before + lost,
                "{slow}: the notice is where the messages were"
            );
        }
        assert!(check(count, *heard.last().unwrap()), "{slow}");
    }
    let words = [
        "ws-l:0",
        "hub:",
        "--queue",
        "10",
        "--slow",
        "drop-oldest",
        "--gap",
        "close",
    ];
    let bridge = Bridge::start(&words);
    let mut speaker = bridge.client();
    let (mut stuck, _) = stuck(&bridge, &mut speaker);
    assert_eq!(numbers(&mut stuck).1, Frame::Close(1013, "gap".to_owned()));
}

#[test]
fn all_wait_for_one_where_that_is_asked_for() {
    let bridge = Bridge::start(&["ws-l:0", "hub:", "--queue", "10", "--slow", "block"]);
    let mut speaker = bridge.client();
    let mut stuck = bridge.client();
    let text = "x".repeat(64 * 1024);
    let count = 400;
    let mut writing = speaker.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for number in 0..count {
            let text = format!("{number} {text}");
            let frame = crate::support::frame_bytes(0x81, text.as_bytes(), true);
            writing.write_all(&frame).unwrap();
        }
    });
    let hearing =
        std::thread::spawn(move || (0..count).map(|_| whole(&mut speaker)).collect::<Vec<_>>());
    for number in 0..count {
        let Frame::Text(text) = whole(&mut stuck) else {
            panic!("no text");
        };
        assert!(text.starts_with(format!("{number} ").as_bytes()));
    }
    writer.join().unwrap();
    assert_eq!(hearing.join().unwrap().len(), count);
}

#[test]
fn a_message_over_the_limit_closes_its_sender_alone() {
    let bridge = Bridge::start(&["ws-l:0", "hub:", "--max-message", "1000"]);
    let (mut one, mut other) = (bridge.client(), bridge.client());
    one.text("fits")
        .frame(0x01, &[b'x'; 600])
        .frame(0x00, &[b'x'; 401]);
    hears(&mut other, "fits");
    hears(&mut one, "fits");
    assert_eq!(one.next(), Frame::Close(1009, "over 1000 bytes".to_owned()));
    other.text("still here");
    hears(&mut other, "still here");
    // Short ones that come together are judged as well.
    let mut both = frame_bytes(0x81, b"one", true);
    both.extend(frame_bytes(0x81, &[b'x'; 1001], true));
    other.raw(&both);
    hears(&mut other, "one");
    assert_eq!(
        other.next(),
        Frame::Close(1009, "over 1000 bytes".to_owned())
    );
}

#[test]
fn pipes_and_sockets_chat_with_each_other() {
    let bridge = Bridge::start(&["ws-l:0", "hub:"]);
    let mut page = bridge.client();
    let mut shell = spawn(&["-", &bridge.url()]);
    let mut stdin = shell.stdin();
    writeln!(stdin, "from a pipe ü").unwrap();
    hears(&mut page, "from a pipe ü");
    page.text("from a page");
    hears(&mut page, "from a page");
    let mut out = std::io::BufReader::new(shell.stdout());
    for expected in ["from a pipe ü\n", "from a page\n"] {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        assert_eq!(line, expected);
    }
    drop(stdin);
    assert_eq!(shell.wait(), 0);
    // Gone without a word: the others go on.
    let mut lost = bridge.client();
    lost.text("x");
    hears(&mut page, "x");
    let stream: TcpStream = lost.stream.try_clone().unwrap();
    stream.shutdown(Shutdown::Both).unwrap();
    let done = run(&["--linger", "100ms", "-", &bridge.url()], "bye\n");
    assert_eq!((done.status, done.text()), (0, "bye\n"), "{}", done.stderr);
    hears(&mut page, "bye");
}

/// Joins two rooms by a member of both.
fn joined(flags: &[&str]) -> (Bridge, Bridge, crate::support::Running) {
    let room = || Bridge::start(&[&["ws-l:0", "hub:"], flags].concat());
    let (one, other) = (room(), room());
    let [left, right] = [&one, &other].map(|room| format!("reconnect:{}", room.url()));
    let bridge = spawn(&[&left, &right]);
    (one, other, bridge)
}

/// Says something in one room until it is heard in the other: then they are joined.
fn say_until_heard(one: &mut Ws, other: &mut Ws) {
    let stream = one.stream.try_clone().unwrap();
    let is_heard = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let heard = is_heard.clone();
    let teller = std::thread::spawn(move || {
        let mut stream = stream;
        while !heard.load(std::sync::atomic::Ordering::Relaxed) {
            stream
                .write_all(&frame_bytes(0x81, b"joined?", true))
                .unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    hears(other, "joined?");
    is_heard.store(true, std::sync::atomic::Ordering::Relaxed);
    teller.join().unwrap();
}

#[test]
fn rooms_are_joined_by_a_member_that_does_not_hear_itself() {
    let (one_room, other_room, bridge) = joined(&["--echo", "no"]);
    let (mut one, mut other) = (one_room.client(), other_room.client());
    say_until_heard(&mut one, &mut other);
    other.text("there");
    hears(&mut one, "there");
    one.text("and back");
    loop {
        match other.next() {
            text if text == Frame::text("and back") => break,
            text => assert_eq!(text, Frame::text("joined?")),
        }
    }
    // Nothing has come back: what is said next is what is heard next.
    other.text("last");
    hears(&mut one, "last");
    drop((bridge, one, other));
    for room in [one_room, other_room] {
        let log = room.stop().stderr;
        assert!(!log.contains("again and again"), "{log}");
    }
}

#[test]
fn what_goes_round_between_rooms_is_told_in_the_log() {
    let (one_room, _other_room, _bridge) = joined(&[]);
    let one = one_room.client();
    let mut stream = one.stream.try_clone().unwrap();
    std::thread::spawn(move || {
        // Until the rooms are joined nobody gives it back.
        while stream.write_all(&frame_bytes(0x81, b"round", true)).is_ok() {
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
    });
    one_room
        .running
        .line("a member says the same again and again");
}

/// What a member hears of what another says, in a room with these options.
#[track_caller]
fn said(words: &[&str], binary: Option<&[u8]>, text: &str) -> Frame {
    let bridge = Bridge::start(&[&["ws-l:0", "hub:", "--echo", "no"], words].concat());
    let mut hearer = bridge.client();
    if words.contains(&"--join") {
        hears(&mut hearer, "* 1 joined (1 here)");
    }
    let mut speaker = bridge.client();
    if words.contains(&"--join") {
        hears(&mut hearer, "* 2 joined (2 here)");
    }
    match binary {
        Some(bytes) => speaker.binary(bytes),
        None => speaker.text(text),
    };
    hearer.next()
}

#[test]
fn no_member_speaks_as_the_room_or_as_another() {
    let prefix = &["--id", "prefix", "--join"][..];
    for (text, heard) in [
        ("hi\n1: I am one", "2: hi\n2: 1: I am one"),
        ("hi\r\n* 1 left (1 here)", "2: hi\r\n2: * 1 left (1 here)"),
        ("hi\u{2028}1: I am one", "2: hi\u{2028}2: 1: I am one"),
        ("hi\r1: I am one", "2: hi\\u{d}1: I am one"),
        (
            "\x1b[2K\x08\x081: I am one",
            "2: \\u{1b}[2K\\u{8}\\u{8}1: I am one",
        ),
    ] {
        assert_eq!(said(prefix, None, text), Frame::text(heard));
    }
    let binary = |words, bytes: &[u8]| match said(words, Some(bytes), "") {
        Frame::Binary(heard) => heard,
        other => panic!("{other:?}"),
    };
    assert_eq!(binary(prefix, b"1: I am one"), b"2: 1: I am one");
    assert_eq!(binary(prefix, b"\xff\n* 1 left"), b"2: \xff\n2: * 1 left");
    assert_eq!(binary(prefix, b"\0\xff"), b"\0\xff");
    // Without names a line that begins as the room's own do is marked.
    for words in [&["--join"][..], &["--slow", "drop-oldest"]] {
        let heard = said(words, None, "a\n* 1 left (1 here)");
        assert_eq!(heard, Frame::text("a\n> * 1 left (1 here)"));
        assert_eq!(
            binary(words, b"* 9 messages lost (1 bytes)"),
            b"> * 9 messages lost (1 bytes)"
        );
        assert_eq!(said(words, None, "2 * 3"), Frame::text("2 * 3"));
        let heard = said(words, None, "x\x1b[1G* 1 left (1 here)");
        assert_eq!(heard, Frame::text("x\\u{1b}[1G* 1 left (1 here)"));
    }
    // A room that says nothing alters nothing.
    assert_eq!(said(&[], None, "* 1\x1b\r"), Frame::text("* 1\x1b\r"));
    let json = said(&["--id", "json"], None, "a\n{\"event\":\"left\"}");
    let Frame::Text(json) = json else {
        panic!("{json:?}");
    };
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["text"], "a\n{\"event\":\"left\"}");
    // JSON has a way to write what a terminal would obey.
    let json = said(&["--id", "json"], None, "\x1b[2K\u{9b}2K\x7f");
    let Frame::Text(json) = json else {
        panic!("{json:?}");
    };
    let text = std::str::from_utf8(&json).unwrap();
    assert!(!text.contains(char::is_control), "{text:?}");
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(json["text"], "\x1b[2K\u{9b}2K\x7f");
}

#[test]
fn one_address_does_not_take_all_rooms() {
    let bridge = Bridge::start(&["ws-l:*:0", "hub:{path}"]);
    let mut members: Vec<Ws> = (0..16)
        .map(|number| Ws::ask(bridge.port, &format!("/{number}"), &[]))
        .collect();
    let refused = Ws::ask(bridge.port, "/16", &[]);
    assert!(
        refused.head.starts_with("HTTP/1.1 503 "),
        "{}",
        refused.head
    );
    bridge.running.line("--rooms-per-ip allows more");
    // A room of others takes it in, and another address has rooms of its own.
    let mut other = Ws::ask_from("127.0.0.9", bridge.port, "/of-another");
    let mut guest = Ws::ask(bridge.port, "/of-another", &[]);
    assert!(guest.head.starts_with("HTTP/1.1 101 "), "{}", guest.head);
    other.text("hello");
    hears(&mut guest, "hello");
    // One that all have left is free again.
    let last = members.pop().unwrap();
    drop(last);
    bridge.closed();
    let again = Ws::ask(bridge.port, "/16", &[]);
    assert!(again.head.starts_with("HTTP/1.1 101 "), "{}", again.head);
}

#[test]
fn behind_a_trusted_proxy_each_address_has_rooms_of_its_own() {
    let words = [
        "ws-l:0",
        "hub:{path}",
        "--rooms-per-ip",
        "1",
        "--trusted-proxy",
        "127.0.0.0/8",
    ];
    let bridge = Bridge::start(&words);
    let ask = |path, from| Ws::ask(bridge.port, path, &[("X-Forwarded-For", from)]);
    let one = ask("/1", "192.0.2.1");
    let two = ask("/2", "192.0.2.9, 192.0.2.2");
    let three = ask("/3", "192.0.2.3, 192.0.2.2");
    assert!(one.head.starts_with("HTTP/1.1 101 "), "{}", one.head);
    assert!(two.head.starts_with("HTTP/1.1 101 "), "{}", two.head);
    assert!(three.head.starts_with("HTTP/1.1 503 "), "{}", three.head);
}
