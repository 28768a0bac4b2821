//! How long a side is still heard after the end of the other: a WebSocket is not closed at the end of the input before it, and
//! a Close or an end is not the last word while answers come.

use std::time::Duration;

use tokio::time::Instant;

use super::end::{End, Told};
use super::options::{Copied, Options};
use super::outcome::Side;
use crate::ending::{Close, Deadline, Ending};

/// How long nothing must come after the end of a caller's input, where nothing has come since: the server may still think.
const CALLER_LINGER: Duration = Duration::from_secs(10);
/// The same where something has come since, and after a peer's Close.
const LINGER: Duration = Duration::from_secs(2);
/// The same where one side is standard input.
const LOCAL_LINGER: Duration = Duration::from_secs(1);
/// How often it is looked whether a peer has acknowledged all that it was sent.
const LOOK: Duration = Duration::from_millis(20);
/// The same where it has taken nothing for so long.
const LOOK_LATER: Duration = Duration::from_secs(1);

/// What the end of one side does to a WebSocket on the other.
pub(super) enum Wait {
    /// It is told now.
    Over,
    /// It is told then, unless the proof of half-closes comes.
    Proof(Instant),
    /// It is told then, unless something comes; `None` is never.
    Linger(Option<Instant>),
    /// It is told that it was waited for so long in vain.
    Expired(Duration),
}

impl Options {
    /// How long nothing must come after the peer's Close for ours to answer it.
    fn linger_after_close(&self, is_local: bool) -> Duration {
        let own = if is_local { LOCAL_LINGER } else { LINGER };
        self.linger.unwrap_or(own)
    }
}

impl End {
    /// Whether its end is one of both directions: a WebSocket, also one that carries half-closes.
    pub(super) fn closes_both(&self) -> bool {
        let tally = self.stream.tally();
        !tally.half_closes || tally.marks.is_some()
    }

    /// Whether it was sent the half-close marker, and a Close has to follow.
    pub(super) fn owes_close(&self) -> bool {
        self.stream
            .tally()
            .marks
            .is_some_and(|marks| marks.owes_close)
    }

    /// Whether it was sent the marker and ended as a proxy lets it that refuses the frame.
    pub(super) fn refused_marker(&self) -> bool {
        let said = self.said.as_ref().map(|said| &said.0);
        let is_refusal = matches!(
            said,
            Some(
                Ending::Lost(_)
                    | Ending::Close(Close {
                        code: Some(1002 | 1003 | 1008),
                        ..
                    })
            )
        );
        self.is_marked && !self.has_marked && is_refusal
    }

    /// Whether its marker has come, and its Close has to follow.
    pub(super) fn awaits_close(&self) -> bool {
        let marks = self.stream.tally().marks;
        marks.is_some_and(|marks| marks.awaits_close || self.was_read_to_end())
    }
}

/// What the end of `end`, which is the `side` of the session, does to `other` where that has yet to be told.
///
/// The end of a caller's input leaves a WebSocket open, so that its answer is heard; that of a target does not. Where a
/// number of messages was asked for, they are waited for as long as it takes.
pub(super) fn wait(
    end: &End,
    other: &End,
    side: Side,
    options: &Options,
    quiet_since: Instant,
) -> Wait {
    let Some((said @ (Ending::Eof | Ending::Enough), said_at)) = &end.said else {
        return Wait::Over;
    };
    let tally = other.stream.tally();
    let is_told = !matches!(other.told, Told::No) || tally.half_closes;
    if is_told || other.said.is_some() || end.stream.is_closed() {
        return Wait::Over;
    }
    let now = Instant::now();
    if let Some(wait) = tally.marks.and_then(|marks| marks.proof_wait)
        && now < *said_at + wait
    {
        return Wait::Proof(*said_at + wait);
    }
    // What has no end of its own was silent for long already.
    let is_callers = (side == Side::Left && !end.has_no_end) || end.is_local;
    let is_counted = matches!(other.copied, Copied::Messages(_));
    let waits = is_callers || (is_counted && *said == Ending::Enough);
    if !waits || other.copied == Copied::Nothing {
        return Wait::Over;
    }
    // A ping is no answer, however often it comes.
    let heard_since = other.answered_at.filter(|at| at > said_at);
    let linger = match options.linger {
        _ if options.keeps_open => return Wait::Linger(None),
        Some(linger) => linger,
        None if is_counted => return Wait::Linger(None),
        None if end.is_local => LOCAL_LINGER,
        None if heard_since.is_some() => LINGER,
        None => CALLER_LINGER,
    };
    let until = heard_since.unwrap_or(quiet_since).max(quiet_since) + linger;
    match now < until {
        true => Wait::Linger(Some(until)),
        false if linger.is_zero() => Wait::Over,
        false => Wait::Expired(linger),
    }
}

/// Whether the last that was copied before `end` ended was of `other`, and nothing has come of that since: what was asked is
/// answered.
pub(super) fn were_heard(end: &End, other: &End) -> bool {
    let ended_at = end.said.as_ref().map(|said| said.1);
    end.is_answered && other.answered_at <= ended_at
}

/// How long `other` is still heard, which has been told that `end` ended: bytes as long as they like, but not when `end`
/// is a WebSocket that waits for our Close to answer its own, nor when `other` is the process's own input or has no end.
pub(super) fn abandon(
    end: &End,
    other: &mut End,
    options: &Options,
    quiet_since: Instant,
) -> Option<Instant> {
    let awaits_reply = !end.half_closes();
    let now = Instant::now();
    if other.works_unheard() {
        return None;
    }
    let is_unheard = other.copied == Copied::Nothing && other.half_closes();
    // Its server has closed: an open input is no reason to stay.
    let is_idle_input = awaits_reply && other.is_local;
    let is_endless = other.is_local || other.has_no_end;
    if is_unheard || is_idle_input {
        other.say(Ending::Abandoned);
        return Some(now);
    }
    if !awaits_reply && (!is_endless || options.keeps_open) {
        return None;
    }
    let is_local = end.is_local || other.is_local;
    let linger = options.linger_after_close(is_local);
    let until = quiet_since + linger;
    if now < until {
        return Some(until);
    }
    other.say(Ending::LingerExpired(linger));
    Some(now)
}

/// Ends a WebSocket on which both directions were half-closed, or that has said all that was wanted of it: once `other` has
/// taken all that came, a Close is our verdict. Between two WebSockets the verdict of each goes to the other.
pub(super) fn conclude(end: &mut End, other: &mut End, stall: Option<Duration>) -> Option<Instant> {
    let is_told = matches!(end.told, Told::Done(_)) && end.owes_close();
    let said = end.said.as_ref().filter(|_| is_told)?.0.clone();
    if said.is_abort() || other.closes_both() {
        return None;
    }
    let Told::Done(wait) = &mut other.told else {
        return None;
    };
    let unsent = other.stream.unsent();
    let now = Instant::now();
    wait.look(unsent);
    if unsent > 0 && stall.is_some_and(|stall| now >= wait.since + stall) {
        other.amend(Ending::Deadline(Deadline::Unread));
        return Some(now);
    }
    if unsent > 0 {
        // Its caller has half-closed, which is no reason to be in a hurry.
        let is_slow = now > wait.since + LOOK_LATER;
        return Some(now + if is_slow { LOOK_LATER } else { LOOK });
    }
    end.tell(match said {
        close @ Ending::Close(_) => close,
        _ => Ending::Close(Close::new(1000, "")),
    });
    None
}
