//! The one table of what the tool speaks, and how a typed word is found in it.

use std::ffi::OsStr;

use anyhow::Result;

use crate::address::{Address, AddressError, AddressOption, nearest};
use crate::endpoint::{
    self, Endpoint, Scheme, Settings, device, each, echo, fd, file, hub, literal, null, packet,
    process, read_options, reconnect, serial, share, stdio, tcp, tls, udp, unix, ws, ws::over,
    ws::secure,
};
use crate::secret;
use crate::tap;
use crate::word::{Word, joined};

/// Every kind of endpoint, a line each.
pub const SCHEMES: &[&Scheme] = &[
    &ws::LISTEN,
    &ws::DIAL,
    &secure::LISTEN,
    &secure::DIAL,
    &over::CLIENT,
    &over::SERVER,
    &tcp::DIAL,
    &tcp::LISTEN,
    &tls::LISTEN,
    &tls::DIAL,
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
    &hub::SCHEME,
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
    &share::SCHEME,
    &each::SCHEME,
];

/// Those whose place is another endpoint, which they speak their protocol over (`ws-c:tcp:localhost:80`), and what a place is
/// that names no endpoint (`tls:localhost:443`).
const WRAPPERS: &[Wrapper] = &[
    Wrapper::of_bytes(&over::CLIENT, None),
    Wrapper::of_bytes(&over::SERVER, None),
    Wrapper::of_bytes(&tls::DIAL, Some(&tcp::DIAL)),
    Wrapper::of_bytes(&tls::LISTEN, Some(&tcp::LISTEN)),
    Wrapper::of_any(&reconnect::SCHEME),
    Wrapper::of_any(&share::SCHEME),
    Wrapper::of_any(&each::SCHEME),
];

/// A scheme that wraps.
struct Wrapper {
    scheme: &'static Scheme,
    /// What a place is that names no endpoint.
    meant: Option<&'static Scheme>,
    /// Whether what it wraps may have messages of its own.
    takes_messages: bool,
}

impl Wrapper {
    const fn of_bytes(scheme: &'static Scheme, meant: Option<&'static Scheme>) -> Wrapper {
        Wrapper {
            scheme,
            meant,
            takes_messages: false,
        }
    }

    const fn of_any(scheme: &'static Scheme) -> Wrapper {
        Wrapper {
            scheme,
            meant: None,
            takes_messages: true,
        }
    }
}

/// Words of other tools and the way that serves the same here.
pub const ELSEWHERE: &[(&str, &str)] = &[
    ("wss-c", "a client over TLS is wss://HOST"),
    ("ssl-l", "a server of TLS is tls-l:PORT"),
    ("ssl-accept", "a server of TLS is tls-l:PORT"),
    ("proxy", "a way through a proxy is --proxy http://HOST:PORT"),
    ("socks", NO_SOCKS),
    ("socks4", NO_SOCKS),
    ("socks4a", NO_SOCKS),
    ("socks5", NO_SOCKS),
    ("socks5-connect", NO_SOCKS),
    ("pty", "a program has a terminal by --pty -- PROGRAM"),
    ("open", NO_OPEN),
    ("create", NO_OPEN),
    ("gopen", NO_OPEN),
    ("stdin", NO_STDIN),
    ("stdout", NO_STDIN),
    ("asyncstdio", NO_STDIN),
    ("threadedstdio", NO_STDIN),
    ("log", "what passes is shown by --dump"),
    ("timestamp", "times are written by --timestamp"),
    ("lengthprefixed", "lengths are written by --framing length"),
    ("crypto", "what is secret is sent over TLS"),
];

const NO_SOCKS: &str = "a way through a SOCKS proxy is --proxy socks5h://HOST:PORT";
const NO_OPEN: &str = "a file is file:PATH, and is written with ,write or ,append behind it";
const NO_STDIN: &str = "stdin and stdout are written -";

/// The schemes of a page and those of the WebSockets beside it.
const WEB: &[(&str, &str)] = &[("http", "ws"), ("https", "wss")];

/// The keys of all options whose values are secret, with their other spellings.
pub fn secret_keys() -> Vec<String> {
    let mut keys = Vec::new();
    for scheme in SCHEMES {
        for arg in scheme.command().get_arguments() {
            if secret::is_secret(arg) {
                keys.extend(arg.get_long().map(str::to_owned));
                let aliases = arg.get_all_aliases().unwrap_or_default();
                keys.extend(aliases.into_iter().map(str::to_owned));
            }
        }
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Finds the scheme of an address by its first word, without regard to case.
pub fn find(text: &(impl AsRef<OsStr> + ?Sized)) -> Option<&'static Scheme> {
    found(text.as_ref())
}

fn found(text: &OsStr) -> Option<&'static Scheme> {
    let word = Address::word_of(&text.outline()).to_ascii_lowercase();
    let has_colon = text.len() > word.len();
    let found = SCHEMES
        .iter()
        .find(|scheme| scheme.names.contains(&word.as_str()));
    found.copied().filter(|_| has_colon || text == "-")
}

/// The schemes of an address from the outermost wrapper to the core; empty where the core is unknown.
pub fn chain(text: &(impl AsRef<OsStr> + ?Sized)) -> Vec<&'static Scheme> {
    let layers = layers(text.as_ref()).unwrap_or_default();
    layers.into_iter().map(|(scheme, _)| scheme).collect()
}

/// Makes the endpoint of an address, and first those that it wraps.
///
/// # Errors
/// An unknown word with the nearest known one, a malformed place, an unknown option.
pub fn build(text: &(impl AsRef<OsStr> + ?Sized), settings: &Settings) -> Result<Endpoint> {
    built(text.as_ref(), settings)
}

fn built(text: &OsStr, settings: &Settings) -> Result<Endpoint> {
    let mut settings = settings.clone();
    let mut built = None;
    for (scheme, address) in layers(text)?.into_iter().rev() {
        settings.inner = built.take();
        built = Some((scheme.build)(&address, &settings)?);
    }
    // There is a core, or there are no layers but an error.
    built.ok_or_else(|| unknown(text).into())
}

/// Cuts an address into its layers, each an address of its own in the same text.
///
/// The options stand behind the core. One goes to the outermost layer that has the key.
///
/// # Errors
/// Those of [`build`] but malformed places.
pub fn layers(text: &OsStr) -> Result<Vec<(&'static Scheme, Address)>, AddressError> {
    let mut layers: Vec<(&Scheme, Address)> = Vec::new();
    let outline = text.outline();
    let mut at = 0;
    let core = loop {
        let rest = &outline[at..];
        let Some(scheme) = find(rest) else {
            if let Some(scheme) = meant(rest, layers.last()) {
                break scheme;
            }
            let error = unknown(text.part(at..text.len()));
            let text = joined([text.part(0..at), &error.text]);
            return Err(error.within(&text, at));
        };
        let word = Address::word_of(rest);
        if let Some((outer, _)) = layers.last()
            && !wrapper(outer).is_some_and(|it| it.takes_messages)
            && !has_key(scheme, "framing")
        {
            return Err(has_messages(text, at, outer, scheme));
        }
        if wrapper(scheme).is_none() {
            break scheme;
        }
        let place_at = at + word.len() + 1;
        layers.push((
            scheme,
            Address {
                text: text.to_owned(),
                word: word.to_owned(),
                place: text.part(place_at..text.len()).to_owned(),
                place_at,
                options: Vec::new(),
                is_url: false,
            },
        ));
        at = place_at;
        if at == text.len() {
            let what = format!("an endpoint is missing behind {word}:, such as tcp:localhost:80");
            return Err(layers[0].1.error(at..at, what));
        }
    };
    let rest = text.part(at..text.len());
    let (mut address, options) = match find(rest) {
        Some(_) => Address::parse(rest, core.is_raw).within(text, at),
        None => {
            let word = layers
                .last()
                .map_or(core.names[0], |outer| outer.0.names[0]);
            Address::behind(word, text, at)
        }
    };
    for option in options {
        let wrapper = layers
            .iter()
            .position(|(scheme, _)| has_key(scheme, &option.key));
        match wrapper {
            Some(wrapper) => layers[wrapper].1.options.push(option),
            None if layers.is_empty() || has_key(core, &option.key) => {
                address.options.push(option);
            }
            None => {
                layers.push((core, address));
                return Err(unknown_option(text, &layers, &option));
            }
        }
    }
    layers.push((core, address));
    Ok(layers)
}

fn unknown_option(
    text: &OsStr,
    layers: &[(&Scheme, Address)],
    option: &AddressOption,
) -> AddressError {
    let commands: Vec<_> = layers.iter().map(|layer| layer.0.command()).collect();
    let keys = commands
        .iter()
        .flat_map(|command| command.get_arguments())
        .filter_map(|arg| arg.get_long());
    let keys: Vec<_> = keys.collect();
    let names: Vec<_> = layers.iter().map(|layer| layer.0.names[0]).collect();
    AddressError {
        what: endpoint::unknown_option(&option.key, &names.join(":"), &keys),
        text: text.to_owned(),
        at: option.at.clone(),
        is_usage: true,
    }
}

/// The row of [`WRAPPERS`] of a scheme that is one.
fn wrapper(scheme: &Scheme) -> Option<&'static Wrapper> {
    WRAPPERS.iter().find(|row| row.scheme.names == scheme.names)
}

/// What a place behind a wrapper is that names no endpoint. `tls:tpc:host:443` is none: that is a typing error.
fn meant(place: &str, outer: Option<&(&'static Scheme, Address)>) -> Option<&'static Scheme> {
    // An option may have colons of its own.
    let authority = place.split(',').next().unwrap_or(place);
    let authority = authority.rsplit(']').next().unwrap_or(authority);
    let is_host_and_port = authority.matches(':').count() <= 1 || place.starts_with("//");
    let (scheme, _) = outer?;
    wrapper(scheme)?.meant.filter(|_| is_host_and_port)
}

fn has_messages(text: &OsStr, at: usize, outer: &Scheme, inner: &Scheme) -> AddressError {
    let (outer, name) = (outer.names[0], inner.names[0]);
    let outline = text.outline();
    AddressError {
        what: format!("{outer}: speaks over bytes, and {name}: has messages of its own"),
        text: text.to_owned(),
        at: at..at + Address::word_of(&outline[at..]).len(),
        is_usage: true,
    }
}

fn has_key(scheme: &Scheme, key: &str) -> bool {
    let command = scheme.command();
    command
        .get_arguments()
        .any(|arg| arg.get_long() == Some(key))
}

/// Reads how one side is to be watched, out of an address that can be built.
///
/// # Errors
/// A value that the options do not take.
pub fn tap(text: &OsStr, settings: &Settings) -> Result<tap::Options> {
    match layers(text).unwrap_or_default().first() {
        Some((scheme, address)) => read_options(scheme, address, settings),
        None => Ok(tap::Options::default()),
    }
}

fn unknown(text: &OsStr) -> AddressError {
    let text = Address::without_password(text);
    let text = text.shown();
    let text = text.as_ref();
    let word = Address::word_of(text);
    let lower = word.to_ascii_lowercase();
    let known = SCHEMES
        .iter()
        .flat_map(|scheme| scheme.names.iter().copied());
    let shown: String = word.chars().take(60).flat_map(char::escape_debug).collect();
    if let Some(url) = without_colon(text) {
        let slashes = text.find("//").unwrap_or_default();
        return AddressError {
            text: text.into(),
            what: format!("a URL has a colon; did you mean '{url}'?"),
            at: slashes..slashes + 2,
            is_usage: true,
        };
    }
    let what = if text.is_empty() {
        "an address is empty; stdin and stdout are written -".to_owned()
    } else if word.len() == text.len() {
        match SCHEMES
            .iter()
            .find(|scheme| scheme.names.contains(&lower.as_str()))
        {
            Some(scheme) => format!("'{shown}' is written with a colon: {}", scheme.syntax),
            None => format!("'{shown}' is no endpoint; {}", meant_by(&shown)),
        }
    } else if let Some((_, ours)) = WEB.iter().find(|row| row.0 == lower) {
        let behind = Address::shown(text).split_off(word.len());
        format!("there is no endpoint '{shown}:'; a WebSocket server is written {ours}{behind}")
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
        format!("unknown endpoint '{shown}:'; wsbridge help addresses shows all")
    };
    AddressError {
        what,
        text: text.into(),
        at: 0..word.len(),
        is_usage: true,
    }
}

/// What a word without a colon may have meant: a port, a path, what other tools call it, a host or a program.
fn meant_by(word: &str) -> String {
    if word.parse::<u16>().is_ok() {
        return format!("a port is written ws-l:{word} to serve, tcp:{word} to connect");
    }
    match word.to_ascii_lowercase().as_str() {
        "listen" | "run" | "serve" | "server" | "start" => {
            "to serve write ws-l:8080 and what stands behind it".to_owned()
        }
        "client" | "connect" | "open" => "to connect write ws://HOST:PORT".to_owned(),
        "version" => "wsbridge --version says it".to_owned(),
        path if path.starts_with(['.', '/', '~']) => {
            format!("a program is written -- {word}, a file file:{word}")
        }
        host if host.contains('.') || host == "localhost" => {
            format!("a WebSocket server is written ws://{word}")
        }
        _ => format!("a program is written -- {word}, a WebSocket server ws://{word}"),
    }
}

/// A URL whose colon was forgotten, with it.
fn without_colon(text: &str) -> Option<String> {
    let (word, behind) = text.split_once("//")?;
    let is_known = find(&format!("{word}:")).is_some();
    is_known.then(|| Address::shown(&format!("{word}://{behind}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_options_are_these() {
        let keys = ["bearer", "cookie", "env", "header", "proxy", "user"];
        assert_eq!(secret_keys(), keys);
    }

    #[test]
    fn what_may_be_a_password_is_shown_by_no_error() {
        let keys = secret_keys();
        crate::secret::declare(keys);
        for (text, shown) in [
            ("me:CANARY@host:80", "me:***@host:80"),
            ("me:12CANARY@host", "me:***@host"),
            ("ws;me:CANARY@h", "ws;me:***@h"),
            ("htps://me:CANARY@h", "htps://***@h"),
            ("localhost:8080", "localhost:8080"),
            ("foo:bar", "foo:bar"),
        ] {
            let error = build(text, &Settings::default()).err().unwrap();
            let lines = error.to_string();
            assert!(lines.contains(&format!("\n  {shown}\n")), "{lines}");
            let error = build(text, &Settings::default()).err().unwrap();
            assert!(!format!("{error:#}").contains("CANARY"), "{error:#}");
        }
    }

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
            "ws-c:tcp:h:1",
            "ws-connect:unix:/a",
            "ws-u:-",
            "ws-upgrade:tcp-l:1",
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

    #[track_caller]
    fn wrapped(text: &str, expected: &[(&str, &str, &[&str])]) {
        let layers = layers(text.as_ref()).unwrap();
        let found = layers.iter().map(|(scheme, address)| {
            assert_eq!(
                &text[address.place_at..][..address.place.len()],
                address.place
            );
            let options = address.options.iter();
            let options: Vec<_> = options.map(|it| &text[it.at.clone()]).collect();
            (scheme.names[0], address.place.to_str().unwrap(), options)
        });
        let expected = expected
            .iter()
            .map(|(name, place, options)| (*name, *place, options.to_vec()));
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    #[test]
    fn an_address_wraps_another_and_options_go_to_the_outermost_that_has_them() {
        wrapped(
            "ws-c:tcp:h:1",
            &[("ws-c", "tcp:h:1", &[]), ("tcp", "h:1", &[])],
        );
        wrapped(
            "ws-c:tcp:h:1,framing=lines,ping=1s,connect-timeout=1s",
            &[
                (
                    "ws-c",
                    "tcp:h:1,framing=lines,ping=1s,connect-timeout=1s",
                    &["ping=1s"],
                ),
                ("tcp", "h:1", &["framing=lines", "connect-timeout=1s"]),
            ],
        );
        wrapped(
            "ws-u:tcp://h:1#path=/a",
            &[
                ("ws-u", "tcp://h:1#path=/a", &["path=/a"]),
                ("tcp", "h:1", &[]),
            ],
        );
        wrapped("ws-u:-", &[("ws-u", "-", &[]), ("-", "", &[])]);
        wrapped(
            "ws-c:sh-c:a,ping=1s",
            &[("ws-c", "sh-c:a,ping=1s", &[]), ("sh-c", "a,ping=1s", &[])],
        );
    }

    #[test]
    fn what_is_wrong_below_a_wrapper_is_pointed_at() {
        for (text, what, under) in [
            (
                "ws-c:",
                "an endpoint is missing behind ws-c:, such as tcp:localhost:80",
                "",
            ),
            (
                "ws-c:tpc:1",
                "unknown endpoint 'tpc:'; did you mean 'tcp:'?",
                "tpc",
            ),
            (
                "ws-c:tcp:h:x",
                "bad port 'x': a number from 0 to 65535 is wanted",
                "x",
            ),
            (
                "ws-c:tcp:h:1,pnig=1",
                "unknown option 'pnig' for ws-c:tcp:; did you mean 'ping'?",
                "pnig=1",
            ),
            (
                "ws-c:echo:",
                "ws-c: speaks over bytes, and echo: has messages of its own",
                "echo",
            ),
            (
                "ws-u:ws-u:-",
                "ws-u: speaks over bytes, and ws-u: has messages of its own",
                "ws-u",
            ),
        ] {
            let error = build(text, &Settings::default()).err().unwrap();
            let error = error.downcast_ref::<AddressError>().unwrap();
            assert_eq!(
                (error.what.as_str(), &text[error.at.clone()]),
                (what, under)
            );
        }
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
            "'8080' is no endpoint; a port is written ws-l:8080 to serve, tcp:8080 to connect",
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
