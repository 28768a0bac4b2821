//! One bound for what all sessions of a bridge hold beyond their pump buffers: unfinished messages, queues, what was read ahead.
//!
//! A [`Memory`] is owned: each bridge has its own, and what collects or queues has a clone of it. Near the bound the largest
//! holder gives way: its peer is told by a Close (1009 for a message, 1013 for a queue), and the others go on.

mod account;
mod available;
mod collected;

pub use account::{Charge, Holder, Holding, Memory, Spare};
pub use available::usual_limit;
pub use collected::{Collected, FREE, PIECE, copy, reserve};
