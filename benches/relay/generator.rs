//! What the load generator costs by itself: streams from memory into the sink that verifies them.

use std::io::Read;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::content::Kind;
use crate::flow::{Limit, Sink, Source, len_of};
use crate::frame::Role;
use crate::lab::Lab;
use crate::link::Speech;

/// Prints what a sink takes in a second, if reading were free.
pub fn print(lab: &Lab) -> Result<()> {
    let server = Speech::Frames(Role::Server);
    let streams = [
        ("plain", Kind::Noise, Speech::Plain, 64 * 1024),
        ("frames/64KiB", Kind::Noise, server, 64 * 1024),
        ("frames/1KiB", Kind::Noise, server, 1024),
        ("frames/64B", Kind::Noise, server, 64),
        ("texts/64B", Kind::Lines, server, 64),
        ("texts/16B", Kind::Lines, server, 16),
        (
            "masked texts/16B",
            Kind::Lines,
            Speech::Frames(Role::Client),
            16,
        ),
    ];
    println!("the sink alone:");
    for (name, kind, speech, len) in streams {
        let content = lab.content(kind, speech, len);
        let len = len_of(kind, speech, len);
        let source = Source::new(&content, speech, kind, len, true);
        let (mut wire, total) = (Vec::new(), AtomicU64::new(0));
        let once = Limit {
            time: Duration::ZERO,
            messages: 1,
        };
        source.run(&mut wire, once, &total)?;
        let mut sink = Sink::new(&content, speech, len, Some(kind));
        let messages = total.into_inner() * (lab.time.as_secs_f64() * 1e3) as u64;
        let total = AtomicU64::new(messages);
        let mut input = Cycle { wire: &wire, at: 0 };
        let start = Instant::now();
        let seconds = (sink.run(&mut input, &total)? - start).as_secs_f64();
        sink.verify(&mut std::io::empty(), &total).context(name)?;
        println!(
            "  {name:<17} {:>6.1} M messages/s {:>6.1} ns each {:>6.1} GiB/s",
            messages as f64 / seconds / 1e6,
            seconds / messages as f64 * 1e9,
            (messages * len) as f64 / seconds / f64::from(1 << 30),
        );
    }
    Ok(())
}

/// Bytes in memory that repeat themselves.
struct Cycle<'a> {
    wire: &'a [u8],
    at: usize,
}

impl Read for Cycle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let count = (&self.wire[self.at..]).read(buf)?;
        self.at = (self.at + count) % self.wire.len();
        Ok(count)
    }
}
