//! `wss-l:` and `wss://`: WebSocket servers and clients over TLS.

use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use clap::error::ErrorKind;

use super::request::Request;
use super::{DIAL_OPTIONS, HandshakeOptions, ListenOptions, build_dial, build_listen};
use crate::address::Address;
use crate::endpoint::{Scheme, Settings, read_options};
use crate::tls::client::Client;
use crate::tls::server::{self, Server};

/// `wss-l:`
pub const LISTEN: Scheme = Scheme {
    names: &["wss-l", "wss-listen", "listen-wss", "l-wss"],
    syntax: "wss-l:[HOST:]PORT[/PATH]",
    summary: "Accept WebSockets over TLS; cert=FILE,key=FILE or self-signed",
    example: "wsbridge 'wss-l:*:8443,self-signed' tcp:localhost:6379",
    is_raw: false,
    options: &[
        HandshakeOptions::augment_args,
        ListenOptions::augment_args,
        server::Options::augment_args,
    ],
    build: |address, settings| build_listen(&LISTEN, address, settings),
};

/// `wss://`
pub const DIAL: Scheme = Scheme {
    names: &["wss"],
    syntax: "wss://HOST[:PORT][/PATH][#OPTIONS]",
    summary: "Connect to a WebSocket server over TLS",
    example: "wsbridge wss://example.com/chat",
    is_raw: false,
    options: DIAL_OPTIONS,
    build: |address, settings| build_dial(&DIAL, address, settings),
};

/// What both ends speak behind TLS.
const PROTOCOLS: &[&str] = &["http/1.1"];

/// The TLS of a listener, where its scheme has it.
pub(super) fn server(
    scheme: &Scheme,
    address: &Address,
    settings: &Settings,
    host: Option<&str>,
) -> Result<Option<Arc<Server>>> {
    if scheme.names != LISTEN.names {
        return Ok(None);
    }
    let options = read_options(scheme, address, settings)?;
    Ok(Some(Arc::new(Server::read(options, PROTOCOLS, host)?)))
}

/// The TLS of a client, for when it is needed.
pub(super) fn client(
    scheme: &Scheme,
    address: &Address,
    settings: &Settings,
    request: &Request,
) -> Result<Client> {
    let options = read_options(scheme, address, settings)?;
    let client = Client::read(options, PROTOCOLS, &settings.rereads)?;
    if client.keeps_credentials() && request.tells_who() {
        let what = "--insecure: anybody could read who we are (Authorization, Cookie); --insecure-send-credentials sends it all the same, \
                    --cacert or --pin-sha256 would know the server\n";
        return Err(clap::Error::raw(ErrorKind::ArgumentConflict, what).into());
    }
    Ok(client)
}
