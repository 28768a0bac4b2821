//! The flags of websocat 1.x as the command line takes them.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::docs::websocat::{MISSING, NOTHING, OTHER_NAMES, TRANSLATED};
use crate::scheme;

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

/// The keys of secret options, those of other tools among them.
pub(super) fn secret_keys() -> Vec<String> {
    let mut keys = scheme::secret_keys();
    let translated = TRANSLATED.iter().map(|row| (row.1, row.0));
    for (own, other) in OTHER_NAMES.iter().copied().chain(translated) {
        if keys.iter().any(|key| key == own) {
            keys.push(other.to_owned());
        }
    }
    keys
}

/// Our flags for theirs that were typed.
pub(super) fn translated(matches: &ArgMatches) -> Vec<(String, Vec<Option<OsString>>)> {
    let rows = TRANSLATED.iter().filter_map(|(theirs, ours, value)| {
        let typed = matches.get_many::<String>(theirs)?;
        let values = typed.map(|typed| Some(value(typed).into()));
        Some(((*ours).to_owned(), values.collect()))
    });
    rows.collect()
}

/// Refuses flags of other tools that do not exist here.
///
/// # Errors
/// What serves instead.
pub(super) fn check(matches: &ArgMatches) -> Result<(), String> {
    for (name, takes_value, instead) in MISSING {
        let is_typed = match takes_value {
            true => matches.contains_id(name),
            false => matches.get_flag(name),
        };
        if is_typed {
            return Err(format!("there is no --{name}: {instead}\n"));
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
