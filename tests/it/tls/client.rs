//! A client: whom it trusts, and what it says where it does not.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};

use super::{
    Authority, BOTH, Files, Pair, ServerStream, TLS12, TLS13, hello, listener, params, self_signed,
    serve, server_config,
};
use crate::http::read_head;
use crate::support::{Bridge, Finished, Tcp, run};

/// Connects to a server that has this certificate.
fn meets(pair: &Pair, options: &str) -> Finished {
    let (port, server) = serve(server_config(pair, BOTH, None), hello);
    let done = run(&["-", &format!("tls:localhost:{port}{options}")], "");
    // A handshake that failed is for the client to tell.
    let _ = server.join().unwrap();
    done
}

#[track_caller]
fn trusts(done: &Finished) {
    assert_eq!(
        (done.status, done.text()),
        (0, "hello\n"),
        "{}",
        done.stderr
    );
}

#[track_caller]
fn fails(done: &Finished, status: i32, words: &str) {
    assert!(
        done.stderr.contains(words),
        "{words} is not in {}",
        done.stderr
    );
    assert_eq!((done.status, done.text()), (status, ""), "{}", done.stderr);
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
}

#[test]
fn the_matrix_of_certificates() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let files = Files::new();
    let ca = files.put("ca.pem", &ours.pem);
    let trusted = format!(",cacert={ca}");
    let named = |name: &str| format!("{trusted},tls-name={name}");
    trusts(&meets(&ours.issue(&["localhost"]), &trusted));
    trusts(&meets(&ours.issue(&["127.0.0.1"]), &named("127.0.0.1")));
    trusts(&meets(&ours.issue(&["*.wild.test"]), &named("a.wild.test")));
    for (pair, options, words) in [
        (
            ours.issue_so(&["localhost"], |params| {
                params.not_after = date_time_ymd(2001, 2, 3);
            }),
            &trusted,
            "its certificate expired on 2001-02-03T00:00:00Z, 9",
        ),
        (
            ours.issue_so(&["localhost"], |params| {
                params.not_before = date_time_ymd(4001, 2, 3);
            }),
            &trusted,
            "its certificate is valid from 4001-02-03T00:00:00Z on, in ",
        ),
        (
            ours.issue(&["a.test", "b.test"]),
            &trusted,
            "its certificate is for a.test, b.test, not for localhost; --tls-name",
        ),
        (
            ours.issue(&["localhost"]),
            &named("127.0.0.1"),
            "its certificate is for localhost, not for 127.0.0.1; --tls-name",
        ),
        (
            ours.issue(&["10.1.2.3", "::1", "a.test"]),
            &trusted,
            "its certificate is for 10.1.2.3, ::1, a.test, not for localhost; --tls-name",
        ),
        (
            ours.issue(&["10.1.2.3"]),
            &named("127.0.0.1"),
            "its certificate is for 10.1.2.3, not for 127.0.0.1; --tls-name",
        ),
        (
            ours.issue_so(&[], |params| {
                let name = "https://localhost/".try_into().unwrap();
                params.subject_alt_names = vec![SanType::URI(name)];
            }),
            &trusted,
            "its certificate is for https://localhost/, not for localhost; --tls-name",
        ),
        (
            ours.issue(&[]),
            &trusted,
            "its certificate is for no name, not for localhost; --tls-name",
        ),
        (
            ours.issue(&["*.wild.test"]),
            &named("a.b.wild.test"),
            "its certificate is for *.wild.test, not for a.b.wild.test; --tls-name",
        ),
        (
            ours.issue(&["*.wild.test"]),
            &named("wild.test"),
            "its certificate is for *.wild.test, not for wild.test; --tls-name",
        ),
        (
            self_signed(&["localhost"]),
            &trusted,
            "its certificate is self-signed; --cacert FILE trusts it, or",
        ),
        (
            other.issue(&["localhost"]),
            &trusted,
            "its certificate was issued by 'CN=other', which is not known here; --cacert FILE trusts it",
        ),
    ] {
        let done = meets(&pair, options);
        fails(&done, 60, words);
        let start = "wsbridge: connecting to tls:localhost:";
        assert!(done.stderr.starts_with(start), "{}", done.stderr);
    }
}

#[test]
fn a_folder_of_authorities_and_a_certificate_that_vouches_for_itself() {
    let files = Files::new();
    let (ours, own) = (Authority::new("ours"), self_signed(&["localhost"]));
    files.put("one.pem", &ours.pem);
    files.put("two.crt", &own.cert);
    files.put("README", "no certificate");
    let trusted = format!(",cacert={}", files.path("").display());
    trusts(&meets(&ours.issue(&["localhost"]), &trusted));
    trusts(&meets(&own, &trusted));
}

/// A certificate as `openssl req -x509` makes it: its own issuer, which says that it issues others.
fn everyday(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = params(names);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    Pair {
        cert: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

#[test]
fn the_everyday_certificate_is_trusted_where_it_is_named_itself() {
    let files = Files::new();
    let named = |pair: &Pair| format!(",cacert={}", files.put("own.pem", &pair.cert));
    let own = everyday(&["localhost"], |_| {});
    trusts(&meets(&own, &named(&own)));
    // Without an extension of names its common name is one.
    let common = |name: &'static str| {
        move |params: &mut CertificateParams| {
            params.distinguished_name.push(DnType::CommonName, name);
        }
    };
    let bare = everyday(&[], common("localhost"));
    trusts(&meets(&bare, &named(&bare)));
    let other = everyday(&[], common("other"));
    let words = "its certificate is for other, not for localhost; --tls-name";
    fails(&meets(&other, &named(&other)), 60, words);
    // Where there are names the common name is none.
    let names = everyday(&["a.test"], common("localhost"));
    fails(
        &meets(&names, &named(&names)),
        60,
        "its certificate is for a.test, not for localhost;",
    );
    let expired = everyday(&["localhost"], |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    fails(
        &meets(&expired, &named(&expired)),
        60,
        "expired on 2020-01-01",
    );
    let client = everyday(&["localhost"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    fails(&meets(&client, &named(&client)), 60, "is not for a server");
    // One that was issued is trusted as well, as curl does.
    let issued = Authority::new("ours").issue(&["localhost"]);
    trusts(&meets(&issued, &named(&issued)));
}

#[test]
fn the_pin_of_a_certificate_that_is_not_known_is_named() {
    let (files, own) = (Files::new(), everyday(&["localhost"], |_| {}));
    let other = files.put("other.pem", &Authority::new("other").pem);
    let done = meets(&own, &format!(",cacert={other}"));
    fails(
        &done,
        60,
        "its certificate is self-signed; --cacert FILE trusts it",
    );
    let (_, rest) = done.stderr.split_once("--pin-sha256 ").unwrap();
    let pin = rest.split(' ').next().unwrap();
    trusts(&meets(&own, &format!(",pin-sha256={pin}")));
}

/// A certificate of version 1 for localhost, as `openssl x509 -req` makes it, and its key; rcgen has none.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBJDCBywIUGVDAZuh8S8kBFrZ0h4ARN/tqQUMwCgYIKoZIzj0EAwIwFDESMBAG
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDE5MjUzNVoYDzIxMjYxMTA2MTkyNTM1
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAS/2JcE21Xy/Zg1YXkjB96KNUhSdi/4HewuCscXlqfxC8xmc6vCoy4cbzCnE7Wg
AEWhNwhhWQLo76Mr1qAzoxOBMAoGCCqGSM49BAMCA0gAMEUCIGU+MyP0LWa2oatW
U2Xejveb9c8HoXEAWnm7+5sqJ0IOAiEAjrj6yZqAkN5WWqPmA2JaY4/0MBHBmx6U
raIJ/TqGNbI=
-----END CERTIFICATE-----
";
const VERSION_1_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgBDcf+y6Ut8V4RLcv
PKJRvEZGg98aLr/m/npk46lPdAGhRANCAAS/2JcE21Xy/Zg1YXkjB96KNUhSdi/4
HewuCscXlqfxC8xmc6vCoy4cbzCnE7WgAEWhNwhhWQLo76Mr1qAzoxOB
-----END PRIVATE KEY-----
";

#[test]
fn a_certificate_of_version_1_is_told_in_words() {
    let files = Files::new();
    let pair = Pair {
        cert: VERSION_1.to_owned(),
        key: VERSION_1_KEY.to_owned(),
    };
    let words = "certificate is of version 1 of X.509, which says neither its names nor what it is for; 'openssl req -x509' makes one of version 3";
    let ca = files.put("v1.pem", &pair.cert);
    let key = files.put("v1.key", &pair.key);
    let own = self_signed(&["localhost"]);
    for options in [
        ",insecure".to_owned(),
        format!(",cacert={ca}"),
        String::new(),
    ] {
        let mut config = server_config(&own, BOTH, None);
        let key = default_provider()
            .key_provider
            .load_private_key(pair.private_key())
            .unwrap();
        let shown = CertifiedKey::new(vec![pair.certificate()], key);
        config.cert_resolver = Arc::new(SingleCertAndKey::from(shown));
        let (port, server) = serve(config, hello);
        let done = run(&["-", &format!("tls:localhost:{port}{options}")], "");
        assert!(server.join().unwrap().is_err());
        let line = done.stderr.lines().last().unwrap_or_default();
        assert!(line.ends_with(&format!(": its {words}")), "{}", done.stderr);
        assert_eq!(done.status, 60);
    }
    let done = run(&[&format!("wss-l:0,cert={ca},key={key}"), "echo:"], "");
    let line = format!("wsbridge: --cert {ca}: the {words}\n");
    assert_eq!((done.status, done.stderr), (58, line));
}

#[test]
fn a_name_beyond_ascii_is_asked_for_and_verified_in_its_form_of_ascii() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let ca = files.put("ca.pem", &ours.pem);
    for (place, option) in [
        ("bücher.example", "resolve=*:{port}:127.0.0.1"),
        ("127.0.0.1", "tls-name=Bücher.example"),
    ] {
        let config = server_config(&ours.issue(&["xn--bcher-kva.example"]), BOTH, None);
        let (port, server) = serve(config, |stream| {
            let name = stream.conn.server_name().map(str::to_owned);
            hello(stream)?;
            Ok(name)
        });
        let option = option.replace("{port}", &port.to_string());
        let done = run(
            &["-", &format!("tls:{place}:{port},cacert={ca},{option}")],
            "",
        );
        trusts(&done);
        let name = server.join().unwrap().unwrap();
        assert_eq!(name.as_deref(), Some("xn--bcher-kva.example"));
    }
}

#[test]
fn a_server_that_ends_without_an_alert_after_asking_for_a_certificate() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let ca = files.put("ca.pem", &ours.pem);
    for versions in [TLS12, TLS13] {
        for (asks, status, words) in [
            (
                true,
                35,
                "the server closed the connection after the request: it may want --cert",
            ),
            (
                false,
                7,
                "the server closed the connection without an answer",
            ),
        ] {
            let mut config = server_config(&ours.issue(&["localhost"]), versions, None);
            if asks {
                config = asking(&ours.issue(&["localhost"]), versions, &ours);
            }
            // It reads the request and ends the connection below TLS.
            let (port, server) = serve(config, |stream| {
                stream.read_exact(&mut [0; 4])?;
                stream.sock.shutdown(std::net::Shutdown::Write)
            });
            let done = run(&[&format!("wss://localhost:{port}"), "--cacert", &ca], "");
            server.join().unwrap().unwrap();
            fails(&done, status, words);
        }
    }
}

/// A server that asks for a certificate and lets in who has none.
fn asking(
    pair: &Pair,
    versions: &[&'static SupportedProtocolVersion],
    clients: &Authority,
) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(clients.roots(), provider.clone());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        .with_single_cert(vec![pair.certificate()], pair.private_key())
        .unwrap()
}

#[test]
fn a_pin_is_trusted_without_an_authority_and_asked_for_beside_one() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let ca = files.put("ca.pem", &ours.pem);
    let pair = ours.issue(&["other.test"]);
    let wrong = format!("sha256//{}=", "A".repeat(43));
    let refused = meets(&pair, &format!(",pin-sha256={wrong}"));
    fails(
        &refused,
        60,
        "which is not the one that --pin-sha256 asks for",
    );
    let (_, rest) = refused.stderr.split_once("its key is ").unwrap();
    let pin = rest.split(',').next().unwrap();
    trusts(&meets(&pair, &format!(",pin-sha256={pin}")));
    trusts(&meets(
        &pair,
        &format!(",pin-sha256={wrong},pin-sha256={pin}"),
    ));
    let both = format!(",pin-sha256={pin},cacert={ca}");
    fails(&meets(&pair, &both), 60, ", not for localhost;");
}

#[test]
fn insecure_warns_each_time_and_tells_nobody_who_we_are() {
    let done = meets(&self_signed(&["x.test"]), ",insecure");
    trusts(&done);
    assert!(
        done.stderr.contains("warning: localhost: --insecure: "),
        "{}",
        done.stderr
    );
    for who in [
        "-HCookie: a=b",
        "-HAuthorization: x",
        "--user=me:hush",
        "--cookie=a=b",
    ] {
        let (listener, port) = listener();
        let done = run(&["-k", who, &format!("wss://localhost:{port}")], "");
        assert_eq!(done.status, 2, "{}", done.stderr);
        assert!(
            done.stderr.contains("--insecure-send-credentials"),
            "{}",
            done.stderr
        );
        assert!(!done.stderr.contains("hush"), "{}", done.stderr);
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "somebody called");
    }
}

#[test]
fn only_tls_12() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let ca = files.put("ca.pem", &ours.pem);
    for (options, status) in [("", 0), (",tls-min=1.3", 35)] {
        let config = server_config(&ours.issue(&["localhost"]), TLS12, None);
        let (port, server) = serve(config, hello);
        let address = format!("tls:localhost:{port},cacert={ca}{options}");
        let done = run(&["-", &address], "");
        assert_eq!(server.join().unwrap().is_ok(), status == 0);
        match status {
            0 => trusts(&done),
            _ => fails(&done, status, "there is no version of TLS that both speak"),
        }
    }
}

#[test]
fn what_is_no_tls() {
    for (answer, words) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "the server does not speak TLS",
        ),
        (
            b"",
            "the server closed the connection within the TLS handshake",
        ),
    ] {
        let (listener, port) = listener();
        let server = thread::spawn(move || {
            let mut caller = Tcp::accept(&listener);
            caller.0.read_exact(&mut [0; 5]).unwrap();
            caller.0.write_all(answer).unwrap();
            caller.fin().rest();
        });
        fails(
            &run(&["-", &format!("tls:localhost:{port}")], ""),
            35,
            words,
        );
        server.join().unwrap();
    }
    let (_listener, port) = listener();
    let address = format!("wss://localhost:{port}#handshake-timeout=100ms");
    fails(&run(&[&address], ""), 28, "no TLS handshake within 100ms");
}

#[test]
fn what_is_no_http() {
    for (words, status, what) in [
        ("{url}", 8, "the server speaks TLS and no HTTP: try wss://"),
        (
            "--proxy={proxy} ws://localhost:1",
            97,
            "it speaks TLS and no HTTP: try --proxy https://",
        ),
    ] {
        let (port, server) = serve(server_config(&self_signed(&["a"]), BOTH, None), hello);
        let words = words.replace("{url}", &format!("ws://localhost:{port}"));
        let words = words.replace("{proxy}", &format!("http://localhost:{port}"));
        let words: Vec<_> = words.split(' ').chain(["-"]).collect();
        fails(&run(&words, ""), status, what);
        assert!(server.join().unwrap().is_err());
    }
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let mut caller = Tcp::accept(&listener);
        caller.send(b"SSH-2.0-\x1b[31mOpen\r\nmore");
        caller.fin().rest();
    });
    let url = format!("ws://localhost:{port}");
    fails(
        &run(&["-", &url], ""),
        8,
        r"the answer is no HTTP, it begins 'SSH-2.0-\x1b[31mOpen'",
    );
    server.join().unwrap();
}

#[test]
fn a_server_that_wants_a_certificate() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let files = Files::new();
    let ca = files.put("ca.pem", &ours.pem);
    let right = ours.client("me");
    let (key, cert) = (
        files.put("key.pem", &right.key),
        files.put("cert.pem", &right.cert),
    );
    let both = files.put("both.pem", &right.both());
    let wrong = files.put("wrong.pem", &other.client("me").both());
    for versions in [TLS12, TLS13] {
        for (options, status, words) in [
            (format!(",cert={cert},key={key}"), 0, ""),
            (format!(",cert={both}"), 0, ""),
            (
                String::new(),
                58,
                "the server wants a certificate of ours; --cert FILE",
            ),
            (
                format!(",cert={wrong}"),
                58,
                "the server does not accept our certificate (unknown CA)",
            ),
        ] {
            for scheme in ["tls:", "wss://"] {
                let config = server_config(&ours.issue(&["localhost"]), versions, Some(&ours));
                let (port, server) = serve(config, hello);
                let options = match scheme {
                    "tls:" => options.clone(),
                    _ => options.replacen(',', "#", 1),
                };
                let flag = format!("--cacert={ca}");
                let done = run(
                    &[&flag, "-", &format!("{scheme}localhost:{port}{options}")],
                    "",
                );
                // Where the handshake went well the server may be cut: it speaks no HTTP.
                assert!(server.join().unwrap().is_err() || status == 0);
                let what = format!("{scheme} {options}: {}", done.stderr);
                match (status, scheme) {
                    (0, "tls:") => trusts(&done),
                    (0, _) => assert_eq!(done.status, 8, "{what}"),
                    _ => {
                        assert_eq!(done.status, status, "{what}");
                        assert!(done.stderr.contains(words), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn no_failure_of_tls_is_tried_again() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let files = Files::new();
    let ca = files.put("ca.pem", &ours.pem);
    let wrong = files.put("wrong.pem", &other.client("me").both());
    let pair = ours.issue(&["localhost"]);
    let trusted = format!("cacert={ca}");
    for (versions, clients, options, status) in [
        (TLS12, None, format!("{trusted},tls-min=1.3"), 35),
        (TLS12, Some(&ours), trusted.clone(), 58),
        (TLS13, Some(&ours), trusted.clone(), 58),
        (TLS13, Some(&ours), format!("{trusted},cert={wrong}"), 58),
        (BOTH, None, format!("{trusted},tls-name=b.test"), 60),
        (BOTH, None, "tls-min=1.2".to_owned(), 60),
        (BOTH, None, "cacert=/none".to_owned(), 77),
    ] {
        for (scheme, mark) in [("tls:", ","), ("wss://", "#")] {
            let (port, _server) = serve(server_config(&pair, versions, clients), hello);
            let address = format!("reconnect:{scheme}localhost:{port}{mark}{options}");
            let done = run(&["-n", "-", &address], "");
            assert_eq!(done.status, status, "{address}: {}", done.stderr);
            assert!(!done.stderr.contains("reconnecting"), "{}", done.stderr);
        }
    }
}

#[test]
fn a_proxy_over_tls_leads_to_a_server_over_tls() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let ca = files.put("ca.pem", &ours.pem);
    let pair = ours.issue(&["localhost"]);
    let (target, server) = serve(server_config(&pair, BOTH, None), hello);
    let (port, proxy) = serve(server_config(&pair, BOTH, None), move |stream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        let mut behind = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
        relay(stream, &mut behind);
        Ok(String::from_utf8(head).unwrap())
    });
    let flags = [&format!("--proxy-cacert={ca}"), &format!("--cacert={ca}")];
    let proxy_url = format!("--proxy=https://localhost:{port}");
    let address = format!("tls:localhost:{target}");
    trusts(&run(&[flags[0], flags[1], &proxy_url, "-", &address], ""));
    let head = proxy.join().unwrap().unwrap();
    assert!(
        head.starts_with(&format!("CONNECT localhost:{target} HTTP/1.1\r\n")),
        "{head}"
    );
    server.join().unwrap().unwrap();
    let (port, proxy) = serve(server_config(&pair, BOTH, None), hello);
    let proxy_url = format!("--proxy=https://localhost:{port}");
    let done = run(&[flags[1], &proxy_url, "-", &address], "");
    fails(&done, 60, "its certificate was issued by 'CN=ours'");
    let through = format!("through the proxy https://localhost:{port}: ");
    assert!(done.stderr.contains(&through), "{}", done.stderr);
    assert!(proxy.join().unwrap().is_err());
}

/// Carries bytes between a stream over TLS and one without, by turns, until both have ended.
fn relay(near: &mut ServerStream, far: &mut TcpStream) {
    near.sock
        .set_read_timeout(Some(Duration::from_millis(5)))
        .unwrap();
    far.set_read_timeout(Some(Duration::from_millis(5)))
        .unwrap();
    let mut buf = [0; 4096];
    let is_idle = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    let (mut near_ended, mut far_ended) = (false, false);
    while !near_ended || !far_ended {
        if !near_ended {
            match near.read(&mut buf) {
                Ok(count @ 1..) => far.write_all(&buf[..count]).unwrap(),
                Err(error) if is_idle(&error) => {}
                _ => {
                    near_ended = true;
                    let _ = far.shutdown(std::net::Shutdown::Write);
                }
            }
        }
        if !far_ended {
            match far.read(&mut buf) {
                Ok(count @ 1..) => near.write_all(&buf[..count]).unwrap(),
                Err(error) if is_idle(&error) => {}
                _ => {
                    far_ended = true;
                    near.conn.send_close_notify();
                    let _ = near.flush();
                }
            }
        }
    }
}

#[test]
fn the_protocol_is_chosen_and_a_log_of_keys_is_written_on_request_only() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let ca = files.put("ca.pem", &ours.pem);
    let pair = ours.issue(&["localhost"]);
    let log = files.path("keys");
    for (asked, status) in [("", 0), ("one,two", 0), ("one", 35)] {
        let mut config = server_config(&pair, BOTH, None);
        config.alpn_protocols = vec![b"two".to_vec()];
        let (port, server) = serve(config, |stream| {
            let chosen = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
            hello(stream)?;
            Ok(chosen)
        });
        let flag = format!("--cacert={ca}");
        let alpn = format!("--alpn={asked}");
        let keylog = format!("--keylog={}", log.display());
        let address = format!("tls:localhost:{port}");
        let mut words = vec![flag.as_str(), "-", &address];
        if !asked.is_empty() {
            words.extend([alpn.as_str(), &keylog]);
        }
        let done = run(&words, "");
        assert_eq!(done.status, status, "{}", done.stderr);
        let chosen = server.join().unwrap();
        assert_eq!(chosen.ok().flatten().is_some(), asked == "one,two");
        assert_eq!(log.exists(), !asked.is_empty());
    }
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("CLIENT_TRAFFIC_SECRET_0 "), "{text}");
    assert_eq!(log.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_wrong_with_a_proxy_is_told_with_options_for_proxies() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let ca = files.put("ca.pem", &ours.pem);
    let wants = |pair: &Pair| server_config(pair, TLS12, Some(&ours));
    for (config, words) in [
        (
            server_config(&self_signed(&["localhost"]), BOTH, None),
            "its certificate is self-signed; --proxy-cacert FILE trusts it\n",
        ),
        (
            server_config(&Authority::new("other").issue(&["localhost"]), BOTH, None),
            "which is not known here; --proxy-cacert FILE trusts it\n",
        ),
        (
            server_config(&ours.issue(&["other.test"]), BOTH, None),
            "its certificate is for other.test, not for localhost\n",
        ),
        (
            wants(&ours.issue(&["localhost"])),
            "the proxy wants a certificate of ours, and there is none for it\n",
        ),
    ] {
        let (port, server) = serve(config, hello);
        let proxy = format!("--proxy=https://localhost:{port}");
        let trusted = format!("--proxy-cacert={ca}");
        let done = run(&[&proxy, &trusted, "-", "ws://nowhere.test/"], "");
        assert!(server.join().unwrap().is_err());
        assert!(done.stderr.ends_with(words), "{}", done.stderr);
    }
}

#[test]
fn a_redirect_leads_from_http_to_tls() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let ca = files.put("ca.pem", &ours.pem);
    let own = files.put("own.pem", &ours.issue(&["localhost"]).both());
    let secure = Bridge::start(&[&format!("wss-l:0,cert={own}"), "echo:"]);
    let (listener, port) = listener();
    let location = format!("https://localhost:{}/", secure.port);
    let server = thread::spawn(move || {
        let mut caller = Tcp::accept(&listener);
        read_head(&mut caller.0);
        caller.send(format!(
            "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        ));
        caller.fin().rest();
    });
    let url = format!("ws://localhost:{port}");
    let done = run(&["--follow", &format!("--cacert={ca}"), &url], "hello\n");
    trusts(&done);
    server.join().unwrap();
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let files = Files::new();
    let (one, two) = (self_signed(&["a"]), self_signed(&["b"]));
    let cert = files.put("cert.pem", &one.cert);
    let key = files.put("key.pem", &two.key);
    let empty = files.put("empty", "");
    let locked = format!("{}-----BEGIN ENCRYPTED PRIVATE KEY-----\n", one.cert);
    let locked = files.put("locked.pem", &locked);
    let mixed = format!("{}{}", one.cert, two.key);
    let mixed = files.put("mixed.pem", &mixed);
    let pfx = files.put("me.p12", "0\u{1}\u{2}\u{3}\u{2}\u{1}\u{3}0");
    for (options, status, words) in [
        (
            "cacert=/none",
            77,
            "--cacert /none: no such file or directory",
        ),
        (
            &format!("cacert={empty}"),
            77,
            "it has no certificate in PEM",
        ),
        ("cert=/none", 58, "--cert /none: no such file or directory"),
        (
            &format!("cert={cert}"),
            58,
            "it has no private key; --key FILE is one",
        ),
        (
            &format!("cert={cert},key={key}"),
            58,
            &format!(
                "--cert {cert} and --key {key} do not go together: the key is that of another certificate"
            ),
        ),
        (
            &format!("cert={mixed}"),
            58,
            &format!("--cert {mixed}: the key in it is that of another certificate"),
        ),
        (
            &format!("cert={cert},key={cert}"),
            58,
            "it has no private key in PEM",
        ),
        (&format!("cert={locked}"), 58, "openssl pkey -in "),
        (&format!("cert={pfx}"), 58, "openssl pkcs12 -in "),
        (&format!("key={key}"), 58, "--key without --cert"),
    ] {
        let (listener, port) = listener();
        for address in [
            format!("tls:localhost:{port},{options}"),
            format!("wss://localhost:{port}/#{options}"),
        ] {
            fails(&run(&["-", &address], ""), status, words);
        }
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "{options}: somebody called");
    }
}
