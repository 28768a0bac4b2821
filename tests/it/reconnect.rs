//! `--reconnect`: a server that is killed again and again under a client that stays.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use crate::support::{Frame, Ws, run, spawn};

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
