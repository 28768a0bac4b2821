//! The tables as text: what help, man page and README say of endpoints, endings and exit statuses is computed here.

mod help;
mod topics;

use std::fmt::Write;

pub use help::{USAGE, short, version};
pub use topics::{TOPICS, Topic, overview};

use crate::columns::{indented, wrapped};
use crate::ending::EXIT_STATUSES;
use crate::scheme::SCHEMES;
use crate::variables::VARIABLES;

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
    (
        "wsbridge ws-l:8080 -- tr a-z A-Z",
        "a program for each caller",
    ),
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
        let _ = writeln!(
            text,
            "| `{syntax}` | {} | `{}` |",
            scheme.summary, scheme.example
        );
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

/// The sections that the man page has beside those of the options, in roff (man(7)).
pub fn man_sections() -> String {
    let mut text = String::from(".SH ADDRESSES\n");
    for scheme in SCHEMES {
        let _ = writeln!(
            text,
            ".TP\n\\fB{}\\fR\n{}.",
            roff(scheme.syntax),
            roff(scheme.summary)
        );
        if let [_, aliases @ ..] = scheme.names
            && !aliases.is_empty()
        {
            let _ = writeln!(
                text,
                "Also written {}.",
                roff(&format!("{}:", aliases.join(": ")))
            );
        }
        let keys: Vec<_> = scheme
            .command()
            .get_arguments()
            .filter_map(|arg| Some(arg.get_long()?.to_owned()))
            .collect();
        if !keys.is_empty() {
            let _ = writeln!(text, "Options: {}.", roff(&keys.join(", ")));
        }
        let _ = writeln!(text, "Example: \\fB{}\\fR", roff(scheme.example));
    }
    text += ".PP\nOptions follow the place after a comma (\\fBws\\-l:8080,path=/chat\\fR), in a URL after a \\fB#\\fR\n\
             (\\fBws://host/#ping=0\\fR). The same names are flags (\\fB\\-\\-path\\fR) and keys of \\fB\\-o left.path=/chat\\fR.\n";
    text += ".PP\nOne that takes an ENDPOINT wraps it; options stand behind the whole, and each is that of the outermost that has it\n\
             (\\fBws\\-c:tcp:localhost:80,ping=0,framing=lines\\fR: ping is that of ws\\-c, framing that of tcp).\n";
    text += ".SH EXAMPLES\n";
    for (command, what) in EXAMPLES {
        let _ = writeln!(text, ".TP\n{}\n\\fB{}\\fR", roff(what), roff(command));
    }
    text += ".SH ENDINGS\n";
    for paragraph in ENDINGS {
        let _ = writeln!(text, ".PP\n{}", roff(paragraph));
    }
    text += ".SH ENVIRONMENT\n";
    for (name, meaning) in VARIABLES {
        let _ = writeln!(text, ".TP\n\\fB{}\\fR\n{}.", roff(name), roff(meaning));
    }
    text += ".PP\nOf two spellings the one in lower case wins.\n";
    text += ".SH EXIT STATUS\n";
    for (status, meaning) in EXIT_STATUSES {
        let _ = writeln!(text, ".TP\n\\fB{status}\\fR\n{}", roff(meaning));
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
        "SIGTERM, SIGINT, SIGHUP",
        "Close 1001",
        "half-close",
        "143, 130, 129; server: 0",
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

/// How streams end, in sentences.
const ENDINGS: &[&str] = &[
    "An end is clean or it is an abort. End of file and Close 1000, 1001, 3000-4999 or without a code are clean: they are \
     passed on as a half-close to a byte stream and as a Close to a WebSocket. All else is an abort: it is passed on as a \
     reset to TCP, after all that was received has been delivered, and as a Close with an error code to a WebSocket.",
    "When stdin has ended, a WebSocket is closed after nothing has come for the linger time. When a WebSocket peer has sent \
     its Close, the other side is half-closed and may go on sending until nothing has come for the linger time; one that \
     still sends after the close timeout is cut, which is an abort.",
    "SIGINT, SIGTERM and SIGHUP close the listening sockets, send Close 1001 and wait for the sessions to end, at most for the drain \
     time. A second signal ends the program at once. Where TLS listens SIGHUP has the certificates read again instead.",
    "Under TLS a close_notify is an end, and without it the stream was cut. An abort is passed on without one.",
];

/// Text as roff takes it: minus signs that are minus signs, no line that begins with a control character.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}
