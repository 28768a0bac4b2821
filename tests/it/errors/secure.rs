//! TLS that does not come about: certificates that are not to be trusted, and peers that speak something else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use rcgen::{PublicKeyData, date_time_ymd};

use super::{Part, filled, judged, peer, run_line};
use crate::tls::{Authority, BOTH, Files, Pair, TLS12, hello, self_signed, serve, server_config};

const LINE: &str = "wss://localhost:{port}/ --cacert {ca}";

/// How a client tells of a server with a certificate.
fn faced_with(
    pair: &Pair,
    parts: &[Part<'_>],
    line: &str,
    status: i32,
    what: &str,
) -> Option<String> {
    let (port, server) = serve(server_config(pair, BOTH, None), hello);
    let port = port.to_string();
    let parts: Vec<_> = parts
        .iter()
        .copied()
        .chain([("{port}", port.as_str())])
        .collect();
    let done = run_line(line, &parts, "");
    // A handshake that failed is for the client to tell.
    let _ = server.join().unwrap();
    let expected = format!("connecting to wss://localhost:{{port}}/: {what}");
    judged(line, &done, status, &filled(&expected, &parts))
}

#[test]
fn a_certificate_that_is_not_to_be_trusted_is_told_with_what_helps() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let files = Files::new();
    let ca = files.put("ca.pem", &ours.pem);
    let expired = ours.issue_so(&["localhost"], |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let since = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(1_577_836_800));
    let days = (since.unwrap().as_secs() / 86400).to_string();
    let early = ours.issue_so(&["localhost"], |params| {
        params.not_before = date_time_ymd(2999, 1, 1);
        params.not_after = date_time_ymd(3000, 1, 1);
    });
    let until = UNIX_EPOCH + Duration::from_secs(32_472_144_000);
    let until = until.duration_since(SystemTime::now()).unwrap();
    let until = (until.as_secs() / 86400).to_string();
    let own = self_signed(&["localhost"]);
    let key = rcgen::KeyPair::from_pem(&own.key).unwrap();
    let sum = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
    let pin = format!("sha256//{}", BASE64.encode(sum.as_ref()));
    let parts = [
        ("{ca}", ca.as_str()),
        ("{pin}", &pin),
        ("{days}", &days),
        ("{until}", &until),
    ];
    let wrong: Vec<_> = [
        (own, "its certificate is self-signed; --cacert FILE trusts it, or --pin-sha256 {pin} where that is what the server printed"),
        (other.issue(&["localhost"]), "its certificate was issued by 'CN=other', which is not known here; --cacert FILE trusts it"),
        (ours.issue(&["example.com"]), "its certificate is for example.com, not for localhost; --tls-name NAME asks for another name"),
        (expired, "its certificate expired on 2020-01-01T00:00:00Z, {days} days ago"),
        (early, "its certificate is valid from 2999-01-01T00:00:00Z on, in {until} days; is the clock right?"),
    ]
    .iter()
    .filter_map(|(pair, what)| faced_with(pair, &parts, LINE, 60, what))
    .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn a_version_that_is_too_old_is_told() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let ca = files.put("ca.pem", &ours.pem);
    let (port, server) = serve(
        server_config(&ours.issue(&["localhost"]), TLS12, None),
        hello,
    );
    let port = port.to_string();
    let parts = [("{port}", port.as_str()), ("{ca}", &ca)];
    let line = "wss://localhost:{port}/ --tls-min 1.3 --cacert {ca}";
    let done = run_line(line, &parts, "");
    assert!(server.join().unwrap().is_err());
    let expected = "connecting to wss://localhost:{port}/: the server ended the TLS handshake (protocol version): there is no version of TLS that both speak";
    assert_eq!(judged(line, &done, 35, &filled(expected, &parts)), None);
}

#[test]
fn a_server_without_tls_is_told() {
    let mut wrong = Vec::new();
    for (answer, what) in [
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "the server does not speak TLS; without it write ws:// or tcp:",
        ),
        (
            "SSH-2.0-OpenSSH_9.2p1\r\n",
            "the server does not speak TLS; without it write ws:// or tcp:",
        ),
        (
            "",
            "the server closed the connection within the TLS handshake",
        ),
    ] {
        let (port, server) = peer(move |caller| {
            caller.read(5);
            caller.send(answer).fin().rest();
        });
        let parts = [("{port}", port.as_str())];
        let line = "wss://localhost:{port}/";
        let done = run_line(line, &parts, "");
        server.join().unwrap();
        let expected = format!("connecting to wss://localhost:{{port}}/: {what}");
        wrong.extend(judged(line, &done, 35, &filled(&expected, &parts)));
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}
