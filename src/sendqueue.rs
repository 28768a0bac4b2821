//! What the system knows about a socket that no crate tells in a safe form: how much of what was written is not acknowledged
//! yet, and how its peer has acknowledged the rest. A place with `unsafe`.
//!
//! A reset throws away what the kernel has not sent yet, so it must wait until the send queue is empty. Whether a peer is
//! dead is judged by what its system acknowledges: a slow reader's system does, also while its pong is minutes away.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
#[cfg(target_os = "linux")]
use rustix::ioctl::{Getter, ioctl};
use socket2::{SockRef, TcpKeepalive};

/// `SIOCOUTQ` (Linux: tcp(7), unix(7)), which is `TIOCOUTQ` of a terminal (`ioctl_tty(2)`).
#[cfg(target_os = "linux")]
const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;
/// `TCP_RTO_MAX_MS` (Linux 6.15): the longest time between two retransmissions or probes. libc does not name it yet.
#[cfg(target_os = "linux")]
const TCP_RTO_MAX_MS: libc::c_int = 44;
/// Its bounds, and its default.
#[cfg(target_os = "linux")]
const RTO_MAX: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(120)];
/// After how much silence a TCP connection is probed whose caller may have gone, and how often again.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How the peer of a stream takes what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// TCP tells it.
    Tcp(Acks),
    /// A Unix socket: its end shows by itself, and it has no acknowledgement.
    Unix,
    /// A pipe, or a system that cannot tell.
    Unknown,
}

/// What TCP has heard of its peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acks {
    /// Bytes that the peer's system has acknowledged since the connection was opened.
    pub acked: u64,
    /// Bytes in the send queue that it has not acknowledged yet.
    pub unacked: usize,
    /// The time since the last acknowledgement of anything, the answer to a probe of a closed window included.
    pub since_ack: Duration,
    /// Retransmissions or probes in a row to which no answer has come.
    pub tries: u8,
}

/// How a stream shows its end without being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// The peer will send nothing more (FIN). TCP looks the same whether it still reads or has closed.
    Finished,
    /// Both directions are closed, without an error: a Unix socket or pipe whose peer has gone.
    Closed,
    /// It was reset, or the system has given it up.
    Reset,
}

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

/// How the peer of a descriptor takes what it is sent: two calls of the system, for timers and not for the data path.
#[cfg(target_os = "linux")]
pub fn delivery(socket: BorrowedFd<'_>) -> Delivery {
    use std::os::fd::AsRawFd;

    let mut info = [0_u8; 256];
    let mut size: libc::socklen_t = 256;
    // SAFETY: TCP_INFO writes at most `size` bytes through its argument, which has as many, and tells in `size` how many.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    if failed != 0 {
        return match io::Error::last_os_error().raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::ENOPROTOOPT) => Delivery::Unix,
            _ => Delivery::Unknown,
        };
    }
    match parse(&info[..usize::try_from(size).unwrap_or(0)]) {
        Some(acks) => Delivery::Tcp(Acks {
            unacked: len(socket).unwrap_or(0),
            ..acks
        }),
        None => Delivery::Unknown,
    }
}

/// How the peer of a descriptor takes what it is sent: this system cannot tell.
#[cfg(not(target_os = "linux"))]
pub fn delivery(_socket: BorrowedFd<'_>) -> Delivery {
    Delivery::Unknown
}

/// Reads `struct tcp_info` of `linux/tcp.h`, to which fields are added at the end only; `None` where it is that of a kernel
/// before 4.1, which does not count what was acknowledged.
#[cfg(target_os = "linux")]
fn parse(info: &[u8]) -> Option<Acks> {
    let [_, _, retransmits, probes, ..] = *info else {
        return None;
    };
    let since_ack = info.get(56..60)?.try_into().map(u32::from_ne_bytes);
    let acked = info.get(120..128)?.try_into().map(u64::from_ne_bytes);
    Some(Acks {
        acked: acked.ok()?,
        unacked: 0,
        since_ack: Duration::from_millis(u64::from(since_ack.ok()?)),
        tries: retransmits.max(probes),
    })
}

/// Lets TCP wait at most this long between two retransmissions or probes, where the kernel can (Linux 6.15): by itself it
/// waits up to two minutes, and a peer that is gone would be noticed as late.
#[cfg(target_os = "linux")]
pub fn limit_backoff(socket: BorrowedFd<'_>, longest: Duration) {
    use std::os::fd::AsRawFd;

    let [least, most] = RTO_MAX;
    let millis = longest.clamp(least, most).as_millis();
    let millis = libc::c_int::try_from(millis).unwrap_or(libc::c_int::MAX);
    let size = libc::socklen_t::try_from(size_of_val(&millis)).unwrap_or(0);
    // SAFETY: the option is one C int, which is read through the pointer and not kept. An older kernel refuses it.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_RTO_MAX_MS,
            (&raw const millis).cast(),
            size,
        );
    }
}

/// Lets TCP wait at most this long between two probes: this system has no such option.
#[cfg(not(target_os = "linux"))]
pub fn limit_backoff(_socket: BorrowedFd<'_>, _longest: Duration) {}

/// How a stream has ended, as far as that shows without reading it. An error stays there for the next read or write.
pub fn hangup(stream: BorrowedFd<'_>) -> Option<Hangup> {
    #[cfg(target_os = "linux")]
    let finished = PollFlags::RDHUP;
    #[cfg(not(target_os = "linux"))]
    let finished = PollFlags::empty();
    let mut asked = [PollFd::from_borrowed_fd(stream, finished)];
    poll(&mut asked, Some(&Timespec::default())).ok()?;
    let shown = asked[0].revents();
    if shown.contains(PollFlags::ERR) {
        Some(Hangup::Reset)
    } else if shown.contains(PollFlags::HUP) {
        Some(Hangup::Closed)
    } else if shown.intersects(finished) {
        Some(Hangup::Finished)
    } else {
        None
    }
}

/// Has a TCP connection probed while nothing is sent: one whose peer has gone is then reset. What is no TCP ignores it.
pub fn keep_alive(socket: BorrowedFd<'_>) {
    let often = TcpKeepalive::new().with_time(KEEPALIVE);
    #[cfg(target_os = "linux")]
    let often = often.with_interval(KEEPALIVE).with_retries(4);
    // What can not be set shows as nothing worse than patience.
    let _ = SockRef::from(&socket).set_tcp_keepalive(&often);
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::thread::sleep;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    fn acks(socket: &TcpStream) -> Acks {
        match delivery(socket.as_fd()) {
            Delivery::Tcp(acks) => acks,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for an event that has no other sign.
    fn until(mut is_so: impl FnMut() -> bool) {
        while !is_so() {
            sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn tcp_counts_what_its_peer_has_acknowledged() {
        let (mut near, mut far) = pair();
        let before = acks(&near).acked;
        near.write_all(&[7; 1000]).unwrap();
        until(|| acks(&near).unacked == 0);
        assert_eq!(acks(&near).acked - before, 1000);
        far.read_exact(&mut [0; 1000]).unwrap();
        limit_backoff(near.as_fd(), Duration::from_secs(15));
        assert_eq!(acks(&near).tries, 0);
    }

    #[test]
    fn what_is_no_tcp_says_so() {
        let (near, _far) = UnixStream::pair().unwrap();
        assert_eq!(delivery(near.as_fd()), Delivery::Unix);
        let (reader, _writer) = io::pipe().unwrap();
        assert_eq!(delivery(reader.as_fd()), Delivery::Unknown);
    }

    #[test]
    fn an_end_shows_without_a_read_and_behind_what_is_unread() {
        let (near, mut far) = pair();
        assert_eq!(hangup(near.as_fd()), None);
        far.write_all(b"unread").unwrap();
        far.shutdown(std::net::Shutdown::Write).unwrap();
        until(|| hangup(near.as_fd()).is_some());
        assert_eq!(hangup(near.as_fd()), Some(Hangup::Finished));
        SockRef::from(&far)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(far);
        until(|| hangup(near.as_fd()) == Some(Hangup::Reset));
        // It was only looked at.
        assert_eq!(hangup(near.as_fd()), Some(Hangup::Reset));
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        assert_eq!(hangup(near.as_fd()), Some(Hangup::Closed));
    }
}
