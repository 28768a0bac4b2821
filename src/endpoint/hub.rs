//! `hub:`: a room in memory, where what one says all others hear.

mod message;
mod room;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use clap::{Args, ValueEnum};

use super::{BoxFuture, Dial, Endpoint, Scheme, Settings, read_options};
use crate::address::{Address, parse_size};
use crate::caller::Caller;
use crate::ending::Cause;
use crate::peer::Peer;
use room::{Member, Room};

/// `hub:`
pub const SCHEME: Scheme = Scheme {
    names: &["hub", "chat"],
    syntax: "hub:[NAME]",
    summary: "Enter a room where all hear what each says; hub:{path} is a room for each path",
    example: "wsbridge ws-l:8080 hub:",
    is_raw: false,
    options: &[Options::augment_args],
    build,
};

/// Options of a room.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[group(skip)]
#[command(next_help_heading = "Rooms")]
pub struct Options {
    /// Whether a member hears what it says itself
    #[arg(long, value_enum, value_name = "WHETHER", default_value = "yes")]
    pub echo: YesNo,
    /// What becomes of a member that does not keep up with a room
    ///
    /// disconnect: it is closed with 1013 'slow'. drop-oldest, drop-newest: messages that find its queue full, or the oldest
    /// there, are not delivered to it. latest: it gets the newest message only. block: nobody can say more until it has room.
    #[arg(long, value_enum, value_name = "HOW", default_value = "disconnect")]
    pub slow: Slow,
    /// What a member that lost messages is told
    ///
    /// notice: a line '* 3 messages lost' at their place. close: 1013 'gap' there.
    #[arg(long, value_enum, value_name = "WHAT", default_value = "notice")]
    pub gap: Gap,
    /// Messages that wait for one member at most
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u32).range(1..))]
    pub queue: u32,
    /// Bytes that wait for one member at most; a single message may be longer
    #[arg(long, value_name = "BYTES", default_value = "1M", value_parser = parse_size)]
    pub queue_bytes: usize,
    /// Let newcomers hear the last N messages first
    #[arg(long, value_name = "N", default_value = "0")]
    pub replay: u32,
    /// Say who comes and who goes
    #[arg(long)]
    pub join: bool,
    /// Say who says it: as a prefix of text, or in an object of JSON
    ///
    /// prefix: '3: hello'. json: {"id":3,"seq":17,"kind":"text","text":"hello"}, with base64 for binary messages.
    #[arg(long, value_enum, value_name = "HOW")]
    pub id: Option<Identity>,
    /// Rooms at most
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..))]
    pub rooms: u32,
    /// Members of one room at most
    #[arg(long, value_name = "N", default_value = "1024", value_parser = clap::value_parser!(u32).range(1..))]
    pub room_members: u32,
    /// Take no message over this many bytes, which must be whole to be heard
    #[arg(long, value_name = "BYTES", default_value = "16M", value_parser = parse_size)]
    pub max_message: usize,
}

/// Yes or no.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum YesNo {
    /// It is so.
    Yes,
    /// It is not.
    No,
}

/// What becomes of a member that does not keep up.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// It is closed.
    Disconnect,
    /// It loses what has waited longest.
    DropOldest,
    /// It loses what comes.
    DropNewest,
    /// All wait for it.
    Block,
    /// It loses all but the newest.
    Latest,
}

/// What a member that lost messages is told.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// How many, in their place.
    Notice,
    /// It is closed in their place.
    Close,
}

/// How a message says whose it is.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Before a text.
    Prefix,
    /// In an object of JSON.
    Json,
}

/// The rooms of this process, by name. One that nobody is in is kept while there is a place for it and it has what newcomers
/// hear.
static ROOMS: LazyLock<Mutex<HashMap<String, Arc<Room>>>> = LazyLock::new(Mutex::default);

fn build(address: &Address, settings: &Settings) -> Result<Endpoint> {
    Ok(Endpoint::Dial(Arc::new(Hub {
        name: address.place.clone(),
        options: read_options(&SCHEME, address, settings)?,
    })))
}

struct Hub {
    name: String,
    options: Options,
}

impl Hub {
    /// Lets a caller into its room, which is made where there is none.
    fn enter(&self, caller: &Caller) -> Result<Member> {
        let path = caller.uri.as_ref().map_or("/", |uri| uri.path());
        let name = self.name.replace("{path}", path);
        // Nothing panics while it is held.
        let mut rooms = ROOMS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get(&name) {
            return room.clone().enter(&caller.from);
        }
        if rooms.len() >= self.options.rooms as usize {
            rooms.retain(|_, room| !room.is_empty());
        }
        if rooms.len() >= self.options.rooms as usize {
            let what = format!("there are {} rooms; --rooms allows more", rooms.len());
            return Err(anyhow!(Cause::Busy).context(what));
        }
        let room = Arc::new(Room::new(self.options));
        rooms.insert(name, room.clone());
        room.enter(&caller.from)
    }
}

impl Dial for Hub {
    fn dial<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Peer>> {
        Box::pin(async {
            let member = self.enter(caller).context("entering the room")?;
            Ok(Peer::Messages(Box::new(member)))
        })
    }
}
