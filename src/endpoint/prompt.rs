//! Standard input and output at a terminal: a prompt that what comes does not tear.

mod command;
mod console;
mod shown;

use std::future::Future;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::{Sleep, sleep};

use crate::caller::Caller;
use crate::ending::Ending;
use crate::framing::Framing;
use crate::message::{Fragment, Kind};
use crate::peer::{Event, MessageStream, Notice, Opened, Pings, Spent, StreamFacts, Tally};
use crate::variables::Variables;
use console::{Console, Setup, Typed};

pub use console::{restore, show};

/// A prompt that is to be opened.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// What the other side is called.
    pub(super) opposite: String,
    pub(super) keeps_history: bool,
    pub(super) framing: Framing,
    pub(super) variables: Variables,
}

impl Wanted {
    /// Whether people sit at both ends of stdio, and its messages are lines as they come.
    pub(super) fn is_possible(&self) -> bool {
        let term = self.variables.get("TERM").unwrap_or_default();
        let can_edit = !matches!(term, "" | "dumb" | "cons25" | "emacs");
        let is_plain = Framing {
            limit: Framing::LINES.limit,
            is_asked: false,
            ..self.framing
        } == Framing {
            is_asked: false,
            ..Framing::LINES
        };
        can_edit && is_plain && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }

    /// Opens it for a session; `end` is called when its input has ended.
    ///
    /// # Errors
    /// The terminal's.
    pub(super) fn open(
        &self,
        caller: &Caller,
        end: impl Fn() + Send + 'static,
        gone: impl Fn() + Send + 'static,
    ) -> Result<Opened> {
        let setup = Setup {
            is_coloured: self.variables.get("NO_COLOR").is_none_or(str::is_empty),
            history: self.keeps_history.then(|| self.history()).flatten(),
            limit: self.framing.limit,
        };
        let console = Console::open(setup).context("opening the terminal")?;
        let to_whom = if caller.is_local {
            format!("connected to {}; /help shows commands", self.opposite)
        } else {
            format!("connected: {caller}; /help shows commands")
        };
        let shared = console.clone();
        let pings = Pings::new(move |took| {
            shared.say(&format!("pong after {:.1} ms", took.as_secs_f64() * 1e3));
        });
        let pings = Arc::new(pings);
        let facts = StreamFacts {
            can_half_close: true,
            is_local: true,
            pings: Some(pings.clone()),
            ..StreamFacts::default()
        };
        let prompt = Prompt {
            console,
            greeting: Some(to_whom),
            message: Vec::new(),
            kind: Kind::Text,
            len: 0,
            ended: None,
            has_said_end: false,
            pings,
            is_among_bytes: false,
            patience: None,
            is_only: caller.is_local,
            end: Box::new(end),
            gone: Box::new(gone),
        };
        Ok(Opened::messages(Box::new(prompt), facts))
    }

    /// `$XDG_STATE_HOME/wsbridge/history`, else below `~/.local/state`.
    fn history(&self) -> Option<PathBuf> {
        let state = self
            .variables
            .get("XDG_STATE_HOME")
            .filter(|path| path.starts_with('/'));
        let folder = match (state, self.variables.get("HOME")) {
            (Some(state), _) => PathBuf::from(state),
            (None, Some(home)) => PathBuf::from(home).join(".local/state"),
            (None, None) => return None,
        };
        Some(folder.join("wsbridge/history"))
    }
}

/// How long nothing must come after the end of input for a person to be told what is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one session has of the console.
struct Prompt {
    console: Arc<Console>,
    greeting: Option<String>,
    /// The first bytes of the message that is coming, its kind, and how long it is by now.
    message: Vec<u8>,
    kind: Kind,
    len: usize,
    ended: Option<Ending>,
    has_said_end: bool,
    pings: Arc<Pings>,
    /// Whether the other side takes and says bytes, in which lines are what newlines make them.
    is_among_bytes: bool,
    /// Running since the end of input, until something has come or the person was told.
    patience: Option<Pin<Box<Sleep>>>,
    /// Whether there is no session but this.
    is_only: bool,
    end: Box<dyn Fn() + Send>,
    gone: Box<dyn Fn() + Send>,
}

impl Drop for Prompt {
    fn drop(&mut self) {
        if self.is_only {
            restore();
        }
        (self.gone)();
    }
}

impl Prompt {
    /// Shows a message once all of it has come.
    fn show(&mut self, fragment: Fragment) {
        if self.patience.is_some() {
            self.patience = Some(Box::pin(sleep(PATIENCE)));
        }
        let Fragment { kind, fin, payload } = fragment;
        let room = shown::MOST_TEXT.saturating_sub(self.message.len());
        self.message
            .extend_from_slice(&payload[..payload.len().min(room)]);
        self.len += payload.len();
        self.kind = kind;
        if fin {
            let bytes = std::mem::take(&mut self.message);
            let len = std::mem::take(&mut self.len);
            let is_coloured = self.console.is_coloured;
            self.console.show(match self.is_among_bytes {
                true => shown::incoming_bytes(&bytes, len, is_coloured),
                false => shown::incoming(kind, &bytes, len, is_coloured),
            });
        }
    }
}

impl MessageStream for Prompt {
    fn take(&mut self) -> Option<Event> {
        // Both sides are open when the pump first asks.
        if let Some(greeting) = self.greeting.take() {
            self.console.say(&greeting);
        }
        if let Some(ended) = &self.ended {
            return Some(Event::End(ended.clone()));
        }
        loop {
            match self.console.take()? {
                Typed::Message(fragment) => {
                    return Some(Event::Fragment(match self.is_among_bytes {
                        true => line_of_bytes(fragment),
                        false => fragment,
                    }));
                }
                Typed::Ping if self.pings.ask() => {}
                Typed::Ping => self.console.say("the other side has no pings"),
                Typed::End(ending) => {
                    (self.end)();
                    self.ended = Some(ending.clone());
                    self.patience = Some(Box::pin(sleep(PATIENCE)));
                    return Some(Event::End(ending));
                }
            }
        }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.console.poll_typed(cx)
    }

    fn spent(&mut self) -> Spent {
        Spent::default()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.console.poll_room(cx).map(Ok)
    }

    fn start_send(&mut self, event: Event) -> Result<(), Ending> {
        event.each(|fragment| {
            self.show(fragment);
            Ok(())
        })
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        if let Some(patience) = &mut self.patience
            && patience.as_mut().poll(cx).is_ready()
        {
            self.patience = None;
            self.console
                .say("input has ended; waiting for the other side, which is silent (ctrl-C ends)");
        }
        self.poll_ready(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        if !self.has_said_end {
            self.has_said_end = true;
            if self.len > 0 {
                self.show(Fragment::whole(self.kind, b""));
            }
            self.patience = None;
            self.console.say(&format!("closed: {why}"));
        }
        ready!(self.console.poll_shown(cx));
        Poll::Ready(Ok(()))
    }

    fn unsent(&self) -> usize {
        0
    }

    fn poll_cut(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn notify(&mut self, notice: Notice) {
        if matches!(notice, Notice::SpeakBytes) {
            self.is_among_bytes = true;
        }
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn tally(&self) -> Tally {
        Tally {
            half_closes: true,
            ..Tally::default()
        }
    }
}

/// A line as bytes: with the newline that ends it.
fn line_of_bytes(line: Fragment) -> Fragment {
    let mut payload = line.payload;
    if line.fin {
        payload.extend_from_slice(b"\n");
    }
    Fragment {
        kind: Kind::Binary,
        payload,
        ..line
    }
}
