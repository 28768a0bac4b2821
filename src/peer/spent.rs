//! What a stream has read, whether or not anything came of it: the measure of how long it keeps others waiting.

use std::task::{Context, Poll};

/// What was read of a stream since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Bytes.
    pub bytes: u32,
    /// Frames of a WebSocket, control frames and empty ones included.
    pub frames: u32,
}

impl Spent {
    /// What is read in one turn: a full buffer, or as many frames as take about a tenth of a millisecond. Then others run.
    pub const TURN: Spent = Spent {
        bytes: 256 * 1024,
        frames: 4096,
    };

    /// Whether it is a whole turn.
    pub fn is_turn(self) -> bool {
        self.bytes >= Spent::TURN.bytes || self.frames >= Spent::TURN.frames
    }

    /// Counts more bytes; a count that is too large for it stays at its most.
    pub fn add(bytes: u32, more: usize) -> u32 {
        bytes.saturating_add(u32::try_from(more).unwrap_or(u32::MAX))
    }

    /// Lets others run after a whole turn: wakes the task, and is ready when that is polled again.
    pub fn poll_turn(self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_turn() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
