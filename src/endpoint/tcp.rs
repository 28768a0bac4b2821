//! `tcp:` and `tcp-l:`: TCP connections and listeners.

mod dial;
mod reset;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Handle};
use tokio::time::{Instant, Sleep, sleep};

use super::proxy::Traffic;
use super::route::{self, Route};
use super::{
    Accept, Agreed, Bound, BoxFuture, Dial, Endpoint, Facts, Handshake, Listen, Offer, Scheme,
    Settings, descriptor, read_framing,
};
use crate::address::Address;
use crate::caller::{Caller, Source};
use crate::ending::{Cause, Ending, Loss, errno_text};
use crate::framing::{self, Framing};
use crate::http::page::Page;
use crate::peer::{ByteStream, During, Opened, StreamFacts, gone};
use crate::sendqueue;

pub use dial::{DialOptions, race, resolve};
use reset::ResetWatch;

/// `tcp:`
pub const DIAL: Scheme = Scheme {
    names: &[
        "tcp",
        "tcp-connect",
        "connect-tcp",
        "tcp-c",
        "c-tcp",
        "tcp4",
        "tcp6",
    ],
    syntax: "tcp:[HOST:]PORT",
    summary: "Connect to a TCP server; without HOST to localhost",
    example: "wsbridge ws-l:8080 tcp:localhost:6379",
    is_raw: false,
    options: &[
        DialOptions::augment_args,
        route::Options::augment_args,
        framing::Options::augment_args,
    ],
    build: build_dial,
};

/// `tcp-l:`
pub const LISTEN: Scheme = Scheme {
    names: &["tcp-l", "tcp-listen", "listen-tcp", "l-tcp"],
    syntax: "tcp-l:[HOST:]PORT",
    summary: "Accept TCP connections; without HOST on loopback, with * on all interfaces",
    example: "wsbridge tcp-l:2222 ws://example.com/ssh",
    is_raw: false,
    options: &[framing::Options::augment_args],
    build: build_listen,
};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 4096;
/// Whether an accepted connection has the TCP_NODELAY of its listener.
const IS_NODELAY_INHERITED: bool = cfg!(target_os = "linux");
/// How long a reset waits while nothing of what is queued before it gets through.
const RESET_PATIENCE: Duration = Duration::from_secs(2);
/// How often the send queue is looked at: it has no event.
const RESET_POLL: Duration = Duration::from_millis(2);

fn build_dial(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let place = address.host_port()?;
    if !place.path.is_empty() && place.path != "/" {
        return Err(address.place_error("a TCP address has no path").into());
    }
    let port = place
        .port
        .ok_or_else(|| address.place_error("a port is missing"))?;
    let host = place.host.unwrap_or_else(|| "localhost".to_owned());
    let route = Route::read(&DIAL, address, settings)?;
    let framing = read_framing(&DIAL, address, settings, Framing::BYTES)?;
    let facts = Facts {
        framing: Some(framing),
        host: Some(host.clone()),
        is_fresh_stream: true,
        can_half_close: framing.can_half_close(),
        ..Facts::default()
    };
    let dial = TcpDial {
        name: Address::shown(&address.text),
        host,
        port,
        route,
        framing,
    };
    Ok(Endpoint::dial(dial, facts))
}

fn build_listen(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let place = address.host_port()?;
    let port = place
        .port
        .ok_or_else(|| address.place_error("a port is missing"))?;
    if !place.path.is_empty() {
        return Err(address.place_error("a TCP address has no path").into());
    }
    let framing = read_framing(&LISTEN, address, settings, Framing::BYTES)?;
    let listen = TcpListen {
        name: Address::shown(&address.text),
        host: place.host,
        port,
        framing,
    };
    let facts = Facts {
        framing: Some(framing),
        ..Facts::default()
    };
    Ok(Endpoint::listen(listen, facts))
}

struct TcpDial {
    name: String,
    host: String,
    port: u16,
    route: Route,
    framing: Framing,
}

impl Dial for TcpDial {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            let opened = self.route.open(Traffic::Other, &self.host, self.port).await;
            let stream = opened.with_context(|| format!("connecting to {}", self.name))?;
            Ok(Opened::bytes(stream, StreamFacts::of_bytes(self.framing)))
        })
    }
}

struct TcpListen {
    name: String,
    host: Option<String>,
    port: u16,
    framing: Framing,
}

impl Listen for TcpListen {
    fn bind(&self, _page: Option<Page>) -> BoxFuture<'_, Result<Bound>> {
        Box::pin(async {
            let sockets = Listeners::bind(self.host.as_deref(), self.port)
                .await
                .with_context(|| format!("listening on {}", self.name))?;
            Ok(Bound {
                places: sockets.places("tcp"),
                page_place: None,
                is_exposed: !sockets.is_loopback(),
                access: None,
                is_restricted: false,
                accept: Box::new(TcpAccept {
                    sockets,
                    framing: self.framing,
                }),
            })
        })
    }
}

/// The listening sockets of one port: one for each address of its host.
pub struct Listeners {
    sockets: Vec<TcpListener>,
    is_any: bool,
}

impl Listeners {
    /// Binds a port on loopback (no host), on all interfaces (`*`) or on all addresses of a host. Port 0 is a free one.
    ///
    /// # Errors
    /// The system's reason, with a [`Cause`].
    pub async fn bind(host: Option<&str>, port: u16) -> Result<Listeners> {
        Ok(Listeners {
            sockets: bind_each(host, port, bind_one, TcpListener::local_addr).await?,
            is_any: host == Some("*"),
        })
    }

    /// Whether only this machine can call.
    pub fn is_loopback(&self) -> bool {
        self.addrs().iter().all(|addr| addr.ip().is_loopback())
    }

    /// Where it listens, behind a scheme: `ws://127.0.0.1:8080`.
    pub fn places(&self, scheme: &str) -> Vec<String> {
        if self.is_any {
            let port = self.addrs().first().map_or(0, SocketAddr::port);
            return vec![format!("{scheme}://*:{port}")];
        }
        self.addrs()
            .iter()
            // A URL writes the sign before a zone so (RFC 6874 2).
            .map(|addr| format!("{scheme}://{}", addr.to_string().replace('%', "%25")))
            .collect()
    }

    fn addrs(&self) -> Vec<SocketAddr> {
        self.sockets
            .iter()
            .filter_map(|socket| socket.local_addr().ok())
            .collect()
    }

    /// Waits for a caller on any of the sockets. Cancel-safe.
    ///
    /// # Errors
    /// Those of `accept(2)`.
    pub async fn accept(&self) -> io::Result<(Accepted, SocketAddr)> {
        let (stream, addr) = poll_fn(|cx| {
            for socket in &self.sockets {
                if let Poll::Ready(accepted) = socket.poll_accept(cx) {
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await?;
        if !IS_NODELAY_INHERITED {
            let _ = stream.set_nodelay(true);
        }
        Ok((
            Accepted {
                stream: Some(stream),
                runtime: Handle::current().id(),
            },
            SocketAddr::new(addr.ip().to_canonical(), addr.port()),
        ))
    }
}

/// Binds a socket for each address of a host: loopback without one, all interfaces with `*`; port 0 is a free one.
///
/// # Errors
/// The system's reason, with a [`Cause`].
pub(super) async fn bind_each<S>(
    host: Option<&str>,
    port: u16,
    bind: fn(SocketAddr) -> io::Result<S>,
    addr_of: fn(&S) -> io::Result<SocketAddr>,
) -> Result<Vec<S>> {
    let addrs = match host {
        None => vec![
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
            SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port),
        ],
        Some("*") => vec![
            SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
            SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port),
        ],
        Some(host) => resolve(host, port).await?,
    };
    // A free port of one family may be taken in the other: then another one is tried.
    let mut tries = if port == 0 { 16 } else { 1 };
    loop {
        tries -= 1;
        match bind_all(&addrs, bind, addr_of) {
            Err(error) if tries > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(anyhow::Error::new(Cause::Refused).context(not_bound(&error)));
            }
            Ok(sockets) => return Ok(sockets),
        }
    }
}

/// The system's reason, and what helps.
fn not_bound(error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; port 0 is one that is free",
        io::ErrorKind::AddrNotAvailable => "; it is no address of this machine",
        io::ErrorKind::PermissionDenied => "; ports from 1024 on are for everybody",
        _ => "",
    };
    errno_text(error) + hint
}

/// Binds all addresses to one port; of several some may be missing on this machine, such as those of IPv6.
fn bind_all<S>(
    addrs: &[SocketAddr],
    bind: fn(SocketAddr) -> io::Result<S>,
    addr_of: fn(&S) -> io::Result<SocketAddr>,
) -> io::Result<Vec<S>> {
    let mut sockets: Vec<S> = Vec::new();
    let mut missing = None;
    for addr in addrs {
        let mut addr = *addr;
        if let Some(first) = sockets.first() {
            addr.set_port(addr_of(first)?.port());
        }
        match bind(addr) {
            Ok(socket) => sockets.push(socket),
            Err(error) if addrs.len() > 1 && is_missing_family(&error) => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if sockets.is_empty() => Err(error),
        _ => Ok(sockets),
    }
}

fn is_missing_family(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn bind_one(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // What can not be set shows as nothing worse than delay.
    let _ = socket.set_tcp_nodelay(true);
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

struct TcpAccept {
    sockets: Listeners,
    framing: Framing,
}

impl Accept for TcpAccept {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn Handshake>>> {
        Box::pin(async {
            let (stream, addr) = self.sockets.accept().await?;
            let handshake: Box<dyn Handshake> = Box::new(TcpHandshake {
                stream,
                framing: self.framing,
                caller: Arc::new(Caller {
                    half_closes: self.framing.can_half_close(),
                    ..Caller::at(addr)
                }),
            });
            Ok(handshake)
        })
    }
}

struct TcpHandshake {
    stream: Accepted,
    framing: Framing,
    caller: Arc<Caller>,
}

impl Handshake for TcpHandshake {
    fn source(&self) -> Source {
        self.caller.source
    }

    fn shake(self: Box<Self>) -> BoxFuture<'static, Result<Option<Box<dyn Offer>>>> {
        Box::pin(async {
            let offer: Box<dyn Offer> = Box::new(TcpOffer {
                stream: self.stream.open()?,
                framing: self.framing,
                caller: self.caller,
            });
            Ok(Some(offer))
        })
    }
}

struct TcpOffer {
    stream: Connection,
    framing: Framing,
    caller: Arc<Caller>,
}

impl Offer for TcpOffer {
    fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    fn gone(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // A half-close is no going away; a reset is.
            while !self
                .stream
                .stream
                .ready(Interest::ERROR)
                .await
                .is_ok_and(|ready| ready.is_error())
            {
                tokio::task::yield_now().await;
            }
        })
    }

    fn is_accepted_first(&self) -> bool {
        false
    }

    fn agree(&mut self, _agreed: &Agreed<'_>) {}

    fn accept(self: Box<Self>) -> BoxFuture<'static, Result<Opened>> {
        let facts = StreamFacts::of_bytes(self.framing);
        Box::pin(async { Ok(Opened::bytes(Box::new(self.stream), facts)) })
    }

    fn refuse(self: Box<Self>, _cause: Cause, _why: String) -> BoxFuture<'static, ()> {
        // To drop it is a reset: the only no that TCP has.
        Box::pin(async {})
    }
}

/// An accepted connection, still of the runtime that accepted it. Dropping it resets it.
pub struct Accepted {
    /// Until it is opened.
    stream: Option<TcpStream>,
    runtime: runtime::Id,
}

impl Accepted {
    /// Makes it a connection of the current runtime: its events are to wake the thread that it is used on.
    ///
    /// # Errors
    /// The system's, where it has no memory left.
    pub fn open(mut self) -> io::Result<Connection> {
        let stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        if self.runtime == Handle::current().id() {
            return Ok(Connection::accepted(stream));
        }
        let stream = TcpStream::from_std(stream.into_std()?)?;
        Ok(Connection::accepted(stream))
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            reset(stream);
        }
    }
}

/// Lets the end of a connection be a reset.
fn reset(stream: &TcpStream) {
    // Where it fails the connection is gone already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// A TCP connection. Unless it was ended cleanly, dropping it resets it: its peer never takes a cut for an end.
pub struct Connection {
    stream: TcpStream,
    end: End,
    /// Whether its send queue was seen empty since something was last put into it.
    is_drained: Cell<bool>,
    /// Whether the system looks after a peer that is not read: from the second look on.
    keep_alive: KeepAlive,
    /// Whether it was accepted and has not been read.
    is_unread: bool,
    /// Whether it was accepted and has not been written.
    is_unwritten: bool,
    /// Sees a reset behind the end of its input.
    reset: Option<ResetWatch>,
}

/// Whether the system probes a silent connection.
#[derive(Clone, Copy)]
enum KeepAlive {
    Off,
    /// From the next look on.
    Due,
    On,
}

enum End {
    Open,
    /// Waiting for the peer to take what is queued, before the reset.
    Aborting {
        queued: usize,
        patience: Instant,
        timer: Pin<Box<Sleep>>,
    },
    Clean,
    Aborted,
}

impl Connection {
    /// Takes over an open connection.
    pub fn new(stream: TcpStream) -> Connection {
        Connection {
            stream,
            end: End::Open,
            is_drained: Cell::new(false),
            keep_alive: KeepAlive::Off,
            is_unread: false,
            is_unwritten: false,
            reset: None,
        }
    }

    /// Takes over a connection that has just been accepted.
    fn accepted(stream: TcpStream) -> Connection {
        let mut connection = Connection::new(stream);
        connection.is_unread = true;
        connection.is_unwritten = true;
        connection
    }

    /// Waits until the send queue is empty, or nothing of it has moved for [`RESET_PATIENCE`].
    fn poll_abort(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.end {
                End::Aborted => return Poll::Ready(()),
                // Also after a half-close: the end that was announced was none.
                End::Open | End::Clean => {
                    self.end = End::Aborting {
                        queued: usize::MAX,
                        patience: Instant::now() + RESET_PATIENCE,
                        timer: Box::pin(sleep(Duration::ZERO)),
                    };
                }
                End::Aborting {
                    queued,
                    patience,
                    timer,
                } => {
                    ready!(timer.as_mut().poll(cx));
                    let now = Instant::now();
                    let left = sendqueue::len(&self.stream).unwrap_or(0);
                    if left < *queued {
                        (*queued, *patience) = (left, now + RESET_PATIENCE);
                    }
                    if left == 0 || now >= *patience {
                        self.end = End::Aborted;
                    } else {
                        timer.as_mut().reset(now + RESET_POLL);
                    }
                }
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !matches!(self.end, End::Clean) {
            reset(&self.stream);
        }
    }
}

impl ByteStream for Connection {
    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Ready(Ending::Eof)
    }

    fn failed(&self, _during: During, error: &io::Error) -> Ending {
        Ending::of_error(error)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<io::Result<()>> {
        if why.is_abort() {
            ready!(self.poll_abort(cx));
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        self.is_drained.set(false);
        self.end = End::Clean;
        Poll::Ready(result)
    }

    fn queued(&self) -> usize {
        if self.is_drained.get() {
            return 0;
        }
        let queued = sendqueue::len(&self.stream).unwrap_or(0);
        self.is_drained.set(queued == 0);
        queued
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.stream.as_fd())
    }

    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        self.keep_alive = match self.keep_alive {
            // Most connections have ended before the second look, and four system calls are saved.
            KeepAlive::Off => KeepAlive::Due,
            KeepAlive::Due => {
                // Nothing else shows whether a half-closed peer still reads while nothing is sent to it.
                sendqueue::keep_alive(self.stream.as_fd());
                KeepAlive::On
            }
            KeepAlive::On => KeepAlive::On,
        };
        gone(self.descriptor())
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let reset = self.reset.get_or_insert_with(ResetWatch::new);
        let reset = reset.poll(&self.stream, cx);
        reset.map(|()| Ending::Lost(Loss::Reset))
    }

    fn is_closed(&self) -> bool {
        false
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if mem::take(&mut self.is_unread)
            && let Some(read) = descriptor::read_at_once(&self.stream, buf)
        {
            return Poll::Ready(read);
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_drained.set(false);
        if mem::take(&mut self.is_unwritten)
            && let Some(count) = descriptor::write_at_once(&self.stream, &[io::IoSlice::new(buf)])
        {
            return Poll::Ready(Ok(count));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_drained.set(false);
        if mem::take(&mut self.is_unwritten)
            && let Some(count) = descriptor::write_at_once(&self.stream, bufs)
        {
            return Poll::Ready(Ok(count));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(cx, &Ending::Eof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_bound_is_told_with_what_helps() {
        for (kind, expected) in [
            (
                io::ErrorKind::PermissionDenied,
                "; ports from 1024 on are for everybody",
            ),
            (io::ErrorKind::AddrInUse, "; port 0 is one that is free"),
            (
                io::ErrorKind::AddrNotAvailable,
                "; it is no address of this machine",
            ),
            (io::ErrorKind::OutOfMemory, "out of memory"),
        ] {
            let said = not_bound(&kind.into());
            assert!(said.ends_with(expected), "{said}");
        }
    }

    #[tokio::test]
    async fn what_is_accepted_does_not_delay() {
        let listeners = Listeners::bind(Some("127.0.0.1"), 0).await.unwrap();
        let _caller = TcpStream::connect(listeners.addrs()[0]).await.unwrap();
        let (stream, _) = listeners.accept().await.unwrap();
        assert!(stream.open().unwrap().stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn loopback_is_bound_on_both_families_with_one_port() {
        let listeners = Listeners::bind(None, 0).await.unwrap();
        let addrs = listeners.addrs();
        assert!(listeners.is_loopback());
        assert!(addrs.iter().all(|addr| addr.port() == addrs[0].port()));
        assert_eq!(
            listeners.places("tcp")[0],
            format!("tcp://127.0.0.1:{}", addrs[0].port())
        );
    }
}
