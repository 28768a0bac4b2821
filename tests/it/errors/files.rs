//! Files, folders, sockets and programs that are not there or not what they should be.

use std::fs;
use std::os::unix::net::UnixListener;

use super::{Row, fail, judged};
use crate::support::spawn_under;

pub(super) const ROWS: &[Row] = &[
    (
        "file:{dir}/none -",
        7,
        "opening file:{dir}/none: no such file or directory",
    ),
    ("file:{dir} -", 7, "opening file:{dir}: is a directory"),
    (
        "-u literal:x file:{dir}/none/x,write",
        7,
        "opening file:{dir}/none/x,write: no such file or directory",
    ),
    (
        "-u literal:x file:/dev/full,write",
        23,
        "file:/dev/full,write: write failed: no space left on device",
    ),
    (
        "--send @{dir}/none echo:",
        1,
        "reading {dir}/none for --send: no such file or directory",
    ),
    (
        "--send @{dir} echo:",
        1,
        "reading {dir} for --send: is a directory",
    ),
    (
        "--tee {dir} echo:",
        23,
        "opening {dir} for --tee: is a directory",
    ),
    (
        "unix:{dir}/none",
        7,
        "connecting to unix:{dir}/none: no such file or directory",
    ),
    (
        "unix:{text}",
        7,
        "connecting to unix:{text}: connection refused, it is no socket",
    ),
    (
        "unix:{stale}",
        7,
        "connecting to unix:{stale}: connection refused, nobody listens on it any more",
    ),
    (
        "ws-c:unix:{dir}/none",
        7,
        "connecting to ws-c:unix:{dir}/none: no such file or directory",
    ),
    (
        "unix:@wsbridge-none",
        7,
        "connecting to unix:@wsbridge-none: connection refused",
    ),
    (
        "unix-l:{dir}/none/s echo:",
        7,
        "listening on unix-l:{dir}/none/s: no such file or directory",
    ),
    (
        "unix-l:{text} echo:",
        7,
        "listening on unix-l:{text}: it exists and is no socket",
    ),
    (
        "unix-l:{live} echo:",
        7,
        "listening on unix-l:{live}: address already in use: somebody listens on it",
    ),
    (
        "unix-dgram:{dir}/none",
        7,
        "connecting to unix-dgram:{dir}/none: no such file or directory",
    ),
    (
        "seqpacket:{dir}/none",
        7,
        "connecting to seqpacket:{dir}/none: no such file or directory",
    ),
    (
        "serial:{dir}/none",
        7,
        "opening serial:{dir}/none: no such file or directory",
    ),
    (
        "serial:/dev/null",
        7,
        "opening serial:/dev/null: it is no serial port",
    ),
    (
        "fd:9",
        7,
        "opening fd:9: it is not open; a shell opens it by 9<FILE or 9>FILE",
    ),
    (
        "--page {dir}/none ws-l:0 echo:",
        2,
        "--page: '{dir}/none' can not be read: no such file or directory",
    ),
    // Programs.
    (
        "ws-l:0 -- no-such-program",
        127,
        "no-such-program: no such program in PATH",
    ),
    ("ws-l:0 -- {dir}/none", 127, "{dir}/none: no such program"),
    (
        "ws-l:0 'exec:ls -l'",
        127,
        "ls -l: no such program; write '-- ls -l', or sh-c: for a shell",
    ),
    (
        "ws-l:0 exec:cat,stderr=null",
        127,
        "cat,stderr=null: no such program; its options are flags",
    ),
    (
        "ws-l:0 -- {text}",
        126,
        "{text}: not executable; chmod +x makes it so",
    ),
    ("ws-l:0 -- {dir}", 126, "{dir}: a folder, and no program"),
    ("- -- false", 1, "exec:false: ended with exit status 1"),
    ("'sh-c:exit 3'", 1, "sh-c:exit 3: ended with exit status 3"),
    (
        "'sh-c:kill -9 $$'",
        1,
        "sh-c:kill -9 $$: killed by signal KILL",
    ),
    // Certificates and passwords.
    (
        "wss-l:0 echo:",
        58,
        "TLS needs a certificate: cert=FILE and key=FILE, or self-signed to try things out",
    ),
    (
        "--cert {dir}/none wss-l:0 echo:",
        58,
        "--cert {dir}/none: no such file or directory",
    ),
    (
        "--cert {dir} wss-l:0 echo:",
        58,
        "--cert {dir}: is a directory",
    ),
    (
        "--cert {text} wss-l:0 echo:",
        58,
        "--cert {text}: it has no certificate in PEM",
    ),
    ("--key {dir}/none wss://h", 58, "--key without --cert"),
    (
        "--cacert {dir}/none wss://h",
        77,
        "--cacert {dir}/none: no such file or directory",
    ),
    (
        "--cacert {text} wss://h",
        77,
        "--cacert {text}: it has no certificate in PEM",
    ),
    (
        "--cacert {dir} wss://h",
        77,
        "--cacert {dir}: no file in it has a certificate in PEM",
    ),
    (
        "--client-ca {dir}/none wss-l:0,self-signed echo:",
        77,
        "--client-ca {dir}/none: no such file or directory",
    ),
    (
        "--user me --password-file {dir}/none ws://h",
        2,
        "--password-file {dir}/none: no such file or directory",
    ),
];

#[test]
fn a_file_that_is_not_what_it_should_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (dir, text, stale, live) = (at(""), at("text"), at("stale"), at("live"));
    fs::write(&text, "some text\n").unwrap();
    drop(UnixListener::bind(&stale).unwrap());
    let _live = UnixListener::bind(&live).unwrap();
    let dir = dir.trim_end_matches('/');
    fail(
        ROWS,
        &[
            ("{dir}", dir),
            ("{text}", &text),
            ("{stale}", &stale),
            ("{live}", &live),
        ],
    );
}

#[test]
fn a_full_disk_is_named() {
    let done = spawn_under("exec >/dev/full", &["-U", "literal:x"]).finish();
    let expected = "stdio: write failed: no space left on device";
    assert_eq!(judged("-U literal:x >/dev/full", &done, 23, expected), None);
}
