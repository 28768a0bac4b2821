//! `hub:`: a room in memory, where what one says all others hear.

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use super::room::rooms::{Most, Rooms};
use super::room::{self, Identity, Manner, Member, Room};
use super::{BoxFuture, Dial, Endpoint, Facts, Scheme, Settings, read_options};
use crate::address::{Address, number};
use crate::caller::Caller;
use crate::http::page::{Manners, Page};
use crate::memory::Memory;
use crate::peer::Opened;

/// `hub:`
pub const SCHEME: Scheme = Scheme {
    names: &["hub", "chat"],
    syntax: "hub:[NAME]",
    summary: "Enter a room where all hear what each says; hub:{path} is a room for each path",
    example: "wsbridge ws-l:8080 hub:",
    is_raw: false,
    options: &[room::Options::augment_args, Options::augment_args],
    build,
};

/// Options of rooms that members speak in.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[group(skip)]
#[command(next_help_heading = "Rooms")]
pub struct Options {
    /// Whether a member hears what it says itself
    #[arg(long, value_enum, value_name = "WHETHER", default_value = "yes")]
    pub echo: YesNo,
    /// Say who comes and who goes
    #[arg(long)]
    pub join: bool,
    /// Say who says it: as a prefix of text, or in an object of JSON
    ///
    /// prefix: '3: hello'. json: {"id":3,"seq":17,"kind":"text","text":"hello"}, with base64 for binary messages.
    #[arg(long, value_enum, value_name = "HOW")]
    pub id: Option<Identity>,
    /// Rooms at most
    #[arg(long, value_name = "N", default_value = "64", value_parser = number(1..=u32::MAX))]
    pub rooms: u32,
    /// Rooms at most that callers of one address hold alone
    ///
    /// An address is an IPv4 address, an IPv6 network of 64 bits, or a user of this machine on a Unix socket. Behind a proxy it
    /// is that of --trusted-proxy's X-Forwarded-For.
    #[arg(long, value_name = "N", default_value = "16", value_parser = number(1..=u32::MAX))]
    pub rooms_per_ip: u32,
}

/// Yes or no.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum YesNo {
    /// It is so.
    Yes,
    /// It is not.
    No,
}

fn build(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let options: Options = read_options(&SCHEME, address, settings)?;
    let room: room::Options = read_options(&SCHEME, address, settings)?;
    let manners = Manners {
        echoes: options.echo == YesNo::Yes,
        tells: options.join || room.tells_gaps(),
        id: match options.id {
            None => "none",
            Some(Identity::Prefix) => "prefix",
            Some(Identity::Json) => "json",
        },
    };
    let facts = Facts {
        page: Some(Page::Chat(manners)),
        ..Facts::default()
    };
    let hub = Hub {
        name: address.place_text("the name of a room")?.to_owned(),
        options,
        room,
        memory: settings.memory.clone(),
        rooms: settings.rooms.clone(),
    };
    Ok(Endpoint::dial(hub, facts))
}

struct Hub {
    name: String,
    options: Options,
    room: room::Options,
    memory: Memory,
    rooms: Rooms,
}

impl Hub {
    /// Lets a caller into its room, which is made where there is none.
    fn enter(&self, caller: &Caller) -> Result<Member> {
        let path = caller.uri.as_ref().map_or("/", |uri| uri.path());
        let name = self.name.replace("{path}", path);
        let most = Most {
            all: self.options.rooms as usize,
            of_address: self.options.rooms_per_ip as usize,
        };
        self.rooms.enter(name, caller, &most, || {
            let manner = Manner {
                echo: self.options.echo == YesNo::Yes,
                join: self.options.join,
                id: self.options.id,
            };
            Room::new(self.room, manner, None, &self.memory)
        })
    }
}

impl Dial for Hub {
    fn dial<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            let member = self.enter(caller).context("entering the room")?;
            Ok(member.into())
        })
    }
}
