//! The eight promises of the README, each in a test of its name; `endings`, `http`, `lines` and `limits` have the
//! many cases of each.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Bridge, Frame, Tcp, TcpEnd, Ws, run, spawn};

const MIB: usize = 1024 * 1024;

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("tcp:{}", listener.local_addr().unwrap());
    (listener, place)
}

#[test]
fn nothing_is_lost() {
    let (backend, place) = listener();
    let bridge = Bridge::start(&["ws-l:0", &place]);
    let mut ws = bridge.client();
    let mut tcp = Tcp::accept(&backend);
    // Both ends say all that they have and end at once; nobody has read anything yet.
    let sent: Vec<u8> = (0..8 * MIB).map(|i| (i / 7) as u8).collect();
    let expected = sent.clone();
    let writer = thread::spawn(move || {
        for message in sent.chunks(100_000) {
            ws.binary(message);
        }
        ws.close(1000, "");
        ws
    });
    let (got, end) = tcp.rest();
    assert!(got == expected && end == TcpEnd::Eof);
    let mut ws = writer.join().unwrap();
    tcp.send(vec![7; MIB]).fin();
    let (got, end) = ws.bytes();
    assert_eq!((got.len(), end), (MIB, Frame::Close(1000, String::new())));
}

#[test]
fn broken_is_never_reported_as_finished() {
    let (backend, place) = listener();
    let bridge = Bridge::start(&["ws-l:0", &place]);
    // Cut on the WebSocket side: TCP sees the bytes and a reset, never an end of file.
    let mut ws = bridge.client();
    let mut tcp = Tcp::accept(&backend);
    ws.binary(b"all of this").fin();
    assert_eq!(tcp.rest(), (b"all of this".to_vec(), TcpEnd::Reset));
    // Cut on the TCP side: the WebSocket sees an error code.
    let mut ws = bridge.client();
    Tcp::accept(&backend).reset();
    assert_eq!(ws.next(), Frame::Close(1011, "reset".to_owned()));
}

#[test]
fn nothing_is_altered() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let relay = Bridge::start(&["ws-l:0", &bridge.url()]);
    let mut ws = relay.client();
    let long = "ü€😀 ".repeat(50_000);
    ws.text("")
        .binary(b"")
        .text(&long)
        .binary(&[0; 300_000])
        .text("a\r\nb\n");
    ws.frame(0x01, b"one ")
        .frame(0x80, b"message")
        .close(4321, "why");
    let (messages, end) = ws.messages();
    let expected = [
        Frame::text(""),
        Frame::Binary(vec![]),
        Frame::text(&long),
        Frame::Binary(vec![0; 300_000]),
        Frame::text("a\r\nb\n"),
        Frame::text("one message"),
    ];
    assert!(messages == expected, "something was altered");
    assert_eq!(end, Frame::Close(4321, "why".to_owned()));
}

#[test]
fn memory_is_bounded() {
    let bridge = Bridge::start(&["ws-l:0", "null:"]);
    let before = bridge.running.memory();
    // A frame that claims more than there is memory in the world, and 64 MiB of it.
    let mut ws = bridge.client();
    ws.raw(&[
        0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4,
    ]);
    for _ in 0..64 {
        ws.raw(&vec![0; MIB]);
    }
    // What was sent has been taken when the next caller's answer has come through the same loop.
    let mut other = bridge.client();
    other.close(1000, "");
    assert_eq!(other.next(), Frame::Close(1000, String::new()));
    let grown = bridge.running.peak_memory().saturating_sub(before);
    assert!(grown < 8 * MIB as u64, "it has grown by {grown} bytes");
}

#[test]
fn every_wait_ends() {
    // The handshake: half a request is answered with 408 at its deadline.
    let bridge = Bridge::start(&["ws-l:0", "echo:", "--handshake-timeout", "300ms"]);
    let mut half = Tcp::connect(bridge.port);
    half.send("GET / HTTP/1.1\r\n");
    assert!(
        String::from_utf8(half.rest().0)
            .unwrap()
            .starts_with("HTTP/1.1 408 ")
    );
    // The answer to a handshake, the answer to a Close.
    let (silent, _) = listener();
    let url = format!("ws://{}", silent.local_addr().unwrap());
    let finished = run(&[&url, "--handshake-timeout", "300ms"], "");
    assert_eq!(finished.status, 28, "{}", finished.stderr);
    let (server, _) = listener();
    let url = format!("ws://{}", server.local_addr().unwrap());
    let mut client = spawn(&[&url, "--linger", "0", "--close-timeout", "300ms"]);
    drop(client.stdin());
    let mut ws = Ws::accept(&server);
    assert_eq!(ws.next(), Frame::Close(1000, String::new()));
    assert_eq!(client.wait(), 28);
}

#[test]
fn a_web_page_that_you_did_not_allow_can_not_connect() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let status =
        |headers: &[(&str, &str)]| Ws::ask(bridge.port, "/", headers).head[9..12].to_owned();
    assert_eq!(status(&[]), "101");
    assert_eq!(
        status(&[("origin", &format!("http://127.0.0.1:{}", bridge.port))]),
        "101"
    );
    assert_eq!(status(&[("origin", "http://evil.test")]), "403");
    assert_eq!(status(&[("origin", "null")]), "403");
    assert_eq!(
        status(&[("host", "evil.test"), ("origin", "http://evil.test")]),
        "421"
    );
    assert!(
        bridge.place.contains("127.0.0.1"),
        "a bare port listens on {}",
        bridge.place
    );
}

#[test]
fn same_input_same_exit_status() {
    for (code, status) in [(1000, 0), (1001, 0), (1011, 110), (4001, 111)] {
        for _ in 0..3 {
            let (server, _) = listener();
            let url = format!("ws://{}", server.local_addr().unwrap());
            let mut client = spawn(&[&url]);
            let mut ws = Ws::accept(&server);
            ws.text("payload").close(code, "");
            assert_eq!(ws.next(), Frame::Close(code, String::new()));
            drop(ws);
            let mut stdout = String::new();
            client.stdout().read_to_string(&mut stdout).unwrap();
            assert_eq!((client.wait(), stdout.as_str()), (status, "payload\n"));
        }
    }
}

/// How fast it is only a benchmark can say; what makes it so can be counted: system calls that write.
#[test]
fn it_is_fast() {
    let lines = 200_000;
    let (server, _) = listener();
    let url = format!("ws://{}", server.local_addr().unwrap());
    let mut client = spawn(&[&url, "-n"]);
    let mut ws = Ws::accept(&server);
    let mut stdin = client.stdin();
    let writer = thread::spawn(move || {
        stdin
            .write_all("a short line\n".repeat(lines).as_bytes())
            .unwrap();
        stdin
    });
    // Each line is a frame: 6 bytes of header and key, 12 of payload.
    let mut got = 0;
    let mut buf = vec![0; MIB];
    while got < lines * 18 {
        got += ws.stream.read(&mut buf).unwrap();
    }
    let stdin = writer.join().unwrap();
    let writes = written(client.id());
    assert!(
        writes <= lines as u64 / 64,
        "{lines} messages took {writes} writes"
    );
    // A single one leaves at once, though the input stays open.
    let begun = Instant::now();
    (&stdin).write_all(b"a short line\n").unwrap();
    ws.stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    assert_eq!(
        ws.stream.read(&mut buf).unwrap(),
        18,
        "after {:?}",
        begun.elapsed()
    );
}

/// System calls of a process that wrote (proc(5), `syscw`).
fn written(id: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{id}/io")).unwrap();
    io.lines()
        .find_map(|line| line.strip_prefix("syscw: "))
        .unwrap()
        .parse()
        .unwrap()
}
