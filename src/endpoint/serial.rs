//! `serial:`: a serial port.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serial2::{CharSize, FlowControl, Parity, SerialPort, Settings as Line, StopBits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::descriptor::{Input, Output};
use super::{BoxFuture, Dial, Endpoint, Facts, Scheme, Settings, read_framing, read_options};
use crate::address::{Address, number};
use crate::caller::Caller;
use crate::ending::{Cause, Ending, errno_text};
use crate::framing::{self, Framing};
use crate::peer::{ByteStream, During, Opened, StreamFacts};
use crate::sendqueue;

/// `serial:`
pub const SCHEME: Scheme = Scheme {
    names: &["serial"],
    syntax: "serial:PATH[,baud=N]",
    summary: "Use a serial port, for one session at a time",
    example: "wsbridge ws-l:8080 serial:/dev/ttyUSB0,baud=115200",
    is_raw: false,
    options: &[Options::augment_args, framing::Options::augment_args],
    build,
};

/// How a serial line is set.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
#[command(next_help_heading = "Serial ports")]
pub struct Options {
    /// Bits per second of a serial line
    #[arg(long, value_name = "N", default_value = "115200", value_parser = number(1..=u32::MAX))]
    pub baud: u32,
    /// Bits of a character on a serial line
    #[arg(long, value_name = "N", default_value = "8", value_parser = number::<u8>(5..=8))]
    pub data_bits: u8,
    /// The parity bit of a character on a serial line
    #[arg(long, value_enum, value_name = "WHICH", default_value = "none")]
    pub parity: ParityBit,
    /// Stop bits of a character on a serial line
    #[arg(long, value_name = "N", default_value = "1", value_parser = number::<u8>(1..=2))]
    pub stop_bits: u8,
    /// How a serial line says that it can take no more
    #[arg(long, value_enum, value_name = "HOW", default_value = "none")]
    pub flow_control: Flow,
}

/// A parity bit.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum ParityBit {
    /// There is none.
    None,
    /// It makes the ones even.
    Even,
    /// It makes the ones odd.
    Odd,
}

/// Flow control.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum Flow {
    /// There is none.
    None,
    /// By the bytes XON and XOFF, which then are no data.
    Xonxoff,
    /// By the lines RTS and CTS.
    Rtscts,
}

impl Options {
    /// Sets a line: no byte means anything to it but as said here.
    fn apply(self, mut line: Line) -> io::Result<Line> {
        line.set_raw();
        line.set_baud_rate(self.baud)?;
        line.set_char_size(match self.data_bits {
            5 => CharSize::Bits5,
            6 => CharSize::Bits6,
            7 => CharSize::Bits7,
            _ => CharSize::Bits8,
        });
        line.set_parity(match self.parity {
            ParityBit::None => Parity::None,
            ParityBit::Even => Parity::Even,
            ParityBit::Odd => Parity::Odd,
        });
        line.set_stop_bits(match self.stop_bits {
            2 => StopBits::Two,
            _ => StopBits::One,
        });
        line.set_flow_control(match self.flow_control {
            Flow::None => FlowControl::None,
            Flow::Xonxoff => FlowControl::XonXoff,
            Flow::Rtscts => FlowControl::RtsCts,
        });
        Ok(line)
    }
}

fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::NOTTY.raw_os_error() => {
            "it is no serial port".to_owned()
        }
        _ => errno_text(error),
    }
}

fn build(address: &Address, settings: &Settings) -> Result<Endpoint> {
    if address.place.is_empty() {
        let what = "the path of a port is missing: serial:/dev/ttyUSB0";
        return Err(address.place_error(what).into());
    }
    let framing = read_framing(&SCHEME, address, settings, Framing::BYTES)?;
    let dial = Serial {
        name: Address::shown(&address.text),
        path: PathBuf::from(&address.place),
        options: read_options(&SCHEME, address, settings)?,
        framing,
        is_in_use: Arc::default(),
    };
    let facts = Facts {
        framing: Some(framing),
        ..Facts::default()
    };
    Ok(Endpoint::dial(dial, facts))
}

struct Serial {
    name: String,
    path: PathBuf,
    options: Options,
    framing: Framing,
    is_in_use: Arc<AtomicBool>,
}

impl Dial for Serial {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            let opening = || format!("opening {}", self.name);
            if self.is_in_use.swap(true, Ordering::AcqRel) {
                let error = anyhow::Error::new(Cause::Busy).context("in use by another session");
                return Err(error).with_context(opening);
            }
            let seat = Seat(self.is_in_use.clone());
            let stream = self
                .open(seat)
                .map_err(|error| anyhow::Error::new(Cause::Refused).context(reason(&error)))
                .with_context(opening)?;
            let facts = StreamFacts {
                can_half_close: false,
                has_no_end: true,
                is_feed: true,
                ..StreamFacts::of_bytes(self.framing)
            };
            Ok(Opened::bytes(Box::new(stream), facts))
        })
    }
}

/// The one place that a port has.
struct Seat(Arc<AtomicBool>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Serial {
    fn open(&self, seat: Seat) -> io::Result<Stream> {
        let port = SerialPort::open(&self.path, |line| self.options.apply(line))?;
        let port = OwnedFd::from(port);
        Ok(Stream {
            input: Input::own(port.try_clone()?)?,
            output: Output::own(port.try_clone()?)?,
            seat: Some(seat),
            port: Some(port),
        })
    }
}

struct Stream {
    input: Input,
    output: Output,
    seat: Option<Seat>,
    /// The last of its descriptors to be closed.
    port: Option<OwnedFd>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        let (queued, port, seat) = (self.queued(), self.port.take(), self.seat.take());
        if queued > 0 {
            // The system closes a port when its line has sent all, which may take seconds.
            tokio::task::spawn_blocking(move || {
                drop(port);
                drop(seat);
            });
        }
    }
}

impl ByteStream for Stream {
    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        // A line has no end of its own.
        Poll::Ready(Ending::ReadFailed("hung up".to_owned()))
    }

    fn failed(&self, during: During, error: &io::Error) -> Ending {
        match during {
            During::Read => Ending::ReadFailed(errno_text(error)),
            During::Write => Ending::WriteFailed(errno_text(error)),
        }
    }

    fn poll_end(&mut self, _cx: &mut Context<'_>, _why: &Ending) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn queued(&self) -> usize {
        let port = self.port.as_ref();
        port.map_or(0, |port| sendqueue::len(port).unwrap_or(0))
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
        Pin::new(&mut self.input).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.output).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.output).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
