//! What is wrong with an option that was given, in our own words: what clap found, and how it is said.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::address::nearest;
use crate::secret::{self, HIDDEN};
use crate::shown::is_harmful;
use crate::word::Word;

/// Flags that others have and we have not, and what serves.
const FOREIGN: &[(&str, &str)] = &[
    ("l", PORT),
    ("p", PORT),
    ("port", PORT),
    ("listen", PORT),
    (
        "timeout",
        "there are --connect-timeout, --idle and --max-time",
    ),
    ("tls", TLS),
    ("ssl", TLS),
    (
        "config",
        "there is no file of options; a shell script or a unit of systemd holds them",
    ),
    (
        "daemon",
        "systemd, a container or & keeps it in the background",
    ),
    (
        "web",
        "--page FILE serves one page, a web server beside it more",
    ),
    (
        "staticdir",
        "--page FILE serves one page, a web server beside it more",
    ),
];
const PORT: &str = "a port stands in an address: ws-l:8080 serves, ws://localhost:8080 connects";
const TLS: &str = "TLS is in an address: wss-l: and tls-l: serve, wss:// and tls: connect";

/// Says that there is no such flag, and what serves: the one that it begins, the nearest one, or another way.
pub(crate) fn no_flag(typed: &str, known: &[&str]) -> String {
    let dashes = typed.len() - typed.trim_start_matches('-').len();
    let bare = &typed[dashes..];
    // What stands behind the name may be a value, and secret.
    let end = bare.find(['=', ':', ' ', '@']).unwrap_or(bare.len());
    let (typed, bare) = (&typed[..dashes + end], &bare[..end]);
    let foreign = FOREIGN.iter().find(|row| row.0 == bare);
    let begun = || {
        let mut begun = known.iter().filter(|flag| flag.starts_with(bare));
        let first = begun.next().filter(|_| bare.len() > 2)?;
        begun.next().is_none().then_some(*first)
    };
    let helps = match (
        foreign,
        begun().or_else(|| nearest(bare, known.iter().copied())),
    ) {
        (Some((_, helps)), _) => (*helps).to_owned(),
        (None, Some(near)) => format!("did you mean '--{near}'?"),
        (None, None) => "wsbridge --help shows all".to_owned(),
    };
    format!("there is no flag '{}'; {helps}", printable(typed))
}

/// The name of the option that an error is about, without dashes and the name of its value.
pub(crate) fn key(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(typed) => Some(bare(typed).to_owned()),
        _ => None,
    }
}

/// Says in one line what is wrong with an option, before whose name stands `prefix`; `None` where the error is about no
/// option.
pub(crate) fn line(error: &clap::Error, prefix: &str) -> Option<String> {
    let key = key(error)?;
    let name = format!("{prefix}{key}");
    let value = text(error, ContextKind::InvalidValue);
    let value = value.map(|value| match value.is_empty() || !secret::is_key(&key) {
        true => value,
        false => HIDDEN,
    });
    let line = match error.kind() {
        ErrorKind::InvalidValue => not_one_of(&name, value?, error),
        ErrorKind::ValueValidation => {
            let what = error.source()?;
            format!("{name}: '{}' {what}", printable(value?))
        }
        ErrorKind::TooManyValues => format!("{name} takes no value"),
        ErrorKind::ArgumentConflict => match other(error).filter(|other| *other != key) {
            Some(other) => format!("{name} and {prefix}{other} exclude each other"),
            None => format!("{name} is given twice"),
        },
        _ => return None,
    };
    Some(line)
}

/// Shows each byte of the words that is not UTF-8 by its number, where clap has U+FFFD for it.
pub(crate) fn spelled(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidValue] {
        let Some(mut shown) = text(&error, kind).map(str::to_owned) else {
            continue;
        };
        for word in words.iter().filter(|word| word.to_str().is_none()) {
            let value = word
                .cut_at('=')
                .map_or(word.as_os_str(), |(_, value)| value);
            for part in [word, value] {
                shown = shown.replace(&*part.to_string_lossy(), &part.shown());
            }
        }
        error.insert(kind, ContextValue::String(shown));
    }
    error
}

/// Says that the value of an option is not text; the value may be secret.
pub(crate) fn not_text(name: &str) -> String {
    format!("{name}: its value is not UTF-8")
}

/// A value that is missing, or none of those that there are.
fn not_one_of(name: &str, value: &str, error: &clap::Error) -> String {
    let known = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(known)) => &known[..],
        _ => &[],
    };
    if value.is_empty() {
        return match known {
            [] => format!("{name} wants a value: {}", placeholder(error)),
            known => format!("{name} wants one of {}", known.join(", ")),
        };
    }
    let mut line = format!(
        "{name}: '{}' is none of {}",
        printable(value),
        known.join(", ")
    );
    // What is near to a number is another number.
    let is_word = value.starts_with(|c: char| c.is_ascii_alphabetic());
    let near = nearest(value, known.iter().map(String::as_str));
    if let Some(near) = near.filter(|_| is_word) {
        line += &format!("; did you mean '{near}'?");
    }
    line
}

/// What stands for the value of the option: `DURATION`.
fn placeholder(error: &clap::Error) -> &str {
    let typed = text(error, ContextKind::InvalidArg).unwrap_or_default();
    let value = typed.split(['<', '>']).nth(1);
    value.unwrap_or("VALUE")
}

/// The option that does not go with it.
fn other(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::PriorArg)? {
        ContextValue::String(other) => Some(bare(other).to_owned()),
        ContextValue::Strings(others) => others.first().map(|other| bare(other).to_owned()),
        _ => None,
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

fn printable(value: &str) -> String {
    let shown = |c: char| if is_harmful(c) { '?' } else { c };
    value.chars().map(shown).collect()
}

/// `--verbose...` and `--linger <DURATION>` without what is not the name.
fn bare(typed: &str) -> &str {
    let name = typed.split([' ', '=']).next().unwrap_or(typed);
    name.trim_start_matches('-').trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgAction, Command};

    fn command() -> Command {
        let even = |text: &str| match text.parse::<u8>() {
            Ok(number) if number % 2 == 0 => Ok(number),
            _ => Err("is no even number"),
        };
        Command::new("")
            .no_binary_name(true)
            .arg(
                Arg::new("colour")
                    .long("colour")
                    .value_parser(["red", "blue"]),
            )
            .arg(
                Arg::new("even")
                    .long("even")
                    .value_name("N")
                    .value_parser(even),
            )
            .arg(Arg::new("loud").long("loud").action(ArgAction::SetTrue))
            .arg(
                Arg::new("quiet")
                    .long("quiet")
                    .action(ArgAction::Count)
                    .conflicts_with("loud"),
            )
    }

    #[test]
    fn an_option_that_is_wrong_is_named_with_what_is_wrong() {
        for (words, expected) in [
            (
                &["--colour", "green"][..],
                "x.colour: 'green' is none of red, blue",
            ),
            (
                &["--colour", "bleu"],
                "x.colour: 'bleu' is none of red, blue; did you mean 'blue'?",
            ),
            (&["--colour"], "x.colour wants one of red, blue"),
            (&["--even", "3"], "x.even: '3' is no even number"),
            (&["--even"], "x.even wants a value: N"),
            (&["--even", "2", "--even", "2"], "x.even is given twice"),
            (&["--loud=1"], "x.loud takes no value"),
            (
                &["--quiet", "--loud"],
                "x.quiet and x.loud exclude each other",
            ),
        ] {
            let error = command().try_get_matches_from(words).unwrap_err();
            assert_eq!(line(&error, "x.").as_deref(), Some(expected));
        }
        let error = command().try_get_matches_from(["--no"]).unwrap_err();
        assert_eq!(line(&error, "x."), None);
    }
}
