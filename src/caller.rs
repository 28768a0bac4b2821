//! Who is on the left: what the right side may know of its caller.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, Uri};

use crate::address::Address;
use crate::shown::Shown;

/// Whose a connection is where those of one caller are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Source {
    /// Nothing is known: it is not counted.
    #[default]
    Unknown,
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address: what a single host usually has.
    V6([u8; 8]),
    /// A user of this machine.
    Uid(u32),
    /// A trusted proxy that has not said yet for whom it calls: as good as many callers.
    Proxy,
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(address) => Source::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Source::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Unknown => f.write_str("an unknown address"),
            Source::V4(address) => write!(f, "{address}"),
            Source::V6(network) => {
                let mut octets = [0; 16];
                octets[..8].copy_from_slice(network);
                write!(f, "{}/64", std::net::Ipv6Addr::from(octets))
            }
            Source::Uid(uid) => write!(f, "uid {uid}"),
            Source::Proxy => f.write_str("trusted proxies"),
        }
    }
}

/// What is known of a caller before anything of its stream is read.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Where it calls from, as text for the log: `127.0.0.1:40000`, `unix`, `stdio`.
    pub from: String,
    /// Whose it is where connections are counted.
    pub source: Source,
    /// The URI that it asked for, where it spoke HTTP.
    pub uri: Option<Uri>,
    /// The headers that it sent, where it spoke HTTP.
    pub headers: HeaderMap,
    /// The subprotocol that it is answered with, if any.
    pub protocol: Option<String>,
    /// Whether the listener was told which subprotocols to serve.
    pub is_protocol_told: bool,
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

    /// Makes a caller of whom only the address is known.
    pub fn at(addr: SocketAddr) -> Caller {
        Caller {
            source: Source::from(addr.ip()),
            ..Caller::new(addr.to_string())
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
            Some(uri) => {
                let path = Address::public_text(uri.path());
                write!(f, "{} {}", self.from, Shown::short(&path))
            }
            None => f.write_str(&self.from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_counted_by_address() {
        let same = |one: &str, other: &str| {
            let source = |addr: &str| Caller::at(addr.parse().unwrap()).source;
            source(one) == source(other)
        };
        assert!(same("192.0.2.1:1", "192.0.2.1:2"));
        assert!(same("192.0.2.1:1", "[::ffff:192.0.2.1]:2"));
        assert!(!same("192.0.2.1:1", "192.0.2.2:1"));
        assert!(same("[2001:db8::1]:1", "[2001:db8::2:3]:2"));
        assert!(!same("[2001:db8::1]:1", "[2001:db8:0:1::1]:1"));
        assert_eq!(Caller::new("stdio").source, Source::Unknown);
    }
}
