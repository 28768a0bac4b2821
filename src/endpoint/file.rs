//! `file:`: a file that is read to its end or followed as it grows, or one that is written.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::descriptor::{FILE_READ, Input, Output, retry};
use super::tcp::DialOptions;
use super::{BoxFuture, Dial, Endpoint, Facts, Scheme, Settings, read_framing, read_options};
use crate::address::Address;
use crate::caller::Caller;
use crate::ending::{Cause, Ending, errno_text};
use crate::framing::{self, Framing};
use crate::peer::{ByteStream, During, Opened, StreamFacts};
use crate::word::Word;

/// `file:`
pub const SCHEME: Scheme = Scheme {
    names: &["file", "readfile", "writefile", "appendfile"],
    syntax: "file:PATH[,write|,append|,follow]",
    summary: "Read a file as lines of text, then end; or write, append to or follow it",
    example: "wsbridge ws-l:8080 file:/var/log/app.log,follow -U",
    is_raw: false,
    options: &[
        Options::augment_args,
        DialOptions::augment_args,
        framing::Options::augment_args,
    ],
    build,
};

/// What is done with a file. Without any of these it is read.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
#[command(next_help_heading = "Files")]
pub struct Options {
    /// Write what comes to the file, which is made or emptied
    ///
    /// Each session begins it anew. Nothing is read from it. What can not be written ends the session: exit status 23.
    #[arg(long, conflicts_with_all = ["append", "follow"])]
    pub write: bool,
    /// Write what comes behind the end of the file, which is made where there is none
    #[arg(long, conflicts_with = "follow")]
    pub append: bool,
    /// Read the file from its beginning and go on as it grows
    ///
    /// One that is cut short is read anew from its beginning, and so is one that another file takes the place of. A file that
    /// is read takes nothing: what is sent to it ends the session, unless -u or -U drops it.
    #[arg(long)]
    pub follow: bool,
}

/// How often it is seen whether a file has grown.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is seen whether a FIFO has a reader.
const READER_LOOK: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Read,
    Follow,
    Write,
    Append,
}

fn build(address: &Address, settings: &Settings) -> Result<Endpoint> {
    if address.place.is_empty() {
        return Err(address.place_error("the path of a file is missing").into());
    }
    if address.place.has_byte(0) {
        return Err(address.place_error("a path has no NUL byte").into());
    }
    let options: Options = read_options(&SCHEME, address, settings)?;
    let word = address.word.to_ascii_lowercase();
    let purpose = if options.follow {
        Use::Follow
    } else if options.append || word == "appendfile" {
        Use::Append
    } else if options.write || word == "writefile" {
        Use::Write
    } else {
        Use::Read
    };
    let framing = read_framing(&SCHEME, address, settings, Framing::LINES)?;
    let dial = FileDial {
        name: Address::shown(&address.text),
        path: PathBuf::from(&address.place),
        purpose,
        options: read_options(&SCHEME, address, settings)?,
        framing,
    };
    let facts = Facts {
        framing: Some(framing),
        can_half_close: framing.can_half_close(),
        ..Facts::default()
    };
    Ok(Endpoint::dial(dial, facts))
}

struct FileDial {
    name: String,
    path: PathBuf,
    purpose: Use,
    options: DialOptions,
    framing: Framing,
}

impl Dial for FileDial {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            let stream = self
                .open()
                .await
                .with_context(|| format!("opening {}", self.name))?;
            let facts = StreamFacts {
                is_whole: matches!(stream.reader, Some(Reader::Input(_))),
                ..StreamFacts::of_bytes(self.framing)
            };
            Ok(Opened::bytes(Box::new(stream), facts))
        })
    }
}

impl FileDial {
    async fn open(&self) -> Result<Stream> {
        let flags = match self.purpose {
            Use::Read | Use::Follow => OFlags::RDONLY,
            Use::Write => OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC,
            Use::Append => OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND,
        };
        let began = Instant::now();
        let refused =
            |error: &io::Error| anyhow::Error::new(Cause::Refused).context(errno_text(error));
        let fd = loop {
            match open(&self.path, flags) {
                // A FIFO without a reader; there is no event for when it has one.
                Err(error)
                    if Errno::from_io_error(&error) == Some(Errno::NXIO) && self.is_fifo() =>
                {
                    if began.elapsed() >= self.options.connect_timeout {
                        let limit = self.options.connect_timeout;
                        return Err(anyhow::Error::new(Cause::Timeout)
                            .context(format!("no reader within {limit:?}")));
                    }
                    sleep(READER_LOOK).await;
                }
                other => break other.map_err(|error| refused(&error))?,
            }
        };
        let stream = match self.purpose {
            Use::Read => Input::own(fd).map(|input| Stream::new(Some(Reader::Input(input)), None)),
            Use::Follow => Followed::new(fd, self.path.clone())
                .map(|followed| Stream::new(Some(Reader::Followed(followed)), None)),
            Use::Write | Use::Append => {
                Output::own(fd).map(|output| Stream::new(None, Some(output)))
            }
        };
        stream.map_err(|error| refused(&error))
    }

    fn is_fifo(&self) -> bool {
        rustix::fs::stat(&self.path)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
    }
}

/// Opens a file that may be a FIFO or a device without waiting for anybody.
fn open(path: &PathBuf, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let mode = Mode::from_raw_mode(0o666);
    let fd = retry(|| rustix::fs::open(path, flags, mode))?;
    let stat = rustix::fs::fstat(&fd)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Err(Errno::ISDIR.into()),
        _ => Ok(fd),
    }
}

/// Something that is read, written or both. What only takes says that it has ended when the other side has.
pub(super) struct Stream {
    reader: Option<Reader>,
    output: Option<Output>,
    /// Whether it can be written at all.
    is_writable: bool,
    is_ended: bool,
    waiting: Option<Waker>,
}

/// Where bytes come from.
pub(super) enum Reader {
    Input(Input),
    Followed(Followed),
}

impl Stream {
    pub(super) fn new(reader: Option<Reader>, output: Option<Output>) -> Stream {
        Stream {
            is_writable: output.is_some(),
            reader,
            output,
            is_ended: false,
            waiting: None,
        }
    }
}

impl ByteStream for Stream {
    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Ready(Ending::Eof)
    }

    fn failed(&self, during: During, error: &io::Error) -> Ending {
        match during {
            During::Read => Ending::ReadFailed(errno_text(error)),
            During::Write if !self.is_writable => {
                let why = "it is open for reading only; -u or -U drops what is sent to it";
                Ending::WriteFailed(why.to_owned())
            }
            During::Write if error.kind() == io::ErrorKind::BrokenPipe => Ending::ReaderGone,
            During::Write => Ending::WriteFailed(errno_text(error)),
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, _why: &Ending) -> Poll<io::Result<()>> {
        let flushed = match &mut self.output {
            Some(output) => ready!(Pin::new(output).poll_flush(cx)),
            None => Ok(()),
        };
        // Whoever reads a FIFO is to see the end of it.
        self.output = None;
        self.is_ended = true;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        Poll::Ready(flushed)
    }

    fn queued(&self) -> usize {
        0
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn is_closed(&self) -> bool {
        false
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let is_ended = self.is_ended;
        match &mut self.reader {
            Some(Reader::Input(input)) => return Pin::new(input).poll_read(cx, buf),
            _ if is_ended => return Poll::Ready(Ok(())),
            Some(Reader::Followed(followed)) => ready!(followed.poll_read(cx, buf))?,
            None => {
                self.waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.output {
            Some(output) => Pin::new(output).poll_write_vectored(cx, bufs),
            None => Poll::Ready(Err(io::ErrorKind::PermissionDenied.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.output {
            Some(output) => Pin::new(output).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// A file that is read as it grows. There is no event for that which holds on all file systems: it is looked at.
pub(super) struct Followed {
    fd: OwnedFd,
    path: PathBuf,
    at: u64,
    timer: Pin<Box<Sleep>>,
}

impl Followed {
    fn new(fd: OwnedFd, path: PathBuf) -> io::Result<Followed> {
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let what = "only a regular file can be followed";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        Ok(Followed {
            fd,
            path,
            at: 0,
            timer: Box::pin(sleep(Duration::ZERO)),
        })
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let into = buf.initialize_unfilled_to(buf.remaining().min(FILE_READ));
            let count = retry(|| rustix::io::pread(&self.fd, &mut *into, self.at))?;
            if count > 0 {
                self.at += count as u64;
                buf.advance(count);
                return Poll::Ready(Ok(()));
            }
            if self.begins_anew()? {
                continue;
            }
            ready!(self.timer.as_mut().poll(cx));
            self.timer.as_mut().reset(Instant::now() + LOOK);
        }
    }

    /// At the end of what there is: whether the file was cut, or another one has taken its place.
    fn begins_anew(&mut self) -> io::Result<bool> {
        let own = rustix::fs::fstat(self.fd.as_fd())?;
        if u64::try_from(own.st_size).unwrap_or(0) < self.at {
            self.at = 0;
            return Ok(true);
        }
        let is_other =
            |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino) != (own.st_dev, own.st_ino);
        // Between the two there may be none for a while.
        if !rustix::fs::stat(&self.path).is_ok_and(is_other) {
            return Ok(false);
        }
        let Ok(fd) = open(&self.path, OFlags::RDONLY) else {
            return Ok(false);
        };
        (self.fd, self.at) = (fd, 0);
        Ok(true)
    }
}
