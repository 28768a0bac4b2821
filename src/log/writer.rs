//! Writes to a file that may be slow, or shared with others who made it non-blocking.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Bytes that are written at once, so that it is seen that some are taken.
const WRITE: usize = 64 * 1024;

/// What a queue is written with.
pub(super) struct Writer<F> {
    to: F,
    show: fn(&str) -> bool,
    is_terminal: bool,
    /// Whether the line of progress stands on the terminal, with the cursor at its beginning.
    is_drawn: bool,
}

impl<F: AsFd> Writer<F> {
    pub(super) fn new(to: F, show: fn(&str) -> bool) -> Writer<F> {
        Writer {
            is_terminal: rustix::termios::isatty(&to),
            to,
            show,
            is_drawn: false,
        }
    }

    /// Writes a piece; the line of progress gives way. `note` is told how many bytes were written each time.
    ///
    /// # Errors
    /// Those of `write(2)`.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        is_line: bool,
        mut note: impl FnMut(usize),
    ) -> io::Result<()> {
        if is_line && self.is_terminal && (self.show)(&String::from_utf8_lossy(bytes)) {
            return Ok(());
        }
        if std::mem::take(&mut self.is_drawn) {
            self.write_all(b"\x1b[K", |_| {})?;
        }
        self.write_all(bytes, &mut note)
    }

    /// Draws the line of progress; the cursor is left at its beginning, so that what is written next stands there.
    pub(super) fn draw(&mut self, line: &str) {
        let text = format!("\r{line}\x1b[K\r");
        // A terminal that is gone shows nothing.
        self.is_drawn = self.write_all(text.as_bytes(), |_| {}).is_ok();
    }

    fn write_all(&self, mut bytes: &[u8], mut note: impl FnMut(usize)) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::io::write(&self.to, &bytes[..bytes.len().min(WRITE)]) {
                Ok(count) => {
                    bytes = &bytes[count..];
                    note(count);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait_for_room()?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn wait_for_room(&self) -> io::Result<()> {
        match poll(&mut [PollFd::new(&self.to, PollFlags::OUT)], None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
