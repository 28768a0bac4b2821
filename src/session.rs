//! One pair: both sides are opened, joined by the pump, and accounted for in one closing line.

pub mod table;
mod turns;

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{Level, debug, error, info, warn};

use crate::address::{number, parse_duration};
use crate::caller::Caller;
use crate::ending::{Cause, Close, Deadline, Ending, Stop};
use crate::endpoint::{Agreed, Agreement, Bound, Endpoint, Offer, Outlet};
use crate::framing::Framing;
use crate::log::{CLOSINGS, REFUSALS};
use crate::memory::Memory;
use crate::peer::{
    Gap, MessageStream, MessageStreamExt, Messages, Notice, Opened, StreamFacts, into_messages,
    pipe,
};
use crate::progress::Meter;
use crate::pump::lingering::{Lingering, Permit};
use crate::pump::{self, Copied, Outcome, Side, pump_watched};
use crate::secret;
use crate::takers::Takers;
use crate::tap::{Taps, Watch};
use table::{Opening, Table};

/// How long a stop is waited for when one side is standard input: whoever pressed a key wants to go.
const LOCAL_DRAIN: Duration = Duration::from_secs(1);

/// How long a caller waits for one of a right side that listens: longer than a session lingers that may hold the only one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Options of every session.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Endings")]
pub struct Options {
    /// Wait this long for answers after an end (default: 1s with stdin, else 10s, or 2s)
    ///
    /// After the end of a caller's input a WebSocket is closed when nothing has come for this time; 0 closes at once. Without
    /// it: 1s with stdin, else 10s, and 2s once something has come. After the peer's Close the other side may go on sending
    /// until nothing has come for this time (1s with stdin, else 2s); then our Close answers it. What keeps moving is never
    /// cut. With -1 and --max-messages answers are awaited without a limit unless this is given.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub linger: Option<Duration>,
    /// Wait this long for the answer to our Close
    ///
    /// It is also the time that a side which takes nothing has after the other was lost.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub close_timeout: Duration,
    /// Wait this long for a side that takes nothing after the other has finished; 0 waits for ever
    ///
    /// What a caller sent before its Close is still delivered, as long as some of it is taken in this time. One that was lost
    /// without a Close leaves the other side --close-timeout. A TCP caller that has half-closed waits without a limit, and so
    /// does stdout.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub deliver_timeout: Duration,
    /// End a session in which a side takes nothing of what there is for it for this time
    ///
    /// Without it a reader that stands still is waited for as long as its system answers. Our own standard output is waited for
    /// in any case: a person may read a page of it for hours.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub stall: Option<Duration>,
    /// Do not close the WebSocket at the end of a caller's input
    #[arg(long, short = 'n')]
    pub no_close: bool,
    /// End a session in which nothing has moved for this time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub idle: Option<Duration>,
    /// End a session after this time, connecting included
    ///
    /// A WebSocket is sent Close 1001 and "max-time"; the exit status is 28. Within a second of it the session has ended,
    /// whatever the peer does.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub max_time: Option<Duration>,
    /// Give sessions this long to end after a signal (default: 1s with stdin, else 8s)
    ///
    /// Half of it is for what is under way: Close 1001 is sent as soon as nothing has come for 250 ms. What still comes at
    /// half of it is cut, and told so: Close 1011, a reset, the exit status 143. Programs that still run after three quarters
    /// of it are sent TERM, whatever --kill-after says, and KILL at its end. A second signal ends at once.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub drain: Option<Duration>,
    /// Whose end the exit status tells
    ///
    /// session: the table of exit statuses. command: that of the program, 128 and the signal where one killed it. peer: a
    /// Close with a code of 4001 to 4255 is the status 1 to 255.
    #[arg(long, value_enum, value_name = "WHOSE", default_value = "session")]
    pub exit_status: ExitStatus,
    /// Copy from left to right only
    #[arg(long, short = 'u', conflicts_with = "unidirectional_reverse")]
    pub unidirectional: bool,
    /// Copy from right to left only
    #[arg(long, short = 'U')]
    pub unidirectional_reverse: bool,
    /// Copy one message in each direction, then end
    ///
    /// The answer is awaited until the other side closes, or for --idle, --max-time or --linger where one is given; without it
    /// the exit status is 28.
    /// With bytes as they come (-b) all of stdin, of a file or of a program's output is one message.
    #[arg(long, short = '1')]
    pub one_message: bool,
    /// Copy this many messages in each direction, then end
    ///
    /// It also ends when that many came and the input has ended. Answers are awaited as with -1; fewer are exit status 28.
    #[arg(long, value_name = "N", conflicts_with = "one_message", value_parser = number(1..=u64::MAX))]
    pub max_messages: Option<u64>,
    /// How long a caller waits for one of a right side that listens: `--connect-timeout`, an option of what connects.
    #[arg(skip)]
    pub connect_timeout: Option<Duration>,
}

/// Whose end the exit status of a single session tells.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// The session's, by the table of exit statuses.
    Session,
    /// The program's.
    Command,
    /// The peer's: what its close code says.
    Peer,
}

impl Options {
    /// The exit status of a single session that went so.
    pub fn status_of(&self, outcome: &Outcome) -> u8 {
        let ends = [&outcome.right, &outcome.left];
        let told = ends
            .into_iter()
            .find_map(|end| match (self.exit_status, end) {
                (ExitStatus::Command, Ending::Exited(exit) | Ending::Held(exit)) => {
                    Some(exit.shell_status())
                }
                (
                    ExitStatus::Peer,
                    Ending::Close(Close {
                        code: Some(code @ 4001..=4255),
                        ..
                    }),
                ) => u8::try_from(code - 4000).ok(),
                _ => None,
            });
        told.unwrap_or_else(|| outcome.exit_status())
    }

    fn copied(&self, is_off: bool) -> Copied {
        let most = self.one_message.then_some(1).or(self.max_messages);
        match (is_off, most) {
            (true, _) => Copied::Nothing,
            (false, Some(most)) => Copied::Messages(most),
            (false, None) => Copied::All,
        }
    }

    /// Whether half-closes may be carried: who says how long to wait for answers wants the wait, not the marker.
    fn allows_half_close(&self) -> bool {
        self.linger.is_none() && !self.no_close
    }

    fn max_time(&self) -> Option<Duration> {
        self.max_time.filter(|time| !time.is_zero())
    }

    fn of_pump(&self, is_local: bool, begun: Instant, shared: &Shared) -> pump::Options {
        pump::Options {
            linger: self.linger,
            close_timeout: self.close_timeout,
            deliver_timeout: Some(self.deliver_timeout).filter(|time| !time.is_zero()),
            stall: self.stall.filter(|time| !time.is_zero()),
            drain: self
                .drain
                .unwrap_or(if is_local { LOCAL_DRAIN } else { pump::DRAIN }),
            idle: self.idle.filter(|idle| !idle.is_zero()),
            max_time: self
                .max_time()
                .map(|time| time.saturating_sub(begun.elapsed())),
            keeps_open: self.no_close,
            left_to_right: self.copied(self.unidirectional_reverse),
            right_to_left: self.copied(self.unidirectional),
            meter: shared.meter.clone(),
            permit: None,
            memory: shared.memory.clone(),
        }
    }
}

/// The right side, ready to be opened once per session.
pub enum Right {
    /// It is dialled.
    Dial(Box<Outlet>),
    /// It listens, and each session takes its next caller.
    Accept(Takers),
}

impl Right {
    /// Makes the right side ready: a listener is bound and announced, with what the left side is called.
    ///
    /// # Errors
    /// What could not be bound.
    pub async fn prepare(endpoint: &Endpoint, left: &str) -> Result<Right> {
        match endpoint {
            Endpoint::Dial(outlet) => Ok(Right::Dial(Box::new(outlet.clone()))),
            Endpoint::Listen(inlet) => {
                let bound = inlet.listen.bind(None).await?;
                announce(&bound, left);
                Ok(Right::Accept(Takers::of(bound.accept)))
            }
        }
    }

    /// Whether no further session can be served.
    pub fn is_spent(&self) -> bool {
        matches!(self, Right::Dial(outlet) if outlet.facts.is_spent())
    }

    /// Whether what it opens can carry half-closes, as far as that is known before.
    fn can_half_close(&self) -> bool {
        matches!(self, Right::Dial(outlet) if outlet.facts.can_half_close)
    }

    /// When it agrees to a subprotocol.
    fn agreement(&self) -> Agreement {
        match self {
            Right::Dial(outlet) => outlet.facts.agreement,
            Right::Accept(_) => Agreement::Never,
        }
    }

    /// Opens it for a caller. Where it listens a caller of the left waits for one of the right within `limit`.
    async fn open(
        &self,
        caller: &Caller,
        limit: Option<Duration>,
        lingering: Option<&Lingering>,
    ) -> Result<Opened> {
        let takers = match self {
            Right::Dial(outlet) => return outlet.dial.dial(caller).await,
            Right::Accept(takers) => takers,
        };
        let Some(limit) = limit else {
            return Ok(takers.next(caller, lingering).await);
        };
        timeout(limit, takers.next(caller, lingering))
            .await
            .map_err(|_| {
                let what = format!(
                    "no caller of the right side within {limit:?}; --connect-timeout waits longer"
                );
                anyhow!(Cause::Timeout).context(what)
            })
    }
}

/// Says where a listener listens, and what is open to whom where other machines can call and none is kept out. `opposite`: what
/// callers are joined to.
pub fn announce(bound: &Bound, opposite: &str) {
    info!("listening on {}", bound.announcement());
    let places = bound.places.join(" and ");
    if bound.is_exposed && !bound.is_restricted {
        warn!(
            "{places} is open to every machine that can reach it: whoever connects is joined to {opposite}; listen on 127.0.0.1, \
             admit known clients by --client-ca (wss-l:, tls-l:), or name this server by --host if it is meant so (help security)"
        );
    }
}

/// What all sessions of a bridge share.
pub struct Shared {
    /// What the two sides are called in messages.
    pub names: [String; 2],
    /// The right side.
    pub right: Right,
    /// How sessions wait and what they copy.
    pub options: Options,
    /// What is collected and queued is counted here.
    pub memory: Memory,
    /// How both sides are watched.
    pub taps: Arc<Taps>,
    /// Told of what passes, where somebody looks on.
    pub meter: Option<Arc<Meter>>,
    /// Told when the bridge is to stop.
    pub stop: watch::Receiver<Option<Stop>>,
    /// Sessions that a stop had to cut.
    pub cut: AtomicUsize,
    /// The sessions that there are.
    pub table: Arc<Table>,
}

/// Waits until the bridge is told to stop.
pub async fn stopped(mut stop: watch::Receiver<Option<Stop>>) -> Stop {
    loop {
        if let Some(stop) = *stop.borrow_and_update() {
            return stop;
        }
        if stop.changed().await.is_err() {
            // Nobody is left who could say so.
            pending::<()>().await;
        }
    }
}

/// What became of a caller.
pub enum Served {
    /// It had its session.
    Session(Box<Outcome>),
    /// The other side could not be opened, and it was told so.
    Refused(Cause),
    /// It went away before it had an answer.
    Gone,
}

/// Serves one caller: opens the right side for it, answers it, and pumps.
pub async fn serve(offer: Box<dyn Offer>, shared: &Shared, permit: &Arc<Permit>) -> Served {
    let begun = Instant::now();
    // In a box that is gone when both are open, and then in one of the session alone: it keeps only what it pumps with.
    let session = match Box::pin(open(offer, shared, Some(permit.all()))).await {
        Ok((left, right, name, opening)) => {
            let joined = Joined {
                number: opening.number,
                name,
                begun,
                permit: Some(permit.clone()),
                level: Level::INFO,
            };
            Box::pin(join(left, right, joined, shared))
        }
        Err(served) => return served,
    };
    let outcome = session.await;
    tell_refused_marker(&outcome, shared);
    Served::Session(Box::new(outcome))
}

/// Opens the right side for a caller and answers it; returns both sides, what the caller is called, and its row of the table.
async fn open<'a>(
    mut offer: Box<dyn Offer>,
    shared: &'a Shared,
    lingering: Option<&Arc<Lingering>>,
) -> Result<(Opened, Opened, String, Opening<'a>), Served> {
    let mut caller = Arc::clone(offer.caller());
    let opening = shared.table.opening(caller.to_string());
    if caller.half_closes && !shared.options.allows_half_close() {
        caller = Arc::new(caller.without_half_close());
    }
    let limit = Some(shared.options.connect_timeout.unwrap_or(CONNECT_TIMEOUT));
    let late = late(shared);
    let lingering = lingering.map(|all| &**all);
    if offer.is_accepted_first() {
        let is_later = shared.right.agreement() == Agreement::Later;
        if is_later {
            offer.agree(&Agreed {
                protocol: Some(""),
                ..Agreed::default()
            });
        }
        let answered = caller.protocol.as_deref().filter(|_| !is_later);
        let left = accept(offer, &caller).await?;
        let opened = tokio::select! {
            biased;
            opened = shared.right.open(&caller, limit, lingering) => opened.and_then(|right| as_answered(right, answered, caller.is_protocol_told)).map_err(|error| {
                if REFUSALS.admits() {
                    warn!(%caller, "{}", Cause::line(&error));
                }
                Ending::Unreachable(Cause::of(&error).unwrap_or(Cause::Refused))
            }),
            stop = stopped(shared.stop.clone()) => Err(Ending::Stopped(stop)),
            () = late => Err(Ending::Deadline(Deadline::Time)),
        };
        let right = match opened {
            Ok(right) => right,
            Err(why) => ended(&why).await,
        };
        return Ok((left, right, caller.to_string(), opening));
    }
    let opened = tokio::select! {
        biased;
        opened = shared.right.open(&caller, limit, lingering) => opened,
        _ = stopped(shared.stop.clone()) => Err(anyhow!(Cause::Busy).context("the bridge is stopping")),
        () = late => Err(not_open_in_time(shared)),
        () = offer.gone() => {
            debug!(%caller, "the caller went away before the other side was open");
            return Err(Served::Gone);
        }
    };
    match opened {
        Ok(right) => {
            offer.agree(&Agreed {
                protocol: right.facts.protocol.as_deref(),
                half_close: caller.half_closes && right.facts.can_half_close,
                is_byte_stream: right.facts.is_byte_stream(),
            });
            let left = accept(offer, &caller).await?;
            Ok((left, right, caller.to_string(), opening))
        }
        Err(error) => {
            if REFUSALS.admits() {
                warn!(%caller, "{}", Cause::line(&error));
            }
            let cause = Cause::of(&error).unwrap_or(Cause::Refused);
            offer.refuse(cause, Cause::line(&error)).await;
            Err(Served::Refused(cause))
        }
    }
}

/// Checks that a server behind agreed to the subprotocol that a caller was answered with before. Where the listener was told
/// what to serve (`is_told`), a server that agrees to none does not contradict it.
fn as_answered(right: Opened, answered: Option<&str>, is_told: bool) -> Result<Opened> {
    let (Some(answered), Some(agreed)) = (answered, right.facts.protocol.as_deref()) else {
        return Ok(right);
    };
    if answered == agreed || agreed.is_empty() && is_told {
        return Ok(right);
    }
    let agreed = match agreed {
        "" => "none".to_owned(),
        agreed => secret::protocols([agreed]),
    };
    let answered = secret::protocols([answered]);
    let what = format!(
        "the caller was answered with the subprotocol {answered}, and the server behind agreed to {agreed}"
    );
    Err(anyhow!(Cause::Handshake).context(what))
}

/// Waits until a session that begins now has lasted as long as it may.
async fn late(shared: &Shared) {
    match shared.options.max_time() {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}

fn not_open_in_time(shared: &Shared) -> anyhow::Error {
    let what = format!("{}: not open before --max-time", shared.names[1]);
    anyhow!(Cause::Timeout).context(what)
}

async fn accept(offer: Box<dyn Offer>, caller: &Caller) -> Result<Opened, Served> {
    offer.accept().await.map_err(|error| {
        debug!(%caller, "{error:#}");
        Served::Gone
    })
}

/// A right side that only says why there is none.
async fn ended(why: &Ending) -> Opened {
    let (near, mut far) = pipe();
    // A pipe takes its end at once.
    let _ = far.close(why).await;
    near.into()
}

/// Runs the sessions of a left side that dials: one, or one after the other where it connects again.
///
/// # Errors
/// Which side could not be opened, and why.
pub async fn run(left: &Outlet, shared: &Shared) -> Result<Outcome> {
    if turns::are_taken(left, shared) {
        return turns::take(left, shared, || one(left, shared, true)).await;
    }
    one(left, shared, false).await
}

/// What there is to tell of a session that was stopped before it began.
fn abandoned(stop: Stop) -> Outcome {
    Outcome {
        left: Ending::Abandoned,
        right: Ending::Abandoned,
        left_to_right: pump::Counts::default(),
        right_to_left: pump::Counts::default(),
        cause: None,
        stopped: Some(stop),
        gap: Gap::default(),
        is_unheard: false,
        fewer: None,
        too_big: None,
        refused_marker: None,
    }
}

/// Runs one session of a left side that dials.
async fn one(left: &Outlet, shared: &Shared, takes_turns: bool) -> Result<Outcome> {
    let allows_half_close = shared.options.allows_half_close();
    let caller = Caller {
        is_local: true,
        takes_turns,
        half_closes: allows_half_close && shared.right.can_half_close(),
        ..Caller::new("left")
    };
    let begun = Instant::now();
    let open = async {
        if let Some(server) = &left.offers {
            return open_for(server.offer(&caller).await?, shared).await;
        }
        let opening = shared.table.opening(caller.from.clone());
        let left = left.dial.dial(&caller).await?;
        let caller = Caller {
            half_closes: allows_half_close && left.facts.can_half_close,
            ..caller.clone()
        };
        anyhow::Ok((left, shared.right.open(&caller, None, None).await?, opening))
    };
    let (left, right, opening) = tokio::select! {
        biased;
        opened = open => opened?,
        () = late(shared) => return Err(not_open_in_time(shared)),
        stop = stopped(shared.stop.clone()) => return Ok(abandoned(stop)),
    };
    let level = if takes_turns {
        Level::INFO
    } else {
        Level::DEBUG
    };
    let joined = Joined {
        number: opening.number,
        name: caller.from.to_string(),
        begun,
        permit: None,
        level,
    };
    let outcome = join(left, right, joined, shared).await;
    if let (None, Some((side, ending))) = (outcome.stopped, &outcome.cause) {
        let [left, right] = &shared.names;
        let name = match (ending, side) {
            // Both have waited.
            (Ending::Deadline(Deadline::Idle | Deadline::Time), _) => format!("{left} and {right}"),
            (_, Side::Left) => left.clone(),
            (_, Side::Right) => right.clone(),
        };
        match outcome.too_big {
            Some((refuser, longest)) if refuser == *side => {
                error!("{name}: {}; {longest}", ending.told());
            }
            _ => error!("{name}: {}", ending.told()),
        }
    }
    tell_refused_marker(&outcome, shared);
    tell_missing(&outcome, shared);
    Ok(outcome)
}

/// Says what helps where a proxy may have refused the half-close marker.
fn tell_refused_marker(outcome: &Outcome, shared: &Shared) {
    let name = match outcome.refused_marker.filter(|_| outcome.stopped.is_none()) {
        Some(Side::Left) => &shared.names[0],
        Some(Side::Right) => &shared.names[1],
        None => return,
    };
    if REFUSALS.admits() {
        info!(
            "{name}: a proxy that does not know the half-close marker may have refused it; --half-close no leaves it out"
        );
    }
}

/// Says what a caller or its target was sent that closed because of a message too big for it.
fn tell_too_big(outcome: &Outcome, caller: &str, shared: &Shared) {
    if let Some((side, longest)) = outcome.too_big
        && REFUSALS.admits()
    {
        let name = match side {
            Side::Left => &shared.names[0],
            Side::Right => &shared.names[1],
        };
        info!(caller, "{name}: closed with 1009; {longest}");
    }
}

/// Opens the right side for the one caller of a left side that has one.
async fn open_for(offer: Box<dyn Offer>, shared: &Shared) -> Result<(Opened, Opened, Opening<'_>)> {
    match open(offer, shared, None).await {
        Ok((left, right, _, opening)) => Ok((left, right, opening)),
        Err(Served::Refused(cause)) => {
            let what = format!("{}: not opened for its caller", shared.names[1]);
            Err(anyhow!(cause).context(what))
        }
        Err(_) => Err(anyhow!("{}: the caller went away", shared.names[0])),
    }
}

/// Says what a single session that ended normally may have missed.
fn tell_missing(outcome: &Outcome, shared: &Shared) {
    if outcome.exit_status() != 0 && outcome.fewer.is_none() || outcome.cause.is_some() {
        return;
    }
    let name = &shared.names[1];
    if let Some((came, wanted)) = outcome.fewer.filter(|_| outcome.stopped.is_none()) {
        error!("{name}: {came} of {wanted} messages came before the end");
        return;
    }
    let lingers = [&outcome.left, &outcome.right].into_iter();
    let linger = lingers.filter_map(|ending| match ending {
        Ending::LingerExpired(linger) => Some(linger),
        _ => None,
    });
    if let Some(linger) = linger.filter(|_| outcome.is_unheard).max() {
        let what = match outcome.left_to_right.messages {
            0 => "the input was empty, and then nothing came",
            _ => "nothing came after the end of input",
        };
        info!(
            "{name}: {what} for {linger:?}; -n waits until the other side closes, --linger 1m waits longer"
        );
    }
}

/// What a session is besides its two sides.
struct Joined {
    /// Which one it is.
    number: u32,
    /// What the caller is called.
    name: String,
    /// When it was accepted, or the dialling began.
    begun: Instant,
    /// What it gives up to a new caller while it only waits for answers.
    permit: Option<Arc<Permit>>,
    /// The level of the closing line.
    level: Level,
}

/// Pumps, and writes the closing line.
fn join(
    left: Opened,
    right: Opened,
    joined: Joined,
    shared: &Shared,
) -> impl Future<Output = Outcome> {
    let [left, right] = introduced(left, right, shared);
    let watches = [Side::Left, Side::Right].map(|side| shared.taps.watch(side, &joined.name));
    let watched = |messages, watch: &Option<Watch>| match watch {
        Some(watch) => watch.over(messages),
        None => messages,
    };
    let (left, right) = (watched(left, &watches[0]), watched(right, &watches[1]));
    let is_local = left.facts.is_local || right.facts.is_local;
    let options = pump::Options {
        permit: joined.permit,
        ..shared.options.of_pump(is_local, joined.begun, shared)
    };
    let level = joined.level;
    let mut seat = shared.table.seat(joined.number, joined.name, joined.begun);
    // What the future captures stays part of it, and so of what an idle session costs: the facts are left behind.
    let sides = Box::new([left, right]);
    async move {
        let [left, right] = *sides;
        let stop = pin!(stopped(shared.stop.clone()));
        let look = |glance: &dyn Fn() -> pump::Glance| seat.look(glance);
        let outcome = pump_watched(left, right, &options, stop, look).await;
        for (watch, ending) in watches.iter().zip([&outcome.left, &outcome.right]) {
            if let Some(watch) = watch {
                watch.finish(ending);
            }
        }
        let is_cut = |ending: &Ending| matches!(ending, Ending::Deadline(_));
        if outcome.stopped.is_some() && (is_cut(&outcome.left) || is_cut(&outcome.right)) {
            shared.cut.fetch_add(1, Ordering::Relaxed);
        }
        log(&outcome, &seat.caller, seat.begun.elapsed(), level);
        if options.permit.is_some() {
            tell_too_big(&outcome, &seat.caller, shared);
        }
        outcome
    }
}

/// Makes two message streams of the sides, and has each know what the other is.
fn introduced(left: Opened, right: Opened, shared: &Shared) -> [Messages; 2] {
    let [left, right] = [left, right].map(|mut opened| {
        let framing = &mut opened.facts.framing;
        if shared.options.one_message && opened.facts.is_whole {
            *framing = framing.map(Framing::whole);
        }
        opened
    });
    let [mut left, mut right] = into_messages(left, right, &shared.memory);
    introduce(&mut *left.stream, &mut right.facts);
    introduce(&mut *right.stream, &mut left.facts);
    [left, right]
}

/// Tells a stream what the other side is.
fn introduce(stream: &mut dyn MessageStream, across: &mut StreamFacts) {
    stream.notify(Notice::Prove(across.proof.clone()));
    if across.framing == Some(Framing::BYTES) {
        stream.notify(Notice::SpeakBytes);
    }
    stream.notify(Notice::CutAt(across.chunk.unwrap_or(usize::MAX)));
    stream.notify(Notice::Greeting(std::mem::take(&mut across.greeting)));
    if let Some(pings) = across.pings.clone() {
        stream.notify(Notice::Pings(pings));
    }
}

fn log(outcome: &Outcome, caller: &str, took: Duration, level: Level) {
    let (forth, back) = (outcome.left_to_right, outcome.right_to_left);
    let shown = |count| (outcome.gap != Gap::default()).then_some(count);
    // The macro wants its level to be a constant.
    macro_rules! closing_line {
        ($macro:ident) => {
            $macro!(
                %caller,
                left = %outcome.left,
                right = %outcome.right,
                bytes_right = forth.bytes,
                messages_right = forth.messages,
                bytes_left = back.bytes,
                messages_left = back.messages,
                gaps = shown(outcome.gap.times),
                gap_messages = shown(outcome.gap.messages),
                gap_bytes = shown(outcome.gap.bytes),
                seconds = %format_args!("{:.3}", took.as_secs_f64()),
                "closed"
            )
        };
    }
    if level == Level::INFO {
        if CLOSINGS.admits() {
            closing_line!(info);
        }
    } else {
        closing_line!(debug);
    }
}
