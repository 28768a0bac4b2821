//! Who sees to the one connection of `share:`: opens it, carries what is said both ways, and opens it again.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::Result;
use bytes::BytesMut;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::{Opened, Shared, Start, Stop};
use crate::caller::Caller;
use crate::ending::{Cause, Ending, Loss};
use crate::framing::{Framed, Whole};
use crate::message::{Fragment, Kind};
use crate::peer::{Event, MessageStream, Peer};

/// A connection that lasted so long was a good one: the waits begin anew.
const STEADY: Duration = Duration::from_secs(30);
/// How long a connection that nobody needs any more may go on to say something.
const FAREWELL: Duration = Duration::from_secs(10);
/// Messages that are carried before other tasks have their turn.
const BUDGET: usize = 256;

/// Sees to the connection as long as somebody needs it.
pub(super) struct Driver {
    shared: Arc<Shared>,
    tell: watch::Sender<Opened>,
}

/// Why a connection is carried no further.
enum Why {
    /// It ended.
    Ended(Ending),
    /// An answer did not come.
    Unanswered,
    /// Nobody needs it.
    Unused,
    /// The bridge ends.
    Stopped,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, tell: watch::Sender<Opened>) -> Driver {
        Driver { shared, tell }
    }

    pub(super) async fn run(self) {
        let mut stop = self.shared.stop.subscribe();
        loop {
            let not_before = self.shared.phase().not_before;
            if let Some(until) = not_before {
                tokio::select! {
                    () = sleep_until(until) => {}
                    _ = stop.wait_for(|is| *is) => return,
                }
            }
            let opened = tokio::select! {
                opened = self.open() => opened,
                _ = stop.wait_for(|is| *is) => return,
            };
            let stream = match opened {
                Ok(stream) => stream,
                Err(error) => {
                    if self.has_failed(&error) {
                        return;
                    }
                    continue;
                }
            };
            self.tell.send_replace(Opened::Yes);
            if !self.serve(stream, &mut stop).await {
                return;
            }
        }
    }

    /// Opens the connection, for no caller in particular.
    async fn open(&self) -> Result<Box<dyn MessageStream>> {
        let caller = Caller::new("share");
        Ok(match self.shared.inner.dial(&caller).await? {
            Peer::Bytes(io, framing) => Box::new(Framed::new(io, framing)),
            Peer::Messages(stream) => stream,
        })
    }

    /// Tells those who wait for the connection that there is none, and how long nobody tries again. Whether that was all: who
    /// is here already, or asked for it to be always open, waits for another attempt.
    fn has_failed(&self, error: &anyhow::Error) -> bool {
        let shared = &self.shared;
        let cause = error.downcast_ref::<Cause>().copied();
        let what = Cause::line(error);
        let was_open = matches!(*self.tell.borrow(), Opened::Yes);
        if !was_open && shared.options.start == Start::First {
            let mut phase = shared.phase();
            phase.opened = None;
            drop(phase);
            self.tell.send_replace(Opened::No(cause, what));
            return true;
        }
        let wait = self.pause();
        warn!("{}: {what}; again in {wait:.1?}", shared.name);
        false
    }

    /// Sets the wait before the next connection.
    fn pause(&self) -> Duration {
        let mut phase = self.shared.phase();
        let next = phase.backoff.next(None, &mut rand::rng());
        let wait = next.map_or(super::LONGEST_WAIT, |(wait, _)| wait);
        phase.not_before = Some(Instant::now() + wait);
        wait
    }

    /// Carries what is said over one connection until it ends or nobody needs it. Returns whether there is to be another.
    async fn serve(
        &self,
        mut stream: Box<dyn MessageStream>,
        stop: &mut watch::Receiver<bool>,
    ) -> bool {
        let shared = &self.shared;
        let since = Instant::now();
        info!("{}: open", shared.name);
        let mut carried = Carried {
            whole: Whole::new(shared.max_message),
            is_deaf: false,
        };
        let why = tokio::select! {
            ending = poll_fn(|cx| self.poll_carry(cx, &mut *stream, &mut carried)) => Why::Ended(ending),
            () = self.unanswered() => Why::Unanswered,
            () = self.unused() => Why::Unused,
            _ = stop.wait_for(|is| *is) => Why::Stopped,
        };
        if since.elapsed() >= STEADY {
            shared.phase().backoff.reset();
        }
        let ending = match why {
            Why::Ended(ending) => ending,
            Why::Unanswered => {
                let ending = Ending::Lost(Loss::Silent);
                let _ = timeout(FAREWELL, poll_fn(|cx| stream.poll_close(cx, &ending))).await;
                warn!(
                    "{}: no answer within {:?}",
                    shared.name, shared.options.pair_time
                );
                ending
            }
            Why::Unused | Why::Stopped => {
                info!("{}: nobody is left", shared.name);
                let _ = timeout(FAREWELL, self.farewell(&mut *stream, &mut carried)).await;
                drop(stream);
                shared.room.forget();
                let is_over = matches!(why, Why::Stopped);
                return !is_over && !self.rests();
            }
        };
        drop(stream);
        self.ended(&ending)
    }

    /// Says to all that the connection has ended. Returns whether there is to be another.
    fn ended(&self, ending: &Ending) -> bool {
        let shared = &self.shared;
        let asked = shared.tray.forget();
        let wait = self.pause();
        if shared.keeps_callers {
            info!("{}: ended by {ending}; again in {wait:.1?}", shared.name);
            shared
                .room
                .tell_gap(&format!("started again: {ending}"), ending);
            asked.into_iter().for_each(|id| shared.room.let_go(id));
        } else {
            info!("{}: ended by {ending}", shared.name);
            shared.room.forget();
            shared.room.close_all(ending);
            // Who comes now is none of those.
            if shared.options.stop != Stop::Never {
                shared.phase().opened = None;
                return false;
            }
        }
        shared.options.stop == Stop::Never || !self.rests()
    }

    /// Lets the next caller begin anew, where nobody is left.
    fn rests(&self) -> bool {
        let mut phase = self.shared.phase();
        let is_left = *self.shared.room.count().borrow() > 0;
        if !is_left {
            phase.opened = None;
        }
        !is_left
    }

    /// Waits until nobody needs the connection any more.
    async fn unused(&self) {
        let Stop::After(time) = self.shared.options.stop else {
            return std::future::pending().await;
        };
        let mut count = self.shared.room.count();
        if self.shared.options.start == Start::Now {
            // It waits for the first one.
            let _ = count.wait_for(|count| *count > 0).await;
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

    /// Carries what there is both ways; ready with the end of the connection.
    fn poll_carry(
        &self,
        cx: &mut Context<'_>,
        stream: &mut dyn MessageStream,
        carried: &mut Carried,
    ) -> Poll<Ending> {
        for _ in 0..BUDGET {
            let sent = self.poll_send(cx, stream, carried);
            let heard = match self.poll_hear(cx, stream, carried) {
                Poll::Ready(Some(ending)) => return Poll::Ready(ending),
                heard => heard,
            };
            if sent.is_pending() && heard.is_pending() {
                if let Poll::Ready(Err(_)) = stream.poll_flush(cx) {
                    carried.is_deaf = true;
                }
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends one message, if there is one.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        stream: &mut dyn MessageStream,
        carried: &mut Carried,
    ) -> Poll<()> {
        if !carried.is_deaf && ready!(stream.poll_ready(cx)).is_err() {
            carried.is_deaf = true;
        }
        let (kind, payload) = ready!(self.shared.tray.poll_take(cx));
        let fragment = Fragment {
            kind,
            fin: true,
            payload: BytesMut::from(payload),
        };
        if !carried.is_deaf && stream.start_send(fragment).is_ok() {
            return Poll::Ready(());
        }
        if !std::mem::replace(&mut carried.is_deaf, true) {
            warn!("{}: it takes nothing more", self.shared.name);
        }
        Poll::Ready(())
    }

    /// Hears one message or batch, if there is one and the callers can take it; ready with the end, if it is that.
    fn poll_hear(
        &self,
        cx: &mut Context<'_>,
        stream: &mut dyn MessageStream,
        carried: &mut Carried,
    ) -> Poll<Option<Ending>> {
        ready!(self.shared.room.poll_ready(cx));
        match ready!(stream.poll_next(cx)) {
            Event::End(ending) => {
                carried.whole.leave_out();
                return Poll::Ready(Some(ending));
            }
            // It is in the log.
            Event::Gap(_) => {}
            Event::Batch(batch) if !self.shared.options.pair => {
                self.shared.room.tell_all(batch.kind, batch.messages());
            }
            Event::Batch(batch) => {
                for message in batch.messages() {
                    self.hear(batch.kind, message);
                }
            }
            Event::Fragment(fragment) => {
                let kind = fragment.kind;
                match carried.whole.add(fragment) {
                    Ok(Some(payload)) => self.hear(kind, &payload),
                    Ok(None) => {}
                    Err(ending) => return Poll::Ready(Some(ending)),
                }
            }
        }
        Poll::Ready(None)
    }

    /// Has callers hear a message: who asked, else all.
    fn hear(&self, kind: Kind, payload: &[u8]) {
        let shared = &self.shared;
        let asked = shared
            .options
            .pair
            .then(|| shared.tray.answered())
            .flatten();
        match asked {
            Some((id, is_last)) => {
                shared.room.tell_one(id, kind, payload);
                if is_last {
                    shared.room.let_go(id);
                }
            }
            // Nobody asked for it, and it may be what is left of somebody's answer.
            None if shared.options.pair => {
                warn!(
                    "{}: a message that nobody asked for, of {} bytes, is dropped",
                    shared.name,
                    payload.len()
                );
            }
            None => shared.room.tell_all(kind, [payload]),
        }
    }

    /// Sends what callers said before they left, ends the connection, and lets it say what it still has to nobody.
    async fn farewell(&self, stream: &mut dyn MessageStream, carried: &mut Carried) {
        poll_fn(|cx| {
            while self.poll_send(cx, stream, carried).is_ready() {}
            match carried.is_deaf {
                true => Poll::Ready(()),
                false => stream.poll_flush(cx).map(|_| ()),
            }
        })
        .await;
        let told = poll_fn(|cx| stream.poll_close(cx, &Ending::Eof)).await;
        while told.is_ok() {
            if let Event::End(_) = poll_fn(|cx| stream.poll_next(cx)).await {
                return;
            }
        }
    }
}

/// What is known of one connection.
struct Carried {
    whole: Whole,
    /// Whether it takes nothing more; it may still say something.
    is_deaf: bool,
}
