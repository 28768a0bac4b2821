//! What a program finds in its environment: little of ours, and of the caller only what can do no harm.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use http::Uri;
use http::header::{HOST, HeaderName, ORIGIN};
use http::uri::Authority;

use super::options::Options;
use crate::address::AddressError;
use crate::caller::Caller;
use crate::child::Command;
use crate::word::Word;

/// What is passed on of our own environment.
const KEPT: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "TZ",
    "TMPDIR",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_MESSAGES",
    "LC_MONETARY",
    "LC_NUMERIC",
    "LC_TIME",
];
/// Bytes of a value that a caller may set.
const MAX_VALUE: usize = 4096;
/// What stands before the name of a header.
const PREFIX: &str = "WSBRIDGE_HTTP_";

/// Checks the names that were asked for.
///
/// # Errors
/// One that can be none.
pub(super) fn check(options: &Options) -> Result<()> {
    for name in &options.env_header {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            let name = name.escape_debug();
            let what = format!("--env-header: '{name}' is no name of a header");
            return Err(AddressError::elsewhere(what).into());
        }
    }
    for variable in &options.env {
        let (name, value) = (variable.name(), variable.value().unwrap_or_default());
        if name.is_empty() || name.has_byte(0) || value.has_byte(0) {
            let name = name.escaped();
            let what = format!("--env: '{name}' is no name of a variable");
            return Err(AddressError::elsewhere(what).into());
        }
    }
    Ok(())
}

/// The environment of a program that runs for `caller`.
pub(super) fn of(caller: &Caller, options: &Options) -> Vec<(OsString, OsString)> {
    let own = |name: &OsStr| std::env::var_os(name);
    let kept = KEPT
        .iter()
        .filter_map(|name| Some(((*name).into(), own(name.as_ref())?)));
    let mut variables: Vec<(OsString, OsString)> = kept.collect();
    let asked = options.env.iter().filter_map(|it| match it.value() {
        Some(value) => Some((it.name().to_owned(), value.to_owned())),
        None => Some((it.name().into(), own(it.name())?)),
    });
    let of_caller = said_by(caller, options).into_iter();
    let of_caller = of_caller.map(|(name, value)| (name.into(), value.into()));
    for (name, value) in asked.chain(of_caller) {
        Command::set(&mut variables, name, value);
    }
    variables
}

/// What is known of a caller, by the names that CGI (RFC 3875) and UCSPI gave it.
fn said_by(caller: &Caller, options: &Options) -> Vec<(String, String)> {
    let mut said = Said::default();
    said.say(
        "SERVER_SOFTWARE",
        concat!("wsbridge/", env!("CARGO_PKG_VERSION")),
    );
    if let Ok(addr) = caller.from.parse::<SocketAddr>() {
        said.say_address(addr);
        if options.set_environment {
            said.say("WEBSOCAT_CLIENT", &caller.from);
        }
    }
    if let Some(subject) = &caller.subject {
        said.say("SSL_CLIENT_S_DN", subject);
    }
    if let Some(uri) = &caller.uri {
        said.say_request(caller, uri);
        if options.set_environment {
            said.say("WEBSOCAT_URI", asked_for(uri));
        }
    }
    if let Some(protocol) = &caller.protocol {
        said.say("WEBSOCKET_PROTOCOL", protocol);
    }
    let known = [
        ("HTTP_HOST".to_owned(), HOST),
        ("HTTP_ORIGIN".to_owned(), ORIGIN),
    ];
    // Checked when the options were read.
    let asked = options.env_header.iter().filter_map(|name| {
        let header = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((variable(name), header))
    });
    for (name, header) in known.into_iter().chain(asked) {
        if let Some(value) = only(caller, &header) {
            said.say(&name, value);
        }
    }
    said.0
}

/// The path and the query of a request, as they were sent.
fn asked_for(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |all| all.as_str())
}

/// The value of a header. `None` where it came twice: either may be meant.
fn only<'a>(caller: &'a Caller, header: &HeaderName) -> Option<&'a str> {
    let mut values = caller.headers.get_all(header).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    value.to_str().ok()
}

/// Variables with their values.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn say(&mut self, name: &str, value: &str) {
        // A value that may mean more than itself is not passed on, and none is cut: half of one is another one.
        if is_plain(value) {
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    fn say_address(&mut self, addr: SocketAddr) {
        let (ip, port) = (addr.ip().to_string(), addr.port().to_string());
        for (name, value) in [
            ("REMOTE_ADDR", &ip),
            // A name would have to be asked for, and may be anybody's.
            ("REMOTE_HOST", &ip),
            ("REMOTE_PORT", &port),
            ("TCPREMOTEIP", &ip),
            ("TCPREMOTEPORT", &port),
        ] {
            self.say(name, value);
        }
        self.say("PROTO", if addr.is_ipv6() { "TCP6" } else { "TCP" });
    }

    /// What a request says, where the caller spoke HTTP. The program is at the root of all paths, as that of websocketd.
    fn say_request(&mut self, caller: &Caller, uri: &Uri) {
        for (name, value) in [
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            // What else is no upgrade (RFC 6455 4.1).
            ("REQUEST_METHOD", "GET"),
            ("REQUEST_URI", asked_for(uri)),
            ("SCRIPT_NAME", "/"),
            ("PATH_INFO", uri.path()),
            ("PATH_TRANSLATED", uri.path()),
            ("QUERY_STRING", uri.query().unwrap_or_default()),
            ("UNIQUE_ID", &unique_id().to_string()),
        ] {
            self.say(name, value);
        }
        let host = only(caller, &HOST).and_then(|host| host.parse::<Authority>().ok());
        if let Some(host) = host {
            let usual = if caller.is_secure { 443 } else { 80 };
            let name = host.host().trim_start_matches('[').trim_end_matches(']');
            self.say("SERVER_NAME", name);
            let port = host.port_u16().unwrap_or(usual);
            self.say("SERVER_PORT", &port.to_string());
        }
        if caller.is_secure {
            self.say("HTTPS", "on");
        }
    }
}

/// A number that no other program is given: nanoseconds since 1970, made greater than the last.
fn unique_id() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(0));
    let next = |last: u64| now.max(last + 1);
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
        Some(next(last))
    });
    next(last.unwrap_or_default())
}

/// The variable of a header that was asked for.
fn variable(header: &str) -> String {
    let letter = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    PREFIX.chars().chain(header.chars().map(letter)).collect()
}

fn is_plain(value: &str) -> bool {
    value.len() <= MAX_VALUE
        && OsStr::new(value)
            .as_encoded_bytes()
            .iter()
            .all(|byte| (b' '..=b'~').contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, Command, FromArgMatches};
    use http::HeaderValue;

    fn options(words: &[&str]) -> Options {
        let command = Options::augment_args(Command::new("").no_binary_name(true));
        Options::from_arg_matches(&command.get_matches_from(words)).unwrap()
    }

    #[test]
    fn a_caller_sets_what_is_asked_for_and_nothing_else() {
        let mut caller = Caller::new("192.0.2.1:4711");
        caller.uri = Some("/a/b?c=d&e".parse().unwrap());
        caller.protocol = Some("chat".to_owned());
        for (name, value) in [
            ("host", "example.com"),
            ("origin", "http://example.com"),
            ("proxy", "http://evil.test"),
            ("x-user", "() { :;}; echo"),
            ("x-long", &"x".repeat(5000)),
            ("x-odd", "a\tb"),
            ("x-two", "1"),
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            caller
                .headers
                .append(name, HeaderValue::from_str(value).unwrap());
        }
        caller
            .headers
            .append("x-two", HeaderValue::from_static("2"));
        caller
            .headers
            .append("x-bytes", HeaderValue::from_bytes(b"a\xFFb").unwrap());
        let headers = ["X-User", "x-long", "x-odd", "x-two", "x-bytes", "x-none"];
        let words: Vec<_> = headers
            .iter()
            .flat_map(|name| ["--env-header", name])
            .collect();
        let said = said_by(&caller, &options(&words));
        let id = |name: &str| name == "UNIQUE_ID";
        let pairs: Vec<_> = said
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !id(name))
            .collect();
        assert_eq!(
            pairs[1..],
            [
                ("REMOTE_ADDR", "192.0.2.1"),
                ("REMOTE_HOST", "192.0.2.1"),
                ("REMOTE_PORT", "4711"),
                ("TCPREMOTEIP", "192.0.2.1"),
                ("TCPREMOTEPORT", "4711"),
                ("PROTO", "TCP"),
                ("GATEWAY_INTERFACE", "CGI/1.1"),
                ("SERVER_PROTOCOL", "HTTP/1.1"),
                ("REQUEST_METHOD", "GET"),
                ("REQUEST_URI", "/a/b?c=d&e"),
                ("SCRIPT_NAME", "/"),
                ("PATH_INFO", "/a/b"),
                ("PATH_TRANSLATED", "/a/b"),
                ("QUERY_STRING", "c=d&e"),
                ("SERVER_NAME", "example.com"),
                ("SERVER_PORT", "80"),
                ("WEBSOCKET_PROTOCOL", "chat"),
                ("HTTP_HOST", "example.com"),
                ("HTTP_ORIGIN", "http://example.com"),
                ("WSBRIDGE_HTTP_X_USER", "() { :;}; echo"),
            ]
        );
        let websocats = said_by(&caller, &options(&["-e"]));
        for (name, value) in [
            ("WEBSOCAT_CLIENT", "192.0.2.1:4711"),
            ("WEBSOCAT_URI", "/a/b?c=d&e"),
        ] {
            let pair = (name.to_owned(), value.to_owned());
            assert!(websocats.contains(&pair) && !said.contains(&pair), "{name}");
        }
    }

    #[test]
    fn the_server_is_the_one_that_was_asked_for() {
        for (host, is_secure, name, port) in [
            ("example.com", false, "example.com", "80"),
            ("example.com", true, "example.com", "443"),
            ("example.com:8080", true, "example.com", "8080"),
            ("[::1]:8080", false, "::1", "8080"),
        ] {
            let mut caller = Caller::new("unix");
            (caller.uri, caller.is_secure) = (Some("/".parse().unwrap()), is_secure);
            let value = HeaderValue::from_str(host).unwrap();
            caller.headers.append(HOST, value);
            let said = said_by(&caller, &options(&[]));
            let find = |name: &str| {
                let found = said.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.as_str())
            };
            assert_eq!(find("SERVER_NAME"), Some(name), "{host}");
            assert_eq!(find("SERVER_PORT"), Some(port), "{host}");
            assert_eq!(find("HTTPS"), is_secure.then_some("on"), "{host}");
            assert_eq!(find("REMOTE_ADDR"), None);
        }
    }

    #[test]
    fn no_two_programs_have_the_same_number() {
        let ids: Vec<_> = (0..1000).map(|_| unique_id()).collect();
        assert!(ids.is_sorted_by(|one, other| one < other));
    }
}
