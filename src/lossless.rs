//! Words of the command line as text, without losing a byte: names of files need not be UTF-8.
//!
//! Addresses and options are text. A byte that is no UTF-8 stands in it as a character of its own, of a private range of
//! Unicode that no font and no standard uses; a character of that very range stands for its bytes, so that every word comes
//! back as it was. Where a name of a file is used it becomes bytes again, elsewhere such a word is refused.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The character that stands for byte 0: those for 0x80 to 0xFF end the last plane.
const BASE: u32 = 0x10_FF00;

/// A word as text.
pub fn text(word: &OsStr) -> String {
    let mut text = String::new();
    for chunk in word.as_bytes().utf8_chunks() {
        for char in chunk.valid().chars() {
            match is_byte(char) {
                true => text.extend(char.encode_utf8(&mut [0; 4]).bytes().filter_map(stand_in)),
                false => text.push(char),
            }
        }
        text.extend(chunk.invalid().iter().copied().filter_map(stand_in));
    }
    text
}

/// The bytes of a word.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for char in text.chars() {
        match u8::try_from(u32::from(char).wrapping_sub(BASE)) {
            Ok(byte) if is_byte(char) => bytes.push(byte),
            _ => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// The word that a text stands for.
pub fn word(text: &str) -> OsString {
    OsString::from_vec(bytes(text))
}

/// The path that a text stands for.
pub fn path(text: &str) -> PathBuf {
    PathBuf::from(word(text))
}

/// Whether a word is text, all of it.
pub fn is_text(text: &str) -> bool {
    !text.contains(is_byte)
}

/// Whether a character stands for a byte that is no UTF-8.
pub fn is_byte(char: char) -> bool {
    u32::from(char) >= BASE + 0x80
}

fn stand_in(byte: u8) -> Option<char> {
    char::from_u32(BASE + u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_comes_back_as_it_was() {
        for word in [
            &b"plain"[..],
            "ü \u{10FFFF}\u{10FF80}\u{10FF7F}".as_bytes(),
            b"/tmp/\xff\xfe.pem",
            b"\x80",
            b"\xc3",
            b"\xf4\x8f\xbe",
            b"",
        ] {
            let text = text(OsStr::from_bytes(word));
            assert_eq!(bytes(&text), word, "{text:?}");
        }
        assert!(is_text("ü\u{10FF7F}"));
        assert!(!is_text(&text(OsStr::from_bytes(b"a\xff"))));
    }
}
