//! Raw peers over plain sockets: a WebSocket of either role that sends any bytes, and TCP that sees how it was ended.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::PATIENCE;

/// A port that nobody has, below those that the system gives out by itself: nobody else gets it.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    let lowest = first.saturating_sub(12_000).max(1024);
    // Each run begins elsewhere.
    let offset = (std::process::id() % 100 * 100) as u16;
    loop {
        let at = GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(at < 2000, "no free port");
        // Where it gives out all, one of them is as good as can be had.
        let port = match first.saturating_sub(lowest) {
            0 => 0,
            count => lowest + (offset + at) % count,
        };
        if let Ok(listener) = TcpListener::bind(("0.0.0.0", port)) {
            return listener.local_addr().unwrap().port();
        }
    }
}

/// What a raw WebSocket sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    /// A frame that is not the last of its message, or not its first: fin, opcode, payload.
    Piece(bool, u8, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Code (1005 where there was none) and reason.
    Close(u16, String),
    /// The connection ended without more.
    Eof,
    Reset,
}

impl Frame {
    pub fn text(text: &str) -> Frame {
        Frame::Text(text.as_bytes().to_vec())
    }
}

/// A raw WebSocket of either role.
pub struct Ws {
    pub stream: TcpStream,
    masks: bool,
    pending: Vec<u8>,
    /// The head of the HTTP message that opened it.
    pub head: String,
}

/// A frame as bytes: the first byte as given, the shortest length, masked where a client sends it.
pub fn frame_bytes(first: u8, payload: &[u8], masks: bool) -> Vec<u8> {
    let mut bytes = vec![first];
    let mask_bit = if masks { 0x80 } else { 0 };
    match payload.len() {
        len @ ..=125 => bytes.push(mask_bit | len as u8),
        len @ 126..=65535 => {
            bytes.push(mask_bit | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(mask_bit | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    if masks {
        let key = [0x12, 0x34, 0x56, 0x78];
        bytes.extend_from_slice(&key);
        bytes.extend(
            payload
                .iter()
                .zip(key.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
    } else {
        bytes.extend_from_slice(payload);
    }
    bytes
}

/// The payload of a Close frame.
pub fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    payload
}

fn connect(port: u16) -> TcpStream {
    connect_from([127, 0, 0, 1], port)
}

/// Connects from an address of this machine: all of 127.0.0.0/8 are.
pub fn connect_from(from: [u8; 4], port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads up to the empty line of a head; what follows it is returned too.
fn read_head(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut buf = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return (String::from_utf8(bytes).unwrap(), rest);
        }
        match stream.read(&mut buf) {
            Ok(0) | Err(_) => return (String::from_utf8_lossy(&bytes).into_owned(), Vec::new()),
            Ok(count) => bytes.extend_from_slice(&buf[..count]),
        }
    }
}

impl Ws {
    /// Opens a WebSocket as a client.
    #[track_caller]
    pub fn connect(port: u16) -> Ws {
        let ws = Ws::ask(port, "/", &[]);
        assert!(
            ws.head.starts_with("HTTP/1.1 101 "),
            "no upgrade: {}",
            ws.head
        );
        ws
    }

    /// Asks for an upgrade with further headers, whatever the answer. A header named `host` replaces ours.
    pub fn ask(port: u16, target: &str, headers: &[(&str, &str)]) -> Ws {
        Ws::ask_over(connect(port), target, headers)
    }

    /// Asks for an upgrade from another address of this machine.
    pub fn ask_from(addr: &str, port: u16, target: &str) -> Ws {
        let from: Ipv4Addr = addr.parse().unwrap();
        Ws::ask_over(connect_from(from.octets(), port), target, &[])
    }

    /// The same over a connection that is open already.
    pub fn ask_over(mut stream: TcpStream, target: &str, headers: &[(&str, &str)]) -> Ws {
        let port = stream.peer_addr().unwrap().port();
        let own_host = format!("127.0.0.1:{port}");
        let host = headers
            .iter()
            .find(|(name, _)| *name == "host")
            .map_or(own_host.as_str(), |(_, host)| host);
        let mut request = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
            request += &format!("{name}: {value}\r\n");
        }
        // Who is refused at once is answered all the same.
        let _ = stream.write_all(format!("{request}\r\n").as_bytes());
        let (head, pending) = read_head(&mut stream);
        Ws {
            stream,
            masks: true,
            pending,
            head,
        }
    }

    /// Accepts a client and answers 101.
    #[track_caller]
    pub fn accept(listener: &TcpListener) -> Ws {
        Ws::accept_with(listener, &[])
    }

    /// Accepts a client and answers 101 with `glued` bytes behind it in the same write.
    #[track_caller]
    pub fn accept_with(listener: &TcpListener, glued: &[u8]) -> Ws {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let (head, pending) = read_head(&mut stream);
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let key = lines
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
            .unwrap()
            .1;
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes();
        answer.extend_from_slice(glued);
        stream.write_all(&answer).unwrap();
        Ws {
            stream,
            masks: false,
            pending,
            head,
        }
    }

    /// Sends a frame with this first byte (fin, reserved bits, opcode).
    #[track_caller]
    pub fn frame(&mut self, first: u8, payload: &[u8]) -> &mut Ws {
        let bytes = frame_bytes(first, payload, self.masks);
        self.raw(&bytes)
    }

    /// Sends any bytes.
    #[track_caller]
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Ws {
        self.stream.write_all(bytes).unwrap();
        self
    }

    #[track_caller]
    pub fn text(&mut self, text: &str) -> &mut Ws {
        self.frame(0x81, text.as_bytes())
    }

    #[track_caller]
    pub fn binary(&mut self, bytes: &[u8]) -> &mut Ws {
        self.frame(0x82, bytes)
    }

    #[track_caller]
    pub fn close(&mut self, code: u16, reason: &str) -> &mut Ws {
        self.frame(0x88, &close_frame(code, reason))
    }

    /// Ends the TCP connection without a Close frame.
    pub fn fin(&mut self) -> &mut Ws {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Resets the TCP connection.
    pub fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    /// The next frame, or how the connection ended.
    #[track_caller]
    pub fn next(&mut self) -> Frame {
        let Some(head) = self.take(2) else {
            return self.end();
        };
        let (first, second) = (head[0], head[1]);
        assert_eq!(
            second & 0x80 != 0,
            !self.masks,
            "a client masks and a server does not"
        );
        let extended = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(extended) = self.take(extended) else {
            return self.end();
        };
        let len = if extended.is_empty() {
            usize::from(second & 0x7F)
        } else {
            extended
                .iter()
                .fold(0, |len, byte| (len << 8) | usize::from(*byte))
        };
        let Some(key) = self.take(if self.masks { 0 } else { 4 }) else {
            return self.end();
        };
        let Some(mut payload) = self.take(len) else {
            return self.end();
        };
        for (byte, mask) in payload.iter_mut().zip(key.iter().cycle()) {
            *byte ^= mask;
        }
        match first {
            0x81 => Frame::Text(payload),
            0x82 => Frame::Binary(payload),
            0x88 if payload.is_empty() => Frame::Close(1005, String::new()),
            0x88 => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                Frame::Close(code, String::from_utf8(payload.split_off(2)).unwrap())
            }
            0x89 => Frame::Ping(payload),
            0x8A => Frame::Pong(payload),
            other => Frame::Piece(other & 0x80 != 0, other & 0x0F, payload),
        }
    }

    /// The next frame that is no ping: of much that it is sent each MiB is followed by one.
    #[track_caller]
    pub fn heard(&mut self) -> Frame {
        loop {
            match self.next() {
                Frame::Ping(_) => {}
                frame => return frame,
            }
        }
    }

    /// Whole messages put together of their frames, up to the Close or the end of the connection, which is last.
    #[track_caller]
    pub fn messages(&mut self) -> (Vec<Frame>, Frame) {
        let mut messages = Vec::new();
        let mut begun: Option<(u8, Vec<u8>)> = None;
        loop {
            match self.next() {
                Frame::Piece(fin, opcode, payload) => {
                    let (kind, mut bytes) = begun.take().unwrap_or((opcode, Vec::new()));
                    bytes.extend_from_slice(&payload);
                    match (fin, kind) {
                        (true, 1) => messages.push(Frame::Text(bytes)),
                        (true, _) => messages.push(Frame::Binary(bytes)),
                        (false, _) => begun = Some((kind, bytes)),
                    }
                }
                data @ (Frame::Text(_) | Frame::Binary(_)) => messages.push(data),
                Frame::Ping(_) | Frame::Pong(_) => {}
                end => return (messages, end),
            }
        }
    }

    /// All payload bytes up to the Close or the end of the connection.
    #[track_caller]
    pub fn bytes(&mut self) -> (Vec<u8>, Frame) {
        let (messages, end) = self.messages();
        let mut bytes = Vec::new();
        for message in messages {
            match message {
                Frame::Text(payload) | Frame::Binary(payload) => bytes.extend(payload),
                _ => unreachable!(),
            }
        }
        (bytes, end)
    }

    /// Answers a Close and ends the connection as a well-behaved peer does.
    #[track_caller]
    pub fn answer_close(&mut self, code: u16) {
        self.frame(0x88, &code.to_be_bytes());
        // The other side may have ended it first.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut buf = vec![0; 65536];
        while self.pending.len() < count {
            match self.stream.read(&mut buf) {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.pending.extend_from_slice(&buf[..read]),
            }
        }
        let rest = self.pending.split_off(count);
        Some(std::mem::replace(&mut self.pending, rest))
    }

    #[track_caller]
    fn end(&mut self) -> Frame {
        assert!(
            self.pending.is_empty(),
            "it ended within a frame: {:?}",
            self.pending
        );
        match self.stream.read(&mut [0; 1]) {
            Ok(0) => Frame::Eof,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Frame::Reset,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                panic!("nothing came within {PATIENCE:?}")
            }
            // The kernel tells of a reset once; after it there is only an end.
            Err(_) => Frame::Reset,
            Ok(_) => unreachable!(),
        }
    }
}

/// How a TCP connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpEnd {
    Eof,
    Reset,
}

/// A plain TCP peer.
pub struct Tcp(pub TcpStream);

impl Tcp {
    #[track_caller]
    pub fn connect(port: u16) -> Tcp {
        Tcp(connect(port))
    }

    #[track_caller]
    pub fn accept(listener: &TcpListener) -> Tcp {
        let deadline = Instant::now() + PATIENCE;
        listener.set_nonblocking(true).unwrap();
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.set_write_timeout(Some(PATIENCE)).unwrap();
                    listener.set_nonblocking(false).unwrap();
                    return Tcp(stream);
                }
                Err(_) => {
                    assert!(Instant::now() < deadline, "nobody connects");
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Tcp {
        self.0.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Ends our direction, unless the other side has gone meanwhile.
    pub fn fin(&mut self) -> &mut Tcp {
        match self.0.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            done => done.unwrap(),
        }
        self
    }

    pub fn reset(self) {
        SockRef::from(&self.0)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    /// Reads exactly so many bytes.
    #[track_caller]
    pub fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads to the end.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, TcpEnd) {
        let mut bytes = Vec::new();
        let mut buf = vec![0; 65536];
        loop {
            match self.0.read(&mut buf) {
                Ok(0) => return (bytes, TcpEnd::Eof),
                Ok(count) => bytes.extend_from_slice(&buf[..count]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return (bytes, TcpEnd::Reset);
                }
                Err(error) => panic!("{error} after {} bytes", bytes.len()),
            }
        }
    }
}
