//! Just enough of RFC 6455's frames to make and to judge them, without any WebSocket library.

use crate::content::Kind;
use crate::digest::Digest;

/// The one masking key of all that is sent as a client.
pub const KEY: [u8; 4] = [0xA5, 0x3C, 0x96, 0x71];
const CLOSE: u8 = 0x8;
/// Bytes that a short payload is copied by at a time: whole steps, for a copy of an exact length costs more.
const STEP: usize = 16;
/// Payload of short frames that is hashed at once.
const GATHERED: usize = 4096;

/// Which end of a WebSocket we are: a client masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

impl Role {
    /// The key that we mask with.
    pub fn key(self) -> [u8; 4] {
        match self {
            Role::Client => KEY,
            Role::Server => [0; 4],
        }
    }
}

/// The header of a final frame.
pub fn header(opcode: u8, role: Role, len: u64) -> Vec<u8> {
    let mask = if role == Role::Client { 0x80 } else { 0 };
    let mut header = vec![0x80 | opcode];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ ..=125), _) => header.push(mask | len),
        (_, Ok(len)) => {
            header.push(mask | 126);
            header.extend(len.to_be_bytes());
        }
        _ => {
            header.push(mask | 127);
            header.extend(len.to_be_bytes());
        }
    }
    if role == Role::Client {
        header.extend(KEY);
    }
    header
}

/// The opcode of a message of `kind`.
pub fn opcode(kind: Kind) -> u8 {
    match kind {
        Kind::Noise => 2,
        Kind::Lines => 1,
    }
}

/// `payload` as it is on the wire.
pub fn masked(payload: &[u8], role: Role) -> impl Iterator<Item = u8> {
    let keys = role.key().into_iter().cycle();
    payload.iter().zip(keys).map(|(byte, key)| byte ^ key)
}

/// Appends a message in one frame.
pub fn put(wire: &mut Vec<u8>, kind: Kind, role: Role, payload: &[u8]) {
    wire.extend(header(opcode(kind), role, payload.len() as u64));
    wire.extend(masked(payload, role));
}

/// A Close without a body, which RFC 6455 5.5.1 allows: there are peers that take the body for payload.
pub fn close(role: Role) -> Vec<u8> {
    header(CLOSE, role, 0)
}

/// Reads frames: headers are parsed, payloads go into a digest.
pub struct Parser {
    header: [u8; 14],
    have: usize,
    left: u64,
    key: [u8; 4],
    opcode: u8,
    is_final: bool,
    /// Bytes of the message so far.
    message: u64,
    /// Each message's kind and length, where they must be kept.
    exact: Option<(Kind, u64)>,
    /// Payloads of short frames, next to each other.
    gathered: Box<[u8; GATHERED]>,
    pub messages: u64,
    pub is_closed: bool,
    pub error: Option<String>,
}

impl Parser {
    /// Makes a parser; with `exact` each message must be of that kind and have that many bytes.
    pub fn new(exact: Option<(Kind, u64)>) -> Parser {
        Parser {
            header: [0; 14],
            have: 0,
            left: 0,
            key: [0; 4],
            opcode: 0,
            is_final: false,
            message: 0,
            exact,
            gathered: Box::new([0; GATHERED]),
            messages: 0,
            is_closed: false,
            error: None,
        }
    }

    /// Takes more of the wire.
    pub fn feed(&mut self, mut bytes: &[u8], digest: &mut Digest) {
        while !bytes.is_empty() {
            if self.left == 0 {
                if self.have == 0 && self.message == 0 {
                    bytes = self.feed_short(bytes, digest);
                }
                bytes = self.feed_header(bytes);
                continue;
            }
            let len = usize::try_from(self.left).map_or(bytes.len(), |n| n.min(bytes.len()));
            if self.opcode < CLOSE {
                digest.update(&bytes[..len], self.key);
                self.key.rotate_left(len % 4);
            }
            bytes = &bytes[len..];
            self.left -= len as u64;
            if self.left == 0 {
                self.end_frame();
            }
        }
    }

    /// Takes the short unfragmented messages at the front, which cost least so; returns what follows.
    fn feed_short<'a>(&mut self, mut bytes: &'a [u8], digest: &mut Digest) -> &'a [u8] {
        let mut used = 0;
        while let Some((payload, key, rest)) = short(bytes) {
            let (code, len) = (bytes[0] & 0x0F, payload.len() as u64);
            if self
                .exact
                .is_some_and(|(kind, exact)| code != opcode(kind) || len != exact)
            {
                break;
            }
            if used + payload.len() + STEP > GATHERED {
                digest.update(&self.gathered[..used], [0; 4]);
                used = 0;
            }
            // What is copied too much is overwritten by the next one.
            let steps = &bytes[bytes.len() - rest.len() - payload.len()..];
            let steps = steps.chunks_exact(STEP);
            let places = self.gathered[used..].chunks_exact_mut(STEP);
            for (place, step) in places.zip(steps).take(payload.len().div_ceil(STEP)) {
                let step = u128::from_ne_bytes(step.try_into().unwrap_or_default()) ^ key;
                place.copy_from_slice(&step.to_ne_bytes());
            }
            used += payload.len();
            self.messages += 1;
            bytes = rest;
        }
        digest.update(&self.gathered[..used], [0; 4]);
        bytes
    }

    /// Takes a header, or what has come of it; returns what follows.
    fn feed_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let take = (14 - self.have).min(bytes.len());
        self.header[self.have..self.have + take].copy_from_slice(&bytes[..take]);
        let known = self.have + take;
        let short = self.header[1] & 0x7F;
        let long = [0, 2, 8][usize::from(short > 125) + usize::from(short == 127)];
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        let whole = 2 + long + mask;
        if known < 2 || known < whole {
            self.have = known;
            return &bytes[take..];
        }
        self.begin_frame(short, long, mask);
        let used = whole - self.have;
        self.have = 0;
        if self.left == 0 {
            self.end_frame();
        }
        &bytes[used..]
    }

    fn begin_frame(&mut self, short: u8, long: usize, mask: usize) {
        let extended = self.header[2..2 + long].iter();
        let extended = extended.fold(0, |len, byte| len << 8 | u64::from(*byte));
        self.left = if long == 0 {
            u64::from(short)
        } else {
            extended
        };
        self.key = [0; 4];
        self.key[..mask].copy_from_slice(&self.header[2 + long..2 + long + mask]);
        (self.opcode, self.is_final) = (self.header[0] & 0x0F, self.header[0] & 0x80 != 0);
        match self.opcode {
            0..=2 => {
                let kind = self.exact.map(|(kind, _)| opcode(kind));
                if self.opcode > 0 && kind.is_some_and(|kind| kind != self.opcode) {
                    self.error
                        .get_or_insert("the messages' kind was altered".to_owned());
                }
                self.message += self.left;
            }
            CLOSE => self.is_closed = true,
            9 | 10 => {}
            other => self.error = Some(format!("a frame of opcode {other}")),
        }
    }

    fn end_frame(&mut self) {
        if self.opcode >= CLOSE || !self.is_final {
            return;
        }
        self.messages += 1;
        if self.exact.is_some_and(|(_, exact)| exact != self.message) {
            let message = self.message;
            self.error.get_or_insert(format!(
                "message {} has {message} bytes, its boundaries are lost",
                self.messages
            ));
        }
        self.message = 0;
    }
}

/// A short whole message in one frame at the front of `bytes`, if one is there with a step more behind it: its payload, the
/// key over a step, and what follows.
#[inline]
fn short(bytes: &[u8]) -> Option<(&[u8], u128, &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let len = usize::from(second & 0x7F);
    if !matches!(first, 0x81 | 0x82) || len > 125 || rest.len() < 4 + len + STEP {
        return None;
    }
    let (key, rest) = match second & 0x80 {
        0 => (0, rest),
        _ => {
            let (key, rest) = rest.split_first_chunk()?;
            (u32::from_ne_bytes(*key), rest)
        }
    };
    let key = u128::from(key) * 0x0000_0001_0000_0001_0000_0001_0000_0001;
    Some((&rest[..len], key, &rest[len..]))
}
