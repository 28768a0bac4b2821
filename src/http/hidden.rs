//! Headers of peers as they are shown: without secrets. Escaping is for whoever writes them.

use http::header::{self, HeaderName, HeaderValue};

use crate::address::Address;
use crate::secret::{self, HIDDEN};

/// What the names of headers end with whose whole value is secret.
const SECRET: &[&str] = &[
    "authorization",
    "token",
    "api-key",
    "apikey",
    "secret",
    "password",
    "session-id",
    "jwt",
];

/// The value of a header without secrets: credentials, values of cookies, tokens among subprotocols, users of URLs and what looks
/// like a secret in a query.
pub fn public(name: &HeaderName, value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    if SECRET.iter().any(|end| name.as_str().ends_with(end)) {
        return HIDDEN.to_owned();
    }
    match *name {
        header::SET_COOKIE => {
            let (cookie, rest) = text.split_at(text.find(';').unwrap_or(text.len()));
            without_value(cookie) + rest
        }
        header::COOKIE => {
            let cookies: Vec<_> = text.split(';').map(without_value).collect();
            cookies.join(";")
        }
        header::SEC_WEBSOCKET_PROTOCOL => secret::protocols(text.split(',').map(str::trim)),
        header::HOST | header::ORIGIN => origin(&text),
        _ => Address::public_text(&text),
    }
}

/// A host or an origin without the name of a user, which stands there against all rules: that there is one is shown.
pub fn origin(text: &str) -> String {
    let Some((before, host)) = text.rsplit_once('@') else {
        return Address::public_text(text);
    };
    let scheme = before.find("//").map_or("", |at| &before[..at + 2]);
    format!("{scheme}{HIDDEN}@{}", Address::public_text(host))
}

/// A cookie without its value. One without a name is all value.
fn without_value(cookie: &str) -> String {
    let name = cookie.split_once('=').map_or("", |(name, _)| name);
    format!("{name}={HIDDEN}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &HeaderName, value: &str, expected: &str) {
        let value = HeaderValue::from_str(value).unwrap();
        assert_eq!(public(name, &value), expected);
    }

    #[test]
    fn secrets_are_hidden_by_what_a_header_is_for() {
        check(
            &header::LOCATION,
            "http://me:pw@h/a?room=3&token=x#y",
            "http://h/a?room=3&token=***#y",
        );
        check(&header::LOCATION, "/a?code=x", "/a?code=***");
        check(
            &header::SET_COOKIE,
            "sid=x; Path=/; HttpOnly",
            "sid=***; Path=/; HttpOnly",
        );
        check(&header::SET_COOKIE, "x; Secure", "=***; Secure");
        check(&header::COOKIE, "a=x; b=y=z", "a=***; b=***");
        check(&header::PROXY_AUTHORIZATION, "Basic x", "***");
        check(&HeaderName::from_static("x-auth-token"), "x", "***");
        check(
            &header::SEC_WEBSOCKET_PROTOCOL,
            "mqtt,bearer, x",
            "mqtt, bearer, ***",
        );
        check(&header::ORIGIN, "http://me:pw@h", "http://***@h");
        check(&header::ORIGIN, "me:pw@h", "***@h");
        check(&header::HOST, "me:pw@h:80", "***@h:80");
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        for (name, value) in [
            (header::LOCATION, "https://h/a?room=3"),
            (header::WWW_AUTHENTICATE, "Basic realm=\"a, b\""),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "https://h"),
            (header::SEC_WEBSOCKET_ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            (header::VIA, "1.1 proxy.example, 2 other"),
            (header::SERVER, "nginx/1.27; x"),
            (header::ORIGIN, "chrome-extension://abc"),
            (header::HOST, "[::1]:8080"),
        ] {
            check(&name, value, value);
        }
    }
}
