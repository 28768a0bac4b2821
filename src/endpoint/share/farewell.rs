//! The end of a connection that no caller needs any more: what callers said before they left is sent, and what it still says
//! goes to nobody.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use crate::ending::{Ending, Stop};
use crate::message::{Fragment, Kind};
use crate::peer::{Event, MessageStream, MessageStreamExt, Messages, Opened};

/// How long a connection that is no program may take none of what was said, or go on to say something itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages that are carried before other tasks have their turn.
const BUDGET: usize = 256;

/// A connection on its way to its end.
pub(super) struct Farewell {
    stream: Box<dyn MessageStream>,
    words: VecDeque<(Kind, Bytes)>,
    /// Whether it is read to its end: one that has none, or is our own input, is not.
    is_heard: bool,
    /// Whether it has been sent all, and that this is the end.
    is_told: bool,
    has_ended: bool,
}

impl Farewell {
    /// Begins the end of a connection, which is to be sent `words` first.
    pub(super) fn new(messages: Messages, words: VecDeque<(Kind, Bytes)>) -> Farewell {
        let Opened { stream, facts } = messages;
        Farewell {
            is_heard: !facts.has_no_end && !facts.is_local,
            stream,
            words,
            is_told: false,
            has_ended: false,
        }
    }

    /// Ends it. A program whose stdin has ended has `kill_after` to end by itself before TERM, and again after it; dropping
    /// what is left then has it killed.
    pub(super) async fn run(mut self, kill_after: Option<Duration>) {
        let patience = kill_after.unwrap_or(PATIENCE);
        let mut left = (self.words.len(), self.stream.unsent());
        loop {
            let was_told = self.is_told;
            let step = poll_fn(|cx| self.poll(cx, was_told));
            let is_late = timeout(patience, step).await.is_err();
            if self.is_over() {
                return;
            }
            let now = (self.words.len(), self.stream.unsent());
            // What takes something has its time anew, and so has what was told.
            let moves = self.is_told != was_told || (!self.is_told && now < left);
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
        if !self.is_told {
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

    fn is_over(&self) -> bool {
        self.is_told && (self.has_ended || !self.is_heard)
    }

    /// Ready when it is over, or has just been told of the end.
    fn poll(&mut self, cx: &mut Context<'_>, was_told: bool) -> Poll<()> {
        for _ in 0..BUDGET {
            let sent = self.poll_send(cx);
            let heard = self.poll_hear(cx);
            if self.is_over() || self.is_told != was_told {
                return Poll::Ready(());
            }
            if sent.is_pending() && heard.is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends one message, or tells that there is no other; pending for ever once it has been told.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_told {
            return Poll::Pending;
        }
        if !self.words.is_empty() {
            let is_ready = ready!(self.stream.poll_ready(cx)).is_ok();
            let sent = self.words.pop_front().is_some_and(|(kind, payload)| {
                let payload = BytesMut::from(payload);
                let fragment = Fragment {
                    kind,
                    fin: true,
                    payload,
                };
                is_ready && self.stream.start_send(fragment.into()).is_ok()
            });
            if !sent {
                // It takes nothing more, and may still say something.
                self.words.clear();
            }
            return Poll::Ready(());
        }
        let _ = ready!(self.stream.poll_flush(cx));
        let _ = ready!(self.stream.poll_close(cx, &Ending::Eof));
        self.is_told = true;
        Poll::Ready(())
    }

    /// Reads one message, so that it never waits for a reader; pending for ever once it has ended.
    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_ended || !self.is_heard {
            return Poll::Pending;
        }
        self.has_ended = matches!(ready!(self.stream.poll_next(cx)), Event::End(_));
        Poll::Ready(())
    }
}
