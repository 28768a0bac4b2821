//! Who is on the left: what the right side may know of its caller.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, Uri};

/// What is known of a caller before anything of its stream is read.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Where it calls from, as text for the log: `127.0.0.1:40000`, `unix`, `stdio`.
    pub from: String,
    /// The URI that it asked for, where it spoke HTTP.
    pub uri: Option<Uri>,
    /// The headers that it sent, where it spoke HTTP.
    pub headers: HeaderMap,
    /// The subprotocol that it is answered with, if any.
    pub protocol: Option<String>,
    /// The subprotocols that it offers and that may be agreed to, best first.
    pub protocols: Vec<String>,
    /// Who it is by the certificate that it showed and that was verified: the subject, as RFC 4514 writes it.
    pub subject: Option<String>,
    /// Whether it came over TLS.
    pub is_secure: bool,
    /// The host names of the certificate that it was shown, wildcards included.
    pub server_names: Arc<[String]>,
    /// Whether it is a proxy whose word is taken for whom it speaks for.
    pub is_trusted_proxy: bool,
    /// Whether it is this process itself, and nobody who called it.
    pub is_local: bool,
    /// Whether each connection that it asks for is a session of its own: what is lost is not joined to what comes next.
    pub takes_turns: bool,
    /// Whether a half-close can be carried to it and from it: a byte stream can, a WebSocket where it offers the extension.
    pub half_closes: bool,
}

impl Caller {
    /// Makes a caller of whom only the place is known.
    pub fn new(from: impl Into<String>) -> Caller {
        Caller {
            from: from.into(),
            ..Caller::default()
        }
    }

    /// The same caller, for whom half-closes are not carried.
    pub fn without_half_close(&self) -> Caller {
        Caller {
            half_closes: false,
            ..self.clone()
        }
    }

    /// Makes the caller that is this process itself.
    pub fn local() -> Caller {
        Caller {
            is_local: true,
            ..Caller::new("stdio")
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.uri {
            Some(uri) => write!(f, "{} {}", self.from, uri.path().escape_debug()),
            None => f.write_str(&self.from),
        }
    }
}
