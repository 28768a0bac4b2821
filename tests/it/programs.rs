//! Programs behind a listener and at a single session's side: what the caller sees, and what is left of them.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Bridge, Finished, Frame, PATIENCE, Tcp, TcpEnd, Ws, run, spawn, spawn_under};

/// A program behind a WebSocket server.
fn program(words: &[&str]) -> Bridge {
    Bridge::start(&[&["ws-l:0", "--"], words].concat())
}

fn sh(line: &str) -> Bridge {
    program(&["sh", "-c", line])
}

fn close(code: u16, reason: &str) -> Frame {
    Frame::Close(code, reason.to_owned())
}

/// What a caller sees of a line of shell that nobody says anything to.
#[track_caller]
fn check(line: &str, messages: &[&str], end: &Frame) {
    let bridge = sh(line);
    let mut caller = bridge.client();
    let seen = caller.messages();
    let expected: Vec<_> = messages.iter().map(|text| Frame::text(text)).collect();
    assert_eq!((&seen.0, &seen.1), (&expected, end), "{line}");
    caller.answer_close(1000);
    assert_eq!(bridge.stop().status, 0, "{line}");
}

/// The processes whose environment has this marker: id, parent and state.
fn marked(marker: &str) -> Vec<(u32, u32, char)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| {
        let environment = fs::read(format!("/proc/{id}/environ")).ok()?;
        let has = environment
            .windows(marker.len())
            .any(|part| part == marker.as_bytes());
        has.then(|| state(id))
            .flatten()
            .map(|(parent, state)| (id, parent, state))
    })
    .collect()
}

/// The parent and the state of a process.
fn state(id: u32) -> Option<(u32, char)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let rest = &stat[stat.rfind(')')? + 2..];
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

/// The processes that a process has, dead ones included.
fn children(of: u32) -> Vec<(u32, char)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| state(id).filter(|it| it.0 == of).map(|it| (id, it.1)))
        .collect()
}

/// Waits until something holds: there is no event for what becomes of another process.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn every_caller_has_a_program_of_its_own() {
    let bridge = program(&["cat"]);
    let (mut one, mut other) = (bridge.client(), bridge.client());
    one.text("hello").text("").text("ünï");
    other.text("there");
    assert_eq!(one.next(), Frame::text("hello"));
    assert_eq!(one.next(), Frame::text(""));
    assert_eq!(one.next(), Frame::text("ünï"));
    assert_eq!(other.next(), Frame::text("there"));
    // The end of its input is its end, and a good one.
    one.close(1000, "");
    assert_eq!(one.next(), close(1000, ""));
    other.text("still");
    assert_eq!(other.next(), Frame::text("still"));
}

#[test]
fn how_a_program_ends_is_what_the_caller_is_told() {
    check("exit 0", &[], &close(1000, ""));
    check("echo a; echo b; exit 0", &["a", "b"], &close(1000, ""));
    check("echo a; exit 7", &["a"], &close(4007, "exit 7"));
    check("exit 255", &[], &close(4255, "exit 255"));
    check("echo a; kill -TERM $$", &["a"], &close(4143, "signal TERM"));
    check("kill -KILL $$", &[], &close(4137, "signal KILL"));
    check("printf 'no newline'", &["no newline"], &close(1000, ""));
    check("printf 'a\\n\\nb'", &["a", "", "b"], &close(1000, ""));
}

#[test]
fn a_tcp_caller_gets_all_output_and_a_reset_only_where_it_may_not_be_all() {
    for (line, end) in [
        ("echo a; exit 0", TcpEnd::Eof),
        ("echo a; exit 7", TcpEnd::Eof),
        ("echo a; kill -TERM $$", TcpEnd::Reset),
    ] {
        let bridge = Bridge::start(&["tcp-l:127.0.0.1:0", "--", "sh", "-c", line]);
        assert_eq!(
            Tcp::connect(bridge.port).rest(),
            (b"a\n".to_vec(), end),
            "{line}"
        );
    }
    // Whoever ends its direction has the answer, however late it comes.
    let bridge = Bridge::start(&["tcp-l:127.0.0.1:0", "--", "sort"]);
    let mut caller = Tcp::connect(bridge.port);
    caller.send("b\na\n").fin();
    assert_eq!(caller.rest(), (b"a\nb\n".to_vec(), TcpEnd::Eof));
}

#[test]
fn what_a_program_leaves_in_the_background_is_read_to_its_end() {
    // The program has ended when its job is asked to speak.
    let line = "exec 3<&0; (read line <&3; echo \"late $line\") & echo early";
    let bridge = Bridge::start(&["ws-l:0", "--kill-after", "1m", "--", "sh", "-c", line]);
    let mut caller = bridge.client();
    assert_eq!(caller.next(), Frame::text("early"));
    until("the program has ended", || {
        children(bridge.running.id()).iter().all(|it| it.1 == 'Z')
    });
    // No time of ours but --kill-after bounds how long it says nothing.
    thread::sleep(Duration::from_millis(2500));
    caller.text("word");
    assert_eq!(caller.next(), Frame::text("late word"));
    assert_eq!(caller.next(), close(1000, ""));
    caller.answer_close(1000);
    until("it is reaped", || children(bridge.running.id()).is_empty());
}

/// A bridge whose programs are short of patience, and the mark in their environment.
fn impatient(mark: &str, line: &str) -> (Bridge, String) {
    let mark = format!("WSBRIDGE_TEST_{mark}={}", std::process::id());
    let words = [
        "ws-l:0",
        "--kill-after",
        "200ms",
        "--env",
        &mark,
        "--",
        "sh",
        "-c",
        line,
    ];
    (Bridge::start(&words), mark)
}

#[test]
fn nothing_of_a_programs_group_is_left_when_its_visit_has_ended() {
    for (name, line, end) in [
        ("HOLDS", "sleep 600 & echo hi", close(1000, "")),
        (
            "IGNORES",
            "(trap '' TERM; while :; do sleep 0.1; done) & echo hi; exit 3",
            close(4003, "exit 3"),
        ),
        // Nothing of its output is held, so that the visit ends at once.
        (
            "SILENT",
            "(trap '' TERM; while :; do sleep 0.1; done) >/dev/null 2>&1 & echo hi",
            close(1000, ""),
        ),
    ] {
        let (bridge, mark) = impatient(name, line);
        let mut caller = bridge.client();
        let seen = caller.messages();
        assert_eq!(seen, (vec![Frame::text("hi")], end), "{line}");
        caller.answer_close(1000);
        until("nothing is left", || marked(&mark).is_empty());
        until("it is reaped", || children(bridge.running.id()).is_empty());
        let finished = bridge.stop();
        assert!(!finished.stderr.contains("held"), "{}", finished.stderr);
    }
}

#[test]
fn what_has_left_the_group_lives_and_is_told() {
    let line = "setsid sh -c 'echo $$; exec sleep 600' & read line; exit 3";
    let (bridge, _) = impatient("LEFT", line);
    let mut caller = bridge.client();
    let Frame::Text(id) = caller.next() else {
        panic!("no number of a process");
    };
    caller.text("go");
    assert_eq!(caller.next(), close(4003, "exit 3"));
    caller.answer_close(4003);
    let line = bridge.closed();
    assert!(line.contains("right=exit 3, output still held"), "{line}");
    until("it is reaped", || children(bridge.running.id()).is_empty());
    let id: u32 = std::str::from_utf8(&id).unwrap().parse().unwrap();
    assert!(state(id).is_some_and(|it| it.1 != 'Z'));
    let id = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    kill_process(id, Signal::KILL).unwrap();
}

#[test]
fn a_program_gets_no_descriptor_that_we_were_started_with() {
    for words in [&["--"][..], &["--pty", "--"]] {
        let words = [&["ws-l:0"], words, &["sh", "-c", "echo /proc/self/fd/*"]].concat();
        let bridge = Bridge::of(spawn_under("exec 7</etc/passwd 9>/dev/null", &words));
        let mut caller = bridge.client();
        let text = match caller.next() {
            Frame::Text(text) | Frame::Binary(text) => String::from_utf8(text).unwrap(),
            other => panic!("{other:?}"),
        };
        // The shell has the folder open that it lists.
        let expected = ["0", "1", "2", "3"].map(|name| format!("/proc/self/fd/{name}"));
        assert_eq!(text.trim_end(), expected.join(" "));
    }
}

#[test]
fn how_a_program_ended_is_known_whatever_becomes_of_sigchld() {
    // A shell cannot ignore it; other programs that start us can.
    let ignoring = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); \
                    os.execv(sys.argv[1], sys.argv[1:])";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", ignoring, env!("CARGO_BIN_EXE_wsbridge")]);
    command.args(["-", "--exit-status", "command", "--", "sh", "-c", "exit 7"]);
    let status = command.stdin(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(7));
}

#[test]
fn one_whose_caller_is_lost_has_its_time_to_end_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let line = format!(
        "trap 'echo term >> {0}' TERM; echo up; cat > /dev/null; echo ended >> {0}",
        file.display()
    );
    let wait = |what: &str| {
        until(what, || {
            fs::read_to_string(&file).is_ok_and(|log| log.contains("ended\n"))
        });
        let log = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        log
    };
    let words = ["--kill-after", "1h", "--", "sh", "-c", &line];
    let bridge = Bridge::start(&[&["ws-l:0"][..], &words].concat());
    for what in ["FIN", "RST", "Close 1011", "a breach"] {
        let mut caller = bridge.client();
        assert_eq!(caller.next(), Frame::text("up"));
        match what {
            "FIN" => drop(caller),
            "RST" => caller.reset(),
            "Close 1011" => {
                caller.close(1011, "").fin();
            }
            _ => {
                caller.raw(&[0xFF; 16]).fin();
            }
        }
        assert_eq!(wait(what), "ended\n", "{what}");
    }
    // A stream of bytes that was cut is another matter: there is no good end of it.
    let bridge = Bridge::start(&[&["tcp-l:127.0.0.1:0"][..], &words].concat());
    let mut caller = Tcp::connect(bridge.port);
    assert_eq!(caller.read(3), b"up\n");
    caller.reset();
    assert_eq!(wait("a reset"), "term\nended\n");
}

#[test]
fn what_a_program_does_not_read_holds_nobody_up() {
    // It closes its input, and goes on.
    let bridge = sh("exec <&-; echo ready; sleep 0.5; exit 3");
    let mut caller = bridge.client();
    assert_eq!(caller.next(), Frame::text("ready"));
    for _ in 0..100 {
        caller.text(&"x".repeat(10_000));
    }
    assert_eq!(caller.next(), close(4003, "exit 3"));
    // It ends while its caller is still sending.
    let bridge = sh("read line; exit 5");
    let mut caller = bridge.client();
    for _ in 0..100 {
        caller.text("more");
    }
    assert_eq!(caller.next(), close(4005, "exit 5"));
}

#[test]
fn stderr_is_drained_and_logged_in_bounds() {
    // Far more than any pipe holds, without a newline.
    let bridge = sh("head -c 100000000 /dev/zero >&2; echo done; echo 'an \u{1b}[31mend' >&2");
    let mut caller = bridge.client();
    assert_eq!(
        caller.messages(),
        (vec![Frame::text("done")], close(1000, ""))
    );
    caller.answer_close(1000);
    let log = bridge.running.line("\\u{0}\\u{0}");
    assert!(log.len() < 80_000 && log.ends_with(" ..."), "{}", log.len());
    assert!(bridge.running.peak_memory() < 64 << 20);
    // Of many lines a hundred a second are logged, and how many more there were.
    let bridge = sh("seq 1000000 >&2; echo done");
    let mut caller = bridge.client();
    assert_eq!(caller.next(), Frame::text("done"));
    bridge.running.line(" more lines");
    let logged = bridge
        .stop()
        .stderr
        .lines()
        .filter(|line| line.starts_with("wsbridge: sh: "))
        .count();
    assert!(logged < 10_000, "{logged} lines");
}

#[test]
fn stderr_goes_where_it_is_asked_for() {
    let finished = |how: &str| -> Finished {
        run(
            &[
                "-",
                "--stderr",
                how,
                "--",
                "sh",
                "-c",
                "echo out; echo err >&2",
            ],
            "",
        )
    };
    let merged = finished("merge");
    assert_eq!(merged.text(), "out\nerr\n");
    let inherited = finished("inherit");
    assert_eq!(
        (inherited.text(), inherited.stderr.as_str()),
        ("out\n", "err\n")
    );
    let nothing = finished("null");
    assert_eq!((nothing.text(), nothing.stderr.as_str()), ("out\n", ""));
    let logged = finished("log");
    assert_eq!(
        (logged.text(), logged.stderr.as_str()),
        ("out\n", "wsbridge: sh: err\n")
    );
}

#[test]
fn a_caller_can_tell_stderr_apart() {
    let line = r#"echo '{"kind":"text","text":"out"}'; echo 'an "err"' >&2; exit 3"#;
    let words = [
        "--framing",
        "json",
        "--stderr",
        "json",
        "--",
        "sh",
        "-c",
        line,
    ];
    let told = r#"{"kind":"stderr","text":"an \"err\""}"#;
    let bridge = Bridge::start(&[&["ws-l:0"][..], &words].concat());
    let (mut messages, end) = bridge.client().messages();
    // Two pipes have no order.
    messages.sort_by_key(|message| format!("{message:?}").len());
    assert_eq!(messages, [Frame::text("out"), Frame::text(told)]);
    assert_eq!(end, close(4003, "exit 3"));
    // Between two streams of JSON all passes as it is.
    let done = run(&[&["-"][..], &words].concat(), "");
    let mut lines: Vec<_> = done.text().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [told, r#"{"kind":"text","text":"out"}"#]);
    for (words, what) in [
        (
            &["-", "--stderr", "json", "--", "cat"][..],
            "--framing json",
        ),
        (
            &[
                "-",
                "--stderr",
                "json",
                "--framing",
                "json",
                "--pty",
                "--",
                "cat",
            ],
            "does not apply to --pty",
        ),
    ] {
        let done = run(words, "");
        assert_eq!(done.status, 2, "{}", done.stderr);
        assert!(done.stderr.contains(what), "{}", done.stderr);
    }
}

#[test]
fn the_exit_status_tells_whose_end_was_asked_for() {
    let status =
        |words: &[&str], line: &str| run(&[words, &["--", "sh", "-c", line]].concat(), "").status;
    assert_eq!(status(&["-"], "exit 0"), 0);
    assert_eq!(status(&["-"], "exit 7"), 1);
    assert_eq!(status(&["-", "--exit-status", "command"], "exit 7"), 7);
    assert_eq!(
        status(&["-", "--exit-status", "command"], "kill -TERM $$"),
        143
    );
    // A remote program's status crosses two bridges.
    let bridge = sh("exit 42");
    let done = run(&["--exit-status", "peer", &bridge.url()], "");
    assert_eq!(done.status, 42, "{}", done.stderr);
    assert_eq!(run(&[&bridge.url()], "").status, 111);
}

#[test]
fn a_program_that_is_none_is_told_at_the_start() {
    for (words, status, what) in [
        (
            &["ws-l:0", "--", "no-such-program"][..],
            127,
            "no-such-program: no such program",
        ),
        (
            &["ws-l:0", "exec:ls -l /"],
            127,
            "ls -l /: no such program; write '-- ls -l /', or sh-c: for a shell",
        ),
        (
            &["ws-l:0", "exec:/etc/passwd"],
            126,
            "/etc/passwd: not executable; chmod +x makes it so",
        ),
        (&["ws-l:0", "exec:/"], 126, "/: a folder, and no program"),
        (&["ws-l:0", "exec:"], 3, "a program is missing"),
        (&["ws-l:0", "sh-c:"], 3, "a line of shell is missing"),
        (&["ws-l:0", "echo:", "--", "cat"], 2, "two right sides"),
        (&["ws-l:*:0", "--", "cat"], 2, "--allow-remote-exec"),
    ] {
        let done = run(words, "");
        assert_eq!(done.status, status, "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(what), "{words:?}: {}", done.stderr);
    }
    // It was there, and is no more.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("program");
    fs::copy("/bin/true", &file).unwrap();
    let bridge = program(&[file.to_str().unwrap()]);
    fs::remove_file(&file).unwrap();
    let head = Ws::ask(bridge.port, "/", &[]).head;
    assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
    Bridge::start(&["ws-l:*:0", "--allow-remote-exec", "--", "cat"]);
}

#[test]
fn no_more_programs_run_than_are_allowed() {
    let bridge = Bridge::start(&["ws-l:0", "--max-children", "2", "--", "cat"]);
    let (mut first, _second) = (bridge.client(), bridge.client());
    let head = Ws::ask(bridge.port, "/", &[]).head;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    first.close(1000, "");
    assert_eq!(first.next(), close(1000, ""));
    // Its place is free when it has been reaped.
    until("a place is free", || {
        Ws::ask(bridge.port, "/", &[])
            .head
            .starts_with("HTTP/1.1 101 ")
    });
}

#[test]
fn a_caller_sets_no_variable_that_was_not_asked_for() {
    let bridge = Bridge::start(&[
        "ws-l:0",
        "--env-header",
        "X-User",
        "--env",
        "EXTRA=a b",
        "--",
        "sh",
        "-c",
        "env; echo end",
    ]);
    let long = "y".repeat(5000);
    let headers = [
        ("Proxy", "http://evil.test"),
        ("X-User", "() { :;}; echo pwned"),
        ("X-Long", &long),
        ("Path", "/evil"),
        ("LD-Preload", "/evil.so"),
        ("User-Agent", "() { :;};"),
    ];
    let mut caller = Ws::ask(bridge.port, "/a%20b?c=$(d)", &headers);
    let (messages, _) = caller.messages();
    let lines: Vec<String> = messages
        .iter()
        .map(|message| match message {
            Frame::Text(text) => String::from_utf8(text.clone()).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    let has = |line: &str| assert!(lines.iter().any(|it| it == line), "no {line} in {lines:?}");
    has("REMOTE_ADDR=127.0.0.1");
    has("REQUEST_URI=/a%20b?c=$(d)");
    has("PATH_INFO=/a%20b");
    has("QUERY_STRING=c=$(d)");
    has(&format!("HTTP_HOST=127.0.0.1:{}", bridge.port));
    has("WSBRIDGE_HTTP_X_USER=() { :;}; echo pwned");
    has("EXTRA=a b");
    for line in &lines {
        let name = line.split('=').next().unwrap();
        let is_known = [
            "PATH",
            "HOME",
            "PWD",
            "OLDPWD",
            "SHLVL",
            "_",
            "USER",
            "LOGNAME",
            "SHELL",
            "TERM",
            "TZ",
            "TMPDIR",
            "LANG",
            "LANGUAGE",
            "EXTRA",
            "PROTO",
            "SERVER_SOFTWARE",
            "REMOTE_ADDR",
            "REMOTE_HOST",
            "REMOTE_PORT",
            "TCPREMOTEIP",
            "TCPREMOTEPORT",
            "REQUEST_URI",
            "PATH_INFO",
            "QUERY_STRING",
            "HTTP_HOST",
            "GATEWAY_INTERFACE",
            "REQUEST_METHOD",
            "SCRIPT_NAME",
            "PATH_TRANSLATED",
            "SERVER_NAME",
            "SERVER_PORT",
            "SERVER_PROTOCOL",
            "UNIQUE_ID",
            "end",
        ]
        .contains(&name);
        assert!(
            is_known || name.starts_with("LC_") || name == "WSBRIDGE_HTTP_X_USER",
            "{line}"
        );
        assert!(!line.contains("evil") && !line.contains("yyy"), "{line}");
    }
}

/// The variables that a program prints to its caller, sorted.
#[track_caller]
fn variables(caller: &mut Ws) -> Vec<String> {
    let (messages, _) = caller.messages();
    let text = |frame| match frame {
        Frame::Text(text) => String::from_utf8(text).unwrap(),
        other => panic!("{other:?}"),
    };
    let mut lines: Vec<_> = messages.into_iter().map(text).collect();
    lines.sort();
    lines
}

#[test]
fn under_inetd_a_program_finds_what_it_finds_behind_a_listener() {
    let right = ["--env-header", "X-User", "--", "sh", "-c", "env"];
    let ask = |port| {
        let headers = [("X-User", "me"), ("host", "localhost:8080")];
        let mut caller = Ws::ask(port, "/a?b=c", &headers);
        let mut lines = variables(&mut caller);
        let own = caller.stream.local_addr().unwrap().port();
        assert!(lines.contains(&format!("REMOTE_PORT={own}")), "{lines:?}");
        // They differ from caller to caller; and a shell has its own.
        let differ = [
            "REMOTE_PORT=",
            "TCPREMOTEPORT=",
            "UNIQUE_ID=",
            "_=",
            "OLDPWD=",
        ];
        lines.retain(|line| !differ.iter().any(|name| line.starts_with(name)));
        lines
    };
    let bridge = Bridge::start(&[&["ws-l:0"][..], &right].concat());
    let expected = ask(bridge.port);
    for line in [
        "REMOTE_ADDR=127.0.0.1",
        "REMOTE_HOST=127.0.0.1",
        "REQUEST_METHOD=GET",
        "REQUEST_URI=/a?b=c",
        "PATH_INFO=/a",
        "QUERY_STRING=b=c",
        "HTTP_HOST=localhost:8080",
        "SERVER_NAME=localhost",
        "SERVER_PORT=8080",
        "WSBRIDGE_HTTP_X_USER=me",
    ] {
        assert!(expected.iter().any(|it| it == line), "{line}: {expected:?}");
    }
    // inetd gives its socket as input and output, systemd as descriptor 3 too.
    for (line, left) in [
        ("exec \"$@\"", "ws-u:-"),
        ("exec \"$@\" 3<&0 </dev/null >/dev/null", "ws-u:fd:3"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            let words = ["-c", line, "sh", env!("CARGO_BIN_EXE_wsbridge"), left];
            let mut command = std::process::Command::new("sh");
            command.args(words).args(right);
            let input = std::os::fd::OwnedFd::from(socket.try_clone().unwrap());
            command
                .stdin(input)
                .stdout(std::os::fd::OwnedFd::from(socket));
            command.spawn().unwrap()
        });
        assert_eq!(ask(port), expected, "{left}");
        server.join().unwrap().wait().unwrap();
    }
}

#[test]
fn one_that_does_not_end_is_made_to_and_nothing_is_left_of_it() {
    let marker = format!("WSBRIDGE_TEST_MARK={}", std::process::id());
    let words = [
        "ws-l:0",
        "--kill-after",
        "300ms",
        "--threads",
        "2",
        "--env",
        &marker,
        "--",
        "sh",
        "-c",
    ];
    // It and its own child ignore TERM and the end of their input.
    let line = "trap '' TERM; (trap '' TERM; while :; do sleep 0.1; done) & echo up; while :; do sleep 0.1; done";
    let bridge = Bridge::start(&[&words[..], &[line]].concat());
    let mut caller = bridge.client();
    assert_eq!(caller.next(), Frame::text("up"));
    assert!(marked(&marker).len() >= 2);
    caller.reset();
    until("all of them are gone", || {
        marked(&marker).iter().all(|it| it.0 == bridge.running.id())
    });
    // The leader is reaped when nothing of its group is left.
    until("they are reaped", || {
        children(bridge.running.id()).is_empty()
    });
    // At its stop too, on any thread: one that says nothing takes the first.
    let silent = Tcp::connect(bridge.port);
    let mut caller = bridge.client();
    assert_eq!(caller.next(), Frame::text("up"));
    let mut bridge = bridge;
    bridge.running.signal(Signal::TERM);
    bridge.running.wait();
    drop((caller, silent));
    let alive = || marked(&marker).into_iter().filter(|it| it.2 != 'Z');
    until("all of them are gone", || alive().count() == 0);
    // And where nobody has the patience.
    let patient = words.map(|word| word.replace("300ms", "1h"));
    let words: Vec<_> = patient.iter().map(String::as_str).chain([line]).collect();
    let mut bridge = Bridge::start(&words);
    let mut caller = bridge.client();
    assert_eq!(caller.next(), Frame::text("up"));
    bridge.running.signal(Signal::TERM);
    assert_eq!(caller.next(), close(1001, "stop"));
    bridge.running.signal(Signal::TERM);
    bridge.running.wait();
    until("all of them are gone", || alive().count() == 0);
}

#[test]
fn two_thousand_programs_leave_no_zombie_and_a_killed_bridge_no_orphan() {
    let marker = format!("WSBRIDGE_TEST_MANY={}", std::process::id());
    let bridge = Bridge::start(&[
        "ws-l:0",
        "--env",
        &marker,
        "--",
        "sh",
        "-c",
        "read line; exit 3",
    ]);
    let port = bridge.port;
    let callers: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(move || {
                for _ in 0..250 {
                    let mut caller = Ws::connect(port);
                    caller.text("go");
                    assert_eq!(caller.next(), close(4003, "exit 3"));
                    caller.answer_close(4003);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
    until("all are reaped", || {
        children(bridge.running.id()).is_empty()
    });
    let _callers: Vec<_> = (0..10).map(|_| bridge.client()).collect();
    until("ten of them run", || {
        children(bridge.running.id()).len() == 10
    });
    bridge.running.signal(Signal::KILL);
    let ours = bridge.running.id();
    until("none of them runs", || {
        !marked(&marker).iter().any(|it| it.0 != ours && it.2 != 'Z')
    });
}

#[test]
fn a_program_is_one_side_of_a_single_session() {
    let done = run(&["-", "--", "tr", "a-z", "A-Z"], "hello\nworld");
    assert_eq!(
        (done.text(), done.status),
        ("HELLO\nWORLD", 0),
        "{}",
        done.stderr
    );
    let done = run(&["-", "sh-c:wc -c | tr -d ' '"], "12345\n");
    assert_eq!((done.text(), done.status), ("6\n", 0), "{}", done.stderr);
    // A program as the client's side of a WebSocket: a bot.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let mut bot = spawn(&[
        &url,
        "--",
        "sh",
        "-c",
        "while read line; do echo \"you said $line\"; done",
    ]);
    let mut server = Ws::accept(&listener);
    server.text("hi");
    assert_eq!(server.next(), Frame::text("you said hi"));
    server.close(1000, "");
    assert_eq!(server.next(), close(1000, ""));
    drop(server);
    assert_eq!(bot.finish().status, 0);
}

#[test]
fn two_programs_speak_to_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heard");
    let line = format!("sh-c:cat > {}", Path::new(&file).display());
    let done = run(&[&line, "--", "seq", "1000"], "");
    assert_eq!(done.status, 0, "{}", done.stderr);
    let mut heard = String::new();
    fs::File::open(&file)
        .unwrap()
        .read_to_string(&mut heard)
        .unwrap();
    let expected: String = (1..=1000).map(|number| format!("{number}\n")).collect();
    assert_eq!(heard, expected);
}

/// All that a terminal shows up to `part`.
#[track_caller]
fn shown(ws: &mut Ws, part: &str) -> String {
    let mut all = Vec::new();
    loop {
        match ws.next() {
            Frame::Binary(bytes) => all.extend_from_slice(&bytes),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&all)),
        }
        let text = String::from_utf8_lossy(&all);
        if text.contains(part) {
            return text.into_owned();
        }
    }
}

#[test]
fn a_program_in_a_terminal_has_its_size_and_its_own_session() {
    let bridge = Bridge::start(&["ws-l:0", "--pty", "--", "bash", "--norc", "-i"]);
    let mut page = Ws::ask(bridge.port, "/?cols=100&rows=30&resize=1", &[]);
    page.binary(b"PS1=; stty size; tty; echo 4$((1+1))\n");
    let text = shown(&mut page, "42\r\n");
    assert!(
        text.contains("30 100\r\n") && text.contains("/dev/pts/"),
        "{text}"
    );
    assert!(!text.contains("no job control"), "{text}");
    // A text message resizes it; what is none is no input either.
    page.text("{\"cols\":132,\"rows\":50}")
        .text("{\"cols\":1")
        .text("echo bad");
    page.binary(b"stty size; echo 4$((1+1))\n");
    let text = shown(&mut page, "42\r\n");
    assert!(
        text.contains("50 132\r\n") && !text.contains("bad"),
        "{text}"
    );
    page.binary(b"exit 3\n");
    let end = page.messages().1;
    assert_eq!(end, close(4003, "exit 3"));
    // Without asking for it text is input as well, and an end of input ends the shell.
    let mut plain = bridge.client();
    plain.text("PS1=; stty size; echo 4$((1+1))\n");
    assert!(shown(&mut plain, "42\r\n").contains("24 80\r\n"));
    plain.close(1000, "");
    assert_eq!(plain.messages().1, close(1000, ""));
    until("both shells are reaped", || {
        children(bridge.running.id()).is_empty()
    });
}

#[test]
fn a_terminal_whose_caller_has_gone_hangs_up() {
    let bridge = Bridge::start(&[
        "ws-l:0",
        "--pty",
        "--",
        "sh",
        "-c",
        "echo up; exec sleep 600",
    ]);
    let mut page = bridge.client();
    shown(&mut page, "up");
    page.reset();
    until("it is reaped", || children(bridge.running.id()).is_empty());
}

#[test]
fn a_terminal_delivers_signals_whatever_we_ignore() {
    // As a job that a script has in the background, under nohup.
    let words = [
        "ws-l:0",
        "--pty",
        "--",
        "sh",
        "-c",
        "echo up; exec sleep 600",
    ];
    for (key, end) in [("\x03", "INT"), ("\x1c", "QUIT")] {
        let bridge = Bridge::of(spawn_under("trap '' INT QUIT HUP TSTP", &words));
        let mut page = bridge.client();
        shown(&mut page, "up");
        page.binary(key.as_bytes());
        let Frame::Close(_, reason) = page.messages().1 else {
            panic!("no Close");
        };
        assert_eq!(reason, format!("signal {end}"));
    }
    // And it hangs up before its program is sent TERM.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let line = format!(
        "trap 'echo hup >> {0}' HUP; trap 'echo term >> {0}; exit' TERM; echo up; while :; do sleep 0.1; done",
        file.display()
    );
    let words = [
        "ws-l:0",
        "--pty",
        "--kill-after",
        "1s",
        "--",
        "sh",
        "-c",
        &line,
    ];
    for is_stopped in [false, true] {
        let bridge = Bridge::of(spawn_under("trap '' HUP", &words));
        let mut page = bridge.client();
        shown(&mut page, "up");
        match is_stopped {
            true => bridge.running.signal(Signal::TERM),
            false => page.reset(),
        }
        let log = || fs::read_to_string(&file).unwrap_or_default();
        until("it is sent TERM", || log().contains("term\n"));
        assert!(log().starts_with("hup\n"), "{}", log());
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn stderr_apart_goes_before_an_unfinished_line_of_stdout() {
    let line = r#"printf '{"kind":"text",'
        head -c 200000 /dev/zero | tr '\0' e >&2; echo >&2
        printf '"text":"x"}\n'"#;
    let words = ["ws-l:0", "--stderr", "json", "--framing", "json", "--"];
    let bridge = Bridge::start(&[&words[..], &["sh", "-c", line]].concat());
    let mut caller = bridge.client();
    let (messages, end) = caller.messages();
    assert_eq!(end, close(1000, ""));
    let texts = messages.iter().map(|message| match message {
        Frame::Text(text) => String::from_utf8(text.clone()).unwrap(),
        other => panic!("{other:?}"),
    });
    let (errors, output): (Vec<_>, Vec<_>) = texts.partition(|text| text.contains("stderr"));
    assert_eq!(output, ["x"]);
    let errors: Vec<serde_json::Value> = errors
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let said: String = errors
        .iter()
        .filter_map(|object| object["text"].as_str())
        .collect();
    assert_eq!(said, "e".repeat(200_000));
}
