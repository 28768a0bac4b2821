//! Why a request is refused: for the caller in constant text, for the log in full.

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::VERSION;

/// A refusal: the HTTP status, and why. The caller gets the status and constant text; what is told of the request is for the
/// log alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status, 4xx or 5xx.
    pub status: u16,
    /// Why, in one line for the log.
    pub why: String,
    /// What the caller reads.
    pub(super) body: &'static str,
    /// The methods that are served here.
    pub(super) allow: &'static str,
}

/// What a caller reads whose request could not be read as one.
const UNREAD: &[(StatusCode, &str)] = &[
    (
        StatusCode::BAD_REQUEST,
        "the request is not HTTP/1.1 as RFC 9112 writes it",
    ),
    (
        StatusCode::REQUEST_TIMEOUT,
        "the head of the request did not come in time",
    ),
    (
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "the head of a request has at most 16 KiB and 100 headers",
    ),
];

/// What a caller reads where why is for the log alone.
const BODIES: &[(u16, &str)] = &[
    (
        403,
        "this page may not connect; the log of the server says why",
    ),
    (404, "nothing is served here"),
    (
        421,
        "this host name is not served here; the log of the server says why",
    ),
    (500, "this cannot be served; the log of the server says why"),
    (
        502,
        "the other side cannot be reached; the log of the server says why",
    ),
    (503, "the server is busy or stopping"),
    (504, "the other side did not answer in time"),
];

impl Refusal {
    /// Makes a refusal whose reason is constant text, which the caller reads too.
    pub fn new(status: u16, why: &'static str) -> Refusal {
        Refusal {
            status,
            why: why.to_owned(),
            body: why,
            allow: "GET",
        }
    }

    /// Makes a refusal whose reason is for the log alone.
    pub fn told(status: u16, why: impl Into<String>) -> Refusal {
        let row = BODIES.iter().find(|row| row.0 == status);
        Refusal {
            why: why.into(),
            ..Refusal::new(status, row.map_or("refused", |row| row.1))
        }
    }

    /// Makes the refusal of a request that could not be read as one.
    pub(super) fn unread(status: StatusCode) -> Refusal {
        let row = UNREAD.iter().find(|row| row.0 == status);
        Refusal::new(status.as_u16(), row.map_or("refused", |row| row.1))
    }

    pub(super) fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(format!("{}\n", self.body)));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CONNECTION, "close"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        match self.status {
            426 => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(
                    header::SEC_WEBSOCKET_VERSION,
                    HeaderValue::from_static(VERSION),
                );
                headers.insert(
                    header::CONNECTION,
                    HeaderValue::from_static("upgrade, close"),
                );
            }
            405 => {
                headers.insert(header::ALLOW, HeaderValue::from_static(self.allow));
            }
            429 | 503 => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}: {}", self.status, self.why)
    }
}

impl std::error::Error for Refusal {}
