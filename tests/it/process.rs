//! The edge of the process: standard descriptors that are full, of the wrong kind, or gone.

use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use crate::support::{Frame, PATIENCE, Ws, free_port, spawn_under};

#[test]
fn a_server_whose_stderr_takes_nothing_serves_on() {
    let port = free_port();
    let place = format!("ws-l:127.0.0.1:{port}");
    let mut bridge = spawn_under("exec 2>/dev/full", &[&place, "echo:"]);
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "it does not listen");
    }
    // Each session has a closing line that can not be written.
    for _ in 0..3 {
        let mut ws = Ws::connect(port);
        ws.text("hello").close(1000, "");
        let answer = (
            vec![Frame::text("hello")],
            Frame::Close(1000, String::new()),
        );
        assert_eq!(ws.messages(), answer);
    }
    assert!(!bridge.has_ended());
}

#[test]
fn a_stdin_that_can_not_be_read_is_no_end_of_file() {
    let mut running = spawn_under("exec </", &["-", "echo:"]);
    let finished = running.finish();
    assert_eq!(
        (finished.status, finished.text()),
        (1, ""),
        "{}",
        finished.stderr
    );
    assert!(
        finished.stderr.contains("read failed: is a directory"),
        "{}",
        finished.stderr
    );
}

#[test]
fn closed_standard_streams_are_no_abort_where_there_is_no_dev_null() {
    let shell = |line: &str| {
        let line = format!("mount -t tmpfs none /dev && {line}");
        let words = [
            "-r",
            "-m",
            "sh",
            "-c",
            &line,
            env!("CARGO_BIN_EXE_wsbridge"),
        ];
        Command::new("unshare").args(words).output()
    };
    // Where no namespace is to be had there is no such place either.
    if !shell("true").is_ok_and(|done| done.status.success()) {
        return;
    }
    for (line, status, said) in [
        ("\"$0\" - literal:x <&-", 0, "x"),
        ("\"$0\" - literal:x <&- >&-", 0, ""),
        ("\"$0\" - literal:x <&- >&- 2>&-", 0, ""),
        ("\"$0\" --version >&-", 0, ""),
        ("\"$0\" -u literal:x - 2>&-", 0, "x"),
    ] {
        let done = shell(line).unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert_eq!(
            (done.status.code(), text.as_str()),
            (Some(status), said),
            "{line}"
        );
    }
}
