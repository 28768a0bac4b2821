//! Between two WebSockets: kinds, boundaries and fragments are kept, pings stay on their side.

use super::{relay, whole};
use crate::support::Frame;

#[test]
fn a_relay_keeps_kinds_boundaries_and_empty_messages() {
    for words in [&[][..], &["-t"], &["-b"]] {
        let (_bridge, mut left, mut right) = relay(words);
        for turned in [false, true] {
            let (from, to) = if turned {
                (&mut right, &mut left)
            } else {
                (&mut left, &mut right)
            };
            from.text("one")
                .text("")
                .binary(b"")
                .binary(b"\0\xff\n")
                .text("two\nlines\n")
                .text("");
            for expected in [
                Frame::text("one"),
                Frame::text(""),
                Frame::Binary(vec![]),
                Frame::Binary(b"\0\xff\n".to_vec()),
                Frame::text("two\nlines\n"),
                Frame::text(""),
            ] {
                assert_eq!(whole(to), expected, "{words:?} turned: {turned}");
            }
        }
        left.close(3001, "reason ü");
        assert_eq!(right.next(), Frame::Close(3001, "reason ü".to_owned()));
        right.answer_close(3001);
        assert!(matches!(left.next(), Frame::Close(3001, _)));
    }
}

#[test]
fn a_relay_passes_a_fragment_on_before_its_message_is_whole() {
    let (_bridge, mut left, mut right) = relay(&[]);
    left.frame(0x01, b"begun");
    assert_eq!(right.next(), Frame::Piece(false, 1, b"begun".to_vec()));
    // Control frames go between fragments and are answered by the bridge itself.
    left.frame(0x89, b"here?");
    assert_eq!(left.next(), Frame::Pong(b"here?".to_vec()));
    left.frame(0x00, b"").frame(0x80, b" and done").text("next");
    let mut message = b"begun".to_vec();
    loop {
        match right.next() {
            Frame::Piece(fin, 0, payload) => {
                message.extend(payload);
                if fin {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(message, b"begun and done");
    assert_eq!(whole(&mut right), Frame::text("next"));
}

#[test]
fn pings_and_pongs_stay_on_their_side() {
    let (_bridge, mut left, mut right) = relay(&[]);
    left.frame(0x89, b"left")
        .frame(0x8A, b"unasked")
        .text("data");
    assert_eq!(right.next(), Frame::text("data"));
    assert_eq!(left.next(), Frame::Pong(b"left".to_vec()));
    right.frame(0x89, b"right").text("data");
    assert_eq!(left.next(), Frame::text("data"));
    assert_eq!(right.next(), Frame::Pong(b"right".to_vec()));
}
