//! `--dump` and `--tee`: what comes from a side is shown and recorded, and nothing that passes is changed by it.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::lines::{listener, server};
use crate::support::{Bridge, Frame, Tcp, frame_bytes, run};

/// The lines of a dump without their times: the head's other words, and the rows as they are.
fn dump(stderr: &str) -> Vec<String> {
    let lines = stderr.lines().filter(|line| !line.starts_with("wsbridge:"));
    lines
        .map(|line| match line.split_once("Z ") {
            Some((head, rest)) if head.starts_with(['<', '>']) => {
                let (arrow, time) = head.split_once(' ').unwrap();
                assert_eq!(time.len(), "2026-11-21T06:00:00.123456".len(), "{line}");
                format!("{arrow} {rest}")
            }
            _ => line.to_owned(),
        })
        .collect()
}

#[test]
fn a_dump_shows_both_directions_on_stderr_and_how_they_ended() {
    let (url, server) = server(|ws| {
        assert_eq!(ws.next(), Frame::text("question"));
        assert_eq!(ws.next(), closed());
        ws.binary(b"\x1b[31m\x00").close(4000, "bye\u{7}");
    });
    let done = run(&["--dump", "--linger", "0", "-", &url], "question\n");
    server.join().unwrap();
    assert_eq!(done.stdout, b"\x1b[31m\0");
    let row = |digits: &str, text: &str| format!("00000000  {digits:<48}  |{text}|");
    let shown = dump(&done.stderr);
    assert_eq!(
        shown[..5],
        [
            "> text 8 bytes".to_owned(),
            row("71 75 65 73 74 69 6f 6e", "question"),
            "> end: eof".to_owned(),
            "< binary 6 bytes".to_owned(),
            row("1b 5b 33 31 6d 00", ".[31m."),
        ],
        "{}",
        done.stderr
    );
    let end = "< end: close 4000 \"bye\\u{7}\"".to_owned();
    assert!(shown.contains(&end), "{}", done.stderr);
}

#[test]
fn a_side_alone_is_watched_in_all_ways_of_writing_it() {
    for words in [
        &["-", "echo:,dump"][..],
        &["-o", "right.dump", "-", "echo:"],
        &["stdio:", "echo:,dump", "-q"],
    ] {
        let done = run(words, "a\n");
        let shown = dump(&done.stderr);
        assert_eq!((done.status, done.text()), (0, "a\n"), "{}", done.stderr);
        assert_eq!(
            (shown.len(), &*shown[0], &*shown[2]),
            (3, "< text 1 bytes", "< end: eof"),
            "{words:?}"
        );
    }
    let done = run(&["stdio:,dump", "echo:"], "a\n");
    assert_eq!(dump(&done.stderr)[0], "> text 1 bytes");
    let done = run(&["-", "echo:"], "a\n");
    assert_eq!(done.stderr, "");
}

#[test]
fn callers_are_told_from_each_other() {
    let bridge = Bridge::start(&["--dump", "ws-l:0", "echo:"]);
    let (mut one, mut two) = (bridge.client(), bridge.client());
    for (ws, text) in [(&mut one, "one"), (&mut two, "two")] {
        ws.text(text);
        assert_eq!(ws.next(), Frame::text(text));
    }
    let caller_of = |arrow: &str, text: &str, stderr: &str| {
        let lines: Vec<_> = stderr.lines().collect();
        let at = lines
            .windows(2)
            .position(|pair| pair[0].starts_with(arrow) && pair[1].contains(text));
        let head: Vec<_> = lines[at.unwrap()].split(' ').collect();
        assert_eq!(
            (head.len(), head[3..].join(" ")),
            (7, "/ text 3 bytes".to_owned())
        );
        head[2].to_owned()
    };
    one.close(1000, "");
    two.close(1000, "");
    assert_eq!((one.next(), two.next()), (closed(), closed()));
    let stderr = bridge.stop().stderr;
    let [one, two] = ["|one|", "|two|"].map(|text| {
        let callers = [">", "<"].map(|arrow| caller_of(arrow, text, &stderr));
        assert_eq!(callers[0], callers[1]);
        callers[0].clone()
    });
    assert_ne!(one, two);
}

fn closed() -> Frame {
    Frame::Close(1000, String::new())
}

#[test]
fn a_record_is_what_stdout_would_have_and_is_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    fs::write(&path, "before\n").unwrap();
    let tee = format!("right.tee={}", path.display());
    let (url, server) = server(|ws| {
        ws.text("text")
            .binary(b"\x00\xffbinary")
            .text("")
            .close(1000, "");
        ws.messages()
    });
    let done = run(&["-o", &tee, "-", &url], "from stdin\n");
    server.join().unwrap();
    assert_eq!(done.status, 0, "{}", done.stderr);
    let recorded = fs::read(&path).unwrap();
    assert_eq!(recorded, [b"before\n", &done.stdout[..]].concat());
    assert_eq!(done.stdout, b"text\n\x00\xffbinary\n");
    // As a flag it records both sides, in one file.
    fs::remove_file(&path).unwrap();
    let done = run(&["--tee", path.to_str().unwrap(), "-", "echo:"], "a\nb\n");
    assert_eq!(done.text(), "a\nb\n");
    let mut lines: Vec<_> = fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    assert_eq!(lines, ["a", "a", "b", "b"]);
}

#[test]
fn callers_share_a_record_and_no_message_is_torn() {
    const CALLERS: usize = 8;
    const MESSAGES: usize = 50;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    let tee = format!("left.tee={}", path.display());
    let bridge = Bridge::start(&["-o", &tee, "--threads", "4", "ws-l:0", "echo:"]);
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let mut ws = bridge.client();
            scope.spawn(move || {
                let text = caller.to_string().repeat(9000);
                for _ in 0..MESSAGES {
                    // In two frames.
                    ws.frame(0x01, &text.as_bytes()[..4000]);
                    ws.frame(0x80, &text.as_bytes()[4000..]);
                    let mut back = 0;
                    while back < text.len() {
                        match ws.next() {
                            Frame::Text(part) | Frame::Piece(_, _, part) => back += part.len(),
                            other => panic!("{other:?}"),
                        }
                    }
                }
            });
        }
    });
    let done = bridge.stop();
    assert_eq!(done.status, 0, "{}", done.stderr);
    let recorded = fs::read_to_string(&path).unwrap();
    assert_eq!(recorded.lines().count(), CALLERS * MESSAGES);
    for line in recorded.lines() {
        assert_eq!(line.len(), 9000);
        assert!(line.bytes().all(|byte| byte == line.as_bytes()[0]));
    }
}

#[test]
fn two_byte_sides_are_watched_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let [left, right] = ["left", "right"].map(|name| folder.path().join(name));
    let (listener, port) = listener();
    let target = format!("tcp:127.0.0.1:{port},tee={}", right.display());
    let source = format!("tcp-l:0,tee={}", left.display());
    let bridge = Bridge::start(&[&source, &target]);
    let mut caller = Tcp::connect(bridge.port);
    let mut served = Tcp::accept(&listener);
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    caller.send(&bytes).fin();
    assert_eq!(served.rest().0, bytes);
    served.send(b"no newline").fin();
    assert_eq!(caller.rest().0, b"no newline");
    bridge.stop();
    assert_eq!(fs::read(left).unwrap(), bytes);
    assert_eq!(fs::read(right).unwrap(), b"no newline");
}

#[test]
fn messages_are_seen_one_by_one_though_the_other_side_has_no_boundaries() {
    let mut bridge = Bridge::start(&["--dump", "--once", "ws-l:0", "null:"]);
    let mut ws = bridge.client();
    let frames = frame_bytes(0x81, b"abc", true).repeat(100);
    ws.raw(&frames).close(1000, "");
    assert_eq!(ws.next(), closed());
    let done = bridge.running.finish();
    let shown = dump(&done.stderr);
    let heads = shown.iter().filter(|line| *line == "> text 3 bytes");
    assert_eq!(heads.count(), 100);
}

#[test]
fn a_record_that_can_not_be_opened_is_an_error_before_anything_is() {
    let (listener, port) = listener();
    listener.set_nonblocking(true).unwrap();
    let target = format!("tcp:127.0.0.1:{port}");
    let done = run(&["--tee", "/nonexistent/file", "-", &target], "");
    assert_eq!(
        (done.status, &*done.stderr),
        (
            23,
            "wsbridge: opening /nonexistent/file for --tee: no such file or directory\n"
        )
    );
    assert!(listener.accept().is_err(), "it has connected");
}

#[test]
fn a_full_disk_ends_the_record_loudly_and_not_the_session() {
    let done = run(&["--tee", "/dev/full", "-", "echo:"], "a\nb\n");
    assert_eq!((done.status, done.text()), (23, "a\nb\n"));
    assert_eq!(
        done.stderr,
        "wsbridge: /dev/full: no space left on device; what passes from now on is not recorded there\n"
    );
}

#[test]
fn a_dump_that_is_read_late_is_whole() {
    // More than a pipe holds, less than what is kept back before a session has to wait.
    let line = "x".repeat(99) + "\n";
    let input = line.repeat(200);
    let mut child = Command::new(env!("CARGO_BIN_EXE_wsbridge"))
        .args(["--dump", "-", "echo:"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let mut printed = vec![0; input.len()];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut printed)
        .unwrap();
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(stderr.matches(" text 99 bytes\n").count(), 400);
    assert_eq!(stderr.matches(" end: eof\n").count(), 2);
    assert!(stderr.len() > 100_000);
}

#[test]
fn a_reader_of_stderr_that_has_gone_changes_nothing() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wsbridge"))
        .args(["--dump", "-", "echo:"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    child.stdin.take().unwrap().write_all(b"a\nb\n").unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(
        (done.status.code(), &*done.stdout),
        (Some(0), &b"a\nb\n"[..])
    );
}
