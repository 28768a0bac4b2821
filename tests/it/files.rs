//! Files, descriptors and the endpoints that are nothing but bytes.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode};

use crate::support::{
    Bridge, Frame, PATIENCE, Ws, close_frame, frame_bytes, run, spawn, spawn_under,
};

fn normal() -> Frame {
    Frame::Close(1000, String::new())
}

/// A folder, and what its file is called as an address.
fn folder(name: &str) -> (tempfile::TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name).to_str().unwrap().to_owned();
    let place = format!("file:{path}");
    (folder, path, place)
}

#[test]
fn a_file_is_read_to_its_end_anew_for_each_caller() {
    let (_folder, path, place) = folder("a,b.txt");
    let place = place.replace(',', "\\,");
    fs::write(&path, "one\n\nü three\nunfinished").unwrap();
    let bridge = Bridge::start(&["ws-l:0", &place]);
    for _ in 0..3 {
        let mut ws = bridge.client();
        let lines = ["one", "", "ü three", "unfinished"].map(Frame::text);
        assert_eq!(ws.messages(), (lines.to_vec(), normal()));
        ws.answer_close(1000);
    }
    let bytes: Vec<u8> = (0..1_000_000).map(|i| (i / 3) as u8).collect();
    fs::write(&path, &bytes).unwrap();
    let done = run(&["-b", &place, "-"], "");
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert!(done.stdout == bytes, "other bytes came");
    assert_eq!(
        run(&[&place.replace("file:", "READFILE:"), "null:"], "").status,
        0
    );
}

#[test]
fn what_can_not_be_opened_is_named_with_the_reason() {
    let (folder, path, place) = folder("missing");
    let done = run(&["-", &place], "");
    let expected = format!("wsbridge: opening {place}: no such file or directory\n");
    assert_eq!((done.status, done.stderr.as_str()), (7, expected.as_str()));
    assert!(!Path::new(&path).exists());
    let directory = format!("file:{}", folder.path().display());
    for (words, reason) in [
        (directory.clone(), "is a directory"),
        (format!("{directory},write"), "is a directory"),
        (format!("{place}/below,append"), "no such file or directory"),
    ] {
        let done = run(&["-", &words], "");
        assert_eq!(done.status, 7, "{}", done.stderr);
        assert!(done.stderr.contains(reason), "{words}: {}", done.stderr);
    }
    // A caller is told before its upgrade.
    let bridge = Bridge::start(&["ws-l:0", &place]);
    let head = Ws::ask(bridge.port, "/", &[]).head;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
}

#[test]
fn a_file_is_written_emptied_or_appended_to() {
    let (_folder, path, place) = folder("out");
    let (write, append) = (format!("{place},write"), format!("{place},append"));
    let content = || fs::read_to_string(&path).unwrap();
    assert_eq!(run(&["-", &write], "a longer line\nand another").status, 0);
    assert_eq!(content(), "a longer line\nand another");
    assert_eq!(run(&["-", &write], "short\n").status, 0);
    assert_eq!(content(), "short\n");
    assert_eq!(run(&["-", &append], "more\n").status, 0);
    let word = place.replace("file:", "appendfile:");
    assert_eq!(run(&["-b", "-", &word], "bytes").status, 0);
    assert_eq!(content(), "short\nmore\nbytes");
    let bridge = Bridge::start(&["ws-l:0", &place.replace("file:", "writefile:")]);
    let mut ws = bridge.client();
    let big = vec![7; 3_000_000];
    ws.text("text").binary(b"bin").binary(&big).close(1000, "");
    assert_eq!(ws.messages(), (vec![], normal()));
    let written = fs::read(&path).unwrap();
    assert!(written.starts_with(b"text\nbin") && written.len() == 3_000_008);
}

#[test]
fn a_full_disk_is_an_error() {
    let done = run(&["-", "file:/dev/full,write"], "more than nothing\n");
    assert_eq!(done.status, 23, "{}", done.stderr);
    assert!(
        done.stderr.contains("no space left on device"),
        "{}",
        done.stderr
    );
    let bridge = Bridge::start(&["ws-l:0", "file:/dev/full,append"]);
    let mut ws = bridge.client();
    ws.text("more than nothing");
    assert_eq!(ws.next(), Frame::Close(1011, "write".to_owned()));
}

#[test]
fn a_file_that_is_read_takes_nothing_and_says_so() {
    let (_folder, path, place) = folder("in");
    fs::write(&path, "content\n").unwrap();
    let bridge = Bridge::start(&["ws-l:0", &format!("{place},follow")]);
    let mut ws = bridge.client();
    assert_eq!(ws.next(), Frame::text("content"));
    ws.text("for nobody");
    assert_eq!(ws.next(), Frame::Close(1011, "write".to_owned()));
    ws.answer_close(1011);
    let line = bridge.closed();
    assert!(line.contains("open for reading only"), "{line}");
    // Where it is asked for what is sent to it is dropped.
    let done = run(&["-U", "-", &place], "for nobody\n");
    assert_eq!(
        (done.status, done.text()),
        (0, "content\n"),
        "{}",
        done.stderr
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "content\n");
}

/// Nothing that a server says is taken, whether it comes before the end of the file, with the server's Close or behind ours.
#[test]
fn a_file_on_the_left_of_a_client_has_the_same_status_every_time() {
    let (_folder, path, place) = folder("in");
    fs::write(&path, "content\n").unwrap();
    let habits: [fn(&mut Ws); 4] = [
        |ws| {
            ws.text("early").close(1000, "");
        },
        |ws| {
            ws.text("early");
            assert_eq!(ws.next(), Frame::text("content"));
        },
        |ws| {
            assert_eq!(ws.next(), Frame::text("content"));
            ws.raw(
                &[
                    frame_bytes(0x81, b"answer", false),
                    frame_bytes(0x88, &close_frame(1000, ""), false),
                ]
                .concat(),
            );
        },
        |ws| {
            assert_eq!(ws.messages(), (vec![Frame::text("content")], normal()));
            ws.raw(
                &[
                    frame_bytes(0x81, b"late", false),
                    frame_bytes(0x88, &close_frame(1000, ""), false),
                ]
                .concat(),
            );
        },
    ];
    for habit in habits {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        for _ in 0..10 {
            let mut client = spawn(&[&place, &url]);
            let mut ws = Ws::accept(&listener);
            habit(&mut ws);
            if ws.messages().1 != Frame::Eof {
                ws.answer_close(1000);
            }
            drop(ws);
            let done = client.finish();
            assert_eq!(done.status, 23, "{}", done.stderr);
            assert!(done.stderr.contains("-u or -U"), "{}", done.stderr);
        }
    }
}

#[test]
fn a_file_is_followed_as_it_grows_is_cut_and_is_replaced() {
    let (_folder, path, place) = folder("log");
    let append = |text: &str| {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append("first\nsec");
    let bridge = Bridge::start(&["ws-l:0", &format!("{place},follow")]);
    let mut ws = bridge.client();
    assert_eq!(ws.next(), Frame::text("first"));
    append("ond\nthird\n");
    assert_eq!(ws.next(), Frame::text("second"));
    assert_eq!(ws.next(), Frame::text("third"));
    // Cut, and written anew.
    fs::write(&path, "cut\n").unwrap();
    assert_eq!(ws.next(), Frame::text("cut"));
    // Rotated, with a last line in the old one.
    append("last of the old\n");
    fs::rename(&path, format!("{path}.1")).unwrap();
    append("first of the new, which is longer than all before\n");
    assert_eq!(ws.next(), Frame::text("last of the old"));
    let longer = "first of the new, which is longer than all before";
    assert_eq!(ws.next(), Frame::text(longer));
    ws.close(1000, "");
    assert_eq!(ws.next(), normal());
    assert_eq!(run(&["file:/dev/zero,follow", "-"], "").status, 7);
}

#[test]
fn fifos_are_read_and_written_to_their_end() {
    let (folder, path, place) = folder("fifo");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut reading = spawn(&[&place, "-"]);
    let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
    writer.write_all(b"through a fifo\n").unwrap();
    drop(writer);
    let done = reading.finish();
    assert_eq!(
        (done.status, done.text()),
        (0, "through a fifo\n"),
        "{}",
        done.stderr
    );
    // Its reader comes later than it does.
    let mut writing = spawn(&["-", &format!("{place},write")]);
    writing.stdin().write_all(b"the other way\n").unwrap();
    let mut got = String::new();
    File::open(&path).unwrap().read_to_string(&mut got).unwrap();
    assert_eq!(
        (got.as_str(), writing.finish().status),
        ("the other way\n", 0)
    );
    let nobody = format!("{place},write,connect-timeout=100ms");
    let done = run(&["-", &nobody], "");
    assert_eq!(done.status, 28, "{}", done.stderr);
    assert!(
        done.stderr.contains("no reader within 100ms"),
        "{}",
        done.stderr
    );
    drop(folder);
}

#[test]
fn descriptors_are_used_as_far_as_they_are_open() {
    let (_folder, path, _) = folder("in");
    fs::write(&path, "skipped\nfrom fd 3\n").unwrap();
    // Its place in the file is that of whoever opened it.
    let shell = format!("exec 3<'{path}' 4>'{path}.out' && read skipped <&3");
    let done = spawn_under(&shell, &["fd:3", "fd:4"]).finish();
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert_eq!(
        fs::read_to_string(format!("{path}.out")).unwrap(),
        "from fd 3\n"
    );
    let mut piped = spawn_under("exec 3<&0 4>&1 0</dev/null 1>&2", &["fd:3", "open-fd:4"]);
    piped.stdin().write_all(b"through pipes\n").unwrap();
    let done = piped.finish();
    assert_eq!(
        (done.status, done.text()),
        (0, "through pipes\n"),
        "{}",
        done.stderr
    );
    // A number that nobody opened is not one of ours.
    let close = "exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-";
    for number in 3..10 {
        let done = spawn_under(close, &["-", &format!("fd:{number}")]).finish();
        let reason = format!(
            "opening fd:{number}: it is not open; a shell opens it by {number}<FILE or {number}>FILE\n"
        );
        assert!(
            done.status == 7 && done.stderr.ends_with(&reason),
            "{number}: {} {}",
            done.status,
            done.stderr
        );
    }
    assert_eq!(run(&["-", "fd:x"], "").status, 3);
}

#[test]
fn a_socket_that_was_inherited_goes_both_ways_and_half_closes() {
    let (near, far) = UnixStream::pair().unwrap();
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    let mut child = Command::new("sh")
        .args(["-c", "exec 3<&0 0</dev/null; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_wsbridge"))
        .args(["fd:3", &bridge.url()])
        .stdin(Stdio::from(OwnedFd::from(far)))
        .spawn()
        .unwrap();
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    (&near).write_all(b"there\n").unwrap();
    let mut got = [0; 6];
    (&near).read_exact(&mut got).unwrap();
    assert_eq!(&got, b"there\n");
    (&near).write_all(b"and back\n").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    (&near).read_to_string(&mut rest).unwrap();
    assert_eq!(
        (rest.as_str(), child.wait().unwrap().code()),
        ("and back\n", Some(0))
    );
}

#[test]
fn a_literal_of_base64_is_one_binary_message() {
    let bridge = Bridge::start(&["ws-l:0", "literal-base64:AP/+Cg=="]);
    let mut ws = bridge.client();
    let message = Frame::Binary(vec![0, 0xFF, 0xFE, b'\n']);
    assert_eq!(ws.messages(), (vec![message], normal()));
    for wrong in ["A", "AP_-", "AP8", "AP8=\n"] {
        let done = run(&["-", &format!("literal-base64:{wrong}")], "");
        assert_eq!(done.status, 3, "{}", done.stderr);
        assert!(done.stderr.contains("this is no base64"), "{}", done.stderr);
    }
}

#[test]
fn random_and_zero_have_no_end_and_clogged_never_begins() {
    let mut got = Vec::new();
    for place in ["random:", "zero:"] {
        let mut reading = spawn(&[place, "-"]);
        let mut bytes = vec![0xAA; 1_000_000];
        let mut stdout = reading.stdout();
        stdout.read_exact(&mut bytes).unwrap();
        drop(stdout);
        // Whoever reads it has had enough: a normal end.
        assert_eq!(reading.wait(), 0, "{place}");
        got.push(bytes);
    }
    let counts = got[0].iter().fold([0u32; 256], |mut counts, byte| {
        counts[usize::from(*byte)] += 1;
        counts
    });
    assert!(
        counts.iter().all(|count| (3000..5000).contains(count)),
        "{counts:?}"
    );
    assert!(got[1].iter().all(|byte| *byte == 0));
    let bridge = Bridge::start(&[
        "ws-l:0",
        "clogged:",
        "--linger",
        "0",
        "--deliver-timeout",
        "200ms",
    ]);
    let mut ws = bridge.client();
    ws.close(1000, "");
    assert_eq!(ws.messages(), (vec![], normal()));
    // What it was sent it never takes. Both frames come at once: behind what is stuck nothing more is read.
    let mut ws = bridge.client();
    let close = frame_bytes(0x88, &close_frame(1000, ""), true);
    ws.raw(&[frame_bytes(0x81, b"stuck", true), close].concat());
    let end = Frame::Close(1011, "stall".to_owned());
    assert_eq!(ws.messages(), (vec![], end));
}

#[test]
fn names_that_are_not_utf8_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let name = |bytes: &[u8]| folder.path().join(OsStr::from_bytes(bytes));
    let word = |prefix: &str, path: &Path, suffix: &str| {
        let mut word = OsString::from(prefix);
        word.push(path);
        word.push(suffix);
        word
    };
    let run = |words: &[OsString], input: &[u8]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wsbridge"));
        command.args(words).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let done = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success(), "{stderr}");
        done.stdout
    };
    // One that is UTF-8, but of the range that stands for other bytes, is another file.
    let (odd, even) = (name(b"a\xff,b"), name("a\u{10FFFF},b".as_bytes()));
    for path in [&odd, &even] {
        let place = OsString::from_vec(escaped(path.as_os_str().as_bytes()));
        let word = word("file:", Path::new(&place), ",write");
        run(
            &["-".into(), word],
            if path == &odd { b"odd\n" } else { b"even\n" },
        );
    }
    for (path, content) in [(&odd, &b"odd\n"[..]), (&even, b"even\n")] {
        assert_eq!(fs::read(path).unwrap(), content);
        // Among the words of a program, as an option, and behind --send.
        let tee = name(b"tee\xfe");
        let words = [
            "-U".into(),
            word("--tee=", &tee, ""),
            "-".into(),
            "--".into(),
        ];
        let program = ["cat".into(), path.clone().into_os_string()];
        assert_eq!(run(&[&words[..], &program].concat(), b""), content);
        assert!(fs::metadata(&tee).unwrap().len() > 0);
        fs::remove_file(tee).unwrap();
        let sent = ["-b".into(), word("--send=@", path, ""), "echo:".into()];
        assert_eq!(run(&sent, b""), content);
    }
    // A socket too.
    let socket = name(b"socket\xff");
    let mut listening = Command::new(env!("CARGO_BIN_EXE_wsbridge"))
        .args([word("unix-l:", &socket, ""), "echo:".into()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stderr = listening.stderr.take().unwrap();
    BufReader::new(stderr).read_line(&mut line).unwrap();
    assert!(line.contains("listening on unix:"), "{line}");
    assert_eq!(
        run(&["-".into(), word("unix:", &socket, "")], b"hello\n"),
        b"hello\n"
    );
    listening.kill().unwrap();
    listening.wait().unwrap();
}

/// The bytes of a path, with a backslash before each comma.
fn escaped(path: &[u8]) -> Vec<u8> {
    let each = path.iter().map(|byte| match byte {
        b',' => &b"\\,"[..],
        byte => std::slice::from_ref(byte),
    });
    each.collect::<Vec<_>>().concat()
}
