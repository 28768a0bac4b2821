//! One open connection, in one of two shapes: a stream of bytes or a stream of messages.

mod early;
pub mod kept;
mod pings;
mod proof;
mod spent;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::buffer::LARGE;
use crate::ending::{Ending, Loss};
use crate::framing::{Cut, Framed, Framing};
use crate::memory::Memory;
use crate::message::{Batch, Fragment};
use crate::sendqueue::{self, Delivery, Hangup};

pub use early::behind;
pub use pings::Pings;
pub use proof::Proof;
pub use spent::Spent;

/// An open connection.
pub enum Peer {
    /// Bytes without boundaries, and how they are to be cut into messages.
    Bytes(Box<dyn ByteStream>, Framing),
    /// Messages.
    Messages(Box<dyn MessageStream>),
}

impl Peer {
    /// Whether a half-close can be carried to it and from it.
    pub fn can_half_close(&self) -> bool {
        match self {
            Peer::Bytes(io, framing) => io.can_half_close() && framing.can_half_close(),
            Peer::Messages(stream) => stream.can_half_close(),
        }
    }

    /// The subprotocol that its opening agreed to, `""` being none; `None` where it agrees to none ever.
    pub fn protocol(&self) -> Option<&str> {
        match self {
            Peer::Bytes(..) => None,
            Peer::Messages(stream) => stream.protocol(),
        }
    }

    /// Whether it takes bytes whose boundaries mean nothing, so that a client need not cut lines.
    pub fn is_byte_stream(&self) -> bool {
        match self {
            Peer::Bytes(_, framing) => framing.cut == Cut::Chunks,
            Peer::Messages(stream) => stream.framing().is_some_and(|it| it.cut == Cut::Chunks),
        }
    }
}

/// Makes messages of both sides: the one seam between bytes and messages.
///
/// A byte stream is cut by its framing, but between two of them nothing is cut: their bytes pass as they are, unless framings
/// were asked for that differ; nor where a side of messages is one of bytes within, which both sides are cut as.
/// What is collected for that is counted in `memory`.
pub fn into_messages(left: Peer, right: Peer, memory: &Memory) -> [Box<dyn MessageStream>; 2] {
    let as_it_is = |own: &Framing, other: &dyn MessageStream| match own.is_asked {
        true => None,
        false if other.ignores_boundaries() => Some(Framing::BYTES),
        false => other.framing(),
    };
    let keeps_chunk = |own: &Framing, other: &dyn MessageStream| {
        as_it_is(own, other).map(|framing| Framing {
            chunk: own.chunk,
            ..framing
        })
    };
    let [of_left, of_right] = match (&left, &right) {
        (Peer::Bytes(_, left), Peer::Bytes(_, right)) => left.joined_to(*right).map(Some),
        (Peer::Bytes(_, own), Peer::Messages(other)) => [keeps_chunk(own, &**other), None],
        (Peer::Messages(other), Peer::Bytes(_, own)) => [None, keeps_chunk(own, &**other)],
        (Peer::Messages(_), Peer::Messages(_)) => [None; 2],
    };
    [(left, of_left), (right, of_right)].map(|(peer, joined)| -> Box<dyn MessageStream> {
        match peer {
            Peer::Bytes(stream, own) => {
                let is_one = own.is_one;
                let framing = joined.unwrap_or(own);
                Box::new(Framed::new(stream, Framing { is_one, ..framing }, memory))
            }
            Peer::Messages(stream) => stream,
        }
    })
}

/// A stream of bytes that can say how it ended and be told why it ends.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Says what the end of the stream meant; called after a read of 0 bytes.
    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Ready(Ending::Eof)
    }

    /// Says what an error of a read meant.
    fn read_failed(&self, error: &io::Error) -> Ending {
        Ending::of_error(error)
    }

    /// Says what an error of a write meant. [`Ending::ReaderGone`] where that is a normal way to end.
    fn write_failed(&self, error: &io::Error) -> Ending {
        Ending::of_error(error)
    }

    /// Ends our direction, after all was written: a half-close, or a reset where `why` is an abort.
    ///
    /// # Errors
    /// Those of the transport; the direction is over all the same.
    fn poll_end(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<io::Result<()>>;

    /// Bytes that were written and that the other end has not taken yet, as far as the system can tell.
    fn queued(&self) -> usize {
        0
    }

    /// What it is for the system, where facts about its peer can be asked there: the socket below TLS.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// How the peer takes what it is sent. Calls of the system: for timers, not for the data path.
    fn delivery(&self) -> Delivery {
        self.descriptor()
            .map_or(Delivery::Unknown, sendqueue::delivery)
    }

    /// Ready where the peer has gone altogether, as far as that shows without reading: what comes may still have to be read.
    /// An abort, or [`Ending::Eof`] and [`Ending::ReaderGone`] where it may have been its way to finish.
    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        match self.descriptor().and_then(sendqueue::hangup) {
            Some(Hangup::Reset) => Poll::Ready(Ending::Lost(Loss::Reset)),
            Some(Hangup::Closed) => Poll::Ready(Ending::Eof),
            Some(Hangup::Finished) | None => Poll::Pending,
        }
    }

    /// Whether this is the process's own input and output: the end of the one says nothing about the other.
    fn is_local(&self) -> bool {
        false
    }

    /// Whether it never says that it is finished: a serial line.
    fn has_no_end(&self) -> bool {
        false
    }

    /// Whether the end of what it takes and the end of what it yields are two events: not for a serial line or a terminal.
    fn can_half_close(&self) -> bool {
        !self.has_no_end()
    }

    /// Whether its end was that of both directions, so that an answer would reach no one: a program that has exited, a Unix
    /// socket that was closed. Asked after its end.
    fn is_closed(&self) -> bool {
        false
    }

    /// Ready when it was reset after its clean end, while it still takes what it is sent.
    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    /// Whether its input is one whole that ends by itself: stdin, a file, what a program prints. A connection stays open for
    /// another answer.
    fn is_whole(&self) -> bool {
        false
    }
}

/// A stream of messages in both directions, with a close that says why.
///
/// Every method may be called again after `Pending`, and after an end: an ended direction stays ended.
pub trait MessageStream: Send + Unpin {
    /// Takes the next fragment, or the end, out of what has come already; touches no transport. There is no error channel:
    /// a reset is an ending.
    fn take(&mut self) -> Option<Event>;

    /// Reads once, when there was nothing to take, and sees to what is due meanwhile: pings, pongs.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Tells what it has read since this was last called, and counts anew. A stream that has spent a turn yields nothing more
    /// until it is asked, or until [`poll_more`](MessageStream::poll_more) has let others run.
    fn spent(&mut self) -> Spent;

    /// Yields fragments, then exactly one end; behind the end that a half-close marker is, also the Close that follows it.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            if let Some(event) = self.take() {
                return Poll::Ready(event);
            }
            ready!(self.poll_more(cx));
        }
    }

    /// Ready with the end where that is not to be waited for until what came before has been delivered: who does not keep up
    /// is cut off. Asked while what it yields has nowhere to go.
    fn poll_cut(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    /// Ready where its peer has gone, as far as that shows without reading on: an abort where it was lost, else how it may
    /// have finished. What it yields is still to be delivered. Asked once a second while that has nowhere to go, which is when
    /// it also sees to what is due, such as pings; and each time of the process's own output, whose reader may leave.
    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    /// Whether its peer may go, or ask whether we live, without that showing while it is not read: a socket's.
    fn can_go(&self) -> bool {
        false
    }

    /// Ready when a fragment may be sent.
    ///
    /// # Errors
    /// How our direction ended, where it did.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>>;

    /// Takes a fragment, after [`poll_ready`](MessageStream::poll_ready) was ready.
    ///
    /// # Errors
    /// How our direction ended, where it did. A message that does not fit ([`Ending::is_unfit`]) ends both directions: what
    /// was sent before is still delivered, and what is yielded next is the end.
    fn start_send(&mut self, fragment: Fragment) -> Result<(), Ending>;

    /// Takes a batch, after [`poll_ready`](MessageStream::poll_ready) was ready: what matters at a high rate has a faster way
    /// than one message after the other.
    ///
    /// # Errors
    /// How our direction ended, where it did.
    fn start_send_batch(&mut self, batch: Batch) -> Result<(), Ending> {
        batch
            .fragments()
            .try_for_each(|fragment| self.start_send(fragment))
    }

    /// Takes the news of a gap on the other side, after [`poll_ready`](MessageStream::poll_ready) was ready and between two
    /// messages. It is passed on where there is a way to.
    fn hear_gap(&mut self, _gap: Gap) {}

    /// Ready when the transport has taken all that was sent, control frames of our own included.
    ///
    /// # Errors
    /// How our direction ended, where it did.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>>;

    /// Ends our direction and says why, after all was flushed. Once the other direction has ended too it ends the transport,
    /// within a time of its own; it is called again for that.
    ///
    /// # Errors
    /// How our direction had ended before, where it had.
    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>>;

    /// Bytes sent that the other end has not taken yet, as far as can be told.
    fn unsent(&self) -> usize;

    /// Whether it may go on sending after we closed our direction. Bytes: yes. A WebSocket: only until its Close, unless
    /// half-closes are in force and no Close has passed.
    fn half_closes(&self) -> bool;

    /// Whether the end of what it takes and the end of what it yields are two events, so that a WebSocket across may offer to
    /// carry half-closes.
    fn can_half_close(&self) -> bool {
        false
    }

    /// Whether its end was that of both directions, so that an answer would reach no one. Asked after its end.
    fn is_closed(&self) -> bool {
        false
    }

    /// Ready when it was reset after its clean end, while it still takes what it is sent.
    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    /// How far the half-close extension has come; `None` where it was not agreed to.
    fn marks(&self) -> Option<Marks> {
        None
    }

    /// Whether a piece of a message has come that cannot be taken yet.
    fn has_piece(&self) -> bool {
        false
    }

    /// The proof that its peer knows half-closes, where the extension was agreed to.
    fn proof(&self) -> Option<Arc<Proof>> {
        None
    }

    /// Proves to its peer that half-closes are known here: at once, or once the hop across has its proof.
    fn prove(&mut self, _across: Option<Arc<Proof>>) {}

    /// Whether this is the process's own input and output.
    fn is_local(&self) -> bool {
        false
    }

    /// Whether it never says that it is finished, so that after the end of the other side answers are only waited for as long
    /// as some come: datagrams.
    fn has_no_end(&self) -> bool {
        false
    }

    /// Whether what it yields is nobody's answer and goes on whether anybody hears it: a stop interrupts it at once.
    fn is_feed(&self) -> bool {
        self.has_no_end()
    }

    /// Whether it must be read on though nothing of it is copied: what it took has yet to be delivered.
    fn works_unheard(&self) -> bool {
        false
    }

    /// Asks the peer to say when it has taken all that was sent so far; the number of the question, where it can be asked.
    fn probe(&mut self) -> Option<u64> {
        None
    }

    /// The number of the last [`probe`](MessageStream::probe) that was answered, and with it those before.
    fn probed(&self) -> u64 {
        0
    }

    /// What is to be sent again on each further connection, where this is one that says it anew.
    fn greeting(&self) -> Vec<Fragment> {
        Vec::new()
    }

    /// Is told what is to be sent first on each further connection.
    fn greet(&mut self, _greeting: Vec<Fragment>) {}

    /// The subprotocol that its opening agreed to, of those that were offered; `""` where it agreed to none of them.
    fn protocol(&self) -> Option<&str> {
        None
    }

    /// What may have been lost between connections that took each other's place.
    fn gap(&self) -> Gap {
        Gap::default()
    }

    /// Whether it makes no difference to what is sent here where a message begins and ends.
    fn ignores_boundaries(&self) -> bool {
        false
    }

    /// How its bytes are cut, where it is a side of bytes within.
    fn framing(&self) -> Option<Framing> {
        None
    }

    /// Is told that the other side takes bytes whose boundaries mean nothing: a line that a person types has its newline then.
    fn speak_bytes(&mut self) {}

    /// The pings that a person may ask for here, to be sent by the other side.
    fn pings(&self) -> Option<Arc<Pings>> {
        None
    }

    /// Sends the pings that are asked for on the other side; a stream that has none ignores it.
    fn carry_pings(&mut self, _pings: Arc<Pings>) {}

    /// Allows it to yield many messages as one fragment: the other side ignores boundaries.
    fn merge_messages(&mut self) {}

    /// Bytes of the messages that bytes without boundaries are to be sent here as, at most; `None` where that makes no
    /// difference.
    fn chunk(&self) -> Option<usize> {
        None
    }

    /// Is told the [`chunk`](MessageStream::chunk) of the other side, `usize::MAX` where that has none. What yields messages of
    /// their own length ignores it.
    fn cut_at(&mut self, _most: usize) {}

    /// The longest message that it was sent, where its peer may have refused that.
    fn longest(&self) -> Option<Longest> {
        None
    }

    /// How many whole messages have been yielded, where that can not be seen by their fragments.
    fn merged_messages(&self) -> Option<u64> {
        None
    }
}

/// The longest message that a peer was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Longest {
    /// Its bytes, as far as they were sent; `u32::MAX` are as many or more.
    pub bytes: u32,
    /// Bytes of its frames at most.
    pub chunk: u32,
}

/// For people: how long the message was, and what makes shorter ones.
impl fmt::Display for Longest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Longest { bytes, chunk } = *self;
        write!(f, "our largest message had {bytes} bytes")?;
        if bytes > chunk {
            return write!(
                f,
                "; --chunk makes its fragments of {chunk} bytes smaller, not the message"
            );
        }
        // What the strictest of the common servers takes, or the next size that is smaller.
        match bytes {
            8193.. => write!(f, "; --chunk 8K makes smaller ones of bytes"),
            ..=8 => Ok(()),
            _ => {
                let smaller = bytes.next_power_of_two() / 2;
                write!(f, "; --chunk {smaller} makes smaller ones of bytes")
            }
        }
    }
}

/// How far the half-close extension has come on a WebSocket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// How long an end of input waits for the proof of the extension; `None` once it is proved.
    pub proof_wait: Option<Duration>,
    /// Whether our marker was sent, and our Close has to follow.
    pub owes_close: bool,
    /// Whether the peer's marker was received, and its Close has to follow.
    pub awaits_close: bool,
    /// How much later a pong may be than that of a peer that has read all, for what a slow one may not have read yet.
    pub backlog: Duration,
}

/// What was sent and may never have arrived, because a connection was lost and another took its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// How often a connection was lost.
    pub times: u64,
    /// Messages, each whole or in part.
    pub messages: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

impl Gap {
    /// What both have together.
    pub fn and(self, other: Gap) -> Gap {
        Gap {
            times: self.times + other.times,
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |count| if count == 1 { "" } else { "s" };
        let Gap {
            messages, bytes, ..
        } = *self;
        write!(
            f,
            "{messages} message{}, {bytes} byte{}",
            end(messages),
            end(bytes)
        )
    }
}

/// What a direction yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A piece of a message.
    Fragment(Fragment),
    /// Many whole messages; none comes between the fragments of another message.
    Batch(Batch),
    /// What comes from here on comes over another connection, and so much of what was sent to the last may be lost. Between
    /// messages only.
    Gap(Gap),
    /// The end, once.
    End(Ending),
}

/// Makes two message streams that are each other's other end, in memory.
pub fn pipe() -> (Pipe, Pipe) {
    let (one, other) = (Arc::new(Queue::default()), Arc::new(Queue::default()));
    (
        Pipe {
            incoming: one.clone(),
            outgoing: other.clone(),
        },
        Pipe {
            incoming: other,
            outgoing: one,
        },
    )
}

/// One end of an in-memory connection, bounded in both directions. Endings pass through it unchanged.
#[derive(Debug)]
pub struct Pipe {
    incoming: Arc<Queue>,
    outgoing: Arc<Queue>,
}

/// Fragments and batches that a queue holds at most.
const QUEUED: usize = 1024;

#[derive(Debug, Default)]
struct Queue(Mutex<QueueState>);

#[derive(Debug, Default)]
struct QueueState {
    /// Without the end.
    events: VecDeque<Event>,
    /// Bytes of memory that they hold on to.
    bytes: usize,
    end: Option<Ending>,
    /// Bytes of the message that was begun and not finished, if there is one.
    begun: Option<u64>,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // Nothing panics while it is held; a poisoned state is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

impl Pipe {
    /// Makes a stream that gives back what it is sent.
    pub fn looped() -> Pipe {
        let queue = Arc::new(Queue::default());
        Pipe {
            incoming: queue.clone(),
            outgoing: queue,
        }
    }

    fn send(&mut self, event: Event) -> Result<(), Ending> {
        let mut queue = self.outgoing.lock();
        if queue.reader_gone {
            return Err(Ending::ReaderGone);
        }
        queue.bytes += event.size();
        queue.begun = match &event {
            Event::Fragment(piece) if !piece.fin => {
                Some(queue.begun.unwrap_or(0) + piece.payload.len() as u64)
            }
            _ => None,
        };
        queue.events.push_back(event);
        queue.wake_reader();
        Ok(())
    }
}

impl Event {
    /// Bytes of memory that it holds on to.
    pub(crate) fn size(&self) -> usize {
        match self {
            Event::Fragment(fragment) => fragment.payload.len(),
            Event::Batch(batch) => batch.size(),
            Event::Gap(_) | Event::End(_) => 0,
        }
    }
}

impl MessageStream for Pipe {
    fn take(&mut self) -> Option<Event> {
        let mut queue = self.incoming.lock();
        if let Some(event) = queue.events.pop_front() {
            queue.bytes -= event.size();
            queue.wake_writer();
            return Some(event);
        }
        queue.end.clone().map(Event::End)
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.incoming.lock();
        if !queue.events.is_empty() || queue.end.is_some() {
            return Poll::Ready(());
        }
        queue.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn spent(&mut self) -> Spent {
        Spent::default()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        let mut queue = self.outgoing.lock();
        if queue.reader_gone {
            return Poll::Ready(Err(Ending::ReaderGone));
        }
        if queue.events.len() < QUEUED && queue.bytes < LARGE {
            return Poll::Ready(Ok(()));
        }
        queue.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn start_send(&mut self, fragment: Fragment) -> Result<(), Ending> {
        self.send(Event::Fragment(fragment))
    }

    fn start_send_batch(&mut self, batch: Batch) -> Result<(), Ending> {
        self.send(Event::Batch(batch))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        let mut queue = self.outgoing.lock();
        if queue.reader_gone {
            return Poll::Ready(Err(Ending::ReaderGone));
        }
        if queue.events.is_empty() {
            return Poll::Ready(Ok(()));
        }
        queue.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        let mut queue = self.outgoing.lock();
        if queue.end.is_none() {
            let why = why.clone();
            queue.end = Some(match queue.begun {
                Some(received) => why.within_message(received),
                None => why,
            });
        }
        queue.wake_reader();
        Poll::Ready(Ok(()))
    }

    fn unsent(&self) -> usize {
        0
    }

    fn half_closes(&self) -> bool {
        true
    }

    fn can_half_close(&self) -> bool {
        true
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut incoming = self.incoming.lock();
        incoming.reader_gone = true;
        incoming.events.clear();
        incoming.wake_writer();
        drop(incoming);
        let mut outgoing = self.outgoing.lock();
        if outgoing.end.is_none() {
            outgoing.end = Some(Ending::Lost(Loss::NoClose));
        }
        outgoing.wake_reader();
    }
}

#[cfg(test)]
pub(crate) mod panicking;
#[cfg(test)]
pub(crate) mod wire;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Close;
    use std::future::poll_fn;

    async fn send(pipe: &mut Pipe, fragment: Fragment) -> Result<(), Ending> {
        poll_fn(|cx| pipe.poll_ready(cx)).await?;
        pipe.start_send(fragment)
    }

    #[tokio::test]
    async fn a_pipe_keeps_fragments_and_endings_as_they_are() {
        let (mut near, mut far) = pipe();
        let piece = Fragment {
            fin: false,
            ..Fragment::text("a")
        };
        send(&mut near, piece.clone()).await.unwrap();
        send(&mut near, Fragment::text("")).await.unwrap();
        let why = Ending::Close(Close::new(4000, "done"));
        poll_fn(|cx| near.poll_close(cx, &why)).await.unwrap();
        for expected in [
            Event::Fragment(piece),
            Event::Fragment(Fragment::text("")),
            Event::End(why.clone()),
            Event::End(why),
        ] {
            assert_eq!(poll_fn(|cx| far.poll_next(cx)).await, expected);
        }
    }

    #[tokio::test]
    async fn a_pipe_is_bounded_and_a_dropped_end_is_noticed() {
        let (mut near, mut far) = pipe();
        let big = Fragment::binary(vec![0; LARGE]);
        send(&mut near, big.clone()).await.unwrap();
        poll_fn(|cx| {
            assert!(near.poll_ready(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(
            poll_fn(|cx| far.poll_next(cx)).await,
            Event::Fragment(big.clone())
        );
        send(&mut near, big.clone()).await.unwrap();
        drop(far);
        assert_eq!(send(&mut near, big).await, Err(Ending::ReaderGone));
        let next = poll_fn(|cx| near.poll_next(cx)).await;
        assert_eq!(next, Event::End(Ending::Lost(Loss::NoClose)));
    }
}
