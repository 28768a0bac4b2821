//! Lines of what members say, none of which may read as a line of the room or of another member.

use bytes::{BufMut, Bytes, BytesMut};

use crate::message::Kind;
use crate::shown::is_harmful;

/// What stands before a line that would read as one of the room.
const QUOTED: &[u8] = b"> ";
/// Characters that look like the asterisk of a notice.
const STARS: &str =
    "*\u{66d}\u{203b}\u{204e}\u{2055}\u{2217}\u{2731}\u{2732}\u{2733}\u{fe61}\u{ff0a}";

/// Puts a prefix before each line; before those of a binary message where one of them would read as a line of the room or of
/// another member.
pub(super) fn named(prefix: &str, kind: Kind, payload: &[u8]) -> Bytes {
    let is_safe =
        kind == Kind::Binary && !lines(payload).any(|line| is_notice(line) || is_named(line));
    match is_safe {
        true => Bytes::copy_from_slice(payload),
        false => prefixed(prefix.as_bytes(), payload, |_| true),
    }
}

/// Puts `> ` before lines that would read as one of the room.
pub(super) fn quoted(payload: &[u8]) -> Bytes {
    match lines(payload).any(is_notice) {
        true => prefixed(QUOTED, payload, is_notice),
        false => Bytes::copy_from_slice(payload),
    }
}

fn prefixed(prefix: &[u8], payload: &[u8], wants: impl Fn(&[u8]) -> bool) -> Bytes {
    let mut bytes = BytesMut::with_capacity(payload.len() + 2 * prefix.len());
    for (at, line) in lines(payload).enumerate() {
        // Behind the last end of a line nothing is said.
        let is_said = at == 0 || !line.is_empty();
        if is_said && wants(line) {
            bytes.put_slice(prefix);
        }
        bytes.put_slice(line);
    }
    bytes.freeze()
}

/// Lines with what ends them; the last one, which may be empty, has no end.
fn lines(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let end = line_end(rest);
        is_over = end.is_none();
        let (line, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        Some(line)
    })
}

/// Where the first line ends, behind all that a terminal, a page or a program may take for the end of a line.
fn line_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let next = rest.iter().position(|byte| {
            matches!(
                byte,
                b'\n' | b'\r' | 0x0b | 0x0c | 0x1c..=0x1e | 0 | 0xc2 | 0xe2
            )
        })?;
        let len = match &rest[next..] {
            [b'\r', b'\n', ..] | [0xc2, 0x85, ..] => 2,
            [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
            [0xc2 | 0xe2, ..] => 0,
            _ => 1,
        };
        if len > 0 {
            return Some(at + next + len);
        }
        at += next + 1;
    }
}

/// Whether a line would read as one of the room: `* 3 joined (4 here)`. Of bytes that are no text only what has the words of one.
fn is_notice(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let mut seen = text.chars().filter(|c| is_seen(*c)).peekable();
    if !seen.next().is_some_and(|c| STARS.contains(c)) {
        return false;
    }
    let is_text = std::str::from_utf8(line).is_ok();
    let is_number = seen.peek().is_some_and(|c| c.is_numeric());
    is_text || is_number || seen.take(7).eq("notsent".chars())
}

/// Whether a line would read as one of a member: `3: hello`.
fn is_named(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let mut rest = text.chars().filter(|c| is_seen(*c)).peekable();
    let is_number = rest.peek().is_some_and(|c| c.is_numeric());
    let behind = rest.find(|c| !c.is_numeric());
    is_number && behind.is_some_and(|c| matches!(c, ':' | '\u{ff1a}' | '\u{fe55}' | '\u{2236}'))
}

/// Whether a character is seen by a reader.
fn is_seen(c: char) -> bool {
    !c.is_whitespace() && !is_harmful(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_named(kind: Kind, said: &[u8], heard: &[u8]) {
        let found = named("1: ", kind, said);
        assert_eq!(found, heard, "{}", String::from_utf8_lossy(&found));
    }

    #[test]
    fn each_line_has_its_members_name() {
        let text =
            |said: &str, heard: &str| check_named(Kind::Text, said.as_bytes(), heard.as_bytes());
        text("", "1: ");
        text("hello", "1: hello");
        text("hello\n", "1: hello\n");
        text("a\n\nb", "1: a\n1: \n1: b");
        text("a\r\n2: b\r* 3 left", "1: a\r\n1: 2: b\r1: * 3 left");
        text(
            "a\u{2028}2: b\u{2029}c\u{85}d",
            "1: a\u{2028}1: 2: b\u{2029}1: c\u{85}1: d",
        );
        text("a\0b\x0bc\x0cd", "1: a\x001: b\x0b1: c\x0c1: d");
        text("ü€\u{80}", "1: ü€\u{80}");
    }

    #[test]
    fn binary_messages_are_named_only_where_they_would_read_as_others() {
        for same in [
            &b""[..],
            b"raw",
            b"\0\xff",
            b"a\n\xffb: c",
            b"12:34",
            b"\xff* x",
        ] {
            let is_number = same.starts_with(b"12");
            let heard = if is_number {
                b"1: 12:34".as_slice()
            } else {
                same
            };
            check_named(Kind::Binary, same, heard);
        }
        check_named(Kind::Binary, b"2: hi", b"1: 2: hi");
        check_named(Kind::Binary, b"2:hi\xff", b"1: 2:hi\xff");
        check_named(Kind::Binary, b"2 : hi\xff", b"1: 2 : hi\xff");
        check_named(Kind::Binary, b" 2 : hi", b"1:  2 : hi");
        check_named(
            Kind::Binary,
            "\u{ff12}\u{ff1a} hi".as_bytes(),
            "1: \u{ff12}\u{ff1a} hi".as_bytes(),
        );
        check_named(Kind::Binary, b"\xff\n2: hi", b"1: \xff\n1: 2: hi");
        check_named(Kind::Binary, b"\xff\n* 2 left", b"1: \xff\n1: * 2 left");
        check_named(Kind::Binary, b"* 2 left", b"1: * 2 left");
    }

    #[test]
    fn without_names_no_line_reads_as_one_of_the_room() {
        for (said, heard) in [
            ("hello", "hello"),
            ("2 * 3", "2 * 3"),
            ("* 2 left (1 here)", "> * 2 left (1 here)"),
            (" \u{200b}* 2 left", ">  \u{200b}* 2 left"),
            ("a\n* 2 left\nb", "a\n> * 2 left\nb"),
            ("a\r\u{ff0a} 2 left", "a\r> \u{ff0a} 2 left"),
            ("", ""),
        ] {
            assert_eq!(quoted(said.as_bytes()), heard.as_bytes(), "{said}");
        }
        for said in [
            &b"*  2 left (1 here)\xff"[..],
            b"*\t2 left\xff",
            b"\xe2\x80\x8b* 2 left\xff",
            b"* not sent\xff",
        ] {
            assert_eq!(quoted(said), [b"> ", said].concat());
        }
        assert_eq!(&quoted(b"\xff\n* 2 left")[..], b"\xff\n> * 2 left");
        assert_eq!(&quoted(b"\xff\n*\xff")[..], b"\xff\n*\xff");
    }
}
