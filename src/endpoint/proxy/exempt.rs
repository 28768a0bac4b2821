//! Hosts that are reached without a proxy: the list of `no_proxy`. Nothing here reads a socket.

use std::net::IpAddr;

use crate::address::Network;
use crate::host::{self, without_zone};

/// A list of hosts.
pub(super) struct Exempt(Vec<Row>);

struct Row {
    what: What,
    /// Only this one, where there is one.
    port: Option<u16>,
}

enum What {
    All,
    /// A name without dots around it, and all names below it.
    Name(String),
    /// Addresses of a network.
    Network(Network),
}

impl Exempt {
    /// Reads names, addresses and networks, each with a port or without, with commas or blanks between them.
    pub(super) fn parse(list: &str) -> Exempt {
        let words = list.split([',', ' ', '\t']);
        Exempt(words.filter_map(Row::parse).collect())
    }

    /// Whether a host, an address without brackets or a name, is in the list.
    pub(super) fn has(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let addr: Option<IpAddr> = without_zone(&host).parse().ok();
        self.0.iter().any(|row| {
            row.port.is_none_or(|own| own == port)
                && match (&row.what, addr) {
                    (What::All, _) => true,
                    (What::Name(name), None) => {
                        let above = host.strip_suffix(name.as_str());
                        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
                    }
                    (What::Network(network), Some(addr)) => network.has(addr),
                    _ => false,
                }
        })
    }
}

impl Row {
    fn parse(word: &str) -> Option<Row> {
        let (host, port) = match word.strip_prefix('[') {
            Some(inner) => match inner.split_once(']')? {
                (host, "") => (host, None),
                (host, port) => (host, Some(port.strip_prefix(':')?.parse().ok()?)),
            },
            None if Network::parse(word).is_some() => (word, None),
            None => match word.rsplit_once(':') {
                Some((host, port)) => (host, Some(port.parse().ok()?)),
                None => (word, None),
            },
        };
        let name = host.trim_matches('.').trim_start_matches("*.");
        let what = match (host, Network::parse(host)) {
            ("*", _) => What::All,
            (_, Some(network)) => What::Network(network),
            _ if name.is_empty() => return None,
            _ => What::Name(host::ascii(name)?.to_ascii_lowercase()),
        };
        Some(Row { what, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, inside: &[(&str, u16)], outside: &[(&str, u16)]) {
        let exempt = Exempt::parse(list);
        for (host, port) in inside {
            assert!(exempt.has(host, *port), "{list}: {host}:{port}");
        }
        for (host, port) in outside {
            assert!(!exempt.has(host, *port), "{list}: {host}:{port}");
        }
    }

    #[test]
    fn names_stand_for_all_below_them() {
        let inside = [
            ("Example.com", 1),
            ("a.example.com", 1),
            ("example.com.", 1),
        ];
        let outside = [("notexample.com", 1), ("com", 1), ("example.com.org", 1)];
        for list in [
            "example.com",
            ".example.com",
            "x, EXAMPLE.com. y",
            "*.example.com",
        ] {
            check(list, &inside, &outside);
        }
    }

    #[test]
    fn all_none_and_nonsense() {
        check("*", &[("h", 1), ("1.2.3.4", 2), ("::1", 3)], &[]);
        check("a, *", &[("h", 1)], &[]);
        for list in ["", " , ", ".", "[::1", "h:99999", "10.0.0.0/33"] {
            check(
                list,
                &[],
                &[("h", 1), ("1.2.3.4", 2), ("10.0.0.0", 2), ("::1", 3)],
            );
        }
    }

    #[test]
    fn addresses_and_networks() {
        check(
            "127.0.0.1",
            &[("127.0.0.1", 1)],
            &[("127.0.0.2", 1), ("1.127.0.0.1", 1)],
        );
        check(
            "10.0.0.0/9",
            &[("10.127.1.1", 1)],
            &[("10.128.0.1", 1), ("::1", 1)],
        );
        check("0.0.0.0/0", &[("8.8.8.8", 1)], &[("::1", 1), ("name", 1)]);
        check(
            "fe80::/10",
            &[("fe80::1", 1), ("febf::1", 1)],
            &[("fec0::1", 1)],
        );
        check(
            "::1,[::2]",
            &[("::1", 1), ("0:0::1", 1), ("::2", 1)],
            &[("::3", 1)],
        );
    }

    #[test]
    fn a_row_may_have_a_port() {
        check("h:80", &[("h", 80), ("a.h", 80)], &[("h", 81)]);
        check("*:80", &[("h", 80)], &[("h", 81)]);
        check("127.0.0.1:80", &[("127.0.0.1", 80)], &[("127.0.0.1", 81)]);
        check("[::1]:80", &[("::1", 80)], &[("::1", 81)]);
        check("10.0.0.0/8:80", &[("10.1.1.1", 80)], &[("10.1.1.1", 81)]);
    }
}
