//! Messages that are given on the command line: sent on connect, each of them whole, in order.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::address::Address;
use crate::ending::{Ending, errno_text};
use crate::message::{Batch, Fragment, Kind};
use crate::peer::{Event, Gap, Longest, Marks, MessageStream, Pings, Proof, Spent};
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
    pub fn before(&self, stream: Box<dyn MessageStream>) -> Box<dyn MessageStream> {
        Box::new(Sending {
            all: self.0.clone(),
            messages: self.0.clone().into(),
            stream,
        })
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
    all: Vec<Fragment>,
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

    fn can_go(&self) -> bool {
        self.stream.can_go()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.stream.poll_ready(cx)
    }

    fn start_send(&mut self, fragment: Fragment) -> Result<(), Ending> {
        self.stream.start_send(fragment)
    }

    fn start_send_batch(&mut self, batch: Batch) -> Result<(), Ending> {
        self.stream.start_send_batch(batch)
    }

    fn hear_gap(&mut self, gap: Gap) {
        self.stream.hear_gap(gap);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.stream.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        self.stream.poll_close(cx, why)
    }

    fn unsent(&self) -> usize {
        self.stream.unsent()
    }

    fn half_closes(&self) -> bool {
        self.stream.half_closes()
    }

    fn can_half_close(&self) -> bool {
        self.stream.can_half_close()
    }

    fn is_closed(&self) -> bool {
        self.stream.is_closed()
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.stream.poll_reset(cx)
    }

    fn marks(&self) -> Option<Marks> {
        self.stream.marks()
    }

    fn has_piece(&self) -> bool {
        self.stream.has_piece()
    }

    fn proof(&self) -> Option<Arc<Proof>> {
        self.stream.proof()
    }

    fn prove(&mut self, across: Option<Arc<Proof>>) {
        self.stream.prove(across);
    }

    fn is_local(&self) -> bool {
        self.stream.is_local()
    }

    fn has_no_end(&self) -> bool {
        self.stream.has_no_end()
    }

    fn is_feed(&self) -> bool {
        self.stream.is_feed()
    }

    fn greeting(&self) -> Vec<Fragment> {
        self.all.clone()
    }

    fn greet(&mut self, greeting: Vec<Fragment>) {
        self.stream.greet(greeting);
    }

    fn gap(&self) -> Gap {
        self.stream.gap()
    }

    fn ignores_boundaries(&self) -> bool {
        self.stream.ignores_boundaries()
    }

    fn chunk(&self) -> Option<usize> {
        self.stream.chunk()
    }

    fn cut_at(&mut self, most: usize) {
        self.stream.cut_at(most);
    }

    fn longest(&self) -> Option<Longest> {
        self.stream.longest()
    }

    fn works_unheard(&self) -> bool {
        self.stream.works_unheard()
    }

    fn probe(&mut self) -> Option<u64> {
        self.stream.probe()
    }

    fn probed(&self) -> u64 {
        self.stream.probed()
    }

    fn protocol(&self) -> Option<&str> {
        self.stream.protocol()
    }

    fn pings(&self) -> Option<Arc<Pings>> {
        self.stream.pings()
    }

    fn carry_pings(&mut self, pings: Arc<Pings>) {
        self.stream.carry_pings(pings);
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
