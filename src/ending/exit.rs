//! Exit statuses: those of the program, of its stops, and of the programs that it runs.

use std::fmt;

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
