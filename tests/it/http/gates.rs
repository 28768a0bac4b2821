//! The table of binds, hosts and origins: who is upgraded, and who is not.

use super::{changed, exchange, status, upgrade};
use crate::support::Bridge;

const LOOPBACK: &[&str] = &["ws-l:0"];
const WRAPPED: &[&str] = &["ws-u:tcp-l:0"];
const ALL: &[&str] = &["ws-l:*:0"];
const NAMED: &[&str] = &[
    "ws-l:*:0",
    "--host",
    "bridge.test",
    "--host",
    "*.bridge.test",
];
const APP: &[&str] = &["ws-l:0", "--origin", "https://app.test", "--origin", "null"];
const PATTERN: &[&str] = &["ws-l:*:0", "--origin", "https://*.example.com:*"];
const ONLY: &[&str] = &["ws-l:0", "--origin-only", "--origin", "https://app.test"];
const ANY: &[&str] = &["ws-l:0", "--origin", "*"];
const PROXIED: &[&str] = &[
    "ws-l:0",
    "--trusted-proxy",
    "127.0.0.1",
    "--host",
    "app.test",
];

/// A listener, a Host and an Origin ("": none), with PORT for its port, and the status that an upgrade gets.
const TABLE: &[(&[&str], &str, &str, u16)] = &[
    (LOOPBACK, "localhost:PORT", "", 101),
    (LOOPBACK, "127.0.0.1:PORT", "", 101),
    (LOOPBACK, "[::1]:PORT", "", 101),
    (LOOPBACK, "localhost:PORT", "http://localhost:PORT", 101),
    (LOOPBACK, "127.0.0.1:PORT", "http://127.0.0.1:PORT", 101),
    (LOOPBACK, "127.0.0.1:PORT", "http://localhost:3000", 101),
    (LOOPBACK, "localhost:PORT", "https://[::1]:5", 101),
    (LOOPBACK, "localhost:PORT", "http://app.localhost", 101),
    (LOOPBACK, "nas:PORT", "http://nas:PORT", 101),
    (LOOPBACK, "nas.local:PORT", "http://nas.local:PORT", 101),
    (LOOPBACK, "localhost:PORT", "http://evil.test", 403),
    (LOOPBACK, "localhost:PORT", "null", 403),
    (LOOPBACK, "localhost:PORT", "file://", 403),
    (LOOPBACK, "localhost:PORT", "http://[::1].evil.test", 403),
    (
        LOOPBACK,
        "localhost:PORT",
        "http://evil.test@localhost",
        403,
    ),
    (LOOPBACK, "localhost:PORT", "http://localhost/x", 403),
    (
        LOOPBACK,
        "localhost:PORT",
        "http://localhost.evil.test",
        403,
    ),
    (LOOPBACK, "localhost:PORT", "http://192.0.2.1", 403),
    (LOOPBACK, "localhost:PORT", "app://x", 403),
    (LOOPBACK, "evil.test:PORT", "", 421),
    (LOOPBACK, "evil.test:PORT", "http://evil.test:PORT", 421),
    (
        LOOPBACK,
        "127.0.0.1.evil.test",
        "http://127.0.0.1.evil.test",
        421,
    ),
    (LOOPBACK, "me@localhost", "", 400),
    (LOOPBACK, "localhost:", "", 400),
    (WRAPPED, "localhost:PORT", "", 101),
    (WRAPPED, "localhost:PORT", "http://localhost:3000", 101),
    (WRAPPED, "localhost:PORT", "http://evil.test", 403),
    (WRAPPED, "evil.test:PORT", "http://evil.test:PORT", 421),
    (ALL, "192.0.2.1:PORT", "", 101),
    (ALL, "public.test:PORT", "", 101),
    (ALL, "192.0.2.1:PORT", "http://192.0.2.1:PORT", 101),
    (ALL, "nas.lan:PORT", "http://nas.lan:PORT", 101),
    (ALL, "nas:PORT", "http://nas:PORT", 101),
    (ALL, "192.0.2.1:PORT", "http://localhost:PORT", 403),
    (ALL, "192.0.2.1:PORT", "http://127.0.0.1:3000", 403),
    (ALL, "192.0.2.1:PORT", "http://192.0.2.1", 403),
    (ALL, "192.0.2.1:PORT", "http://evil.test", 403),
    (ALL, "evil.test:PORT", "http://evil.test:PORT", 421),
    (ALL, "evil.test:PORT", "null", 421),
    (NAMED, "bridge.test:PORT", "http://bridge.test:PORT", 101),
    (
        NAMED,
        "a.b.bridge.test:PORT",
        "http://a.b.bridge.test:PORT",
        101,
    ),
    (NAMED, "bridge.test:PORT", "http://other.test", 403),
    (
        NAMED,
        "evilbridge.test:PORT",
        "http://evilbridge.test:PORT",
        421,
    ),
    (NAMED, "other.test:PORT", "", 421),
    (APP, "localhost:PORT", "https://app.test", 101),
    (APP, "proxied.test", "https://app.test", 101),
    (APP, "app.test", "", 101),
    (APP, "localhost:PORT", "null", 101),
    (APP, "localhost:PORT", "http://app.test", 403),
    (APP, "localhost:PORT", "https://app.test.evil.test", 403),
    (PATTERN, "192.0.2.1:PORT", "https://a.example.com", 101),
    (
        PATTERN,
        "192.0.2.1:PORT",
        "https://a.b.example.com:8443",
        101,
    ),
    (PATTERN, "192.0.2.1:PORT", "https://example.com", 403),
    (PATTERN, "192.0.2.1:PORT", "https://evilexample.com", 403),
    (ONLY, "localhost:PORT", "https://app.test", 101),
    (ONLY, "localhost:PORT", "http://localhost:PORT", 403),
    (ONLY, "localhost:PORT", "", 101),
    (ANY, "localhost:PORT", "http://evil.test", 101),
    (ANY, "evil.test:PORT", "http://evil.test:PORT", 421),
    (PROXIED, "app.test", "https://app.test", 101),
];

#[test]
fn sixty_rows_of_bind_and_host_and_origin() {
    assert_eq!(TABLE.len(), 60);
    let mut wrong = Vec::new();
    for words in [
        LOOPBACK, WRAPPED, ALL, NAMED, APP, PATTERN, ONLY, ANY, PROXIED,
    ] {
        let bridge = Bridge::start(&[words, &["echo:"]].concat());
        for (_, host, origin, expected) in TABLE.iter().filter(|row| row.0 == words) {
            let port = bridge.port.to_string();
            let [host, origin] = [host, origin].map(|text| text.replace("PORT", &port));
            let mut changes = vec![("Host", host.as_str())];
            if !origin.is_empty() {
                changes.push(("Origin", &origin));
            }
            let found = changed(bridge.port, &changes);
            if found != *expected {
                wrong.push(format!(
                    "{words:?} {host} '{origin}': {found}, not {expected}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_trusted_proxy_passes_on_the_host_that_it_was_asked_for() {
    let asked = |bridge: &Bridge, forwarded: &str| {
        let origin = ("Origin", "https://app.test");
        changed(bridge.port, &[("X-Forwarded-Host", forwarded), origin])
    };
    let bridge = Bridge::start(&[PROXIED, &["echo:"]].concat());
    assert_eq!(asked(&bridge, "app.test"), 101);
    assert_eq!(asked(&bridge, "evil.test"), 421);
    let untrusting = Bridge::start(&["ws-l:0", "--trusted-proxy", "10.0.0.0/8", "echo:"]);
    assert_eq!(asked(&untrusting, "app.test"), 403);
}

/// A request that is no upgrade.
fn plain(port: u16, method: &str, headers: &str) -> u16 {
    let request = format!("{method} / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n");
    status(port, request)
}

#[test]
fn requests_of_other_sites_that_are_no_upgrade_are_refused() {
    let bridge = Bridge::start(&["ws-l:0", "hub:"]);
    let port = bridge.port;
    let page = "Accept: text/html\r\n";
    let opened = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n";
    let read = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n";
    assert_eq!(plain(port, "GET", page), 200);
    assert_eq!(plain(port, "GET", &format!("{page}{opened}")), 200);
    assert_eq!(plain(port, "GET", &format!("{page}{read}")), 403);
    assert_eq!(plain(port, "POST", ""), 405);
    assert_eq!(
        plain(port, "DELETE", "Sec-Fetch-Site: same-origin\r\n"),
        405
    );
    for method in ["POST", "DELETE"] {
        assert_eq!(plain(port, method, "Origin: http://evil.test\r\n"), 403);
        assert_eq!(plain(port, method, "Sec-Fetch-Site: cross-site\r\n"), 403);
        assert_eq!(plain(port, method, "Sec-Fetch-Site: same-site\r\n"), 403);
    }
    // A page that was rebound reads by plain requests, and they have no Origin.
    let rebound = "GET / HTTP/1.1\r\nHost: evil.test\r\nAccept: text/html\r\n\r\n";
    assert_eq!(status(port, rebound), 421);
    let all = Bridge::start(&["ws-l:*:0", "hub:"]);
    assert_eq!(status(all.port, rebound), 421);
}

#[test]
fn refusals_are_constant_text_that_no_browser_reads_as_a_page() {
    let bridge = Bridge::start(&["ws-l:0/only", "tcp:127.0.0.1:1"]);
    let port = bridge.port;
    let canary = "canary<script>alert(1)</script>";
    for (request, expected) in [
        (upgrade(port, &format!("/{canary}"), &[]), 400),
        (upgrade(port, "/canary", &[]), 404),
        (upgrade(port, "/only?canary", &[("Upgrade", "canary")]), 426),
        (
            upgrade(port, "/only", &[("Sec-WebSocket-Key", "canary")]),
            400,
        ),
        (upgrade(port, "/only", &[("Host", "canary.test")]), 421),
        (
            upgrade(port, "/only", &[("Origin", "http://canary.test")]),
            403,
        ),
        (upgrade(port, "/only", &[("Origin", canary)]), 403),
        (
            upgrade(port, "/only", &[("Sec-WebSocket-Version", "canary")]),
            426,
        ),
        (upgrade(port, "/only?canary", &[]), 502),
    ] {
        let answer = exchange(port, &request).unwrap();
        assert_eq!(answer.status, expected, "{request}");
        assert!(!format!("{answer:?}").contains("canary"), "{answer:?}");
        if !answer.body.is_empty() {
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert!(
                answer
                    .header("content-type")
                    .unwrap()
                    .starts_with("text/plain")
            );
        }
    }
}
