//! The bridge as a whole: its accept loop, its limits and its graceful stop.

mod addresses;
mod admission;
mod descriptors;
mod ebb;
mod options;
mod places;
mod seats;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::buffer;
use crate::ending::{Cause, Stop};
use crate::endpoint::{Endpoint, Facts, Handshake, Listen, Offer, Stopping};
use crate::heap;
use crate::log::{self, REFUSALS};
use crate::progress::{Line, Meter};
use crate::pump;
use crate::pump::lingering::Held;
use crate::session::{self, Right, Served, Shared, stopped};
use crate::tap::{self, Taps};
use crate::workers::{Share, Workers};
use crate::world::World;
use addresses::Guest;
use admission::{Admission, at_once};
use descriptors::{Budget, Spare};
use ebb::Ebb;
pub use options::Options;

/// How often it is seen whether sessions have left memory behind, while there are some.
const LOOK: Duration = Duration::from_millis(200);
/// The exit status where all went well but what passed could not be recorded.
const INCOMPLETE: u8 = 23;
/// The exit status where a bug of ours ended the only session: that of any other error.
const BUG: u8 = 1;
/// How much longer than `--drain` a stop may take: programs that were killed are reaped, the log and records are written.
const GRACE: Duration = Duration::from_millis(500);
/// A stop of a single session that takes no longer is worth no line.
const SHORT: Duration = Duration::from_secs(1);
/// How long shared connections may take to end where no signal stopped the bridge, besides the time that programs have.
const UNASKED: Duration = Duration::from_secs(10);
/// How long a caller may take to be told that there is no descriptor for it.
const TURNING_AWAY: Duration = Duration::from_secs(2);
/// What a caller is told for whom there is no seat.
const FULL: &str = "the bridge is full";
/// The longest pause after an accept that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a command line asks for.
pub struct Plan {
    /// What the left side and the right side are called in messages.
    pub names: [String; 2],
    /// The left side.
    pub left: Endpoint,
    /// The right side.
    pub right: Endpoint,
    /// How both are watched.
    pub taps: [tap::Options; 2],
    /// How sessions go.
    pub session: session::Options,
    /// How many there are.
    pub bridge: Options,
}

impl Plan {
    /// How long a stop may take.
    fn drain(&self) -> Duration {
        let drain = self.session.drain;
        drain.unwrap_or(pump::DRAIN)
    }
}

/// Runs a plan to its end in the world that its endpoints were made in, and returns the exit status. After a stop that end comes
/// within `--drain` and half a second, whatever is on either side.
///
/// # Errors
/// What could not be opened or bound.
pub async fn run(plan: &Plan, world: &World) -> Result<u8> {
    let services = Services::default();
    tokio::select! {
        biased;
        status = run_to_end(plan, world, &services) => status,
        stop = overdue(plan, world, &services) => {
            let programs = world.children.count();
            warn!(programs, "{stop}: the time to stop is over; what is left is given up");
            Ok(stop.exit_status())
        }
    }
}

/// Waits until a stop has taken longer than it may. Programs are sent TERM after three quarters of `--drain`, and KILL at its
/// end.
async fn overdue(plan: &Plan, world: &World, services: &Services) -> Stop {
    let stop = stopped(world.stopping()).await;
    log::release(&world.release);
    let drain = plan.drain();
    let tell = async {
        sleep(SHORT).await;
        if matches!(plan.left, Endpoint::Dial(_)) {
            say_stopping(stop, 1, world.children.count(), drain);
        }
        std::future::pending::<()>().await;
    };
    let help = async {
        sleep(drain - drain / 4).await;
        world.children.terminate_all();
        // Callers that hold on to what they share do so no longer.
        let _ = tokio::join!(sleep(drain / 4), timeout(drain / 4, services.end()));
        world.children.kill_all();
        sleep(GRACE).await;
    };
    tokio::select! {
        () = tell => {}
        () = help => {}
    }
    stop
}

/// Says what a stop waits for, and how not to.
fn say_stopping(stop: Stop, sessions: usize, programs: usize, drain: Duration) {
    if sessions + programs == 0 {
        return info!("{stop}: stopping");
    }
    info!(
        sessions,
        programs,
        "{stop}: stopping; waiting at most {drain:?} for what is open; a second signal ends at once"
    );
}

/// The work of the endpoints in the background, which ends with the bridge.
#[derive(Default)]
struct Services {
    stop: watch::Sender<bool>,
    tasks: TaskTracker,
}

impl Services {
    /// Starts those of an endpoint.
    fn start(&self, endpoint: &Endpoint) {
        for service in endpoint.services() {
            self.tasks
                .spawn(service.clone().run(Stopping::of(&self.stop)));
        }
    }

    /// Ends them; ready when that is over, which the caller bounds. Cancel-safe, and may be called again.
    async fn end(&self) {
        self.stop.send_replace(true);
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn run_to_end(plan: &Plan, world: &World, services: &Services) -> Result<u8> {
    let _asked = buffer::suit(world.memory.limit());
    let is_served = matches!(plan.left, Endpoint::Listen(_));
    let (asked, names_callers) = (plan.taps.clone(), is_served && !plan.bridge.once);
    let own = world.clone();
    // The open of a FIFO waits for its reader.
    let taps = spawn_blocking(move || {
        Taps::open(
            &asked,
            names_callers,
            &own.memory,
            &own.rereads,
            &own.release,
        )
    });
    let taps = tokio::select! {
        biased;
        taps = taps => Arc::new(taps??),
        stop = stopped(world.stopping()) => return Ok(stop.exit_status()),
    };
    let sides = [&plan.left, &plan.right];
    sides.iter().for_each(|side| services.start(side));
    let mut workers = None;
    let meter = plan.bridge.progress.then(Arc::<Meter>::default);
    let line = meter.clone().map(Line::start).transpose()?.flatten();
    let status = run_watched(plan, world, taps.clone(), meter, &mut workers).await;
    let kill_after = sides
        .iter()
        .filter_map(|side| side.facts().kill_after)
        .max();
    let patience = kill_after.unwrap_or_default().saturating_mul(2);
    let patience = patience.saturating_add(UNASKED);
    let gone = async {
        services.end().await;
        world.children.all_gone().await;
    };
    // Without a stop each program has the time that it was given, to end by itself and again after TERM.
    if timeout(patience, gone).await.is_err() {
        world.children.kill_all();
        warn!(
            programs = world.children.count(),
            "not waited for any longer: what has not ended"
        );
    }
    // Those who see to the end of programs are on these threads.
    drop(workers);
    taps.drained(plan.session.close_timeout).await;
    drop(line);
    Ok(match status? {
        0 if taps.has_failed() => INCOMPLETE,
        status => status,
    })
}

async fn run_watched(
    plan: &Plan,
    world: &World,
    taps: Arc<Taps>,
    meter: Option<Arc<Meter>>,
    workers: &mut Option<Workers>,
) -> Result<u8> {
    let shared = Arc::new(Shared {
        names: plan.names.clone(),
        right: Right::prepare(&plan.right, &plan.names[0]).await?,
        options: plan.session.clone(),
        memory: world.memory.clone(),
        taps,
        meter,
        stop: world.stopping(),
        cut: 0.into(),
        table: world.sessions.clone(),
    });
    match &plan.left {
        Endpoint::Dial(left) => {
            let outcome = session::run(left, &shared).await?;
            Ok(plan.session.status_of(&outcome))
        }
        Endpoint::Listen(left) => listen(&*left.listen, plan, world, shared, workers).await,
    }
}

/// What a session's task tells the accept loop.
enum News {
    Begun,
    Ended(Served),
    /// It panicked, or its thread ends.
    Failed,
}

async fn listen(
    left: &dyn Listen,
    plan: &Plan,
    world: &World,
    shared: Arc<Shared>,
    workers: &mut Option<Workers>,
) -> Result<u8> {
    let of_right = match &shared.right {
        Right::Dial(right) => right.facts.clone(),
        Right::Accept(_) => Facts::default(),
    };
    let bound = left.bind(of_right.page).await?;
    if bound.is_exposed && of_right.runs_programs {
        let what = format!(
            "{}: anybody who reaches it could run programs here; listen on loopback, or allow it by --allow-remote-exec",
            plan.names[0]
        );
        return Err(anyhow::Error::new(Cause::Exposed).context(what));
    }
    session::announce(&bound, &plan.names[1]);
    if let Some(place) = bound.page_place {
        info!("a browser finds a page at {place}");
    }
    let mut accept = bound.accept;
    let (news, mut told) = mpsc::unbounded_channel();
    let budget = Budget::of(&plan.bridge, of_right.descriptors);
    let max_per_ip = plan.bridge.max_per_ip.map(|count| count as usize);
    let house = Arc::new(House {
        admission: Admission::new(&budget, max_per_ip),
        is_taken: AtomicBool::new(false),
        once: plan.bridge.once,
        shared: shared.clone(),
        news,
    });
    let workers = workers.insert(Workers::start(budget.threads, budget.unread)?);
    let tasks = TaskTracker::new();
    let mut pause = Duration::ZERO;
    let mut is_open = true;
    let mut ebb = Ebb::default();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = pin!(stopped(shared.stop.clone()));
    let stop = loop {
        tokio::select! {
            biased;
            stop = &mut stop => break stop,
            Some(news) = told.recv() => match news {
                News::Begun if plan.bridge.once => is_open = false,
                News::Begun => {}
                News::Ended(Served::Session(outcome)) if plan.bridge.once || shared.right.is_spent() => {
                    return Ok(plan.session.status_of(&outcome));
                }
                News::Ended(Served::Refused(cause)) if plan.bridge.once => return Ok(cause.exit_status()),
                News::Failed if plan.bridge.once || shared.right.is_spent() => return Ok(BUG),
                News::Failed => {}
                // Whoever comes next is the one.
                News::Ended(_) => is_open = true,
            },
            accepted = async { workers.room().await; house.admission.next(&mut *accept).await }, if is_open => match accepted {
                Ok((handshake, spare)) => {
                    pause = Duration::ZERO;
                    let (house, share) = (house.clone(), workers.share());
                    let runtime = share.runtime();
                    match spare {
                        None => tasks.spawn_on(house.receive(handshake, share), &runtime),
                        Some(spare) => tasks.spawn_on(house.turn_away(handshake, share, spare), &runtime),
                    };
                    ebb.rise(tasks.len());
                }
                Err(error) => {
                    pause = (2 * pause).clamp(Duration::from_millis(10), LONGEST_PAUSE);
                    accept_failed(&error, pause).await;
                }
            },
            _ = look.tick(), if ebb.is_watched() => if ebb.is_due(tasks.len()) {
                let freed = workers.on_each(buffer::give_back);
                tokio::spawn(async { freed.await; heap::give_back() });
            },
        }
    };
    drop(accept);
    tasks.close();
    say_stopping(stop, tasks.len(), world.children.count(), plan.drain());
    // Each session ends itself by then.
    let latest = plan.drain().saturating_add(GRACE / 2);
    let drained = timeout(latest, tasks.wait()).await;
    let is_whole = drained.is_ok() && shared.cut.load(Ordering::Relaxed) == 0;
    Ok(if is_whole { 0 } else { stop.exit_status() })
}

/// What the tasks of all callers share.
struct House {
    admission: Admission,
    is_taken: AtomicBool,
    once: bool,
    shared: Arc<Shared>,
    news: mpsc::UnboundedSender<News>,
}

/// Tells the accept loop, when all that a caller held is dropped, that there is room.
struct Leaving<'a>(&'a Admission);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.note_left();
    }
}

/// Tells the accept loop how a session has ended, also where it panics.
struct Serving<'a> {
    house: &'a House,
    /// What became of the caller; `None` while it is served.
    served: Option<Served>,
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        let ended = self.served.take().map_or(News::Failed, News::Ended);
        self.house.tell(ended);
    }
}

impl House {
    /// Takes a caller through its handshake and serves it, on its share of a thread.
    async fn receive(self: Arc<House>, handshake: Box<dyn Handshake>, mut share: Share) {
        let _leaving = Leaving(&self.admission);
        share.begin();
        // Each phase in a box of its own, gone when it is over: what an idle session costs is its pump.
        let Some((offer, held, _guest)) = Box::pin(self.let_in(handshake, &mut share)).await else {
            return;
        };
        self.tell(News::Begun);
        let mut serving = Serving {
            house: &self,
            served: None,
        };
        let served = Box::pin(session::serve(offer, &self.shared, held.permit())).await;
        if matches!(served, Served::Gone) {
            self.is_taken.store(false, Ordering::Release);
        }
        serving.served = Some(served);
    }

    /// Takes a caller through its handshake and finds it a seat; `None` where it has been refused or is gone.
    async fn let_in(
        &self,
        handshake: Box<dyn Handshake>,
        share: &mut Share,
    ) -> Option<(Box<dyn Offer>, Held, Guest)> {
        let (mut offer, guest) = self.shake(handshake, share).await?;
        let Some(guest) = guest else {
            if REFUSALS.admits() {
                warn!(caller = %offer.caller(), "refused: its address has as many connections as it may; --max-per-ip allows more");
            }
            let why = "too many connections from this address";
            self.refuse(offer, Cause::TooMany, why).await;
            return None;
        };
        let held = tokio::select! {
            biased;
            held = self.admission.seat() => held,
            () = offer.gone() => return None,
        };
        let Some(held) = held else {
            self.say_full(&*offer);
            self.refuse(offer, Cause::Busy, FULL).await;
            return None;
        };
        if self.once && self.is_taken.swap(true, Ordering::AcqRel) {
            let why = "the bridge serves one caller";
            self.refuse(offer, Cause::Busy, why).await;
            return None;
        }
        Some((offer, held, guest))
    }

    fn say_full(&self, offer: &dyn Offer) {
        let caller = offer.caller();
        if !REFUSALS.admits() {
            return;
        }
        match self.admission.is_asked() {
            true => {
                warn!(%caller, "refused: connection limit reached; --max-connections allows more");
            }
            false => {
                warn!(%caller, "refused: no session ended in time; a higher limit of open files (ulimit -n) allows more");
            }
        }
    }

    /// Answers no, in a place: the caller may take its time to read that.
    async fn refuse(&self, offer: Box<dyn Offer>, cause: Cause, why: &str) {
        let source = offer.caller().source;
        let refusing = offer.refuse(cause, why.to_owned());
        self.admission.in_place(source, || false, refusing).await;
    }

    /// Tells a caller that there is no descriptor for it, with the one that is kept for that.
    async fn turn_away(
        self: Arc<House>,
        handshake: Box<dyn Handshake>,
        mut share: Share,
        spare: Spare,
    ) {
        let told = async {
            let mut shaken = handshake.shake();
            let first = at_once(&mut shaken).await;
            share.has_read();
            let shaken = match first {
                Some(shaken) => shaken,
                None => shaken.await,
            };
            if let Ok(Some(offer)) = shaken {
                self.say_full(&*offer);
                offer.refuse(Cause::Busy, FULL.to_owned()).await;
            }
        };
        // One that has not asked by then is reset.
        let _ = timeout(TURNING_AWAY, told).await;
        drop(spare);
    }

    /// Tells the accept loop what may end it or hold it up; other news would only wake it.
    fn tell(&self, news: News) {
        if self.once || self.shared.right.is_spent() {
            // The loop outlives its tasks; at the end of the process nobody listens.
            let _ = self.news.send(news);
        }
    }

    /// Shakes hands with a caller, until it is done, gives way to others, or the bridge stops. What it is counted as: nothing
    /// where its address has as many connections as it may.
    async fn shake(
        &self,
        handshake: Box<dyn Handshake>,
        share: &mut Share,
    ) -> Option<(Box<dyn Offer>, Option<Guest>)> {
        let source = handshake.source();
        let mut guest = None;
        let is_over = || {
            share.has_read();
            guest = self.admission.enter(source);
            guest.is_none()
        };
        let shaken = tokio::select! {
            biased;
            _ = stopped(self.shared.stop.clone()) => return None,
            shaken = self.admission.in_place(source, is_over, handshake.shake()) => shaken,
        };
        share.has_read();
        let offer = match shaken {
            Some(Ok(offer)) => offer?,
            Some(Err(error)) => {
                debug!("{error:#}");
                return None;
            }
            None => {
                debug!("an unfinished handshake of {source} gave way to a newer one");
                return None;
            }
        };
        // What it asked for may say whose it is in truth.
        let own = offer.caller().source;
        let guest = guest.filter(|_| own == source);
        Some((offer, guest.or_else(|| self.admission.enter(own))))
    }
}

/// Waits after an accept that failed; it never ends the server.
async fn accept_failed(error: &io::Error, pause: Duration) {
    if pause >= LONGEST_PAUSE && REFUSALS.admits() {
        let what = crate::ending::errno_text(error);
        warn!("accepting: {what}; trying again in {pause:?}");
    }
    sleep(pause).await;
}

#[cfg(test)]
mod tests;
