//! What a program finds in its environment: little of ours, and of the caller only what can do no harm.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;

use anyhow::Result;
use http::header::{HOST, HeaderName, ORIGIN};

use super::Options;
use crate::address::AddressError;
use crate::caller::Caller;
use crate::child::Command;

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
        if variable.starts_with('=') || variable.is_empty() || variable.contains('\0') {
            let name = variable.split('=').next().unwrap_or_default();
            let name = name.escape_debug();
            let what = format!("--env: '{name}' is no name of a variable");
            return Err(AddressError::elsewhere(what).into());
        }
    }
    Ok(())
}

/// The environment of a program that runs for `caller`.
pub(super) fn of(caller: &Caller, options: &Options) -> Vec<(OsString, OsString)> {
    let own = |name: &str| std::env::var_os(name);
    let kept = KEPT
        .iter()
        .filter_map(|name| Some(((*name).into(), own(name)?)));
    let mut variables: Vec<(OsString, OsString)> = kept.collect();
    let asked = options
        .env
        .iter()
        .filter_map(|it| match it.split_once('=') {
            Some((name, value)) => Some((name.into(), value.into())),
            None => Some((it.into(), own(it)?)),
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
    let mut said = vec![(
        "SERVER_SOFTWARE".to_owned(),
        concat!("wsbridge/", env!("CARGO_PKG_VERSION")).to_owned(),
    )];
    let mut say = |name: &str, value: &str| {
        // A value that may mean more than itself is not passed on, and none is cut: half of one is another one.
        if is_plain(value) {
            said.push((name.to_owned(), value.to_owned()));
        }
    };
    if let Ok(addr) = caller.from.parse::<SocketAddr>() {
        let (ip, port) = (addr.ip().to_string(), addr.port().to_string());
        for (name, value) in [
            ("REMOTE_ADDR", &ip),
            ("REMOTE_PORT", &port),
            ("TCPREMOTEIP", &ip),
            ("TCPREMOTEPORT", &port),
        ] {
            say(name, value);
        }
        if options.set_environment {
            say("WEBSOCAT_CLIENT", &caller.from);
        }
        say("PROTO", if addr.is_ipv6() { "TCP6" } else { "TCP" });
    }
    if let Some(subject) = &caller.subject {
        say("SSL_CLIENT_S_DN", subject);
    }
    if let Some(uri) = &caller.uri {
        let all = uri.path_and_query().map_or("/", |all| all.as_str());
        say("REQUEST_URI", all);
        if options.set_environment {
            say("WEBSOCAT_URI", all);
        }
        say("PATH_INFO", uri.path());
        say("QUERY_STRING", uri.query().unwrap_or_default());
    }
    if let Some(protocol) = &caller.protocol {
        say("WEBSOCKET_PROTOCOL", protocol);
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
        let mut values = caller.headers.get_all(&header).iter();
        // Of a header that came twice nobody can say which is meant.
        if let (Some(value), None) = (values.next(), values.next())
            && let Ok(value) = value.to_str()
        {
            say(&name, value);
        }
    }
    said
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
        let pairs: Vec<_> = said
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            pairs[1..],
            [
                ("REMOTE_ADDR", "192.0.2.1"),
                ("REMOTE_PORT", "4711"),
                ("TCPREMOTEIP", "192.0.2.1"),
                ("TCPREMOTEPORT", "4711"),
                ("PROTO", "TCP"),
                ("REQUEST_URI", "/a/b?c=d&e"),
                ("PATH_INFO", "/a/b"),
                ("QUERY_STRING", "c=d&e"),
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
}
