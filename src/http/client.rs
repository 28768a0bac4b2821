//! The client's side of the opening handshake: a request, and an answer that is checked.

use std::future::poll_fn;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rand::RngExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{VERSION, has_token, tokens};
use crate::ending::{Cause, Ending, RetryAfter};
use crate::peer::ByteStream;

/// Bytes of the body of a refusal that are shown.
const SHOWN_BODY: usize = 1024;
/// How long the body of a refusal is read.
const BODY: Duration = Duration::from_secs(1);
/// Lines of the body of a refusal that are shown.
const SHOWN_LINES: usize = 5;

/// The longest time that a server can keep us away.
const MOST_AWAY: Duration = Duration::from_secs(3600);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Call {
    /// The authority for the Host header: `host` or `host:port`.
    pub host: String,
    /// Path and query, beginning with `/`.
    pub target: String,
    /// Headers to add; one that we would set is replaced.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Subprotocols to offer, best first.
    pub protocols: Vec<String>,
}

/// An answer of 101.
pub struct Answer {
    /// The stream behind it.
    pub io: Box<dyn ByteStream>,
    /// Bytes that came glued to it.
    pub early: Bytes,
    /// The subprotocol that the server chose.
    pub protocol: Option<String>,
}

/// Asks for the upgrade of a stream and checks the answer (RFC 6455 4.1), whose head must come within `deadline`.
///
/// # Errors
/// [`Cause::Timeout`] where it does not;
/// [`Cause::HttpStatus`] with the first lines of the body where the answer is another; [`Cause::Handshake`] where it makes
/// no sense; [`Cause::Refused`] where the connection ended.
pub async fn upgrade(io: Box<dyn ByteStream>, call: &Call, deadline: Duration) -> Result<Answer> {
    let key = base64(rand::rng().random());
    let request = call.request(&key)?;
    let offered = tokens(request.headers(), &header::SEC_WEBSOCKET_PROTOCOL);
    let offered: Vec<_> = offered.map(str::to_owned).collect();
    let handshake = http1::Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(io));
    let (mut sender, mut connection) = handshake.await.context(Cause::Handshake)?;
    let answered = async {
        let mut answered = std::pin::pin!(sender.send_request(request));
        tokio::select! {
            biased;
            answered = &mut answered => answered,
            _ = poll_fn(|cx| connection.poll_without_shutdown(cx)) => answered.await,
        }
    };
    let answered = timeout(deadline, answered).await.map_err(|_| {
        anyhow::Error::new(Cause::Timeout)
            .context(format!("no answer to the handshake within {deadline:?}"))
    })?;
    let response = answered.map_err(|error| {
        let cause = if error.is_parse() {
            Cause::Handshake
        } else {
            Cause::Refused
        };
        let what = if error.is_incomplete_message() || error.is_canceled() {
            "the server closed the connection without an answer".to_owned()
        } else {
            format!("the answer is no HTTP: {error}")
        };
        anyhow::Error::new(cause).context(what)
    })?;
    let is_switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let checked = if is_switching {
        check(response.headers(), &key, &offered)
            .map_err(|what| anyhow::Error::new(Cause::Handshake).context(what))
    } else {
        let mut reading = std::pin::pin!(refused(response));
        Err(tokio::select! {
            error = &mut reading => error,
            _ = poll_fn(|cx| connection.poll_without_shutdown(cx)) => reading.await,
        })
    };
    if is_switching {
        poll_fn(|cx| connection.poll_without_shutdown(cx))
            .await
            .context(Cause::Handshake)?;
    }
    let parts = connection.into_parts();
    let mut io = parts.io.into_inner();
    match checked {
        Ok(protocol) => Ok(Answer {
            io,
            early: parts.read_buf,
            protocol,
        }),
        Err(error) => {
            // A no is an end like any other, not a cut.
            let _ = poll_fn(|cx| io.poll_end(cx, &Ending::Eof)).await;
            Err(error)
        }
    }
}

impl Call {
    fn request(&self, key: &str) -> Result<Request<Empty<Bytes>>> {
        let mut request = Request::get(&self.target)
            .body(Empty::new())
            .context("the request target")?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_str(&self.host)?);
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_str(key)?);
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static(VERSION),
        );
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("wsbridge/", env!("CARGO_PKG_VERSION"))),
        );
        if !self.protocols.is_empty() {
            headers.insert(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_str(&self.protocols.join(", "))?,
            );
        }
        let mut replaced = Vec::new();
        for (name, value) in &self.headers {
            if replaced.contains(&name) {
                headers.append(name.clone(), value.clone());
            } else {
                headers.insert(name.clone(), value.clone());
                replaced.push(name);
            }
        }
        Ok(request)
    }
}

/// Checks the headers of a 101; returns the subprotocol.
fn check(headers: &HeaderMap, key: &str, offered: &[String]) -> Result<Option<String>, String> {
    if !has_token(headers, &header::UPGRADE, "websocket") {
        return Err("the answer's Upgrade header is not 'websocket'".to_owned());
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err("the answer's Connection header does not say 'upgrade'".to_owned());
    }
    let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT);
    if accept.is_none_or(|accept| {
        accept.as_bytes().trim_ascii() != derive_accept_key(key.as_bytes()).as_bytes()
    }) {
        return Err("the answer's Sec-WebSocket-Accept is not the one for our key".to_owned());
    }
    if let Some(extension) = tokens(headers, &header::SEC_WEBSOCKET_EXTENSIONS).next() {
        return Err(format!(
            "the server uses an extension that was not offered: {}",
            extension.escape_debug()
        ));
    }
    let mut chosen = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL);
    match chosen.next() {
        None => Ok(None),
        Some(protocol) if offered.iter().any(|offer| offer == protocol) => {
            Ok(Some(protocol.to_owned()))
        }
        Some(protocol) => Err(format!(
            "the server chose a subprotocol that was not offered: {}",
            protocol.escape_debug()
        )),
    }
}

/// Makes the error for an answer that is no 101: its status and the first lines of its body.
async fn refused(mut response: Response<Incoming>) -> anyhow::Error {
    let status = response.status();
    let mut body = Vec::new();
    let reading = async {
        while body.len() < SHOWN_BODY
            && let Some(Ok(frame)) = response.body_mut().frame().await
        {
            body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
    };
    // The status is the answer; of a body that does not end there is what has come.
    let _ = timeout(BODY, reading).await;
    body.truncate(SHOWN_BODY);
    let mut what = format!("HTTP {status}");
    for line in String::from_utf8_lossy(&body).lines().take(SHOWN_LINES) {
        let line: String = line
            .chars()
            .filter(|c| !c.is_control() || *c == '\t')
            .collect();
        what += &format!("\n  {}", line.trim_end());
    }
    let error = anyhow!(Cause::HttpStatus(status.as_u16()));
    match retry_after(response.headers(), SystemTime::now()) {
        Some(wait) => error.context(RetryAfter(wait)).context(what),
        None => error.context(what),
    }
}

/// How long the server asks us to stay away: seconds or a date (RFC 9110 10.2.3), an hour at most.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if is_number {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        date.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(MOST_AWAY))
}

/// Base64 of 16 bytes.
fn base64(bytes: [u8; 16]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = u128::from_be_bytes(bytes);
    // 128 bits are 21 digits, and a last one of two bits and four zeros.
    let digit = |at: u32| {
        let value = if at < 21 {
            bits >> (122 - 6 * at)
        } else {
            bits << 4
        };
        char::from(DIGITS[(value & 0x3F) as usize])
    };
    (0..22).map(digit).chain(['=', '=']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_base64() {
        assert_eq!(base64(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(base64([0xFF; 16]), "/////////////////////w==");
    }

    #[track_caller]
    fn checked(changes: &[(&'static str, &str)]) -> Result<Option<String>, String> {
        let good = [
            ("upgrade", "WebSocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in good.iter().chain(changes) {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        check(&headers, "dGhlIHNhbXBsZSBub25jZQ==", &["chat".to_owned()])
    }

    #[test]
    fn a_server_asks_for_seconds_or_names_a_date() {
        let now = httpdate::parse_http_date("Sat, 21 Nov 2026 07:00:00 GMT").unwrap();
        for (text, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999", Some(3600)),
            ("Sat, 21 Nov 2026 07:00:30 GMT", Some(30)),
            ("Sat, 21 Nov 2026 06:59:00 GMT", Some(0)),
            ("Sun, 22 Nov 2026 07:00:00 GMT", Some(3600)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            let wait = retry_after(&headers, now);
            assert_eq!(wait, expected.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn answers_are_checked_header_by_header() {
        assert_eq!(checked(&[]), Ok(None));
        assert_eq!(
            checked(&[("sec-websocket-protocol", "chat")]),
            Ok(Some("chat".to_owned()))
        );
        for wrong in [
            ("upgrade", "h2c"),
            ("connection", "close"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOO="),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("sec-websocket-protocol", "other"),
        ] {
            assert!(checked(&[wrong]).is_err(), "{wrong:?}");
        }
    }
}
