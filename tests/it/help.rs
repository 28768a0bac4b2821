//! What the program says of itself: one screen, pages of help, and what a command line would do.

use std::process::{Command, Output};

use wsbridge::cli;
use wsbridge::docs::coming;

fn wsbridge(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsbridge"));
    command.args(words).output().unwrap()
}

fn stdout(words: &[&str]) -> String {
    let output = wsbridge(words);
    assert_eq!(
        (output.status.code(), &output.stderr[..]),
        (Some(0), &b""[..]),
        "{words:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn one_screen_and_pages() {
    let short = stdout(&["-h"]);
    assert!(short.lines().count() <= 40);
    assert!(short.lines().all(|line| line.len() <= 80), "{short}");
    let (_, examples) = short.split_once("Examples:\n").unwrap();
    let (examples, _) = examples.split_once("\n\n").unwrap();
    assert_eq!(examples.lines().count(), 5, "{short}");
    assert!(stdout(&["--help"]).contains("--close-timeout <DURATION>"));
    assert!(stdout(&["-V"]).starts_with("wsbridge "));
    assert!(stdout(&["--version"]).contains("\nfeatures: "));
    let overview = stdout(&["help"]);
    for topic in wsbridge::docs::TOPICS {
        assert!(overview.contains(topic.name));
        assert_eq!(stdout(&["help", topic.name]), (topic.text)());
    }
    assert_eq!(stdout(&["help", "secur"]), stdout(&["help", "security"]));
    let output = wsbridge(&["help", "endigns"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("did you mean 'endings'?"), "{said}");
}

#[test]
fn nothing_typed_is_help_and_an_error() {
    let output = wsbridge(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("Usage:"));
}

/// The canonical spelling of a command line, and what else is said of it.
fn explained(words: &[&str]) -> (String, String) {
    let words = ["wsbridge", "--explain"].iter().chain(words);
    let (args, matches) = cli::parse(words.map(Into::into)).unwrap();
    let text = args.explanation(&matches, &args.world()).unwrap().unwrap();
    let (canonical, rest) = text.split_once("\n\n").unwrap();
    (canonical.to_owned(), rest.to_owned())
}

#[test]
fn other_spellings_become_the_canonical_one() {
    for (words, canonical) in [
        (
            &["ws-l:8080", "tcp:6379"][..],
            "wsbridge ws-l:8080 tcp:6379",
        ),
        (&["-s", "8080"], "wsbridge ws-l:8080 -"),
        (&["l-ws:8080", "mirror:"], "wsbridge ws-l:8080 echo:"),
        (&["ws://h", "-b"], "wsbridge stdio:,binary ws://h"),
        (
            &["-n1", "--ping=3s", "ws://h/a?b#protocol=c"],
            "wsbridge --no-close --one-message - 'ws://h/a?b#protocol=c,ping=3s'",
        ),
        (
            &["ws-l:1,path=/a", "ws-c:tcp:h:80,ping=1s,framing=lines"],
            "wsbridge ws-l:1,path=/a ws-c:tcp:h:80,ping=1s,framing=lines",
        ),
        (
            &["ws-l:1", "--", "printf", "%s b", ""],
            "wsbridge ws-l:1 -- printf '%s b' ''",
        ),
        (
            &["ws://me:word@h", "--bearer", "secret"],
            "wsbridge - ws://h#bearer=***",
        ),
    ] {
        assert_eq!(explained(words).0, canonical);
    }
}

/// Each line of websocat is ours by another spelling; tests/conformance/coming runs them, and those of other tools.
#[test]
fn lines_of_websocat_mean_what_is_said() {
    let words = |line: &'static str| line.split(' ').skip(1).collect::<Vec<_>>();
    let websocat = &coming::WEBSOCAT;
    assert!(websocat.rows.len() >= 40);
    for (theirs, ours) in websocat.rows {
        let (canonical, _) = explained(&words(theirs));
        if !ours.is_empty() {
            assert_eq!(canonical, explained(&words(ours)).0, "{theirs}");
        }
    }
}

/// The words that a shell makes of a line.
fn words_of(line: &str) -> Vec<String> {
    let script = format!("printf '%s\\0' {line}");
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn the_canonical_spelling_means_the_same() {
    for words in [
        &["ws-l:8080,path=/chat", "hub:{path}", "--join"][..],
        &[
            "tcp-listen:2222",
            "ws://h/ssh",
            "--ping",
            "5s",
            "--reconnect",
        ],
        &["--once", "wss-l:8443,self-signed", "file:/etc/hostname"],
        &["-b", "ws-l:1", "sh-c:cat"],
        &["ws-u:-", "udp:localhost:53"],
        &["--linger=0", "wss://h#tls-min=1.3"],
        &["--protocol", "chat, superchat", "ws-l:1", "ws://h"],
        &[
            "--forward-header",
            "A",
            "--forward-header",
            "B",
            "ws-l:1",
            "ws://h?a&b",
        ],
        &["--alpn", "a, b", "--user-agent", "it's", "wss://h"],
        &[
            "--resolve",
            "h:1:1.1.1.1,::1",
            "--resolve",
            "g:1:1.1.1.1",
            "ws://h",
        ],
        &["ws-l:1", "file:/tmp/it's a,tee=/tmp/a b"],
        &["--path", "/a b", "ws-l:1", "sh-c:echo 'a'; cat"],
    ] {
        let (canonical, said) = explained(words);
        let again = words_of(&canonical);
        let again: Vec<_> = again.iter().skip(1).map(String::as_str).collect();
        let (canonical_again, said_again) = explained(&again);
        assert_eq!(canonical_again, canonical);
        // What was typed is shown as it was typed.
        let options = |text: &str| text.split_once("Options of").unwrap().1.to_owned();
        assert_eq!(options(&said_again), options(&said), "{canonical}");
    }
}

#[test]
fn what_would_be_done_is_said() {
    let (_, said) = explained(&["-t", "ws-l:8080", "tcp:6379"]);
    assert!(
        said.contains("Each line of the right becomes a text message"),
        "{said}"
    );
    assert!(said.contains("* text"), "{said}");
    assert!(said.contains("   ping               30s"), "{said}");
    let (_, said) = explained(&["ws-l:8080", "ws://h"]);
    assert!(said.contains("Messages pass as they are"), "{said}");
    let (_, said) = explained(&["--once", "tcp-l:1", "unix:/a"]);
    assert!(said.contains("Bytes pass as they are"), "{said}");
    let output = wsbridge(&["--explain", "tpc:1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("did you mean 'tcp:'?")
    );
}

/// What it prints is pasted into reports.
#[test]
fn an_explanation_has_no_password_of_a_url_in_an_option() {
    let uri = "ws://user:CANARY@host/path?a=b";
    let output = wsbridge(&["-", "ws-c:tcp:127.0.0.1:1", "--uri", uri, "--explain"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("ws://host/path?a=b"), "{text}");
    assert!(!text.contains("CANARY"), "{text}");
}
