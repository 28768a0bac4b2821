//! What a peer can make the bridge hold: callers, descriptors, memory. Nothing grows with what is claimed, sent or not read.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

use super::support::{
    Bridge, Frame, PATIENCE, Running, Tcp, TcpEnd, Ws, frame_bytes, spawn, spawn_under,
};

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

/// Asks for an upgrade; the status of the answer.
#[track_caller]
fn status(port: u16) -> String {
    let ws = Ws::ask(port, "/", &[]);
    ws.head.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Waits for something that has no event of its own.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the other side has ended the connection; what it says before is read.
#[track_caller]
fn wait_for_end(stream: &mut TcpStream) {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("it is still open: {error}"),
        }
    }
}

// ---- callers that never finish

#[track_caller]
fn half_sent_handshakes(words: &[&str], deadline: Duration) {
    raise_own_descriptors();
    let bridge = Bridge::start(words);
    let begun = Instant::now();
    let mut half: Vec<_> = (0..1000)
        .map(|at| {
            let mut tcp = Tcp::connect(bridge.port);
            let head = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n";
            // Cut at every place.
            tcp.send(&head[..1 + at % (head.len() - 1)]);
            if at % 100 == 0 {
                let mut ws = bridge.client();
                assert_eq!(ws.text("meanwhile").next(), Frame::text("meanwhile"));
            }
            tcp
        })
        .collect();
    let mut ws = bridge.client();
    assert_eq!(ws.text("after").next(), Frame::text("after"));
    for tcp in &mut half {
        wait_for_end(&mut tcp.0);
    }
    // The last ones can only have been ended by their deadline.
    assert!(begun.elapsed() >= deadline);
    assert!(begun.elapsed() < deadline + PATIENCE);
    assert_eq!(ws.text("still").next(), Frame::text("still"));
}

#[test]
fn a_thousand_half_sent_handshakes_keep_nobody_out_and_are_ended() {
    half_sent_handshakes(
        &["--handshake-timeout", "2s", "ws-l:0", "echo:"],
        Duration::from_secs(2),
    );
}

#[test]
#[ignore = "long"]
fn a_thousand_half_sent_handshakes_are_ended_by_the_default_deadline() {
    half_sent_handshakes(&["ws-l:0", "echo:"], Duration::from_secs(10));
}

#[test]
fn a_caller_that_never_takes_its_refusal_is_ended() {
    let bridge = Bridge::start(&["--path", "/only", "ws-l:0", "echo:"]);
    let mut tcp = Tcp::connect(bridge.port);
    tcp.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // It goes on sending and keeps its own direction open.
    tcp.0
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let begun = Instant::now();
    while tcp.0.write_all(b"more").is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it is still listened to");
        let _ = tcp.0.read(&mut [0; 512]).map(|count| assert!(count < 512));
        thread::sleep(Duration::from_millis(1));
    }
}

// ---- frames that claim what they never send

#[test]
fn ten_thousand_claims_of_16_mib_reserve_nothing() {
    raise_own_descriptors();
    let running = spawn_under("ulimit -v 2097152", &["ws-l:0", "echo:"]);
    let mut bridge = Bridge::of(running);
    let mut ws = bridge.client();
    assert_eq!(ws.text("before").next(), Frame::text("before"));
    let before = bridge.running.memory();
    let whole = frame_bytes(0x82, &vec![b'x'; 70_000], true);
    for _ in 0..10 {
        let mut claims: Vec<_> = (0..1000)
            .map(|at| {
                let mut ws = bridge.client();
                let mut head = whole[..14].to_vec();
                head[2..10].copy_from_slice(&(16 * MIB).to_be_bytes());
                // Some stop within the header, some before the payload, some after its first byte.
                head.push(b'x' ^ head[10]);
                ws.raw(&head[..13 + at % 3]);
                ws
            })
            .collect();
        // The last one of each kind is answered, so all before it have been read, or will be by the same tasks.
        for ws in claims.iter_mut().skip(2).step_by(3) {
            assert_eq!(ws.next(), Frame::Piece(false, 2, b"x".to_vec()));
        }
        let now = bridge.running.memory();
        assert!(now < before + 64 * MIB, "{} MiB more", (now - before) / MIB);
    }
    assert!(!bridge.running.has_ended());
    let grown = bridge.running.peak_memory() - before;
    assert!(grown < 64 * MIB, "{} MiB more at the peak", grown / MIB);
    assert_eq!(ws.text("after").next(), Frame::text("after"));
}

#[test]
fn a_claim_of_the_greatest_length_is_only_a_number() {
    let running = spawn_under("ulimit -v 2097152", &["ws-l:0", "echo:"]);
    let bridge = Bridge::of(running);
    let mut ws = bridge.client();
    let mut head = frame_bytes(0x82, &vec![b'x'; 70_000], true);
    head.truncate(17);
    head[2..10].copy_from_slice(&(u64::MAX >> 1).to_be_bytes());
    ws.raw(&head);
    assert_eq!(ws.next(), Frame::Piece(false, 2, b"xxx".to_vec()));
    // RFC 6455 5.2: the most significant bit must be 0.
    let mut ws = bridge.client();
    head[2] = 0xFF;
    ws.raw(&head);
    assert!(matches!(ws.next(), Frame::Close(1002, _)));
}

// ---- seats

#[test]
fn a_full_house_says_503_and_freed_seats_are_used_again() {
    let bridge = Bridge::start(&["--max-connections", "2", "ws-l:0", "echo:"]);
    for _ in 0..5 {
        // A seat is free a moment after its session has ended.
        let mut pair = Vec::new();
        until("both seats", || {
            // Whoever is in from the last try leaves first.
            pair.clear();
            let asked = [(), ()].map(|()| Ws::ask(bridge.port, "/", &[]));
            let is_in = |ws: &Ws| ws.head.starts_with("HTTP/1.1 101 ");
            let are_in = asked.iter().all(is_in);
            pair = asked.into_iter().filter(is_in).collect();
            are_in
        });
        let refused = Ws::ask(bridge.port, "/", &[]);
        assert!(
            refused.head.starts_with("HTTP/1.1 503 "),
            "{}",
            refused.head
        );
        let head = refused.head.to_ascii_lowercase();
        let retry = head
            .lines()
            .find_map(|line| line.strip_prefix("retry-after: "));
        assert!(retry.unwrap().trim().parse::<u32>().unwrap() > 0);
        bridge.running.line("--max-connections");
        // One leaves as it should, one just goes.
        let mut first = pair.remove(0);
        assert_eq!(first.text("hi").next(), Frame::text("hi"));
        first.close(1000, "");
        assert_eq!(first.next(), Frame::Close(1000, String::new()));
        pair.remove(0).reset();
    }
}

#[test]
fn refused_callers_take_no_seats() {
    let bridge = Bridge::start(&[
        "--max-connections",
        "1",
        "--path",
        "/only",
        "ws-l:0",
        "echo:",
    ]);
    for _ in 0..20 {
        assert_eq!(status(bridge.port), "404");
    }
    let halves: Vec<_> = (0..20)
        .map(|_| {
            let mut tcp = Tcp::connect(bridge.port);
            tcp.send("GET /only HTTP/1.1\r\n");
            tcp
        })
        .collect();
    let mut ws = Ws::ask(bridge.port, "/only", &[]);
    assert_eq!(ws.text("in").next(), Frame::text("in"));
    drop(halves);
}

#[test]
fn a_full_house_of_tcp_resets() {
    let bridge = Bridge::start(&["--max-connections", "1", "tcp-l:0", "echo:"]);
    let mut first = Tcp::connect(bridge.port);
    first.send("in");
    assert_eq!(first.read(2), b"in");
    assert_eq!(Tcp::connect(bridge.port).rest(), (vec![], TcpEnd::Reset));
    first.fin();
    assert_eq!(first.rest(), (vec![], TcpEnd::Eof));
    until("the freed seat", || {
        let mut tcp = Tcp::connect(bridge.port);
        let mut got = [0; 2];
        tcp.0.write_all(b"in").is_ok() && tcp.0.read_exact(&mut got).is_ok()
    });
}

#[test]
fn without_descriptors_the_server_goes_on() {
    raise_own_descriptors();
    for words in [
        &["ws-l:0", "echo:"][..],
        &["--max-connections", "1000", "ws-l:0", "echo:"],
        &["--max-connections", "1000", "tcp-l:0", "echo:"],
    ] {
        let mut bridge = Bridge::of(spawn_under("ulimit -n 100", words));
        let flood: Vec<_> = (0..400).map(|_| Tcp::connect(bridge.port)).collect();
        // It says so, and not a line for each of them.
        bridge.running.line("too many open files");
        assert!(!bridge.running.has_ended());
        drop(flood);
        until("a session after the flood", || {
            if words.contains(&"tcp-l:0") {
                let mut tcp = Tcp::connect(bridge.port);
                let mut got = [0; 2];
                tcp.0.write_all(b"in").is_ok() && tcp.0.read_exact(&mut got).is_ok()
            } else {
                let mut ws = Ws::ask(bridge.port, "/", &[]);
                ws.head.starts_with("HTTP/1.1 101 ") && ws.text("in").next() == Frame::text("in")
            }
        });
        let done = bridge.stop();
        assert_eq!(done.status, 0, "{}", done.stderr);
        assert!(
            done.stderr
                .lines()
                .filter(|line| line.contains("open files"))
                .count()
                < 100
        );
    }
}

#[test]
fn the_default_of_seats_fits_the_descriptors() {
    // (104 - 64 kept for other things) / 2 a session, so a flood of sessions never runs out of them.
    let bridge = Bridge::of(spawn_under("ulimit -n 104", &["ws-l:0", "echo:"]));
    let sessions: Vec<_> = (0..60).map(|_| Ws::ask(bridge.port, "/", &[])).collect();
    let count = |status: &str| {
        let begins = format!("HTTP/1.1 {status} ");
        sessions
            .iter()
            .filter(|ws| ws.head.starts_with(&begins))
            .count()
    };
    assert!(count("101") >= 1);
    assert_eq!(count("101") + count("503"), 60);
}

// ---- one message of any size

/// Bytes without an end that can be made and checked at any place, with a newline nowhere and characters of 1 to 4 bytes.
struct Pattern {
    /// Two periods, so that any slice up to one period is within.
    bytes: Vec<u8>,
    masked: Vec<u8>,
}

const PERIOD: usize = 1_000_004;
const KEY: [u8; 4] = [0xA5, 0x3C, 0x00, 0x77];

impl Pattern {
    fn new() -> Pattern {
        let mut text = String::new();
        for number in 0.. {
            text += ["a", "ü", "€", "𝄞", "plain"][number % 5];
            text += &number.to_string();
            if text.len() > PERIOD - 20 {
                break;
            }
        }
        let mut bytes = text.into_bytes();
        bytes.resize(PERIOD, b'.');
        // A period is a multiple of the key's length, so what is masked repeats too.
        let masked: Vec<u8> = bytes
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect();
        Pattern {
            bytes: [bytes.as_slice(), &bytes].concat(),
            masked: [masked.as_slice(), &masked].concat(),
        }
    }

    /// Writes so many bytes of it.
    fn write(bytes: &[u8], size: u64, out: &mut impl Write) {
        let mut at = 0;
        while at < size {
            let from = usize::try_from(at).unwrap() % PERIOD;
            let count = usize::try_from(size - at).unwrap().min(200_000);
            out.write_all(&bytes[from..from + count]).unwrap();
            at += count as u64;
        }
    }

    /// Checks a piece of it that begins at `at`.
    #[track_caller]
    fn check(&self, at: u64, piece: &[u8]) {
        let mut from = usize::try_from(at).unwrap() % PERIOD;
        for part in piece.chunks(PERIOD) {
            // A plain comparison of slices: a byte at a time would take minutes.
            assert!(
                part == &self.bytes[from..from + part.len()],
                "altered at {at} or behind"
            );
            from = (from + part.len()) % PERIOD;
        }
    }

    /// Reads and checks so many bytes of it.
    #[track_caller]
    fn read(&self, size: u64, input: &mut impl Read) {
        let mut buf = vec![0; 256 * 1024];
        let mut at = 0;
        while at < size {
            let wanted = usize::try_from(size - at).unwrap().min(buf.len());
            let count = input.read(&mut buf[..wanted]).unwrap();
            assert_ne!(count, 0, "it ended after {at} of {size} bytes");
            self.check(at, &buf[..count]);
            at += count as u64;
        }
    }
}

/// The header of one frame with a length of eight bytes, masked by `KEY` or not.
fn long_header(first: u8, size: u64, masks: bool) -> Vec<u8> {
    let mut head = vec![first, if masks { 0xFF } else { 0x7F }];
    head.extend(size.to_be_bytes());
    if masks {
        head.extend(KEY);
    }
    head
}

#[track_caller]
fn assert_small(running: &Running, size: u64) {
    let peak = running.peak_memory();
    assert!(
        peak < 32 * MIB,
        "{} MiB at the peak for {} MiB",
        peak / MIB,
        size / MIB
    );
}

fn a_message_to_tcp(size: u64) {
    let pattern = Pattern::new();
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut ws = bridge.client();
    let mut target = Tcp::accept(&listener);
    thread::scope(|scope| {
        scope.spawn(|| {
            ws.raw(&long_header(0x82, size, true));
            Pattern::write(&pattern.masked, size, &mut ws.stream);
            ws.close(1000, "");
        });
        pattern.read(size, &mut target.0);
        assert_eq!(target.rest(), (vec![], TcpEnd::Eof));
    });
    assert_small(&bridge.running, size);
}

fn a_line_there_and_back(size: u64) {
    let pattern = Pattern::new();
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let mut client = spawn(&[&bridge.url()]);
    let (mut stdin, mut stdout) = (client.stdin(), client.stdout());
    thread::scope(|scope| {
        scope.spawn(|| {
            Pattern::write(&pattern.bytes, size, &mut stdin);
            stdin.write_all(b"\n").unwrap();
            stdin.write_all(b"next\n").unwrap();
        });
        pattern.read(size, &mut stdout);
        let mut rest = [0; 6];
        stdout.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"\nnext\n");
    });
    assert_small(&bridge.running, size);
    assert_small(&client, size);
    drop(stdin);
    assert_eq!(stdout.read(&mut [0]).unwrap(), 0);
    assert_eq!(client.wait(), 0);
}

fn a_message_to_stdout(first: u8, size: u64) {
    let pattern = Pattern::new();
    let (listener, port) = listener();
    let mut client = spawn(&[&format!("ws://127.0.0.1:{port}")]);
    let mut stdout = client.stdout();
    let mut ws = Ws::accept(&listener);
    thread::scope(|scope| {
        scope.spawn(|| {
            ws.raw(&long_header(first, size, false));
            Pattern::write(&pattern.bytes, size, &mut ws.stream);
            ws.text("next");
        });
        pattern.read(size, &mut stdout);
        let expected: &[u8] = if first == 0x81 {
            b"\nnext\n"
        } else {
            b"next\n"
        };
        let mut rest = vec![0; expected.len()];
        stdout.read_exact(&mut rest).unwrap();
        assert_eq!(rest, expected);
    });
    assert_small(&client, size);
    ws.close(1000, "");
    assert_eq!(client.wait(), 0);
}

fn a_flood_from_tcp(size: u64) {
    let pattern = Pattern::new();
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut ws = bridge.client();
    let mut target = Tcp::accept(&listener);
    thread::scope(|scope| {
        scope.spawn(|| {
            Pattern::write(&pattern.bytes, size, &mut target.0);
            target.fin();
        });
        let mut at = 0;
        while at < size {
            match ws.next() {
                Frame::Binary(bytes) | Frame::Piece(_, _, bytes) => {
                    pattern.check(at, &bytes);
                    at += bytes.len() as u64;
                }
                other => panic!("{other:?} after {at} bytes"),
            }
        }
        assert_eq!(at, size);
        assert_eq!(ws.next(), Frame::Close(1000, String::new()));
    });
    assert_small(&bridge.running, size);
}

#[test]
fn a_frame_of_64_mib_streams_to_tcp() {
    a_message_to_tcp(64 * MIB);
}

#[test]
fn a_line_of_64_mib_goes_there_and_back() {
    a_line_there_and_back(64 * MIB);
}

#[test]
fn a_frame_of_64_mib_streams_to_stdout() {
    a_message_to_stdout(0x81, 64 * MIB);
    a_message_to_stdout(0x82, 64 * MIB);
}

#[test]
fn a_flood_of_64_mib_streams_from_tcp() {
    a_flood_from_tcp(64 * MIB);
}

#[test]
#[ignore = "long"]
fn a_frame_of_1_gib_streams_to_tcp() {
    a_message_to_tcp(1024 * MIB);
}

#[test]
#[ignore = "long"]
fn a_line_of_1_gib_goes_there_and_back() {
    a_line_there_and_back(1024 * MIB);
}

#[test]
#[ignore = "long"]
fn a_frame_of_1_gib_streams_to_stdout() {
    a_message_to_stdout(0x81, 1024 * MIB);
    a_message_to_stdout(0x82, 1024 * MIB);
}

#[test]
#[ignore = "long"]
fn a_flood_of_1_gib_streams_from_tcp() {
    a_flood_from_tcp(1024 * MIB);
}

// ---- readers that do not read

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

const STALLS: usize = 20;

/// Leaves the kernel little room for what a socket, or those that a listener accepts, does not read: with millions of small
/// messages in it a test would take minutes.
fn with_small_room<S: std::os::fd::AsFd>(socket: S) -> S {
    SockRef::from(&socket)
        .set_recv_buffer_size(16 * 1024)
        .unwrap();
    socket
}

/// Fewer than elsewhere: the kernel takes millions of their small messages.
fn deaf_clients(bridge: &Bridge) -> Vec<Ws> {
    let clients: Vec<_> = (0..2).map(|_| bridge.client()).collect();
    for ws in &clients {
        with_small_room(&ws.stream);
    }
    clients
}

/// A connection may hold a MiB. A few of them are measured beside the free buffers that the pool keeps, many are not.
#[track_caller]
fn assert_grown_little(bridge: &Bridge, before: u64, stalls: usize) {
    let grown = bridge.running.memory().saturating_sub(before);
    let pool = if stalls < STALLS { 4 * MIB } else { 0 };
    let allowed = stalls as u64 * MIB + pool;
    assert!(
        grown < allowed,
        "{} KiB for {stalls} connections",
        grown / 1024
    );
}

#[track_caller]
fn stalled_to_tcp(frame: &[u8], payload: u64) {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut sockets = Vec::new();
    let mut targets = VecDeque::new();
    for _ in 0..STALLS {
        sockets.push(bridge.client());
        targets.push_back(Tcp::accept(&listener));
    }
    let before = bridge.running.memory();
    let streams = sockets.iter().map(|ws| ws.stream.try_clone().unwrap());
    let mut floods: Vec<_> = streams
        .map(|stream| Flood::new(stream, frame.to_vec()))
        .collect();
    flood(&mut floods);
    assert_grown_little(&bridge, before, sockets.len());
    // Nothing of it is lost when somebody reads after all.
    let mut target = targets.pop_front().unwrap();
    let one = floods.remove(0);
    let reader = thread::spawn(move || {
        let mut got = 0;
        let mut buf = vec![0; 65536];
        loop {
            match target.0.read(&mut buf).unwrap() {
                0 => return got,
                count => got += count as u64,
            }
        }
    });
    let (_, written) = one.finish();
    sockets[0].close(1000, "");
    let messages = written / frame.len() as u64;
    assert_eq!(reader.join().unwrap(), messages * payload);
}

#[test]
fn twenty_targets_that_do_not_read_stop_their_sources() {
    stalled_to_tcp(&frame_bytes(0x82, &[7; 65536], true), 65536);
}

#[test]
fn small_messages_to_targets_that_do_not_read_are_not_piled_up() {
    stalled_to_tcp(&frame_bytes(0x82, &[7; 16], true).repeat(1000), 16_000);
}

#[test]
fn twenty_sockets_that_do_not_read_stop_their_sources() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut sockets = Vec::new();
    let mut targets = Vec::new();
    for _ in 0..STALLS {
        sockets.push(bridge.client());
        targets.push(Tcp::accept(&listener).0);
    }
    let before = bridge.running.memory();
    let floods = targets
        .into_iter()
        .map(|stream| Flood::new(stream, vec![7; 65536]));
    let mut floods: Vec<_> = floods.collect();
    flood(&mut floods);
    assert_grown_little(&bridge, before, sockets.len());
    let mut ws = sockets.remove(0);
    let one = floods.remove(0);
    let reader = thread::spawn(move || ws.bytes());
    let (stream, written) = one.finish();
    stream.shutdown(Shutdown::Write).unwrap();
    let (bytes, end) = reader.join().unwrap();
    assert_eq!(
        (bytes.len() as u64, end),
        (written, Frame::Close(1000, String::new()))
    );
}

#[test]
fn sockets_that_do_not_read_stop_sockets_that_write() {
    let (listener, port) = listener();
    let listener = with_small_room(listener);
    let bridge = Bridge::start(&["ws-l:0", &format!("ws://127.0.0.1:{port}")]);
    let mut sockets = Vec::new();
    let mut targets = Vec::new();
    for _ in 0..STALLS {
        let own = bridge.port;
        let asking = thread::spawn(move || Ws::connect(own));
        targets.push(Ws::accept(&listener));
        sockets.push(asking.join().unwrap());
    }
    let before = bridge.running.memory();
    // Many small messages: what is kept for each of them counts most.
    let piece = frame_bytes(0x81, &[b'x'; 50], true).repeat(1000);
    let streams = sockets.iter().map(|ws| ws.stream.try_clone().unwrap());
    let mut floods: Vec<_> = streams
        .map(|stream| Flood::new(stream, piece.clone()))
        .collect();
    flood(&mut floods);
    assert_grown_little(&bridge, before, sockets.len());
}

#[test]
fn an_echo_that_nobody_reads_is_bounded() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let sockets = deaf_clients(&bridge);
    let before = bridge.running.memory();
    let piece = frame_bytes(0x81, b"sixteen bytes...", true).repeat(3000);
    let streams = sockets.iter().map(|ws| ws.stream.try_clone().unwrap());
    let mut floods: Vec<_> = streams
        .map(|stream| Flood::new(stream, piece.clone()))
        .collect();
    flood(&mut floods);
    assert_grown_little(&bridge, before, sockets.len());
}

#[test]
fn empty_messages_that_nobody_reads_are_bounded() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let sockets = deaf_clients(&bridge);
    let before = bridge.running.memory();
    // Empty messages and empty fragments have no bytes to count.
    let mut piece = frame_bytes(0x81, b"", true).repeat(2500);
    piece.extend(frame_bytes(0x01, b"", true));
    piece.extend(frame_bytes(0x00, b"", true).repeat(2500));
    piece.extend(frame_bytes(0x80, b"", true));
    let streams = sockets.iter().map(|ws| ws.stream.try_clone().unwrap());
    let mut floods: Vec<_> = streams
        .map(|stream| Flood::new(stream, piece.clone()))
        .collect();
    flood(&mut floods);
    assert_grown_little(&bridge, before, sockets.len());
}

// ---- pings

#[test]
fn a_flood_of_pings_from_one_that_never_reads_is_bounded() {
    let (listener, port) = listener();
    for target in [
        "echo:".to_owned(),
        "null:".to_owned(),
        format!("tcp:127.0.0.1:{port}"),
    ] {
        let bridge = Bridge::start(&["ws-l:0", &target]);
        let mut ws = bridge.client();
        let _silent = target.starts_with("tcp").then(|| Tcp::accept(&listener));
        let before = bridge.running.memory();
        let mut flood = Flood::new(
            ws.stream.try_clone().unwrap(),
            frame_bytes(0x89, &[b'p'; 125], true).repeat(500),
        );
        // Pongs that are not taken are dropped but the newest, or the pings are no longer read: both are fine.
        let limit = 32 * MIB;
        let mut quiet_since = Instant::now();
        while flood.written < limit && quiet_since.elapsed() < Duration::from_secs(1) {
            if flood.push(limit) {
                quiet_since = Instant::now();
            } else {
                thread::sleep(Duration::from_millis(1));
            }
        }
        let grown = bridge.running.memory().saturating_sub(before);
        assert!(grown < 2 * MIB, "{} KiB more for {target}", grown / 1024);
        // It reads after all: there are pongs, and the newest ping is answered.
        let reader = thread::spawn(move || {
            loop {
                match ws.next() {
                    Frame::Pong(payload) if payload == b"last" => return ws,
                    Frame::Pong(payload) => assert_eq!(payload, [b'p'; 125]),
                    other => panic!("{other:?}"),
                }
            }
        });
        let (mut stream, _) = flood.finish();
        stream.write_all(&frame_bytes(0x89, b"last", true)).unwrap();
        reader.join().unwrap();
    }
}

#[test]
fn pings_during_a_stalled_direction_are_answered_once_it_moves() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut ws = bridge.client();
    let mut target = Tcp::accept(&listener);
    let mut floods = [Flood::new(target.0.try_clone().unwrap(), vec![7; 65536])];
    flood(&mut floods);
    // The other direction still goes: what stands behind the pings arrives, so they have been read.
    ws.frame(0x89, b"first")
        .frame(0x89, b"newest")
        .binary(b"behind");
    target.0.set_nonblocking(false).unwrap();
    assert_eq!(target.read(6), b"behind");
    let [one] = floods;
    let writer = thread::spawn(move || {
        let (stream, written) = one.finish();
        stream.shutdown(Shutdown::Write).unwrap();
        written
    });
    let (mut got, mut pongs) = (0, Vec::new());
    let end = loop {
        match ws.next() {
            Frame::Binary(bytes) | Frame::Piece(_, _, bytes) => got += bytes.len() as u64,
            Frame::Pong(payload) => pongs.push(payload),
            end => break end,
        }
    };
    assert_eq!(end, Frame::Close(1000, String::new()));
    assert_eq!(got, writer.join().unwrap());
    assert_eq!(pongs.last().map(Vec::as_slice), Some(&b"newest"[..]));
}

#[test]
fn pings_are_answered_while_the_target_does_not_read() {
    let (listener, port) = listener();
    let bridge = Bridge::start(&["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut ws = bridge.client();
    let _target = Tcp::accept(&listener);
    // More than the bridge holds, less than the kernel takes: it is read, and so the ping behind it.
    for _ in 0..4 {
        ws.binary(&[7; 65536]);
    }
    ws.frame(0x89, b"alive?");
    assert_eq!(ws.next(), Frame::Pong(b"alive?".to_vec()));
}
