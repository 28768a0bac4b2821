//! Sessions that copy one way only, or one message each way: what is not copied is not waited for either.

use std::io::Write;

use super::{Output, close_code, listener, status, stdio_to_ws, ws_to_tcp, ws_to_ws};
use crate::support::{Frame, Tcp, TcpEnd, spawn};

#[test]
fn to_the_right_only_nothing_is_printed_and_nothing_is_waited_for() {
    // The linger would be longer than the patience of this test.
    let (mut running, mut server) = stdio_to_ws(&["-u", "--linger", "60s"]);
    let mut stdin = running.stdin();
    stdin.write_all(b"question\n").unwrap();
    assert_eq!(server.next(), Frame::text("question"));
    server.text("ignored");
    drop(stdin);
    assert_eq!(close_code(&mut server), 1000);
    server.text("ignored too").answer_close(1000);
    let finished = running.finish();
    assert_eq!((finished.status, finished.text()), (0, ""));
}

#[test]
fn to_the_right_only_the_servers_end_is_still_seen() {
    let (mut running, mut server) = stdio_to_ws(&["-u"]);
    server.text("ignored").close(4001, "go away");
    assert_eq!(server.next(), Frame::Close(4001, "go away".to_owned()));
    server.fin();
    assert_eq!(running.wait(), 111);

    let (mut running, server) = stdio_to_ws(&["-u"]);
    server.reset();
    assert_eq!(running.wait(), 56);
}

#[test]
fn to_the_left_only_stdin_is_neither_sent_nor_waited_for() {
    let (mut running, mut server) = stdio_to_ws(&["-U"]);
    running.stdin().write_all(b"never sent\n").unwrap();
    server.text("news").close(1000, "");
    assert_eq!(
        server.messages(),
        (vec![], Frame::Close(1000, String::new()))
    );
    server.fin();
    let finished = running.finish();
    assert_eq!((finished.status, finished.text()), (0, "news\n"));
}

#[test]
fn one_message_each_way_and_no_more() {
    let (mut running, mut server) = stdio_to_ws(&["-1"]);
    running
        .stdin()
        .write_all(b"question\nnever sent\n")
        .unwrap();
    assert_eq!(server.next(), Frame::text("question"));
    server.text("answer").text("never printed");
    assert_eq!(server.next(), Frame::Close(1000, String::new()));
    server.answer_close(1000);
    let finished = running.finish();
    assert_eq!((finished.status, finished.text()), (0, "answer\n"));
}

/// However many reads it takes: with bytes as they come, the input is the message.
#[test]
fn one_message_of_bytes_is_the_whole_input() {
    let (mut running, mut server) = stdio_to_ws(&["-1", "-b"]);
    let bytes: Vec<u8> = (0..1_000_000).map(|i| (i / 7) as u8).collect();
    let (mut stdin, input) = (running.stdin(), bytes.clone());
    let writer = std::thread::spawn(move || {
        stdin.write_all(&input[..10]).unwrap();
        stdin.write_all(&input[10..]).unwrap();
    });
    let mut got = Vec::new();
    let is_whole = loop {
        match server.next() {
            Frame::Piece(fin, _, payload) => {
                got.extend(payload);
                if fin {
                    break true;
                }
            }
            Frame::Ping(_) => {}
            Frame::Binary(payload) => {
                got.extend(payload);
                break true;
            }
            _ => break false,
        }
    };
    assert!(is_whole, "the message ends after {} bytes", got.len());
    assert_eq!(got.len(), bytes.len());
    assert!(got == bytes, "other bytes came");
    writer.join().unwrap();
    server.binary(b"answer").answer_close(1000);
    let finished = running.finish();
    assert_eq!((finished.status, finished.text()), (0, "answer"));
}

#[test]
fn so_many_messages_each_way_and_no_more() {
    let (mut running, mut server) =
        stdio_to_ws(&["--max-messages", "3", "-b", "--framing", "lines"]);
    let mut stdin = running.stdin();
    // All of them come at once: the batch is cut.
    stdin.write_all(b"a\nb\nc\nd\ne\n").unwrap();
    for text in [b"a", b"b", b"c"] {
        assert_eq!(server.next(), Frame::Binary(text.to_vec()));
    }
    for number in 0..5 {
        server.binary(format!("{number}").as_bytes());
    }
    assert_eq!(
        server.messages(),
        (vec![], Frame::Close(1000, String::new()))
    );
    server.answer_close(1000);
    let done = running.finish();
    assert_eq!(
        (done.text(), done.status),
        ("0\n1\n2\n", 0),
        "{}",
        done.stderr
    );
}

#[test]
fn one_message_waits_for_stdin_when_the_server_speaks_first() {
    let (mut running, mut server) = stdio_to_ws(&["-1", "--linger", "0"]);
    let mut stdout = Output::of(running.stdout());
    server.text("greeting");
    assert_eq!(stdout.read(9), b"greeting\n");
    running.stdin().write_all(b"reply\n").unwrap();
    assert_eq!(server.next(), Frame::text("reply"));
    assert_eq!(close_code(&mut server), 1000);
    server.answer_close(1000);
    assert_eq!(running.wait(), 0);
}

#[test]
fn to_the_right_only_a_tcp_server_is_not_waited_for() {
    let (listener, port) = listener();
    let mut running = spawn(&["-u", "-b", &format!("tcp:127.0.0.1:{port}")]);
    running.stdin().write_all(b"log this\n").unwrap();
    let mut server = Tcp::accept(&listener);
    assert_eq!(server.rest(), (b"log this\n".to_vec(), TcpEnd::Eof));
    // The server says and ends nothing.
    assert_eq!(running.wait(), 0);
}

#[test]
fn to_the_left_only_stdin_is_not_waited_for() {
    let (listener, port) = listener();
    let mut running = spawn(&["-U", "-b", &format!("tcp:127.0.0.1:{port}")]);
    let mut server = Tcp::accept(&listener);
    server.send("all").fin();
    // Its stdin stays open, and says nothing that would be copied.
    assert_eq!(running.wait(), 0);
    assert_eq!(running.finish().text(), "all");
}

#[test]
fn one_message_each_way_through_a_relay() {
    let (bridge, mut client, mut server) = ws_to_ws(&["-1"]);
    client.text("question").text("never sent");
    assert_eq!(server.next(), Frame::text("question"));
    server.text("answer").text("never sent");
    assert_eq!(
        client.messages(),
        (
            vec![Frame::text("answer")],
            Frame::Close(1000, String::new())
        )
    );
    assert_eq!(close_code(&mut server), 1000);
    client.close(1000, "");
    server.answer_close(1000);
    assert_eq!(status(bridge), 0);
}

#[test]
fn one_way_through_a_bridge_to_tcp() {
    let (bridge, mut client, mut backend) = ws_to_tcp(&["-U"]);
    client.binary(b"never sent");
    backend.send("news").fin();
    assert_eq!(
        client.bytes(),
        (b"news".to_vec(), Frame::Close(1000, String::new()))
    );
    client.close(1000, "");
    assert_eq!(backend.rest(), (vec![], TcpEnd::Eof));
    assert_eq!(status(bridge), 0);

    let (bridge, mut client, mut backend) = ws_to_tcp(&["-u", "--linger", "100ms"]);
    backend.send("never sent");
    client.binary(b"log this").close(1000, "");
    assert_eq!(backend.rest().0, b"log this");
    assert_eq!(client.messages().0, vec![]);
    assert_eq!(status(bridge), 0);
}
