//! What passes as lines for people: a head with direction, time, kind and length, then rows of hexadecimal and characters.

use std::io::Write;
use std::time::SystemTime;

use humantime::format_rfc3339_micros;

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
        let _ = write!(
            out,
            "{arrow} {}{caller} ",
            format_rfc3339_micros(SystemTime::now())
        );
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
