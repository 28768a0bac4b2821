//! The one table of what the tool speaks, and how a typed word is found in it.

use anyhow::Result;
use clap::Command;

use crate::address::{Address, AddressError, nearest};
use crate::endpoint::{
    Endpoint, Scheme, Settings, device, echo, fd, file, literal, null, packet, process,
    read_options, reconnect, serial, stdio, tcp, udp, unix, ws,
};
use crate::tap;

/// Every kind of endpoint, a line each.
pub const SCHEMES: &[&Scheme] = &[
    &ws::LISTEN,
    &ws::DIAL,
    &tcp::DIAL,
    &tcp::LISTEN,
    &unix::DIAL,
    &unix::LISTEN,
    &udp::DIAL,
    &udp::LISTEN,
    &packet::DATAGRAM,
    &packet::DIAL,
    &packet::LISTEN,
    &stdio::SCHEME,
    &process::EXEC,
    &process::SHELL,
    &echo::SCHEME,
    &null::SCHEME,
    &literal::SCHEME,
    &literal::BASE64,
    &file::SCHEME,
    &fd::SCHEME,
    &serial::SCHEME,
    &device::RANDOM,
    &device::ZERO,
    &device::CLOGGED,
    &reconnect::SCHEME,
];

/// Words of other tools and the way that serves the same here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("tls", "TLS is not built in yet"),
    (
        "ws-c",
        "a client over another transport is not built in yet; over TCP it is ws://HOST:PORT",
    ),
    (
        "ws-u",
        "a server over another transport is not built in yet; over TCP it is ws-l:PORT",
    ),
    ("hub", "rooms that many callers share are not built in yet"),
    ("chat", "rooms that many callers share are not built in yet"),
    (
        "broadcast",
        "rooms that many callers share are not built in yet",
    ),
    ("reuse", "one target for many callers is not built in yet"),
    (
        "wss",
        "TLS is not built in yet; put a TLS client such as 'socat' between: ws-l: and tcp: carry its bytes",
    ),
    ("http", "a WebSocket is written ws://"),
    ("https", "a WebSocket is written ws://"),
];

/// Finds the scheme of an address by its first word, without regard to case.
pub fn find(text: &str) -> Option<&'static Scheme> {
    let word = Address::word_of(text).to_ascii_lowercase();
    let has_colon = text.len() > word.len();
    let found = SCHEMES
        .iter()
        .find(|scheme| scheme.names.contains(&word.as_str()));
    found.copied().filter(|_| has_colon || text == "-")
}

/// Makes the endpoint of an address.
///
/// # Errors
/// An unknown word with the nearest known one, a malformed place, an unknown option.
pub fn build(text: &str, settings: &Settings) -> Result<Endpoint> {
    match find(text) {
        Some(scheme) => {
            let settings = Settings {
                build: Some(build),
                ..settings.clone()
            };
            (scheme.build)(&Address::parse(text, scheme.is_raw), &settings)
        }
        None => Err(unknown(text).into()),
    }
}

/// Reads how one side is to be watched, out of an address that can be built.
///
/// # Errors
/// A value that the options do not take.
pub fn tap(text: &str, settings: &Settings) -> Result<tap::Options> {
    let text = innermost(text);
    let Some(scheme) = find(text) else {
        return Ok(tap::Options::default());
    };
    read_options(scheme, &Address::parse(text, scheme.is_raw), settings)
}

/// The address within, where one is part of another.
fn innermost(text: &str) -> &str {
    match find(text) {
        Some(scheme) if scheme.names[0] == reconnect::SCHEME.names[0] => {
            innermost(text.split_once(':').map_or("", |(_, place)| place))
        }
        _ => text,
    }
}

/// All options of an address as the arguments of a command: its own and those of the address within.
pub fn command(text: &str) -> Option<Command> {
    let (outer, inner) = (find(text)?, find(innermost(text))?);
    let mut command = outer.command();
    for arg in inner.command().get_arguments() {
        if !command
            .get_arguments()
            .any(|has| has.get_id() == arg.get_id())
        {
            command = command.arg(arg.clone());
        }
    }
    Some(command)
}

fn unknown(text: &str) -> AddressError {
    let word = Address::word_of(text);
    let lower = word.to_ascii_lowercase();
    let known = SCHEMES
        .iter()
        .flat_map(|scheme| scheme.names.iter().copied());
    let shown: String = word.chars().take(60).flat_map(char::escape_debug).collect();
    let what = if word.len() == text.len() {
        match SCHEMES
            .iter()
            .find(|scheme| scheme.names.contains(&lower.as_str()))
        {
            Some(scheme) => format!("'{shown}' is written with a colon: {}", scheme.syntax),
            None if text.parse::<u16>().is_ok() => {
                format!(
                    "'{shown}' is no endpoint; to serve on a port write ws-l:{shown} or -s {shown}"
                )
            }
            None => format!("'{shown}' is no endpoint; a WebSocket server is written ws://{shown}"),
        }
    } else if let Some((_, instead)) = ELSEWHERE.iter().find(|row| row.0 == lower) {
        format!("there is no endpoint '{shown}:'; {instead}")
    } else if let Some(near) = nearest(word, known) {
        format!("unknown endpoint '{shown}:'; did you mean '{near}:'?")
    } else if text[word.len() + 1..]
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_digit())
    {
        format!(
            "unknown endpoint '{shown}:'; a host and port are written tcp:{text} or ws://{text}"
        )
    } else {
        let names: Vec<_> = SCHEMES.iter().map(|scheme| scheme.names[0]).collect();
        format!("unknown endpoint '{shown}:'; there is: {}", names.join(" "))
    };
    AddressError {
        what,
        text: text.to_owned(),
        at: 0..word.len(),
        is_usage: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_in_the_table_twice() {
        let mut words: Vec<_> = SCHEMES.iter().flat_map(|scheme| scheme.names).collect();
        words.extend(ELSEWHERE.iter().map(|row| &row.0));
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }

    #[test]
    fn websocat_spellings_are_understood() {
        for text in [
            "ws-listen:8080",
            "listen-ws:127.0.0.1:8080",
            "l-ws:1",
            "TCP-LISTEN:1",
            "tcp-l:1",
            "listen-tcp:1",
            "tcp-connect:h:1",
            "connect-tcp:h:1",
            "c-tcp:h:1",
            "tcp-c:h:1",
            "unix-listen:/a",
            "l-unix:/a",
            "unix-connect:/a",
            "abstract-connect:a",
            "abstract-listen:a",
            "abstract:a",
            "stdio:",
            "-",
            "inetd:",
            "mirror:",
            "literal:x",
            "literal-base64:AP8=",
            "readfile:/a",
            "writefile:/a",
            "appendfile:/a",
            "open-fd:3",
            "random:",
            "zero:",
            "clogged:",
            "udp-listen:1",
            "listen-udp:1",
            "l-udp:1",
            "udp-connect:h:1",
            "connect-udp:h:1",
            "c-udp:h:1",
            "udp-c:h:1",
            "unix-dgram:/a",
            "abstract-dgram:a",
            "seqpacket:/a",
            "seqpacket-connect:/a",
            "seqpacket-listen:/a",
            "l-seqpacket:/a",
        ] {
            assert!(build(text, &Settings::default()).is_ok(), "{text}");
        }
    }

    #[track_caller]
    fn wrong(text: &str, what: &str) {
        let error = build(text, &Settings::default()).err().unwrap();
        let error = error.downcast_ref::<AddressError>().unwrap();
        assert_eq!((error.what.as_str(), error.exit_status()), (what, 2));
    }

    #[test]
    fn an_unknown_word_gets_help() {
        wrong(
            "tpc:localhost:1",
            "unknown endpoint 'tpc:'; did you mean 'tcp:'?",
        );
        wrong(
            "localhost:8080",
            "unknown endpoint 'localhost:'; a host and port are written tcp:localhost:8080 or ws://localhost:8080",
        );
        wrong(
            "example.com",
            "'example.com' is no endpoint; a WebSocket server is written ws://example.com",
        );
        wrong("echo", "'echo' is written with a colon: echo:");
        wrong(
            "8080",
            "'8080' is no endpoint; to serve on a port write ws-l:8080 or -s 8080",
        );
        wrong(
            "ws-l:1,pth=/a",
            "unknown option 'pth' for ws-l:; did you mean 'path'?",
        );
        wrong(
            "echo:,x",
            "unknown option 'x' for echo:; there is: dump, tee",
        );
    }
}
