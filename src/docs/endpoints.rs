//! The table of endpoints, as text.

use std::fmt::Write;

use crate::columns::indented;
use crate::scheme::SCHEMES;

/// The endpoints, each with what it does in the line below.
pub(super) fn endpoints_text() -> String {
    let mut text = String::new();
    for scheme in SCHEMES {
        // Writing to a string can not fail.
        let _ = writeln!(text, "  {}", scheme.syntax);
        text += &indented(scheme.summary, 6);
    }
    text
}

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
