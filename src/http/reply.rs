//! How a request is answered: by bytes of ours, or by hyper, which has read the request too.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::io::{self, Write as _};
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::head::Opening;
use super::name::Name;
use super::{MAX_HEAD, MAX_HEADERS};
use crate::ending::Ending;
use crate::peer::ByteStream;

/// How long a refused caller is read after the answer, so that a reset does not destroy it.
const FINISH: Duration = Duration::from_secs(1);

type Answer = oneshot::Sender<Response<Full<Bytes>>>;
type Driver = Pin<Box<dyn Future<Output = hyper::Result<(Box<dyn ByteStream>, Bytes)>> + Send>>;

/// What answers a request.
pub(super) enum Reply {
    /// Bytes of ours.
    Own(Own),
    /// hyper.
    Hyper(Hyper),
}

/// A stream that an answer is written to.
pub(super) struct Own {
    io: Box<dyn ByteStream>,
    /// What has come behind the request.
    early: Opening,
    /// Whether the caller has ended its direction behind that.
    has_ended: bool,
}

/// A connection of hyper's whose service waits for the answer.
pub(super) struct Hyper {
    answer: Answer,
    driver: Driver,
}

impl Reply {
    /// Answers a request that was read by us; `early` is what came behind it.
    pub(super) fn own(io: Box<dyn ByteStream>, early: Opening) -> Reply {
        Reply::Own(Own {
            io,
            early,
            has_ended: false,
        })
    }

    /// Has hyper read a request, which has come whole, and answer it.
    ///
    /// # Errors
    /// The request is malformed or the stream is broken.
    pub(super) async fn by_hyper(
        io: Box<dyn ByteStream>,
        deadline: Duration,
    ) -> Result<(Parts, Reply)> {
        let (request, hyper) = Hyper::read(io, deadline).await?;
        Ok((request, Reply::Hyper(hyper)))
    }

    /// Gives the last answer of the connection, and ends it.
    pub(super) async fn finally(self, response: Response<Bytes>) {
        let io = match self {
            Reply::Own(Own { mut io, .. }) => {
                let bytes = encoded(&response);
                let written = timeout(10 * FINISH, write(&mut io, &bytes)).await;
                written.ok().and_then(Result::ok).map(|()| io)
            }
            Reply::Hyper(Hyper { answer, driver }) => {
                let _ = answer.send(response.map(Full::new));
                let driven = timeout(10 * FINISH, driver).await;
                driven.ok().and_then(Result::ok).map(|(io, _)| io)
            }
        };
        // A caller that does not take its answer goes without it.
        if let Some(io) = io {
            finish(io).await;
        }
    }

    /// Answers 101 with these headers, and gives back the stream and what has come of it.
    ///
    /// # Errors
    /// The caller has gone.
    pub(super) async fn switch(
        self,
        headers: Vec<(HeaderName, &str)>,
    ) -> Result<(Box<dyn ByteStream>, Bytes)> {
        match self {
            Reply::Own(Own { mut io, early, .. }) => {
                let mut bytes = Vec::with_capacity(256);
                bytes.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
                for (name, value) in headers {
                    Name::from(name).write(&mut bytes);
                    // A write to memory does not fail.
                    let _ = write!(bytes, ": {value}\r\n");
                }
                bytes.extend_from_slice(b"\r\n");
                let written = write(&mut io, &bytes).await;
                written.context("answering the upgrade")?;
                Ok((io, early.into_bytes()))
            }
            Reply::Hyper(Hyper { answer, driver }) => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                for (name, value) in headers {
                    let value = HeaderValue::from_str(value)?;
                    response.headers_mut().insert(name, value);
                }
                let sent = answer.send(response);
                sent.map_err(|_| anyhow!("the caller went away"))?;
                driver.await.context("answering the upgrade")
            }
        }
    }

    /// Waits until the caller has gone. Cancel-safe.
    pub(super) async fn gone(&mut self) {
        match self {
            Reply::Own(own) => own.gone().await,
            // Before it is answered the driver ends only with the connection.
            Reply::Hyper(hyper) => drop((&mut hyper.driver).await),
        }
    }
}

impl Own {
    /// Waits until the caller has gone: it is read on for that. One that has sent something behind its request and then ended
    /// its direction has not gone: what it sent is still to be delivered.
    async fn gone(&mut self) {
        while !self.has_ended && !self.early.is_full() {
            match self.early.read(&mut self.io).await {
                Ok(0) if self.early.is_empty() => return,
                Ok(0) => self.has_ended = true,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        pending::<()>().await;
    }
}

impl Hyper {
    /// Reads one request; what answers it ends HTTP on this connection.
    async fn read(io: Box<dyn ByteStream>, deadline: Duration) -> Result<(Parts, Hyper)> {
        let (asked, request) = oneshot::channel();
        let asked = Cell::new(Some(asked));
        let handler = service_fn(move |request: Request<Incoming>| {
            let (answer, answered) = oneshot::channel::<Response<Full<Bytes>>>();
            if let Some(asked) = asked.take() {
                // Where nobody listens any more the connection is being dropped.
                let _ = asked.send((request.into_parts().0, answer));
            }
            // It is dropped without an answer only together with the connection.
            answered
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
            let io = parts.io.into_inner();
            match result {
                Ok(()) => Ok((io, parts.read_buf)),
                Err(error) => {
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
        Ok((request, Hyper { answer, driver }))
    }
}

async fn write(io: &mut Box<dyn ByteStream>, bytes: &[u8]) -> io::Result<()> {
    io.write_all(bytes).await?;
    io.flush().await
}

/// The bytes of an answer, which says when it was given (RFC 9110 6.6.1).
fn encoded(response: &Response<Bytes>) -> Vec<u8> {
    let body = response.body();
    let mut bytes = Vec::with_capacity(512);
    // A write to memory does not fail.
    let _ = write!(bytes, "HTTP/1.1 {}\r\n", response.status());
    for (name, value) in response.headers() {
        let _ = write!(bytes, "{name}: ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let date = httpdate::fmt_http_date(SystemTime::now());
    let _ = write!(
        bytes,
        "content-length: {}\r\ndate: {date}\r\n\r\n",
        body.len()
    );
    bytes.extend_from_slice(body);
    bytes
}

/// Ends our direction and reads on for a moment.
pub(super) async fn finish(mut io: Box<dyn ByteStream>) {
    let _ = timeout(FINISH, async {
        poll_fn(|cx| io.poll_end(cx, &Ending::Eof)).await?;
        let mut rest = [0; 4096];
        while io.read(&mut rest).await? > 0 {}
        Ok::<_, io::Error>(())
    })
    .await;
}
