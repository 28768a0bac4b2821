//! map
pub mod address;
pub mod bridge;
pub mod buffer;
pub mod caller;
pub mod cli;
pub mod ending;
pub mod endpoint;
pub mod framing;
pub mod http;
pub mod message;
pub mod peer;
pub mod pump;
pub mod scheme;
pub mod sendqueue;
pub mod session;
pub mod utf8;
pub mod ws;
