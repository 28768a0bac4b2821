//! Names and addresses of hosts as they are typed, and as DNS, HTTP and TLS take them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use idna::AsciiDenyList;

/// The form of a name that is looked up, sent and verified: `bücher.example` is `xn--bcher-kva.example` (UTS 46, as browsers
/// and curl do). A name of ASCII stays as it is. `None` where it can be no name.
pub fn ascii(name: &str) -> Option<String> {
    if name.is_ascii() {
        return Some(name.to_owned());
    }
    let name = idna::domain_to_ascii_cow(name.as_bytes(), AsciiDenyList::URL).ok()?;
    (!name.is_empty()).then(|| name.into_owned())
}

/// Reads an IPv6 address with or without a zone (RFC 4007): `fe80::1%eth0`, or as URLs may write it `fe80::1%25eth0` (RFC 6874).
/// Returns it with a bare `%`; `None` where it is none.
pub fn ipv6(text: &str) -> Option<String> {
    let (addr, zone) = match text.split_once('%') {
        None => (text, None),
        // An interface of the number 25 has nothing behind it.
        Some((addr, zone)) => match zone.strip_prefix("25") {
            Some(zone) if !zone.is_empty() => (addr, Some(zone)),
            _ => (addr, Some(zone)),
        },
    };
    let parsed: Ipv6Addr = addr.parse().ok()?;
    let is_zone = |zone: &str| {
        let is_wrong = |c: char| !c.is_ascii_graphic() || "%/[]#?,".contains(c);
        !zone.is_empty() && !zone.contains(is_wrong)
    };
    match zone {
        None => Some(addr.to_owned()),
        // Only what is local to a link has one.
        Some(zone) if is_zone(zone) && parsed.is_unicast_link_local() => {
            Some(format!("{addr}%{zone}"))
        }
        Some(_) => None,
    }
}

/// A host without its zone, which means something to this machine alone and is told to no other.
pub fn without_zone(host: &str) -> &str {
    match host.split_once('%') {
        Some((addr, _)) if addr.contains(':') => addr,
        _ => host,
    }
}

/// Reads an IP address, an IPv6 one with a zone or without, and in brackets or without.
pub fn address(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let text = bare.unwrap_or(text);
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, 0));
    }
    // The system knows the numbers of its interfaces; an address is not looked up.
    let scoped = ipv6(text)?;
    (scoped.as_str(), 0).to_socket_addrs().ok()?.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_ascii_have_a_form_of_ascii() {
        for (name, expected) in [
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("BÜCHER.example", Some("xn--bcher-kva.example")),
            ("faß.de", Some("xn--fa-hia.de")),
            ("日本語。jp", Some("xn--wgv71a119e.jp")),
            ("_srv.Example", Some("_srv.Example")),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("a\u{ff0f}b", None),
            ("\u{200d}", None),
            ("ü%", None),
        ] {
            assert_eq!(ascii(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn zones_are_understood_in_both_spellings() {
        for (text, expected) in [
            ("::1", Some("::1")),
            ("fe80::1%eth0", Some("fe80::1%eth0")),
            ("fe80::1%25eth0", Some("fe80::1%eth0")),
            ("fe80::1%25", Some("fe80::1%25")),
            ("fe80::1%2", Some("fe80::1%2")),
            ("fe80::1%", None),
            ("fe80::1%25a/b", None),
            ("::1%lo", None),
            ("2001:db8::1%eth0", None),
            ("host%eth0", None),
        ] {
            assert_eq!(ipv6(text).as_deref(), expected, "{text}");
        }
        assert_eq!(without_zone("fe80::1%eth0"), "fe80::1");
        assert_eq!(without_zone("a%b"), "a%b");
    }

    #[test]
    fn addresses_are_read_with_their_scope() {
        for text in ["127.0.0.1", "::1", "[::1]"] {
            assert!(address(text).unwrap().ip().is_loopback(), "{text}");
        }
        let Some(SocketAddr::V6(scoped)) = address("fe80::1%7") else {
            panic!("no address");
        };
        assert_eq!(scoped.scope_id(), 7);
        assert_eq!(address("localhost"), None);
        assert_eq!(address("fe80::1%no-such-interface"), None);
    }
}
