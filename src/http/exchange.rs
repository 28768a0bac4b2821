//! One request over a stream and its answer, behind which the stream is another thing or at its end.

use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::head::{AnswerHead, Opening, Unread};
use super::hidden;
use super::request::Request;
use crate::ending::{Cause, Ending, Failure, errno_text};
use crate::peer::ByteStream;
use crate::peer::kept::Kept;
use crate::shown::Shown;

/// Bytes of the body of a refusal that are shown.
const SHOWN_BODY: usize = 1024;
/// How long the body of a refusal is read.
const BODY: Duration = Duration::from_secs(1);
/// Bytes of an answer that is no HTTP that are shown.
const SHOWN_BYTES: usize = 60;
/// Lines of the body of a refusal that are shown.
const SHOWN_LINES: usize = 5;

/// Who is asked, and what it is called to fail with it.
pub(super) struct Asked {
    pub(super) name: &'static str,
    /// The answer is no HTTP.
    pub(super) is_malformed: Cause,
    /// What it may speak instead.
    pub(super) over_tls: &'static str,
    /// There is no answer.
    pub(super) is_gone: Cause,
    /// Whether an answer with this status makes the stream another thing.
    pub(super) is_taken: fn(StatusCode) -> bool,
    /// The answer is a no with this status.
    pub(super) refuses: fn(StatusCode) -> Cause,
}

impl Asked {
    /// Builds the error for a request that has no answer; `received` is the beginning of what came instead.
    fn failed(&self, error: &hyper::Error, received: &[u8]) -> anyhow::Error {
        if let Some(failure) = Failure::of(error) {
            return anyhow::Error::new(failure.cause).context(failure.what.clone());
        }
        // Who speaks before the request was sent is not read as HTTP at all.
        let speaks_first = error.is_canceled() && !received.is_empty();
        if error.is_parse() || speaks_first {
            return self.malformed(error, received);
        }
        self.silent(error.source().and_then(|it| it.downcast_ref()))
    }

    /// Builds the error for a stream that broke before there was an answer.
    fn broken(&self, error: &io::Error) -> anyhow::Error {
        match Failure::of(error) {
            Some(failure) => anyhow::Error::new(failure.cause).context(failure.what.clone()),
            None => self.silent(Some(error)),
        }
    }

    /// Builds the error for a stream that ended or broke without an answer.
    fn silent(&self, error: Option<&io::Error>) -> anyhow::Error {
        let name = self.name;
        let what = match error.filter(|it| it.kind() != io::ErrorKind::UnexpectedEof) {
            Some(error) => format!("{name} gave no answer: {}", errno_text(error)),
            None => format!("{name} closed the connection without an answer"),
        };
        anyhow::Error::new(self.is_gone).context(what)
    }

    /// Builds the error for an answer that cannot be read. A no is a no, whatever the rest of its head says.
    fn malformed(&self, error: &hyper::Error, received: &[u8]) -> anyhow::Error {
        if let Some(status) = status_of(received)
            && status != StatusCode::SWITCHING_PROTOCOLS
        {
            let what = format!("HTTP {status}, and the rest of its head is malformed: {error}");
            return anyhow::Error::new((self.refuses)(status)).context(what);
        }
        let what = self
            .no_http(received)
            .unwrap_or_else(|| format!("the answer is no HTTP: {error}"));
        anyhow::Error::new(self.is_malformed).context(what)
    }

    /// What came in place of HTTP, where something did.
    fn no_http(&self, came: &[u8]) -> Option<String> {
        let name = self.name;
        // A record of TLS: its type, and 3 for all versions that there are (RFC 8446 5.1).
        if let [0x14..=0x17, 3, ..] = came {
            return Some(format!(
                "{name} speaks TLS and no HTTP: try {}",
                self.over_tls
            ));
        }
        let line = came.split(|byte| b"\r\n".contains(byte)).next()?;
        if status_of(line).is_some() {
            return Some("the head of the answer is malformed".to_owned());
        }
        let shown = line[..line.len().min(SHOWN_BYTES)].escape_ascii();
        (!line.is_empty()).then(|| format!("the answer is no HTTP, it begins '{shown}'"))
    }
}

/// Reads the status of the final answer in the beginning of what came.
fn status_of(mut received: &[u8]) -> Option<StatusCode> {
    loop {
        let rest = received.strip_prefix(b"HTTP/1.")?;
        let code = rest.get(1..)?.strip_prefix(b" ")?.get(..3)?;
        let status = StatusCode::from_bytes(code).ok()?;
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Some(status);
        }
        let end = memchr::memmem::find(received, b"\r\n\r\n")?;
        received = &received[end + 4..];
    }
}

/// A request that was answered.
pub(super) struct Exchange {
    head: AnswerHead,
    behind: Behind,
}

/// What is behind the head of an answer.
enum Behind {
    /// The stream that was asked for, with the bytes that have come of it.
    Stream(Box<dyn ByteStream>, Bytes),
    /// A body.
    Body(Box<Body>),
}

/// A body, and the connection that it comes over.
struct Body {
    body: Incoming,
    connection: Connection<TokioIo<Kept>, Empty<Bytes>>,
    /// To drop it ends the connection.
    _sender: SendRequest<Empty<Bytes>>,
}

impl Exchange {
    /// Sends a request and waits for the head of its answer. It has no deadline.
    ///
    /// The answer that makes the stream what was asked for is read here. Any other is read by hyper, from its first byte.
    ///
    /// # Errors
    /// What came instead, with the causes of who is asked.
    pub(super) async fn ask(
        mut io: Box<dyn ByteStream>,
        request: &Request,
        asked: &Asked,
    ) -> Result<Exchange> {
        let broken = |error: &io::Error| asked.broken(error);
        io.write_all(&request.bytes())
            .await
            .map_err(|error| broken(&error))?;
        io.flush().await.map_err(|error| broken(&error))?;
        let mut opening = Opening::default();
        let read = match opening.answer(&mut io).await {
            Ok((head, whole)) if (asked.is_taken)(head.status) => {
                let early = Bytes::copy_from_slice(whole.behind());
                let behind = Behind::Stream(io, early);
                return Ok(Exchange { head, behind });
            }
            Ok((_, whole)) => whole.into_bytes(),
            Err(Unread::Broken(error)) => return Err(broken(&error)),
            Err(Unread::Wrong(_) | Unread::Ended) => opening.into_bytes(),
        };
        // In a box of its own: it is large, and most answers do without.
        Box::pin(Exchange::read(Kept::new(read, io), request, asked)).await
    }

    /// Has hyper read an answer, of which the beginning may have been read before.
    async fn read(io: Kept, request: &Request, asked: &Asked) -> Result<Exchange> {
        let handshake = http1::handshake(TokioIo::new(io));
        let (mut sender, mut connection) = handshake.await.context(asked.is_malformed)?;
        let answered = {
            let mut answered = std::pin::pin!(sender.send_request(request.line()));
            tokio::select! {
                biased;
                answered = &mut answered => answered,
                _ = poll_fn(|cx| connection.poll_without_shutdown(cx)) => answered.await,
            }
        };
        let response = match answered {
            Ok(response) => response,
            Err(error) => {
                let kept = connection.into_parts().io.into_inner();
                return Err(asked.failed(&error, kept.first()));
            }
        };
        let (parts, body) = response.into_parts();
        Ok(Exchange {
            head: AnswerHead {
                status: parts.status,
                version: parts.version,
                headers: parts.headers,
            },
            behind: Behind::Body(Box::new(Body {
                body,
                connection,
                _sender: sender,
            })),
        })
    }

    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(super) fn version(&self) -> Version {
        self.head.version
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The head of the answer, line by line.
    pub(super) fn head(&self) -> Vec<String> {
        let version = super::version_name(self.version());
        let mut lines = vec![format!("{version} {}", self.status())];
        lines.extend(
            self.headers().iter().map(|(name, value)| {
                format!("{name}: {}", Shown::line(&hidden::public(name, value)))
            }),
        );
        lines
    }

    /// The stream behind the answer, with the bytes that came glued to it.
    ///
    /// # Errors
    /// Where the connection is broken.
    pub(super) async fn into_stream(self) -> Result<(Box<dyn ByteStream>, Bytes), hyper::Error> {
        match self.behind {
            Behind::Stream(io, early) => Ok((io, early)),
            Behind::Body(mut body) => {
                poll_fn(|cx| body.connection.poll_without_shutdown(cx)).await?;
                let parts = body.connection.into_parts();
                Ok((parts.io.into_inner().into_inner(), parts.read_buf))
            }
        }
    }

    /// The status and the first lines of the body; the stream is ended.
    pub(super) async fn refusal(mut self) -> String {
        let mut what = format!("HTTP {}", self.status());
        let body = match &mut self.behind {
            Behind::Stream(..) => Vec::new(),
            Behind::Body(body) => body.read().await,
        };
        let mut body = String::from_utf8_lossy(&body).into_owned();
        let kind = self.headers().get(header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
            body = without_tags(&body);
        }
        for line in body.lines().take(SHOWN_LINES) {
            what += &format!("\n  {}", Shown::line(line.trim_end()));
        }
        self.end().await;
        what
    }

    /// Ends the stream: a no is an end like any other, not a cut.
    pub(super) async fn end(self) {
        let mut io = match self.behind {
            Behind::Stream(io, _) => io,
            Behind::Body(body) => body.connection.into_parts().io.into_inner().into_inner(),
        };
        let _ = poll_fn(|cx| io.poll_end(cx, &Ending::Eof)).await;
    }
}

impl Body {
    /// Its first bytes.
    async fn read(&mut self) -> Vec<u8> {
        let connection = &mut self.connection;
        let mut reading = std::pin::pin!(read(&mut self.body));
        tokio::select! {
            body = &mut reading => body,
            _ = poll_fn(|cx| connection.poll_without_shutdown(cx)) => reading.await,
        }
    }
}

/// The first bytes of a body.
async fn read(incoming: &mut Incoming) -> Vec<u8> {
    let mut body = Vec::new();
    let reading = async {
        while body.len() < SHOWN_BODY
            && let Some(Ok(frame)) = incoming.frame().await
        {
            body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
    };
    // The status is the answer; of a body that does not end there is what has come.
    let _ = timeout(BODY, reading).await;
    body.truncate(SHOWN_BODY);
    body
}

/// The words of a page, a line each where there are any; elements that are no words are left out with all that is in them.
fn without_tags(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((words, behind)) = rest.split_once('<') {
        text += words;
        let name = behind.split(|c: char| !c.is_ascii_alphanumeric()).next();
        let name = name.unwrap_or_default().to_ascii_lowercase();
        let end = match name.as_str() {
            "style" | "script" => behind.find("</"),
            _ => Some(0),
        };
        // A tag that was cut off is the end of what was read.
        rest = end
            .and_then(|end| behind[end..].split_once('>'))
            .map_or("", |(_, behind)| behind);
    }
    text += rest;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Uri};

    use crate::peer::wire::Wire;

    /// As servers of SSH, SMTP and FTP do: what they are does not hang on who was first.
    #[tokio::test]
    async fn a_server_that_speaks_first_is_told_by_what_it_says() {
        let asked = Asked {
            name: "the server",
            is_malformed: Cause::Handshake,
            over_tls: "wss://",
            is_gone: Cause::Refused,
            is_taken: |status| status == StatusCode::SWITCHING_PROTOCOLS,
            refuses: |status| Cause::HttpStatus(status.as_u16()),
        };
        let (near, mut far) = tokio::io::duplex(1024);
        tokio::io::AsyncWriteExt::write_all(&mut far, b"SSH-2.0-Open\r\n")
            .await
            .unwrap();
        let request = Request {
            method: Method::GET,
            uri: Uri::from_static("/"),
            headers: Vec::new(),
        };
        let answer = Exchange::ask(Box::new(Wire(near)), &request, &asked).await;
        let error = answer.err().unwrap();
        assert_eq!(
            error.to_string(),
            "the answer is no HTTP, it begins 'SSH-2.0-Open'"
        );
        assert_eq!(Cause::of(&error), Some(Cause::Handshake));
    }

    #[test]
    fn of_a_page_the_words_are_left() {
        for (html, words) in [
            (
                "<!DOCTYPE x>\n<html><head>\n<style>a { b }</style>\n <title>401 No</title></head>\n<p>Go <b>away</b>.\n</html>",
                "401 No\nGo away.",
            ),
            ("a < b", "a"),
            ("<p>cut <a href", "cut"),
            ("<script>cut", ""),
            ("", ""),
        ] {
            assert_eq!(without_tags(html), words);
        }
    }
}
