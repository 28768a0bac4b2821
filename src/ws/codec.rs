//! RFC 6455 frames without I/O: judges each header before its payload and hands out payload as it arrives.
//!
//! Nothing here allocates for a length that a header claims.

use bytes::{Buf, BytesMut};

use super::mask::{self, Key};
use crate::ending::{Close, Violation};
use crate::message::{Batch, Fragment, Head, Kind, SHORT};
use crate::peer::Spent;
use crate::utf8::Utf8;

/// Bytes of a frame up to which its payload is handed out whole, so that short messages stay in one piece.
const WHOLE: u64 = 16 * 1024;
/// The longest header: two bytes, a 64-bit length and a masking key.
pub const MAX_HEADER: usize = 14;
/// The longest payload of a control frame (RFC 6455 5.5).
pub const MAX_CONTROL: usize = 125;
/// The reserved bit that the half-close marker has.
const RSV2: u8 = 0x20;

/// Which end of the connection we are: a client masks what it sends (RFC 6455 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We opened the connection.
    Client,
    /// We accepted it.
    Server,
}

impl Role {
    /// What the other end is called.
    pub fn peer(self) -> &'static str {
        match self {
            Role::Client => "server",
            Role::Server => "client",
        }
    }
}

/// What a frame is (RFC 6455 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpCode {
    /// 0x0: more of the message that was begun.
    Continuation,
    /// 0x1 or 0x2: the begin of a message.
    Data(Kind),
    /// 0x8.
    Close,
    /// 0x9.
    Ping,
    /// 0xA.
    Pong,
    /// The half-close marker: 0x2 with RSV2, without a payload ([`half_close`](super::half_close)).
    HalfClose,
}

impl OpCode {
    fn from_bits(bits: u8) -> Option<OpCode> {
        Some(match bits {
            0x0 => OpCode::Continuation,
            0x1 => OpCode::Data(Kind::Text),
            0x2 => OpCode::Data(Kind::Binary),
            0x8 => OpCode::Close,
            0x9 => OpCode::Ping,
            0xA => OpCode::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            OpCode::Continuation => 0x0,
            OpCode::Data(Kind::Text) => 0x1,
            OpCode::Data(Kind::Binary) => 0x2,
            OpCode::Close => 0x8,
            OpCode::Ping => 0x9,
            OpCode::Pong => 0xA,
            OpCode::HalfClose => RSV2 | 0x2,
        }
    }

    fn is_control(self) -> bool {
        matches!(self, OpCode::Close | OpCode::Ping | OpCode::Pong)
    }

    /// Whether it may stand between the frames of data that are moved together.
    fn is_apart(self) -> bool {
        self.is_control() || self == OpCode::HalfClose
    }
}

/// What the decoder finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A piece of a message.
    Fragment(Fragment),
    /// Many messages.
    Batch(Batch),
    /// A ping, to be answered with the same payload (RFC 6455 5.5.2).
    Ping(BytesMut),
    /// A pong, with the payload of the ping that it answers (RFC 6455 5.5.3).
    Pong(BytesMut),
    /// The half-close marker; only control frames come after it.
    HalfClose,
    /// The Close; nothing comes after it (RFC 6455 5.5.1).
    Close(Close),
}

/// A judged header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    fin: bool,
    opcode: OpCode,
    key: Option<Key>,
    len: u64,
}

/// Makes messages of the bytes of one direction of a connection.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    merges: bool,
    /// Whether the half-close marker was agreed to.
    knows_half_close: bool,
    /// Whether the marker has come.
    is_half_closed: bool,
    /// The message that was begun and not finished.
    message: Option<Kind>,
    /// Bytes of that message, as the headers of its frames so far say.
    begun: u64,
    utf8: Utf8,
    frame: Option<Frame>,
    failed: Option<Violation>,
    messages: u64,
    /// Frames of which the header was judged in this turn.
    frames: u32,
}

/// Where the payload of a frame is that has come whole and is a whole short message.
struct Short {
    kind: Kind,
    key: Key,
    begin: usize,
    len: usize,
}

/// The data frame that is being read.
#[derive(Debug)]
struct Frame {
    fin: bool,
    key: Option<Key>,
    /// Bytes of its payload not looked at yet.
    left: u64,
    /// Bytes at the front of the buffer that are its payload, unmasked and judged, but not handed out yet.
    held: usize,
    is_whole: bool,
}

fn violation(code: u16, reason: &'static str) -> Violation {
    Violation { code, reason }
}

impl Decoder {
    /// Makes a decoder for what the peer of a `role` sends.
    pub fn new(role: Role) -> Decoder {
        Decoder {
            role,
            merges: false,
            knows_half_close: false,
            is_half_closed: false,
            message: None,
            begun: 0,
            utf8: Utf8::default(),
            frame: None,
            failed: None,
            messages: 0,
            frames: 0,
        }
    }

    /// How many whole messages have been handed out, where many go out as one fragment; else `None`.
    pub fn merged_messages(&self) -> Option<u64> {
        self.merges.then_some(self.messages)
    }

    /// Whether a part of a frame of data has come and its rest has not.
    pub fn is_within_frame(&self) -> bool {
        self.frame.is_some()
    }

    /// Allows the half-close marker, which is a breach of the protocol unless both sides agreed to it.
    pub fn allow_half_close(&mut self) {
        self.knows_half_close = true;
    }

    /// From now on the payloads of many frames are moved together and handed out as one fragment.
    pub fn merge_messages(&mut self) {
        self.merges = true;
    }

    /// How many frames were begun in this turn, whether or not they carried payload.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Whether nothing more is read before another turn.
    pub fn has_had_turn(&self) -> bool {
        self.frames >= Spent::TURN.frames
    }

    /// Begins a turn: so many frames as one has are read before it ends.
    pub fn begin_turn(&mut self) {
        self.frames = 0;
    }

    /// Takes the next item from the front of `buf`; `None` is a wish for more bytes, or for another turn. `full` says that no
    /// more will come before some are taken.
    ///
    /// # Errors
    /// What the peer did wrong. What it had sent rightly before has been handed out; nothing comes after.
    pub fn next(&mut self, buf: &mut BytesMut, full: bool) -> Result<Option<Item>, Violation> {
        if let Some(violation) = self.failed {
            return Err(violation);
        }
        if self.has_had_turn() {
            return Ok(None);
        }
        let result = if self.merges {
            self.next_merged(buf)
        } else {
            match self.next_batch(buf) {
                Ok(None) => self.next_piece(buf, full),
                batch => batch,
            }
        };
        self.is_half_closed |= matches!(result, Ok(Some(Item::HalfClose)));
        result.inspect_err(|violation| self.failed = Some(*violation))
    }

    /// Bytes of a message that was begun and not finished; `None` between two messages. Exact between two frames, which is where
    /// a Close comes.
    pub fn begun(&self) -> Option<u64> {
        self.message.map(|_| self.begun)
    }

    /// Takes what has come of a frame that will never be whole: the transport ended within it.
    pub fn take_rest(&mut self, buf: &mut BytesMut) -> Option<Fragment> {
        let (kind, frame) = (self.message?, self.frame.as_mut()?);
        let held = std::mem::take(&mut frame.held);
        (held > 0).then(|| Fragment {
            kind,
            fin: false,
            payload: buf.split_to(held),
        })
    }

    /// Takes all short messages of one kind that stand at the front, each whole and in one frame, as most are.
    fn next_batch(&mut self, buf: &mut BytesMut) -> Result<Option<Item>, Violation> {
        if self.message.is_some() || self.is_half_closed {
            return Ok(None);
        }
        let (bytes, is_masked) = (&mut buf[..], self.is_masked());
        let (mut at, mut spans, mut kind) = (0, Vec::new(), None);
        while at < Batch::LENGTH
            && spans.len() < Batch::MOST
            && let Some(short) = Decoder::short(bytes, at, is_masked)
            && *kind.get_or_insert(short.kind) == short.kind
        {
            let Short { begin, len, .. } = short;
            let end = begin + len;
            let is_ascii = mask::unmask_short(&mut bytes[begin..end], short.key);
            if short.kind == Kind::Text && !is_ascii && !is_text(&bytes[begin..end]) {
                // What was right before a breach goes out first.
                self.failed = Some(violation(1007, "not-utf8"));
                break;
            }
            if begin + len == bytes.len() && spans.is_empty() {
                // The only one that has come: most often so where an answer is waited for.
                self.messages += 1;
                self.frames += 1;
                buf.advance(begin);
                let (kind, payload) = (short.kind, buf.split());
                let fin = true;
                return Ok(Some(Item::Fragment(Fragment { kind, fin, payload })));
            }
            // A batch is much shorter than 4 GiB.
            #[allow(clippy::cast_possible_truncation)]
            spans.push((begin as u32, end as u32));
            at = end;
        }
        let (Some(kind), [(begin, end), rest @ ..]) = (kind, &spans[..]) else {
            return self.failed.map_or(Ok(None), Err);
        };
        self.messages += spans.len() as u64;
        // At most [`Batch::MOST`].
        #[allow(clippy::cast_possible_truncation)]
        {
            self.frames += spans.len() as u32;
        }
        if rest.is_empty() {
            let (begin, len) = (*begin as usize, (end - begin) as usize);
            buf.advance(begin);
            let (payload, fin) = (buf.split_to(len), true);
            return Ok(Some(Item::Fragment(Fragment { kind, fin, payload })));
        }
        Ok(Some(Item::Batch(Batch::new(kind, buf.split_to(at), spans))))
    }

    /// Finds a whole short message at `at`. Whatever else is there is judged elsewhere: this takes only what is right.
    #[inline(always)]
    fn short(bytes: &[u8], at: usize, is_masked: bool) -> Option<Short> {
        let &[first, second, ref rest @ ..] = &bytes[at..] else {
            return None;
        };
        let kind = match first {
            0x81 => Kind::Text,
            0x82 => Kind::Binary,
            _ => return None,
        };
        if (second & 0x80 != 0) != is_masked {
            return None;
        }
        let (len, rest) = match second & 0x7F {
            127 => return None,
            126 => {
                let (len, rest) = rest.split_first_chunk::<2>()?;
                let len = usize::from(u16::from_be_bytes(*len));
                if !(126..=SHORT).contains(&len) {
                    return None;
                }
                (len, rest)
            }
            short => (usize::from(short), rest),
        };
        let (key, rest) = match is_masked {
            true => {
                let (key, rest) = rest.split_first_chunk::<4>()?;
                (*key, rest)
            }
            false => ([0; 4], rest),
        };
        let begin = bytes.len() - rest.len();
        (len <= rest.len()).then_some(Short {
            kind,
            key,
            begin,
            len,
        })
    }

    /// Whether the peer masks (RFC 6455 5.1).
    fn is_masked(&self) -> bool {
        self.role == Role::Server
    }

    fn next_piece(&mut self, buf: &mut BytesMut, full: bool) -> Result<Option<Item>, Violation> {
        loop {
            if self.frame.is_none() {
                if self.has_had_turn() {
                    return Ok(None);
                }
                let Some((header, header_len)) = self.judge(buf)? else {
                    return Ok(None);
                };
                self.frames += 1;
                if header.opcode.is_apart() {
                    return control(buf, &header, header_len);
                }
                buf.advance(header_len);
                self.frame = Some(self.begin(&header));
            }
            // A frame of data is always of a message.
            let (Some(kind), Some(frame)) = (self.message, &mut self.frame) else {
                return Ok(None);
            };
            let fresh = &mut buf[frame.held..];
            let len = usize::try_from(frame.left).map_or(fresh.len(), |left| left.min(fresh.len()));
            if let Some(key) = &mut frame.key {
                mask::apply(&mut fresh[..len], key);
            }
            if kind == Kind::Text {
                check_text(&mut self.utf8, &fresh[..len])?;
            }
            frame.left -= len as u64;
            frame.held += len;
            let is_read = frame.left == 0;
            if !is_read && (frame.held == 0 || (frame.is_whole && !full)) {
                return Ok(None);
            }
            let fin = is_read && frame.fin;
            let payload = buf.split_to(frame.held);
            frame.held = 0;
            if is_read {
                self.frame = None;
                self.finish_frame(fin)?;
            }
            // A piece without bytes that ends nothing says nothing.
            if fin || !payload.is_empty() {
                return Ok(Some(Item::Fragment(Fragment { kind, fin, payload })));
            }
        }
    }

    /// Moves the payloads of all frames in the buffer together, over the headers between them.
    fn next_merged(&mut self, buf: &mut BytesMut) -> Result<Option<Item>, Violation> {
        let bytes = &mut buf[..];
        // What is from `begin` to `kept` goes out, what is from `at` on has not been looked at.
        let (mut begin, mut kept, mut at) = (0, 0, 0);
        let is_masked = self.is_masked();
        // Whole short messages, and how many frames this turn still has.
        let (mut messages, mut left) = (0, Spent::TURN.frames.saturating_sub(self.frames));
        let mut kind = self.message.unwrap_or(Kind::Binary);
        let mut control_at = None;
        let judged = loop {
            // Most frames are short messages that have come whole.
            if self.message.is_none() && !self.is_half_closed {
                while left > 0
                    && let Some(short) = Decoder::short(bytes, at, is_masked)
                {
                    // The first is left where it lies.
                    let to = if kept == begin { short.begin } else { kept };
                    let end = to + short.len;
                    let is_ascii = mask::unmask_moved(bytes, short.begin, to, short.len, short.key);
                    if short.kind == Kind::Text && !is_ascii && !is_text(&bytes[to..end]) {
                        self.failed = Some(violation(1007, "not-utf8"));
                        break;
                    }
                    if kept == begin {
                        begin = to;
                    }
                    (kind, at, kept) = (short.kind, short.begin + short.len, end);
                    messages += 1;
                    left -= 1;
                }
            }
            if let Some(violation) = self.failed {
                break Err(violation);
            }
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None if left == 0 => break Ok(()),
                None => match self.judge(&bytes[at..]) {
                    Ok(Some((header, header_len))) if header.opcode.is_apart() => {
                        control_at = Some((header, header_len));
                        break Ok(());
                    }
                    // A long payload is not worth moving: it begins a piece of its own.
                    Ok(Some((header, _))) if header.len > SHORT as u64 && kept > begin => {
                        break Ok(());
                    }
                    Ok(Some((header, header_len))) => {
                        at += header_len;
                        left -= 1;
                        if kept == begin {
                            (begin, kept) = (at, at);
                        }
                        self.begin(&header)
                    }
                    Ok(None) => break Ok(()),
                    Err(violation) => break Err(violation),
                },
            };
            kind = self.message.unwrap_or(kind);
            let here = bytes.len() - at;
            let len = usize::try_from(frame.left).map_or(here, |left| left.min(here));
            if kept != at {
                bytes.copy_within(at..at + len, kept);
            }
            let payload = &mut bytes[kept..kept + len];
            if let Some(key) = &mut frame.key {
                mask::apply(payload, key);
            }
            if kind == Kind::Text
                && let Err(violation) = check_text(&mut self.utf8, payload)
            {
                break Err(violation);
            }
            at += len;
            kept += len;
            frame.left -= len as u64;
            if frame.left > 0 {
                self.frame = Some(frame);
                break Ok(());
            }
            if let Err(violation) = self.finish_frame(frame.fin) {
                break Err(violation);
            }
        };
        self.messages += messages;
        self.frames = Spent::TURN.frames - left;
        buf.advance(begin);
        let payload = buf.split_to(kept - begin);
        buf.advance(at - kept);
        if payload.is_empty() {
            judged?;
            self.frames += u32::from(control_at.is_some());
            return control_at.map_or(Ok(None), |(header, len)| control(buf, &header, len));
        }
        // What was right before a breach goes out first.
        self.failed = judged.err();
        let fin = true;
        Ok(Some(Item::Fragment(Fragment { kind, fin, payload })))
    }

    #[inline]
    fn begin(&mut self, header: &Header) -> Frame {
        if let OpCode::Data(kind) = header.opcode {
            self.message = Some(kind);
            self.begun = 0;
        }
        self.begun = self.begun.saturating_add(header.len);
        Frame {
            fin: header.fin,
            key: header.key,
            left: header.len,
            held: 0,
            is_whole: header.len <= WHOLE,
        }
    }

    #[inline]
    fn finish_frame(&mut self, fin: bool) -> Result<(), Violation> {
        if fin {
            self.message = None;
            self.messages += 1;
            if !self.utf8.is_complete() {
                return Err(violation(1007, "not-utf8"));
            }
        }
        Ok(())
    }

    /// Judges the header at the front of `bytes`, as soon as there is enough of it; returns it and its length.
    #[inline(always)]
    fn judge(&self, bytes: &[u8]) -> Result<Option<(Header, usize)>, Violation> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let mut opcode = OpCode::from_bits(first & 0x0F).ok_or(violation(1002, "opcode"))?;
        let (fin, is_masked, short_len) = (first & 0x80 != 0, second & 0x80 != 0, second & 0x7F);
        match first & 0x70 {
            0 => {}
            RSV2 if self.knows_half_close => {
                if !fin || opcode != OpCode::Data(Kind::Binary) || short_len != 0 {
                    return Err(violation(1002, "half-close"));
                }
                opcode = OpCode::HalfClose;
            }
            _ => return Err(violation(1002, "reserved-bits")),
        }
        if self.is_half_closed && !opcode.is_control() {
            return Err(violation(1002, "after-half-close"));
        }
        if opcode.is_control() && !fin {
            return Err(violation(1002, "fragmented-control"));
        }
        if opcode.is_control() && short_len > 125 {
            return Err(violation(1002, "long-control"));
        }
        if is_masked != self.is_masked() {
            return Err(violation(1002, "mask"));
        }
        match (opcode, self.message) {
            (OpCode::Continuation, None) => return Err(violation(1002, "continuation")),
            (OpCode::Data(_) | OpCode::HalfClose, Some(_)) => {
                return Err(violation(1002, "interleaved-message"));
            }
            _ => {}
        }
        let (len, rest) = match short_len {
            126 => {
                let Some((len, rest)) = rest.split_first_chunk::<2>() else {
                    return Ok(None);
                };
                (u64::from(u16::from_be_bytes(*len)), rest)
            }
            127 => {
                let Some((len, rest)) = rest.split_first_chunk::<8>() else {
                    return Ok(None);
                };
                (u64::from_be_bytes(*len), rest)
            }
            short => (u64::from(short), rest),
        };
        // RFC 6455 5.2: the most significant bit is 0, and the shortest form is used.
        let least = [126, 1 << 16][usize::from(short_len == 127)];
        if len >> 63 != 0 || (short_len > 125 && len < least) {
            return Err(violation(1002, "length"));
        }
        let (key, rest) = match (is_masked, rest.split_first_chunk::<4>()) {
            (false, _) => (None, rest),
            (true, Some((key, rest))) => (Some(*key), rest),
            (true, None) => return Ok(None),
        };
        let header = Header {
            fin,
            opcode,
            key,
            len,
        };
        Ok(Some((header, bytes.len() - rest.len())))
    }
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
}

fn check_text(utf8: &mut Utf8, bytes: &[u8]) -> Result<(), Violation> {
    utf8.feed(bytes).map_err(|_| violation(1007, "not-utf8"))
}

/// Reads a whole control frame or the half-close marker, if it is there.
fn control(
    buf: &mut BytesMut,
    header: &Header,
    header_len: usize,
) -> Result<Option<Item>, Violation> {
    // Judged to be at most 125.
    let len = usize::try_from(header.len).unwrap_or(125);
    if buf.len() < header_len + len {
        return Ok(None);
    }
    buf.advance(header_len);
    let mut payload = buf.split_to(len);
    if let Some(mut key) = header.key {
        mask::apply(&mut payload, &mut key);
    }
    Ok(Some(match header.opcode {
        OpCode::Ping => Item::Ping(payload),
        OpCode::Pong => Item::Pong(payload),
        OpCode::HalfClose => Item::HalfClose,
        _ => Item::Close(parse_close(&payload)?),
    }))
}

/// Whether a code may stand in a Close frame: 1000-1003, 1007-1014 and 3000-4999 (RFC 6455 7.4, IANA's registry).
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn parse_close(payload: &[u8]) -> Result<Close, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok(Close::empty()),
            _ => Err(violation(1002, "close-length")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !is_close_code(code) {
        return Err(violation(1002, "close-code"));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| violation(1007, "not-utf8"))?;
    Ok(Close::new(code, reason))
}

/// Writes a header into `into` and returns its length, 2 to 14 bytes.
pub fn encode_header(
    opcode: OpCode,
    fin: bool,
    len: usize,
    key: Option<Key>,
    into: &mut [u8; MAX_HEADER],
) -> usize {
    into[0] = opcode.bits() | if fin { 0x80 } else { 0 };
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    let mut at = match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ ..=125), _) => {
            into[1] = mask_bit | short;
            2
        }
        (_, Ok(medium)) => {
            into[1] = mask_bit | 126;
            into[2..4].copy_from_slice(&medium.to_be_bytes());
            4
        }
        _ => {
            into[1] = mask_bit | 127;
            into[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    };
    if let Some(key) = key {
        into[at..at + 4].copy_from_slice(&key);
        at += 4;
    }
    at
}

/// Writes each message of a batch as one frame into `room`, [`Batch::ROOM`] bytes long; returns how many bytes they are.
pub fn encode_batch(batch: &Batch, role: Role, room: &mut [u8]) -> usize {
    let lead = 0x80 | OpCode::Data(batch.kind).bits();
    if role == Role::Server {
        return batch.write(room, |len| short_head(lead, len, None), b"");
    }
    let (mut keys, mut used) = ([[0; 4]; mask::BLOCK], mask::BLOCK);
    let head = |len| {
        if used == mask::BLOCK {
            (keys, used) = (mask::fresh_keys(), 0);
        }
        used += 1;
        short_head(lead, len, Some(keys[used - 1]))
    };
    batch.write(room, head, b"")
}

/// Makes the header of a short message's frame.
#[inline(always)]
fn short_head(lead: u8, len: usize, key: Option<Key>) -> Head {
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    let [.., high, low] = len.to_be_bytes();
    let [a, b, c, d] = key.unwrap_or_default();
    let key_len = if key.is_some() { 4 } else { 0 };
    let mask = key.map_or(0, mask::wide);
    if len <= 125 {
        let bytes = [lead, mask_bit | low, a, b, c, d, 0, 0];
        let len = 2 + key_len;
        return Head { bytes, len, mask };
    }
    let bytes = [lead, mask_bit | 126, high, low, a, b, c, d];
    let len = 4 + key_len;
    Head { bytes, len, mask }
}

/// Makes the body of a Close frame, at most 125 bytes.
pub fn close_body(close: &Close) -> Vec<u8> {
    let Some(code) = close.code else {
        return Vec::new();
    };
    let mut body = code.to_be_bytes().to_vec();
    body.extend_from_slice(close.reason.as_bytes());
    body
}

#[cfg(test)]
mod tests;
