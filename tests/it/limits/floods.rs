//! Floods of frames without payload: they are slowed, not punished, and take no thread from others.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::{Flood, MIB};
use crate::support::{Bridge, Frame, Ws, frame_bytes};

/// What a client may repeat without a word: the first frame, and the one that is repeated.
fn floods() -> [(&'static str, Vec<u8>, Vec<u8>); 4] {
    let begin = frame_bytes(0x01, b"a", true);
    [
        ("fragments", begin, frame_bytes(0x00, b"", true)),
        ("pings", vec![], frame_bytes(0x89, b"", true)),
        ("pongs", vec![], frame_bytes(0x8A, b"", true)),
        ("messages", vec![], frame_bytes(0x81, b"", true)),
    ]
}

#[test]
fn data_behind_a_hundred_thousand_empty_pongs_arrives() {
    for target in ["echo:", "each:echo:"] {
        let bridge = Bridge::start(&["--threads", "1", "ws-l:0", target]);
        let mut ws = bridge.client();
        let wire = frame_bytes(0x8A, b"", true).repeat(100_000);
        ws.raw(&wire).text("behind");
        assert_eq!(ws.heard(), Frame::text("behind"), "{target}");
    }
}

/// Floods a bridge from a thread of its own until it is told that this is enough.
fn flood(ws: &Ws, begin: &[u8], frame: &[u8], is_enough: Arc<AtomicBool>) -> JoinHandle<()> {
    let mut stream = ws.stream.try_clone().unwrap();
    stream.write_all(begin).unwrap();
    let mut flood = Flood::new(stream, frame.repeat(40_000));
    assert!(flood.push(MIB));
    thread::spawn(move || {
        while !is_enough.load(Ordering::Relaxed) {
            if !flood.push(flood.written + MIB) {
                thread::yield_now();
            }
        }
    })
}

#[test]
fn who_shares_a_thread_with_a_flood_is_served() {
    for target in ["null:", "echo:"] {
        let bridge = Bridge::start(&["--threads", "1", "ws-l:0", target]);
        for (what, begin, frame) in floods() {
            let (ws, is_enough) = (bridge.client(), Arc::new(AtomicBool::new(false)));
            let flooding = flood(&ws, &begin, &frame, is_enough.clone());
            for _ in 0..3 {
                let mut other = bridge.client();
                other.frame(0x89, b"there?");
                let answer = other.heard();
                assert_eq!(answer, Frame::Pong(b"there?".to_vec()), "{what}");
            }
            is_enough.store(true, Ordering::Relaxed);
            flooding.join().unwrap();
        }
    }
}
