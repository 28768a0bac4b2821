//! The one integration binary: the real program against raw peers, a file per scenario.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, unreachable_pub)]

mod support;

mod client;
mod datagrams;
mod doctor;
mod endings;
mod errors;
mod files;
mod generated;
mod help;
mod http;
mod hub;
mod imports;
mod layers;
mod limits;
mod lines;
mod logging;
mod process;
mod programs;
mod progress;
mod promises;
#[cfg(feature = "interactive")]
mod prompt;
mod reconnect;
mod secrets;
mod serial;
mod share;
mod shown;
mod signals;
mod stops;
mod tls;
mod watching;
