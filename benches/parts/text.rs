//! Text: judged, and cut into lines.

use std::hint::black_box;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use criterion::{Criterion, Throughput};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wsbridge::ending::Ending;
use wsbridge::framing::{Framed, Framing};
use wsbridge::memory::Memory;
use wsbridge::peer::{ByteStream, During, Event, MessageStreamExt};
use wsbridge::utf8::Utf8;

use crate::BLOCK;

/// UTF-8, of which ASCII is the case that must cost least.
pub(crate) fn utf8(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("utf8");
    for (name, sample) in [
        ("ascii", "plain words in ASCII, "),
        ("mixed", "naïve Grüße, 你好, 🦀; "),
    ] {
        for (size, len) in [("64B", 64), ("64KiB", 64 * 1024)] {
            let text = sample.repeat(len / sample.len() + 1);
            let text = &text[..text.floor_char_boundary(len)];
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(format!("{name}/{size}"), |bencher| {
                let mut utf8 = Utf8::default();
                bencher.iter(|| utf8.feed(black_box(text.as_bytes())));
            });
        }
    }
}

/// The line splitter, as stdin has it: read, judged as text, cut at newlines.
pub(crate) fn lines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lines");
    for (size, len) in [("16B", 16), ("64B", 64), ("1KiB", 1024)] {
        let line = format!("{}\n", "x".repeat(len - 1));
        let mut framed = Framed::new(
            Box::new(Endless::new(&line)),
            Framing::LINES,
            &Memory::default(),
        );
        group.throughput(Throughput::Bytes(BLOCK as u64));
        group.bench_function(size, |bencher| {
            bencher.iter(|| take(&mut framed, BLOCK));
        });
    }
}

/// Takes lines until there were so many bytes of them, newlines included.
fn take(framed: &mut Framed, bytes: usize) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut taken = 0;
    while taken < bytes {
        taken += match black_box(framed.poll_next(&mut cx)) {
            Poll::Ready(Event::Fragment(line)) => line.payload.len() + 1,
            Poll::Ready(Event::Batch(lines)) => lines.payload() + lines.count(),
            _ => panic!("the input has no end"),
        };
    }
}

/// A byte stream in memory that repeats itself and forgets what is written.
struct Endless {
    bytes: Vec<u8>,
    at: usize,
}

impl Endless {
    fn new(line: &str) -> Endless {
        Endless {
            bytes: line.repeat(BLOCK / line.len()).into_bytes(),
            at: 0,
        }
    }
}

impl ByteStream for Endless {
    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Ready(Ending::Eof)
    }

    fn failed(&self, _during: During, error: &io::Error) -> Ending {
        Ending::of_error(error)
    }

    fn poll_end(&mut self, _cx: &mut Context<'_>, _why: &Ending) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn queued(&self) -> usize {
        0
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn is_closed(&self) -> bool {
        false
    }
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let here = &self.bytes[self.at..];
        let len = here.len().min(buf.remaining());
        buf.put_slice(&here[..len]);
        self.at = (self.at + len) % self.bytes.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
