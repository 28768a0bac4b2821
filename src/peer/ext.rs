//! Plain async over any message stream, for endpoints: what the pump does with `poll_` functions.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll, ready};

use super::{Event, MessageStream};
use crate::ending::Ending;

/// What every message stream can do by its own functions.
pub trait MessageStreamExt: MessageStream {
    /// Yields fragments, then exactly one end; behind the end that a half-close marker is, also the Close that follows it.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            if let Some(event) = self.take() {
                return Poll::Ready(event);
            }
            ready!(self.poll_more(cx));
        }
    }

    /// Waits for the next event; after the end it returns the end again. Cancel-safe: an event is taken only when it is
    /// returned.
    fn next(&mut self) -> impl Future<Output = Event> + Send {
        poll_fn(|cx| self.poll_next(cx))
    }

    /// Waits until the stream takes something and sends `event`, which may stay in its buffer until [`flush`]. Not
    /// cancel-safe: a call that is dropped drops the event, unsent and as a whole.
    ///
    /// [`flush`]: MessageStreamExt::flush
    ///
    /// # Errors
    /// How our direction ended, where it did.
    fn send(&mut self, event: Event) -> impl Future<Output = Result<(), Ending>> + Send {
        async {
            poll_fn(|cx| self.poll_ready(cx)).await?;
            self.start_send(event)
        }
    }

    /// Waits until the transport has taken all that was sent. Cancel-safe.
    ///
    /// # Errors
    /// How our direction ended, where it did.
    fn flush(&mut self) -> impl Future<Output = Result<(), Ending>> + Send {
        poll_fn(|cx| self.poll_flush(cx))
    }

    /// Sends what is left, then ends our direction and says why. Cancel-safe: call it again with the same `why`.
    ///
    /// # Errors
    /// How our direction had ended before, where it had.
    fn close(&mut self, why: &Ending) -> impl Future<Output = Result<(), Ending>> + Send {
        poll_fn(|cx| self.poll_close(cx, why))
    }
}

impl<S: MessageStream + ?Sized> MessageStreamExt for S {}
