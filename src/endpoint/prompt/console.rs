//! The terminal of the process: a thread that edits what is typed, one that prints between it, and the way back to how it was.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use rustix::stdio::stdin;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, Config, Editor, ExternalPrinter, Helper};

use super::command::{COMMANDS, Line, read};
use super::shown::{Mark, control};
use crate::ending::{Close, Ending, errno_text};
use crate::message::{Fragment, Kind};

/// What was typed and not taken, and what is to be shown and is not yet: messages at most.
const QUEUED: usize = 64;
/// Bytes up to which a line is kept in the history.
const KEPT: usize = 4096;
/// How long the editor is waited for that may be drawing: it can be where it sees nothing but keys.
const LAST_DRAW: Duration = Duration::from_millis(200);
/// Shows nothing: up a row and down again.
const NOTHING: &str = "\x1bM\n";

/// How the terminal was before.
static BEFORE: OnceLock<Termios> = OnceLock::new();
/// Whether nothing more is to be edited.
static IS_OVER: AtomicBool = AtomicBool::new(false);
/// The console of the process, once there is one.
static CONSOLE: OnceLock<Arc<Console>> = OnceLock::new();

/// What was typed, as the session takes it.
#[derive(Debug)]
pub(super) enum Typed {
    Message(Fragment),
    Ping,
    End(Ending),
}

/// What the editor, the printer and the session share.
pub(super) struct Console {
    pub(super) is_coloured: bool,
    state: Mutex<State>,
    changed: Condvar,
    /// Whether the line that is edited is empty.
    is_empty: AtomicBool,
}

#[derive(Default)]
struct State {
    typed: VecDeque<Typed>,
    lines: VecDeque<String>,
    is_printing: bool,
    /// Whether the editor draws nothing more.
    is_still: bool,
    task: Option<Waker>,
}

/// How a console is made.
pub(super) struct Setup {
    pub(super) is_coloured: bool,
    /// Where lines are kept, if they are.
    pub(super) history: Option<PathBuf>,
    /// Bytes of a file that is sent, at most.
    pub(super) limit: usize,
}

/// Brings the terminal back to how it was, where a prompt has changed it; `main` calls it last, whatever happened.
pub fn restore() {
    let Some(before) = BEFORE.get() else {
        return;
    };
    let was_over = IS_OVER.swap(true, Ordering::AcqRel);
    if let Some(console) = CONSOLE.get().filter(|_| !was_over) {
        console.still();
    }
    let is_raw = tcgetattr(stdin()).is_ok_and(|now| !now.local_modes.contains(LocalModes::ICANON));
    if is_raw {
        // A terminal that has gone needs nothing.
        let _ = io::stdout().write_all(b"\r\x1b[J\x1b[?2026l\x1b[?2004l");
        let _ = io::stdout().flush();
        let _ = tcsetattr(stdin(), OptionalActions::Drain, before);
    }
}

/// Shows a line of the log without tearing what is typed; false where there is no prompt.
pub fn show(line: &str) -> bool {
    match CONSOLE.get() {
        Some(console) if !IS_OVER.load(Ordering::Acquire) => {
            console.say(line.trim_end());
            true
        }
        _ => false,
    }
}

impl Console {
    /// The one console, with its threads.
    ///
    /// # Errors
    /// The terminal's.
    pub(super) fn open(setup: Setup) -> io::Result<Arc<Console>> {
        if let Some(console) = CONSOLE.get() {
            return Ok(console.clone());
        }
        let _ = BEFORE.set(tcgetattr(stdin())?);
        let console = Arc::new(Console {
            is_coloured: setup.is_coloured,
            state: Mutex::default(),
            changed: Condvar::new(),
            is_empty: AtomicBool::new(true),
        });
        let config = Config::builder()
            .history_ignore_space(true)
            .auto_add_history(false)
            // The prompt is asked for each time, in whatever colours.
            .color_mode(ColorMode::Forced)
            .build();
        let mut editor = Editor::with_config(config).map_err(io::Error::other)?;
        editor.set_helper(Some(Watcher(console.clone())));
        let printer = editor.create_external_printer().map_err(io::Error::other)?;
        let shared = console.clone();
        thread::Builder::new()
            .name("prompt-print".to_owned())
            .spawn(move || shared.print(printer))?;
        let shared = console.clone();
        thread::Builder::new()
            .name("prompt".to_owned())
            .spawn(move || {
                shared.edit(editor, &setup);
                shared.lock().is_still = true;
                shared.changed.notify_all();
            })?;
        let _ = CONSOLE.set(console.clone());
        Ok(console)
    }

    /// Takes what was typed.
    pub(super) fn take(&self) -> Option<Typed> {
        let typed = self.lock().typed.pop_front();
        self.changed.notify_all();
        typed
    }

    /// Ready when something was typed.
    pub(super) fn poll_typed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_state(cx, |state| !state.typed.is_empty())
    }

    /// Ready when more may be shown.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_state(cx, |state| state.lines.len() < QUEUED)
    }

    /// Ready when all has been shown.
    pub(super) fn poll_shown(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_state(cx, |state| state.lines.is_empty() && !state.is_printing)
    }

    fn poll_state(&self, cx: &mut Context<'_>, holds: impl Fn(&State) -> bool) -> Poll<()> {
        let mut state = self.lock();
        if holds(&state) {
            return Poll::Ready(());
        }
        state.task = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Shows whole lines.
    pub(super) fn show(&self, lines: String) {
        self.lock().lines.push_back(lines);
        self.changed.notify_all();
    }

    /// Shows what the program itself has to say.
    pub(super) fn say(&self, text: &str) {
        self.show(control(text, self.is_coloured));
    }

    /// Has the editor hand over all that it was given to show.
    pub(super) fn settle(&self) {
        // It holds one and takes the next only when that is on the screen.
        self.show(NOTHING.to_owned());
        self.show(NOTHING.to_owned());
    }

    /// Has the editor draw nothing more, now that all is over: it halts before it draws its prompt behind what is shown.
    fn still(&self) {
        self.show(NOTHING.to_owned());
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), LAST_DRAW, |state| !state.is_still);
        drop(waited);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, holds: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.lock(), |state| !holds(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// The printer's thread.
    fn print(&self, mut printer: impl ExternalPrinter) {
        loop {
            let lines = {
                let mut state = self.wait_until(|state| !state.lines.is_empty());
                state.is_printing = true;
                state.lines.pop_front().unwrap_or_default()
            };
            // Where the terminal has gone, the editor says so.
            let _ = printer.print(lines);
            let mut state = self.lock();
            state.is_printing = false;
            if let Some(task) = state.task.take() {
                task.wake();
            }
        }
    }

    fn put(&self, typed: Typed) {
        let is_over = || IS_OVER.load(Ordering::Acquire);
        let mut state = self.wait_until(|state| state.typed.len() < QUEUED || is_over());
        state.typed.push_back(typed);
        if let Some(task) = state.task.take() {
            task.wake();
        }
    }

    /// The editor's thread. It goes on after the end of input: somebody must show what still comes.
    fn edit(&self, mut editor: Editor<Watcher, FileHistory>, setup: &Setup) {
        let history = setup
            .history
            .as_deref()
            .filter(|path| prepare(path).is_ok());
        if let Some(path) = history {
            // There is none the first time.
            let _ = editor.load_history(path);
        }
        let prompt = Mark::Outgoing.shown(false);
        let mut has_ended = false;
        while !IS_OVER.load(Ordering::Acquire) {
            match editor.readline(&prompt) {
                Ok(_) if has_ended => self.say("the input has ended"),
                Ok(line) => {
                    if line.len() <= KEPT
                        && editor.add_history_entry(&line).unwrap_or(false)
                        && let Some(path) = history
                    {
                        // A full disk is no reason to stop talking.
                        let _ = editor.append_history(path);
                    }
                    has_ended = self.obey(read(line), setup.limit);
                }
                Err(ReadlineError::Eof) if has_ended => {}
                Err(ReadlineError::Eof) => {
                    has_ended = true;
                    self.put(Typed::End(Ending::Eof));
                }
                // Pressed on an empty line it is what it is everywhere else.
                Err(ReadlineError::Interrupted) => {
                    if self.is_empty.load(Ordering::Acquire) {
                        let _ = kill_process(getpid(), Signal::INT);
                    }
                }
                Err(error) => {
                    if !has_ended {
                        self.put(Typed::End(Ending::ReadFailed(error.to_string())));
                    }
                    return;
                }
            }
        }
    }

    /// Does what a line asks for; true where that ends the input.
    fn obey(&self, line: Line, limit: usize) -> bool {
        match line {
            Line::Message(text) => self.put(Typed::Message(Fragment::text(&text))),
            Line::Binary(bytes) => self.put(Typed::Message(Fragment::binary(bytes))),
            Line::Ping => self.put(Typed::Ping),
            Line::SendFile(path) => self.send_file(&path, limit),
            Line::Wrong(what) => self.say(&what),
            Line::Help => {
                for (name, takes, what) in COMMANDS {
                    self.say(&format!("{:<26} {what}", format!("{name} {takes}")));
                }
            }
            Line::Close(close) => {
                self.put(Typed::End(Ending::Close(close)));
                return true;
            }
            Line::Quit => {
                self.put(Typed::End(Ending::Close(Close::new(1000, ""))));
                return true;
            }
        }
        false
    }

    fn send_file(&self, path: &str, limit: usize) {
        let read = std::fs::metadata(path).and_then(|about| match about.len() > limit as u64 {
            true => Err(io::Error::other(format!(
                "over the limit of {limit} bytes (--max-message)"
            ))),
            false => std::fs::read(path),
        });
        match read {
            Ok(bytes) => {
                let kind = if std::str::from_utf8(&bytes).is_ok() {
                    Kind::Text
                } else {
                    Kind::Binary
                };
                let name = if kind == Kind::Text { "text" } else { "binary" };
                self.say(&format!("sending {path}: {name}, {} bytes", bytes.len()));
                self.put(Typed::Message(Fragment::whole(kind, bytes)));
            }
            Err(error) => self.say(&format!("reading {path}: {}", errno_text(&error))),
        }
    }
}

/// Makes the folder of the history, for nobody else to read.
fn prepare(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match path.parent() {
        Some(folder) => std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder),
        None => Ok(()),
    }
}

/// Sees whether the line is empty: what ctrl-C means depends on it. And halts the editor where it would draw when all is over.
struct Watcher(Arc<Console>);

impl Hinter for Watcher {
    type Hint = String;

    fn hint(&self, line: &str, _pos: usize, _cx: &rustyline::Context<'_>) -> Option<String> {
        self.0.is_empty.store(line.is_empty(), Ordering::Release);
        None
    }
}

impl Completer for Watcher {
    type Candidate = String;
}
impl Highlighter for Watcher {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        is_ours: bool,
    ) -> Cow<'b, str> {
        while IS_OVER.load(Ordering::Acquire) {
            self.0.lock().is_still = true;
            self.0.changed.notify_all();
            thread::park();
        }
        match is_ours {
            true => Cow::Owned(Mark::Outgoing.shown(self.0.is_coloured)),
            false => Cow::Borrowed(prompt),
        }
    }
}
impl Validator for Watcher {}
impl Helper for Watcher {}
