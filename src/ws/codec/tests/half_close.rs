//! The half-close marker: one frame and no other, between messages, once, and only control frames behind it.

use super::*;

/// A frame as the peer of a `role` sends it, with the first byte as given.
fn sent_to(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).unwrap();
    match role {
        Role::Client => [&[first, len], payload].concat(),
        // A key of zeros changes nothing.
        Role::Server => [&[first, 0x80 | len, 0, 0, 0, 0], payload].concat(),
    }
}

/// What is found in bytes that come in these pieces: the payload of data, other items, and the violation that ended it.
#[derive(Debug, Default, PartialEq)]
struct Found {
    payload: Vec<u8>,
    /// Empty messages that came as such.
    empty: usize,
    others: Vec<Item>,
    violation: Option<&'static str>,
}

fn find(role: Role, merges: bool, is_agreed: bool, pieces: &[&[u8]]) -> Found {
    let mut decoder = Decoder::new(role);
    if is_agreed {
        decoder.allow_half_close();
    }
    if merges {
        decoder.merge_messages();
    }
    let (mut buf, mut found) = (BytesMut::new(), Found::default());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match decoder.next(&mut buf, false) {
                Ok(Some(Item::Fragment(fragment))) => {
                    found.empty += usize::from(fragment.payload.is_empty());
                    found.payload.extend_from_slice(&fragment.payload);
                }
                Ok(Some(Item::Batch(batch))) => batch.messages().for_each(|message| {
                    found.empty += usize::from(message.is_empty());
                    found.payload.extend_from_slice(message);
                }),
                Ok(Some(item)) => found.others.push(item),
                Ok(None) => break,
                Err(violation) => {
                    assert_eq!(violation.code, 1002);
                    assert_eq!(decoder.next(&mut buf, false), Err(violation));
                    found.violation = Some(violation.reason);
                    return found;
                }
            }
        }
    }
    found
}

/// Feeds frames whole, split at each byte, and byte by byte, to decoders that merge and that do not; all must find the same
/// but for empty messages, which leave nothing where payloads are moved together.
#[track_caller]
fn check(is_agreed: bool, frames: &[(u8, &[u8])], expected: &Found) {
    for role in [Role::Client, Role::Server] {
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|(first, payload)| sent_to(role, *first, payload))
            .collect();
        for merges in [false, true] {
            let mut ways: Vec<Vec<&[u8]>> = vec![bytes.chunks(1).collect()];
            ways.extend((0..=bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]));
            for pieces in ways {
                let mut found = find(role, merges, is_agreed, &pieces);
                if merges {
                    found.empty = expected.empty;
                }
                let lens: Vec<_> = pieces.iter().map(|piece| piece.len()).collect();
                let whole = format!("{role:?}, merges: {merges}, {frames:02x?} in {lens:?}");
                assert_eq!(&found, expected, "{whole}");
            }
        }
    }
}

const MARKER: (u8, &[u8]) = (0xA2, b"");

#[test]
fn the_marker_stands_behind_the_last_message_and_control_frames_may_follow_it() {
    check(
        true,
        &[
            (0x82, b"abc"),
            (0x02, b"d"),
            (0x80, b"e"),
            MARKER,
            (0x89, b"p"),
            (0x8A, b"q"),
            (0x88, b"\x03\xE8"),
        ],
        &Found {
            payload: b"abcde".to_vec(),
            others: vec![
                Item::HalfClose,
                Item::Ping(BytesMut::from("p")),
                Item::Pong(BytesMut::from("q")),
                Item::Close(Close::new(1000, "")),
            ],
            ..Found::default()
        },
    );
}

#[test]
fn a_message_without_bytes_is_data_and_no_marker() {
    for first in [0x81, 0x82] {
        for is_agreed in [false, true] {
            let expected = Found {
                payload: b"x".to_vec(),
                empty: 2,
                ..Found::default()
            };
            let frames = [(first, &b""[..]), (first, b"x"), (first, b"")];
            check(is_agreed, &frames, &expected);
        }
    }
}

#[test]
fn every_other_use_of_the_reserved_bit_is_a_breach() {
    // The bit on text, control and continuation frames, without FIN, on a frame that is not empty, with other bits.
    let unfit: &[(u8, &[u8])] = &[
        (0xA1, b""),
        (0xA8, b""),
        (0xA9, b""),
        (0xAA, b""),
        (0xA0, b""),
        (0x22, b""),
        (0xA2, b"x"),
    ];
    for frame in unfit {
        let expected = Found {
            payload: b"ab".to_vec(),
            violation: Some("half-close"),
            ..Found::default()
        };
        check(true, &[(0x82, b"ab"), *frame], &expected);
    }
    for first in [0xC2, 0x92, 0xE2, 0xB2, 0xF2] {
        let expected = Found {
            violation: Some("reserved-bits"),
            ..Found::default()
        };
        check(true, &[(first, b"")], &expected);
    }
}

#[test]
fn the_marker_is_a_breach_where_it_was_not_agreed() {
    let expected = Found {
        payload: b"ab".to_vec(),
        violation: Some("reserved-bits"),
        ..Found::default()
    };
    check(false, &[(0x82, b"ab"), MARKER], &expected);
}

#[test]
fn within_a_message_the_marker_is_a_breach() {
    let expected = Found {
        payload: b"ab".to_vec(),
        violation: Some("interleaved-message"),
        ..Found::default()
    };
    check(true, &[(0x02, b"ab"), MARKER], &expected);
}

#[test]
fn behind_the_marker_data_and_a_second_one_are_a_breach() {
    for frame in [MARKER, (0x82, &b"x"[..]), (0x81, b""), (0x01, b"x")] {
        let expected = Found {
            payload: b"a".to_vec(),
            others: vec![Item::HalfClose],
            violation: Some("after-half-close"),
            ..Found::default()
        };
        check(true, &[(0x82, b"a"), MARKER, frame], &expected);
    }
}

#[test]
fn a_marker_under_the_wrong_mask_or_in_a_longer_form_is_a_breach() {
    for (role, bytes, reason) in [
        (Role::Client, &[0xA2, 0x80, 0, 0, 0, 0][..], "mask"),
        (Role::Server, &[0xA2, 0], "mask"),
        (Role::Client, &[0xA2, 126, 0, 0], "half-close"),
        (Role::Server, &[0xA2, 0xFE, 0, 0, 0, 0, 0, 0], "half-close"),
    ] {
        for merges in [false, true] {
            let found = find(role, merges, true, &[bytes]);
            assert_eq!(found.violation, Some(reason), "{role:?} {bytes:02x?}");
        }
    }
}

#[test]
fn we_write_the_marker_as_rule_and_role_have_it() {
    let mut into = [0; MAX_HEADER];
    let len = encode_header(OpCode::HalfClose, true, 0, None, &mut into);
    assert_eq!(&into[..len], &[0xA2, 0]);
    let len = encode_header(OpCode::HalfClose, true, 0, Some([1, 2, 3, 4]), &mut into);
    assert_eq!(&into[..len], &[0xA2, 0x80, 1, 2, 3, 4]);
}
