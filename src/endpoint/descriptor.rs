//! Descriptors as byte streams: pipes and terminals by events, files by plain calls, whatever is neither on a thread.

use std::fs::File;
use std::future::{Future, pending};
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::unix::pipe;

use crate::buffer::LARGE;

/// Bytes that one read of a file takes: its room must be zeroed before.
pub(super) const FILE_READ: usize = 64 * 1024;

/// A descriptor to be read, whatever it is.
pub(super) struct Input {
    source: Source,
    /// One that hung up has ended.
    is_terminal: bool,
}

enum Source {
    /// A pipe or terminal with a description of its own, which is non-blocking.
    Pipe(pipe::Receiver),
    /// A file or memory device, which never makes wait.
    File(OwnedFd),
    /// Whatever can not be opened anew: read on a thread.
    Thread(tokio::fs::File),
}

/// A descriptor to be written, whatever it is.
pub(super) enum Output {
    /// A pipe or terminal with a description of its own, which is non-blocking.
    Pipe(pipe::Sender),
    /// A file or memory device, which never makes wait.
    File(OwnedFd),
    /// Whatever can not be opened anew: written on a thread.
    Thread(tokio::fs::File),
}

/// Bytes that are read of a connection before its runtime has looked at it.
const FIRST_READ: usize = 16 * 1024;

/// Reads what has come on a socket; `None` where nothing has. A runtime notices what came before the socket was its own only
/// when it looks at events next.
pub(super) fn read_at_once(socket: impl AsFd, buf: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
    let len = buf.remaining().min(FIRST_READ);
    let room = buf.initialize_unfilled_to(len);
    match rustix::net::recv(socket, room, RecvFlags::empty()) {
        Ok((count, _)) => {
            buf.advance(count);
            Some(Ok(()))
        }
        // What failed does so again.
        Err(_) => None,
    }
}

/// Writes what a socket takes now; `None` where that is nothing. As with [`read_at_once`], its runtime does not know yet that it
/// takes anything.
pub(super) fn write_at_once(socket: impl AsFd, bufs: &[io::IoSlice<'_>]) -> Option<usize> {
    // What failed does so again.
    rustix::io::writev(socket, bufs).ok()
}

impl Input {
    /// Takes a descriptor that others may hold too: `O_NONBLOCK` is not set for them.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn inherited(fd: BorrowedFd<'_>) -> io::Result<Input> {
        let source = if is_file(fd)? {
            Source::File(fd.try_clone_to_owned()?)
        } else {
            let own = reopen(fd, OFlags::RDONLY).or_else(|_| duplicate(fd));
            widen(fd);
            match own.and_then(pipe::Receiver::from_owned_fd_unchecked) {
                Ok(pipe) => Source::Pipe(pipe),
                Err(_) => Source::Thread(File::from(fd.try_clone_to_owned()?).into()),
            }
        };
        let is_terminal = fd.is_terminal();
        Ok(Input {
            source,
            is_terminal,
        })
    }

    /// Takes a descriptor that was opened non-blocking and is held by nobody else.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn own(fd: OwnedFd) -> io::Result<Input> {
        let is_terminal = fd.is_terminal();
        let source = if is_file(fd.as_fd())? {
            Source::File(fd)
        } else {
            widen(fd.as_fd());
            Source::Pipe(pipe::Receiver::from_owned_fd_unchecked(fd)?)
        };
        Ok(Input {
            source,
            is_terminal,
        })
    }
}

impl Output {
    /// Takes a descriptor that others may hold too: `O_NONBLOCK` is not set for them.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn inherited(fd: BorrowedFd<'_>) -> io::Result<Output> {
        if is_file(fd)? {
            return Ok(Output::File(fd.try_clone_to_owned()?));
        }
        let own = reopen(fd, OFlags::WRONLY).or_else(|_| duplicate(fd));
        widen(fd);
        match own.and_then(pipe::Sender::from_owned_fd_unchecked) {
            Ok(pipe) => Ok(Output::Pipe(pipe)),
            Err(_) => Ok(Output::Thread(File::from(fd.try_clone_to_owned()?).into())),
        }
    }

    /// Takes a descriptor that was opened non-blocking and is held by nobody else.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn own(fd: OwnedFd) -> io::Result<Output> {
        if is_file(fd.as_fd())? {
            return Ok(Output::File(fd));
        }
        widen(fd.as_fd());
        Ok(Output::Pipe(pipe::Sender::from_owned_fd_unchecked(fd)?))
    }
}

/// The reader of a pipe or socket that is written: it may go while nothing is.
pub(super) struct ReaderWatch(Pin<Box<dyn Future<Output = ()> + Send>>);

impl ReaderWatch {
    /// Watches the reader of an output; `None` where there is none that could go: a file, a terminal.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn of(output: &Output) -> io::Result<Option<ReaderWatch>> {
        let fd = match output {
            Output::Pipe(pipe) => pipe.as_fd(),
            Output::Thread(file) => file.as_fd(),
            Output::File(_) => return Ok(None),
        };
        if fd.is_terminal() {
            return Ok(None);
        }
        // It is never written to, so that it need not be non-blocking: that would be so for all who share the description.
        let pipe = pipe::Sender::from_owned_fd_unchecked(fd.try_clone_to_owned()?)?;
        Ok(Some(ReaderWatch(Box::pin(async move {
            if pipe.ready(Interest::ERROR).await.is_err() {
                // The runtime ends.
                pending::<()>().await;
            }
        }))))
    }

    /// Ready when it has gone; not to be called again after that.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
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

/// The address at the other end of a descriptor, where it is a socket of the internet.
pub(super) fn remote(fd: BorrowedFd<'_>) -> Option<SocketAddr> {
    let addr = rustix::net::getpeername(fd).ok()??;
    let addr = SocketAddr::try_from(addr).ok()?;
    // One of IPv4 is written as such, whatever the socket is.
    Some(SocketAddr::new(addr.ip().to_canonical(), addr.port()))
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

/// Makes a call again that a signal has interrupted.
pub(super) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = match &mut self.source {
            Source::Pipe(pipe) => ready!(Pin::new(pipe).poll_read(cx, buf)),
            Source::Thread(file) => ready!(Pin::new(file).poll_read(cx, buf)),
            Source::File(fd) => {
                let into = buf.initialize_unfilled_to(buf.remaining().min(FILE_READ));
                retry(|| rustix::io::read(&*fd, &mut *into)).map(|count| buf.advance(count))
            }
        };
        Poll::Ready(match result {
            Err(error) if self.is_terminal && Errno::from_io_error(&error) == Some(Errno::IO) => {
                Ok(())
            }
            other => other,
        })
    }
}

impl AsyncWrite for Output {
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
        match &mut *self {
            Output::Pipe(pipe) => Pin::new(pipe).poll_write_vectored(cx, bufs),
            Output::Thread(file) => Pin::new(file).poll_write_vectored(cx, bufs),
            Output::File(fd) => Poll::Ready(retry(|| rustix::io::writev(&*fd, bufs))),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Output::Thread(file) => Pin::new(file).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
