//! What is said when something is wrong, as one set: wrong command lines and failing peers with the exact text of each.
//!
//! An error says what failed and where, why, and what helps; lower case, one line, and under a wrong address a caret. A row
//! that reads worse than its neighbours is a bug of the program.

mod addresses;
mod files;
mod flags;
mod handshakes;
mod messages;
mod proxies;
mod routes;
mod secure;
mod values;
mod words;

use std::net::{TcpListener, ToSocketAddrs};
use std::thread::{self, JoinHandle};

use crate::support::{Finished, Tcp, run};

/// A command line, its exit status, and what stands behind `wsbridge: ` on stderr.
type Row = (&'static str, i32, &'static str);

/// What stands for a part of a row that differs from run to run, and what it is this time.
type Part<'a> = (&'a str, &'a str);

/// All rows of the tables of command lines; those of peers are counted where they are.
const TABLES: &[&[Row]] = &[
    addresses::ROWS,
    files::ROWS,
    flags::ROWS,
    routes::ROWS,
    values::ROWS,
];

/// Cuts a command line into words as a shell does: at blanks, but not within single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![None];
    let mut is_quoted = false;
    for char in line.chars() {
        let last = words.last_mut().unwrap();
        match char {
            '\'' => {
                is_quoted = !is_quoted;
                last.get_or_insert_default();
            }
            ' ' if !is_quoted => words.push(None),
            char => {
                let word: &mut String = last.get_or_insert_default();
                word.push(char);
            }
        }
    }
    words.into_iter().flatten().collect()
}

fn filled(text: &str, parts: &[Part<'_>]) -> String {
    let fill = |text: String, part: &Part<'_>| text.replace(part.0, part.1);
    parts.iter().fold(text.to_owned(), fill)
}

/// What is wrong with what a command line left behind, if anything is.
fn judged(line: &str, done: &Finished, status: i32, expected: &str) -> Option<String> {
    let expected = format!("wsbridge: {expected}\n");
    let is_right = (done.status, done.stderr.as_str()) == (status, &expected);
    (!is_right || !done.stdout.is_empty()).then(|| {
        format!(
            "\n{line}\nexpected {status}:\n{expected}found {}:\n{}{}",
            done.status,
            done.stderr,
            String::from_utf8_lossy(&done.stdout)
        )
    })
}

/// Runs a command line to its end, with parts that are known now.
fn run_line(line: &str, parts: &[Part<'_>], input: &str) -> Finished {
    let words = words(line);
    let words: Vec<_> = words.iter().map(|word| filled(word, parts)).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    run(&words, input)
}

/// Asserts that each command line of a table fails as it says.
#[track_caller]
fn fail(rows: &[Row], parts: &[Part<'_>]) {
    let wrong = rows.iter().filter_map(|(line, status, expected)| {
        let done = run_line(line, parts, "");
        judged(line, &done, *status, &filled(expected, parts))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// Does on one connection what a script says.
fn peer(script: impl FnOnce(&mut Tcp) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let peer = thread::spawn(move || script(&mut Tcp::accept(&listener)));
    (port, peer)
}

/// What the system says of a name that there is not: a machine without a network does not know.
fn unresolved() -> String {
    let found = ("nowhere.invalid", 1).to_socket_addrs();
    let text = found.map(|_| ()).unwrap_err().to_string();
    text.rsplit(": ").next().unwrap().to_lowercase()
}

#[test]
fn the_set_is_no_sample() {
    let rows: usize = TABLES.iter().map(|rows| rows.len()).sum();
    assert!(rows >= 90, "{rows}");
}

/// What every text of the tables keeps to.
#[test]
fn errors_read_alike() {
    for (line, status, text) in TABLES.iter().copied().flatten() {
        let first = text.lines().next().unwrap();
        assert!(*status > 0, "{line}");
        assert!(!first.ends_with(['.', '!']), "{text}");
        assert!(first.len() <= 150, "{text}");
        let carets = text.lines().skip(1);
        assert!([0, 2].contains(&carets.count()), "{text}");
        for word in [
            "error",
            "argument",
            "invalid value",
            "possible values",
            "Some(",
        ] {
            assert!(!first.contains(word), "{text}");
        }
    }
}

#[test]
fn a_log_of_objects_has_them_too() {
    for (line, status, expected) in [
        (
            "--log-format json fd:9",
            7,
            "opening fd:9: it is not open; a shell opens it by 9<FILE or 9>FILE",
        ),
        (
            "--log-format json --pty echo:",
            2,
            "--pty means nothing to - and echo:; it is for exec: sh-c:",
        ),
    ] {
        let done = run_line(line, &[], "");
        let object: serde_json::Value = serde_json::from_str(&done.stderr).unwrap();
        let said = (&object["level"], &object["message"]);
        assert_eq!(said, (&"ERROR".into(), &expected.into()));
        assert_eq!(done.status, status);
    }
}
