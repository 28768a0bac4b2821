//! `--reconnect`: a server that is killed again and again under a client that stays.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use crate::support::{Frame, Running, Tcp, Ws, run, spawn};

fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[test]
fn a_server_that_is_killed_ten_times_is_found_again_and_every_gap_is_told() {
    let (listener, url) = server();
    let words = ["--reconnect", "--reconnect-max", "100ms", "-n", "-", &url];
    let mut client = spawn(&words);
    let mut lines = BufReader::new(client.stdout()).lines();
    let _stdin = client.stdin();
    for number in 0..10 {
        let mut ws = Ws::accept(&listener);
        ws.text(&format!("{number}a")).text(&format!("{number}b"));
        for part in ["a", "b"] {
            assert_eq!(lines.next().unwrap().unwrap(), format!("{number}{part}"));
        }
        // Half of a message is told, never printed.
        ws.frame(0x01, b"half");
        ws.reset();
        client.line("reconnecting to ws://");
    }
    let mut ws = Ws::accept(&listener);
    ws.text("last").close(1000, "");
    assert_eq!(lines.next().unwrap().unwrap(), "last");
    assert!(lines.next().is_none(), "nothing is printed twice");
    drop(ws);
    let done = client.finish();
    let told = done
        .stderr
        .matches("gap: nothing that was sent is lost")
        .count();
    assert_eq!((done.status, told), (0, 10), "{}", done.stderr);
}

#[test]
fn what_the_server_may_not_have_taken_is_told() {
    let (listener, url) = server();
    let words = ["--reconnect", "--reconnect-max", "100ms", "-n", "-", &url];
    let mut client = spawn(&words);
    let mut stdin = client.stdin();
    let mut ws = Ws::accept(&listener);
    stdin.write_all(b"taken\n").unwrap();
    assert_eq!(ws.next(), Frame::text("taken"));
    let Frame::Ping(number) = ws.next() else {
        panic!("the client does not ask whether it was taken");
    };
    ws.frame(0x8A, &number).text("go on");
    stdin.write_all(b"never seen\n").unwrap();
    assert_eq!(ws.next(), Frame::text("never seen"));
    // No pong: for all that the client knows nobody has seen it.
    ws.reset();
    let _again = Ws::accept(&listener);
    client.line("gap: 1 message, 10 bytes may be lost");
}

#[test]
fn a_gap_is_a_line_of_json_between_what_came_before_and_after() {
    let (listener, url) = server();
    let mut client = spawn(&[
        "--reconnect",
        "--reconnect-max",
        "100ms",
        "--framing",
        "json",
        "-n",
        "-",
        &url,
    ]);
    let mut lines = BufReader::new(client.stdout()).lines();
    let mut stdin = client.stdin();
    let mut ws = Ws::accept(&listener);
    ws.text("before");
    stdin.write_all(b"{\"text\":\"lost\"}\n").unwrap();
    assert_eq!(ws.next(), Frame::text("lost"));
    ws.reset();
    let mut ws = Ws::accept(&listener);
    ws.text("after").close(1000, "");
    for expected in [
        r#"{"kind":"text","text":"before"}"#,
        r#"{"kind":"gap","messages":1,"bytes":4}"#,
        r#"{"kind":"text","text":"after"}"#,
        r#"{"kind":"close","code":1000,"reason":""}"#,
    ] {
        assert_eq!(lines.next().unwrap().unwrap(), expected);
    }
    assert_eq!(client.wait(), 0);
}

#[test]
fn a_gap_is_told_where_messages_are_given_on_the_command_line() {
    let (listener, url) = server();
    let words = [
        "--reconnect",
        "--reconnect-max",
        "100ms",
        "--framing",
        "json",
    ];
    let mut client = spawn(&[&words[..], &["-n", "--send", "{}", "-", &url]].concat());
    let mut lines = BufReader::new(client.stdout()).lines();
    let mut ws = Ws::accept(&listener);
    assert_eq!(ws.next(), Frame::text("{}"));
    ws.text("before");
    let before = lines.next().unwrap().unwrap();
    assert_eq!(before, r#"{"kind":"text","text":"before"}"#);
    ws.reset();
    let mut ws = Ws::accept(&listener);
    ws.text("after").close(1000, "");
    let gap = lines.next().unwrap().unwrap();
    assert!(gap.starts_with(r#"{"kind":"gap","#), "{gap}");
    let after = lines.next().unwrap().unwrap();
    assert_eq!(after, r#"{"kind":"text","text":"after"}"#);
    assert_eq!(client.wait(), 0);
}

#[test]
fn messages_of_the_command_line_are_sent_on_each_connection() {
    let (listener, url) = server();
    let words = [
        "--reconnect",
        "--reconnect-max",
        "100ms",
        "-n",
        "--send",
        "subscribe",
        "-",
        &url,
    ];
    let mut client = spawn(&words);
    for _ in 0..3 {
        let mut ws = Ws::accept(&listener);
        assert_eq!(ws.next(), Frame::text("subscribe"));
        ws.reset();
    }
    let mut ws = Ws::accept(&listener);
    ws.close(1008, "enough");
    assert_eq!(client.wait(), 110);
}

/// Three connections to one server, and none after these.
fn goes_on<S: Read + Write>(address: &str, mut accept: impl FnMut() -> S, close: impl FnOnce()) {
    let mut client = spawn(&["-n", "-", address]);
    let mut stdout = client.stdout();
    let mut stdin = client.stdin();
    for word in ["one\n", "two\n", "in the "] {
        let mut server = accept();
        let mut buf = [0; 7];
        stdin.write_all(b"hello\n").unwrap();
        server.read_exact(&mut buf[..6]).unwrap();
        assert_eq!(&buf[..6], b"hello\n", "{address}");
        server.write_all(word.as_bytes()).unwrap();
        stdout.read_exact(&mut buf[..word.len()]).unwrap();
        assert_eq!(&buf[..word.len()], word.as_bytes(), "{address}");
    }
    drop(accept);
    close();
    assert_eq!(client.wait(), 7, "{address}");
}

#[test]
fn bytes_go_on_over_the_next_connection_of_a_stream() {
    let options = "retries=9,reconnect-max=10ms";
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("reconnect:tcp:{},{options}", tcp.local_addr().unwrap());
    let again = tcp.try_clone().unwrap();
    goes_on(&address, move || Tcp::accept(&again).0, || drop(tcp));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let unix = UnixListener::bind(&path).unwrap();
    let gone = path.clone();
    goes_on(
        &format!("reconnect:unix:{},{options}", path.display()),
        move || unix.accept().unwrap().0,
        || std::fs::remove_file(gone).unwrap(),
    );
}

#[test]
fn options_stand_behind_the_address() {
    let (listener, url) = server();
    drop(listener);
    let place = url.strip_prefix("ws://").unwrap();
    for address in [
        format!("reconnect:{url}#retries=3,reconnect-max=10ms"),
        format!("{url}#reconnect,retries=3,reconnect-max=10ms"),
        format!("reconnect:tcp:{place},retries=3,reconnect-max=10ms"),
        "reconnect:unix:/nowhere/none,retries=3,reconnect-max=10ms".to_owned(),
    ] {
        let done = run(&["-", &address], "");
        assert_eq!(done.status, 7, "{}", done.stderr);
        let tries = done.stderr.matches("reconnecting to ").count();
        assert_eq!(tries, 3, "{address}: {}", done.stderr);
    }
}

#[test]
fn a_close_that_means_it_is_the_end() {
    for code in [1000, 1002, 1003, 1007, 1008, 1009, 1010] {
        let (listener, url) = server();
        let client = spawn(&["--reconnect", "-n", "-", &url]);
        Ws::accept(&listener).close(code, "no more");
        is_over(client, &listener, if code == 1000 { 0 } else { 110 });
    }
}

#[test]
fn a_status_of_http_that_means_it_is_the_end_and_others_are_not() {
    for status in [200, 400, 401, 403, 404, 410, 418, 426, 451] {
        let (listener, url) = server();
        let client = spawn(&["--reconnect", "-n", "-", &url]);
        answers(&listener, status);
        is_over(client, &listener, 22);
    }
    let (listener, url) = server();
    let words = ["--reconnect", "--reconnect-max", "10ms", "-n", "-", &url];
    let client = spawn(&words);
    for status in [408, 425, 429, 500, 502, 503, 504] {
        answers(&listener, status);
    }
    Ws::accept(&listener).reset();
    for status in [408, 425, 429, 500, 502, 503, 504] {
        answers(&listener, status);
    }
    // A status that means it is the end for a connection that was lost, too.
    answers(&listener, 403);
    is_over(client, &listener, 22);
}

#[test]
fn a_proxy_that_does_not_reach_the_server_is_asked_again_and_one_that_refuses_is_not() {
    for (status, is_asked_again) in [(503, true), (502, true), (407, false), (403, false)] {
        let (listener, url) = server();
        let proxy = url.replace("ws:", "--proxy=http:");
        let words = ["--reconnect", "--retries=2", "--reconnect-max=10ms", &proxy];
        let client = spawn(&[&words[..], &["-n", "-", "ws://far.test/"]].concat());
        for _ in 0..if is_asked_again { 3 } else { 1 } {
            answers(&listener, status);
        }
        is_over(client, &listener, 97);
    }
}

#[test]
fn a_connection_that_ends_within_the_handshake_of_tls_is_tried_again() {
    let (listener, url) = server();
    let url = url.replace("ws:", "wss:");
    let words = ["--reconnect", "--retries=2", "--reconnect-max=10ms"];
    let client = spawn(&[&words[..], &["-n", "-", &url]].concat());
    for _ in 0..3 {
        Tcp::accept(&listener).read(5);
    }
    is_over(client, &listener, 35);
}

fn answers(listener: &TcpListener, status: u16) {
    let mut caller = Tcp::accept(listener);
    // An answer before the question would be none.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(caller.read(1));
    }
    caller.send(format!(
        "HTTP/1.1 {status} Is so\r\nContent-Length: 0\r\n\r\n"
    ));
    caller.fin().rest();
}

/// A client that has ended with this status and never calls again.
#[track_caller]
fn is_over(mut client: Running, listener: &TcpListener, status: i32) {
    let done = client.finish();
    assert_eq!(done.status, status, "{}", done.stderr);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "it has called again");
}

#[test]
fn used_up_retries_and_a_stop_end_the_wait() {
    let (listener, url) = server();
    drop(listener);
    let words = ["reconnect:", "--retries", "2", "--reconnect-max", "10ms"];
    let place = format!("{}{url}", words[0]);
    let done = run(&[&["-", &place], &words[1..]].concat(), "");
    assert_eq!(done.status, 7, "{}", done.stderr);
    assert!(
        done.stderr.contains("(attempt 2): connection refused"),
        "{}",
        done.stderr
    );
    let waiting = spawn(&["--reconnect", "-", &url]);
    waiting.line("reconnecting to ws://");
    waiting.signal(rustix::process::Signal::TERM);
    let mut waiting = waiting;
    assert_eq!(waiting.wait(), 143);
}
