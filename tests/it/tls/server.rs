//! A server: which certificate it shows, and callers that speak no TLS or only half of it.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::{Authority, Files, client_config, connect, shown};
use crate::support::{Bridge, Tcp, run};

#[test]
fn the_certificate_is_chosen_by_the_name() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let pairs =
        [&["first.test"][..], &["*.wild.test"], &["a.wild.test"]].map(|names| ours.issue(names));
    let mut address = "tls-l:0".to_owned();
    for (index, pair) in pairs.iter().enumerate() {
        let cert = files.put(&format!("{index}.pem"), &pair.cert);
        let key = files.put(&format!("{index}.key"), &pair.key);
        address += &format!(",cert={cert},key={key}");
    }
    let bridge = Bridge::start(&[&address, "echo:"]);
    let config = client_config(&ours, None);
    for (name, index) in [("first.test", 0), ("b.wild.test", 1), ("a.wild.test", 2)] {
        let stream = connect(&config, name, bridge.port).unwrap();
        assert_eq!(shown(&stream), pairs[index].certificate(), "{name}");
    }
    assert!(connect(&config, "other.test", bridge.port).is_err());
}

/// The names of the certificate are the server's own: a page cannot have one and point it here.
#[test]
fn hosts_of_the_certificate_are_answered() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let pair = ours.issue(&["cert.test", "*.wild.test"]);
    let cert = files.put("pair.pem", &pair.both());
    for listens in ["wss-l:0", "ws-u:tls-l:0"] {
        let bridge = Bridge::start(&[&format!("{listens},cert={cert}"), "echo:"]);
        let config = client_config(&ours, None);
        for (name, host, origin, expected) in [
            (
                "cert.test",
                "cert.test:PORT",
                "https://cert.test:PORT",
                "101",
            ),
            ("a.wild.test", "a.wild.test", "https://a.wild.test", "101"),
            ("cert.test", "cert.test:PORT", "https://other.test", "403"),
            (
                "cert.test",
                "cert.test:PORT",
                "http://cert.test:PORT",
                "403",
            ),
            (
                "cert.test",
                "other.test:PORT",
                "https://other.test:PORT",
                "421",
            ),
        ] {
            let mut stream = connect(&config, name, bridge.port).unwrap();
            let port = bridge.port.to_string();
            let request = format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            );
            let request = request.replace("PORT", &port);
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert_eq!(&answer[9..], expected, "{listens} {host} {origin}");
        }
    }
}

#[test]
fn only_clients_that_must_be_known_make_a_bind_one_that_is_not_open() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let cert = files.put("pair.pem", &ours.issue(&["cert.test"]).both());
    let ca = files.put("ca.pem", &ours.pem);
    for (listens, is_open) in [
        (format!("wss-l:*:0,cert={cert},client-ca={ca}"), false),
        (format!("tls-l:*:0,cert={cert},client-ca={ca}"), false),
        (
            format!("wss-l:*:0,cert={cert},client-ca={ca},client-auth=optional"),
            true,
        ),
        (format!("wss-l:*:0,cert={cert}"), true),
    ] {
        let stderr = Bridge::start(&[&listens, "echo:"]).stop().stderr;
        assert_eq!(
            stderr.contains("is open to every machine"),
            is_open,
            "{stderr}"
        );
    }
}

#[test]
fn a_certificate_of_its_own_is_trusted_by_its_pin() {
    for scheme in ["wss", "tls"] {
        let running = crate::support::spawn(&[&format!("{scheme}-l:0,self-signed"), "echo:"]);
        let line = running.line("--pin-sha256 ");
        let pin = line.rsplit(' ').next().unwrap().to_owned();
        let bridge = Bridge::of(running);
        let address = format!("{}#pin-sha256={pin}", bridge.place);
        let done = run(&["-", &address], "hello\n");
        assert_eq!(
            (done.status, done.text()),
            (0, "hello\n"),
            "{}",
            done.stderr
        );
        let address = address.replace(&pin, &format!("{}=", "A".repeat(43)));
        assert_eq!(run(&["-", &address], "").status, 60);
    }
}

#[test]
fn what_is_missing_is_said_before_anything_listens() {
    let files = Files::new();
    let own = files.put("own.pem", &super::self_signed(&["a"]).both());
    let other = files.put("other.key", &super::self_signed(&["a"]).key);
    for (address, status, words) in [
        (
            "wss-l:0",
            58,
            "TLS needs a certificate: cert=FILE and key=FILE, or self-signed",
        ),
        ("wss-l:0,cert=/none", 58, "--cert /none: no such file"),
        (
            &format!("wss-l:0,cert={own},cert={own},key={own}"),
            58,
            "each --cert needs a --key",
        ),
        (
            &format!("wss-l:0,cert={own},key={other}"),
            58,
            &format!("--cert {own} and --key {other} do not go together"),
        ),
        (
            &format!("wss-l:0,cert={own},client-ca=/none"),
            77,
            "--client-ca /none: no such file",
        ),
        (
            &format!("wss-l:0,cert={own},client-auth=optional"),
            2,
            "--client-ca",
        ),
        (
            "tls-l:tcp:1,self-signed",
            3,
            "tls-l: is a server and can not wrap what dials",
        ),
        (
            "tls:tcp-l:1",
            3,
            "tls: is a client and can not wrap what listens",
        ),
        (
            "tls:ws://h",
            2,
            "tls: speaks over bytes, and ws: has messages of its own",
        ),
        ("tls:tpc:h:1", 2, "did you mean 'tcp:'?"),
        ("tls:h:99999", 3, "bad port '99999'"),
        (
            "tls:unix:/a",
            3,
            "TLS asks for a name that this endpoint does not have: tls-name=NAME",
        ),
    ] {
        let done = run(&[address, "echo:"], "");
        assert_eq!(done.status, status, "{address}: {}", done.stderr);
        assert!(done.stderr.contains(words), "{address}: {}", done.stderr);
    }
}

#[test]
fn an_error_points_into_the_whole_address() {
    let done = run(&["tls:h:1,cafile=x", "echo:"], "");
    let lines: Vec<_> = done.stderr.lines().collect();
    assert_eq!(
        lines[1..3],
        ["  tls:h:1,cafile=x", "          ^^^^^^^^"],
        "{}",
        done.stderr
    );
    let done = run(&["tls:h:99999,insecure", "echo:"], "");
    let lines: Vec<_> = done.stderr.lines().collect();
    assert_eq!(
        lines[1..3],
        ["  tls:h:99999,insecure", "        ^^^^^"],
        "{}",
        done.stderr
    );
}

/// A server whose handshakes have little time.
fn hasty(scheme: &str) -> (Bridge, Authority, Files) {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let own = files.put("own.pem", &ours.issue(&["localhost"]).both());
    let address = format!("{scheme}-l:0,cert={own},handshake-timeout=1s");
    (Bridge::start(&["-v", &address, "echo:"]), ours, files)
}

#[test]
fn half_a_handshake_has_a_deadline_and_holds_up_nobody() {
    for scheme in ["wss", "tls"] {
        let (bridge, ours, _files) = hasty(scheme);
        let mut held: Vec<_> = (0..8).map(|_| Tcp::connect(bridge.port)).collect();
        for (index, caller) in held.iter_mut().enumerate() {
            // The first bytes of a ClientHello that does not come.
            caller.send(&[0x16, 3, 1, 2, 0, 1, 0, 1][..index]);
        }
        let mut other = connect(&client_config(&ours, None), "localhost", bridge.port).unwrap();
        if scheme == "tls" {
            other.write_all(b"hello").unwrap();
            other.read_exact(&mut [0; 5]).unwrap();
        }
        for mut caller in held {
            assert!(caller.rest().0.is_empty());
        }
        bridge.running.line("no TLS handshake in time");
    }
}

#[test]
fn tls_and_http_share_one_deadline() {
    let (bridge, ours, _files) = hasty("wss");
    let begun = Instant::now();
    let config = client_config(&ours, None);
    let mut callers: Vec<_> = (0..4)
        .map(|_| connect(&config, "localhost", bridge.port).unwrap())
        .collect();
    for caller in &mut callers {
        caller.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        let mut text = Vec::new();
        // The end may be a cut.
        let _ = caller.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text);
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 408 "),
            "{text}"
        );
    }
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn garbage_is_answered_by_an_alert_and_an_end() {
    for scheme in ["wss", "tls"] {
        let (bridge, ours, _files) = hasty(scheme);
        for garbage in [
            &b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"[..],
            &[0; 4000],
            &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3, 4, 5],
            &[0x16, 3, 1, 0, 4, 2, 0, 0, 0],
        ] {
            let mut caller = Tcp::connect(bridge.port);
            caller.send(garbage);
            let (answer, _) = caller.fin().rest();
            assert!(answer.len() < 20, "{answer:?}");
            assert!(
                answer.first().is_none_or(|first| *first == 0x15),
                "{answer:?}"
            );
        }
        assert!(connect(&client_config(&ours, None), "localhost", bridge.port).is_ok());
    }
}

#[test]
fn who_speaks_http_without_tls_is_told_so_in_one_sentence() {
    for address in ["wss-l:0,self-signed", "tls-l:0,self-signed"] {
        let bridge = Bridge::start(&[address, "echo:"]);
        for request in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /x HTTP/1.0\r\n\r\n",
        ] {
            let mut caller = Tcp::connect(bridge.port);
            // The method alone says it, in however many pieces it comes.
            let (first, rest) = request.as_bytes().split_at(2);
            caller.send(first).send(rest);
            let (answer, _) = caller.rest();
            let answer = String::from_utf8(answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
            assert!(
                head.contains(&format!("content-length: {}", body.len())),
                "{answer}"
            );
            assert_eq!(
                body,
                "this port speaks TLS: write wss:// or https:// here\n"
            );
        }
        let url = format!("ws://localhost:{}", bridge.port);
        let done = run(&["-", &url], "");
        assert_eq!(done.status, 22, "{}", done.stderr);
        assert!(
            done.stderr.contains("this port speaks TLS"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn a_client_may_be_its_own_issuer_where_it_is_named_itself() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let server = files.put("server.pem", &ours.issue(&["localhost"]).both());
    let ca = files.put("ca.pem", &ours.pem);
    let pair = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = super::params(&[]);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap().pem();
        (
            files.put(&format!("{name}.pem"), &cert),
            files.put(&format!("{name}.key"), &key.serialize_pem()),
        )
    };
    let (own, own_key) = pair("me");
    let (other, other_key) = pair("you");
    let address = format!("tls-l:0,cert={server},client-ca={own}");
    let bridge = Bridge::start(&[&address, "echo:"]);
    let client = |cert: &str, key: &str| {
        let flags = format!(",cacert={ca},cert={cert},key={key}");
        run(
            &["-", &format!("tls:localhost:{}{flags}", bridge.port)],
            "hello\n",
        )
    };
    let done = client(&own, &own_key);
    assert_eq!(
        (done.status, done.text()),
        (0, "hello\n"),
        "{}",
        done.stderr
    );
    let done = client(&other, &other_key);
    assert_eq!(done.status, 58, "{}", done.stderr);
    // A hint names an option that this side has.
    bridge
        .running
        .line("refused: the caller: its certificate is self-signed; --client-ca FILE trusts it");
}
