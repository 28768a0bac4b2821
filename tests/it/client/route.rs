//! Other addresses, other servers, an address of our own, a Unix socket.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread;

use super::{OPEN, assert_greeted, opening, scripted};
use crate::http::{answer_101, headers};
use crate::support::{frame_bytes, free_port, run};

#[test]
fn a_name_has_the_address_that_it_is_given() {
    let (port, server) = opening();
    let words = [
        &format!("--resolve=no.such.test:{port}:127.0.0.1"),
        &format!("ws://no.such.test:{port}/"),
    ];
    let done = run(&words.map(String::as_str), "");
    assert_greeted(&done);
    let request = &server.join().unwrap()[0];
    assert_eq!(headers(request, "host"), [format!("no.such.test:{port}")]);
    let (port, server) = opening();
    let url = format!("ws://no.such.test:{port}/#resolve=*:{port}:[::1]\\,127.0.0.1");
    let done = run(&[&url], "");
    assert_greeted(&done);
    server.join().unwrap();
}

#[test]
fn another_server_is_used_in_place_of_one() {
    let (port, server) = opening();
    let words = [
        "--connect-to",
        &format!("no.such.test:80:127.0.0.1:{port}"),
        "ws://no.such.test/x",
    ];
    let done = run(&words, "");
    assert_greeted(&done);
    assert_eq!(
        headers(&server.join().unwrap()[0], "host"),
        ["no.such.test"]
    );
}

#[test]
fn a_connection_comes_from_the_address_that_is_given() {
    let (port, server) = scripted(|stream| {
        let from = stream.peer_addr().unwrap().ip().to_string();
        super::answer(stream, OPEN);
        from
    });
    let done = run(
        &["--bind", "127.0.0.77", &format!("ws://127.0.0.1:{port}/")],
        "",
    );
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert_eq!(server.join().unwrap(), "127.0.0.77");
    let done = run(
        &[
            "--bind",
            "192.0.2.1",
            &format!("tcp:127.0.0.1:{}", free_port()),
        ],
        "",
    );
    assert_eq!(done.status, 7, "{}", done.stderr);
    let done = run(&["--bind", "::1", "tcp:127.0.0.1:1"], "");
    assert_eq!(done.status, 6, "{}", done.stderr);
}

#[test]
fn one_family_can_be_asked_for() {
    let resolve = |port: u16| format!("--resolve=h.test:{port}:[::1],127.0.0.1");
    for (words, addr) in [(["-4"], "127.0.0.1:0"), (["-6"], "[::1]:0")] {
        let Ok(listener) = TcpListener::bind(addr) else {
            // A machine without IPv6.
            continue;
        };
        let port = listener.local_addr().unwrap().port();
        let server = super::serving(listener, vec![OPEN.to_owned()]);
        let (resolve, url) = (resolve(port), format!("ws://h.test:{port}/"));
        let done = run(&[words[0], &resolve, &url], "");
        assert_eq!(done.status, 0, "{}", done.stderr);
        server.join().unwrap();
    }
    for (words, what) in [
        (["-4", "tcp:[::1]:1"], "no IPv4 address"),
        (["--ipv6", "tcp:127.0.0.1:1"], "no IPv6 address"),
        (["-v", "tcp6:127.0.0.1:1"], "no IPv6 address"),
    ] {
        let done = run(&words, "");
        assert_eq!(done.status, 6, "{}", done.stderr);
        assert!(done.stderr.contains(what), "{}", done.stderr);
    }
    assert_eq!(run(&["-4", "-6", "tcp:1"], "").status, 2);
}

#[test]
fn a_unix_socket_serves_in_place_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let request = String::from_utf8(request).unwrap();
        let mut bytes = answer_101(&request, "").into_bytes();
        bytes.extend(frame_bytes(0x88, &1000u16.to_be_bytes(), false));
        stream.write_all(&bytes).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        request
    });
    let path = path.display().to_string();
    let proxy = "--proxy=http://127.0.0.1:1";
    let done = run(&["--unix-socket", &path, proxy, "ws://no.such.test/x"], "");
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert_eq!(headers(&server.join().unwrap(), "host"), ["no.such.test"]);
    let done = run(&["--unix-socket", "/nonexistent", "ws://h/"], "");
    assert_eq!(done.status, 7, "{}", done.stderr);
    assert!(done.stderr.contains("/nonexistent"), "{}", done.stderr);
}

#[test]
fn a_name_beyond_ascii_is_looked_up_and_sent_in_its_form_of_ascii() {
    for option in ["resolve", "connect-to"] {
        let (port, server) = opening();
        let value = match option {
            "resolve" => format!("BÜcher.example:{port}:127.0.0.1"),
            _ => format!("bücher.example:{port}:127.0.0.1:{port}"),
        };
        let url = format!("ws://bücher.example:{port}/ü");
        assert_greeted(&run(&[&format!("--{option}={value}"), &url], ""));
        let request = &server.join().unwrap()[0];
        let host = format!("xn--bcher-kva.example:{port}");
        assert_eq!(headers(request, "host"), [host]);
        assert!(request.starts_with("GET /%C3%BC HTTP/1.1"), "{request}");
    }
    let done = run(&["ws://bücher.invalid/"], "");
    assert_eq!(done.status, 6);
    assert!(
        done.stderr.contains("looking up 'xn--bcher-kva.invalid'"),
        "{}",
        done.stderr
    );
}
