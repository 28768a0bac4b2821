//! What one direction may do in one poll.

use crate::buffer::LARGE;
use crate::peer::Spent;

/// Bytes that one poll moves before it lets other sessions run: a tenth of a millisecond of work. What has been read by then is
/// moved to its end, up to as much again: the last messages that it was cut to would leave by themselves.
pub(super) const BYTES_A_POLL: usize = LARGE;
/// Fragments that one poll moves before it lets other sessions run. What it reads is bounded by [`Spent::TURN`].
const FRAGMENTS_A_POLL: usize = 4 * 1024;
/// What one direction may do in one poll.
pub(super) struct Budget {
    /// Bytes that were moved.
    pub(super) bytes: usize,
    /// Fragments and batches that may still be moved, and reads.
    pub(super) fragments: usize,
    /// What it reads, whether or not anything of it moves.
    pub(super) read: Spent,
    /// Whether it was spent on nothing that moves.
    pub(super) is_barren: bool,
}

impl Budget {
    pub(super) fn new() -> Budget {
        Budget {
            bytes: 0,
            fragments: FRAGMENTS_A_POLL,
            read: Spent::default(),
            is_barren: false,
        }
    }

    /// Whether more may be read.
    pub(super) fn is_left(&self) -> bool {
        self.bytes < BYTES_A_POLL && self.fragments > 0 && !self.read.is_turn()
    }

    /// Whether what has been read may be moved on.
    pub(super) fn allows_what_is_read(&self) -> bool {
        self.bytes < 2 * BYTES_A_POLL && self.fragments > 0
    }

    pub(super) fn charge(&mut self, spent: Spent) {
        self.read.bytes = self.read.bytes.saturating_add(spent.bytes);
        self.read.frames = self.read.frames.saturating_add(spent.frames);
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.fragments -= 1;
    }
}
