//! What passes as lines for people: a head with direction, time, kind and length, then rows of hexadecimal and characters.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ending::Ending;
use crate::message::Kind;
use crate::pump::Side;

/// Bytes of a row.
const ROW: usize = 16;
/// Where in a row its characters begin, behind the offset.
const CHARS: usize = 3 * ROW + 2;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes what comes from one side of one session.
pub(super) struct Dump {
    arrow: char,
    /// Who calls, behind a space; empty where there is but one.
    caller: String,
}

impl Dump {
    pub(super) fn new(side: Side, caller: &str) -> Dump {
        Dump {
            arrow: match side {
                Side::Left => '>',
                Side::Right => '<',
            },
            caller: if caller.is_empty() {
                String::new()
            } else {
                format!(" {}", caller.escape_debug())
            },
        }
    }

    /// Writes a piece of a message, of which `offset` bytes came before.
    pub(super) fn piece(
        &self,
        out: &mut Vec<u8>,
        kind: Kind,
        bytes: &[u8],
        offset: u64,
        is_last: bool,
    ) {
        let kind = match kind {
            Kind::Text => "text",
            Kind::Binary => "binary",
        };
        let more = if is_last { "" } else { ", more follows" };
        self.head(out);
        // Here and below: writing to a vector can not fail.
        let _ = writeln!(out, "{kind} {} bytes{more}", bytes.len());
        for (at, row) in (offset..).step_by(ROW).zip(bytes.chunks(ROW)) {
            push_row(out, at, row);
        }
    }

    /// Writes how the side ended.
    pub(super) fn end(&self, out: &mut Vec<u8>, ending: &Ending) {
        self.head(out);
        let _ = writeln!(out, "end: {ending}");
    }

    fn head(&self, out: &mut Vec<u8>) {
        let Dump { arrow, caller } = self;
        let _ = write!(out, "{arrow} {}{caller} ", time(SystemTime::now()));
    }
}

fn push_row(out: &mut Vec<u8>, at: u64, row: &[u8]) {
    let _ = write!(out, "{at:08x}  ");
    let mut line = [b' '; CHARS + ROW + 3];
    for (index, &byte) in row.iter().enumerate() {
        let column = 3 * index + usize::from(index >= ROW / 2);
        line[column] = DIGITS[usize::from(byte >> 4)];
        line[column + 1] = DIGITS[usize::from(byte & 15)];
        // What is no plain character may mean something to a terminal.
        let is_plain = (b' '..=b'~').contains(&byte);
        line[CHARS + 1 + index] = if is_plain { byte } else { b'.' };
    }
    line[CHARS] = b'|';
    line[CHARS + 1 + row.len()] = b'|';
    line[CHARS + 2 + row.len()] = b'\n';
    out.extend_from_slice(&line[..CHARS + 3 + row.len()]);
}

/// A time in UTC, to the microsecond (RFC 3339).
fn time(at: SystemTime) -> String {
    // A clock before 1970 is not set.
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let micros = since.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// The date so many days after 1970-01-01, in the Gregorian calendar.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    // The calendar repeats itself every 400 years.
    year += 400 * (days / 146_097);
    days %= 146_097;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rows_are_those_of_hexdump() {
        let mut out = Vec::new();
        let bytes = b"hello, w\x1b[31mor\nld\xff";
        push_row(&mut out, 0, &bytes[..16]);
        push_row(&mut out, 16, &bytes[16..]);
        assert_eq!(
            std::str::from_utf8(&out).unwrap(),
            "00000000  68 65 6c 6c 6f 2c 20 77  1b 5b 33 31 6d 6f 72 0a  |hello, w.[31mor.|\n\
             00000010  6c 64 ff                                          |ld.|\n"
        );
    }

    #[test]
    fn no_byte_of_a_peer_reaches_the_terminal_but_plain_ones() {
        let mut out = Vec::new();
        let all: Vec<u8> = (0..=255).collect();
        let dump = Dump::new(Side::Right, "127.0.0.1:1 /\u{1b}");
        dump.piece(&mut out, Kind::Binary, &all, 0, false);
        let reason = crate::ending::Close::new(4000, "\u{1b}[0m");
        dump.end(&mut out, &Ending::Close(reason));
        assert!(
            out.iter()
                .all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\n')
        );
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("< "), "{text}");
        assert!(text.contains("Z 127.0.0.1:1 /\\u{1b} binary 256 bytes, more follows\n"));
        assert!(text.contains(" end: close 4000 \"\\u{1b}[0m\"\n"), "{text}");
    }

    #[test]
    fn times_are_those_of_date() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (1_795_242_030, "2026-11-21T06:20:30.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000Z"),
        ] {
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(time(at), expected, "{seconds}");
        }
        let at = UNIX_EPOCH + Duration::from_micros(7);
        assert!(time(at).ends_with(".000007Z"));
    }
}
