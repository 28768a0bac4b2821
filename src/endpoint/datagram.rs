//! Datagrams as messages: whole ones only, whatever socket carries them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use clap::Args;
use rustix::io::Errno;

use crate::ending::{Ending, Loss, errno_text};
use crate::framing::Whole;
use crate::memory::Memory;
use crate::message::{Fragment, Kind};
use crate::peer::{Event, MessageStream, Notice, Opened, Spent, StreamFacts, Tally, gone};

/// Options of everything that carries datagrams.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
#[command(next_help_heading = "Messages")]
pub struct Options {
    /// Make text messages of datagrams, which must be UTF-8
    #[arg(long, short, conflicts_with = "binary")]
    pub text: bool,
    /// Make binary messages of datagrams, as they do anyway
    #[arg(long, short)]
    pub binary: bool,
}

impl Options {
    /// The kind of message that a datagram becomes.
    pub fn kind(&self) -> Kind {
        if self.text { Kind::Text } else { Kind::Binary }
    }
}

/// A socket that carries datagrams to and from one peer.
pub trait Carrier: Send + Unpin {
    /// Receives a datagram, which may be empty; `None` is the end.
    ///
    /// # Errors
    /// The system's.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<BytesMut>>>;

    /// Sends a datagram of at most [`limit`](Carrier::limit) bytes.
    ///
    /// # Errors
    /// The system's.
    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>>;

    /// Ends our direction, where the transport has a way to say so.
    ///
    /// # Errors
    /// The system's.
    fn end(&mut self, _why: &Ending) -> io::Result<()> {
        Ok(())
    }

    /// The longest datagram that can be sent, in bytes.
    fn limit(&self) -> usize;

    /// Whether its peer has no way to say that it is finished.
    fn has_no_end(&self) -> bool {
        true
    }

    /// The socket of a connection, which its peer can close.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether its peer has closed it altogether; asked after its end.
    fn is_closed(&self) -> bool {
        false
    }
}

/// Datagrams as a message stream. A message is sent when all of it is there; no more than the longest datagram is collected.
pub struct Datagrams {
    carrier: Box<dyn Carrier>,
    kind: Kind,
    received: Option<Fragment>,
    /// Bytes received so far.
    offset: u64,
    ended: Option<Ending>,
    /// The message whose end has not come.
    whole: Whole,
    outgoing: VecDeque<BytesMut>,
    cut: Option<Ending>,
}

impl Datagrams {
    /// Makes messages of a kind out of what a socket carries; those that it is sent in pieces are counted in `memory`.
    pub fn new(carrier: Box<dyn Carrier>, kind: Kind, memory: &Memory) -> Datagrams {
        Datagrams {
            whole: Whole::fixed(carrier.limit(), memory),
            carrier,
            kind,
            received: None,
            offset: 0,
            ended: None,
            outgoing: VecDeque::new(),
            cut: None,
        }
    }

    /// Takes a datagram that came, or says that it is not what it should be.
    fn receive(&mut self, payload: BytesMut) {
        let before = self.offset;
        self.offset += payload.len() as u64;
        match str::from_utf8(&payload) {
            Err(error) if self.kind == Kind::Text => {
                let offset = before + error.valid_up_to() as u64;
                self.ended = Some(Ending::NotText { offset });
            }
            _ => {
                self.received = Some(Fragment {
                    kind: self.kind,
                    fin: true,
                    payload,
                });
            }
        }
    }

    /// Ends both directions: what is wrong with the one is wrong with the other.
    fn fail(&mut self, ending: Ending) -> Ending {
        self.ended.get_or_insert(ending.clone());
        self.cut.get_or_insert(ending).clone()
    }

    /// Looks whether the unfinished message had to give way.
    fn look_for_shortage(&mut self, cx: &mut Context<'_>) {
        if let Some(shortage) = self.whole.shortage(cx) {
            self.fail(Ending::OutOfMemory(shortage));
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.look_for_shortage(cx);
        if let Some(cut) = &self.cut {
            return Poll::Ready(Err(cut.clone()));
        }
        while let Some(datagram) = self.outgoing.front() {
            if let Err(error) = ready!(self.carrier.poll_send(cx, datagram)) {
                let ending = of_error(&error).unwrap_or(Ending::WriteFailed(errno_text(&error)));
                return Poll::Ready(Err(self.fail(ending)));
            }
            self.outgoing.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

/// What an error of the peer's making meant; `None` is one of our own side.
fn of_error(error: &io::Error) -> Option<Ending> {
    match Errno::from_io_error(error)? {
        Errno::CONNREFUSED => Some(Ending::Lost(Loss::Refused)),
        Errno::CONNRESET | Errno::PIPE | Errno::NOTCONN => Some(Ending::Lost(Loss::Reset)),
        _ => None,
    }
}

impl From<Datagrams> for Opened {
    fn from(datagrams: Datagrams) -> Opened {
        let has_no_end = datagrams.carrier.has_no_end();
        let facts = StreamFacts {
            has_no_end,
            is_feed: has_no_end,
            can_half_close: !has_no_end,
            ..StreamFacts::default()
        };
        Opened::messages(Box::new(datagrams), facts)
    }
}

impl MessageStream for Datagrams {
    fn take(&mut self) -> Option<Event> {
        if let Some(fragment) = self.received.take() {
            return Some(Event::Fragment(fragment));
        }
        self.ended.clone().map(Event::End)
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.look_for_shortage(cx);
        if self.ended.is_some() || self.received.is_some() {
            return Poll::Ready(());
        }
        match ready!(self.carrier.poll_receive(cx)) {
            Ok(Some(payload)) => self.receive(payload),
            Ok(None) => self.ended = Some(Ending::Eof),
            Err(error) => {
                let ending = of_error(&error).unwrap_or(Ending::ReadFailed(errno_text(&error)));
                self.fail(ending);
            }
        }
        Poll::Ready(())
    }

    fn spent(&mut self) -> Spent {
        Spent::default()
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.look_for_shortage(cx);
        match &self.ended {
            Some(ending @ Ending::OutOfMemory(_)) => Poll::Ready(ending.clone()),
            _ => Poll::Pending,
        }
    }

    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        gone(self.carrier.descriptor())
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.poll_drain(cx)
    }

    fn start_send(&mut self, event: Event) -> Result<(), Ending> {
        event.each(|fragment| {
            if let Some(cut) = &self.cut {
                return Err(cut.clone());
            }
            match self.whole.add(fragment) {
                Ok(datagram) => {
                    self.outgoing.extend(datagram);
                    Ok(())
                }
                Err(too_long) => Err(self.fail(too_long)),
            }
        })
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.poll_drain(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        self.whole.leave_out();
        ready!(self.poll_drain(cx))?;
        Poll::Ready(self.carrier.end(why).map_err(|error| {
            let ending = of_error(&error).unwrap_or(Ending::WriteFailed(errno_text(&error)));
            self.fail(ending)
        }))
    }

    fn unsent(&self) -> usize {
        self.outgoing.iter().map(|datagram| datagram.len()).sum()
    }

    fn notify(&mut self, _notice: Notice) {}

    fn tally(&self) -> Tally {
        Tally {
            half_closes: true,
            can_go: self.carrier.descriptor().is_some(),
            ..Tally::default()
        }
    }

    fn is_closed(&self) -> bool {
        self.carrier.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::MessageStreamExt;
    use std::sync::{Arc, Mutex};
    use std::task::Waker;

    #[derive(Default)]
    struct Scripted {
        sent: Arc<Mutex<Vec<Vec<u8>>>>,
        to_come: Vec<io::Result<Option<BytesMut>>>,
    }

    impl Carrier for Scripted {
        fn poll_receive(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<Option<BytesMut>>> {
            match self.to_come.is_empty() {
                true => Poll::Pending,
                false => Poll::Ready(self.to_come.remove(0)),
            }
        }

        fn poll_send(&mut self, _cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>> {
            self.sent.lock().unwrap().push(datagram.to_vec());
            Poll::Ready(Ok(()))
        }

        fn limit(&self) -> usize {
            10
        }
    }

    fn piece(payload: &[u8], fin: bool) -> Fragment {
        Fragment {
            fin,
            ..Fragment::binary(payload)
        }
    }

    #[test]
    fn a_message_is_one_datagram_however_it_comes() {
        let carrier = Scripted::default();
        let sent = carrier.sent.clone();
        let mut stream = Datagrams::new(Box::new(carrier), Kind::Binary, &Memory::default());
        let mut cx = Context::from_waker(Waker::noop());
        for fragment in [
            piece(b"one ", false),
            piece(b"", false),
            piece(b"piece", true),
            piece(b"", true),
            piece(b"0123456789", true),
            piece(b"unfinished", false),
        ] {
            assert_eq!(stream.poll_ready(&mut cx), Poll::Ready(Ok(())));
            stream.start_send(fragment.into()).unwrap();
        }
        assert_eq!(
            stream.poll_close(&mut cx, &Ending::Eof),
            Poll::Ready(Ok(()))
        );
        let expected: [&[u8]; 3] = [b"one piece", b"", b"0123456789"];
        assert_eq!(*sent.lock().unwrap(), expected);
    }

    #[test]
    fn what_is_too_long_is_an_end_that_says_the_limit() {
        for pieces in [&[11][..], &[5, 6], &[10, 1]] {
            let carrier = Scripted::default();
            let sent = carrier.sent.clone();
            let mut stream = Datagrams::new(Box::new(carrier), Kind::Binary, &Memory::default());
            let too_long = Ending::TooLong {
                limit: 10,
                is_set: false,
            };
            let (last, first) = pieces.split_last().unwrap();
            for len in first {
                stream
                    .start_send(piece(&vec![1; *len], false).into())
                    .unwrap();
            }
            let result = stream.start_send(piece(&vec![1; *last], false).into());
            assert_eq!(result, Err(too_long.clone()), "{pieces:?}");
            assert_eq!(stream.take(), Some(Event::End(too_long)));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(stream.poll_flush(&mut cx).is_ready());
            assert!(sent.lock().unwrap().is_empty());
        }
    }

    #[test]
    fn what_comes_is_a_message_each_and_text_only_where_it_is() {
        let next = |kind, to_come| {
            let mut cx = Context::from_waker(Waker::noop());
            let sent = Arc::default();
            let mut stream = Datagrams::new(
                Box::new(Scripted { sent, to_come }),
                kind,
                &Memory::default(),
            );
            let mut next = || match stream.poll_next(&mut cx) {
                Poll::Ready(event) => event,
                Poll::Pending => panic!("nothing came"),
            };
            [next(), next()]
        };
        let bytes = |bytes: &[u8]| Ok(Some(BytesMut::from(bytes)));
        assert_eq!(
            next(Kind::Text, vec![bytes(b"abc"), bytes(b"ab\xff")]),
            [
                Event::Fragment(Fragment::text("abc")),
                Event::End(Ending::NotText { offset: 5 })
            ]
        );
        assert_eq!(
            next(Kind::Binary, vec![bytes(b""), Ok(None)]),
            [
                Event::Fragment(Fragment::binary("")),
                Event::End(Ending::Eof)
            ]
        );
        let refused = io::Error::from(Errno::CONNREFUSED);
        let end = Event::End(Ending::Lost(Loss::Refused));
        assert_eq!(next(Kind::Binary, vec![Err(refused)]), [end.clone(), end]);
    }
}
