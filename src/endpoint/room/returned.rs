//! Words that come back: two rooms that are joined without `--echo no` pass one message back and forth for ever.

use std::time::Duration;

use tokio::time::Instant;

use crate::message::Kind;

/// How often the same words must come back before it is said.
const OFTEN: u32 = 50;
/// Words that take longer to come back are said anew by somebody.
const SOON: Duration = Duration::from_secs(1);
/// Bytes of a message that are looked at.
const LOOKED_AT: usize = 32;

/// What a member said a moment ago, and how often it has come back as its own new words.
#[derive(Default)]
pub(super) struct Returned {
    words: Option<(Kind, usize, Vec<u8>)>,
    since: Option<Instant>,
    times: u32,
}

impl Returned {
    /// Looks at the first message of what a member says. Returns true once, where the same has come back again and again: a
    /// few messages that go round are seen as well as one.
    pub(super) fn is_loop(&mut self, kind: Kind, message: &[u8]) -> bool {
        if self.times >= OFTEN {
            return false;
        }
        let beginning = &message[..message.len().min(LOOKED_AT)];
        let is_same = self.words.as_ref().is_some_and(|(own, len, words)| {
            *own == kind && *len == message.len() && words == beginning
        });
        let now = Instant::now();
        let is_soon = self.since.is_some_and(|since| now - since < SOON);
        if is_same {
            self.times = if is_soon { self.times + 1 } else { 0 };
            self.since = Some(now);
        } else if !is_soon {
            self.words = Some((kind, message.len(), beginning.to_vec()));
            (self.since, self.times) = (Some(now), 0);
        }
        self.times >= OFTEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_goes_round_is_told_once_and_a_heartbeat_is_none() {
        let mut returned = Returned::default();
        let mut told = 0;
        for round in 0..1000 {
            // Five messages go round.
            let message = format!("message {}", round % 5);
            told += u32::from(returned.is_loop(Kind::Text, message.as_bytes()));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(told, 1);
        let mut returned = Returned::default();
        for round in 0..1000 {
            assert!(!returned.is_loop(Kind::Text, b"tick"));
            assert!(!returned.is_loop(Kind::Text, format!("{round}").as_bytes()));
            tokio::time::advance(SOON).await;
        }
    }
}
