//! What a peer can make the bridge hold: callers, descriptors, memory. Nothing grows with what is claimed, sent or not read.

mod addresses;
mod admission;
mod claims;
mod floods;
mod handshakes;
mod memory;
mod pings;
mod seats;
mod stalls;
mod streams;

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const MIB: u64 = 1 << 20;

/// Allows this test program itself as many descriptors as it may have.
fn raise_own_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// One that writes without an end: what it still has to write of its current piece, and how much it has written.
struct Flood {
    stream: TcpStream,
    piece: Vec<u8>,
    at: usize,
    written: u64,
}

impl Flood {
    fn new(stream: TcpStream, piece: Vec<u8>) -> Flood {
        stream.set_nonblocking(true).unwrap();
        Flood {
            stream,
            piece,
            at: 0,
            written: 0,
        }
    }

    /// Writes until it would block; whether anything was taken.
    fn push(&mut self, limit: u64) -> bool {
        let before = self.written;
        while self.written < limit {
            match self.stream.write(&self.piece[self.at..]) {
                Ok(count) => {
                    self.at = (self.at + count) % self.piece.len();
                    self.written += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error} after {} bytes", self.written),
            }
        }
        self.written > before
    }

    /// Writes the rest of the current piece and goes back to blocking writes.
    fn finish(mut self) -> (TcpStream, u64) {
        self.stream.set_nonblocking(false).unwrap();
        if self.at > 0 {
            self.stream.write_all(&self.piece[self.at..]).unwrap();
            self.written += (self.piece.len() - self.at) as u64;
        }
        (self.stream, self.written)
    }
}

/// What one stalled connection may lie in the kernel's buffers and ours, at most.
const STALLED: u64 = 64 * MIB;

/// Floods all of them until none has taken anything for a second: the sources are stopped.
#[track_caller]
fn flood(floods: &mut [Flood]) {
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < Duration::from_secs(1) {
        let mut moved = false;
        for flood in floods.iter_mut() {
            moved |= flood.push(STALLED);
            assert!(flood.written < STALLED, "its source is not stopped");
        }
        if moved {
            quiet_since = Instant::now();
        } else {
            thread::sleep(Duration::from_millis(5));
        }
    }
}
