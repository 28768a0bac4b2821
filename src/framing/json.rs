//! One JSON object a line for each message, with its kind, one for each gap and one for the Close.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;
use serde::Deserialize;

use super::collect::Reader;
use super::encoded::Encoder;
use super::{Encoding, Framing, Joiner, time};
use crate::buffer::Outbox;
use crate::ending::{Close, Ending};
use crate::message::{Fragment, Kind};
use crate::peer::Gap;

/// Reads lines of JSON.
pub(super) struct Objects;

/// What a line may say. Keys that are not known are left alone: "time" is ours.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    base64: Option<Cow<'a, str>>,
    code: Option<u16>,
    reason: Option<String>,
    #[serde(default)]
    cut: bool,
}

impl Reader for Objects {
    fn read(&mut self, line: &[u8], offset: u64) -> Result<Option<Fragment>, Ending> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let wrong = |what| Err(Ending::Malformed { what, offset });
        let object: Object<'_> = match serde_json::from_slice(line) {
            Ok(object) => object,
            Err(error) => {
                let what = match error.classify() {
                    serde_json::error::Category::Data => "a JSON object that is no message",
                    _ => "a line that is no JSON object",
                };
                // A line has no newline in it: the column is the byte, the first is 1.
                let offset = offset + (error.column() as u64).saturating_sub(1);
                return Err(Ending::Malformed { what, offset });
            }
        };
        let fin = !object.cut;
        let message = |kind, payload: Vec<u8>| {
            let payload = BytesMut::from(Bytes::from(payload));
            Ok(Some(Fragment { kind, fin, payload }))
        };
        match (object.kind.as_deref(), object.text, object.base64) {
            (None | Some("text"), Some(text), None) => {
                message(Kind::Text, text.into_owned().into_bytes())
            }
            (None | Some("binary"), None, Some(base64)) => match BASE64.decode(base64.as_bytes()) {
                Ok(payload) => message(Kind::Binary, payload),
                Err(_) => wrong("\"base64\" that is no base64 (RFC 4648 4)"),
            },
            (Some("close"), None, None) => close(object.code, object.reason.unwrap_or_default())
                .map_or_else(wrong, |close| Err(Ending::Close(close))),
            // What a program said apart (`--stderr json`) is told as it stands here.
            (Some("stderr"), Some(_), None) | (Some("stderr"), None, Some(_)) => {
                Ok(Some(Fragment::whole(Kind::Text, line)))
            }
            // Of a stream that was recorded: there is nothing to send.
            (Some("gap"), None, None) => Ok(None),
            (Some("text"), ..) => wrong("a text message has \"text\" and no \"base64\""),
            (Some("binary"), ..) => wrong("a binary message has \"base64\" and no \"text\""),
            (Some("close"), ..) => wrong("a close has \"code\" and \"reason\" only"),
            _ => wrong("a message has \"kind\": \"text\", \"binary\" or \"close\""),
        }
    }
}

/// A Close that may be sent (RFC 6455 7.4).
fn close(code: Option<u16>, reason: String) -> Result<Close, &'static str> {
    match code {
        None if reason.is_empty() => Ok(Close::empty()),
        None => Err("a close with a reason has a code"),
        Some(1000..=1003 | 1007..=1014 | 3000..=4999) if reason.len() > 123 => {
            Err("a reason has at most 123 bytes")
        }
        Some(code @ (1000..=1003 | 1007..=1014 | 3000..=4999)) => Ok(Close {
            code: Some(code),
            reason,
        }),
        Some(_) => Err("a close code that may not be sent"),
    }
}

/// Writes a line of JSON for each message as its fragments come; nothing is collected.
pub(super) struct Lines {
    is_stamped: bool,
    base64: Option<Encoder>,
    /// The beginning of a character of a text: up to 3 bytes that are no JSON unless the rest comes.
    begun: BytesMut,
    within: bool,
    is_finished: bool,
}

impl Lines {
    pub(super) fn new(framing: Framing) -> Lines {
        Lines {
            is_stamped: framing.is_stamped,
            base64: Encoder::new(Encoding::Base64),
            begun: BytesMut::new(),
            within: false,
            is_finished: false,
        }
    }

    fn begin(&self, kind: &str, out: &mut Outbox) {
        out.copy(b"{");
        if self.is_stamped {
            out.copy(format!("\"time\":\"{}\",", time::now()).as_bytes());
        }
        out.copy(format!("\"kind\":\"{kind}\"").as_bytes());
    }

    /// Writes the characters of a text that are whole.
    fn push_text(&mut self, mut text: BytesMut, out: &mut Outbox) {
        if !self.begun.is_empty() {
            self.begun.extend_from_slice(&text);
            text = std::mem::take(&mut self.begun);
        }
        self.begun = text.split_off(text.len() - partial_len(&text));
        escape(&text, out);
    }
}

/// How many bytes at the end of a text are a character of which the rest has yet to come: at most 3.
fn partial_len(text: &[u8]) -> usize {
    let last = text.iter().rev().take(3);
    let lead = last.enumerate().find(|(_, byte)| **byte & 0xC0 != 0x80);
    let Some((after, lead)) = lead else {
        return 0;
    };
    let wanted = match lead {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0.. => 4,
        _ => 1,
    };
    if after + 1 < wanted { after + 1 } else { 0 }
}

impl Joiner for Lines {
    fn push(&mut self, fragment: Fragment, out: &mut Outbox) -> Result<(), Ending> {
        let Fragment { kind, fin, payload } = fragment;
        if !self.within {
            let (name, key) = match kind {
                Kind::Text => ("text", ",\"text\":\""),
                Kind::Binary => ("binary", ",\"base64\":\""),
            };
            self.begin(name, out);
            out.copy(key.as_bytes());
        }
        self.within = !fin;
        match (kind, &mut self.base64) {
            (Kind::Binary, Some(base64)) => base64.push(&payload, fin, out),
            _ => self.push_text(payload, out),
        }
        if fin {
            out.copy(b"\"}\n");
        }
        Ok(())
    }

    fn gap(&mut self, gap: Gap, out: &mut Outbox) {
        let Gap {
            messages, bytes, ..
        } = gap;
        self.begin("gap", out);
        out.copy(format!(",\"messages\":{messages},\"bytes\":{bytes}}}\n").as_bytes());
    }

    fn finish(&mut self, why: &Ending, out: &mut Outbox) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        // Nothing of the message came before the end.
        if !self.within && matches!(why, Ending::Cut { .. }) {
            self.begin("text", out);
            out.copy(b",\"text\":\"\",\"cut\":true}\n");
        }
        if self.within {
            if let Some(base64) = &mut self.base64 {
                base64.push(b"", true, out);
            }
            out.copy(b"\",\"cut\":true}\n");
        }
        let close = match why {
            Ending::Close(close) => close.clone(),
            Ending::Cut { close, .. } => Close::clone(close),
            other => other.close_across(),
        };
        self.begin("close", out);
        if let Some(code) = close.code {
            out.copy(format!(",\"code\":{code},\"reason\":\"").as_bytes());
            escape(close.reason.as_bytes(), out);
            out.copy(b"\"");
        }
        out.copy(b"}\n");
    }
}

/// Writes a piece of text as it stands in a JSON string (RFC 8259 7). It may begin and end within a character.
fn escape(mut text: &[u8], out: &mut Outbox) {
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
    while let Some(at) = text.iter().position(is_special) {
        out.copy(&text[..at]);
        match text[at] {
            b'\n' => out.copy(b"\\n"),
            b'\r' => out.copy(b"\\r"),
            b'\t' => out.copy(b"\\t"),
            byte @ (b'"' | b'\\') => out.copy(&[b'\\', byte]),
            byte => out.copy(format!("\\u{byte:04x}").as_bytes()),
        }
        text = &text[at + 1..];
    }
    out.copy(text);
}
