//! Words, flags and addresses that make no sense: exit status 2 or 3 and a line that helps.

use super::assert_is_printable;
use crate::support::run;

#[test]
fn a_wrong_address_is_shown_with_a_caret() {
    for (words, status, what, shown, caret) in [
        (
            &["tpc:localhost:1"][..],
            2,
            "did you mean 'tcp:'",
            "tpc:localhost:1",
            0..3,
        ),
        (&["tcp:h:99999"], 3, "99999", "tcp:h:99999", 6..11),
        (&["ws-l:http", "echo:"], 3, "http", "ws-l:http", 5..9),
        (
            &["ws-l:0,pth=/a", "echo:"],
            2,
            "did you mean 'path'",
            "ws-l:0,pth=/a",
            7..13,
        ),
        (
            &["ws-l:0", "ehco:"],
            2,
            "did you mean 'echo:'",
            "ehco:",
            0..4,
        ),
        (&["ws://[::1/"], 3, "']'", "ws://[::1/", 5..10),
        (&["tcp:"], 3, "port", "tcp:", 4..5),
    ] {
        let done = run(words, "");
        assert_eq!(
            (done.status, done.text()),
            (status, ""),
            "{words:?}: {}",
            done.stderr
        );
        let lines: Vec<_> = done.stderr.lines().collect();
        assert!(
            lines[0].starts_with("wsbridge: ") && lines[0].contains(what),
            "{}",
            done.stderr
        );
        let at = lines.iter().position(|line| line.trim() == shown);
        let at = at.unwrap_or_else(|| panic!("the address is not shown:\n{}", done.stderr));
        let indent = lines[at].len() - lines[at].trim_start().len();
        let carets = lines[at + 1];
        assert_eq!(carets.trim_matches([' ', '^']), "", "{}", done.stderr);
        let begin = carets.find('^').expect("no caret") - indent;
        let end = carets.rfind('^').unwrap() + 1 - indent;
        assert!(
            caret.contains(&begin) && end <= caret.end,
            "the caret stands at {begin}..{end}, not in {caret:?}:\n{}",
            done.stderr
        );
    }
}

#[test]
fn wrong_words_and_flags_are_exit_2() {
    for words in [
        &["--nonsense"][..],
        &[],
        &["ws-l:0", "echo:", "third:"],
        &["--path", "/a", "tcp:1"],
        &["--path", "a", "ws-l:0", "echo:"],
        &["-o", "left.nonsense=1", "ws-l:0", "echo:"],
        &["-o", "path=/a", "ws-l:0", "echo:"],
        &["--handshake-timeout", "soon", "ws-l:0", "echo:"],
        &["-t", "-b", "tcp:1"],
        &["-q", "-v", "ws://h"],
        &["--max-connections", "0", "ws-l:0", "echo:"],
        &["--log-format", "xml", "ws-l:0", "echo:"],
        &["8080"],
        &["echo"],
        &["https://host/"],
    ] {
        let done = run(words, "");
        assert_eq!(
            (done.status, done.text()),
            (2, ""),
            "{words:?}: {}",
            done.stderr
        );
        assert!(!done.stderr.is_empty());
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    }
    for words in [
        &["ws://"][..],
        &["ws://us\x07er:pass@host/"],
        &["ws://user:%zz@host/"],
        &["tcp://user@host:1"],
        &["ws://h:0x50/"],
        &["tcp:[::1"],
        &["tcp:::1:80"],
        &["unix:"],
    ] {
        let done = run(words, "");
        assert_eq!(
            (done.status, done.text()),
            (3, ""),
            "{words:?}: {}",
            done.stderr
        );
    }
}

#[test]
fn control_bytes_of_an_address_are_not_printed() {
    for bad in [
        "tpc\x1b[31m:x",
        "ws://h\x1b[31m/",
        "ws://h/\x1b[31m",
        "tcp:a\x07b:1",
        "\x1b]0;x\x07",
    ] {
        let done = run(&[bad], "");
        assert!(
            [2, 3].contains(&done.status),
            "{bad:?}: {} {}",
            done.status,
            done.stderr
        );
        assert_is_printable(&done.stderr);
    }
}
