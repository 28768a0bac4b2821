//! Heads in pieces, and heads that two parsers read.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Builder;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::*;
use crate::caller::Caller;
use crate::http::client::{self, Answer, Call};
use crate::http::policy::Policy;
use crate::http::reply::Reply;
use crate::http::server::{Received, Service, Upgrade};
use crate::peer::wire::Wire;

const DEADLINE: Duration = Duration::from_secs(10);
const REQUEST: &[u8] =
    b"GET /chat?x=1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const ANSWER: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// What comes glued to a head.
const GLUED: &[u8] = b"\x82\x03abc\x88\x00";

/// Writes pieces, each of which is read before the next is written.
async fn write(far: &mut DuplexStream, pieces: &[&[u8]]) {
    for piece in pieces {
        far.write_all(piece).await.unwrap();
        for _ in 0..3 {
            yield_now().await;
        }
    }
}

/// The upgrade that comes in these pieces.
async fn received(far: &mut DuplexStream, near: DuplexStream, pieces: &[&[u8]]) -> Upgrade {
    let service = Service {
        policy: Policy {
            is_loopback: true,
            ..Policy::default()
        },
        ..Service::default()
    };
    let caller = Caller::default();
    let reading = Received::read(Box::new(Wire(near)), &service, &caller, DEADLINE);
    match tokio::join!(reading, write(far, pieces)).0 {
        Ok(Received::Upgrade(upgrade)) => upgrade,
        Ok(_) => panic!("no upgrade"),
        Err(error) => panic!("{error:#}"),
    }
}

/// Has a server take an upgrade that comes in these pieces, and checks its answer and that nothing behind the head is lost.
async fn check_request(pieces: &[&[u8]]) {
    let (near, mut far) = duplex(4096);
    let upgrade = received(&mut far, near, pieces).await;
    assert_eq!(upgrade.request.uri, "/chat?x=1");
    let mut accepted = upgrade.accept().await.unwrap();
    let mut answer = [0; ANSWER.len()];
    far.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, ANSWER);
    drop(far);
    let mut behind = accepted.early.to_vec();
    accepted.io.read_to_end(&mut behind).await.unwrap();
    assert_eq!(behind, GLUED, "{}", pieces[0].len());
}

#[tokio::test]
async fn a_request_comes_in_two_pieces_cut_anywhere_or_byte_by_byte() {
    let whole = [REQUEST, GLUED].concat();
    for at in 1..=whole.len() {
        check_request(&[&whole[..at], &whole[at..]]).await;
    }
    let bytes: Vec<_> = whole.chunks(1).collect();
    check_request(&bytes).await;
}

/// Has a client take an answer of which all but the accept key comes as it is in `ANSWER`, in these pieces.
async fn check_answer(cut: impl FnOnce(&[u8]) -> Vec<&[u8]>) {
    let (near, mut far) = duplex(4096);
    let call = Call {
        host: "h".to_owned(),
        target: "/".to_owned(),
        headers: Vec::new(),
        protocols: Vec::new(),
        half_close: false,
        shows_head: false,
        follows: false,
    };
    let asking = client::upgrade(Box::new(Wire(near)), &call, DEADLINE);
    let answering = async {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(far.read_u8().await.unwrap());
        }
        let request = String::from_utf8(request).unwrap();
        let key = request.split_once("Sec-WebSocket-Key: ").unwrap().1;
        let key = derive_accept_key(&key.as_bytes()[..24]);
        let answer = str::from_utf8(ANSWER).unwrap();
        let answer = answer.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &key);
        let whole = [answer.as_bytes(), GLUED].concat();
        write(&mut far, &cut(&whole)).await;
        drop(far);
    };
    let Ok(Answer::Open(mut opened)) = tokio::join!(asking, answering).0 else {
        panic!("not open");
    };
    let mut behind = opened.early.to_vec();
    opened.io.read_to_end(&mut behind).await.unwrap();
    assert_eq!(behind, GLUED);
}

#[tokio::test]
async fn an_answer_comes_in_two_pieces_cut_anywhere_or_byte_by_byte() {
    for at in 1..=ANSWER.len() + GLUED.len() {
        check_answer(|whole| vec![&whole[..at], &whole[at..]]).await;
    }
    check_answer(|whole| whole.chunks(1).collect()).await;
}

/// A cut of hyper's: an answer before the last one, a head that is larger than we read.
#[tokio::test]
async fn an_answer_that_hyper_reads_loses_nothing_either() {
    let interim: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    check_answer(|whole| vec![interim, whole]).await;
    let long = format!("\r\nX-Long: {}", "x".repeat(3000)).repeat(6);
    let long: &'static str = long.leak();
    let at = b"HTTP/1.1 101 Switching Protocols".len();
    check_answer(|whole| vec![&whole[..at], long.as_bytes(), &whole[at..]]).await;
}

#[tokio::test]
async fn a_caller_that_ends_has_gone_unless_it_has_sent_something() {
    let (near, mut far) = duplex(4096);
    let mut upgrade = received(&mut far, near, &[REQUEST]).await;
    let still = timeout(Duration::ZERO, upgrade.gone()).await;
    assert!(still.is_err(), "it is there");
    drop(far);
    upgrade.gone().await;

    let (near, mut far) = duplex(4096);
    let mut upgrade = received(&mut far, near, &[REQUEST]).await;
    far.write_all(GLUED).await.unwrap();
    far.shutdown().await.unwrap();
    for _ in 0..2 {
        let still = timeout(Duration::ZERO, upgrade.gone()).await;
        assert!(still.is_err(), "what it sent is to be delivered");
    }
    let accepted = upgrade.accept().await.unwrap();
    assert_eq!(accepted.early, GLUED);
}

/// What hyper reads, or nothing.
async fn read_by_hyper(bytes: &[u8]) -> Option<Parts> {
    let (near, mut far) = duplex(64 * 1024);
    far.write_all(bytes).await.unwrap();
    let read = Reply::by_hyper(Box::new(Wire(near)), DEADLINE).await;
    read.ok().map(|(head, _)| head)
}

/// What we read, or nothing.
async fn read_by_us(bytes: &[u8]) -> Option<Parts> {
    let (near, mut far) = duplex(64 * 1024);
    far.write_all(bytes).await.unwrap();
    let mut io: Box<dyn ByteStream> = Box::new(Wire(near));
    let mut opening = Opening::default();
    let read = timeout(DEADLINE, opening.request(&mut io)).await;
    read.ok()?.ok().map(|(head, _)| head)
}

const LINES: &[&str] = &[
    "GET / HTTP/1.1",
    "GET /a?b HTTP/1.1",
    "get / HTTP/1.1",
    "GET / HTTP/1.0",
    "GET  / HTTP/1.1",
    "GET http://h/ HTTP/1.1",
    "GET h:80 HTTP/1.1",
    "GET * HTTP/1.1",
    "GET /\u{fc} HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET /#a HTTP/1.1",
    "GET /a\0b HTTP/1.1",
    "G(T / HTTP/1.1",
    " GET / HTTP/1.1",
    "GET / HTTP/2.0",
    "GET / HTTP/1.1 ",
    "GET /",
    "",
];

const HEADERS: &[&str] = &[
    "Host: h",
    "host:h",
    "Upgrade: websocket",
    "Upgrade:websocket \t",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "X : y",
    " folded",
    "\tfolded",
    "X",
    ": v",
    ":",
    "X:",
    "X:\0",
    "X: a\rb",
    "X: \u{fc}",
    "X-\u{fc}: y",
    "X: \x7f",
    "X\0: y",
    "(: y",
];

proptest! {
    /// Neither takes what the other refuses, and both take the same.
    #[test]
    fn two_parsers_never_disagree(
        line in select(LINES),
        headers in prop::collection::vec((select(HEADERS), select(&["\r\n", "\r\n", "\r\n", "\n", "\r"][..])), 0..6),
        end in select(&["\r\n", "\r\n", "\n", "\r", ""][..]),
        before in select(&["", "", "\r\n", "\n", " "][..]),
    ) {
        let mut text = format!("{before}{line}{end}");
        for (header, end) in &headers {
            text += &format!("{header}{end}");
        }
        text += end;
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (ours, hypers) = runtime.block_on(async {
            (read_by_us(text.as_bytes()).await, read_by_hyper(text.as_bytes()).await)
        });
        prop_assert_eq!(ours.is_some(), hypers.is_some(), "{:?}", text);
        if let (Some(ours), Some(hypers)) = (ours, hypers) {
            prop_assert_eq!(ours.method, hypers.method);
            prop_assert_eq!(ours.uri, hypers.uri);
            prop_assert_eq!(ours.version, hypers.version);
            prop_assert_eq!(ours.headers, hypers.headers, "{:?}", text);
        }
    }
}
