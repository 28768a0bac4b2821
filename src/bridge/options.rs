//! The limits of a bridge, as options.

use std::num::NonZero;

use clap::Args;

use crate::address::{number, parse_size};

/// Options of a bridge that listens.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Limits")]
pub struct Options {
    /// Serve one caller, then end with its exit status
    #[arg(long)]
    pub once: bool,
    /// Serve this many callers at a time (default: 4096, or what the limit of open files allows)
    ///
    /// A further one gets HTTP 503, or a reset where it speaks no HTTP. Without this option it waits until a session has ended,
    /// and gets its 503 after 5 seconds in which none has.
    #[arg(long, value_name = "N", value_parser = number(1..=u32::MAX))]
    pub max_connections: Option<u32>,
    /// Hold at most this much of what sessions collect and queue (default: a quarter of the memory there is, 32M to 256M)
    ///
    /// Unfinished messages that must be whole, queues of rooms and shares, their replay, datagrams, what is read ahead of a
    /// side that takes nothing: all sessions together, beside their buffers of 256 KiB. Where it is used up the largest holder
    /// is closed, with 1009 for a message and 1013 for a queue. The memory there is is the machine's, the container's or that
    /// of ulimit -v, whichever is least. Example: --memory 64M
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub memory: Option<usize>,
    /// Show on a terminal how much has passed, and how fast
    ///
    /// A line on stderr, drawn anew four times a second: the time, and for each direction bytes, bytes a second and messages of
    /// all sessions together; at the end it shows the whole. Where stderr is no terminal nothing is shown.
    #[arg(long, help_heading = "Watching")]
    pub progress: bool,
    /// Run sessions on this many threads (default: one for each processor)
    #[arg(long, value_name = "N", value_parser = number(NonZero::<usize>::MIN..=NonZero::<usize>::MAX))]
    pub threads: Option<NonZero<usize>>,
    /// Keep this many unfinished handshakes, at most a quarter of the open files allowed
    ///
    /// A caller whose request has come whole needs none. Where all are taken the oldest of the address that has most of them
    /// gives way, if it has more than 8; else the oldest that is over a second old. Callers behind --trusted-proxy may have
    /// half of them together.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = number(1..=u32::MAX))]
    pub max_handshakes: u32,
    /// Allow each address this many connections, sessions and handshakes together
    ///
    /// One more gets HTTP 429, or a reset where it speaks no HTTP. An address is an IPv4 address, the first 64 bits of an IPv6
    /// address, or a user on a Unix socket. Behind a proxy all callers have its address, unless --trusted-proxy names it.
    /// Example: --max-per-ip 20
    #[arg(long, value_name = "N", value_parser = number(1..=u32::MAX))]
    pub max_per_ip: Option<u32>,
}
