//! Words of the command line, which need not be UTF-8: how they are cut, and how they are shown.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

/// Stands for a byte that is not UTF-8: SUB is the control character for what cannot be shown.
const SUBSTITUTE: char = '\u{1a}';

/// What a word can do beside what the standard library gives it.
pub(crate) trait Word {
    /// Returns a text of the same length, in which a SUB (U+001A) stands for each byte that is not UTF-8: what is found in it
    /// stands at the same place of the word.
    fn outline(&self) -> Cow<'_, str>;

    /// Returns a part of the word, whose ends were found in its outline.
    fn part(&self, range: Range<usize>) -> &OsStr;

    /// Returns what stands behind a prefix, where the word has it.
    fn without_prefix(&self, prefix: &str) -> Option<&OsStr>;

    /// Cuts the word at the first of a character of ASCII, which is in neither part.
    fn cut_at(&self, ascii: char) -> Option<(&OsStr, &OsStr)>;

    /// Returns the word with one text in place of another.
    fn replaced(&self, from: &str, to: &str) -> OsString;

    /// Whether the word has a byte.
    fn has_byte(&self, byte: u8) -> bool;

    /// Returns each character, or byte that is not UTF-8, with its offset.
    fn characters(&self) -> Vec<(usize, Result<char, u8>)>;

    /// Returns the word as text to show: a byte that is not UTF-8 becomes `\xff`.
    fn shown(&self) -> Cow<'_, str>;

    /// Returns the word as [`shown`](Word::shown) does, with control characters and quotes escaped as Rust does.
    fn escaped(&self) -> String;
}

impl Word for OsStr {
    fn outline(&self) -> Cow<'_, str> {
        if let Some(text) = self.to_str() {
            return Cow::Borrowed(text);
        }
        let characters = self.characters().into_iter();
        Cow::Owned(characters.map(|(_, it)| it.unwrap_or(SUBSTITUTE)).collect())
    }

    fn part(&self, range: Range<usize>) -> &OsStr {
        OsStr::from_bytes(&self.as_bytes()[range])
    }

    fn without_prefix(&self, prefix: &str) -> Option<&OsStr> {
        let rest = self.as_bytes().strip_prefix(prefix.as_bytes());
        rest.map(OsStr::from_bytes)
    }

    fn cut_at(&self, ascii: char) -> Option<(&OsStr, &OsStr)> {
        let at = self.outline().find(ascii)?;
        Some((self.part(0..at), self.part(at + 1..self.len())))
    }

    fn replaced(&self, from: &str, to: &str) -> OsString {
        let (mut word, mut begin) = (OsString::new(), 0);
        for (at, found) in self.outline().match_indices(from) {
            word.push(self.part(begin..at));
            word.push(to);
            begin = at + found.len();
        }
        word.push(self.part(begin..self.len()));
        word
    }

    fn has_byte(&self, byte: u8) -> bool {
        self.as_bytes().contains(&byte)
    }

    fn characters(&self) -> Vec<(usize, Result<char, u8>)> {
        let (mut characters, mut at) = (Vec::new(), 0);
        for chunk in self.as_bytes().utf8_chunks() {
            let valid = chunk.valid().char_indices();
            characters.extend(valid.map(|(index, char)| (at + index, Ok(char))));
            at += chunk.valid().len();
            let invalid = chunk.invalid().iter().enumerate();
            characters.extend(invalid.map(|(index, byte)| (at + index, Err(*byte))));
            at += chunk.invalid().len();
        }
        characters
    }

    fn shown(&self) -> Cow<'_, str> {
        match self.to_str() {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(spelled(self, str::to_owned)),
        }
    }

    fn escaped(&self) -> String {
        spelled(self, |text| text.escape_debug().to_string())
    }
}

fn spelled(word: &OsStr, spell: impl Fn(&str) -> String) -> String {
    let mut spelled = String::new();
    for chunk in word.as_bytes().utf8_chunks() {
        spelled += &spell(chunk.valid());
        for byte in chunk.invalid() {
            spelled += &format!("\\x{byte:02x}");
        }
    }
    spelled
}

/// Joins parts to one word.
pub(crate) fn joined<const N: usize>(parts: [&OsStr; N]) -> OsString {
    let mut word = OsString::new();
    parts.into_iter().for_each(|part| word.push(part));
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_in_the_outline_stands_there_in_the_word() {
        for (word, outline, shown) in [
            (&b"plain"[..], "plain", "plain"),
            ("ü\u{10FFFF}".as_bytes(), "ü\u{10FFFF}", "ü\u{10FFFF}"),
            (b"/\xff\xfe.pem", "/\u{1a}\u{1a}.pem", "/\\xff\\xfe.pem"),
            (b"\xf4\x8f\xbe,", "\u{1a}\u{1a}\u{1a},", "\\xf4\\x8f\\xbe,"),
            (b"", "", ""),
        ] {
            let word = OsStr::from_bytes(word);
            assert_eq!(word.outline(), outline);
            assert_eq!(word.outline().len(), word.len());
            assert_eq!(word.shown(), shown);
        }
        let word = OsStr::from_bytes(b"e\xcc\x81'\n\xff");
        assert_eq!(word.escaped(), "e\u{301}\\'\\n\\xff");
        let word = OsStr::from_bytes(b"a\xff=b\xfe=c");
        let (key, value) = word.cut_at('=').unwrap();
        assert_eq!(key.as_bytes(), b"a\xff");
        assert_eq!(value.as_bytes(), b"b\xfe=c");
        assert_eq!(
            word.without_prefix("a").unwrap().as_bytes(),
            b"\xff=b\xfe=c"
        );
        assert_eq!(word.without_prefix("b"), None);
        assert_eq!(word.replaced("=", "\\=").as_bytes(), b"a\xff\\=b\xfe\\=c");
    }
}
