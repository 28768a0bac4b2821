//! The one pump: moves fragments both ways between two message streams and carries their endings across.

mod answers;
mod blocked;
pub mod lingering;
mod stop;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, Sleep};

use blocked::{Ahead, Watch};

use crate::buffer::LARGE;
use crate::ending::{Deadline, Ending, Stop};
use crate::memory::Memory;
use crate::peer::{Event, Gap, Longest, MessageStream, Messages, Notice, Opened, Spent};
use crate::progress::{Meter, Passed};
use answers::Wait;
use lingering::Permit;

/// Bytes that one poll moves before it lets other sessions run: a tenth of a millisecond of work. What has been read by then is
/// moved to its end, up to as much again: the last messages that it was cut to would leave by themselves.
const BYTES_A_POLL: usize = LARGE;
/// Fragments that one poll moves before it lets other sessions run. What it reads is bounded by [`Spent::TURN`].
const FRAGMENTS_A_POLL: usize = 4 * 1024;
/// How long a peer that takes nothing more is listened to, so that it can say why.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long the answer to our Close is waited for where no one reads what comes before it.
const LEAVE: Duration = Duration::from_secs(1);
/// How long a session may take to end once it was as long as it may be.
const LATE: Duration = Duration::from_secs(1);

/// How long a session may go on after a stop, where nothing else is asked for.
pub const DRAIN: Duration = Duration::from_secs(8);

/// How a session waits and what it copies.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long nothing must come before an answer is no longer waited for: after the end of a caller's input, before our
    /// Close is sent; after a peer's Close, before our Close answers it. `None` is what suits the sides.
    pub linger: Option<Duration>,
    /// How long a peer may take to answer our Close, or to take anything of what is left for it.
    pub close_timeout: Duration,
    /// How long a peer may take nothing of what a side that has finished has left for it; `None` is for ever.
    pub deliver_timeout: Option<Duration>,
    /// How long a peer that is there may take nothing of what there is for it; `None` is for ever.
    pub stall: Option<Duration>,
    /// How long a session may go on after a stop: half of it to finish what is under way, all of it to end.
    pub drain: Duration,
    /// How long nothing may move either way; `None` is for ever.
    pub idle: Option<Duration>,
    /// How long a session may take; `None` is for ever.
    pub max_time: Option<Duration>,
    /// Whether the end of a caller's input leaves a WebSocket open.
    pub keeps_open: bool,
    /// What is copied from left to right.
    pub left_to_right: Copied,
    /// What is copied from right to left.
    pub right_to_left: Copied,
    /// Told of what passes, where somebody looks on.
    pub meter: Option<Arc<Meter>>,
    /// What the session gives up to a new caller while it only waits for answers.
    pub permit: Option<Arc<Permit>>,
    /// What is read ahead of a blocked sink is counted here.
    pub memory: Memory,
}

/// How much of a direction is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// All of it.
    All,
    /// This many messages.
    Messages(u64),
    /// None of it: bytes are not read, messages are read and dropped.
    Nothing,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            linger: None,
            close_timeout: Duration::from_secs(10),
            deliver_timeout: Some(Duration::from_secs(300)),
            stall: None,
            drain: DRAIN,
            idle: None,
            max_time: None,
            keeps_open: false,
            left_to_right: Copied::All,
            right_to_left: Copied::All,
            meter: None,
            permit: None,
            memory: Memory::default(),
        }
    }
}

/// What has passed in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Whole messages.
    pub messages: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

/// How a session went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How the left side ended.
    pub left: Ending,
    /// How the right side ended.
    pub right: Ending,
    /// What passed from left to right.
    pub left_to_right: Counts,
    /// What passed from right to left.
    pub right_to_left: Counts,
    /// The side that ended first with anything but exit status 0, and how; what the other then says follows from it.
    pub cause: Option<(Side, Ending)>,
    /// Whether a stop ended it.
    pub stopped: Option<Stop>,
    /// What may have been lost where a side was connected again.
    pub gap: Gap,
    /// Whether the linger of a caller's input ran out, and nothing had come since that ended, or it was empty.
    pub is_unheard: bool,
    /// How many messages came and how many were to come, where they were fewer.
    pub fewer: Option<(u64, u64)>,
    /// The side that closed because a message was too big for it, and the longest that it was sent.
    pub too_big: Option<(Side, Longest)>,
    /// The side that was sent the half-close marker and then ended as a proxy lets it that does not know the marker: by a Close
    /// that says so, or without one, before a marker came from there.
    pub refused_marker: Option<Side>,
}

/// The exit status of a session in which fewer messages came than were asked for.
const FEWER: u8 = 28;

/// One side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The caller's.
    Left,
    /// The one that is opened for the caller.
    Right,
}

impl Outcome {
    /// The exit status of a single session: that of a stop, else that of what ended it.
    pub fn exit_status(&self) -> u8 {
        match (self.stopped, &self.cause) {
            (Some(stop), _) => stop.exit_status(),
            (None, Some((_, ending))) => ending.exit_status(),
            (None, None) if self.fewer.is_some() => FEWER,
            (None, None) => 0,
        }
    }
}

/// What a session is doing at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Bytes of payload that passed from left to right.
    pub bytes_right: u64,
    /// Bytes of payload that passed from right to left.
    pub bytes_left: u64,
    /// What it does, in a few words.
    pub state: &'static str,
}

impl Glance {
    /// A session whose other side is not open yet.
    pub const CONNECTING: Glance = Glance {
        bytes_right: 0,
        bytes_left: 0,
        state: "connecting",
    };
}

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

/// One side of the session.
struct End {
    stream: Box<dyn MessageStream>,
    /// How its direction ended, once it has, and when.
    said: Option<(Ending, Instant)>,
    /// How it came to take no more, where it did, and when.
    refused: Option<(Ending, Instant)>,
    /// Whether it has been told that the other side ended.
    told: Told,
    /// What it was told last: an end, a Close, an abort.
    told_grade: Option<Grade>,
    /// How long it was waited for in vain.
    lingered: Option<Duration>,
    /// Whether nothing had come of it by then since the other side ended, or that had said nothing at all.
    is_unheard: bool,
    /// Whether it was sent the half-close marker.
    is_marked: bool,
    /// Whether its own marker came.
    has_marked: bool,
    /// Whether it will never yield anything again.
    is_over: bool,
    /// When something of it was last taken, at first when it began.
    moved_at: Instant,
    /// When something was last read of it, if ever, be it a piece of what can not be taken yet.
    heard_at: Option<Instant>,
    /// The same for what is a message or a piece of one: no ping or pong.
    answered_at: Option<Instant>,
    /// Whether what was copied last was of the other side.
    is_answered: bool,
    /// Whether the rest of a message has yet to come, of which something was taken.
    is_within_message: bool,
    /// Whether it may have more than the other side has taken.
    is_held_up: bool,
    /// Whether its turn ended within what it had read: that is to leave together.
    is_midway: bool,
    /// What it was read on while that took nothing.
    ahead: Option<Box<Ahead>>,
    /// The watch over it while the other side takes nothing.
    watch: Option<Box<Watch>>,
    /// What is known about it: [`StreamFacts`](crate::peer::StreamFacts) without what matters only at the beginning.
    is_local: bool,
    has_no_end: bool,
    is_feed: bool,
    ignores_boundaries: bool,
    copied: Copied,
    counts: Counts,
}

/// How much an end says: what was told can be followed by what says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    /// The end of one direction.
    Half,
    /// The end of both.
    Both,
    /// A cut.
    Abort,
}

impl Grade {
    fn of(why: &Ending) -> Grade {
        match why {
            Ending::Eof | Ending::Enough => Grade::Half,
            why if why.is_abort() => Grade::Abort,
            _ => Grade::Both,
        }
    }
}

enum Told {
    No,
    /// Being told.
    Telling(Ending, Waiting),
    /// It has been told; a WebSocket has yet to answer, and then its transport to end.
    Done(Waiting),
    /// Nothing more is to be done with it.
    Over,
}

/// How long a peer has kept us waiting.
struct Waiting {
    /// When it was told, or last took something of what was on its way to it, and how much was left then.
    since: Instant,
    unsent: usize,
    /// Whether it was told of a cut, and is not to have all that is left for it.
    is_cut: bool,
}

/// Bytes that are as good as taken: a peer's system takes a Close whether the peer lives or not.
const LITTLE: usize = 256;

impl Waiting {
    fn begin(unsent: usize, is_cut: bool) -> Waiting {
        Waiting {
            is_cut,
            since: Instant::now(),
            unsent: if unsent > LITTLE { unsent } else { 0 },
        }
    }

    /// Begins anew where it has taken something.
    fn look(&mut self, unsent: usize) {
        if unsent < self.unsent {
            *self = Waiting::begin(unsent, self.is_cut);
        }
    }
}

impl End {
    fn new(messages: Messages, copied: Copied) -> End {
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
    fn phase(&self) -> (bool, bool, bool, bool) {
        let is_cut = self.said.as_ref().is_some_and(|said| said.0.is_abort());
        (
            self.said.is_some(),
            is_cut,
            self.refused.is_some(),
            self.is_over,
        )
    }

    /// Whether it may go on sending after we closed our direction.
    fn half_closes(&self) -> bool {
        self.stream.tally().half_closes
    }

    fn takes(&self) -> bool {
        matches!(self.told, Told::No) && self.refused.is_none()
    }

    /// Whether its words matter though nobody takes them: a WebSocket's Close, the reason of a refusal.
    fn is_listened_to(&self) -> bool {
        let awaits_close = self.closes_both()
            && (!matches!(self.told, Told::No)
                || self.copied == Copied::Nothing
                || self.awaits_close());
        !self.is_over && (awaits_close || self.refused.is_some() || self.works_unheard())
    }

    /// Whether it is read on only for its own sake: nothing of it is copied.
    fn works_unheard(&self) -> bool {
        self.copied == Copied::Nothing && self.stream.tally().works_unheard
    }

    fn is_done(&self) -> bool {
        match self.told {
            Told::No | Told::Telling(..) => false,
            Told::Done(_) => !self.closes_both(),
            Told::Over => true,
        }
    }

    fn say(&mut self, ending: Ending) {
        self.said.get_or_insert_with(|| (ending, Instant::now()));
    }

    /// Notes what followed a clean end: the Close behind a marker, or a reset.
    fn amend(&mut self, ending: Ending) {
        match &mut self.said {
            Some((said @ Ending::Eof, _)) => *said = ending,
            _ => self.say(ending),
        }
    }

    fn has_said(&self, ending: &Ending) -> bool {
        self.said.as_ref().is_some_and(|said| said.0 == *ending)
    }

    fn refuse(&mut self, ending: Ending) {
        self.refused.get_or_insert((ending, Instant::now()));
    }

    fn tell(&mut self, why: Ending) {
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

    fn give_up(&mut self, deadline: Deadline) {
        match self.is_done() && self.stream.unsent() == 0 {
            true => self.say(Ending::Deadline(deadline)),
            // Also where its own direction ended well: it has not taken all.
            false => self.amend(Ending::Deadline(deadline)),
        }
        self.is_over = true;
        self.told = Told::Over;
    }

    /// Moves what it has to say into `sink`, and notes when.
    fn pour(&mut self, sink: &mut End, cx: &mut Context<'_>, budget: &mut Budget) {
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
    fn pour_until_dry(
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
    fn held_up(&mut self, moved: bool, cx: &mut Context<'_>) -> bool {
        self.is_held_up = true;
        if let Poll::Ready(ending) = self.stream.poll_cut(cx) {
            self.is_over = true;
            self.say(ending);
        }
        self.read_on(cx);
        moved
    }

    /// How many more messages of it are to be copied.
    fn wanted(&self) -> usize {
        match self.copied {
            Copied::Messages(most) => {
                usize::try_from(most - self.counts.messages).unwrap_or(usize::MAX)
            }
            _ => usize::MAX,
        }
    }

    /// Charges what was taken of it, and notes whether a message is unfinished.
    fn spend(&mut self, event: &Event, budget: &mut Budget) {
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
    fn count_event(&mut self, event: &mut Event) {
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

    fn count(&mut self, bytes: usize, messages: usize) {
        self.counts.bytes += bytes as u64;
        self.counts.messages += messages as u64;
        if self.copied == Copied::Messages(self.counts.messages) {
            self.say(Ending::Enough);
        }
    }

    fn note_sent(&mut self, sent: Result<(), Ending>) {
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
    fn refused_message(&self) -> Option<Longest> {
        let (said, _) = self.said.as_ref()?;
        let longest = self.stream.tally().longest?;
        (said.is_too_big() && longest.bytes > 0).then_some(longest)
    }

    /// Ready when it has taken all that it was sent, or takes nothing more.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(ending) = ready!(self.stream.poll_flush(cx)) {
            self.refuse(ending);
        }
        Poll::Ready(())
    }

    fn counts(&self) -> Counts {
        let messages = self.stream.tally().merged;
        Counts {
            messages: messages.unwrap_or(self.counts.messages),
            ..self.counts
        }
    }

    /// Goes on telling it that the other side ended; when both Closes have passed, ends the transport below them.
    fn poll_told(&mut self, cx: &mut Context<'_>) -> bool {
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
    /// that is to have all is [watched](blocked) instead, as long as there is more of it.
    fn patience(&mut self, options: &Options) -> Option<(Instant, Deadline)> {
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
    fn poll_after_end(&mut self, cx: &mut Context<'_>) {
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

/// What one direction may do in one poll.
struct Budget {
    /// Bytes that were moved.
    bytes: usize,
    /// Fragments and batches that may still be moved, and reads.
    fragments: usize,
    /// What it reads, whether or not anything of it moves.
    read: Spent,
    /// Whether it was spent on nothing that moves.
    is_barren: bool,
}

impl Budget {
    fn new() -> Budget {
        Budget {
            bytes: 0,
            fragments: FRAGMENTS_A_POLL,
            read: Spent::default(),
            is_barren: false,
        }
    }

    /// Whether more may be read.
    fn is_left(&self) -> bool {
        self.bytes < BYTES_A_POLL && self.fragments > 0 && !self.read.is_turn()
    }

    /// Whether what has been read may be moved on.
    fn allows_what_is_read(&self) -> bool {
        self.bytes < 2 * BYTES_A_POLL && self.fragments > 0
    }

    fn charge(&mut self, spent: Spent) {
        self.read.bytes = self.read.bytes.saturating_add(spent.bytes);
        self.read.frames = self.read.frames.saturating_add(spent.frames);
    }

    fn spend(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.fragments -= 1;
    }
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

/// Whether an end is not to be waited for until all is taken: there is no whole of it.
fn is_cut(why: &Ending) -> bool {
    why.is_abort() || matches!(why, Ending::Stopped(_))
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
