//! The signals: TERM and INT stop the bridge, HUP has files read again, USR1 has the sessions listed.

use std::io;
use std::os::fd::BorrowedFd;
use std::process::exit;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::stdio::{stdin, stdout};
use rustix::termios::isatty;
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
        tokio::spawn(hang_up(signal, world.clone(), Terminal::look()));
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

/// What HUP means: the program ends where its terminal has gone; else files are read again.
async fn hang_up(mut signal: Signal, world: World, terminal: Terminal) {
    while signal.recv().await.is_some() {
        if terminal.has_gone() {
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

/// The terminals that there were at the start.
#[derive(Clone, Copy)]
struct Terminal {
    /// The controlling one.
    is_controlling: bool,
    is_stdin: bool,
    is_stdout: bool,
}

impl Terminal {
    fn look() -> Terminal {
        Terminal {
            is_controlling: Terminal::open().is_ok(),
            is_stdin: isatty(stdin()),
            is_stdout: isatty(stdout()),
        }
    }

    fn open() -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
        open("/dev/tty", flags, Mode::empty()).map(drop)
    }

    /// Whether one of them has hung up. That /dev/tty cannot be opened for another reason, such as no descriptors, says nothing.
    fn has_gone(self) -> bool {
        self.is_controlling && matches!(Terminal::open(), Err(Errno::NXIO | Errno::IO))
            || self.is_stdin && has_hung_up(stdin())
            || self.is_stdout && has_hung_up(stdout())
    }

    /// Waits a moment for it to go.
    async fn goes(self) -> bool {
        let is_none = !self.is_controlling && !self.is_stdin && !self.is_stdout;
        for _ in 0..LOOKS {
            if is_none || self.has_gone() {
                break;
            }
            sleep(LOOK).await;
        }
        self.has_gone()
    }
}

/// Whether the other end of a terminal has closed.
fn has_hung_up(terminal: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(terminal, PollFlags::empty())];
    let now = Timespec::default();
    poll(&mut asked, Some(&now)).is_ok() && asked[0].revents().contains(PollFlags::HUP)
}

/// Whether a signal is ignored, as far as the system tells (proc_pid_status(5)).
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
