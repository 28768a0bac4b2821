//! HTTP proxies: by flag and by environment, their answers, and what comes behind them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;

use super::{OPEN, answer, assert_greeted, assert_uncalled, opening, scripted};
use crate::http::{headers, listener, read_head, refusing_port};
use crate::support::{run, run_in};

type Variable<'a> = (&'a str, &'a str);

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// A proxy and the server behind it in one: what both were asked.
fn proxy() -> (u16, JoinHandle<[String; 2]>) {
    scripted(|stream| {
        let connect = read_head(stream);
        stream.write_all(ESTABLISHED.as_bytes()).unwrap();
        [connect, answer(stream, OPEN)]
    })
}

#[test]
fn a_name_is_left_to_the_proxy_and_the_user_is_for_the_proxy_only() {
    let (port, proxy) = proxy();
    let flag = format!("--proxy=http://me:h%75sh@127.0.0.1:{port}");
    let done = run(&["-vvv", &flag, "--cookie=a=b", "ws://no.such.test/x"], "");
    assert_greeted(&done);
    assert!(!done.stderr.contains("hush"), "{}", done.stderr);
    let [connect, request] = proxy.join().unwrap();
    assert!(
        connect.starts_with("CONNECT no.such.test:80 HTTP/1.1\r\n"),
        "{connect}"
    );
    assert_eq!(headers(&connect, "host"), ["no.such.test:80"]);
    assert_eq!(
        headers(&connect, "proxy-authorization"),
        ["Basic bWU6aHVzaA=="]
    );
    assert!(headers(&connect, "cookie").is_empty(), "{connect}");
    assert!(
        headers(&request, "proxy-authorization").is_empty(),
        "{request}"
    );
    assert_eq!(headers(&request, "host"), ["no.such.test"]);
}

#[test]
fn the_environment_names_the_proxy() {
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        let (port, proxy) = proxy();
        let url = format!("127.0.0.1:{port}");
        let done = run_in(&[(name, &url)], &["ws://[2001:db8::1]:81/"], "");
        assert_greeted(&done);
        let [connect, _] = proxy.join().unwrap();
        assert!(
            connect.starts_with("CONNECT [2001:db8::1]:81 "),
            "{connect}"
        );
    }
    let (port, proxy) = proxy();
    let (other, _) = listener();
    let (port, other) = (
        format!("127.0.0.1:{port}"),
        other.local_addr().unwrap().to_string(),
    );
    let variables = [
        ("http_proxy", port.as_str()),
        ("HTTP_PROXY", &other),
        ("https_proxy", &other),
        ("all_proxy", &other),
    ];
    let done = run_in(&variables, &["ws://h.test/"], "");
    assert_eq!(done.status, 0, "{}", done.stderr);
    proxy.join().unwrap();
}

#[test]
fn some_hosts_are_reached_without_a_proxy() {
    let (listener, proxy) = listener();
    let proxy = format!("http://127.0.0.1:{proxy}");
    let variable = ("all_proxy", proxy.as_str());
    let flag = format!("--proxy={proxy}");
    let direct: &[(&[Variable], &[&str])] = &[
        (&[variable, ("no_proxy", "x, 127.0.0.0/8")], &[]),
        (&[variable, ("NO_PROXY", "*")], &[]),
        (&[variable], &["--no-proxy"]),
        (&[variable, ("no_proxy", "x")], &["--no-proxy=127.0.0.1"]),
        (&[variable], &["--proxy="]),
        (&[("no_proxy", "127.0.0.1")], &[&flag]),
        (&[("https_proxy", &proxy)], &[]),
        (&[variable, ("http_proxy", "")], &[]),
    ];
    for (variables, words) in direct {
        let (port, server) = opening();
        let url = format!("ws://127.0.0.1:{port}/");
        let words: Vec<_> = words.iter().copied().chain([url.as_str()]).collect();
        let done = run_in(variables, &words, "");
        assert_greeted(&done);
        server.join().unwrap();
    }
    // TCP goes through what is asked for by the flag only.
    let (port, server) = scripted(|stream| stream.write_all(b"direct").unwrap());
    let done = run_in(&[variable], &["-U", &format!("tcp:127.0.0.1:{port}")], "");
    server.join().unwrap();
    assert_eq!(done.text(), "direct", "{}", done.stderr);
    assert_uncalled(&listener);
}

#[test]
fn nothing_behind_the_answer_is_lost() {
    let (port, proxy) = scripted(|stream| {
        let connect = read_head(stream);
        stream
            .write_all(format!("{ESTABLISHED}early, ").as_bytes())
            .unwrap();
        let mut request = [0; 4];
        stream.read_exact(&mut request).unwrap();
        stream.write_all(b"and late").unwrap();
        (connect, request)
    });
    let flag = format!("--proxy=http://127.0.0.1:{port}");
    let done = run(&["-n", &flag, "tcp:h.test:22"], "ping");
    let (connect, request) = proxy.join().unwrap();
    assert!(connect.starts_with("CONNECT h.test:22 "), "{connect}");
    assert_eq!(&request, b"ping");
    assert_eq!(done.text(), "early, and late", "{}", done.stderr);
}

/// Runs a client through a proxy that does what a script says.
#[track_caller]
fn faced_with(script: impl FnOnce(&mut TcpStream) + Send + 'static) -> (i32, String) {
    let (port, proxy) = scripted(script);
    let flag = format!("--proxy=http://me:hush@127.0.0.1:{port}");
    let words = ["--connect-timeout=1s", &flag, "ws://h.test/"];
    let done = run(&words, "");
    proxy.join().unwrap();
    assert_eq!(done.text(), "");
    assert!(!done.stderr.contains("hush"), "{}", done.stderr);
    assert!(
        done.stderr
            .contains(&format!("the proxy http://127.0.0.1:{port}: ")),
        "{}",
        done.stderr
    );
    (done.status, done.stderr)
}

#[test]
fn a_no_of_the_proxy_is_exit_97_with_its_words() {
    for (answer, words) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 14\r\n\r\nwrong password",
            &["407 Proxy Authentication Required", "wrong password"][..],
        ),
        (
            "HTTP/1.0 403 Forbidden\r\n\r\nnot there",
            &["403", "not there"],
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            &["502"],
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            &["302"],
        ),
        ("SSH-2.0-OpenSSH\r\n", &["no HTTP"]),
        ("", &["without an answer"]),
    ] {
        let (status, stderr) = faced_with(move |stream| {
            read_head(stream);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        assert_eq!(status, 97, "{stderr}");
        for part in words {
            assert!(stderr.contains(part), "{stderr}");
        }
    }
}

#[test]
fn a_proxy_that_is_silent_is_a_timeout() {
    let (status, stderr) = faced_with(|stream| {
        // Until the client goes.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!(status, 28, "{stderr}");
}

#[test]
fn a_proxy_that_can_not_be_reached_is_named() {
    let (_socket, port) = refusing_port();
    let done = run(
        &[&format!("--proxy=http://127.0.0.1:{port}"), "ws://h.test/"],
        "",
    );
    assert_eq!(done.status, 7, "{}", done.stderr);
    let words = format!("through the proxy http://127.0.0.1:{port}: connection refused");
    assert!(done.stderr.contains(&words), "{}", done.stderr);
    let done = run(&["--proxy=no-such-proxy.invalid:1", "ws://h.test/"], "");
    assert_eq!(done.status, 5, "{}", done.stderr);
    assert!(
        done.stderr.contains("'no-such-proxy.invalid'"),
        "{}",
        done.stderr
    );
    // Basic has no way to say a colon in the name of a user (RFC 7617 2).
    let (socket, port) = listener();
    let done = run(
        &[
            &format!("--proxy=http://a%3Ab:c@127.0.0.1:{port}"),
            "ws://h.test/",
        ],
        "",
    );
    assert_eq!(done.status, 97, "{}", done.stderr);
    drop(socket);
    let done = run(&["ws://no-such-host.invalid/"], "");
    assert_eq!(done.status, 6, "{}", done.stderr);
}
