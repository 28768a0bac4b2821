//! How sessions end: all that was sent arrived, the other side saw the right end, and the exit status is the one of the
//! contract (design section 6). Tables where one side ends in many ways; a test for each way in which both have a part.

mod answers;
mod bytes;
mod cuts;
mod deadlines;
mod directions;
mod gone_callers;
mod half_close;
mod model;
mod opening;
mod pipes;
mod signals;
mod slow_readers;
mod websockets;

use std::fmt::Debug;
use std::io::Read;
use std::net::TcpListener;
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use socket2::SockRef;

use crate::support::{Bridge, Frame, PATIENCE, Running, Tcp, Ws, spawn};

/// A listener for a raw peer, and its port. Nobody waits for ever at it.
fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Linux lets it end an accept too (socket(7)).
    SockRef::from(&listener)
        .set_read_timeout(Some(PATIENCE))
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A bridge for one session: its exit status is that of the session.
#[track_caller]
fn once(left: &str, right: &str, flags: &[&str]) -> Bridge {
    Bridge::start(&[&["--once", left, right], flags].concat())
}

/// A WebSocket client, the bridge `ws-l:0 tcp:PORT`, and its TCP backend.
#[track_caller]
fn ws_to_tcp(flags: &[&str]) -> (Bridge, Ws, Tcp) {
    let (listener, port) = listener();
    let bridge = once("ws-l:0", &format!("tcp:127.0.0.1:{port}"), flags);
    let client = bridge.client();
    let backend = Tcp::accept(&listener);
    (bridge, client, backend)
}

/// A TCP client, the bridge `tcp-l:0 ws://PORT`, and its WebSocket server.
#[track_caller]
fn tcp_to_ws(flags: &[&str]) -> (Bridge, Tcp, Ws) {
    let (listener, port) = listener();
    let bridge = once("tcp-l:0", &format!("ws://127.0.0.1:{port}"), flags);
    let client = Tcp::connect(bridge.port);
    let server = Ws::accept(&listener);
    (bridge, client, server)
}

/// A TCP client, the bridge `tcp-l:0 tcp:PORT`, and its TCP backend.
#[track_caller]
fn tcp_to_tcp(flags: &[&str]) -> (Bridge, Tcp, Tcp) {
    let (listener, port) = listener();
    let bridge = once("tcp-l:0", &format!("tcp:127.0.0.1:{port}"), flags);
    let client = Tcp::connect(bridge.port);
    let backend = Tcp::accept(&listener);
    (bridge, client, backend)
}

/// A WebSocket client, the bridge `ws-l:0 ws://PORT`, and its WebSocket server.
#[track_caller]
fn ws_to_ws(flags: &[&str]) -> (Bridge, Ws, Ws) {
    let (listener, port) = listener();
    let bridge = once("ws-l:0", &format!("ws://127.0.0.1:{port}"), flags);
    let bridge_port = bridge.port;
    // It is answered only when the server has answered.
    let client = thread::spawn(move || Ws::connect(bridge_port));
    let server = Ws::accept(&listener);
    (bridge, client.join().unwrap(), server)
}

/// Two bridges in a row, each for one session: `tcp-l:0 ws://` and `ws-l:0 tcp:`; a TCP peer at either end.
struct Row {
    near: Bridge,
    far: Bridge,
    client: Tcp,
    backend: Tcp,
}

#[track_caller]
fn tcp_to_ws_to_tcp(flags: &[&str]) -> Row {
    let (listener, port) = listener();
    let far = once("ws-l:0", &format!("tcp:127.0.0.1:{port}"), flags);
    let near = once("tcp-l:0", &far.url(), flags);
    let client = Tcp::connect(near.port);
    let backend = Tcp::accept(&listener);
    Row {
        near,
        far,
        client,
        backend,
    }
}

/// `wsbridge FLAGS ws://PORT` with pipes, and its WebSocket server.
#[track_caller]
fn stdio_to_ws(flags: &[&str]) -> (Running, Ws) {
    let (listener, port) = listener();
    let url = format!("ws://127.0.0.1:{port}");
    let running = spawn(&[flags, &[&url]].concat());
    let server = Ws::accept(&listener);
    (running, server)
}

/// What a program prints, as it comes.
struct Output {
    chunks: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Output {
    fn of(mut stdout: ChildStdout) -> Output {
        let (sender, chunks) = channel();
        thread::spawn(move || {
            let mut buf = vec![0; 65536];
            while let Ok(count @ 1..) = stdout.read(&mut buf) {
                // The test may have seen enough.
                let _ = sender.send(buf[..count].to_vec());
            }
        });
        Output {
            chunks,
            seen: Vec::new(),
        }
    }

    /// Exactly so many bytes.
    #[track_caller]
    fn read(&mut self, count: usize) -> Vec<u8> {
        while self.seen.len() < count {
            let chunk = self.chunks.recv_timeout(PATIENCE);
            self.seen.extend(chunk.expect("stdout has that many bytes"));
        }
        let rest = self.seen.split_off(count);
        std::mem::replace(&mut self.seen, rest)
    }

    /// All to the end.
    fn rest(mut self) -> Vec<u8> {
        while let Ok(chunk) = self.chunks.recv_timeout(PATIENCE) {
            self.seen.extend(chunk);
        }
        self.seen
    }
}

/// Exactly so many bytes of payload from a WebSocket, wherever its frames end.
#[track_caller]
fn payload(ws: &mut Ws, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        match ws.next() {
            Frame::Binary(payload) | Frame::Text(payload) | Frame::Piece(_, _, payload) => {
                bytes.extend(payload);
            }
            Frame::Ping(_) | Frame::Pong(_) => {}
            end => panic!("{end:?} after {} of {count} bytes", bytes.len()),
        }
    }
    assert_eq!(bytes.len(), count);
    bytes
}

/// The code of the Close that is next.
#[track_caller]
fn close_code(ws: &mut Ws) -> u16 {
    match ws.next() {
        Frame::Close(code, _) => code,
        other => panic!("{other:?} instead of a Close"),
    }
}

/// The exit status of a bridge for one session.
#[track_caller]
fn status(mut bridge: Bridge) -> i32 {
    bridge.running.wait()
}

/// Runs a scenario for each row of a table, all at the same time, and names the rows that fail.
#[track_caller]
fn each<T: Sync + Debug>(table: &[T], scenario: impl Fn(&T) + Sync) {
    let scenario = &scenario;
    let failed: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = table
            .iter()
            .map(|row| (row, scope.spawn(move || scenario(row))))
            .collect();
        running
            .into_iter()
            .filter_map(|(row, thread)| {
                let panic = thread.join().err()?;
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied());
                Some(format!("{row:?}\n    {}", text.unwrap_or("?")))
            })
            .collect()
    });
    assert!(
        failed.is_empty(),
        "{} of {} rows fail:\n{}",
        failed.len(),
        table.len(),
        failed.join("\n")
    );
}

/// Bytes in which every place is known by its content.
fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8)
        .collect()
}

/// Compares long bytes without printing them.
#[track_caller]
fn assert_same(seen: &[u8], sent: &[u8]) {
    if seen != sent {
        let same = seen.iter().zip(sent).take_while(|(a, b)| a == b).count();
        panic!(
            "{} bytes arrived of {}, the first {same} as they were sent",
            seen.len(),
            sent.len()
        );
    }
}
