//! What it costs to write to a socket from a buffer that begins at this or that place of a page: processor time, as bytes per
//! second of it.
//!
//! A header before each payload lets the copy in the kernel begin at another place of its page each time, which some processors
//! of AMD do slowly out of the beginning of a page. This is why read buffers begin 128 bytes behind one.

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

/// A block of frames a write, by the place of the payload.
pub(crate) fn page(criterion: &mut Criterion) {
    for (name, len, header) in FRAMES {
        let mut group = criterion.benchmark_group(format!("page/{name}"));
        group.throughput(Throughput::Bytes(BLOCK as u64));
        for offset in OFFSETS {
            let bytes = vec![b'x'; BLOCK + PAGE];
            let start = (PAGE + offset - bytes.as_ptr().addr() % PAGE) % PAGE;
            let block = &bytes[start..start + BLOCK];
            let (mut stream, reader) = connection();
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

/// A connection over loopback, and who reads all that comes.
fn connection() -> (TcpStream, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let place = listener.local_addr().expect("it is bound");
    let reader = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        let mut buf = vec![0; BLOCK];
        while stream.read(&mut buf).is_ok_and(|count| count > 0) {}
    });
    let stream = TcpStream::connect(place).expect("somebody listens");
    stream.set_nodelay(true).expect("it is a socket");
    (stream, reader)
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
