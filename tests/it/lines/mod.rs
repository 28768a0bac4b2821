//! Lines and messages: what goes in comes out unchanged, by stdin and stdout, TCP and between two WebSockets.

mod chunks;
mod framings;
mod linger;
mod literal;
mod random;
mod relay;
mod send;
mod stdin;
mod strict;
mod tcp;
mod utf8;

use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use crate::support::{Bridge, Finished, Frame, Tcp, Ws, frame_bytes, run};

pub fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A WebSocket server for one client that does as told; its URL.
pub fn server<T: Send + 'static>(
    does: impl FnOnce(&mut Ws) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let (listener, port) = listener();
    let server = thread::spawn(move || does(&mut Ws::accept(&listener)));
    (format!("ws://127.0.0.1:{port}"), server)
}

/// What a server is sent by a client with this input, up to its Close, and what the client left.
#[track_caller]
fn sent(words: &[&str], input: impl AsRef<[u8]>) -> (Vec<Frame>, Frame, Finished) {
    let (url, server) = server(|ws| {
        let (messages, end) = ws.messages();
        if let Frame::Close(code, _) = end {
            ws.answer_close(code);
        }
        (messages, end)
    });
    let words: Vec<_> = words
        .iter()
        .copied()
        .chain(["--linger", "0", "-", &url])
        .collect();
    let done = run(&words, input);
    let (messages, end) = server.join().unwrap();
    (messages, end, done)
}

/// What a client prints that is sent these frames and a Close 1000.
#[track_caller]
fn printed(words: &[&str], frames: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (first, payload) in frames {
        bytes.extend(frame_bytes(*first, payload, false));
    }
    let (url, server) = server(move |ws| {
        ws.raw(&bytes).close(1000, "");
        ws.messages()
    });
    let words: Vec<_> = words.iter().copied().chain(["-", &url]).collect();
    let done = run(&words, "");
    server.join().unwrap();
    assert_eq!(done.status, 0, "{}", done.stderr);
    done.stdout
}

fn normal() -> Frame {
    Frame::Close(1000, String::new())
}

fn texts(lines: &[&str]) -> Vec<Frame> {
    lines.iter().map(|line| Frame::text(line)).collect()
}

/// A bridge from a raw WebSocket to a raw TCP peer.
fn ws_and_tcp(words: &[&str]) -> (Bridge, Ws, Tcp) {
    let (listener, port) = listener();
    let target = format!("tcp:127.0.0.1:{port}");
    let words: Vec<_> = words.iter().copied().chain(["ws-l:0", &target]).collect();
    let bridge = Bridge::start(&words);
    let ws = bridge.client();
    let tcp = Tcp::accept(&listener);
    (bridge, ws, tcp)
}

/// A bridge between a raw client and a raw server.
fn relay(words: &[&str]) -> (Bridge, Ws, Ws) {
    let (listener, port) = listener();
    let target = format!("ws://127.0.0.1:{port}");
    let words: Vec<_> = words.iter().copied().chain(["ws-l:0", &target]).collect();
    let bridge = Bridge::start(&words);
    let own = bridge.port;
    let asking = thread::spawn(move || Ws::connect(own));
    let right = Ws::accept(&listener);
    (bridge, asking.join().unwrap(), right)
}

/// The next message put together of its frames; control frames are kept for the caller.
#[track_caller]
pub fn whole(ws: &mut Ws) -> Frame {
    let mut begun: Option<(u8, Vec<u8>)> = None;
    loop {
        match ws.next() {
            Frame::Piece(fin, opcode, payload) => {
                assert_eq!(opcode == 0, begun.is_some(), "fragments in disorder");
                let (kind, mut bytes) = begun.take().unwrap_or((opcode, Vec::new()));
                bytes.extend(payload);
                match (fin, kind) {
                    (false, _) => begun = Some((kind, bytes)),
                    (true, 1) => return Frame::Text(bytes),
                    (true, _) => return Frame::Binary(bytes),
                }
            }
            Frame::Ping(_) | Frame::Pong(_) => {}
            other => {
                assert!(begun.is_none(), "{other:?} within a message");
                return other;
            }
        }
    }
}
