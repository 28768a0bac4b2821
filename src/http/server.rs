//! The server's side of the opening handshake: a request is read and judged, then waits for its answer.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::page::Page;
use super::path::Path;
use super::policy::Policy;
use super::subprotocol::is_spoken;
use super::{
    MAX_HEAD, MAX_HEADERS, TARGET, TARGET_BYTES, VERSION, has_token, is_token, offered_protocols,
    tokens,
};
use crate::address::Address;
use crate::caller::Caller;
use crate::ending::Ending;
use crate::extension;
use crate::peer::ByteStream;
use crate::shown::Shown;

/// How long a refused caller is read after the answer, so that a reset does not destroy it.
const FINISH: Duration = Duration::from_secs(1);

/// The answer to a request whose head did not end in time.
const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\nx-content-type-options: nosniff\r\ncontent-length: 0\r\n\r\n";

/// What a listener serves, and to whom.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Who may connect.
    pub policy: Policy,
    /// The one path that is upgraded; `None` is any.
    pub path: Option<String>,
    /// Subprotocols to choose from, best first; none: the first that is offered and needs nothing of us.
    pub protocols: Vec<String>,
    /// What browsers get that ask for no upgrade.
    pub page: Option<Page>,
}

/// A refusal: the HTTP status, and why. The caller gets the status and constant text; what is told of the request is for the
/// log alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status, 4xx or 5xx.
    pub status: u16,
    /// Why, in one line for the log.
    pub why: String,
    /// What the caller reads.
    body: &'static str,
    /// The methods that are served here.
    allow: &'static str,
}

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

    fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(format!("{}\n", self.body)));
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

type Answer = oneshot::Sender<Response<Full<Bytes>>>;
type Driver = Pin<Box<dyn Future<Output = hyper::Result<(Box<dyn ByteStream>, Bytes)>> + Send>>;

/// What is left of a request that was answered with 101.
pub struct Accepted {
    /// The stream behind it.
    pub io: Box<dyn ByteStream>,
    /// Bytes that were read behind the request.
    pub early: Bytes,
    /// How long the handshake took, where it agreed to the half-close extension.
    pub half_close: Option<Duration>,
}

/// A request that was read, and what is to become of it.
pub enum Received {
    /// It is to be upgraded.
    Upgrade(Upgrade),
    /// It asked for the page.
    Page(Page, Pending),
    /// It is refused.
    Refused(Refusal, Pending),
}

/// A request that waits for its answer.
pub struct Pending {
    /// The URI that it asks for.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    answer: Answer,
    driver: Driver,
}

/// A request to upgrade that was judged right and waits for its answer.
pub struct Upgrade {
    /// The request.
    pub request: Pending,
    /// What it is answered with, where it is accepted.
    consent: Consent,
    /// When its head began to be read.
    begun: Instant,
}

impl Received {
    /// Reads a request of a caller within `deadline` and judges it. It is not answered yet.
    ///
    /// # Errors
    /// Where the caller went away or sent no HTTP.
    pub async fn read(
        io: Box<dyn ByteStream>,
        service: &Service,
        caller: &Caller,
        deadline: Duration,
    ) -> Result<Received> {
        let begun = Instant::now();
        let (request, answer, driver) = read(io, deadline).await?;
        let verdict = judge(&request, service, caller);
        let request = Pending {
            uri: request.uri,
            headers: request.headers,
            answer,
            driver,
        };
        Ok(match verdict {
            Ok(Verdict::Upgrade(consent)) => Received::Upgrade(Upgrade {
                request,
                consent,
                begun,
            }),
            Ok(Verdict::Page(page)) => Received::Page(page, request),
            Err(refusal) => Received::Refused(refusal, request),
        })
    }
}

/// Reads the head of a request; returns also what answers it and what drives its connection.
async fn read(io: Box<dyn ByteStream>, deadline: Duration) -> Result<(Parts, Answer, Driver)> {
    let (asked, request) = oneshot::channel();
    // One request is read: what answers it ends HTTP on this connection.
    let asked = Cell::new(Some(asked));
    let handler = service_fn(move |request: Request<Incoming>| {
        let (answer, answered) = oneshot::channel::<Response<Full<Bytes>>>();
        if let Some(asked) = asked.take() {
            // Where nobody listens any more the connection is being dropped.
            let _ = asked.send((request.into_parts().0, answer));
        }
        Box::pin(async move {
            let gone = || Refusal::new(503, "the bridge is stopping").response();
            Ok::<_, Infallible>(answered.await.unwrap_or_else(|_| gone()))
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(deadline)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(io), handler);
    let mut driver: Driver = Box::pin(async move {
        let result = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
        let parts = connection.into_parts();
        let mut io = parts.io.into_inner();
        match result {
            Ok(()) => Ok((io, parts.read_buf)),
            Err(error) => {
                if error.is_timeout() {
                    let _ = timeout(FINISH, io.write_all(LATE)).await;
                }
                finish(io).await;
                Err(error)
            }
        }
    });
    // A request that is there whole is received at the first poll.
    let received = tokio::select! {
        biased;
        ended = &mut driver => {
            ended.context("reading the request")?;
            bail!("the caller went away before it asked for anything");
        }
        received = request => received,
    };
    let (request, answer) = received.context("the connection ended")?;
    Ok((request, answer, driver))
}

impl Pending {
    /// Refuses it, and ends the connection.
    pub async fn refuse(self, refusal: &Refusal) {
        self.finally(refusal.response()).await;
    }

    /// Answers with a page, and ends the connection.
    ///
    /// # Errors
    /// Where the page can not be read; the caller is told then.
    pub async fn show(self, page: Page) -> Result<()> {
        match page.response().await {
            Ok(response) => {
                self.finally(response).await;
                Ok(())
            }
            Err(why) => {
                let refusal = Refusal::new(500, "the page can not be read");
                self.finally(refusal.response()).await;
                Err(why.context(refusal))
            }
        }
    }

    async fn finally(self, response: Response<Full<Bytes>>) {
        let _ = self.answer.send(response);
        // A caller that does not take its answer goes without it.
        if let Ok(Ok((io, _))) = timeout(10 * FINISH, self.driver).await {
            finish(io).await;
        }
    }
}

impl Upgrade {
    /// The subprotocol that it is answered with.
    pub fn protocol(&self) -> Option<&str> {
        self.consent.protocol.as_deref()
    }

    /// The subprotocols that it offers, those alone that the service has where it has any; best first.
    pub fn protocols(&self) -> &[String] {
        &self.consent.protocols
    }

    /// Whether it offers the half-close extension.
    pub fn offers_half_close(&self) -> bool {
        self.consent.offers_half_close
    }

    /// Accepts the half-close extension, where it is offered.
    pub fn agree_to_half_close(&mut self) {
        self.consent.half_close = self.consent.offers_half_close;
    }

    /// Tells the caller that it leads to a stream of bytes.
    pub fn tell_byte_target(&mut self) {
        self.consent.is_byte_target = true;
    }

    /// Has it answered with the subprotocol that a server behind agreed to; with none where that is not one of those that it may
    /// be answered with. Where a server behind agreed to none (`""`) it is answered as the service was told to, else with none.
    pub fn agree_to(&mut self, protocol: &str) {
        let consent = &mut self.consent;
        if protocol.is_empty() && consent.is_choice {
            return;
        }
        let is_offered = consent.protocols.iter().any(|offered| offered == protocol);
        consent.protocol = is_offered.then(|| protocol.to_owned());
    }

    /// Answers 101 and gives back the stream.
    ///
    /// # Errors
    /// Where the caller has gone meanwhile.
    pub async fn accept(self) -> Result<Accepted> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(
            header::SEC_WEBSOCKET_ACCEPT,
            HeaderValue::from_str(&self.consent.proof)?,
        );
        if let Some(protocol) = &self.consent.protocol {
            headers.insert(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_str(protocol)?,
            );
        }
        if self.consent.half_close {
            let accepted = HeaderValue::from_static(extension::HALF_CLOSE_ACCEPTED);
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, accepted);
        }
        if self.consent.is_byte_target {
            headers.insert(TARGET, HeaderValue::from_static(TARGET_BYTES));
        }
        let request = self.request;
        let sent = request.answer.send(response);
        sent.map_err(|_| anyhow!("the caller went away"))?;
        let (io, early) = request.driver.await.context("answering the upgrade")?;
        Ok(Accepted {
            io,
            early,
            half_close: self.consent.half_close.then(|| self.begun.elapsed()),
        })
    }

    /// Waits until the caller has gone. Cancel-safe.
    pub async fn gone(&mut self) {
        // Before it is answered the driver ends only with the connection.
        let _ = (&mut self.request.driver).await;
    }
}

/// Ends our direction and reads on for a moment.
async fn finish(mut io: Box<dyn ByteStream>) {
    let _ = timeout(FINISH, async {
        poll_fn(|cx| io.poll_end(cx, &Ending::Eof)).await?;
        let mut rest = [0; 4096];
        while io.read(&mut rest).await? > 0 {}
        Ok::<_, std::io::Error>(())
    })
    .await;
}

/// What a request that was judged right is to be answered with.
struct Consent {
    /// Proof that its key was read.
    proof: String,
    /// The subprotocol.
    protocol: Option<String>,
    /// Those that it could be.
    protocols: Vec<String>,
    /// Whether the service was told which ones to choose among.
    is_choice: bool,
    offers_half_close: bool,
    /// Whether the half-close extension is accepted.
    half_close: bool,
    /// Whether the caller is told that it leads to a stream of bytes.
    is_byte_target: bool,
}

/// What a request that was judged right asks for.
enum Verdict {
    Upgrade(Consent),
    Page(Page),
}

/// Judges a request. The first that fails wins (RFC 6455 4.2).
fn judge(request: &Parts, service: &Service, caller: &Caller) -> Result<Verdict, Refusal> {
    service.policy.judge(request, caller)?;
    let path = request.uri.path();
    if !path.starts_with('/') {
        return Err(Refusal::new(400, "a WebSocket is asked for by a path"));
    }
    if let Some(wanted) = &service.path
        && wanted != path
        && Path::decoded(wanted) != Path::decoded(path)
    {
        let public = Address::public(path);
        let shown = Shown::short(&public);
        let why = format!("nothing is served at {shown}, only at {wanted}");
        return Err(Refusal::told(404, why));
    }
    let headers = &request.headers;
    let is_upgrade = has_token(headers, &header::UPGRADE, "websocket");
    let page = service.page.as_ref().filter(|_| !is_upgrade);
    match (&request.method, page) {
        (&Method::GET | &Method::HEAD, Some(page)) if reads_html(headers) => {
            return Ok(Verdict::Page(page.clone()));
        }
        (&Method::GET, _) | (&Method::HEAD, Some(_)) => {}
        _ => {
            return Err(Refusal {
                allow: page.map_or("GET", |_| "GET, HEAD"),
                ..Refusal::new(405, "a WebSocket is opened with GET")
            });
        }
    }
    if !is_upgrade {
        return Err(Refusal::new(
            426,
            "this is a WebSocket and no page: wsbridge ws://HOST:PORT or a page's new WebSocket(URL) opens it",
        ));
    }
    if request.version != Version::HTTP_11 {
        return Err(Refusal::new(400, "a WebSocket is opened with HTTP/1.1"));
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err(Refusal::new(
            400,
            "the Connection header does not ask for the upgrade",
        ));
    }
    let mut versions = tokens(headers, &header::SEC_WEBSOCKET_VERSION);
    if versions.next() != Some(VERSION) || versions.next().is_some() {
        return Err(Refusal::new(
            426,
            "only version 13 of the WebSocket protocol is spoken here",
        ));
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().map_or(&b""[..], HeaderValue::as_bytes);
    if !is_key(key) || keys.next().is_some() {
        return Err(Refusal::new(
            400,
            "Sec-WebSocket-Key must be 16 bytes in base64",
        ));
    }
    if headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|len| len != "0")
    {
        return Err(Refusal::new(400, "an upgrade has no body"));
    }
    let protocols = acceptable(request, &service.protocols);
    Ok(Verdict::Upgrade(Consent {
        proof: derive_accept_key(key),
        protocol: protocols
            .iter()
            .find(|name| !service.protocols.is_empty() || is_spoken(name))
            .cloned(),
        protocols,
        is_choice: !service.protocols.is_empty(),
        offers_half_close: tokens(headers, &header::SEC_WEBSOCKET_EXTENSIONS)
            .any(extension::offers_half_close),
        half_close: false,
        is_byte_target: false,
    }))
}

/// Whether it names HTML among what it takes, as browsers do.
fn reads_html(headers: &HeaderMap) -> bool {
    let mut kinds = tokens(headers, &header::ACCEPT).map(|kind| kind.split(';').next());
    kinds.any(|kind| kind.is_some_and(|kind| kind.trim_end().eq_ignore_ascii_case("text/html")))
}

/// Whether it is the base64 of 16 bytes (RFC 6455 4.1).
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_digit)
}

/// The subprotocols that are offered, or those of ours among them, best first. What is no token is none (RFC 6455 4.1).
fn acceptable(request: &Parts, ours: &[String]) -> Vec<String> {
    let mut offered = offered_protocols(&request.headers);
    offered.retain(|name| is_token(name));
    if ours.is_empty() {
        return offered;
    }
    let is_offered = |our: &&String| offered.contains(our);
    ours.iter().filter(is_offered).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::wire::Wire;

    const GOOD: &[(&str, &str)] = &[
        ("host", "localhost"),
        ("upgrade", "websocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[track_caller]
    fn check(changes: &[(&str, &str)], expected: Result<Option<&str>, u16>) {
        let mut request = Request::get("/chat?x=1");
        let changed = |name: &str| changes.iter().any(|(other, _)| *other == name);
        for (name, value) in GOOD
            .iter()
            .filter(|(name, _)| !changed(name))
            .chain(changes)
        {
            if !value.is_empty() {
                request = request.header(*name, *value);
            }
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let service = Service {
            policy: Policy {
                is_loopback: true,
                ..Policy::default()
            },
            path: None,
            protocols: if changed("x-ours") {
                vec!["b".into(), "a".into()]
            } else {
                vec![]
            },
            page: None,
        };
        let judged = judge(&parts, &service, &Caller::default()).map(|verdict| match verdict {
            Verdict::Upgrade(consent) => consent,
            Verdict::Page(page) => panic!("{page:?}"),
        });
        assert_eq!(
            judged
                .as_ref()
                .map(|consent| consent.protocol.as_deref())
                .map_err(|refusal| refusal.status),
            expected
                .as_ref()
                .map(|protocol| *protocol)
                .map_err(|status| *status),
            "{changes:?}"
        );
    }

    #[test]
    fn requests_are_judged_header_by_header() {
        check(&[], Ok(None));
        check(&[("upgrade", "h2c, WebSocket")], Ok(None));
        check(&[("upgrade", "")], Err(426));
        check(&[("upgrade", "websockets")], Err(426));
        check(&[("connection", "close")], Err(400));
        check(&[("connection", "notupgrade")], Err(400));
        check(&[("sec-websocket-version", "8")], Err(426));
        check(&[("sec-websocket-version", "")], Err(426));
        check(&[("sec-websocket-key", "short")], Err(400));
        check(
            &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZTEyMw==")],
            Err(400),
        );
        check(&[("sec-websocket-key", "")], Err(400));
        check(&[("content-length", "5")], Err(400));
        check(&[("host", "")], Err(400));
        check(&[("host", "evil.test")], Err(421));
        check(&[("origin", "http://evil.test")], Err(403));
        check(&[("sec-websocket-protocol", "a, b")], Ok(Some("a")));
        check(
            &[("sec-websocket-protocol", "a, b"), ("x-ours", "1")],
            Ok(Some("b")),
        );
        check(
            &[("sec-websocket-protocol", "c"), ("x-ours", "1")],
            Ok(None),
        );
        for names in ["a b", "\"a\"", "a;b", "a/b", "{}", "a=b", "(", "@"] {
            check(&[("sec-websocket-protocol", names)], Ok(None));
        }
        check(&[("sec-websocket-protocol", "a b, c")], Ok(Some("c")));
    }

    /// The log must not wait for a caller that does not take its answer.
    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_known_before_it_is_answered() {
        let begun = tokio::time::Instant::now();
        let (near, mut far) = tokio::io::duplex(4096);
        let request = b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n";
        far.write_all(request).await.unwrap();
        let service = Service::default();
        let deadline = Duration::from_secs(10);
        let caller = Caller::default();
        let received = Received::read(Box::new(Wire(near)), &service, &caller, deadline).await;
        let Ok(Received::Refused(refusal, request)) = received else {
            panic!("not refused");
        };
        assert_eq!((refusal.status, begun.elapsed()), (421, Duration::ZERO));
        assert_eq!(request.headers["host"], "evil.test");
        let answered = tokio::spawn(async move { request.refuse(&refusal).await });
        let mut answer = [0; 12];
        far.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 421");
        drop(far);
        answered.await.unwrap();
    }

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        assert_eq!(
            derive_accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
