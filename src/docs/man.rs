//! The manual page wsbridge(1), out of the tables.

use clap::{Arg, Command};

use super::endings::ENDING_ROWS;
use super::examples::EXAMPLES;
use super::help::USAGE;
use super::roff::Page;
use super::signals::{ALL_SIGNALS, SIGNALS};
use super::websocat;
use crate::ending::EXIT_STATUSES;
use crate::scheme::{ELSEWHERE, SCHEMES};
use crate::variables::VARIABLES;

/// The headings of options in the order of the page; what stands under another one comes behind them.
const ORDER: &[&str] = &[
    "",
    "Messages",
    "Endings",
    "Limits",
    "WebSocket",
    "WebSocket server",
    "WebSocket client",
    "Listening",
    "Connecting",
    "Reconnection",
    "TLS client",
    "TLS server",
    "Programs",
    "Rooms",
    "Sharing",
    "Files",
    "Serial ports",
    "At a terminal",
    "Watching",
    "Messages of the program",
];

/// Options that have their value from the environment where they are not given.
const FROM_ENVIRONMENT: &[(&str, &str)] = &[
    ("proxy", "http_proxy, https_proxy, all_proxy"),
    ("no-proxy", "no_proxy"),
    ("user", "WSBRIDGE_PASSWORD (the password)"),
    ("netrc", "NETRC, HOME"),
];

const DESCRIPTION: &[&str] = &[
    "wsbridge joins two endpoints, whatever they are, by one pump that goes both ways, so that nothing is lost, nothing is \
     altered, and every stream tells truthfully how it ended. A left side that listens serves many callers, and for each of \
     them the right side is opened anew. With one address the other side is stdin and stdout.",
    "Standard output carries payload and nothing else. What the program has to say is on standard error: a line when it \
     listens, and one for each session that has ended.",
];

/// Files that are read or written without being named on the command line.
const FILES: &[(&str, &str)] = &[
    ("~/.netrc", "Users and passwords of hosts, for --netrc."),
    (
        "$XDG_STATE_HOME/wsbridge/history, ~/.local/state/wsbridge/history",
        "What was typed at the prompt, readable by nobody else; --no-history keeps none.",
    ),
];

const COMPATIBILITY: &[&str] = &[
    "The words of websocat 1.x for endpoints are understood, each where ADDRESSES has \"Also written\". Of its flags these \
     mean here what they mean there: -t, -b, -n, -u, -U, -1, -0, -v, -q, -k, -H, -s, --exec-args (which is --), -e (a \
     program finds WEBSOCAT_CLIENT and WEBSOCAT_URI too), --protocol.",
];

/// The page.
pub(super) fn man(command: &Command) -> String {
    let mut page = Page::new(
        "wsbridge",
        1,
        "User Commands",
        "join any two endpoints: WebSocket, TCP, Unix sockets, programs, files",
    );
    page.section("SYNOPSIS");
    page.lines(USAGE.lines().map(str::trim_start));
    page.section("EXAMPLES");
    for (line, what) in EXAMPLES {
        page.paragraph(&format!("{}:", capital(what)));
        page.lines([*line]);
    }
    page.paragraph("Whole uses, with what the other programs need, are in wsbridge-cookbook(7).");
    page.section("DESCRIPTION");
    for words in DESCRIPTION {
        page.paragraph(words);
    }
    page.subsection("Framing: lines and bytes, text and binary");
    page.prose(include_str!("topics/framing.txt"));
    page.subsection("Rooms that many callers share");
    page.prose(include_str!("topics/hubs.txt"));
    page.section("ADDRESSES");
    page.prose(include_str!("topics/addresses.txt"));
    addresses(&mut page);
    page.section("OPTIONS");
    options(&mut page, command);
    page.section("ENDINGS");
    endings(&mut page);
    page.subsection("Half-close through a WebSocket");
    page.prose(include_str!("topics/half-close.txt"));
    page.section("SIGNALS");
    for (name, words) in SIGNALS {
        page.tagged(name, words);
    }
    page.paragraph(ALL_SIGNALS);
    page.subsection("The log");
    page.prose(include_str!("topics/log.txt"));
    page.section("EXIT STATUS");
    for (status, meaning) in EXIT_STATUSES {
        page.tagged(&status.to_string(), &format!("{}.", capital(meaning)));
    }
    page.paragraph(
        "With --exit-status command it is that of the program, with --exit-status peer a Close of 4001 to 4255 is the \
         status 1 to 255.",
    );
    page.section("ENVIRONMENT");
    for (name, meaning) in VARIABLES {
        page.tagged(name, &format!("{meaning}."));
    }
    page.paragraph("Of two spellings the one in lower case wins.");
    page.section("FILES");
    for (name, words) in FILES {
        page.tagged(name, words);
    }
    page.section("SECURITY");
    page.prose(include_str!("topics/security.txt"));
    page.subsection("TLS");
    page.prose(include_str!("topics/tls.txt"));
    page.section("COMPATIBILITY");
    for words in COMPATIBILITY {
        page.paragraph(words);
    }
    for words in websocat::paragraphs() {
        page.paragraph(&words);
    }
    page.paragraph("Flags that are not had, and what serves instead:");
    for (name, _, instead) in websocat::MISSING {
        page.tagged(&format!("--{name}"), &format!("{}.", capital(instead)));
    }
    page.paragraph("Words of others that name no endpoint here, and what serves instead:");
    for (word, instead) in ELSEWHERE {
        page.tagged(&format!("{word}:"), &format!("{}.", capital(instead)));
    }
    page.section("SEE ALSO");
    page.paragraph(
        "wsbridge-cookbook(7), socat(1), curl(1), websocketd(1), ssh_config(5), netrc(5)",
    );
    page.paragraph("RFC 6455 (the WebSocket protocol)");
    page.finish()
}

fn addresses(page: &mut Page) {
    for scheme in SCHEMES {
        page.tagged(
            &scheme.syntax.replace(" | ", ", "),
            &format!("{}.", scheme.summary),
        );
        if let [_, aliases @ ..] = scheme.names
            && !aliases.is_empty()
        {
            page.more(&format!("Also written {}:.", aliases.join(":, ")));
        }
        page.more(&format!("Example: {}", scheme.example));
    }
}

fn options(page: &mut Page, command: &Command) {
    let heading = |arg: &Arg| arg.get_help_heading().unwrap_or_default().to_owned();
    let shown = || {
        let all = command.get_arguments();
        all.filter(|arg| !arg.is_positional() && !arg.is_hide_set() && arg.get_help().is_some())
    };
    let mut titles: Vec<String> = ORDER.iter().map(|&title| title.to_owned()).collect();
    let alone = keys_alone(command);
    for arg in shown().chain(&alone) {
        if !titles.contains(&heading(arg)) {
            titles.push(heading(arg));
        }
    }
    page.paragraph("A DURATION is written 500ms, 10s or 5m, BYTES 4096, 64K or 16M.");
    for title in titles {
        let mut of_title = shown().filter(|arg| heading(arg) == title).peekable();
        if of_title.peek().is_some() && !title.is_empty() {
            page.subsection(&title);
        }
        for arg in of_title {
            let short = arg.get_short().map(|it| format!("-{it}"));
            let long = arg.get_long().map(|it| format!("--{it}"));
            let names: Vec<_> = short.into_iter().chain(long).collect();
            option(page, arg, &names, &value_of(arg));
        }
        for arg in alone.iter().filter(|arg| heading(arg) == title) {
            let long = arg.get_long().unwrap_or_default().to_owned();
            option(page, arg, &[long], &format!("={}", value_of(arg)));
        }
    }
}

/// Options of endpoints that another one's flag has the name of: they are keys behind an address and of `--option` alone, and
/// are named as these are written.
fn keys_alone(command: &Command) -> Vec<Arg> {
    let mut found: Vec<Arg> = Vec::new();
    for scheme in SCHEMES {
        for arg in scheme.command().get_arguments() {
            let is_flag = command
                .get_arguments()
                .any(|flag| flag.get_id() == arg.get_id());
            if !is_flag && !found.iter().any(|it| it.get_id() == arg.get_id()) {
                found.push(arg.clone());
            }
        }
    }
    found
}

fn option(page: &mut Page, arg: &Arg, names: &[String], value: &str) {
    let long = arg.get_long().unwrap_or_default();
    let help = arg.get_long_help().or(arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let mut paragraphs = help.split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let mut facts = vec![format!("{}.", first.trim_end_matches('.'))];
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|it| it.to_string_lossy())
        .collect();
    if arg.get_action().takes_values() && !defaults.is_empty() {
        facts.push(format!("The default is {}.", defaults.join(",")));
    }
    page.option(names, value, &facts.join(" "));
    for words in paragraphs {
        page.more(words);
    }
    for value in possible(arg) {
        page.more(&match value.get_help() {
            Some(help) => format!("{}: {help}.", value.get_name()),
            None => value.get_name().to_owned(),
        });
    }
    if let Some((_, variables)) = FROM_ENVIRONMENT.iter().find(|row| row.0 == long) {
        page.more(&format!("Environment: {variables}."));
    }
    if let Some(takers) = takers(arg) {
        page.more(&format!("Taken by {takers}."));
    }
}

/// The values of an option that has so many and no others.
fn possible(arg: &Arg) -> Vec<clap::builder::PossibleValue> {
    let is_listed = arg.get_action().takes_values();
    let values = arg.get_possible_values();
    values
        .into_iter()
        .filter(|value| is_listed && !value.is_hide_set())
        .collect()
}

fn value_of(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return String::new();
    }
    let names = arg.get_value_names().unwrap_or_default();
    let name = names.first().map_or("VALUE", |name| name.as_str());
    let is_optional = arg
        .get_num_args()
        .is_some_and(|count| count.min_values() == 0);
    if is_optional {
        format!("[={name}]")
    } else {
        name.to_owned()
    }
}

/// The endpoints that have an option; `None` where it is one of the program.
fn takers(wanted: &Arg) -> Option<String> {
    let (with, without): (Vec<_>, Vec<_>) = SCHEMES.iter().partition(|scheme| {
        let command = scheme.command();
        command
            .get_arguments()
            .any(|arg| arg.get_id() == wanted.get_id())
    });
    let names = |schemes: &[&&crate::endpoint::Scheme]| {
        let names = schemes.iter().map(|scheme| match scheme.names[0] {
            "-" => "-".to_owned(),
            name => format!("{name}:"),
        });
        names.collect::<Vec<_>>().join(" ")
    };
    match (with.len(), without.len()) {
        (0, _) => None,
        (_, 0) => Some("every endpoint".to_owned()),
        (some, others) if some > others => Some(format!("every endpoint but {}", names(&without))),
        _ => Some(names(&with)),
    }
}

fn endings(page: &mut Page) {
    let text = include_str!("topics/endings.txt");
    let (_, first) = text.split_once('\n').unwrap_or_default();
    let sentences = first.lines().filter(|line| !line.starts_with(' '));
    page.paragraph(&sentences.collect::<Vec<_>>().join(" "));
    for [ended, websocket, tcp, status] in ENDING_ROWS {
        page.tagged(
            &capital(ended),
            &format!(
                "A WebSocket is sent {websocket}; TCP sees a {tcp}; the exit status is {status}."
            ),
        );
    }
    page.prose(include_str!("topics/endings-more.txt"));
}

/// Words with a capital at their begin, as a sentence has it.
fn capital(words: &str) -> String {
    let mut rest = words.chars();
    let first = rest.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + rest.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_say_who_has_them() {
        let of = |name: &'static str| takers(&Arg::new(name));
        assert_eq!(of("serve-nobody"), None);
        assert_eq!(of("tee").as_deref(), Some("every endpoint"));
        assert_eq!(of("baud").as_deref(), Some("serial:"));
        let framing = of("framing").unwrap();
        assert!(framing.starts_with("tcp: ") && !framing.contains(" ws:"));
    }
}
