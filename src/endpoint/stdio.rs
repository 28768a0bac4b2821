//! `-`: the process's own standard input and output.

use std::io::{self, IsTerminal};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, Result};
use clap::Args;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

use super::{BoxFuture, Dial, Endpoint, Scheme, read_options};
use crate::buffer::LARGE;
use crate::caller::Caller;
use crate::ending::{Cause, Ending, errno_text};
use crate::framing::{self, Framing};
use crate::peer::{ByteStream, Peer};

/// `-`
pub const SCHEME: Scheme = Scheme {
    names: &["-", "stdio", "inetd"],
    syntax: "- | stdio:",
    summary: "Use standard input and output, as lines of text",
    example: "wsbridge - ws://localhost:8080",
    is_raw: false,
    options: &[framing::Options::augment_args],
    build: |address, settings| {
        address.expect_no_place()?;
        let options = read_options::<framing::Options>(&SCHEME, address, settings)?;
        Ok(Endpoint::Dial(Arc::new(Stdio {
            framing: options.over(Framing::LINES),
            state: Arc::default(),
        })))
    },
};

/// Bytes that one read of a file takes: its room must be zeroed before.
const FILE_READ: usize = 64 * 1024;

struct Stdio {
    framing: Framing,
    state: Arc<State>,
}

/// There is one standard input: one session has it at a time, and its end is for ever.
#[derive(Default)]
struct State {
    is_in_use: AtomicBool,
    has_ended: AtomicBool,
}

impl Dial for Stdio {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Peer>> {
        Box::pin(async {
            if self.state.is_in_use.swap(true, Ordering::AcqRel) {
                return Err(
                    anyhow::Error::new(Cause::Busy).context("stdio is in use by another session")
                );
            }
            let mut streams = Streams {
                state: self.state.clone(),
                input: None,
                output: None,
            };
            streams.input = Some(Input::open().context("opening stdin")?);
            streams.output = Some(Output::open().context("opening stdout")?);
            Ok(Peer::Bytes(Box::new(streams), self.framing))
        })
    }

    fn is_spent(&self) -> bool {
        self.state.has_ended.load(Ordering::Acquire)
    }
}

struct Streams {
    state: Arc<State>,
    input: Option<Input>,
    output: Option<Output>,
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.state.is_in_use.store(false, Ordering::Release);
    }
}

impl ByteStream for Streams {
    fn read_failed(&self, error: &io::Error) -> Ending {
        Ending::ReadFailed(errno_text(error))
    }

    fn write_failed(&self, error: &io::Error) -> Ending {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Ending::ReaderGone,
            _ => Ending::WriteFailed(errno_text(error)),
        }
    }

    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        self.state.has_ended.store(true, Ordering::Release);
        Poll::Ready(Ending::Eof)
    }

    fn poll_end(&mut self, _cx: &mut Context<'_>, _why: &Ending) -> Poll<io::Result<()>> {
        // Our exit closes it; until then others may hold it too.
        Poll::Ready(Ok(()))
    }

    fn is_local(&self) -> bool {
        true
    }
}

/// Standard input, whatever it is.
enum Input {
    /// A pipe or terminal, opened anew: only this description is non-blocking, not the inherited one.
    Pipe(pipe::Receiver),
    /// A file or memory device, which never makes wait.
    File(OwnedFd),
    /// Whatever can not be opened anew: read on a thread.
    Thread(tokio::io::Stdin),
}

/// Standard output, whatever it is.
enum Output {
    Pipe(pipe::Sender),
    File(OwnedFd),
    Thread(tokio::io::Stdout),
}

impl Input {
    fn open() -> io::Result<Input> {
        let fd = rustix::stdio::stdin();
        if is_file(fd)? {
            return Ok(Input::File(fd.try_clone_to_owned()?));
        }
        let own = reopen(fd, OFlags::RDONLY).or_else(|_| duplicate(fd));
        widen(fd);
        let pipe = own.and_then(pipe::Receiver::from_owned_fd_unchecked);
        Ok(pipe.map_or_else(|_| Input::Thread(tokio::io::stdin()), Input::Pipe))
    }
}

impl Output {
    fn open() -> io::Result<Output> {
        let fd = rustix::stdio::stdout();
        if is_file(fd)? {
            return Ok(Output::File(fd.try_clone_to_owned()?));
        }
        let own = reopen(fd, OFlags::WRONLY).or_else(|_| duplicate(fd));
        widen(fd);
        let pipe = own.and_then(pipe::Sender::from_owned_fd_unchecked);
        Ok(pipe.map_or_else(|_| Output::Thread(tokio::io::stdout()), Output::Pipe))
    }
}

/// Whether it is a file or one of `/dev/null`, `/dev/zero`, `/dev/full` ... (character devices of major number 1).
fn is_file(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::BlockDevice | FileType::Directory => true,
        FileType::CharacterDevice => rustix::fs::major(stat.st_rdev) == 1,
        _ => false,
    })
}

/// Opens an inherited descriptor anew: `O_NONBLOCK` on the inherited one would be set for all who share it.
fn reopen(fd: BorrowedFd<'_>, flags: OFlags) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(rustix::fs::open(
        path,
        flags | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY,
        Mode::empty(),
    )?)
}

/// Lets a pipe hold as much as one read or write moves: with the usual 64 KiB both of its ends wait for each other. Whatever
/// is no pipe, or may not grow, stays as it is.
fn widen(fd: BorrowedFd<'_>) {
    #[cfg(target_os = "linux")]
    if rustix::pipe::fcntl_getpipe_size(fd).is_ok_and(|size| size < LARGE) {
        let _ = rustix::pipe::fcntl_setpipe_size(fd, LARGE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = fd;
}

/// Takes an inherited descriptor that can not be opened anew (a socket), where somebody has made it non-blocking already.
fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    if !rustix::fs::fcntl_getfl(fd)?.contains(OFlags::NONBLOCK) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    fd.try_clone_to_owned()
}

fn is_hang_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error()) && io::stdin().is_terminal()
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

impl AsyncRead for Streams {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = match &mut self.input {
            Some(Input::Pipe(pipe)) => ready!(Pin::new(pipe).poll_read(cx, buf)),
            Some(Input::Thread(stdin)) => ready!(Pin::new(stdin).poll_read(cx, buf)),
            Some(Input::File(fd)) => {
                let into = buf.initialize_unfilled_to(buf.remaining().min(FILE_READ));
                retry(|| rustix::io::read(&*fd, &mut *into)).map(|count| buf.advance(count))
            }
            None => Ok(()),
        };
        Poll::Ready(match result {
            // A terminal that hung up has ended.
            Err(error) if is_hang_up(&error) => Ok(()),
            other => other,
        })
    }
}

impl AsyncWrite for Streams {
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
            Some(Output::Pipe(pipe)) => Pin::new(pipe).poll_write_vectored(cx, bufs),
            Some(Output::Thread(stdout)) => Pin::new(stdout).poll_write_vectored(cx, bufs),
            Some(Output::File(fd)) => Poll::Ready(retry(|| rustix::io::writev(&*fd, bufs))),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.output {
            Some(Output::Thread(stdout)) => Pin::new(stdout).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
