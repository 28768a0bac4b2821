//! How a session waits, and what it copies.

use std::sync::Arc;
use std::time::Duration;

use super::lingering::Permit;
use crate::memory::Memory;
use crate::progress::Meter;

/// How long a session may go on after a stop, where nothing else is asked for.
pub const DRAIN: Duration = Duration::from_secs(8);

/// How a session waits and what it copies.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long nothing must come before an answer is no longer waited for: after the end of a caller's input, before our
    /// Close is sent; after a peer's Close, before our Close answers it. `None` is what suits the sides.
    pub linger: Option<Duration>,
    /// How long a peer may take to answer our Close, or to take anything of what is left for it.
    pub close_timeout: Duration,
    /// How long a peer may take nothing of what a side that has finished has left for it; `None` is for ever.
    pub deliver_timeout: Option<Duration>,
    /// How long a peer that is there may take nothing of what there is for it; `None` is for ever.
    pub stall: Option<Duration>,
    /// How long a session may go on after a stop: half of it to finish what is under way, all of it to end.
    pub drain: Duration,
    /// How long nothing may move either way; `None` is for ever.
    pub idle: Option<Duration>,
    /// How long a session may take; `None` is for ever.
    pub max_time: Option<Duration>,
    /// Whether the end of a caller's input leaves a WebSocket open.
    pub keeps_open: bool,
    /// What is copied from left to right.
    pub left_to_right: Copied,
    /// What is copied from right to left.
    pub right_to_left: Copied,
    /// Told of what passes, where somebody looks on.
    pub meter: Option<Arc<Meter>>,
    /// What the session gives up to a new caller while it only waits for answers.
    pub permit: Option<Arc<Permit>>,
    /// What is read ahead of a blocked sink is counted here.
    pub memory: Memory,
}

/// How much of a direction is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// All of it.
    All,
    /// This many messages.
    Messages(u64),
    /// None of it: bytes are not read, messages are read and dropped.
    Nothing,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            linger: None,
            close_timeout: Duration::from_secs(10),
            deliver_timeout: Some(Duration::from_secs(300)),
            stall: None,
            drain: DRAIN,
            idle: None,
            max_time: None,
            keeps_open: false,
            left_to_right: Copied::All,
            right_to_left: Copied::All,
            meter: None,
            permit: None,
            memory: Memory::default(),
        }
    }
}
