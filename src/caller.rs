//! Who is on the left: what the right side may know of its caller.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, Uri};

/// The address by which callers are counted together: whoever has one may have many connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallerAddress {
    /// An IPv4 address.
    V4([u8; 4]),
    /// The first 64 bits of an IPv6 address.
    V6([u8; 8]),
    /// A user of this machine.
    User(u32),
    /// It is not known.
    #[default]
    Unknown,
}

impl CallerAddress {
    /// Reads it out of where a caller calls from: `127.0.0.1:40000`, `unix pid 1 uid 0`.
    fn of(from: &str) -> CallerAddress {
        if let Ok(addr) = from.parse::<SocketAddr>() {
            return addr.ip().into();
        }
        let uid = from
            .strip_prefix("unix ")
            .and_then(|it| it.rsplit_once("uid "));
        let uid = uid.and_then(|(_, uid)| uid.parse().ok());
        uid.map_or(CallerAddress::Unknown, CallerAddress::User)
    }
}

impl From<IpAddr> for CallerAddress {
    fn from(addr: IpAddr) -> CallerAddress {
        match addr.to_canonical() {
            IpAddr::V4(addr) => CallerAddress::V4(addr.octets()),
            IpAddr::V6(addr) => {
                let mut network = [0; 8];
                network.copy_from_slice(&addr.octets()[..8]);
                CallerAddress::V6(network)
            }
        }
    }
}

/// What is known of a caller before anything of its stream is read.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Where it calls from, as text for the log: `127.0.0.1:40000`, `unix`, `stdio`.
    pub from: String,
    /// By what it is counted together with others.
    pub address: CallerAddress,
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
        let from = from.into();
        Caller {
            address: CallerAddress::of(&from),
            from,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_counted_by_address() {
        let same = |one: &str, other: &str| Caller::new(one).address == Caller::new(other).address;
        assert!(same("192.0.2.1:1", "192.0.2.1:2"));
        assert!(same("192.0.2.1:1", "[::ffff:192.0.2.1]:2"));
        assert!(!same("192.0.2.1:1", "192.0.2.2:1"));
        assert!(same("[2001:db8::1]:1", "[2001:db8::2:3]:2"));
        assert!(!same("[2001:db8::1]:1", "[2001:db8:0:1::1]:1"));
        assert!(same("unix pid 1 uid 1000", "unix pid 2 uid 1000"));
        assert!(!same("unix pid 1 uid 1000", "unix pid 1 uid 0"));
        assert_eq!(Caller::new("stdio").address, CallerAddress::Unknown);
    }
}
