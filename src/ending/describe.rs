//! What an ending is called to who runs a single session: what the other side did or what was waited for, in words.

use super::{Close, Deadline, Ending, Exit, Loss, Violation};

/// What close codes mean (RFC 6455 7.4.1 and IANA's registry).
const CODES: &[(u16, &str)] = &[
    (1001, "going away"),
    (1002, "protocol error"),
    (1003, "unsupported data"),
    (1007, "malformed data"),
    (1008, "policy violation"),
    (1009, "message too big"),
    (1010, "an extension is missing"),
    (1011, "internal error"),
    (1012, "service restart"),
    (1013, "try again later"),
    (1014, "bad gateway"),
];

/// What a peer did that its [`Violation`] names by a token.
const VIOLATIONS: &[(&str, &str)] = &[
    ("not-utf8", "it sent text that is not UTF-8"),
    ("opcode", "it sent a frame of an unknown kind"),
    (
        "reserved-bits",
        "it sent a frame of an extension that was not agreed to",
    ),
    ("fragmented-control", "it sent a control frame in pieces"),
    ("long-control", "it sent a control frame over 125 bytes"),
    (
        "mask",
        "it masks as the other role does: clients mask, servers do not",
    ),
    (
        "continuation",
        "it went on with a message that had not begun",
    ),
    ("interleaved-message", "it began a message within another"),
    (
        "half-close",
        "it sent a half-close marker that is malformed",
    ),
    (
        "after-half-close",
        "it sent data behind its half-close marker",
    ),
    ("length", "it wrote a length in a form that is not allowed"),
    ("close-length", "it sent a Close of one byte"),
    ("close-code", "it sent a Close with a code that is not sent"),
];

fn known<K: PartialEq>(table: &[(K, &'static str)], key: &K) -> Option<&'static str> {
    let row = table.iter().find(|row| row.0 == *key);
    row.map(|row| row.1)
}

impl Ending {
    /// The ending in words for people, lower case and without a full stop; its [`Display`](std::fmt::Display) is for logs.
    pub fn told(&self) -> String {
        match self {
            Ending::Close(close) => close.told(),
            Ending::Cut { close, received } => {
                let told = close.told();
                format!("{told}, within a message: {received} bytes of it came, the rest did not")
            }
            Ending::Broken(Violation { code, reason }) => match known(VIOLATIONS, reason) {
                Some(what) => format!("protocol error: {what} ({code} {reason})"),
                None => self.to_string(),
            },
            Ending::Lost(Loss::Reset | Loss::ResetOpen) => {
                "connection reset, data may be incomplete".to_owned()
            }
            Ending::Lost(Loss::Silent) => {
                "connection dead, nothing came for the time of --ping and no answer to a ping"
                    .to_owned()
            }
            Ending::Exited(Exit::Status(status)) => format!("ended with exit status {status}"),
            Ending::Exited(exit @ Exit::Signal(_)) => format!("killed by {exit}"),
            Ending::Held(exit) => {
                let held = "a process that has left its group still holds its output";
                format!("{}; {held}", Ending::Exited(*exit).told())
            }
            Ending::Deadline(deadline) => deadline.told().to_owned(),
            other => other.to_string(),
        }
    }
}

impl Close {
    fn told(&self) -> String {
        let Some(code) = self.code else {
            return "closed without a code".to_owned();
        };
        let mut words = format!("closed with {code}");
        if let Some(meaning) = known(CODES, &code) {
            words += &format!(", {meaning}");
        }
        if !self.reason.is_empty() {
            words += &format!(": \"{}\"", self.reason.escape_debug());
        }
        words
    }
}

impl Deadline {
    fn told(self) -> &'static str {
        match self {
            Deadline::Idle => "nothing has moved for the time of --idle",
            Deadline::Time => "not at its end within --max-time",
            Deadline::Close => "no answer to our Close within --close-timeout",
            Deadline::Stall => "it took nothing of what was left for it within --close-timeout",
            Deadline::Deliver => "it took nothing of what was left for it within --deliver-timeout",
            Deadline::Unread => "it took nothing of what there was for it within --stall",
            Deadline::Drain => "not at its end within --drain",
        }
    }
}
