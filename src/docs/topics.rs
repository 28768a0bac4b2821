//! What `wsbridge help TOPIC` says.

use std::fmt::Write;

use super::coming;
use super::cookbook::cookbook_text;
use super::endings::endings_text;
use super::endpoints::endpoints_text;
use super::examples::examples_text;
use super::signals::signals_text;
use crate::ending::EXIT_STATUSES;
use crate::scheme::SCHEMES;

/// A page of help.
pub struct Topic {
    /// The word behind `wsbridge help`.
    pub name: &'static str,
    /// What it is about, in a few words.
    pub summary: &'static str,
    /// The page: lines of at most 80 columns.
    pub text: fn() -> String,
}

/// Every page.
pub const TOPICS: &[Topic] = &[
    Topic {
        name: "addresses",
        summary: "how an endpoint is written, and all that there are",
        text: || include_str!("topics/addresses.txt").to_owned() + "\n" + &endpoints_text(),
    },
    Topic {
        name: "framing",
        summary: "lines and bytes, text and binary",
        text: || include_str!("topics/framing.txt").to_owned(),
    },
    Topic {
        name: "endings",
        summary: "how streams end, and what becomes of it on the other side",
        text: || {
            let more = include_str!("topics/endings-more.txt");
            include_str!("topics/endings.txt").to_owned() + &endings_text() + more
        },
    },
    Topic {
        name: "half-close",
        summary: "answers after the end of input, and between two bridges",
        text: || include_str!("topics/half-close.txt").to_owned(),
    },
    Topic {
        name: "exit-status",
        summary: "what each number means",
        text: exit_statuses,
    },
    Topic {
        name: "signals",
        summary: "stop, reload, list the sessions; and the log",
        text: signals_text,
    },
    Topic {
        name: "security",
        summary: "who may connect, programs, secrets, limits",
        text: || include_str!("topics/security.txt").to_owned(),
    },
    Topic {
        name: "tls",
        summary: "certificates and whom to trust",
        text: || include_str!("topics/tls.txt").to_owned(),
    },
    Topic {
        name: "hubs",
        summary: "rooms that many callers share",
        text: || include_str!("topics/hubs.txt").to_owned(),
    },
    Topic {
        name: "from-websocat",
        summary: "its command lines, and what is different",
        text: coming::from_websocat,
    },
    Topic {
        name: "from-websockify",
        summary: "the same",
        text: || coming::WEBSOCKIFY.page(),
    },
    Topic {
        name: "from-websocketd",
        summary: "the same",
        text: coming::from_websocketd,
    },
    Topic {
        name: "from-socat",
        summary: "the same, and from netcat and wscat",
        text: || coming::SOCAT.page(),
    },
    Topic {
        name: "examples",
        summary: "command lines to begin with",
        text: examples_text,
    },
    Topic {
        name: "cookbook",
        summary: "whole uses, each with its command lines",
        text: cookbook_text,
    },
];

/// The topic of a word: its name or what it begins with, a word that begins with its first, or the name of an endpoint.
pub fn topic(word: &str) -> Option<&'static Topic> {
    let first = |topic: &Topic| topic.name.split('-').next().unwrap_or_default();
    let is_endpoint = || {
        let known = SCHEMES.iter().flat_map(|scheme| scheme.names);
        known
            .copied()
            .any(|name| name == word.trim_end_matches(':'))
    };
    let mut topics = TOPICS.iter();
    let named = topics.find(|topic| topic.name.starts_with(word));
    let near = || {
        let mut topics = TOPICS.iter();
        topics.find(|topic| first(topic) != "from" && word.starts_with(first(topic)))
    };
    named.or_else(near).or_else(|| {
        let mut topics = TOPICS.iter().filter(|_| is_endpoint());
        topics.find(|topic| topic.name == "addresses")
    })
}

/// The list of topics.
pub fn overview() -> String {
    let mut text = String::from("wsbridge help TOPIC, where TOPIC is one of\n\n");
    for topic in TOPICS {
        // Writing to a string can not fail.
        let _ = writeln!(text, "  {:16}  {}", topic.name, topic.summary);
    }
    text + "\nEvery option: wsbridge --help\n"
}

fn exit_statuses() -> String {
    let mut text = String::from("EXIT STATUS\n\n");
    for (status, meaning) in EXIT_STATUSES {
        let _ = writeln!(text, "  {status:>3}  {meaning}");
    }
    text + "\nWith --exit-status command it is that of the program, with --exit-status peer\n\
            a Close of 4001 to 4255 is the status 1 to 255.\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_80_columns_wide() {
        for topic in TOPICS {
            for line in (topic.text)().lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", topic.name);
            }
        }
    }
}
