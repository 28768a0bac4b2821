//! Frames that claim what they never send: a length reserves nothing.

use super::{MIB, raise_own_descriptors};
use crate::support::{Bridge, Frame, frame_bytes, spawn_under};

#[test]
fn ten_thousand_claims_of_16_mib_reserve_nothing() {
    raise_own_descriptors();
    let running = spawn_under("ulimit -v 2097152", &["ws-l:0", "echo:"]);
    let mut bridge = Bridge::of(running);
    let mut ws = bridge.client();
    assert_eq!(ws.text("before").next(), Frame::text("before"));
    let before = bridge.running.memory();
    let whole = frame_bytes(0x82, &vec![b'x'; 70_000], true);
    for _ in 0..10 {
        let mut claims: Vec<_> = (0..1000)
            .map(|at| {
                let mut ws = bridge.client();
                let mut head = whole[..14].to_vec();
                head[2..10].copy_from_slice(&(16 * MIB).to_be_bytes());
                // Some stop within the header, some before the payload, some after its first byte.
                head.push(b'x' ^ head[10]);
                ws.raw(&head[..13 + at % 3]);
                ws
            })
            .collect();
        // The last one of each kind is answered, so all before it have been read, or will be by the same tasks.
        for ws in claims.iter_mut().skip(2).step_by(3) {
            assert_eq!(ws.next(), Frame::Piece(false, 2, b"x".to_vec()));
        }
        let now = bridge.running.memory();
        assert!(now < before + 64 * MIB, "{} MiB more", (now - before) / MIB);
    }
    assert!(!bridge.running.has_ended());
    let grown = bridge.running.peak_memory() - before;
    assert!(grown < 64 * MIB, "{} MiB more at the peak", grown / MIB);
    assert_eq!(ws.text("after").next(), Frame::text("after"));
}

#[test]
fn a_claim_of_the_greatest_length_is_only_a_number() {
    let running = spawn_under("ulimit -v 2097152", &["ws-l:0", "echo:"]);
    let bridge = Bridge::of(running);
    let mut ws = bridge.client();
    let mut head = frame_bytes(0x82, &vec![b'x'; 70_000], true);
    head.truncate(17);
    head[2..10].copy_from_slice(&(u64::MAX >> 1).to_be_bytes());
    ws.raw(&head);
    assert_eq!(ws.next(), Frame::Piece(false, 2, b"xxx".to_vec()));
    // RFC 6455 5.2: the most significant bit must be 0.
    let mut ws = bridge.client();
    head[2] = 0xFF;
    ws.raw(&head);
    assert!(matches!(ws.next(), Frame::Close(1002, _)));
}
