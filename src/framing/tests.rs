//! Framed streams over an in-memory transport: what is put in comes out, whatever the pieces.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::peer::wire::Wire;
use crate::peer::{Gap, MessageStreamExt};

fn framed(framing: Framing) -> (Framed, DuplexStream) {
    let (near, far) = duplex(1000);
    (
        Framed::new(Box::new(Wire(near)), framing, &Memory::default()),
        far,
    )
}

/// Whole messages and the end that a framing makes of bytes which come in these pieces.
async fn read(framing: Framing, pieces: Vec<Vec<u8>>) -> (Vec<(Kind, Vec<u8>)>, Ending) {
    let (mut stream, mut far) = framed(framing);
    let writer = tokio::spawn(async move {
        for piece in pieces {
            // A stream that failed is read no further.
            if far.write_all(&piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    let (mut messages, mut begun) = (Vec::new(), None);
    let ending = loop {
        match stream.next().await {
            Event::End(ending) => break ending,
            Event::Gap(gap) => panic!("{gap}"),
            Event::Batch(batch) => {
                assert_eq!(begun, None, "a batch within a message");
                messages.extend(batch.messages().map(|bytes| (batch.kind, bytes.to_vec())));
            }
            Event::Fragment(fragment) => {
                let (kind, mut bytes) = begun.take().unwrap_or((fragment.kind, Vec::new()));
                bytes.extend_from_slice(&fragment.payload);
                if fragment.fin {
                    messages.push((kind, bytes));
                } else {
                    begun = Some((kind, bytes));
                }
            }
        }
    };
    assert_eq!(begun, None, "a message was begun and never finished");
    drop(stream);
    writer.await.unwrap();
    (messages, ending)
}

/// The bytes that a framing makes of fragments.
async fn written(framing: Framing, fragments: Vec<Fragment>) -> Vec<u8> {
    let (mut stream, mut far) = framed(framing);
    let reader = tokio::spawn(async move {
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();
        bytes
    });
    for fragment in fragments {
        poll_fn(|cx| stream.poll_ready(cx)).await.unwrap();
        stream.start_send(fragment.into()).unwrap();
    }
    poll_fn(|cx| stream.poll_close(cx, &Ending::Eof))
        .await
        .unwrap();
    reader.await.unwrap()
}

#[track_caller]
fn check(framing: Framing, bytes: &[u8], messages: &[&str], ending: &Ending) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    // At once, and byte by byte.
    for pieces in [
        vec![bytes.to_vec()],
        bytes.iter().map(|byte| vec![*byte]).collect(),
    ] {
        let (got, got_ending) = runtime.block_on(read(framing, pieces));
        let got: Vec<_> = got
            .iter()
            .map(|(_, bytes)| std::str::from_utf8(bytes).unwrap())
            .collect();
        assert_eq!((got, &got_ending), (messages.to_vec(), ending));
    }
}

#[test]
fn lines_are_messages_without_their_newline() {
    let lines = Framing::LINES;
    check(lines, b"", &[], &Ending::Eof);
    check(lines, b"a\nb\n", &["a", "b"], &Ending::Eof);
    check(lines, b"a\n\n\nlast", &["a", "", "", "last"], &Ending::Eof);
    check(lines, b"a\r\n", &["a\r"], &Ending::Eof);
    check(lines, "ü\n\0\n".as_bytes(), &["ü", "\0"], &Ending::Eof);
}

#[test]
fn nul_ends_messages_that_may_have_newlines_in_them() {
    let null = Framing {
        cut: Cut::NULL,
        ..Framing::LINES
    };
    check(
        null,
        b"a\nb\0\0c\r\n\0",
        &["a\nb", "", "c\r\n"],
        &Ending::Eof,
    );
    check(null, "ü\0last".as_bytes(), &["ü", "last"], &Ending::Eof);
    check(null, b"ok\0\xc3\0", &["ok"], &Ending::NotText { offset: 3 });
}

#[test]
fn a_line_that_is_no_text_says_where() {
    let lines = Framing::LINES;
    check(
        lines,
        b"good\nb\xffd\nmore\n",
        &["good"],
        &Ending::NotText { offset: 6 },
    );
    check(
        lines,
        b"good\n\xc3\nmore\n",
        &["good"],
        &Ending::NotText { offset: 5 },
    );
    check(
        lines,
        b"good\n\xe2\x82",
        &["good"],
        &Ending::NotText { offset: 5 },
    );
}

#[test]
fn text_chunks_are_never_cut_within_a_character() {
    let chunks = Framing {
        cut: Cut::Chunks,
        ..Framing::LINES
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let pieces = "aü€😀".bytes().map(|byte| vec![byte]).collect();
    let (got, ending) = runtime.block_on(read(chunks, pieces));
    let got: String = got
        .iter()
        .map(|(_, bytes)| std::str::from_utf8(bytes).unwrap())
        .collect();
    assert_eq!((got.as_str(), ending), ("aü€😀", Ending::Eof));
    let (got, ending) = runtime.block_on(read(chunks, vec![b"good\xffbad".to_vec()]));
    assert_eq!(
        got,
        [(Kind::Text, b"good".to_vec())],
        "what is right goes out first"
    );
    assert_eq!(ending, Ending::NotText { offset: 4 });
    let (_, ending) = runtime.block_on(read(chunks, vec![b"ab".to_vec(), vec![0xe2, 0x82]]));
    assert_eq!(ending, Ending::NotText { offset: 2 });
}

#[tokio::test]
async fn text_is_written_as_lines_and_binary_as_it_is() {
    let piece = |kind, fin, text: &str| Fragment {
        kind,
        fin,
        payload: text.as_bytes().into(),
    };
    let fragments = vec![
        piece(Kind::Text, false, "a"),
        piece(Kind::Text, true, "b"),
        piece(Kind::Text, true, ""),
        piece(Kind::Binary, true, "raw"),
        piece(Kind::Text, true, "end"),
    ];
    assert_eq!(
        written(Framing::LINES, fragments.clone()).await,
        b"ab\n\nrawend\n"
    );
    assert_eq!(
        written(Framing::BYTES, fragments.clone()).await,
        b"abrawend"
    );
    let binary_lines = Framing {
        cut: Cut::LINES,
        ..Framing::BYTES
    };
    assert_eq!(written(binary_lines, fragments).await, b"ab\n\nraw\nend\n");
}

#[tokio::test]
async fn many_short_lines_are_a_batch_and_are_written_as_they_came() {
    let lines: String = (0..100_000)
        .map(|number| format!("line {number}\n"))
        .collect();
    let (mut source, mut near) = framed(Framing::LINES);
    let (mut sink, mut far) = framed(Framing::LINES);
    let bytes = lines.clone();
    let writer = tokio::spawn(async move { near.write_all(bytes.as_bytes()).await });
    let reader = tokio::spawn(async move {
        let mut bytes = String::new();
        far.read_to_string(&mut bytes).await.map(|_| bytes)
    });
    let (mut batches, mut messages) = (0, 0);
    loop {
        match source.next().await {
            Event::End(ending) => {
                assert_eq!(ending, Ending::Eof);
                break;
            }
            Event::Gap(gap) => panic!("{gap}"),
            Event::Batch(batch) => {
                (batches, messages) = (batches + 1, messages + batch.count());
                poll_fn(|cx| sink.poll_ready(cx)).await.unwrap();
                sink.start_send(batch.into()).unwrap();
            }
            Event::Fragment(fragment) => {
                messages += usize::from(fragment.fin);
                poll_fn(|cx| sink.poll_ready(cx)).await.unwrap();
                sink.start_send(fragment.into()).unwrap();
            }
        }
    }
    poll_fn(|cx| sink.poll_close(cx, &Ending::Eof))
        .await
        .unwrap();
    writer.await.unwrap().unwrap();
    assert!(reader.await.unwrap().unwrap() == lines);
    assert_eq!(messages, 100_000);
    assert!(batches > 0);
}

#[test]
fn good_lines_before_a_bad_one_are_delivered() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for before in 0..4 {
        let mut bytes = "good\n".repeat(before).into_bytes();
        bytes.extend_from_slice(b"ba\xFFd\nafter\n");
        let (messages, ending) = runtime.block_on(read(Framing::LINES, vec![bytes]));
        assert_eq!(messages, vec![(Kind::Text, b"good".to_vec()); before]);
        assert_eq!(
            ending,
            Ending::NotText {
                offset: 5 * before as u64 + 2
            }
        );
    }
}

#[tokio::test]
async fn a_line_longer_than_any_buffer_goes_out_in_pieces() {
    let line = "ü".repeat(crate::buffer::LARGE);
    let (got, ending) = read(Framing::LINES, vec![format!("{line}\nshort").into_bytes()]).await;
    assert_eq!(ending, Ending::Eof);
    assert!(
        got == [
            (Kind::Text, line.into_bytes()),
            (Kind::Text, b"short".to_vec())
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any bytes in any pieces, cut by any of these framings and put together again, are the same bytes.
    #[test]
    fn bytes_survive_every_framing(
        bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\0'), any::<u8>()], 0..5000),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        cut in prop::sample::select(vec![Cut::Chunks, Cut::LINES, Cut::NULL]),
    ) {
        let framing = Framing { cut, ..Framing::BYTES };
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let mut from = 0;
        let pieces = cuts.iter().map(|&to| bytes[std::mem::replace(&mut from, to)..to].to_vec()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (again, ending) = runtime.block_on(async {
            let (messages, ending) = read(framing, pieces).await;
            let fragments = messages.iter().map(|(kind, bytes)| Fragment::whole(*kind, bytes)).collect();
            (written(framing, fragments).await, ending)
        });
        let mut expected = bytes;
        // An unterminated last line is a message like any other and gets its end.
        if let Cut::Lines(end) = cut && !expected.is_empty() && !expected.ends_with(end.as_ref()) {
            expected.extend_from_slice(end.as_ref());
        }
        prop_assert_eq!((again, ending), (expected, Ending::Eof));
    }
}

/// A framing by the name that `--framing` takes, or by what `--separator`, `--base64` and `--hex` make.
fn named(name: &str, kind: Kind) -> Framing {
    let (cut, encoding) = match name.split_once(' ') {
        Some(("separator", text)) => (Cut::Lines(text.parse().unwrap()), Encoding::Plain),
        Some(("lines", "base64")) => (Cut::LINES, Encoding::Base64),
        Some(("lines", "hex")) => (Cut::LINES, Encoding::Hex),
        _ => (name.parse().unwrap(), Encoding::Plain),
    };
    Framing {
        cut,
        kind,
        encoding,
        ..Framing::BYTES
    }
}

/// As text, by the name of the framing.
#[track_caller]
fn check_named(name: &str, bytes: &[u8], messages: &[&str], ending: &Ending) {
    check(named(name, Kind::Text), bytes, messages, ending);
}

fn malformed(what: &'static str, offset: u64) -> Ending {
    Ending::Malformed { what, offset }
}

#[test]
fn separators_of_many_bytes_end_messages() {
    let (name, eof) = (r"separator \r\n", Ending::Eof);
    check_named(name, b"a\r\n\r\nb\rc\nd\r\n", &["a", "", "b\rc\nd"], &eof);
    check_named(name, b"a\r\r\nlast\r", &["a\r", "last\r"], &eof);
    check_named(
        name,
        b"a\r\n\xff\r\n",
        &["a"],
        &Ending::NotText { offset: 3 },
    );
    check_named("separator --=", b"1-2--3--=-", &["1-2--3", "-"], &eof);
}

#[test]
fn lengths_stand_before_messages() {
    let (eof, short) = (Ending::Eof, Ending::Lost(crate::ending::Loss::Short));
    check_named("length:1", b"\x01a\x00\x02bc", &["a", "", "bc"], &eof);
    check_named("length:2", b"\x00\x03abc\x00\x00", &["abc", ""], &eof);
    check_named("length:2:le", b"\x03\x00abc\x00\x00", &["abc", ""], &eof);
    check_named("length", b"\x00\x00\x00\x02\xc3\xbc", &["ü"], &eof);
    check_named("length:8:le", b"\x01\0\0\0\0\0\0\0x", &["x"], &eof);
    check_named(
        "length:1",
        b"\x01a\x02\xc3\xbf\x01\xff",
        &["a", "ÿ"],
        &Ending::NotText { offset: 6 },
    );
    check_named("length:2", b"\x00\x01a\x00", &["a"], &short);
}

/// What was cut stays unfinished: `read` would say so of a fragment, and of what came before nothing is lost.
#[tokio::test]
async fn a_message_that_was_cut_is_never_finished() {
    for (name, bytes) in [
        ("length", &b"\0\0\0\x01a\0\0\0\x05bcd"[..]),
        (
            "lsp",
            b"Content-Length: 1\r\n\r\naContent-Length: 5\r\n\r\nbcd",
        ),
        ("lsp", b"Content-Length: 1\r\n\r\naContent-Le"),
        (
            "lsp",
            b"Content-Length: 1\r\n\r\naContent-Length: 5\r\n\r\n",
        ),
    ] {
        let (mut stream, mut far) = framed(named(name, Kind::Text));
        far.write_all(bytes).await.unwrap();
        drop(far);
        let mut events = Vec::new();
        let ending = loop {
            match stream.next().await {
                Event::End(ending) => break ending,
                Event::Gap(gap) => panic!("{gap}"),
                event => events.push(event),
            }
        };
        assert_eq!(ending, Ending::Lost(crate::ending::Loss::Short), "{name}");
        assert_eq!(events[0], Event::Fragment(Fragment::text("a")), "{name}");
        let rest = |event: &Event| matches!(event, Event::Fragment(Fragment { fin: false, .. }));
        assert!(events[1..].iter().all(rest), "{name}: {events:?}");
    }
}

#[test]
fn language_servers_headers_stand_before_messages() {
    let eof = Ending::Eof;
    let two = b"Content-Length: 2\r\n\r\n{}Content-Type: application/vscode-jsonrpc; charset=utf8\r\ncontent-length:0\r\n\r\n";
    check_named("lsp", two, &["{}", ""], &eof);
    check_named("lsp", b"", &[], &eof);
    check_named("lsp", "Content-Length: 2\n\nü".as_bytes(), &["ü"], &eof);
    check_named(
        "lsp",
        b"Content-Length: 2\r\ncontent-length: 2\r\n\r\n{}",
        &[],
        &malformed("two lsp Content-Length of one message", 19),
    );
    let what = "this is no lsp header; wanted is 'Content-Length: N'";
    check_named(
        "lsp",
        b"Content-Length: 1\r\n\r\naStarting\n",
        &["a"],
        &malformed(what, 22),
    );
    check_named(
        "lsp",
        b"\r\n",
        &[],
        &malformed("lsp headers without Content-Length", 0),
    );
    for length in ["", "-1", "+1", "1x", "99999999999999999999"] {
        let bytes = format!("X: y\r\nContent-Length: {length}\r\n\r\n");
        let what = "an lsp Content-Length that is no number";
        check_named("lsp", bytes.as_bytes(), &[], &malformed(what, 6));
    }
    let bytes = b"Content-Type: x; charset=utf-16\r\nContent-Length: 1\r\n\r\na";
    check_named(
        "lsp",
        bytes,
        &[],
        &malformed("an lsp charset other than utf-8", 0),
    );
    let long = format!("X: y\r\n{}", "a".repeat(4096));
    check_named(
        "lsp",
        long.as_bytes(),
        &[],
        &malformed("lsp headers of over 4096 bytes", 6),
    );
    check_named(
        "lsp",
        b"Content-Length: 1\r\n\r\n\xff",
        &[],
        &Ending::NotText { offset: 21 },
    );
}

#[test]
fn a_line_of_json_says_what_the_message_is() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let lines = br#"
{"kind":"text","text":"a\n\"\u00fc"}
{"kind": "binary", "base64": "AP8=", "time": "now"}
{"text":""}
  {"base64":""}
{"kind":"gap","messages":1,"bytes":2}
{"kind":"close","code":4001,"reason":"bye"}
{"kind":"text","text":"never read"}"#;
    let expected = [
        (Kind::Text, "a\n\"ü".as_bytes().to_vec()),
        (Kind::Binary, vec![0, 255]),
        (Kind::Text, vec![]),
        (Kind::Binary, vec![]),
    ];
    let close = crate::ending::Close::new(4001, "bye");
    for pieces in [
        vec![lines.to_vec()],
        lines.iter().map(|byte| vec![*byte]).collect(),
    ] {
        let (messages, ending) = runtime.block_on(read(named("json", Kind::Text), pieces));
        assert_eq!(
            (messages, ending),
            (expected.to_vec(), Ending::Close(close.clone()))
        );
    }
    check_named(
        "json",
        br#"{"kind":"close"}"#,
        &[],
        &Ending::Close(crate::ending::Close::empty()),
    );
    check_named(
        "json",
        br#"{"text":"unterminated"}"#,
        &["unterminated"],
        &Ending::Eof,
    );
}

#[test]
fn a_line_that_is_no_message_says_what_is_wrong_and_where() {
    let good = r#"{"text":"a"}"#;
    for (line, what, at) in [
        ("hello", "a line that is no JSON object", 0),
        (r#"{"text":"a"#, "a line that is no JSON object", 9),
        (r#"{"text":"\ud800"}"#, "a line that is no JSON object", 15),
        (r#"{"text":1}"#, "a JSON object that is no message", 8),
        (r#"{"code":70000}"#, "a JSON object that is no message", 12),
        (
            "{}",
            "a message has \"kind\": \"text\", \"binary\" or \"close\"",
            0,
        ),
        (
            r#"{"kind":"txt","text":""}"#,
            "a message has \"kind\": \"text\", \"binary\" or \"close\"",
            0,
        ),
        (
            r#"{"text":"","base64":""}"#,
            "a message has \"kind\": \"text\", \"binary\" or \"close\"",
            0,
        ),
        (
            r#"{"kind":"text","base64":""}"#,
            "a text message has \"text\" and no \"base64\"",
            0,
        ),
        (
            r#"{"kind":"binary","text":""}"#,
            "a binary message has \"base64\" and no \"text\"",
            0,
        ),
        (
            r#"{"base64":"AP8"}"#,
            "\"base64\" that is no base64 (RFC 4648 4)",
            0,
        ),
        (
            r#"{"kind":"close","code":1005}"#,
            "a close code that may not be sent",
            0,
        ),
        (
            r#"{"kind":"close","code":999}"#,
            "a close code that may not be sent",
            0,
        ),
        (
            r#"{"kind":"close","reason":"x"}"#,
            "a close with a reason has a code",
            0,
        ),
        (
            r#"{"kind":"close","text":"x"}"#,
            "a close has \"code\" and \"reason\" only",
            0,
        ),
    ] {
        let bytes = format!("{good}\n{line}\n{good}\n");
        let ending = malformed(what, good.len() as u64 + 1 + at);
        check_named("json", bytes.as_bytes(), &["a"], &ending);
    }
    let long = format!(
        r#"{{"kind":"close","code":1000,"reason":"{}"}}"#,
        "x".repeat(124)
    );
    check_named(
        "json",
        long.as_bytes(),
        &[],
        &malformed("a reason has at most 123 bytes", 0),
    );
}

#[test]
fn lines_of_digits_are_binary_messages() {
    let check = |name, bytes: &[u8], messages: &[&str], ending: &Ending| {
        check(named(name, Kind::Binary), bytes, messages, ending);
    };
    check(
        "lines base64",
        b"aGVsbG8=\n\n eA==\r\nbGFzdA==",
        &["hello", "", "x", "last"],
        &Ending::Eof,
    );
    check(
        "lines hex",
        b"68656C6c6f\n\n 78\r\n",
        &["hello", "", "x"],
        &Ending::Eof,
    );
    check(
        "lines base64",
        b"eA==\n e!==\n",
        &["x"],
        &malformed("a line that is no base64 (RFC 4648 4)", 7),
    );
    check(
        "lines hex",
        b"78\n7g\n",
        &["x"],
        &malformed("a line that is no pairs of hex digits", 4),
    );
    check(
        "lines hex",
        b"787\n",
        &[],
        &malformed("a line that is no pairs of hex digits", 2),
    );
}

#[test]
fn a_line_that_must_be_whole_has_a_limit() {
    for (name, kind, fits) in [
        ("json", Kind::Text, r#"{"text":"a"}"#),
        ("lines base64", Kind::Binary, "eHl6"),
        ("lines hex", Kind::Binary, "78797a"),
    ] {
        let limit = fits.len();
        let framing = Framing {
            limit,
            ..named(name, kind)
        };
        let message = if name == "json" { "a" } else { "xyz" };
        let bytes = format!("{fits}\n{fits} \n{fits}\n");
        check(
            framing,
            bytes.as_bytes(),
            &[message],
            &Ending::TooLong {
                limit,
                is_set: true,
            },
        );
        // As soon as it is known, though no newline ever comes.
        let (mut stream, mut far) = framed(framing);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            far.write_all("x".repeat(limit + 1).as_bytes())
                .await
                .unwrap();
            let event = stream.next().await;
            assert_eq!(
                event,
                Event::End(Ending::TooLong {
                    limit,
                    is_set: true
                }),
                "{name}"
            );
        });
    }
}

#[tokio::test]
async fn a_long_line_of_json_is_collected_up_to_the_limit() {
    let text = "x".repeat(1 << 20);
    let line = format!("{{\"text\":\"{text}\"}}\n");
    let (messages, ending) = read(named("json", Kind::Text), vec![line.into_bytes()]).await;
    assert!(messages == [(Kind::Text, text.into_bytes())]);
    assert_eq!(ending, Ending::Eof);
}

/// Once is enough: the pump may have no room for the end that it is to take.
#[tokio::test]
async fn what_cannot_be_framed_wakes_the_pump_once() {
    let (mut framed, _far) = framed(named("length:1", Kind::Text));
    let too_long = Fragment::binary(vec![7; 300]);
    assert!(framed.start_send(too_long.into()).is_err());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    for _ in 0..3 {
        assert!(framed.poll_ready(&mut cx).is_pending());
    }
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    let end = framed.next().await;
    assert!(matches!(end, Event::End(end) if end.is_unfit()));
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends fragments, of which one can not be framed; returns what was written and how the other direction ended.
async fn unframed(framing: Framing, fragments: Vec<Fragment>) -> (Vec<u8>, Ending) {
    let (mut stream, mut far) = framed(framing);
    let mut sent = Ok(());
    for fragment in fragments {
        assert_eq!(stream.take(), None);
        poll_fn(|cx| stream.poll_ready(cx)).await.unwrap();
        sent = stream.start_send(fragment.into());
    }
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(stream.poll_ready(&mut cx).is_pending(), "it takes more");
    let event = stream.next().await;
    let _ = poll_fn(|cx| stream.poll_close(cx, &Ending::Eof)).await;
    drop(stream);
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).await.unwrap();
    let ending = sent.expect_err("all could be framed");
    assert_eq!(event, Event::End(ending.clone()));
    (bytes, ending)
}

#[tokio::test]
async fn what_can_not_be_framed_ends_both_directions_and_what_was_framed_before_goes_out() {
    let wrong = Ending::WrongKind { takes: "text" };
    let fragments = vec![Fragment::text("a"), Fragment::binary("b")];
    let lsp = unframed(named("lsp", Kind::Text), fragments).await;
    let framed = b"Content-Length: 1\r\n\r\na".to_vec();
    assert_eq!(lsp, (framed, wrong));

    let too_long = Ending::TooLong {
        limit: 255,
        is_set: false,
    };
    let fragments = vec![Fragment::text("a"), Fragment::binary([0; 256])];
    let length = unframed(named("length:1", Kind::Text), fragments).await;
    assert_eq!(length, (b"\x01a".to_vec(), too_long));

    // In fragments that no end ever follows.
    let begun = Fragment {
        fin: false,
        ..Fragment::binary([0; 100])
    };
    let framing = Framing {
        limit: 250,
        ..named("length", Kind::Text)
    };
    let too_long = Ending::TooLong {
        limit: 250,
        is_set: true,
    };
    let length = unframed(framing, vec![begun; 3]).await;
    assert_eq!(length, (vec![], too_long));
}

#[tokio::test]
async fn a_gap_is_a_line_of_json_and_the_close_is_the_last() {
    for (why, line) in [
        (Ending::Eof, r#"{"kind":"close","code":1000,"reason":""}"#),
        (
            Ending::Close(crate::ending::Close::new(4001, "a\"b")),
            r#"{"kind":"close","code":4001,"reason":"a\"b"}"#,
        ),
        (
            Ending::Close(crate::ending::Close::empty()),
            r#"{"kind":"close"}"#,
        ),
        (
            Ending::Lost(crate::ending::Loss::Reset),
            r#"{"kind":"close","code":1011,"reason":"reset"}"#,
        ),
    ] {
        let (mut stream, mut far) = framed(named("json", Kind::Text));
        stream.start_send(Fragment::text("a").into()).unwrap();
        stream
            .start_send(
                Gap {
                    times: 2,
                    messages: 3,
                    bytes: 40,
                }
                .into(),
            )
            .unwrap();
        stream
            .start_send(
                Fragment {
                    fin: false,
                    ..Fragment::text("cut")
                }
                .into(),
            )
            .unwrap();
        for _ in 0..2 {
            let _ = poll_fn(|cx| stream.poll_close(cx, &why)).await;
        }
        drop(stream);
        let mut bytes = String::new();
        far.read_to_string(&mut bytes).await.unwrap();
        let a = r#"{"kind":"text","text":"a"}"#;
        let gap = r#"{"kind":"gap","messages":3,"bytes":40}"#;
        let begun = r#"{"kind":"text","text":"cut","cut":true}"#;
        assert_eq!(bytes, format!("{a}\n{gap}\n{begun}\n{line}\n"));
    }
}

#[tokio::test]
async fn a_cut_before_the_first_byte_of_a_message_is_a_line_of_json_too() {
    let (mut stream, mut far) = framed(named("json", Kind::Text));
    let cut = Ending::Cut {
        close: Box::new(crate::ending::Close::new(1000, "")),
        received: 0,
    };
    poll_fn(|cx| stream.poll_close(cx, &cut)).await.unwrap();
    drop(stream);
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    let expected = r#"{"kind":"text","text":"","cut":true}
{"kind":"close","code":1000,"reason":""}
"#;
    assert_eq!(text, expected);
}

/// A character that is cut with its message is left out: half of one is no JSON.
#[tokio::test]
async fn a_cut_line_of_json_ends_with_a_whole_character() {
    let piece = |kind, bytes: &[u8]| Fragment {
        fin: false,
        ..Fragment::whole(kind, bytes)
    };
    for text in ["a€", "a🎈", "aü"] {
        for len in 1..=text.len() {
            let whole = if len == text.len() { text } else { "a" };
            let expected = format!("{{\"kind\":\"text\",\"text\":\"{whole}\",\"cut\":true}}\n");
            let close = "{\"kind\":\"close\",\"code\":1000,\"reason\":\"\"}\n";
            let bytes = &text.as_bytes()[..len];
            let at_once = vec![piece(Kind::Text, bytes)];
            let each = bytes.iter().map(|byte| piece(Kind::Text, &[*byte]));
            for fragments in [at_once, each.collect()] {
                let written = written(named("json", Kind::Text), fragments).await;
                assert_eq!(String::from_utf8(written), Ok(format!("{expected}{close}")));
            }
        }
    }
    let fragments = vec![piece(Kind::Binary, b"a"), piece(Kind::Binary, b"b")];
    let written = written(named("json", Kind::Text), fragments).await;
    assert!(written.starts_with(b"{\"kind\":\"binary\",\"base64\":\"YWI=\",\"cut\":true}\n"));
}

/// What a reader could take for a whole message is left out; what is longer than the limit has gone out by then.
#[tokio::test]
async fn a_cut_message_is_left_out_where_it_must_be_whole() {
    let encoded = |encoding, limit| Framing {
        encoding,
        limit,
        ..Framing::LINES
    };
    let pieces = |kind| {
        let piece = |fin, bytes| Fragment {
            fin,
            ..Fragment::whole(kind, bytes)
        };
        vec![
            piece(false, "wh"),
            piece(true, "ole"),
            piece(false, "ha"),
            piece(false, "lf"),
        ]
    };
    let jsonrpc = Framing {
        makes_requests: true,
        ..Framing::LINES
    };
    for (framing, kind, expected) in [
        (encoded(Encoding::Base64, 100), Kind::Binary, "d2hvbGU=\n"),
        (encoded(Encoding::Hex, 100), Kind::Binary, "77686f6c65\n"),
        (encoded(Encoding::Hex, 100), Kind::Text, "whole\n"),
        (
            encoded(Encoding::Hex, 3),
            Kind::Binary,
            "77686f6c65\n68616c66",
        ),
        (jsonrpc, Kind::Text, "whole\n"),
        (Framing::LINES, Kind::Text, "whole\nhalf"),
    ] {
        let written = written(framing, pieces(kind)).await;
        assert_eq!(String::from_utf8_lossy(&written), expected, "{framing:?}");
    }
}

#[tokio::test]
async fn a_cut_line_of_json_is_a_message_without_its_end() {
    let (mut stream, mut far) = framed(named("json", Kind::Text));
    far.write_all(b"{\"text\":\"half\",\"cut\":true}\n{\"text\":\"never read\"}\n")
        .await
        .unwrap();
    let half = Fragment {
        fin: false,
        ..Fragment::text("half")
    };
    let close = crate::ending::Close::new(1011, "cut");
    let close = Box::new(close);
    let cut = Event::End(Ending::Cut { close, received: 4 });
    for expected in [Event::Fragment(half), cut.clone(), cut] {
        assert_eq!(stream.next().await, expected);
    }
}

#[tokio::test]
async fn all_that_is_read_is_one_message_where_that_was_asked_for() {
    for (reads, expected) in [
        (&[][..], None),
        (&["a"], Some("a")),
        (&["ab", "c", "de"], Some("abcde")),
        (&["\u{20ac}", "x"], Some("\u{20ac}x")),
    ] {
        for kind in [Kind::Text, Kind::Binary] {
            let framing = Framing {
                kind,
                ..Framing::BYTES.whole()
            };
            let pieces = reads.iter().map(|read| read.as_bytes().to_vec()).collect();
            let (messages, ending) = read(framing, pieces).await;
            let expected = expected.map(|text| (kind, text.as_bytes().to_vec()));
            assert_eq!(messages, Vec::from_iter(expected));
            assert_eq!(ending, Ending::Eof);
        }
    }
    // Lines have ends of their own.
    let (messages, _) = read(Framing::LINES.whole(), vec![b"a\nb\n".to_vec()]).await;
    assert_eq!(messages.len(), 2);
}

#[tokio::test]
async fn the_time_stands_before_each_line() {
    let piece = |kind, fin, text: &str| Fragment {
        fin,
        ..Fragment::whole(kind, text)
    };
    let fragments = vec![
        piece(Kind::Text, false, "a"),
        piece(Kind::Text, true, "b"),
        piece(Kind::Text, true, ""),
        piece(Kind::Binary, true, "raw"),
    ];
    let framing = Framing {
        is_stamped: true,
        ..Framing::LINES
    };
    let text = String::from_utf8(written(framing, fragments.clone()).await).unwrap();
    let lines: Vec<_> = text.split('\n').collect();
    let is_time = |text: &str| humantime::parse_rfc3339(text).is_ok() && text.len() == 24;
    assert!(
        is_time(&lines[0][..24]) && is_time(&lines[1][..24]),
        "{text}"
    );
    assert_eq!(
        (&lines[0][24..], &lines[1][24..], lines[2]),
        (" ab", " ", "raw")
    );

    let framing = Framing {
        is_stamped: true,
        ..named("json", Kind::Text)
    };
    let text = String::from_utf8(written(framing, fragments).await).unwrap();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(is_time(line["time"].as_str().unwrap()), "{line}");
    }
}

/// Framings that give back what was put in, and what they can carry.
const EXACT: &[(&str, Kind)] = &[
    ("lines", Kind::Text),
    ("null", Kind::Binary),
    (r"separator \r\n", Kind::Text),
    (r"separator =\xff", Kind::Binary),
    ("length:1", Kind::Binary),
    ("length:2", Kind::Text),
    ("length:4:le", Kind::Binary),
    ("length:8", Kind::Binary),
    ("lsp", Kind::Text),
    ("json", Kind::Text),
    ("json", Kind::Binary),
    ("lines base64", Kind::Binary),
    ("lines hex", Kind::Binary),
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        "[a-c\\r=\"\\\\üé😀\\x00-\\x20]{0,60}",
        "Content-Length: 3\r\n\r\n",
        "\\PC{0,60}",
    ];
    text.prop_map(String::into_bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Any messages, in any fragments, framed, cut anywhere and put together again are the same messages of the same kind.
    #[test]
    fn messages_survive_every_framing(
        messages in prop::collection::vec(message(), 0..30),
        raw in prop::collection::vec(any::<u8>(), 0..255),
        pieces_at in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        (name, kind) in prop::sample::select(EXACT),
    ) {
        let framing = named(name, kind);
        let mut messages = messages;
        if kind == Kind::Binary {
            messages.push(raw);
        }
        messages.retain(|message| match framing.cut {
            Cut::Lines(_) if framing.encoding != Encoding::Plain => true,
            Cut::Lines(end) => memchr::memmem::find(message, end.as_ref()).is_none(),
            _ => true,
        });
        let mut fragments = Vec::new();
        for message in &messages {
            let mut ends: Vec<_> = pieces_at.iter().map(|at| at.index(message.len() + 1)).collect();
            ends.sort_unstable();
            ends.push(message.len());
            let (last, mut from) = (ends.len() - 1, 0);
            for (nth, to) in ends.into_iter().enumerate() {
                let payload = message[std::mem::replace(&mut from, to)..to].into();
                fragments.push(Fragment { kind, fin: nth == last, payload });
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (again, ending) = runtime.block_on(async {
            let bytes = written(framing, fragments).await;
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let mut from = 0;
            let pieces = cuts.iter().map(|&to| bytes[std::mem::replace(&mut from, to)..to].to_vec()).collect();
            read(framing, pieces).await
        });
        let expected: Vec<_> = messages.into_iter().map(|message| (kind, message)).collect();
        let end = match framing.cut {
            Cut::Json => Ending::Close(crate::ending::Close::new(1000, "")),
            _ => Ending::Eof,
        };
        prop_assert_eq!((again, ending), (expected, end));
    }

    /// What a batch is written as is what its messages are written as one by one.
    #[test]
    fn a_batch_is_as_good_as_its_messages(
        messages in prop::collection::vec(message(), 1..30),
        is_stamped: bool,
        (name, kind) in prop::sample::select(EXACT),
    ) {
        let framing = Framing { is_stamped: is_stamped && name == "lines", ..named(name, kind) };
        let (mut bytes, mut spans) = (BytesMut::new(), Vec::new());
        for message in &messages {
            let begin = u32::try_from(bytes.len()).unwrap();
            bytes.extend_from_slice(message);
            spans.push((begin, u32::try_from(bytes.len()).unwrap()));
        }
        let batch = Batch::new(kind, bytes, spans);
        let (mut out, mut one_by_one) = (Outbox::default(), Outbox::default());
        let (mut joiner, mut other) = {
            let memory = Memory::default();
            (framing.joiner(&memory), framing.joiner(&memory))
        };
        for fragment in batch.fragments() {
            other.push(fragment, &mut one_by_one).unwrap();
        }
        joiner.push_batch(batch, &mut out).unwrap();
        let bytes = |mut out: Outbox| {
            let mut bytes = Vec::new();
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(out.poll_write(&mut bytes, &mut cx).is_ready());
            bytes
        };
        let (batch, expected) = (bytes(out), bytes(one_by_one));
        if framing.is_stamped {
            prop_assert_eq!(batch.len(), expected.len());
        } else {
            prop_assert_eq!(batch, expected);
        }
    }

    /// Nothing that comes makes a framing panic, stop for good or yield more than came.
    #[test]
    fn any_bytes_end_somehow(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\0'), Just(b'{')], 0..600),
        (name, kind) in prop::sample::select(EXACT),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut stream, mut far) = framed(named(name, kind));
            let len = bytes.len();
            far.write_all(&bytes).await.unwrap();
            drop(far);
            let mut got = 0;
            loop {
                match stream.next().await {
                    Event::Gap(_) | Event::End(_) => break,
                    Event::Fragment(fragment) => got += fragment.payload.len(),
                    Event::Batch(batch) => got += batch.payload(),
                }
            }
            assert!(got <= len);
        });
    }
}

proptest! {
    #[test]
    fn bytes_are_cut_to_messages_of_a_bounded_length(
        text in "(a|ü|€|𝄞){0,3000}",
        most in prop_oneof![4_u32..40, 4000_u32..9000],
        is_text: bool,
    ) {
        let kind = if is_text { Kind::Text } else { Kind::Binary };
        let framing = Framing { kind, chunk: NonZeroU32::new(most), ..Framing::BYTES };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (messages, ending) = runtime.block_on(read(framing, vec![text.as_bytes().to_vec()]));
        prop_assert_eq!(ending, Ending::Eof);
        let all: Vec<u8> = messages.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        prop_assert_eq!(all, text.as_bytes());
        for (got, bytes) in messages {
            prop_assert_eq!(got, kind);
            prop_assert!((1..=most as usize).contains(&bytes.len()), "{} bytes", bytes.len());
            prop_assert!(!is_text || std::str::from_utf8(&bytes).is_ok());
        }
    }
}

#[test]
fn the_other_side_says_how_bytes_are_cut_unless_that_was_asked_for() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for (asked, told, expected) in [
        (None, None, 100_000),
        (None, Some(5000), 5000),
        (Some(7000), Some(5000), 7000),
        (Some(7000), None, 7000),
    ] {
        let framing = Framing {
            chunk: asked.and_then(NonZeroU32::new),
            ..Framing::BYTES
        };
        let longest = runtime.block_on(async {
            let (near, mut far) = duplex(100_000);
            let mut stream = Framed::new(Box::new(Wire(near)), framing, &Memory::default());
            stream.notify(Notice::CutAt(told.unwrap_or(usize::MAX)));
            far.write_all(&[7; 100_000]).await.unwrap();
            match stream.next().await {
                Event::Fragment(fragment) => fragment.payload.len(),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(longest, expected, "{asked:?} {told:?}");
    }
    // Who is told nothing by anyone makes what most servers take.
    assert_eq!(CHUNK, 32_768);
}

/// A message of another session that is the largest where nothing else has over `len` bytes.
fn press(memory: &Memory, len: usize) -> crate::memory::Collected {
    let mut other = crate::memory::Collected::new(memory);
    other.push(&vec![b'x'; len]).unwrap();
    other
}

#[tokio::test]
async fn a_long_line_is_one_message_in_pieces_that_gives_way_while_it_waits() {
    let memory = Memory::new(8 << 20);
    let (near, mut far) = duplex(64 * 1024);
    let framing = Framing {
        cut: Cut::Json,
        ..Framing::LINES
    };
    let mut stream = Framed::new(Box::new(Wire(near)), framing, &memory);
    let writer = tokio::spawn(async move {
        for _ in 0..2 {
            let line = format!("{{\"text\":\"{}\"}}\n", "ü".repeat(600_000));
            far.write_all(line.as_bytes()).await.unwrap();
        }
        far
    });
    let next = async |stream: &mut Framed| stream.next().await;
    let mut text = Vec::new();
    loop {
        let Event::Fragment(piece) = next(&mut stream).await else {
            panic!("no message");
        };
        assert!(piece.payload.len() <= crate::memory::PIECE);
        text.extend_from_slice(&piece.payload);
        if piece.fin {
            break;
        }
    }
    assert!(text == "ü".repeat(600_000).as_bytes());
    assert!(matches!(next(&mut stream).await, Event::Fragment(_)));
    let _other = press(&memory, 800_000);
    let second = Memory::used(&memory);
    assert!(second > 1_900_000, "both are counted: {second}");
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(stream.poll_cut(&mut cx).is_pending());
    let _third: Vec<_> = (0..7).map(|_| press(&memory, 800_000)).collect();
    let Poll::Ready(ending) = stream.poll_cut(&mut cx) else {
        panic!("it has not given way");
    };
    assert!(matches!(
        ending,
        Ending::OutOfMemory(Shortage::Queue { held: 1_000_000.. })
    ));
    assert_eq!(next(&mut stream).await, Event::End(ending));
    drop(writer.await.unwrap());
}

#[tokio::test]
async fn a_message_that_is_being_written_gives_way_and_is_cut() {
    let memory = Memory::new(8 << 20);
    for framing in [
        Framing {
            cut: Cut::Length(Prefix {
                size: 4,
                is_little: false,
            }),
            ..Framing::BYTES
        },
        Framing {
            encoding: Encoding::Base64,
            ..Framing::LINES
        },
    ] {
        let (near, far) = duplex(64 * 1024);
        let mut stream = Framed::new(Box::new(Wire(near)), framing, &memory);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for fin in [false, true] {
            let payload = BytesMut::from(&vec![7; 1_000_000][..]);
            let kind = Kind::Binary;
            assert!(stream.poll_ready(&mut cx).is_ready());
            stream
                .start_send(Fragment { kind, fin, payload }.into())
                .unwrap();
        }
        assert!(stream.poll_flush(&mut cx).is_pending());
        assert!(stream.unsent() > 0);
        // It gives way to those that are smaller.
        let _others: Vec<_> = (0..8).map(|_| press(&memory, 900_000)).collect();
        let Poll::Ready(Err(ending)) = stream.poll_flush(&mut cx) else {
            panic!("it has not given way");
        };
        assert!(matches!(
            ending,
            Ending::OutOfMemory(Shortage::Queue { .. })
        ));
        assert_eq!(stream.take(), Some(Event::End(ending)));
        drop(far);
    }
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn an_unfinished_message_gives_way_and_what_was_sent_before_it_is_written() {
    let memory = Memory::new(8 << 20);
    let framing = Framing {
        encoding: Encoding::Hex,
        ..Framing::LINES
    };
    let (near, mut far) = duplex(1000);
    let mut stream = Framed::new(Box::new(Wire(near)), framing, &memory);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let begun = Fragment {
        fin: false,
        ..Fragment::binary(vec![7; 2_000_000])
    };
    for fragment in [Fragment::binary(b"\x01\x02"), begun] {
        assert!(stream.poll_ready(&mut cx).is_ready());
        stream.start_send(fragment.into()).unwrap();
    }
    let _others: Vec<_> = (0..8).map(|_| press(&memory, 900_000)).collect();
    assert_eq!(stream.poll_flush(&mut cx), Poll::Ready(Ok(())));
    let ending = Ending::OutOfMemory(Shortage::Message { held: 2_502_656 });
    assert_eq!(stream.poll_ready(&mut cx), Poll::Ready(Err(ending.clone())));
    assert_eq!(stream.take(), Some(Event::End(ending)));
    let mut line = [0; 5];
    far.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"0102\n");
}
