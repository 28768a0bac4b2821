//! What is written to a terminal as payload: text as it is, and what a terminal would obey escaped.

use std::fmt::Write;

use crate::shown::is_harmful;

/// Bytes of payload that are taken at once.
const PIECE: usize = 64 * 1024;

/// Payload on its way to a terminal.
#[derive(Default)]
pub(super) struct Screen {
    /// The first bytes of a character whose rest has not come.
    begun: Vec<u8>,
    /// Whether the last character is a carriage return, which is obeyed before a newline alone.
    has_return: bool,
    /// What is to be written, and how much of it has been.
    shown: String,
    written: usize,
}

impl Screen {
    /// Takes bytes of payload; returns how many.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        let bytes = &bytes[..bytes.len().min(PIECE)];
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let chunks = all.utf8_chunks();
        let mut rest: &[u8] = &[];
        for chunk in chunks {
            self.show(rest);
            chunk.valid().chars().for_each(|c| self.show_char(c));
            rest = chunk.invalid();
        }
        // At the end it may be the beginning of a character.
        match std::str::from_utf8(rest) {
            Err(error) if error.error_len().is_none() => self.begun = rest.to_vec(),
            _ => self.show(rest),
        }
        bytes.len()
    }

    /// Gives up waiting for the rest of a character.
    pub(super) fn finish(&mut self) {
        self.show_return(false);
        let begun = std::mem::take(&mut self.begun);
        self.show(&begun);
    }

    /// What is to be written next; empty where nothing is.
    pub(super) fn pending(&self) -> &[u8] {
        &self.shown.as_bytes()[self.written..]
    }

    /// Notes that so many bytes of it have been written.
    pub(super) fn advance(&mut self, count: usize) {
        self.written += count;
        if self.pending().is_empty() {
            self.shown.clear();
            self.written = 0;
        }
    }

    /// Shows the carriage return that came last, where one did.
    fn show_return(&mut self, is_end_of_line: bool) {
        if std::mem::take(&mut self.has_return) {
            match is_end_of_line {
                true => self.shown.push('\r'),
                false => self.shown.extend('\r'.escape_unicode()),
            }
        }
    }

    fn show_char(&mut self, c: char) {
        self.show_return(c == '\n');
        match c {
            '\r' => self.has_return = true,
            '\n' | '\t' => self.shown.push(c),
            c if is_harmful(c) => self.shown.extend(c.escape_unicode()),
            c => self.shown.push(c),
        }
    }

    /// Shows bytes that are no text.
    fn show(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.show_return(false);
        }
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(self.shown, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&[u8]], expected: &str) {
        let (mut screen, mut seen) = (Screen::default(), Vec::new());
        for piece in pieces {
            assert_eq!(screen.take(piece), piece.len());
            // A terminal may take little at a time.
            while let [first, ..] = screen.pending() {
                seen.push(*first);
                screen.advance(1);
            }
        }
        screen.finish();
        seen.extend(screen.pending());
        assert_eq!(String::from_utf8(seen).unwrap(), expected);
    }

    #[test]
    fn text_is_shown_and_nothing_is_obeyed() {
        check(&["a\tü\r\n日本\n".as_bytes()], "a\tü\r\n日本\n");
        check(&[b"\x1b[2J\x07\x08"], "\\u{1b}[2J\\u{7}\\u{8}");
        check(
            &["\u{9b}2J\u{202e}x\u{2028}".as_bytes()],
            "\\u{9b}2J\\u{202e}x\\u{2028}",
        );
        check(&[b"\x9b2J\xff", b"a"], "\\x9b2J\\xffa");
        // It would be written over.
        check(&[b"secret\r* me\r\n"], "secret\\u{d}* me\r\n");
        check(&[b"a\r", b"\nb\r"], "a\r\nb\\u{d}");
        check(&[b"a\r", b"\xff"], "a\\u{d}\\xff");
    }

    #[test]
    fn a_character_may_come_in_pieces() {
        for text in ["ü", "日", "👩", "\u{202e}"] {
            let pieces: Vec<_> = text.as_bytes().chunks(1).collect();
            let expected = if text == "\u{202e}" {
                "\\u{202e}"
            } else {
                text
            };
            check(&pieces, expected);
        }
        check(&[b"\xe2\x80", b"x"], "\\xe2\\x80x");
        check(&[b"\xe2\x80"], "\\xe2\\x80");
    }
}
