//! Addresses that are understood, and errors that point at the place.

use super::*;

/// What a command line declares at its start.
fn declare() {
    let keys = ["bearer", "cookie", "env", "header", "proxy", "user"];
    crate::secret::declare(keys.map(str::to_owned).into());
}

#[track_caller]
fn place(text: &str) -> (Option<String>, Option<u16>, String) {
    let place = Address::parse(text, false).host_port().unwrap();
    (place.host, place.port, place.path)
}

fn host(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn places() {
    assert_eq!(place("ws-l:8080"), (None, Some(8080), String::new()));
    assert_eq!(place("ws-l:8080/chat"), (None, Some(8080), "/chat".into()));
    assert_eq!(place("ws-l:*:8080"), (host("*"), Some(8080), String::new()));
    assert_eq!(
        place("tcp:localhost:6379"),
        (host("localhost"), Some(6379), String::new())
    );
    assert_eq!(
        place("tcp:[::1]:6379"),
        (host("::1"), Some(6379), String::new())
    );
    assert_eq!(
        place("tcp:[fe80::1%eth0]:80"),
        (host("fe80::1%eth0"), Some(80), String::new())
    );
    assert_eq!(
        place("ws://[fe80::1%25eth0]/a"),
        (host("fe80::1%eth0"), None, "/a".into())
    );
    assert_eq!(
        place("wss://BÜcher.example:1/ü"),
        (host("xn--bcher-kva.example"), Some(1), "/ü".into())
    );
    assert_eq!(place("ws://host"), (host("host"), None, String::new()));
    assert_eq!(place("ws://host?q=1"), (host("host"), None, "?q=1".into()));
    assert_eq!(place("ws://[::1]/a,b"), (host("::1"), None, "/a,b".into()));
    assert_eq!(
        place("ws://h:1/p?q=a:b#linger=3s"),
        (host("h"), Some(1), "/p?q=a:b".into())
    );
}

#[track_caller]
fn wrong(text: &str, what: &str, under: &str) {
    let error = Address::parse(text, false).host_port().unwrap_err();
    assert_eq!(
        (error.what.as_str(), &text[error.at.clone()]),
        (what, under)
    );
    assert_eq!(error.exit_status(), 3);
}

#[test]
fn wrong_places_say_what_and_where() {
    wrong(
        "tcp:host:99999",
        "bad port '99999': a number from 0 to 65535 is wanted",
        "99999",
    );
    wrong(
        "tcp:host:http",
        "bad port 'http': a number from 0 to 65535 is wanted",
        "http",
    );
    wrong("tcp:", "a port is missing: tcp:PORT", "");
    wrong(
        "tcp:localhost",
        "a port is missing: tcp:localhost:PORT",
        "localhost",
    );
    wrong(
        "tcp:::1:80",
        "an IPv6 address stands in brackets: [::1]:80",
        "::1:80",
    );
    wrong("ws://[::1/", "an IPv6 address ends with ']'", "[::1");
    wrong(
        "ws://[::1%lo]:1/",
        "bad IPv6 address '::1%lo'",
        "[::1%lo]:1",
    );
    wrong(
        "ws://a\u{ff0f}ü/",
        "'a\u{ff0f}ü' is no name of a host",
        "a\u{ff0f}ü",
    );
    wrong("ws://[x]:1/", "bad IPv6 address 'x'", "[x]:1");
    wrong(
        "tcp:host:80:81",
        "there is one ':' at most: HOST:PORT, or an IPv6 address in brackets",
        "host:80:81",
    );
    wrong("ws-l:80:8080", "bad host '80' in ws-l:HOST:PORT", "80:8080");
    wrong("ws:///path", "a host is missing: ws://HOST:PORT", "");
    wrong("ws://a b/", "bad host 'a b' in ws://HOST:PORT", "a b");
}

#[test]
fn options_follow_a_comma_or_in_a_url_a_hash() {
    let options = |text: &str| -> Vec<(String, Option<OsString>)> {
        let address = Address::parse(text, false);
        address
            .options
            .into_iter()
            .map(|option| (option.key, option.value))
            .collect()
    };
    let pair = |key: &str, value: &str| (key.to_owned(), Some(value.into()));
    assert_eq!(
        options("ws-l:1,path=/a\\,b,once"),
        [pair("path", "/a,b"), ("once".into(), None)]
    );
    assert_eq!(options("ws://h/a,b"), []);
    assert_eq!(
        options("ws://h/a#x=1,y=2=3"),
        [pair("x", "1"), pair("y", "2=3")]
    );
    assert_eq!(options("-"), []);
    assert_eq!(Address::parse("unix:/a\\,b", false).place, "/a,b");
    assert_eq!(Address::parse("literal:a,b=c", true).place, "a,b=c");
}

#[test]
fn an_error_has_a_caret_under_the_place() {
    let address = Address::parse("tcp:ü:99999", false);
    let error = address.host_port().unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines[1], "  tcp:ü:99999");
    assert_eq!(lines[2], "        ^^^^^");
}

#[test]
fn a_user_is_decoded_and_never_shown() {
    declare();
    assert_eq!(place("ws://h:1/p@th").1, Some(1));
    let url = "ws://us%40er:p%2Fa:ss@h:1/p@th";
    let (user_info, place) = Address::parse(url, false).url_place().unwrap();
    let user_info = user_info.unwrap();
    assert_eq!(user_info.user.reveal(), "us@er");
    assert_eq!(user_info.password.unwrap().reveal(), "p/a:ss");
    assert_eq!((place.host, place.port), (host("h"), Some(1)));
    assert_eq!(Address::shown(url), "ws://h:1/p@th");
    assert_eq!(
        Address::shown("ws-c:tcp:h:1,user=a:b,ping=0"),
        "ws-c:tcp:h:1,user=***,ping=0"
    );
    for wrong in ["ws://a%zz@h", "ws://a%0Ab@h", "ws://a:%ff@h", "ws://a%+1@h"] {
        let error = Address::parse(wrong, false).url_place().unwrap_err();
        assert_eq!(error.exit_status(), 3, "{wrong}");
    }
}

#[test]
fn an_error_hides_what_is_secret() {
    declare();
    let shown = |text: &str| {
        let address = Address::parse(text, false);
        let error = address.url_place().unwrap_err().to_string();
        assert!(!error.contains("hidden"), "{error}");
        error
    };
    let error = shown("ws://me:hidden@h:x/");
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines[1], "  ws://***@h:x/");
    assert_eq!(lines[2], "             ^");
    shown("ws://me:hid/hidden@h/");
    shown("ws://h:x/#bearer=hidden,user=hidden,ping=0");
    shown("tcp:h:x,proxy=http://me:hidden@h");
}

#[test]
fn secrets_of_mistyped_addresses_are_hidden() {
    declare();
    for (text, public) in [
        ("ws://me:CANARY@h/", "ws://h/"),
        ("ws:/me:CANARY@h/", "ws:h/"),
        ("ws:me:CANARY@h:80", "ws:h:80"),
        ("wss//me:CANARY@h/", "wss//h/"),
        ("htps://me:CANARY@h/", "htps://h/"),
        ("ws://me:CAN/CANARY@h/", "ws://h/"),
        ("ws://me:CAN?CANARY@h/", "ws://h/"),
        ("ws://me:CAN#CANARY@h/", "ws://h/"),
        ("ws://me:CAN@CANARY@h/", "ws://h/"),
        ("exec:curl http://me:CANARY@h/ x", "exec:curl http://h/ x"),
        ("sh-c:login me:x:CANARY@h", "sh-c:login me:h"),
        ("ws://h/?token=CANARY", "ws://h/?token=***"),
        ("ws://h/?a=b&api_key=CANARY&c", "ws://h/?a=b&api_key=***&c"),
        ("ws:/h/?token=CANARY", "ws:/h/?token=***"),
        ("ws://h/?CANARY1234567890abcdef", "ws://h/?***"),
        ("ws://h#user=me:CANARY,ping=0", "ws://h#user=***,ping=0"),
        ("ws://h#user:CANARY", "ws://h#user:***"),
        ("exec:env,env=A=CANARY", "exec:env,env=***"),
        (
            "ws-c:tcp:h:1,uri=ws://me:CANARY@h/",
            "ws-c:tcp:h:1,uri=ws://h/",
        ),
        ("tcp:h:1,proxy=http://me:CANARY@p:1", "tcp:h:1,proxy=***"),
        // Nothing of these is secret.
        ("ws://h:80/p@th?a=b", "ws://h:80/p@th?a=b"),
        ("ws://[::1]:80/p@th", "ws://[::1]:80/p@th"),
        ("unix:@name", "unix:@name"),
        ("unix:/run/a@b.sock", "unix:/run/a@b.sock"),
        ("exec:ssh me@host", "exec:ssh me@host"),
        ("file:what?", "file:what?"),
    ] {
        assert_eq!(Address::public(text), public, "{text}");
        assert!(!Address::shown(text).contains("CANARY"), "{text}");
        let address = Address::parse(text, false);
        let error = address.error(0..text.len(), "wrong").to_string();
        assert!(!error.contains("CANARY"), "{error}");
        if let Err(error) = address.url_place() {
            assert!(!error.to_string().contains("CAN"), "{error}");
        }
    }
}

#[test]
fn typing_errors_find_the_nearest_word() {
    let known = ["tcp", "tcp-l", "unix", "ws", "ws-l", "echo"];
    assert_eq!(nearest("tpc", known), Some("tcp"));
    assert_eq!(nearest("WSL", known), Some("ws"));
    assert_eq!(nearest("ehco", known), Some("echo"));
    assert_eq!(nearest("localhost", known), None);
}

#[test]
fn sizes() {
    assert_eq!(parse_size("1"), Ok(1));
    assert_eq!(parse_size("64k"), Ok(65536));
    assert_eq!(parse_size("16M"), Ok(16 << 20));
    assert_eq!(parse_size("2G"), Ok(2 << 30));
    for wrong in ["", "0", "K", "-1", "1.5M", "3G", "1T", "16MiB"] {
        assert!(parse_size(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn durations() {
    assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
    assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
    for wrong in ["", "x", "-1s", "3days", "1e99", "nan"] {
        assert!(parse_duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn networks_are_of_ipv4_however_it_is_written() {
    let has = |network: &str, addr: &str| {
        let network = Network::parse(network).unwrap();
        network.has(addr.parse().unwrap())
    };
    for network in ["10.0.0.0/8", "::ffff:10.0.0.0/104"] {
        assert!(has(network, "10.1.2.3"), "{network}");
        assert!(has(network, "::ffff:10.1.2.3"), "{network}");
        assert!(!has(network, "11.1.2.3"), "{network}");
        assert!(!has(network, "::1"), "{network}");
    }
    assert!(has("::ffff:10.1.2.3", "10.1.2.3"));
    assert!(has("10.1.2.3/8", "10.0.0.0"));
    assert!(has("::/0", "::1") && !has("::/0", "10.1.2.3"));
    assert!(has("2001:db8::/32", "2001:db8:1::1"));
    for wrong in ["", "10.0.0.0/33", "10.0.0.0/", "::/129", "10.0.0/8", "h/8"] {
        assert_eq!(Network::parse(wrong), None, "{wrong}");
    }
}
