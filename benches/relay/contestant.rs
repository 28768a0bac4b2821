//! The table of contestants: how each is found, and how it is started on each route.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::content::Kind;
use crate::frame::Role;
use crate::link::Speech;
use crate::peer::{self, PEERS, find};
use crate::process::{Launch, Processes, free_port};

/// The name of the plain relay, with which all are compared.
pub const RELAY: &str = "relay";
/// The name of what is judged.
pub const WSBRIDGE: &str = "wsbridge";

/// What a contestant stands between. The first is its caller, the second what it connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// WebSocket, TCP.
    Serve,
    /// TCP, WebSocket.
    Connect,
    /// WebSocket, WebSocket.
    Between,
    /// TCP, WebSocket between two of its kind, TCP.
    Chain,
    /// stdin and stdout, WebSocket; it ends when either of them does.
    Pipe,
    /// The same, but what comes after stdin's end is waited for.
    Ask,
}

/// Where a contestant runs.
pub struct Place<'a> {
    pub port: u16,
    /// Between two of a kind.
    pub middle: u16,
    pub target: u16,
    /// For configuration files.
    pub dir: &'a Path,
    pub connections: usize,
    /// What flows.
    pub kind: Kind,
}

impl Place<'_> {
    /// Makes a place before the target that listens there.
    pub fn before<'a>(
        listener: &TcpListener,
        dir: &'a Path,
        connections: usize,
    ) -> Result<Place<'a>> {
        Ok(Place {
            port: free_port(),
            middle: free_port(),
            target: listener.local_addr()?.port(),
            dir,
            connections,
            kind: Kind::Noise,
        })
    }
}

/// The commands of a program on a route, if it can serve that.
pub type Launches = fn(&Path, Route, &Place<'_>) -> Option<Vec<Launch>>;

/// One that takes part.
pub struct Contestant {
    pub name: &'static str,
    program: PathBuf,
    /// Whether it relays TCP and knows no WebSocket.
    pub is_plain: bool,
    /// Whether its messages keep the newlines of the lines that they are made of.
    keeps_newlines: bool,
    /// Connections that it can have at a time without harm to the machine.
    pub most: usize,
    launches: Launches,
}

impl Contestant {
    /// Whether it is wsbridge or the relay.
    pub fn is_ours(&self) -> bool {
        [WSBRIDGE, RELAY].contains(&self.name)
    }

    /// How long one run of it may take.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(if self.is_ours() { 30 } else { 10 })
    }

    /// Starts it on a route, if it can serve that.
    pub fn start(&self, route: Route, place: &Place<'_>) -> Result<Option<Processes>> {
        let launches = self.launches(route, place);
        launches
            .map(|launches| Processes::start(&launches))
            .transpose()
    }

    /// What to start on a route.
    pub fn launches(&self, route: Route, place: &Place<'_>) -> Option<Vec<Launch>> {
        (self.launches)(&self.program, route, place)
    }

    /// What our ends speak as its caller and as its target. A plain relay carries payload alone, except where both ends
    /// are WebSockets: there it carries the same frames.
    pub fn speeches(&self, route: Route) -> (Speech, Speech) {
        let (client, server) = (Speech::Frames(Role::Client), Speech::Frames(Role::Server));
        match (route, self.is_plain) {
            (Route::Between, _) => (client, server),
            (Route::Chain, _) | (_, true) => (Speech::Plain, Speech::Plain),
            (Route::Serve, false) => (client, Speech::Plain),
            (Route::Connect | Route::Pipe | Route::Ask, false) => (Speech::Plain, server),
        }
    }

    /// How its lines are cut that arrive where `speech` is spoken.
    pub fn lines_in(&self, route: Route, speech: Speech) -> Speech {
        match route {
            Route::Pipe | Route::Ask if self.keeps_newlines => Speech::Plain,
            _ => speech,
        }
    }
}

/// All that take part: wsbridge, the relay and, with `peers`, whoever is found. A line for each that is not found.
pub fn find_all(peers: bool, without: &[String]) -> Result<(Vec<Contestant>, Vec<String>)> {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_wsbridge"));
    let mut found = vec![
        Contestant {
            name: WSBRIDGE,
            program: std::env::var_os("WSBRIDGE").map_or(built, PathBuf::from),
            is_plain: false,
            keeps_newlines: false,
            most: peer::MANY,
            launches: peer::wsbridge,
        },
        Contestant {
            name: RELAY,
            program: std::env::current_exe()?,
            is_plain: true,
            keeps_newlines: false,
            most: peer::THREADS,
            launches: peer::relay,
        },
    ];
    let wanted = PEERS.iter().filter(|_| peers);
    for peer in wanted {
        let path = find(peer.program).filter(|path| (peer.check)(path));
        if let Some(program) = path
            && found.iter().all(|other| other.name != peer.name)
        {
            found.push(Contestant {
                name: peer.name,
                program,
                is_plain: peer.is_plain,
                keeps_newlines: peer.keeps_newlines,
                most: peer.most,
                launches: peer.launches,
            });
        }
    }
    found.retain(|one| one.name == RELAY || without.iter().all(|name| name != one.name));
    Ok((found, missing(peers, without)))
}

fn missing(peers: bool, without: &[String]) -> Vec<String> {
    let is_found = |name: &str| {
        let mut of_name = PEERS.iter().filter(|peer| peer.name == name);
        of_name.any(|peer| find(peer.program).is_some_and(|path| (peer.check)(&path)))
    };
    let wanted = PEERS
        .iter()
        .filter(|peer| peers && !peer.install.is_empty());
    wanted
        .filter(|peer| without.iter().all(|name| name != peer.name) && !is_found(peer.name))
        .map(|peer| format!("not found: {} (install: {})", peer.name, peer.install))
        .collect()
}
