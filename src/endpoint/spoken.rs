//! An endpoint in plain async: a function that speaks to each session over a pipe of its own.

use std::future::Future;

use anyhow::Result;

use super::{BoxFuture, Dial};
use crate::caller::Caller;
use crate::ending::Ending;
use crate::peer::{Opened, Pipe, pipe};

/// Runs a function for each session, in a task of its own. It gets the other end of the session's pipe, and closes that when
/// it has finished; a pipe that is dropped before is a loss.
pub struct Spoken<Speak>(pub Speak);

impl<Speak, Spoke> Dial for Spoken<Speak>
where
    Speak: Fn(Pipe) -> Spoke + Send + Sync,
    Spoke: Future<Output = Result<(), Ending>> + Send + 'static,
{
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        let (near, far) = pipe();
        // It ends with the session, which knows how.
        tokio::spawn((self.0)(far));
        Box::pin(async { Ok(near.into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use crate::message::Fragment;
    use crate::peer::{Event, MessageStreamExt};

    async fn shout(mut stream: Pipe) -> Result<(), Ending> {
        while let Some(fragments) = stream.next_fragments().await {
            for mut text in fragments {
                text.payload.make_ascii_uppercase();
                stream.send(text.into()).await?;
            }
        }
        stream.close(&Ending::Eof).await
    }

    #[tokio::test]
    async fn a_function_answers_each_session_and_closes_it() {
        let endpoint = Spoken(shout);
        let caller = Caller::new("test");
        for _ in 0..2 {
            let opened = endpoint.dial(&caller).await.unwrap();
            let mut stream = opened.into_messages(&Memory::default()).stream;
            stream.send(Fragment::text("abc").into()).await.unwrap();
            assert_eq!(stream.next().await, Fragment::text("ABC").into());
            stream.close(&Ending::Eof).await.unwrap();
            assert_eq!(stream.next().await, Event::End(Ending::Eof));
        }
    }
}
