//! What an endpoint is: the traits and types that every kind of endpoint fulfils. The list of kinds is `scheme.rs`.

mod agreement;
pub mod datagram;
mod descriptor;
pub mod device;
pub mod each;
pub mod echo;
mod facts;
pub mod fd;
pub mod file;
pub mod hub;
pub mod literal;
pub mod null;
pub mod packet;
pub mod process;
#[cfg(feature = "interactive")]
pub mod prompt;
pub mod proxy;
pub mod reconnect;
pub mod room;
pub mod route;
pub mod send;
pub mod serial;
pub mod share;
mod size;
mod spoken;
pub mod stdio;
pub mod tcp;
pub mod tls;
pub mod udp;
pub mod unix;
pub mod ws;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command};

use crate::address::{Address, AddressError, nearest};
use crate::caller::{Caller, Source};
use crate::child::Children;
use crate::ending::Cause;
use crate::framing::{self, Framing};
use crate::http::page::Page;
use crate::memory::Memory;
use crate::mistake;
use crate::peer::Opened;
use crate::reread::Rereads;
use crate::tap;
use crate::variables::Variables;
use crate::word::joined;
pub use agreement::Agreement;
pub use facts::{Bound, Facts, Inlet, Outlet, Serve, Service, Stopping};
pub use reconnect::backoff::Backoff;
use room::rooms::Rooms;
pub use spoken::Spoken;

/// A future in a box.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A parsed, checked address: it dials or it listens.
#[derive(Clone)]
pub enum Endpoint {
    /// Opens a connection of its own for each session.
    Dial(Outlet),
    /// Waits for callers.
    Listen(Inlet),
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Endpoint::Dial(_) => "Dial",
            Endpoint::Listen(_) => "Listen",
        })
    }
}

impl Endpoint {
    /// Makes an endpoint that dials, of which `facts` are known.
    pub fn dial(dial: impl Dial + 'static, facts: Facts) -> Endpoint {
        Endpoint::Dial(Outlet::new(Arc::new(dial), facts))
    }

    /// Makes an endpoint that listens, of which `facts` are known.
    pub fn listen(listen: impl Listen + 'static, facts: Facts) -> Endpoint {
        Endpoint::Listen(Inlet {
            listen: Arc::new(listen),
            facts,
        })
    }

    /// What is known about it.
    pub fn facts(&self) -> &Facts {
        match self {
            Endpoint::Dial(outlet) => &outlet.facts,
            Endpoint::Listen(inlet) => &inlet.facts,
        }
    }

    /// Its work in the background.
    pub fn services(&self) -> &[Arc<dyn Service>] {
        match self {
            Endpoint::Dial(outlet) => &outlet.services,
            Endpoint::Listen(_) => &[],
        }
    }
}

/// An endpoint that opens connections. What is known about it before is in [`Facts`].
pub trait Dial: Send + Sync {
    /// Opens a connection for a caller, within a deadline of its own.
    ///
    /// # Errors
    /// What could not be opened and why, with a [`Cause`] attached where the answer depends on it.
    fn dial<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Opened>>;
}

/// An endpoint that waits for callers. What is known about it before is in [`Facts`].
pub trait Listen: Send + Sync {
    /// Opens the listening sockets. `page` is the one that suits the other side, where there is one; a listener that serves
    /// none ignores it.
    ///
    /// # Errors
    /// What could not be bound and why.
    fn bind(&self, page: Option<Page>) -> BoxFuture<'_, Result<Bound>>;
}

/// Listening sockets. What is known about them is in [`Bound`].
pub trait Accept: Send {
    /// Waits for the next caller; never shakes hands itself. Cancel-safe.
    ///
    /// # Errors
    /// Those of `accept(2)`; the next call may succeed.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn Handshake>>>;
}

/// A caller that was accepted, before any word was exchanged. To be driven in the session's own task.
pub trait Handshake: Send {
    /// Whose connection it is, as far as that shows before anything of it is read.
    fn source(&self) -> Source;

    /// Shakes hands up to the answer, within a deadline of its own. `None`: the caller has been answered already. The first poll
    /// reads what has come: a request that is there whole is an offer then.
    ///
    /// # Errors
    /// What went wrong with this caller; data for the log, never an error of ours.
    fn shake(self: Box<Self>) -> BoxFuture<'static, Result<Option<Box<dyn Offer>>>>;
}

/// A caller that waits for an answer.
pub trait Offer: Send {
    /// Who it is.
    fn caller(&self) -> &Arc<Caller>;

    /// Whether it is to be accepted before the other side is opened.
    fn is_accepted_first(&self) -> bool;

    /// Waits until the caller has gone, where that can be seen before it is answered; else for ever. Cancel-safe.
    fn gone(&mut self) -> BoxFuture<'_, ()>;

    /// Is told what the other side, which is open now, allows it to be answered with. An offer without headers ignores it.
    fn agree(&mut self, agreed: &Agreed<'_>);

    /// Answers yes.
    ///
    /// # Errors
    /// Where the caller has gone meanwhile.
    fn accept(self: Box<Self>) -> BoxFuture<'static, Result<Opened>>;

    /// Answers no, and why, in one line where the transport has room for it.
    fn refuse(self: Box<Self>, cause: Cause, why: String) -> BoxFuture<'static, ()>;
}

/// What the side across from an offer agrees to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Agreed<'a> {
    /// Which of the subprotocols that the caller offers it has agreed to, `""` being none of them; `None` where it has none.
    pub protocol: Option<&'a str>,
    /// Whether half-closes can be carried to it and from it.
    pub half_close: bool,
    /// Whether it takes bytes whose boundaries mean nothing.
    pub is_byte_stream: bool,
}

/// A kind of endpoint: one row of the table in `scheme.rs`.
pub struct Scheme {
    /// Its name and then its other spellings, in lower case and without the colon.
    pub names: &'static [&'static str],
    /// How it is written.
    pub syntax: &'static str,
    /// What it is, imperative and without a full stop.
    pub summary: &'static str,
    /// One example: a whole command line.
    pub example: &'static str,
    /// Whether all behind the colon is its place, commas included.
    pub is_raw: bool,
    /// The groups of options that it takes beside those that all do.
    pub options: &'static [fn(Command) -> Command],
    /// Makes the endpoint.
    pub build: fn(&Address, &Settings) -> Result<Endpoint>,
}

/// The groups of options that every scheme takes.
const COMMON: &[fn(Command) -> Command] = &[tap::Options::augment_args];

impl Scheme {
    /// All of its options as the arguments of a command.
    pub fn command(&self) -> Command {
        let command = Command::new(self.names[0])
            .no_binary_name(true)
            .disable_help_flag(true);
        let groups = self.options.iter().chain(COMMON);
        groups.fold(command, |command, add| add(command))
    }
}

/// Options from elsewhere than the address itself, weakest first: flags, then `-o side.key=value`.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Keys with their values.
    pub pairs: Vec<(String, Option<OsString>)>,
    /// The words behind `--` that follow a program's name.
    pub words: Vec<OsString>,
    /// The endpoint that a wrapper wraps.
    pub inner: Option<Endpoint>,
    /// What the other side is called, without secrets: for words to people alone.
    pub opposite: String,
    /// The environment variables that options fall back to.
    pub variables: Variables,
    /// What is collected and queued is counted here.
    pub memory: Memory,
    /// What starts programs, and knows of those that run.
    pub children: Children,
    /// The rooms of `hub:`.
    pub rooms: Rooms,
    /// What is registered here is read again on SIGHUP.
    pub rereads: Rereads,
}

/// Reads a group of options out of the settings and the address, which is the stronger.
///
/// # Errors
/// A key that the scheme does not have, or a value that the option does not take.
pub fn read_options<G: Args>(scheme: &Scheme, address: &Address, settings: &Settings) -> Result<G> {
    let group = G::augment_args(
        Command::new("")
            .no_binary_name(true)
            .disable_help_flag(true),
    );
    let matches = matches(group, scheme, address, settings)?;
    G::from_arg_matches(&matches).context("reading options")
}

/// What the settings and the address say of a group: the part of [`read_options`] that is the same for all groups.
fn matches(
    group: Command,
    scheme: &Scheme,
    address: &Address,
    settings: &Settings,
) -> Result<ArgMatches> {
    let all = scheme.command();
    let keys: Vec<_> = all
        .get_arguments()
        .filter_map(|arg| arg.get_long())
        .collect();
    for option in &address.options {
        if !keys.contains(&option.key.as_str()) {
            let what = unknown_option(&option.key, scheme.names[0], &keys);
            let mut error = address.error(option.at.clone(), what);
            error.is_usage = true;
            return Err(error.into());
        }
    }
    let has = |key: &str| group.get_arguments().any(|arg| arg.get_long() == Some(key));
    let own = address
        .options
        .iter()
        .map(|option| (&option.key, &option.value));
    let pairs = settings
        .pairs
        .iter()
        .map(|(key, value)| (key, value))
        .chain(own);
    let pairs: Vec<_> = pairs.filter(|(key, _)| has(key)).collect();
    let words = pairs.iter().map(|(key, value)| word(key, value.as_deref()));
    let words: Vec<_> = words.collect();
    let group = group.args_override_self(true);
    let matches = group.clone().try_get_matches_from(&words);
    let matches = matches.map_err(|error| {
        let error = mistake::spelled(error, &words);
        refused(&error, &group, &pairs, address)
    })?;
    Ok(matches)
}

/// An option and its value, where it has one.
type Pair<'a> = (&'a String, &'a Option<OsString>);

/// The error for an option that its group refuses: it points at the option where that stands in the address.
fn refused(
    error: &clap::Error,
    group: &Command,
    pairs: &[Pair<'_>],
    address: &Address,
) -> AddressError {
    let is_text = error.kind() != ErrorKind::InvalidUtf8;
    let key = match is_text {
        true => mistake::key(error),
        false => not_text(group, pairs),
    };
    let typed = address
        .options
        .iter()
        .rfind(|it| Some(&it.key) == key.as_ref());
    let what = |prefix| match &key {
        Some(key) if !is_text => mistake::not_text(&format!("{prefix}{key}")),
        _ => mistake::line(error, prefix).unwrap_or_else(|| error.to_string()),
    };
    match typed {
        Some(option) => AddressError {
            is_usage: true,
            ..address.error(option.at.clone(), what(""))
        },
        None => AddressError::elsewhere(what("--")),
    }
}

/// The key of the option whose value is not UTF-8: clap does not say which one it is.
fn not_text(group: &Command, pairs: &[Pair<'_>]) -> Option<String> {
    let is_it = |(key, value): &&Pair<'_>| {
        let alone = [word(key, value.as_deref())];
        let error = group.clone().try_get_matches_from(alone).err();
        error.is_some_and(|error| error.kind() == ErrorKind::InvalidUtf8)
    };
    pairs.iter().find(is_it).map(|(key, _)| (*key).clone())
}

/// An option as a word for clap.
pub fn word(key: &str, value: Option<&OsStr>) -> OsString {
    match value {
        Some(value) => joined(["--".as_ref(), key.as_ref(), "=".as_ref(), value]),
        None => joined(["--".as_ref(), key.as_ref()]),
    }
}

/// The words for an option that a scheme, or a chain of them, does not have.
pub fn unknown_option(key: &str, name: &str, keys: &[&str]) -> String {
    if key.is_empty() {
        return format!("an option of {name}: is missing here, KEY or KEY=VALUE");
    }
    // What stands behind it may be a value, and secret.
    let key = word_of(key);
    let what = format!("unknown option '{key}' for {name}:");
    let all = keys.join(", ");
    match nearest(key, keys.iter().copied()) {
        Some(near) => format!("{what}; did you mean '{near}'?"),
        None if keys.is_empty() => format!("{what}, which has none"),
        None if all.len() > LISTED => format!("{what}; wsbridge --help shows all"),
        None => format!("{what}; there is: {all}"),
    }
}

/// The word that a text begins with, as names of options are.
pub fn word_of(text: &str) -> &str {
    let is_inner = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let end = text.find(|c| !is_inner(c)).unwrap_or(text.len());
    &text[..end]
}

/// So long may a list of options be to stand in an error.
const LISTED: usize = 80;

/// Reads the framing of a scheme whose own is `own`.
///
/// # Errors
/// Those of [`read_options`], and framings that do not go together.
pub fn read_framing(
    scheme: &Scheme,
    address: &Address,
    settings: &Settings,
    own: Framing,
) -> Result<Framing> {
    let options: framing::Options = read_options(scheme, address, settings)?;
    options.over(own).map_err(|what| {
        let error = match address.options.first() {
            Some(option) => AddressError {
                is_usage: true,
                ..address.error(option.at.clone(), what)
            },
            None => AddressError::elsewhere(what),
        };
        error.into()
    })
}

/// The options of a scheme that has none.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
pub struct NoOptions {}
