//! Servers that give no WebSocket: what they answer instead, and what they are.

use std::io::Write;

use super::{filled, judged, peer, run_line};
use crate::http::{answer_101, read_head};
use crate::support::Tcp;

/// Flags, what the server says to the request, the exit status, and what stands behind the address on stderr.
const ANSWERS: &[(&str, &str, i32, &str)] = &[
    (
        "",
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        22,
        "HTTP 400 Bad Request",
    ),
    (
        "",
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 8\r\n\r\nwho? me\n",
        22,
        "HTTP 401 Unauthorized
  who? me
  it asks who we are: --user NAME:PASSWORD or --bearer TOKEN tells it",
    ),
    (
        "",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nbad origin",
        22,
        "HTTP 403 Forbidden
  bad origin",
    ),
    (
        "",
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 40\r\n\r\n<html><h1>Nothing here</h1>\n<!-- --></ht",
        22,
        "HTTP 404 Not Found
  Nothing here",
    ),
    (
        "",
        "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n",
        22,
        "HTTP 426 Upgrade Required",
    ),
    (
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nWelcome",
        22,
        "HTTP 200 OK
  Welcome
  it has a page and no WebSocket here: another path may have one",
    ),
    (
        "",
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 18\r\n\r\nconnection refused",
        22,
        "HTTP 502 Bad Gateway
  connection refused",
    ),
    (
        "",
        "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        22,
        "HTTP 302 Found
  it says to go to /elsewhere: --follow does so",
    ),
    (
        "--follow ",
        "HTTP/1.1 302 Found\r\nLocation: ftp://h/\r\nContent-Length: 0\r\n\r\n",
        47,
        "HTTP 302 Found leads to ftp://h/: ftp: is no scheme of WebSockets",
    ),
    (
        "",
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 120\r\nContent-Length: 5\r\n\r\nlater",
        22,
        "HTTP 503 Service Unavailable
  later
  it asks to come again in 120s (Retry-After)",
    ),
    // A no whose head is malformed is a no.
    (
        "",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        22,
        "HTTP 403 Forbidden, and the rest of its head is malformed: invalid content-length parsed",
    ),
    (
        "",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: -1\r\n\r\n",
        22,
        "HTTP 404 Not Found, and the rest of its head is malformed: invalid content-length parsed",
    ),
    // No HTTP.
    (
        "",
        "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        8,
        "the answer is no HTTP, it begins 'SSH-2.0-OpenSSH_9.2p1 Debian-2'",
    ),
    (
        "",
        "220 mail.example.com ESMTP\r\n",
        8,
        "the answer is no HTTP, it begins '220 mail.example.com ESMTP'",
    ),
    (
        "",
        "\x15\x03\x01\x00\x02\x02\x46",
        8,
        "the server speaks TLS and no HTTP: try wss://",
    ),
    (
        "",
        "",
        7,
        "the server closed the connection without an answer",
    ),
    (
        "",
        "HTTP/1.1 101 Swit",
        7,
        "the server closed the connection without an answer",
    ),
    // 101, but not as RFC 6455 wants it.
    (
        "",
        "HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        8,
        "the answer of 101 is of HTTP/1.0, not HTTP/1.1",
    ),
    (
        "",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade websocket\r\n\r\n",
        8,
        "the head of the answer is malformed",
    ),
    (
        "",
        "101 Content-Length: 5",
        8,
        "the answer of 101 has a body",
    ),
    (
        "",
        "101 Transfer-Encoding: chunked",
        8,
        "the answer of 101 has a body",
    ),
    (
        "--protocol chat ",
        "101 Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat",
        8,
        "the answer has two headers Sec-WebSocket-Protocol",
    ),
    (
        "",
        "101 X: y\r\nSec-WebSocket-Accept: wrong",
        8,
        "the answer has two headers Sec-WebSocket-Accept",
    ),
    (
        "",
        "101 Sec-WebSocket-Accept: wrong",
        8,
        "the answer's Sec-WebSocket-Accept is not the one for our key",
    ),
    (
        "",
        "101 Upgrade: h2c",
        8,
        "the answer's Upgrade header is not 'websocket'",
    ),
    (
        "",
        "101 Connection: close",
        8,
        "the answer's Connection header does not say 'upgrade'",
    ),
    (
        "",
        "101 Sec-WebSocket-Protocol: chat",
        8,
        "the server chose a subprotocol that was not offered: chat",
    ),
    (
        "--protocol mqtt ",
        "101 Sec-WebSocket-Protocol: chat",
        8,
        "the server chose a subprotocol that was not offered: chat",
    ),
    (
        "",
        "101 Sec-WebSocket-Extensions: permessage-deflate",
        8,
        "the server uses an extension that was not offered: permessage-deflate",
    ),
];

/// An answer as it is, or one of 101 in which a header is another.
fn answer(request: &str, words: &str) -> String {
    let Some((name, value)) = words
        .strip_prefix("101 ")
        .and_then(|words| words.split_once(": "))
    else {
        return words.to_owned();
    };
    let right = answer_101(request, "");
    let kept = right
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(&format!("{name}:")));
    let lines: Vec<_> = kept.collect();
    format!("{}\r\n{name}: {value}\r\n\r\n", lines.join("\r\n"))
}

#[test]
fn an_answer_that_is_no_upgrade_is_told() {
    let mut wrong = Vec::new();
    for (flags, words, status, expected) in ANSWERS {
        let (port, server) = peer(move |caller| {
            let request = read_head(&mut caller.0);
            // One that has seen enough is gone.
            let _ = caller.0.write_all(answer(&request, words).as_bytes());
            caller.fin().rest();
        });
        let parts = [("{port}", port.as_str())];
        let line = format!("{flags}ws://127.0.0.1:{{port}}/chat");
        let done = run_line(&line, &parts, "");
        server.join().unwrap();
        let expected = format!("connecting to ws://127.0.0.1:{{port}}/chat: {expected}");
        wrong.extend(judged(&line, &done, *status, &filled(&expected, &parts)));
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// A flag, and what a server that never says a word is called.
const SILENCE: &[(&str, &str)] = &[
    (
        "--handshake-timeout 100ms ws://127.0.0.1:{port}/",
        "connecting to ws://127.0.0.1:{port}/: no answer to the handshake within 100ms",
    ),
    (
        "--handshake-timeout 100ms wss://127.0.0.1:{port}/",
        "connecting to wss://127.0.0.1:{port}/: no TLS handshake within 100ms",
    ),
    (
        "--connect-timeout 100ms tcp:h:1 --proxy http://127.0.0.1:{port}",
        "connecting to tcp:h:1: through the proxy http://127.0.0.1:{port}: no answer within 100ms",
    ),
    (
        "--max-time 100ms ws://127.0.0.1:{port}/",
        "ws://127.0.0.1:{port}/: not open before --max-time",
    ),
];

#[test]
fn a_server_that_is_silent_is_given_up() {
    let mut wrong = Vec::new();
    for (line, expected) in SILENCE {
        let (port, server) = peer(|caller| drop(Tcp::rest(caller)));
        let parts = [("{port}", port.as_str())];
        let done = run_line(line, &parts, "");
        server.join().unwrap();
        wrong.extend(judged(line, &done, 28, &filled(expected, &parts)));
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}
