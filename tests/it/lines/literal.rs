//! `literal:` and `null:`: one message and none.

use super::{normal, server, texts};
use crate::support::{Bridge, Frame, run};

#[test]
fn a_literal_is_one_text_message() {
    for text in ["hello", "a,b=c#d:e", "ü €", "two\nlines", "1,path=/x", " "] {
        let (url, server) = server(|ws| {
            let got = ws.messages();
            ws.answer_close(1000);
            got
        });
        let done = run(&[&format!("literal:{text}"), &url], "not read");
        assert_eq!(
            server.join().unwrap(),
            (texts(&[text]), normal()),
            "{text:?}"
        );
        assert_eq!((done.status, done.text()), (0, ""), "{}", done.stderr);
    }
    let bridge = Bridge::start(&["ws-l:0", "literal:hi"]);
    for _ in 0..3 {
        let mut ws = bridge.client();
        assert_eq!((ws.next(), ws.next()), (Frame::text("hi"), normal()));
        ws.answer_close(1000);
    }
}

#[test]
fn null_takes_everything_and_says_nothing() {
    let bridge = Bridge::start(&["ws-l:0", "null:"]);
    let mut ws = bridge.client();
    for _ in 0..100 {
        ws.text("into the void").binary(&[7; 10_000]);
    }
    ws.close(1000, "");
    assert_eq!(ws.next(), normal());
    let line = bridge.closed();
    assert!(line.contains("bytes_right=1001300 "), "{line}");
    assert!(line.contains("bytes_left=0 "), "{line}");
    let (url, server) = server(|ws| {
        ws.text("unheard").close(1000, "");
        ws.messages()
    });
    let done = run(&["null:", &url], "not read");
    assert_eq!(server.join().unwrap(), (vec![], normal()));
    assert_eq!((done.status, done.text()), (0, ""), "{}", done.stderr);
}
