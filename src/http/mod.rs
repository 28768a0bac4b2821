//! HTTP/1.1: the opening handshake of WebSocket (RFC 6455 4) in both roles, and the way through a proxy.

pub mod client;
pub mod connect;
mod exchange;
mod head;
pub mod hidden;
pub mod name;
pub mod page;
pub mod path;
pub mod policy;
mod reply;
mod request;
pub mod server;
mod subprotocol;

use anyhow::{Result, bail};
use data_encoding::BASE64;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Version};

/// The one version of the protocol (RFC 6455 4.1).
const VERSION: &str = "13";
/// The header of a 101 that says what the server's target takes.
const TARGET: HeaderName = HeaderName::from_static("wsbridge-target");
/// Its value where the target is a stream of bytes: a client need not cut its input into lines.
const TARGET_BYTES: &str = "bytes";
/// Bytes that a head may have.
const MAX_HEAD: usize = 16 * 1024;
/// Headers that a head may have.
const MAX_HEADERS: usize = 100;

/// What we call ourselves.
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("wsbridge/", env!("CARGO_PKG_VERSION")));

/// The value of an Authorization header for a user and a password (RFC 7617).
///
/// # Errors
/// A user with a colon, or control characters.
pub fn basic(user: &str, password: &str) -> Result<HeaderValue> {
    if user.contains(':') {
        bail!("a user has no colon in its name");
    }
    if user.chars().chain(password.chars()).any(char::is_control) {
        bail!("user and password have no control characters");
    }
    let words = BASE64.encode(format!("{user}:{password}").as_bytes());
    let mut value = HeaderValue::from_str(&format!("Basic {words}"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The name of a version of HTTP, as a head has it.
fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "another version of HTTP",
    }
}

/// The subprotocols that the headers of a request offer, best first.
pub fn offered_protocols(headers: &HeaderMap) -> Vec<String> {
    let offered = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL);
    offered.map(str::to_owned).collect()
}

/// The elements of a header that is a comma-separated list, over all of its lines (RFC 9110 5.6.1).
fn tokens<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// Whether a text is a token (RFC 9110 5.6.2).
pub fn is_token(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?={}".contains(c);
    !text.is_empty() && text.chars().all(is_part)
}

/// Whether a list has an element, without regard to case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|element| element.eq_ignore_ascii_case(token))
}
