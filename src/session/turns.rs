//! One session after the other, where the left side connects again: the agent of a reverse tunnel, `reconnect:ws://... tcp:...`.

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Right, Shared, abandoned, stopped};
use crate::ending::{Cause, Deadline, Ending};
use crate::endpoint::Dial;
use crate::framing::Cut;
use crate::pump::Outcome;

/// Whether sessions follow each other. The right side is a stream of bytes of its own each time: what is left of one session
/// never becomes part of the next.
pub(super) fn are_taken(left: &dyn Dial, shared: &Shared) -> bool {
    let Right::Dial(right) = &shared.right else {
        return false;
    };
    let is_stream = right.framing().is_some_and(|own| own.cut == Cut::Chunks);
    left.again().is_some() && right.is_fresh_stream() && is_stream
}

/// Runs sessions until one ends in a way that means it, or the bridge is to stop.
///
/// # Errors
/// Those of the first session; of a later one what another attempt does not mend.
pub(super) async fn take<F>(
    left: &dyn Dial,
    shared: &Shared,
    mut one: impl FnMut() -> F,
) -> Result<Outcome>
where
    F: Future<Output = Result<Outcome>>,
{
    let mut backoff = left.again();
    let mut is_first = true;
    loop {
        let wait = match one().await {
            Ok(outcome) if is_final(&outcome) => return Ok(outcome),
            Ok(outcome) if has_served(&outcome) => {
                backoff = left.again();
                Duration::ZERO
            }
            Ok(outcome) => match backoff.as_mut().and_then(|backoff| backoff.wait()) {
                Some(wait) => wait,
                None => return Ok(outcome),
            },
            Err(error) if is_first || !Cause::of(&error).is_some_and(Cause::may_pass) => {
                return Err(error);
            }
            Err(error) => match backoff.as_mut().and_then(|backoff| backoff.wait()) {
                Some(wait) => {
                    warn!("{}", Cause::line(&error));
                    wait
                }
                None => return Err(error),
            },
        };
        is_first = false;
        if !wait.is_zero() {
            info!("connecting to {} again in {wait:.1?}", shared.names[0]);
        }
        if let Ok(stop) = timeout(wait, stopped(shared.stop.clone())).await {
            return Ok(abandoned(stop));
        }
    }
}

/// Whether something came of the left side: a session that only began and ended is followed by a wait.
fn has_served(outcome: &Outcome) -> bool {
    outcome.left_to_right.bytes > 0
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
