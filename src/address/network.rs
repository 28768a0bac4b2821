//! Networks of IP addresses: `10.0.0.0/8`.

use std::net::IpAddr;

/// IP addresses that have the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    addr: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `ADDR` or `ADDR/BITS`.
    pub fn parse(text: &str) -> Option<Network> {
        let (addr, bits) = match text.split_once('/') {
            Some((addr, bits)) => (addr, Some(bits)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().ok()?;
        let all = if addr.is_ipv6() { 128 } else { 32 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= all)?,
            None => all,
        };
        Some(Network { addr, bits })
    }

    /// The address that it was given by.
    pub fn addr(&self) -> IpAddr {
        self.addr
    }

    /// Whether an address is in it; one of IPv4 may be written as IPv6.
    pub fn has(&self, addr: IpAddr) -> bool {
        let differ = match (addr.to_canonical(), self.addr.to_canonical()) {
            (IpAddr::V4(addr), IpAddr::V4(own)) => (addr.to_bits() ^ own.to_bits()).leading_zeros(),
            (IpAddr::V6(addr), IpAddr::V6(own)) => (addr.to_bits() ^ own.to_bits()).leading_zeros(),
            _ => return false,
        };
        differ >= u32::from(self.bits)
    }
}
