//! The request of a client: its bytes as they leave.

use std::io::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use http_body_util::Empty;

use super::name::Name;
use super::offered_protocols;

/// A request without a body.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) uri: Uri,
    /// In the order in which they leave.
    pub(super) headers: Vec<(Name, HeaderValue)>,
}

impl Request {
    /// All of its bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        // A write to memory does not fail.
        let _ = write!(bytes, "{} {} HTTP/1.1\r\n", self.method, self.uri);
        for (name, value) in &self.headers {
            name.write(&mut bytes);
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// The subprotocols that it offers, best first.
    pub(super) fn offered(&self) -> Vec<String> {
        let offers = self.headers.iter();
        let offers = offers.filter(|(name, _)| *name.header() == header::SEC_WEBSOCKET_PROTOCOL);
        let map: HeaderMap = offers
            .map(|(name, value)| (name.header().clone(), value.clone()))
            .collect();
        offered_protocols(&map)
    }

    /// What a parser of its answer must know of it: what was asked for decides whether the answer has a body.
    pub(super) fn line(&self) -> http::Request<Empty<Bytes>> {
        let mut request = http::Request::new(Empty::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        request
    }
}
