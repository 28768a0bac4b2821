//! The server's side of the opening handshake: a request is read and judged, then waits for its answer.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::head::{Opening, Unread};
use super::page::Page;
use super::path::Path;
use super::policy::Policy;
use super::refusal::Refusal;
use super::reply::{Reply, finish};
use super::subprotocol::is_spoken;
use super::{TARGET, TARGET_BYTES, VERSION, has_token, is_token, offered_protocols, tokens};
use crate::address::Address;
use crate::caller::Caller;
use crate::extension;
use crate::peer::{self, ByteStream};
use crate::shown::Shown;

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
    reply: Reply,
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
    /// A good upgrade is answered by bytes of ours. Any other request is read again from its first byte by hyper, which
    /// answers it, so that no request is read in one way and answered in another.
    ///
    /// # Errors
    /// Where the caller went away or sent no HTTP.
    pub async fn read(
        mut io: Box<dyn ByteStream>,
        service: &Service,
        caller: &Caller,
        deadline: Duration,
    ) -> Result<Received> {
        let begun = Instant::now();
        let mut opening = Opening::default();
        let read = timeout(deadline, opening.request(&mut io)).await;
        let (head, whole) = match read.unwrap_or(Err(Unread::Wrong(StatusCode::REQUEST_TIMEOUT))) {
            Ok((head, _)) if !has_clear_length(&head) => {
                return Err(unread(io, Unread::Wrong(StatusCode::BAD_REQUEST)).await);
            }
            Ok(found) => found,
            Err(why) => return Err(unread(io, why).await),
        };
        if is_plain(&head)
            && let Ok(Verdict::Upgrade(consent)) = judge(&head, service, caller)
        {
            let reply = Reply::own(io, whole.behind().into());
            return Ok(Received::new(
                head,
                reply,
                Ok(Verdict::Upgrade(consent)),
                begun,
            ));
        }
        let io = peer::behind(whole.into_bytes(), io);
        // In a box of its own: it is large, and most callers do without.
        let (head, reply) = Box::pin(Reply::by_hyper(io, deadline)).await?;
        let verdict = judge(&head, service, caller);
        Ok(Received::new(head, reply, verdict, begun))
    }

    fn new(
        head: Parts,
        reply: Reply,
        verdict: Result<Verdict, Refusal>,
        begun: Instant,
    ) -> Received {
        let request = Pending {
            uri: head.uri,
            headers: head.headers,
            reply,
        };
        match verdict {
            Ok(Verdict::Upgrade(consent)) => Received::Upgrade(Upgrade {
                request,
                consent,
                begun,
            }),
            Ok(Verdict::Page(page)) => Received::Page(page, request),
            Err(refusal) => Received::Refused(refusal, request),
        }
    }
}

/// Answers what could not be read as a request, and ends the connection; returns the error for it.
async fn unread(io: Box<dyn ByteStream>, why: Unread) -> anyhow::Error {
    match why {
        Unread::Wrong(status) => {
            let refusal = Refusal::unread(status);
            let reply = Reply::own(io, Opening::default());
            reply.finally(refusal.response()).await;
            refusal.into()
        }
        Unread::Ended => {
            finish(io).await;
            anyhow!("the caller went away before it asked for anything")
        }
        Unread::Broken(error) => {
            finish(io).await;
            anyhow::Error::new(error).context("reading the request")
        }
    }
}

/// Whether a request says in one way how long its body is (RFC 9112 6.3). hyper refuses others too, but without a text.
fn has_clear_length(request: &Parts) -> bool {
    let headers = &request.headers;
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let last = tokens(headers, &header::TRANSFER_ENCODING).last();
        return request.version == Version::HTTP_11
            && last.is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return true;
    };
    let is_number = !first.is_empty() && first.as_bytes().iter().all(u8::is_ascii_digit);
    is_number && lengths.all(|other| other == first)
}

/// Whether a request asks for an upgrade and nothing in it speaks of a body, so that its head is all of it.
fn is_plain(request: &Parts) -> bool {
    let of_body = [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::EXPECT,
    ];
    request.method == Method::GET
        && request.version == Version::HTTP_11
        && request.headers.contains_key(header::UPGRADE)
        && !of_body
            .iter()
            .any(|name| request.headers.contains_key(name))
}

impl Pending {
    /// Refuses it, and ends the connection.
    pub async fn refuse(self, refusal: &Refusal) {
        self.reply.finally(refusal.response()).await;
    }

    /// Answers with a page, and ends the connection.
    ///
    /// # Errors
    /// Where the page can not be read; the caller is told then.
    pub async fn show(self, page: Page) -> Result<()> {
        match page.response().await {
            Ok(response) => {
                self.reply.finally(response).await;
                Ok(())
            }
            Err(why) => {
                let refusal = Refusal::new(500, "the page can not be read");
                self.reply.finally(refusal.response()).await;
                Err(why.context(refusal))
            }
        }
    }
}

impl Upgrade {
    /// The subprotocol that it is answered with.
    pub fn protocol(&self) -> Option<&str> {
        self.consent.protocol.as_deref()
    }

    /// Whether the service was told which subprotocols to choose among.
    pub fn is_choice(&self) -> bool {
        self.consent.is_choice
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
        let (io, early) = self.request.reply.switch(self.consent.headers()).await?;
        Ok(Accepted {
            io,
            early,
            half_close: self.consent.half_close.then(|| self.begun.elapsed()),
        })
    }

    /// Waits until the caller has gone. Cancel-safe.
    pub async fn gone(&mut self) {
        self.request.reply.gone().await;
    }
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

impl Consent {
    /// The headers of the answer.
    fn headers(&self) -> Vec<(HeaderName, &str)> {
        let mut headers = vec![
            (header::UPGRADE, "websocket"),
            (header::CONNECTION, "Upgrade"),
            (header::SEC_WEBSOCKET_ACCEPT, self.proof.as_str()),
        ];
        if let Some(protocol) = &self.protocol {
            headers.push((header::SEC_WEBSOCKET_PROTOCOL, protocol));
        }
        if self.half_close {
            let accepted = extension::HALF_CLOSE_ACCEPTED;
            headers.push((header::SEC_WEBSOCKET_EXTENSIONS, accepted));
        }
        if self.is_byte_target {
            headers.push((TARGET, TARGET_BYTES));
        }
        headers
    }
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
        let public = Address::public_text(path);
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
    use http::Request;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
