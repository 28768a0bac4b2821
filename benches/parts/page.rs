//! What it costs to read from a socket into a buffer that begins at this or that place of a page, and to write from it:
//! processor time, as bytes per second of it.
//!
//! Some processors of AMD copy slowly where the destination lies shortly behind the source, as far as the lowest 12 bits of their
//! addresses tell. What a socket received begins at the beginning of a page, and malloc's large buffers 16 bytes behind one.
//! This is why read buffers begin 128 bytes behind a page.

use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use criterion::{Criterion, Throughput};
use rustix::time::{ClockId, clock_gettime};

use crate::BLOCK;

/// Bytes of a page.
const PAGE: usize = 4096;
/// Where in a page the payload begins.
const OFFSETS: [usize; 8] = [0, 16, 32, 64, 128, 256, 1024, 2048];
/// A block as one frame and as frames of 32 KiB, with the header that a server's has then.
const FRAMES: [(&str, usize, &[u8]); 2] = [
    ("256KiB", BLOCK, &[0x82, 127, 0, 0, 0, 0, 0, 4, 0, 0]),
    ("32KiB", 32 * 1024, &[0x82, 126, 0x80, 0]),
];

/// A block that is read, and a block of frames that is written, by the place of the payload.
pub(crate) fn page(criterion: &mut Criterion) {
    reads(criterion);
    for (name, len, header) in FRAMES {
        let mut group = criterion.benchmark_group(format!("page/write/{name}"));
        group.throughput(Throughput::Bytes(BLOCK as u64));
        for offset in OFFSETS {
            let mut memory = memory();
            let block = &*block(&mut memory, offset);
            let (mut stream, reader) = connection(take_all);
            group.bench_function(offset.to_string(), |bencher| {
                bencher.iter_custom(|count| {
                    let before = processor_time();
                    for _ in 0..count {
                        write(&mut stream, block, len, header);
                    }
                    processor_time() - before
                });
            });
            drop(stream);
            reader.join().expect("the reader ends with the stream");
        }
    }
}

fn reads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("page/read");
    group.throughput(Throughput::Bytes(BLOCK as u64));
    for offset in OFFSETS {
        let mut memory = memory();
        let block = block(&mut memory, offset);
        let (mut stream, writer) = connection(write_on);
        group.bench_function(offset.to_string(), |bencher| {
            bencher.iter_custom(|count| {
                let before = processor_time();
                let mut left = usize::try_from(count).expect("few of them") * BLOCK;
                while left > 0 {
                    let most = left.min(BLOCK);
                    left -= stream.read(&mut block[..most]).expect("somebody writes");
                }
                processor_time() - before
            });
        });
        drop(stream);
        writer.join().expect("the writer ends with the stream");
    }
}

/// Memory for a block at any place of a page.
fn memory() -> Vec<u8> {
    vec![b'x'; BLOCK + PAGE]
}

/// A block that begins so far behind a page.
fn block(memory: &mut [u8], offset: usize) -> &mut [u8] {
    let start = (PAGE + offset - memory.as_ptr().addr() % PAGE) % PAGE;
    &mut memory[start..start + BLOCK]
}

/// A connection over loopback, and what another thread does with its other end.
fn connection(does: fn(TcpStream)) -> (TcpStream, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let place = listener.local_addr().expect("it is bound");
    let other = thread::spawn(move || does(listener.accept().expect("somebody connects").0));
    let stream = TcpStream::connect(place).expect("somebody listens");
    stream.set_nodelay(true).expect("it is a socket");
    (stream, other)
}

fn take_all(mut stream: TcpStream) {
    let mut memory = memory();
    let block = block(&mut memory, 1024);
    while stream.read(block).is_ok_and(|count| count > 0) {}
}

/// Writes as many programs do, 64 KiB at a time, until nobody reads.
fn write_on(mut stream: TcpStream) {
    let mut memory = memory();
    let block = block(&mut memory, 1024);
    while stream.write_all(&block[..64 * 1024]).is_ok() {}
}

/// Writes a block as frames, all in one call where the system takes them.
fn write(stream: &mut TcpStream, block: &[u8], len: usize, header: &[u8]) {
    let frame = |payload| [IoSlice::new(header), IoSlice::new(payload)];
    let mut slices: Vec<_> = block.chunks(len).flat_map(frame).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let count = stream.write_vectored(rest).expect("somebody reads");
        IoSlice::advance_slices(&mut rest, count);
    }
}

/// What this thread has used of the processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
