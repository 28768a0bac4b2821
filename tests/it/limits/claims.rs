//! Frames that claim what they never send: a length reserves nothing.

use std::io::Write;
use std::time::Duration;

use super::{MIB, listener, raise_own_descriptors};
use crate::support::{Bridge, Frame, frame_bytes, spawn_under};

#[test]
fn ten_thousand_claims_of_16_mib_reserve_nothing() {
    raise_own_descriptors();
    // However long it takes here, no ping comes between.
    let running = spawn_under("ulimit -v 2097152", &["--ping", "0", "ws-l:0", "echo:"]);
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

/// Little that is kept between much that is not: each piece must not hold the whole buffer that it was read into.
#[test]
fn pieces_between_pongs_do_not_hold_whole_buffers() {
    let (backend, port) = listener();
    let target = format!("tcp:127.0.0.1:{port}");
    for right in ["echo:", target.as_str()] {
        let bridge = Bridge::start(&["ws-l:0", right]);
        let before = bridge.running.memory();
        let mut client = bridge.client();
        let _silent = (right != "echo:").then(|| backend.accept().unwrap());
        let mut padded = frame_bytes(0x8A, &[b'p'; 125], true).repeat(1500);
        padded.extend(frame_bytes(0x82, &[b'x'; 4200], true));
        // Nobody reads at the other end: it ends when the bridge no longer takes anything.
        let timeout = Some(Duration::from_millis(500));
        client.stream.set_write_timeout(timeout).unwrap();
        let mut sent = 0;
        while sent < 2500 && client.stream.write_all(&padded).is_ok() {
            sent += 1;
        }
        let grown = bridge.running.peak_memory().saturating_sub(before);
        assert!(
            grown < 4 * MIB,
            "{right}: it has grown by {grown} bytes after {sent} rounds"
        );
        assert!(sent < 2500, "{right}: it takes everything");
    }
}
