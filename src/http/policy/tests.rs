//! Who may connect: rows of bind, Host and Origin, and what requests that are no upgrade may.

use super::*;

fn policy(is_loopback: bool, hosts: &[&str], origins: &[&str]) -> Policy {
    Policy {
        is_loopback,
        hosts: hosts
            .iter()
            .map(|it| HostRule::parse(it).unwrap())
            .collect(),
        origins: origins
            .iter()
            .map(|it| OriginRule::parse(it).unwrap())
            .collect(),
        origin_only: false,
        own_names: vec!["box".into(), "box.corp.test".into()],
    }
}

fn loopback() -> Policy {
    policy(true, &[], &[])
}

fn elsewhere() -> Policy {
    policy(false, &[], &[])
}

/// The status that a request gets; 101 where it is let through.
fn status(policy: &Policy, caller: &Caller, method: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = http::Request::builder().method(method).uri("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let judged = policy.judge(&parts, caller);
    judged.map_or_else(|refusal| refusal.status, |()| 101)
}

#[track_caller]
fn upgrade(policy: &Policy, host: &str, origin: Option<&str>, expected: u16) {
    let mut headers = vec![("host", host), ("upgrade", "websocket")];
    headers.extend(origin.map(|origin| ("origin", origin)));
    let found = status(policy, &Caller::default(), "GET", &headers);
    assert_eq!(found, expected, "host {host}, origin {origin:?}");
}

#[track_caller]
fn plain(policy: &Policy, method: &str, headers: &[(&str, &str)], expected: u16) {
    let found = status(policy, &Caller::default(), method, headers);
    assert_eq!(found, expected, "{method} {headers:?}");
}

#[test]
fn on_loopback_every_host_is_judged() {
    for host in [
        "localhost:8080",
        "LOCALHOST",
        "localhost.",
        "app.localhost",
        "127.0.0.1:8080",
        "192.168.1.2",
        "[::1]:8080",
        "[fe80::1%25eth0]",
        "box:8080",
        "box.corp.test",
        "nas",
        "my_service:80",
        "printer.local",
        "api.internal",
        "nas.home.arpa",
        "router.lan",
        "tv.home",
        "db.localdomain",
    ] {
        upgrade(&loopback(), host, None, 101);
        let page = format!("http://{host}");
        if Origin::parse(&page).is_some() {
            upgrade(&loopback(), host, Some(&page), 101);
        }
    }
    for host in [
        "evil.test:8080",
        "localhost.evil.test",
        "127.0.0.1.evil.test",
        "box.evil.test",
        "evillocal.test",
        "notlan.evil",
        "box.corp.test.evil.test",
        "0x7f.1",
    ] {
        upgrade(&loopback(), host, None, 421);
        // A rebinding page has the same host and origin: its host is what gives it away.
        upgrade(&loopback(), host, Some(&format!("http://{host}")), 421);
    }
}

#[test]
fn elsewhere_the_host_is_judged_for_pages_and_for_what_is_no_upgrade() {
    let host = "bridge.test:8080";
    upgrade(&elsewhere(), host, None, 101);
    upgrade(&elsewhere(), host, Some("http://bridge.test:8080"), 421);
    upgrade(&elsewhere(), host, Some("http://evil.test"), 421);
    plain(&elsewhere(), "GET", &[("host", host)], 421);
    plain(&elsewhere(), "POST", &[("host", host)], 421);
    plain(&elsewhere(), "GET", &[("host", "192.0.2.1:8080")], 101);
    plain(&elsewhere(), "GET", &[("host", "nas.lan")], 101);
    let named = policy(false, &["bridge.test"], &[]);
    upgrade(&named, host, None, 101);
    upgrade(&named, host, Some("http://bridge.test:8080"), 101);
    upgrade(&named, "other.test", None, 421);
    plain(&named, "GET", &[("host", host)], 101);
}

#[test]
fn a_page_of_the_same_host_and_port_may_connect() {
    for (host, origin, expected) in [
        ("192.0.2.1:8080", "http://192.0.2.1:8080", 101),
        ("192.0.2.1", "http://192.0.2.1", 101),
        // A proxy before us may have the TLS.
        ("192.0.2.1", "https://192.0.2.1", 101),
        ("192.0.2.1:443", "https://192.0.2.1", 101),
        ("192.0.2.1:8080", "http://192.0.2.1", 403),
        ("192.0.2.1:8080", "http://192.0.2.2:8080", 403),
        ("[2001:db8::1]:80", "http://[2001:db8:0::1]", 101),
        ("nas.lan:8080", "http://NAS.lan.:8080", 101),
        ("nas.lan", "http://localhost", 403),
        ("192.0.2.1:8080", "http://localhost:8080", 403),
        ("localhost:8080", "http://localhost:3000", 403),
    ] {
        upgrade(&elsewhere(), host, Some(origin), expected);
    }
}

#[test]
fn pages_of_this_machine_may_connect_to_a_loopback_bind() {
    let host = "localhost:8080";
    for origin in [
        "http://localhost:3000",
        "http://LOCALHOST",
        "http://app.localhost",
        "http://127.0.0.1",
        "http://127.0.0.2:1",
        "https://[::1]:1",
        "http://localhost:8080",
    ] {
        upgrade(&loopback(), host, Some(origin), 101);
    }
    for origin in [
        "http://evil.test",
        "null",
        "http://localhost.evil.test",
        "file://",
        "app://localhost",
        "",
        "nonsense",
        "http://localhost/",
        "http://localhost/x",
        "http://localhost@evil.test",
        "http://evil.test@localhost",
        "http://[::1].evil.test",
        "chrome-extension://abc",
        "http://127.0.0.1.evil.test",
        "http://nas",
        "http://192.168.1.2",
    ] {
        upgrade(&loopback(), host, Some(origin), 403);
    }
}

#[test]
fn a_listed_page_may_connect_whatever_the_host() {
    let app = "https://app.example.com";
    for is_loopback in [true, false] {
        let policy = policy(is_loopback, &[], &[app, "null", "https://*.preview.test:*"]);
        for host in ["localhost:1", "proxied.test", "app.example.com"] {
            upgrade(&policy, host, Some("https://App.example.com:443"), 101);
            upgrade(&policy, host, Some("null"), 101);
            upgrade(&policy, host, Some("https://a.b.preview.test:8443"), 101);
        }
        upgrade(&policy, "localhost:1", Some("http://app.example.com"), 403);
        upgrade(&policy, "localhost:1", Some("https://preview.test"), 403);
        // Its host is one of ours from then on.
        upgrade(&policy, "app.example.com", None, 101);
        plain(&policy, "GET", &[("host", "app.example.com:8080")], 101);
        plain(&policy, "GET", &[("host", "x.preview.test")], 101);
        plain(&policy, "GET", &[("host", "other.test")], 421);
    }
    // What stands for all pages names none: a page that rebinds its name is one of all.
    let any = policy(true, &[], &["*"]);
    upgrade(&any, "localhost", Some("http://evil.test"), 101);
    upgrade(&any, "evil.test", Some("http://evil.test"), 421);
}

#[test]
fn with_origin_only_no_other_page_may_connect() {
    let only = Policy {
        origin_only: true,
        ..policy(true, &[], &["https://app.test"])
    };
    upgrade(&only, "localhost:1", Some("https://app.test"), 101);
    upgrade(&only, "localhost:1", None, 101);
    for origin in [
        "http://localhost:1",
        "http://127.0.0.1",
        "null",
        "http://other.test",
    ] {
        upgrade(&only, "localhost:1", Some(origin), 403);
    }
}

#[test]
fn hosts_by_patterns_and_by_certificates() {
    let patterns = policy(true, &["*.bridge.test", "exact.test:8080"], &[]);
    upgrade(&patterns, "a.b.bridge.test", None, 101);
    upgrade(&patterns, "bridge.test", None, 421);
    upgrade(&patterns, "evilbridge.test", None, 421);
    upgrade(&patterns, "exact.test:8080", None, 101);
    upgrade(&patterns, "exact.test:8081", None, 421);
    upgrade(&policy(true, &["*"], &[]), "evil.test", None, 101);
    let books = policy(true, &["bücher.example"], &["https://läden.example"]);
    upgrade(&books, "xn--bcher-kva.example", None, 101);
    upgrade(&books, "xn--ldn-fla.example", None, 421);
    let shops = Some("https://xn--lden-loa.example");
    upgrade(&books, "localhost", shops, 101);
    upgrade(
        &books,
        "localhost",
        Some("https://xn--bcher-kva.example"),
        403,
    );
    let caller = Caller {
        is_secure: true,
        server_names: ["cert.test".to_owned(), "*.wild.test".to_owned()].into(),
        ..Caller::default()
    };
    let judged = |host: &str, origin: &str| {
        let headers = [("host", host), ("origin", origin), ("upgrade", "websocket")];
        status(&elsewhere(), &caller, "GET", &headers)
    };
    assert_eq!(judged("cert.test", "https://cert.test"), 101);
    assert_eq!(judged("cert.test:8443", "https://cert.test:8443"), 101);
    assert_eq!(judged("a.wild.test", "https://a.wild.test"), 101);
    assert_eq!(judged("other.test", "https://other.test"), 421);
    // A page without TLS is none of ours.
    assert_eq!(judged("cert.test", "http://cert.test"), 403);
    assert_eq!(judged("cert.test:80", "http://cert.test"), 403);
}

#[test]
fn a_trusted_proxy_says_what_it_was_asked_for() {
    let proxy = |is_trusted_proxy| Caller {
        is_trusted_proxy,
        ..Caller::default()
    };
    let judged = |caller: &Caller, forwarded: &str| {
        let headers = [
            ("host", "127.0.0.1:8080"),
            ("x-forwarded-host", forwarded),
            ("origin", "https://app.test"),
            ("upgrade", "websocket"),
        ];
        status(&policy(true, &["app.test"], &[]), caller, "GET", &headers)
    };
    assert_eq!(judged(&proxy(true), "app.test"), 101);
    assert_eq!(judged(&proxy(true), "evil.test"), 421);
    assert_eq!(judged(&proxy(true), "app.test, evil.test"), 421);
    assert_eq!(judged(&proxy(true), "not a host"), 400);
    assert_eq!(judged(&proxy(false), "app.test"), 403);
}

#[test]
fn requests_that_change_something_come_from_no_other_site() {
    let host = ("host", "localhost:8080");
    let own = ("origin", "http://localhost:8080");
    let foreign = ("origin", "http://evil.test");
    for method in ["POST", "DELETE", "PUT", "PATCH", "OPTIONS"] {
        plain(&loopback(), method, &[host], 101);
        plain(&loopback(), method, &[host, own], 101);
        plain(&loopback(), method, &[host, foreign], 403);
        plain(&loopback(), method, &[host, ("origin", "null")], 403);
        for site in ["cross-site", "same-site"] {
            plain(&loopback(), method, &[host, ("sec-fetch-site", site)], 403);
            plain(
                &loopback(),
                method,
                &[host, own, ("sec-fetch-site", site)],
                101,
            );
        }
        for site in ["same-origin", "none"] {
            plain(&loopback(), method, &[host, ("sec-fetch-site", site)], 101);
        }
    }
    // An upgrade is a GET.
    let upgrade = ("upgrade", "websocket");
    plain(&elsewhere(), "POST", &[("host", "evil.test"), upgrade], 421);
}

#[test]
fn pages_may_be_opened_from_anywhere_and_read_from_nowhere_else() {
    let host = ("host", "localhost:8080");
    let site = |site| ("sec-fetch-site", site);
    let mode = |mode| ("sec-fetch-mode", mode);
    for method in ["GET", "HEAD"] {
        plain(&loopback(), method, &[host], 101);
        plain(
            &loopback(),
            method,
            &[host, site("cross-site"), mode("navigate")],
            101,
        );
        for how in ["cors", "no-cors", "websocket", ""] {
            plain(
                &loopback(),
                method,
                &[host, site("cross-site"), mode(how)],
                403,
            );
        }
        plain(&loopback(), method, &[host, site("cross-site")], 403);
        for from in ["same-origin", "same-site", "none"] {
            plain(&loopback(), method, &[host, site(from), mode("cors")], 101);
        }
        plain(
            &loopback(),
            method,
            &[host, ("origin", "http://evil.test")],
            403,
        );
    }
    let listed = policy(true, &[], &["https://app.test"]);
    let page = ("origin", "https://app.test");
    plain(
        &listed,
        "GET",
        &[host, page, site("cross-site"), mode("cors")],
        101,
    );
    plain(&listed, "POST", &[host, page, site("cross-site")], 101);
}

#[test]
fn a_host_is_exactly_one_host_and_port() {
    for host in [
        "",
        ".",
        ":80",
        "user@localhost",
        "localhost:",
        "localhost:port",
        "localhost:99999",
        "localhost:80:80",
        "[::1",
        "::1",
        "[::1]x",
        "local host",
        "local%68ost",
        "localhost/",
        "a..b",
        "localhost,evil.test",
    ] {
        upgrade(&loopback(), host, None, 400);
    }
    plain(&loopback(), "GET", &[], 400);
    let twice = [("host", "localhost"), ("host", "localhost")];
    plain(&loopback(), "GET", &twice, 400);
}

#[track_caller]
fn told(host: &str, origin: Option<&str>, flag: &str) {
    let mut request = http::Request::get("/").header("host", host);
    request = request.header("upgrade", "websocket");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let refusal = loopback().judge(&parts, &Caller::default()).unwrap_err();
    assert!(refusal.why.contains(flag), "{refusal}");
}

#[test]
fn the_log_has_the_flag_to_copy() {
    told("evil.test:1", None, "--host evil.test ");
    let page = "https://app.test";
    told(
        "app.test",
        Some(page),
        "--origin https://app.test or --host app.test ",
    );
    told("localhost", Some(page), "--origin https://app.test ");
    told("localhost", Some("null"), "--origin null ");
    told(
        "localhost",
        Some("http://[2001:db8::1]:1"),
        "--origin 'http://[2001:db8::1]:1' ",
    );
    let nasty = "http://a';reboot;'\u{202e}";
    told(
        "localhost",
        Some(nasty),
        "is no origin that a browser sends",
    );
}
