//! The signals: TERM and INT stop the bridge, HUP has files read again, USR1 has the sessions listed.

use std::io;
use std::process::exit;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::info;
use wsbridge::bridge::Plan;
use wsbridge::ending::Stop;
use wsbridge::log;
use wsbridge::world::World;

/// How long the log is waited for when a second signal ends the program.
const LAST_LINES: Duration = Duration::from_millis(100);
/// How often, and how many times, it is seen whether the terminal goes: its shell's end tells us before it takes the terminal away.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 10;

/// Watches for signals while a plan is run. The first signal that stops asks for a graceful stop, the second ends at once. A
/// signal that was ignored when we were started (nohup, a shell's background job) stays so.
pub(super) fn watch(plan: &Plan, world: &World) -> io::Result<()> {
    for (kind, why) in [
        (SignalKind::interrupt(), Stop::Interrupt),
        (SignalKind::terminate(), Stop::Terminate),
    ] {
        if let Some(mut signal) = unless_ignored(kind)? {
            let world = world.clone();
            tokio::spawn(async move {
                while signal.recv().await.is_some() {
                    ask(&world, why);
                }
            });
        }
    }
    if let Some(signal) = unless_ignored(SignalKind::hangup())? {
        let world = world.clone();
        tokio::spawn(hang_up(signal, world, plan.is_piped, Terminal::look()));
    }
    if let Some(mut signal) = unless_ignored(SignalKind::user_defined1())? {
        let (table, target) = (world.sessions.clone(), plan.names[1].clone());
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                table.log(&target).await;
            }
        });
    }
    // It stays caught, and means nothing yet.
    drop(unless_ignored(SignalKind::user_defined2())?);
    Ok(())
}

/// The signals of a kind, unless they were ignored when we were started.
fn unless_ignored(kind: SignalKind) -> io::Result<Option<Signal>> {
    if is_ignored(kind) {
        return Ok(None);
    }
    signal(kind).map(Some)
}

/// Asks for a stop; ends the program where that was asked for before. A terminal that goes is told of more than once, by the
/// system and by its shell: that is one signal.
fn ask(world: &World, why: Stop) {
    let before = world.asked();
    if (before, why) == (Some(Stop::HangUp), Stop::HangUp) {
        return;
    }
    if before.is_some() {
        world.children.kill_all();
        super::restore_terminal();
        log::finish(LAST_LINES);
        exit(i32::from(why.exit_status()));
    }
    world.stop(why);
}

/// What HUP means: the program ends where its terminal has gone, or who piped it has; else files are read again.
async fn hang_up(mut signal: Signal, world: World, is_piped: bool, terminal: Terminal) {
    while signal.recv().await.is_some() {
        if is_piped || terminal.has_gone() {
            ask(&world, Stop::HangUp);
            continue;
        }
        let rereads = world.rereads.clone();
        // Files may be on a disk that is slow.
        if let Ok(0) = spawn_blocking(move || rereads.read_again()).await {
            info!("SIGHUP: nothing to read again");
        }
        if terminal.goes().await {
            ask(&world, Stop::HangUp);
        }
    }
}

/// Whether there was a controlling terminal at the start.
#[derive(Clone, Copy)]
struct Terminal(bool);

impl Terminal {
    fn look() -> Terminal {
        Terminal(Terminal::is_there())
    }

    fn is_there() -> bool {
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
        open("/dev/tty", flags, Mode::empty()).is_ok()
    }

    fn has_gone(self) -> bool {
        self.0 && !Terminal::is_there()
    }

    /// Waits a moment for it to go.
    async fn goes(self) -> bool {
        for _ in 0..LOOKS {
            if !self.0 || self.has_gone() {
                break;
            }
            sleep(LOOK).await;
        }
        self.has_gone()
    }
}

/// Whether a signal is ignored, as far as the system tells (proc_pid_status(5)).
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
