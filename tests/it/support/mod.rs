//! The harness: the real program as a child, and raw peers that can misbehave in every way.
//!
//! Nothing here uses wsbridge's own code, so that no mistake of it can hide behind itself. Every wait has a deadline, and a
//! deadline that passes is a failure with what was seen so far.

#![allow(dead_code, unused_imports, unreachable_pub)]

mod peers;
mod program;
mod terminal;

pub use peers::{Frame, Tcp, TcpEnd, Ws, close_frame, connect_from, frame_bytes, free_port};
pub use program::{Bridge, Finished, Running, command, run, run_in, spawn, spawn_under};
pub use terminal::terminal;

use std::time::Duration;

/// How long anything may take before the test fails. Nothing depends on it when all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);
