//! `fd:N`: a descriptor that the program was started with.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, Result};
use clap::Args;
use rustix::fs::{FileType, OFlags};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::descriptor::{self, Input, Output, ReaderWatch};
use super::file::{Reader, Stream};
use super::unix::is_hung_up;
use super::{BoxFuture, Dial, Endpoint, Facts, Scheme, read_framing};
use crate::caller::Caller;
use crate::ending::{Cause, Ending, errno_text};
use crate::framing::{self, Framing};
use crate::peer::{ByteStream, During, Opened, StreamFacts};
use crate::word::Word;

/// `fd:`
pub const SCHEME: Scheme = Scheme {
    names: &["fd", "open-fd"],
    syntax: "fd:N",
    summary: "Use a descriptor that wsbridge was started with, as lines of text, both ways as far as it is open",
    example: "wsbridge fd:3 ws://localhost:8080",
    is_raw: false,
    options: &[framing::Options::augment_args],
    build: |address, settings| {
        let place = address.place.shown();
        let number = match place.parse() {
            Ok(number) if place.bytes().all(|byte| byte.is_ascii_digit()) => number,
            _ => {
                let what = "the number of a descriptor is wanted: fd:3";
                return Err(address.place_error(what).into());
            }
        };
        let framing = read_framing(&SCHEME, address, settings, Framing::LINES)?;
        let state = Arc::<State>::default();
        let facts = Facts {
            framing: Some(framing),
            remote: inherited(number)
                .ok()
                .and_then(|fd| descriptor::remote(fd.as_fd())),
            spent: state.has_ended.clone(),
            ..Facts::default()
        };
        let dial = FdDial {
            number,
            framing,
            state,
        };
        Ok(Endpoint::dial(dial, facts))
    },
};

struct FdDial {
    number: RawFd,
    framing: Framing,
    state: Arc<State>,
}

impl FdDial {
    fn refused(&self, error: &io::Error) -> anyhow::Error {
        let number = self.number;
        let what = match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::BADF.raw_os_error() => {
                format!("it is not open; a shell opens it by {number}<FILE or {number}>FILE")
            }
            _ => errno_text(error),
        };
        anyhow::Error::new(Cause::Refused).context(what)
    }
}

/// There is one such descriptor: one session has it at a time, and its end is for ever.
#[derive(Default)]
struct State {
    is_in_use: AtomicBool,
    has_ended: Arc<AtomicBool>,
}

impl Dial for FdDial {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            if self.state.is_in_use.swap(true, Ordering::AcqRel) {
                let what = format!("fd:{} is in use by another session", self.number);
                return Err(anyhow::Error::new(Cause::Busy).context(what));
            }
            // From here on it is given back when this is dropped.
            let claim = Claim(self.state.clone());
            let stream = open(self.number, claim)
                .map_err(|error| self.refused(&error))
                .with_context(|| format!("opening fd:{}", self.number))?;
            let facts = StreamFacts {
                is_local: true,
                is_whole: stream.socket.is_none(),
                ..StreamFacts::of_bytes(self.framing)
            };
            Ok(Opened::bytes(Box::new(stream), facts))
        })
    }
}

struct Claim(Arc<State>);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.is_in_use.store(false, Ordering::Release);
    }
}

fn open(number: RawFd, claim: Claim) -> io::Result<Inherited> {
    let fd = inherited(number)?;
    let access = rustix::fs::fcntl_getfl(&fd)? & OFlags::RWMODE;
    let input = match access {
        OFlags::WRONLY => None,
        _ => Some(Reader::Input(Input::inherited(fd.as_fd())?)),
    };
    let output = match access {
        OFlags::RDONLY => None,
        _ => Some(Output::inherited(fd.as_fd())?),
    };
    let stat = rustix::fs::fstat(&fd)?;
    let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
    let piped = output.as_ref().filter(|_| !is_socket);
    Ok(Inherited {
        // Where it cannot be watched the next write shows it.
        reader: piped.and_then(|output| ReaderWatch::of(output).ok().flatten()),
        stream: Stream::new(input, output),
        socket: is_socket.then_some(fd),
        claim,
    })
}

/// Duplicates a descriptor that the program was started with. Those of its own are closed on exec: they are none.
fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    let bad = || io::Error::from(rustix::io::Errno::BADF);
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).map_err(|_| bad())?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    match flags {
        Some(flags) if flags & OFlags::CLOEXEC.bits() == 0 => duplicate(number, flags),
        _ => Err(bad()),
    }
}

/// Duplicates by way of the process itself: a bare number can not be borrowed without `unsafe`.
#[cfg(target_os = "linux")]
fn duplicate(number: RawFd, flags: u32) -> io::Result<OwnedFd> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let own = pidfd_open(getpid(), PidfdFlags::empty())
        .and_then(|pidfd| pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty()));
    // Before Linux 5.6, or where a sandbox forbids it.
    own.or_else(|_| reopen(number, flags))
        .map_err(io::Error::from)
}

/// Opens it anew: another descriptor of the same pipe, terminal or file, though of a file from its beginning.
#[cfg(not(target_os = "linux"))]
fn duplicate(number: RawFd, flags: u32) -> io::Result<OwnedFd> {
    Ok(reopen(number, flags)?)
}

fn reopen(number: RawFd, flags: u32) -> rustix::io::Result<OwnedFd> {
    let access = OFlags::from_bits_truncate(flags) & (OFlags::RWMODE | OFlags::APPEND);
    let path = format!("/dev/fd/{number}");
    let flags = access | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::open(path, flags, rustix::fs::Mode::empty())
}

/// The descriptor, with the claim that it is used by this session alone.
struct Inherited {
    stream: Stream,
    /// Itself, where it is a socket: only its half-close tells the peer of our end.
    socket: Option<OwnedFd>,
    /// Who reads it, where it is a pipe that is written, until that has gone.
    reader: Option<ReaderWatch>,
    claim: Claim,
}

impl ByteStream for Inherited {
    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        self.claim.0.has_ended.store(true, Ordering::Release);
        Poll::Ready(Ending::Eof)
    }

    fn failed(&self, during: During, error: &io::Error) -> Ending {
        match (&self.socket, during) {
            (Some(_), During::Read) => Ending::of_error(error),
            _ => self.stream.failed(during, error),
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<io::Result<()>> {
        let ended = ready!(self.stream.poll_end(cx, why));
        if let Some(socket) = &self.socket {
            // Where its peer has gone there is nobody to tell.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
        }
        Poll::Ready(ended)
    }

    fn queued(&self) -> usize {
        0
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if let Some(reader) = &mut self.reader {
            ready!(reader.poll_gone(cx));
            self.reader = None;
            return Poll::Ready(Ending::ReaderGone);
        }
        Poll::Pending
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn is_closed(&self) -> bool {
        self.socket.as_ref().is_some_and(is_hung_up)
    }
}

impl AsyncRead for Inherited {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Inherited {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
