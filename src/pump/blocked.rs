//! A source whose sink takes nothing: it is read on to see its end, and watched for having gone.
//!
//! The end of a caller lies behind what it has sent, which nobody reads while the target is blocked; its pings lie there
//! too. So a source is read on once its sink has been blocked for [`PATIENCE`], up to [`AHEAD`](super::ahead::AHEAD) bytes while half of
//! `--memory` is free. From then on it is looked at once in a [`TICK`]. A session that is not blocked pays nothing for it.
//!
//! | what became of the source | the sink has without progress |
//! |---|---|
//! | lost: reset, ended without a Close, dead | `--close-timeout` |
//! | finished: a Close, closed altogether | `--deliver-timeout` |
//! | there, or half-closed as TCP does | any time |
//!
//! `--stall` bounds all three. None of it holds where the sink is the process's own output: a person may read a page of it
//! for hours.

use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::Instant;

use super::ahead::{Ahead, Watch};
use super::budget::Budget;
use super::end::{End, Told};
use super::options::{Copied, Options};
use super::outcome::Side;
use super::{Pump, earliest};
use crate::ending::{Deadline, Ending};
use crate::peer::{Event, MessageStream};

/// How long a sink takes nothing before its source is read on.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a source is looked at whose sink takes nothing: its end may have no event.
const TICK: Duration = Duration::from_secs(1);
impl End {
    /// Takes what comes next of it: first what it was read on.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        let Some(ahead) = &mut self.ahead else {
            return self.stream.take();
        };
        let event = ahead.events.pop_front();
        if ahead.events.is_empty() {
            self.ahead = None;
        }
        event.or_else(|| self.stream.take())
    }

    /// Whether its end was read, and waits behind what has yet to be delivered.
    pub(super) fn was_read_to_end(&self) -> bool {
        let ahead = self.ahead.as_ref();
        ahead.is_some_and(|ahead| ahead.end().is_some())
    }

    /// Reads on though what comes has nowhere to go, where that was begun.
    pub(super) fn read_on(&mut self, cx: &mut Context<'_>) {
        let Some(ahead) = &mut self.ahead else {
            return;
        };
        let mut budget = Budget::new();
        let _ = self.stream.spent();
        let mut has_pushed = false;
        let awaits_close =
            |stream: &dyn MessageStream| stream.tally().marks.is_some_and(|it| it.awaits_close);
        while ahead.has_room(awaits_close(&*self.stream)) {
            if !budget.is_left() {
                if has_pushed {
                    cx.waker().wake_by_ref();
                } else {
                    // A flood without payload waits for what else there is to do on this thread, events included.
                    let _ = pin!(yield_now()).poll(cx);
                }
                return;
            }
            if let Some(event) = self.stream.take() {
                budget.spend(event.size());
                ahead.push(event);
                has_pushed = true;
                continue;
            }
            budget.charge(self.stream.spent());
            if budget.is_left() {
                if self.stream.poll_more(cx).is_pending() {
                    return;
                }
                budget.spend(0);
            }
        }
        if ahead.end().is_some() && self.stream.tally().marks.is_some() {
            // Behind its Close it is pinged until ours has answered that.
            let _ = self.stream.poll_reset(cx);
        }
    }

    /// Ends a sink that is the process's own output where its reader has gone, which else shows at the next write only.
    pub(super) fn look_for_reader(&mut self, cx: &mut Context<'_>) {
        if self.is_local
            && self.takes()
            && let Poll::Ready(ending) = self.stream.poll_gone(cx)
        {
            self.refuse(ending);
        }
    }

    /// How it has gone, if it has: by its end where that was read, else as far as it shows.
    fn looked_at(&mut self, cx: &mut Context<'_>) -> Option<Ending> {
        if self.is_local {
            return self.said.as_ref().map(|(said, _)| said.clone());
        }
        let shown = match self.stream.poll_gone(cx) {
            Poll::Ready(ending) => Some(ending),
            Poll::Pending => None,
        };
        let ahead = self.ahead.as_ref().and_then(|ahead| ahead.end());
        match self.said.as_ref().map(|(said, _)| said).or(ahead) {
            // A half-close: only what shows beside it says more.
            Some(Ending::Eof) | None => shown,
            Some(said) => Some(said.clone()),
        }
    }

    /// Whether it was told of a normal end and has yet to take what came before that.
    fn is_behind(&self) -> bool {
        match &self.told {
            Told::Telling(_, wait) => !wait.is_cut,
            Told::Done(wait) if !self.is_over && !self.half_closes() => {
                !wait.is_cut && wait.unsent > 0
            }
            _ => false,
        }
    }
}

impl Pump<'_> {
    /// Watches the sources of sinks that take nothing, and cuts those that have had their time; returns when time alone may
    /// change something.
    pub(super) fn watch_blocked(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        let Pump {
            left,
            right,
            options,
            cause,
            ..
        } = self;
        let mut wake_at = watch(left, right, (Side::Right, cause), options, cx);
        earliest(
            &mut wake_at,
            watch(right, left, (Side::Left, cause), options, cx),
        );
        wake_at
    }
}

/// Looks at a source whose sink takes nothing, and cuts both where the sink, on this side, has had its time.
fn watch(
    source: &mut End,
    sink: &mut End,
    (side, cause): (Side, &mut Option<(Side, Ending)>),
    options: &Options,
    cx: &mut Context<'_>,
) -> Option<Instant> {
    let is_blocked = source.said.is_none() && source.is_held_up && sink.takes();
    let is_ending = sink.is_behind();
    let is_bounded = options.stall.is_some() && sink.takes();
    if !is_ending && (!(is_blocked || is_bounded) || source.copied == Copied::Nothing) {
        source.watch = None;
        return None;
    }
    let now = Instant::now();
    if is_blocked && now < source.moved_at + PATIENCE {
        return Some(source.moved_at + PATIENCE);
    }
    if is_blocked && source.ahead.is_none() && source.stream.tally().can_go {
        source.ahead = Some(Box::new(Ahead::new(&options.memory)));
        // Once more, to read on.
        return Some(now);
    }
    let is_waiting = is_blocked || is_ending;
    let has_ended = source.was_read_to_end();
    let is_due = |watch: &Watch| {
        let limit = watch.deadline(options);
        let is_new = has_ended && !watch.has_ended;
        is_new || now >= watch.look_at || limit.is_some_and(|(at, _)| now >= at)
    };
    if source.watch.as_deref().is_none_or(is_due) {
        let gone = is_waiting.then(|| source.looked_at(cx)).flatten();
        look(source, sink, gone, is_waiting, now);
    }
    let watch = source.watch.as_deref()?;
    match watch.deadline(options).filter(|_| !sink.is_local) {
        Some((at, deadline)) if at <= now => {
            cause.get_or_insert((side, Ending::Deadline(deadline)));
            cut(source, sink, deadline);
            Some(now)
        }
        Some((at, _)) => Some(at.min(watch.look_at)),
        None => Some(watch.look_at),
    }
}

/// Notes what a look has found.
fn look(source: &mut End, sink: &End, gone: Option<Ending>, is_waiting: bool, now: Instant) {
    let unsent = sink.stream.unsent();
    let has_ended = source.was_read_to_end();
    let watch = source.watch.get_or_insert_with(|| {
        Box::new(Watch {
            since: source.moved_at,
            unsent,
            look_at: now,
            has_ended: false,
            gone: None,
        })
    });
    let is_idle = unsent == 0 && !is_waiting;
    if unsent < watch.unsent || is_idle {
        watch.since = now;
    }
    watch.since = watch.since.max(source.moved_at);
    (watch.unsent, watch.look_at) = (unsent, now + TICK);
    watch.has_ended = has_ended;
    let was_lost = watch.gone.as_ref().map(|(gone, _)| gone.is_abort());
    match gone {
        None => watch.gone = None,
        Some(gone) if was_lost != Some(gone.is_abort()) => watch.gone = Some((gone, now)),
        Some(_) => {}
    }
}

impl Watch {
    /// When the sink has had its time, and by which limit.
    fn deadline(&self, options: &Options) -> Option<(Instant, Deadline)> {
        let by_gone = self.gone.as_ref().and_then(|(gone, seen_at)| {
            let (time, deadline) = match gone.is_abort() {
                true => (Some(options.close_timeout), Deadline::Stall),
                false => (options.deliver_timeout, Deadline::Deliver),
            };
            Some((self.since.max(*seen_at) + time?, deadline))
        });
        let by_stall = options
            .stall
            .map(|time| (self.since + time, Deadline::Unread));
        match (by_gone, by_stall) {
            (Some(gone), Some(stall)) => Some(if gone.0 <= stall.0 { gone } else { stall }),
            (gone, stall) => gone.or(stall),
        }
    }
}

/// Ends a sink that took nothing for so long, and its source with it.
fn cut(source: &mut End, sink: &mut End, deadline: Deadline) {
    let gone = source.watch.take().and_then(|watch| watch.gone);
    let ended = source.ahead.take().and_then(|ahead| ahead.end().cloned());
    if let Some(ended) = ended {
        source.say(ended);
        source.is_over = true;
    }
    if let Some((gone, _)) = gone.filter(|(gone, _)| gone.is_abort()) {
        source.say(gone);
        (source.is_over, source.told) = (true, Told::Over);
    }
    sink.give_up(deadline);
}

#[cfg(test)]
mod tests;
