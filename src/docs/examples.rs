//! The command lines to begin with, as text.

use std::fmt::Write;

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

/// The examples, one a line.
pub(super) fn examples_text() -> String {
    let mut text = String::from("Examples:\n");
    let width = EXAMPLES.iter().map(|row| row.0.len()).max().unwrap_or(0);
    for (command, what) in EXAMPLES {
        let _ = writeln!(text, "  {command:width$}  {what}");
    }
    text
}
