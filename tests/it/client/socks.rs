//! SOCKS 5 proxies.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{OPEN, answer, assert_greeted, scripted};
use crate::support::{run, run_in};

/// Reads what is expected, and says the answer.
#[track_caller]
fn turn(stream: &mut TcpStream, wanted: &[u8], said: &[u8]) {
    let mut got = vec![0; wanted.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, wanted);
    stream.write_all(said).unwrap();
}

const YES: &[u8] = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x01";

#[test]
fn socks5h_leaves_the_name_to_the_proxy() {
    let (port, proxy) = scripted(|stream| {
        turn(stream, b"\x05\x02\x00\x02", b"\x05\x02");
        turn(stream, b"\x01\x02me\x04hush", b"\x01\x00");
        turn(stream, b"\x05\x01\x00\x03\x0cno.such.test\x00\x51", YES);
        answer(stream, OPEN)
    });
    let url = format!("socks5h://me:hush@127.0.0.1:{port}");
    let done = run_in(
        &[("all_proxy", &url)],
        &["-vvv", "ws://no.such.test:81/"],
        "",
    );
    assert_greeted(&done);
    assert!(!done.stderr.contains("hush"), "{}", done.stderr);
    proxy.join().unwrap();
}

#[test]
fn socks5_looks_the_name_up_itself_and_nothing_early_is_lost() {
    let (port, proxy) = scripted(|stream| {
        turn(stream, b"\x05\x01\x00", b"\x05\x00");
        let mut said = YES.to_vec();
        said.extend(b"early");
        turn(stream, b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x16", &said);
    });
    let flag = format!("--proxy=socks5://127.0.0.1:{port}");
    let words = [
        "-U",
        &flag,
        "--resolve=no.such.test:22:10.0.0.1",
        "tcp:no.such.test:22",
    ];
    let done = run(&words, "");
    proxy.join().unwrap();
    assert_eq!(done.text(), "early", "{}", done.stderr);
    let done = run(&[&flag, "ws://no-such-host.invalid/"], "");
    assert!([6, 7].contains(&done.status), "{}", done.stderr);
}

#[test]
fn a_no_is_exit_97_with_its_meaning() {
    let (port, proxy) = scripted(|stream| {
        turn(stream, b"\x05\x02\x00\x02", b"\x05\x02");
        turn(stream, b"\x01\x02me\x04hush", b"\x01\x01");
    });
    let flag = format!("--proxy=socks5h://me:hush@127.0.0.1:{port}");
    let done = run(&[&flag, "ws://h.test/"], "");
    proxy.join().unwrap();
    assert_eq!(done.status, 97, "{}", done.stderr);
    let words = format!(
        "through the proxy socks5h://127.0.0.1:{port}: refused: user and password are wrong"
    );
    assert!(done.stderr.contains(&words), "{}", done.stderr);
    assert!(!done.stderr.contains("hush"), "{}", done.stderr);
    let (port, proxy) = scripted(|stream| {
        turn(stream, b"\x05\x01\x00", b"\x05\x00");
        turn(
            stream,
            b"\x05\x01\x00\x03\x06h.test\x00\x50",
            b"\x05\x04\x00\x01",
        );
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let done = run(
        &[
            &format!("--proxy=socks5h://127.0.0.1:{port}"),
            "ws://h.test/",
        ],
        "",
    );
    proxy.join().unwrap();
    assert_eq!(done.status, 97, "{}", done.stderr);
    assert!(done.stderr.contains("host unreachable"), "{}", done.stderr);
}
