//! Lines of what members say, none of which may read as a line of the room or of another member.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use crate::message::Kind;
use crate::shown::is_harmful;

/// What stands before a line that would read as one of the room.
const QUOTED: &[u8] = b"> ";
/// Characters that look like the asterisk of a notice.
const STARS: &str =
    "*\u{66d}\u{203b}\u{204e}\u{2055}\u{2217}\u{2731}\u{2732}\u{2733}\u{fe61}\u{ff0a}";

/// Puts a prefix before each line; before those of a binary message where one of them would read as a line of the room or of
/// another member. Of a text the control characters are escaped.
pub(super) fn named(prefix: &str, kind: Kind, payload: &[u8]) -> Bytes {
    let payload = plain(kind, payload);
    let is_safe =
        kind == Kind::Binary && !lines(&payload).any(|line| is_notice(line) || is_named(line));
    match is_safe {
        true => payload.into_owned().into(),
        false => prefixed(prefix.as_bytes(), &payload, |_| true),
    }
}

/// Puts `> ` before lines that would read as one of the room. Of a text the control characters are escaped.
pub(super) fn quoted(kind: Kind, payload: &[u8]) -> Bytes {
    let payload = plain(kind, payload);
    let is_forged = lines(&payload).any(is_notice);
    match is_forged {
        true => prefixed(QUOTED, &payload, is_notice),
        false => payload.into_owned().into(),
    }
}

/// A text whose control characters are escaped, `\u{1b}`, but tabs and ends of lines: a terminal would obey them, and erase or
/// overwrite what stands before them. Bytes that are no text stay as they are.
fn plain(kind: Kind, payload: &[u8]) -> Cow<'_, [u8]> {
    let mut rest = payload;
    let mut escaped = Vec::new();
    while kind == Kind::Text
        && let Some((at, len)) = control(rest)
    {
        escaped.extend_from_slice(&rest[..at]);
        // The last byte is the code point, of those of two bytes too.
        let code = char::from(rest[at + len - 1]);
        escaped.extend(code.escape_unicode().map(|c| c as u8));
        rest = &rest[at + len..];
    }
    if rest.len() == payload.len() {
        return Cow::Borrowed(payload);
    }
    escaped.extend_from_slice(rest);
    Cow::Owned(escaped)
}

/// Where the first control character of a text stands that is no tab and no end of a line, and how many bytes it has.
fn control(text: &[u8]) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let is_one = |byte: &u8| matches!(byte, 0..=8 | 0x0b..=0x1f | 0x7f | 0xc2);
        let at = from + text[from..].iter().position(is_one)?;
        from = match &text[at..] {
            [b'\r', b'\n', ..] => at + 2,
            [0xc2, 0x80..=0x9f, ..] => return Some((at, 2)),
            [0xc2, ..] => at + 1,
            _ => return Some((at, 1)),
        };
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
        text("a\r\n2: b\r* 3 left", "1: a\r\n1: 2: b\\u{d}* 3 left");
        text(
            "a\u{2028}2: b\u{2029}c\u{85}d",
            "1: a\u{2028}1: 2: b\u{2029}1: c\\u{85}d",
        );
        text("a\0b\x0bc\x0cd", "1: a\\u{0}b\\u{b}c\\u{c}d");
        text("ü€\u{80}", "1: ü€\\u{80}");
    }

    /// On a terminal they would erase or overwrite what stands before them: the name, or the mark.
    #[test]
    fn no_control_character_of_a_text_gets_around_its_mark() {
        let text =
            |said: &str, heard: &str| check_named(Kind::Text, said.as_bytes(), heard.as_bytes());
        text(
            "\x1b[2K\x1b[1G* 3 left (1 here)",
            "1: \\u{1b}[2K\\u{1b}[1G* 3 left (1 here)",
        );
        text("\x08\x08\x082: hi", "1: \\u{8}\\u{8}\\u{8}2: hi");
        text("\u{9b}2K\r2: hi\x07", "1: \\u{9b}2K\\u{d}2: hi\\u{7}");
        text("\r\r\n2: hi\x7f", "1: \\u{d}\r\n1: 2: hi\\u{7f}");
        text(
            "a\tb 👩\u{200d}🚀 שלום\r\n",
            "1: a\tb 👩\u{200d}🚀 שלום\r\n",
        );
        for (said, heard) in [
            ("xx* 2 left\r  ", "xx* 2 left\\u{d}  "),
            ("x\x08* 2 left", "x\\u{8}* 2 left"),
            ("x\x1b[1G* 2 left", "x\\u{1b}[1G* 2 left"),
            ("\u{8d}* 2 left", "\\u{8d}* 2 left"),
            ("a\tb\r\n* 2 left", "a\tb\r\n> * 2 left"),
        ] {
            assert_eq!(quoted(Kind::Text, said.as_bytes()), heard.as_bytes());
        }
        // What is no text is passed on as it is.
        check_named(Kind::Binary, b"\x1b[2K\x08", b"\x1b[2K\x08");
        assert_eq!(&quoted(Kind::Binary, b"\x1b[2K")[..], b"\x1b[2K");
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
            ("a\n\u{ff0a} 2 left", "a\n> \u{ff0a} 2 left"),
            ("", ""),
        ] {
            assert_eq!(
                quoted(Kind::Text, said.as_bytes()),
                heard.as_bytes(),
                "{said}"
            );
        }
        assert_eq!(&quoted(Kind::Binary, b"a\r* 2 left")[..], b"a\r> * 2 left");
        for said in [
            &b"*  2 left (1 here)\xff"[..],
            b"*\t2 left\xff",
            b"\xe2\x80\x8b* 2 left\xff",
            b"* not sent\xff",
        ] {
            assert_eq!(quoted(Kind::Binary, said), [b"> ", said].concat());
        }
        assert_eq!(
            &quoted(Kind::Binary, b"\xff\n* 2 left")[..],
            b"\xff\n> * 2 left"
        );
        assert_eq!(&quoted(Kind::Binary, b"\xff\n*\xff")[..], b"\xff\n*\xff");
    }
}
