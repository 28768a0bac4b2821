//! Sees to the end of a process group: waits for its leader, helps it and what it left behind to end, and reaps it last.

use std::time::Duration;

use rustix::process::{Signal, kill_process_group, test_kill_process_group};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::group;
use super::spawn::Process;
use crate::ending::Exit;

/// How long a look at a group comes after the one before, first and at most.
const LOOKS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(250)];
/// The least time that the system has to end what was killed.
const KILLED: Duration = Duration::from_secs(1);

/// What the session asks of a keeper.
#[derive(Clone, Copy)]
pub(super) enum Wish {
    /// TERM now, KILL when that does not help.
    Terminate,
    /// HUP now, then as where the session has gone.
    HangUp,
}

/// What a group that is to end was last told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// The session goes on.
    Nothing,
    /// Its session has gone, or its terminal.
    Dropped,
    Term,
    Kill,
}

/// A group that was started.
///
/// The leader that has ended is reaped only when nothing of its group is left: until then its number, which is that of the
/// group, is given to no other process, and a signal reaches no stranger.
pub(super) struct Keeper {
    process: Process,
    /// When it was started, by a clock that tests do not stop.
    begun: std::time::Instant,
    /// How long the group has to end by itself, and again after TERM.
    patience: Duration,
    /// Told how the leader ended; `None` when it was.
    exited: Option<oneshot::Sender<Exit>>,
    told: Told,
    /// When the next signal is due, where one is.
    until: Instant,
    /// When to look for others of the group, and how long after the last look.
    look: Option<Instant>,
    pause: Duration,
}

impl Keeper {
    pub(super) fn new(
        process: Process,
        patience: Duration,
        exited: oneshot::Sender<Exit>,
    ) -> Keeper {
        Keeper {
            process,
            begun: std::time::Instant::now(),
            patience,
            exited: Some(exited),
            told: Told::Nothing,
            until: Instant::now(),
            look: None,
            pause: LOOKS[0],
        }
    }

    /// Waits until nothing of the group is left, then reaps its leader.
    pub(super) async fn keep(mut self, mut wishes: mpsc::UnboundedReceiver<Wish>) {
        let mut is_wanted = true;
        loop {
            tokio::select! {
                exit = self.process.exited(), if self.exited.is_some() => {
                    self.note_exit(exit.unwrap_or(Exit::Status(u8::MAX)));
                }
                wish = wishes.recv(), if is_wanted && self.told < Told::Term => {
                    is_wanted = wish.is_some();
                    self.grant(wish);
                }
                () = sleep_until(self.until), if self.is_due() => {
                    if !self.press() {
                        break;
                    }
                }
                () = sleep_until(self.look.unwrap_or(self.until)), if self.look.is_some() => {
                    if !self.others_live() {
                        break;
                    }
                    // While the session goes on, they may.
                    self.look = (self.told > Told::Nothing).then(|| Instant::now() + self.pause);
                    self.pause = (2 * self.pause).min(LOOKS[1]);
                }
            }
        }
        self.process.reap();
    }

    fn note_exit(&mut self, exit: Exit) {
        tracing::debug!("a program ended: {exit}");
        if let Some(exited) = self.exited.take() {
            // The receiver is gone where the session is.
            let _ = exited.send(exit);
        }
        if self.told == Told::Kill {
            self.until = Instant::now() + KILLED;
        }
        self.look_soon();
    }

    /// Whether the group has something to do in time. A leader that was killed is waited for as long as the system takes.
    fn is_due(&self) -> bool {
        match self.told {
            Told::Nothing => false,
            Told::Dropped | Told::Term => true,
            Told::Kill => self.exited.is_none(),
        }
    }

    /// Whether others of the group than its leader live, which has ended.
    fn others_live(&mut self) -> bool {
        group::others_live(self.process.id(), self.begun.elapsed()).unwrap_or_else(|| {
            // Without /proc the zombie cannot be told from the others.
            self.process.reap();
            test_kill_process_group(self.process.id()).is_ok()
        })
    }

    /// Has the group looked at, now that something was done about its end.
    fn look_soon(&mut self) {
        if self.exited.is_none() {
            (self.look, self.pause) = (Some(Instant::now()), LOOKS[0]);
        }
    }

    /// Does what the session asks; `None` is its end.
    fn grant(&mut self, wish: Option<Wish>) {
        match wish {
            Some(Wish::Terminate) => {
                self.signal(Signal::TERM);
                self.tell(Told::Term);
            }
            Some(Wish::HangUp) => {
                self.signal(Signal::HUP);
                // One that is stopped takes no other signal.
                self.signal(Signal::CONT);
                self.tell(Told::Dropped);
            }
            None => self.tell(Told::Dropped),
        }
        self.look_soon();
    }

    fn tell(&mut self, what: Told) {
        if self.told < what {
            (self.told, self.until) = (what, Instant::now() + self.patience);
        }
    }

    /// Takes the next step, whose time has come; false when there is nothing more to be done.
    fn press(&mut self) -> bool {
        match self.told {
            Told::Nothing | Told::Dropped => {
                self.signal(Signal::TERM);
                self.tell(Told::Term);
            }
            Told::Term => {
                self.signal(Signal::KILL);
                self.told = Told::Kill;
                self.until = Instant::now() + self.patience.max(KILLED);
            }
            // The leader alone is ours to wait for; the system ends the others when it can.
            Told::Kill => return false,
        }
        self.look_soon();
        true
    }

    fn signal(&self, signal: Signal) {
        // A group that is gone needs none.
        let _ = kill_process_group(self.process.id(), signal);
    }
}
