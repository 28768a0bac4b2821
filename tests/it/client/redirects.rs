//! Redirects: followed where it is asked for, and what goes along.

use super::{OPEN, assert_greeted, server};
use crate::http::headers;
use crate::support::run;

fn to(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn every_status_of_redirects_is_followed_and_the_same_server_hears_who_asks() {
    for status in [301, 302, 303, 307, 308] {
        let (port, server) = server(vec![to(status, "../new?q=1"), OPEN.to_owned()]);
        let url = format!("ws://me:word@127.0.0.1:{port}/a/b");
        let done = run(&["--follow", "--cookie", "a=b", &url], "");
        assert_greeted(&done);
        let requests = server.join().unwrap();
        assert!(
            requests[1].starts_with("GET /new?q=1 HTTP/1.1\r\n"),
            "{}",
            requests[1]
        );
        for request in &requests {
            assert_eq!(headers(request, "authorization"), ["Basic bWU6d29yZA=="]);
            assert_eq!(headers(request, "cookie"), ["a=b"]);
        }
        let keys = [0, 1].map(|index: usize| headers(&requests[index], "sec-websocket-key"));
        assert_ne!(keys[0], keys[1]);
    }
}

#[test]
fn another_server_does_not_hear_who_asks() {
    let (other, second) = server(vec![OPEN.to_owned()]);
    let (port, first) = server(vec![to(302, &format!("http://no:no@127.0.0.1:{other}/x"))]);
    let words = [
        "--follow",
        "--cookie=a=b",
        "-H=Host: virtual.test",
        "-H=X-Secret: 1",
        "--user-agent=me",
        &format!("ws://me:word@127.0.0.1:{port}/"),
    ];
    let done = run(&words, "");
    assert_greeted(&done);
    let request = &first.join().unwrap()[0];
    assert_eq!(headers(request, "host"), ["virtual.test"]);
    assert_eq!(headers(request, "authorization").len(), 1);
    let request = &second.join().unwrap()[0];
    assert_eq!(headers(request, "host"), [format!("127.0.0.1:{other}")]);
    assert!(headers(request, "authorization").is_empty(), "{request}");
    assert!(headers(request, "cookie").is_empty(), "{request}");
    assert!(headers(request, "x-secret").is_empty(), "{request}");
    assert_eq!(headers(request, "user-agent"), ["me"]);
}

#[test]
fn headers_follow_to_another_server_where_that_is_asked_for() {
    let (other, second) = server(vec![OPEN.to_owned()]);
    let (port, first) = server(vec![to(302, &format!("http://127.0.0.1:{other}/x"))]);
    let words = [
        "--follow",
        "--follow-headers",
        "-H=X-Secret: 1",
        "-H=Authorization: Bearer word",
        &format!("ws://127.0.0.1:{port}/"),
    ];
    assert_greeted(&run(&words, ""));
    first.join().unwrap();
    let request = &second.join().unwrap()[0];
    assert_eq!(headers(request, "x-secret"), ["1"]);
    assert!(headers(request, "authorization").is_empty(), "{request}");
}

#[test]
fn a_redirect_is_shown_and_not_followed_unless_it_is_asked_for() {
    let (port, server) = server(vec![to(302, "/new")]);
    let done = run(&[&format!("ws://127.0.0.1:{port}/")], "");
    server.join().unwrap();
    assert_eq!(done.status, 22, "{}", done.stderr);
    assert!(done.stderr.contains("/new: --follow"), "{}", done.stderr);
}

#[test]
fn ten_redirects_are_followed_and_no_more() {
    let hops = |count: usize| vec![to(307, "/next"); count];
    let (port, ten) = server([hops(10), vec![OPEN.to_owned()]].concat());
    let done = run(&["--follow", &format!("ws://127.0.0.1:{port}/")], "");
    ten.join().unwrap();
    assert_greeted(&done);
    let (port, eleven) = server(hops(11));
    let done = run(&["--follow", &format!("ws://127.0.0.1:{port}/")], "");
    eleven.join().unwrap();
    assert_eq!(done.status, 47, "{}", done.stderr);
    assert!(
        done.stderr.contains("more than 10 redirects"),
        "{}",
        done.stderr
    );
}

#[test]
fn what_leads_nowhere_is_exit_47_and_says_why() {
    for (location, what) in [
        ("ftp://h/", "ftp: is no scheme of WebSockets"),
        ("ws://me:hush@h:x/", "bad port"),
        ("ws:x", "no host"),
    ] {
        let (port, server) = server(vec![to(301, location)]);
        let done = run(&["--follow", &format!("ws://127.0.0.1:{port}/")], "");
        server.join().unwrap();
        assert_eq!(done.status, 47, "{}", done.stderr);
        assert!(done.stderr.contains(what), "{}", done.stderr);
        assert!(!done.stderr.contains("hush"), "{}", done.stderr);
    }
    // Without a Location, or with a status that is no redirect, it is an answer like any other.
    for answer in [
        "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        to(304, "/x"),
        to(404, "/x"),
    ] {
        let (port, server) = server(vec![answer]);
        let done = run(&["--follow", &format!("ws://127.0.0.1:{port}/")], "");
        server.join().unwrap();
        assert_eq!(done.status, 22, "{}", done.stderr);
    }
}
