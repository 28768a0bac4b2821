//! Hosts and origins as browsers send them, and the patterns that name them. Parsing is exact: what is not understood as a
//! whole is nothing. Nothing here reads a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host;

/// Bytes of a host name (RFC 1035 2.3.4).
const NAME: usize = 253;
/// Bytes of one label of it.
const LABEL: usize = 63;

/// Schemes whose pages have no origin of their own.
const OPAQUE: &[&str] = &["about", "blob", "data", "javascript"];

/// A host: an IP address, or a name in lower case without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A name.
    Name(String),
}

impl Host {
    /// Parses `name`, `192.0.2.1` or `[2001:db8::1]`; an IPv6 zone is ignored.
    pub fn parse(text: &str) -> Option<Host> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']')?;
            let (addr, zone) = inner.split_once('%').unwrap_or((inner, "0"));
            let is_zone = |c: char| c.is_ascii_alphanumeric() || "-_.%".contains(c);
            let addr: Ipv6Addr = addr.parse().ok()?;
            let has_zone = !zone.is_empty() && zone.chars().all(is_zone);
            return has_zone.then_some(Host::Ip(addr.into()));
        }
        if let Ok(addr) = text.parse::<Ipv4Addr>() {
            return Some(Host::Ip(addr.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        is_name(&name).then_some(Host::Name(name))
    }

    /// Whether it is this machine's loopback, by its address or by its name (RFC 6761 6.3).
    pub fn is_loopback(&self) -> bool {
        match self {
            Host::Ip(addr) => addr.to_canonical().is_loopback(),
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }

    /// Whether it is or is below a name.
    pub fn is_within(&self, parent: &str) -> bool {
        match self {
            Host::Ip(_) => false,
            Host::Name(name) => name
                .strip_suffix(parent)
                .is_some_and(|above| above.is_empty() || above.ends_with('.')),
        }
    }
}

/// Whether a text is a host name: labels of letters, digits, `-` and `_`.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        (1..=LABEL).contains(&label.len())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= NAME && name.split('.').all(is_label)
}

/// Cuts `host:port` at its port, which stays text.
fn split_port(text: &str) -> (&str, Option<&str>) {
    let behind_address = text.rfind(']').map_or(0, |at| at + 1);
    match text[behind_address..].find(':') {
        Some(at) => {
            let at = behind_address + at;
            (&text[..at], Some(&text[at + 1..]))
        }
        None => (text, None),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// A host with a port, as a Host header names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port, where there is one.
    pub port: Option<u16>,
}

impl Authority {
    /// Parses `host` or `host:port`.
    pub fn parse(text: &str) -> Option<Authority> {
        let (host, port) = split_port(text);
        Some(Authority {
            host: Host::parse(host)?,
            port: match port {
                Some(port) => Some(parse_port(port)?),
                None => None,
            },
        })
    }
}

/// The origin of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `null`: a page of a file or a sandbox.
    Null,
    /// `scheme://host[:port]`; the port of a web page is never left out.
    Of {
        /// In lower case.
        scheme: String,
        /// `None` where it is empty: `file://`.
        host: Option<Host>,
        /// The port.
        port: Option<u16>,
    },
}

impl Origin {
    /// Parses what a browser sends: `scheme://host[:port]` or `null`, and nothing else (RFC 6454 6.2).
    pub fn parse(text: &str) -> Option<Origin> {
        if text == "null" {
            return Some(Origin::Null);
        }
        let (scheme, rest) = split_scheme(text)?;
        let (host, port) = split_port(rest);
        let port = match port {
            // A browser writes no zero in front.
            Some(port) => Some(parse_port(port).filter(|_| !port.starts_with('0'))?),
            None => default_port(&scheme),
        };
        let host = match host {
            "" if default_port(&scheme).is_some() || port.is_some() => return None,
            "" => None,
            host => Some(Host::parse(host).filter(|_| !host.contains('%'))?),
        };
        Some(Origin::Of { scheme, host, port })
    }

    /// Its scheme, host and port where it is a page of the web.
    pub fn web(&self) -> Option<(&str, &Host, u16)> {
        match self {
            Origin::Of {
                scheme,
                host: Some(host),
                port: Some(port),
            } if default_port(scheme).is_some() => Some((scheme, host, *port)),
            _ => None,
        }
    }
}

/// A typed origin as a browser sends it: its host in ASCII. What has none stays as it is.
pub fn sent(text: &str) -> String {
    let in_ascii = || {
        let (scheme, place) = text.split_once("://")?;
        let (host, port) = split_port(place);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{scheme}://{}{port}", host::ascii(host)?))
    };
    in_ascii().unwrap_or_else(|| text.to_owned())
}

/// Cuts at `://` behind a scheme, which is returned in lower case.
fn split_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    (is_scheme && scheme.chars().all(is_inner)).then(|| (scheme.to_ascii_lowercase(), rest))
}

/// The port of a scheme of the web.
pub fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// What a pattern says of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    /// This one.
    One(Host),
    /// All that are below this name by one or more labels: `*.example.com`.
    Below(String),
}

/// What a pattern says of the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    /// Nothing.
    Unsaid,
    /// It is this one.
    One(u16),
    /// It may be any: `:*`.
    Any,
}

impl Hosts {
    fn has(&self, host: &Host) -> bool {
        match (self, host) {
            (Hosts::One(one), host) => one == host,
            (Hosts::Below(parent), Host::Name(name)) => {
                let above = name.strip_suffix(parent.as_str());
                above.is_some_and(|above| above.ends_with('.'))
            }
            (Hosts::Below(_), Host::Ip(_)) => false,
        }
    }
}

/// Says why no host of the web can have a name (RFC 1123 2.1; what ends in a number is read as an address by browsers).
fn check_web_name(hosts: &Hosts) -> Result<(), String> {
    let (Hosts::One(Host::Name(name)) | Hosts::Below(name)) = hosts else {
        return Ok(());
    };
    let has_hyphen = |label: &str| label.starts_with('-') || label.ends_with('-');
    if name.split('.').any(has_hyphen) {
        return Err("can never match: no label of a name begins or ends with -".to_owned());
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    };
    match is_number {
        true => Err(
            "can never match: a name that ends in a number is an address, and this is none"
                .to_owned(),
        ),
        false => Ok(()),
    }
}

/// Reads `host[:port]` with patterns. A name beyond ASCII stands for its form of ASCII, which is what browsers send.
fn parse_place(text: &str) -> Result<(Hosts, Ports), String> {
    let never = |why: &str| Err(format!("can never match: {why}"));
    if text.contains('@') {
        return never("a user is no part of it");
    }
    if text.contains(['/', '?', '#']) {
        return never("a path is no part of it");
    }
    let (host, port) = split_port(text);
    let port = match port {
        None => Ports::Unsaid,
        Some("*") => Ports::Any,
        Some(port) => match parse_port(port) {
            Some(port @ 1..) => Ports::One(port),
            _ => return never("a port is a number from 1 to 65535, or *"),
        },
    };
    let parse = |name: &str| match host::ascii(name) {
        Some(name) => Ok(Host::parse(&name)),
        None => Err("can never match: it is no name, and has no form of ASCII (xn--...)"),
    };
    let host = match host.strip_prefix("*.") {
        Some(parent) => match parse(parent)? {
            Some(Host::Name(parent)) => Hosts::Below(parent),
            _ => return never("*. stands before a name: *.example.com"),
        },
        None if host.contains('*') => {
            return never("* stands for whole labels in front, *.example.com, or for the port, :*");
        }
        None => match parse(host)? {
            Some(host) => Hosts::One(host),
            None => return never("it has no valid host"),
        },
    };
    Ok((host, port))
}

/// A host name that is answered: the value of `--host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRule {
    /// `*`: whatever the name is.
    Any,
    /// A name or a pattern, with a port or without.
    Of(HostPattern),
}

/// A pattern of hosts and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    hosts: Hosts,
    ports: Ports,
}

impl HostRule {
    /// Reads `*`, `name`, `*.name`, each but the first with `:port` or `:*` or without.
    ///
    /// # Errors
    /// Why no request could ever match it.
    pub fn parse(text: &str) -> Result<HostRule, String> {
        if text == "*" {
            return Ok(HostRule::Any);
        }
        if text.contains("://") {
            return Err("can never match: a host is a name without a scheme".to_owned());
        }
        if let Ok(addr) = text.parse() {
            let (hosts, ports) = (Hosts::One(Host::Ip(addr)), Ports::Unsaid);
            return Ok(HostRule::Of(HostPattern { hosts, ports }));
        }
        let (hosts, ports) = parse_place(text)?;
        check_web_name(&hosts)?;
        Ok(HostRule::Of(HostPattern { hosts, ports }))
    }

    /// Reads the name of a certificate, wildcards included.
    pub fn of_certificate(name: &str) -> Option<HostRule> {
        HostRule::parse(name)
            .ok()
            .filter(|rule| *rule != HostRule::Any)
    }

    /// Whether it names what a request is for.
    pub fn has(&self, asked: &Authority) -> bool {
        let HostRule::Of(HostPattern { hosts, ports }) = self else {
            return true;
        };
        let is_port = match ports {
            Ports::Unsaid | Ports::Any => true,
            Ports::One(port) => match asked.port {
                Some(asked) => asked == *port,
                None => matches!(port, 80 | 443),
            },
        };
        is_port && hosts.has(&asked.host)
    }
}

/// Pages that may connect: the value of `--origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginRule {
    /// `*`: all of them.
    Any,
    /// `null`
    Null,
    /// Those of a scheme, a host or a pattern of hosts, and a port.
    Of(OriginPattern),
}

/// A pattern of origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern {
    scheme: String,
    /// `None` for `file://`.
    hosts: Option<Hosts>,
    ports: Ports,
}

impl OriginRule {
    /// Reads an origin or a pattern: `https://*.example.com:*`, `null`, `file://`, `app://x`, `*`.
    ///
    /// # Errors
    /// Why no page could ever match it.
    pub fn parse(text: &str) -> Result<OriginRule, String> {
        match text {
            "*" => return Ok(OriginRule::Any),
            "null" => return Ok(OriginRule::Null),
            _ => {}
        }
        let Some((scheme, place)) = split_scheme(text) else {
            let example = match parse_place(text) {
                Ok(_) => text,
                Err(_) => "app.example.com",
            };
            return Err(format!("is no origin; https://{example}, null and * are"));
        };
        if matches!(scheme.as_str(), "ws" | "wss") {
            let page = if scheme == "ws" { "http" } else { "https" };
            return Err(format!(
                "can never match: it is the page's origin that counts, {page}://{place}"
            ));
        }
        // An address that was copied out of a browser ends with a slash.
        let place = place.strip_suffix('/').unwrap_or(place);
        let is_web = default_port(&scheme).is_some();
        if OPAQUE.contains(&scheme.as_str()) {
            return Err(format!(
                "can never match: the origin of a page of {scheme}: is null"
            ));
        }
        let (hosts, ports) = match place {
            "" if scheme == "file" => (None, Ports::Unsaid),
            "" if !is_web => {
                return Err(format!(
                    "can never match: a page of {scheme}: has something behind the slashes, {scheme}://NAME"
                ));
            }
            place => {
                let (hosts, ports) = parse_place(place)?;
                if is_web {
                    check_web_name(&hosts)?;
                }
                (Some(hosts), ports)
            }
        };
        Ok(OriginRule::Of(OriginPattern {
            scheme,
            hosts,
            ports,
        }))
    }

    /// Whether it names an origin; `*` names none.
    pub fn names(&self, origin: &Origin) -> bool {
        match (self, origin) {
            (OriginRule::Null, Origin::Null) => true,
            (OriginRule::Of(own), Origin::Of { scheme, host, port }) => {
                let is_port = match own.ports {
                    Ports::Any => true,
                    Ports::Unsaid => *port == default_port(scheme),
                    Ports::One(own) => *port == Some(own),
                };
                let is_host = match (&own.hosts, host) {
                    (Some(hosts), Some(host)) => hosts.has(host),
                    (None, None) => true,
                    _ => false,
                };
                own.scheme == *scheme && is_host && is_port
            }
            _ => false,
        }
    }

    /// The hosts of its pages, which count as named by `--host`, whatever the port.
    pub fn host_rule(&self) -> Option<HostRule> {
        match self {
            OriginRule::Of(OriginPattern {
                scheme,
                hosts: Some(hosts),
                ..
            }) if default_port(scheme).is_some() => Some(HostRule::Of(HostPattern {
                hosts: hosts.clone(),
                ports: Ports::Unsaid,
            })),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_and_host_and_port_and_nothing_else() {
        for right in [
            "null",
            "http://localhost",
            "HTTPS://App.Example.com",
            "https://app.example.com:8443",
            "http://127.0.0.1:3000",
            "http://[::1]",
            "http://[::1]:80",
            "http://localhost.",
            "file://",
            "app://x",
            "app://-",
            "chrome-extension://abcdefghijklmnop",
        ] {
            assert!(Origin::parse(right).is_some(), "{right}");
        }
        for wrong in [
            "",
            " ",
            "*",
            "NULL",
            "nonsense",
            "http://",
            "http:///",
            "http://:80",
            "http://localhost/",
            "http://localhost/x",
            "http://localhost?x",
            "http://localhost#x",
            "http://localhost:",
            "http://localhost:080",
            "http://localhost:99999",
            "http://localhost:+80",
            "http://localhost:80:80",
            "http://evil.test@localhost",
            "http://evil.test:80@localhost",
            "http://[::1].evil.test",
            "http://[::1",
            "http://::1",
            "http://[127.0.0.1]",
            "http://[fe80::1%eth0]",
            "http://local host",
            "http://localhost ",
            "http://a..b",
            "http://.a",
            "http://bücher.example",
            "http://a%2eb",
            "http://a,b",
            "http://a http://b",
            "://a",
            "1http://a",
        ] {
            assert_eq!(Origin::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn default_ports_are_the_same_as_none() {
        let same = |one: &str, other: &str| {
            assert_eq!(Origin::parse(one), Origin::parse(other), "{one} {other}");
        };
        same("http://a:80", "http://A.");
        same("https://a:443", "https://a");
        assert_ne!(Origin::parse("http://a:443"), Origin::parse("https://a"));
    }

    #[track_caller]
    fn origin(rule: &str, named: &[&str], others: &[&str]) {
        let rule = OriginRule::parse(rule).unwrap();
        let names = |text: &str| Origin::parse(text).is_some_and(|origin| rule.names(&origin));
        for text in named {
            assert!(names(text), "{rule:?} {text}");
        }
        for text in others {
            assert!(!names(text), "{rule:?} {text}");
        }
    }

    #[test]
    fn patterns_stand_for_whole_labels_and_for_ports() {
        origin(
            "https://*.example.com",
            &["https://a.example.com", "https://a.b.EXAMPLE.com:443"],
            &[
                "https://example.com",
                "https://evilexample.com",
                "https://a.example.com.evil.test",
                "http://a.example.com",
                "https://a.example.com:8443",
                "https://.example.com",
            ],
        );
        origin(
            "http://*.example.com:*",
            &["http://a.example.com:1", "http://a.example.com"],
            &["http://example.com:1"],
        );
        origin(
            "https://app.test/",
            &["https://app.test"],
            &["https://app.test:80", "https://a.app.test"],
        );
        origin("http://[::1]:*", &["http://[::1]:5"], &["http://[::2]:5"]);
        origin(
            "https://Bücher.example:8443",
            &["https://xn--bcher-kva.example:8443"],
            &[
                "https://bücher.example:8443",
                "https://xn--bcher-kva.example",
                "https://bucher.example:8443",
            ],
        );
        origin(
            "https://*.bücher.example",
            &["https://a.xn--bcher-kva.example"],
            &["https://xn--bcher-kva.example"],
        );
        origin("null", &["null"], &["file://"]);
        origin("file://", &["file://"], &["null", "file://host"]);
        origin("app://x", &["app://x"], &["app://y", "http://x"]);
        origin("app://-", &["app://-"], &["app://x"]);
        origin("app://1", &["app://1"], &["app://"]);
        origin("https://a-b.test", &["https://a-b.test"], &[]);
        origin("https://_a.1b.test", &["https://_a.1b.test"], &[]);
        origin("chrome-extension://id", &["chrome-extension://id"], &[]);
        origin("*", &[], &["http://a", "null"]);
    }

    #[test]
    fn a_typed_origin_is_sent_in_ascii() {
        for (typed, expected) in [
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            (
                "https://Bücher.example:81",
                "https://xn--bcher-kva.example:81",
            ),
            ("https://App.example.com", "https://App.example.com"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("null", "null"),
            ("file://", "file://"),
            ("https://ü/x", "https://ü/x"),
        ] {
            assert_eq!(sent(typed), expected);
        }
    }

    #[test]
    fn what_can_never_match_is_refused() {
        for wrong in [
            "",
            "app.example.com",
            "*.example.com",
            "https://",
            "https://app.example.com/x",
            "https://app.example.com?x",
            "https://me@app.example.com",
            "https://*",
            "https://*:*",
            "https://app.*",
            "https://a*.example.com",
            "https://*example.com",
            "https://*.*.example.com",
            "https://*.192.0.2.1",
            "https://*.[::1]",
            "https://app.example.com:",
            "https://app.example.com:0",
            "https://app.example.com:99999",
            "https://bü%cher.example",
            "https://bü\u{ff0f}cher.example",
            "https://bücher.example/x",
            "https://\u{200d}",
            "https://a..b",
            "wss://app.example.com",
            "null/",
            "https://-a.test",
            "https://a-.test",
            "https://-",
            "https://*.-a.test",
            "http://1.2.3",
            "http://300.0.0.1",
            "http://a.0x7f",
            "app://",
            "app:///",
            "chrome-extension://",
            "data://x",
            "about://blank",
            "blob://https",
            "javascript://x",
        ] {
            assert!(OriginRule::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in [
            "",
            "http://a",
            "a/b",
            "me@a",
            "*a",
            "a.*",
            "a:",
            "a:b",
            "bü cher.example",
            "a\u{ff0f}ü",
            "ü..b",
            "a b",
            "*.1.2.3.4",
            "-",
            "-:80",
            "*.-",
            "-a.test",
            "a-.test",
            "a.-.test",
            "1.2.3",
            "300.0.0.1",
            "a.1",
        ] {
            assert!(HostRule::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn host_patterns() {
        let check = |rule: &str, asked: &str, expected: bool| {
            let asked = Authority::parse(asked).unwrap();
            let rule = HostRule::parse(rule).unwrap();
            assert_eq!(rule.has(&asked), expected, "{rule:?} {asked:?}");
        };
        check("a.test", "A.test:81", true);
        check("a.test", "b.a.test", false);
        check("a.test.", "a.test", true);
        check("a.test:81", "a.test:81", true);
        check("a.test:81", "a.test:82", false);
        check("a.test:81", "a.test", false);
        check("a.test:443", "a.test", true);
        check("::1", "[::1]:80", true);
        check("*.a.test", "x.y.a.test:1", true);
        check("*.a.test", "a.test", false);
        check("*.a.test:*", "x.a.test:1", true);
        check("*.a.test:2", "x.a.test:1", false);
        check("bücher.example", "xn--bcher-kva.example:80", true);
        check("BÜCHER.example:81", "XN--BCHER-KVA.example:81", true);
        check("BÜCHER.example:81", "xn--bcher-kva.example", false);
        check("*.bücher.example", "a.xn--bcher-kva.example", true);
        check("bücher.example", "bucher.example", false);
        check("*", "anything.test", true);
        assert_eq!(HostRule::of_certificate("*"), None);
    }
}
