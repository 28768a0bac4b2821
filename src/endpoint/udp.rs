//! `udp:` and `udp-l:`: one datagram is one message, and to a listener each sender is a caller.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::BytesMut;
use clap::Args;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{Interest, ReadBuf};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tracing::{debug, warn};

use super::datagram::{self, Carrier, Datagrams};
use super::tcp::{DialOptions, bind_each, resolve};
use super::{
    Accept, Agreed, Bound, BoxFuture, Dial, Endpoint, Facts, Handshake, Listen, Offer, Scheme,
    Settings, read_options,
};
use crate::address::{Address, Place, parse_duration};
use crate::caller::{Caller, Source};
use crate::ending::{Cause, errno_text};
use crate::http::page::Page;
use crate::memory::{Holder, Holding, Memory};
use crate::message::Kind;
use crate::peer::Opened;

/// `udp:`
pub const DIAL: Scheme = Scheme {
    names: &[
        "udp",
        "udp-connect",
        "connect-udp",
        "udp-c",
        "c-udp",
        "udp4",
        "udp6",
    ],
    syntax: "udp:[HOST:]PORT",
    summary: "Send each message as a UDP datagram of at most 65,507 bytes, and receive",
    example: "wsbridge ws-l:8080 udp:localhost:53",
    is_raw: false,
    options: &[DialOptions::augment_args, datagram::Options::augment_args],
    build: build_dial,
};

/// `udp-l:`
pub const LISTEN: Scheme = Scheme {
    names: &["udp-l", "udp-listen", "listen-udp", "l-udp"],
    syntax: "udp-l:[HOST:]PORT",
    summary: "Take each sender of UDP datagrams as a caller, until it has been silent for --udp-timeout",
    example: "wsbridge udp-l:5353 ws://example.com/dns",
    is_raw: false,
    options: &[ListenOptions::augment_args, datagram::Options::augment_args],
    build: build_listen,
};

/// Options of a UDP listener.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ListenOptions {
    /// End the session of a UDP sender when nothing has gone either way for this time
    ///
    /// It is a clean end: nothing else says that a sender is finished. 0 waits for ever.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration, help_heading = "Listening")]
    pub udp_timeout: Duration,
}

/// The longest datagram over IPv4: 65,535 bytes less the heads of IP (RFC 791) and UDP (RFC 768).
const LIMIT_V4: usize = 65_535 - 20 - 8;
/// The longest datagram over IPv6: its own head does not count (RFC 8200 3).
const LIMIT_V6: usize = 65_535 - 8;
/// Room for any datagram.
const ROOM: usize = 64 * 1024;
/// What the kernel is asked to keep for us until it is read; it may keep less.
const KERNEL_BUFFER: usize = 1024 * 1024;
/// Datagrams and bytes that wait for one session.
const QUEUED: (usize, usize) = (1024, 1024 * 1024);
/// Bytes that are counted for a datagram beside its payload: what is allocated for it has a head.
const OVERHEAD: usize = 128;
/// Senders that wait to be accepted.
const BACKLOG: usize = 512;
/// The pause after a failed read of a listening socket.
const PAUSE: Duration = Duration::from_millis(10);

/// Reads host and port of an address.
fn place(address: &Address) -> Result<(Place, u16)> {
    let place = address.host_port()?;
    if !place.path.is_empty() && place.path != "/" {
        return Err(address.place_error("a UDP address has no path").into());
    }
    let port = place
        .port
        .ok_or_else(|| address.place_error("a port is missing"))?;
    Ok((place, port))
}

fn build_dial(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let (place, port) = place(address)?;
    let dial = UdpDial {
        name: Address::shown(&address.text),
        host: place.host.unwrap_or_else(|| "localhost".to_owned()),
        port,
        options: read_options(&DIAL, address, settings)?,
        kind: read_options::<datagram::Options>(&DIAL, address, settings)?.kind(),
        memory: settings.memory.clone(),
    };
    Ok(Endpoint::dial(dial, Facts::default()))
}

fn build_listen(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let (place, port) = place(address)?;
    let options: ListenOptions = read_options(&LISTEN, address, settings)?;
    let listen = UdpListen {
        name: Address::shown(&address.text),
        host: place.host,
        port,
        silence: Some(options.udp_timeout).filter(|silence| !silence.is_zero()),
        kind: read_options::<datagram::Options>(&LISTEN, address, settings)?.kind(),
        memory: settings.memory.clone(),
    };
    Ok(Endpoint::listen(listen, Facts::default()))
}

fn limit(addr: SocketAddr) -> usize {
    match addr.ip().to_canonical().is_ipv4() {
        true => LIMIT_V4,
        false => LIMIT_V6,
    }
}

/// Lets the kernel keep more than usual until it is read.
fn widen(socket: &UdpSocket) {
    // Where it may not, bursts are shorter.
    let _ = SockRef::from(socket).set_recv_buffer_size(KERNEL_BUFFER);
}

struct UdpDial {
    name: String,
    host: String,
    port: u16,
    options: DialOptions,
    kind: Kind,
    memory: Memory,
}

impl Dial for UdpDial {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            let limit = self.options.connect_timeout;
            let connected = timeout(limit, self.connect()).await.unwrap_or_else(|_| {
                Err(anyhow::Error::new(Cause::Timeout)
                    .context(format!("no answer within {limit:?}")))
            });
            let connected = connected.with_context(|| format!("connecting to {}", self.name))?;
            let stream = Datagrams::new(Box::new(connected), self.kind, &self.memory);
            Ok(stream.into())
        })
    }
}

impl UdpDial {
    /// Connects to the first address of the name to which there is a way. Nothing says whether somebody is there: of
    /// `localhost` it is the IPv4 address, where most services are.
    async fn connect(&self) -> Result<Connected> {
        let mut addrs = resolve(&self.host, self.port).await?;
        if self.host.eq_ignore_ascii_case("localhost") {
            addrs.sort_unstable_by_key(SocketAddr::is_ipv6);
        }
        let mut reason = "no address".to_owned();
        for addr in addrs {
            match connect(addr).await {
                Ok(socket) => {
                    let socket = Arc::new(socket);
                    return Ok(Connected {
                        limit: limit(addr),
                        fault: Box::pin(fault(socket.clone())),
                        socket,
                    });
                }
                Err(error) => reason = format!("{} ({})", errno_text(&error), addr.ip()),
            }
        }
        Err(anyhow::Error::new(Cause::Refused).context(reason))
    }
}

async fn connect(addr: SocketAddr) -> io::Result<UdpSocket> {
    let any = match addr.is_ipv4() {
        true => Ipv4Addr::UNSPECIFIED.into(),
        false => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    widen(&socket);
    socket.connect(addr).await?;
    Ok(socket)
}

/// A socket that is connected to one place.
struct Connected {
    socket: Arc<UdpSocket>,
    limit: usize,
    fault: BoxFuture<'static, io::Error>,
}

/// Waits for an error that the network reports, such as that nobody is there: no reader is woken for it. Cancel-safe.
async fn fault(socket: Arc<UdpSocket>) -> io::Error {
    let take = || match SockRef::from(&*socket).take_error()? {
        Some(error) => Ok(error),
        None => Err(io::ErrorKind::WouldBlock.into()),
    };
    match socket.async_io(Interest::ERROR, take).await {
        Ok(error) | Err(error) => error,
    }
}

impl Carrier for Connected {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<BytesMut>>> {
        let mut room = [MaybeUninit::uninit(); ROOM];
        let mut buf = ReadBuf::uninit(&mut room);
        match self.socket.poll_recv(cx, &mut buf) {
            Poll::Ready(result) => Poll::Ready(result.map(|()| Some(BytesMut::from(buf.filled())))),
            Poll::Pending => {
                let error = ready!(self.fault.as_mut().poll(cx));
                self.fault = Box::pin(fault(self.socket.clone()));
                Poll::Ready(Err(error))
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>> {
        self.socket.poll_send(cx, datagram).map_ok(|_| ())
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

struct UdpListen {
    name: String,
    host: Option<String>,
    port: u16,
    silence: Option<Duration>,
    kind: Kind,
    memory: Memory,
}

impl Listen for UdpListen {
    fn bind(&self, _page: Option<Page>) -> BoxFuture<'_, Result<Bound>> {
        Box::pin(async {
            let bound = bind_each(
                self.host.as_deref(),
                self.port,
                bind_one,
                UdpSocket::local_addr,
            );
            let sockets = bound
                .await
                .with_context(|| format!("listening on {}", self.name))?;
            let mut places: Vec<_> = sockets
                .iter()
                .filter_map(|socket| socket.local_addr().ok())
                .map(|addr| format!("udp://{addr}"))
                .collect();
            if self.host.as_deref() == Some("*") {
                let port = sockets.first().and_then(|it| it.local_addr().ok());
                places = vec![format!("udp://*:{}", port.map_or(0, |addr| addr.port()))];
            }
            let is_exposed = sockets.iter().any(|socket| {
                socket
                    .local_addr()
                    .is_ok_and(|addr| !addr.ip().is_loopback())
            });
            let (callers, accepted) = mpsc::channel(BACKLOG);
            for socket in sockets {
                widen(&socket);
                let hub = Hub::new(socket, &self.memory);
                tokio::spawn(hub.sort(callers.clone(), self.silence));
            }
            Ok(Bound {
                accept: Box::new(UdpAccept {
                    accepted,
                    kind: self.kind,
                }),
                places,
                page_place: None,
                is_exposed,
                access: None,
                is_restricted: false,
            })
        })
    }
}

fn bind_one(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// A listening socket and the sessions of its senders.
#[derive(Debug)]
struct Hub {
    socket: UdpSocket,
    inboxes: Mutex<HashMap<SocketAddr, Arc<Mutex<Inbox>>>>,
    /// What is in all inboxes.
    holding: Holding,
    memory: Memory,
    has_dropped: AtomicBool,
}

/// What has come from one sender and was not read yet.
#[derive(Debug, Default)]
struct Inbox {
    datagrams: VecDeque<BytesMut>,
    bytes: usize,
    reader: Option<Waker>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held; a poisoned state is a whole one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    fn new(socket: UdpSocket, memory: &Memory) -> Arc<Hub> {
        Arc::new_cyclic(|own: &Weak<Hub>| Hub {
            socket,
            inboxes: Mutex::default(),
            holding: memory.hold_queue(own.clone()),
            memory: memory.clone(),
            has_dropped: AtomicBool::new(false),
        })
    }

    /// The inbox that has the most bytes, with its sender.
    fn fullest(&self) -> Option<(SocketAddr, Arc<Mutex<Inbox>>)> {
        let inboxes = lock(&self.inboxes);
        let fullest = inboxes.iter().max_by_key(|(_, inbox)| lock(inbox).bytes);
        fullest.map(|(addr, inbox)| (*addr, inbox.clone()))
    }

    /// Reads all that comes and sorts it by sender, for ever: a session goes on when no more senders are accepted.
    async fn sort(self: Arc<Hub>, callers: mpsc::Sender<Sender>, silence: Option<Duration>) {
        let mut room = vec![0; ROOM];
        loop {
            match self.socket.recv_from(&mut room).await {
                Ok((len, addr)) => self.put(addr, &room[..len], &callers, silence),
                Err(error) => {
                    debug!("receiving datagrams: {}", errno_text(&error));
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Puts a datagram into the inbox of its sender; one that is new is a caller.
    fn put(
        self: &Arc<Hub>,
        addr: SocketAddr,
        datagram: &[u8],
        callers: &mpsc::Sender<Sender>,
        silence: Option<Duration>,
    ) {
        // It is held while the datagram goes in: a session that ends now has it, or is seen to have ended.
        let inboxes = lock(&self.inboxes);
        if let Some(inbox) = inboxes.get(&addr) {
            return self.push(addr, inbox, datagram);
        }
        drop(inboxes);
        let Ok(place) = callers.try_reserve() else {
            return self.note_dropped(addr);
        };
        let inbox = Arc::<Mutex<Inbox>>::default();
        self.push(addr, &inbox, datagram);
        lock(&self.inboxes).insert(addr, inbox.clone());
        place.send(Sender {
            hub: self.clone(),
            addr,
            inbox,
            silence,
            used_at: Instant::now(),
            timer: None,
            blocked: None,
        });
    }

    fn push(&self, addr: SocketAddr, inbox: &Mutex<Inbox>, datagram: &[u8]) {
        let mut inbox = lock(inbox);
        let is_full = inbox.datagrams.len() >= QUEUED.0
            || inbox.bytes + cost(datagram) > QUEUED.1
            || !self.holding.has_room(cost(datagram));
        if is_full {
            return self.note_dropped(addr);
        }
        self.holding.add(cost(datagram));
        inbox.bytes += cost(datagram);
        inbox.datagrams.push_back(BytesMut::from(datagram));
        if let Some(reader) = inbox.reader.take() {
            reader.wake();
        }
    }

    /// Says once that not all that came could be kept.
    fn note_dropped(&self, addr: SocketAddr) {
        if !self.has_dropped.swap(true, Ordering::Relaxed) {
            warn!(caller = %addr, "datagrams come faster than they are taken and some are dropped; this is said once");
        }
    }
}

/// Bytes that a datagram which waits takes.
fn cost(datagram: &[u8]) -> usize {
    datagram.len() + OVERHEAD
}

impl Holder for Hub {
    fn weight(&self) -> usize {
        self.fullest().map_or(0, |(_, inbox)| lock(&inbox).bytes)
    }

    /// Datagrams may be lost: those of one sender are.
    fn give_way(&self) -> usize {
        let Some((addr, inbox)) = self.fullest() else {
            return 0;
        };
        let mut inbox = lock(&inbox);
        let given = std::mem::take(&mut inbox.bytes);
        inbox.datagrams = VecDeque::new();
        drop(inbox);
        self.holding.sub(given);
        self.note_dropped(addr);
        given
    }

    fn told(&self, held: usize) -> String {
        format!("{held} bytes of datagrams of one sender are dropped")
    }
}

struct UdpAccept {
    accepted: mpsc::Receiver<Sender>,
    kind: Kind,
}

impl Accept for UdpAccept {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn Handshake>>> {
        Box::pin(async {
            let Some(sender) = self.accepted.recv().await else {
                // The tasks that read have been ended with their runtime.
                return std::future::pending().await;
            };
            let from = SocketAddr::new(sender.addr.ip().to_canonical(), sender.addr.port());
            Ok(Box::new(UdpOffer {
                caller: Arc::new(Caller::at(from)),
                sender,
                kind: self.kind,
            }) as Box<dyn Handshake>)
        })
    }
}

/// A new sender: there is no handshake, and no way to say no but to say nothing.
struct UdpOffer {
    sender: Sender,
    kind: Kind,
    caller: Arc<Caller>,
}

impl Handshake for UdpOffer {
    fn source(&self) -> Source {
        self.caller.source
    }

    fn shake(self: Box<Self>) -> BoxFuture<'static, Result<Option<Box<dyn Offer>>>> {
        Box::pin(async { Ok(Some(self as Box<dyn Offer>)) })
    }
}

impl Offer for UdpOffer {
    fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    fn is_accepted_first(&self) -> bool {
        false
    }

    fn gone(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn agree(&mut self, _agreed: &Agreed<'_>) {}

    fn accept(self: Box<Self>) -> BoxFuture<'static, Result<Opened>> {
        Box::pin(async {
            let memory = self.sender.hub.memory.clone();
            let stream = Datagrams::new(Box::new(self.sender), self.kind, &memory);
            Ok(stream.into())
        })
    }

    fn refuse(self: Box<Self>, _cause: Cause, _why: String) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

/// One sender of datagrams to a listening socket, from its first one until it is dropped.
struct Sender {
    hub: Arc<Hub>,
    addr: SocketAddr,
    inbox: Arc<Mutex<Inbox>>,
    silence: Option<Duration>,
    /// When something last went either way.
    used_at: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// Waiting for the socket to take more: each session by itself, for it has room for one waker only.
    blocked: Option<BoxFuture<'static, io::Result<()>>>,
}

impl Sender {
    /// Ready when nothing has gone either way for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(silence) = self.silence else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(silence)));
        loop {
            ready!(timer.as_mut().poll(cx));
            let until = self.used_at + silence;
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }
}

impl Carrier for Sender {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<BytesMut>>> {
        let mut inbox = lock(&self.inbox);
        if let Some(datagram) = inbox.datagrams.pop_front() {
            inbox.bytes -= cost(&datagram);
            self.hub.holding.sub(cost(&datagram));
            drop(inbox);
            self.used_at = Instant::now();
            return Poll::Ready(Ok(Some(datagram)));
        }
        inbox.reader = Some(cx.waker().clone());
        drop(inbox);
        self.poll_silence(cx).map(|()| Ok(None))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>> {
        loop {
            if let Some(blocked) = &mut self.blocked {
                let result = ready!(blocked.as_mut().poll(cx));
                self.blocked = None;
                result?;
            }
            match self.hub.socket.try_send_to(datagram, self.addr) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let hub = self.hub.clone();
                    self.blocked = Some(Box::pin(async move { hub.socket.writable().await }));
                }
                result => {
                    self.used_at = Instant::now();
                    return Poll::Ready(result.map(|_| ()));
                }
            }
        }
    }

    fn limit(&self) -> usize {
        limit(self.addr)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        lock(&self.hub.inboxes).remove(&self.addr);
        let mut inbox = lock(&self.inbox);
        inbox.datagrams = VecDeque::new();
        self.hub.holding.sub(std::mem::take(&mut inbox.bytes));
    }
}
