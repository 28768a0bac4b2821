//! What a command line would do, in words: `--explain`.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use anyhow::Result;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args as _, Command};

use super::Args;
use crate::address::Address;
use crate::bridge::{self, Plan};
use crate::columns::indented;
use crate::endpoint::{self, Endpoint, Settings};
use crate::framing::{Cut, Encoding, Framing};
use crate::message::Kind;
use crate::scheme;
use crate::secret;
use crate::session;
use crate::word::{Word, joined};

/// What stands in the summary of an option before its default, where that is computed: `(default: one for each processor)`.
const COMPUTED: &str = " (default: ";

/// Words for an endpoint that say an option, too.
const OPTIONS_BY_WORD: &[(&str, &str)] = &[("writefile", "write"), ("appendfile", "append")];

/// Says what a plan would do, with every option that applies.
///
/// # Errors
/// Those of reading the options of a side, which have been read once for the plan.
pub(super) fn explain(
    args: &Args,
    matches: &ArgMatches,
    plan: &Plan,
    sides: &[(OsString, Settings); 2],
) -> Result<String> {
    let mut flags = String::new();
    let groups = [
        session::Options::augment_args(Command::new("")),
        bridge::Options::augment_args(Command::new("")),
    ];
    let [session, bridge] = groups.map(|group| {
        let own = group.get_arguments();
        own.map(|arg| Value::of(arg, matches)).collect::<Vec<_>>()
    });
    for value in session.iter().chain(&bridge).filter(|it| it.is_given) {
        for flag in value.flags() {
            let _ = write!(flags, " {flag}");
        }
    }
    let mut canonical = Vec::new();
    let mut texts = Vec::new();
    for (which, (text, settings)) in ["left", "right"].iter().zip(sides) {
        let (address, values) = side(text, settings)?;
        let has_commas = scheme::chain(text).iter().any(|scheme| scheme.is_raw);
        let given = values.iter().filter(|value| value.is_given);
        // What takes all that stands behind its colon has its options elsewhere.
        for pair in given.filter(|_| has_commas).flat_map(Value::pairs) {
            let _ = write!(flags, " -o {which}.{}", quoted(&pair));
        }
        canonical.push(address);
        texts.push(values);
    }
    let program = match args.program.is_empty() {
        true => quoted(&canonical[1]),
        false => {
            let program = &sides[1].0;
            let name = quoted(program.without_prefix("exec:").unwrap_or(program));
            let words = args.words().iter();
            let words = words.map(quoted);
            let words: Vec<_> = std::iter::once(name).chain(words).collect();
            format!("-- {}", words.join(" "))
        }
    };
    // Writing to a string can not fail.
    let mut text = format!("wsbridge{flags} {} {program}\n\n", quoted(&canonical[0]));
    for (side, (address, _)) in ["Left:  ", "Right: "].iter().zip(sides) {
        let summary = scheme::chain(address);
        let summary = summary.first().map_or("", |scheme| scheme.summary);
        let _ = writeln!(text, "{side}{}", Address::shown(address));
        text += &indented(&format!("{summary}."), 7);
    }
    text.push('\n');
    text += &indented(&sessions(plan), 0);
    text += &indented(&conversion(plan), 0);
    for ((name, _), values) in [("left", &sides[0]), ("right", &sides[1])]
        .iter()
        .zip(&texts)
    {
        text += &listed(&format!("Options of the {name}"), values);
    }
    text += &listed("Every session", &session);
    let is_served = matches!(plan.left, Endpoint::Listen(_));
    let together = bridge
        .into_iter()
        .filter(|it| is_served || it.key == "memory");
    let together = together.map(|it| it.with_memory(sides[0].1.memory.limit()));
    text += &listed("All together", &together.collect::<Vec<_>>());
    Ok(text + "\n* was given; the others are defaults. wsbridge --help says more of each.\n")
}

/// An option with what it is.
struct Value {
    key: String,
    /// `None` for one that is on by being there.
    value: Option<String>,
    /// Each of the values that an option which can be repeated has.
    each: Vec<OsString>,
    is_given: bool,
    /// Whether it does something.
    applies: bool,
    help: String,
}

impl Value {
    fn of(arg: &Arg, matches: &ArgMatches) -> Value {
        let key = arg.get_long().unwrap_or_default();
        let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let source = matches.value_source(arg.get_id().as_str());
        let is_given = source == Some(ValueSource::CommandLine);
        let takes = arg.get_action().takes_values();
        let raw = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
        let public = |value: &OsStr| match secret::is_secret(arg) {
            true => secret::hide(arg, value),
            false if key == "protocol" => secret::protocols([value.shown().trim()]).into(),
            false => Address::public(value),
        };
        let raw: Vec<OsString> = raw.map(public).collect();
        let each = match arg.get_value_delimiter() {
            Some(delimiter) => {
                let names = raw.iter().map(|value| value.shown().trim().to_owned());
                let names: Vec<_> = names.collect();
                vec![names.join(&delimiter.to_string()).into()]
            }
            None => raw,
        };
        let shown: Vec<_> = each.iter().map(|value| value.shown()).collect();
        let value = match shown.join(" ") {
            _ if !takes => None,
            none if none.is_empty() => match help.split_once(COMPUTED) {
                Some((what, computed)) => {
                    let computed = computed.trim_end_matches(')').to_owned();
                    help = what.to_owned();
                    Some(computed)
                }
                None => Some(none),
            },
            value => Some(value),
        };
        let has_value = value.as_ref().is_some_and(|value| !value.is_empty());
        Value {
            applies: is_given || (takes && has_value),
            key: key.to_owned(),
            each,
            value,
            is_given,
            help,
        }
    }

    /// Shows what `--memory` comes to here, where it is that.
    fn with_memory(mut self, limit: usize) -> Value {
        if self.key == "memory" && !self.is_given {
            self.value = Some(size(limit));
        }
        self
    }

    /// The option as it stands in an address, once for each value.
    fn pairs(&self) -> Vec<OsString> {
        let key = OsStr::new(&self.key);
        let pair = |value: &OsString| joined([key, "=".as_ref(), value]);
        match &self.value {
            Some(_) => self.each.iter().map(pair).collect(),
            None => vec![key.to_owned()],
        }
    }

    /// The option as a flag, once for each value.
    fn flags(&self) -> Vec<String> {
        let key = &self.key;
        match &self.value {
            Some(_) => {
                let each = self.each.iter();
                each.map(|it| format!("--{key} {}", quoted(it))).collect()
            }
            None => vec![format!("--{key}")],
        }
    }
}

/// The canonical spelling of a side, with all options that were given for it, and what its options are.
fn side(text: &OsStr, settings: &Settings) -> Result<(OsString, Vec<Value>)> {
    let (mut name, mut values): (OsString, Vec<Value>) = (OsString::new(), Vec::new());
    let layers = scheme::layers(text)?;
    for (scheme, address) in &layers {
        let command = scheme.command();
        let has = |key: &str| {
            let mut arguments = command.get_arguments();
            arguments.any(|arg| arg.get_long() == Some(key))
        };
        let own = address.options.iter().map(|it| (&it.key, &it.value));
        let pairs = settings.pairs.iter().map(|(key, value)| (key, value));
        let words = pairs.chain(own).filter(|(key, _)| has(key));
        let words = words.map(|(key, value)| endpoint::word(key, value.as_deref()));
        let words: Vec<_> = words.collect();
        let matches = scheme.command().args_override_self(true);
        let matches = matches.try_get_matches_from(words)?;
        for arg in command.get_arguments() {
            let value = Value::of(arg, &matches);
            if !values.iter().any(|other| other.key == value.key) {
                values.push(value);
            }
        }
        // tcp4: is no other spelling of tcp:.
        name.push(match address.word.ends_with(['4', '6']) {
            true => &address.word,
            false => scheme.names[0],
        });
        name.push(if scheme.names[0] == "-" { "" } else { ":" });
    }
    let Some((core, address)) = layers.last() else {
        return Ok((name, values));
    };
    name.push(if address.is_url { "//" } else { "" });
    if address.word.to_ascii_lowercase().starts_with("abstract") {
        name.push("@");
    }
    match core.is_raw || address.is_url {
        true => name.push(&address.place),
        false => name.push(address.place.replaced(",", "\\,")),
    }
    let given = values.iter().filter(|it| it.is_given);
    let by_word = OPTIONS_BY_WORD
        .iter()
        .filter(|row| address.word.eq_ignore_ascii_case(row.0));
    let by_word = by_word.map(|row| row.1.into());
    let given: Vec<_> = given
        .flat_map(Value::pairs)
        .map(|pair| pair.replaced(",", "\\,"))
        .chain(by_word)
        .collect();
    if !given.is_empty() && !core.is_raw {
        if name == "-" {
            name = OsString::from("stdio:");
        }
        name.push(if address.is_url { "#" } else { "," });
        name.push(given.join(OsStr::new(",")));
    }
    Ok((Address::public(&name), values))
}

fn sessions(plan: &Plan) -> String {
    let [left, right] = &plan.names;
    match (&plan.left, &plan.right) {
        (Endpoint::Listen(_), Endpoint::Dial(_)) if plan.bridge.once => {
            format!(
                "One caller of {left} is served: {right} is opened for it, and its end is ours."
            )
        }
        (Endpoint::Listen(_), Endpoint::Dial(_)) => {
            format!("For each caller of {left} the right side, {right}, is opened anew.")
        }
        (Endpoint::Listen(_), Endpoint::Listen(_)) => {
            format!("Each caller of {left} is joined with the next caller of {right}.")
        }
        (Endpoint::Dial(_), Endpoint::Listen(_)) => {
            format!("{left} is opened once, and joined with the first caller of {right}.")
        }
        (Endpoint::Dial(_), Endpoint::Dial(_)) => {
            "Both are opened once, and joined until they have ended.".to_owned()
        }
    }
}

fn conversion(plan: &Plan) -> String {
    match (plan.left.facts().framing, plan.right.facts().framing) {
        (None, None) => {
            "Messages pass as they are: text stays text, binary stays binary.".to_owned()
        }
        (Some(left), Some(right)) => match left.joined_to(right) {
            [Framing::BYTES, Framing::BYTES] => "Bytes pass as they are.".to_owned(),
            [left, right] => {
                format!("{} {}", of_side("left", left), of_side("right", right))
            }
        },
        (Some(framing), None) => of_side("left", framing),
        (None, Some(framing)) => of_side("right", framing),
    }
}

/// What becomes of the bytes of a side.
fn of_side(side: &str, framing: Framing) -> String {
    let kind = match framing.kind {
        Kind::Text => "text",
        Kind::Binary => "binary",
    };
    let (read, written) = match framing.cut {
        Cut::Chunks => (
            format!("Bytes of the {side} become {kind} messages as they come"),
            "messages are written to it one behind the other".to_owned(),
        ),
        Cut::Lines(separator) => {
            let end = match separator.as_ref() {
                b"\n" => "newline".to_owned(),
                b"\0" => "NUL".to_owned(),
                other => format!("'{}'", other.escape_ascii()),
            };
            let lines = match framing.encoding {
                Encoding::Plain => "line",
                Encoding::Base64 => "line of base64",
                Encoding::Hex => "line of hex digits",
            };
            (
                format!("Each {lines} of the {side} becomes a {kind} message, without its {end}"),
                format!("a text message is written to it with a {end}, a binary one as it is"),
            )
        }
        Cut::Length(_) => (
            format!("What stands behind each length on the {side} becomes a {kind} message"),
            "each message is written to it behind its length".to_owned(),
        ),
        Cut::Lsp => (
            format!(
                "What stands behind each 'Content-Length' on the {side} becomes a text message"
            ),
            "each message is written to it behind such a header".to_owned(),
        ),
        Cut::Json => (
            format!("Each line of the {side} is an object of JSON that says what the message is"),
            "each message is written to it so".to_owned(),
        ),
    };
    format!("{read}; {written}.")
}

fn listed(title: &str, values: &[Value]) -> String {
    let rows: Vec<_> = values.iter().filter(|it| it.applies).collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{title}:\n");
    for it in rows {
        let mark = if it.is_given { '*' } else { ' ' };
        let value = it.value.as_deref().unwrap_or("yes");
        let _ = writeln!(text, " {mark} {:18} {value}", it.key);
        text += &indented(&it.help, 22);
    }
    text
}

/// A number of bytes as an option takes it, rounded down.
fn size(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{}K", bytes >> 10),
        mib => format!("{mib}M"),
    }
}

/// A word as a shell takes it.
fn quoted(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+#*".contains(c);
    let Some(text) = word.to_str() else {
        let escaped = word.as_bytes().escape_ascii().to_string();
        return format!("$'{}'", escaped.replace("\\\"", "\""));
    };
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_that_is_computed_stands_in_the_summary() {
        let mut found = Vec::new();
        for arg in crate::cli::command().get_arguments() {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let is_computed = help.contains(COMPUTED) && help.ends_with(')');
            // Nothing else in parentheses reads like a default.
            let is_other = ["(repeatable", "(HTTP Basic)", "(RFC "];
            let is_other = is_other.iter().any(|other| help.contains(other));
            let has_default = !arg.get_default_values().is_empty();
            assert!(
                is_computed || is_other || has_default || !help.ends_with(')'),
                "{help}"
            );
            assert!(!is_computed || !has_default, "{help}");
            if is_computed {
                found.extend(arg.get_long().map(str::to_owned));
            }
        }
        found.sort_unstable();
        let expected = [
            "chunk",
            "drain",
            "linger",
            "max-connections",
            "memory",
            "mode",
            "page",
            "retries",
            "stderr",
            "threads",
        ];
        assert_eq!(found, expected);
    }
}
