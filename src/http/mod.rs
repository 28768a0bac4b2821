//! The opening handshake of WebSocket (RFC 6455 4) over HTTP/1.1, in both roles.

pub mod client;
pub mod policy;
pub mod server;

use http::HeaderMap;
use http::header::HeaderName;

/// The one version of the protocol (RFC 6455 4.1).
const VERSION: &str = "13";
/// Bytes that a head may have.
const MAX_HEAD: usize = 16 * 1024;
/// Headers that a head may have.
const MAX_HEADERS: usize = 100;

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

/// Whether a list has an element, without regard to case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|element| element.eq_ignore_ascii_case(token))
}
