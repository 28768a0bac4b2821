//! The pool of buffers that connections borrow: an idle connection holds none.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
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
/// Slices that one vectored write takes: a full buffer that was cut to pieces as short as are written from where they lie, and
/// what stands before each of them. The system takes 1,024 (IOV_MAX).
const SLICES: usize = 2 * LARGE / SHORT + 2;
/// Slices that are prepared where there are few pieces.
const FEW_SLICES: usize = 20;
/// Bytes that may be left over from one read to the next without holding on to the buffer.
const LEFT_OVER: usize = 64;

/// Bytes of a page of memory.
const PAGE: usize = 4096;
/// How far behind the beginning of a page a buffer begins.
///
/// Some processors of AMD copy slowly where the destination lies up to 64 bytes behind the source, as far as the lowest 12 bits
/// of both addresses tell. The kernel has what a socket received at the beginning of pages, and an allocator puts a large buffer
/// 16 bytes behind one: to read a GiB into it takes 0.53 s of processor time, and 0.29 s from 128 bytes on. A write has a
/// destination that moves with each header and meets a source at the beginning of a page the same way.
/// `cargo bench --bench parts -- page` measures both.
const BEHIND_PAGE: usize = 128;

static LENT: AtomicUsize = AtomicUsize::new(0);
/// Bytes that all bridges of the process have asked for. Buffers belong to threads and are lent to whichever bridge runs there, as
/// malloc's memory is: what may be lent is a bound of the process, to which each bridge adds its own part.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// Bytes that a bridge adds to what may be lent, until it is dropped.
#[derive(Debug)]
pub struct Asked(usize);

/// Lets as many large buffers be lent as suit a bridge with `memory` bytes for what it collects: half of that. All bridges
/// together are lent between 16 and 128 MiB.
#[must_use = "what is dropped asks for nothing"]
pub fn suit(memory: usize) -> Asked {
    // Each has a bound, so that their sum does not overflow.
    let asked = (memory / 2).clamp(1, MOST_LENT);
    ASKED.fetch_add(asked, Ordering::Relaxed);
    Asked(asked)
}

impl Drop for Asked {
    fn drop(&mut self) {
        ASKED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Bytes that may be lent where so many are asked for.
fn budget(asked: usize) -> usize {
    match asked {
        0 => MOST_LENT,
        asked => asked.clamp(LEAST_LENT, MOST_LENT),
    }
}

thread_local! {
    static FREE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static ROOMS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Frees what this thread keeps for the next ones that borrow: a mebibyte or more where many sessions have ended together.
pub fn give_back() {
    FREE.take();
    ROOMS.take();
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
        if is_there(LARGE + PAGE).is_ok() {
            return Ok((placed(BytesMut::with_capacity(LARGE + PAGE)), lease));
        }
    }
    drop(lease);
    is_there(SMALL + PAGE)
        .map_err(|shortage| io::Error::new(io::ErrorKind::OutOfMemory, shortage))?;
    let small = placed(BytesMut::with_capacity(SMALL + PAGE));
    Ok((small, Lease { size: 0 }))
}

/// Sees whether the system has so many bytes: an allocation that fails would end the process.
fn is_there(bytes: usize) -> Result<(), Shortage> {
    reserve(&mut Vec::new(), bytes)
}

/// How many bytes of an allocation that begins at `start` lie before the place where a buffer begins.
fn gap(start: *const u8) -> usize {
    (BEHIND_PAGE + PAGE - start.addr() % PAGE) % PAGE
}

/// Moves the front of an empty buffer to where one begins; it is at the front of its allocation.
fn placed(mut bytes: BytesMut) -> BytesMut {
    bytes.split_off(gap(bytes.as_ptr()))
}

impl Lease {
    /// Takes a lease of a large buffer, or of a small one, which is not counted, while too many large ones are lent.
    fn take() -> Lease {
        let budget = budget(ASKED.load(Ordering::Relaxed));
        if LENT.fetch_add(LARGE, Ordering::Relaxed) + LARGE <= budget {
            return Lease { size: LARGE };
        }
        LENT.fetch_sub(LARGE, Ordering::Relaxed);
        Lease { size: 0 }
    }

    /// Gives the buffer back; it is kept where no slice of it is still in use.
    fn give_back(self, mut bytes: BytesMut) {
        bytes.clear();
        if self.size == LARGE && bytes.try_reclaim(LARGE + PAGE) {
            FREE.with_borrow_mut(|free| {
                if free.len() < KEPT {
                    free.push(placed(bytes));
                }
            });
        }
    }

    /// How many bytes are read into the buffer.
    fn room(&self) -> usize {
        if self.size == LARGE { LARGE } else { SMALL }
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
        self.bytes.len() >= self.lease.as_ref().map_or(SMALL, Lease::room)
    }

    /// Reads once, behind what is there. `Ok(0)` is the end of the stream; `Pending` leaves an empty buffer lent back.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn poll_fill<R>(&mut self, io: &mut R, cx: &mut Context<'_>) -> Poll<io::Result<usize>>
    where
        R: AsyncRead + Unpin + ?Sized,
    {
        let room = match self.make_room() {
            Ok(room) => room,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let result = poll_read_buf(Pin::new(io), cx, &mut (&mut self.bytes).limit(room));
        if !matches!(result, Poll::Ready(Ok(1..))) {
            self.give_back();
        }
        result
    }

    /// Makes room behind what is there; returns for how many bytes.
    fn make_room(&mut self) -> io::Result<usize> {
        if let Some(lease) = &self.lease {
            let room = lease.room();
            let wanted = room.saturating_sub(self.bytes.len()).max(LEFT_OVER);
            let whole = (room + PAGE).saturating_sub(self.bytes.len());
            if self.bytes.try_reclaim(whole.max(LEFT_OVER)) {
                self.place();
                return Ok(wanted);
            }
            // Slices that are still on their way out keep their room: go on behind them while that is worth a read.
            let here = self.bytes.capacity() - self.bytes.len();
            if here >= SMALL.min(wanted) {
                return Ok(here.min(wanted));
            }
        }
        let (mut fresh, lease) = lend()?;
        let room = lease.room().saturating_sub(self.bytes.len());
        fresh.extend_from_slice(&self.bytes);
        self.replace(fresh, Some(lease));
        Ok(room.max(LEFT_OVER))
    }

    /// Moves a few left-over bytes from the front of their allocation to where a buffer begins.
    fn place(&mut self) {
        let len = self.bytes.len();
        let mut rest = [0; LEFT_OVER];
        if let Some(rest) = rest.get_mut(..len) {
            rest.copy_from_slice(&self.bytes);
            self.bytes.clear();
            self.bytes = placed(std::mem::take(&mut self.bytes));
            self.bytes.extend_from_slice(rest);
        }
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
        let is_large = lease.size == LARGE && (kept.is_some() || is_there(LARGE + PAGE).is_ok());
        let least = if is_large { LARGE } else { SMALL };
        let fresh = || vec![0; size.max(least) + PAGE].into_boxed_slice();
        let bytes = kept.unwrap_or_else(fresh);
        let begin = gap(bytes.as_ptr());
        Room {
            bytes,
            lease: Some(lease),
            written: begin,
            filled: begin,
        }
    }

    /// Makes sure that `more` bytes can follow.
    fn reserve(&mut self, more: usize) {
        if self.bytes.len() - self.filled >= more {
            return;
        }
        let unwritten = self.filled - self.written;
        let mut begin = gap(self.bytes.as_ptr());
        if self.bytes.len() < begin + unwritten + more {
            let mut larger = Room::lend(unwritten + more);
            begin = larger.filled;
            larger.bytes[begin..begin + unwritten]
                .copy_from_slice(&self.bytes[self.written..self.filled]);
            *self = larger;
        } else {
            self.bytes.copy_within(self.written..self.filled, begin);
        }
        (self.written, self.filled) = (begin, begin + unwritten);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.lease.is_some() && self.bytes.len() == LARGE + PAGE {
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
        self.len >= LARGE
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
        match self.pieces.len() {
            0 => {
                let gathered = &self.room.bytes[self.room.written..self.room.filled];
                Pin::new(io).poll_write(cx, gathered)
            }
            1..FEW_SLICES => self.poll_write_pieces::<FEW_SLICES, W>(io, cx),
            _ => self.poll_write_pieces::<SLICES, W>(io, cx),
        }
    }

    /// Writes pieces, `MOST` of them at most, in one call.
    fn poll_write_pieces<const MOST: usize, W>(
        &self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        let mut gathered = &self.room.bytes[self.room.written..self.room.filled];
        let mut slices = [IoSlice::new(&[]); MOST];
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

    #[test]
    fn what_may_be_lent_has_bounds_whoever_asks() {
        for (asked, expected) in [
            (0, MOST_LENT),
            (1, LEAST_LENT),
            (LEAST_LENT + 1, LEAST_LENT + 1),
            (3 * MOST_LENT, MOST_LENT),
        ] {
            assert_eq!(budget(asked), expected, "{asked}");
        }
    }

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
    async fn what_a_thread_keeps_for_the_next_is_given_back() {
        let kept = || FREE.with_borrow(Vec::len) + ROOMS.with_borrow(Vec::len);
        give_back();
        let (mut near, mut far) = tokio::io::duplex(LARGE);
        drop(near.try_write_for_test(b"hello").await);
        let mut buffer = ReadBuffer::default();
        poll_fn(|cx| buffer.poll_fill(&mut far, cx)).await.unwrap();
        drop((buffer, Room::lend(SMALL)));
        assert_eq!(kept(), 2);
        give_back();
        assert_eq!(kept(), 0);
    }

    /// How far behind the beginning of a page it begins.
    fn behind_page(bytes: &[u8]) -> usize {
        bytes.as_ptr().addr() % PAGE
    }

    #[tokio::test]
    async fn what_is_read_begins_behind_the_beginning_of_a_page() {
        let (mut near, mut far) = tokio::io::duplex(2 * LARGE);
        let mut buffer = ReadBuffer::default();
        for _ in 0..3 {
            drop(near.try_write_for_test(&[7; LARGE]).await);
            let read = poll_fn(|cx| buffer.poll_fill(&mut far, cx)).await.unwrap();
            assert_eq!((read, buffer.is_full()), (LARGE, true));
            let slice = buffer.bytes().split();
            assert_eq!(behind_page(&slice), BEHIND_PAGE);
        }
        // Also behind what was left over, a few bytes of it.
        drop(near.try_write_for_test(&[7; 1000]).await);
        poll_fn(|cx| buffer.poll_fill(&mut far, cx)).await.unwrap();
        buffer.bytes().advance(990);
        drop(near.try_write_for_test(&[8; LARGE]).await);
        let read = poll_fn(|cx| buffer.poll_fill(&mut far, cx)).await.unwrap();
        assert_eq!(read, LARGE - 10);
        assert_eq!(behind_page(buffer.bytes()), BEHIND_PAGE);
        assert_eq!(
            &buffer.bytes()[..12],
            b"\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x08\x08"
        );
        // A slice that is on its way keeps its bytes, and the read goes on behind it or elsewhere.
        let slice = buffer.bytes().split_to(LARGE - 20);
        drop(near.try_write_for_test(&[9; LARGE]).await);
        let read = poll_fn(|cx| buffer.poll_fill(&mut far, cx)).await.unwrap();
        // What did not fit before comes first.
        assert!(read > 10, "{read}");
        assert_eq!((slice[0], &buffer.bytes()[..20]), (7, &[8; 20][..]));
        drop(slice);
        drop(buffer);
        let (free, _lease) = lend().unwrap();
        assert_eq!(behind_page(&free), BEHIND_PAGE);
        let room = Room::lend(0);
        assert_eq!(behind_page(&room.bytes[room.filled..]), BEHIND_PAGE);
    }

    #[test]
    fn what_is_gathered_begins_behind_the_beginning_of_a_page_also_when_it_grows() {
        let mut room = Room::default();
        for size in [10, LARGE / 2, LARGE, 2 * LARGE] {
            room.reserve(size);
            assert!(room.bytes.len() - room.filled >= size, "{size}");
            let begin = room.filled - (room.filled - room.written);
            assert_eq!(behind_page(&room.bytes[begin..]), BEHIND_PAGE, "{size}");
            room.bytes[room.filled] = 1;
            room.filled += 1;
        }
        assert_eq!(&room.bytes[room.written..room.filled], [1; 4]);
    }

    /// Notes how many slices, and how many bytes, each write has.
    #[derive(Default)]
    struct Writes(Vec<(usize, usize)>);

    impl AsyncWrite for Writes {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(buf)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes = bufs.iter().map(|slice| slice.len()).sum();
            self.0.push((bufs.len(), bytes));
            Poll::Ready(Ok(bytes))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_full_buffer_in_pieces_is_one_write() {
        // The system takes no more slices at once.
        const { assert!(SLICES <= 1024) };
        for chunk in [SHORT + 1, 5000, 8192, 15 * 1024, 32 * 1024, LARGE] {
            let mut outbox = Outbox::default();
            let (mut left, mut pieces) = (LARGE, 0);
            while left > 0 {
                assert!(!outbox.is_full(), "{chunk}: {left} bytes are left");
                let len = left.min(chunk);
                outbox.copy(b"head");
                outbox.push(BytesMut::zeroed(len));
                (left, pieces) = (left - len, pieces + 1);
            }
            let mut writes = Writes::default();
            poll_fn(|cx| outbox.poll_write(&mut writes, cx))
                .await
                .unwrap();
            let bytes: usize = writes.0.iter().map(|write| write.1).sum();
            assert_eq!((writes.0.len(), bytes), (1, LARGE + 4 * pieces), "{chunk}");
        }
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
