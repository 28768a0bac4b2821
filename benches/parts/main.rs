//! The parts of the data path that touch every byte, each alone, in bytes per second: in memory, but for the writes to a socket;
//! and the start of a program.
//!
//! `cargo bench --bench parts`, with a part's name behind `--` for that one only. What the whole of them reaches is for
//! `cargo bench --bench relay` to say.

mod codec;
mod page;
mod spawn;
mod text;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

/// Bytes that are worked on at once: what one big read brings.
const BLOCK: usize = 256 * 1024;

/// Short times, so that all of them together take about a minute.
fn brief() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
}

criterion_group! {
    name = parts;
    config = brief();
    targets = codec::decoder,
    codec::encoder, codec::header, codec::mask, page::page, spawn::spawn, text::utf8, text::lines
}
criterion_main!(parts);
