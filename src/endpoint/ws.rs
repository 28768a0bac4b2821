//! `ws-l:` and `ws://`: WebSocket servers and clients.

mod netrc;
pub mod over;
mod page;
mod proxies;
mod request;
pub mod secure;
mod target;

use std::io;
use std::mem::take;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, Command, ValueEnum};
use http::header::{HOST, ORIGIN};
use tokio::time::{Instant, timeout};
use tracing::field::display;
use tracing::{debug, info, warn};

use self::page::PageChoice;
use self::proxies::TrustedProxy;
use self::request::{Request, Saying};
use self::target::Target;
use super::proxy::Traffic;
use super::reconnect;
use super::route::{self, Route};
use super::tcp::{Accepted, DialOptions, Listeners};
use super::{
    Accept, Agreed, Agreement, Bound, BoxFuture, Dial, Endpoint, Facts, Handshake, Listen, Offer,
    Outlet, Scheme, Settings, read_options,
};
use crate::address::{Address, AddressError, parse_duration};
use crate::caller::{Caller, Source};
use crate::ending::Cause;
use crate::framing::ChunkOptions;
use crate::http::client::{self, Answer, Call};
use crate::http::page::Page;
use crate::http::policy::origin::{HostRule, OriginRule};
use crate::http::policy::{Policy, machine};
use crate::http::refusal::Refusal;
use crate::http::server::{Pending, Received, Service, Upgrade};
use crate::http::{hidden, is_token, offered_protocols};
use crate::log::REFUSALS;
use crate::peer::{ByteStream, Opened};
use crate::reread::Rereads;
use crate::secret;
use crate::shown::Shown;
use crate::tls;
use crate::ws::{self, Role, Socket};

/// `ws-l:`
pub const LISTEN: Scheme = Scheme {
    names: &["ws-l", "ws-listen", "listen-ws", "l-ws"],
    syntax: "ws-l:[HOST:]PORT[/PATH]",
    summary: "Accept WebSockets; without HOST on loopback, with * on all interfaces",
    example: "wsbridge ws-l:8080 tcp:localhost:6379",
    is_raw: false,
    options: &[HandshakeOptions::augment_args, ListenOptions::augment_args],
    build: |address, settings| build_listen(&LISTEN, address, settings),
};

/// `ws://`
pub const DIAL: Scheme = Scheme {
    names: &["ws"],
    syntax: "ws://HOST[:PORT][/PATH][#OPTIONS]",
    summary: "Connect to a WebSocket server; without PATH ask for what the caller asks for",
    example: "wsbridge ws://localhost:8080/chat",
    is_raw: false,
    options: DIAL_OPTIONS,
    build: |address, settings| build_dial(&DIAL, address, settings),
};

/// Those of `ws://` and `wss://`: a redirect may lead from the one to the other.
const DIAL_OPTIONS: &[fn(Command) -> Command] = &[
    HandshakeOptions::augment_args,
    request::Options::augment_args,
    DialOptions::augment_args,
    route::Options::augment_args,
    tls::client::Options::augment_args,
    reconnect::Options::augment_args,
    reconnect::Limits::augment_args,
];

/// What the options of a server stand under in the help.
pub const SERVER_HEADING: &str = "WebSocket server";
/// Redirects that are followed at most.
const MAX_REDIRECTS: usize = 10;

/// Options of both roles.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct HandshakeOptions {
    /// Give up on an opening handshake after this time
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration, help_heading = "WebSocket")]
    pub handshake_timeout: Duration,
    /// Offer these subprotocols, or as a server choose among them; best first
    ///
    /// A server without it answers with the first that is offered and that needs nothing of the bridge (base64 would). In front
    /// of another server it answers with what that one agreed to; where that agreed to none, with one of these names, or with
    /// none. The names may stand as in the header, with blanks between them.
    /// Example: --protocol mqtt,mqttv3.1
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_token, help_heading = "WebSocket")]
    pub protocol: Vec<String>,
    /// Send a ping after this much silence; 0 sends none
    ///
    /// A peer that has taken the ping and is silent for as long again is dead; it has more time where much was sent before the
    /// ping. Any byte counts as life, and so does what its system acknowledges: a slow reader is never dead, a peer that is out
    /// of reach is after twice this time. Each silence is broken a little earlier, by up to a quarter, so that many connections
    /// do not ping in one instant; -v tells how long the pong took.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration, help_heading = "WebSocket")]
    pub ping: Duration,
    /// Whether to carry half-closes to another wsbridge: auto or no
    ///
    /// A WebSocket's Close ends both directions. Two bridges agree in the handshake to tell the end of one direction by a
    /// marker frame, so that a service is heard which answers after the end of input. The marker has a reserved bit; no is
    /// for proxies that refuse it. -n and --linger leave it out, too.
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "WebSocket"
    )]
    pub half_close: HalfClose,
    #[command(flatten)]
    chunk: ChunkOptions,
}

/// Whether the half-close extension is agreed to.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfClose {
    /// Where both sides can.
    Auto,
    /// Never.
    No,
}

/// Options of a WebSocket server.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = SERVER_HEADING)]
pub struct ListenOptions {
    /// Upgrade this path only; others get 404
    ///
    /// Paths are compared percent-decoded: /ü is /%C3%BC.
    #[arg(long, value_name = "PATH", value_parser = parse_path)]
    pub path: Option<String>,
    /// Let pages of this origin connect (repeatable; * is any), or as a client connect as one of them
    ///
    /// https://*.example.com stands for all names below example.com, :* for any port; null, file://, app://x and
    /// chrome-extension://ID are origins too. Pages of the same host and port always may, and on a loopback bind pages of this
    /// machine. Clients other than browsers send no Origin and may connect too. Between a server and a client it is the
    /// server's; the client's is -o right.origin=URL. Example: --origin https://app.example.com
    #[arg(long, value_name = "URL")]
    pub origin: Vec<String>,
    /// Let no pages connect but those of --origin, not even those of this server or of this machine
    #[arg(long)]
    pub origin_only: bool,
    /// Answer for this host name (repeatable; * is any)
    ///
    /// Answered anyway are IP addresses, localhost, names without a dot, this machine's names and those of the certificate, the
    /// hosts of --origin, and names below .localhost, .local, .internal, .home.arpa, .lan, .home and .localdomain. No page can
    /// have such a name and point it here (DNS rebinding). Any other is refused with 421: on a loopback bind always, elsewhere
    /// to pages and to requests that are no upgrade (a health check by a public name needs it). With --host others are refused
    /// to all. *.example.com stands for all names below example.com. Example: --host bridge.example.com
    #[arg(long, value_name = "NAME", value_parser = HostRule::parse)]
    pub host: Vec<HostRule>,
    /// Take the word of these proxies for what they were asked for, and by whom
    ///
    /// Addresses and networks with commas between them; unix stands for all clients of a Unix socket. What such a proxy sends as
    /// X-Forwarded-Host is judged instead of Host, and its X-Forwarded-For is the caller's address. Example: --trusted-proxy 127.0.0.1,10.0.0.0/8
    #[arg(long, value_name = "ADDRS", value_delimiter = ',', value_parser = TrustedProxy::parse)]
    pub trusted_proxy: Vec<TrustedProxy>,
    /// Accept a caller before the target has been reached
    ///
    /// Without it a target that can not be reached is an HTTP 502 or 504. With it, a Close 1014 after the 101.
    #[arg(long)]
    pub accept_first: bool,
    /// What a browser gets that opens the address as a page (default: chat in front of hub:, else none)
    ///
    /// The chat page is one file without anything from elsewhere; it connects to the address that it was opened at. A path
    /// with a dot or a slash in it is an HTML file of your own, of at most 4 MiB, that is read anew for each browser; what it
    /// may do is not restricted, but no page of others may frame it. Example: --page examples/terminal.html
    #[arg(long, value_name = "chat|none|FILE", value_parser = OsStringValueParser::new().try_map(PageChoice::parse))]
    pub page: Option<PageChoice>,
}

fn parse_token(text: &str) -> Result<String, String> {
    // As in the header, where a blank stands behind each comma.
    let text = text.trim();
    if !is_token(text) {
        return Err("is no subprotocol, which is one word such as mqtt".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_path(text: &str) -> Result<String, String> {
    let is_wrong = |c: char| c.is_control() || matches!(c, '?' | '#');
    match text.starts_with('/') && !text.contains(is_wrong) {
        true => Ok(text.to_owned()),
        false => Err("is no path, which begins with / and has no query".to_owned()),
    }
}

impl ListenOptions {
    /// Reads the origins of pages that may connect.
    ///
    /// # Errors
    /// One that no page can have.
    fn origins(&self) -> Result<Vec<OriginRule>, AddressError> {
        let read = |text: &String| {
            let wrong = |why| {
                let text = Shown::line(text);
                AddressError::elsewhere(format!("--origin: '{text}' {why}"))
            };
            OriginRule::parse(text).map_err(wrong)
        };
        let origins: Vec<_> = self.origin.iter().map(read).collect::<Result<_, _>>()?;
        if self.origin_only && origins.contains(&OriginRule::Any) {
            let what = "--origin-only and --origin * exclude each other";
            return Err(AddressError::elsewhere(what.to_owned()));
        }
        Ok(origins)
    }
}

impl HandshakeOptions {
    fn socket(&self) -> ws::Options {
        ws::Options {
            ping: (!self.ping.is_zero()).then_some(self.ping),
            chunk: self.chunk.size(),
        }
    }
}

fn build_listen(scheme: &Scheme, address: &Address, settings: &Settings) -> Result<Endpoint> {
    let place = address.host_port()?;
    let port = place
        .port
        .ok_or_else(|| address.place_error("a port is missing"))?;
    let mut options: ListenOptions = read_options(scheme, address, settings)?;
    options.origins()?;
    if !place.path.is_empty() && place.path != "/" {
        let path = parse_path(&place.path);
        let wrong = |what| address.place_error(format!("'{}' {what}", place.path));
        options.path = Some(path.map_err(wrong)?);
    }
    let listen = WsListen {
        name: Address::shown(&address.text),
        tls: secure::server(scheme, address, settings, place.host.as_deref())?,
        host: place.host,
        port,
        handshake: read_options(scheme, address, settings)?,
        options,
        rereads: settings.rereads.clone(),
    };
    Ok(Endpoint::listen(listen, Facts::default()))
}

struct WsListen {
    name: String,
    host: Option<String>,
    port: u16,
    handshake: HandshakeOptions,
    options: ListenOptions,
    tls: Option<Arc<tls::server::Server>>,
    rereads: Rereads,
}

impl Listen for WsListen {
    fn bind(&self, page: Option<Page>) -> BoxFuture<'_, Result<Bound>> {
        Box::pin(async {
            let sockets = Listeners::bind(self.host.as_deref(), self.port)
                .await
                .with_context(|| format!("listening on {}", self.name))?;
            let is_loopback = sockets.is_loopback();
            if let Some(tls) = &self.tls {
                super::tls::announce(tls, &self.rereads);
            }
            let mut shared = Shared::new(&self.handshake, &self.options, is_loopback)?;
            shared.warn();
            shared.take_page(page);
            let scheme = if self.tls.is_some() { "wss" } else { "ws" };
            let path = shared.service.path.as_deref().unwrap_or("");
            let places = sockets.places(scheme).into_iter();
            let places: Vec<_> = places.map(|place| format!("{place}{path}")).collect();
            let is_known = self.tls.as_ref().is_some_and(|tls| tls.admits_known_only());
            Ok(Bound {
                page_place: shared.page_place(&places),
                places,
                is_exposed: !is_loopback,
                access: None,
                is_restricted: is_known || shared.has_names(),
                accept: Box::new(WsAccept {
                    sockets,
                    tls: self.tls.clone(),
                    shared: Arc::new(shared),
                }),
            })
        })
    }
}

/// What all callers of a listener share.
struct Shared {
    service: Service,
    deadline: Duration,
    socket: ws::Options,
    half_close: HalfClose,
    accept_first: bool,
    /// Whether the page is the one that suits the other side, where there is one.
    has_any_page: bool,
    trusted_proxies: Vec<TrustedProxy>,
}

impl Shared {
    /// Makes it of options that were checked when they were read.
    fn new(
        handshake: &HandshakeOptions,
        options: &ListenOptions,
        is_loopback: bool,
    ) -> Result<Shared> {
        Ok(Shared {
            service: Service {
                policy: Policy {
                    is_loopback,
                    hosts: options.host.clone(),
                    origins: options.origins()?,
                    origin_only: options.origin_only,
                    own_names: machine::names(),
                },
                path: options.path.clone(),
                protocols: handshake.protocol.clone(),
                page: options.page.as_ref().and_then(PageChoice::page),
            },
            deadline: handshake.handshake_timeout,
            socket: handshake.socket(),
            half_close: handshake.half_close,
            accept_first: options.accept_first,
            has_any_page: matches!(options.page, None | Some(PageChoice::Chat)),
            trusted_proxies: options.trusted_proxy.clone(),
        })
    }

    /// Whether it answers for certain names only.
    fn has_names(&self) -> bool {
        let hosts = &self.service.policy.hosts;
        !hosts.is_empty() && !hosts.contains(&HostRule::Any)
    }

    /// Says what an option of it opens.
    fn warn(&self) {
        if self.service.policy.hosts.contains(&HostRule::Any) {
            warn!(
                "--host *: a web page reaches this server by any name that is pointed to it (DNS rebinding); name hosts instead"
            );
        }
    }

    /// Whether a caller is a proxy that was named as one.
    fn trusts(&self, caller: &Caller) -> bool {
        self.trusted_proxies.iter().any(|proxy| proxy.is(caller))
    }

    /// Whose a connection is before anything of it is read: a trusted proxy's is that of somebody else.
    fn source_of(&self, source: Source) -> Source {
        match self
            .trusted_proxies
            .iter()
            .any(|proxy| proxy.may_be(source))
        {
            true => Source::Proxy,
            false => source,
        }
    }

    /// Takes the page that suits the other side, unless none or another is to be served.
    fn take_page(&mut self, page: Option<Page>) {
        if self.has_any_page && page.is_some() {
            self.service.page = page;
        }
    }

    /// Where a browser finds the page, if there is one, of a server that is at these places.
    fn page_place(&self, places: &[String]) -> Option<String> {
        self.service.page.as_ref()?;
        let place = places
            .first()?
            .strip_prefix("ws")?
            .replacen('*', "localhost", 1);
        Some(format!("http{place}"))
    }
}

struct WsAccept {
    sockets: Listeners,
    tls: Option<Arc<tls::server::Server>>,
    shared: Arc<Shared>,
}

impl Accept for WsAccept {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn Handshake>>> {
        Box::pin(async {
            let (stream, addr) = self.sockets.accept().await?;
            let handshake: Box<dyn Handshake> = Box::new(WsHandshake {
                stream,
                tls: self.tls.clone(),
                from: addr,
                shared: self.shared.clone(),
            });
            Ok(handshake)
        })
    }
}

struct WsHandshake {
    stream: Accepted,
    tls: Option<Arc<tls::server::Server>>,
    from: SocketAddr,
    shared: Arc<Shared>,
}

impl Handshake for WsHandshake {
    fn source(&self) -> Source {
        self.shared.source_of(Source::from(self.from.ip()))
    }

    fn shake(self: Box<Self>) -> BoxFuture<'static, Result<Option<Box<dyn Offer>>>> {
        Box::pin(async move {
            let begun = Instant::now();
            let deadline = self.shared.deadline;
            let mut caller = Caller::at(self.from);
            let mut io: Box<dyn ByteStream> = Box::new(self.stream.open()?);
            if let Some(tls) = self.tls {
                let opened = tls.accept(io, deadline).await;
                caller.is_secure = true;
                caller.server_names = tls.names();
                (io, caller.subject) =
                    opened.map_err(|error| super::tls::kept_out(&error, &caller))?;
            }
            let left = deadline.saturating_sub(begun.elapsed());
            shake(io, caller, left, self.shared).await
        })
    }
}

/// Reads a request of a caller within a deadline; `None` where it has been refused already.
async fn shake(
    io: Box<dyn ByteStream>,
    caller: Caller,
    deadline: Duration,
    shared: Arc<Shared>,
) -> Result<Option<Box<dyn Offer>>> {
    let caller = Caller {
        is_trusted_proxy: shared.trusts(&caller),
        ..caller
    };
    let mut upgrade = match Received::read(io, &shared.service, &caller, deadline).await {
        Ok(Received::Upgrade(upgrade)) => upgrade,
        Ok(Received::Page(page, request)) => {
            match request.show(page).await {
                Ok(()) => debug!("{}: has the page", caller.from),
                Err(error) if REFUSALS.admits() => {
                    warn!("{}: refused with {error:#}", caller.from);
                }
                Err(_) => {}
            }
            return Ok(None);
        }
        Ok(Received::Refused(refusal, request)) => {
            // At once: the answer may wait for a caller that does not take it.
            if REFUSALS.admits() {
                say_refused(&caller, &refusal, &request);
            }
            request.refuse(&refusal).await;
            return Ok(None);
        }
        // Who went away or spoke no HTTP is not worth a line.
        Err(error) => return Err(error.context(caller.from)),
    };
    let protocol = upgrade.protocol().map(str::to_owned);
    let caller = Arc::new(Caller {
        source: forwarded_address(&caller, &upgrade.request).unwrap_or(caller.source),
        uri: Some(take(&mut upgrade.request.uri)),
        headers: take(&mut upgrade.request.headers),
        // Who is accepted first has its answer before the other side is asked.
        protocols: match shared.accept_first {
            true => protocol.iter().cloned().collect(),
            false => upgrade.protocols().to_vec(),
        },
        is_protocol_told: upgrade.is_choice(),
        protocol,
        half_closes: upgrade.offers_half_close()
            && !shared.accept_first
            && shared.half_close == HalfClose::Auto,
        ..caller
    });
    Ok(Some(Box::new(WsOffer {
        upgrade,
        caller,
        shared,
        agreed_behind: None,
    })))
}

/// The address of the caller that a trusted proxy speaks for: the last one, which that proxy has seen itself.
fn forwarded_address(caller: &Caller, request: &Pending) -> Option<Source> {
    let value = request
        .headers
        .get_all("x-forwarded-for")
        .iter()
        .next_back()?;
    let last = value.to_str().ok()?.rsplit(',').next()?.trim();
    let addr = address_of(last).filter(|_| caller.is_trusted_proxy)?;
    Some(addr.into())
}

/// Reads an address as proxies write it: bare, in brackets, or with a port.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let addr: Option<SocketAddr> = text.parse().ok();
    bare.unwrap_or(text).parse().ok().or(addr.map(|it| it.ip()))
}

/// Says who was refused and why, with what was asked for: what to change for a page of one's own stands in the log alone.
fn say_refused(caller: &Caller, refusal: &Refusal, request: &Pending) {
    let header = |name| {
        let values = request.headers.get_all(&name).iter();
        let values: Vec<_> = values.map(|it| hidden::public(&name, it)).collect();
        (!values.is_empty()).then(|| display(Shown::word(&values.join(",")).to_string()))
    };
    warn!(
        path = %Shown::word(&Address::public_text(request.uri.path())),
        host = header(HOST),
        origin = header(ORIGIN),
        "{}: refused with {refusal}",
        caller.from
    );
}

struct WsOffer {
    upgrade: Upgrade,
    caller: Arc<Caller>,
    shared: Arc<Shared>,
    /// The subprotocol that the server behind has agreed to, `""` being none.
    agreed_behind: Option<String>,
}

impl WsOffer {
    /// Says that a caller offers subprotocols of which none is agreed to: a browser ends such a connection without a word.
    fn tell_unfit_protocols(&self) {
        let shown = |names: &[String]| secret::protocols(names.iter().map(String::as_str));
        let offered = shown(&offered_protocols(&self.caller.headers));
        if offered.is_empty() || self.upgrade.protocol().is_some() || !REFUSALS.admits() {
            return;
        }
        let offered = Shown::short(&offered);
        let served = shown(&self.shared.service.protocols);
        let behind = self.agreed_behind.as_deref().map(|name| match name {
            "" => "none".to_owned(),
            name => secret::protocols([name]),
        });
        let caller = &self.caller;
        match (
            served.is_empty(),
            self.upgrade.protocols().is_empty(),
            behind,
        ) {
            (false, true, _) => info!(
                "{caller}: offers the subprotocols {offered}; served is {served} (--protocol)"
            ),
            (true, true, _) => {
                info!("{caller}: offers '{offered}' as subprotocols, which are single words");
            }
            (_, false, Some(behind)) => info!(
                "{caller}: offers the subprotocols {offered}; the server behind agreed to {behind}"
            ),
            (_, false, None) => info!(
                "{caller}: offers the subprotocols {offered}, which are not spoken here; --protocol NAME agrees to one all the same"
            ),
        }
    }
}

impl Offer for WsOffer {
    fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    fn is_accepted_first(&self) -> bool {
        self.shared.accept_first
    }

    fn gone(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.upgrade.gone())
    }

    fn agree(&mut self, agreed: &Agreed<'_>) {
        if let Some(protocol) = agreed.protocol {
            self.agreed_behind = Some(protocol.to_owned());
            self.upgrade.agree_to(protocol);
        }
        if agreed.half_close && self.caller.half_closes {
            self.upgrade.agree_to_half_close();
        }
        if agreed.is_byte_stream {
            self.upgrade.tell_byte_target();
        }
    }

    fn accept(self: Box<Self>) -> BoxFuture<'static, Result<Opened>> {
        Box::pin(async {
            self.tell_unfit_protocols();
            let accepted = timeout(self.shared.deadline, self.upgrade.accept())
                .await
                .context("the caller does not take its answer")??;
            let (io, early) = (accepted.io, &accepted.early);
            let socket = Socket::new(io, early, Role::Server, self.shared.socket).of(&self.caller);
            Ok(match accepted.half_close {
                Some(took) => socket.with_half_close(took),
                None => socket,
            }
            .into())
        })
    }

    fn refuse(self: Box<Self>, cause: Cause, why: String) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let refusal = Refusal::told(cause.http_status(), why);
            self.upgrade.request.refuse(&refusal).await;
        })
    }
}

fn build_dial(scheme: &Scheme, address: &Address, settings: &Settings) -> Result<Endpoint> {
    let own = scheme.names[0];
    if !address.is_url {
        let what = format!(
            "a WebSocket client is written as a URL: {own}://HOST:PORT/PATH ({own}-l: is a server)"
        );
        return Err(address.place_error(what).into());
    }
    let (user_info, place) = address.url_place()?;
    let target = Target::typed(address, place, own == "wss")?;
    let saying = Saying::read(scheme, address, settings, &target.host, user_info)?;
    let tls = secure::client(scheme, address, settings, &saying.request())?;
    let name = Address::shown(&address.text);
    let dial = Arc::new(WsDial {
        name: name.clone(),
        saying,
        target,
        handshake: read_options(scheme, address, settings)?,
        transport: Transport::Route(
            Box::new(Route::read(scheme, address, settings)?),
            Box::new(tls),
        ),
    });
    let facts = Facts {
        agreement: Agreement::Opening,
        ..Facts::default()
    };
    let outlet = Outlet::new(dial, facts);
    Ok(match read_options(scheme, address, settings)? {
        reconnect::Options { reconnect: false } => Endpoint::Dial(outlet),
        _ => {
            let limits = read_options(scheme, address, settings)?;
            reconnect::over(outlet, name, limits, &settings.memory)
        }
    })
}

/// What a client speaks over.
enum Transport {
    /// Connections of its own, to whichever server, with TLS where that is wanted.
    Route(Box<Route>, Box<tls::client::Client>),
    /// Those of another endpoint, which lead to one server.
    Over(Arc<dyn Dial>),
}

struct WsDial {
    name: String,
    target: Target,
    saying: Arc<Saying>,
    handshake: HandshakeOptions,
    transport: Transport,
}

impl Dial for WsDial {
    fn dial<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            let opened = self.open(caller).await;
            opened.with_context(|| format!("connecting to {}", self.name))
        })
    }
}

impl WsDial {
    async fn open(&self, caller: &Caller) -> Result<Opened> {
        let (mut target, mut request) = (
            self.target.for_caller(caller)?,
            self.saying.request().for_caller(caller),
        );
        let protocols = self.handshake.offered(caller);
        let refused = |what: String| anyhow::Error::new(Cause::Redirect).context(what);
        for _ in 0..=MAX_REDIRECTS {
            let io = self.open_transport(&target, caller).await?;
            let answer = self
                .handshake
                .ask(io, &target, &request, &protocols, caller)
                .await?;
            let (status, location) = match answer {
                Answer::Open(opened) => {
                    return Ok(self.handshake.opened(opened, &self.name).of(caller).into());
                }
                Answer::Elsewhere(status, location) => (status, location),
            };
            let next = target.follow(&location).map_err(|what| {
                let location = Address::shown(&location);
                refused(format!("HTTP {status} leads to {location}: {what}"))
            })?;
            debug!("{}: HTTP {status} leads to {}", self.name, next.shown());
            if !next.is_same_server(&target) {
                request.forget();
            }
            target = next;
        }
        Err(refused(format!("more than {MAX_REDIRECTS} redirects")))
    }

    async fn open_transport(
        &self,
        target: &Target,
        caller: &Caller,
    ) -> Result<Box<dyn ByteStream>> {
        let refused = |what: &str| {
            anyhow::Error::new(Cause::Redirect).context(format!("{}: {what}", target.shown()))
        };
        match &self.transport {
            Transport::Over(inner) if target.is_same_server(&self.target) => {
                over::bytes(inner.dial(caller).await?)
            }
            Transport::Over(_) => Err(refused("another server can not be reached over it")),
            Transport::Route(route, tls) => {
                let traffic = match target.is_secure {
                    true => Traffic::SecureWeb,
                    false => Traffic::Web,
                };
                let io = route.open(traffic, &target.host, target.port).await?;
                match target.is_secure {
                    true => {
                        tls.connect(io, &target.host, self.handshake.handshake_timeout)
                            .await
                    }
                    false => Ok(io),
                }
            }
        }
    }
}

impl HandshakeOptions {
    /// The subprotocols that a client offers for a caller: its own, those alone that the caller offers too where there are any,
    /// or the caller's.
    fn offered(&self, caller: &Caller) -> Vec<String> {
        let own = &self.protocol;
        if own.is_empty() {
            return caller.protocols.clone();
        }
        let is_shared = |name: &&String| caller.protocols.contains(name);
        let shared: Vec<_> = own.iter().filter(is_shared).cloned().collect();
        if shared.is_empty() {
            own.clone()
        } else {
            shared
        }
    }

    /// Asks for the upgrade of a stream to a server.
    async fn ask(
        &self,
        io: Box<dyn ByteStream>,
        target: &Target,
        request: &Request,
        protocols: &[String],
        caller: &Caller,
    ) -> Result<Answer> {
        let call = Call {
            host: target.authority(),
            target: target.path.clone(),
            headers: request.headers.clone(),
            protocols: protocols.to_vec(),
            half_close: caller.half_closes && self.half_close == HalfClose::Auto,
            shows_head: request.shows_head,
            follows: request.follows,
        };
        client::upgrade(io, &call, self.handshake_timeout).await
    }

    /// Makes a WebSocket of what was opened, and says what became of the subprotocols.
    fn opened(&self, opened: client::Opened, name: &str) -> Socket {
        let chosen = opened.protocol.as_deref();
        match chosen.map(|name| secret::protocols([name])) {
            Some(protocol) if self.protocol.is_empty() => debug!("{name}: subprotocol {protocol}"),
            Some(protocol) if REFUSALS.admits() => info!("{name}: subprotocol {protocol}"),
            None if !self.protocol.is_empty() && REFUSALS.admits() => {
                let offered = secret::protocols(self.protocol.iter().map(String::as_str));
                warn!("{name}: the server ignored the subprotocols {offered}");
            }
            _ => {}
        }
        let socket = Socket::new(opened.io, &opened.early, Role::Client, self.socket())
            .agreed_to(opened.protocol.as_deref())
            .to_bytes(opened.is_byte_target);
        match opened.half_close {
            true => socket.with_half_close(opened.took),
            false => socket,
        }
    }
}
