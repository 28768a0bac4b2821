//! Completions for shells: a helper by hand for each shell, over tables that are the same in all of them.

use std::any::TypeId;
use std::fmt::Write;
use std::path::PathBuf;

use clap::{Arg, Command};

use super::topics::TOPICS;
use crate::endpoint::Scheme;
use crate::framing::CUTS;
use crate::scheme::{self, SCHEMES};

/// What the places of schemes are, where the syntax does not say it by its first word.
const PLACES: &[(&str, &str)] = &[
    ("PATH", "path"),
    ("PATH[,write|,append|,follow]", "path"),
    ("PATH[,baud=N]", "path"),
    ("[HOST:]PORT", "host"),
    ("HOST:PORT", "host"),
    ("//HOST[:PORT][/PATH][#OPTIONS]", "url"),
    ("PROGRAM", "program"),
];

/// The script for bash.
pub(super) fn bash(command: &Command) -> String {
    let quoted = |table: &str| table.replace('\'', "'\\''");
    filled(include_str!("complete/wsbridge.bash"), command, quoted)
}

/// The script for zsh.
pub(super) fn zsh(command: &Command) -> String {
    let quoted = |table: &str| table.replace('\'', "'\\''");
    filled(include_str!("complete/_wsbridge"), command, quoted)
}

/// The script for fish.
pub(super) fn fish(command: &Command) -> String {
    let quoted = |table: &str| table.replace('\\', "\\\\").replace('\'', "\\'");
    filled(include_str!("complete/wsbridge.fish"), command, quoted)
}

/// A helper with its tables; `quoted` makes of a table what stands between single quotes.
fn filled(helper: &str, command: &Command, quoted: impl Fn(&str) -> String) -> String {
    let mut text = helper.to_owned();
    for (mark, table) in [
        ("@SCHEMES@", schemes()),
        ("@OPTIONS@", options(command)),
        ("@TOPICS@", topics()),
    ] {
        text = text.replace(mark, &quoted(table.trim_end()));
    }
    text
}

/// A line for each scheme: how it is written, what its place is, the keys of its options, what it does. Behind them a line for
/// each name that other tools have for it, with a `=` and ours: they are understood, and offered to nobody.
fn schemes() -> String {
    let mut text = String::new();
    for scheme in SCHEMES {
        let place = place(scheme);
        let keys = keys(scheme.command().get_arguments());
        // Writing to a string can not fail.
        let _ = writeln!(
            text,
            "{}\t{place}\t{keys}\t{}",
            word(scheme, 0),
            scheme.summary
        );
    }
    for scheme in SCHEMES {
        for at in 1..scheme.names.len() {
            let _ = writeln!(text, "{}\t={}", word(scheme, at), word(scheme, 0));
        }
    }
    text
}

/// One of the names of a scheme with what always follows it.
fn word(scheme: &Scheme, at: usize) -> String {
    match (scheme.names[at], place(scheme)) {
        ("-", _) => "-".to_owned(),
        (name, "url") => format!("{name}://"),
        (name, _) => format!("{name}:"),
    }
}

/// What is behind the colon of a scheme: a `path`, a `host`, a `url`, a `program`, a `wrapped` endpoint, which must have bytes
/// where more is said of it: what it is where it names none (`wrapped-tcp`), or that it must name one (`wrapped-bytes`); or `nothing` that could be known; it is `raw` where no options can stand behind it.
fn place(scheme: &Scheme) -> &'static str {
    let (syntax, name) = (scheme.syntax, scheme.names[0]);
    if syntax.contains("ENDPOINT") {
        // `chain` knows what a place is that names no endpoint.
        let meant = scheme::chain(&format!("{name}:localhost:1"));
        return match meant.get(1).map(|scheme| scheme.names[0]) {
            Some("tcp") => "wrapped-tcp",
            Some("tcp-l") => "wrapped-tcp-l",
            _ if scheme::chain(&format!("{name}:echo:")).is_empty() => "wrapped-bytes",
            _ => "wrapped",
        };
    }
    let first = syntax.split(" | ").next().unwrap_or_default();
    let place = first.split_once(':').map_or("", |(_, place)| place);
    let row = PLACES.iter().find(|row| row.0 == place);
    match row.map_or("nothing", |row| row.1) {
        "host" if name.ends_with("-l") => "nothing",
        "nothing" if scheme.is_raw => "raw",
        known => known,
    }
}

/// The keys of options, those with a value with a `=` behind them.
fn keys<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let named = arguments.filter_map(|arg| Some((arg, arg.get_long()?)));
    let keys = named.map(|(arg, long)| match kind(arg).as_str() {
        "flag" => long.to_owned(),
        _ => format!("{long}="),
    });
    keys.collect::<Vec<_>>().join(" ")
}

/// A line for each option: its name, its letter or `-`, what its value is, what it does. Where a key of an endpoint has another
/// value than the flag of that name, it has a line of its own with `=` for a letter.
fn options(command: &Command) -> String {
    let mut text = String::new();
    let built = command.clone().disable_help_flag(true);
    for arg in built.get_arguments() {
        let (Some(long), false) = (arg.get_long(), arg.is_hide_set()) else {
            continue;
        };
        let short = arg.get_short().unwrap_or('-');
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "{long}\t{short}\t{}\t{help}", kind(arg));
    }
    text += "version\tV\tflag\tPrint version\n";
    for scheme in SCHEMES {
        for arg in scheme.command().get_arguments() {
            let long = arg.get_long().unwrap_or_default();
            let flag = command
                .get_arguments()
                .find(|flag| flag.get_long() == Some(long));
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let line = format!("{long}\t=\t{}\t{help}\n", kind(arg));
            if flag.is_some_and(|flag| kind(flag) != kind(arg)) && !text.contains(&line) {
                text += &line;
            }
        }
    }
    text
}

/// What the value of an option is: a `flag` has none, an `optional` one stands only behind a `=`; a `file`, one of words or a
/// `file`, `words`, `side`s of `--option`, or `any`.
fn kind(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return "flag".to_owned();
    }
    let long = arg.get_long().unwrap_or_default();
    let name = arg.get_value_names().unwrap_or_default().first();
    let name = name.map_or("", |name| name.as_str());
    let is_path = arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
    let is_optional = arg
        .get_num_args()
        .is_some_and(|count| count.min_values() == 0);
    let mut words: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    if long == "framing" {
        // clap does not know them: some have more behind a colon.
        words = CUTS.iter().map(|cut| cut.0.to_owned()).collect();
    }
    match long {
        _ if is_optional && is_path => "optional file".to_owned(),
        _ if is_optional => "optional any".to_owned(),
        "option" => "side".to_owned(),
        _ if name.ends_with("|FILE") => {
            format!("file {}", name.replace("|FILE", "").replace('|', " "))
        }
        _ if is_path => "file".to_owned(),
        _ if words.is_empty() => "any".to_owned(),
        _ => format!("words {}", words.join(" ")),
    }
}

/// A line for each page of help.
fn topics() -> String {
    let mut text = String::new();
    for topic in TOPICS {
        let _ = writeln!(text, "{}\t{}", topic.name, topic.summary);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_known_by_their_syntax() {
        for (name, expected) in [
            ("tcp", "host"),
            ("tcp-l", "nothing"),
            ("ws", "url"),
            ("unix", "path"),
            ("unix-l", "path"),
            ("file", "path"),
            ("serial", "path"),
            ("tls", "wrapped-tcp"),
            ("tls-l", "wrapped-tcp-l"),
            ("ws-c", "wrapped-bytes"),
            ("reconnect", "wrapped"),
            ("exec", "program"),
            ("sh-c", "raw"),
            ("echo", "nothing"),
        ] {
            let mut all = SCHEMES.iter();
            let scheme = all.find(|scheme| scheme.names[0] == name).unwrap();
            assert_eq!(place(scheme), expected, "{name}");
        }
    }
}
