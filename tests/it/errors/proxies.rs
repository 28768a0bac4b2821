//! Proxies that do not lead on.

use std::io::{Read, Write};

use super::{filled, judged, peer, run_line};
use crate::http::read_head;

/// What a proxy answers to CONNECT, and how it is told.
const CONNECTS: &[(&str, i32, &str)] = &[
    (
        "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        97,
        "HTTP 407 Proxy Authentication Required
  it asks who we are: --proxy http://NAME:PASSWORD@HOST:PORT tells it",
    ),
    (
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 12\r\n\r\nnot that one",
        97,
        "HTTP 403 Forbidden
  not that one",
    ),
    (
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        97,
        "HTTP 502 Bad Gateway",
    ),
    (
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        97,
        "the answer is no HTTP, it begins 'SSH-2.0-OpenSSH_9.2p1'",
    ),
    ("", 97, "it closed the connection without an answer"),
];

#[test]
fn a_proxy_that_refuses_is_told() {
    let mut wrong = Vec::new();
    for (answer, status, expected) in CONNECTS {
        let (port, proxy) = peer(move |caller| {
            read_head(&mut caller.0);
            caller.send(answer).fin().rest();
        });
        let parts = [("{port}", port.as_str())];
        let line = "ws://h.test/ --proxy http://me:hush@127.0.0.1:{port}";
        let done = run_line(line, &parts, "");
        proxy.join().unwrap();
        let expected = format!(
            "connecting to ws://h.test/: through the proxy http://127.0.0.1:{{port}}: {expected}"
        );
        wrong.extend(judged(line, &done, *status, &filled(&expected, &parts)));
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// What a SOCKS proxy answers to the greeting and to what is asked for, and how it is told (RFC 1928).
const SOCKS: &[(&[u8], &[u8], &str)] = &[
    (
        b"\x05\xff",
        b"",
        "refused: it wants a user and a password, --proxy socks5h://NAME:PASSWORD@HOST",
    ),
    (
        b"\x05\x00",
        b"\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00",
        "refused: not allowed by its rules",
    ),
    (
        b"\x05\x00",
        b"\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00",
        "refused: host unreachable",
    ),
    (
        b"\x05\x00",
        b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00",
        "refused: connection refused",
    ),
    (b"HT", b"", "its answer is no SOCKS 5: version 72"),
];

#[test]
fn a_socks_proxy_that_refuses_is_told() {
    let mut wrong = Vec::new();
    for (greeting, answer, expected) in SOCKS {
        let (port, proxy) = peer(move |caller| {
            caller.0.read_exact(&mut [0; 3]).unwrap();
            caller.send(greeting);
            if !answer.is_empty() {
                caller.0.read_exact(&mut [0; 13]).unwrap();
                caller.0.write_all(answer).unwrap();
            }
            caller.fin().rest();
        });
        let parts = [("{port}", port.as_str())];
        let line = "ws://h.test/ --proxy socks5h://127.0.0.1:{port}";
        let done = run_line(line, &parts, "");
        proxy.join().unwrap();
        let expected = format!(
            "connecting to ws://h.test/: through the proxy socks5h://127.0.0.1:{{port}}: {expected}"
        );
        wrong.extend(judged(line, &done, 97, &filled(&expected, &parts)));
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}
