//! The socket over an in-memory transport on paused time: control frames, the closing handshake, silence.

mod half_close;
mod turns;

use std::future::poll_fn;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use bytes::BytesMut;

use super::*;
use crate::ending::{Close, Violation};
use crate::message::Kind;
use crate::peer::MessageStreamExt;
use crate::peer::wire::Wire;

/// A client's socket and the wire to it: what a server sends is not masked and easy to write by hand.
fn client(room: usize) -> (Socket, DuplexStream) {
    let (near, far) = duplex(room);
    (
        Socket::new(Box::new(Wire(near)), b"", Role::Client, Options::default()),
        far,
    )
}

async fn next(socket: &mut Socket) -> Event {
    socket.next().await
}

/// Our ping of a number, as the wire has it.
fn ping(number: u64) -> (u8, Vec<u8>) {
    (0x89, number.to_be_bytes().to_vec())
}

/// The frame that answers it.
fn pong(number: u64) -> Vec<u8> {
    [&[0x8A, 8], &number.to_be_bytes()[..]].concat()
}

/// The next frame that a client sent: its first byte and its payload.
async fn sent(far: &mut DuplexStream) -> (u8, Vec<u8>) {
    let mut head = [0; 6];
    far.read_exact(&mut head).await.unwrap();
    assert!(
        head[1] & 0x80 != 0 && head[1] & 0x7F <= 125,
        "a short masked frame is expected: {head:?}"
    );
    let mut payload = vec![0; usize::from(head[1] & 0x7F)];
    far.read_exact(&mut payload).await.unwrap();
    for (byte, mask) in payload.iter_mut().zip(head[2..].iter().cycle()) {
        *byte ^= mask;
    }
    (head[0], payload)
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_while_nothing_else_is_sent() {
    let (mut socket, mut far) = client(10_000);
    far.write_all(&[0x89, 2, b'h', b'i', 0x89, 0, 0x82, 1, 7])
        .await
        .unwrap();
    assert_eq!(
        next(&mut socket).await,
        Event::Fragment(Fragment::binary([7]))
    );
    poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
    assert_eq!(sent(&mut far).await, (0x8A, b"hi".to_vec()));
    assert_eq!(sent(&mut far).await, (0x8A, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_pings_and_never_reads_costs_one_pong() {
    let (mut socket, mut far) = client(100);
    let pump = tokio::spawn(async move {
        let end = next(&mut socket).await;
        (end, socket.outbox.len())
    });
    for number in 0..10_000u32 {
        let mut ping = vec![0x89, 4];
        ping.extend_from_slice(&number.to_be_bytes());
        far.write_all(&ping).await.unwrap();
    }
    far.write_all(&[0x82, 1, 7]).await.unwrap();
    let (end, queued) = pump.await.unwrap();
    assert_eq!(end, Event::Fragment(Fragment::binary([7])));
    assert!(
        queued <= PONGS_QUEUED + 2 * (MAX_HEADER + MAX_CONTROL),
        "{queued} bytes are queued"
    );
}

#[tokio::test(start_paused = true)]
async fn the_newest_ping_is_answered_when_the_peer_reads_again() {
    let (mut socket, mut far) = client(100);
    let pump = tokio::spawn(async move { next(&mut socket).await });
    for number in 0..10_000u32 {
        let mut ping = vec![0x89, 4];
        ping.extend_from_slice(&number.to_be_bytes());
        far.write_all(&ping).await.unwrap();
    }
    let mut last = 0;
    while last != 9_999 {
        let (first, payload) = sent(&mut far).await;
        assert_eq!(first, 0x8A);
        last = u32::from_be_bytes(payload.try_into().unwrap());
    }
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn a_close_is_echoed_and_the_server_ends_the_transport_first() {
    let (mut socket, mut far) = client(1000);
    far.write_all(&[0x88, 6, 0x0F, 0xA1, b'd', b'o', b'n', b'e'])
        .await
        .unwrap();
    let end = Ending::Close(Close::new(4001, "done"));
    assert_eq!(next(&mut socket).await, Event::End(end));
    let closing =
        tokio::spawn(async move { poll_fn(|cx| socket.poll_close(cx, &Ending::Eof)).await });
    assert_eq!(
        sent(&mut far).await,
        (0x88, vec![0x0F, 0xA1, b'd', b'o', b'n', b'e'])
    );
    drop(far);
    timeout(Duration::from_millis(1), closing)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_ends_the_transport_is_left_after_a_second() {
    let (mut socket, mut far) = client(1000);
    far.write_all(&[0x88, 0]).await.unwrap();
    assert_eq!(
        next(&mut socket).await,
        Event::End(Ending::Close(Close::empty()))
    );
    let begun = Instant::now();
    poll_fn(|cx| socket.poll_close(cx, &Ending::Eof))
        .await
        .unwrap();
    assert_eq!(begun.elapsed(), FINISH);
    assert_eq!(sent(&mut far).await, (0x88, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_close_is_sent_before_a_failure_ends_the_connection() {
    for (bytes, code) in [
        (&[0x83, 0][..], 1002_u16),
        (&[0x81, 1, 0xFF], 1007),
        (&[0x88, 2, 0x03, 0xED], 1002),
        (&[0x88, 1, 0x03], 1002),
        (&[0x88, 3, 0x03, 0xE8, 0xFF], 1007),
    ] {
        let (mut socket, mut far) = client(1000);
        far.write_all(bytes).await.unwrap();
        let Event::End(end @ Ending::Broken(Violation { code: judged, .. })) =
            next(&mut socket).await
        else {
            panic!("{bytes:?} was taken");
        };
        assert_eq!(judged, code);
        poll_fn(|cx| socket.poll_close(cx, &end)).await.unwrap();
        let (first, payload) = sent(&mut far).await;
        assert_eq!(
            (first, &payload[..2]),
            (0x88, &code.to_be_bytes()[..]),
            "{bytes:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_a_ping_and_then_is_death() {
    let (mut socket, mut far) = client(1000);
    let begun = Instant::now();
    let pump = tokio::spawn(async move { next(&mut socket).await });
    assert_eq!(sent(&mut far).await, ping(1));
    let pinged = begun.elapsed();
    let allowed = Duration::from_millis(22_500)..=Duration::from_millis(30_001);
    assert!(allowed.contains(&pinged), "{pinged:?}");
    assert_eq!(pump.await.unwrap(), Event::End(Ending::Lost(Loss::Silent)));
    let answered = (begun.elapsed() - pinged).as_millis();
    assert!((29_999..=30_002).contains(&answered), "{answered}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_answered_by_its_pong_or_that_of_a_later_ping() {
    let (mut socket, mut far) = client(1000);
    socket.start_send(Fragment::binary([7]).into()).unwrap();
    socket.notify(Notice::Probe);
    assert_eq!(socket.tally().asked, Some(1));
    poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
    assert_eq!(sent(&mut far).await, (0x82, vec![7]));
    assert_eq!(
        (sent(&mut far).await, socket.tally().answered),
        (ping(1), 0)
    );
    // One that nobody asked for says nothing.
    far.write_all(&[0x8A, 0, 0x8A, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0x82, 1, 7])
        .await
        .unwrap();
    next(&mut socket).await;
    assert_eq!(socket.tally().answered, 0);
    // The ping that breaks a silence has the next number, and its pong answers both.
    let pump = tokio::spawn(async move {
        next(&mut socket).await;
        socket.tally().answered
    });
    assert_eq!(sent(&mut far).await, ping(2));
    far.write_all(&[pong(2), vec![0x82, 1, 7]].concat())
        .await
        .unwrap();
    assert_eq!(pump.await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_asked_is_answered_by_its_own_pong_only() {
    let (mut socket, mut far) = client(1000);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let pings = Arc::new(Pings::new(move |_| heard.lock().unwrap().push("pong")));
    socket.notify(Notice::Pings(pings.clone()));
    let pump = tokio::spawn(async move {
        for _ in 0..3 {
            next(&mut socket).await;
        }
    });
    // One is under way when the person asks.
    assert_eq!(sent(&mut far).await, ping(1));
    assert!(pings.ask());
    assert_eq!(sent(&mut far).await, ping(2));
    let message = vec![0x82, 1, 7];
    let (nobodys, answers) = (vec![0x8A, 0], told.clone());
    for (came, expected) in [(nobodys, 0), (pong(1), 0), (pong(2), 1)] {
        far.write_all(&[came, message.clone()].concat())
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(answers.lock().unwrap().len(), expected);
    }
    pump.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn any_byte_is_life() {
    let (mut socket, mut far) = client(1000);
    let pump = tokio::spawn(async move { next(&mut socket).await });
    // A frame of 20 bytes, one of them each 50 seconds: nobody would call that silence.
    far.write_all(&[0x82, 20]).await.unwrap();
    for _ in 0..19 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        far.write_all(&[1]).await.unwrap();
    }
    assert!(!pump.is_finished());
    far.write_all(&[1]).await.unwrap();
    assert_eq!(
        pump.await.unwrap(),
        Event::Fragment(Fragment::binary([1; 20]))
    );
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_ends_without_a_close_is_lost() {
    let (mut socket, mut far) = client(1000);
    far.write_all(&[0x81, 2, b'h', b'i', 0x81, 2, b'x'])
        .await
        .unwrap();
    drop(far);
    assert_eq!(
        next(&mut socket).await,
        Event::Fragment(Fragment::text("hi"))
    );
    let rest = Fragment {
        fin: false,
        ..Fragment::text("x")
    };
    assert_eq!(
        next(&mut socket).await,
        Event::Fragment(rest),
        "what came is delivered before the end"
    );
    assert_eq!(
        next(&mut socket).await,
        Event::End(Ending::Lost(Loss::NoClose))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_shared_is_masked_by_clients_alone() {
    let bytes = BytesMut::from(&b"abc"[..]);
    let batch = Batch::new(Kind::Text, bytes, vec![(0, 1), (1, 3)]).shared();
    let (mut socket, mut far) = client(1000);
    socket.start_send(batch.clone().into()).unwrap();
    poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
    assert_eq!(sent(&mut far).await, (0x81, b"a".to_vec()));
    assert_eq!(sent(&mut far).await, (0x81, b"bc".to_vec()));
    for _ in 0..2 {
        let (near, mut far) = duplex(1000);
        let io = Box::new(Wire(near));
        let mut socket = Socket::new(io, b"", Role::Server, Options::default());
        socket.start_send(batch.clone().into()).unwrap();
        poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
        let mut frames = [0; 7];
        far.read_exact(&mut frames).await.unwrap();
        assert_eq!(&frames, b"\x81\x01a\x81\x02bc");
    }
}

/// All frames that were sent to the wire: whether each is the last of its message, its opcode, its length.
fn frames(mut wire: &[u8]) -> Vec<(bool, u8, usize)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = wire {
        let (len, rest) = match second & 0x7F {
            126 => (
                usize::from(u16::from_be_bytes([rest[0], rest[1]])),
                &rest[2..],
            ),
            127 => panic!("a frame of 64 KiB or more"),
            len => (usize::from(len), rest),
        };
        frames.push((first & 0x80 != 0, first & 0x0F, len));
        wire = &rest[4 + len..];
    }
    frames
}

#[tokio::test(start_paused = true)]
async fn a_message_longer_than_a_frame_may_be_goes_out_in_fragments() {
    let (near, mut far) = duplex(1 << 20);
    let options = Options {
        ping: None,
        chunk: 1000,
    };
    let mut socket = Socket::new(Box::new(Wire(near)), b"", Role::Client, options);
    let begun = Fragment {
        fin: false,
        ..Fragment::text(&"x".repeat(1001))
    };
    for fragment in [
        Fragment::binary(vec![7; 2500]),
        Fragment::binary(vec![7; 1000]),
        begun,
        Fragment::text(&"x".repeat(2000)),
        Fragment::text(""),
    ] {
        socket.start_send(fragment.into()).unwrap();
    }
    // Of short messages that travel together one is too long.
    let batch = |lengths: [u32; 2]| {
        let bytes = BytesMut::zeroed(2000);
        let ends = (lengths[0], lengths[0] + lengths[1]);
        Batch::new(Kind::Binary, bytes, vec![(0, ends.0), ends])
    };
    socket.start_send(batch([10, 1001]).into()).unwrap();
    socket.start_send(batch([1000, 5]).into()).unwrap();
    poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
    let longest = socket.tally().longest.unwrap();
    assert_eq!((longest.bytes, longest.chunk), (3001, 1000));
    drop(socket);
    let mut wire = Vec::new();
    far.read_to_end(&mut wire).await.unwrap();
    let expected = [
        (false, 2, 1000),
        (false, 0, 1000),
        (true, 0, 500),
        (true, 2, 1000),
        (false, 1, 1000),
        (false, 0, 1),
        (false, 0, 1000),
        (true, 0, 1000),
        (true, 1, 0),
        (true, 2, 10),
        (false, 2, 1000),
        (true, 0, 1),
        (true, 2, 1000),
        (true, 2, 5),
    ];
    assert_eq!(frames(&wire), expected);
}
