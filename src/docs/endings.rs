//! The tables of endings and exit statuses, as text.

use std::fmt::Write;

use crate::columns::wrapped;
use crate::ending::EXIT_STATUSES;

/// What each ending becomes: how one side ended, what a WebSocket on the other side is sent, what TCP sees, exit status.
pub(super) const ENDING_ROWS: &[[&str; 4]] = &[
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

/// The exit statuses as a table of the README.
pub fn exit_statuses_markdown() -> String {
    let mut text = String::from("| status | meaning |\n|---|---|\n");
    for (status, meaning) in EXIT_STATUSES {
        let _ = writeln!(text, "| {status} | {meaning} |");
    }
    text
}

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
pub(super) fn endings_text() -> String {
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
