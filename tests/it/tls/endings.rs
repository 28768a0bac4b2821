//! How streams end under TLS: a close_notify is an end, its absence a cut, in both directions.

use std::io::{self, Read, Write};

use super::{Authority, BOTH, Files, client_config, connect, hello, serve, server_config};
use crate::support::{Bridge, Tcp, TcpEnd, run};

/// Files of an authority and a certificate of localhost.
fn localhost() -> (Authority, Files, String, String) {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let ca = files.put("ca.pem", &ours.pem);
    let own = files.put("own.pem", &ours.issue(&["localhost"]).both());
    (ours, files, ca, own)
}

#[test]
fn what_is_cut_without_a_close_notify_is_lost() {
    let (ours, _files, ca, _) = localhost();
    let pair = ours.issue(&["localhost"]);
    for is_cut in [false, true] {
        let (port, server) = serve(server_config(&pair, BOTH, None), move |stream| {
            if !is_cut {
                return hello(stream);
            }
            stream.write_all(b"hello\n")?;
            stream.flush()?;
            stream.sock.shutdown(std::net::Shutdown::Write)?;
            let _ = stream.sock.read_to_end(&mut Vec::new());
            Ok(())
        });
        let done = run(&["-", &format!("tls:localhost:{port},cacert={ca}")], "");
        server.join().unwrap().unwrap();
        let status = if is_cut { 56 } else { 0 };
        assert_eq!(
            (done.status, done.text()),
            (status, "hello\n"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn a_cut_of_tls_is_a_reset_of_tcp_and_an_end_is_an_end() {
    let (ours, _files, ca, _) = localhost();
    let pair = ours.issue(&["localhost"]);
    for (is_cut, end) in [(false, TcpEnd::Eof), (true, TcpEnd::Reset)] {
        let (port, server) = serve(server_config(&pair, BOTH, None), move |stream| {
            stream.write_all(&[7; 300_000])?;
            if !is_cut {
                stream.conn.send_close_notify();
            }
            while stream.conn.wants_write() {
                stream.conn.complete_io(&mut stream.sock)?;
            }
            stream.sock.shutdown(std::net::Shutdown::Write)?;
            let _ = stream.sock.read_to_end(&mut Vec::new());
            Ok(())
        });
        let bridge = Bridge::start(&["tcp-l:0", &format!("tls:localhost:{port},cacert={ca}")]);
        let mut caller = Tcp::connect(bridge.port);
        let got = caller.read(300_000);
        assert!(got.iter().all(|byte| *byte == 7));
        assert_eq!(caller.rest(), (Vec::new(), end));
        drop(caller);
        server.join().unwrap().unwrap();
    }
}

#[test]
fn what_ends_elsewhere_is_a_close_notify_and_what_is_cut_is_none() {
    let (ours, _files, ca, _) = localhost();
    let pair = ours.issue(&["localhost"]);
    for is_cut in [false, true] {
        let (port, server) = serve(server_config(&pair, BOTH, None), move |stream| {
            let mut got = vec![0; 300_000];
            stream.read_exact(&mut got)?;
            stream.write_all(b"seen")?;
            let end = stream.read(&mut got);
            if !is_cut {
                // The other direction is open still.
                stream.write_all(b"more")?;
                stream.conn.send_close_notify();
                stream.conn.complete_io(&mut stream.sock)?;
            }
            Ok(end.map_err(|error| error.kind()))
        });
        let bridge = Bridge::start(&["tcp-l:0", &format!("tls:localhost:{port},cacert={ca}")]);
        let mut caller = Tcp::connect(bridge.port);
        caller.send(vec![7; 300_000]);
        assert_eq!(caller.read(4), b"seen");
        match is_cut {
            true => caller.reset(),
            false => assert_eq!(caller.fin().rest(), (b"more".to_vec(), TcpEnd::Eof)),
        }
        let end = server.join().unwrap().unwrap();
        match is_cut {
            true => assert!(matches!(
                end,
                Err(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
            )),
            false => assert_eq!(end, Ok(0)),
        }
    }
}

#[test]
fn a_listener_ends_and_is_cut_alike() {
    let (ours, _files, _, own) = localhost();
    let config = client_config(&ours, None);
    let bridge = Bridge::start(&[&format!("tls-l:0,cert={own}"), "echo:"]);
    let mut clean = connect(&config, "localhost", bridge.port).unwrap();
    clean.write_all(b"hello").unwrap();
    clean.conn.send_close_notify();
    clean.flush().unwrap();
    let mut got = Vec::new();
    clean.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"hello");
    let closed = bridge.closed();
    assert!(closed.contains("left=eof right=eof"), "{closed}");
    let mut cut = connect(&config, "localhost", bridge.port).unwrap();
    cut.write_all(b"hello").unwrap();
    cut.read_exact(&mut [0; 5]).unwrap();
    cut.sock.shutdown(std::net::Shutdown::Write).unwrap();
    let error = cut.read(&mut [0; 5]).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
        ),
        "{error}"
    );
    let closed = bridge.closed();
    assert!(closed.contains("left=connection lost"), "{closed}");
}

#[test]
fn a_websocket_over_tls_carries_endings_as_without() {
    let (_ours, _files, ca, own) = localhost();
    let server = Bridge::start(&[&format!("wss-l:0/chat,cert={own}"), "echo:"]);
    assert_eq!(
        server.place,
        format!("wss://127.0.0.1:{}/chat", server.port)
    );
    let url = format!("wss://localhost:{}/chat#cacert={ca}", server.port);
    let text = "line\n".repeat(50_000);
    let done = run(&[&url], &text);
    assert_eq!(
        (done.status, done.stdout.len()),
        (0, text.len()),
        "{}",
        done.stderr
    );
    let closed = server.closed();
    assert!(closed.contains("left=close 1000 right=eof"), "{closed}");
    let done = run(&[&url.replace("/chat", "/other")], "");
    assert_eq!(done.status, 22, "{}", done.stderr);
    let done = server.stop();
    assert_eq!(done.status, 0, "{}", done.stderr);
}
