//! Text of others as it is shown: without anything that a terminal obeys or that makes it read as something else.

use std::fmt::{self, Write};

/// Characters of a text that are shown at most where it is to be short.
const SHORT: usize = 200;

/// Whether a character is not shown as it is: control characters, what changes the direction of text (UAX 9), what separates
/// lines, and what cannot be seen.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A text to show: harmful characters are escaped, `\u{202e}`.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    text: &'a str,
    limit: usize,
    /// Whether a newline stays one: the text has lines of our own.
    keeps_lines: bool,
    /// Whether blanks are escaped: what follows may be another field.
    is_word: bool,
}

impl<'a> Shown<'a> {
    /// Shows a text in one line.
    pub fn line(text: &'a str) -> Shown<'a> {
        Shown {
            text,
            limit: usize::MAX,
            keeps_lines: false,
            is_word: false,
        }
    }

    /// Shows the beginning of a text in one line.
    pub fn short(text: &'a str) -> Shown<'a> {
        Shown {
            limit: SHORT,
            ..Shown::line(text)
        }
    }

    /// Shows the beginning of a text as one word, as the value of a field.
    pub fn word(text: &'a str) -> Shown<'a> {
        Shown {
            is_word: true,
            ..Shown::short(text)
        }
    }

    /// Shows a text that may have lines.
    pub fn lines(text: &'a str) -> Shown<'a> {
        Shown {
            keeps_lines: true,
            ..Shown::line(text)
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.text.chars();
        for c in chars.by_ref().take(self.limit) {
            match c {
                '\n' if self.keeps_lines => f.write_char(c)?,
                '\t' if !self.is_word => f.write_char(c)?,
                c if is_harmful(c) || (self.is_word && c.is_whitespace()) => {
                    write!(f, "{}", c.escape_unicode())?;
                }
                c => f.write_char(c)?,
            }
        }
        match chars.next() {
            Some(_) => f.write_str("..."),
            None => Ok(()),
        }
    }
}

/// Escapes what is harmful in an object of JSON that is one line: inside its texts as JSON does, `\u202e`.
pub fn json_line(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            c if c == '\n' || !is_harmful(c) => shown.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(shown, "\\u{unit:04x}");
                }
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_harmful_is_escaped_and_text_of_any_language_is_not() {
        for (text, shown) in [
            ("plain 'text' \\ \"quoted\"", "plain 'text' \\ \"quoted\""),
            ("ü שלום مرحبا 日本 👩", "ü שלום مرحبا 日本 👩"),
            ("a\x1b[31mb\x07\x7f", "a\\u{1b}[31mb\\u{7}\\u{7f}"),
            ("\u{9b}2J\u{85}", "\\u{9b}2J\\u{85}"),
            ("a\r\nb\tc", "a\\u{d}\\u{a}b\tc"),
            ("\u{202e}gpj.exe\u{2066}", "\\u{202e}gpj.exe\\u{2066}"),
            ("\u{61c}\u{200f}", "\\u{61c}\\u{200f}"),
            ("a\u{2028}b\u{2029}c", "a\\u{2028}b\\u{2029}c"),
        ] {
            assert_eq!(Shown::line(text).to_string(), shown);
        }
        assert_eq!(Shown::lines("a\nb\rc").to_string(), "a\nb\\u{d}c");
        assert_eq!(Shown::word("a b").to_string(), "a\\u{20}b");
        let long = "x".repeat(201);
        assert_eq!(
            Shown::short(&long).to_string(),
            format!("{}...", &long[1..])
        );
    }

    #[test]
    fn a_line_of_json_stays_one() {
        let line = "{\"a\":\"\u{202e}x\u{e0001}\u{7f}ü\"}\n";
        let shown = json_line(line);
        assert_eq!(shown, "{\"a\":\"\\u202ex\\udb40\\udc01\\u007fü\"}\n");
        let read = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&shown), read(line));
    }
}
