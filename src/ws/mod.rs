//! WebSocket (RFC 6455) over any byte stream: the frame codec and the message stream made of it.

mod alive;
pub mod codec;
pub mod half_close;
pub mod mask;
#[cfg(test)]
mod model;
mod socket;

pub use codec::Role;
pub use socket::{Options, Socket};
