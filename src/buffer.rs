//! The pool of buffers that connections borrow: an idle connection holds none.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use crate::ending::Shortage;
use crate::memory::reserve;
use crate::message::{Batch, SHORT};

/// Bytes of a buffer as it is lent: one read takes all that the kernel has, up to this.
pub const LARGE: usize = 256 * 1024;
/// Bytes of a buffer that is lent while the budget of large ones is used up.
pub const SMALL: usize = 16 * 1024;
/// Bytes in large buffers that may be lent at one time in the whole process, and the least that a small machine has.
const MOST_LENT: usize = 128 * 1024 * 1024;
const LEAST_LENT: usize = 16 * 1024 * 1024;

/// Free buffers, and free rooms, that a thread keeps.
const KEPT: usize = 4;
/// Slices that one vectored write takes.
const SLICES: usize = 64;
/// Bytes that may be left over from one read to the next without holding on to the buffer.
const LEFT_OVER: usize = 64;

static LENT: AtomicUsize = AtomicUsize::new(0);
static BUDGET: AtomicUsize = AtomicUsize::new(MOST_LENT);

/// Lets no more large buffers be lent than suit a machine that leaves `memory` bytes to what is collected: half of that,
/// between 16 and 128 MiB.
pub fn suit(memory: usize) {
    let budget = (memory / 2).clamp(LEAST_LENT, MOST_LENT);
    BUDGET.store(budget, Ordering::Relaxed);
}

thread_local! {
    static FREE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static ROOMS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that was lent: its room is counted until it is given back.
#[derive(Debug)]
struct Lease {
    size: usize,
}

/// Lends a buffer: a small one where the system has no memory for a large one.
///
/// # Errors
/// It has none for a small one either.
fn lend() -> io::Result<(BytesMut, Lease)> {
    let lease = Lease::take();
    if lease.size == LARGE {
        if let Some(bytes) = FREE.with_borrow_mut(Vec::pop) {
            return Ok((bytes, lease));
        }
        if is_there(LARGE).is_ok() {
            return Ok((BytesMut::with_capacity(LARGE), lease));
        }
    }
    drop(lease);
    is_there(SMALL).map_err(|shortage| io::Error::new(io::ErrorKind::OutOfMemory, shortage))?;
    Ok((BytesMut::with_capacity(SMALL), Lease { size: 0 }))
}

/// Sees whether the system has so many bytes: an allocation that fails would end the process.
fn is_there(bytes: usize) -> Result<(), Shortage> {
    reserve(&mut Vec::new(), bytes)
}

impl Lease {
    /// Takes a lease of a large buffer, or of a small one, which is not counted, while too many large ones are lent.
    fn take() -> Lease {
        let budget = BUDGET.load(Ordering::Relaxed);
        if LENT.fetch_add(LARGE, Ordering::Relaxed) + LARGE <= budget {
            return Lease { size: LARGE };
        }
        LENT.fetch_sub(LARGE, Ordering::Relaxed);
        Lease { size: 0 }
    }

    /// Gives the buffer back; it is kept where no slice of it is still in use.
    fn give_back(self, mut bytes: BytesMut) {
        bytes.clear();
        if self.size == LARGE && bytes.try_reclaim(LARGE) {
            FREE.with_borrow_mut(|free| {
                if free.len() < KEPT {
                    free.push(bytes);
                }
            });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        LENT.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// What has been read and not yet consumed. It borrows its room when it reads and gives it back when it is empty.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    bytes: BytesMut,
    lease: Option<Lease>,
}

impl ReadBuffer {
    /// Makes a buffer that starts with `bytes`, which some earlier reader had read already.
    pub fn starting_with(bytes: impl AsRef<[u8]>) -> ReadBuffer {
        ReadBuffer {
            bytes: BytesMut::from(bytes.as_ref()),
            lease: None,
        }
    }

    /// The bytes, to be consumed from the front.
    pub fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Whether it holds as many bytes as it ever will before some are consumed.
    pub fn is_full(&self) -> bool {
        match &self.lease {
            Some(lease) if lease.size == LARGE => self.bytes.len() >= LARGE,
            _ => self.bytes.len() >= SMALL,
        }
    }

    /// Reads once, behind what is there. `Ok(0)` is the end of the stream; `Pending` leaves an empty buffer lent back.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn poll_fill<R>(&mut self, io: &mut R, cx: &mut Context<'_>) -> Poll<io::Result<usize>>
    where
        R: AsyncRead + Unpin + ?Sized,
    {
        if let Err(error) = self.make_room() {
            return Poll::Ready(Err(error));
        }
        let result = poll_read_buf(Pin::new(io), cx, &mut self.bytes);
        if !matches!(result, Poll::Ready(Ok(1..))) {
            self.give_back();
        }
        result
    }

    fn make_room(&mut self) -> io::Result<()> {
        if let Some(lease) = &self.lease {
            let size = if lease.size == LARGE { LARGE } else { SMALL };
            let wanted = size.saturating_sub(self.bytes.len()).max(LEFT_OVER);
            // Slices that are still on their way out keep their room: go on behind them while that is worth a read.
            if self.bytes.try_reclaim(wanted)
                || self.bytes.capacity() - self.bytes.len() >= SMALL.min(wanted)
            {
                return Ok(());
            }
        }
        let (mut fresh, lease) = lend()?;
        fresh.extend_from_slice(&self.bytes);
        self.replace(fresh, Some(lease));
        Ok(())
    }

    /// Gives the room back; a few left-over bytes move to a small place of their own.
    fn give_back(&mut self) {
        if self.lease.is_some() && self.bytes.len() <= LEFT_OVER {
            let rest = BytesMut::from(&self.bytes[..]);
            self.replace(rest, None);
        }
    }

    fn replace(&mut self, bytes: BytesMut, lease: Option<Lease>) {
        let old = std::mem::replace(&mut self.bytes, bytes);
        if let Some(old_lease) = std::mem::replace(&mut self.lease, lease) {
            old_lease.give_back(old);
        }
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.replace(BytesMut::new(), None);
    }
}

/// What is to be written: small pieces gathered in one room, large ones written from where they lie.
#[derive(Debug, Default)]
pub struct Outbox {
    /// In their order; those gathered lie in the room one behind the other.
    pieces: VecDeque<Piece>,
    room: Room,
    /// Bytes of the room behind all pieces.
    tail: usize,
    len: usize,
}

#[derive(Debug)]
enum Piece {
    /// The next so many bytes of the room.
    Gathered(usize),
    Whole(BytesMut),
}

/// Where small pieces are gathered. All of its bytes are initialised once and for all, so that nothing is to be zeroed.
#[derive(Debug, Default)]
struct Room {
    bytes: Box<[u8]>,
    lease: Option<Lease>,
    written: usize,
    filled: usize,
}

impl Room {
    fn lend(size: usize) -> Room {
        let lease = Lease::take();
        let kept = match lease.size {
            LARGE if size <= LARGE => ROOMS.with_borrow_mut(Vec::pop),
            _ => None,
        };
        let is_large = lease.size == LARGE && (kept.is_some() || is_there(LARGE).is_ok());
        let least = if is_large { LARGE } else { SMALL };
        Room {
            bytes: kept.unwrap_or_else(|| vec![0; size.max(least)].into_boxed_slice()),
            lease: Some(lease),
            written: 0,
            filled: 0,
        }
    }

    /// Makes sure that `more` bytes can follow.
    fn reserve(&mut self, more: usize) {
        if self.bytes.len() - self.filled >= more {
            return;
        }
        let unwritten = self.filled - self.written;
        if self.bytes.len() < unwritten + more {
            let mut larger = Room::lend(unwritten + more);
            larger.bytes[..unwritten].copy_from_slice(&self.bytes[self.written..self.filled]);
            *self = larger;
        } else {
            self.bytes.copy_within(self.written..self.filled, 0);
        }
        (self.written, self.filled) = (0, unwritten);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.lease.is_some() && self.bytes.len() == LARGE {
            let bytes = std::mem::take(&mut self.bytes);
            ROOMS.with_borrow_mut(|rooms| {
                if rooms.len() < KEPT {
                    rooms.push(bytes);
                }
            });
        }
    }
}

impl Outbox {
    /// Bytes not yet taken by the transport.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether all has been taken by the transport.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether so much is waiting that no more should be added before some of it is written.
    pub fn is_full(&self) -> bool {
        self.len >= LARGE - 2 * SHORT
            || self.room.filled - self.room.written > LARGE - Batch::ROOM
            || self.pieces.len() >= 2 * SLICES
    }

    /// Adds a copy of a few bytes.
    pub fn copy(&mut self, bytes: &[u8]) {
        self.put(bytes.len(), |room| {
            room[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        });
    }

    /// Adds a payload: a short one is copied behind the others, a long one is kept as it is.
    pub fn push(&mut self, payload: BytesMut) {
        if payload.len() <= SHORT {
            return self.copy(&payload);
        }
        self.len += payload.len();
        if self.tail > 0 {
            self.pieces.push_back(Piece::Gathered(self.tail));
            self.tail = 0;
        }
        self.pieces.push_back(Piece::Whole(payload));
    }

    /// Adds what `write` puts into a room of `size` bytes or more; it returns how many bytes that are.
    pub fn put(&mut self, size: usize, write: impl FnOnce(&mut [u8]) -> usize) {
        self.room.reserve(size);
        let count = write(&mut self.room.bytes[self.room.filled..]);
        self.room.filled += count;
        self.tail += count;
        self.len += count;
    }

    /// Writes until nothing is left.
    ///
    /// # Errors
    /// Those of the writer; `WriteZero` where it takes nothing and says so.
    pub fn poll_write<W>(&mut self, io: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        if self.len == 0 {
            return Poll::Ready(Ok(()));
        }
        while self.len > 0 {
            let written = ready!(self.poll_write_once(io, cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        // Whoever has nothing to write holds nothing.
        *self = Outbox::default();
        Poll::Ready(Ok(()))
    }

    fn poll_write_once<W>(&self, io: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<usize>>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        let mut gathered = &self.room.bytes[self.room.written..self.room.filled];
        if self.pieces.is_empty() {
            return Pin::new(io).poll_write(cx, gathered);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let bytes = match piece {
                Piece::Whole(payload) => payload,
                Piece::Gathered(len) => {
                    let (bytes, rest) = gathered.split_at(*len);
                    gathered = rest;
                    bytes
                }
            };
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        if let Some(last) = slices.get_mut(count)
            && self.tail > 0
        {
            *last = IoSlice::new(gathered);
            count += 1;
        }
        Pin::new(io).poll_write_vectored(cx, &slices[..count])
    }

    fn advance(&mut self, mut written: usize) {
        self.len -= written;
        while let Some(front) = self.pieces.front_mut() {
            let len = match front {
                Piece::Whole(payload) => payload.len(),
                Piece::Gathered(len) => *len,
            };
            let taken = written.min(len);
            match front {
                Piece::Whole(payload) => payload.advance(taken),
                Piece::Gathered(len) => {
                    *len -= taken;
                    self.room.written += taken;
                }
            }
            if taken < len {
                return;
            }
            written -= taken;
            self.pieces.pop_front();
        }
        self.tail -= written;
        self.room.written += written;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn an_idle_reader_holds_no_buffer() {
        let (mut near, far) = tokio::io::duplex(LARGE);
        drop(near.try_write_for_test(b"hello").await);
        let mut far = far;
        let mut buffer = ReadBuffer::default();
        let read = poll_fn(|cx| buffer.poll_fill(&mut far, cx)).await.unwrap();
        assert_eq!((read, &buffer.bytes()[..]), (5, &b"hello"[..]));
        assert!(buffer.lease.is_some());
        buffer.bytes().advance(3);
        poll_fn(|cx| {
            assert!(buffer.poll_fill(&mut far, cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(buffer.lease.is_none());
        assert_eq!(&buffer.bytes()[..], b"lo");
    }

    #[tokio::test]
    async fn a_buffer_is_used_again_when_its_slices_are_gone() {
        let (mut near, mut far) = tokio::io::duplex(LARGE);
        let mut buffer = ReadBuffer::default();
        for _ in 0..3 {
            drop(near.try_write_for_test(&[7; 1000]).await);
            poll_fn(|cx| buffer.poll_fill(&mut far, cx)).await.unwrap();
            let slice = buffer.bytes().split();
            assert_eq!(slice.len(), 1000);
        }
        assert!(buffer.bytes.try_reclaim(LARGE), "still one allocation");
    }

    trait TryWrite {
        async fn try_write_for_test(&mut self, bytes: &[u8]) -> io::Result<()>;
    }

    impl TryWrite for tokio::io::DuplexStream {
        async fn try_write_for_test(&mut self, bytes: &[u8]) -> io::Result<()> {
            tokio::io::AsyncWriteExt::write_all(self, bytes).await
        }
    }

    proptest! {
        #[test]
        fn what_is_put_in_comes_out_in_order(sizes in prop::collection::vec((0usize..10_000, any::<bool>()), 0..40)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (out, expected) = runtime.block_on(async {
                let (mut near, mut far) = tokio::io::duplex(777);
                let mut outbox = Outbox::default();
                let mut expected = Vec::new();
                for (index, (size, copied)) in sizes.iter().enumerate() {
                    let bytes = vec![u8::try_from(index).unwrap(); *size];
                    expected.extend_from_slice(&bytes);
                    if *copied { outbox.copy(&bytes) } else { outbox.push(BytesMut::from(&bytes[..])) }
                    assert_eq!(outbox.len(), expected.len());
                }
                let writer = tokio::spawn(async move {
                    poll_fn(|cx| outbox.poll_write(&mut near, cx)).await.unwrap();
                    assert!(outbox.is_empty() && outbox.room.lease.is_none());
                });
                let mut out = Vec::new();
                far.read_to_end(&mut out).await.unwrap();
                writer.await.unwrap();
                (out, expected)
            });
            prop_assert_eq!(out, expected);
        }
    }
}
