//! How much of what was written to a socket its peer has not acknowledged, or a serial line has not sent: a place with
//! `unsafe`.
//!
//! A reset throws away what the kernel has not sent yet, so it must wait until this is nothing. No crate offers the
//! call in a safe form.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Getter, ioctl};

/// `SIOCOUTQ` (Linux: tcp(7), unix(7)), which is `TIOCOUTQ` of a terminal (`ioctl_tty(2)`).
#[cfg(target_os = "linux")]
const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;

/// Bytes in the send queue that the peer has not acknowledged (TCP) or not read (Unix), or that a line has not sent.
///
/// # Errors
/// Those of `ioctl`; `Unsupported` where the system can not tell.
#[cfg(target_os = "linux")]
pub fn len(socket: impl AsFd) -> io::Result<usize> {
    // SAFETY: SIOCOUTQ writes one C int through its argument, which is what this getter provides room for.
    let len = unsafe { ioctl(socket, Getter::<SIOCOUTQ, i32>::new()) }?;
    Ok(usize::try_from(len).unwrap_or(0))
}

/// Bytes in the send queue: this system can not tell.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub fn len(_socket: impl AsFd) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}
