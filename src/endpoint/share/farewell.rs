//! The end of a connection that no caller needs any more: what callers said before they left is sent, and what it still says
//! goes to nobody.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::driver::whole;
use crate::ending::{Ending, Stop};
use crate::message::Kind;
use crate::peer::{Carry, Event, Listener, MessageStream, Messages, Opened, Speaker};

/// How long a connection that is no program may take none of what was said, or go on to say something itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection on its way to its end.
pub(super) struct Farewell {
    stream: Box<dyn MessageStream>,
    carry: Carry,
    rest: Rest,
}

/// What is left to be carried.
struct Rest {
    words: VecDeque<(Kind, Bytes)>,
    /// Whether the connection is read to its end: one that has none, or is our own input, is not.
    is_heard: bool,
    has_ended: bool,
}

impl Speaker for Rest {
    fn has_finished(&self) -> bool {
        self.words.is_empty()
    }

    fn poll_say(&mut self, _cx: &mut Context<'_>) -> Poll<Event> {
        match self.words.pop_front() {
            Some((kind, payload)) => Poll::Ready(whole(kind, payload).into()),
            None => Poll::Pending,
        }
    }

    fn refused(&mut self) {
        // It takes nothing more, and may still say something.
        self.words.clear();
    }
}

impl Listener for Rest {
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        match self.has_ended || !self.is_heard {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }

    /// What it says goes to nobody; it is read so that it never waits for a reader.
    fn take(&mut self, event: Event) -> Result<(), Ending> {
        self.has_ended = matches!(event, Event::End(_));
        Ok(())
    }
}

impl Rest {
    fn is_over(&self, carry: &Carry) -> bool {
        carry.is_told() && (self.has_ended || !self.is_heard)
    }
}

impl Farewell {
    /// Begins the end of a connection, which is to be sent `words` first.
    pub(super) fn new(messages: Messages, words: VecDeque<(Kind, Bytes)>) -> Farewell {
        let Opened { stream, facts } = messages;
        Farewell {
            stream,
            carry: Carry::default(),
            rest: Rest {
                words,
                is_heard: !facts.has_no_end && !facts.is_local,
                has_ended: false,
            },
        }
    }

    /// Ends it. A program whose stdin has ended has `kill_after` to end by itself before TERM, and again after it; dropping
    /// what is left then has it killed.
    pub(super) async fn run(mut self, kill_after: Option<Duration>) {
        let patience = kill_after.unwrap_or(PATIENCE);
        let mut left = (self.rest.words.len(), self.stream.unsent());
        loop {
            let was_told = self.carry.is_told();
            let step = poll_fn(|cx| self.poll(cx, was_told));
            let is_late = timeout(patience, step).await.is_err();
            if self.rest.is_over(&self.carry) {
                return;
            }
            let now = (self.rest.words.len(), self.stream.unsent());
            // What takes something has its time anew, and so has what was told.
            let moves = self.carry.is_told() != was_told || (!self.carry.is_told() && now < left);
            left = now;
            if is_late && !moves {
                break;
            }
        }
        if kill_after.is_some() {
            self.terminate(patience).await;
        }
    }

    /// Sends TERM, and waits for the end. What takes nothing cannot be told by a close: dropping it tells it.
    async fn terminate(mut self, patience: Duration) {
        if !self.carry.is_told() {
            return;
        }
        let why = Ending::Stopped(Stop::Terminate);
        let ended = poll_fn(|cx| {
            let _ = ready!(self.stream.poll_close(cx, &why));
            self.poll(cx, true)
        });
        // Then it is killed.
        let _ = timeout(patience, ended).await;
    }

    /// Ready when it is over, or has just been told of the end.
    fn poll(&mut self, cx: &mut Context<'_>, was_told: bool) -> Poll<()> {
        let Farewell {
            stream,
            carry,
            rest,
        } = self;
        let is_over =
            |carry: &Carry, rest: &Rest| rest.is_over(carry) || carry.is_told() != was_told;
        // What it takes is dropped, and never fails.
        let carried = carry.poll_until(cx, &mut **stream, rest, is_over);
        carried.map(drop)
    }
}
