//! `unix:` and `unix-l:`: Unix stream sockets by path or, on Linux, by abstract name (`@name`).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use super::tcp::DialOptions;
use super::{
    Accept, Agreed, Bound, BoxFuture, Dial, Endpoint, Facts, Handshake, Listen, Offer, Scheme,
    Settings, descriptor, read_framing, read_options,
};
use crate::address::{Address, AddressError};
use crate::caller::{Caller, Source};
use crate::ending::{Cause, Ending, errno_text};
use crate::framing::{self, Framing};
use crate::http::page::Page;
use crate::peer::{ByteStream, During, Opened, StreamFacts, gone};
use crate::sendqueue;
use crate::steps::Step;
use crate::word::{Word, joined};

/// `unix:`
pub const DIAL: Scheme = Scheme {
    names: &[
        "unix",
        "unix-connect",
        "connect-unix",
        "unix-c",
        "c-unix",
        "abstract",
        "abstract-connect",
        "abstract-c",
    ],
    syntax: "unix:PATH | unix:@NAME",
    summary: "Connect to a Unix stream socket, by path or abstract name",
    example: "wsbridge ws-l:8080 unix:/run/app.sock",
    is_raw: false,
    options: &[DialOptions::augment_args, framing::Options::augment_args],
    build: build_dial,
};

/// `unix-l:`
pub const LISTEN: Scheme = Scheme {
    names: &[
        "unix-l",
        "unix-listen",
        "listen-unix",
        "l-unix",
        "abstract-l",
        "abstract-listen",
        "l-abstract",
    ],
    syntax: "unix-l:PATH | unix-l:@NAME",
    summary: "Accept connections on a Unix stream socket; a stale one is replaced, ours is removed at the end",
    example: "wsbridge unix-l:/tmp/app.sock ws://example.com/app",
    is_raw: false,
    options: &[ListenOptions::augment_args, framing::Options::augment_args],
    build: build_listen,
};

/// Options of a listening Unix socket.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ListenOptions {
    /// Permissions of the socket, in octal (default: 600)
    ///
    /// Without it only the user who runs the bridge and root may connect. 660 allows the group, 666 allows every user.
    #[arg(long, value_name = "OCTAL", value_parser = parse_mode, help_heading = "Listening")]
    pub mode: Option<u32>,
}

const BACKLOG: i32 = 4096;
/// The permissions of a socket for which none were asked for: those under a umask of 0177.
const OWN_MODE: u32 = 0o600;
/// How long a full backlog is given before the next try.
pub(super) const BACKLOG_PAUSE: Duration = Duration::from_millis(20);

fn parse_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("is no mode; 600 and 660 are, octal numbers up to 777".to_owned()),
    }
}

/// The place of a socket: `@name` and websocat's `abstract:name` are abstract.
pub(super) fn place(address: &Address) -> Result<OsString, AddressError> {
    if address.place.is_empty() {
        return Err(address.place_error("the path of a socket is missing"));
    }
    if address.place.has_byte(0) {
        return Err(address.place_error("a path has no NUL byte"));
    }
    let is_abstract = address.word.to_ascii_lowercase().contains("abstract");
    let place = match is_abstract && address.place.without_prefix("@").is_none() {
        true => joined(["@".as_ref(), &address.place]),
        false => address.place.clone(),
    };
    if sock_addr(&place).is_err() {
        let what = "the path of a socket has 107 bytes at most; a shorter one may lead to the same folder by a link";
        return Err(address.place_error(what));
    }
    Ok(place)
}

/// The socket address; an abstract one begins with a NUL byte (unix(7)).
pub(super) fn sock_addr(place: &OsStr) -> io::Result<SockAddr> {
    match place.without_prefix("@") {
        Some(name) => SockAddr::unix(joined(["\0".as_ref(), name])),
        None => SockAddr::unix(place),
    }
}

fn build_dial(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let framing = read_framing(&DIAL, address, settings, Framing::BYTES)?;
    let dial = UnixDial {
        name: Address::shown(&address.text),
        place: place(address)?,
        options: read_options(&DIAL, address, settings)?,
        framing,
    };
    let facts = Facts {
        framing: Some(framing),
        is_fresh_stream: true,
        can_half_close: framing.can_half_close(),
        ..Facts::default()
    };
    Ok(Endpoint::dial(dial, facts))
}

fn build_listen(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let framing = read_framing(&LISTEN, address, settings, Framing::BYTES)?;
    let listen = UnixListen {
        name: Address::shown(&address.text),
        place: place(address)?,
        options: read_options(&LISTEN, address, settings)?,
        framing,
    };
    let facts = Facts {
        framing: Some(framing),
        ..Facts::default()
    };
    Ok(Endpoint::listen(listen, facts))
}

struct UnixDial {
    name: String,
    place: OsString,
    options: DialOptions,
    framing: Framing,
}

impl Dial for UnixDial {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            let deadline = self.options.connect_timeout;
            let result = match timeout(deadline, connect(&self.place)).await {
                Ok(result) => result,
                Err(_) => Err(anyhow::Error::new(Cause::Timeout)
                    .context(format!("no answer within {deadline:?}"))),
            };
            let stream = result.with_context(|| format!("connecting to {}", self.name))?;
            Ok(Opened::bytes(stream, StreamFacts::of_bytes(self.framing)))
        })
    }
}

/// Connects to a socket by its path, or by its abstract name behind an `@`. It has no deadline.
///
/// # Errors
/// The system's reason, with [`Cause::Refused`].
pub(super) async fn connect(place: &OsStr) -> Result<Box<dyn ByteStream>> {
    let step = Step::begin("connect");
    match open(place).await {
        Ok(stream) => {
            step.done(|| Address::shown(place));
            Ok(Box::new(Connection {
                stream,
                is_unread: false,
                is_unwritten: false,
            }))
        }
        Err(error) => Err(anyhow::Error::new(Cause::Refused).context(refusal(place, &error))),
    }
}

/// Why nobody answers: of a socket that is left over the system says no more than of a file.
fn refusal(place: &OsStr, error: &io::Error) -> String {
    let reason = errno_text(error);
    if error.kind() != io::ErrorKind::ConnectionRefused {
        return reason;
    }
    match fs::metadata(place) {
        Ok(meta) if !meta.file_type().is_socket() => format!("{reason}, it is no socket"),
        Ok(_) => format!("{reason}, nobody listens on it any more"),
        Err(_) => reason,
    }
}

async fn open(place: &OsStr) -> io::Result<UnixStream> {
    if place.without_prefix("@").is_none() {
        loop {
            match UnixStream::connect(place).await {
                // Its backlog is full, and there is no event for when it no longer is.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sleep(BACKLOG_PAUSE).await;
                }
                other => return other,
            }
        }
    }
    // An abstract connect is answered by the kernel at once; a full backlog makes it wait on a thread.
    let addr = sock_addr(place)?;
    let connected = tokio::task::spawn_blocking(move || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.connect(&addr)?;
        socket.set_nonblocking(true)?;
        Ok::<_, io::Error>(socket)
    });
    let socket = connected.await.map_err(io::Error::other)??;
    UnixStream::from_std(StdStream::from(OwnedFd::from(socket)))
}

struct UnixListen {
    name: String,
    place: OsString,
    options: ListenOptions,
    framing: Framing,
}

impl Listen for UnixListen {
    fn bind(&self, _page: Option<Page>) -> BoxFuture<'_, Result<Bound>> {
        Box::pin(async {
            let sockets = self
                .open()
                .with_context(|| format!("listening on {}", self.name))?;
            let (access, place) = told(sockets._file.as_ref(), &self.place);
            Ok(Bound {
                accept: Box::new(sockets),
                places: vec![format!("unix:{place}")],
                page_place: None,
                is_exposed: false,
                access: Some(access),
                is_restricted: false,
            })
        })
    }
}

impl UnixListen {
    fn open(&self) -> Result<UnixAccept> {
        let (socket, file) = listen(&self.place, self.options.mode, Type::STREAM)?;
        Ok(UnixAccept {
            socket,
            _file: file,
            framing: self.framing,
        })
    }
}

/// Says who may connect to a listening socket, and where it is.
pub(super) fn told(file: Option<&SocketFile>, place: &OsStr) -> (String, String) {
    let place = file.map_or(place, SocketFile::path);
    (access(file), place.escaped())
}

/// Says who may connect to a listening socket, by the permissions that its file has.
fn access(file: Option<&SocketFile>) -> String {
    let Some(file) = file else {
        return "every user of this machine may connect".to_owned();
    };
    let mode = fs::symlink_metadata(&file.path).map_or(0, |meta| meta.mode() & 0o777);
    match mode & 0o077 {
        0 => format!("mode {mode:o}: this user alone may connect, mode=666 lets others"),
        _ => format!("mode {mode:o}"),
    }
}

/// Opens a listening socket at a place, with its permissions, in place of a stale one.
///
/// # Errors
/// The system's reason, with a [`Cause`]; somebody who listens there, whatever is there and no socket.
pub(super) fn listen(
    place: &OsStr,
    mode: Option<u32>,
    kind: Type,
) -> Result<(UnixListener, Option<SocketFile>)> {
    let path = place
        .without_prefix("@")
        .is_none()
        .then(|| PathBuf::from(place));
    if let Some(path) = &path {
        remove_stale(path, kind)?;
    }
    let socket = bind(place, path.as_deref(), mode, kind)
        .map_err(|error| anyhow::Error::new(Cause::Refused).context(errno_text(&error)))?;
    let file = match path {
        Some(path) => {
            let meta = fs::symlink_metadata(&path).context("looking at the new socket")?;
            Some(SocketFile {
                path,
                identity: (meta.dev(), meta.ino()),
            })
        }
        None => None,
    };
    Ok((socket, file))
}

fn bind(
    place: &OsStr,
    path: Option<&Path>,
    mode: Option<u32>,
    kind: Type,
) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    // Linux takes the mode of the socket for that of its file, so that it is never open to others.
    // Elsewhere it fails, which does no harm: no other user can connect before listen.
    let _ = rustix::fs::fchmod(&socket, Mode::from_raw_mode(OWN_MODE));
    socket.bind(&sock_addr(place)?)?;
    if let Some(path) = path {
        // The umask that was inherited may have taken away what its owner needs.
        let mode = mode.unwrap_or(OWN_MODE);
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(StdListener::from(OwnedFd::from(socket)))
}

/// Removes a socket that nobody listens on; refuses one that lives and whatever is no socket.
fn remove_stale(path: &Path, kind: Type) -> Result<()> {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let refused = |what: &str| anyhow::Error::new(Cause::Refused).context(what.to_owned());
    if !meta.file_type().is_socket() {
        bail!(refused("it exists and is no socket"));
    }
    match probe(path, kind) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).context("removing the stale socket")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(()) => bail!(refused("address already in use: somebody listens on it")),
        // Its backlog is full: somebody listens, and is slow.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            bail!(refused("address already in use: somebody listens on it"))
        }
        Err(error) => bail!(refused(&errno_text(&error))),
    }
}

/// Connects without waiting, to see whether somebody listens.
fn probe(path: &Path, kind: Type) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// The path of our socket: removed when we are done, unless it is no longer ours.
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// The path itself.
    pub(super) fn path(&self) -> &OsStr {
        self.path.as_os_str()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity) {
            // If it can not be removed the next start finds it stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

struct UnixAccept {
    socket: UnixListener,
    _file: Option<SocketFile>,
    framing: Framing,
}

impl Accept for UnixAccept {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn Handshake>>> {
        Box::pin(async {
            let (stream, _) = self.socket.accept().await?;
            let handshake: Box<dyn Handshake> = Box::new(UnixHandshake {
                caller: Arc::new(Caller {
                    half_closes: self.framing.can_half_close(),
                    ..who(&stream)
                }),
                stream: stream.into_std()?,
                framing: self.framing,
            });
            Ok(handshake)
        })
    }
}

/// Whose process is at the other end of an accepted connection.
pub(super) fn who(stream: &UnixStream) -> Caller {
    let Ok(cred) = stream.peer_cred() else {
        return Caller::new("unix");
    };
    let uid = cred.uid();
    Caller {
        source: Source::Uid(uid),
        ..Caller::new(match cred.pid() {
            Some(pid) => format!("unix pid {pid} uid {uid}"),
            None => "unix".to_owned(),
        })
    }
}

struct UnixHandshake {
    /// It belongs to the runtime of the thread that shakes hands.
    stream: StdStream,
    framing: Framing,
    caller: Arc<Caller>,
}

impl Handshake for UnixHandshake {
    fn source(&self) -> Source {
        self.caller.source
    }

    fn shake(self: Box<Self>) -> BoxFuture<'static, Result<Option<Box<dyn Offer>>>> {
        Box::pin(async {
            let stream = UnixStream::from_std(self.stream)?;
            let offer: Box<dyn Offer> = Box::new(UnixOffer {
                stream: Connection {
                    stream,
                    is_unread: true,
                    is_unwritten: true,
                },
                framing: self.framing,
                caller: self.caller,
            });
            Ok(Some(offer))
        })
    }
}

struct UnixOffer {
    stream: Connection,
    framing: Framing,
    caller: Arc<Caller>,
}

impl Offer for UnixOffer {
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
        let facts = StreamFacts::of_bytes(self.framing);
        Box::pin(async { Ok(Opened::bytes(Box::new(self.stream), facts)) })
    }

    fn refuse(self: Box<Self>, _cause: Cause, _why: String) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

/// A Unix stream connection. It has no reset: an abort closes both directions at once, without a half-close before.
struct Connection {
    stream: UnixStream,
    /// Whether it was accepted and has not been read.
    is_unread: bool,
    /// Whether it was accepted and has not been written.
    is_unwritten: bool,
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
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn queued(&self) -> usize {
        sendqueue::len(&self.stream).unwrap_or(0)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.stream.as_fd())
    }

    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        gone(self.descriptor())
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn is_closed(&self) -> bool {
        is_hung_up(&self.stream)
    }
}

/// Whether the peer of a Unix socket has closed it, rather than only ended its direction.
pub(super) fn is_hung_up(socket: impl AsFd) -> bool {
    let mut sockets = [PollFd::new(&socket, PollFlags::empty())];
    let at_once = Timespec::default();
    poll(&mut sockets, Some(&at_once)).is_ok() && sockets[0].revents().contains(PollFlags::HUP)
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
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
