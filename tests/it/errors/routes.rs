//! Places where nobody is, that nobody can reach, or where somebody is already.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;

use socket2::{Domain, SockAddr, Socket, Type};

use super::{Row, fail, unresolved};
use crate::support::free_port;

pub(super) const ROWS: &[Row] = &[
    (
        "tcp:127.0.0.1:{free}",
        7,
        "connecting to tcp:127.0.0.1:{free}: connection refused (127.0.0.1)",
    ),
    (
        "ws://127.0.0.1:{free}/chat?key=hush",
        7,
        "connecting to ws://127.0.0.1:{free}/chat: connection refused (127.0.0.1)",
    ),
    (
        "wss://me:hush@127.0.0.1:{free}/",
        7,
        "connecting to wss://127.0.0.1:{free}/: connection refused (127.0.0.1)",
    ),
    (
        "tls:127.0.0.1:{free}",
        7,
        "connecting to tls:127.0.0.1:{free}: connection refused (127.0.0.1)",
    ),
    (
        "ws-c:tcp:127.0.0.1:{free}",
        7,
        "connecting to ws-c:tcp:127.0.0.1:{free}: connection refused (127.0.0.1)",
    ),
    (
        "ws-c:tls:127.0.0.1:{free}",
        7,
        "connecting to ws-c:tls:127.0.0.1:{free}: connection refused (127.0.0.1)",
    ),
    (
        "udp:127.0.0.1:{free} literal:x",
        56,
        "udp:127.0.0.1:{free}: connection refused, nobody takes datagrams",
    ),
    (
        "tcp:nowhere.invalid:80",
        6,
        "connecting to tcp:nowhere.invalid:80: looking up 'nowhere.invalid': {unresolved}",
    ),
    (
        "ws://nowhere.invalid/",
        6,
        "connecting to ws://nowhere.invalid/: looking up 'nowhere.invalid': {unresolved}",
    ),
    (
        "ws-l:nowhere.invalid:80 echo:",
        6,
        "listening on ws-l:nowhere.invalid:80: looking up 'nowhere.invalid': {unresolved}",
    ),
    (
        "tcp:127.0.0.1:80 --proxy http://nowhere.invalid:1",
        5,
        "connecting to tcp:127.0.0.1:80: through the proxy http://nowhere.invalid:1: looking up 'nowhere.invalid': {unresolved}",
    ),
    (
        "tcp:127.0.0.1:80 --proxy http://127.0.0.1:{free}",
        7,
        "connecting to tcp:127.0.0.1:80: through the proxy http://127.0.0.1:{free}: connection refused (127.0.0.1)",
    ),
    (
        "--connect-timeout 100ms tcp:127.0.0.1:{full}",
        28,
        "connecting to tcp:127.0.0.1:{full}: no answer within 100ms",
    ),
    (
        "--connect-timeout 100ms unix:{busy}",
        28,
        "connecting to unix:{busy}: no answer within 100ms",
    ),
    (
        "ws-l:192.0.2.1:0 echo:",
        7,
        "listening on ws-l:192.0.2.1:0: cannot assign requested address; it is no address of this machine",
    ),
    (
        "ws-l:127.0.0.1:{taken} echo:",
        7,
        "listening on ws-l:127.0.0.1:{taken}: address already in use; port 0 is one that is free",
    ),
    (
        "tcp-l:127.0.0.1:{taken} echo:",
        7,
        "listening on tcp-l:127.0.0.1:{taken}: address already in use; port 0 is one that is free",
    ),
    (
        "udp-l:127.0.0.1:{bound} echo:",
        7,
        "listening on udp-l:127.0.0.1:{bound}: address already in use; port 0 is one that is free",
    ),
];

/// Takes no more callers: its queue has room for one, and that one is there.
fn full(domain: Domain, addr: &SockAddr) -> Socket {
    let socket = Socket::new(domain, Type::STREAM, None).unwrap();
    socket.bind(addr).unwrap();
    socket.listen(0).unwrap();
    socket
}

#[test]
fn a_place_that_can_not_be_had_is_named_with_the_reason() {
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let busy = folder.path().join("busy");
    let unix = full(Domain::UNIX, &SockAddr::unix(&busy).unwrap());
    let _first = UnixStream::connect(&busy).unwrap();
    let tcp = full(Domain::IPV4, &any.into());
    let addr = tcp.local_addr().unwrap();
    let callers: Vec<_> = std::iter::repeat_with(|| {
        let caller = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        caller.set_nonblocking(true).unwrap();
        // It waits for an answer; the last ones get none.
        let _ = caller.connect(&addr);
        caller
    })
    .take(4)
    .collect();
    let taken = TcpListener::bind(any).unwrap();
    let bound = UdpSocket::bind(any).unwrap();
    fail(
        ROWS,
        &[
            ("{free}", &free_port().to_string()),
            ("{full}", &addr.as_socket().unwrap().port().to_string()),
            ("{busy}", busy.to_str().unwrap()),
            ("{taken}", &taken.local_addr().unwrap().port().to_string()),
            ("{bound}", &bound.local_addr().unwrap().port().to_string()),
            ("{unresolved}", &unresolved()),
        ],
    );
    drop((unix, callers));
}
