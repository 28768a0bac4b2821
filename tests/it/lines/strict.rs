//! `--strict-lines`: no caller makes two lines of one message.

use crate::support::{Bridge, Frame, Ws, run};

fn refused() -> Frame {
    Frame::Close(1003, "kind".to_owned())
}

/// What becomes of these fragments of a text message, the last of which has `fin`, toward `cat` that gets lines.
fn sent(words: &[&str], fragments: &[&str]) -> (Bridge, Ws) {
    let bridge = Bridge::start(&[words, &["ws-l:0", "--", "cat"]].concat());
    let mut ws = bridge.client();
    let last = fragments.len() - 1;
    for (at, text) in fragments.iter().enumerate() {
        let opcode = u8::from(at == 0);
        let fin = if at == last { 0x80 } else { 0 };
        ws.frame(fin | opcode, text.as_bytes());
    }
    (bridge, ws)
}

#[test]
fn a_newline_inside_a_message_is_refused() {
    for fragments in [
        &["ls\nrm -rf"][..],
        &["ls\n"],
        &["\n"],
        &["ls", "\n", "rm"],
        &["ls", "rm\nx"],
    ] {
        let (bridge, mut ws) = sent(&["--strict-lines"], fragments);
        assert_eq!(ws.messages().1, refused(), "{fragments:?}");
        let line = bridge.closed();
        assert!(line.contains("--strict-lines"), "{line}");
    }
    // So is one of a batch, and what came before it is written.
    let bridge = Bridge::start(&["--strict-lines", "ws-l:0", "--", "cat"]);
    let mut ws = bridge.client();
    ws.text("one").text("two").text("a\nb").text("three");
    let (heard, end) = ws.messages();
    assert_eq!(end, refused());
    let texts = [Frame::text("one"), Frame::text("two")];
    assert!(texts.starts_with(&heard), "{heard:?}");
    // Other separators have their own ends.
    let (_bridge, mut ws) = sent(&["--strict-lines", "--separator", "+-"], &["a+", "-b"]);
    assert_eq!(ws.messages().1, refused());
    let (_bridge, mut ws) = sent(&["--strict-lines", "-0"], &["a\nb"]);
    assert_eq!(ws.next(), Frame::text("a\nb"));
    // A binary message would get around it.
    let bridge = Bridge::start(&["--strict-lines", "ws-l:0", "--", "cat"]);
    let mut ws = bridge.client();
    ws.binary(b"ls\nrm");
    assert_eq!(ws.messages().1, refused());
}

#[test]
fn lines_pass_and_without_it_all_does() {
    let (_bridge, mut ws) = sent(&["--strict-lines"], &["ls", " -l"]);
    assert_eq!(ws.next(), Frame::text("ls -l"));
    let (bridge, mut ws) = sent(&["-v"], &["a\nb"]);
    assert_eq!(ws.next(), Frame::text("a"));
    assert_eq!(ws.next(), Frame::text("b"));
    bridge.running.line("--strict-lines refuses it");
    ws.text("c\nd").close(1000, "");
    ws.messages();
    let stderr = bridge.stop().stderr;
    assert_eq!(stderr.matches("--strict-lines").count(), 1, "{stderr}");
    let (bridge, mut ws) = sent(&[], &["a\nb"]);
    assert_eq!(ws.next(), Frame::text("a"));
    assert!(!bridge.stop().stderr.contains("--strict-lines"));
}

#[test]
fn it_is_for_lines() {
    let done = run(&["--strict-lines", "ws-l:0", "tcp:127.0.0.1:1"], "");
    assert_eq!(done.status, 2, "{}", done.stderr);
    assert!(
        done.stderr.contains("--strict-lines is for lines"),
        "{}",
        done.stderr
    );
}
