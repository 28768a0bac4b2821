//! A child process: in a session of its own, always reaped, and never outliving us.

mod command;
mod others;
mod spawn;

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::ending::Exit;
pub use command::Command;
pub use others::reap_orphans;
use spawn::Process;

/// The groups that are kept, of all threads: none of them may outlive us.
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
/// Told when a group is kept no more.
static GONE: Notify = Notify::const_new();

fn groups() -> MutexGuard<'static, BTreeSet<i32>> {
    // Nothing panics while it is held.
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A group while somebody sees to its end.
struct Kept(i32);

impl Kept {
    fn new(group: Pid) -> Kept {
        groups().insert(group.as_raw_nonzero().get());
        Kept(group.as_raw_nonzero().get())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        groups().remove(&self.0);
        GONE.notify_waiters();
    }
}

/// Waits until all processes have ended that were started, each in the time that it has for that.
pub async fn all_gone() {
    loop {
        let gone = GONE.notified();
        if groups().is_empty() {
            return;
        }
        gone.await;
    }
}

/// Number of groups that are kept.
pub fn count() -> usize {
    groups().len()
}

/// Sends TERM to all groups: a stop leaves them no more time to end by themselves.
pub fn terminate_all() {
    signal_all(Signal::TERM);
}

/// Kills what is left of all groups: we end at once.
pub fn kill_all() {
    signal_all(Signal::KILL);
}

fn signal_all(signal: Signal) {
    for group in groups().iter().filter_map(|group| Pid::from_raw(*group)) {
        // A group that is gone needs none.
        let _ = kill_process_group(group, signal);
    }
}

/// A process that runs. Dropping it gives the process time to end by itself, then it is made to.
pub struct Child {
    keeper: mpsc::UnboundedSender<Terminate>,
    exit: Watch,
}

/// A wish to its keeper.
struct Terminate;

enum Watch {
    Waiting(oneshot::Receiver<Exit>),
    Known(Exit),
}

impl Child {
    /// Starts a command in a session of its own. `patience` is how long it has to end when it is dropped before its group
    /// is sent TERM, and again before KILL. `keeps` is dropped when it has been reaped.
    ///
    /// # Errors
    /// The system's, of fork or exec.
    pub fn start(
        command: Command,
        patience: Duration,
        keeps: impl Send + 'static,
    ) -> io::Result<Child> {
        let process = Process::start(command)?;
        let (keeper, wishes) = mpsc::unbounded_channel();
        let (exited, exit) = oneshot::channel();
        tokio::spawn(async move {
            keep(process, wishes, exited, patience, keeps).await;
        });
        Ok(Child {
            keeper,
            exit: Watch::Waiting(exit),
        })
    }

    /// Asks it to end now: TERM to its group, and KILL when that does not help.
    pub fn terminate(&self) {
        // A keeper that is gone has reaped it.
        let _ = self.keeper.send(Terminate);
    }

    /// Ready when it has ended.
    pub fn poll_exit(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        if let Watch::Waiting(exit) = &mut self.exit {
            let Poll::Ready(exit) = Pin::new(exit).poll(cx) else {
                return Poll::Pending;
            };
            // Without a keeper nothing is known: that is no success.
            self.exit = Watch::Known(exit.unwrap_or(Exit::Status(u8::MAX)));
        }
        match self.exit {
            Watch::Known(exit) => Poll::Ready(exit),
            Watch::Waiting(_) => Poll::Pending,
        }
    }
}

/// What a process that is to end was last told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Dropped,
    Term,
    Kill,
}

/// Waits for the end of a process, helps it to come, and reaps it.
async fn keep(
    mut process: Process,
    mut wishes: mpsc::UnboundedReceiver<Terminate>,
    exited: oneshot::Sender<Exit>,
    patience: Duration,
    keeps: impl Send,
) {
    let group = process.id();
    let kept = group.map(Kept::new);
    let signal = |signal| {
        if let Some(group) = group {
            // A group that is gone needs none.
            let _ = kill_process_group(group, signal);
        }
    };
    let mut told = Told::Nothing;
    let mut until = Instant::now();
    let mut is_wanted = true;
    let status = loop {
        tokio::select! {
            status = process.wait() => break status,
            wish = wishes.recv(), if is_wanted && told < Told::Term => {
                is_wanted = wish.is_some();
                until = Instant::now() + patience;
                told = if is_wanted { Told::Term } else { told.max(Told::Dropped) };
                if is_wanted {
                    signal(Signal::TERM);
                }
            }
            () = sleep_until(until), if matches!(told, Told::Dropped | Told::Term) => {
                until += patience;
                (told, is_wanted) = match told {
                    Told::Dropped => {
                        signal(Signal::TERM);
                        (Told::Term, false)
                    }
                    _ => {
                        signal(Signal::KILL);
                        (Told::Kill, false)
                    }
                };
            }
        }
    };
    // What can not be waited for has no status.
    let exit = status.unwrap_or(Exit::Status(u8::MAX));
    tracing::debug!("a program ended: {exit}");
    // Nobody may be left who asks.
    let _ = exited.send(exit);
    drop(keeps);
    if let Some(group) = group.filter(|_| told >= Told::Term) {
        // Others of the group have the same time as the first.
        if !others::all_ended(group, until).await {
            signal(Signal::KILL);
        }
    }
    drop(kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    fn sh(line: &str) -> Command {
        let null = || File::options().read(true).write(true).open("/dev/null");
        Command {
            file: "/bin/sh".into(),
            words: ["sh", "-c", line].map(Into::into).into(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            stdin: null().unwrap().into(),
            stdout: null().unwrap().into(),
            stderr: None,
            has_terminal: false,
        }
    }

    #[track_caller]
    fn check(line: &str, expected: Exit, shown: &str) {
        let runtime = crate::workers::runtime().unwrap();
        let exit = runtime.block_on(async {
            let mut child = Child::start(sh(line), Duration::from_secs(5), ()).unwrap();
            poll_fn(|cx| child.poll_exit(cx)).await
        });
        assert_eq!((exit, exit.to_string()), (expected, shown.to_owned()));
    }

    #[test]
    fn an_end_is_a_status_or_a_signal() {
        check("exit 0", Exit::Status(0), "exit 0");
        check("exit 7", Exit::Status(7), "exit 7");
        check("kill -TERM $$", Exit::Signal(15), "signal TERM");
        check("kill -KILL $$", Exit::Signal(9), "signal KILL");
        assert_eq!(Exit::Signal(15).shell_status(), 143);
        assert_eq!(Exit::Status(7).shell_status(), 7);
    }

    #[tokio::test]
    async fn one_that_is_dropped_and_ignores_term_is_killed_and_reaped() {
        let (reaped, is_reaped) = oneshot::channel::<()>();
        let mut command = sh("trap '' TERM; echo up; while :; do sleep 1; done");
        let (mut out, theirs) = io::pipe().unwrap();
        command.stdout = theirs.into();
        let child = Child::start(command, Duration::from_millis(50), reaped).unwrap();
        let up = tokio::task::spawn_blocking(move || {
            let mut up = [0; 3];
            io::Read::read_exact(&mut out, &mut up).map(|()| (up, out))
        });
        let (up, out) = up.await.unwrap().unwrap();
        assert_eq!(&up, b"up\n");
        drop(child);
        // What it keeps is dropped only when it has been reaped.
        assert!(is_reaped.await.is_err());
        let mut rest = Vec::new();
        let mut out = tokio::net::unix::pipe::Receiver::from_owned_fd(out.into()).unwrap();
        // No grandchild holds the pipe any more.
        out.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
    }

    #[tokio::test]
    async fn one_that_obeys_gives_its_place_back_at_once() {
        let (reaped, is_reaped) = oneshot::channel::<()>();
        let hour = Duration::from_secs(3600);
        let child = Child::start(sh("exec sleep 600"), hour, reaped).unwrap();
        child.terminate();
        let is_reaped = tokio::time::timeout(Duration::from_secs(30), is_reaped).await;
        assert!(is_reaped.expect("it keeps its place").is_err());
    }

    #[tokio::test]
    async fn it_runs_in_a_session_and_group_of_its_own() {
        let mut command = sh("cat /proc/$$/stat");
        let (out, theirs) = io::pipe().unwrap();
        command.stdout = theirs.into();
        let _child = Child::start(command, Duration::from_secs(5), ()).unwrap();
        let mut out = tokio::net::unix::pipe::Receiver::from_owned_fd(out.into()).unwrap();
        let mut text = String::new();
        out.read_to_string(&mut text).await.unwrap();
        // proc_pid_stat(5): the id, the name, the state, the parent, the group, the session.
        let fields: Vec<_> = text.split(' ').collect();
        assert_eq!((fields[0], fields[0]), (fields[4], fields[5]), "{text}");
    }
}
