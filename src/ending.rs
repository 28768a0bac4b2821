//! How a direction ended, and what that is called on each kind of transport.

mod told;

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::io::Errno;

use crate::shown::Shown;

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

/// A Close frame: its code, absent where the frame had none (1005), and its reason of at most 123 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The status code as received or to be sent; `None` is a frame without a body.
    pub code: Option<u16>,
    /// The reason, at most 123 bytes of UTF-8.
    pub reason: String,
}

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

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Status(u8),
    /// By this signal.
    Signal(u8),
}

/// Signals by number, as POSIX and Linux name them.
const SIGNALS: &[(u8, &str)] = &[
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (4, "ILL"),
    (5, "TRAP"),
    (6, "ABRT"),
    (8, "FPE"),
    (9, "KILL"),
    (11, "SEGV"),
    (13, "PIPE"),
    (14, "ALRM"),
    (15, "TERM"),
    (24, "XCPU"),
    (25, "XFSZ"),
    (31, "SYS"),
];

impl Exit {
    /// What a shell makes of it: the status, or 128 and the signal.
    pub fn shell_status(self) -> u8 {
        match self {
            Exit::Status(status) => status,
            Exit::Signal(signal) => signal.saturating_add(128),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Status(status) => write!(f, "exit {status}"),
            Exit::Signal(signal) => match SIGNALS.iter().find(|row| row.0 == *signal) {
                Some((_, name)) => write!(f, "signal {name}"),
                None => write!(f, "signal {signal}"),
            },
        }
    }
}

/// The signal that stopped the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGHUP: its terminal, or the ssh that it is the ProxyCommand of, has gone.
    HangUp,
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
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

/// Why an endpoint could not be opened, where the answer decides an exit status or an HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The host name has no address.
    NotResolved,
    /// The name of the proxy has no address.
    ProxyNotResolved,
    /// The proxy refused, or its answer makes no sense.
    Proxy,
    /// The proxy can not reach what was asked for, or went away: another time it may.
    ProxyAway,
    /// Too many redirects, or one that must not be followed.
    Redirect,
    /// The system refused: nobody listens, no route, no such socket, port in use.
    Refused,
    /// The connection or its handshake took too long.
    Timeout,
    /// The answer to our handshake makes no sense.
    Handshake,
    /// The server answered the upgrade with this HTTP status.
    HttpStatus(u16),
    /// The endpoint serves one session at a time and has one, or has as many as it may.
    Busy,
    /// The caller's address has as many connections as it may.
    TooMany,
    /// There is no such program.
    NoProgram,
    /// The file is no program.
    NotExecutable,
    /// The system could not start a program.
    NotStarted,
    /// Callers of other machines would run programs, and nobody has said that they may.
    Exposed,
    /// A file that was to record what passes can not be written.
    NotWritable,
    /// The TLS handshake failed.
    Tls,
    /// The connection ended within the TLS handshake, without a word about why.
    TlsCut,
    /// Our own certificate or key can not be used, or the other end does not accept it.
    OwnCertificate,
    /// The certificate of the other end is not to be trusted.
    NotTrusted,
    /// The certificates to trust can not be read.
    CaFile,
}

/// Every exit status of the program, with what it means. It is API: numbers are added, never changed.
pub const EXIT_STATUSES: &[(u8, &str)] = &[
    (
        0,
        "normal end: end of file, Close 1000, 1001 or without a code",
    ),
    (1, "any other error"),
    (2, "usage: an unknown endpoint, flag or option"),
    (3, "bad address or URL"),
    (5, "the name of the proxy could not be resolved"),
    (6, "the host name could not be resolved"),
    (7, "connecting or binding failed"),
    (8, "the answer to the handshake is malformed"),
    (
        22,
        "the HTTP answer was no 101; its status and body are on stderr",
    ),
    (23, "a local write failed (disk full), or --tee did"),
    (27, "--memory was used up, or the system has no more"),
    (28, "a deadline passed"),
    (35, "the TLS handshake failed"),
    (47, "too many redirects, or one that is not followed"),
    (
        56,
        "lost without a Close, or closed within a message: data may be incomplete",
    ),
    (
        58,
        "our own TLS certificate can not be used or is not accepted",
    ),
    (60, "the TLS certificate of the server is not to be trusted"),
    (63, "a message was over the limit"),
    (77, "the TLS certificates to trust can not be read"),
    (
        97,
        "the proxy refused or broke its protocol; its words are on stderr",
    ),
    (110, "the peer closed with an error code (1002-1015)"),
    (111, "the peer closed with an application code (3000-4999)"),
    (112, "the peer broke the protocol"),
    (126, "the program can not be executed"),
    (127, "there is no such program"),
    (129, "stopped by SIGHUP"),
    (130, "stopped by SIGINT"),
    (143, "stopped by SIGTERM"),
];

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

/// Why a transport that seemed open is none after all, within an [`io::Error`]: what TLS says after its handshake.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What decides the exit status.
    pub cause: Cause,
    /// What is wrong, in one line.
    pub what: String,
}

impl Failure {
    /// Finds it in an error or in what caused that.
    pub fn of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Failure> {
        let mut next = Some(error);
        while let Some(error) = next {
            let within = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            if let Some(failure) = within.and_then(|within| within.downcast_ref()) {
                return Some(failure);
            }
            next = error.source();
        }
        None
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

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

impl Stop {
    /// 128 and the number of the signal.
    pub fn exit_status(self) -> u8 {
        match self {
            Stop::HangUp => 129,
            Stop::Interrupt => 130,
            Stop::Terminate => 143,
        }
    }
}

impl fmt::Display for Stop {
    /// Writes the name of the signal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stop::HangUp => "SIGHUP",
            Stop::Interrupt => "SIGINT",
            Stop::Terminate => "SIGTERM",
        })
    }
}

impl Cause {
    /// Finds the cause that was attached to an error, if any.
    pub fn of(error: &anyhow::Error) -> Option<Cause> {
        error.downcast_ref::<Cause>().copied()
    }

    /// What an error says from the outside in, without what is there for us alone (the cause, the time of Retry-After), and
    /// each thing once: an endpoint that wraps another may have the same to say of it.
    pub fn parts(error: &anyhow::Error) -> Vec<String> {
        let parts = error.chain().filter(|part| !part.is::<Cause>());
        let parts = parts.map(|part| part.to_string());
        let mut parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        parts.dedup();
        parts
    }

    /// An error in one line, for the log and for a caller: without the cause, which is there for us alone.
    pub fn line(error: &anyhow::Error) -> String {
        let parts = Cause::parts(error);
        let lines: Vec<_> = parts
            .iter()
            .flat_map(|part| part.lines())
            .map(str::trim)
            .collect();
        let line = lines.join(": ");
        Shown::line(&line).to_string()
    }

    /// The exit status of a session that could not be opened (curl's numbers).
    pub fn exit_status(self) -> u8 {
        match self {
            Cause::NotResolved => 6,
            Cause::ProxyNotResolved => 5,
            Cause::Proxy | Cause::ProxyAway => 97,
            Cause::Redirect => 47,
            Cause::Refused | Cause::Busy | Cause::TooMany => 7,
            Cause::Timeout => 28,
            Cause::Handshake => 8,
            Cause::HttpStatus(_) => 22,
            Cause::NoProgram => 127,
            Cause::NotExecutable => 126,
            Cause::NotStarted => 1,
            Cause::Exposed => 2,
            Cause::NotWritable => 23,
            Cause::Tls | Cause::TlsCut => 35,
            Cause::OwnCertificate => 58,
            Cause::NotTrusted => 60,
            Cause::CaFile => 77,
        }
    }

    /// Whether it may be over another time, so that it makes sense to try again.
    pub fn may_pass(self) -> bool {
        match self {
            Cause::NotResolved
            | Cause::Refused
            | Cause::Timeout
            | Cause::Busy
            | Cause::TooMany
            | Cause::ProxyAway
            | Cause::TlsCut => true,
            // What a server says is for good, unless it is about this moment.
            Cause::HttpStatus(status) => matches!(status, 408 | 425 | 429 | 500..),
            _ => false,
        }
    }

    /// The HTTP status that a caller gets whose target could not be opened.
    pub fn http_status(self) -> u16 {
        match self {
            Cause::Timeout => 504,
            Cause::Busy => 503,
            Cause::TooMany => 429,
            Cause::NoProgram | Cause::NotExecutable | Cause::NotStarted => 500,
            _ => 502,
        }
    }

    /// A short stable word, used as the reason of a Close.
    pub fn token(self) -> &'static str {
        match self {
            Cause::NotResolved => "not-resolved",
            Cause::ProxyNotResolved => "proxy-not-resolved",
            Cause::Proxy | Cause::ProxyAway => "proxy",
            Cause::Redirect => "redirect",
            Cause::Refused => "refused",
            Cause::Timeout => "timeout",
            Cause::Handshake => "handshake",
            Cause::HttpStatus(_) => "http-status",
            Cause::Busy => "busy",
            Cause::TooMany => "too-many",
            Cause::NoProgram => "no-program",
            Cause::NotExecutable => "not-executable",
            Cause::NotStarted => "not-started",
            Cause::Exposed => "exposed",
            Cause::NotWritable => "not-writable",
            Cause::Tls | Cause::TlsCut => "tls",
            Cause::OwnCertificate => "own-certificate",
            Cause::NotTrusted => "not-trusted",
            Cause::CaFile => "ca-file",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::NotResolved => f.write_str("name not resolved"),
            Cause::ProxyNotResolved => f.write_str("name of the proxy not resolved"),
            Cause::Proxy => f.write_str("refused by the proxy"),
            Cause::ProxyAway => f.write_str("not reached by the proxy"),
            Cause::Redirect => f.write_str("redirect not followed"),
            Cause::Refused => f.write_str("cannot connect"),
            Cause::Timeout => f.write_str("timed out"),
            Cause::Handshake => f.write_str("malformed handshake"),
            Cause::HttpStatus(status) => write!(f, "HTTP status {status}"),
            Cause::Busy => f.write_str("in use"),
            Cause::TooMany => f.write_str("too many connections"),
            Cause::NoProgram => f.write_str("no such program"),
            Cause::NotExecutable => f.write_str("not executable"),
            Cause::NotStarted => f.write_str("not started"),
            Cause::Exposed => f.write_str("open to other machines"),
            Cause::NotWritable => f.write_str("not writable"),
            Cause::Tls => f.write_str("no TLS"),
            Cause::TlsCut => f.write_str("cut within the TLS handshake"),
            Cause::OwnCertificate => f.write_str("certificate not accepted"),
            Cause::NotTrusted => f.write_str("not trusted"),
            Cause::CaFile => f.write_str("nobody to trust"),
        }
    }
}

impl std::error::Error for Cause {}

/// How long the server asked us to stay away, in what it refused us with (RFC 9110 10.2.3). Part of an error, as a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

impl fmt::Display for RetryAfter {
    /// Writes nothing: the text of the refusal says it, on a line of its own.
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
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

/// Whether an error says that this process or the whole system has no descriptor left.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    let all = [Errno::MFILE, Errno::NFILE].map(|errno| errno.raw_os_error());
    error
        .raw_os_error()
        .is_some_and(|errno| all.contains(&errno))
}

/// The system's reason of an error, in lower case and without its number: `connection refused`.
pub fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = match text.find(" (os error ") {
        Some(at) => &text[..at],
        None => &text,
    };
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        // An abbreviation keeps its capitals.
        (Some(_), Some(second)) if second.is_uppercase() => text.to_owned(),
        (Some(first), _) => first.to_lowercase().chain(chars).collect(),
        (None, _) => String::new(),
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

    #[test]
    fn a_reason_is_cut_at_a_character() {
        assert_eq!(Close::new(1000, "é".repeat(80)).reason.len(), 122);
    }

    #[test]
    fn the_systems_reason_has_no_number_and_no_capital() {
        let text = |code| errno_text(&io::Error::from_raw_os_error(code));
        assert_eq!(text(111), "connection refused");
        assert_eq!(text(5), "input/output error");
    }
}
