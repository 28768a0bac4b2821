//! How a client gets to its server, what it says in its request, and where it follows.

mod credentials;
mod over;
mod proxies;
mod redirects;
mod request;
mod route;
mod socks;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use crate::http::{answer_101, listener, read_head};
use crate::support::{Finished, Tcp, frame_bytes};

/// An answer of 101, the message `hello` and a Close 1000.
const OPEN: &str = "";

/// Asserts that a client has had its message and a clean end.
#[track_caller]
fn assert_greeted(done: &Finished) {
    let seen = (done.status, done.text());
    assert_eq!(seen, (0, "hello\n"), "{}", done.stderr);
}

/// Does what a server does on a stream: answers a request so; returns the request.
fn answer(stream: &mut TcpStream, answer: &str) -> String {
    let request = read_head(stream);
    let mut bytes = answer.as_bytes().to_vec();
    if answer == OPEN {
        bytes = answer_101(&request, "").into_bytes();
        bytes.extend(frame_bytes(0x81, b"hello", false));
        bytes.extend(frame_bytes(0x88, &1000u16.to_be_bytes(), false));
    }
    stream.write_all(&bytes).unwrap();
    // A reset would destroy the answer; the client may be gone as soon as it has it.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
    request
}

/// A server that gives one answer to each connection, and what it was asked.
fn server(answers: Vec<String>) -> (u16, JoinHandle<Vec<String>>) {
    let (listener, port) = listener();
    let server = serving(listener, answers);
    (port, server)
}

fn serving(listener: TcpListener, answers: Vec<String>) -> JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let each = answers.iter();
        each.map(|words| answer(&mut Tcp::accept(&listener).0, words))
            .collect()
    })
}

/// A server that opens one WebSocket.
fn opening() -> (u16, JoinHandle<Vec<String>>) {
    server(vec![OPEN.to_owned()])
}

/// Does on one connection what a script says.
fn scripted<T: Send + 'static>(
    script: impl FnOnce(&mut TcpStream) -> T + Send + 'static,
) -> (u16, JoinHandle<T>) {
    let (listener, port) = listener();
    let server = thread::spawn(move || script(&mut Tcp::accept(&listener).0));
    (port, server)
}

/// Listens where nobody may call; fails when somebody has.
#[track_caller]
fn assert_uncalled(listener: &TcpListener) {
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody called");
}
