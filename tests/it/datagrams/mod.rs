//! Datagrams: each is a message, whole or not at all, whatever socket carries it.

mod packets;
mod udp;

use std::net::UdpSocket;

use crate::support::{Frame, PATIENCE, Ws};

/// A UDP socket of loopback; it is told nothing within the patience of the tests.
fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Payloads of mixed lengths, the shortest and the longest among them, each with bytes of its own.
fn mixed(count: usize, longest: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(move |i| {
        let len = match i % 10 {
            0 => 0,
            1 => longest,
            2 => 1 + i % 7,
            _ => (i * 7919) % (longest + 1),
        };
        (0..len).map(|at| (i + at / 3) as u8).collect()
    })
}

/// The next message put together of its frames.
#[track_caller]
fn message(ws: &mut Ws) -> Frame {
    let (mut kind, mut bytes) = (0, Vec::new());
    loop {
        match ws.next() {
            Frame::Piece(fin, opcode, payload) => {
                kind = kind.max(opcode);
                bytes.extend(payload);
                match (fin, kind) {
                    (false, _) => {}
                    (true, 1) => return Frame::Text(bytes),
                    (true, _) => return Frame::Binary(bytes),
                }
            }
            Frame::Ping(_) | Frame::Pong(_) => {}
            other => return other,
        }
    }
}
