//! What can be asked for of a framing, and what an endpoint's own becomes by it.

use std::num::NonZeroU32;
use std::str::FromStr;

use clap::Args;

use super::{CHUNK, Cut, Encoding, Framing, Prefix, Separator};
use crate::address::parse_size;
use crate::message::Kind;

/// Options of every endpoint that speaks bytes.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
#[command(next_help_heading = "Messages")]
#[allow(clippy::struct_excessive_bools)]
pub struct Options {
    /// Send lines of text as text messages
    ///
    /// This is what stdin and stdout do anyway; TCP and Unix sockets send bytes as binary messages without it.
    #[arg(long, short, conflicts_with = "binary")]
    pub text: bool,
    /// Send bytes as they come, as binary messages
    #[arg(long, short)]
    pub binary: bool,
    /// Cut bytes into messages: chunks, lines, null, length, lsp or json
    ///
    /// With chunks each read becomes messages of at most --chunk. With lines each line does, without its newline. With null a NUL ends each
    /// message instead of a newline, so that a message may have newlines in it. With length each message stands behind its
    /// length, a number of 4 bytes, big-endian; length:1, length:2, length:4 and length:8 say how many bytes, length:4:le that
    /// it is little-endian. With lsp it stands behind the headers of language servers ('Content-Length: 5' and an empty line)
    /// and is text. With json each line is an object: {"kind":"text","text":"hello"}, {"kind":"binary","base64":"AP8="}, and
    /// at the end {"kind":"close","code":1000,"reason":""}. A message whose rest never came has "cut":true. With --reconnect
    /// {"kind":"gap","messages":1,"bytes":5} stands where another connection begins and so much of what was sent may be lost.
    /// Two sides that both speak bytes are joined as they are, unless their framings were asked for and differ.
    #[arg(long, value_name = "HOW")]
    pub framing: Option<Cut>,
    /// End each message with NUL: --framing null
    #[arg(long, short = '0', conflicts_with = "framing")]
    pub null: bool,
    /// End each message with this text instead of a newline
    ///
    /// 1 to 16 bytes; \n, \r, \t, \0, \\ and \xFF stand for what they stand for in C. One that ends as it begins, such as
    /// '\n\n', is refused: a newline before it could be part of the message or of the separator. Example: --separator '\r\n'
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["framing", "null"])]
    pub separator: Option<Separator>,
    /// Write binary messages as lines of base64; with -b, read such lines
    #[arg(long, conflicts_with = "hex")]
    pub base64: bool,
    /// Write binary messages as lines of hex digits; with -b, read such lines
    #[arg(long)]
    pub hex: bool,
    /// Write the time before each message that is written as a line
    ///
    /// UTC, as 2026-01-31T12:00:00.000Z; with --framing json it is the key "time".
    #[arg(long)]
    pub timestamp: bool,
    /// Make JSON-RPC 2.0 requests of lines: a method and its parameters
    ///
    /// 'add 1, 2' calls the method add with the parameters 1 and 2; ids count from 1. Parameters are JSON values with commas,
    /// one object or array, or words.
    #[arg(long, conflicts_with_all = ["binary", "base64", "hex"])]
    pub jsonrpc: bool,
    /// Refuse a message that has the end of a line in it, where messages become lines
    ///
    /// A caller cannot make two lines of one message then: it is closed with 1003, and nothing of the message is written that
    /// did not come in an earlier fragment. Without it such a message is written as it is, and -v tells of the first one.
    #[arg(long)]
    pub strict_lines: bool,
    /// Take no message over this many bytes where one must be whole to be framed
    ///
    /// It is refused with Close 1009, never cut: what is sent to length or lsp, and what is read as lines of json, base64 or
    /// hex. With --base64, --hex and --jsonrpc a message of up to this many bytes is written when it is whole, and left out when
    /// the peer cuts it; a longer one is written as it comes. Whatever can be passed on as it comes has no limit. In hub: and
    /// share: it is 1M. All sessions together hold no more than --memory.
    #[arg(long, value_name = "BYTES", default_value = "16M", value_parser = parse_size)]
    pub max_message: usize,
    #[command(flatten)]
    chunk: ChunkOptions,
}

/// How long the messages and frames are that are sent.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
#[command(next_help_heading = "Messages")]
pub struct ChunkOptions {
    /// Send bytes as messages of at most this size, and a longer message in fragments (default: 32K, or that of the other side)
    ///
    /// Most servers take no message over a size of their own, and close with 1009: 8 KiB is Tomcat's, 15 KiB that of some
    /// devices, 32 and 64 KiB are those of many. What comes from TCP, a Unix socket or with -b becomes messages of at most
    /// this; what must stay one, such as a line, a datagram, -1 or a message of another WebSocket, goes out as fragments of at
    /// most this and is as long as it is. At least 4 bytes. Example: --chunk 8K
    #[arg(long, short = 'B', value_name = "SIZE", value_parser = parse_chunk)]
    chunk: Option<NonZeroU32>,
}

impl ChunkOptions {
    /// The size that was asked for.
    pub fn asked(self) -> Option<NonZeroU32> {
        self.chunk
    }

    /// The size that was asked for, else the usual one.
    pub fn size(self) -> usize {
        self.chunk.map_or(CHUNK, |size| size.get() as usize)
    }
}

/// Reads a size that has room for any character of UTF-8.
fn parse_chunk(text: &str) -> Result<NonZeroU32, String> {
    let size = parse_size(text)?;
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    let enough = NonZeroU32::new(size).filter(|size| size.get() as usize >= char::MAX.len_utf8());
    enough.ok_or_else(|| "is too small: a character of a text has up to 4 bytes".to_owned())
}

impl Options {
    /// Puts what was asked for over an endpoint's own framing.
    ///
    /// # Errors
    /// What does not go together.
    pub fn over(&self, own: Framing) -> Result<Framing, String> {
        let (text, binary) = (self.text || self.jsonrpc, self.binary);
        let framing = match (text, binary) {
            (true, _) => Framing::LINES,
            (_, true) => Framing::BYTES,
            _ => own,
        };
        let asked = match (self.null, self.separator) {
            (true, _) => Some(Cut::NULL),
            (_, Some(separator)) => Some(Cut::Lines(separator)),
            _ => self.framing,
        };
        let encoding = match (self.base64, self.hex) {
            (true, _) => Encoding::Base64,
            (_, true) => Encoding::Hex,
            _ => Encoding::Plain,
        };
        let cut = match asked.unwrap_or(framing.cut) {
            // An encoding is of lines.
            Cut::Chunks if asked.is_none() && encoding != Encoding::Plain => Cut::LINES,
            cut => cut,
        };
        let is_lines = matches!(cut, Cut::Lines(_));
        for (is_asked, flag, is_fit, what) in [
            (encoding == Encoding::Base64, "base64", is_lines, "lines"),
            (encoding == Encoding::Hex, "hex", is_lines, "lines"),
            (self.jsonrpc, "jsonrpc", is_lines, "lines"),
            (self.strict_lines, "strict-lines", is_lines, "lines"),
            (
                self.timestamp,
                "timestamp",
                is_lines || cut == Cut::Json,
                "lines or json",
            ),
            (binary, "binary", cut != Cut::Lsp, "anything but lsp"),
        ] {
            if is_asked && !is_fit {
                let advice = "-t or --framing lines makes lines";
                let advice = if what == "lines" || flag == "timestamp" {
                    advice
                } else {
                    "lsp is text"
                };
                return Err(format!("--{flag} is for {what}; {advice}"));
            }
        }
        let is_asked = text || binary || asked.is_some() || encoding != Encoding::Plain;
        Ok(Framing {
            cut,
            kind: if cut == Cut::Lsp {
                Kind::Text
            } else {
                framing.kind
            },
            encoding,
            is_stamped: self.timestamp,
            makes_requests: self.jsonrpc,
            is_strict: self.strict_lines,
            is_one: false,
            chunk: self.chunk.asked(),
            limit: self.max_message,
            is_asked: is_asked || self.timestamp,
        })
    }
}

/// The names that `--framing` takes.
pub const CUTS: &[(&str, Cut)] = &[
    ("chunks", Cut::Chunks),
    ("lines", Cut::LINES),
    ("null", Cut::NULL),
    (
        "length",
        Cut::Length(Prefix {
            size: 4,
            is_little: false,
        }),
    ),
    ("lsp", Cut::Lsp),
    ("json", Cut::Json),
];

impl FromStr for Cut {
    type Err = String;

    fn from_str(name: &str) -> Result<Cut, String> {
        if let Some(rest) = name.strip_prefix("length:") {
            return rest.parse().map(Cut::Length);
        }
        let found = CUTS.iter().find(|row| row.0 == name);
        found.map(|row| row.1).ok_or_else(|| {
            let names: Vec<_> = CUTS.iter().map(|row| row.0).collect();
            format!("is none of {}", names.join(", "))
        })
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Prefix, String> {
        let (size, order) = match text.split_once(':') {
            Some((size, order)) => (size, Some(order)),
            None if matches!(text, "le" | "be") => ("4", Some(text)),
            None => (text, None),
        };
        let prefix = |size| match order {
            None | Some("be") => Some(Prefix {
                size,
                is_little: false,
            }),
            Some("le") => Some(Prefix {
                size,
                is_little: true,
            }),
            Some(_) => None,
        };
        let size = size
            .parse()
            .ok()
            .filter(|size| matches!(size, 1 | 2 | 4 | 8));
        size.and_then(prefix)
            .ok_or_else(|| "is no length; length:1, length:2, length:4 and length:8 are, with :le where it is little-endian".to_owned())
    }
}

impl FromStr for Separator {
    type Err = String;

    fn from_str(text: &str) -> Result<Separator, String> {
        let wrong = || {
            "is no separator, which has 1 to 16 bytes; \\n, \\r, \\t, \\0, \\\\ and \\xFF stand for one"
                .to_owned()
        };
        let mut bytes = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '\\' {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            bytes.push(match chars.next() {
                Some('n') => b'\n',
                Some('r') => b'\r',
                Some('t') => b'\t',
                Some('0') => b'\0',
                Some('\\') => b'\\',
                Some('x') => {
                    let digits: String = chars.by_ref().take(2).collect();
                    let digits = (digits.len() == 2 && !digits.starts_with('+')).then_some(digits);
                    digits
                        .and_then(|digits| u8::from_str_radix(&digits, 16).ok())
                        .ok_or_else(wrong)?
                }
                _ => return Err(wrong()),
            });
        }
        if Separator::overlaps_itself(&bytes) {
            return Err(
                "ends as it begins, so that a message before it has no certain end".to_owned(),
            );
        }
        Separator::new(&bytes).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framing_that_there_is_not_is_told_what_there_is() {
        assert_eq!("null".parse(), Ok(Cut::NULL));
        let error = "nul".parse::<Cut>().unwrap_err();
        assert_eq!(error, "is none of chunks, lines, null, length, lsp, json");
    }

    #[test]
    fn lengths_have_a_size_and_an_order() {
        let prefix = |size, is_little| Ok(Cut::Length(Prefix { size, is_little }));
        assert_eq!("length".parse(), prefix(4, false));
        assert_eq!("length:1".parse(), prefix(1, false));
        assert_eq!("length:2:le".parse(), prefix(2, true));
        assert_eq!("length:le".parse(), prefix(4, true));
        assert_eq!("length:8:be".parse(), prefix(8, false));
        for wrong in [
            "length:",
            "length:3",
            "length:4:xe",
            "length:4:",
            "length:16",
        ] {
            assert!(wrong.parse::<Cut>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn separators_have_escapes_and_a_limit() {
        let bytes = |text: &str| text.parse().map(|it: Separator| it.as_ref().to_vec());
        assert_eq!(bytes("->"), Ok(b"->".to_vec()));
        assert_eq!(bytes(r"\r\n\0\t\\\xfF"), Ok(b"\r\n\0\t\\\xff".to_vec()));
        assert_eq!(bytes("ü"), Ok("ü".as_bytes().to_vec()));
        for wrong in [r"\n\n", "aa", "aba", r"\r\n\r\n"] {
            let error = wrong.parse::<Separator>().unwrap_err();
            assert!(error.starts_with("ends as it begins"), "{wrong}");
        }
        for wrong in ["", "\\", "\\x1", "\\x+1", "\\q", "0123456789abcdefg"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[track_caller]
    fn check(change: impl Fn(&mut Options), own: Framing, expected: Result<(Cut, Kind), &str>) {
        let mut options = Options {
            text: false,
            binary: false,
            framing: None,
            null: false,
            separator: None,
            base64: false,
            hex: false,
            timestamp: false,
            jsonrpc: false,
            strict_lines: false,
            max_message: 1,
            chunk: ChunkOptions { chunk: None },
        };
        change(&mut options);
        let framing = options.over(own);
        let framing = framing
            .as_ref()
            .map(|it| (it.cut, it.kind))
            .map_err(String::as_str);
        assert_eq!(framing, expected);
    }

    #[test]
    fn what_was_asked_for_goes_over_the_endpoints_own() {
        use Kind::{Binary, Text};
        let (bytes, lines) = (Framing::BYTES, Framing::LINES);
        check(|_| {}, bytes, Ok((Cut::Chunks, Binary)));
        check(|it| it.text = true, bytes, Ok((Cut::LINES, Text)));
        check(|it| it.binary = true, lines, Ok((Cut::Chunks, Binary)));
        check(|it| it.null = true, lines, Ok((Cut::NULL, Text)));
        check(|it| it.hex = true, bytes, Ok((Cut::LINES, Binary)));
        check(|it| it.base64 = true, lines, Ok((Cut::LINES, Text)));
        check(|it| it.jsonrpc = true, bytes, Ok((Cut::LINES, Text)));
        check(
            |it| it.framing = Some(Cut::Lsp),
            bytes,
            Ok((Cut::Lsp, Text)),
        );
        check(|it| it.timestamp = true, lines, Ok((Cut::LINES, Text)));
        let advice = "--timestamp is for lines or json; -t or --framing lines makes lines";
        check(|it| it.timestamp = true, bytes, Err(advice));
        check(
            |it| (it.hex, it.framing) = (true, Some(Cut::Chunks)),
            lines,
            Err("--hex is for lines; -t or --framing lines makes lines"),
        );
        check(|it| it.strict_lines = true, lines, Ok((Cut::LINES, Text)));
        check(
            |it| it.strict_lines = true,
            bytes,
            Err("--strict-lines is for lines; -t or --framing lines makes lines"),
        );
        check(
            |it| (it.binary, it.framing) = (true, Some(Cut::Lsp)),
            lines,
            Err("--binary is for anything but lsp; lsp is text"),
        );
    }
}
