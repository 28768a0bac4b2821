//! `random:`, `zero:` and `clogged:`: endless bytes, and a side that is stuck.

use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use anyhow::Result;
use clap::Args;
use rand::RngExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::descriptor::FILE_READ;
use super::{
    BoxFuture, Dial, Endpoint, Facts, NoOptions, Scheme, Settings, read_framing, read_options,
};
use crate::address::Address;
use crate::caller::Caller;
use crate::ending::Ending;
use crate::framing::{self, Framing};
use crate::peer::{ByteStream, During, Opened, StreamFacts};

/// `random:`
pub const RANDOM: Scheme = Scheme {
    names: &["random"],
    syntax: "random:",
    summary: "Say random bytes without end, and take everything",
    example: "wsbridge ws-l:8080 random:",
    is_raw: false,
    options: &[framing::Options::augment_args],
    build: |address, settings| build_endless(&RANDOM, Says::Random, address, settings),
};

/// `zero:`
pub const ZERO: Scheme = Scheme {
    names: &["zero"],
    syntax: "zero:",
    summary: "Say zero bytes without end, and take everything",
    example: "wsbridge ws-l:8080 zero:",
    is_raw: false,
    options: &[framing::Options::augment_args],
    build: |address, settings| build_endless(&ZERO, Says::Zero, address, settings),
};

/// `clogged:`
pub const CLOGGED: Scheme = Scheme {
    names: &["clogged"],
    syntax: "clogged:",
    summary: "Take nothing and say nothing, as a peer that is stuck",
    example: "wsbridge ws-l:8080 clogged:",
    is_raw: false,
    options: &[],
    build: |address, settings| {
        address.expect_no_place()?;
        read_options::<NoOptions>(&CLOGGED, address, settings)?;
        let (says, framing) = (Says::Nothing, Framing::BYTES);
        Ok(Endpoint::dial(
            DeviceDial { says, framing },
            Facts::default(),
        ))
    },
};

fn build_endless(
    scheme: &Scheme,
    says: Says,
    address: &Address,
    settings: &Settings,
) -> Result<Endpoint> {
    address.expect_no_place()?;
    let framing = read_framing(scheme, address, settings, Framing::BYTES)?;
    Ok(Endpoint::dial(
        DeviceDial { says, framing },
        Facts::default(),
    ))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Random,
    Zero,
    Nothing,
}

struct DeviceDial {
    says: Says,
    framing: Framing,
}

impl Dial for DeviceDial {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        let device = Device {
            says: self.says,
            is_ended: false,
            waiting: None,
        };
        let facts = StreamFacts::of_bytes(self.framing);
        Box::pin(async { Ok(Opened::bytes(Box::new(device), facts)) })
    }
}

struct Device {
    says: Says,
    is_ended: bool,
    waiting: Option<Waker>,
}

impl ByteStream for Device {
    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Ready(Ending::Eof)
    }

    fn failed(&self, _during: During, error: &io::Error) -> Ending {
        Ending::of_error(error)
    }

    fn poll_end(&mut self, _cx: &mut Context<'_>, _why: &Ending) -> Poll<io::Result<()>> {
        self.is_ended = true;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        Poll::Ready(Ok(()))
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

impl AsyncRead for Device {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_ended {
            return Poll::Ready(Ok(()));
        }
        let len = buf.remaining().min(FILE_READ);
        match self.says {
            Says::Random => rand::rng().fill(buf.initialize_unfilled_to(len)),
            Says::Zero => buf.initialize_unfilled_to(len).fill(0),
            Says::Nothing => {
                self.waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        buf.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Device {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.says {
            // Nobody is ever woken: it stays so.
            Says::Nothing => Poll::Pending,
            Says::Random | Says::Zero => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
