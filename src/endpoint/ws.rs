//! `ws-l:` and `ws://`: WebSocket servers and clients.

use std::io;
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use http::{HeaderName, HeaderValue, Uri};
use tokio::time::timeout;
use tracing::{info, warn};

use super::reconnect;
use super::tcp::{self, Accepted, Connection, DialOptions, Listeners};
use super::{
    Accept, BoxFuture, Dial, Endpoint, Handshake, Listen, Offer, Scheme, Settings, read_options,
};
use crate::address::{Address, AddressError, parse_duration};
use crate::caller::Caller;
use crate::ending::Cause;
use crate::http::client::{self, Call};
use crate::http::policy::Policy;
use crate::http::server::{Refusal, Service, Upgrade};
use crate::peer::Peer;
use crate::ws::{self, Role, Socket};

/// `ws-l:`
pub const LISTEN: Scheme = Scheme {
    names: &["ws-l", "ws-listen", "listen-ws", "l-ws"],
    syntax: "ws-l:[HOST:]PORT[/PATH]",
    summary: "Accept WebSockets; without HOST on loopback, with * on all interfaces",
    example: "wsbridge ws-l:8080 tcp:localhost:6379",
    is_raw: false,
    options: &[HandshakeOptions::augment_args, ListenOptions::augment_args],
    build: build_listen,
};

/// `ws://`
pub const DIAL: Scheme = Scheme {
    names: &["ws"],
    syntax: "ws://HOST[:PORT][/PATH][#OPTIONS]",
    summary: "Connect to a WebSocket server",
    example: "wsbridge ws://localhost:8080/chat",
    is_raw: false,
    options: &[
        HandshakeOptions::augment_args,
        ClientOptions::augment_args,
        DialOptions::augment_args,
        reconnect::Options::augment_args,
        reconnect::Limits::augment_args,
    ],
    build: build_dial,
};

/// Options of both roles.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct HandshakeOptions {
    /// Give up on an opening handshake after this time
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration, help_heading = "WebSocket")]
    pub handshake_timeout: Duration,
    /// Offer these subprotocols, or as a server choose among them; best first
    ///
    /// A server without it answers with the first that is offered. Example: --protocol mqtt,mqttv3.1
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_token, help_heading = "WebSocket")]
    pub protocol: Vec<String>,
    /// Send a ping after this much silence; 0 sends none
    ///
    /// A peer that is silent for as long again after the ping is dead. Any byte counts as life. Each silence is broken a little
    /// earlier, by up to a quarter, so that many connections do not ping in one instant; -v tells how long the pong took.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration, help_heading = "WebSocket")]
    pub ping: Duration,
}

/// Options of a WebSocket server.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "WebSocket server")]
pub struct ListenOptions {
    /// Upgrade this path only; others get 404
    #[arg(long, value_name = "PATH", value_parser = parse_path)]
    pub path: Option<String>,
    /// Let pages of this origin connect (repeatable; * is any)
    ///
    /// Pages of the same host and port always may, and on a loopback bind pages of this machine. What is no web page sends
    /// no origin and may too. Example: --origin https://app.example.com
    #[arg(long, value_name = "URL")]
    pub origin: Vec<String>,
    /// Answer for this host name (repeatable)
    ///
    /// A loopback bind answers for IP addresses and localhost, so that no page can reach it by rebinding its own name.
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// Accept a caller before the target has been reached
    ///
    /// Without it a target that can not be reached is an HTTP 502 or 504. With it, a Close 1014 after the 101.
    #[arg(long)]
    pub accept_first: bool,
}

/// Options of a WebSocket client.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ClientOptions {
    /// Send this header with the request (repeatable)
    ///
    /// Example: -H 'Authorization: Bearer abc'
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = parse_header, help_heading = "WebSocket client")]
    pub header: Vec<(HeaderName, HeaderValue)>,
}

fn parse_token(text: &str) -> Result<String, String> {
    let is_token = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?={}".contains(c);
    if text.is_empty() || !text.chars().all(is_token) {
        return Err("a subprotocol is a word without blanks and separators".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_path(text: &str) -> Result<String, String> {
    match text.parse::<Uri>() {
        Ok(uri) if text.starts_with('/') && uri.path() == text => Ok(text.to_owned()),
        _ => Err("a path begins with / and has no query".to_owned()),
    }
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("a header is written 'Name: value'")?;
    let name = name
        .trim()
        .parse()
        .map_err(|_| format!("'{}' is no header name", name.escape_debug()))?;
    let value = value.trim();
    let mut header: HeaderValue = value
        .parse()
        .map_err(|_| "a header value has no control bytes".to_owned())?;
    header.set_sensitive(true);
    Ok((name, header))
}

impl HandshakeOptions {
    fn socket(&self) -> ws::Options {
        ws::Options {
            ping: (!self.ping.is_zero()).then_some(self.ping),
        }
    }
}

fn build_listen(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let place = address.host_port()?;
    let port = place
        .port
        .ok_or_else(|| address.place_error("a port is missing"))?;
    let mut options: ListenOptions = read_options(&LISTEN, address, settings)?;
    if !place.path.is_empty() && place.path != "/" {
        options.path = Some(parse_path(&place.path).map_err(|what| address.place_error(what))?);
    }
    Ok(Endpoint::Listen(Arc::new(WsListen {
        name: Address::shown(&address.text),
        host: place.host,
        port,
        handshake: read_options(&LISTEN, address, settings)?,
        options,
    })))
}

struct WsListen {
    name: String,
    host: Option<String>,
    port: u16,
    handshake: HandshakeOptions,
    options: ListenOptions,
}

impl Listen for WsListen {
    fn bind(&self) -> BoxFuture<'_, Result<Box<dyn Accept>>> {
        Box::pin(async {
            let sockets = Listeners::bind(self.host.as_deref(), self.port)
                .await
                .with_context(|| format!("listening on {}", self.name))?;
            let service = Service {
                policy: Policy {
                    is_loopback: sockets.is_loopback(),
                    hosts: self.options.host.clone(),
                    origins: self.options.origin.clone(),
                },
                path: self.options.path.clone(),
                protocols: self.handshake.protocol.clone(),
            };
            let accept: Box<dyn Accept> = Box::new(WsAccept {
                sockets,
                shared: Arc::new(Shared {
                    service,
                    deadline: self.handshake.handshake_timeout,
                    socket: self.handshake.socket(),
                    accept_first: self.options.accept_first,
                }),
            });
            Ok(accept)
        })
    }
}

/// What all callers of a listener share.
struct Shared {
    service: Service,
    deadline: Duration,
    socket: ws::Options,
    accept_first: bool,
}

struct WsAccept {
    sockets: Listeners,
    shared: Arc<Shared>,
}

impl Accept for WsAccept {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn Handshake>>> {
        Box::pin(async {
            let (stream, addr) = self.sockets.accept().await?;
            let handshake: Box<dyn Handshake> = Box::new(WsHandshake {
                stream,
                from: addr.to_string(),
                shared: self.shared.clone(),
            });
            Ok(handshake)
        })
    }

    fn is_exposed(&self) -> bool {
        !self.sockets.is_loopback()
    }

    fn places(&self) -> Vec<String> {
        let path = self.shared.service.path.as_deref().unwrap_or("");
        let places = self.sockets.places("ws").into_iter();
        places.map(|place| format!("{place}{path}")).collect()
    }
}

struct WsHandshake {
    stream: Accepted,
    from: String,
    shared: Arc<Shared>,
}

impl Handshake for WsHandshake {
    fn shake(self: Box<Self>) -> BoxFuture<'static, Result<Option<Box<dyn Offer>>>> {
        Box::pin(async move {
            let WsHandshake {
                stream,
                from,
                shared,
            } = *self;
            let mut upgrade =
                match Upgrade::read(Box::new(stream.open()?), &shared.service, shared.deadline)
                    .await
                {
                    Ok(upgrade) => upgrade,
                    Err(error) => {
                        // Who was kept out for our safety is worth a line; who went away or spoke no HTTP is not.
                        if error.to_string().starts_with("HTTP ") {
                            warn!("{from}: refused with {error:#}");
                            return Ok(None);
                        }
                        return Err(error.context(from));
                    }
                };
            let caller = Arc::new(Caller {
                from,
                uri: Some(take(&mut upgrade.uri)),
                headers: take(&mut upgrade.headers),
                protocol: upgrade.protocol().map(str::to_owned),
                is_local: false,
            });
            let offer: Box<dyn Offer> = Box::new(WsOffer {
                upgrade,
                caller,
                shared,
            });
            Ok(Some(offer))
        })
    }
}

struct WsOffer {
    upgrade: Upgrade,
    caller: Arc<Caller>,
    shared: Arc<Shared>,
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

    fn accept(self: Box<Self>) -> BoxFuture<'static, Result<Peer>> {
        Box::pin(async {
            let (io, early) = timeout(self.shared.deadline, self.upgrade.accept())
                .await
                .context("the caller does not take its answer")??;
            let socket = Socket::new(io, &early, Role::Server, self.shared.socket);
            Ok(Peer::Messages(Box::new(socket)))
        })
    }

    fn refuse(self: Box<Self>, cause: Cause, why: String) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let why: String = why
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            self.upgrade
                .refuse(&Refusal::new(cause.http_status(), why))
                .await;
        })
    }
}

fn build_dial(address: &Address, settings: &Settings) -> Result<Endpoint> {
    if !address.is_url {
        let what =
            "a WebSocket client is written as a URL: ws://HOST:PORT/PATH (ws-l: is a server)";
        return Err(address.place_error(what).into());
    }
    let place = address.host_port()?;
    let host = place
        .host
        .ok_or_else(|| address.place_error("a host is missing"))?;
    let name = Address::shown(&address.text);
    let dial = Arc::new(WsDial {
        name: name.clone(),
        call: Call {
            host: authority(&host, place.port.filter(|port| *port != 80)),
            target: target(address, &place.path)?,
            headers: read_options::<ClientOptions>(&DIAL, address, settings)?.header,
            protocols: read_options::<HandshakeOptions>(&DIAL, address, settings)?.protocol,
        },
        host,
        port: place.port.unwrap_or(80),
        handshake: read_options(&DIAL, address, settings)?,
        options: read_options(&DIAL, address, settings)?,
    });
    Ok(match read_options(&DIAL, address, settings)? {
        reconnect::Options { reconnect: false } => Endpoint::Dial(dial),
        _ => reconnect::over(dial, name, read_options(&DIAL, address, settings)?),
    })
}

/// The value of the Host header; the default port is left out (RFC 9110 7.2).
fn authority(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    port.map_or(host.clone(), |port| format!("{host}:{port}"))
}

/// Path and query; what may not stand there as it is gets percent-encoded.
fn target(address: &Address, path: &str) -> Result<String, AddressError> {
    let mut target = String::new();
    if !path.starts_with('/') {
        target.push('/');
    }
    for char in path.chars() {
        if char.is_control() {
            return Err(address.place_error("a URL has no control characters"));
        }
        if char.is_ascii() && char != ' ' && !"\"<>\\^`{|}".contains(char) {
            target.push(char);
        } else {
            let mut bytes = [0; 4];
            for byte in char.encode_utf8(&mut bytes).bytes() {
                target += &format!("%{byte:02X}");
            }
        }
    }
    match target.parse::<Uri>() {
        Ok(_) => Ok(target),
        Err(error) => Err(address.place_error(format!("bad path: {error}"))),
    }
}

struct WsDial {
    name: String,
    host: String,
    port: u16,
    call: Call,
    handshake: HandshakeOptions,
    options: DialOptions,
}

impl Dial for WsDial {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Peer>> {
        Box::pin(async {
            let opened = self.open().await;
            opened.with_context(|| format!("connecting to {}", self.name))
        })
    }
}

impl WsDial {
    async fn open(&self) -> Result<Peer> {
        let stream = tcp::connect(&self.host, self.port, &self.options).await?;
        let connection = Box::new(Connection::new(stream));
        let answer =
            client::upgrade(connection, &self.call, self.handshake.handshake_timeout).await?;
        match &answer.protocol {
            Some(protocol) => info!("{}: subprotocol {protocol}", self.name),
            None if !self.call.protocols.is_empty() => {
                warn!(
                    "{}: the server ignored the subprotocols {}",
                    self.name,
                    self.call.protocols.join(", ")
                );
            }
            None => {}
        }
        let socket = Socket::new(
            answer.io,
            &answer.early,
            Role::Client,
            self.handshake.socket(),
        );
        Ok(Peer::Messages(Box::new(socket)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_encoded_where_it_must_be() {
        let encode = |path: &str| target(&Address::parse("ws://h", false), path).unwrap();
        assert_eq!(encode(""), "/");
        assert_eq!(encode("?q=1"), "/?q=1");
        assert_eq!(encode("/ü x?a=%20"), "/%C3%BC%20x?a=%20");
    }

    #[test]
    fn headers_are_split_at_the_first_colon_and_have_no_control_bytes() {
        assert_eq!(parse_header("X-A: b:c").unwrap().1, "b:c");
        assert!(parse_header("no colon").is_err());
        assert!(parse_header("X: a\r\nB: c").is_err());
        assert!(parse_header("a b: c").is_err());
    }
}
