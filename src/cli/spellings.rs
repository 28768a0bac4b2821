//! Flags of websocat 1.x that have another name here, ask for what is always so, or are not had: a table each.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// Our flag, and the other name for it.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("user", "basic-auth"),
    ("once", "oneshot"),
    ("uri", "ws-c-uri"),
    ("path", "restrict-uri"),
    ("tls-name", "tls-domain"),
    ("env-header", "header-to-env"),
    ("max-connections", "conncap"),
    ("null", "null-terminated"),
    ("ping", "ping-interval"),
    ("protocol", "server-protocol"),
    ("queue", "queue-len"),
];

/// Flags that do nothing: what they ask for is always so, or has no counterpart. Their short name, and whether they have a
/// value.
const NOTHING: &[(&str, Option<char>, bool)] = &[
    ("exit-on-eof", Some('E'), false),
    ("strict", Some('S'), false),
    ("unlink", None, false),
    ("async-stdio", None, false),
    ("no-async-stdio", None, false),
    ("print-ping-rtts", None, false),
    ("buffer-size", Some('B'), true),
    ("ping-timeout", None, true),
];

/// A flag of theirs, ours, and the value that it has then.
type Translated = (&'static str, &'static str, fn(&str) -> String);

const TRANSLATED: &[Translated] = &[
    ("socks5", "proxy", |place| format!("socks5h://{place}")),
    ("autoreconnect-delay-millis", "reconnect-max", |millis| {
        format!("{millis}ms")
    }),
];

/// Flags that are not had, whether they have a value, and what serves instead.
const MISSING: &[(&str, bool, &str)] = &[
    (
        "pkcs12-der",
        true,
        "certificates are PEM: openssl pkcs12 -in FILE -out FILE.pem -nodes makes one, cert=FILE.pem shows it",
    ),
    (
        "client-pkcs12-der",
        true,
        "certificates are PEM: openssl pkcs12 -in FILE -out FILE.pem -nodes makes one, --cert FILE.pem shows it",
    ),
    (
        "static-file",
        true,
        "files are served by a web server beside it, which passes on its WebSockets",
    ),
    (
        "max-messages-rev",
        true,
        "--max-messages counts in each direction",
    ),
    (
        "preamble",
        true,
        "--send says something on connect, and stdin is not read",
    ),
    (
        "preamble-reverse",
        true,
        "the left side of a listener is told by -o left.send=TEXT",
    ),
    (
        "close-status-code",
        true,
        "--framing json closes with a code: {\"kind\":\"close\",\"code\":4000,\"reason\":\"\"}",
    ),
    (
        "close-reason",
        true,
        "--framing json closes with a reason: {\"kind\":\"close\",\"code\":4000,\"reason\":\"\"}",
    ),
    (
        "prometheus",
        true,
        "there are no metrics yet; --log-format json tells of each session",
    ),
    (
        "no-fixups",
        false,
        "what was typed is what is done; --explain says what that is",
    ),
    ("udp-multicast", true, "UDP is to one peer each"),
    (
        "compress-zlib",
        false,
        "messages pass as they are; a program can pack them: -- gzip",
    ),
    (
        "uncompress-zlib",
        false,
        "messages pass as they are; a program can unpack them: -- gunzip",
    ),
    (
        "just-generate-key",
        false,
        "keys are made for each connection",
    ),
    (
        "dump-spec",
        false,
        "--explain says what a command line does",
    ),
    (
        "server-header",
        true,
        "a server sends no headers of its own",
    ),
];

/// Adds all of them to the command, unseen by help.
pub(super) fn add(mut command: Command) -> Command {
    for (own, other) in OTHER_NAMES {
        let id = {
            let mut arguments = command.get_arguments();
            let found = arguments.find(|arg| arg.get_long() == Some(own));
            found.map(|arg| arg.get_id().clone())
        };
        if let Some(id) = id {
            command = command.mut_arg(id, |arg| arg.alias(*other));
        }
    }
    let hidden = |name: &'static str, takes_value: bool| {
        let action = match takes_value {
            true => ArgAction::Append,
            false => ArgAction::SetTrue,
        };
        Arg::new(name).long(name).action(action).hide(true)
    };
    for (name, short, takes_value) in NOTHING {
        let arg = hidden(name, *takes_value);
        command = command.arg(match short {
            Some(short) => arg.short(*short),
            None => arg,
        });
    }
    for (name, ..) in TRANSLATED {
        command = command.arg(hidden(name, true));
    }
    for (name, takes_value, _) in MISSING {
        command = command.arg(hidden(name, *takes_value));
    }
    command
}

/// Our flags for theirs that were typed.
pub(super) fn translated(matches: &ArgMatches) -> Vec<(String, Vec<Option<String>>)> {
    let rows = TRANSLATED.iter().filter_map(|(theirs, ours, value)| {
        let typed = matches.get_many::<String>(theirs)?;
        let values = typed.map(|typed| Some(value(typed)));
        Some(((*ours).to_owned(), values.collect()))
    });
    rows.collect()
}

/// Refuses what is not had.
///
/// # Errors
/// What serves instead.
pub(super) fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    for (name, takes_value, instead) in MISSING {
        let is_typed = match takes_value {
            true => matches.contains_id(name),
            false => matches.get_flag(name),
        };
        if is_typed {
            let what = format!("there is no --{name}: {instead}\n");
            return Err(super::command().error(ErrorKind::UnknownArgument, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fails, plan};

    #[test]
    fn flags_of_websocat_are_understood() {
        for words in [
            &["--basic-auth", "me:word", "--oneshot", "ws-l:1", "ws://h"][..],
            &[
                "-E",
                "-S",
                "-B",
                "65536",
                "--unlink",
                "unix-l:/tmp/a",
                "ws://h",
            ],
            &["--ping-interval", "20", "--ping-timeout", "40", "ws://h"],
            &["--socks5", "127.0.0.1:9050", "ws://h"],
            &["--ws-c-uri=ws://h/a", "-", "ws-c:tcp:h:80"],
            &["--restrict-uri", "/a", "ws-l:1", "echo:"],
            &["--conncap", "5", "ws-l:1", "mirror:"],
            &["--null-terminated", "ws://h"],
            &["--header-to-env", "X-A", "ws-l:1", "--", "env"],
            &["--tls-domain", "h", "wss://10.0.0.1"],
        ] {
            assert!(
                plan(words).is_ok(),
                "{words:?}: {:#}",
                plan(words).err().unwrap()
            );
        }
    }

    #[test]
    fn what_is_not_had_says_what_serves() {
        for (name, takes_value, instead) in super::MISSING {
            let flag = format!("--{name}");
            let words: &[&str] = if *takes_value {
                &[&flag, "x", "ws://h"]
            } else {
                &[&flag, "ws://h"]
            };
            fails(words, 2, instead);
        }
    }
}
