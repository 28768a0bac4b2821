//! Signals that stop nothing: HUP has files read again, USR1 has the sessions listed, USR2 means nothing.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use std::io::{BufRead, BufReader, Write};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Bridge, Frame, PATIENCE, Tcp, Ws, spawn, terminal};

#[test]
fn a_server_goes_on_whatever_it_is_sent() {
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let mut there = bridge.client();
    bridge.running.signal(Signal::HUP);
    bridge.running.line("SIGHUP: nothing to read again");
    bridge.running.signal(Signal::USR2);
    bridge.running.signal(Signal::USR1);
    bridge.running.line("SIGUSR1: 1 session");
    for ws in [&mut there, &mut bridge.client()] {
        assert_eq!(ws.text("hello").next(), Frame::text("hello"));
    }
}

#[test]
fn an_agent_without_a_terminal_goes_on_after_a_hangup() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("reconnect:ws://{}", listener.local_addr().unwrap());
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp:{}", target.local_addr().unwrap());
    let agent = spawn(&[&url, &target]);
    let mut server = Ws::accept(&listener);
    agent.signal(Signal::HUP);
    agent.line("SIGHUP: nothing to read again");
    server.close(1000, "");
}

#[test]
fn a_session_of_pipes_goes_on_after_a_hangup() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let mut running = spawn(&["-", &url]);
    let mut server = Ws::accept(&listener);
    running.signal(Signal::HUP);
    running.line("SIGHUP: nothing to read again");
    running.stdin().write_all(b"still here\n").unwrap();
    assert_eq!(server.next(), Frame::text("still here"));
    server.close(1000, "");
    assert_eq!(running.finish().status, 0);
}

/// ssh ends so: it sends HUP to its ProxyCommand, and nobody has the other ends of the pipes any more.
#[test]
fn a_proxy_command_ends_with_its_pipes_whatever_the_server_does() {
    for words in [&["-b"][..], &["-b", "-n"], &["--linger", "1h"]] {
        for scheme in ["ws", "tcp"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = match scheme {
                "ws" => format!("ws://{}", listener.local_addr().unwrap()),
                _ => format!("tcp:{}", listener.local_addr().unwrap()),
            };
            let mut running = spawn(&[words, &["-", &url]].concat());
            // It takes what comes, and neither answers nor ends.
            let (ws, tcp) = match scheme {
                "ws" => (Some(Ws::accept(&listener)), None),
                _ => (None, Some(Tcp::accept(&listener))),
            };
            running.signal(Signal::HUP);
            running.line("SIGHUP: nothing to read again");
            drop((running.stdin(), running.stdout()));
            assert_eq!(running.wait(), 0, "{words:?} {url}");
            drop((ws, tcp));
        }
    }
}

/// A terminal that is no controlling one sends no signal when it goes: another does.
#[test]
fn a_hangup_ends_what_has_lost_the_terminal_of_its_stdin() {
    let (keys, line) = terminal();
    let mut bridge = InTerminal::of(Command::new(PROGRAM).args(["ws-l:0", "echo:"]), keys, line);
    let id = Pid::from_raw(i32::try_from(bridge.child.id()).unwrap()).unwrap();
    bridge.line("listening on ");
    kill_process(id, Signal::HUP).unwrap();
    bridge.line("SIGHUP: nothing to read again");
    drop(bridge.keys.take());
    kill_process(id, Signal::HUP).unwrap();
    bridge.line("SIGHUP: stopping");
    assert_eq!(bridge.child.wait().unwrap().code(), Some(0));
}

/// The fields of a row of the table, in their order.
fn row(line: &str) -> Vec<(&'static str, String)> {
    let names = [
        "number",
        "caller",
        "target",
        "seconds",
        "bytes_right",
        "bytes_left",
        "state",
    ];
    let mut rest = line.split_once("session ").unwrap().1;
    let mut found = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let start = format!("{name}=");
        rest = rest.strip_prefix(&start).expect(line);
        let end = names.get(at + 1).map(|next| format!(" {next}="));
        let value = end.map_or(rest, |end| rest.split_once(&end).expect(line).0);
        found.push((*name, value.trim_matches('"').to_owned()));
        rest = rest[value.len()..].trim_start();
    }
    found
}

#[track_caller]
fn check(line: &str, expected: &[(&str, &str)]) {
    let found = row(line);
    for (name, value) in expected {
        let field = found.iter().find(|field| field.0 == *name).unwrap();
        assert_eq!(field.1, *value, "{line}");
    }
    let age = found.iter().find(|field| field.0 == "seconds").unwrap();
    assert!(age.1.parse::<f64>().unwrap() < 600.0, "{line}");
}

#[test]
fn the_table_has_a_row_for_each_session() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("tcp:{}", target.local_addr().unwrap());
    let bridge = Bridge::start(&["ws-l:0", &place, "--threads", "3"]);
    let mut one = Ws::ask(bridge.port, "/one", &[]);
    let mut served = Tcp::accept(&target);
    one.binary(b"12345");
    assert_eq!(served.read(5), b"12345");
    served.send("123");
    assert_eq!(one.next(), Frame::Binary(b"123".to_vec()));
    let _two = Ws::ask(bridge.port, "/two", &[]);
    let mut two_served = Tcp::accept(&target);
    two_served.fin();
    bridge.running.signal(Signal::USR1);
    bridge.running.line("SIGUSR1: 2 sessions");
    let (first, second) = (
        bridge.running.line("session number=1 "),
        bridge.running.line("session number=2 "),
    );
    check(
        &first,
        &[
            ("target", &place),
            ("bytes_right", "5"),
            ("bytes_left", "3"),
            ("state", "open"),
        ],
    );
    assert!(row(&first)[1].1.ends_with(" /one"), "{first}");
    check(&second, &[("bytes_right", "0"), ("bytes_left", "0")]);
    // Who has gone is in it no more.
    one.close(1000, "");
    served.fin();
    bridge.closed();
    bridge.running.signal(Signal::USR1);
    bridge.running.line("SIGUSR1: ");
    assert!(bridge.running.line("session number=").contains("number=2 "));
}

#[test]
fn the_table_has_who_waits_for_the_other_side() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", silent.local_addr().unwrap());
    let bridge = Bridge::start(&["tcp-l:0", &url]);
    let _caller = Tcp::connect(bridge.port);
    let mut asked = Tcp::accept(&silent);
    assert_eq!(asked.read(4), b"GET ");
    bridge.running.signal(Signal::USR1);
    bridge.running.line("SIGUSR1: 1 session");
    let line = bridge.running.line("session number=1 ");
    check(&line, &[("target", &url), ("state", "connecting")]);
}

#[test]
fn the_table_of_a_single_session_has_one_row_and_none_is_json_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let running = spawn(&["--log-format", "json", "-", &url]);
    let mut server = Ws::accept(&listener);
    server.text("hello");
    // It may have been asked before the message has come.
    loop {
        running.signal(Signal::USR1);
        let line = running.line(r#""message":"session""#);
        for part in [
            r#""number":1"#,
            r#""caller":"left""#,
            r#""bytes_right":0"#,
            r#""state":"open""#,
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        if line.contains(r#""bytes_left":5"#) {
            break;
        }
    }
    running.signal(Signal::USR2);
    server.close(1000, "");
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    bridge.running.signal(Signal::USR1);
    bridge.running.line("SIGUSR1: no sessions");
}

/// The program in a terminal of its own, which hangs up when its other end is dropped.
struct InTerminal {
    child: Child,
    keys: Option<File>,
    lines: Receiver<String>,
}

impl InTerminal {
    fn start(words: &[&str]) -> InTerminal {
        let (keys, line) = terminal();
        InTerminal::of(Command::new("setsid").arg("--ctty").args(words), keys, line)
    }

    fn of(command: &mut Command, keys: File, line: File) -> InTerminal {
        let (reader, writer) = std::io::pipe().unwrap();
        let child = command
            .stdin(line)
            .stdout(Stdio::null())
            .stderr(OwnedFd::from(writer))
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                // The test may be over.
                let _ = sender.send(line);
            }
        });
        InTerminal {
            child,
            keys: Some(keys),
            lines,
        }
    }

    #[track_caller]
    fn line(&self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("no line with '{part}': {error}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Waits until nobody has the log any more.
    fn end(&self) {
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
    }
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_wsbridge");

#[test]
fn a_server_ends_with_its_terminal_and_not_before() {
    let mut bridge = InTerminal::start(&[PROGRAM, "ws-l:0", "echo:"]);
    bridge.line("listening on ");
    let id = Pid::from_raw(i32::try_from(bridge.child.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
    bridge.line("SIGHUP: nothing to read again");
    drop(bridge.keys.take());
    bridge.line("SIGHUP: stopping");
    assert_eq!(bridge.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_server_that_a_shell_has_in_the_background_ends_with_its_terminal() {
    let line = "\"$0\" ws-l:0 echo: & wait";
    let mut bridge = InTerminal::start(&["sh", "-c", line, PROGRAM]);
    bridge.line("listening on ");
    drop(bridge.keys.take());
    bridge.line("SIGHUP: stopping");
    bridge.end();
}

#[test]
fn a_server_that_was_told_to_ignore_its_terminal_stays() {
    let line = "trap '' HUP; exec \"$0\" ws-l:0 echo:";
    let mut bridge = InTerminal::start(&["sh", "-c", line, PROGRAM]);
    let place = bridge.line("listening on ");
    drop(bridge.keys.take());
    let port = place.rsplit(':').next().unwrap().trim().parse().unwrap();
    let mut ws = Ws::connect(port);
    assert_eq!(ws.text("hello").next(), Frame::text("hello"));
    assert!(bridge.child.try_wait().unwrap().is_none());
}

#[test]
fn a_record_that_was_moved_away_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let [path, old] = ["record", "record.1"].map(|name| folder.path().join(name));
    let tee = format!("left.tee={}", path.display());
    let bridge = Bridge::start(&["-o", &tee, "ws-l:0", "echo:"]);
    let mut ws = bridge.client();
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let has = |path, text: &str| {
        let until = std::time::Instant::now() + PATIENCE;
        while read(path) != text {
            assert!(std::time::Instant::now() < until, "{}", read(path));
            thread::yield_now();
        }
    };
    assert_eq!(ws.text("before").next(), Frame::text("before"));
    has(&path, "before\n");
    std::fs::rename(&path, &old).unwrap();
    bridge.running.signal(Signal::HUP);
    bridge.running.line("record reopened: ");
    assert_eq!(ws.text("after").next(), Frame::text("after"));
    has(&path, "after\n");
    has(&old, "before\n");
}

#[test]
fn a_password_is_read_again_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [password, header] = ["password", "header"].map(|name| folder.path().join(name));
    std::fs::write(&password, "first\n").unwrap();
    std::fs::write(&header, "X-Token: one\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let words = [
        "tcp-l:0",
        &url,
        "--user",
        "me",
        "--password-file",
        password.to_str().unwrap(),
        "-H",
        &format!("@{}", header.display()),
    ];
    let bridge = Bridge::start(&words);
    let asked = || {
        let _caller = Tcp::connect(bridge.port);
        Ws::accept(&listener).head
    };
    // me:first and me:second in base64.
    let [first, second] = ["bWU6Zmlyc3Q=", "bWU6c2Vjb25k"];
    let head = asked();
    assert!(head.contains(first) && head.contains("one"), "{head}");
    std::fs::write(&password, "second\n").unwrap();
    std::fs::write(&header, "no header\n").unwrap();
    bridge.running.signal(Signal::HUP);
    let line = bridge
        .running
        .line("headers and passwords stay as they were: ");
    assert!(!line.contains("no header"), "{line}");
    assert!(asked().contains(first));
    std::fs::write(&header, "X-Token: two\n").unwrap();
    bridge.running.signal(Signal::HUP);
    let line = bridge.running.line("headers and passwords reloaded: ");
    assert!(
        line.ends_with(&format!("{}, {}", header.display(), password.display())),
        "{line}"
    );
    let head = asked();
    assert!(head.contains(second) && head.contains("two"), "{head}");
}
