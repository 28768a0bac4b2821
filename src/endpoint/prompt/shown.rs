//! What a terminal is shown of messages: marks, colours, escaped text and rows of hex; nothing of a peer reaches it raw.

use std::fmt::Write;

use anstyle::AnsiColor;

use crate::message::Kind;
use crate::shown::is_harmful;

/// Bytes of a text that are shown at most.
pub(super) const MOST_TEXT: usize = 64 * 1024;
/// Rows of 16 bytes that are shown of a binary message at most.
const MOST_ROWS: usize = 16;

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Incoming,
    Outgoing,
    Control,
}

impl Mark {
    /// The mark and a blank.
    pub(super) fn shown(self, is_coloured: bool) -> String {
        let (mark, colour) = match self {
            Mark::Incoming => ('<', AnsiColor::Cyan),
            Mark::Outgoing => ('>', AnsiColor::Green),
            Mark::Control => ('#', AnsiColor::Yellow),
        };
        let style = colour.on_default();
        match is_coloured {
            true => format!("{style}{mark}{style:#} "),
            false => format!("{mark} "),
        }
    }
}

/// A line that tells what the program itself has to say.
pub(super) fn control(text: &str, is_coloured: bool) -> String {
    format!("{}{}\n", Mark::Control.shown(is_coloured), escaped(text))
}

/// A message that has come: its first bytes, and how many it has in all.
pub(super) fn incoming(kind: Kind, bytes: &[u8], len: usize, is_coloured: bool) -> String {
    let mut lines = Mark::Incoming.shown(is_coloured);
    let shown = match kind {
        Kind::Text => {
            let bytes = &bytes[..bytes.len().min(MOST_TEXT)];
            lines += &escaped(&String::from_utf8_lossy(bytes));
            lines.push('\n');
            bytes.len()
        }
        Kind::Binary => {
            let _ = writeln!(lines, "binary, {len} bytes");
            let bytes = &bytes[..bytes.len().min(16 * MOST_ROWS)];
            for (at, row) in bytes.chunks(16).enumerate() {
                lines += &hex_row(16 * at, row);
            }
            bytes.len()
        }
    };
    if shown < len {
        let _ = writeln!(lines, "  ... and {} bytes more", len - shown);
    }
    lines
}

/// Bytes of a stream that have come: its lines, where they are text, without the end of the last.
pub(super) fn incoming_bytes(bytes: &[u8], len: usize, is_coloured: bool) -> String {
    // A character may be cut where a read ended.
    let is_text =
        std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true);
    if !is_text || bytes.len() < len {
        return incoming(Kind::Binary, bytes, len, is_coloured);
    }
    let lines = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let lines = lines.strip_suffix('\n').unwrap_or(&lines);
    incoming(Kind::Text, lines.as_bytes(), lines.len(), is_coloured)
}

fn hex_row(at: usize, row: &[u8]) -> String {
    let hex: String = row.iter().map(|byte| format!(" {byte:02x}")).collect();
    let ascii = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '.',
    };
    let ascii: String = row.iter().map(ascii).collect();
    format!("  {at:06x} {hex:<48}  {ascii}\n")
}

/// Text without anything that a terminal would obey; further lines of it are indented.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown += "\n  ",
            '\t' => shown.push('\t'),
            '\x1b' => shown += "\\e",
            c if is_harmful(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, bytes: &[u8], expected: &str) {
        assert_eq!(incoming(kind, bytes, bytes.len(), false), expected);
    }

    #[test]
    fn nothing_of_a_peer_is_obeyed() {
        check(Kind::Text, b"hello", "< hello\n");
        check(Kind::Text, b"", "< \n");
        check(Kind::Text, "ü\ta\nb".as_bytes(), "< ü\ta\n  b\n");
        check(
            Kind::Text,
            b"\x1b[2J\x07\r\x7f",
            "< \\e[2J\\u{7}\\r\\u{7f}\n",
        );
        check(
            Kind::Text,
            "\u{9b}2J\u{202e}".as_bytes(),
            "< \\u{9b}2J\\u{202e}\n",
        );
        let row =
            "< binary, 3 bytes\n  000000  00 41 ff                                         .A.\n";
        check(Kind::Binary, b"\0A\xff", row);
    }

    #[test]
    fn bytes_of_a_stream_are_shown_as_the_lines_that_they_are() {
        let check = |bytes: &[u8], expected: &str| {
            assert_eq!(incoming_bytes(bytes, bytes.len(), false), expected);
        };
        check(b"+PONG\r\n", "< +PONG\n");
        check(b"$3\r\none\r\n", "< $3\n  one\n");
        check(b"no end", "< no end\n");
        check("\u{e9}".as_bytes(), "< \u{e9}\n");
        check(b"\x1b[2J", "< \\e[2J\n");
        assert!(incoming_bytes(b"\xff", 1, false).starts_with("< binary, 1 bytes\n"));
    }

    #[test]
    fn what_is_long_is_cut_and_counted() {
        let shown = incoming(Kind::Binary, &[7; 300], 1000, false);
        assert_eq!(shown.lines().count(), 1 + MOST_ROWS + 1);
        assert!(shown.ends_with("  ... and 744 bytes more\n"), "{shown}");
        let shown = incoming(Kind::Text, &vec![b'a'; MOST_TEXT], MOST_TEXT + 5, true);
        assert!(shown.starts_with("\x1b[36m<\x1b[0m aaa"), "{shown}");
        assert!(shown.ends_with("a\n  ... and 5 bytes more\n"));
    }
}
