//! Who sees to the one connection of `share:`: opens it, carries what is said both ways, and opens it again.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::farewell::Farewell;
use super::{LONGEST_WAIT, Opened, Phase, Shared, Start, Stop};
use crate::caller::Caller;
use crate::ending::{Cause, Close, Ending, Loss};
use crate::endpoint::agreement;
use crate::endpoint::room::Words;
use crate::framing::{Added, Whole};
use crate::log::{CLOSINGS, REFUSALS};
use crate::memory::copy;
use crate::message::{Fragment, Kind, SHORT};
use crate::peer::{Carry, Event, Listener, MessageStreamExt, Messages, Speaker};

/// A connection that lasted so long was a good one: the waits begin anew.
const STEADY: Duration = Duration::from_secs(30);
/// How long a connection that owes an answer may take for its end.
const CUT: Duration = Duration::from_secs(10);
/// How long a connection that is no program may take for its end once the bridge ends.
const HURRY: Duration = Duration::from_secs(1);
/// How long what has ended may take to give back what it had for itself alone: a program's place, a device.
const GIVEN_BACK: Duration = Duration::from_millis(50);

/// Sees to the connection as long as somebody needs it.
pub(super) struct Driver {
    shared: Arc<Shared>,
    tell: watch::Sender<Opened>,
    _counted: Counted,
}

/// One of several that are counted, until it is dropped.
struct Counted(Arc<Shared>, fn(&Shared) -> &watch::Sender<usize>);

impl Counted {
    fn new(shared: &Arc<Shared>, which: fn(&Shared) -> &watch::Sender<usize>) -> Counted {
        which(shared).send_modify(|count| *count += 1);
        Counted(shared.clone(), which)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.1)(&self.0).send_modify(|count| *count -= 1);
    }
}

/// A connection that no caller needs any more: what they said before they left, and that it has yet to end.
struct Left {
    words: VecDeque<(Kind, Bytes)>,
    _ending: Counted,
}

/// The wait before the next connection.
pub(super) struct Rest {
    pub(super) until: Instant,
    /// How many callers had come before it: a further one is not kept waiting.
    pub(super) came: u64,
}

/// Why a connection is carried no further.
enum Why {
    /// It ended.
    Ended(Ending),
    /// An answer did not come.
    Unanswered,
    /// No caller needs it.
    Unused(Left),
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, tell: watch::Sender<Opened>) -> Driver {
        Driver {
            _counted: Counted::new(&shared, |shared| &shared.drivers),
            shared,
            tell,
        }
    }

    /// Opens the connection, and again where it ends while callers stay. Returns when no caller needs it: the next one has a
    /// driver of its own.
    pub(super) async fn run(self) {
        let mut stop = self.shared.stop.subscribe();
        let mut wait = None;
        loop {
            if let Some(rest) = wait
                && !self.rest(rest, &mut stop).await
            {
                return;
            }
            let came = self.shared.room.came();
            let opened = tokio::select! {
                opened = self.open() => opened,
                _ = stop.wait_for(|is| *is) => return,
            };
            wait = match opened {
                Ok(messages) if !self.tell_open(messages.facts.protocol.clone()) => return,
                Ok(messages) => self.serve(messages, &mut stop).await,
                Err(error) => self.has_failed(&error, came),
            };
            if wait.is_none() {
                return;
            }
        }
    }

    /// Tells those who wait for the connection that it is open, with the subprotocol that a server agreed to. Callers that were
    /// answered with another one are ended. Returns whether the connection is to be carried.
    fn tell_open(&self, protocol: Option<Arc<str>>) -> bool {
        let shared = &self.shared;
        let changed = match &*self.tell.borrow() {
            Opened::Yes(before) => agreement::changed(before.as_deref(), protocol.as_deref()),
            Opened::NotYet | Opened::No(..) => None,
        };
        if let Some(what) = changed {
            warn!("{}: {what}", shared.name);
            let (cause, goes_on) = (Cause::Handshake, shared.options.stop == Stop::Never);
            // Who comes meanwhile is answered with none of an earlier connection.
            self.tell.send_replace(match goes_on {
                true => Opened::NotYet,
                false => Opened::No(Some(cause), what),
            });
            self.end_callers(&Ending::Unreachable(cause));
            if !goes_on {
                return false;
            }
        }
        self.tell.send_replace(Opened::Yes(protocol));
        true
    }

    /// Waits before the next connection, but not while a newcomer does. Returns whether there is to be one.
    pub(super) async fn rest(&self, rest: Rest, stop: &mut watch::Receiver<bool>) -> bool {
        tokio::select! {
            () = sleep_until(rest.until) => true,
            () = self.newcomer(rest.came) => true,
            () = self.unused() => self.leave().is_none(),
            _ = stop.wait_for(|is| *is) => false,
        }
    }

    /// Waits until a further caller has come than so many.
    async fn newcomer(&self, came: u64) {
        let mut count = self.shared.room.count();
        while self.shared.room.came() == came {
            // Its sender is the room's.
            let _ = count.changed().await;
        }
    }

    /// Opens the connection, for no caller in particular. What the last one still has for itself alone is waited for.
    async fn open(&self) -> Result<Messages> {
        let mut ending = self.shared.ending.subscribe();
        loop {
            let is_ending = *ending.borrow_and_update() > 0;
            match self.dial().await {
                Err(error) if is_ending && Cause::of(&error) == Some(Cause::Busy) => {
                    let _ = ending.changed().await;
                    sleep(GIVEN_BACK).await;
                }
                opened => return opened,
            }
        }
    }

    async fn dial(&self) -> Result<Messages> {
        let mut caller = Caller::new("share");
        if let Some(size) = self.shared.tray.first_size() {
            let query = format!("/?cols={}&rows={}&resize=1", size.cols, size.rows);
            caller.uri = query.parse().ok();
        }
        let opened = self.shared.inner.dial.dial(&caller).await?;
        Ok(opened.into_messages(&self.shared.memory))
    }

    /// Tells those who wait for the connection that there is none. Returns how to wait before another attempt, where there is
    /// to be one: callers are here already, or it was asked to be always open. So many had come before this one.
    fn has_failed(&self, error: &anyhow::Error, came: u64) -> Option<Rest> {
        let shared = &self.shared;
        let cause = error.downcast_ref::<Cause>().copied();
        let what = Cause::line(error);
        let was_open = matches!(*self.tell.borrow(), Opened::Yes(_));
        if !was_open && shared.options.start == Start::First {
            shared.phase().opened = None;
            self.tell.send_replace(Opened::No(cause, what));
            return None;
        }
        if shared.inner.facts.is_spent() {
            warn!("{}: {what}", shared.name);
            self.end_callers(&Ending::Unreachable(cause.unwrap_or(Cause::Refused)));
            return None;
        }
        let (rest, wait) = self.pause(came);
        warn!("{}: {what}; again in {wait:.1?}", shared.name);
        Some(rest)
    }

    /// Returns the wait before the next connection, after so many callers, and how long it is.
    fn pause(&self, came: u64) -> (Rest, Duration) {
        let next = self.shared.phase().backoff.next(None, &mut rand::rng());
        let wait = next.map_or(LONGEST_WAIT, |(wait, _)| wait);
        let until = Instant::now() + wait;
        (Rest { until, came }, wait)
    }

    /// Carries what is said over one connection until it ends or no caller needs it. Returns how to wait before another,
    /// where there is to be one.
    async fn serve(
        &self,
        mut messages: Messages,
        stop: &mut watch::Receiver<bool>,
    ) -> Option<Rest> {
        let shared = &self.shared;
        let since = Instant::now();
        if CLOSINGS.admits() {
            info!("{}: open", shared.name);
        }
        let stream = &mut *messages.stream;
        let mut carry = Carry::default();
        let mut callers = Callers {
            driver: self,
            whole: Whole::new(shared.max_message, &shared.memory),
        };
        let why = loop {
            tokio::select! {
                // It ends with the connection.
                Err(ending) = poll_fn(|cx| carry.poll_until(cx, stream, &mut callers, |_, _| false)) => {
                    break Why::Ended(ending);
                }
                () = self.unanswered() => break Why::Unanswered,
                // Where a caller has come meanwhile this one is still whole.
                () = self.unused() => if let Some(left) = self.leave() {
                    break Why::Unused(left);
                },
                _ = stop.wait_for(|is| *is) => break Why::Unused(self.close()),
            }
        };
        if since.elapsed() >= STEADY {
            shared.phase().backoff.reset();
        }
        let came = shared.room.came();
        let ending = match why {
            Why::Ended(ending) => ending,
            Why::Unanswered => {
                let ending = Ending::Lost(Loss::Silent);
                let _ = timeout(CUT, stream.close(&ending)).await;
                warn!(
                    "{}: no answer within {:?}",
                    shared.name, shared.options.pair_time
                );
                ending
            }
            Why::Unused(left) => {
                self.farewell(messages, left, stop).await;
                return None;
            }
        };
        if let Some(longest) = stream.tally().longest.filter(|_| ending.is_too_big()) {
            warn!("{}: closed with 1009; {longest}", shared.name);
        }
        drop(messages);
        self.ended(&ending, came)
    }

    /// Ends a connection that no caller needs any more.
    async fn farewell(&self, messages: Messages, left: Left, stop: &mut watch::Receiver<bool>) {
        if CLOSINGS.admits() {
            info!("{}: nobody is left", self.shared.name);
        }
        let kill_after = self.shared.inner.facts.kill_after;
        let hurried = async {
            let _ = stop.wait_for(|is| *is).await;
            sleep(HURRY).await;
        };
        tokio::select! {
            () = Farewell::new(messages, left.words).run(kill_after) => {}
            () = hurried, if kill_after.is_none() => {}
        }
    }

    /// Says to all that the connection has ended, to which so many had come. Returns how to wait before another, where there
    /// is to be one.
    fn ended(&self, ending: &Ending, came: u64) -> Option<Rest> {
        let shared = &self.shared;
        if shared.inner.facts.is_spent() {
            if CLOSINGS.admits() {
                info!("{}: ended by {ending}", shared.name);
            }
            self.end_callers(ending);
            return None;
        }
        if !shared.keeps_callers {
            if CLOSINGS.admits() {
                info!("{}: ended by {ending}", shared.name);
            }
            let came = self.end_callers(ending);
            let goes_on = shared.options.stop == Stop::Never;
            return goes_on.then(|| self.pause(came).0);
        }
        let asked = shared.tray.forget();
        let (rest, wait) = self.pause(came);
        info!("{}: ended by {ending}; again in {wait:.1?}", shared.name);
        shared
            .room
            .tell_gap(&format!("started again: {ending}"), ending);
        asked.into_iter().for_each(|id| shared.room.let_go(id));
        let may_rest = shared.options.stop != Stop::Never;
        (!may_rest || self.leave().is_none()).then_some(rest)
    }

    /// Ends all callers as the connection has ended, and returns how many have ever come: who comes next is none of them. It has a
    /// driver of its own, unless this one goes on.
    fn end_callers(&self, ending: &Ending) -> u64 {
        let shared = &self.shared;
        let mut phase = shared.phase();
        shared.room.forget();
        shared.tray.take_all();
        shared.room.close_all(ending);
        if shared.options.stop != Stop::Never || shared.inner.facts.is_spent() {
            phase.opened = None;
        }
        // Nobody enters while this lock is held.
        shared.room.came()
    }

    /// Lets the next caller begin anew, where no caller is left.
    fn leave(&self) -> Option<Left> {
        let phase = self.shared.phase();
        let is_left = *self.shared.room.count().borrow() > 0;
        // Who comes meanwhile waits for this lock.
        (!is_left).then(|| self.close_in(phase))
    }

    /// Gives the connection up, whoever is here.
    fn close(&self) -> Left {
        self.close_in(self.shared.phase())
    }

    fn close_in(&self, mut phase: MutexGuard<'_, Phase>) -> Left {
        let shared = &self.shared;
        phase.opened = None;
        shared.room.forget();
        Left {
            words: shared.tray.take_all(),
            _ending: Counted::new(shared, |shared| &shared.ending),
        }
    }

    /// Waits until nobody needs the connection any more.
    async fn unused(&self) {
        let Stop::After(time) = self.shared.options.stop else {
            return std::future::pending().await;
        };
        let mut count = self.shared.room.count();
        if self.shared.options.start == Start::Now {
            // It waits for the first one.
            while self.shared.room.came() == 0 {
                let _ = count.changed().await;
            }
        }
        loop {
            let _ = count.wait_for(|count| *count == 0).await;
            let until = Instant::now() + time;
            tokio::select! {
                () = sleep_until(until) => return,
                _ = count.wait_for(|count| *count > 0) => {}
            }
        }
    }

    /// Waits until an answer is late.
    async fn unanswered(&self) {
        let Some(time) = self
            .shared
            .options
            .pair
            .then_some(self.shared.options.pair_time)
        else {
            return std::future::pending().await;
        };
        loop {
            let now = Instant::now();
            let until = match self.shared.tray.deadline() {
                Some(until) if until <= now => return,
                Some(until) => until,
                // What is asked from now on is due later than this.
                None => now + time,
            };
            sleep_until(until).await;
        }
    }

    /// Has callers hear a message: who asked, else all.
    fn hear(&self, kind: Kind, words: Words<'_>) -> Result<(), Ending> {
        let shared = &self.shared;
        let asked = shared
            .options
            .pair
            .then(|| shared.tray.answered())
            .flatten();
        match asked {
            Some((id, is_last)) => {
                let told = shared.room.tell_one(id, kind, words);
                if is_last {
                    shared.room.let_go(id);
                }
                told.map_err(Ending::OutOfMemory)
            }
            // Nobody asked for it, and it may be what is left of somebody's answer.
            None if shared.options.pair => {
                if REFUSALS.admits() {
                    warn!(
                        "{}: a message that nobody asked for, of {} bytes, is dropped",
                        shared.name,
                        words.bytes().len()
                    );
                }
                Ok(())
            }
            None => {
                let told = shared.room.tell_all(kind, words);
                told.map_err(Ending::OutOfMemory)
            }
        }
    }
}

/// All callers, as the connection knows them.
struct Callers<'a> {
    driver: &'a Driver,
    /// The message that the connection has said in part.
    whole: Whole,
}

impl Speaker for Callers<'_> {
    fn has_finished(&self) -> bool {
        false
    }

    fn poll_say(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let said = self.driver.shared.tray.poll_take(cx);
        said.map(|(kind, payload)| whole(kind, payload).into())
    }

    fn refused(&mut self) {
        warn!("{}: it takes nothing more", self.driver.shared.name);
    }
}

impl Listener for Callers<'_> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        ready!(self.driver.shared.room.poll_ready(cx));
        let shortage = self.whole.shortage(cx).map(Ending::OutOfMemory);
        Poll::Ready(shortage.map_or(Ok(()), Err))
    }

    fn take(&mut self, event: Event) -> Result<(), Ending> {
        let (driver, shared) = (self.driver, &self.driver.shared);
        match event {
            Event::End(ending) => {
                self.whole.leave_out();
                Err(ending)
            }
            // A stream has no place for a line, and the log has it.
            Event::Gap(gap) => {
                if shared.keeps_callers {
                    let why = Ending::Close(Close::new(1013, "gap"));
                    let text = format!("connected again: {gap} may be lost");
                    shared.room.tell_gap(&text, &why);
                }
                Ok(())
            }
            Event::Batch(batch) if !shared.options.pair => {
                let told = shared.room.tell_batch(&batch);
                told.map_err(Ending::OutOfMemory)
            }
            Event::Batch(batch) => batch
                .messages()
                .try_for_each(|message| driver.hear(batch.kind, Words::Short(message))),
            Event::Fragment(fragment) => {
                let kind = fragment.kind;
                match self.whole.collect(fragment)? {
                    None => Ok(()),
                    Some(Added::AtOnce(payload)) if payload.len() <= SHORT => {
                        driver.hear(kind, Words::Short(&payload))
                    }
                    // It lies in a buffer that others need.
                    Some(Added::AtOnce(payload)) => {
                        let words = copy(&payload).map_err(Ending::OutOfMemory)?;
                        driver.hear(kind, Words::Long(words))
                    }
                    Some(Added::Collected(_)) => {
                        let payload = self.whole.take_all()?;
                        driver.hear(kind, Words::Long(payload.freeze()))
                    }
                }
            }
        }
    }
}

/// A message that callers said, to be sent.
pub(super) fn whole(kind: Kind, payload: Bytes) -> Fragment {
    Fragment {
        kind,
        fin: true,
        payload: BytesMut::from(payload),
    }
}
