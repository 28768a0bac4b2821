//! One open connection, in one of two shapes: a stream of bytes or a stream of messages.

mod carry;
mod early;
mod ext;
pub mod kept;
mod opened;
mod pings;
mod proof;
mod spent;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::buffer::LARGE;
use crate::ending::{Ending, Loss};
use crate::message::{Batch, Fragment};
use crate::sendqueue::{self, Delivery, Hangup};

pub use carry::{Carry, Listener, Speaker};
pub use early::behind;
pub use ext::MessageStreamExt;
pub use opened::{Messages, Opened, Stream, StreamFacts, into_messages};
pub use pings::Pings;
pub use proof::Proof;
pub use spent::Spent;

/// A stream of bytes that can say how it ended and be told why it ends. What is known about it before is in [`StreamFacts`].
///
/// There are no default functions: a wrapper that forgets one does not compile.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Says what the end of the stream meant; called after a read of 0 bytes.
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<Ending>;

    /// Says what an error of a read or a write meant: [`Ending::of_error`] for a transport of no own meaning, and
    /// [`Ending::ReaderGone`] where a failed write is a normal way to end.
    fn failed(&self, during: During, error: &io::Error) -> Ending;

    /// Ends our direction, after all was written: a half-close, or a reset where `why` is an abort.
    ///
    /// # Errors
    /// Those of the transport; the direction is over all the same.
    fn poll_end(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<io::Result<()>>;

    /// Bytes that were written and that the other end has not taken yet, as far as the system can tell.
    fn queued(&self) -> usize;

    /// What it is for the system, where facts about its peer can be asked there: the socket below TLS.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// Ready where the peer has gone altogether, as far as that shows without reading: what comes may still have to be read.
    /// An abort, or [`Ending::Eof`] and [`Ending::ReaderGone`] where it may have been its way to finish. A socket asks
    /// [`gone`].
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ending>;

    /// Ready when it was reset after its clean end, while it still takes what it is sent.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Ending>;

    /// Whether its end was that of both directions, so that an answer would reach no one: a program that has exited, a Unix
    /// socket that was closed. Asked after its end.
    fn is_closed(&self) -> bool;
}

impl dyn ByteStream {
    /// How the peer takes what it is sent. Calls of the system: for timers, not for the data path.
    pub fn delivery(&self) -> Delivery {
        self.descriptor()
            .map_or(Delivery::Unknown, sendqueue::delivery)
    }
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// A read.
    Read,
    /// A write.
    Write,
}

/// Whether the peer of a socket has gone altogether, by what the system knows of the socket.
pub fn gone(socket: Option<BorrowedFd<'_>>) -> Poll<Ending> {
    match socket.and_then(sendqueue::hangup) {
        Some(Hangup::Reset) => Poll::Ready(Ending::Lost(Loss::Reset)),
        Some(Hangup::Closed) => Poll::Ready(Ending::Eof),
        Some(Hangup::Finished) | None => Poll::Pending,
    }
}

/// A stream of messages in both directions, with a close that says why. What is known about it before is in [`StreamFacts`].
///
/// Every method may be called again after `Pending`, and after an end: an ended direction stays ended. There are no default
/// functions: a wrapper that forgets one does not compile.
pub trait MessageStream: Send + Unpin {
    /// Takes the next fragment, or the end, out of what has come already; touches no transport. There is no error channel:
    /// a reset is an ending.
    fn take(&mut self) -> Option<Event>;

    /// Reads once, when there was nothing to take, and sees to what is due meanwhile: pings, pongs.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Tells what it has read since this was last called, and counts anew. A stream that has spent a turn yields nothing more
    /// until it is asked, or until [`poll_more`](MessageStream::poll_more) has let others run.
    fn spent(&mut self) -> Spent;

    /// Ready with the end where that is not to be waited for until what came before has been delivered: who does not keep up
    /// is cut off. Asked while what it yields has nowhere to go.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Ending>;

    /// Ready where its peer has gone, as far as that shows without reading on: an abort where it was lost, else how it may
    /// have finished. What it yields is still to be delivered. Asked once a second while that has nowhere to go, which is when
    /// it also sees to what is due, such as pings; and each time of the process's own output, whose reader may leave.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ending>;

    /// Ready when it was reset after its clean end, while it still takes what it is sent.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Ending>;

    /// Ready when a fragment may be sent.
    ///
    /// # Errors
    /// How our direction ended, where it did.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>>;

    /// Takes a fragment, a batch or a gap, after [`poll_ready`](MessageStream::poll_ready) was ready. A batch is worth as much
    /// as its messages one by one ([`Event::each`]). A gap on the other side comes between two messages, and is passed on
    /// where there is a way to. An end is ignored: [`poll_close`](MessageStream::poll_close) says that.
    ///
    /// # Errors
    /// How our direction ended, where it did. A message that does not fit ([`Ending::is_unfit`]) ends both directions: what
    /// was sent before is still delivered, and what is yielded next is the end.
    fn start_send(&mut self, event: Event) -> Result<(), Ending>;

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

    /// Takes a notice. A stream ignores what does not concern it; a wrapper passes on what it does not use itself.
    fn notify(&mut self, notice: Notice);

    /// Bytes sent that the other end has not taken yet, as far as can be told. May be a call of the system.
    fn unsent(&self) -> usize;

    /// Whether its end was that of both directions, so that an answer would reach no one. Asked after its end; may be a call
    /// of the system.
    fn is_closed(&self) -> bool;

    /// What changes while it is open, as far as no call of the system is needed to know it.
    fn tally(&self) -> Tally;
}

/// What a stream is told besides what is sent to it.
#[derive(Clone, Debug)]
pub enum Notice {
    /// What is to be sent first on each further connection, where it connects again.
    Greeting(Vec<Fragment>),
    /// Pings that a person asks for on the other side, to be sent here.
    Pings(Arc<Pings>),
    /// Prove to the peer that half-closes are known here: at once, or once the hop across has its proof.
    Prove(Option<Arc<Proof>>),
    /// The other side takes bytes whose boundaries mean nothing: a line that a person types has its newline then.
    SpeakBytes,
    /// The other side ignores boundaries: many messages may be yielded as one fragment.
    MergeMessages,
    /// The [`chunk`](StreamFacts::chunk) of the other side, `usize::MAX` where that has none. What yields messages of their
    /// own length ignores it.
    CutAt(usize),
    /// Ask the peer to say when it has taken all that was sent so far. [`Tally::asked`] has the number of the question then.
    Probe,
}

/// What changes about an open stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whether it may go on sending after we closed our direction. Bytes: yes. A WebSocket: only until its Close, unless
    /// half-closes are in force and no Close has passed.
    pub half_closes: bool,
    /// Whether its peer may go, or ask whether we live, without that showing while it is not read: a socket's.
    pub can_go: bool,
    /// Whether it must be read on though nothing of it is copied: what it took has yet to be delivered.
    pub works_unheard: bool,
    /// Whether a piece of a message has come that cannot be taken yet.
    pub has_piece: bool,
    /// How far the half-close extension has come; `None` where it was not agreed to.
    pub marks: Option<Marks>,
    /// The number of the last question that its peer was asked ([`Notice::Probe`]), from 1; `None` where it cannot be asked.
    pub asked: Option<u64>,
    /// The number of the last question that was answered, and with it those before.
    pub answered: u64,
    /// How many whole messages have been yielded, where that cannot be seen by their fragments.
    pub merged: Option<u64>,
    /// What may have been lost between connections that took each other's place.
    pub gap: Gap,
    /// The longest message that it was sent, where its peer may have refused that.
    pub longest: Option<Longest>,
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

/// What a direction yields, and but for the end what it is sent.
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

    fn push(&mut self, event: Event) -> Result<(), Ending> {
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

impl From<Fragment> for Event {
    fn from(fragment: Fragment) -> Event {
        Event::Fragment(fragment)
    }
}

impl From<Batch> for Event {
    fn from(batch: Batch) -> Event {
        Event::Batch(batch)
    }
}

impl From<Gap> for Event {
    fn from(gap: Gap) -> Event {
        Event::Gap(gap)
    }
}

impl Event {
    /// Gives its fragments to `send` one by one: for streams that have no faster way for a batch, and none to pass on a gap.
    ///
    /// # Errors
    /// The first of `send`; what follows is dropped.
    pub fn each(self, mut send: impl FnMut(Fragment) -> Result<(), Ending>) -> Result<(), Ending> {
        match self {
            Event::Fragment(fragment) => send(fragment),
            Event::Batch(batch) => batch.fragments().try_for_each(send),
            Event::Gap(_) | Event::End(_) => Ok(()),
        }
    }

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

    fn start_send(&mut self, event: Event) -> Result<(), Ending> {
        match event {
            event @ (Event::Fragment(_) | Event::Batch(_)) => self.push(event),
            Event::Gap(_) | Event::End(_) => Ok(()),
        }
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

    fn poll_cut(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn notify(&mut self, _notice: Notice) {}

    fn unsent(&self) -> usize {
        0
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn tally(&self) -> Tally {
        Tally {
            half_closes: true,
            ..Tally::default()
        }
    }
}

impl From<Pipe> for Opened {
    fn from(pipe: Pipe) -> Opened {
        let facts = StreamFacts {
            can_half_close: true,
            ..StreamFacts::default()
        };
        Opened::messages(Box::new(pipe), facts)
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
        pipe.send(fragment.into()).await
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
            assert_eq!(far.next().await, expected);
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
