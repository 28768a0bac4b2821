//! What is said to a stream and read of it outside the pump: by a share for its callers, and by `each:` for its questions.

use std::task::{Context, Poll, ready};

use super::{Event, MessageStream, MessageStreamExt};
use crate::ending::Ending;

/// Events that are carried before other tasks have their turn.
const BUDGET: usize = 256;

/// Who has something to send to a stream.
pub trait Speaker {
    /// Whether nothing follows any more: then the stream is closed.
    fn has_finished(&self) -> bool;

    /// Yields what is to be sent next.
    fn poll_say(&mut self, cx: &mut Context<'_>) -> Poll<Event>;

    /// Is told once that the stream did not take what was yielded last. What is yielded from now on is dropped.
    fn refused(&mut self);
}

/// Who takes what a stream yields.
pub trait Listener {
    /// Ready when an event can be taken.
    ///
    /// # Errors
    /// Why none will be, now or later.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>>;

    /// Takes an event, the end included.
    ///
    /// # Errors
    /// Why no other is taken.
    fn take(&mut self, event: Event) -> Result<(), Ending>;
}

/// How far a stream has come that somebody speaks to.
#[derive(Debug, Default)]
pub struct Carry {
    /// Whether it takes nothing more; it may still yield something.
    is_deaf: bool,
    /// Whether it was sent all, and that this is the end.
    is_told: bool,
}

impl Carry {
    /// Whether the stream was told that nothing follows.
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// Sends one event, or closes the stream where none follows; pending for ever once it is closed.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut dyn MessageStream,
        speaker: &mut impl Speaker,
    ) -> Poll<()> {
        if self.is_told {
            return Poll::Pending;
        }
        if speaker.has_finished() {
            // How it fails is how it ends.
            let _ = ready!(stream.poll_flush(cx));
            let _ = ready!(stream.poll_close(cx, &Ending::Eof));
            self.is_told = true;
            return Poll::Ready(());
        }
        if !self.is_deaf && ready!(stream.poll_ready(cx)).is_err() {
            self.is_deaf = true;
        }
        let event = ready!(speaker.poll_say(cx));
        if !self.is_deaf && stream.start_send(event).is_err() {
            self.is_deaf = true;
            speaker.refused();
        }
        Poll::Ready(())
    }

    /// Carries both ways until `is_over` says so, or the listener takes nothing more; never longer than a turn.
    pub fn poll_until<User: Speaker + Listener>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut dyn MessageStream,
        user: &mut User,
        is_over: impl Fn(&Carry, &User) -> bool,
    ) -> Poll<Result<(), Ending>> {
        for _ in 0..BUDGET {
            let sent = self.poll_send(cx, stream, user);
            let taken = poll_take(cx, stream, user);
            if let Poll::Ready(Err(ending)) = taken {
                return Poll::Ready(Err(ending));
            }
            if is_over(self, user) {
                return Poll::Ready(Ok(()));
            }
            if sent.is_pending() && taken.is_pending() {
                if !self.is_told && matches!(stream.poll_flush(cx), Poll::Ready(Err(_))) {
                    self.is_deaf = true;
                }
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Gives one event to the listener, once that can take it.
fn poll_take(
    cx: &mut Context<'_>,
    stream: &mut dyn MessageStream,
    listener: &mut impl Listener,
) -> Poll<Result<(), Ending>> {
    ready!(listener.poll_ready(cx))?;
    let event = ready!(stream.poll_next(cx));
    Poll::Ready(listener.take(event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Loss;
    use crate::message::Fragment;
    use crate::peer::{Pipe, pipe};
    use std::future::poll_fn;

    /// Says some words and keeps what it hears.
    #[derive(Default)]
    struct User {
        words: Vec<&'static str>,
        is_refused: bool,
        heard: Vec<Event>,
    }

    impl Speaker for User {
        fn has_finished(&self) -> bool {
            self.words.is_empty()
        }

        fn poll_say(&mut self, _cx: &mut Context<'_>) -> Poll<Event> {
            Poll::Ready(Fragment::text(self.words.remove(0)).into())
        }

        fn refused(&mut self) {
            self.is_refused = true;
        }
    }

    impl Listener for User {
        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
            Poll::Ready(Ok(()))
        }

        fn take(&mut self, event: Event) -> Result<(), Ending> {
            self.heard.push(event.clone());
            match event {
                Event::End(ending) => Err(ending),
                _ => Ok(()),
            }
        }
    }

    async fn carry(near: &mut Pipe, user: &mut User) -> (Result<(), Ending>, bool) {
        let mut carry = Carry::default();
        let ended = poll_fn(|cx| carry.poll_until(cx, near, user, |_, _| false)).await;
        (ended, carry.is_told())
    }

    #[tokio::test]
    async fn all_is_said_before_the_close_and_what_comes_is_heard_to_its_end() {
        let (mut near, mut far) = pipe();
        let mut user = User {
            words: vec!["a", "b"],
            ..User::default()
        };
        let across = async {
            let mut heard = Vec::new();
            loop {
                match far.next().await {
                    Event::End(ending) => break assert_eq!(ending, Ending::Eof),
                    event => heard.push(event),
                }
            }
            far.send(Fragment::text("c").into()).await.unwrap();
            far.close(&Ending::Eof).await.unwrap();
            heard
        };
        let (heard, ended) = tokio::join!(across, carry(&mut near, &mut user));
        let said: Vec<Event> = ["a", "b"].map(|it| Fragment::text(it).into()).into();
        assert_eq!((heard, ended), (said, (Err(Ending::Eof), true)));
        assert_eq!(
            user.heard,
            [Fragment::text("c").into(), Event::End(Ending::Eof)]
        );
    }

    #[tokio::test]
    async fn a_stream_that_is_gone_takes_nothing_and_still_says_how_it_ended() {
        let (mut near, far) = pipe();
        drop(far);
        let mut user = User {
            words: vec!["a", "b"],
            ..User::default()
        };
        let (ended, _) = carry(&mut near, &mut user).await;
        assert_eq!(ended, Err(Ending::Lost(Loss::NoClose)));
        assert!(!user.is_refused, "it was not ready");
    }
}
