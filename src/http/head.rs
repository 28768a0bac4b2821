//! The head of a request or of an answer, read into one buffer and parsed as hyper does it: by the same parser with the same
//! settings.

use std::{io, mem};

use bytes::{BufMut, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use httparse::{EMPTY_HEADER, Error, Status};
use memchr::memmem;
use tokio::io::AsyncReadExt;

use super::{MAX_HEAD, MAX_HEADERS};
use crate::peer::ByteStream;

/// Bytes that a buffer has room for at first. The request of a browser has 500 to 1,500.
const ROOM: usize = 2 * 1024;

/// The beginning of a stream: a head and the bytes behind it, 16 KiB at most.
#[derive(Debug, Default)]
pub(super) struct Opening {
    bytes: BytesMut,
    /// Bytes that were parsed and that are not a whole head.
    parsed: usize,
}

/// The bytes of a whole head and those that came behind it. The values of the head are slices of them.
#[derive(Debug)]
pub(super) struct Whole {
    bytes: Bytes,
    /// The length of the head.
    head: usize,
}

/// Why there is no head.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is malformed or too large: the status that says so.
    Wrong(StatusCode),
    /// The stream has ended.
    Ended,
    /// The stream is broken.
    Broken(io::Error),
}

/// A head and its length, or `None` where it is not whole yet, or the status that refuses it.
type Parsed<T> = Result<Option<(T, usize)>, StatusCode>;

/// The head of an answer.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
}

impl Opening {
    /// Reads a whole request head, and takes its bytes. Cancel-safe.
    ///
    /// # Errors
    /// The head is wrong, or the stream ends before the head does.
    pub(super) async fn request(
        &mut self,
        io: &mut Box<dyn ByteStream>,
    ) -> Result<(Parts, Whole), Unread> {
        self.read_head(io, parse_request).await
    }

    /// Reads a whole head of an answer, and takes its bytes. Cancel-safe.
    ///
    /// # Errors
    /// The head is wrong, or the stream ends before the head does.
    pub(super) async fn answer(
        &mut self,
        io: &mut Box<dyn ByteStream>,
    ) -> Result<(AnswerHead, Whole), Unread> {
        self.read_head(io, parse_answer).await
    }

    async fn read_head<T>(
        &mut self,
        io: &mut Box<dyn ByteStream>,
        parse: fn(&Bytes) -> Parsed<T>,
    ) -> Result<(T, Whole), Unread> {
        loop {
            if self.may_be_whole() {
                let bytes = mem::take(&mut self.bytes).freeze();
                let parsed = parse(&bytes);
                if let Ok(Some((found, head))) = parsed {
                    return Ok((found, Whole { bytes, head }));
                }
                self.parsed = bytes.len();
                // Nothing else holds them, so that they are not copied.
                self.bytes = BytesMut::from(bytes);
                parsed.map_err(Unread::Wrong)?;
            }
            if self.is_full() {
                return Err(Unread::Wrong(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
            }
            match self.read(io).await {
                Ok(0) => return Err(Unread::Ended),
                Ok(_) => {}
                Err(error) => return Err(Unread::Broken(error)),
            }
        }
    }

    /// Whether to parse what has come: the first bytes, so that what is no HTTP shows at once, and then only what ends a head.
    /// A head that comes byte by byte is not parsed for each byte.
    fn may_be_whole(&self) -> bool {
        let unseen = &self.bytes[self.parsed.saturating_sub(3)..];
        match self.parsed {
            0 => !self.bytes.is_empty(),
            _ => [&b"\n\r\n"[..], b"\n\n"]
                .iter()
                .any(|end| memmem::find(unseen, end).is_some()),
        }
    }

    /// Whether it takes no more bytes.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= MAX_HEAD
    }

    /// Whether it holds no bytes.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Reads once; `Ok(0)` is the end of the stream. It must not be full. Cancel-safe.
    ///
    /// # Errors
    /// Those of the stream.
    pub(super) async fn read(&mut self, io: &mut Box<dyn ByteStream>) -> io::Result<usize> {
        if self.bytes.capacity() == self.bytes.len() {
            self.bytes.reserve(ROOM);
        }
        let room = MAX_HEAD - self.bytes.len();
        io.read_buf(&mut (&mut self.bytes).limit(room)).await
    }

    /// All of the bytes.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes.freeze()
    }
}

impl Whole {
    /// The bytes behind the head.
    pub(super) fn behind(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    /// All of the bytes, the head included.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl From<&[u8]> for Opening {
    fn from(bytes: &[u8]) -> Opening {
        Opening {
            bytes: BytesMut::from(bytes),
            parsed: 0,
        }
    }
}

/// The status that refuses what the parser refuses.
fn refused(error: Error) -> StatusCode {
    match error {
        Error::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Parses a request head; `None` where it is not whole yet.
fn parse_request(bytes: &Bytes) -> Parsed<Parts> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let len = match parsed.parse(bytes) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(refused(error)),
    };
    let wrong = StatusCode::BAD_REQUEST;
    let (mut head, ()) = Request::new(()).into_parts();
    let method = parsed.method.and_then(|it| Method::try_from(it).ok());
    head.method = method.ok_or(wrong)?;
    let uri = parsed.path.and_then(|it| Uri::try_from(it).ok());
    head.uri = uri.ok_or(wrong)?;
    head.version = version(parsed.version);
    head.headers = map(parsed.headers, bytes).ok_or(wrong)?;
    Ok(Some((head, len)))
}

/// Parses the head of an answer; `None` where it is not whole yet.
fn parse_answer(bytes: &Bytes) -> Parsed<AnswerHead> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let len = match parsed.parse(bytes) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(refused(error)),
    };
    let wrong = StatusCode::BAD_REQUEST;
    let status = parsed.code.and_then(|it| StatusCode::from_u16(it).ok());
    let head = AnswerHead {
        status: status.ok_or(wrong)?,
        version: version(parsed.version),
        headers: map(parsed.headers, bytes).ok_or(wrong)?,
    };
    Ok(Some((head, len)))
}

fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(1) => Version::HTTP_11,
        _ => Version::HTTP_10,
    }
}

/// Makes a map of headers that are slices of these bytes.
fn map(parsed: &[httparse::Header<'_>], bytes: &Bytes) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(header.value));
        headers.append(name, value.ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests;
