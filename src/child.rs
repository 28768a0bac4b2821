//! A child process: in a session of its own, always reaped, and never outliving us.

mod command;
mod group;
mod keeper;
pub mod reaper;
mod spawn;

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::ending::Exit;
pub use command::Command;
use keeper::{Keeper, Wish};
use spawn::Process;

/// The processes that one owner has started, of all threads: none of them may outlive us. A clone is the same owner.
#[derive(Clone, Debug, Default)]
pub struct Children(Arc<Groups>);

#[derive(Debug, Default)]
struct Groups {
    /// The process groups that have not ended, and whether each has a terminal.
    kept: Mutex<HashMap<i32, bool>>,
    /// Told when a group has ended.
    gone: Notify,
}

/// A group while somebody sees to its end.
struct Kept {
    owner: Children,
    group: i32,
}

impl Kept {
    fn new(owner: &Children, group: Pid, has_terminal: bool) -> Kept {
        let group = group.as_raw_nonzero().get();
        owner.kept().insert(group, has_terminal);
        Kept {
            owner: owner.clone(),
            group,
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.owner.kept().remove(&self.group);
        self.owner.0.gone.notify_waiters();
    }
}

impl Children {
    fn kept(&self) -> MutexGuard<'_, HashMap<i32, bool>> {
        // Nothing panics while it is held.
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a command in a session of its own. `patience` is how long its group has to end when the child is dropped before
    /// it is sent TERM, and again before KILL. `keeps` is dropped when the group has ended and is reaped.
    ///
    /// # Errors
    /// The system's, of fork or exec.
    pub fn start(
        &self,
        command: Command,
        patience: Duration,
        keeps: impl Send + 'static,
    ) -> io::Result<Child> {
        let has_terminal = command.has_terminal;
        let process = Process::start(command)?;
        // Registered before anything else, so that the reaper of orphans leaves it alone.
        let kept = Kept::new(self, process.id(), has_terminal);
        let (keeper, wishes) = mpsc::unbounded_channel();
        let (exited, exit) = oneshot::channel();
        let (gone, over) = oneshot::channel();
        let watched = Keeper::new(process, patience, exited);
        tokio::spawn(async move {
            watched.keep(wishes).await;
            drop((kept, keeps));
            // The receiver is gone where the session is.
            let _ = gone.send(());
        });
        Ok(Child {
            keeper,
            exit: Known::Waiting(exit),
            over: Known::Waiting(over),
        })
    }

    /// Waits until all groups have ended that were started, each in the time that it has for that.
    pub async fn all_gone(&self) {
        loop {
            let gone = self.0.gone.notified();
            if self.kept().is_empty() {
                return;
            }
            gone.await;
        }
    }

    /// Returns the number of groups that have not ended.
    pub fn count(&self) -> usize {
        self.kept().len()
    }

    /// Whether a process leads a group that has not ended.
    fn has(&self, id: i32) -> bool {
        self.kept().contains_key(&id)
    }

    /// Sends TERM to all groups: a stop leaves them no more time to end by themselves. A terminal hangs up first.
    pub fn terminate_all(&self) {
        self.signal_all(|has_terminal| match has_terminal {
            true => &[Signal::HUP, Signal::CONT, Signal::TERM],
            false => &[Signal::TERM],
        });
    }

    /// Kills what is left of all groups: their owner ends at once.
    pub fn kill_all(&self) {
        self.signal_all(|_| &[Signal::KILL]);
    }

    fn signal_all(&self, signals: fn(bool) -> &'static [Signal]) {
        for (group, has_terminal) in self.kept().iter() {
            let Some(group) = Pid::from_raw(*group) else {
                continue;
            };
            for signal in signals(*has_terminal) {
                // A group that is gone needs none.
                let _ = kill_process_group(group, *signal);
            }
        }
    }
}

/// A process that runs, with the process group that it leads. Dropping it gives the group time to end by itself, then it is
/// made to.
pub struct Child {
    keeper: mpsc::UnboundedSender<Wish>,
    exit: Known<Exit>,
    over: Known<()>,
}

/// What a keeper tells once.
enum Known<T> {
    Waiting(oneshot::Receiver<T>),
    Told(T),
}

impl<T: Copy> Known<T> {
    /// Ready when it was told; `lost` stands for it where the keeper is gone.
    fn poll(&mut self, cx: &mut Context<'_>, lost: T) -> Poll<T> {
        if let Known::Waiting(told) = self {
            let Poll::Ready(told) = Pin::new(told).poll(cx) else {
                return Poll::Pending;
            };
            *self = Known::Told(told.unwrap_or(lost));
        }
        match self {
            Known::Told(told) => Poll::Ready(*told),
            Known::Waiting(_) => Poll::Pending,
        }
    }
}

impl Child {
    /// Asks its group to end now: TERM, and KILL when that does not help.
    pub fn terminate(&self) {
        // A keeper that is gone has reaped it.
        let _ = self.keeper.send(Wish::Terminate);
    }

    /// Tells its group that its terminal has hung up; TERM and KILL follow when that does not help.
    pub fn hang_up(&self) {
        // A keeper that is gone has reaped it.
        let _ = self.keeper.send(Wish::HangUp);
    }

    /// Ready when it has ended. Others of its group may run on.
    pub fn poll_exit(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        // Without a keeper nothing is known: that is no success.
        self.exit.poll(cx, Exit::Status(u8::MAX))
    }

    /// Ready when nothing of its group is left.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.over.poll(cx, ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;
    use tokio::net::unix::pipe;

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
            let mut child = Children::default()
                .start(sh(line), Duration::from_secs(5), ())
                .unwrap();
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
        let child = Children::default()
            .start(command, Duration::from_millis(50), reaped)
            .unwrap();
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
        let mut out = pipe::Receiver::from_owned_fd(out.into()).unwrap();
        // No grandchild holds the pipe any more.
        out.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
    }

    #[tokio::test]
    async fn one_that_obeys_gives_its_place_back_at_once() {
        let (reaped, is_reaped) = oneshot::channel::<()>();
        let hour = Duration::from_secs(3600);
        let child = Children::default()
            .start(sh("exec sleep 600"), hour, reaped)
            .unwrap();
        child.terminate();
        let is_reaped = tokio::time::timeout(Duration::from_secs(30), is_reaped).await;
        assert!(is_reaped.expect("it keeps its place").is_err());
    }

    #[tokio::test]
    async fn an_owner_neither_counts_nor_kills_what_another_has_started() {
        let (first, second) = (Children::default(), Children::default());
        let hour = Duration::from_secs(3600);
        let mut killed = first.start(sh("exec sleep 600"), hour, ()).unwrap();
        let (theirs, input) = io::pipe().unwrap();
        let mut command = sh("exec cat");
        command.stdin = theirs.into();
        let mut left = second.start(command, hour, ()).unwrap();
        assert_eq!((first.count(), second.count()), (1, 1));
        first.terminate_all();
        first.kill_all();
        let exit = poll_fn(|cx| killed.poll_exit(cx)).await;
        assert!(matches!(exit, Exit::Signal(_)), "{exit}");
        first.all_gone().await;
        assert_eq!((first.count(), second.count()), (0, 1));
        // It reads to the end of its input: nobody has sent it a signal.
        drop(input);
        assert_eq!(poll_fn(|cx| left.poll_exit(cx)).await, Exit::Status(0));
        second.all_gone().await;
    }

    #[tokio::test]
    async fn it_runs_in_a_session_and_group_of_its_own() {
        let mut command = sh("cat /proc/$$/stat");
        let (out, theirs) = io::pipe().unwrap();
        command.stdout = theirs.into();
        let _child = Children::default()
            .start(command, Duration::from_secs(5), ())
            .unwrap();
        let mut out = pipe::Receiver::from_owned_fd(out.into()).unwrap();
        let mut text = String::new();
        out.read_to_string(&mut text).await.unwrap();
        // proc_pid_stat(5): the id, the name, the state, the parent, the group, the session.
        let fields: Vec<_> = text.split(' ').collect();
        assert_eq!((fields[0], fields[0]), (fields[4], fields[5]), "{text}");
    }
}
