//! `share:ENDPOINT`: one connection for all callers. What it says all of them hear; what they say it hears, as far as they
//! may.

mod desk;
mod driver;
mod farewell;
mod sizes;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::{Args, ValueEnum};
use tokio::sync::watch;

use super::reconnect::backoff::Backoff;
use super::room::{self, Gap, Manner, Member, Room};
use super::size::Asked;
use super::{
    BoxFuture, Dial, Endpoint, Facts, Outlet, Scheme, Service, Settings, Stopping, read_options,
};
use crate::address::{Address, parse_duration};
use crate::caller::Caller;
use crate::ending::Cause;
use crate::framing::{Cut, Framing};
use crate::memory::Memory;
use crate::peer;
use desk::Tray;
use driver::Driver;

/// `share:`
pub const SCHEME: Scheme = Scheme {
    names: &["share", "reuse", "reuse-raw", "broadcast"],
    syntax: "share:ENDPOINT",
    summary: "Open ENDPOINT once for all callers: what it says all of them hear",
    example: "wsbridge ws-l:8080 share:tcp:localhost:7000",
    is_raw: false,
    options: &[Options::augment_args, room::Options::augment_args],
    build,
};

/// Options of what callers share.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
#[command(next_help_heading = "Sharing")]
pub struct Options {
    /// Who of those who share an endpoint may write to it
    ///
    /// all: everybody, message by message. first: who has been here longest. lock: who begins, until it leaves or has been
    /// silent for --lock-time. none: nobody. Who may not is told by a line, or closed with 1008 where --gap is close.
    #[arg(
        id = "share_write",
        long = "write",
        value_enum,
        value_name = "WHO",
        default_value = "all"
    )]
    pub write: Write,
    /// Who writes loses the lock after this silence
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub lock_time: Duration,
    /// When what is shared is opened
    #[arg(long, value_enum, value_name = "WHEN", default_value = "first")]
    pub start: Start,
    /// When what is shared is ended: last, never, or a time after the last caller left
    #[arg(long, value_name = "WHEN", default_value = "last", value_parser = parse_stop)]
    pub stop: Stop,
    /// Give each answer to the caller who asked
    ///
    /// What a caller says is a question, and the next message of what is shared is its answer. An answer that takes longer than
    /// --pair-time ends the connection, for nobody could say any more whose the next one is.
    #[arg(long)]
    pub pair: bool,
    /// Wait this long for an answer
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub pair_time: Duration,
}

/// Who may write.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Everybody.
    All,
    /// Who has been here longest.
    First,
    /// Who begins, for a while.
    Lock,
    /// Nobody.
    None,
}

/// When it is opened.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the first caller.
    First,
    /// At once.
    Now,
}

/// When it is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// So long after the last caller has left.
    After(Duration),
    /// Never.
    Never,
}

/// The longest wait before what has ended is opened again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

fn parse_stop(text: &str) -> Result<Stop, String> {
    match text {
        "last" => Ok(Stop::After(Duration::ZERO)),
        "never" => Ok(Stop::Never),
        time => {
            let wrong = |_| "is none of last, never and times such as 5m".to_owned();
            parse_duration(time).map(Stop::After).map_err(wrong)
        }
    }
}

fn build(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let Some(Endpoint::Dial(inner)) = settings.inner.clone() else {
        let what = "share: opens what it wraps, which can not be a listener";
        return Err(address.place_error(what).into());
    };
    let options: Options = read_options(&SCHEME, address, settings)?;
    let in_room: room::Options = read_options(&SCHEME, address, settings)?;
    let is_stream = matches!(
        inner.facts.framing,
        Some(Framing {
            cut: Cut::Chunks,
            ..
        })
    );
    if options.pair && is_stream {
        let what = "answers are given to who asked by messages, and these are bytes: framing=lines";
        return Err(address.place_error(what).into());
    }
    let name = Address::shown(&address.text);
    let shared = Shared::new(name, inner, options, in_room, &settings.memory);
    let facts = Facts {
        // Its connection is open once for all sessions.
        descriptors: 1,
        can_half_close: false,
        host: None,
        remote: None,
        has_terminal: false,
        is_fresh_stream: false,
        again: None,
        ..shared.inner.facts.clone()
    };
    let outlet = shared.inner.clone();
    let mut outlet = outlet.over(Arc::new(Share(shared.clone())), facts);
    outlet.services.push(shared);
    Ok(Endpoint::Dial(outlet))
}

/// What all callers of an address have in common.
struct Shared {
    name: String,
    inner: Outlet,
    options: Options,
    /// Whether callers stay when the connection has ended and is opened again, which they are told in a line. A stream has no
    /// place for one.
    keeps_callers: bool,
    max_message: usize,
    memory: Memory,
    tray: Arc<Tray>,
    room: Arc<Room>,
    phase: Mutex<Phase>,
    /// Number of connections that no caller needs any more and that have not ended.
    ending: watch::Sender<usize>,
    /// Number of tasks that see to connections.
    drivers: watch::Sender<usize>,
    /// Whether the bridge ends.
    stop: watch::Sender<bool>,
}

/// How it stands with the connection.
struct Phase {
    /// What came of opening it, where somebody sees to it.
    opened: Option<watch::Receiver<Opened>>,
    /// The waits between connections that did not last, while callers stay.
    backoff: Backoff,
}

/// What came of opening it.
#[derive(Clone, Debug)]
enum Opened {
    NotYet,
    /// It is open; the subprotocol that a WebSocket server agreed to, `""` being none.
    Yes(Option<Arc<str>>),
    /// Why not: what decides the answer to a caller, and the words.
    No(Option<Cause>, String),
}

struct Share(Arc<Shared>);

impl Shared {
    fn new(
        name: String,
        inner: Outlet,
        options: Options,
        in_room: room::Options,
        memory: &Memory,
    ) -> Arc<Shared> {
        let framing = inner.facts.framing;
        let is_stream = framing.is_some_and(|framing| framing.cut == Cut::Chunks);
        let answer_time = options.pair.then_some(options.pair_time);
        let tray = Tray::new(
            options.write,
            options.lock_time,
            answer_time,
            framing,
            memory,
        );
        if inner.facts.has_terminal {
            tray.is_of_terminal();
        }
        let manner = Manner {
            echo: true,
            join: false,
            id: None,
        };
        let room = Room::new(in_room, manner, Some(tray.clone()), memory);
        tray.belongs_to(Arc::downgrade(&room));
        Arc::new(Shared {
            name,
            inner,
            options,
            keeps_callers: in_room.gap == Gap::Notice && !is_stream,
            max_message: in_room.max_message,
            memory: memory.clone(),
            tray,
            room,
            phase: Mutex::new(Phase {
                opened: None,
                backoff: Backoff::new(LONGEST_WAIT, None),
            }),
            ending: watch::Sender::new(0),
            drivers: watch::Sender::new(0),
            stop: watch::Sender::new(false),
        })
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        // Nothing panics while it is held.
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a caller in, and has somebody see to the connection for it.
    fn enter(self: &Arc<Shared>, caller: &Caller) -> Result<(Member, watch::Receiver<Opened>)> {
        // A connection whose end closes all callers does so before this one is here, or with it on that connection.
        let phase = self.phase();
        let member = self.room.clone().enter(caller);
        let member = member.with_context(|| self.name.clone())?;
        self.tray.enter(member.id(), Asked::by(caller));
        Ok((member, self.open(phase)))
    }

    /// Has somebody see to the connection, and tells what comes of opening it.
    fn open(self: &Arc<Shared>, mut phase: MutexGuard<'_, Phase>) -> watch::Receiver<Opened> {
        if let Some(opened) = &phase.opened {
            return opened.clone();
        }
        let (tell, opened) = watch::channel(Opened::NotYet);
        if *self.stop.borrow() {
            // Who waits is told so by what is dropped here.
            return opened;
        }
        phase.opened = Some(opened.clone());
        tokio::spawn(Driver::new(self.clone(), tell).run());
        opened
    }
}

impl Dial for Share {
    fn dial<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<peer::Opened>> {
        Box::pin(async {
            let (member, mut opened) = self.0.enter(caller)?;
            let found = opened.wait_for(|it| !matches!(it, Opened::NotYet)).await;
            match found.map(|it| it.clone()) {
                Ok(Opened::No(cause, what)) => Err(match cause {
                    Some(cause) => anyhow!(cause).context(what),
                    None => anyhow!(what),
                }),
                Ok(Opened::Yes(protocol)) => Ok(member.agreed_to(protocol).into()),
                Ok(Opened::NotYet) | Err(_) => {
                    Err(anyhow!(Cause::Refused).context("the bridge ends"))
                }
            }
        })
    }
}

impl Service for Shared {
    fn run(self: Arc<Self>, mut stop: Stopping) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if self.options.start == Start::Now {
                self.open(self.phase());
            }
            stop.told().await;
            self.stop.send_replace(true);
            // Its sender is here.
            let _ = self.drivers.subscribe().wait_for(|count| *count == 0).await;
        })
    }
}
