//! Messages behind the headers of the Language Server Protocol (its base protocol, 3.17): `Content-Length`.

use std::task::Context;

use bytes::BytesMut;
use memchr::memchr;

use super::collect::{Added, Whole};
use super::piece::{Pieces, Rest};
use super::{Framing, Joiner, Splitter};
use crate::buffer::Outbox;
use crate::ending::{Ending, Loss, Shortage};
use crate::memory::Memory;
use crate::message::{Fragment, Kind};
use crate::peer::Event;

/// Bytes of the headers of one message, all together.
const HEADERS: usize = 4096;

/// Cuts by `Content-Length`. A message that is longer than the buffer goes out in fragments; nothing is collected.
pub(super) struct Headed {
    pieces: Pieces,
    state: State,
}

enum State {
    /// Between messages or within headers: the length, once told, and the bytes of headers so far.
    Headers(Option<u64>, usize),
    Message(Rest),
}

impl Headed {
    pub(super) fn new() -> Headed {
        Headed {
            pieces: Pieces::new(Kind::Text),
            state: State::Headers(None, 0),
        }
    }

    /// Reads header lines, as far as they have come, up to the message.
    fn read_headers(&mut self, bytes: &mut BytesMut) -> Result<(), &'static str> {
        while let State::Headers(length, before) = &mut self.state {
            let Some(at) = memchr(b'\n', &bytes[..bytes.len().min(HEADERS - *before)]) else {
                if bytes.len() >= HEADERS - *before {
                    return Err("lsp headers of over 4096 bytes");
                }
                return Ok(());
            };
            let line = bytes[..at].strip_suffix(b"\r").unwrap_or(&bytes[..at]);
            match (line, &*length) {
                ([], Some(length)) => self.state = State::Message(Rest(*length)),
                ([], None) => return Err("lsp headers without Content-Length"),
                (line, _) => {
                    if let Some(told) = header(line)?
                        && length.replace(told).is_some()
                    {
                        return Err("two lsp Content-Length of one message");
                    }
                    *before += at + 1;
                }
            }
            self.pieces.skip(bytes, at + 1);
        }
        Ok(())
    }
}

/// Reads a header line; returns the length where that is what it tells.
fn header(line: &[u8]) -> Result<Option<u64>, &'static str> {
    let line = str::from_utf8(line)
        .ok()
        .and_then(|line| line.split_once(':'));
    let Some((name, value)) = line else {
        return Err("this is no lsp header; wanted is 'Content-Length: N'");
    };
    let value = value.trim();
    if name.eq_ignore_ascii_case("content-type") {
        let value = value.to_ascii_lowercase();
        let charset = value.split_once("charset=").map_or("utf-8", |it| it.1);
        // The protocol's older spelling is allowed.
        if !matches!(charset.trim_matches('"'), "utf-8" | "utf8") {
            return Err("an lsp charset other than utf-8");
        }
    }
    if !name.eq_ignore_ascii_case("content-length") {
        return Ok(None);
    }
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let length = value.parse().ok().filter(|_| is_number);
    length
        .map(Some)
        .ok_or("an lsp Content-Length that is no number")
}

impl Splitter for Headed {
    fn next(&mut self, bytes: &mut BytesMut, full: bool) -> Option<Event> {
        if let Err(what) = self.read_headers(bytes) {
            let offset = self.pieces.offset;
            return Some(Event::End(Ending::Malformed { what, offset }));
        }
        let State::Message(rest) = &mut self.state else {
            return None;
        };
        let fragment = rest.take(&mut self.pieces, bytes, full)?;
        if !self.pieces.within {
            self.state = State::Headers(None, 0);
        }
        Some(fragment.map_or_else(Event::End, Event::Fragment))
    }

    fn finish(&mut self, bytes: &mut BytesMut) -> Option<Event> {
        if let Some(event) = self.next(bytes, true) {
            return Some(event);
        }
        let is_between = matches!(self.state, State::Headers(None, 0)) && bytes.is_empty();
        (!is_between).then_some(Event::End(Ending::Lost(Loss::Short)))
    }
}

/// Writes the headers of each message before it; one that comes in fragments is collected.
pub(super) struct Headers {
    whole: Whole,
}

impl Headers {
    pub(super) fn new(framing: Framing, memory: &Memory) -> Headers {
        Headers {
            whole: Whole::new(framing.limit, memory),
        }
    }
}

impl Joiner for Headers {
    fn finish(&mut self, _why: &Ending, _out: &mut Outbox) {
        self.whole.leave_out();
    }

    fn refill(&mut self, out: &mut Outbox) -> Result<bool, Ending> {
        self.whole.refill(out)
    }

    fn shortage(&self, cx: &mut Context<'_>) -> Option<Shortage> {
        self.whole.shortage(cx)
    }

    fn push(&mut self, fragment: Fragment, out: &mut Outbox) -> Result<(), Ending> {
        if fragment.kind != Kind::Text {
            return Err(Ending::WrongKind { takes: "text" });
        }
        let (len, payload) = match self.whole.collect(fragment)? {
            None => return Ok(()),
            Some(Added::AtOnce(payload)) => (payload.len(), Some(payload)),
            Some(Added::Collected(len)) => (len, None),
        };
        out.copy(format!("Content-Length: {len}\r\n\r\n").as_bytes());
        if let Some(payload) = payload {
            out.push(payload);
        }
        Ok(())
    }
}
