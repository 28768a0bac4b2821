//! `ws-c:` and `ws-u:`: a WebSocket over any endpoint of bytes, as its client or its server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;

use super::request::{self, Saying};
use super::target::Target;
use super::{HandshakeOptions, ListenOptions, Shared, Transport, WsDial, shake};
use crate::address::Address;
use crate::caller::{Caller, Source};
use crate::endpoint::{
    Accept, Agreement, Bound, BoxFuture, Dial, Endpoint, Facts, Handshake, Listen, Offer, Outlet,
    Scheme, Serve, Settings, read_options,
};
use crate::http::page::Page;
use crate::peer::{ByteStream, Opened};

/// `ws-c:`
pub const CLIENT: Scheme = Scheme {
    names: &["ws-c", "c-ws", "ws-connect", "connect-ws"],
    syntax: "ws-c:ENDPOINT",
    summary: "Be a WebSocket client over another endpoint; --uri says what to ask for",
    example: "wsbridge ws-c:unix:/run/app.sock,uri=ws://app/chat",
    is_raw: false,
    options: &[
        HandshakeOptions::augment_args,
        request::Options::augment_args,
        Options::augment_args,
    ],
    build: build_client,
};

/// `ws-u:`
pub const SERVER: Scheme = Scheme {
    names: &["ws-u", "u-ws", "ws-upgrade", "upgrade-ws"],
    syntax: "ws-u:ENDPOINT",
    summary: "Be a WebSocket server over another endpoint: - under inetd, a Unix socket",
    example: "wsbridge ws-u:unix-l:/tmp/app.sock tcp:localhost:6379",
    is_raw: false,
    options: &[HandshakeOptions::augment_args, ListenOptions::augment_args],
    build: build_server,
};

/// Options of a client that does not connect itself.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "WebSocket client")]
pub(super) struct Options {
    /// Ask for this host and path over ws-c:
    #[arg(long, value_name = "URL", default_value = "ws://localhost/")]
    uri: String,
}

fn inner(settings: &Settings) -> Result<Endpoint> {
    // The table of schemes builds what is wrapped first.
    let inner = settings.inner.clone();
    inner.ok_or_else(|| anyhow!("there is no endpoint to wrap"))
}

fn build_client(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let Endpoint::Dial(inner) = inner(settings)? else {
        let what = "ws-c: is a client and can not wrap what listens; ws-u: is a server";
        return Err(address.place_error(what).into());
    };
    let options: Options = read_options(&CLIENT, address, settings)?;
    let uri = Address::parse(&options.uri, true);
    let is_secure = match uri.word.to_ascii_lowercase().as_str() {
        "ws" | "http" if uri.is_url => false,
        "wss" | "https" if uri.is_url => true,
        _ => {
            let what = "--uri is written ws://HOST/PATH";
            let shown = Address::parse(&Address::without_password(&uri.text), true);
            return Err(shown.error(0..shown.text.len(), what).into());
        }
    };
    let (user_info, place) = uri.url_place()?;
    let target = Target::typed(&uri, place, is_secure)?;
    let dial = WsDial {
        name: Address::shown(&address.text),
        saying: Saying::read(&CLIENT, address, settings, &target.host, user_info)?,
        target,
        handshake: read_options(&CLIENT, address, settings)?,
        transport: Transport::Over(inner.dial.clone()),
    };
    let facts = Facts {
        agreement: Agreement::Opening,
        ..inner.facts.clone().below()
    };
    Ok(Endpoint::Dial(inner.over(Arc::new(dial), facts)))
}

fn build_server(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let options: ListenOptions = read_options(&SERVER, address, settings)?;
    options.origins()?;
    let server = Server {
        name: Address::shown(&address.text),
        handshake: read_options(&SERVER, address, settings)?,
        options,
    };
    Ok(match inner(settings)? {
        Endpoint::Dial(inner) => {
            let one = Arc::new(OneServer {
                server,
                inner: inner.dial.clone(),
                remote: inner.facts.remote,
            });
            let facts = inner.facts.clone().below();
            Endpoint::Dial(Outlet {
                offers: Some(one.clone()),
                ..inner.over(one, facts)
            })
        }
        Endpoint::Listen(inner) => {
            let inner = inner.listen;
            Endpoint::listen(ManyServer { server, inner }, Facts::default())
        }
    })
}

struct Server {
    name: String,
    handshake: HandshakeOptions,
    options: ListenOptions,
}

/// The bytes of a peer.
pub(super) fn bytes(opened: Opened) -> Result<Box<dyn ByteStream>> {
    let io = opened.into_bytes();
    io.context("a WebSocket is spoken over bytes, and these are messages")
}

/// A server on the one connection that another endpoint opens, which may be that of anybody: inetd's.
struct OneServer {
    server: Server,
    inner: Arc<dyn Dial>,
    remote: Option<SocketAddr>,
}

impl OneServer {
    /// Reads the request of the one who calls on the connection.
    async fn shake(&self, caller: &Caller) -> Result<Box<dyn Offer>> {
        let Server {
            name,
            handshake,
            options,
        } = &self.server;
        let from = self.remote.map(|addr| addr.to_string());
        let io = bytes(self.inner.dial(caller).await?)?;
        // A name that no page can have made its own is the safe way for whoever calls.
        let shared = Arc::new(Shared::new(handshake, options, true)?);
        let caller = Caller::new(from.unwrap_or_else(|| name.clone()));
        let offer = shake(io, caller, shared.deadline, shared).await?;
        offer.with_context(|| format!("{name}: the caller was refused"))
    }
}

impl Dial for OneServer {
    fn dial<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async { self.shake(caller).await?.accept().await })
    }
}

impl Serve for OneServer {
    fn offer<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Box<dyn Offer>>> {
        Box::pin(self.shake(caller))
    }
}

struct ManyServer {
    server: Server,
    inner: Arc<dyn Listen>,
}

impl Listen for ManyServer {
    fn bind(&self, page: Option<Page>) -> BoxFuture<'_, Result<Bound>> {
        Box::pin(async {
            let inner = self.inner.bind(None).await?;
            let Server {
                handshake, options, ..
            } = &self.server;
            let is_loopback = !inner.is_exposed;
            let mut shared = Shared::new(handshake, options, is_loopback)?;
            shared.warn();
            shared.take_page(page);
            let places = inner.places.iter();
            Ok(Bound {
                places: places.map(|place| format!("ws-u:{place}")).collect(),
                page_place: page_place(&shared, &inner.places),
                is_restricted: shared.has_names() || inner.is_restricted,
                accept: Box::new(OverAccept {
                    inner: inner.accept,
                    shared: Arc::new(shared),
                }),
                ..inner
            })
        })
    }
}

/// Where a browser finds the page, if there is one, of a server over sockets at these places.
fn page_place(shared: &Shared, places: &[String]) -> Option<String> {
    shared.service.page.as_ref()?;
    let place = places.first()?;
    let (scheme, rest) = match (place.strip_prefix("tcp:"), place.strip_prefix("tls:")) {
        (Some(rest), _) => ("http", rest),
        (_, Some(rest)) => ("https", rest),
        // No browser reaches a Unix socket.
        _ => return None,
    };
    let path = shared.service.path.as_deref().unwrap_or("");
    Some(format!(
        "{scheme}://{}{path}",
        rest.replacen('*', "localhost", 1)
    ))
}

struct OverAccept {
    inner: Box<dyn Accept>,
    shared: Arc<Shared>,
}

impl Accept for OverAccept {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn Handshake>>> {
        Box::pin(async {
            let handshake: Box<dyn Handshake> = Box::new(OverHandshake {
                inner: self.inner.accept().await?,
                shared: self.shared.clone(),
            });
            Ok(handshake)
        })
    }
}

struct OverHandshake {
    inner: Box<dyn Handshake>,
    shared: Arc<Shared>,
}

impl Handshake for OverHandshake {
    fn source(&self) -> Source {
        self.shared.source_of(self.inner.source())
    }

    fn shake(self: Box<Self>) -> BoxFuture<'static, Result<Option<Box<dyn Offer>>>> {
        Box::pin(async move {
            let Some(offer) = self.inner.shake().await? else {
                return Ok(None);
            };
            let caller = Caller::clone(offer.caller());
            let io = bytes(offer.accept().await?)?;
            shake(io, caller, self.shared.deadline, self.shared).await
        })
    }
}
