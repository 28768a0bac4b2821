//! `wsbridge doctor`: each step on the way, and the one where it stops.

use std::io::Read;
use std::net::TcpListener;
use std::process::Command;

use crate::support::{Bridge, terminal};

/// Runs doctor; returns its exit status and its lines without times.
fn doctor(words: &[&str]) -> (i32, Vec<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsbridge"));
    let output = command.arg("doctor").args(words).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().all(|line| line.len() < 120), "{text}");
    let lines = text.lines().map(|line| match line.split_once(" ms  ") {
        Some((verdict, rest)) => {
            let verdict = verdict.split_whitespace().next().unwrap();
            let words: Vec<_> = rest.split_whitespace().collect();
            format!("{verdict} {}", words.join(" "))
        }
        None => line.trim().to_owned(),
    });
    (output.status.code().unwrap(), lines.collect())
}

#[test]
fn colours_are_for_terminals_alone() {
    let shown = |no_color: &str| {
        let (mut screen, stdout) = terminal();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wsbridge"));
        command.args(["doctor", "-"]).env("NO_COLOR", no_color);
        let mut child = command.stdout(stdout).spawn().unwrap();
        drop(command);
        child.wait().unwrap();
        let mut bytes = Vec::new();
        // It fails when nobody has the terminal any more.
        let _ = screen.read_to_end(&mut bytes);
        String::from_utf8(bytes).unwrap()
    };
    assert!(shown("").contains("  \x1b[32mok  \x1b[0m "));
    assert!(shown("1").contains("  ok   "));
    assert!(!shown("1").contains('\x1b'));
}

#[test]
fn every_step_is_told() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let place = format!("127.0.0.1:{}", bridge.port);
    let url = format!("ws://{place}/");
    let (status, lines) = doctor(&[&url]);
    let connected = format!("ok connect {place}");
    assert_eq!(
        lines,
        [
            url.as_str(),
            &connected,
            "ok upgrade 101 Switching Protocols, half-close agreed",
            "ok open in all; it takes messages",
            "ok ping pong; half-close in force",
            "ok greeting it says nothing by itself; a server that wants a",
            "subprotocol may stay silent without one: --protocol",
            "NAME",
            "ok close Close 1000",
        ]
    );
    assert_eq!(status, 0);
}

#[test]
fn a_silent_server_with_a_subprotocol_or_one_that_speaks_gets_no_hint() {
    let agreed = Bridge::start(&["--protocol", "chat", "ws-l:0", "echo:"]);
    let speaking = Bridge::start(&["ws-l:0", "literal:hello"]);
    let url = |bridge: &Bridge| format!("ws://127.0.0.1:{}/", bridge.port);
    for words in [
        &["--protocol", "chat", &url(&agreed)][..],
        &[&url(&speaking)],
    ] {
        let (_, lines) = doctor(words);
        assert!(!lines.concat().contains("greeting"), "{lines:?}");
    }
}

#[test]
fn it_says_where_it_stops() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = silent.local_addr().unwrap().to_string();
    let url = format!("ws://{place}/");
    let (status, lines) = doctor(&["--handshake-timeout", "50ms", &url]);
    assert_eq!(status, 28);
    assert_eq!(
        lines[2],
        "FAIL upgrade no answer to the handshake within 50ms"
    );
    assert!(lines[3].starts_with("no answer at all"), "{lines:?}");
    drop(silent);
    let (status, lines) = doctor(&[&url]);
    assert_eq!(status, 7);
    assert_eq!(lines[1], "FAIL connect connection refused (127.0.0.1)");
    let (status, lines) = doctor(&["ws://no.such.host.invalid/"]);
    assert_eq!(status, 6);
    assert!(lines[1].starts_with("FAIL resolve looking up"), "{lines:?}");
}

#[test]
fn tls_is_a_step() {
    let bridge = Bridge::start(&["wss-l:0,self-signed", "echo:"]);
    let url = format!("wss://127.0.0.1:{}/", bridge.port);
    let (status, lines) = doctor(&[&url]);
    assert_eq!(status, 60);
    assert!(
        lines[2].starts_with("FAIL tls its certificate is self-signed"),
        "{lines:?}"
    );
    let (status, lines) = doctor(&["-k", &url]);
    assert_eq!(status, 0);
    assert!(lines[2].starts_with("ok tls TLSv1.3 TLS13_"), "{lines:?}");
}

#[test]
fn several_are_looked_at_and_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made");
    let file = format!("file:{},write", made.display());
    let shell = format!("sh-c:touch {}", made.display());
    let (status, lines) = doctor(&["ws-l:0", &file, &shell, "-", "exec:cat"]);
    assert_eq!(status, 0, "{lines:?}");
    assert!(!made.exists());
    let verdicts = lines.iter().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(verdicts, 5, "{lines:?}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp-l:{}", taken.local_addr().unwrap());
    let (status, lines) = doctor(&["ws-l:0", &address]);
    assert_eq!(status, 7);
    assert!(
        lines[4].starts_with("FAIL listen address already in use"),
        "{lines:?}"
    );
    assert!(lines[5].starts_with("another program has it"), "{lines:?}");
}
