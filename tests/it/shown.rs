//! Text of peers where it is shown: nothing of it is obeyed by a terminal, and none of it reads as something else.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use crate::support::{Bridge, Tcp, Ws, run, spawn, terminal};

/// What is shown of nobody as it is: directions of text, ends of lines, control characters.
const HARMFUL: &str = "\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{2029}\u{85}\u{9b}\u{1b}\u{7}";

#[track_caller]
fn harmless(text: &str) {
    let found = text.chars().find(|c| HARMFUL.contains(*c));
    assert_eq!(found, None, "{text:?}");
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, format!("127.0.0.1:{port}"))
}

#[test]
fn the_log_shows_nothing_of_a_caller_as_it_is() {
    for format in ["text", "json"] {
        let bridge = Bridge::start(&["-vv", "--log-format", format, "ws-l:0", "echo:"]);
        let nasty = "http://\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{2029}";
        drop(Ws::ask(bridge.port, "/", &[("Origin", nasty)]));
        bridge.running.line("refused with HTTP 403");
        let mut ws = Ws::ask(bridge.port, "/", &[]);
        ws.text("x").close(4000, HARMFUL.trim_end_matches('\u{7}'));
        ws.messages();
        bridge.running.line("closed");
        let stderr = bridge.stop().stderr;
        harmless(&stderr);
        assert!(stderr.contains("202e"), "{stderr}");
        for line in stderr.lines().filter(|_| format == "json") {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}

#[test]
fn a_client_shows_nothing_of_a_server_as_it_is() {
    let (server, place) = listener();
    let served = thread::spawn(move || {
        let body = format!("a{HARMFUL}b");
        for _ in 0..2 {
            let mut tcp = Tcp::accept(&server);
            let head = format!(
                "HTTP/1.1 404 No\r\nX-Nasty: a{}b\r\nContent-Length: {}\r\n\r\n{body}",
                "\u{202e}\u{2028}",
                body.len()
            );
            tcp.send(head);
            let _ = tcp.0.read_to_end(&mut Vec::new());
        }
        let mut ws = Ws::accept(&server);
        ws.close(4000, "a\u{202e}\u{2028}b");
        ws.messages();
    });
    let url = format!("ws://{place}");
    for words in [&["-i", "-vv", &url][..], &["doctor", &url], &["-vv", &url]] {
        let done = run(words, "");
        harmless(&done.stderr);
        harmless(done.text());
        let both = format!("{}{}", done.stderr, done.text());
        assert!(both.contains("\\u{202e}"), "{both}");
    }
    served.join().unwrap();
}

#[test]
fn doctor_shows_nothing_of_a_greeting_as_it_is() {
    let (server, place) = listener();
    let served = thread::spawn(move || {
        let mut tcp = Tcp::accept(&server);
        tcp.send(format!("hello{HARMFUL}\r\n"));
        let _ = tcp.0.read_to_end(&mut Vec::new());
    });
    let done = run(&["doctor", &format!("tcp:{place}")], "");
    served.join().unwrap();
    harmless(done.text());
    assert!(done.text().contains("'hello\\u{202e}"), "{}", done.text());
}

#[test]
fn what_was_typed_is_shown_without_harm_too() {
    for words in [
        &["ws-l:0", "echo:", "--origin", "https://a\u{202e}b"][..],
        &["ws-l:0", "echo:", "--host", "a\u{202e}b"],
        &["tcp:a\u{202e}b"],
        &["ws://h", "--framing", "a\u{2028}b"],
        &["--a\u{2028}b", "ws://h"],
    ] {
        let done = run(words, "");
        assert!([2, 3].contains(&done.status), "{}", done.stderr);
        harmless(&done.stderr);
    }
}

/// What a program writes to its stdout, a terminal, while a server sends it this.
fn on_screen(words: &[&str], message: &[u8], is_text: bool) -> String {
    let (server, place) = listener();
    let (mut screen, stdout) = terminal();
    let mut child = Command::new(env!("CARGO_BIN_EXE_wsbridge"))
        .args(words)
        .arg(format!("ws://{place}"))
        .stdin(Stdio::null())
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut ws = Ws::accept(&server);
    match is_text {
        true => ws.text(str::from_utf8(message).unwrap()),
        false => ws.binary(message),
    };
    ws.close(1000, "");
    let seen = thread::spawn(move || shown(&mut screen));
    ws.messages();
    assert!(child.wait().unwrap().success());
    seen.join().unwrap()
}

/// All that a terminal shows until nobody has it any more; reading then fails.
fn shown(screen: &mut File) -> String {
    let mut bytes = Vec::new();
    let mut buf = [0; 4096];
    while let Ok(count @ 1..) = screen.read(&mut buf) {
        bytes.extend_from_slice(&buf[..count]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn payload_is_escaped_on_a_terminal_and_nowhere_else() {
    let nasty = format!("ü{HARMFUL}.");
    let escaped: String = HARMFUL.chars().flat_map(char::escape_unicode).collect();
    let seen = on_screen(&["-n"], nasty.as_bytes(), true);
    assert_eq!(seen, format!("ü{escaped}.\r\n"));
    let seen = on_screen(&["-n"], b"\x1b[2J\xff", false);
    assert_eq!(seen, "\\u{1b}[2J\\xff");
    // Bytes that were asked for are written as they are.
    let seen = on_screen(&["-n", "-b"], b"\x1b[2J", false);
    assert_eq!(seen, "\x1b[2J");
    // A pipe gets all as it is.
    let (server, place) = listener();
    let mut client = spawn(&["-n", &format!("ws://{place}")]);
    let mut ws = Ws::accept(&server);
    ws.text(&nasty).close(1000, "");
    ws.messages();
    assert_eq!(client.finish().text(), format!("{nasty}\n"));
}

#[test]
fn much_payload_reaches_a_terminal_whole() {
    let long = "\u{1b}日".repeat(50_000);
    let seen = on_screen(&["-n"], long.as_bytes(), true);
    assert_eq!(seen, format!("{}\r\n", "\\u{1b}日".repeat(50_000)));
}

#[test]
fn the_log_of_a_programs_stderr_shows_no_directions() {
    let script = "printf 'a\\342\\200\\256b\\033[31m\\n' >&2; cat";
    let bridge = Bridge::start(&["ws-l:0", "--", "sh", "-c", script]);
    let _ws = bridge.client();
    let line = bridge.running.line("a\\u{202e}b");
    harmless(&line);
    std::io::stdout().flush().unwrap();
}
