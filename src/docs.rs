//! The tables as text: what help, man page and README say of endpoints, endings and exit statuses is computed here.

pub mod coming;
mod complete;
mod cookbook;
mod help;
mod man;
mod roff;
mod signals;
mod topics;
pub mod websocat;

use std::fmt::Write;

use clap::Command;

pub use cookbook::{COOKBOOK, Recipe, cookbook, cookbook_markdown};
pub use help::{USAGE, short, version};
pub use topics::{TOPICS, Topic, overview, topic};

use crate::columns::{indented, wrapped};
use crate::ending::EXIT_STATUSES;
use crate::scheme::SCHEMES;

/// A file that is written out of the tables, committed, and printed by `--generate`.
pub struct Generated {
    /// Its name behind `--generate`.
    pub name: &'static str,
    /// Where it is kept.
    pub path: &'static str,
    /// Writes it; the command has all options.
    pub text: fn(&Command) -> String,
}

/// Every such file.
pub const GENERATED: &[Generated] = &[
    Generated {
        name: "man",
        path: "man/wsbridge.1",
        text: man::man,
    },
    Generated {
        name: "man-cookbook",
        path: "man/wsbridge-cookbook.7",
        text: |_| cookbook(),
    },
    Generated {
        name: "complete-bash",
        path: "completions/wsbridge.bash",
        text: complete::bash,
    },
    Generated {
        name: "complete-zsh",
        path: "completions/_wsbridge",
        text: complete::zsh,
    },
    Generated {
        name: "complete-fish",
        path: "completions/wsbridge.fish",
        text: complete::fish,
    },
];

/// What is shown behind the options of the long help: endpoints and examples.
pub fn after_help() -> String {
    format!("Endpoints:\n{}\n{}", endpoints_text(), examples_text())
}

/// The endpoints, each with what it does in the line below.
fn endpoints_text() -> String {
    let mut text = String::new();
    for scheme in SCHEMES {
        // Writing to a string can not fail.
        let _ = writeln!(text, "  {}", scheme.syntax);
        text += &indented(scheme.summary, 6);
    }
    text
}

/// The examples, one a line.
fn examples_text() -> String {
    let mut text = String::from("Examples:\n");
    let width = EXAMPLES.iter().map(|row| row.0.len()).max().unwrap_or(0);
    for (command, what) in EXAMPLES {
        let _ = writeln!(text, "  {command:width$}  {what}");
    }
    text
}

/// Command lines to begin with, and what each does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "wsbridge ws://localhost:8080",
        "type lines, see the answers",
    ),
    (
        "echo PING | wsbridge ws://localhost:8080",
        "one question, its answer",
    ),
    (
        "wsbridge ws-l:8080 tcp:localhost:6379",
        "a browser talks to Redis",
    ),
    ("wsbridge ws-l:8080 -- bc", "a calculator for each caller"),
    ("wsbridge ws-l:8080 hub:", "a chat for all who call"),
    ("wsbridge ws-l:8080 echo:", "a WebSocket echo server"),
    (
        "wsbridge tcp-l:2222 ws://example.com/ssh",
        "a TCP port through a WebSocket",
    ),
    (
        "wsbridge ws-l:8080 unix:/run/app.sock",
        "a service behind a Unix socket",
    ),
];

/// The endpoints as a table of the README.
pub fn endpoints_markdown() -> String {
    let mut text = String::from("| endpoint | what it does | example |\n|---|---|---|\n");
    for scheme in SCHEMES {
        let syntax = scheme.syntax.replace(" | ", "`, `");
        let [syntax, summary, example] =
            [&syntax, scheme.summary, scheme.example].map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(text, "| `{syntax}` | {summary} | `{example}` |");
    }
    text
}

/// The exit statuses as a table of the README.
pub fn exit_statuses_markdown() -> String {
    let mut text = String::from("| status | meaning |\n|---|---|\n");
    for (status, meaning) in EXIT_STATUSES {
        let _ = writeln!(text, "| {status} | {meaning} |");
    }
    text
}

/// What each ending becomes: how one side ended, what a WebSocket on the other side is sent, what TCP sees, exit status.
const ENDING_ROWS: &[[&str; 4]] = &[
    [
        "end of file, Close 1000 or without code",
        "Close 1000",
        "half-close",
        "0",
    ],
    ["Close 1001", "Close 1001", "half-close", "0"],
    [
        "Close 3000-4999",
        "the same code and reason",
        "half-close",
        "111",
    ],
    [
        "Close 1002-1014",
        "the same code and reason",
        "reset",
        "110",
    ],
    [
        "no Close: FIN, reset, no answer to a ping",
        "Close 1011",
        "reset",
        "56",
    ],
    [
        "a message that the other side can not take",
        "Close 1009 (too long), 1003 (wrong kind) to who sent it",
        "reset",
        "63, 112",
    ],
    [
        "the largest holder when --memory is used up",
        "Close 1009 (a message), 1013 (a queue)",
        "reset",
        "27",
    ],
    [
        "bytes that do not follow their framing",
        "Close 1007",
        "reset",
        "112",
    ],
    [
        "a breach of RFC 6455",
        "Close 1002 or 1007 to the offender, 1011 across",
        "reset",
        "112",
    ],
    [
        "SIGTERM, SIGINT, a hangup",
        "Close 1001",
        "half-close",
        "143, 130, 129; server: 0",
    ],
    [
        "what is still under way at half of --drain",
        "Close 1011",
        "reset",
        "143, 130, 129; server too",
    ],
    [
        "a deadline (--idle, --close-timeout)",
        "Close 1001 or 1011, the reason names it",
        "reset",
        "28",
    ],
    ["program exit 0", "Close 1000", "half-close", "0"],
    [
        "program exit N",
        "Close 4000+N 'exit N'",
        "half-close",
        "1; or N",
    ],
    [
        "program killed by signal S",
        "Close 4128+S 'signal NAME'",
        "reset",
        "1; or 128+S",
    ],
    [
        "target unreachable",
        "HTTP 502 or 504; with --accept-first Close 1014",
        "reset",
        "7, 6, 28",
    ],
];

/// The endings as a table of the README.
pub fn endings_markdown() -> String {
    let mut text = String::from(
        "| one side ends with | a WebSocket on the other side is sent | a TCP connection sees | exit status |\n|---|---|---|---|\n",
    );
    for row in ENDING_ROWS {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

/// The endings as columns of text.
fn endings_text() -> String {
    const WIDTHS: [usize; 4] = [29, 22, 10, 12];
    let mut text = String::new();
    for row in ENDING_ROWS {
        let cells: Vec<_> = row
            .iter()
            .zip(WIDTHS)
            .map(|(cell, width)| wrapped(cell, width))
            .collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        for at in 0..height {
            let mut line = String::from(" ");
            for (cell, width) in cells.iter().zip(WIDTHS) {
                let _ = write!(line, " {:width$}", cell.get(at).map_or("", String::as_str));
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text
}
