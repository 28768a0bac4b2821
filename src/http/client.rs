//! The client's side of the opening handshake: a request, and an answer that is checked.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use rand::RngExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::info;

use super::exchange::{Asked, Exchange};
use super::name::Name;
use super::request::Request;
use super::{TARGET, TARGET_BYTES, USER_AGENT, VERSION, has_token, tokens};
use crate::address::Address;
use crate::ending::{Cause, RetryAfter};
use crate::extension;
use crate::peer::ByteStream;
use crate::secret;
use crate::shown::Shown;
use crate::steps::Step;
use crate::word::Word;

/// The longest time that a server can keep us away.
const MOST_AWAY: Duration = Duration::from_secs(3600);

/// A header with its value, or without one where it is to be left out.
pub type Header = (Name, Option<HeaderValue>);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Call {
    /// The authority for the Host header: `host` or `host:port`.
    pub host: String,
    /// Path and query, beginning with `/`.
    pub target: String,
    /// Headers to add, in their order. Those of a name that we would set stand in the place of ours; one without a value is
    /// left out.
    pub headers: Vec<Header>,
    /// Subprotocols to offer, best first.
    pub protocols: Vec<String>,
    /// Whether to offer the half-close extension.
    pub half_close: bool,
    /// Whether the head of the answer is shown.
    pub shows_head: bool,
    /// Whether to go where the answer says.
    pub follows: bool,
}

/// What the server says.
pub enum Answer {
    /// 101.
    Open(Opened),
    /// A redirect: its status and its Location.
    Elsewhere(StatusCode, String),
}

/// An answer of 101.
pub struct Opened {
    /// The stream behind it.
    pub io: Box<dyn ByteStream>,
    /// Bytes that came glued to it.
    pub early: Bytes,
    /// The subprotocol that the server chose.
    pub protocol: Option<String>,
    /// Whether the server accepted the half-close extension.
    pub half_close: bool,
    /// Whether the server says that it leads to a stream of bytes.
    pub is_byte_target: bool,
    /// How long the handshake took.
    pub took: Duration,
}

/// Statuses that say to go elsewhere with the same request, or with a GET, which this is (RFC 9110 15.4).
const REDIRECTS: &[u16] = &[301, 302, 303, 307, 308];

/// What helps against statuses that say what is missing.
const HINTS: &[(StatusCode, &str)] = &[
    (
        StatusCode::OK,
        "it has a page and no WebSocket here: another path may have one",
    ),
    (
        StatusCode::UNAUTHORIZED,
        "it asks who we are: --user NAME:PASSWORD or --bearer TOKEN tells it",
    ),
];

/// Asks for the upgrade of a stream and checks the answer (RFC 6455 4.1), whose head must come within `deadline`.
///
/// # Errors
/// [`Cause::Timeout`] where it does not;
/// [`Cause::HttpStatus`] with the first lines of the body where the answer is another; [`Cause::Handshake`] where it makes
/// no sense; [`Cause::Refused`] where the connection ended.
pub async fn upgrade(io: Box<dyn ByteStream>, call: &Call, deadline: Duration) -> Result<Answer> {
    let step = Step::begin("upgrade");
    let begun = Instant::now();
    let key = BASE64.encode(&rand::rng().random::<[u8; 16]>());
    let request = call.request(&key)?;
    let offered = request.offered();
    let asked = Asked {
        name: "the server",
        over_tls: "wss://",
        is_malformed: Cause::Handshake,
        is_gone: Cause::Refused,
        is_taken: |status| status == StatusCode::SWITCHING_PROTOCOLS,
        refuses: |status| Cause::HttpStatus(status.as_u16()),
    };
    let asking = Exchange::ask(io, &request, &asked);
    let exchange = timeout(deadline, asking).await.map_err(|_| {
        anyhow::Error::new(Cause::Timeout)
            .context(format!("no answer to the handshake within {deadline:?}"))
    })??;
    if call.shows_head {
        for line in exchange.head() {
            info!("< {line}");
        }
    }
    let status = exchange.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let location =
            location(exchange.headers()).filter(|_| REDIRECTS.contains(&status.as_u16()));
        return match location {
            Some(location) if call.follows => {
                exchange.end().await;
                step.done(|| format!("{status} leads elsewhere"));
                Ok(Answer::Elsewhere(status, location))
            }
            location => Err(refused(exchange, location).await),
        };
    }
    let checked = check_version(exchange.version())
        .and_then(|()| check(exchange.headers(), &key, &offered, call.half_close));
    match checked {
        Ok(Agreed {
            protocol,
            half_close,
        }) => {
            step.done(|| {
                let protocol = protocol
                    .iter()
                    .map(|name| format!(", subprotocol {}", secret::protocols([name.as_str()])));
                let half_close = match (call.half_close, half_close) {
                    (_, true) => ", half-close agreed",
                    (true, false) => ", half-close offered",
                    (false, false) => "",
                };
                format!("{status}{}{half_close}", protocol.collect::<String>())
            });
            let is_byte_target = has_token(exchange.headers(), &TARGET, TARGET_BYTES);
            let (io, early) = exchange.into_stream().await.context(Cause::Handshake)?;
            Ok(Answer::Open(Opened {
                io,
                early,
                protocol,
                half_close,
                is_byte_target,
                took: begun.elapsed(),
            }))
        }
        Err(what) => {
            exchange.end().await;
            Err(anyhow::Error::new(Cause::Handshake).context(what))
        }
    }
}

/// Builds the error for an answer that is no 101: its status, the first lines of its body, and what helps.
async fn refused(exchange: Exchange, location: Option<String>) -> anyhow::Error {
    let status = exchange.status();
    let wait = retry_after(exchange.headers(), SystemTime::now());
    let mut what = exchange.refusal().await;
    if let Some((_, hint)) = HINTS.iter().find(|row| row.0 == status) {
        what += &format!("\n  {hint}");
    }
    if let Some(location) = location {
        let location = Address::public(&location);
        let location = location.shown();
        let location = Shown::line(&location);
        what += &format!("\n  it says to go to {location}: --follow does so");
    }
    if let Some(wait) = wait {
        what += &format!("\n  it asks to come again in {wait:.0?} (Retry-After)");
    }
    let error = anyhow!(Cause::HttpStatus(status.as_u16()));
    match wait {
        Some(wait) => error.context(RetryAfter(wait)).context(what),
        None => error.context(what),
    }
}

fn location(headers: &HeaderMap) -> Option<String> {
    let location = headers.get(header::LOCATION)?;
    location.to_str().ok().map(str::to_owned)
}

impl Call {
    fn request(&self, key: &str) -> Result<Request> {
        let own = self.own_headers(key)?;
        let mut headers = Vec::with_capacity(own.len() + self.headers.len());
        for (name, value) in &own {
            let typed = self.headers.iter().filter(|it| it.0.header() == name);
            headers.extend(typed.filter_map(set));
            if self.headers.iter().all(|it| it.0.header() != name) {
                headers.push((Name::from(name.clone()), value.clone()));
            }
        }
        let is_added = |it: &&Header| own.iter().all(|(name, _)| it.0.header() != name);
        headers.extend(self.headers.iter().filter(is_added).filter_map(set));
        Ok(Request {
            method: Method::GET,
            uri: self.target.parse().context("the request target")?,
            headers,
        })
    }

    /// The headers of ours, in the order of RFC 6455 1.2.
    fn own_headers(&self, key: &str) -> Result<Vec<(HeaderName, HeaderValue)>> {
        let mut headers = vec![
            (header::HOST, HeaderValue::from_str(&self.host)?),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::SEC_WEBSOCKET_KEY, HeaderValue::from_str(key)?),
            (
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static(VERSION),
            ),
            (header::USER_AGENT, USER_AGENT),
        ];
        if !self.protocols.is_empty() {
            let offer = HeaderValue::from_str(&self.protocols.join(", "))?;
            headers.push((header::SEC_WEBSOCKET_PROTOCOL, offer));
        }
        if self.half_close {
            let offer = HeaderValue::from_static(extension::HALF_CLOSE);
            headers.push((header::SEC_WEBSOCKET_EXTENSIONS, offer));
        }
        Ok(headers)
    }
}

/// A header that has a value.
fn set((name, value): &Header) -> Option<(Name, HeaderValue)> {
    Some((name.clone(), value.clone()?))
}

/// What a 101 agrees to.
#[derive(Debug, PartialEq, Eq)]
struct Agreed {
    protocol: Option<String>,
    half_close: bool,
}

/// Checks the version of HTTP of a 101: HTTP/1.0 has no upgrade (RFC 9110 7.8).
fn check_version(version: Version) -> Result<(), String> {
    match version {
        Version::HTTP_11 => Ok(()),
        other => Err(format!(
            "the answer of 101 is of {}, not HTTP/1.1",
            super::version_name(other)
        )),
    }
}

/// Headers that stand in a 101 once at most (RFC 6455 11.3).
const SINGLE: &[(HeaderName, &str)] = &[
    (header::SEC_WEBSOCKET_ACCEPT, "Sec-WebSocket-Accept"),
    (header::SEC_WEBSOCKET_PROTOCOL, "Sec-WebSocket-Protocol"),
];

/// Checks that the headers of a 101 are unambiguous: none twice that may stand there once, and no body.
fn check_unambiguous(headers: &HeaderMap) -> Result<(), String> {
    for (name, shown) in SINGLE {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(format!("the answer has two headers {shown}"));
        }
    }
    // Some servers say that there is none, which RFC 9110 8.6 forbids and which does no harm.
    let length = headers.get(header::CONTENT_LENGTH);
    if length.is_some_and(|length| length != "0") || headers.contains_key(header::TRANSFER_ENCODING)
    {
        return Err("the answer of 101 has a body".to_owned());
    }
    Ok(())
}

/// Checks the headers of a 101.
fn check(
    headers: &HeaderMap,
    key: &str,
    offered: &[String],
    offers_half_close: bool,
) -> Result<Agreed, String> {
    check_unambiguous(headers)?;
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
    let mut half_close = false;
    for extension in tokens(headers, &header::SEC_WEBSOCKET_EXTENSIONS) {
        match extension::accepts_half_close(extension).filter(|_| offers_half_close) {
            Some(accepts) => half_close |= accepts,
            None => {
                return Err(format!(
                    "the server uses an extension that was not offered: {}",
                    extension.escape_debug()
                ));
            }
        }
    }
    let mut chosen = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL);
    let protocol = match (chosen.next(), chosen.next()) {
        (None, _) => None,
        (Some(_), Some(_)) => return Err("the server chose several subprotocols".to_owned()),
        (Some(protocol), None) if offered.iter().any(|offer| offer == protocol) => {
            Some(protocol.to_owned())
        }
        (Some(protocol), None) => {
            return Err(format!(
                "the server chose a subprotocol that was not offered: {}",
                secret::protocols([protocol]).escape_debug()
            ));
        }
    };
    Ok(Agreed {
        protocol,
        half_close,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn checked(changes: &[(&'static str, &str)]) -> Result<Option<String>, String> {
        agreed(changes, false).map(|agreed| agreed.protocol)
    }

    #[track_caller]
    fn agreed(changes: &[(&'static str, &str)], offers_half_close: bool) -> Result<Agreed, String> {
        let good = [
            ("upgrade", "WebSocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in good.iter().chain(changes) {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        checked_headers(&headers, offers_half_close)
    }

    fn checked_headers(headers: &HeaderMap, offers_half_close: bool) -> Result<Agreed, String> {
        let offered = ["chat".to_owned()];
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        check(headers, key, &offered, offers_half_close)
    }

    #[test]
    fn a_header_that_stands_there_twice_is_refused() {
        for (name, values) in [
            (
                "sec-websocket-accept",
                [
                    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                ],
            ),
            ("sec-websocket-protocol", ["chat", "chat"]),
            ("sec-websocket-protocol", ["", "chat"]),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("upgrade", HeaderValue::from_static("websocket"));
            headers.insert("connection", HeaderValue::from_static("upgrade"));
            let accept = HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            headers.insert("sec-websocket-accept", accept);
            headers.remove(name);
            for value in values {
                headers.append(name, HeaderValue::from_static(value));
            }
            let refused = checked_headers(&headers, false).unwrap_err();
            assert!(refused.contains("two headers"), "{name}: {refused}");
        }
    }

    #[test]
    fn half_close_is_agreed_only_by_an_acknowledgement_of_our_offer() {
        for (value, offers, expected) in [
            ("wsbridge-half-close; ack=1", true, Ok(true)),
            ("wsbridge-half-close", true, Ok(false)),
            ("wsbridge-half-close; ack=2", true, Ok(false)),
            ("wsbridge-half-close; ack=1", false, Err(())),
            ("permessage-deflate", true, Err(())),
        ] {
            let agreed = agreed(&[("sec-websocket-extensions", value)], offers);
            let agreed = agreed.map(|agreed| agreed.half_close).map_err(|_| ());
            assert_eq!(agreed, expected, "{value}");
        }
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
            ("sec-websocket-protocol", "chat, chat"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
        ] {
            assert!(checked(&[wrong]).is_err(), "{wrong:?}");
        }
    }
}
