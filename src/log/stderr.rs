//! The queue of stderr, which is the process's.

use std::sync::{Arc, OnceLock};

use super::queue::Queue;

/// The queue, once there is one.
pub(super) static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();
