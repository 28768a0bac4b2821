//! A stream of messages over one connection after the other.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tracing::{info, warn};

use super::backoff::Backoff;
use super::ledger::{Ledger, Partial};
use super::{Target, may_pass, may_retry};
use crate::caller::Caller;
use crate::ending::{Cause, Ending, RetryAfter};
use crate::endpoint::BoxFuture;
use crate::endpoint::agreement;
use crate::message::Fragment;
use crate::peer::{
    Event, Gap, MessageStream, Messages, Notice, Opened, Pings, Spent, StreamFacts, Tally,
};

/// A connection that lasted so long was a good one: the waits begin anew.
const STEADY: Duration = Duration::from_secs(30);
/// How long a connection that takes nothing more is read, so that it can say why.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a server that has closed may take for the end of the connection.
const FAREWELL: Duration = Duration::from_secs(2);

/// The connections, one at a time.
///
/// While there is none a single message or batch is taken, in order that the end of the other side is noticed; it goes to the
/// next connection. No other one is taken then.
pub(super) struct Link {
    target: Arc<Target>,
    caller: Arc<Caller>,
    backoff: Backoff,
    state: State,
    ignores_boundaries: bool,
    /// Whether each connection goes on sending after we closed our direction.
    half_closes: bool,
    /// What is to be sent first on each further connection.
    greeting: Vec<Fragment>,
    /// How much of it this connection has.
    greeted: usize,
    held: Option<Event>,
    ledger: Ledger,
    partial: Partial,
    gap: Gap,
    /// The last gap, until what is yielded has it.
    untold: Option<Gap>,
    merges: bool,
    /// What each connection is told of the other side's messages, once that is known.
    cut_at: Option<usize>,
    pings: Option<Arc<Pings>>,
    /// Messages that connections which are gone have merged.
    merged: Option<u64>,
    /// Whether our side has ended: what follows is an end, too.
    is_told: bool,
    /// The subprotocol of the first connection, which callers were answered with.
    protocol: Option<Arc<str>>,
}

enum State {
    Up {
        stream: Box<dyn MessageStream>,
        since: Instant,
        /// How it came to take nothing more, and until when it is read.
        failed: Option<(Ending, Pin<Box<Sleep>>)>,
    },
    Down {
        next: BoxFuture<'static, Result<Messages>>,
        since: Instant,
        /// What went wrong last.
        why: Ending,
        /// What went with the connection, in words.
        lost: String,
    },
    Over(Ending),
}

impl Link {
    /// Makes one stream of the first connection and those that follow it, which are like it.
    pub(super) fn over(
        first: Messages,
        target: Arc<Target>,
        caller: Arc<Caller>,
        backoff: Backoff,
    ) -> Messages {
        let Opened { stream, facts } = first;
        let facts = StreamFacts {
            framing: target.framing,
            // An end of input is told once, whichever connection is there then.
            can_half_close: false,
            proof: None,
            // What is asked of the other side is asked by one connection, and not by those that follow it.
            greeting: Vec::new(),
            pings: None,
            // The reader of our own output is looked for by each write, and leaves one connection alone.
            is_local: false,
            // Another connection may bring more.
            is_whole: false,
            ..facts
        };
        let link = Link {
            partial: Partial::new(&target.memory),
            target,
            caller: answered(caller, facts.protocol.as_deref()),
            backoff,
            ignores_boundaries: facts.ignores_boundaries,
            half_closes: stream.tally().half_closes,
            state: up(stream),
            greeting: Vec::new(),
            greeted: 0,
            held: None,
            ledger: Ledger::default(),
            gap: Gap::default(),
            untold: None,
            merges: false,
            cut_at: None,
            pings: None,
            merged: None,
            is_told: false,
            protocol: facts.protocol.clone(),
        };
        Messages {
            stream: Box::new(link),
            facts,
        }
    }

    /// Ends a connection that was lost in a way that allows another, and begins the wait for that.
    fn lose(&mut self, why: &Ending) {
        let now = Instant::now();
        let State::Up { stream, since, .. } =
            std::mem::replace(&mut self.state, State::Over(why.clone()))
        else {
            return;
        };
        let merged = stream.tally().merged;
        self.merged = merged.map(|count| count + self.merged.unwrap_or(0));
        farewell(stream, why);
        if now - since >= STEADY {
            self.backoff.reset();
        }
        let gone = self.ledger.close();
        let gone = Gap { times: 1, ..gone };
        self.gap = self.gap.and(gone);
        self.untold = Some(self.untold.unwrap_or_default().and(gone));
        let mut lost = match gone {
            Gap {
                messages: 0,
                bytes: 0,
                ..
            } => "nothing that was sent is lost".to_owned(),
            gone => format!("{gone} may be lost"),
        };
        if let Some(bytes) = self.partial.clear() {
            lost += &format!("; a message that came in part, {bytes} bytes of it, was dropped");
        }
        self.retry(&why.to_string(), why.clone(), None, lost, now);
    }

    /// Waits for another attempt, unless there were enough.
    fn retry(
        &mut self,
        what: &str,
        why: Ending,
        asked: Option<Duration>,
        lost: String,
        since: Instant,
    ) {
        let name = &self.target.name;
        let Some((wait, attempt)) = self.backoff.next(asked, &mut rand::rng()) else {
            warn!("giving up on {name}: {what}; gap: {lost}");
            self.state = State::Over(why);
            return;
        };
        info!("reconnecting to {name} in {wait:.1?} (attempt {attempt}): {what}");
        let (target, caller) = (self.target.clone(), self.caller.clone());
        let next = Box::pin(async move {
            sleep(wait).await;
            target.open(&caller).await
        });
        self.state = State::Down {
            next,
            since,
            why,
            lost,
        };
    }

    /// Goes on connecting; ready when there is a connection, or none is to be any more.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let State::Down { next, .. } = &mut self.state {
            let opened = ready!(next.as_mut().poll(cx));
            let down = std::mem::replace(&mut self.state, State::Over(Ending::Abandoned));
            let State::Down { since, lost, .. } = down else {
                break;
            };
            match opened {
                Ok(opened) if let Some(what) = self.breach(&opened.facts) => {
                    warn!("giving up on {}: {what}; gap: {lost}", self.target.name);
                    self.state = State::Over(Ending::Unreachable(Cause::Handshake));
                }
                Ok(Opened { mut stream, .. }) => {
                    let (name, took) = (&self.target.name, since.elapsed());
                    warn!("reconnected to {name} after {took:.1?}, gap: {lost}");
                    if self.merges {
                        stream.notify(Notice::MergeMessages);
                    }
                    if let Some(most) = self.cut_at {
                        stream.notify(Notice::CutAt(most));
                    }
                    if let Some(pings) = &self.pings {
                        stream.notify(Notice::Pings(pings.clone()));
                    }
                    self.state = up(stream);
                    self.greeted = 0;
                    // A failure of it shows when it is used.
                    let _ = self.poll_backlog(cx);
                }
                Err(error) => {
                    let why = Ending::Unreachable(Cause::of(&error).unwrap_or(Cause::Refused));
                    let what = self.target.line(&error);
                    if may_pass(&error) {
                        let asked = error.downcast_ref().map(|RetryAfter(wait)| *wait);
                        self.retry(&what, why, asked, lost, since);
                    } else {
                        warn!("giving up on {}: {what}; gap: {lost}", self.target.name);
                        self.state = State::Over(why);
                    }
                }
            }
        }
        Poll::Ready(())
    }

    /// Says why a further connection is not what a caller was promised: it agreed to another subprotocol than the first one.
    fn breach(&self, facts: &StreamFacts) -> Option<String> {
        // What has no caller was never answered.
        let before = self.protocol.as_deref().filter(|_| !self.caller.is_local);
        agreement::changed(before, facts.protocol.as_deref())
    }

    /// Sends a connection what it is due before anything else: the greeting, and what was held.
    fn poll_backlog(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        let State::Up { stream, .. } = &mut self.state else {
            return Poll::Ready(Ok(()));
        };
        let is_first = self.gap.times == 0;
        if is_first || (self.greeted == self.greeting.len() && self.held.is_none()) {
            return Poll::Ready(Ok(()));
        }
        while let Some(message) = self.greeting.get(self.greeted) {
            ready!(stream.poll_ready(cx))?;
            stream.start_send(message.clone().into())?;
            self.greeted += 1;
        }
        if self.held.is_some() {
            ready!(stream.poll_ready(cx))?;
            if let Some(held) = self.held.take() {
                self.ledger.note(&held);
                stream.start_send(held)?;
            }
        }
        let _ = stream.poll_flush(cx)?;
        Poll::Ready(Ok(()))
    }

    fn may_lose(&self, why: &Ending) -> bool {
        !self.is_told && may_retry(why) && (self.merges || !self.partial.is_passed())
    }

    /// Judges a failed write: another connection may follow when this one has said its last words.
    fn fail(&mut self, why: Ending) -> Result<(), Ending> {
        if !self.may_lose(&why) {
            return Err(why);
        }
        if let State::Up { failed, .. } = &mut self.state {
            failed.get_or_insert_with(|| (why, Box::pin(sleep(LAST_WORDS))));
        }
        Ok(())
    }

    /// Ready when there is a connection that takes something, or none will be.
    fn poll_working(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Up {
            failed: Some((why, until)),
            ..
        } = &mut self.state
        {
            ready!(until.as_mut().poll(cx));
            let why = why.clone();
            self.lose(&why);
        }
        Poll::Ready(())
    }

    /// What the connection answers that is there, or how it was lost.
    fn poll_sending(
        &mut self,
        cx: &mut Context<'_>,
        ask: fn(&mut dyn MessageStream, &mut Context<'_>) -> Poll<Result<(), Ending>>,
    ) -> Poll<Result<(), Ending>> {
        ready!(self.poll_working(cx));
        let _ = self.poll_up(cx);
        match &self.state {
            State::Over(ending) => return Poll::Ready(Err(ending.clone())),
            // One is taken and held.
            State::Down { .. } if self.held.is_none() => return Poll::Ready(Ok(())),
            State::Down { .. } => return Poll::Pending,
            State::Up { .. } => {}
        }
        let mut asked = self.poll_backlog(cx);
        if let (Poll::Ready(Ok(())), State::Up { stream, .. }) = (&asked, &mut self.state) {
            self.ledger.ask(&mut **stream);
            asked = ask(&mut **stream, cx);
        }
        match ready!(asked) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(why) => match self.fail(why) {
                Err(why) => Poll::Ready(Err(why)),
                Ok(()) => {
                    // For its timer.
                    let _ = self.poll_working(cx);
                    Poll::Pending
                }
            },
        }
    }
}

/// The caller as further connections are opened for it: of the subprotocols that it offers the one is left that it was answered
/// with.
fn answered(mut caller: Arc<Caller>, protocol: Option<&str>) -> Arc<Caller> {
    if let Some(protocol) = protocol.filter(|_| !caller.protocols.is_empty()) {
        let caller = Arc::make_mut(&mut caller);
        caller.protocols.retain(|offered| offered == protocol);
    }
    caller
}

fn up(stream: Box<dyn MessageStream>) -> State {
    State::Up {
        stream,
        since: Instant::now(),
        failed: None,
    }
}

/// Answers a server's Close, while others go on.
fn farewell(mut stream: Box<dyn MessageStream>, why: &Ending) {
    if matches!(why, Ending::Close(_) | Ending::Cut { .. }) {
        let why = why.clone();
        tokio::spawn(async move {
            let close = std::future::poll_fn(|cx| stream.poll_close(cx, &why));
            // It has said all that it had to say.
            let _ = timeout(FAREWELL, close).await;
        });
    }
}

/// A connection never agrees to half-closes (see [`Reconnect`](super::Reconnect)), so that there are no marks and no proof;
/// the ledger alone probes.
impl MessageStream for Link {
    fn take(&mut self) -> Option<Event> {
        loop {
            let stream = match &mut self.state {
                State::Up { stream, .. } => stream,
                State::Down { .. } => return None,
                State::Over(ending) => return Some(Event::End(ending.clone())),
            };
            if let Some(gap) = self.untold.take() {
                return Some(Event::Gap(gap));
            }
            match stream.take()? {
                Event::End(why) if self.may_lose(&why) => {
                    self.lose(&why);
                }
                Event::End(why) => {
                    // It is asked again and says its end again.
                    if let Some(part) = self.partial.pass() {
                        return Some(Event::Fragment(part));
                    }
                    let gone = self.ledger.close();
                    if why.is_abort() && !self.is_told {
                        self.gap = self.gap.and(gone);
                    }
                    return Some(Event::End(why));
                }
                Event::Fragment(fragment) if !self.merges => {
                    if let Some(fragment) = self.partial.push(fragment) {
                        return Some(Event::Fragment(fragment));
                    }
                }
                event => return Some(event),
            }
        }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = self.poll_working(cx);
        ready!(self.poll_up(cx));
        let State::Up { stream, .. } = &mut self.state else {
            return Poll::Ready(());
        };
        let polled = stream.poll_more(cx);
        self.ledger.hear(&**stream);
        self.ledger.ask(&mut **stream);
        polled
    }

    fn spent(&mut self) -> Spent {
        match &mut self.state {
            State::Up { stream, .. } => stream.spent(),
            _ => Spent::default(),
        }
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let State::Up { stream, .. } = &mut self.state else {
            return Poll::Pending;
        };
        let why = ready!(stream.poll_cut(cx));
        if !self.may_lose(&why) {
            return Poll::Ready(why);
        }
        self.lose(&why);
        // Its timer runs while what was yielded has nowhere to go.
        let _ = self.poll_up(cx);
        Poll::Pending
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if let State::Up { stream, .. } = &mut self.state {
            // One that has gone is found when it is read on, and connected again.
            let _ = stream.poll_gone(cx);
        }
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.poll_sending(cx, |stream, cx| stream.poll_ready(cx))
    }

    fn start_send(&mut self, event: Event) -> Result<(), Ending> {
        if let Event::Fragment(fragment) = &event
            && !self.ignores_boundaries
            && !self.ledger.admits(fragment, &mut self.gap)
        {
            if fragment.fin {
                let name = &self.target.name;
                warn!("{name}: the rest of a message is lost, its beginning went before");
            }
            return Ok(());
        }
        match &mut self.state {
            State::Up { stream, .. } => {
                self.ledger.note(&event);
                match stream.start_send(event) {
                    Ok(()) => Ok(()),
                    Err(why) => self.fail(why),
                }
            }
            // Nothing that is sent later missed it.
            State::Down { .. } if matches!(event, Event::Gap(_)) => Ok(()),
            State::Down { .. } => {
                self.held = Some(event);
                Ok(())
            }
            State::Over(ending) => Err(ending.clone()),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.poll_sending(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        if !why.is_abort() {
            let _ = ready!(self.poll_backlog(cx));
        }
        self.is_told = true;
        if let State::Down { why, .. } = &self.state {
            self.state = State::Over(why.clone());
        }
        if let Some(held) = self.held.take() {
            self.ledger.note(&held);
        }
        match &mut self.state {
            State::Up { stream, .. } => stream.poll_close(cx, why),
            State::Down { .. } | State::Over(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        match &mut self.state {
            State::Up { stream, .. } => stream.poll_reset(cx),
            State::Down { .. } | State::Over(_) => Poll::Pending,
        }
    }

    fn notify(&mut self, notice: Notice) {
        match &notice {
            Notice::Greeting(greeting) => {
                self.greeting.clone_from(greeting);
                return;
            }
            Notice::Pings(pings) => self.pings = Some(pings.clone()),
            Notice::MergeMessages => self.merges = true,
            Notice::CutAt(most) => self.cut_at = Some(*most),
            // What each connection is asked is its own.
            Notice::Prove(_) | Notice::SpeakBytes | Notice::Probe => return,
        }
        if let State::Up { stream, .. } = &mut self.state {
            stream.notify(notice);
        }
    }

    fn unsent(&self) -> usize {
        match &self.state {
            State::Up { stream, .. } => stream.unsent(),
            State::Down { .. } | State::Over(_) => 0,
        }
    }

    fn is_closed(&self) -> bool {
        match &self.state {
            State::Up { stream, .. } => stream.is_closed(),
            State::Down { .. } => false,
            State::Over(_) => true,
        }
    }

    fn tally(&self) -> Tally {
        let now = match &self.state {
            State::Up { stream, .. } => stream.tally(),
            State::Down { .. } | State::Over(_) => Tally::default(),
        };
        Tally {
            half_closes: self.half_closes,
            gap: self.gap,
            merged: match (self.merged, now.merged) {
                (Some(before), Some(now)) => Some(before + now),
                (before, now) => before.or(now),
            },
            marks: None,
            asked: None,
            ..now
        }
    }
}
