//! The prompt, in a terminal of its own, against a raw WebSocket server.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, Termios, tcgetattr};

use crate::lines::whole;
use crate::support::{Frame, PATIENCE, Ws, terminal};

/// The program with a terminal on stdin, stdout and stderr, connected to a server of ours.
struct Terminal {
    child: Child,
    keys: File,
    /// The program's end, to see how it is set.
    line: File,
    before: Termios,
    chunks: Receiver<Vec<u8>>,
    /// With and without colours.
    raw: String,
    seen: String,
    /// How much of it has been looked at.
    at: usize,
    home: tempfile::TempDir,
}

fn open(words: &[&str], variables: &[(&str, &str)]) -> (Terminal, Ws) {
    let home = tempfile::tempdir().unwrap();
    open_at(home, words, variables)
}

fn open_at(home: tempfile::TempDir, words: &[&str], variables: &[(&str, &str)]) -> (Terminal, Ws) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (keys, line) = terminal();
    let open = || line.try_clone().unwrap();
    // The program changes it soon.
    let before = tcgetattr(&line).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_wsbridge"))
        .args(words)
        .arg(&url)
        .env_clear()
        .envs([("TERM", "xterm"), ("HOME", home.path().to_str().unwrap())])
        .envs(variables.iter().copied())
        .stdin(open())
        .stdout(open())
        .stderr(open())
        .spawn()
        .unwrap();
    let mut screen = keys.try_clone().unwrap();
    let (sender, chunks) = channel();
    thread::spawn(move || {
        let mut buf = [0; 4096];
        while let Ok(count @ 1..) = screen.read(&mut buf) {
            if sender.send(buf[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    let terminal = Terminal {
        child,
        keys,
        before,
        line,
        chunks,
        raw: String::new(),
        seen: String::new(),
        at: 0,
        home,
    };
    (terminal, Ws::accept(&listener))
}

/// At the prompt, with the greeting read.
fn ready(words: &[&str]) -> (Terminal, Ws) {
    let (mut terminal, ws) = open(words, &[]);
    terminal.sees("connected to ws://127.0.0.1:");
    terminal.sees("> ");
    (terminal, ws)
}

impl Terminal {
    fn types(&mut self, keys: &str) -> &mut Terminal {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self
    }

    /// Waits until this is shown, behind what was waited for before.
    #[track_caller]
    fn sees(&mut self, text: &str) -> &mut Terminal {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.seen[self.at..].find(text) {
                self.at += found + text.len();
                return self;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.chunks.recv_timeout(left) {
                Ok(chunk) => {
                    self.raw += &String::from_utf8_lossy(&chunk);
                    self.seen.clone_from(&self.raw);
                    for colour in ["\x1b[0m", "\x1b[32m", "\x1b[33m", "\x1b[36m"] {
                        self.seen = self.seen.replace(colour, "");
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {text:?} in {:?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("ended without {text:?}: {:?}", self.seen)
                }
            }
        }
    }

    /// Waits for the end; the terminal must be as it was before.
    #[track_caller]
    fn ends(&mut self, status: i32) {
        let ended = self.child.wait().unwrap();
        let got = ended.code().or(ended.signal().map(|signal| 128 + signal));
        self.at = self.at.min(self.seen.len());
        let now = tcgetattr(&self.line).unwrap();
        assert_eq!(
            now.local_modes, self.before.local_modes,
            "the terminal is not restored"
        );
        assert_eq!(
            now.input_modes, self.before.input_modes,
            "the terminal is not restored"
        );
        assert!(
            now.local_modes
                .contains(LocalModes::ICANON | LocalModes::ECHO)
        );
        assert_eq!(got, Some(status), "{:?}", self.seen);
        // Whatever the shell shows next stands alone: no prompt was drawn behind the last that we have shown.
        self.line.write_all(b"the shell").unwrap();
        self.sees("the shell");
        let behind = self.seen.rsplit("\x1b[?2004l").next().unwrap();
        assert!(!behind.contains("> "), "{:?}", self.seen);
    }

    fn history(&self) -> std::path::PathBuf {
        self.home.path().join(".local/state/wsbridge/history")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended; what has been waited for can not be hit.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn close(code: u16, reason: &str) -> Frame {
    Frame::Close(code, reason.to_owned())
}

#[test]
fn what_comes_does_not_tear_what_is_typed() {
    let (mut terminal, mut ws) = ready(&[]);
    terminal.types("half a li").sees("half a li");
    ws.text("hello \x1b[2J\x07");
    // The line is wiped, the message shown, and the line drawn again.
    terminal.sees("< hello \\e[2J\\u{7}").sees("half a li");
    ws.binary(b"\0AB\xff");
    terminal
        .sees("binary, 4 bytes")
        .sees("000000  00 41 42 ff")
        .sees(".AB.")
        .sees("half a li");
    terminal.types("ne\r");
    assert_eq!(ws.next(), Frame::text("half a line"));
    assert!(terminal.raw.contains("\x1b[36m<\x1b[0m hello"));
    assert!(!terminal.raw.contains("\x1b[2J"));
    ws.close(1000, "bye");
    terminal.sees("# closed: close 1000 \"bye\"");
    terminal.ends(0);
}

#[test]
fn a_message_that_is_cut_is_shown_as_far_as_it_came() {
    let (mut terminal, mut ws) = ready(&[]);
    ws.frame(0x01, b"half").close(1000, "");
    terminal.sees("< half");
    terminal.sees("# closed: close 1000 within a message, after 4 bytes of it");
    assert_eq!(ws.next(), close(1000, ""));
    ws.fin();
    terminal.ends(56);
}

#[test]
fn a_ping_goes_over_a_connection_that_is_made_again_too() {
    let (mut terminal, mut ws) = ready(&["--reconnect"]);
    terminal.types("hello\r/ping\r");
    assert_eq!(ws.next(), Frame::text("hello"));
    // One asks whether hello was taken, the other is the person's.
    for _ in 0..2 {
        let Frame::Ping(number) = ws.next() else {
            panic!("no ping");
        };
        ws.frame(0x8A, &number);
    }
    terminal.sees("pong after ");
    terminal.types("/quit\r");
    ws.answer_close(1000);
    terminal.ends(0);
}

#[test]
fn commands_ping_close_and_send() {
    let (mut terminal, mut ws) = ready(&[]);
    terminal.types("/ping\r");
    let Frame::Ping(number) = ws.next() else {
        panic!("no ping");
    };
    ws.frame(0x8A, &number);
    terminal.sees("pong after ");
    terminal.types("/binary 00 ff\r//x\r/pnig\r");
    assert_eq!(ws.next(), Frame::Binary(vec![0, 255]));
    assert_eq!(ws.next(), Frame::text("/x"));
    terminal.sees("did you mean /ping?");
    terminal.types("/help\r").sees("/send-file FILE");
    let path = terminal.home.path().join("file");
    fs::write(&path, "a\nb\n").unwrap();
    terminal.types(&format!(
        "/send-file {}\r/send-file /none\r",
        path.display()
    ));
    assert_eq!(ws.next(), Frame::text("a\nb\n"));
    terminal.sees("reading /none: no such file or directory");
    terminal.types("/close 4001 bye\r");
    assert_eq!(ws.next(), close(4001, "bye"));
    ws.close(4001, "bye");
    terminal.ends(0);
    let (mut terminal, mut ws) = ready(&["--linger", "1h"]);
    terminal.types("/quit\r");
    assert_eq!(ws.next(), close(1000, ""));
    ws.close(1000, "");
    terminal.ends(0);
}

#[test]
fn a_paste_of_many_lines_is_one_message() {
    let (mut terminal, mut ws) = ready(&[]);
    let text: String = (0..1024)
        .map(|n| format!("line {n:04} of the paste, its length is 40\n"))
        .collect();
    assert!(text.len() >= 40 * 1024);
    let mut keys = terminal.keys.try_clone().unwrap();
    let pasted = format!("\x1b[200~{}\x1b[201~", text.replace('\n', "\r"));
    // The program shows it while it is typed.
    let typist = thread::spawn(move || {
        keys.write_all(pasted.as_bytes()).unwrap();
        keys.write_all(b"\r").unwrap();
    });
    // In fragments: it is longer than a frame.
    assert!(whole(&mut ws) == Frame::text(&text));
    typist.join().unwrap();
    // Lines that come at once without the marks of a paste are a message each, and none is lost.
    terminal.types("one\rtwo\rthree\r");
    for line in ["one", "two", "three"] {
        assert_eq!(ws.next(), Frame::text(line));
    }
    ws.close(1000, "");
    terminal.ends(0);
}

#[test]
fn control_c_clears_the_line_and_then_ends() {
    let (mut terminal, mut ws) = ready(&[]);
    terminal.types("wrong").sees("wrong");
    terminal.types("\x03").sees("> ");
    terminal.types("right\r");
    assert_eq!(ws.next(), Frame::text("right"));
    terminal.sees("\n").sees("> ");
    terminal.types("\x03");
    assert_eq!(ws.next(), close(1001, "stop"));
    ws.close(1001, "");
    terminal.ends(130);
}

#[test]
fn control_d_is_the_end_of_input_and_answers_are_still_shown() {
    let (mut terminal, mut ws) = ready(&["-n"]);
    terminal.types("\x04").sees("\n").sees("> ");
    ws.text("late");
    terminal.sees("late");
    ws.close(1000, "");
    terminal.sees("closed: close 1000");
    terminal.ends(0);
    let (mut terminal, mut ws) = ready(&["--linger", "0"]);
    terminal.types("\x04");
    assert_eq!(ws.next(), close(1000, ""));
    ws.close(1000, "");
    terminal.ends(0);
}

#[test]
fn history_is_kept_for_its_owner_alone() {
    let (mut terminal, mut ws) = ready(&[]);
    terminal.types("first\r secret\r");
    assert_eq!(ws.next(), Frame::text("first"));
    assert_eq!(ws.next(), Frame::text(" secret"));
    terminal.types("\x1b[A\r");
    assert_eq!(ws.next(), Frame::text("first"));
    ws.close(1000, "");
    terminal.ends(0);
    let path = terminal.history();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert!(!fs::read_to_string(&path).unwrap().contains("secret"));
    let home = std::mem::replace(&mut terminal.home, tempfile::tempdir().unwrap());
    let (mut again, mut ws) = open_at(home, &["--no-history"], &[]);
    again.sees("> ").types("\x1b[Aunkept\r");
    assert_eq!(ws.next(), Frame::text("unkept"));
    let home = std::mem::replace(&mut again.home, tempfile::tempdir().unwrap());
    let (mut again, mut ws) = open_at(home, &[], &[]);
    again.sees("> ").types("\x1b[A\r");
    assert_eq!(ws.next(), Frame::text("first"));
}

#[test]
fn the_terminal_is_restored_when_the_peer_closes_or_a_signal_comes() {
    let (mut terminal, mut ws) = ready(&[]);
    terminal.types("in the mid").sees("in the mid");
    ws.close(4001, "bye");
    terminal.sees("closed: close 4001 \"bye\"");
    terminal.ends(111);
    let (mut terminal, mut ws) = ready(&[]);
    terminal.types("in the mid").sees("in the mid");
    let pid = Pid::from_child(&terminal.child);
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(ws.next(), close(1001, "stop"));
    // The second does not wait for anybody.
    kill_process(pid, Signal::TERM).unwrap();
    terminal.ends(143);
}

#[test]
fn colours_and_the_prompt_can_be_left_out() {
    let (mut terminal, mut ws) = open(&[], &[("NO_COLOR", "1")]);
    terminal.sees("# connected to").sees("> ");
    ws.text("plain");
    terminal.sees("< plain");
    assert_eq!(terminal.raw, terminal.seen);
    for (words, variables) in [
        (&["--no-interactive"][..], &[][..]),
        (&["-b"], &[]),
        (&["-u"], &[]),
        (&[], &[("TERM", "dumb")]),
    ] {
        let (mut terminal, mut ws) = open(words, variables);
        terminal.types("a line\n");
        let expected = match words {
            ["-b"] => Frame::Binary(b"a line\n".to_vec()),
            _ => Frame::text("a line"),
        };
        assert_eq!(ws.next(), expected, "{words:?}");
        assert!(!terminal.seen.contains("connected"), "{words:?}");
    }
}

#[test]
fn a_terminal_that_takes_nothing_does_not_hold_up_a_stop() {
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (mut keys, line) = terminal();
        let open = || line.try_clone().unwrap();
        let before = tcgetattr(&line).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wsbridge"))
            .args(["--no-history", &url])
            .env_clear()
            .envs([("TERM", "xterm"), ("NO_COLOR", "1")])
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        let mut server = Ws::accept(&listener);
        // The prompt is there, and from now on nobody reads.
        let (mut seen, mut buf) = (Vec::new(), [0; 1024]);
        while !seen.windows(2).any(|two| two == b"> ") {
            let count = keys.read(&mut buf).unwrap();
            seen.extend_from_slice(&buf[..count]);
        }
        for _ in 0..200 {
            server.text(&"x".repeat(10_000));
        }
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let ended = loop {
            if let Some(ended) = child.try_wait().unwrap() {
                break ended;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("it does not end");
            }
            thread::yield_now();
        };
        assert_eq!(ended.code(), Some(status));
        let after = tcgetattr(&line).unwrap();
        assert_eq!(after.local_modes, before.local_modes);
    }
}
