//! The log: nothing that anybody does not read holds up a session, a stop, or the end of the program.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Bridge, Frame, PATIENCE, Tcp, Ws, frame_bytes, free_port, run, terminal};

/// A bridge whose log is read up to where it listens, and no further unless a test does.
struct Unread {
    child: Child,
    stderr: Option<File>,
    port: u16,
}

impl Unread {
    fn start(words: &[&str]) -> Unread {
        let (reader, writer) = std::io::pipe().unwrap();
        Unread::with(words, OwnedFd::from(reader).into(), writer.into())
    }

    /// Starts one that writes its log to one end of something; `reader` is the other end.
    fn with(words: &[&str], reader: File, writer: OwnedFd) -> Unread {
        let port = free_port();
        let child = Command::new(env!("CARGO_BIN_EXE_wsbridge"))
            .arg(format!("ws-l:{port}"))
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(writer)
            .spawn()
            .unwrap();
        let mut unread = Unread {
            child,
            stderr: Some(reader),
            port,
        };
        let mut line = Vec::new();
        while !String::from_utf8_lossy(&line).contains("listening on ") {
            line.clear();
            let mut byte = [0];
            while byte != *b"\n" {
                let stderr = unread.stderr.as_mut().unwrap();
                assert_eq!(stderr.read(&mut byte).unwrap(), 1);
                line.extend_from_slice(&byte);
            }
        }
        unread
    }

    fn visit(&self) {
        let mut ws = Ws::connect(self.port);
        assert_eq!(ws.text("hello").next(), Frame::text("hello"));
        ws.close(1000, "");
        assert_eq!(ws.next(), Frame::Close(1000, String::new()));
    }

    /// A visit of a page that is not allowed.
    fn intrude(&self) {
        let mut tcp = Tcp::connect(self.port);
        let path = "x".repeat(300);
        tcp.send(format!(
            "GET /{path} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.test\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        assert_eq!(tcp.read(12), b"HTTP/1.1 403");
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill_process(id.unwrap(), signal).unwrap();
    }

    #[track_caller]
    fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Reads the log until a line has `part`, and returns that line.
    #[track_caller]
    fn line(&mut self, part: &str) -> String {
        let lines = BufReader::new(self.stderr.take().unwrap()).lines();
        let (sender, told) = std::sync::mpsc::channel();
        let wanted = part.to_owned();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains(&wanted) {
                    // The test may have given up.
                    let _ = sender.send(line);
                }
            }
        });
        told.recv_timeout(PATIENCE).unwrap()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines that fill a pipe several times over.
const MANY: usize = 1500;

#[test]
fn a_log_that_nobody_reads_holds_up_neither_sessions_nor_a_stop() {
    for words in [
        &["echo:"][..],
        &["echo:", "--log-format", "json"],
        &["echo:", "-vvv"],
    ] {
        let mut bridge = Unread::start(words);
        for _ in 0..MANY / words.len() {
            bridge.visit();
        }
        bridge.signal(Signal::TERM);
        assert_eq!(bridge.wait(), Some(0), "{words:?}");
    }
}

#[test]
fn refusals_that_nobody_reads_of_hold_up_nobody() {
    let mut bridge = Unread::start(&["echo:"]);
    for _ in 0..MANY {
        bridge.intrude();
    }
    bridge.visit();
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait(), Some(0));
}

#[test]
fn a_terminal_that_is_stopped_holds_up_nobody() {
    for words in [&["echo:"][..], &["echo:", "--progress"]] {
        let (mut screen, line) = terminal();
        let mut bridge = Unread::with(words, screen.try_clone().unwrap(), line.into());
        screen.write_all(b"\x13").unwrap();
        for _ in 0..50 {
            bridge.visit();
        }
        bridge.signal(Signal::TERM);
        assert_eq!(bridge.wait(), Some(0), "{words:?}");
    }
}

#[test]
fn a_second_signal_ends_at_once_though_the_log_is_full() {
    let mut bridge = Unread::start(&["echo:", "--drain", "1h", "--close-timeout", "1h"]);
    for _ in 0..MANY {
        bridge.visit();
    }
    let mut ws = Ws::connect(bridge.port);
    bridge.signal(Signal::TERM);
    assert_eq!(ws.next(), Frame::Close(1001, "stop".to_owned()));
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait(), Some(143));
}

#[test]
fn who_reads_late_is_told_how_many_lines_were_lost() {
    let mut bridge = Unread::start(&["echo:", "-vvv"]);
    // A line has 350 bytes of it, and a mebibyte may wait.
    let path = "x".repeat(400);
    for _ in 0..6000 {
        let mut ws = Ws::ask(bridge.port, &format!("/{path}"), &[]);
        ws.close(1000, "");
        ws.messages();
    }
    let line = bridge.line(" lost: ");
    let count = line.strip_prefix("wsbridge: warning: ");
    let count =
        count.and_then(|line| line.strip_suffix(" lines lost: stderr was not read in time"));
    assert!(count.unwrap().parse::<u64>().unwrap() > 100, "{line}");
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait(), Some(0));
}

#[test]
fn the_end_of_the_program_waits_for_its_last_line_but_not_long() {
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", nowhere.local_addr().unwrap());
    drop(nowhere);
    for format in ["text", "json"] {
        let done = run(&["--log-format", format, "-", &url], "");
        let lines = done.stderr.lines().count();
        assert_eq!((done.status, lines), (7, 1), "{}", done.stderr);
        // The same where stderr takes nothing.
        let (_reader, writer) = std::io::pipe().unwrap();
        let mut full = File::from(OwnedFd::from(writer));
        rustix::io::ioctl_fionbio(&full, true).unwrap();
        while full.write(&[b'x'; 4096]).is_ok() {}
        while full.write(b"x").is_ok() {}
        rustix::io::ioctl_fionbio(&full, false).unwrap();
        for words in [&["-", url.as_str()][..], &["--nonsense"]] {
            let mut child = Command::new(env!("CARGO_BIN_EXE_wsbridge"))
                .args(["--log-format", format])
                .args(words)
                .stdin(Stdio::null())
                .stderr(full.try_clone().unwrap())
                .spawn()
                .unwrap();
            let deadline = Instant::now() + PATIENCE;
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                assert!(Instant::now() < deadline, "{words:?} do not end");
                thread::sleep(Duration::from_millis(5));
            };
            assert!([Some(7), Some(2)].contains(&status.code()), "{status}");
        }
    }
}

/// Sends until nothing more is taken.
fn flood(ws: &mut Ws) {
    ws.stream.set_nonblocking(true).unwrap();
    let frame = frame_bytes(0x82, &[b'x'; 60_000], true);
    let mut since = Instant::now();
    let mut at = 0;
    while since.elapsed() < Duration::from_millis(500) {
        match ws.stream.write(&frame[at..]) {
            Ok(count) => {
                at = (at + count) % frame.len();
                since = Instant::now();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    ws.stream.set_nonblocking(false).unwrap();
}

#[test]
fn a_dump_that_nobody_reads_slows_its_session_and_no_other_and_no_stop() {
    let mut bridge = Unread::start(&["null:", "--dump", "--drain", "1h"]);
    let mut loud = Ws::connect(bridge.port);
    flood(&mut loud);
    // Another one is served to its end.
    let mut quiet = Ws::connect(bridge.port);
    quiet.text("hello").close(1000, "");
    assert_eq!(quiet.next(), Frame::Close(1000, String::new()));
    bridge.signal(Signal::TERM);
    // All of it is taken now, and then its end.
    loud.fin();
    while !matches!(loud.next(), Frame::Eof | Frame::Reset) {}
    bridge.wait();
}

#[test]
fn what_callers_cause_is_limited_and_the_rest_is_counted() {
    let bridge = Unread::start(&["echo:"]);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let port = bridge.port;
    let mut reader = Unread {
        child: Command::new("true").spawn().unwrap(),
        stderr: None,
        port,
    };
    let mut bridge = bridge;
    reader.stderr = bridge.stderr.take();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let until = Instant::now() + PATIENCE;
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) && Instant::now() < until
                {
                    bridge.intrude();
                }
            });
        }
        let line = reader.line(" more line");
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        let rest = "about single callers within a second; the log takes 100 a second";
        assert!(line.contains(rest), "{line}");
    });
}

#[test]
fn ordinary_use_sees_no_limit() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    for _ in 0..50 {
        let mut ws = bridge.client();
        ws.close(1000, "");
        ws.next();
    }
    for _ in 0..50 {
        bridge.closed();
    }
    assert!(!bridge.stop().stderr.contains(" more "));
}
