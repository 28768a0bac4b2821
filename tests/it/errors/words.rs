//! Words that are not UTF-8, and text of the last characters that there are.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

/// Stands for the byte 0xFF in a row.
const BYTE: char = '¶';

/// The words of a command line, its exit status, and what stands behind `wsbridge: ` on stderr.
type Row<'a> = (&'a [&'a str], i32, &'a str);

#[track_caller]
fn fail(rows: &[Row<'_>]) {
    for (words, status, expected) in rows {
        let words = words.iter().map(|word| {
            let bytes = word.chars().flat_map(|char| match char {
                BYTE => vec![0xFF],
                char => char.to_string().into_bytes(),
            });
            OsString::from_vec(bytes.collect())
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_wsbridge"));
        let done = command.args(words).output().unwrap();
        let stderr = String::from_utf8(done.stderr).unwrap();
        let found = (done.status.code(), stderr.as_str());
        assert_eq!(found, (Some(*status), &*format!("wsbridge: {expected}\n")));
    }
}

#[test]
fn a_value_that_must_be_text_is_refused_by_its_option_and_not_shown() {
    fail(&[
        (
            &["--connect-timeout", "¶", "ws://h"],
            2,
            "--connect-timeout: its value is not UTF-8",
        ),
        (
            &["--linger=¶", "ws://h"],
            2,
            "--linger: its value is not UTF-8",
        ),
        (
            &["file:/¶", "--user", "me:hush¶", "ws://h"],
            2,
            "--user: its value is not UTF-8",
        ),
        (
            &["-H", "X: hush¶", "ws://h"],
            2,
            "--header: its value is not UTF-8",
        ),
        (
            &["--bearer=hush¶", "ws://h"],
            2,
            "--bearer: its value is not UTF-8",
        ),
        (
            &["--cookie", "hush", "-B¶", "ws://h"],
            2,
            "-B: its value is not UTF-8",
        ),
        (
            &["-o", "left.path=/¶", "ws-l:0", "echo:"],
            2,
            "-o left.path: its value is not UTF-8",
        ),
        (
            &["ws-l:0,path=/¶", "echo:"],
            2,
            "path: its value is not UTF-8\n  ws-l:0,path=/\\xff\n         ^^^^^^^^^^",
        ),
        (
            &["--socks5", "¶:1", "ws://h"],
            2,
            "--socks5: its value is not UTF-8",
        ),
        (
            &["--send", "¶", "echo:"],
            1,
            "--send: the text is not UTF-8; with -b it is sent as it is",
        ),
    ]);
}

#[test]
fn a_byte_that_is_not_text_is_shown_by_its_number() {
    fail(&[
        (
            &["tcp:h¶:1"],
            3,
            "an address of hosts and ports is UTF-8\n  tcp:h\\xff:1\n      ^^^^^^^",
        ),
        (
            &["ws-c:tpc:h¶:1"],
            2,
            "unknown endpoint 'tpc:'; did you mean 'tcp:'?\n  ws-c:tpc:h\\xff:1\n       ^^^",
        ),
        (
            &["ws://me:hush¶@h:x/"],
            3,
            "an address of hosts and ports is UTF-8\n  ws://***@h:x/\n       ^^^^^^^^",
        ),
        (
            &["ws-l:0", "hub:¶"],
            3,
            "the name of a room is UTF-8\n  hub:\\xff\n      ^^^^",
        ),
        (&["ws-l:0", "exec:/no/¶"], 127, "/no/\\xff: no such program"),
        (
            &["-", "unix:/no/¶"],
            7,
            "connecting to unix:/no/\\xff: no such file or directory",
        ),
        (
            &["-H", "@/no/¶", "ws://h"],
            2,
            "--header /no/\\xff: no such file or directory",
        ),
        (
            &["--page", "./¶.html", "ws-l:0", "hub:"],
            2,
            "--page: './\\xff.html' can not be read: no such file or directory",
        ),
        (
            &["ws-l:0,page=¶", "hub:"],
            2,
            "page: '\\xff' is none of chat, none and files such as ./\\xff\n  ws-l:0,page=\\xff\n         ^^^^^^^^^",
        ),
        (
            &["--log-format=¶", "ws://h"],
            2,
            "--log-format: '\\xff' is none of text, json",
        ),
        (
            &["--nonsense¶", "ws://h"],
            2,
            "there is no flag '--nonsense\\xff'; wsbridge --help shows all",
        ),
        (
            &["help", "¶"],
            2,
            "there is no page '\\xff' of help; wsbridge help lists all",
        ),
    ]);
}

#[test]
fn the_last_characters_are_text_too() {
    let last = "\u{10FF80}\u{10FFFF}";
    let header = format!("X-Last: {last}");
    let url = format!("ws://127.0.0.1:1/{last}");
    fail(&[(
        &["-H", &header, "--user-agent", last, &url],
        7,
        &format!("connecting to ws://127.0.0.1:1/{last}: connection refused (127.0.0.1)"),
    )]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsbridge"));
    let done = command.args(["--send", last, "echo:"]).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert_eq!((said, done.status.code()), (format!("{last}\n"), Some(0)));
}
