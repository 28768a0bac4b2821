//! The one pump: moves fragments both ways between two message streams and carries their endings across.

mod ahead;
mod answers;
mod blocked;
mod budget;
mod end;
pub mod lingering;
mod options;
mod outcome;
mod stop;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, Sleep};

use crate::ending::{Deadline, Ending, Stop};
use crate::peer::{Messages, Notice};
use crate::progress::{Meter, Passed};
use answers::Wait;
use budget::Budget;
use end::{End, Told, Waiting};
use lingering::Permit;
pub use options::{Copied, DRAIN, Options};
pub use outcome::{Counts, Glance, Outcome, Side};

/// How long a peer that takes nothing more is listened to, so that it can say why.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long the answer to our Close is waited for where no one reads what comes before it.
const LEAVE: Duration = Duration::from_secs(1);
/// How long a session may take to end once it was as long as it may be.
const LATE: Duration = Duration::from_secs(1);

/// Pumps until both sides have ended, or a deadline has ended them. `stop` asks it to end soon and gracefully.
///
/// Nothing here knows an endpoint, a WebSocket or a socket. The future holds each thing once: most of what an idle session
/// costs is this.
pub fn pump<'a>(
    left: Messages,
    right: Messages,
    options: &'a Options,
    stop: impl Future<Output = Stop> + Unpin + 'a,
) -> impl Future<Output = Outcome> + 'a {
    pump_watched(left, right, options, stop, |_| {})
}

/// Pumps as [`pump`] does. `look` is called whenever something may have changed, and may have a look at it.
pub fn pump_watched<'a>(
    mut left: Messages,
    mut right: Messages,
    options: &'a Options,
    mut stop: impl Future<Output = Stop> + Unpin + 'a,
    mut look: impl FnMut(&dyn Fn() -> Glance) + 'a,
) -> impl Future<Output = Outcome> + 'a {
    if right.facts.ignores_boundaries && !matches!(options.left_to_right, Copied::Messages(_)) {
        left.stream.notify(Notice::MergeMessages);
    }
    if left.facts.ignores_boundaries && !matches!(options.right_to_left, Copied::Messages(_)) {
        right.stream.notify(Notice::MergeMessages);
    }
    let mut pump = Pump {
        left: End::new(left, options.left_to_right),
        right: End::new(right, options.right_to_left),
        options,
        cause: None,
        lingers: Lingers::default(),
        stopped: None,
        begun: Instant::now(),
        timer: None,
        measured: None,
    };
    let open = options.meter.as_deref().map(Meter::open);
    async move {
        let _open = open;
        poll_fn(|cx| {
            let polled = pump.poll_beside(&mut stop, cx);
            look(&|| pump.glance());
            polled
        })
        .await;
        pump.outcome()
    }
}

/// Whether the session only waits for answers after the end of its caller's input.
#[derive(Default)]
struct Lingers {
    /// Since when nothing has moved, while it does.
    since: Option<Instant>,
    /// Whether the last that moved was an answer, before the caller ended.
    is_answered: bool,
    /// Whether its permit is known to linger.
    is_noted: bool,
    /// Whether it had to give up its permit, and so ends.
    is_over: bool,
}

impl Lingers {
    /// Tells its permit; true where it has just been given up.
    fn note(&mut self, permit: &Arc<Permit>, cx: &Context<'_>) -> bool {
        match self.since {
            Some(since) if !self.is_over => {
                self.is_noted = true;
                self.is_over = permit.poll_linger(since, self.is_answered, cx).is_ready();
                self.is_over
            }
            _ if std::mem::take(&mut self.is_noted) => {
                permit.resume();
                false
            }
            _ => false,
        }
    }
}

struct Pump<'a> {
    left: End,
    right: End,
    options: &'a Options,
    cause: Option<(Side, Ending)>,
    lingers: Lingers,
    stopped: Option<(Stop, Instant)>,
    begun: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// What the meter has been told of, where there is one.
    measured: Option<Box<[Counts; 2]>>,
}

impl Pump<'_> {
    /// Polls the stop, then the session; what gives up its permit ends at once.
    fn poll_beside(
        &mut self,
        stop: &mut (impl Future<Output = Stop> + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.stopped.is_none()
            && let Poll::Ready(stop) = Pin::new(stop).poll(cx)
        {
            self.stopped = Some((stop, Instant::now()));
        }
        let mut polled = self.poll(cx);
        if let Some(permit) = &self.options.permit
            && polled.is_pending()
            && self.lingers.note(permit, cx)
        {
            polled = self.poll(cx);
        }
        if let Some(meter) = &self.options.meter {
            self.measure(meter);
        }
        polled
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (mut forth, mut back) = (Budget::new(), Budget::new());
        loop {
            let before = self.phases();
            self.left.pour(&mut self.right, cx, &mut forth);
            self.right.pour(&mut self.left, cx, &mut back);
            self.left.poll_after_end(cx);
            self.right.poll_after_end(cx);
            // What was poured has been poured to the end: only where a side ended is there more to do.
            let mut has_changed = self.phases() != before;
            let mut wake_at = self.decide();
            earliest(&mut wake_at, self.watch_blocked(cx));
            has_changed |= self.left.poll_told(cx);
            has_changed |= self.right.poll_told(cx);
            if self.left.is_done() && self.right.is_done() {
                return Poll::Ready(());
            }
            if !forth.is_left() || !back.is_left() {
                if forth.is_barren || back.is_barren {
                    // A flood without payload waits for what else there is to do on this thread, events included.
                    let _ = pin!(yield_now()).poll(cx);
                } else {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            if !has_changed && !self.poll_timer(wake_at, cx) {
                return Poll::Pending;
            }
        }
    }

    /// Tells what has passed since it was told last.
    fn measure(&mut self, meter: &Meter) {
        let passed = [self.left.counts(), self.right.counts()];
        let told = std::mem::replace(&mut **self.measured.get_or_insert_default(), passed);
        meter.add([0, 1].map(|way| Passed {
            bytes: passed[way].bytes.saturating_sub(told[way].bytes),
            messages: passed[way].messages.saturating_sub(told[way].messages),
        }));
    }

    /// What may be told of it at this moment.
    fn glance(&self) -> Glance {
        let (left, right) = (&self.left, &self.right);
        let state = match (self.stopped, &left.said, &right.said) {
            (Some(_), ..) => "stopping",
            (None, Some(_), Some(_)) => "closing",
            (None, Some(_), None) => "left has ended",
            (None, None, Some(_)) => "right has ended",
            (None, None, None) if left.is_held_up => "right takes nothing",
            (None, None, None) if right.is_held_up => "left takes nothing",
            (None, None, None) => "open",
        };
        Glance {
            bytes_right: left.counts().bytes,
            bytes_left: right.counts().bytes,
            state,
        }
    }

    /// When something last moved.
    fn moved_at(&self) -> Instant {
        self.left.moved_at.max(self.right.moved_at)
    }

    fn phases(&self) -> [(bool, bool, bool, bool); 2] {
        [&self.left, &self.right].map(End::phase)
    }

    /// Decides who is told what; returns when time alone may change that.
    fn decide(&mut self) -> Option<Instant> {
        let mut wake_at = self.stop_when_quiet();
        let (options, stopping) = (self.options, self.stopped.is_some());
        let quiet_since = self.moved_at();
        let Pump {
            left,
            right,
            cause,
            lingers,
            ..
        } = self;
        earliest(&mut wake_at, refusal(left));
        earliest(&mut wake_at, refusal(right));
        note(cause, Side::Left, left, right);
        note(cause, Side::Right, right, left);
        lingers.since = None;
        let follows = consequence(
            left,
            right,
            Side::Left,
            options,
            lingers,
            stopping,
            quiet_since,
        );
        earliest(&mut wake_at, follows);
        let follows = consequence(
            right,
            left,
            Side::Right,
            options,
            lingers,
            stopping,
            quiet_since,
        );
        earliest(&mut wake_at, follows);
        let stall = options.stall;
        earliest(&mut wake_at, answers::conclude(left, right, stall));
        earliest(&mut wake_at, answers::conclude(right, left, stall));
        for end in [left, right] {
            if let Some((at, deadline)) = end.patience(options) {
                if at <= Instant::now() {
                    end.give_up(deadline);
                    // Once more, for what follows from it.
                    earliest(&mut wake_at, Some(Instant::now()));
                } else {
                    earliest(&mut wake_at, Some(at));
                }
            }
        }
        earliest(&mut wake_at, self.session_deadlines());
        wake_at
    }

    /// The deadlines of the session as a whole: a stop's drain, the idle time and the longest.
    fn session_deadlines(&mut self) -> Option<Instant> {
        let mut wake_at = None;
        if let Some((_, at)) = self.stopped {
            let until = at + self.options.drain;
            if until <= Instant::now() {
                self.left.give_up(Deadline::Drain);
                self.right.give_up(Deadline::Drain);
            }
            earliest(&mut wake_at, Some(until));
        }
        if let Some(idle) = self.options.idle
            && (self.left.takes() || self.right.takes())
        {
            let until = self.moved_at() + idle;
            if until <= Instant::now() {
                self.expire(Deadline::Idle);
            }
            earliest(&mut wake_at, Some(until));
        }
        if let Some(max_time) = self.options.max_time
            && (self.left.said.is_none() || self.right.said.is_none())
        {
            let until = self.begun + max_time;
            if until <= Instant::now() {
                self.expire(Deadline::Time);
            }
            earliest(&mut wake_at, Some(until));
        }
        // Also where a peer does not answer.
        if let Some(max_time) = self.options.max_time {
            let until = self.begun + max_time + LATE;
            if until <= Instant::now() {
                self.left.give_up(Deadline::Time);
                self.right.give_up(Deadline::Time);
            }
            earliest(&mut wake_at, Some(until));
        }
        wake_at
    }

    fn expire(&mut self, deadline: Deadline) {
        for end in [&mut self.left, &mut self.right] {
            end.say(Ending::Deadline(deadline));
            end.tell(Ending::Deadline(deadline));
        }
    }

    /// Waits for the next deadline; true when it has come.
    fn poll_timer(&mut self, wake_at: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(at) = wake_at else {
            return false;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        // One that is set too early is left to fire: most deadlines move on before they come.
        while timer.deadline() > at || timer.as_mut().poll(cx).is_ready() {
            if at <= Instant::now() {
                return true;
            }
            timer.as_mut().reset(at);
        }
        false
    }

    fn outcome(mut self) -> Outcome {
        // What fails last, a deadline or the write of what came with the Close, ends the session before it is noted.
        refusal(&mut self.left);
        refusal(&mut self.right);
        note(&mut self.cause, Side::Left, &self.left, &self.right);
        note(&mut self.cause, Side::Right, &self.right, &self.left);
        let stopped = self.stopped.map(|(stop, _)| stop);
        let ending = |end: &End| match (&end.said, end.lingered) {
            // The Close that answers ours.
            (Some((said, _)), Some(linger)) if said.exit_status() == 0 && !said.is_abort() => {
                Ending::LingerExpired(linger)
            }
            (Some((said, _)), _) => said.clone(),
            (None, _) => Ending::Abandoned,
        };
        Outcome {
            is_unheard: self.left.is_unheard || self.right.is_unheard,
            fewer: self.fewer(),
            too_big: match (self.left.refused_message(), self.right.refused_message()) {
                (_, Some(longest)) => Some((Side::Right, longest)),
                (longest, _) => longest.map(|longest| (Side::Left, longest)),
            },
            refused_marker: match (self.left.refused_marker(), self.right.refused_marker()) {
                (_, true) => Some(Side::Right),
                (true, _) => Some(Side::Left),
                _ => None,
            },
            left: ending(&self.left),
            right: ending(&self.right),
            cause: self.cause,
            left_to_right: self.left.counts(),
            right_to_left: self.right.counts(),
            gap: self
                .left
                .stream
                .tally()
                .gap
                .and(self.right.stream.tally().gap),
            stopped,
        }
    }
}

impl Pump<'_> {
    /// How many answers came and how many were to come, where they were fewer and no one has stopped reading them.
    fn fewer(&self) -> Option<(u64, u64)> {
        let (came, copied) = (self.right.counts().messages, self.right.copied);
        match copied {
            Copied::Messages(wanted) if came < wanted => Some((came, wanted)),
            _ => None,
        }
        .filter(|_| !self.left.has_said(&Ending::ReaderGone))
    }
}

/// Notes the first ending that is no normal one. A Close that was asked for at our own input is normal, and so is its echo.
fn note(cause: &mut Option<(Side, Ending)>, side: Side, end: &End, other: &End) {
    let is_asked_for = |said: &Ending| match said {
        Ending::Close(close) if other.is_local => {
            matches!(&other.said, Some((Ending::Close(asked), _)) if asked.code == close.code)
        }
        Ending::Close(_) => end.is_local,
        _ => false,
    };
    if let Some((said, _)) = &end.said
        && said.exit_status() != 0
        && !is_asked_for(said)
    {
        cause.get_or_insert((side, said.clone()));
    }
}

fn earliest(wake_at: &mut Option<Instant>, at: Option<Instant>) {
    *wake_at = match (*wake_at, at) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
}

/// What follows from a side that takes nothing more: it may say why, and then it has ended.
fn refusal(end: &mut End) -> Option<Instant> {
    let (refused, at) = end.refused.clone()?;
    if !matches!(end.told, Told::Done(_) | Told::Over) {
        end.told = Told::Done(Waiting::begin(0, true));
    }
    // A WebSocket that was closed and shut down has sent its Close before our writes fail.
    let has_last_words = end.said.is_none() && refused.is_abort() && !end.is_local;
    if has_last_words && Instant::now() < at + LAST_WORDS {
        return Some(at + LAST_WORDS);
    }
    (end.is_over, end.told) = (true, Told::Over);
    let said = end.said.as_ref().map(|said| &said.0);
    let was_clean = said.is_none_or(|said| !said.is_abort() && !matches!(said, Ending::Stopped(_)));
    // Behind its marker its Close is due.
    let is_open =
        said.is_none_or(|said| *said == Ending::Eof && end.stream.tally().marks.is_some());
    if was_clean && (is_open || end.half_closes()) {
        // Its own end was clean, and yet it did not take all that it was sent.
        end.said = Some((refused, at));
    }
    None
}

/// What follows for `other` from the end of `end`, which is the `side` of the session.
fn consequence(
    end: &mut End,
    other: &mut End,
    side: Side,
    options: &Options,
    lingers: &mut Lingers,
    stopping: bool,
    quiet_since: Instant,
) -> Option<Instant> {
    let (said, _) = end.said.clone()?;
    if said.is_abort() {
        // Both of its directions are gone.
        end.tell(said.clone());
        other.tell(said);
        return None;
    }
    match answers::wait(end, other, side, options, quiet_since) {
        _ if stopping => {}
        Wait::Over => {}
        Wait::Proof(until) => return Some(until),
        Wait::Linger(until) if !lingers.is_over => {
            lingers.since = Some(quiet_since);
            lingers.is_answered = answers::were_heard(end, other);
            return until;
        }
        Wait::Linger(_) => {
            // Its permit was needed.
            let linger = *other.lingered.get_or_insert(quiet_since.elapsed());
            other.tell(Ending::LingerExpired(linger));
        }
        Wait::Expired(linger) => {
            if other.lingered.replace(linger).is_none() {
                let ended_at = end.said.as_ref().map(|said| said.1);
                let is_empty = end.counts() == Counts::default();
                other.is_unheard = is_empty || other.answered_at < ended_at;
            }
            other.tell(Ending::LingerExpired(linger));
        }
    }
    let is_enough = said == Ending::Enough;
    let is_unread = said == Ending::ReaderGone && end.is_local;
    // The end of what takes nothing more is no half-close.
    let is_carried = other.half_closes() && other.closes_both();
    let is_both = is_carried && said == Ending::Eof && end.stream.is_closed();
    other.tell(if is_both { Ending::Abandoned } else { said });
    if let Some((_, at)) = end.refused.as_ref().filter(|_| is_unread) {
        return leave(other, *at + LEAVE);
    }
    let unsent = other.stream.unsent();
    match &mut other.told {
        Told::Done(told) if other.said.is_none() && !other.is_over => {
            if is_enough && other.copied != Copied::Nothing {
                return None;
            }
            told.look(unsent);
            let told_at = told.since;
            answers::abandon(end, other, options, quiet_since.max(told_at))
        }
        _ => None,
    }
}

/// Leaves a peer whose answer to our Close nobody waits for any longer: what it says is not read.
fn leave(other: &mut End, until: Instant) -> Option<Instant> {
    if other.is_over || matches!(other.told, Told::Over) {
        return None;
    }
    if Instant::now() < until {
        return Some(until);
    }
    other.say(Ending::Abandoned);
    (other.is_over, other.told) = (true, Told::Over);
    Some(Instant::now())
}

#[cfg(test)]
mod tests;
