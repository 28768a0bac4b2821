//! What a WebSocket client asks for: scheme, host, port, path and query; and where a redirect leads. Nothing here reads a socket.

use http::Uri;

use crate::address::{Address, AddressError, Place, authority};

/// What a `ws:` or `wss:` URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Whether it is reached by TLS.
    pub(super) is_secure: bool,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query, encoded, beginning with `/`.
    pub(super) path: String,
}

impl Target {
    /// Reads it out of the place of an address.
    ///
    /// # Errors
    /// A missing host, a path that can be none.
    pub(super) fn of(
        address: &Address,
        place: Place,
        is_secure: bool,
    ) -> Result<Target, AddressError> {
        Ok(Target {
            is_secure,
            path: encoded(address, &place.path)?,
            port: place.port.unwrap_or(default_port(is_secure)),
            host: place
                .host
                .ok_or_else(|| address.place_error("a host is missing"))?,
        })
    }

    /// The value of the Host header; the default port is left out (RFC 9110 7.2).
    pub(super) fn authority(&self) -> String {
        let port = Some(self.port).filter(|port| *port != default_port(self.is_secure));
        authority(&self.host, port)
    }

    /// As a URL, without the query.
    pub(super) fn shown(&self) -> String {
        let scheme = if self.is_secure { "wss" } else { "ws" };
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{scheme}://{}{path}", self.authority())
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
            .and_then(|(_, place)| Target::of(&address, place, is_secure));
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

/// Path and query; what may not stand there as it is gets percent-encoded.
fn encoded(address: &Address, path: &str) -> Result<String, AddressError> {
    let mut target = String::new();
    if !path.starts_with('/') {
        target.push('/');
    }
    for char in path.chars() {
        if char.is_control() {
            return Err(address.place_error("a URL has no control characters"));
        }
        if char.is_ascii() && char != ' ' && !"\"<>\\^`{|}".contains(char) {
            target.push(char);
        } else {
            let mut bytes = [0; 4];
            for byte in char.encode_utf8(&mut bytes).bytes() {
                target += &format!("%{byte:02X}");
            }
        }
    }
    match target.parse::<Uri>() {
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
        Target::of(&address, place, address.word == "wss").unwrap()
    }

    #[test]
    fn a_path_is_encoded_where_it_must_be() {
        assert_eq!(target("ws://h").path, "/");
        assert_eq!(target("ws://h?q=1").path, "/?q=1");
        assert_eq!(target("ws://h/ü x?a=%20").path, "/%C3%BC%20x?a=%20");
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
