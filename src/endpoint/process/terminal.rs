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
use serde::Deserialize;
use tracing::debug;

use crate::caller::Caller;
use crate::ending::Ending;
use crate::framing::Framed;
use crate::message::{Fragment, Kind};
use crate::peer::{Event, MessageStream};

/// Bytes of a message that may resize a terminal.
const MAX_RESIZE: usize = 256;

/// A terminal's size in characters, as `?cols=80&rows=24` and resize messages write it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Size {
    cols: u16,
    rows: u16,
}

impl Size {
    /// What programs take for granted where nobody says anything.
    const USUAL: Size = Size { cols: 80, rows: 24 };

    fn set(self, terminal: impl AsFd) -> io::Result<()> {
        let size = Winsize {
            ws_row: self.rows,
            ws_col: self.cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(terminal, size)?)
    }
}

/// What a caller's page asks for in its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    size: Size,
    /// Whether its text messages are sizes, and its binary ones input: `&resize=1`.
    pub(super) resizes: bool,
}

impl Wishes {
    pub(super) fn of(caller: &Caller) -> Wishes {
        let mut wishes = Wishes {
            size: Size::USUAL,
            resizes: false,
        };
        let query = caller
            .uri
            .as_ref()
            .and_then(|uri| uri.query())
            .unwrap_or_default();
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let number = value.parse().ok().filter(|number| *number > 0);
            match (key, number) {
                ("cols", Some(cols)) => wishes.size.cols = cols,
                ("rows", Some(rows)) => wishes.size.rows = rows,
                ("resize", Some(_)) => wishes.resizes = true,
                _ => {}
            }
        }
        wishes
    }
}

/// Opens a terminal: our end, which never blocks, and the program's.
///
/// # Errors
/// The system's.
pub(super) fn open(wishes: Wishes) -> io::Result<(OwnedFd, OwnedFd)> {
    // No library of terminals opens ours close-on-exec at once: a program that another thread starts meanwhile would have it.
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    wishes.size.set(&ours)?;
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
    framed: Framed,
    /// Our end once more.
    terminal: OwnedFd,
    /// What has come of a text message.
    message: Vec<u8>,
}

impl Resizable {
    pub(super) fn new(framed: Framed, terminal: OwnedFd) -> Resizable {
        Resizable {
            framed,
            terminal,
            message: Vec::new(),
        }
    }

    fn resize(&mut self, piece: &[u8], fin: bool) {
        let room = MAX_RESIZE - self.message.len().min(MAX_RESIZE);
        self.message
            .extend_from_slice(&piece[..piece.len().min(room + 1)]);
        if !fin {
            return;
        }
        match serde_json::from_slice::<Size>(&self.message) {
            Ok(size) => {
                if let Err(error) = size.set(&self.terminal) {
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
        self.framed.take()
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.framed.poll_more(cx)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.framed.poll_gone(cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.framed.poll_ready(cx)
    }

    fn start_send(&mut self, fragment: Fragment) -> Result<(), Ending> {
        match fragment.kind {
            Kind::Binary => self.framed.start_send(fragment),
            Kind::Text => {
                self.resize(&fragment.payload, fragment.fin);
                Ok(())
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.framed.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        self.framed.poll_close(cx, why)
    }

    fn unsent(&self) -> usize {
        self.framed.unsent()
    }

    fn half_closes(&self) -> bool {
        self.framed.half_closes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, cols: u16, rows: u16, resizes: bool) {
        let mut caller = Caller::new("test");
        caller.uri = Some(format!("/{query}").parse().unwrap());
        let expected = Wishes {
            size: Size { cols, rows },
            resizes,
        };
        assert_eq!(Wishes::of(&caller), expected, "{query}");
    }

    #[test]
    fn a_page_says_its_size_in_the_query() {
        check("", 80, 24, false);
        check("?cols=120&rows=40", 120, 40, false);
        check("?rows=40&resize=1&x=y", 80, 40, true);
        check("?cols=0&rows=70000&resize=no", 80, 24, false);
        check("?cols=-1&rows=&resize", 80, 24, false);
    }
}
