//! `unix-dgram:`, `seqpacket:` and `seqpacket-l:`: Unix sockets that keep the boundaries of messages.

use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, Result};
use bytes::BytesMut;
use clap::Args;
use rustix::net::{RecvAncillaryBuffer, RecvFlags};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::{UnixDatagram, UnixListener};
use tokio::time::{sleep, timeout};

use super::datagram::{self, Carrier, Datagrams};
use super::tcp::DialOptions;
use super::unix::{self, BACKLOG_PAUSE, ListenOptions, SocketFile, sock_addr};
use super::{
    Accept, Agreed, Bound, BoxFuture, Dial, Endpoint, Facts, Handshake, Listen, Offer, Scheme,
    Settings, read_options,
};
use crate::address::Address;
use crate::caller::{Caller, Source};
use crate::ending::{Cause, Ending, errno_text};
use crate::http::page::Page;
use crate::memory::Memory;
use crate::message::Kind;
use crate::peer::Opened;

/// `unix-dgram:`
pub const DATAGRAM: Scheme = Scheme {
    names: &["unix-dgram", "abstract-dgram"],
    syntax: "unix-dgram:PATH | unix-dgram:@NAME",
    summary: "Send each message to a Unix datagram socket, from an address that answers reach",
    example: "wsbridge ws-l:8080 unix-dgram:/run/app.sock",
    is_raw: false,
    options: &[DialOptions::augment_args, datagram::Options::augment_args],
    build: |address, settings| build_dial(&DATAGRAM, Type::DGRAM, address, settings),
};

/// `seqpacket:`
pub const DIAL: Scheme = Scheme {
    names: &[
        "seqpacket",
        "seqpacket-connect",
        "connect-seqpacket",
        "seqpacket-c",
        "c-seqpacket",
        "abstract-seqpacket",
    ],
    syntax: "seqpacket:PATH | seqpacket:@NAME",
    summary: "Connect to a Unix socket that keeps messages whole; empty ones are kept too",
    example: "wsbridge ws-l:8080 seqpacket:/run/app.sock",
    is_raw: false,
    options: &[DialOptions::augment_args, datagram::Options::augment_args],
    build: |address, settings| build_dial(&DIAL, Type::SEQPACKET, address, settings),
};

/// `seqpacket-l:`
pub const LISTEN: Scheme = Scheme {
    names: &[
        "seqpacket-l",
        "seqpacket-listen",
        "listen-seqpacket",
        "l-seqpacket",
        "abstract-seqpacket-l",
    ],
    syntax: "seqpacket-l:PATH | seqpacket-l:@NAME",
    summary: "Accept connections on a Unix socket that keeps messages whole",
    example: "wsbridge seqpacket-l:/tmp/app.sock ws://example.com/app",
    is_raw: false,
    options: &[ListenOptions::augment_args, datagram::Options::augment_args],
    build: |address, settings| {
        let listen = SeqpacketListen {
            name: Address::shown(&address.text),
            place: unix::place(address)?,
            options: read_options(&LISTEN, address, settings)?,
            kind: read_options::<datagram::Options>(&LISTEN, address, settings)?.kind(),
            memory: settings.memory.clone(),
        };
        Ok(Endpoint::listen(listen, Facts::default()))
    },
};

/// What Linux keeps of the send buffer for itself (`unix_dgram_sendmsg`).
const OVERHEAD: usize = if cfg!(target_os = "linux") { 32 } else { 0 };

fn build_dial(
    scheme: &Scheme,
    socket: Type,
    address: &Address,
    settings: &Settings,
) -> Result<Endpoint> {
    let dial = PacketDial {
        name: Address::shown(&address.text),
        place: unix::place(address)?,
        socket,
        options: read_options(scheme, address, settings)?,
        kind: read_options::<datagram::Options>(scheme, address, settings)?.kind(),
        memory: settings.memory.clone(),
    };
    Ok(Endpoint::dial(dial, Facts::default()))
}

struct PacketDial {
    name: String,
    place: OsString,
    socket: Type,
    options: DialOptions,
    kind: Kind,
    memory: Memory,
}

impl Dial for PacketDial {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            let limit = self.options.connect_timeout;
            let connected = match timeout(limit, self.connect()).await {
                Ok(connected) => connected.map_err(|error| {
                    anyhow::Error::new(Cause::Refused).context(errno_text(&error))
                }),
                Err(_) => Err(anyhow::Error::new(Cause::Timeout)
                    .context(format!("no answer within {limit:?}"))),
            };
            let packets = connected.with_context(|| format!("connecting to {}", self.name))?;
            let stream = Datagrams::new(Box::new(packets), self.kind, &self.memory);
            Ok(stream.into())
        })
    }
}

impl PacketDial {
    async fn connect(&self) -> io::Result<Packets> {
        let addr = sock_addr(&self.place)?;
        let is_connection = self.socket == Type::SEQPACKET;
        loop {
            let socket = Socket::new(Domain::UNIX, self.socket, None)?;
            socket.set_nonblocking(true)?;
            if !is_connection && cfg!(target_os = "linux") {
                // Without a name the kernel chooses an abstract one (unix(7), autobind); answers go there.
                socket.bind(&SockAddr::unix("")?)?;
            }
            match socket.connect(&addr) {
                // Its backlog is full, and there is no event for when it no longer is.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sleep(BACKLOG_PAUSE).await;
                }
                connected => {
                    connected?;
                    return Packets::new(socket.into(), is_connection);
                }
            }
        }
    }
}

/// A connected Unix socket of datagrams or of packets in sequence; the same calls serve both.
struct Packets {
    socket: UnixDatagram,
    /// Whether it is a connection, which has an end.
    is_connection: bool,
    limit: usize,
}

impl Packets {
    fn new(fd: OwnedFd, is_connection: bool) -> io::Result<Packets> {
        let socket = UnixDatagram::from_std(StdDatagram::from(fd))?;
        #[cfg(target_os = "linux")]
        if is_connection {
            // Who sent it comes with every packet, an empty one too, but not with the end: only this tells them apart.
            rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        }
        let limit = SockRef::from(&socket).send_buffer_size()?;
        Ok(Packets {
            socket,
            is_connection,
            limit: limit.saturating_sub(OVERHEAD),
        })
    }

    /// Receives a packet, whatever its length; `None` is the end.
    fn receive(&self) -> io::Result<Option<BytesMut>> {
        let Some(len) = self.peek()? else {
            return Ok(None);
        };
        let mut packet = BytesMut::zeroed(len);
        let (count, _) = rustix::net::recv(&self.socket, &mut packet[..], RecvFlags::DONTWAIT)?;
        packet.truncate(count);
        Ok(Some(packet))
    }

    /// Looks how long the next packet is.
    fn peek(&self) -> io::Result<Option<usize>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut sender = RecvAncillaryBuffer::new(&mut space);
        let flags =
            RecvFlags::PEEK | RecvFlags::TRUNC | RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let packet = rustix::net::recvmsg(&self.socket, &mut [], &mut sender, flags)?;
        let is_packet = packet.bytes > 0 || !self.is_connection || sender.drain().next().is_some();
        Ok(is_packet.then_some(packet.bytes))
    }
}

impl Carrier for Packets {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<BytesMut>>> {
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            match self.socket.try_io(Interest::READABLE, || self.receive()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>> {
        self.socket.poll_send(cx, datagram).map_ok(|_| ())
    }

    /// A connection is half-closed; it has no reset, so that an abort closes both directions at once.
    fn end(&mut self, why: &Ending) -> io::Result<()> {
        if self.is_connection && !why.is_abort() {
            self.socket.shutdown(std::net::Shutdown::Write)?;
        }
        Ok(())
    }

    fn limit(&self) -> usize {
        self.limit
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.is_connection.then(|| self.socket.as_fd())
    }

    fn has_no_end(&self) -> bool {
        !self.is_connection
    }

    fn is_closed(&self) -> bool {
        self.is_connection && unix::is_hung_up(&self.socket)
    }
}

struct SeqpacketListen {
    name: String,
    place: OsString,
    options: ListenOptions,
    kind: Kind,
    memory: Memory,
}

impl Listen for SeqpacketListen {
    fn bind(&self, _page: Option<Page>) -> BoxFuture<'_, Result<Bound>> {
        Box::pin(async {
            let (socket, file) = unix::listen(&self.place, self.options.mode, Type::SEQPACKET)
                .with_context(|| format!("listening on {}", self.name))?;
            let (access, place) = unix::told(file.as_ref(), &self.place);
            let accept = SeqpacketAccept {
                socket,
                _file: file,
                kind: self.kind,
                memory: self.memory.clone(),
            };
            Ok(Bound {
                accept: Box::new(accept),
                places: vec![format!("seqpacket:{place}")],
                page_place: None,
                is_exposed: false,
                access: Some(access),
                is_restricted: false,
            })
        })
    }
}

struct SeqpacketAccept {
    socket: UnixListener,
    /// Removed when we are done.
    _file: Option<SocketFile>,
    kind: Kind,
    memory: Memory,
}

impl Accept for SeqpacketAccept {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn Handshake>>> {
        Box::pin(async {
            let (stream, _) = self.socket.accept().await?;
            let caller = Arc::new(Caller {
                half_closes: true,
                ..unix::who(&stream)
            });
            Ok(Box::new(SeqpacketHandshake {
                fd: stream.into_std()?.into(),
                kind: self.kind,
                memory: self.memory.clone(),
                caller,
            }) as Box<dyn Handshake>)
        })
    }
}

struct SeqpacketHandshake {
    /// It belongs to the runtime of the thread that shakes hands.
    fd: OwnedFd,
    kind: Kind,
    memory: Memory,
    caller: Arc<Caller>,
}

impl Handshake for SeqpacketHandshake {
    fn source(&self) -> Source {
        self.caller.source
    }

    fn shake(self: Box<Self>) -> BoxFuture<'static, Result<Option<Box<dyn Offer>>>> {
        Box::pin(async {
            let offer: Box<dyn Offer> = Box::new(SeqpacketOffer {
                packets: Packets::new(self.fd, true)?,
                kind: self.kind,
                memory: self.memory,
                caller: self.caller,
            });
            Ok(Some(offer))
        })
    }
}

struct SeqpacketOffer {
    packets: Packets,
    kind: Kind,
    memory: Memory,
    caller: Arc<Caller>,
}

impl Offer for SeqpacketOffer {
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
            let stream = Datagrams::new(Box::new(self.packets), self.kind, &self.memory);
            Ok(stream.into())
        })
    }

    fn refuse(self: Box<Self>, _cause: Cause, _why: String) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}
