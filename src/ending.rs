//! How a direction ended, and what that is called on each kind of transport.

mod cause;
mod close;
mod describe;
mod errno;
mod exit;
mod shortage;

use std::fmt;
use std::io;
use std::time::Duration;

pub use cause::{Cause, Failure, RetryAfter};
pub use close::Close;
pub use errno::{errno_text, is_out_of_descriptors};
pub use exit::{EXIT_STATUSES, Exit, Stop};
pub use shortage::Shortage;

/// How one direction of a peer ended.
///
/// An ending is clean or it is an [abort](Ending::is_abort). An abort is never passed on as a clean end where the
/// other transport can say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A byte stream came to its end.
    Eof,
    /// The peer sent a Close frame.
    Close(Close),
    /// The direction ended cleanly, but within a message: the rest of it never comes (RFC 6455 5.5.1 allows that).
    Cut {
        /// The peer's Close, or the Close that the end would have been between two messages.
        close: Box<Close>,
        /// Bytes of the message received before the end.
        received: u64,
    },
    /// The connection went away without saying that it was finished.
    Lost(Loss),
    /// The peer broke its protocol; the code is what it is told (RFC 6455 7.4.1).
    Broken(Violation),
    /// Bytes that were to be text are not UTF-8.
    NotText {
        /// How many bytes of the stream came before the first that is wrong.
        offset: u64,
    },
    /// Bytes do not follow the framing that they were to be cut by.
    Malformed {
        /// What is wrong, in words that name what was expected.
        what: &'static str,
        /// How many bytes of the stream came before the place that is wrong.
        offset: u64,
    },
    /// It was sent a message of a kind that it has no form for.
    WrongKind {
        /// What it takes.
        takes: &'static str,
    },
    /// It was sent a message that is longer than it can take whole: a datagram, a message that is collected.
    TooLong {
        /// The bytes that it takes at most.
        limit: usize,
        /// Whether `--max-message` sets them.
        is_set: bool,
    },
    /// It had the most of what all sessions hold when `--memory` was used up, or the system has no memory for it.
    OutOfMemory(Shortage),
    /// Nobody reads our output any more (`EPIPE` on stdout).
    ReaderGone,
    /// A local read failed, with the system's reason.
    ReadFailed(String),
    /// A local write failed, with the system's reason (disk full).
    WriteFailed(String),
    /// The other endpoint could not be opened after this one had been accepted.
    Unreachable(Cause),
    /// As many messages as were asked for have passed.
    Enough,
    /// The other side had ended and this one was not waited for at all.
    Abandoned,
    /// The other side had ended, and nothing came from this one for so long.
    LingerExpired(Duration),
    /// A program ended, all of its output is read; with status 0 it is [`Ending::Eof`].
    Exited(Exit),
    /// A program ended, and a process that has left its group still holds its output.
    Held(Exit),
    /// The bridge was told to stop.
    Stopped(Stop),
    /// One of our deadlines passed.
    Deadline(Deadline),
}

/// How a connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The transport was reset.
    Reset,
    /// The transport of a WebSocket was reset where a Close frame was due (RFC 6455's 1006).
    ResetOpen,
    /// The transport ended where a Close frame was due (RFC 6455's 1006).
    NoClose,
    /// Nothing came for too long, not even the answer to our ping.
    Silent,
    /// Nobody takes datagrams there.
    Refused,
    /// The stream ended within a message whose length was known.
    Short,
}

/// A breach of the protocol by the peer, with the close code that says so and a short stable reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// 1002, 1003, 1007, 1008 or 1009.
    pub code: u16,
    /// A stable token for the Close frame and the log.
    pub reason: &'static str,
}

/// Which of our deadlines passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Nothing moved either way for `--idle`.
    Idle,
    /// The session was as long as `--max-time` allows.
    Time,
    /// The peer did not answer our Close within `--close-timeout`.
    Close,
    /// The peer took nothing of what was left to deliver within `--close-timeout`.
    Stall,
    /// The peer took nothing of what was left to deliver within `--deliver-timeout`, after the other side had finished.
    Deliver,
    /// The peer took nothing of what there was for it within `--stall`.
    Unread,
    /// A stop was not done within `--drain`.
    Drain,
}

impl Ending {
    /// Reads an ending out of a failed read or write of a transport.
    pub fn of_error(error: &io::Error) -> Ending {
        if let Some(failure) = Failure::of(error) {
            return Ending::Unreachable(failure.cause);
        }
        let within = error.get_ref();
        if let Some(shortage) = within.and_then(|within| within.downcast_ref::<Shortage>()) {
            return Ending::OutOfMemory(*shortage);
        }
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Ending::WriteFailed(errno_text(error)),
            _ => Ending::Lost(Loss::Reset),
        }
    }

    /// Returns what the end is where it comes within a message of which `received` bytes have come: no clean end and no Close
    /// is complete there. A loss, a deadline or another failure stays what it is.
    #[must_use]
    pub fn within_message(self, received: u64) -> Ending {
        match self {
            Ending::Close(close) => Ending::Cut {
                close: Box::new(close),
                received,
            },
            other if other.is_abort() => other,
            other => Ending::Cut {
                close: Box::new(other.close_across()),
                received,
            },
        }
    }

    /// Whether the stream was cut, so that it must not be passed on as finished.
    pub fn is_abort(&self) -> bool {
        match self {
            Ending::Eof
            | Ending::ReaderGone
            | Ending::Enough
            | Ending::Abandoned
            | Ending::LingerExpired(_)
            | Ending::Stopped(_) => false,
            Ending::Close(close) => matches!(close.code, Some(1002..=2999)),
            // What was killed may not have said all.
            Ending::Exited(exit) | Ending::Held(exit) => matches!(exit, Exit::Signal(_)),
            Ending::Cut { .. }
            | Ending::Lost(_)
            | Ending::Broken(_)
            | Ending::NotText { .. }
            | Ending::Malformed { .. }
            | Ending::WrongKind { .. }
            | Ending::TooLong { .. }
            | Ending::OutOfMemory(_)
            | Ending::ReadFailed(_)
            | Ending::WriteFailed(_)
            | Ending::Unreachable(_)
            | Ending::Deadline(_) => true,
        }
    }

    /// The same, where the transport that ended so is that of a WebSocket: a program is left to end by itself then.
    pub fn of_websocket(self) -> Ending {
        match self {
            Ending::Lost(Loss::Reset) => Ending::Lost(Loss::ResetOpen),
            other => other,
        }
    }

    /// Whether it is the end of a side that could take more, but not the message that it was sent.
    pub fn is_unfit(&self) -> bool {
        matches!(
            self,
            Ending::TooLong { .. } | Ending::WrongKind { .. } | Ending::OutOfMemory(_)
        )
    }

    /// Whether the peer closed because of a message that was too big for it.
    pub fn is_too_big(&self) -> bool {
        let code = match self {
            Ending::Close(close) => close.code,
            Ending::Cut { close, .. } => close.code,
            _ => None,
        };
        code == Some(1009)
    }

    /// What the WebSocket peer on the other side is sent when this side ended so.
    pub fn close_across(&self) -> Close {
        match self {
            Ending::Eof
            | Ending::ReaderGone
            | Ending::Enough
            | Ending::Abandoned
            | Ending::LingerExpired(_) => Close::new(1000, ""),
            Ending::Close(close) => Close::new(close.code.unwrap_or(1000), close.reason.clone()),
            Ending::Cut { .. } => Close::new(1011, "cut"),
            Ending::Lost(Loss::Reset | Loss::ResetOpen) => Close::new(1011, "reset"),
            Ending::Lost(Loss::NoClose) => Close::new(1011, "lost"),
            Ending::Lost(Loss::Silent) => Close::new(1011, "silent"),
            Ending::Lost(Loss::Refused) => Close::new(1011, "refused"),
            Ending::Lost(Loss::Short) => Close::new(1011, "short"),
            Ending::Broken(_) => Close::new(1011, "protocol"),
            Ending::NotText { .. } => Close::new(1011, "not-utf8"),
            Ending::Malformed { .. } => Close::new(1007, "malformed"),
            // The one across is the one that sent it.
            Ending::WrongKind { .. } => Close::new(1003, "kind"),
            Ending::TooLong { limit, .. } => Close::new(1009, format!("over {limit} bytes")),
            Ending::OutOfMemory(shortage) => Close::new(shortage.code(), "memory"),
            Ending::ReadFailed(_) => Close::new(1011, "read"),
            Ending::WriteFailed(_) => Close::new(1011, "write"),
            Ending::Unreachable(cause) => Close::new(1014, cause.token()),
            Ending::Exited(Exit::Status(0)) | Ending::Held(Exit::Status(0)) => Close::new(1000, ""),
            Ending::Exited(exit) | Ending::Held(exit) => {
                Close::new(4000 + u16::from(exit.shell_status()), exit.to_string())
            }
            Ending::Stopped(_) => Close::new(1001, "stop"),
            Ending::Deadline(Deadline::Idle) => Close::new(1001, "idle"),
            Ending::Deadline(Deadline::Time) => Close::new(1001, "max-time"),
            Ending::Deadline(Deadline::Close) => Close::new(1011, "close-timeout"),
            Ending::Deadline(Deadline::Stall | Deadline::Deliver | Deadline::Unread) => {
                Close::new(1011, "stall")
            }
            Ending::Deadline(Deadline::Drain) => Close::new(1011, "drain"),
        }
    }

    /// What a WebSocket peer is sent that ended so itself: its Close is echoed, its breach is named.
    pub fn close_reply(&self) -> Close {
        match self {
            Ending::Close(close) => close.clone(),
            Ending::Cut { close, .. } => Close::clone(close),
            Ending::Broken(violation) => Close::new(violation.code, violation.reason),
            other => other.close_across(),
        }
    }

    /// The exit status of a single session that ended so.
    pub fn exit_status(&self) -> u8 {
        match self {
            Ending::Eof
            | Ending::ReaderGone
            | Ending::Enough
            | Ending::Abandoned
            | Ending::LingerExpired(_) => 0,
            Ending::Close(close) => match close.code {
                None | Some(1000 | 1001) => 0,
                Some(3000..) => 111,
                Some(_) => 110,
            },
            Ending::Cut { .. } | Ending::Lost(_) => 56,
            Ending::Broken(Violation { code: 1009, .. }) | Ending::TooLong { .. } => 63,
            Ending::OutOfMemory(_) => 27,
            Ending::Broken(_) | Ending::Malformed { .. } | Ending::WrongKind { .. } => 112,
            Ending::Exited(Exit::Status(0)) | Ending::Held(Exit::Status(0)) => 0,
            Ending::Exited(_)
            | Ending::Held(_)
            | Ending::NotText { .. }
            | Ending::ReadFailed(_) => 1,
            Ending::WriteFailed(_) => 23,
            Ending::Unreachable(cause) => cause.exit_status(),
            Ending::Stopped(stop) => stop.exit_status(),
            Ending::Deadline(_) => 28,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Eof => f.write_str("eof"),
            Ending::Close(close) => close.fmt(f),
            Ending::Cut { close, received } => {
                write!(f, "{close} within a message, after {received} bytes of it")
            }
            Ending::Lost(Loss::Reset | Loss::ResetOpen) => f.write_str("connection reset"),
            Ending::Lost(Loss::NoClose) => {
                f.write_str("connection lost without Close, data may be incomplete")
            }
            Ending::Lost(Loss::Silent) => f.write_str("connection silent, no pong"),
            Ending::Lost(Loss::Refused) => {
                f.write_str("connection refused, nobody takes datagrams")
            }
            Ending::Broken(violation) => {
                write!(f, "protocol error {} {}", violation.code, violation.reason)
            }
            Ending::NotText { offset } => {
                write!(f, "not UTF-8 at byte {offset}; -b sends bytes as they are")
            }
            Ending::Lost(Loss::Short) => f.write_str("ended within a message, data is incomplete"),
            Ending::Malformed { what, offset } => write!(f, "{what}, at byte {offset}"),
            Ending::WrongKind { takes } => write!(f, "message of the wrong kind; it takes {takes}"),
            Ending::TooLong { limit, is_set } => {
                write!(f, "message over the limit of {limit} bytes")?;
                f.write_str(if *is_set { " (--max-message)" } else { "" })
            }
            Ending::OutOfMemory(shortage) => write!(f, "out of memory (--memory): {shortage}"),
            Ending::ReaderGone => f.write_str("reader gone"),
            Ending::ReadFailed(reason) => write!(f, "read failed: {reason}"),
            Ending::WriteFailed(reason) => write!(f, "write failed: {reason}"),
            Ending::Unreachable(cause) => write!(f, "target {cause}"),
            Ending::Enough => f.write_str("enough messages"),
            Ending::Abandoned => f.write_str("not waited for"),
            Ending::LingerExpired(linger) => write!(f, "linger expired after {linger:?}"),
            Ending::Exited(exit) => exit.fmt(f),
            Ending::Held(exit) => write!(f, "{exit}, output still held"),
            Ending::Stopped(stop) => write!(f, "stopped by {stop}"),
            Ending::Deadline(Deadline::Idle) => f.write_str("idle timeout"),
            Ending::Deadline(Deadline::Time) => f.write_str("maximum time reached"),
            Ending::Deadline(Deadline::Close) => f.write_str("close timeout"),
            Ending::Deadline(Deadline::Stall | Deadline::Deliver | Deadline::Unread) => {
                f.write_str("write stalled")
            }
            Ending::Deadline(Deadline::Drain) => f.write_str("drain timeout"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Design section 6, row by row: ending, abort, code across, code back, exit status.
    #[test]
    fn every_ending_is_called_what_the_table_says() {
        let close = |code| Ending::Close(Close::new(code, "why"));
        let cut = |code| close(code).within_message(4);
        let broken = |code| Ending::Broken(Violation { code, reason: "x" });
        let table = [
            (Ending::Eof, false, 1000, 1000, 0),
            (close(1000), false, 1000, 1000, 0),
            (close(1001), false, 1001, 1001, 0),
            (close(3000), false, 3000, 3000, 111),
            (close(4999), false, 4999, 4999, 111),
            (close(1002), true, 1002, 1002, 110),
            (close(1011), true, 1011, 1011, 110),
            (close(1014), true, 1014, 1014, 110),
            (cut(1000), true, 1011, 1000, 56),
            (cut(4001), true, 1011, 4001, 56),
            (Ending::Lost(Loss::NoClose), true, 1011, 1011, 56),
            (Ending::Lost(Loss::Reset), true, 1011, 1011, 56),
            (Ending::Lost(Loss::ResetOpen), true, 1011, 1011, 56),
            (Ending::Lost(Loss::Silent), true, 1011, 1011, 56),
            (broken(1002), true, 1011, 1002, 112),
            (broken(1007), true, 1011, 1007, 112),
            (broken(1009), true, 1011, 1009, 63),
            (Ending::Lost(Loss::Refused), true, 1011, 1011, 56),
            (Ending::NotText { offset: 3 }, true, 1011, 1011, 1),
            (Ending::Lost(Loss::Short), true, 1011, 1011, 56),
            (
                Ending::Malformed {
                    what: "x",
                    offset: 3,
                },
                true,
                1007,
                1007,
                112,
            ),
            (Ending::WrongKind { takes: "x" }, true, 1003, 1003, 112),
            (
                Ending::TooLong {
                    limit: 3,
                    is_set: true,
                },
                true,
                1009,
                1009,
                63,
            ),
            (
                Ending::OutOfMemory(Shortage::Message { held: 3 }),
                true,
                1009,
                1009,
                27,
            ),
            (
                Ending::OutOfMemory(Shortage::Queue { held: 3 }),
                true,
                1013,
                1013,
                27,
            ),
            (
                Ending::OutOfMemory(Shortage::System { wanted: 3 }),
                true,
                1009,
                1009,
                27,
            ),
            (Ending::ReaderGone, false, 1000, 1000, 0),
            (Ending::ReadFailed("x".into()), true, 1011, 1011, 1),
            (Ending::WriteFailed("x".into()), true, 1011, 1011, 23),
            (Ending::Unreachable(Cause::Refused), true, 1014, 1014, 7),
            (Ending::Unreachable(Cause::Timeout), true, 1014, 1014, 28),
            (Ending::Enough, false, 1000, 1000, 0),
            (Ending::Abandoned, false, 1000, 1000, 0),
            (
                Ending::LingerExpired(Duration::from_secs(1)),
                false,
                1000,
                1000,
                0,
            ),
            (Ending::Exited(Exit::Status(0)), false, 1000, 1000, 0),
            (Ending::Exited(Exit::Status(7)), false, 4007, 4007, 1),
            (Ending::Exited(Exit::Signal(15)), true, 4143, 4143, 1),
            (Ending::Held(Exit::Status(0)), false, 1000, 1000, 0),
            (Ending::Held(Exit::Status(7)), false, 4007, 4007, 1),
            (Ending::Stopped(Stop::HangUp), false, 1001, 1001, 129),
            (Ending::Stopped(Stop::Interrupt), false, 1001, 1001, 130),
            (Ending::Stopped(Stop::Terminate), false, 1001, 1001, 143),
            (Ending::Deadline(Deadline::Idle), true, 1001, 1001, 28),
            (Ending::Deadline(Deadline::Time), true, 1001, 1001, 28),
            (Ending::Deadline(Deadline::Stall), true, 1011, 1011, 28),
            (Ending::Deadline(Deadline::Deliver), true, 1011, 1011, 28),
            (Ending::Deadline(Deadline::Unread), true, 1011, 1011, 28),
        ];
        for (ending, abort, across, reply, exit) in table {
            assert_eq!(ending.is_abort(), abort, "{ending:?}");
            assert_eq!(ending.close_across().code, Some(across), "{ending:?}");
            assert_eq!(ending.close_reply().code, Some(reply), "{ending:?}");
            assert_eq!(ending.exit_status(), exit, "{ending:?}");
            assert!(
                EXIT_STATUSES.iter().any(|row| row.0 == exit),
                "exit status {exit} is not in the table"
            );
        }
    }

    #[test]
    fn an_end_within_a_message_is_a_cut_unless_it_is_an_abort_already() {
        let cut = |close| Ending::Cut {
            close: Box::new(close),
            received: 4,
        };
        let close = Close::new(1011, "drain");
        let table = [
            (Ending::Eof, cut(Close::new(1000, ""))),
            (Ending::Close(Close::empty()), cut(Close::empty())),
            (Ending::Close(close.clone()), cut(close)),
            (
                Ending::Stopped(Stop::Terminate),
                cut(Close::new(1001, "stop")),
            ),
            (Ending::Lost(Loss::NoClose), Ending::Lost(Loss::NoClose)),
        ];
        for (ending, expected) in table {
            assert_eq!(ending.within_message(4), expected);
        }
        let reason = cut(Close::empty()).close_across().reason;
        assert_eq!(reason, "cut");
    }

    #[test]
    fn a_close_without_a_code_goes_on_as_1000_and_is_answered_without_one() {
        let none = Ending::Close(Close::empty());
        assert_eq!(none.close_across().code, Some(1000));
        assert_eq!(none.close_reply(), Close::empty());
        assert_eq!(none.exit_status(), 0);
    }
}
