//! Where it listens: addresses, families and ports, and many callers at once.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use super::{echo, listener};
use crate::support::{Bridge, Frame, PATIENCE, Tcp, Ws, run, spawn};

/// The local addresses on which anybody of this machine listens on a port, as the kernel writes them.
fn listening(port: u16) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table)
            .unwrap_or_default()
            .lines()
            .skip(1)
        {
            let fields: Vec<_> = line.split_whitespace().collect();
            let (addr, own) = fields[1].split_once(':').unwrap();
            // 0A is LISTEN.
            if fields[3] == "0A" && own == format!("{port:04X}") {
                found.insert(addr.to_owned());
            }
        }
    }
    found
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn a_bare_port_is_loopback_in_both_families_and_nothing_else() {
    for listens in ["ws-l:0", "tcp-l:0"] {
        let bridge = Bridge::start(&[listens, "echo:"]);
        let mut expected = BTreeSet::from(["0100007F".to_owned()]);
        if has_ipv6() {
            expected.insert("00000000000000000000000001000000".to_owned());
            TcpStream::connect(("::1", bridge.port)).unwrap();
        }
        TcpStream::connect(("127.0.0.1", bridge.port)).unwrap();
        assert_eq!(listening(bridge.port), expected, "{listens}");
        assert!(TcpStream::connect(("127.0.0.2", bridge.port)).is_err());
        assert_ne!(bridge.port, 0, "{}", bridge.place);
    }
}

#[test]
fn a_star_is_all_interfaces() {
    for listens in ["ws-l:*:0", "tcp-l:*:0"] {
        let bridge = Bridge::start(&[listens, "echo:"]);
        TcpStream::connect(("127.0.0.1", bridge.port)).unwrap();
        TcpStream::connect(("127.0.0.2", bridge.port)).unwrap();
        if has_ipv6() {
            TcpStream::connect(("::1", bridge.port)).unwrap();
        }
        assert_ne!(bridge.port, 0, "{}", bridge.place);
    }
}

#[test]
fn the_line_that_says_where_it_listens_names_every_address() {
    let bridge = spawn(&["ws-l:0", "echo:"]);
    let line = bridge.line("listening on");
    assert!(line.contains("ws://127.0.0.1:"), "{line}");
    if has_ipv6() {
        assert!(line.contains("ws://[::1]:"), "{line}");
    }
}

#[test]
fn names_and_addresses_can_be_listened_on() {
    for (listens, port_of) in [
        ("ws-l:localhost:0", "127.0.0.1"),
        ("ws-l:127.0.0.2:0", "127.0.0.2"),
    ] {
        let bridge = Bridge::start(&[listens, "echo:"]);
        TcpStream::connect((port_of, bridge.port)).unwrap();
    }
    if has_ipv6() {
        let (tcp, port) = {
            let listener = TcpListener::bind("[::1]:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            (listener, port)
        };
        let bridge = Bridge::start(&["ws-l:[::1]:0", &format!("tcp:[::1]:{port}")]);
        assert!(bridge.place.starts_with("ws://[::1]:"), "{}", bridge.place);
        assert!(TcpStream::connect(("127.0.0.1", bridge.port)).is_err());
        let mut client = spawn(&[&format!("ws://[::1]:{}", bridge.port)]);
        let mut target = Tcp::accept(&tcp);
        client.stdin().write_all(b"ping\n").unwrap();
        assert_eq!(target.read(4), b"ping");
        target.send("pong").fin();
        assert_eq!(client.finish().text(), "pong");
    }
}

#[test]
fn a_port_in_use_is_exit_7_and_named() {
    let (_taken, port) = listener();
    for address in [
        format!("ws-l:{port}"),
        format!("tcp-l:{port}"),
        format!("ws-l:127.0.0.1:{port}"),
        format!("ws-l:*:{port}"),
    ] {
        let done = run(&[&address, "echo:"], "");
        assert_eq!(
            (done.status, done.text()),
            (7, ""),
            "{address}: {}",
            done.stderr
        );
        assert!(done.stderr.contains(&address), "{}", done.stderr);
        assert!(
            done.stderr.contains("address already in use"),
            "{}",
            done.stderr
        );
        assert!(
            !done.stderr.contains("listening on ws://"),
            "{}",
            done.stderr
        );
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    }
    // 192.0.2.0/24 is for documentation (RFC 5737); the machine may have even that.
    if TcpListener::bind("198.51.100.77:0").is_err() {
        let done = run(&["ws-l:198.51.100.77:0", "echo:"], "");
        assert_eq!(done.status, 7, "{}", done.stderr);
        assert!(done.stderr.contains("198.51.100.77"), "{}", done.stderr);
    }
}

#[test]
fn the_short_server_serves_stdin_and_stdout() {
    let mut server = spawn(&["-s", "0"]);
    let line = server.line("listening on ws://127.0.0.1:");
    let port = line.split("127.0.0.1:").nth(1).unwrap();
    let port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    let mut ws = Ws::connect(port.parse().unwrap());
    let mut stdin = server.stdin();
    ws.text("up");
    let mut stdout = server.stdout();
    let mut got = [0; 3];
    stdout.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"up\n");
    stdin.write_all(b"down\n").unwrap();
    assert_eq!(ws.next(), Frame::text("down"));
}

#[test]
fn many_callers_are_served_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let tcp = Bridge::start(&["tcp-l:0", "echo:"]);
    let _unix = Bridge::start(&[&format!("unix-l:{}", path.display()), "echo:"]);
    let ws = echo();
    let mut tcps: Vec<_> = (0..20).map(|_| Tcp::connect(tcp.port)).collect();
    let mut unixes: Vec<_> = (0..20)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    let mut sockets: Vec<_> = (0..20).map(|_| ws.client()).collect();
    // All are open, and the last is served first.
    for at in (0..20).rev() {
        let word = format!("caller {at:02}");
        tcps[at].send(&word);
        assert_eq!(tcps[at].read(word.len()), word.as_bytes());
        unixes[at].set_read_timeout(Some(PATIENCE)).unwrap();
        unixes[at].write_all(word.as_bytes()).unwrap();
        let mut got = vec![0; word.len()];
        unixes[at].read_exact(&mut got).unwrap();
        assert_eq!(got, word.as_bytes());
        assert_eq!(sockets[at].text(&word).next(), Frame::text(&word));
    }
}

#[test]
fn a_listener_on_the_right_takes_one_caller_a_session() {
    let running = spawn(&["ws-l:0", "tcp-l:0"]);
    let mut ports = [0, 0];
    for _ in 0..2 {
        let line = running.line("listening on ");
        let at = usize::from(line.contains("tcp://"));
        let port = line.split("127.0.0.1:").nth(1).unwrap();
        let port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        ports[at] = port.parse().unwrap();
    }
    let [ws_port, tcp_port] = ports;
    for at in 0..3 {
        // The caller waits for its answer until somebody has come to the other side.
        let mut right = Tcp::connect(tcp_port);
        let mut left = Ws::connect(ws_port);
        let word = format!("session {at}");
        left.binary(word.as_bytes());
        assert_eq!(right.read(word.len()), word.as_bytes());
        right.send(&word);
        assert_eq!(left.next(), Frame::Binary(word.into_bytes()));
        // The session stays open while the next one is made.
        std::mem::forget((left, right));
    }
}
