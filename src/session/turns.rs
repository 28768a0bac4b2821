//! One session after the other, where the left side connects again: the agent of a reverse tunnel, `reconnect:ws://... tcp:...`.

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::{Right, Shared, abandoned, stopped};
use crate::ending::{Cause, Deadline, Ending};
use crate::endpoint::{Backoff, Outlet};
use crate::framing::Cut;
use crate::pump::Outcome;

/// Whether sessions follow each other. The right side is a stream of bytes of its own each time: what is left of one session
/// never becomes part of the next.
pub(super) fn are_taken(left: &Outlet, shared: &Shared) -> bool {
    let Right::Dial(right) = &shared.right else {
        return false;
    };
    let is_stream = right
        .facts
        .framing
        .is_some_and(|own| own.cut == Cut::Chunks);
    left.facts.again.is_some() && right.facts.is_fresh_stream && is_stream
}

/// Runs sessions until one ends in a way that means it, or the bridge is to stop.
///
/// # Errors
/// Those of the first session; of a later one what another attempt does not mend.
pub(super) async fn take<F>(
    left: &Outlet,
    shared: &Shared,
    mut one: impl FnMut() -> F,
) -> Result<Outcome>
where
    F: Future<Output = Result<Outcome>>,
{
    let mut waits = Waits::new(left.facts.again.clone());
    let mut is_first = true;
    loop {
        let begun = Instant::now();
        let ended = one().await;
        let wait = match &ended {
            Ok(outcome) if is_final(outcome) => None,
            Ok(outcome) => waits.after(outcome, begun.elapsed()),
            Err(error) if is_first || !Cause::of(error).is_some_and(Cause::may_pass) => None,
            Err(_) => waits.back_off(),
        };
        let Some(wait) = wait else { return ended };
        if let Err(error) = &ended {
            warn!("{}", Cause::line(error));
        }
        is_first = false;
        if !wait.is_zero() {
            info!("connecting to {} again in {wait:.1?}", shared.names[0]);
        }
        if let Ok(stop) = timeout(wait, stopped(shared.stop.clone())).await {
            return Ok(abandoned(stop));
        }
    }
}

/// How much of [`BURST`] a session takes up in which both sides said something: ten of them a second follow each other for ever.
const TALK: Duration = Duration::from_millis(100);
/// The same where one side alone did: it may have been a greeting, or a server that only says that it has no time.
const WORD: Duration = Duration::from_millis(250);
/// Sessions follow each other without a wait until they have taken up this much more than the time that has passed.
const BURST: Duration = Duration::from_secs(4);
/// A round that took so long keeps no server busy: the waits begin anew.
const LASTED: Duration = Duration::from_secs(1);

/// The waits between sessions that follow each other.
struct Waits {
    first: Option<Backoff>,
    backoff: Option<Backoff>,
    /// Until when the sessions of late take up what they do.
    busy_until: Instant,
}

impl Waits {
    fn new(first: Option<Backoff>) -> Waits {
        Waits {
            backoff: first.clone(),
            first,
            busy_until: Instant::now(),
        }
    }

    /// The wait after a session, which took so long with its dialling; `None` where none is to follow.
    fn after(&mut self, outcome: &Outcome, took: Duration) -> Option<Duration> {
        if is_too_busy(outcome) {
            return self.back_off();
        }
        let said = [outcome.left_to_right, outcome.right_to_left];
        let cost = match said.iter().filter(|count| count.bytes > 0).count() {
            0 => None,
            1 => Some(WORD),
            _ => Some(TALK),
        };
        if cost.is_some() || took >= LASTED {
            self.backoff = self.first.clone();
        }
        match cost {
            Some(cost) => Some(self.take_up(cost)),
            // A session that only began and ended.
            None => self.back_off(),
        }
    }

    /// The wait after a session that was of no use: each is longer than the one before, as it happens.
    fn back_off(&mut self) -> Option<Duration> {
        self.backoff.as_mut()?.wait()
    }

    /// The wait after a session that was of use: callers that are served one after another do not feel it.
    fn take_up(&mut self, cost: Duration) -> Duration {
        let now = Instant::now();
        self.busy_until = self.busy_until.max(now) + cost;
        (self.busy_until - now).saturating_sub(BURST)
    }
}

/// Whether the server asks for another attempt later, by Close 1013.
fn is_too_busy(outcome: &Outcome) -> bool {
    matches!(&outcome.left, Ending::Close(close) if close.code == Some(1013))
}

/// Whether no session is to follow: a stop, a limit of the whole, or a Close that another connection does not mend.
fn is_final(outcome: &Outcome) -> bool {
    let is_meant = |ending: &Ending| match ending {
        Ending::Close(close) => matches!(close.code, Some(1002 | 1003 | 1007..=1010)),
        Ending::Broken(_) | Ending::Enough | Ending::Deadline(Deadline::Time) => true,
        _ => false,
    };
    outcome.stopped.is_some() || is_meant(&outcome.left) || is_meant(&outcome.right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::{Close, Stop};
    use crate::pump::Counts;
    use tokio::time::advance;

    const BRIEF: Duration = Duration::from_millis(1);

    /// A session in which the left and the right said so many bytes, and that the left closed.
    fn session(code: u16, forth: u64, back: u64) -> Outcome {
        let count = |bytes| Counts { bytes, messages: 1 };
        Outcome {
            left: Ending::Close(Close::new(code, "")),
            right: Ending::Eof,
            left_to_right: count(forth),
            right_to_left: count(back),
            stopped: None,
            ..abandoned(Stop::Terminate)
        }
    }

    fn waits() -> Waits {
        Waits::new(Some(Backoff::new(Duration::from_secs(60), None)))
    }

    /// How many sessions, each of which takes a millisecond, there are within `time`.
    async fn count(outcome: &Outcome, time: Duration) -> u32 {
        let (mut waits, begun) = (waits(), Instant::now());
        let mut count = 0;
        while begun.elapsed() < time {
            advance(BRIEF).await;
            count += 1;
            advance(waits.after(outcome, BRIEF).unwrap()).await;
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_are_served_one_after_another_wait_for_nothing() {
        // In turn: an answer, a greeting alone, a word alone.
        let sessions = [
            session(1000, 1, 1),
            session(1000, 0, 9),
            session(1000, 9, 0),
        ];
        let mut waits = waits();
        for outcome in sessions.iter().cycle().take(18) {
            advance(BRIEF).await;
            assert_eq!(waits.after(outcome, BRIEF), Some(Duration::ZERO));
        }
        // And five a second do so for ever.
        for _ in 0..1000 {
            advance(Duration::from_millis(200)).await;
            let wait = waits.after(&sessions[0], BRIEF);
            assert_eq!(wait, Some(Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_ends_what_it_has_begun_is_not_dialled_all_the_time() {
        let minute = Duration::from_secs(60);
        let greeted = count(&session(1000, 1, 0), minute).await;
        assert!((200..270).contains(&greeted), "{greeted}");
        let answered = count(&session(1001, 1, 1), minute).await;
        assert!((500..650).contains(&answered), "{answered}");
        for outcome in [session(1013, 1, 1), session(1000, 0, 0)] {
            let count = count(&outcome, minute).await;
            assert!(count < 50, "{count}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_without_a_word_that_come_now_and_then_make_no_longer_waits() {
        let mut waits = waits();
        for _ in 0..100 {
            advance(LASTED).await;
            let wait = waits.after(&session(1000, 0, 0), LASTED).unwrap();
            assert!(wait < Duration::from_secs(1), "{wait:?}");
        }
    }
}
