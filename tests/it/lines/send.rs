//! `--send`: whole messages of the command line, in order, instead of stdin.

use std::fs;
use std::io::Read;

use super::{normal, sent, server, texts};
use crate::support::{Bridge, Frame, run, spawn};

#[test]
fn each_text_is_one_message_whatever_is_in_it() {
    let words = [
        "--send",
        "first",
        "--send",
        "two\nlines\n",
        "--send",
        "",
        "--send",
        "@@at",
        "--send",
        "a,b=c",
    ];
    let expected = texts(&["first", "two\nlines\n", "", "@at", "a,b=c"]);
    for framing in [&[][..], &["-0"], &["--framing", "chunks"]] {
        let words = [&words[..], framing].concat();
        let (messages, end, done) = sent(&words, "not read\n");
        assert_eq!((messages, end), (expected.clone(), normal()), "{framing:?}");
        assert_eq!((done.status, &*done.stderr), (0, ""));
    }
    let (messages, ..) = sent(&["-b", "--send", "bytes"], "");
    assert_eq!(messages, [Frame::Binary(b"bytes".to_vec())]);
}

#[test]
fn an_at_sign_sends_all_of_a_file_or_of_stdin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "a\nb\n").unwrap();
    let at = format!("@{}", path.display());
    let (messages, ..) = sent(&["--send", &at, "--send", "@-"], "c\nd\n");
    assert_eq!(messages, texts(&["a\nb\n", "c\nd\n"]));
    fs::write(&path, b"a\xff").unwrap();
    let (messages, ..) = sent(&["-b", "--send", &at], "");
    assert_eq!(messages, [Frame::Binary(b"a\xff".to_vec())]);
}

#[test]
fn what_can_not_be_sent_is_an_error_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, b"a\xff").unwrap();
    let at = format!("@{}", path.display());
    for (words, status, part) in [
        (
            &["--send", "@/nonexistent/file", "ws-l:0", "-"][..],
            1,
            "reading /nonexistent/file for --send: no such file",
        ),
        (
            &["--send", &at, "ws-l:0", "-"],
            1,
            "for --send: not UTF-8 at byte 1; -b sends bytes as they are",
        ),
        (
            &["--send", "x", "ws-l:0", "echo:"],
            2,
            "--send means nothing to ws-l: and echo:",
        ),
    ] {
        let done = run(words, "");
        assert_eq!(done.status, status, "{}", done.stderr);
        assert!(done.stderr.contains(part), "{}", done.stderr);
        assert!(!done.stderr.contains("listening"), "{}", done.stderr);
    }
}

#[test]
fn stdin_stays_as_it_is_and_answers_are_printed() {
    let (url, server) = server(|ws| {
        assert_eq!(ws.next(), Frame::text("question"));
        ws.text("first").text("second");
        let end = ws.next();
        ws.answer_close(1000);
        end
    });
    let mut running = spawn(&["--send", "question", "-", &url]);
    // It is open, and what is in it is not waited for.
    let _stdin = running.stdin();
    let mut answers = String::new();
    running.stdout().read_to_string(&mut answers).unwrap();
    assert_eq!((answers.as_str(), running.wait()), ("first\nsecond\n", 0));
    assert_eq!(server.join().unwrap(), normal());
}

#[test]
fn one_question_and_one_answer() {
    let (url, server) = server(|ws| {
        assert_eq!(ws.next(), Frame::text("question"));
        ws.text("answer").text("not printed");
        ws.messages()
    });
    let done = run(
        &["-1", "--send", "question", "--send", "not sent", "-", &url],
        "",
    );
    assert_eq!(
        (done.status, done.text()),
        (0, "answer\n"),
        "{}",
        done.stderr
    );
    assert_eq!(server.join().unwrap(), (vec![], normal()));
}

#[test]
fn without_a_close_of_ours_answers_are_printed_until_the_server_ends() {
    let (url, server) = server(|ws| {
        assert_eq!(ws.next(), Frame::text("subscribe"));
        ws.text("news").close(1000, "");
        ws.messages()
    });
    let done = run(&["-n", "--send", "subscribe", "-", &url], "");
    assert_eq!((done.status, done.text()), (0, "news\n"), "{}", done.stderr);
    server.join().unwrap();
}

#[test]
fn every_caller_is_sent_them() {
    let mut bridge = Bridge::start(&["--send", "welcome", "--linger", "0", "ws-l:0", "-"]);
    for _ in 0..3 {
        let mut ws = bridge.client();
        assert_eq!((ws.next(), ws.next()), (Frame::text("welcome"), normal()));
        ws.answer_close(1000);
        bridge.closed();
    }
    assert!(!bridge.running.has_ended());
}
