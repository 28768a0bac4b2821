//! The Close frame (RFC 6455 5.5.1).

use std::fmt;

/// A Close frame: its code, absent where the frame had none (1005), and its reason of at most 123 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The status code as received or to be sent; `None` is a frame without a body.
    pub code: Option<u16>,
    /// The reason, at most 123 bytes of UTF-8.
    pub reason: String,
}

impl Close {
    /// Makes a Close with a code and a reason; a reason over 123 bytes is cut at a character.
    pub fn new(code: u16, reason: impl Into<String>) -> Close {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(123));
        Close {
            code: Some(code),
            reason,
        }
    }

    /// Makes a Close without a body.
    pub const fn empty() -> Close {
        Close {
            code: None,
            reason: String::new(),
        }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.reason.as_str()) {
            (None, _) => f.write_str("close without code"),
            (Some(code), "") => write!(f, "close {code}"),
            (Some(code), reason) => write!(f, "close {code} \"{}\"", reason.escape_debug()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_at_a_character() {
        assert_eq!(Close::new(1000, "é".repeat(80)).reason.len(), 122);
    }
}
