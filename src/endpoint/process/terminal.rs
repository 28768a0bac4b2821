//! A pseudo-terminal for a program, its size as the caller's page says.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::task::{Context, Poll};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tracing::debug;

use crate::ending::Ending;
use crate::endpoint::size::{MAX_MESSAGE, Size};
use crate::message::Kind;
use crate::peer::{Event, MessageStream, Messages, Notice, Opened, Spent, StreamFacts, Tally};

fn resize(terminal: impl AsFd, size: Size) -> io::Result<()> {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}

/// Opens a terminal: our end, which never blocks, and the program's.
///
/// # Errors
/// The system's.
pub(super) fn open(size: Size) -> io::Result<(OwnedFd, OwnedFd)> {
    // No library of terminals opens ours close-on-exec at once: a program that another thread starts meanwhile would have it.
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    resize(&ours, size)?;
    let name = ptsname(&ours, Vec::new())?;
    let theirs = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOCTTY.bits().cast_signed())
        .open(OsStr::from_bytes(name.as_bytes()))?;
    let flags = rustix::fs::fcntl_getfl(&ours)?;
    rustix::fs::fcntl_setfl(&ours, flags | OFlags::NONBLOCK)?;
    Ok((ours, theirs.into()))
}

/// A terminal whose text messages are sizes: `{"cols":80,"rows":24}`.
pub(super) struct Resizable {
    stream: Box<dyn MessageStream>,
    /// Our end once more.
    terminal: OwnedFd,
    /// What has come of a text message.
    message: Vec<u8>,
}

impl Resizable {
    /// Wraps the messages of a terminal, of which this is our end once more.
    pub(super) fn over(inner: Messages, terminal: OwnedFd) -> Messages {
        let resizable = Resizable {
            stream: inner.stream,
            terminal,
            message: Vec::new(),
        };
        Opened {
            stream: Box::new(resizable),
            facts: StreamFacts {
                // Its text messages are sizes, and are not to become part of others.
                ignores_boundaries: false,
                ..inner.facts
            },
        }
    }

    fn resize(&mut self, piece: &[u8], fin: bool) {
        let room = MAX_MESSAGE - self.message.len().min(MAX_MESSAGE);
        self.message
            .extend_from_slice(&piece[..piece.len().min(room + 1)]);
        if !fin {
            return;
        }
        match Size::read(&self.message) {
            Ok(size) => {
                if let Err(error) = resize(&self.terminal, size) {
                    debug!("resizing a terminal: {error}");
                }
            }
            // Data is binary here: nothing of it is lost.
            Err(error) => debug!("no size of a terminal: {error}"),
        }
        self.message.clear();
    }
}

impl MessageStream for Resizable {
    fn take(&mut self) -> Option<Event> {
        self.stream.take()
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
        event.each(|fragment| match fragment.kind {
            Kind::Binary => self.stream.start_send(fragment.into()),
            Kind::Text => {
                self.resize(&fragment.payload, fragment.fin);
                Ok(())
            }
        })
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
        self.stream.notify(notice);
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
