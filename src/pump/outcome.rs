//! What a session is doing, and how it went.

use crate::ending::{Ending, Stop};
use crate::peer::{Gap, Longest};

/// What has passed in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Whole messages.
    pub messages: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

/// How a session went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How the left side ended.
    pub left: Ending,
    /// How the right side ended.
    pub right: Ending,
    /// What passed from left to right.
    pub left_to_right: Counts,
    /// What passed from right to left.
    pub right_to_left: Counts,
    /// The side that ended first with anything but exit status 0, and how; what the other then says follows from it.
    pub cause: Option<(Side, Ending)>,
    /// Whether a stop ended it.
    pub stopped: Option<Stop>,
    /// What may have been lost where a side was connected again.
    pub gap: Gap,
    /// Whether the linger of a caller's input ran out, and nothing had come since that ended, or it was empty.
    pub is_unheard: bool,
    /// How many messages came and how many were to come, where they were fewer.
    pub fewer: Option<(u64, u64)>,
    /// The side that closed because a message was too big for it, and the longest that it was sent.
    pub too_big: Option<(Side, Longest)>,
    /// The side that was sent the half-close marker and then ended as a proxy lets it that does not know the marker: by a Close
    /// that says so, or without one, before a marker came from there.
    pub refused_marker: Option<Side>,
}

/// The exit status of a session in which fewer messages came than were asked for.
const FEWER: u8 = 28;

/// One side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The caller's.
    Left,
    /// The one that is opened for the caller.
    Right,
}

impl Outcome {
    /// The exit status of a single session: that of a stop, else that of what ended it.
    pub fn exit_status(&self) -> u8 {
        match (self.stopped, &self.cause) {
            (Some(stop), _) => stop.exit_status(),
            (None, Some((_, ending))) => ending.exit_status(),
            (None, None) if self.fewer.is_some() => FEWER,
            (None, None) => 0,
        }
    }
}

/// What a session is doing at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Bytes of payload that passed from left to right.
    pub bytes_right: u64,
    /// Bytes of payload that passed from right to left.
    pub bytes_left: u64,
    /// What it does, in a few words.
    pub state: &'static str,
}

impl Glance {
    /// A session whose other side is not open yet.
    pub const CONNECTING: Glance = Glance {
        bytes_right: 0,
        bytes_left: 0,
        state: "connecting",
    };
}
