//! Framed streams over an in-memory transport: what is put in comes out, whatever the pieces.

use std::future::poll_fn;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::peer::wire::Wire;

fn framed(framing: Framing) -> (Framed, DuplexStream) {
    let (near, far) = duplex(1000);
    (Framed::new(Box::new(Wire(near)), framing), far)
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
        match poll_fn(|cx| stream.poll_next(cx)).await {
            Event::End(ending) => break ending,
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
        stream.start_send(fragment).unwrap();
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
        cut: Cut::Null,
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
fn a_framing_that_there_is_not_is_told_what_there_is() {
    assert_eq!("null".parse(), Ok(Cut::Null));
    let error = "nul".parse::<Cut>().unwrap_err();
    assert_eq!(error, "no such framing; there is: chunks, lines, null");
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
        kind: Kind::Text,
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
        cut: Cut::Lines,
        kind: Kind::Binary,
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
        match poll_fn(|cx| source.poll_next(cx)).await {
            Event::End(ending) => {
                assert_eq!(ending, Ending::Eof);
                break;
            }
            Event::Batch(batch) => {
                (batches, messages) = (batches + 1, messages + batch.count());
                poll_fn(|cx| sink.poll_ready(cx)).await.unwrap();
                sink.start_send_batch(batch).unwrap();
            }
            Event::Fragment(fragment) => {
                messages += usize::from(fragment.fin);
                poll_fn(|cx| sink.poll_ready(cx)).await.unwrap();
                sink.start_send(fragment).unwrap();
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
        cut in prop::sample::select(vec![Cut::Chunks, Cut::Lines, Cut::Null]),
    ) {
        let framing = Framing { cut, kind: Kind::Binary };
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
        let end = match cut {
            Cut::Chunks => None,
            Cut::Lines => Some(b'\n'),
            Cut::Null => Some(b'\0'),
        };
        if !expected.is_empty() && end.is_some_and(|end| expected.last() != Some(&end)) {
            expected.extend(end);
        }
        prop_assert_eq!((again, ending), (expected, Ending::Eof));
    }
}
