//! What comes from a side, shown on stderr and recorded in a file while it passes; nothing of it is altered.

mod dump;
mod recorder;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::task::spawn_blocking;

use crate::buffer::LARGE;
use crate::ending::Ending;
use crate::log::{self, Queue, Release, Source};
use crate::memory::{FREE, Memory, Spare};
use crate::message::{Batch, Fragment, Kind};
use crate::peer::{Event, MessageStream, Messages, Notice, Spent, Tally};
use crate::pump::Side;
use crate::reread::Rereads;
use dump::Dump;
use recorder::Recorder;

/// Options of every side.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
#[command(next_help_heading = "Watching")]
pub struct Options {
    /// Show on stderr what passes: direction, time, bytes, and how it ended
    ///
    /// What comes from the left is marked >, what comes from the right <. As an option of one side (left.dump) it shows what
    /// comes from that side only. Messages that are not copied (-1, -u) are shown too. A session waits while 256 KiB of its dump
    /// are not read; other sessions do not, and at a stop nothing waits: what is not read by then is lost.
    #[arg(long)]
    pub dump: bool,
    /// Append what passes to FILE too, as it would be printed
    ///
    /// A text message gets a newline, a binary one is written exactly as it is. As an option of one side (left.tee=FILE) it
    /// records what comes from that side only. FILE may be shared: no message of up to 256 KiB stands in the middle of
    /// another, as long as half of --memory is free. When FILE cannot be written any more that is an error, but sessions go on
    /// without it; the exit status is then 23 instead of 0. SIGHUP has FILE opened again, so that it can be moved away before.
    #[arg(long, value_name = "FILE")]
    pub tee: Option<PathBuf>,
}

/// How long stderr may take nothing of a dump at the end, before the rest of it is given up.
const SETTLE: Duration = Duration::from_secs(1);
/// Bytes of an unfinished message that are kept back from a file, so that it is written in one piece.
const GATHERED: usize = LARGE;

/// What both sides are watched with, shared by all sessions of a bridge.
#[derive(Default)]
pub struct Taps {
    left: Sinks,
    right: Sinks,
    /// Whether several callers must be told from each other.
    names_callers: bool,
    memory: Memory,
    release: Release,
}

#[derive(Clone, Default)]
struct Sinks {
    dump: Option<Arc<Queue>>,
    tee: Option<Arc<Recorder>>,
}

impl Taps {
    /// Opens what was asked for; a FILE that both sides name is opened once. It may wait, for the reader of a FIFO.
    ///
    /// # Errors
    /// A FILE that can not be written, with [`Cause::NotWritable`](crate::ending::Cause::NotWritable).
    pub fn open(
        [left, right]: &[Options; 2],
        names_callers: bool,
        memory: &Memory,
        rereads: &Rereads,
        release: &Release,
    ) -> Result<Taps> {
        let stderr = (left.dump || right.dump).then(log::stderr).transpose();
        let stderr = stderr.context("starting a thread")?;
        let open = |path: &Option<PathBuf>| {
            let opened = path.as_deref().map(|path| Recorder::open(path, rereads));
            anyhow::Ok(opened.transpose()?.map(Arc::new))
        };
        let tee = open(&left.tee)?;
        let both = if left.tee == right.tee {
            tee.clone()
        } else {
            open(&right.tee)?
        };
        Ok(Taps {
            left: Sinks {
                dump: stderr.clone().filter(|_| left.dump),
                tee,
            },
            right: Sinks {
                dump: stderr.filter(|_| right.dump),
                tee: both,
            },
            names_callers,
            memory: memory.clone(),
            release: release.clone(),
        })
    }

    /// Watches one side of a session; `None` where nobody asked for that.
    pub fn watch(&self, side: Side, caller: &str) -> Option<Watch> {
        let sinks = match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        };
        if sinks.dump.is_none() && sinks.tee.is_none() {
            return None;
        }
        let caller = if self.names_callers { caller } else { "" };
        Some(Watch(Arc::new(Shared {
            source: sinks
                .dump
                .as_ref()
                .map(|queue| Source::new(queue, &self.release)),
            tee: sinks.tee.clone(),
            dump: Dump::new(side, caller),
            memory: self.memory.clone(),
            has_ended: AtomicBool::new(false),
        })))
    }

    /// Waits until all is written, but for no file that has taken nothing for `patience`, and less for stderr.
    pub async fn drained(&self, patience: Duration) {
        let dumps = [&self.left.dump, &self.right.dump].into_iter().flatten();
        if let Some(queue) = dumps.clone().next().cloned() {
            let release = self.release.clone();
            // It returns by itself, be it after we have gone.
            let _ = spawn_blocking(move || queue.settle(SETTLE, &release)).await;
        }
        for recorder in self.recorders() {
            recorder.drained(patience).await;
        }
    }

    /// Whether a record is not complete.
    pub fn has_failed(&self) -> bool {
        let mut dumps = [&self.left.dump, &self.right.dump].into_iter().flatten();
        self.recorders().any(|recorder| recorder.has_failed())
            || dumps.any(|queue| queue.has_failed())
    }

    fn recorders(&self) -> impl Iterator<Item = &Recorder> {
        let sinks = [&self.left, &self.right].into_iter();
        sinks.filter_map(|sinks| sinks.tee.as_deref())
    }
}

/// One side of one session, watched.
pub struct Watch(Arc<Shared>);

struct Shared {
    /// What of the dump waits to be written, where there is one.
    source: Option<Arc<Source>>,
    tee: Option<Arc<Recorder>>,
    dump: Dump,
    memory: Memory,
    has_ended: AtomicBool,
}

impl Watch {
    /// Looks at what a stream yields from now on.
    pub fn over(&self, messages: Messages) -> Messages {
        let tap = Tap {
            stream: messages.stream,
            shared: self.0.clone(),
            gathered: Vec::new(),
            spare: Spare::of(&self.0.memory),
            shown: 0,
            is_held: false,
        };
        Messages {
            stream: Box::new(tap),
            ..messages
        }
    }

    /// Shows how the side ended, where its stream has not said so itself.
    pub fn finish(&self, ending: &Ending) {
        self.0.show_end(ending);
    }
}

impl Shared {
    /// Whether all that is watched has room for more.
    fn has_room(&self) -> bool {
        let has_shown = self.source.as_deref().is_none_or(Source::has_room);
        has_shown && self.tee.as_deref().is_none_or(Recorder::has_room)
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(source) = &self.source
            && !source.has_room_or_wakes(cx.waker())
        {
            return Poll::Pending;
        }
        match &self.tee {
            Some(recorder) => recorder.poll_room(cx),
            None => Poll::Ready(()),
        }
    }

    /// Shows what `write` appends, in one piece.
    fn show(&self, write: impl FnOnce(&Dump, &mut Vec<u8>)) {
        if let Some(source) = &self.source {
            let mut piece = Vec::new();
            write(&self.dump, &mut piece);
            source.push(piece);
        }
    }

    fn show_end(&self, ending: &Ending) {
        if !self.has_ended.swap(true, Ordering::AcqRel) {
            self.show(|dump, out| dump.end(out, ending));
        }
    }
}

/// A stream that is looked at. It does not allow merging, so that messages are seen as they came.
struct Tap {
    stream: Box<dyn MessageStream>,
    shared: Arc<Shared>,
    /// The beginning of a message that is not complete, for the file.
    gathered: Vec<u8>,
    spare: Spare,
    /// Bytes of the message that were shown already.
    shown: u64,
    /// Whether something may be there to take that had to wait for room.
    is_held: bool,
}

impl Tap {
    fn saw(&mut self, event: &Event) {
        match event {
            Event::Fragment(fragment) => self.saw_fragment(fragment),
            Event::Batch(batch) => self.saw_batch(batch),
            // It is in the log.
            Event::Gap(_) => {}
            Event::End(ending) => {
                self.release();
                self.shared.show_end(ending);
            }
        }
    }

    fn saw_fragment(&mut self, fragment: &Fragment) {
        let Fragment { kind, fin, payload } = fragment;
        let shown = self.shown;
        self.shared
            .show(|dump, out| dump.piece(out, *kind, payload, shown, *fin));
        self.shown = if *fin {
            0
        } else {
            shown + payload.len() as u64
        };
        if let Some(recorder) = &self.shared.tee {
            let len = self.gathered.len() + payload.len();
            let may_wait = len <= GATHERED && (len <= FREE || self.spare.covers(len));
            if *fin || !may_wait {
                self.spare.clear();
                let begun = std::mem::take(&mut self.gathered);
                recorder.push(|out| {
                    out.extend_from_slice(&begun);
                    out.extend_from_slice(payload);
                    if *fin {
                        out.extend_from_slice(tail(*kind));
                    }
                });
            } else {
                self.gathered.extend_from_slice(payload);
            }
        }
    }

    fn saw_batch(&mut self, batch: &Batch) {
        self.shared.show(|dump, out| {
            for message in batch.messages() {
                dump.piece(out, batch.kind, message, 0, true);
            }
        });
        if let Some(recorder) = &self.shared.tee {
            recorder.push(|out| {
                for message in batch.messages() {
                    out.extend_from_slice(message);
                    out.extend_from_slice(tail(batch.kind));
                }
            });
        }
    }

    /// Records the beginning of a message that will have no end.
    fn release(&mut self) {
        let begun = std::mem::take(&mut self.gathered);
        if let Some(recorder) = self.shared.tee.as_ref().filter(|_| !begun.is_empty()) {
            recorder.push(|out| out.extend_from_slice(&begun));
        }
    }
}

/// What stands behind a message in a file, as on stdout.
fn tail(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Text => b"\n",
        Kind::Binary => b"",
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.release();
    }
}

impl MessageStream for Tap {
    fn take(&mut self) -> Option<Event> {
        if !self.shared.has_room() {
            self.is_held = true;
            return None;
        }
        let event = self.stream.take()?;
        self.saw(&event);
        Some(event)
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_held {
            ready!(self.shared.poll_room(cx));
            // To be taken before more is read.
            self.is_held = false;
            return Poll::Ready(());
        }
        self.stream.poll_more(cx)
    }

    fn spent(&mut self) -> Spent {
        self.stream.spent()
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.stream.poll_cut(cx)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.stream.poll_gone(cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.stream.poll_ready(cx)
    }

    fn start_send(&mut self, event: Event) -> Result<(), Ending> {
        self.stream.start_send(event)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.stream.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        self.stream.poll_close(cx, why)
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.stream.poll_reset(cx)
    }

    fn notify(&mut self, notice: Notice) {
        // Messages are seen as they came.
        if !matches!(notice, Notice::MergeMessages) {
            self.stream.notify(notice);
        }
    }

    fn unsent(&self) -> usize {
        self.stream.unsent()
    }

    fn is_closed(&self) -> bool {
        self.stream.is_closed()
    }

    fn tally(&self) -> Tally {
        self.stream.tally()
    }
}

#[cfg(test)]
mod tests;
