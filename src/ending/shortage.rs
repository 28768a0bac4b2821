//! What there was no memory for, under `--memory` or in the system.

use std::fmt;

/// What there was no memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// A message that is not finished.
    Message {
        /// Bytes that had come of it.
        held: usize,
    },
    /// What waited for a side that does not take it.
    Queue {
        /// Bytes that waited.
        held: usize,
    },
    /// What the system has no memory for.
    System {
        /// Bytes that were wanted.
        wanted: usize,
    },
}

impl Shortage {
    /// The code of the Close that tells it.
    pub fn code(self) -> u16 {
        match self {
            Shortage::Message { .. } | Shortage::System { .. } => 1009,
            Shortage::Queue { .. } => 1013,
        }
    }

    /// What the log says of it.
    pub fn told(self) -> String {
        format!("{self} is given up with Close {}", self.code())
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shortage::Message { held } => write!(f, "an unfinished message of {held} bytes"),
            Shortage::Queue { held } => write!(f, "a queue of {held} bytes that is not read"),
            Shortage::System { wanted } => {
                write!(f, "a message for which the system has no {wanted} bytes")
            }
        }
    }
}

impl std::error::Error for Shortage {}
