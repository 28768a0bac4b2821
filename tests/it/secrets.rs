//! Secrets are shown nowhere: each stands in a command line, and in nothing that is printed of it.

use std::process::{Command, Stdio};

use crate::support::{Bridge, command, run};

const CANARY: &str = "CANARY";

/// Command lines with a secret; all end by themselves, whether they are right or wrong.
const LINES: &[&[&str]] = &[
    // Right ones, to servers that are not there.
    &["ws://me:CANARY@127.0.0.1:1/"],
    &["ws://127.0.0.1:1/?token=CANARY"],
    &["ws://127.0.0.1:1/?%74oken=CANARY"],
    &["ws://127.0.0.1:1/?TOKEN%3DCANARY"],
    &["ws://127.0.0.1:1/?token= CANARY"],
    &["ws://127.0.0.1:1/?a=1;token=CANARY"],
    &["ws://me: CANARY@127.0.0.1:1/"],
    &["ws://me:CAN CANARY@127.0.0.1:1/"],
    &["ws:// me:CANARY@127.0.0.1:1/"],
    &["ws://127.0.0.1:1/?a=b&access_token=CANARY#ping=0"],
    &["-", "ws-c:tcp:127.0.0.1:1", "--uri", "ws://me:CANARY@host/"],
    &[
        "-",
        "ws-c:tcp:127.0.0.1:1",
        "--uri",
        "ws://host/?token=CANARY",
    ],
    &["-", "ws-c:tcp:127.0.0.1:1,uri=ws://me:CANARY@host/"],
    &[
        "--ws-c-uri=ws://me:CANARY@host/",
        "-",
        "ws-c:tcp:127.0.0.1:1",
    ],
    &["--user", "me:CANARY", "ws://127.0.0.1:1"],
    &["--basic-auth", "me:CANARY", "ws://127.0.0.1:1"],
    &["--bearer", "CANARY", "ws://127.0.0.1:1"],
    &["-H", "X-Key: CANARY", "ws://127.0.0.1:1"],
    &["--cookie", "id=CANARY", "ws://127.0.0.1:1"],
    &[
        "--proxy",
        "http://me:CANARY@127.0.0.1:1",
        "ws://127.0.0.1:1",
    ],
    &["--socks5", "me:CANARY@127.0.0.1:1", "ws://127.0.0.1:1"],
    &["-o", "right.user=me:CANARY", "ws://127.0.0.1:1"],
    &["ws://127.0.0.1:1#bearer=CANARY"],
    &["--env", "A=CANARY", "-", "--", "true"],
    &["-o", "right.env=A=CANARY", "-", "exec:true"],
    // Mistyped ones.
    &["ws:/me:CANARY@127.0.0.1:1/"],
    &["ws:me:CANARY@127.0.0.1:1"],
    &["wss//me:CANARY@127.0.0.1:1/"],
    &["htps://me:CANARY@127.0.0.1:1/"],
    &["https://me:CANARY@127.0.0.1:1/?token=CANARY"],
    &["me:CANARY@127.0.0.1:1"],
    &["ws://me:CANARY@127.0.0.1:x/"],
    &["ws://me:CAN/CANARY@127.0.0.1:1/"],
    &["ws://me:CAN#CANARY@127.0.0.1:1/"],
    &["ws://me:CAN?CANARY@127.0.0.1:1/"],
    &["ws://127.0.0.1:x/?token=CANARY"],
    &["tcp:me:CANARY@127.0.0.1:1"],
    &["ws://h#usr=me:CANARY"],
    &["ws://h#user:me:CANARY"],
    &["--usr=me:CANARY", "ws://h"],
    &["--user:me:CANARY", "ws://h"],
    &["-o", "right.usr=me:CANARY", "ws://h"],
    &["-o", "right.user:me:CANARY", "ws://h"],
    &["-o", "user=me:CANARY", "ws://h"],
    &["--user", "me\n:CANARY", "ws://h"],
    &["--bearer", "CANARY\n", "ws://h"],
    &["-H", "CANARY", "ws://h"],
    &["-H", "X: CANARY\u{1}", "ws://h"],
    &["--cookie", "CANARY\u{1}", "ws://h"],
    &["--proxy", "ftp://me:CANARY@h", "ws://h"],
    &["--proxy", "me:CANARY@h:x", "ws://h"],
    &["--proxy", "http//me:CANARY@h", "ws://h"],
    &["--env", "=CANARY", "-", "--", "true"],
    &["--uri", "me:CANARY@h/chat", "-", "ws-c:tcp:127.0.0.1:1"],
    &[
        "--uri",
        "htp://me:CANARY@h/chat",
        "-",
        "ws-c:tcp:127.0.0.1:1",
    ],
    &["--env", "A=CANARY", "ws://h", "echo:"],
    &["--user", "me:CANARY", "tcp:h:1", "echo:"],
    &["--user", "me:CANARY", "--bearer", "CANARY", "ws://h"],
    &["-", "ws://h", "ws://me:CANARY@h/"],
    &["-s", "0", "ws://me:CANARY@h/"],
    &["ws://h", "ws://me:CANARY@h/", "--", "true"],
    &["unix:/tmp/x", "ws://me:CANARY@h/", "--framing", "x"],
];

#[track_caller]
fn hides(words: &[&str]) {
    let done = run(words, "");
    let all = format!("{}{}", done.text(), done.stderr);
    assert!(!all.contains(CANARY), "{words:?}: {all}");
}

#[test]
fn no_message_shows_a_secret() {
    for line in LINES {
        hides(&[&["-vvv"], *line].concat());
        hides(&[&["-vvv", "--log-format", "json"], *line].concat());
    }
}

#[test]
fn an_explanation_shows_no_secret() {
    for line in LINES {
        hides(&[&["--explain"], *line].concat());
    }
    let done = run(
        &["--explain", "--env", "A=CANARY", "ws-l:1", "--", "true"],
        "",
    );
    assert!(done.text().contains("env=A=***"), "{}", done.text());
    let done = run(&["--explain", "ws://me:CANARY@h/?room=3&token=CANARY"], "");
    assert!(
        done.text().contains("ws://h/?room=3&token=***"),
        "{}",
        done.text()
    );
}

#[test]
fn doctor_shows_no_secret() {
    for line in LINES {
        hides(&[&["doctor"], *line].concat());
    }
}

#[test]
fn a_bridge_tells_no_secret_of_its_target() {
    let target = "ws://me:CANARY@127.0.0.1:1/?token=CANARY";
    let bridge = Bridge::start(&["-vvv", "ws-l:0", target]);
    let ws = crate::support::Ws::ask(bridge.port, "/?token=CANARY", &[("Authorization", CANARY)]);
    assert!(!ws.head.contains(CANARY), "{}", ws.head);
    bridge.running.line("127.0.0.1:1");
    let stderr = bridge.stop().stderr;
    assert!(!stderr.contains(CANARY), "{stderr}");
}

#[test]
fn secrets_of_the_environment_are_shown_no_more_than_others() {
    for (name, value) in [
        ("WSBRIDGE_PASSWORD", "CANARY"),
        ("http_proxy", "http://me:CANARY@127.0.0.1:1"),
        ("http_proxy", "me:CANARY@127.0.0.1:x"),
        ("all_proxy", "socks9://me:CANARY@127.0.0.1:1"),
    ] {
        let mut command: Command = command(&["-vvv", "--user", "me", "ws://192.0.2.1:1"]);
        command.env(name, value).stdin(Stdio::null());
        command.args(["--connect-timeout", "200ms"]);
        let done = command.output().unwrap();
        let all = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(!all.contains(CANARY), "{name}: {all}");
    }
}
