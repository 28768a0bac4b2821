//! Frames: taken apart, begun, masked.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput};
use wsbridge::message::{Batch, Kind};
use wsbridge::ws::codec::{Decoder, Item, MAX_HEADER, OpCode, Role, encode_batch, encode_header};
use wsbridge::ws::mask;

use crate::BLOCK;

const KEY: mask::Key = [0xA5, 0x3C, 0x96, 0x71];

/// What a server reads: messages of `len` bytes, each one masked frame, a block of payload in all.
fn wire(kind: Kind, len: usize) -> BytesMut {
    let mut wire = BytesMut::new();
    let mut payload = vec![b'x'; len];
    mask::apply(&mut payload, &mut KEY.clone());
    let mut header = [0; MAX_HEADER];
    let used = encode_header(OpCode::Data(kind), true, len, Some(KEY), &mut header);
    for _ in 0..BLOCK / len {
        wire.extend_from_slice(&header[..used]);
        wire.extend_from_slice(&payload);
    }
    wire
}

/// The frame decoder: many messages as one fragment, each message by itself, and that with its text judged.
pub(crate) fn decoder(criterion: &mut Criterion) {
    let modes = [
        ("merged", Kind::Binary, true),
        ("exact", Kind::Binary, false),
        ("exact-text", Kind::Text, false),
    ];
    for (mode, kind, merges) in modes {
        let mut group = criterion.benchmark_group(format!("decoder/{mode}"));
        for (size, len) in [("64B", 64), ("1KiB", 1024), ("64KiB", 64 * 1024)] {
            let wire = wire(kind, len);
            group.throughput(Throughput::Bytes(BLOCK as u64));
            group.bench_function(size, |bencher| {
                let block = || (decoder_for(merges), wire.clone());
                bencher.iter_batched_ref(
                    block,
                    |(decoder, wire)| drain(decoder, wire),
                    BatchSize::LargeInput,
                );
            });
        }
    }
}

/// Batches of short messages as frames: bytes of payload per second.
pub(crate) fn encoder(criterion: &mut Criterion) {
    for (name, role) in [("masked", Role::Client), ("plain", Role::Server)] {
        let mut group = criterion.benchmark_group(format!("encoder/{name}"));
        for (size, len) in [("16B", 16), ("64B", 64), ("1KiB", 1024)] {
            let Ok(Some(Item::Batch(batch))) =
                decoder_for(false).next(&mut wire(Kind::Text, len), true)
            else {
                panic!("short messages come as a batch");
            };
            let mut room = vec![0; Batch::ROOM];
            group.throughput(Throughput::Bytes(batch.payload() as u64));
            group.bench_function(size, |bencher| {
                bencher.iter(|| black_box(encode_batch(&batch, role, &mut room)));
            });
        }
    }
}

fn decoder_for(merges: bool) -> Decoder {
    let mut decoder = Decoder::new(Role::Server);
    if merges {
        decoder.merge_messages();
    }
    decoder
}

fn drain(decoder: &mut Decoder, wire: &mut BytesMut) {
    while !wire.is_empty() {
        decoder.begin_turn();
        while let Ok(Some(item)) = decoder.next(wire, true) {
            black_box(item);
        }
    }
    assert!(wire.is_empty(), "the decoder takes whole frames");
}

/// Headers of masked frames: bytes of header per second.
pub(crate) fn header(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header");
    for (size, len) in [("64B", 64), ("1KiB", 1024), ("1MiB", 1024 * 1024)] {
        let mut header = [0; MAX_HEADER];
        let opcode = OpCode::Data(Kind::Binary);
        let used = encode_header(opcode, true, len, Some(KEY), &mut header);
        group.throughput(Throughput::Bytes(used as u64));
        group.bench_function(size, |bencher| {
            bencher.iter(|| {
                encode_header(opcode, true, black_box(len), Some(KEY), &mut header);
                black_box(&header);
            });
        });
    }
}

/// Masking in place.
pub(crate) fn mask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    let sizes = [
        ("13B", 13),
        ("64B", 64),
        ("1KiB", 1024),
        ("64KiB", 64 * 1024),
    ];
    for (size, len) in sizes {
        let (mut payload, mut key) = (vec![b'x'; len], KEY);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(size, |bencher| {
            bencher.iter(|| mask::apply(black_box(&mut payload), &mut key));
        });
    }
}
