//! Whom a server lets in, and what a program knows of it.

use std::io::{Read, Write};

use super::{Authority, Files, client_config, connect};
use crate::support::{Bridge, run};

/// A server that lets in whom `ours` has issued a certificate, with its options.
fn server(ours: &Authority, files: &Files, options: &str) -> Bridge {
    let ca = files.put("ca.pem", &ours.pem);
    let own = files.put("own.pem", &ours.issue(&["localhost"]).both());
    let address = format!("wss-l:0,cert={own},client-ca={ca}{options}");
    let program = "sh-c:printf '%s\\n' \"who: $SSL_CLIENT_S_DN\"";
    Bridge::start(&[&address, program])
}

#[test]
fn a_program_knows_the_subject() {
    let (ours, other, files) = (
        Authority::new("ours"),
        Authority::new("other"),
        Files::new(),
    );
    let right = files.put("right.pem", &ours.client("me").both());
    let wrong = files.put("wrong.pem", &other.client("me").both());
    for (options, none) in [("", 58), (",client-auth=optional", 0)] {
        let bridge = server(&ours, &files, options);
        let ca = files.path("ca.pem");
        let url = format!("wss://localhost:{}#cacert={}", bridge.port, ca.display());
        let done = run(&[&format!("{url},cert={right}")], "");
        assert_eq!(done.status, 0, "{}", done.stderr);
        assert_eq!(done.text(), "who: O=Example\\, Inc.,CN=me\n");
        let done = run(&[&url], "");
        assert_eq!(done.status, none, "{}", done.stderr);
        assert_eq!(done.text(), if none == 0 { "who: \n" } else { "" });
        let done = run(&[&format!("{url},cert={wrong}")], "");
        assert_eq!((done.status, done.text()), (58, ""), "{}", done.stderr);
        let line = bridge.running.line("refused: the caller");
        assert!(line.contains("warning: 127.0.0.1:"), "{line}");
    }
}

#[test]
fn a_stream_of_bytes_is_asked_who_it_is_too() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let ca = files.put("ca.pem", &ours.pem);
    let own = files.put("own.pem", &ours.issue(&["localhost"]).both());
    let address = format!("tls-l:0,cert={own},client-ca={ca}");
    let bridge = Bridge::start(&[&address, "sh-c:echo \"$SSL_CLIENT_S_DN\""]);
    let config = client_config(&ours, Some(&ours.client("me")));
    let mut stream = connect(&config, "localhost", bridge.port).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "O=Example\\, Inc.,CN=me\n");
    // With TLS 1.3 the refusal comes behind the handshake.
    let refused = connect(&client_config(&ours, None), "localhost", bridge.port);
    let error = refused
        .and_then(|mut stream| stream.read(&mut [0]))
        .unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}
