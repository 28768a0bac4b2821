//! Messages that are given on the command line: sent on connect, each of them whole, in order.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::address::Address;
use crate::ending::{Ending, errno_text};
use crate::message::{Fragment, Kind};
use crate::peer::{self, Event, MessageStream, Notice, Opened, Spent, StreamFacts, Tally};
use crate::word::Word;

/// Options of standard input and output.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Messages")]
pub struct Options {
    /// Send this message on connect, and do not read stdin; @FILE sends a file
    ///
    /// Given more than once the messages are sent in order; each is one whole message, newlines and all: of text, with -b a
    /// binary one. @FILE sends all of FILE, @- all of stdin; @@ is an @ that begins the text. Then input is at its end.
    #[arg(long, value_name = "TEXT|@FILE")]
    pub send: Vec<OsString>,
}

/// The messages, to be said on each connection anew.
#[derive(Clone, Debug)]
pub struct Messages(Vec<Fragment>);

impl Messages {
    /// Reads what was asked for, files and stdin to their ends; `None` where nothing was.
    ///
    /// # Errors
    /// A file that can not be read, and one that was to be text and is none.
    pub fn read(options: &Options, kind: Kind) -> Result<Option<Messages>> {
        let message = |text: &OsString| Ok(Fragment::whole(kind, content(text, kind)?));
        let messages: Result<Vec<_>> = options.send.iter().map(message).collect();
        Ok(Some(Messages(messages?)).filter(|messages| !messages.0.is_empty()))
    }

    /// A stream that says these first and then what `stream` says.
    pub fn before(&self, inner: peer::Messages) -> peer::Messages {
        let sending = Sending {
            messages: self.0.clone().into(),
            stream: inner.stream,
        };
        Opened {
            stream: Box::new(sending),
            facts: StreamFacts {
                greeting: self.0.clone(),
                ..inner.facts
            },
        }
    }
}

/// The bytes that one value of `--send` means.
fn content(text: &OsStr, kind: Kind) -> Result<Vec<u8>> {
    let path = text.without_prefix("@");
    let path = match path.filter(|path| path.without_prefix("@").is_none()) {
        Some(path) => path,
        None => {
            let said = path.unwrap_or(text);
            if kind == Kind::Text && said.to_str().is_none() {
                bail!("--send: the text is not UTF-8; with -b it is sent as it is");
            }
            return Ok(said.as_bytes().to_vec());
        }
    };
    let name = Address::shown(path);
    let read = if path == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => bail!("reading {name} for --send: {}", errno_text(&error)),
    };
    if kind == Kind::Text {
        let checked = std::str::from_utf8(&bytes).map_err(|error| error.valid_up_to());
        if let Err(offset) = checked {
            let what = Ending::NotText {
                offset: offset as u64,
            };
            return Err(anyhow::anyhow!("{what}")).context(format!("{name} for --send"));
        }
    }
    Ok(bytes)
}

struct Sending {
    messages: VecDeque<Fragment>,
    stream: Box<dyn MessageStream>,
}

impl MessageStream for Sending {
    fn take(&mut self) -> Option<Event> {
        match self.messages.pop_front() {
            Some(message) => Some(Event::Fragment(message)),
            None => self.stream.take(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, kind: Kind, expected: Result<&[u8], &str>) {
        let got = content(text.as_ref(), kind).map_err(|error| format!("{error:#}"));
        let got = got.as_deref().map_err(String::as_str);
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn text_is_itself_and_an_at_sign_names_a_file() {
        check("", Kind::Text, Ok(b""));
        check("two\nlines\n", Kind::Text, Ok(b"two\nlines\n"));
        check("a@b", Kind::Binary, Ok(b"a@b"));
        check("@@b", Kind::Text, Ok(b"@b"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let at = format!("@{}", path.display());
        let missing = format!(
            "reading {} for --send: no such file or directory",
            path.display()
        );
        check(&at, Kind::Text, Err(&missing));
        std::fs::write(&path, b"ab\n\xff").unwrap();
        check(&at, Kind::Binary, Ok(b"ab\n\xff"));
        let wrong = format!(
            "{} for --send: not UTF-8 at byte 3; -b sends bytes as they are",
            path.display()
        );
        check(&at, Kind::Text, Err(&wrong));
    }
}
