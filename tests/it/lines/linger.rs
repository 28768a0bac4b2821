//! The end of stdin and of the server: who waits for whom, and for how long.

use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use super::{normal, server};
use crate::support::{Frame, run, spawn};

#[test]
fn an_answer_that_comes_later_is_printed() {
    let (url, server) = server(|ws| {
        assert_eq!(ws.next(), Frame::text("question"));
        // The delay is the thing tested: stdin has long ended.
        thread::sleep(Duration::from_millis(300));
        ws.text("first");
        thread::sleep(Duration::from_millis(700));
        // Within a second of the last one: the quiet begins anew.
        ws.text("second");
        let end = ws.messages().1;
        ws.answer_close(1000);
        end
    });
    let begun = Instant::now();
    let done = run(&[&url], "question\n");
    assert_eq!(server.join().unwrap(), normal());
    assert_eq!(
        (done.text(), done.status),
        ("first\nsecond\n", 0),
        "{}",
        done.stderr
    );
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

#[test]
fn without_linger_the_close_comes_at_once_and_answers_before_the_reply_are_printed() {
    let (url, server) = server(|ws| {
        assert_eq!(ws.next(), Frame::text("question"));
        assert_eq!(ws.next(), normal());
        ws.text("late answer").answer_close(1000);
    });
    let done = run(&["--linger", "0", "-", &url], "question\n");
    server.join().unwrap();
    assert_eq!(
        (done.text(), done.status),
        ("late answer\n", 0),
        "{}",
        done.stderr
    );
}

#[test]
fn with_no_close_the_server_has_the_last_word() {
    let (url, server) = server(|ws| {
        assert_eq!(ws.next(), Frame::text("question"));
        // Longer than the linger would be.
        thread::sleep(Duration::from_millis(1500));
        ws.text("answer").close(1000, "");
        ws.messages()
    });
    let done = run(&["-n", "-", &url], "question\n");
    assert_eq!(server.join().unwrap(), (vec![], normal()));
    assert_eq!(
        (done.text(), done.status),
        ("answer\n", 0),
        "{}",
        done.stderr
    );
}

#[test]
fn a_server_that_closes_at_once_ends_the_client_with_stdin_open() {
    let (url, server) = server(|ws| {
        ws.text("bye").close(1000, "");
        ws.messages()
    });
    let mut client = spawn(&[&url]);
    let stdin = client.stdin();
    let mut stdout = client.stdout();
    let mut got = Vec::new();
    stdout.read_to_end(&mut got).unwrap();
    assert_eq!((got.as_slice(), client.wait()), (&b"bye\n"[..], 0));
    assert_eq!(server.join().unwrap(), (vec![], normal()));
    drop(stdin);
}
