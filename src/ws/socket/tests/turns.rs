//! How much of a flood is read before others run: what carries no payload counts as much as what does.

use std::future::Future;
use std::pin::pin;
use std::task::Waker;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::yield_now;

use super::*;
use crate::memory::Memory;
use crate::peer::{MessageStreamExt, Pipe, pipe};
use crate::pump::{self, pump};

/// Frames of a server without payload: what may come between two messages, and within one.
const EMPTY: &[(&str, &[u8], &[u8])] = &[
    ("pongs", b"", &[0x8A, 0]),
    ("pings", b"", &[0x89, 0]),
    ("messages", b"", &[0x82, 0]),
    ("fragments", &[0x02, 1, b'a'], &[0x00, 0]),
    ("pongs within a message", &[0x02, 1, b'a'], &[0x8A, 0]),
];
const FRAMES: usize = 100_000;

/// A flood that has come whole, and behind it one message.
async fn flooded(begin: &[u8], frame: &[u8]) -> (Socket, DuplexStream) {
    let wire = [begin, &frame.repeat(FRAMES)].concat();
    let (socket, mut far) = client(wire.len() + 100);
    far.write_all(&wire).await.unwrap();
    let last = if begin.is_empty() { 0x82 } else { 0x80 };
    far.write_all(&[last, 6, b'b', b'e', b'h', b'i', b'n', b'd'])
        .await
        .unwrap();
    (socket, far)
}

/// The far end of what a flood is sent to.
enum Across {
    /// Messages.
    Pipe(Pipe),
    /// Bytes, for which messages are merged.
    Wire(DuplexStream),
}

impl Across {
    fn of(merges: bool) -> (Opened, Across) {
        if merges {
            let (near, far) = duplex(1 << 20);
            let facts = StreamFacts::of_bytes(Framing::BYTES);
            let near = Opened::bytes(Box::new(Wire(near)), facts);
            return (near, Across::Wire(far));
        }
        let (near, far) = pipe();
        (near.into(), Across::Pipe(far))
    }

    /// Takes what has come; whether it is what stands behind the flood.
    fn has_last(&mut self, cx: &mut Context<'_>) -> bool {
        let mut has_last = false;
        match self {
            Across::Pipe(pipe) => {
                while let Poll::Ready(event) = pipe.poll_next(cx) {
                    has_last = match event {
                        Event::Fragment(fragment) => fragment.payload.ends_with(b"behind"),
                        Event::Batch(batch) => batch.messages().last() == Some(b"behind"),
                        other => panic!("{other:?}"),
                    };
                }
            }
            Across::Wire(wire) => {
                let mut bytes = [0; 64];
                let mut buf = ReadBuf::new(&mut bytes);
                let _ = Pin::new(wire).poll_read(cx, &mut buf);
                has_last = buf.filled().ends_with(b"behind");
            }
        }
        has_last
    }
}

/// How often a session is polled until what stands behind a flood arrives.
async fn polls(session: impl Future, across: &mut Across) -> usize {
    let mut session = pin!(session);
    for polls in 1..FRAMES {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(session.as_mut().poll(&mut cx).is_pending());
        if across.has_last(&mut cx) {
            return polls;
        }
        // What one task may do before it lets others run is bounded by tokio, too.
        yield_now().await;
    }
    panic!("what stands behind does not arrive");
}

#[tokio::test(start_paused = true)]
async fn one_poll_of_a_session_reads_a_turn_of_a_flood_and_what_stands_behind_arrives() {
    for merges in [false, true] {
        for (what, begin, frame) in EMPTY {
            let (socket, _far) = flooded(begin, frame).await;
            let (right, mut across) = Across::of(merges);
            let options = pump::Options::default();
            let [left, right] =
                [socket.into(), right].map(|it: Opened| it.into_messages(&Memory::default()));
            let session = pump(left, right, &options, std::future::pending());
            let polls = polls(session, &mut across).await;
            let turns = FRAMES / Spent::TURN.frames as usize;
            assert!((turns..3 * turns).contains(&polls), "{what}: {polls} polls");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_a_socket_without_a_pump_lets_others_run_too() {
    let (mut socket, _far) = flooded(b"", &[0x8A, 0]).await;
    let mut cx = Context::from_waker(Waker::noop());
    let mut polls = 1;
    let event = loop {
        match socket.poll_next(&mut cx) {
            Poll::Ready(event) => break event,
            Poll::Pending => polls += 1,
        }
        assert!(polls < FRAMES);
    };
    assert_eq!(event, Event::Fragment(Fragment::binary(b"behind")));
    assert!(polls > FRAMES / Spent::TURN.frames as usize, "{polls}");
}

/// A turn within what the transport had when it ended is not the end of that.
#[tokio::test(start_paused = true)]
async fn a_lost_connection_yields_all_turns_before_its_end() {
    let (mut socket, far) = flooded(b"", &[0x8A, 0]).await;
    drop(far);
    assert_eq!(
        next(&mut socket).await,
        Event::Fragment(Fragment::binary(b"behind"))
    );
    let end = next(&mut socket).await;
    assert!(matches!(end, Event::End(Ending::Lost(_))), "{end:?}");
}
