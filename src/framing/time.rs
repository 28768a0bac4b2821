//! What the clock says, for messages that are written with their time.

use std::time::SystemTime;

/// The time of day as RFC 3339 writes it: in UTC, to the millisecond, 24 bytes.
pub(super) fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}
