//! One side of a session: what it has said and was told, and how what it says moves on.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::ahead::{Ahead, Watch};
use super::budget::Budget;
use super::options::{Copied, Options};
use super::outcome::Counts;
use crate::ending::{Deadline, Ending};
use crate::peer::{Event, Longest, MessageStream, Messages, Opened, Spent};

/// One side of the session.
pub(super) struct End {
    pub(super) stream: Box<dyn MessageStream>,
    /// How its direction ended, once it has, and when.
    pub(super) said: Option<(Ending, Instant)>,
    /// How it came to take no more, where it did, and when.
    pub(super) refused: Option<(Ending, Instant)>,
    /// Whether it has been told that the other side ended.
    pub(super) told: Told,
    /// What it was told last: an end, a Close, an abort.
    pub(super) told_grade: Option<Grade>,
    /// How long it was waited for in vain.
    pub(super) lingered: Option<Duration>,
    /// Whether nothing had come of it by then since the other side ended, or that had said nothing at all.
    pub(super) is_unheard: bool,
    /// Whether it was sent the half-close marker.
    pub(super) is_marked: bool,
    /// Whether its own marker came.
    pub(super) has_marked: bool,
    /// Whether it will never yield anything again.
    pub(super) is_over: bool,
    /// When something of it was last taken, at first when it began.
    pub(super) moved_at: Instant,
    /// When something was last read of it, if ever, be it a piece of what can not be taken yet.
    pub(super) heard_at: Option<Instant>,
    /// The same for what is a message or a piece of one: no ping or pong.
    pub(super) answered_at: Option<Instant>,
    /// Whether what was copied last was of the other side.
    pub(super) is_answered: bool,
    /// Whether the rest of a message has yet to come, of which something was taken.
    pub(super) is_within_message: bool,
    /// Whether it may have more than the other side has taken.
    pub(super) is_held_up: bool,
    /// Whether its turn ended within what it had read: that is to leave together.
    pub(super) is_midway: bool,
    /// What it was read on while that took nothing.
    pub(super) ahead: Option<Box<Ahead>>,
    /// The watch over it while the other side takes nothing.
    pub(super) watch: Option<Box<Watch>>,
    /// What is known about it: [`StreamFacts`](crate::peer::StreamFacts) without what matters only at the beginning.
    pub(super) is_local: bool,
    pub(super) has_no_end: bool,
    pub(super) is_feed: bool,
    pub(super) ignores_boundaries: bool,
    pub(super) copied: Copied,
    pub(super) counts: Counts,
}

/// How much an end says: what was told can be followed by what says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    /// The end of one direction.
    Half,
    /// The end of both.
    Both,
    /// A cut.
    Abort,
}

impl Grade {
    pub(super) fn of(why: &Ending) -> Grade {
        match why {
            Ending::Eof | Ending::Enough => Grade::Half,
            why if why.is_abort() => Grade::Abort,
            _ => Grade::Both,
        }
    }
}

pub(super) enum Told {
    No,
    /// Being told.
    Telling(Ending, Waiting),
    /// It has been told; a WebSocket has yet to answer, and then its transport to end.
    Done(Waiting),
    /// Nothing more is to be done with it.
    Over,
}

/// How long a peer has kept us waiting.
pub(super) struct Waiting {
    /// When it was told, or last took something of what was on its way to it, and how much was left then.
    pub(super) since: Instant,
    pub(super) unsent: usize,
    /// Whether it was told of a cut, and is not to have all that is left for it.
    pub(super) is_cut: bool,
}

/// Bytes that are as good as taken: a peer's system takes a Close whether the peer lives or not.
const LITTLE: usize = 256;

impl Waiting {
    pub(super) fn begin(unsent: usize, is_cut: bool) -> Waiting {
        Waiting {
            is_cut,
            since: Instant::now(),
            unsent: if unsent > LITTLE { unsent } else { 0 },
        }
    }

    /// Begins anew where it has taken something.
    pub(super) fn look(&mut self, unsent: usize) {
        if unsent < self.unsent {
            *self = Waiting::begin(unsent, self.is_cut);
        }
    }
}

impl End {
    pub(super) fn new(messages: Messages, copied: Copied) -> End {
        let Opened { stream, facts } = messages;
        End {
            is_local: facts.is_local,
            has_no_end: facts.has_no_end,
            is_feed: facts.is_feed,
            ignores_boundaries: facts.ignores_boundaries,
            ahead: None,
            watch: None,
            stream,
            said: None,
            refused: None,
            told: Told::No,
            told_grade: None,
            lingered: None,
            is_unheard: false,
            is_marked: false,
            has_marked: false,
            is_over: false,
            moved_at: Instant::now(),
            heard_at: None,
            answered_at: None,
            is_answered: false,
            is_within_message: false,
            is_held_up: false,
            is_midway: false,
            copied,
            counts: Counts::default(),
        }
    }

    /// What its pouring may change, besides what has moved.
    pub(super) fn phase(&self) -> (bool, bool, bool, bool) {
        let is_cut = self.said.as_ref().is_some_and(|said| said.0.is_abort());
        (
            self.said.is_some(),
            is_cut,
            self.refused.is_some(),
            self.is_over,
        )
    }

    /// Whether it may go on sending after we closed our direction.
    pub(super) fn half_closes(&self) -> bool {
        self.stream.tally().half_closes
    }

    pub(super) fn takes(&self) -> bool {
        matches!(self.told, Told::No) && self.refused.is_none()
    }

    /// Whether its words matter though nobody takes them: a WebSocket's Close, the reason of a refusal.
    pub(super) fn is_listened_to(&self) -> bool {
        let awaits_close = self.closes_both()
            && (!matches!(self.told, Told::No)
                || self.copied == Copied::Nothing
                || self.awaits_close());
        !self.is_over && (awaits_close || self.refused.is_some() || self.works_unheard())
    }

    /// Whether it is read on only for its own sake: nothing of it is copied.
    pub(super) fn works_unheard(&self) -> bool {
        self.copied == Copied::Nothing && self.stream.tally().works_unheard
    }

    pub(super) fn is_done(&self) -> bool {
        match self.told {
            Told::No | Told::Telling(..) => false,
            Told::Done(_) => !self.closes_both(),
            Told::Over => true,
        }
    }

    pub(super) fn say(&mut self, ending: Ending) {
        self.said.get_or_insert_with(|| (ending, Instant::now()));
    }

    /// Notes what followed a clean end: the Close behind a marker, or a reset.
    pub(super) fn amend(&mut self, ending: Ending) {
        match &mut self.said {
            Some((said @ Ending::Eof, _)) => *said = ending,
            _ => self.say(ending),
        }
    }

    pub(super) fn has_said(&self, ending: &Ending) -> bool {
        self.said.as_ref().is_some_and(|said| said.0 == *ending)
    }

    pub(super) fn refuse(&mut self, ending: Ending) {
        self.refused.get_or_insert((ending, Instant::now()));
    }

    pub(super) fn tell(&mut self, why: Ending) {
        let grade = Grade::of(&why);
        let says_more = self.told_grade.is_none_or(|told| grade > told);
        let can_follow = match self.told {
            Told::No => true,
            Told::Over => false,
            // A byte stream that was half-closed can be reset, a WebSocket that was sent the marker can be closed.
            Told::Telling(..) | Told::Done(_) => {
                self.half_closes() && (grade == Grade::Abort || self.closes_both())
                    || self.owes_close()
            }
        };
        if says_more && can_follow {
            self.told_grade = Some(grade);
            let wait = Waiting::begin(self.stream.unsent(), is_cut(&why));
            self.told = Told::Telling(why, wait);
        }
    }

    pub(super) fn give_up(&mut self, deadline: Deadline) {
        match self.is_done() && self.stream.unsent() == 0 {
            true => self.say(Ending::Deadline(deadline)),
            // Also where its own direction ended well: it has not taken all.
            false => self.amend(Ending::Deadline(deadline)),
        }
        self.is_over = true;
        self.told = Told::Over;
    }

    /// Moves what it has to say into `sink`, and notes when.
    pub(super) fn pour(&mut self, sink: &mut End, cx: &mut Context<'_>, budget: &mut Budget) {
        let (before, counts) = (budget.fragments, self.counts);
        let moved = self.pour_until_dry(sink, cx, budget);
        budget.is_barren = !budget.is_left() && !moved;
        if self.counts != counts {
            (self.is_answered, sink.is_answered) = (false, true);
        }
        if moved || budget.fragments != before {
            let now = Instant::now();
            self.heard_at = Some(now);
            if moved {
                self.moved_at = now;
            }
            if moved || self.stream.tally().has_piece {
                self.answered_at = Some(now);
            }
        }
    }

    /// Until it runs dry, the sink is full or the budget is spent; whether something moved.
    pub(super) fn pour_until_dry(
        &mut self,
        sink: &mut End,
        cx: &mut Context<'_>,
        budget: &mut Budget,
    ) -> bool {
        let mut moved = false;
        if self.copied != Copied::Nothing {
            sink.look_for_reader(cx);
        }
        let _ = self.stream.spent();
        // One buffer in flight: what was read has left before more is taken, and again before more is read.
        let is_midway = std::mem::take(&mut self.is_midway);
        let is_blocked = !is_midway && sink.takes() && sink.poll_flush(cx).is_pending();
        while !self.is_over && budget.allows_what_is_read() {
            let delivers = self.said.is_none() && sink.takes() && self.copied != Copied::Nothing;
            if delivers && is_blocked {
                return self.held_up(moved, cx);
            }
            if delivers {
                match sink.stream.poll_ready(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(ending)) => {
                        sink.refuse(ending);
                        continue;
                    }
                    Poll::Pending => return self.held_up(moved, cx),
                }
            } else if !self.is_listened_to() {
                break;
            }
            let Some(event) = self.next_event() else {
                budget.charge(self.stream.spent());
                if budget.read.frames >= Spent::TURN.frames {
                    // There may be more of it in the buffer.
                    self.is_midway = true;
                    break;
                }
                if delivers && sink.poll_flush(cx).is_pending() {
                    return self.held_up(moved, cx);
                }
                if !budget.is_left() || self.stream.poll_more(cx).is_pending() {
                    break;
                }
                budget.spend(0);
                continue;
            };
            moved = true;
            let mut event = match event {
                Event::End(ending) => {
                    self.is_over = !self.awaits_close();
                    self.has_marked |= !self.is_over;
                    self.amend(ending);
                    continue;
                }
                event => event,
            };
            self.spend(&event, budget);
            if delivers {
                self.count_event(&mut event);
                let sent = sink.stream.start_send(event);
                sink.note_sent(sent);
            }
        }
        self.is_held_up = !budget.is_left();
        moved
    }

    /// Stops pouring into a sink that takes nothing, and ends at once where the end does not wait for that.
    pub(super) fn held_up(&mut self, moved: bool, cx: &mut Context<'_>) -> bool {
        self.is_held_up = true;
        if let Poll::Ready(ending) = self.stream.poll_cut(cx) {
            self.is_over = true;
            self.say(ending);
        }
        self.read_on(cx);
        moved
    }

    /// How many more messages of it are to be copied.
    pub(super) fn wanted(&self) -> usize {
        match self.copied {
            Copied::Messages(most) => {
                usize::try_from(most - self.counts.messages).unwrap_or(usize::MAX)
            }
            _ => usize::MAX,
        }
    }

    /// Charges what was taken of it, and notes whether a message is unfinished.
    pub(super) fn spend(&mut self, event: &Event, budget: &mut Budget) {
        match event {
            Event::Fragment(fragment) => {
                budget.spend(fragment.payload.len());
                self.is_within_message = !fragment.fin;
            }
            Event::Batch(batch) => {
                budget.spend(batch.size());
                self.is_within_message = false;
            }
            Event::Gap(_) | Event::End(_) => {}
        }
    }

    /// Counts what is copied of it, and leaves out what is more than that.
    pub(super) fn count_event(&mut self, event: &mut Event) {
        match event {
            Event::Fragment(fragment) => {
                self.count(fragment.payload.len(), usize::from(fragment.fin));
            }
            Event::Batch(batch) => {
                batch.truncate(self.wanted());
                self.count(batch.payload(), batch.count());
            }
            Event::Gap(_) | Event::End(_) => {}
        }
    }

    pub(super) fn count(&mut self, bytes: usize, messages: usize) {
        self.counts.bytes += bytes as u64;
        self.counts.messages += messages as u64;
        if self.copied == Copied::Messages(self.counts.messages) {
            self.say(Ending::Enough);
        }
    }

    pub(super) fn note_sent(&mut self, sent: Result<(), Ending>) {
        match sent {
            Ok(()) => {}
            // Its stream says so itself, behind what it has yet to say; if there is nothing, that was not its end after all.
            // Nobody hears what it says where nothing of it is copied.
            Err(unfit) if unfit.is_unfit() => {
                let is_mute = self.is_over || self.copied == Copied::Nothing;
                if is_mute && !self.said.as_ref().is_some_and(|said| said.0.is_abort()) {
                    self.said = Some((unfit, Instant::now()));
                }
            }
            Err(ending) => self.refuse(ending),
        }
    }

    /// The longest message that it was sent, where one was too big for it.
    pub(super) fn refused_message(&self) -> Option<Longest> {
        let (said, _) = self.said.as_ref()?;
        let longest = self.stream.tally().longest?;
        (said.is_too_big() && longest.bytes > 0).then_some(longest)
    }

    /// Ready when it has taken all that it was sent, or takes nothing more.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(ending) = ready!(self.stream.poll_flush(cx)) {
            self.refuse(ending);
        }
        Poll::Ready(())
    }

    pub(super) fn counts(&self) -> Counts {
        let messages = self.stream.tally().merged;
        Counts {
            messages: messages.unwrap_or(self.counts.messages),
            ..self.counts
        }
    }

    /// Goes on telling it that the other side ended; when both Closes have passed, ends the transport below them.
    pub(super) fn poll_told(&mut self, cx: &mut Context<'_>) -> bool {
        let (why, is_last) = match &self.told {
            Told::Telling(why, _) => (why, self.is_over),
            Told::Done(_) if self.is_over && !self.half_closes() && !self.owes_close() => {
                (&Ending::Eof, true)
            }
            _ => return false,
        };
        let is_cut = is_cut(why);
        let Poll::Ready(result) = self.stream.poll_close(cx, why) else {
            return false;
        };
        if let Err(ending) = result {
            self.refuse(ending);
        }
        self.is_marked |= self.owes_close();
        // After the marker a Close is still to be sent.
        self.told = match is_last && self.closes_both() && !self.owes_close() {
            true => Told::Over,
            false => Told::Done(Waiting::begin(self.stream.unsent(), is_cut)),
        };
        true
    }

    /// When it will have kept us waiting for too long, and for what. A slow reader that takes something has its time anew; one
    /// that is to have all is [watched](super::blocked) instead, as long as there is more of it.
    pub(super) fn patience(&mut self, options: &Options) -> Option<(Instant, Deadline)> {
        let has_closed = self.is_over || self.was_read_to_end();
        let (wait, deadline) = match &mut self.told {
            Told::Telling(_, wait) if wait.is_cut => (wait, Deadline::Stall),
            Told::Done(wait) if !has_closed && !self.stream.tally().half_closes => {
                (wait, Deadline::Close)
            }
            _ => return None,
        };
        wait.look(self.stream.unsent());
        if !wait.is_cut && wait.unsent > 0 {
            return None;
        }
        let timeout = options.close_timeout;
        // Where half-closes are in force our pings break the silence before the peer's Close.
        let marks = self.stream.tally().marks;
        let Some(marks) = marks.filter(|marks| marks.proof_wait.is_none()) else {
            return Some((wait.since + timeout, deadline));
        };
        let since = self.heard_at.map_or(wait.since, |at| at.max(wait.since));
        let idle = options
            .idle
            .map(|idle| self.moved_at.max(wait.since) + idle);
        let until = since + timeout + marks.backlog;
        Some(match idle.filter(|idle| *idle < until) {
            Some(idle) => (idle, Deadline::Idle),
            None => (until, deadline),
        })
    }

    /// Looks for what may follow a clean end while the other direction goes on.
    pub(super) fn poll_after_end(&mut self, cx: &mut Context<'_>) {
        let is_clean = self.said.as_ref().is_some_and(|said| !said.0.is_abort());
        if is_clean
            && self.is_over
            && !matches!(self.told, Told::Over)
            && let Poll::Ready(ending) = self.stream.poll_reset(cx)
        {
            self.amend(ending);
        }
    }
}

/// Whether an end is not to be waited for until all is taken: there is no whole of it.
pub(super) fn is_cut(why: &Ending) -> bool {
    why.is_abort() || matches!(why, Ending::Stopped(_))
}
