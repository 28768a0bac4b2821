//! The terminal of the process: a thread that edits what is typed and shows what comes, and the way back to how it was.
//!
//! Nothing but the editor's thread writes to the terminal while it runs. What is to be shown waits in a queue: the editor shows it
//! before it draws a prompt, and at a prompt when it is knocked at, above the line that is typed. rustyline's own printer is used
//! for the knock alone, because it writes by itself where the editor is between two lines, be it over a prompt that has been drawn
//! by then.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use rustix::stdio::stdin;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, Config, Editor, ExternalPrinter, Helper};

use super::command::{COMMANDS, Line, read};
use super::shown::{Mark, control};
use crate::buffer::LARGE;
use crate::ending::{Close, Ending, errno_text};
use crate::message::{Fragment, Kind};

/// What was typed and not taken, and what is to be shown and is not yet: messages at most.
const QUEUED: usize = 64;
/// Bytes that are to be shown and are not yet; a single message may have more.
const QUEUED_BYTES: usize = LARGE;
/// Bytes up to which a line is kept in the history.
const KEPT: usize = 4096;
/// How long the editor is waited for that may be drawing: it can be where it sees nothing but keys.
const LAST_DRAW: Duration = Duration::from_millis(200);
/// Has the editor draw its prompt anew and shows nothing: up a row and down again.
const KNOCK: &str = "\x1b[A\n";
/// Begins a row anew. The editor has done so where it answers a knock; a knock that came just when it drew for a key is taken for
/// answered.
const ROW: &str = "\r\x1b[J";
/// How long a knock may stay without an answer before it is repeated; one that meets ctrl-Z is lost.
const KNOCK_AGAIN: Duration = Duration::from_secs(1);

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

/// What the editor and the session share.
pub(super) struct Console {
    pub(super) is_coloured: bool,
    state: Mutex<State>,
    changed: Condvar,
    /// Whether the line that is edited is empty.
    is_empty: AtomicBool,
    /// Where lines are shown.
    screen: Mutex<Box<dyn Write + Send>>,
}

#[derive(Default)]
struct State {
    typed: VecDeque<Typed>,
    lines: VecDeque<String>,
    is_showing: bool,
    editor: Doing,
    /// Whether the editor has been knocked at and has not answered.
    is_knocked: bool,
    /// Whether the editor draws nothing more.
    is_still: bool,
    task: Option<Waker>,
}

/// What the editor's thread does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Doing {
    /// Something else than waiting for keys; it shows what waits before it draws its next prompt.
    #[default]
    Other,
    /// It has drawn its prompt and waits for keys, and for a knock.
    Waiting,
    /// Nothing any more: the terminal has gone, or all is over.
    Gone,
}

impl State {
    /// Whether something is to be shown, or all is over, and the editor does not see it by itself.
    fn is_knock_due(&self) -> bool {
        let is_over = || IS_OVER.load(Ordering::Acquire);
        match self.editor {
            Doing::Other => false,
            Doing::Waiting => !self.is_knocked && (!self.lines.is_empty() || is_over()),
            Doing::Gone => !self.lines.is_empty(),
        }
    }
}

/// How a console is made.
pub(super) struct Setup {
    pub(super) is_coloured: bool,
    /// Where lines are kept, if they are.
    pub(super) history: Option<PathBuf>,
    /// Bytes of a file that is sent, at most.
    pub(super) limit: usize,
}

/// Brings the terminal back to how it was, where a prompt has changed it; `main` calls it last, whatever happened. A terminal
/// that takes nothing is not waited for.
pub fn restore() {
    let Some(before) = BEFORE.get() else {
        return;
    };
    let was_over = IS_OVER.swap(true, Ordering::AcqRel);
    if let Some(console) = CONSOLE.get().filter(|_| !was_over) {
        console.still();
    }
    let is_raw = tcgetattr(stdin()).is_ok_and(|now| !now.local_modes.contains(LocalModes::ICANON));
    if !is_raw {
        return;
    }
    let (done, is_done) = channel();
    let thread = thread::Builder::new().name("restore".to_owned());
    let started = thread.spawn(move || {
        // A terminal that has gone needs nothing.
        let _ = io::stdout().write_all(b"\r\x1b[J\x1b[?2026l\x1b[?2004l");
        let _ = io::stdout().flush();
        let _ = tcsetattr(stdin(), OptionalActions::Drain, before);
        let _ = done.send(());
    });
    if started.is_err() || is_done.recv_timeout(LAST_DRAW).is_err() {
        let _ = tcsetattr(stdin(), OptionalActions::Now, before);
    }
}

/// Shows a line of the log without tearing what is typed, and waits where too much is to be shown already: this is for the
/// log's own thread. False where there is no prompt.
pub fn show(line: &str) -> bool {
    let Some(console) = CONSOLE.get() else {
        return false;
    };
    let is_over = || IS_OVER.load(Ordering::Acquire);
    drop(console.wait_until(|state| state.lines.len() < QUEUED || is_over()));
    if is_over() {
        return false;
    }
    console.say(line.trim_end());
    true
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
        let console = Arc::new(Console::new(setup.is_coloured, Box::new(io::stdout())));
        let config = Config::builder()
            .history_ignore_space(true)
            .auto_add_history(false)
            // The prompt is asked for each time, in whatever colours.
            .color_mode(ColorMode::Forced)
            .build();
        let mut editor = Editor::with_config(config).map_err(io::Error::other)?;
        editor.set_helper(Some(Watcher::new(console.clone())));
        let printer = editor.create_external_printer().map_err(io::Error::other)?;
        let shared = console.clone();
        thread::Builder::new()
            .name("prompt-knock".to_owned())
            .spawn(move || shared.knock(printer))?;
        let shared = console.clone();
        thread::Builder::new()
            .name("prompt".to_owned())
            .spawn(move || {
                shared.edit(editor, &setup);
                let mut state = shared.lock();
                (state.editor, state.is_still) = (Doing::Gone, true);
                drop(state);
                shared.changed.notify_all();
            })?;
        let _ = CONSOLE.set(console.clone());
        Ok(console)
    }

    fn new(is_coloured: bool, screen: Box<dyn Write + Send>) -> Console {
        Console {
            is_coloured,
            state: Mutex::default(),
            changed: Condvar::new(),
            is_empty: AtomicBool::new(true),
            screen: Mutex::new(screen),
        }
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
        self.poll_state(cx, |state| {
            let bytes: usize = state.lines.iter().map(String::len).sum();
            state.lines.len() < QUEUED && bytes < QUEUED_BYTES
        })
    }

    /// Ready when all has been shown.
    pub(super) fn poll_shown(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_state(cx, |state| state.lines.is_empty() && !state.is_showing)
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

    /// Has the editor draw nothing more, now that all is over: it halts before it draws its prompt behind what is shown.
    fn still(&self) {
        // For who knocks.
        self.changed.notify_all();
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

    /// The thread that tells the editor of what is to be shown, and shows it itself once there is no editor.
    fn knock(&self, mut printer: impl ExternalPrinter) {
        loop {
            match self.next_knock() {
                Doing::Gone => self.show_waiting(),
                // Where the terminal has gone, the editor says so.
                _ => drop(printer.print(KNOCK.to_owned())),
            }
        }
    }

    /// Waits until a knock is due and notes it; returns what the editor does.
    fn next_knock(&self) -> Doing {
        let mut state = self.lock();
        while !state.is_knock_due() {
            let waited = match state.is_knocked {
                false => self.changed.wait(state),
                true => {
                    let waited = self.changed.wait_timeout(state, KNOCK_AGAIN);
                    let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    state.is_knocked &= !timeout.timed_out();
                    Ok(state)
                }
            };
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.is_knocked = true;
        state.editor
    }

    /// Shows all that waits, where the cursor is at the beginning of a row: on the editor's thread, while there is one.
    fn show_waiting(&self) {
        loop {
            let mut state = self.lock();
            let next = state.lines.pop_front();
            state.is_showing = next.is_some();
            if let Some(task) = state.task.take() {
                task.wake();
            }
            drop(state);
            let Some(lines) = next else {
                self.changed.notify_all();
                return;
            };
            self.write(&lines);
        }
    }

    fn write(&self, text: &str) {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the terminal has gone, the editor says so.
        let _ = screen
            .write_all(text.as_bytes())
            .and_then(|()| screen.flush());
    }

    /// The editor has its prompt drawn; `is_answer`: because it was knocked at, with the cursor where the prompt is to stand.
    fn drawing(&self, is_answer: bool) {
        let mut state = self.lock();
        let is_answer = is_answer && state.is_knocked;
        state.is_knocked &= !is_answer;
        state.editor = Doing::Waiting;
        drop(state);
        if is_answer {
            self.write(ROW);
            self.show_waiting();
        }
        self.changed.notify_all();
    }

    /// The editor has left its prompt. A knock that it has not seen may be lost.
    fn left(&self) {
        let mut state = self.lock();
        (state.editor, state.is_knocked) = (Doing::Other, false);
    }

    /// Hands over what was typed; shows what comes while there is no room for it.
    fn put(&self, typed: Typed) {
        let may_put = |state: &State| state.typed.len() < QUEUED || IS_OVER.load(Ordering::Acquire);
        loop {
            let mut state = self.wait_until(|state| may_put(state) || !state.lines.is_empty());
            if may_put(&state) {
                state.typed.push_back(typed);
                if let Some(task) = state.task.take() {
                    task.wake();
                }
                return;
            }
            drop(state);
            self.show_waiting();
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
            self.show_waiting();
            let typed = editor.readline(&prompt);
            self.left();
            match typed {
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

/// Sees whether the line is empty: what ctrl-C means depends on it. Sees when the prompt is drawn, and what for. And halts the
/// editor where it would draw when all is over.
struct Watcher {
    console: Arc<Console>,
    /// Whether the prompt is drawn next for a key, while a knock has no answer yet.
    is_for_key: AtomicBool,
}

impl Watcher {
    fn new(console: Arc<Console>) -> Watcher {
        Watcher {
            console,
            is_for_key: AtomicBool::new(false),
        }
    }
}

impl Hinter for Watcher {
    type Hint = String;

    fn hint(&self, line: &str, _pos: usize, _cx: &rustyline::Context<'_>) -> Option<String> {
        let is_empty = line.is_empty();
        self.console.is_empty.store(is_empty, Ordering::Release);
        // A hint is asked for where a key changes the line, and not where something is printed.
        let is_knocked = self.console.lock().is_knocked;
        self.is_for_key.store(is_knocked, Ordering::Release);
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
            self.console.lock().is_still = true;
            self.console.changed.notify_all();
            thread::park();
        }
        let is_for_key = self.is_for_key.swap(false, Ordering::AcqRel);
        self.console.drawing(!is_for_key);
        match is_ours {
            true => Cow::Owned(Mark::Outgoing.shown(self.console.is_coloured)),
            false => Cow::Borrowed(prompt),
        }
    }

    /// Has the prompt drawn for the key, too, where it could be left as it is: what is drawn next then is the answer.
    fn highlight_char(&self, _line: &str, _pos: usize, kind: CmdKind) -> bool {
        kind == CmdKind::Other && self.is_for_key.load(Ordering::Acquire)
    }
}
impl Validator for Watcher {}
impl Helper for Watcher {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A screen that can be looked at.
    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Screen {
        #[track_caller]
        fn shows(&self, expected: &str) {
            let bytes = self.0.lock().unwrap();
            assert_eq!(String::from_utf8_lossy(&bytes), expected);
        }
    }

    /// The editor draws its prompt as it does for a key, and as it does for a knock.
    fn draw(watcher: &Watcher, is_answer: bool) {
        if !is_answer {
            let history = FileHistory::new();
            watcher.hint("half a li", 0, &rustyline::Context::new(&history));
        }
        assert_eq!(watcher.highlight_prompt("> ", true), "> ");
    }

    #[test]
    fn what_comes_while_the_prompt_is_drawn_is_shown_above_it() {
        let screen = Screen::default();
        let console = Arc::new(Console::new(false, Box::new(screen.clone())));
        let watcher = Watcher::new(console.clone());
        let is_due = || console.lock().is_knock_due();
        console.show("before\n".to_owned());
        assert!(!is_due(), "the editor sees it by itself");
        console.show_waiting();
        screen.shows("before\n");
        // The editor has looked and goes to draw: nothing else writes behind its prompt.
        console.show("meanwhile\n".to_owned());
        assert!(!is_due());
        draw(&watcher, false);
        screen.shows("before\n");
        assert!(is_due());
        assert_eq!(console.next_knock(), Doing::Waiting);
        assert!(!is_due(), "one knock is enough");
        // A key comes first.
        draw(&watcher, false);
        screen.shows("before\n");
        draw(&watcher, true);
        screen.shows("before\n\r\x1b[Jmeanwhile\n");
        assert!(!is_due());
    }

    #[test]
    fn a_knock_that_the_editor_does_not_see_is_repeated() {
        let screen = Screen::default();
        let console = Arc::new(Console::new(false, Box::new(screen.clone())));
        let watcher = Watcher::new(console.clone());
        draw(&watcher, false);
        console.show("one\n".to_owned());
        assert_eq!(console.next_knock(), Doing::Waiting);
        // A line was typed just then: it is shown before the next prompt, and what comes later is knocked for.
        console.left();
        console.show_waiting();
        screen.shows("one\n");
        draw(&watcher, false);
        console.show("two\n".to_owned());
        assert_eq!(console.next_knock(), Doing::Waiting);
        // Nothing answers.
        assert_eq!(console.next_knock(), Doing::Waiting);
        draw(&watcher, true);
        screen.shows("one\n\r\x1b[Jtwo\n");
    }

    #[test]
    fn who_waits_for_room_shows_what_comes() {
        let screen = Screen::default();
        let console = Arc::new(Console::new(false, Box::new(screen.clone())));
        for _ in 0..QUEUED {
            console.put(Typed::Ping);
        }
        let shared = console.clone();
        let editor = thread::spawn(move || shared.put(Typed::Ping));
        console.show("comes\n".to_owned());
        let shown = console.wait_until(|state| state.lines.is_empty() && !state.is_showing);
        drop(shown);
        screen.shows("comes\n");
        console.take();
        editor.join().unwrap();
    }
}
