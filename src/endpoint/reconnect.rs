//! `reconnect:` and `--reconnect`: a side that is connected again when its connection is lost, while the other side stays.

pub(super) mod backoff;
mod ledger;
mod link;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use tokio::time::sleep;
use tracing::{debug, info};

use super::{BoxFuture, Dial, Endpoint, Facts, Outlet, Scheme, read_options};
use crate::address::{Address, parse_duration};
use crate::caller::Caller;
use crate::ending::{Cause, Ending, RetryAfter};
use crate::framing::Framing;
use crate::memory::Memory;
use crate::peer::{Messages, Opened};
use backoff::Backoff;
use link::Link;

/// `reconnect:`
pub const SCHEME: Scheme = Scheme {
    names: &["reconnect", "autoreconnect"],
    syntax: "reconnect:ENDPOINT",
    summary: "Connect to ENDPOINT again whenever the connection is lost",
    example: "wsbridge reconnect:ws://example.com/feed",
    is_raw: false,
    options: &[Limits::augment_args],
    build: |address, settings| {
        // The table of schemes builds what is wrapped first.
        let Some(Endpoint::Dial(inner)) = settings.inner.clone() else {
            let what = "reconnect: opens what it wraps, which can not be a listener";
            return Err(address.place_error(what).into());
        };
        let limits = read_options(&SCHEME, address, settings)?;
        let (name, memory) = (Address::shown(&address.place), &settings.memory);
        Ok(over(inner, name, limits, memory))
    },
};

/// The flag, for endpoints that have it of their own.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
#[command(next_help_heading = "Reconnection")]
pub struct Options {
    /// Connect again whenever the connection is lost
    ///
    /// The first connection counts too, unless a caller waits for it. Not after Close 1000, 1002, 1003, 1007 to 1010 or
    /// without a code, nor when a server or proxy refuses for good (HTTP 4xx but 408, 425 and 429) or TLS fails. The waits
    /// are any time below 1s, 2s, 4s ... and begin anew after a connection of 30s; Retry-After is added. What was sent and
    /// not yet taken is told as a gap. The same as reconnect:ws://...
    #[arg(long)]
    pub reconnect: bool,
}

/// How long and how often it is tried.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
#[command(next_help_heading = "Reconnection")]
pub struct Limits {
    /// Connect again at most so often in a row (default: no limit)
    ///
    /// The exit status is then that of the last failure. A connection of 30s begins a new row.
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// Wait at most this long between two attempts
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub reconnect_max: Duration,
}

/// What is connected to again and again.
struct Target {
    dial: Arc<dyn Dial>,
    framing: Option<Framing>,
    /// What it is called in messages.
    name: String,
    limits: Limits,
    memory: Memory,
}

/// Makes an endpoint that is connected again out of one that is connected once.
pub fn over(inner: Outlet, name: String, limits: Limits, memory: &Memory) -> Endpoint {
    let target = Target {
        dial: inner.dial.clone(),
        framing: inner.facts.framing,
        name,
        limits,
        memory: memory.clone(),
    };
    let facts = Facts {
        again: Some(Backoff::new(limits.reconnect_max, limits.retries)),
        // An end of input is told once, whichever connection is there then.
        can_half_close: false,
        // Many connections are one to what wraps it.
        host: None,
        remote: None,
        is_fresh_stream: false,
        ..inner.facts.clone()
    };
    Endpoint::Dial(inner.over(Arc::new(Reconnect(Arc::new(target))), facts))
}

struct Reconnect(Arc<Target>);

impl Target {
    async fn open(&self, caller: &Caller) -> Result<Messages> {
        Ok(self.dial.dial(caller).await?.into_messages(&self.memory))
    }

    /// What went wrong, without the name, which is said already.
    fn line(&self, error: &anyhow::Error) -> String {
        let line = Cause::line(error);
        let what = line
            .strip_prefix("connecting to ")
            .and_then(|rest| rest.split_once(&self.name))
            .and_then(|(_, rest)| rest.strip_prefix(": "));
        what.unwrap_or(&line).to_owned()
    }

    /// Opens the first connection. A caller that waits for an answer gets one at once; others come and go with what they
    /// join, and wait as long as it takes.
    async fn open_first(&self, caller: &Caller, backoff: &mut Backoff) -> Result<Messages> {
        loop {
            let error = match self.open(caller).await {
                Ok(messages) => return Ok(messages),
                Err(error) if caller.is_local && may_pass(&error) => error,
                Err(error) => return Err(error),
            };
            if caller.takes_turns && Cause::of(&error) == Some(Cause::Timeout) {
                // It has been waited for long enough: what takes one session after the other lets us wait for ours.
                debug!("{}: {}; again at once", self.name, self.line(&error));
                continue;
            }
            let asked = error.downcast_ref().map(|RetryAfter(wait)| *wait);
            let Some((wait, attempt)) = backoff.next(asked, &mut rand::rng()) else {
                return Err(error);
            };
            let (name, what) = (&self.name, self.line(&error));
            info!("reconnecting to {name} in {wait:.1?} (attempt {attempt}): {what}");
            sleep(wait).await;
        }
    }
}

impl Dial for Reconnect {
    fn dial<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            let target = self.0.clone();
            let limits = target.limits;
            let mut backoff = Backoff::new(limits.reconnect_max, limits.retries);
            // An end of input is told once, whichever connection is there then.
            let caller = Arc::new(caller.without_half_close());
            let messages = target.open_first(&caller, &mut backoff).await?;
            if caller.takes_turns {
                return Ok(messages.into());
            }
            Ok(Link::over(messages, target, caller, backoff).into())
        })
    }
}

/// Whether another connection may mend what ended so.
fn may_retry(why: &Ending) -> bool {
    match why {
        // A peer that was killed ends so, too.
        Ending::Eof | Ending::Lost(_) | Ending::Exited(_) | Ending::Held(_) => true,
        // What was cut within a message is not done, however cleanly it was closed.
        Ending::Cut { close, .. } => !matches!(close.code, Some(1002 | 1003 | 1007..=1010)),
        Ending::Close(close) => {
            !matches!(close.code, None | Some(1000 | 1002 | 1003 | 1007..=1010))
        }
        _ => false,
    }
}

/// Whether another attempt may succeed where one failed so.
fn may_pass(error: &anyhow::Error) -> bool {
    Cause::of(error).is_some_and(Cause::may_pass)
}
