//! `--progress`: a terminal shows how much has passed, and nothing else is changed by it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use crate::support::{run, terminal};

/// Starts the program with a terminal on its stderr, and nothing more of it on pipes.
fn start(words: &[&str]) -> (Child, File) {
    let (screen, stderr) = terminal();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsbridge"));
    command.args(words).stderr(stderr);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    (command.spawn().unwrap(), screen)
}

/// What a terminal shows until nobody has it any more; reading then fails.
fn shown(mut screen: File) -> String {
    let mut bytes = Vec::new();
    let _ = screen.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_whole_is_shown_at_the_end() {
    let (mut child, screen) = start(&["--progress", "-", "echo:"]);
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        for _ in 0..2048 {
            stdin.write_all(&[b'a'; 1023]).unwrap();
            stdin.write_all(b"\n").unwrap();
        }
    });
    let mut heard = Vec::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_end(&mut heard).unwrap();
    writer.join().unwrap();
    let status = child.wait().unwrap();
    let shown = shown(screen);
    assert_eq!((status.code(), heard.len()), (Some(0), 2 << 20));
    // 2048 times 1023 bytes: a line's newline is no part of its message.
    let last = shown.trim_end().rsplit('\r').next().unwrap();
    assert!(last.contains("  > 2.00 MiB  "), "{shown:?}");
    assert!(last.contains("  < 2.00 MiB  "), "{shown:?}");
    assert_eq!(last.matches("/s  2048 msg").count(), 2, "{shown:?}");
    assert!(shown.ends_with("\x1b[K\r\n"), "{shown:?}");
}

#[test]
fn a_message_of_the_program_has_a_line_of_its_own() {
    let (mut child, mut screen) = start(&["--progress", "tcp-l:0", "tcp:127.0.0.1:1"]);
    let mut seen = String::new();
    let mut buf = [0; 4096];
    let mut until = |text: &str| {
        while !seen.contains(text) {
            let count = screen.read(&mut buf).unwrap();
            seen += std::str::from_utf8(&buf[..count]).unwrap();
        }
        seen.clone()
    };
    let said = until("0:00:00  > 0 B  0 B/s  0 msg\x1b[K\r");
    let (_, place) = said.split_once("listening on tcp://").unwrap();
    let place = place.lines().next().unwrap().split(' ').next().unwrap();
    let _caller = std::net::TcpStream::connect(place).unwrap();
    // The line is wiped away before.
    until("\r\x1b[Kwsbridge: warning: connecting to tcp:127.0.0.1:1: ");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn nothing_is_shown_where_there_is_no_terminal() {
    let done = run(&["--progress", "-", "echo:"], "a\n");
    assert_eq!((done.status, done.text(), &*done.stderr), (0, "a\n", ""));
}
