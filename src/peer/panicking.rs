//! A stream with a bug, for tests.

use std::task::{Context, Poll};

use super::{Event, MessageStream, Notice, Pipe, Spent, Tally};
use crate::ending::Ending;

/// A stream that panics when it is read.
pub(crate) struct Panicking(pub(crate) Pipe);

impl MessageStream for Panicking {
    fn take(&mut self) -> Option<Event> {
        panic!("it has a bug")
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_more(cx)
    }

    fn spent(&mut self) -> Spent {
        self.0.spent()
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.0.poll_cut(cx)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.0.poll_gone(cx)
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.0.poll_reset(cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.0.poll_ready(cx)
    }

    fn start_send(&mut self, event: Event) -> Result<(), Ending> {
        self.0.start_send(event)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.0.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        self.0.poll_close(cx, why)
    }

    fn notify(&mut self, notice: Notice) {
        self.0.notify(notice);
    }

    fn unsent(&self) -> usize {
        self.0.unsent()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn tally(&self) -> Tally {
        self.0.tally()
    }
}
