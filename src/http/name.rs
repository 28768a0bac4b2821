//! The names of headers as they leave: names are equal without regard to case (RFC 9110 5.1), but some peers compare exactly.

use http::HeaderName;
use http::header::InvalidHeaderName;

/// The beginning of names that RFC 6455 spells in a way of its own.
const WEBSOCKET: &str = "Sec-WebSocket-";

/// The name of a header and its spelling.
#[derive(Clone, Debug)]
pub struct Name {
    header: HeaderName,
    /// As it was typed, where it was.
    typed: Option<Box<str>>,
}

impl Name {
    /// Reads a name, which leaves as it is typed.
    ///
    /// # Errors
    /// It is no token.
    pub fn typed(text: &str) -> Result<Name, InvalidHeaderName> {
        Ok(Name {
            header: text.parse()?,
            typed: Some(text.into()),
        })
    }

    /// The name without its spelling.
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Appends it as it leaves: as typed, or as the RFCs write it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if let Some(typed) = &self.typed {
            out.extend_from_slice(typed.as_bytes());
            return;
        }
        let begin = out.len();
        let mut is_first = true;
        for byte in self.header.as_str().bytes() {
            out.push(match is_first {
                true => byte.to_ascii_uppercase(),
                false => byte,
            });
            is_first = byte == b'-';
        }
        let written = &mut out[begin..];
        if let Some(start) = written.get_mut(..WEBSOCKET.len())
            && start.eq_ignore_ascii_case(WEBSOCKET.as_bytes())
        {
            start.copy_from_slice(WEBSOCKET.as_bytes());
        }
    }
}

impl From<HeaderName> for Name {
    fn from(header: HeaderName) -> Name {
        Name {
            header,
            typed: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &Name, expected: &str) {
        let mut written = b"before ".to_vec();
        name.write(&mut written);
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written, format!("before {expected}"));
    }

    #[test]
    fn a_name_leaves_as_typed_or_as_the_rfcs_write_it() {
        for (name, expected) in [
            ("host", "Host"),
            ("upgrade", "Upgrade"),
            ("connection", "Connection"),
            ("origin", "Origin"),
            ("user-agent", "User-Agent"),
            ("proxy-authorization", "Proxy-Authorization"),
            ("sec-websocket-key", "Sec-WebSocket-Key"),
            ("sec-websocket-extensions", "Sec-WebSocket-Extensions"),
            ("sec-fetch-site", "Sec-Fetch-Site"),
        ] {
            check(&Name::from(HeaderName::from_static(name)), expected);
        }
        for typed in ["x-Api-KEY", "SOAPAction", "sec-websocket-key", "HOST"] {
            let name = Name::typed(typed).unwrap();
            check(&name, typed);
            assert_eq!(name.header().as_str(), typed.to_ascii_lowercase());
        }
        for wrong in ["", "a b", "a:b", "a\r\nb", "ü"] {
            assert!(Name::typed(wrong).is_err(), "{wrong}");
        }
    }
}
