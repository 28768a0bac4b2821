//! One direction of load: a source that writes prebuilt bytes with few big writes, and a sink that verifies them.

use std::io::{IoSlice, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::content::{Content, Kind};
use crate::digest::Digest;
use crate::frame::{self, Parser};
use crate::link::{Link, Speech};

/// Messages up to this length are written many at a time.
const GATHERED: u64 = 64 * 1024;
/// Pieces of one vectored write.
const PIECES: usize = 64;
/// The reads' size.
const BUFFER: usize = 256 * 1024;

/// When a source ends: at the first message's end after the time, or after so many messages.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub time: Duration,
    pub messages: u64,
}

/// Bytes of a message where `speech` is spoken: a line has its newline outside of frames only.
pub fn len_of(kind: Kind, speech: Speech, len: u64) -> u64 {
    match (kind, speech) {
        (Kind::Lines, Speech::Frames(_)) => len - 1,
        (Kind::Lines, Speech::Plain) | (Kind::Noise, _) => len,
    }
}

/// Writes messages of one length.
pub struct Source {
    unit: Unit,
    /// Messages of a unit.
    step: u64,
}

/// What is written at once.
enum Unit {
    /// Many messages, ready for the wire.
    Block(Vec<u8>),
    /// One message: its header, and a body that is a piece of the repeated pattern, masked already.
    Message {
        header: Vec<u8>,
        pattern: Arc<Content>,
        masked: Option<Vec<u8>>,
        len: u64,
    },
}

impl Source {
    /// Makes a source of messages of `len` bytes. A plain one has no frames: it writes whole patterns where the messages
    /// are `gathered`, else each message by itself.
    pub fn new(
        pattern: &Arc<Content>,
        speech: Speech,
        kind: Kind,
        len: u64,
        gathered: bool,
    ) -> Source {
        let small = usize::try_from(len).unwrap_or(usize::MAX);
        match speech {
            Speech::Plain if gathered && len <= GATHERED => Source {
                unit: Unit::Block(pattern.bytes().to_vec()),
                step: (pattern.bytes().len() / small) as u64,
            },
            Speech::Frames(role) if len <= GATHERED => {
                let (wire, step) = pattern.frames(small, role, kind);
                let unit = Unit::Block(wire);
                Source { unit, step }
            }
            Speech::Plain => Source::single(Vec::new(), pattern, None, len),
            Speech::Frames(role) => {
                let header = frame::header(frame::opcode(kind), role, len);
                let masked = frame::masked(pattern.bytes(), role).collect();
                Source::single(header, pattern, Some(masked), len)
            }
        }
    }

    fn single(
        header: Vec<u8>,
        pattern: &Arc<Content>,
        masked: Option<Vec<u8>>,
        len: u64,
    ) -> Source {
        Source {
            unit: Unit::Message {
                header,
                pattern: Arc::clone(pattern),
                masked,
                len,
            },
            step: 1,
        }
    }

    /// Writes all to a connection. Where messages are single, the system may gather them, until the last.
    pub fn send(&self, link: &mut Link, limit: Limit, total: &AtomicU64) -> Result<()> {
        link.gather(matches!(self.unit, Unit::Message { .. }))?;
        self.run(link, limit, total)?;
        Ok(link.gather(false)?)
    }

    /// Writes until the limit. The number of messages is told in `total` before the last of them are written, so that
    /// the sink knows the end when it sees it.
    pub fn run(&self, out: &mut impl Write, limit: Limit, total: &AtomicU64) -> Result<()> {
        let (start, mut sent, mut at) = (Instant::now(), 0, 0);
        loop {
            let messages = sent + self.step;
            let is_last = start.elapsed() >= limit.time || messages >= limit.messages;
            if is_last {
                total.store(messages, Ordering::Release);
            }
            match &self.unit {
                Unit::Block(wire) => out.write_all(wire)?,
                Unit::Message {
                    header,
                    pattern,
                    masked,
                    len,
                } => {
                    let pattern = masked.as_deref().unwrap_or(pattern.bytes());
                    write_cycle(out, header, pattern, &mut at, *len)?;
                }
            }
            if is_last {
                return Ok(());
            }
            sent = messages;
        }
    }
}

/// Writes a header and `len` bytes of the repeated pattern, from `at` on.
fn write_cycle(
    out: &mut impl Write,
    header: &[u8],
    pattern: &[u8],
    at: &mut usize,
    len: u64,
) -> Result<()> {
    let mut left = len;
    let mut pieces = [IoSlice::new(header); PIECES];
    let mut used = usize::from(!header.is_empty());
    while left > 0 {
        while used < PIECES && left > 0 {
            let room = pattern.len() - *at;
            let take = usize::try_from(left).map_or(room, |left| left.min(room));
            pieces[used] = IoSlice::new(&pattern[*at..*at + take]);
            *at = (*at + take) % pattern.len();
            left -= take as u64;
            used += 1;
        }
        let mut rest = &mut pieces[..used];
        while !rest.is_empty() {
            let written = out.write_vectored(rest)?;
            ensure!(written > 0, "the bridge takes nothing more");
            IoSlice::advance_slices(&mut rest, written);
        }
        used = 0;
    }
    Ok(())
}

/// Reads what a source has sent, and judges it.
pub struct Sink {
    pattern: Arc<Content>,
    /// Bytes of each message, as they arrive here.
    len: u64,
    parser: Option<Parser>,
    digest: Digest,
    buf: Vec<u8>,
}

impl Sink {
    /// Makes a sink of messages of `len` bytes; with `exact` each must arrive as one message of that kind.
    pub fn new(pattern: &Arc<Content>, speech: Speech, len: u64, exact: Option<Kind>) -> Sink {
        Sink {
            pattern: Arc::clone(pattern),
            len,
            parser: (speech != Speech::Plain).then(|| Parser::new(exact.map(|kind| (kind, len)))),
            digest: Digest::new(),
            buf: vec![0; BUFFER],
        }
    }

    /// Reads until all of the `total` messages have come; returns when that was.
    pub fn run(&mut self, input: &mut impl Read, total: &AtomicU64) -> Result<Instant> {
        loop {
            let before = self.digest.count();
            let read = self.read(input);
            if read.with_context(|| format!("reading after {before} bytes"))? == 0 {
                bail!("the stream ended after {before} bytes, before all had come");
            }
            let messages = total.load(Ordering::Acquire);
            if messages > 0 && self.digest.count() >= messages * self.len {
                return Ok(Instant::now());
            }
        }
    }

    fn read(&mut self, input: &mut impl Read) -> Result<usize> {
        let count = input.read(&mut self.buf)?;
        let bytes = &self.buf[..count];
        match &mut self.parser {
            Some(parser) => parser.feed(bytes, &mut self.digest),
            None => self.digest.update(bytes, [0; 4]),
        }
        Ok(count)
    }

    /// Judges what has come, and that nothing comes after it until the end or a pause.
    pub fn verify(&mut self, input: &mut impl Read, total: &AtomicU64) -> Result<()> {
        let is_open = |sink: &Sink| sink.parser.as_ref().is_none_or(|parser| !parser.is_closed);
        while is_open(self) && self.read(input).is_ok_and(|count| count > 0) {}
        let messages = total.load(Ordering::Acquire);
        let (count, expected) = (self.digest.count(), messages * self.len);
        ensure!(
            count == expected,
            "{count} bytes arrived and {expected} were sent"
        );
        ensure!(
            self.digest.value() == self.pattern.digest(count),
            "the content was altered"
        );
        if let Some(error) = self.parser.as_ref().and_then(|parser| parser.error.clone()) {
            bail!("{error}");
        }
        Ok(())
    }
}
