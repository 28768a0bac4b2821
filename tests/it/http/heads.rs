//! The server's limits of a head: its size, the time it may take, and what is no HTTP at all.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::{answer, changed, echo, exchange, status, upgrade};
use crate::support::{Bridge, PATIENCE, Tcp};

#[test]
fn a_head_over_16_kib_or_100_headers_is_refused() {
    let bridge = echo();
    let port = bridge.port;
    let fits = "x".repeat(15 * 1024);
    assert_eq!(changed(port, &[("X-Long", &fits)]), 101);
    let long = "x".repeat(17 * 1024);
    assert_eq!(changed(port, &[("X-Long", &long)]), 431);
    assert_eq!(changed(port, &[("X-Long", &"x".repeat(1 << 20))]), 431);
    let bare = upgrade(port, "/", &[("X-Long", "x")]).len();
    let most = |room: usize| changed(port, &[("X-Long", &"x".repeat(room - bare + 1))]);
    assert_eq!((most(16 * 1024), most(16 * 1024 + 1)), (101, 431));
    let answered = status(port, upgrade(port, &format!("/{long}"), &[]));
    assert!([414, 431].contains(&answered), "{answered}");
    let many = |count: usize| {
        let added: Vec<_> = (0..count).map(|at| (format!("+X-{at}"), "1")).collect();
        let added: Vec<_> = added
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        changed(port, &added)
    };
    // Five are the upgrade's own.
    assert_eq!(many(95), 101);
    assert_eq!(many(96), 431);
    assert_eq!(many(1000), 431);
}

#[test]
fn a_head_that_never_ends_is_refused_before_its_end() {
    let bridge = echo();
    let mut tcp = Tcp::connect(bridge.port);
    tcp.send(format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n",
        bridge.port
    ));
    let flood = "X-Header: some value that goes on and on\r\n".repeat(500);
    let _ = tcp.0.write_all(flood.as_bytes());
    assert_eq!(answer(&mut tcp.0).unwrap().status, 431);
}

#[test]
fn a_half_sent_head_is_answered_at_the_deadline() {
    let bridge = Bridge::start(&["--handshake-timeout", "300ms", "ws-l:0", "echo:"]);
    let whole = upgrade(bridge.port, "/", &[]);
    for sent in [10, whole.len() / 2, whole.len() - 2] {
        let begun = Instant::now();
        let answer = exchange(bridge.port, &whole[..sent]).expect("no answer");
        assert_eq!(answer.status, 408, "{sent} bytes");
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }
    // One that says nothing gets no more time.
    let answer = exchange(bridge.port, "");
    assert!(answer.is_none_or(|answer| answer.status == 408));
    assert_eq!(changed(bridge.port, &[]), 101);
}

#[test]
fn a_head_that_trickles_in_has_no_more_time_than_another() {
    let bridge = Bridge::start(&["--handshake-timeout", "300ms", "ws-l:0", "echo:"]);
    let mut tcp = Tcp::connect(bridge.port);
    let head = upgrade(bridge.port, "/", &[("X-Long", &"x".repeat(4000))]);
    tcp.0
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let begun = Instant::now();
    let mut bytes = head.as_bytes().iter();
    let mut buf = [0; 1024];
    let got = loop {
        // The pause is the thing tested: a byte every 20 ms, 80 s for all of them.
        match tcp.0.read(&mut buf) {
            Ok(count) => break String::from_utf8_lossy(&buf[..count]).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break String::new(),
        }
        assert!(begun.elapsed() < PATIENCE, "it is still listened to");
        let _ = tcp.0.write_all(&[*bytes.next().unwrap()]);
    };
    assert!(got.is_empty() || got.starts_with("HTTP/1.1 408 "), "{got}");
}

#[test]
fn what_is_no_http_is_answered_400_or_ended() {
    let bridge = Bridge::start(&["--handshake-timeout", "300ms", "ws-l:0", "echo:"]);
    let noise: Vec<u8> = (0..4096u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\0\0\0\0",
        b"\r\n\r\n\r\n\r\n",
        b"hello\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        &noise,
        b"g",
    ] {
        let answer = exchange(bridge.port, garbage);
        let status = answer.as_ref().map(|answer| answer.status);
        // What could still become a request is waited for, and no longer than any other.
        let is_fine = status.is_none_or(|status| [400, 408, 426, 505].contains(&status));
        assert!(
            is_fine,
            "{:?}: {answer:?}",
            String::from_utf8_lossy(garbage)
        );
    }
    assert_eq!(changed(bridge.port, &[]), 101);
}
