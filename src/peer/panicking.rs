//! A stream with a bug, for tests.

use std::task::{Context, Poll};

use super::{Event, MessageStream, Pipe, Spent};
use crate::ending::Ending;
use crate::message::Fragment;

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

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.0.poll_ready(cx)
    }

    fn start_send(&mut self, fragment: Fragment) -> Result<(), Ending> {
        self.0.start_send(fragment)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.0.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        self.0.poll_close(cx, why)
    }

    fn unsent(&self) -> usize {
        self.0.unsent()
    }

    fn half_closes(&self) -> bool {
        self.0.half_closes()
    }
}
