//! Proxies whose word is taken for whom they speak for: `--trusted-proxy`.

use std::net::{IpAddr, SocketAddr};

use crate::address::Network;
use crate::caller::{Caller, Source};

/// Proxies that are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustedProxy {
    /// Those that call from a network.
    Network(Network),
    /// Those that call through a Unix socket.
    Unix,
}

impl TrustedProxy {
    /// Reads an address, a network such as `10.0.0.0/8`, or `unix`.
    ///
    /// # Errors
    /// What else it is.
    pub(super) fn parse(text: &str) -> Result<TrustedProxy, String> {
        match text {
            "unix" => Ok(TrustedProxy::Unix),
            text => Network::parse(text)
                .map(TrustedProxy::Network)
                .ok_or_else(|| "is no address; 127.0.0.1, 10.0.0.0/8 and unix are".to_owned()),
        }
    }

    /// Whether a caller is one of them.
    pub(super) fn is(&self, caller: &Caller) -> bool {
        match self {
            TrustedProxy::Network(network) => {
                let addr = caller.from.parse().ok().map(|addr: SocketAddr| addr.ip());
                addr.is_some_and(|addr: IpAddr| network.has(addr))
            }
            TrustedProxy::Unix => caller.from.starts_with("unix"),
        }
    }

    /// Whether a connection of this source may come from one of them.
    pub(super) fn may_be(&self, source: Source) -> bool {
        match (self, source) {
            (TrustedProxy::Unix, Source::Uid(_)) => true,
            (TrustedProxy::Network(network), Source::V4(addr)) => network.has(addr.into()),
            (TrustedProxy::Network(network), Source::V6(prefix)) => {
                let mut first = [0; 16];
                first[..8].copy_from_slice(&prefix);
                network.has(first.into()) || Source::from(network.addr()) == source
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_known_by_where_they_call_from() {
        let is = |proxy: &str, from: &str| {
            let proxy = TrustedProxy::parse(proxy).unwrap();
            proxy.is(&Caller::new(from))
        };
        assert!(is("127.0.0.1", "127.0.0.1:40000"));
        assert!(!is("127.0.0.1", "127.0.0.2:40000"));
        assert!(is("10.0.0.0/8", "10.1.2.3:1"));
        assert!(is("10.0.0.0/8", "[::ffff:10.1.2.3]:1"));
        assert!(is("::1", "[::1]:1"));
        assert!(is("unix", "unix pid 1 uid 0"));
        assert!(!is("unix", "127.0.0.1:1"));
        let may_be = |proxy: &str, addr: &str| {
            let proxy = TrustedProxy::parse(proxy).unwrap();
            proxy.may_be(Caller::at(addr.parse().unwrap()).source)
        };
        assert!(may_be("127.0.0.1", "127.0.0.1:1"));
        assert!(!may_be("127.0.0.1", "127.0.0.2:1"));
        assert!(may_be("2001:db8::1", "[2001:db8::1]:1"));
        assert!(may_be("2001:db8::/32", "[2001:db8:1::1]:1"));
        assert!(!may_be("2001:db8::1", "[2001:db8:0:1::1]:1"));
        for wrong in ["", "localhost", "10.0.0.0/33", "10.0.0.0/x", "*"] {
            assert!(TrustedProxy::parse(wrong).is_err(), "{wrong}");
        }
    }
}
