//! The codec against tungstenite, an implementation that is not ours: exhaustively over headers and close codes, and at random.

mod half_close;

use std::io::{self, Read, Write};

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role as TheirRole, WebSocket, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::*;

/// A transport that has some bytes to read and keeps what is written.
struct Bytes {
    incoming: io::Cursor<Vec<u8>>,
    written: Vec<u8>,
}

impl Read for Bytes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.incoming.read(buf)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Bytes {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(buf);
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether tungstenite takes these bytes without an error.
fn they_take(role: Role, bytes: &[u8]) -> bool {
    let transport = Bytes {
        incoming: io::Cursor::new(bytes.to_vec()),
        written: Vec::new(),
    };
    let role = match role {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    let config = WebSocketConfig::default().read_buffer_size(256);
    let mut socket = WebSocket::from_raw_socket(transport, role, Some(config));
    loop {
        match socket.read() {
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(Error::ConnectionClosed) => return true,
            Err(_) => return false,
        }
    }
}

/// All that the decoder finds in these bytes, fed at once, and the violation that ended it.
fn decode(role: Role, merges: bool, pieces: &[&[u8]]) -> (Vec<Item>, Option<Violation>) {
    let mut decoder = Decoder::new(role);
    if merges {
        decoder.merge_messages();
    }
    let mut buf = BytesMut::new();
    let mut items = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match decoder.next(&mut buf, false) {
                // A batch is worth as much as that many fragments.
                Ok(Some(Item::Batch(batch))) => items.extend(batch.fragments().map(Item::Fragment)),
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(violation) => return (items, Some(violation)),
            }
        }
    }
    (items, None)
}

fn we_take(role: Role, bytes: &[u8]) -> bool {
    let merged = decode(role, true, &[bytes]).1;
    let judged = decode(role, false, &[bytes]).1;
    assert_eq!(
        merged,
        judged,
        "merging changes the judgement of {:?}",
        &bytes[..2]
    );
    judged.is_none()
}

/// A whole frame that begins with these two bytes; its length is the least that its form allows.
fn frame(first: u8, second: u8) -> Vec<u8> {
    let mut bytes = vec![first, second];
    let len: usize = match second & 0x7F {
        126 => {
            bytes.extend_from_slice(&126u16.to_be_bytes());
            126
        }
        127 => {
            bytes.extend_from_slice(&65536u64.to_be_bytes());
            65536
        }
        short => short.into(),
    };
    // A key of zeros changes nothing; a Close has a good code.
    if second & 0x80 != 0 {
        bytes.extend_from_slice(&[0; 4]);
    }
    let mut payload = vec![b'x'; len];
    if first & 0x0F == 0x8 && len >= 2 {
        payload[..2].copy_from_slice(&1000u16.to_be_bytes());
    }
    bytes.extend_from_slice(&payload);
    bytes
}

/// There are no accepted differences here: those are in lengths that are not the shortest, and in one close code, below.
#[test]
fn all_pairs_of_first_bytes_are_judged_as_tungstenite_does() {
    let mut taken = 0;
    for role in [Role::Client, Role::Server] {
        let mask_bit = if role == Role::Server { 0x80 } else { 0 };
        // At the begin of a message, and within one.
        for before in [vec![], frame(0x01, mask_bit | 1)] {
            for pair in 0..=u16::MAX {
                let [first, second] = pair.to_be_bytes();
                let mut bytes = before.clone();
                bytes.extend_from_slice(&frame(first, second));
                let we = we_take(role, &bytes);
                taken += usize::from(we);
                assert_eq!(
                    we,
                    they_take(role, &bytes),
                    "{first:#04x} {second:#04x} as {role:?}, {} bytes before",
                    before.len()
                );
            }
        }
    }
    // By hand: 128 lengths of 2 x 2 data frames outside of a message and 2 within, 126 of 3 controls but for a Close of one
    // byte, in both roles.
    assert_eq!(taken, 2 * (128 * (4 + 2) + 2 * (126 * 3 - 1)));
}

/// Close codes that we judge otherwise than tungstenite.
const CODES_THAT_DIFFER: &[(u16, bool, &str)] = &[(
    1014,
    true,
    "registered with IANA as Bad Gateway since the RFC; Autobahn and browsers send and take it",
)];

#[test]
fn all_close_codes_are_judged_as_tungstenite_does() {
    for code in 0..=u16::MAX {
        let they = CloseCode::from(code).is_allowed();
        let expected = match CODES_THAT_DIFFER.iter().find(|row| row.0 == code) {
            Some((_, ours, _)) => {
                assert_ne!(*ours, they, "{code} no longer differs");
                *ours
            }
            None => they,
        };
        let mut bytes = vec![0x88, 2];
        bytes.extend_from_slice(&code.to_be_bytes());
        let (items, violation) = decode(Role::Client, false, &[&bytes]);
        if expected {
            assert_eq!(
                (items, violation),
                (vec![Item::Close(Close::new(code, ""))], None)
            );
        } else {
            assert_eq!(
                (items, violation.map(|it| it.code)),
                (vec![], Some(1002)),
                "{code}"
            );
        }
    }
}

/// Lengths that we refuse though tungstenite takes them: RFC 6455 5.2 wants the shortest form.
#[test]
fn only_the_shortest_form_of_a_length_is_taken() {
    let judged = |bytes: &[u8]| decode(Role::Client, false, &[bytes]).1.map(|it| it.reason);
    assert_eq!(judged(&[0x82, 126, 0, 125]), Some("length"));
    assert_eq!(judged(&[0x82, 126, 0, 126]), None);
    assert_eq!(
        judged(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]),
        Some("length")
    );
    assert_eq!(judged(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]), None);
    assert_eq!(
        judged(&[0x82, 127, 0x80, 0, 0, 0, 0, 1, 0, 0]),
        Some("length")
    );
    assert_eq!(
        judged(&[0x82, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        None
    );
}

#[test]
fn a_header_is_judged_before_any_payload_has_come() {
    for wrong in [
        [0x91, 5],
        [0x83, 5],
        [0x09, 5],
        [0x89, 126],
        [0x80, 5],
        [0x81, 0x85],
    ] {
        assert!(
            decode(Role::Client, false, &[&wrong]).1.is_some(),
            "{wrong:?}"
        );
    }
}

#[test]
fn text_fails_at_the_first_wrong_byte_within_a_frame() {
    let mut decoder = Decoder::new(Role::Client);
    let mut buf = BytesMut::from(&[0x81, 100, b'a', 0xF4][..]);
    assert_eq!(decoder.next(&mut buf, false), Ok(None));
    buf.extend_from_slice(&[0x90]);
    assert_eq!(
        decoder.next(&mut buf, false).map_err(|it| it.code),
        Err(1007)
    );
}

#[test]
fn a_short_text_that_is_none_is_a_breach_wherever_it_stands() {
    let bad = [0x81, 2, b'a', 0xFF];
    for (before, expected) in [
        (&[][..], &b""[..]),
        (&[0x81, 1, b'x', 0x82, 1, 0xFF], b"x\xFF"),
    ] {
        for merges in [false, true] {
            let (items, violation) = decode(Role::Client, merges, &[&[before, &bad].concat()]);
            let payload: Vec<u8> = items.iter().flat_map(payload_of).copied().collect();
            assert_eq!(payload, expected);
            assert_eq!(violation.map(|it| it.code), Some(1007));
        }
    }
}

#[test]
fn what_came_rightly_before_a_breach_is_handed_out_first() {
    let bytes = [&[0x82, 1, 7][..], &[0x82, 1, 8], &[0xFF, 0]].concat();
    for merges in [false, true] {
        let (items, violation) = decode(Role::Client, merges, &[&bytes]);
        let payload: Vec<u8> = items.iter().flat_map(payload_of).copied().collect();
        assert_eq!(
            (payload, violation.map(|it| it.code)),
            (vec![7, 8], Some(1002))
        );
    }
}

#[test]
fn a_batch_ends_before_what_is_no_short_message_of_its_kind() {
    let short = [0x81, 1, b'a', 0x81, 2, b'b', b'c'];
    for (next, expected) in [
        (&[0x82, 1, b'x'][..], Some(0)),
        (&[0x01, 1, b'x'], Some(0)),
        (&[0x89, 0], Some(0)),
        (&[0x81, 5, b'x'], Some(0)),
        (&[0x81, 0x81, 0, 0, 0, 0, b'x'], Some(1002)),
        (&[0x81, 1, 0xFF], Some(1007)),
        (&[0x81, 126, 0, 5], Some(1002)),
    ] {
        let mut decoder = Decoder::new(Role::Client);
        let mut buf = BytesMut::from(&[&short[..], next].concat()[..]);
        let Ok(Some(Item::Batch(batch))) = decoder.next(&mut buf, false) else {
            panic!("no batch before {next:?}");
        };
        assert_eq!(batch.messages().collect::<Vec<_>>(), [&b"a"[..], b"bc"]);
        let code = decoder
            .next(&mut buf, false)
            .map_or_else(|it| it.code, |_| 0);
        assert_eq!(Some(code), expected, "{next:?}");
    }
}

#[test]
fn a_huge_claimed_length_reserves_nothing() {
    let mut decoder = Decoder::new(Role::Client);
    let mut buf = BytesMut::from(
        &[
            0x82, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2,
        ][..],
    );
    let Ok(Some(Item::Fragment(fragment))) = decoder.next(&mut buf, false) else {
        panic!("no fragment");
    };
    assert_eq!((&fragment.payload[..], fragment.fin), (&[1, 2][..], false));
    assert!(buf.capacity() < 1024);
}

fn payload_of(item: &Item) -> &[u8] {
    match item {
        Item::Fragment(fragment) => &fragment.payload,
        other => panic!("{other:?}"),
    }
}

/// A message as the tests make it: its fragments, with pings between them.
#[derive(Clone, Debug)]
struct Made {
    kind: Kind,
    pieces: Vec<Vec<u8>>,
    pings: bool,
}

fn messages() -> impl Strategy<Value = Vec<Made>> {
    let text = any::<String>().prop_map(String::into_bytes);
    let long = prop::collection::vec(prop::char::any(), 0..400)
        .prop_map(|chars| chars.into_iter().collect::<String>().into_bytes());
    let bytes = prop::collection::vec(any::<u8>(), 0..70_000);
    let message = prop_oneof![
        (
            Just(Kind::Text),
            text,
            prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            any::<bool>()
        ),
        (
            Just(Kind::Text),
            long,
            prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            any::<bool>()
        ),
        (
            Just(Kind::Binary),
            bytes,
            prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            any::<bool>()
        ),
    ];
    let made = message.prop_map(|(kind, bytes, cuts, pings)| {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let mut from = 0;
        let pieces = cuts
            .iter()
            .map(|&to| bytes[std::mem::replace(&mut from, to)..to].to_vec())
            .collect();
        Made {
            kind,
            pieces,
            pings,
        }
    });
    prop::collection::vec(made, 0..8)
}

/// Our own frames of some messages, as a peer of `role` would send them to it.
fn encode(role: Role, messages: &[Made]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |opcode, fin, payload: &[u8]| {
        let mut key = (role == Role::Server).then(mask::fresh_key);
        let mut head = [0; MAX_HEADER];
        let len = encode_header(opcode, fin, payload.len(), key, &mut head);
        bytes.extend_from_slice(&head[..len]);
        let mut payload = payload.to_vec();
        if let Some(key) = &mut key {
            mask::apply(&mut payload, key);
        }
        bytes.extend_from_slice(&payload);
    };
    for message in messages {
        for (index, piece) in message.pieces.iter().enumerate() {
            let opcode = if index == 0 {
                OpCode::Data(message.kind)
            } else {
                OpCode::Continuation
            };
            put(opcode, index + 1 == message.pieces.len(), piece);
            if message.pings {
                put(OpCode::Ping, true, b"are you there?");
            }
        }
    }
    bytes
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let mut from = 0;
    cuts.iter()
        .map(|&to| &bytes[std::mem::replace(&mut from, to)..to])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_fragmentation_in_any_chunks_comes_out_equal(
        made in messages(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        is_server: bool,
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let bytes = encode(role, &made);
        let expected: Vec<(Kind, Vec<u8>)> = made.iter().map(|it| (it.kind, it.pieces.concat())).collect();

        let (items, violation) = decode(role, false, &cut(&bytes, &cuts));
        prop_assert_eq!(violation, None);
        let (mut got, mut begun) = (Vec::new(), None);
        for item in items {
            if let Item::Fragment(fragment) = item {
                let (kind, mut payload) = begun.take().unwrap_or((fragment.kind, Vec::new()));
                prop_assert_eq!(kind, fragment.kind);
                payload.extend_from_slice(&fragment.payload);
                if fragment.fin { got.push((kind, payload)) } else { begun = Some((kind, payload)) }
            }
        }
        prop_assert_eq!(&got, &expected);

        let mut decoder = Decoder::new(role);
        decoder.merge_messages();
        let mut whole = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = decoder.next(&mut whole, false) {}
        prop_assert_eq!(decoder.merged_messages(), Some(made.len() as u64));

        let (items, violation) = decode(role, true, &cut(&bytes, &cuts));
        prop_assert_eq!(violation, None);
        let merged: Vec<u8> = items.iter().flat_map(|item| match item {
            Item::Fragment(fragment) => fragment.payload.to_vec(),
            _ => Vec::new(),
        }).collect();
        let all: Vec<u8> = expected.iter().flat_map(|(_, payload)| payload.clone()).collect();
        prop_assert_eq!(merged, all);
    }

    #[test]
    fn short_messages_come_as_batches_and_leave_as_frames(
        lens in prop::collection::vec(prop_oneof![0usize..40, 120usize..130, 0usize..SHORT + 1], 2..60),
        is_text: bool,
        is_server: bool,
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let kind = if is_text { Kind::Text } else { Kind::Binary };
        let made: Vec<_> = lens.iter().zip(0u8..).map(|(len, number)| Made {
            kind,
            pieces: vec![vec![b'A' + number; *len]],
            pings: false,
        }).collect();
        let mut buf = BytesMut::from(&encode(role, &made)[..]);
        let mut decoder = Decoder::new(role);
        let (mut got, mut wire, mut room) = (Vec::new(), Vec::new(), vec![0; Batch::ROOM]);
        let back = if is_server { Role::Client } else { Role::Server };
        while let Ok(Some(item)) = decoder.next(&mut buf, false) {
            let batch = match item {
                Item::Batch(batch) => batch,
                // The last of many, beyond a batch's length.
                Item::Fragment(fragment) => Batch::new(
                    kind,
                    fragment.payload.clone(),
                    vec![(0, u32::try_from(fragment.payload.len()).unwrap())],
                ),
                other => panic!("{other:?}"),
            };
            got.extend(batch.messages().map(<[u8]>::to_vec));
            let len = encode_batch(&batch, back, &mut room);
            wire.extend_from_slice(&room[..len]);
        }
        let expected: Vec<_> = made.iter().map(|it| it.pieces.concat()).collect();
        prop_assert_eq!(&got, &expected);
        // What was a client's is now a client's again, under other keys.
        let (items, violation) = decode(role, false, &[&wire]);
        prop_assert_eq!(violation, None);
        let again: Vec<_> = items.iter().map(|item| payload_of(item).to_vec()).collect();
        prop_assert_eq!(again, expected);
        let transport = Bytes { incoming: io::Cursor::new(wire), written: Vec::new() };
        let their_role = if is_server { TheirRole::Server } else { TheirRole::Client };
        let mut socket = WebSocket::from_raw_socket(transport, their_role, None);
        for message in &got {
            prop_assert_eq!(&socket.read().unwrap().into_data()[..], &message[..]);
        }
    }

    #[test]
    fn what_we_encode_tungstenite_reads(made in messages(), is_server: bool) {
        let role = if is_server { Role::Server } else { Role::Client };
        let transport = Bytes { incoming: io::Cursor::new(encode(role, &made)), written: Vec::new() };
        let their_role = if is_server { TheirRole::Server } else { TheirRole::Client };
        let mut socket = WebSocket::from_raw_socket(transport, their_role, None);
        let mut got = Vec::new();
        loop {
            match socket.read() {
                Ok(Message::Text(text)) => got.push((Kind::Text, text.as_bytes().to_vec())),
                Ok(Message::Binary(bytes)) => got.push((Kind::Binary, bytes.to_vec())),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let expected: Vec<_> = made.iter().map(|it| (it.kind, it.pieces.concat())).collect();
        prop_assert_eq!(got, expected);
    }
}
