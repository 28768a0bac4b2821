//! Plain async over any message stream, for endpoints: what the pump does with `poll_` functions.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll, ready};

use super::{Event, MessageStream};
use crate::ending::Ending;
use crate::message::Fragment;

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

    /// Waits for the next fragments, those of a batch together; `None` is the end. Cancel-safe.
    fn next_fragments(&mut self) -> impl Future<Output = Option<Vec<Fragment>>> + Send {
        async {
            loop {
                match self.next().await {
                    Event::Fragment(fragment) => return Some(vec![fragment]),
                    Event::Batch(batch) => return Some(batch.fragments().collect()),
                    Event::Gap(_) => {}
                    Event::End(_) => return None,
                }
            }
        }
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

    /// Sends all that comes of it to another stream, and flushes that where nothing more has come; returns how it ended, which
    /// the other is not told. Not cancel-safe: what was taken and not sent is lost.
    ///
    /// # Errors
    /// How the direction toward the other stream ended, where it did.
    fn forward<S: MessageStream + ?Sized>(
        &mut self,
        to: &mut S,
    ) -> impl Future<Output = Result<Ending, Ending>> + Send {
        async {
            loop {
                let event = match self.take() {
                    Some(event) => event,
                    None => {
                        to.flush().await?;
                        self.next().await
                    }
                };
                match event {
                    Event::End(ending) => {
                        to.flush().await?;
                        return Ok(ending);
                    }
                    event => to.send(event).await?,
                }
            }
        }
    }
}

impl<S: MessageStream + ?Sized> MessageStreamExt for S {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::pipe;

    #[tokio::test]
    async fn what_is_forwarded_arrives_and_the_end_is_returned() {
        let ((mut source, mut near), (mut other, mut sink)) = (pipe(), pipe());
        let forwarded = tokio::spawn(async move { near.forward(&mut other).await });
        for text in ["a", "b"] {
            source.send(Fragment::text(text).into()).await.unwrap();
            assert_eq!(sink.next().await, Fragment::text(text).into());
        }
        source.close(&Ending::Enough).await.unwrap();
        assert_eq!(forwarded.await.unwrap(), Ok(Ending::Enough));
    }
}
