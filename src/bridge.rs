//! The bridge as a whole: its accept loop, its limits and its graceful stop.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::address::number;
use crate::child;
use crate::ending::{Cause, Stop};
use crate::endpoint::{Accept, Endpoint, Handshake, Listen, Offer};
use crate::heap;
use crate::log::{self, REFUSALS};
use crate::progress::{Line, Meter};
use crate::pump;
use crate::pump::lingering::Lingering;
use crate::session::table::Table;
use crate::session::{self, Right, Served, Shared, stopped};
use crate::tap::{self, Taps};
use crate::workers::{Share, Workers};

/// Sessions at a time, where the limit of descriptors allows.
const CONNECTIONS: usize = 4096;
/// Descriptors that are kept for other things than sessions.
const SPARE_DESCRIPTORS: u64 = 64;
/// How often it is seen whether sessions have left memory behind, while there are some.
const LOOK: Duration = Duration::from_millis(200);
/// Sessions up to which nothing is given back: they leave less behind than is kept for the next ones.
const FEW: usize = 64;
/// The exit status where all went well but what passed could not be recorded.
const INCOMPLETE: u8 = 23;
/// How much longer than `--drain` a stop may take: programs that were killed are reaped, the log and records are written.
const GRACE: Duration = Duration::from_millis(500);
/// A stop of a single session that takes no longer is worth no line.
const SHORT: Duration = Duration::from_secs(1);
/// How long shared connections may take to end where no signal stopped the bridge, besides the time that programs have.
const UNASKED: Duration = Duration::from_secs(10);
/// The longest pause after an accept that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Options of a bridge that listens.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Limits")]
pub struct Options {
    /// Serve one caller, then end with its exit status
    #[arg(long)]
    pub once: bool,
    /// Serve this many callers at a time (4096, or what the limit of open files allows)
    ///
    /// A further one gets HTTP 503, or a reset where it speaks no HTTP.
    #[arg(long, value_name = "N", value_parser = number(1..=u32::MAX))]
    pub max_connections: Option<u32>,
    /// Show on a terminal how much has passed, and how fast
    ///
    /// A line on stderr, drawn anew four times a second: the time, and for each direction bytes, bytes a second and messages of
    /// all sessions together; at the end it shows the whole. Where stderr is no terminal nothing is shown.
    #[arg(long, help_heading = "Watching")]
    pub progress: bool,
    /// Run sessions on this many threads (one for each processor)
    #[arg(long, value_name = "N", value_parser = number(NonZero::<usize>::MIN..=NonZero::<usize>::MAX))]
    pub threads: Option<NonZero<usize>>,
    /// Keep this many unfinished handshakes; the oldest gives way
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = number(1..=u32::MAX))]
    pub max_handshakes: u32,
}

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
    /// Whether it is one end of somebody's pipe, as the ProxyCommand of ssh: SIGHUP ends it then.
    pub is_piped: bool,
}

impl Plan {
    /// How long a stop may take.
    fn drain(&self) -> Duration {
        let drain = self.session.drain;
        drain.unwrap_or(pump::Options::default().drain)
    }
}

/// Runs a plan to its end and returns the exit status; its sessions are in the table meanwhile. After a stop that end comes within `--drain` and half a second, whatever
/// is on either side.
///
/// # Errors
/// What could not be opened or bound.
pub async fn run(
    plan: &Plan,
    stop: watch::Receiver<Option<Stop>>,
    table: Arc<Table>,
) -> Result<u8> {
    tokio::select! {
        biased;
        status = run_to_end(plan, stop.clone(), table) => status,
        stop = overdue(plan, stop) => {
            let programs = child::count();
            warn!(programs, "{stop}: the time to stop is over; what is left is given up");
            Ok(stop.exit_status())
        }
    }
}

/// Waits until a stop has taken longer than it may. Programs are sent TERM after three quarters of `--drain`, and KILL at its
/// end.
async fn overdue(plan: &Plan, stop: watch::Receiver<Option<Stop>>) -> Stop {
    let stop = stopped(stop).await;
    log::release();
    let drain = plan.drain();
    let tell = async {
        sleep(SHORT).await;
        if matches!(plan.left, Endpoint::Dial(_)) {
            say_stopping(stop, 1, drain);
        }
        std::future::pending::<()>().await;
    };
    let help = async {
        sleep(drain - drain / 4).await;
        child::terminate_all();
        // Callers that hold on to what they share do so no longer.
        let finished = async { tokio::join!(plan.left.finish(), plan.right.finish()) };
        let _ = tokio::join!(sleep(drain / 4), timeout(drain / 4, finished));
        child::kill_all();
        sleep(GRACE).await;
    };
    tokio::select! {
        () = tell => {}
        () = help => {}
    }
    stop
}

/// Says what a stop waits for, and how not to.
fn say_stopping(stop: Stop, sessions: usize, drain: Duration) {
    let programs = child::count();
    if sessions + programs == 0 {
        return info!("{stop}: stopping");
    }
    info!(
        sessions,
        programs,
        "{stop}: stopping; waiting at most {drain:?} for what is open; a second signal ends at once"
    );
}

async fn run_to_end(
    plan: &Plan,
    stop: watch::Receiver<Option<Stop>>,
    table: Arc<Table>,
) -> Result<u8> {
    let is_served = matches!(plan.left, Endpoint::Listen(_));
    let (asked, names_callers) = (plan.taps.clone(), is_served && !plan.bridge.once);
    // The open of a FIFO waits for its reader.
    let taps = spawn_blocking(move || Taps::open(&asked, names_callers));
    let taps = tokio::select! {
        biased;
        taps = taps => Arc::new(taps??),
        stop = stopped(stop.clone()) => return Ok(stop.exit_status()),
    };
    let sides = [&plan.left, &plan.right];
    tokio::spawn(child::reap_orphans());
    sides.iter().for_each(|side| side.begin());
    let mut workers = None;
    let meter = plan.bridge.progress.then(Arc::<Meter>::default);
    let line = meter.clone().map(Line::start).transpose()?.flatten();
    let status = run_watched(plan, taps.clone(), meter, (stop, table), &mut workers).await;
    let kill_after = sides.iter().filter_map(|side| side.kill_after()).max();
    let patience = kill_after.unwrap_or_default().saturating_mul(2);
    let patience = patience.saturating_add(UNASKED);
    let gone = async {
        tokio::join!(plan.left.finish(), plan.right.finish());
        child::all_gone().await;
    };
    // Without a stop each program has the time that it was given, to end by itself and again after TERM.
    if timeout(patience, gone).await.is_err() {
        child::kill_all();
        warn!(
            programs = child::count(),
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
    taps: Arc<Taps>,
    meter: Option<Arc<Meter>>,
    (stop, table): (watch::Receiver<Option<Stop>>, Arc<Table>),
    workers: &mut Option<Workers>,
) -> Result<u8> {
    let shared = Arc::new(Shared {
        names: plan.names.clone(),
        right: Right::prepare(&plan.right, &plan.names[0]).await?,
        options: plan.session.clone(),
        taps,
        meter,
        stop,
        cut: 0.into(),
        table,
    });
    match &plan.left {
        Endpoint::Dial(left) => {
            let outcome = session::run(&**left, &shared).await?;
            Ok(plan.session.status_of(&outcome))
        }
        Endpoint::Listen(left) => listen(&**left, plan, shared, workers).await,
    }
}

/// What a session's task tells the accept loop.
enum News {
    Begun,
    Ended(Served),
}

async fn listen(
    left: &dyn Listen,
    plan: &Plan,
    shared: Arc<Shared>,
    workers: &mut Option<Workers>,
) -> Result<u8> {
    raise_descriptor_limit();
    let mut accept = left.bind().await?;
    if accept.is_exposed() && matches!(&shared.right, Right::Dial(right) if right.runs_programs()) {
        let what = format!(
            "{}: anybody who reaches it could run programs here; listen on loopback, or allow it by --allow-remote-exec",
            plan.names[0]
        );
        return Err(anyhow::Error::new(Cause::Exposed).context(what));
    }
    if let Right::Dial(right) = &shared.right
        && let Some(page) = right.page()
    {
        accept.offer_page(page);
    }
    session::announce(&*accept, &plan.names[1]);
    if let Some(place) = accept.page_place() {
        info!("a browser finds a page at {place}");
    }
    let (news, mut told) = mpsc::unbounded_channel();
    let house = Arc::new(House {
        permits: Arc::new(Semaphore::new(seats(&plan.bridge))),
        lingering: Arc::default(),
        is_taken: AtomicBool::new(false),
        once: plan.bridge.once,
        handshakes: HalfOpen::new(half_open(&plan.bridge)),
        shared: shared.clone(),
        news,
    });
    let workers = workers.insert(Workers::start(threads(&plan.bridge))?);
    let tasks = TaskTracker::new();
    let mut reserve = Reserve::open();
    let mut pause = Duration::ZERO;
    let mut is_open = true;
    // The most sessions since memory was last given back.
    let mut most = 0;
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
                // Whoever comes next is the one.
                News::Ended(_) => is_open = true,
            },
            accepted = accept.accept(), if is_open => match accepted {
                Ok(handshake) => {
                    pause = Duration::ZERO;
                    let share = workers.share();
                    let runtime = share.runtime();
                    tasks.spawn_on(house.clone().receive(handshake, share), &runtime);
                    most = most.max(tasks.len());
                }
                Err(error) => {
                    pause = (2 * pause).clamp(Duration::from_millis(10), LONGEST_PAUSE);
                    if is_out_of_descriptors(&error) {
                        // One that an unfinished handshake holds is one for the caller at the door.
                        house.handshakes.give_up_oldest();
                    }
                    accept_failed(&error, &mut *accept, &mut reserve, pause).await;
                }
            },
            _ = look.tick(), if most > FEW => if tasks.len() < most / 2 {
                most = tasks.len();
                heap::give_back();
            },
        }
    };
    drop(accept);
    tasks.close();
    say_stopping(stop, tasks.len(), plan.drain());
    // Each session ends itself by then.
    let latest = plan.drain().saturating_add(GRACE / 2);
    let drained = timeout(latest, tasks.wait()).await;
    let is_whole = drained.is_ok() && shared.cut.load(Ordering::Relaxed) == 0;
    Ok(if is_whole { 0 } else { stop.exit_status() })
}

/// What the tasks of all callers share.
struct House {
    permits: Arc<Semaphore>,
    lingering: Arc<Lingering>,
    is_taken: AtomicBool,
    once: bool,
    handshakes: HalfOpen,
    shared: Arc<Shared>,
    news: mpsc::UnboundedSender<News>,
}

impl House {
    /// Takes a caller through its handshake and serves it, on its share of a thread.
    async fn receive(self: Arc<House>, handshake: Box<dyn Handshake>, _share: Share) {
        // Each phase in a box of its own, gone when it is over: what an idle session costs is its pump.
        let Some(offer) = Box::pin(self.shake(handshake)).await else {
            return;
        };
        let permit = self.permits.clone().try_acquire_owned().ok();
        let Some(permit) = permit.or_else(|| self.lingering.take_quietest()) else {
            if REFUSALS.admits() {
                warn!(caller = %offer.caller(), "refused: connection limit reached; --max-connections allows more");
            }
            return offer
                .refuse(Cause::Busy, "the bridge is full".to_owned())
                .await;
        };
        let held = self.lingering.hold(permit);
        if self.once && self.is_taken.swap(true, Ordering::AcqRel) {
            let why = "the bridge serves one caller".to_owned();
            return offer.refuse(Cause::Busy, why).await;
        }
        self.tell(News::Begun);
        let served = Box::pin(session::serve(offer, &self.shared, held.permit())).await;
        if matches!(served, Served::Gone) {
            self.is_taken.store(false, Ordering::Release);
        }
        self.tell(News::Ended(served));
    }

    /// Tells the accept loop what may end it or hold it up; other news would only wake it.
    fn tell(&self, news: News) {
        if self.once || self.shared.right.is_spent() {
            // The loop outlives its tasks; at the end of the process nobody listens.
            let _ = self.news.send(news);
        }
    }

    /// Shakes hands with a caller, until it is done, gives way to newer ones, or the bridge stops.
    async fn shake(&self, handshake: Box<dyn Handshake>) -> Option<Box<dyn Offer>> {
        let mut place = self.handshakes.enter();
        tokio::select! {
            biased;
            // An error is an entry that is gone, and that only `place` itself removes.
            Ok(()) = &mut place.given_up => {
                debug!("an unfinished handshake gave way to a newer one");
                None
            }
            _ = stopped(self.shared.stop.clone()) => None,
            shaken = handshake.shake() => shaken.unwrap_or_else(|error| {
                debug!("{error:#}");
                None
            }),
        }
    }
}

/// Handshakes that are not finished. When there are too many the oldest is given up, so that whoever fills them up with
/// half-sent requests never keeps a new caller out.
struct HalfOpen {
    limit: usize,
    next: AtomicU64,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
}

struct Place<'a> {
    half_open: &'a HalfOpen,
    id: u64,
    given_up: oneshot::Receiver<()>,
}

impl HalfOpen {
    fn new(limit: usize) -> HalfOpen {
        HalfOpen {
            limit,
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    fn enter(&self) -> Place<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (give_up, given_up) = oneshot::channel();
        // Nothing panics while it is held; a poisoned map is a whole one.
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(id, give_up);
        let is_over = waiting.len() > self.limit;
        drop(waiting);
        if is_over {
            self.give_up_oldest();
        }
        Place {
            half_open: self,
            id,
            given_up,
        }
    }
}

impl HalfOpen {
    fn give_up_oldest(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, oldest)) = waiting.pop_first() {
            // Where it has finished meanwhile it is none.
            let _ = oldest.send(());
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self
            .half_open
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&self.id);
    }
}

/// A descriptor that is given up when there is no other left, so that a caller can be told by a close.
struct Reserve(Option<File>);

impl Reserve {
    fn open() -> Reserve {
        Reserve(File::open("/dev/null").ok())
    }
}

/// Whether this process or the whole system has no descriptor left.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    let all = [Errno::MFILE, Errno::NFILE].map(|errno| errno.raw_os_error());
    error
        .raw_os_error()
        .is_some_and(|errno| all.contains(&errno))
}

/// Waits after an accept that failed; it never ends the server.
async fn accept_failed(
    error: &io::Error,
    accept: &mut dyn Accept,
    reserve: &mut Reserve,
    pause: Duration,
) {
    let is_out = is_out_of_descriptors(error);
    if is_out && reserve.0.take().is_some() {
        // The caller at the door gets a reset rather than no answer at all.
        drop(timeout(Duration::from_millis(1), accept.accept()).await);
        *reserve = Reserve::open();
    }
    if (pause >= LONGEST_PAUSE || is_out) && REFUSALS.admits() {
        warn!(
            "accepting: {}; trying again in {pause:?}",
            crate::ending::errno_text(error)
        );
    }
    sleep(pause).await;
}

/// How many threads sessions run on.
fn threads(options: &Options) -> NonZero<usize> {
    let available = || std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    options.threads.unwrap_or_else(available)
}

/// Descriptors that sessions and handshakes may take.
fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(SPARE_DESCRIPTORS)).unwrap_or(usize::MAX)
}

/// How many handshakes may be unfinished: each takes a descriptor, and all of them at most a quarter.
fn half_open(options: &Options) -> usize {
    (options.max_handshakes as usize)
        .min(descriptors() / 4)
        .max(1)
}

/// How many sessions there may be: each takes two descriptors of those that handshakes leave.
fn seats(options: &Options) -> usize {
    let allowed = descriptors().saturating_sub(half_open(options)) / 2;
    let asked = options.max_connections.map(|count| count as usize);
    asked.unwrap_or(CONNECTIONS.min(allowed).max(1))
}

/// Raises the soft limit of descriptors as far as our sessions need it and the hard limit allows.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = 2 * CONNECTIONS as u64 + 512 + SPARE_DESCRIPTORS;
    let allowed = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if limit.current.is_some_and(|current| current < allowed) {
        let raised = Rlimit {
            current: Some(allowed),
            ..limit
        };
        // Where it can not be raised there are fewer seats.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::address::Address;
    use crate::caller::Caller;
    use crate::endpoint::{BoxFuture, Dial, Settings, tcp};
    use crate::peer::{Peer, Pipe};

    /// A target that has a bug: it panics for its first caller.
    struct Faulty(AtomicUsize);

    impl Dial for Faulty {
        fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Peer>> {
            assert!(
                self.0.fetch_add(1, Ordering::Relaxed) > 0,
                "the first one fails"
            );
            Box::pin(async { Ok(Peer::Messages(Box::new(Pipe::looped()))) })
        }
    }

    fn defaults<G: Args>() -> G {
        let command = G::augment_args(clap::Command::new("").no_binary_name(true));
        G::from_arg_matches(&command.get_matches_from([""; 0])).unwrap()
    }

    #[tokio::test]
    async fn a_panic_in_one_session_ends_that_session_alone() {
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let address = Address::parse(&format!("tcp-l:127.0.0.1:{port}"), false);
        let plan = Plan {
            names: ["left".to_owned(), "right".to_owned()],
            left: (tcp::LISTEN.build)(&address, &Settings::default()).unwrap(),
            right: Endpoint::Dial(Arc::new(Faulty(0.into()))),
            taps: Default::default(),
            session: defaults(),
            bridge: defaults(),
            is_piped: false,
        };
        let (stop, stopped) = watch::channel(None);
        let table = Table::new(&stop);
        let bridge = tokio::spawn(async move { run(&plan, stopped, table).await });
        let connect = || async {
            loop {
                match TcpStream::connect(("127.0.0.1", port)).await {
                    Ok(stream) => return stream,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let mut answer = Vec::new();
        let failed = connect().await.read_to_end(&mut answer).await;
        assert!(failed.is_err(), "a session that failed is no end of file");
        let mut second = connect().await;
        second.write_all(b"hello").await.unwrap();
        second.shutdown().await.unwrap();
        second.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"hello");
        stop.send_replace(Some(Stop::Terminate));
        assert_eq!(bridge.await.unwrap().unwrap(), 0);
    }

    #[test]
    fn the_oldest_handshake_gives_way() {
        let half_open = HalfOpen::new(2);
        let is_given_up = |place: &mut Place<'_>| place.given_up.try_recv().is_ok();
        let (mut first, mut second) = (half_open.enter(), half_open.enter());
        assert!(!is_given_up(&mut first));
        let mut third = half_open.enter();
        assert!(is_given_up(&mut first));
        assert!(!is_given_up(&mut second) && !is_given_up(&mut third));
        drop(second);
        let mut fourth = half_open.enter();
        assert!(!is_given_up(&mut third) && !is_given_up(&mut fourth));
    }
}
