//! Why an endpoint could not be opened, and what that is called: as an exit status, an HTTP status, a token and in words.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::shown::Shown;

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

/// How long the server asked us to stay away, in what it refused us with (RFC 9110 10.2.3). Part of an error, as a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

impl fmt::Display for RetryAfter {
    /// Writes nothing: the text of the refusal says it, on a line of its own.
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
