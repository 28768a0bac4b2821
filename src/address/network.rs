//! Networks of IP addresses: `10.0.0.0/8`.

use std::net::IpAddr;

use ipnet::IpNet;

/// IP addresses that have the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Reads `ADDR` or `ADDR/BITS`; a network of IPv4 may be written as IPv6 (`::ffff:10.0.0.0/104`).
    pub fn parse(text: &str) -> Option<Network> {
        let addr = || text.parse::<IpAddr>().ok().map(IpNet::from);
        let net = text.parse().ok().or_else(addr)?;
        // The first 96 bits of a mapped address say that it is one (RFC 4291 2.5.5.2).
        let mapped = net.prefix_len().checked_sub(96);
        let v4 = mapped.and_then(|bits| IpNet::new(net.addr().to_canonical(), bits).ok());
        Some(Network(v4.filter(|v4| v4.addr().is_ipv4()).unwrap_or(net)))
    }

    /// The address that it was given by.
    pub fn addr(&self) -> IpAddr {
        self.0.addr()
    }

    /// Whether an address is in it; one of IPv4 may be written as IPv6.
    pub fn has(&self, addr: IpAddr) -> bool {
        self.0.contains(&addr.to_canonical())
    }
}
