//! What a WebSocket client asks for: scheme, host, port, path and query; and where a redirect leads. Nothing here reads a socket.

use anyhow::{Result, anyhow};
use http::Uri;

use crate::address::{Address, AddressError, Place, authority};
use crate::caller::Caller;
use crate::ending::Cause;
use crate::host::without_zone;

/// What a `ws:` or `wss:` URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Whether it is reached by TLS.
    pub(super) is_secure: bool,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query, encoded, beginning with `/`; before it is for a caller [`PATH`] and [`QUERY`] stand for the caller's.
    pub(super) path: String,
}

/// Stands for the path that a caller asks for.
const PATH: &str = "{path}";
/// Stands for a `?` and the query that a caller asks with, or for nothing.
const QUERY: &str = "{query}";

impl Target {
    /// What is asked for in a URL as it was typed: without path and query those of the caller.
    ///
    /// # Errors
    /// A missing host, a path that can be none.
    pub(super) fn typed(
        address: &Address,
        place: Place,
        is_secure: bool,
    ) -> Result<Target, AddressError> {
        let is_bare = place.path.is_empty();
        let mut target = Target::of(address, place, is_secure, &[PATH, QUERY])?;
        if is_bare {
            target.path = format!("{PATH}{QUERY}");
        }
        Ok(target)
    }

    /// Has the caller's path and query stand where theirs are to be; without a caller who asked for any those are `/`.
    ///
    /// # Errors
    /// A path that would lead out of what stands before it.
    pub(super) fn for_caller(&self, caller: &Caller) -> Result<Target> {
        let path = caller.uri.as_ref().map_or("/", Uri::path);
        let query = caller.uri.as_ref().and_then(Uri::query);
        let is_dots = |segment: &str| {
            let segment = segment.to_ascii_lowercase().replace("%2e", ".");
            segment == "." || segment == ".."
        };
        let has_root = self.path.find(PATH).is_some_and(|at| at > 0);
        if has_root && path.split(['/', '\\']).any(is_dots) {
            let what = "the caller's path has segments of dots, which lead elsewhere";
            return Err(anyhow!(Cause::Refused).context(what));
        }
        let query = query.map_or(String::new(), |query| format!("?{query}"));
        let pieces = self.path.split(QUERY).map(|it| it.replace(PATH, path));
        Ok(Target {
            path: pieces.collect::<Vec<_>>().join(&query),
            ..self.clone()
        })
    }

    /// Reads it out of the place of an address; `words` stay as they are.
    ///
    /// # Errors
    /// A missing host, a path that can be none.
    fn of(
        address: &Address,
        place: Place,
        is_secure: bool,
        words: &[&str],
    ) -> Result<Target, AddressError> {
        Ok(Target {
            is_secure,
            path: encoded(address, &place.path, words)?,
            port: place.port.unwrap_or(default_port(is_secure)),
            host: place
                .host
                .ok_or_else(|| address.place_error("a host is missing"))?,
        })
    }

    /// The value of the Host header; the default port is left out (RFC 9110 7.2), and so is a zone (RFC 6874 4).
    pub(super) fn authority(&self) -> String {
        let port = Some(self.port).filter(|port| *port != default_port(self.is_secure));
        authority(without_zone(&self.host), port)
    }

    /// As a URL, without the query.
    pub(super) fn shown(&self) -> String {
        let scheme = if self.is_secure { "wss" } else { "ws" };
        let path = self.path.split('?').next().unwrap_or_default();
        Address::public_text(&format!("{scheme}://{}{path}", self.authority()))
    }

    /// Whether it is the same server, so that it may know what the other was told.
    pub(super) fn is_same_server(&self, other: &Target) -> bool {
        self.is_secure == other.is_secure
            && self.port == other.port
            && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// Where a Location leads from here (RFC 3986 5.2): `http` and `https` stand for `ws` and `wss`. A user in it is left out.
    ///
    /// # Errors
    /// Why it is not followed.
    pub(super) fn follow(&self, location: &str) -> Result<Target, String> {
        let location = location.split('#').next().unwrap_or_default();
        let scheme_end = location
            .find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c))
            .filter(|end| location[*end..].starts_with(':'));
        let (is_secure, rest) = match scheme_end {
            None => (self.is_secure, location),
            Some(end) => {
                let is_secure = match location[..end].to_ascii_lowercase().as_str() {
                    "ws" | "http" => false,
                    "wss" | "https" => true,
                    other => return Err(format!("{other}: is no scheme of WebSockets")),
                };
                if !location[end + 1..].starts_with("//") {
                    return Err("its URL has no host".to_owned());
                }
                (is_secure, &location[end + 1..])
            }
        };
        if self.is_secure && !is_secure {
            return Err("from wss:// to ws:// it would lose its encryption".to_owned());
        }
        let text = match rest.starts_with("//") {
            true => format!("ws:{rest}"),
            false => format!(
                "ws://{}{}",
                authority(&self.host, Some(self.port)),
                self.merged(rest)
            ),
        };
        let address = Address::parse(&text, true);
        let target = address
            .url_place()
            .and_then(|(_, place)| Target::of(&address, place, is_secure, &[]));
        let mut target = target.map_err(|error| error.what)?;
        target.path = without_dots(&target.path);
        Ok(target)
    }

    /// A relative path or query, put behind ours.
    fn merged(&self, relative: &str) -> String {
        let own = self.path.split('?').next().unwrap_or_default();
        let folder = &own[..=own.rfind('/').unwrap_or(0)];
        match relative.chars().next() {
            None => self.path.clone(),
            Some('/') => relative.to_owned(),
            Some('?') => format!("{own}{relative}"),
            Some(_) => format!("{folder}{relative}"),
        }
    }
}

fn default_port(is_secure: bool) -> u16 {
    if is_secure { 443 } else { 80 }
}

/// Takes the segments `.` and `..` out of a path (RFC 3986 5.2.4).
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<_> = path.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        match *segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => {
                kept.push(other);
                continue;
            }
        }
        if index + 1 == segments.len() {
            kept.push("");
        }
    }
    format!("/{}{query}", kept.join("/"))
}

/// Path and query; what may not stand there as it is gets percent-encoded, but for these words.
fn encoded(address: &Address, path: &str, words: &[&str]) -> Result<String, AddressError> {
    let mut target = String::new();
    let is_absolute = words.contains(&PATH) && path.starts_with(PATH);
    if !path.starts_with('/') && !is_absolute {
        target.push('/');
    }
    let mut rest = path;
    while let Some(char) = rest.chars().next() {
        if char.is_control() {
            return Err(address.place_error("a URL has no control characters"));
        }
        let word = words.iter().find(|word| rest.starts_with(**word));
        let (piece, behind) = rest.split_at(word.map_or(char.len_utf8(), |word| word.len()));
        if word.is_some() || (char.is_ascii() && char != ' ' && !"\"<>\\^`{|}".contains(char)) {
            target += piece;
        } else {
            for byte in piece.bytes() {
                target += &format!("%{byte:02X}");
            }
        }
        rest = behind;
    }
    // As it is for a caller who asks for nothing.
    match target.replace(PATH, "/").replace(QUERY, "").parse::<Uri>() {
        Ok(_) => Ok(target),
        Err(error) => Err(address.place_error(format!("bad path: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        let address = Address::parse(url, false);
        let (_, place) = address.url_place().unwrap();
        Target::of(&address, place, address.word == "wss", &[]).unwrap()
    }

    #[test]
    fn a_path_is_encoded_where_it_must_be() {
        assert_eq!(target("ws://h").path, "/");
        assert_eq!(target("ws://h?q=1").path, "/?q=1");
        assert_eq!(target("ws://h/ü x?a=%20").path, "/%C3%BC%20x?a=%20");
    }

    #[track_caller]
    fn for_caller(url: &str, uri: Option<&str>, expected: Option<&str>) {
        let address = Address::parse(url, false);
        let (_, place) = address.url_place().unwrap();
        let caller = Caller {
            uri: uri.map(|uri| uri.parse().unwrap()),
            ..Caller::default()
        };
        let target = Target::typed(&address, place, false).unwrap();
        let found = target.for_caller(&caller).ok();
        let shown = found.map(|found| found.path);
        assert_eq!(shown.as_deref(), expected, "{url} {uri:?}");
    }

    #[test]
    fn what_a_caller_asks_for_stands_where_it_is_to() {
        let uri = Some("/a/b?c={path}&d");
        for (url, path) in [
            ("ws://h", "/a/b?c={path}&d"),
            ("ws://h:1", "/a/b?c={path}&d"),
            ("ws://h/", "/"),
            ("ws://h?x", "/?x"),
            ("ws://h/x?y", "/x?y"),
            ("ws://h{path}", "/a/b"),
            ("ws://h:1{path}{query}", "/a/b?c={path}&d"),
            ("ws://h/x{path}?y=1", "/x/a/b?y=1"),
            ("ws://h{query}", "/?c={path}&d"),
            ("ws://h/{x}{path}", "/%7Bx%7D/a/b"),
        ] {
            for_caller(url, uri, Some(path));
        }
        for_caller("ws://h", Some("/{query}?q"), Some("/{query}?q"));
        for_caller("ws://h", Some("ws://other/x"), Some("/x"));
        for_caller("ws://h", None, Some("/"));
        for_caller("ws://h/x{path}{query}", None, Some("/x/"));
        for uri in ["/../y", "/y/..", "/%2E./y", "/a/.%2e", "/./y", "/..\\y"] {
            for_caller("ws://h/x{path}", Some(uri), None);
        }
        // There is nothing that it could lead out of.
        for_caller("ws://h", Some("/../y"), Some("/../y"));
        for_caller("ws://h/x{path}", Some("/..y/y.."), Some("/x/..y/y.."));
    }

    #[test]
    fn the_default_port_is_left_out() {
        for (url, authority) in [
            ("ws://h:80", "h"),
            ("ws://h:443", "h:443"),
            ("wss://h:443", "h"),
            ("wss://[::1]:80/a?b", "[::1]:80"),
        ] {
            assert_eq!(target(url).authority(), authority);
        }
        assert_eq!(
            target("ws://[fe80::1%25eth0]:81").authority(),
            "[fe80::1]:81"
        );
        assert_eq!(
            target("ws://bücher.example").authority(),
            "xn--bcher-kva.example"
        );
        assert_eq!(target("wss://[::1]:80/a?b").shown(), "wss://[::1]:80/a");
    }

    #[test]
    fn a_location_leads_on() {
        let base = target("ws://h:81/a/b?q");
        for (location, url) in [
            ("ws://other/x", "ws://other/x"),
            ("https://user:word@other:8443/x?y#z", "wss://other:8443/x?y"),
            ("HTTP://other", "ws://other/"),
            ("//other/x", "ws://other/x"),
            ("/x?y", "ws://h:81/x?y"),
            ("x", "ws://h:81/a/x"),
            ("?y", "ws://h:81/a/b?y"),
            ("../x/./y/..", "ws://h:81/x/"),
            ("../../../x", "ws://h:81/x"),
            ("x:80", "x"),
            ("ftp://h/", "ftp"),
            ("ws:h", "none"),
            ("ws://h:x/", "bad port"),
            ("ws://", "bad host"),
        ] {
            match base.follow(location) {
                Ok(found) => assert_eq!(found, target(url), "{location}"),
                Err(error) => assert!(!url.starts_with("ws"), "{location}: {error}"),
            }
        }
        assert!(target("wss://h/").follow("ws://h/").is_err());
        assert!(target("wss://h/").follow("//g/").unwrap().is_secure);
    }

    #[test]
    fn a_server_is_scheme_and_host_and_port() {
        let own = target("ws://h/");
        assert!(own.is_same_server(&target("ws://H:80/other")));
        for other in ["ws://h:81", "wss://h:80", "ws://a.h"] {
            assert!(!own.is_same_server(&target(other)), "{other}");
        }
    }
}
