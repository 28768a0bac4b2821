//! A program's stderr in our log: drained always, logged in bounds.

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::{Duration, Instant};
use tracing::info;

use crate::shown::is_harmful;

/// Bytes of a line that are logged.
const LINE: usize = 8 * 1024;
/// Lines of a program that are logged in a second.
const LINES: u32 = 100;

/// Logs what comes until the last who holds the pipe has gone.
pub(super) async fn log(mut pipe: pipe::Receiver, name: String) {
    let mut log = Log::new(name);
    let mut buf = vec![0; LINE];
    while let Ok(count @ 1..) = pipe.read(&mut buf).await {
        log.take(&buf[..count]);
    }
    log.finish();
}

struct Log {
    name: String,
    /// What has come of the current line, at most [`LINE`] bytes of it.
    line: Vec<u8>,
    is_cut: bool,
    second: Instant,
    /// Lines in this second.
    lines: u32,
}

impl Log {
    fn new(name: String) -> Log {
        Log {
            name,
            line: Vec::new(),
            is_cut: false,
            second: Instant::now(),
            lines: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let room = LINE - self.line.len();
            self.is_cut |= text.len() > room;
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        if self.second.elapsed() >= Duration::from_secs(1) {
            self.tell_dropped();
            (self.second, self.lines) = (Instant::now(), 0);
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines <= LINES {
            let cut = if self.is_cut { " ..." } else { "" };
            info!("{}: {}{cut}", self.name, shown(&self.line));
        }
        self.line.clear();
        self.is_cut = false;
    }

    fn tell_dropped(&self) {
        if self.lines > LINES {
            info!("{}: {} more lines", self.name, self.lines - LINES);
        }
    }

    fn finish(mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.tell_dropped();
    }
}

/// A line as it does no harm to a terminal.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\t' => shown.push(' '),
            char if is_harmful(char) => shown.extend(char.escape_default()),
            char => shown.push(char),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_kept_up_to_its_limit_however_long_it_is() {
        let mut log = Log::new("x".to_owned());
        for _ in 0..1000 {
            log.take(&[b'y'; 4096]);
            assert!(log.line.len() <= LINE && log.line.capacity() <= 2 * LINE);
        }
        assert!(log.is_cut);
        log.take(b"\nshort");
        assert_eq!(
            (&log.line[..], log.is_cut, log.lines),
            (&b"short"[..], false, 1)
        );
    }

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(shown(b"a\tb\x1b[31mc\r\xFF"), "a b\\u{1b}[31mc\\r\u{fffd}");
    }
}
