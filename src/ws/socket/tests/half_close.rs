//! Half-closes on one socket: the proof, the marker and the two Closes, as the wire has them.

use super::*;
use crate::ending::Deadline;
use crate::framing::Framing;
use crate::memory::Memory;
use crate::pump::{self, Outcome, pump};

const PROOF: &[u8] = b"wsbridge-half-close";
/// A server's marker.
const MARKER: [u8; 2] = [0xA2, 0];
/// A server's Close 1000.
const NORMAL: [u8; 4] = [0x88, 2, 0x03, 0xE8];

/// A server's Pong that proves the extension.
fn proof() -> Vec<u8> {
    [&[0x8A, u8::try_from(PROOF.len()).unwrap()], PROOF].concat()
}

/// A client's socket that has agreed to half-closes.
fn agreed() -> (Socket, DuplexStream) {
    let (socket, far) = client(10_000);
    (socket.with_half_close(Duration::ZERO), far)
}

/// One whose proof has passed both ways.
async fn proved() -> (Socket, DuplexStream) {
    let (mut socket, mut far) = agreed();
    far.write_all(&[&proof()[..], &[0x82, 1, 7]].concat())
        .await
        .unwrap();
    poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
    assert_eq!(sent(&mut far).await, (0x8A, PROOF.to_vec()));
    next(&mut socket).await;
    assert!(socket.tally().half_closes);
    (socket, far)
}

async fn close(socket: &mut Socket, why: &Ending) {
    poll_fn(|cx| socket.poll_close(cx, why)).await.unwrap();
}

fn code(code: u16) -> Ending {
    Ending::Close(Close::new(code, ""))
}

#[tokio::test(start_paused = true)]
async fn the_proof_is_the_first_frame_and_waits_for_nothing() {
    let (mut socket, mut far) = agreed();
    poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
    socket.start_send(Fragment::binary([7]).into()).unwrap();
    poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
    assert_eq!(sent(&mut far).await, (0x8A, PROOF.to_vec()));
    assert_eq!(sent(&mut far).await, (0x82, vec![7]));
    // Who only reads sends it too, once.
    let (mut socket, mut far) = agreed();
    let reader = tokio::spawn(async move { next(&mut socket).await });
    assert_eq!(sent(&mut far).await, (0x8A, PROOF.to_vec()));
    far.write_all(&[0x89, 0, 0x82, 1, 7]).await.unwrap();
    assert_eq!(
        reader.await.unwrap(),
        Event::Fragment(Fragment::binary([7]))
    );
}

#[tokio::test(start_paused = true)]
async fn without_the_extension_there_is_no_proof_and_the_marker_is_a_breach() {
    let (mut socket, mut far) = client(10_000);
    socket.start_send(Fragment::binary([7]).into()).unwrap();
    poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
    assert_eq!(sent(&mut far).await, (0x82, vec![7]));
    far.write_all(&[&proof()[..], &MARKER].concat())
        .await
        .unwrap();
    let Event::End(end @ Ending::Broken(Violation { code: 1002, .. })) = next(&mut socket).await
    else {
        panic!("it was taken");
    };
    assert!(!socket.tally().half_closes);
    close(&mut socket, &end).await;
    let (first, payload) = sent(&mut far).await;
    assert_eq!((first, &payload[..2]), (0x88, &[0x03, 0xEA][..]));
}

#[tokio::test(start_paused = true)]
async fn the_proof_of_a_relay_waits_for_that_of_the_other_hop() {
    let (mut left, mut left_far) = agreed();
    let (mut right, mut right_far) = agreed();
    let proof_of = |of: &Socket| Notice::Prove(of.facts().proof);
    left.notify(proof_of(&right));
    right.notify(proof_of(&left));
    let (left, right) = (
        tokio::spawn(async move { next(&mut left).await }),
        tokio::spawn(async move { next(&mut right).await }),
    );
    let second = Duration::from_secs(1);
    assert!(timeout(second, left_far.read_u8()).await.is_err());
    assert!(timeout(second, right_far.read_u8()).await.is_err());
    // What the one hop has proved goes to the other.
    left_far.write_all(&proof()).await.unwrap();
    assert_eq!(sent(&mut right_far).await, (0x8A, PROOF.to_vec()));
    assert!(timeout(second, left_far.read_u8()).await.is_err());
    right_far.write_all(&proof()).await.unwrap();
    assert_eq!(sent(&mut left_far).await, (0x8A, PROOF.to_vec()));
    left.abort();
    right.abort();
}

#[tokio::test(start_paused = true)]
async fn half_closes_are_in_force_once_both_proofs_have_passed() {
    let (mut socket, mut far) = agreed();
    far.write_all(&[&proof()[..], &[0x82, 1, 7]].concat())
        .await
        .unwrap();
    next(&mut socket).await;
    let wait = Some(Duration::from_secs(1));
    let marks = |socket: &Socket| socket.marks().unwrap();
    assert_eq!(
        (marks(&socket).proof_wait, socket.tally().half_closes),
        (wait, false)
    );
    poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
    assert_eq!(
        (marks(&socket).proof_wait, socket.tally().half_closes),
        (None, true)
    );
}

#[tokio::test(start_paused = true)]
async fn an_end_of_one_direction_is_the_marker_and_the_close_comes_behind_it() {
    let (mut socket, mut far) = proved().await;
    socket.start_send(Fragment::binary([8]).into()).unwrap();
    close(&mut socket, &Ending::Eof).await;
    assert_eq!(sent(&mut far).await, (0x82, vec![8]));
    assert_eq!(sent(&mut far).await, (0xA2, vec![]));
    assert!(socket.marks().unwrap().owes_close);
    // What comes is still taken, and pings are answered.
    far.write_all(&[0x82, 1, 9, 0x89, 1, b'p']).await.unwrap();
    assert_eq!(
        next(&mut socket).await,
        Event::Fragment(Fragment::binary([9]))
    );
    far.write_all(&MARKER).await.unwrap();
    assert_eq!(next(&mut socket).await, Event::End(Ending::Eof));
    poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
    assert_eq!(sent(&mut far).await, (0x8A, b"p".to_vec()));
    assert!(socket.marks().unwrap().awaits_close);
    close(&mut socket, &code(1000)).await;
    assert_eq!(sent(&mut far).await, (0x88, vec![0x03, 0xE8]));
    far.write_all(&NORMAL).await.unwrap();
    assert_eq!(next(&mut socket).await, Event::End(code(1000)));
    drop(far);
    timeout(Duration::from_millis(1), close(&mut socket, &code(1000)))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_abort_and_a_close_go_out_without_a_marker() {
    for (why, expected) in [
        (Ending::Lost(Loss::Reset), 1011_u16),
        (code(4001), 4001),
        (Ending::Deadline(Deadline::Drain), 1011),
    ] {
        for is_half_closed in [false, true] {
            let (mut socket, mut far) = proved().await;
            if is_half_closed {
                close(&mut socket, &Ending::Eof).await;
                assert_eq!(sent(&mut far).await, (0xA2, vec![]));
            }
            close(&mut socket, &why).await;
            let (first, payload) = sent(&mut far).await;
            assert_eq!((first, &payload[..2]), (0x88, &expected.to_be_bytes()[..]));
            assert!(!socket.tally().half_closes);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_failed_is_our_verdict_also_after_the_peers_close() {
    let (mut socket, mut far) = proved().await;
    far.write_all(&[&MARKER[..], &NORMAL].concat())
        .await
        .unwrap();
    assert_eq!(next(&mut socket).await, Event::End(Ending::Eof));
    close(&mut socket, &Ending::Eof).await;
    assert_eq!(next(&mut socket).await, Event::End(code(1000)));
    assert_eq!(sent(&mut far).await, (0xA2, vec![]));
    drop(tokio::spawn(async move {
        close(&mut socket, &Ending::Lost(Loss::Reset)).await;
    }));
    let (first, payload) = sent(&mut far).await;
    assert_eq!((first, &payload[..2]), (0x88, &1011_u16.to_be_bytes()[..]));
}

#[tokio::test(start_paused = true)]
async fn pings_between_the_two_closes_are_answered() {
    // After our Close, before the peer's.
    let (mut socket, mut far) = proved().await;
    close(&mut socket, &Ending::Eof).await;
    close(&mut socket, &code(1000)).await;
    let reader = tokio::spawn(async move { next(&mut socket).await });
    assert_eq!(sent(&mut far).await, (0xA2, vec![]));
    assert_eq!(sent(&mut far).await, (0x88, vec![0x03, 0xE8]));
    far.write_all(&[0x89, 1, b'p']).await.unwrap();
    assert_eq!(sent(&mut far).await, (0x8A, b"p".to_vec()));
    far.write_all(&[&MARKER[..], &NORMAL].concat())
        .await
        .unwrap();
    assert_eq!(reader.await.unwrap(), Event::End(Ending::Eof));

    // After the peer's Close, before ours.
    let (mut socket, mut far) = proved().await;
    close(&mut socket, &Ending::Eof).await;
    assert_eq!(sent(&mut far).await, (0xA2, vec![]));
    far.write_all(&[&MARKER[..], &NORMAL, &[0x89, 1, b'q']].concat())
        .await
        .unwrap();
    assert_eq!(next(&mut socket).await, Event::End(Ending::Eof));
    assert_eq!(next(&mut socket).await, Event::End(code(1000)));
    let watch = tokio::spawn(async move { poll_fn(|cx| socket.poll_reset(cx)).await });
    assert_eq!(sent(&mut far).await, (0x8A, b"q".to_vec()));
    watch.abort();
}

/// A bridge between bytes and a socket.
fn bridge(socket: Socket) -> (tokio::task::JoinHandle<Outcome>, DuplexStream) {
    bridge_with_room(socket, 10_000)
}

/// One whose bytes take no more than so many unread.
fn bridge_with_room(
    socket: Socket,
    room: usize,
) -> (tokio::task::JoinHandle<Outcome>, DuplexStream) {
    bridge_with(socket, room, pump::Options::default())
}

fn bridge_with(
    socket: Socket,
    room: usize,
    options: pump::Options,
) -> (tokio::task::JoinHandle<Outcome>, DuplexStream) {
    let (near, bytes) = duplex(room);
    let bridge = tokio::spawn(async move {
        let bytes = StreamFacts::of_bytes(Framing::BYTES);
        let left = Opened::bytes(Box::new(Wire(near)), bytes);
        let [left, right] = [left, socket.into()].map(|it| it.into_messages(&Memory::default()));
        pump(left, right, &options, std::future::pending()).await
    });
    (bridge, bytes)
}

/// The transport may be lost at any time between our marker and our Close.
#[tokio::test(start_paused = true)]
async fn a_loss_behind_our_marker_ends_the_session() {
    for from_peer in [&b""[..], &[0x82, 1, 7], &MARKER] {
        let (socket, mut far) = proved().await;
        let (bridge, mut bytes) = bridge_with_room(socket, 10_000);
        bytes.shutdown().await.unwrap();
        assert_eq!(sent(&mut far).await, (0xA2, vec![]));
        far.write_all(from_peer).await.unwrap();
        drop(far);
        let outcome = timeout(Duration::from_secs(60), bridge).await;
        let outcome = outcome.expect("it goes on").unwrap();
        assert_eq!(outcome.right, Ending::Lost(Loss::NoClose), "{from_peer:?}");
        assert_eq!(outcome.exit_status(), 56);
    }
}

/// Nothing counts that comes behind a Close, and a breach of the protocol there costs one look.
#[tokio::test(start_paused = true)]
async fn a_breach_behind_the_close_of_a_peer_changes_nothing() {
    let (socket, mut far) = proved().await;
    let (bridge, mut bytes) = bridge_with_room(socket, 100);
    bytes.shutdown().await.unwrap();
    assert_eq!(sent(&mut far).await, (0xA2, vec![]));
    let data = [&[0x82, 126, 3, 0xE8][..], &[7; 1000]].concat();
    let breach = [0x83, 0];
    far.write_all(&[&data[..], &MARKER, &NORMAL, &breach].concat())
        .await
        .unwrap();
    // It is looked at while the byte side takes nothing.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut got = Vec::new();
    bytes.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, [7; 1000]);
    assert_eq!(sent(&mut far).await, (0x88, vec![0x03, 0xE8]));
    drop(far);
    assert_eq!(bridge.await.unwrap().exit_status(), 0);
}

/// Both directions have ended well, and what came was not taken.
#[tokio::test(start_paused = true)]
async fn what_was_not_taken_within_the_longest_time_is_no_success() {
    let (socket, mut far) = proved().await;
    let options = pump::Options {
        max_time: Some(Duration::from_secs(5)),
        ..pump::Options::default()
    };
    let (bridge, mut bytes) = bridge_with(socket, 100, options);
    bytes.shutdown().await.unwrap();
    let data = [&[0x82, 126, 3, 0xE8][..], &[7; 1000]].concat();
    far.write_all(&[&data[..], &MARKER].concat()).await.unwrap();
    let outcome = bridge.await.unwrap();
    assert_eq!(outcome.exit_status(), 28, "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn the_second_close_is_waited_for_while_pongs_come_and_then_as_long_as_an_answer() {
    let (socket, mut far) = proved().await;
    let (bridge, mut bytes) = bridge(socket);
    bytes.shutdown().await.unwrap();
    assert_eq!(sent(&mut far).await, (0xA2, vec![]));
    far.write_all(&MARKER).await.unwrap();
    assert_eq!(bytes.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(sent(&mut far).await, (0x88, vec![0x03, 0xE8]));
    // A peer that delivers for a long time answers pings, and no deadline is for it.
    let begun = Instant::now();
    for number in 1..=20 {
        assert_eq!(sent(&mut far).await, ping(number));
        far.write_all(&pong(number)).await.unwrap();
    }
    assert!(!bridge.is_finished());
    let answered = Instant::now();
    assert!(answered - begun >= Duration::from_secs(57));
    let outcome = bridge.await.unwrap();
    assert_eq!(outcome.right, Ending::Deadline(Deadline::Close));
    assert_eq!(
        (answered.elapsed().as_secs(), outcome.exit_status()),
        (10, 28)
    );
}

/// Pongs are life where half-closes are in force; `--idle` bounds that wait, too.
#[tokio::test(start_paused = true)]
async fn the_second_close_is_waited_for_no_longer_than_the_idle_time() {
    let (socket, mut far) = proved().await;
    let options = pump::Options {
        idle: Some(Duration::from_secs(20)),
        ..pump::Options::default()
    };
    let (bridge, mut bytes) = bridge_with(socket, 10_000, options);
    bytes.shutdown().await.unwrap();
    assert_eq!(sent(&mut far).await, (0xA2, vec![]));
    far.write_all(&MARKER).await.unwrap();
    assert_eq!(sent(&mut far).await, (0x88, vec![0x03, 0xE8]));
    for number in 1..=6 {
        assert_eq!(sent(&mut far).await, ping(number));
        far.write_all(&pong(number)).await.unwrap();
    }
    let outcome = bridge.await.unwrap();
    assert_eq!(outcome.right, Ending::Deadline(Deadline::Idle));
    assert_eq!(outcome.exit_status(), 28);
}

/// Who agreed to half-closes and never proves them is a foreign peer: pongs keep no session open behind our Close.
#[tokio::test(start_paused = true)]
async fn a_peer_that_proves_nothing_is_waited_for_as_a_foreign_one() {
    let (socket, mut far) = agreed();
    let (bridge, mut bytes) = bridge(socket);
    bytes.shutdown().await.unwrap();
    assert_eq!(sent(&mut far).await, (0x8A, PROOF.to_vec()));
    assert_eq!(sent(&mut far).await, (0x88, vec![0x03, 0xE8]));
    let closed = Instant::now();
    let outcome = timeout(Duration::from_secs(60), async {
        // A masked ping with its number.
        let mut ping = [0; 2 + 4 + 8];
        let mut number = 0;
        while far.read_exact(&mut ping).await.is_ok() {
            assert_eq!(ping[0], 0x89);
            number += 1;
            far.write_all(&pong(number)).await.unwrap();
        }
        bridge.await.unwrap()
    });
    let outcome = outcome.await.expect("it goes on");
    assert_eq!(outcome.right, Ending::Deadline(Deadline::Close));
    assert_eq!(closed.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_clean_only_where_both_verdicts_are() {
    for (verdict, status) in [(&NORMAL[..], 0), (&[0x88, 2, 0x03, 0xF3], 110)] {
        let (socket, mut far) = proved().await;
        let (bridge, mut bytes) = bridge(socket);
        bytes.shutdown().await.unwrap();
        assert_eq!(sent(&mut far).await, (0xA2, vec![]));
        far.write_all(&MARKER).await.unwrap();
        assert_eq!(sent(&mut far).await, (0x88, vec![0x03, 0xE8]));
        far.write_all(verdict).await.unwrap();
        drop(far);
        let outcome = bridge.await.unwrap();
        assert_eq!(outcome.exit_status(), status, "{:?}", outcome.right);
    }
}

/// A ping is no answer: a server that sends some may still think, and one that sends nothing else has none.
#[tokio::test(start_paused = true)]
async fn control_frames_neither_shorten_nor_renew_the_wait_for_an_answer() {
    for answers in [false, true] {
        let (socket, mut far) = client(10_000);
        let (bridge, mut bytes) = bridge(socket);
        bytes.shutdown().await.unwrap();
        let ended = Instant::now();
        for _ in 0..9 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            far.write_all(&[0x89, 1, b'p']).await.unwrap();
            assert_eq!(sent(&mut far).await, (0x8A, b"p".to_vec()));
        }
        if answers {
            far.write_all(&[0x82, 1, 7]).await.unwrap();
            assert_eq!(bytes.read_u8().await.unwrap(), 7);
        }
        assert_eq!(sent(&mut far).await, (0x88, vec![0x03, 0xE8]));
        let waited = ended.elapsed().as_secs();
        assert_eq!(waited, if answers { 11 } else { 10 });
        far.write_all(&NORMAL).await.unwrap();
        drop(far);
        let outcome = bridge.await.unwrap();
        assert_eq!((outcome.exit_status(), outcome.is_unheard), (0, true));
    }
}

/// A frame that comes slowly is handed out whole, and yet it is not cut.
#[tokio::test(start_paused = true)]
async fn a_piece_of_a_short_frame_renews_the_wait() {
    let (socket, mut far) = client(10_000);
    let (bridge, mut bytes) = bridge(socket);
    bytes.shutdown().await.unwrap();
    far.write_all(&[0x82, 20]).await.unwrap();
    for byte in 0..20 {
        tokio::time::sleep(Duration::from_millis(1900)).await;
        far.write_all(&[byte]).await.unwrap();
    }
    let mut answer = [0; 20];
    bytes.read_exact(&mut answer).await.unwrap();
    far.write_all(&NORMAL).await.unwrap();
    drop(far);
    assert_eq!(bridge.await.unwrap().exit_status(), 0);
}

/// Who is pinged between the two Closes answers also while its target takes nothing of what came before the marker.
#[tokio::test(start_paused = true)]
async fn pings_behind_the_marker_are_answered_while_the_target_takes_nothing() {
    for (verdict, status) in [(NORMAL, 0), ([0x88, 2, 0x03, 0xF3], 110)] {
        let (socket, mut far) = proved().await;
        let (bridge, mut bytes) = bridge_with_room(socket, 64);
        bytes.shutdown().await.unwrap();
        assert_eq!(sent(&mut far).await, (0xA2, vec![]));
        let message = [&[0x82, 100][..], &[7; 100]].concat();
        far.write_all(&[&message[..], &message, &MARKER, &verdict].concat())
            .await
            .unwrap();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            far.write_all(&[0x89, 1, b'p']).await.unwrap();
            let answer = timeout(Duration::from_secs(3), sent(&mut far)).await;
            // One that is cut short by an abort is not waited for that long.
            match answer {
                Ok(answer) if status == 0 => assert_eq!(answer, (0x8A, b"p".to_vec())),
                _ => break,
            }
        }
        let mut came = Vec::new();
        bytes.read_to_end(&mut came).await.unwrap();
        if status == 0 {
            assert_eq!(came, [7; 200]);
            assert_eq!(sent(&mut far).await, (0x88, vec![0x03, 0xE8]));
        }
        drop(far);
        assert_eq!(bridge.await.unwrap().exit_status(), status);
    }
}

/// A pong may be late by as much as a slow reader needs for what it was sent before the ping.
#[tokio::test(start_paused = true)]
async fn the_second_close_of_a_slow_reader_is_waited_for_longer() {
    let (near, mut far) = duplex(2_000_000);
    let socket = Socket::new(Box::new(Wire(near)), b"", Role::Client, Options::default());
    let (bridge, mut bytes) = bridge(socket.with_half_close(Duration::ZERO));
    far.write_all(&proof()).await.unwrap();
    bytes.write_all(&[7; 500_000]).await.unwrap();
    bytes.shutdown().await.unwrap();
    far.write_all(&MARKER).await.unwrap();
    assert_eq!(bytes.read(&mut [0]).await.unwrap(), 0);
    let begun = Instant::now();
    let outcome = bridge.await.unwrap();
    assert_eq!(outcome.right, Ending::Deadline(Deadline::Close));
    let allowed = 10 + 500_000 / 16_384;
    assert!((allowed..allowed + 4).contains(&begun.elapsed().as_secs()));
    drop(far);
}

/// The server ends the transport; a client gives it two seconds for that.
#[tokio::test(start_paused = true)]
async fn a_client_ends_the_transport_itself_two_seconds_after_both_closes() {
    let (mut socket, mut far) = proved().await;
    close(&mut socket, &Ending::Eof).await;
    assert_eq!(sent(&mut far).await, (0xA2, vec![]));
    far.write_all(&[&MARKER[..], &NORMAL].concat())
        .await
        .unwrap();
    assert_eq!(next(&mut socket).await, Event::End(Ending::Eof));
    assert_eq!(next(&mut socket).await, Event::End(code(1000)));
    let begun = Instant::now();
    close(&mut socket, &code(1000)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
}
