//! TCP in memory, on tokio's clock: a send queue, a window and a delay in each direction, half-closes and resets. It does what
//! Linux does: what was received stays readable behind a reset, what was only queued is lost with it, and an error is told once.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::ending::{Ending, Loss};
use crate::peer::{ByteStream, During};

/// How long a reset waits while nothing of what is queued before it gets through, as `endpoint/tcp.rs` has it.
pub(super) const RESET_PATIENCE: Duration = Duration::from_secs(2);

/// What a connection is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// How long each byte takes.
    pub(super) delay: Duration,
    /// Bytes that a receiver keeps unread.
    pub(super) window: usize,
    /// Bytes that a sender keeps until the window is open.
    pub(super) queue: usize,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Way {
    queued: BytesMut,
    /// What is in the window, and when it arrives.
    received: VecDeque<(Instant, Bytes)>,
    received_len: usize,
    is_shut: bool,
    fin_at: Option<Instant>,
    reset_at: Option<Instant>,
    /// Whether the receiver was told of the reset.
    is_told: bool,
    /// Whether the receiver has closed its end.
    is_unread: bool,
}

#[derive(Debug)]
struct State {
    line: Line,
    ways: [Way; 2],
    wakers: Vec<Waker>,
    /// Bytes that a reset destroyed in the queue of its own side.
    lost: [usize; 2],
}

/// One end of a connection; all its clones are the same end.
#[derive(Clone, Debug)]
pub(super) struct Port {
    state: Arc<Mutex<State>>,
    side: usize,
}

/// Makes a connection.
pub(super) fn link(line: Line) -> [Port; 2] {
    let state = Arc::new(Mutex::new(State {
        line,
        ways: Default::default(),
        wakers: Vec::new(),
        lost: [0; 2],
    }));
    [0, 1].map(|side| Port {
        state: Arc::clone(&state),
        side,
    })
}

impl State {
    fn wake(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    /// Moves what fits from a queue into the window, and the end behind it. Returns when something arrives.
    fn transfer(&mut self, side: usize) -> Option<Instant> {
        let (line, now) = (self.line, Instant::now());
        let way = &mut self.ways[side];
        let mut arrival = None;
        if way.is_unread {
            let had = !way.queued.is_empty();
            way.queued.clear();
            // What comes to a connection that is closed is answered by a reset.
            let back = &mut self.ways[1 - side];
            if had && back.reset_at.is_none() {
                back.reset_at = Some(now + line.delay * 2);
                return back.reset_at;
            }
            return None;
        }
        if way.reset_at.is_some() {
            return None;
        }
        let room = line.window.saturating_sub(way.received_len);
        let len = room.min(way.queued.len());
        if len > 0 {
            let piece = way.queued.split_to(len).freeze();
            way.received.push_back((now + line.delay, piece));
            way.received_len += len;
            arrival = Some(now + line.delay);
        }
        if way.is_shut && way.fin_at.is_none() && way.queued.is_empty() {
            way.fin_at = Some(now + line.delay);
            arrival = way.fin_at;
        }
        arrival
    }

    fn has_arrived(at: Option<Instant>) -> bool {
        at.is_some_and(|at| at <= Instant::now())
    }

    /// The error that a reset is, once; then that of who goes on.
    fn reset_error(&mut self, side: usize) -> Option<io::Error> {
        let way = &mut self.ways[1 - side];
        if !State::has_arrived(way.reset_at) {
            return None;
        }
        Some(match std::mem::replace(&mut way.is_told, true) {
            false => io::ErrorKind::ConnectionReset.into(),
            true => io::ErrorKind::BrokenPipe.into(),
        })
    }
}

impl Port {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Wakes all now and when something arrives.
    fn changed(&self, state: &mut State, arrives_at: Option<Instant>) {
        state.wake();
        let Some(at) = arrives_at.filter(|at| *at > Instant::now()) else {
            return;
        };
        let port = self.clone();
        tokio::spawn(async move {
            sleep_until(at).await;
            port.lock().wake();
        });
    }

    pub(super) fn poll_read(&self, cx: &Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        let mut state = self.lock();
        let way = &mut state.ways[1 - self.side];
        if let Some((at, piece)) = way.received.front_mut()
            && *at <= Instant::now()
        {
            let bytes = piece.copy_to_bytes(most.min(piece.len()));
            if piece.is_empty() {
                way.received.pop_front();
            }
            way.received_len -= bytes.len();
            let arrival = state.transfer(1 - self.side);
            self.changed(&mut state, arrival);
            return Poll::Ready(Ok(bytes));
        }
        // Linux tells no reset to who has read the end.
        let is_end = State::has_arrived(way.fin_at) && way.received.is_empty();
        if is_end || (way.is_told && State::has_arrived(way.reset_at)) {
            return Poll::Ready(Ok(Bytes::new()));
        }
        if way.received.is_empty()
            && let Some(error) = state.reset_error(self.side)
        {
            return Poll::Ready(Err(error));
        }
        state.wakers.push(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        if let Some(error) = state.reset_error(self.side) {
            return Poll::Ready(Err(error));
        }
        if state.ways[self.side].is_shut || state.ways[self.side].reset_at.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = state.line.queue - state.ways[self.side].queued.len();
        let len = room.min(bytes.len());
        if len == 0 {
            state.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        state.ways[self.side]
            .queued
            .extend_from_slice(&bytes[..len]);
        let arrival = state.transfer(self.side);
        self.changed(&mut state, arrival);
        Poll::Ready(Ok(len))
    }

    /// Half-closes.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        let mut state = self.lock();
        if State::has_arrived(state.ways[1 - self.side].reset_at) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        state.ways[self.side].is_shut = true;
        let arrival = state.transfer(self.side);
        self.changed(&mut state, arrival);
        Ok(())
    }

    /// Resets.
    pub(super) fn reset(&self) {
        let mut state = self.lock();
        let arrives_at = Instant::now() + state.line.delay;
        let lost = std::mem::take(&mut state.ways[self.side].queued).len();
        state.lost[self.side] += lost;
        state.ways[self.side].reset_at.get_or_insert(arrives_at);
        self.leave(&mut state);
        self.changed(&mut state, Some(arrives_at));
    }

    /// Closes: what is queued is still sent, what comes is answered by a reset.
    fn close(&self) {
        let mut state = self.lock();
        let is_unread = !state.ways[1 - self.side].received.is_empty();
        self.leave(&mut state);
        drop(state);
        if is_unread {
            self.reset();
        }
    }

    fn leave(&self, state: &mut State) {
        let way = &mut state.ways[1 - self.side];
        way.is_unread = true;
        way.queued.clear();
        way.received.clear();
        way.received_len = 0;
    }

    /// Bytes that a reset of this end destroyed in its queue.
    pub(super) fn lost(&self) -> usize {
        self.lock().lost[self.side]
    }

    /// Whether the other end has reset without an end before it.
    pub(super) fn is_cut(&self) -> bool {
        let state = self.lock();
        let way = &state.ways[1 - self.side];
        State::has_arrived(way.reset_at) && !State::has_arrived(way.fin_at)
    }

    /// Ready when the other end has reset.
    pub(super) fn poll_reset(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if State::has_arrived(state.ways[1 - self.side].reset_at) {
            return Poll::Ready(());
        }
        state.wakers.push(cx.waker().clone());
        Poll::Pending
    }

    /// Bytes that the other end's system has not acknowledged.
    fn unacknowledged(&self) -> usize {
        let state = self.lock();
        let (way, now) = (&state.ways[self.side], Instant::now());
        let coming = way.received.iter().filter(|(at, _)| *at > now);
        way.queued.len() + coming.map(|(_, piece)| piece.len()).sum::<usize>()
    }

    /// Writes all.
    pub(super) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let len = poll_fn(|cx| self.poll_write(cx, bytes)).await?;
            bytes = &bytes[len..];
        }
        Ok(())
    }
}

/// A bridge's end of a connection, ended as `endpoint/tcp.rs` ends its own: dropping it resets it, unless it ended cleanly.
pub(super) struct Connection {
    port: Port,
    end: End,
}

enum End {
    Open,
    /// Waits for the peer to take what is queued: how much was left, until when something must move, when it is looked at.
    Aborting(usize, Instant, Pin<Box<Sleep>>),
    Clean,
    Aborted,
}

impl Connection {
    pub(super) fn new(port: Port) -> Box<Connection> {
        Box::new(Connection {
            port,
            end: End::Open,
        })
    }

    fn poll_abort(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.end {
                End::Aborted => return Poll::Ready(()),
                End::Open | End::Clean => {
                    let until = Instant::now() + RESET_PATIENCE;
                    let look = Box::pin(sleep(Duration::ZERO));
                    self.end = End::Aborting(usize::MAX, until, look);
                }
                End::Aborting(queued, until, look) => {
                    ready!(look.as_mut().poll(cx));
                    let (now, left) = (Instant::now(), self.port.unacknowledged());
                    if left < *queued {
                        (*queued, *until) = (left, now + RESET_PATIENCE);
                    }
                    if left == 0 || now >= *until {
                        self.end = End::Aborted;
                    } else {
                        look.as_mut().reset(now + Duration::from_millis(10));
                    }
                }
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        match self.end {
            End::Clean => self.port.close(),
            _ => self.port.reset(),
        }
    }
}

impl ByteStream for Connection {
    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Ready(Ending::Eof)
    }

    fn failed(&self, _during: During, error: &io::Error) -> Ending {
        Ending::of_error(error)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<io::Result<()>> {
        if why.is_abort() {
            ready!(self.poll_abort(cx));
            return Poll::Ready(Ok(()));
        }
        self.end = End::Clean;
        Poll::Ready(self.port.shutdown())
    }

    fn queued(&self) -> usize {
        self.port.unacknowledged()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.port.poll_reset(cx).map(|()| Ending::Lost(Loss::Reset))
    }

    fn is_closed(&self) -> bool {
        false
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = ready!(self.port.poll_read(cx, buf.remaining()))?;
        buf.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.port.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.port.shutdown())
    }
}
