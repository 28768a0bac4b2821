//! `tls:` and `tls-l:`: TLS over any endpoint of bytes, as its client or its server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    Accept, Agreed, Bound, BoxFuture, Dial, Endpoint, Facts, Handshake, Listen, Offer, Scheme,
    Settings, read_framing, read_options,
};
use crate::address::{Address, parse_duration};
use crate::caller::{Caller, Source};
use crate::ending::Cause;
use crate::framing::{self, Framing};
use crate::http::page::Page;
use crate::log::REFUSALS;
use crate::peer::{ByteStream, Opened, StreamFacts};
use crate::reread::Rereads;
use crate::tls::client::{self, Client};
use crate::tls::server::{self, Server};

/// `tls:`
pub const DIAL: Scheme = Scheme {
    names: &[
        "tls",
        "ssl",
        "tls-c",
        "tls-connect",
        "ssl-connect",
        "openssl",
    ],
    syntax: "tls:HOST:PORT | tls:ENDPOINT",
    summary: "Be a TLS client of a TCP server or over another endpoint",
    example: "wsbridge ws-l:8080 tls:imap.example.com:993",
    is_raw: false,
    options: &[
        Deadline::augment_args,
        client::Options::augment_args,
        framing::Options::augment_args,
    ],
    build: build_dial,
};

/// `tls-l:`
pub const LISTEN: Scheme = Scheme {
    names: &["tls-l", "tls-listen", "ssl-listen", "openssl-listen"],
    syntax: "tls-l:[HOST:]PORT | tls-l:ENDPOINT",
    summary: "Accept TLS over TCP or over another endpoint that listens",
    example: "wsbridge tls-l:8443,self-signed tcp:localhost:6379",
    is_raw: false,
    options: &[
        Deadline::augment_args,
        server::Options::augment_args,
        framing::Options::augment_args,
    ],
    build: build_listen,
};

/// The option of a handshake.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
struct Deadline {
    /// Give up on an opening handshake after this time
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration, help_heading = "WebSocket")]
    handshake_timeout: Duration,
}

fn build_dial(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let Some(Endpoint::Dial(inner)) = settings.inner.clone() else {
        let what = "tls: is a client and can not wrap what listens; tls-l: is a server";
        return Err(address.place_error(what).into());
    };
    let client = Client::read(
        read_options(&DIAL, address, settings)?,
        &[],
        &settings.rereads,
    )?;
    if inner.facts.host.is_none() && !client.has_name() {
        let what = "TLS asks for a name that this endpoint does not have: tls-name=NAME";
        return Err(address.place_error(what).into());
    }
    let framing = read_framing(&DIAL, address, settings, Framing::BYTES)?;
    let dial = TlsDial {
        name: Address::shown(&address.text),
        client,
        inner: inner.dial.clone(),
        host: inner.facts.host.clone().unwrap_or_default(),
        deadline: read_options::<Deadline>(&DIAL, address, settings)?.handshake_timeout,
        framing,
    };
    let facts = Facts {
        framing: Some(framing),
        can_half_close: inner.facts.can_half_close && framing.can_half_close(),
        // They speak TLS now: no page, no size of a terminal and no further connection is known to it.
        page: None,
        has_terminal: false,
        again: None,
        ..inner.facts.clone()
    };
    Ok(Endpoint::Dial(inner.over(Arc::new(dial), facts)))
}

fn build_listen(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let Some(Endpoint::Listen(inner)) = settings.inner.clone() else {
        let what = "tls-l: is a server and can not wrap what dials; tls: is a client";
        return Err(address.place_error(what).into());
    };
    let options = read_options(&LISTEN, address, settings)?;
    let framing = read_framing(&LISTEN, address, settings, Framing::BYTES)?;
    let listen = TlsListen {
        inner: inner.listen,
        server: Arc::new(Server::read(options, &[], None)?),
        deadline: read_options::<Deadline>(&LISTEN, address, settings)?.handshake_timeout,
        framing,
        rereads: settings.rereads.clone(),
    };
    let facts = Facts {
        framing: Some(framing),
        ..inner.facts
    };
    Ok(Endpoint::listen(listen, facts))
}

/// The bytes that TLS is to run over, and what is known about them.
fn bytes(opened: Opened) -> Result<(Box<dyn ByteStream>, StreamFacts)> {
    let facts = opened.facts.clone();
    let io = opened.into_bytes();
    Ok((
        io.context("TLS is spoken over bytes, and these are messages")?,
        facts,
    ))
}

/// What is known about TLS over a stream, which is cut by a framing of its own.
fn over(inner: StreamFacts, framing: Framing) -> StreamFacts {
    StreamFacts {
        framing: Some(framing),
        // A connection stays open for another answer, whatever lies below it.
        is_whole: false,
        can_half_close: inner.can_half_close && framing.can_half_close(),
        ..inner
    }
}

/// Gets a server ready to be called: says the pin of a certificate of its own, and has its files read again on SIGHUP.
pub(super) fn announce(server: &Arc<Server>, rereads: &Rereads) {
    if let Some(pin) = server.pin() {
        info!("the certificate is self-signed; clients trust it by --pin-sha256 {pin}");
    }
    if server.has_files() {
        rereads.register(server);
    }
}

struct TlsDial {
    name: String,
    client: Client,
    inner: Arc<dyn Dial>,
    host: String,
    deadline: Duration,
    framing: Framing,
}

impl Dial for TlsDial {
    fn dial<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            let (io, facts) = bytes(self.inner.dial(caller).await?)?;
            let opened = self.client.connect(io, &self.host, self.deadline).await;
            let opened = opened.with_context(|| format!("connecting to {}", self.name))?;
            Ok(Opened::bytes(opened, over(facts, self.framing)))
        })
    }
}

struct TlsListen {
    inner: Arc<dyn Listen>,
    server: Arc<Server>,
    deadline: Duration,
    framing: Framing,
    rereads: Rereads,
}

impl Listen for TlsListen {
    fn bind(&self, _page: Option<Page>) -> BoxFuture<'_, Result<Bound>> {
        Box::pin(async {
            let inner = self.inner.bind(None).await?;
            announce(&self.server, &self.rereads);
            let secure = |place: String| match place.strip_prefix("tcp:") {
                Some(rest) => format!("tls:{rest}"),
                None => format!("tls:{place}"),
            };
            Ok(Bound {
                accept: Box::new(TlsAccept {
                    inner: inner.accept,
                    server: self.server.clone(),
                    deadline: self.deadline,
                    framing: self.framing,
                }),
                places: inner.places.into_iter().map(secure).collect(),
                is_restricted: self.server.admits_known_only() || inner.is_restricted,
                ..inner
            })
        })
    }
}

struct TlsAccept {
    inner: Box<dyn Accept>,
    server: Arc<Server>,
    deadline: Duration,
    framing: Framing,
}

impl Accept for TlsAccept {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn Handshake>>> {
        Box::pin(async {
            let handshake: Box<dyn Handshake> = Box::new(TlsHandshake {
                inner: self.inner.accept().await?,
                server: self.server.clone(),
                deadline: self.deadline,
                framing: self.framing,
            });
            Ok(handshake)
        })
    }
}

struct TlsHandshake {
    inner: Box<dyn Handshake>,
    server: Arc<Server>,
    deadline: Duration,
    framing: Framing,
}

impl Handshake for TlsHandshake {
    fn source(&self) -> Source {
        self.inner.source()
    }

    fn shake(self: Box<Self>) -> BoxFuture<'static, Result<Option<Box<dyn Offer>>>> {
        Box::pin(async move {
            let begun = Instant::now();
            let Some(offer) = self.inner.shake().await? else {
                return Ok(None);
            };
            let caller = Caller::clone(offer.caller());
            let (io, facts) = bytes(offer.accept().await?)?;
            let left = self.deadline.saturating_sub(begun.elapsed());
            let opened = self.server.accept(io, left).await;
            let (io, subject) = opened.map_err(|error| kept_out(&error, &caller))?;
            let offer: Box<dyn Offer> = Box::new(TlsOffer {
                io,
                facts: over(facts, self.framing),
                caller: Arc::new(Caller {
                    subject,
                    is_secure: true,
                    server_names: self.server.names(),
                    ..caller
                }),
            });
            Ok(Some(offer))
        })
    }
}

/// Says who was kept out, or stayed away, because of a certificate; who spoke no TLS is not worth a line.
pub(super) fn kept_out(error: &anyhow::Error, caller: &Caller) -> anyhow::Error {
    let line = Cause::line(error);
    match Cause::of(error) {
        Some(Cause::NotTrusted) if REFUSALS.admits() => warn!("{caller}: refused: {line}"),
        Some(Cause::OwnCertificate) if REFUSALS.admits() => info!("{caller}: {line}"),
        _ => {}
    }
    anyhow!("{caller}: {line}")
}

struct TlsOffer {
    io: Box<dyn ByteStream>,
    facts: StreamFacts,
    caller: Arc<Caller>,
}

impl Offer for TlsOffer {
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
        Box::pin(async { Ok(Opened::bytes(self.io, self.facts)) })
    }

    fn refuse(self: Box<Self>, _cause: Cause, _why: String) -> BoxFuture<'static, ()> {
        // To drop it is a reset without a close_notify: the only no that TLS has.
        Box::pin(async {})
    }
}
