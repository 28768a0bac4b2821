//! The CONNECT request (RFC 9110 9.3.6): a way through an HTTP proxy.

use anyhow::{Context as _, Result};
use http::{HeaderValue, Method, StatusCode, Uri, header};

use super::exchange::{Asked, Exchange};
use super::request::Request;
use super::{USER_AGENT, basic};
use crate::ending::Cause;
use crate::peer::{self, ByteStream};

/// Asks a proxy, over a connection to it, for one to `authority`, with a user and a password where they are given. Nothing that
/// comes behind the answer is lost. It has no deadline.
///
/// # Errors
/// The status of its answer and the first lines of the body, with [`Cause::Proxy`] or [`Cause::ProxyAway`].
pub async fn tunnel(
    io: Box<dyn ByteStream>,
    authority: &str,
    user: Option<(&str, &str)>,
) -> Result<Box<dyn ByteStream>> {
    let asked = Asked {
        name: "it",
        over_tls: "--proxy https://",
        is_malformed: Cause::Proxy,
        is_gone: Cause::ProxyAway,
        is_taken: |status| status.is_success(),
        refuses: cause_of,
    };
    let exchange = Exchange::ask(io, &request(authority, user)?, &asked).await?;
    let status = exchange.status();
    if !status.is_success() {
        let cause = cause_of(status);
        let mut what = exchange.refusal().await;
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            what += "\n  it asks who we are: --proxy http://NAME:PASSWORD@HOST:PORT tells it";
        }
        return Err(anyhow::Error::new(cause).context(what));
    }
    let (io, early) = exchange
        .into_stream()
        .await
        .map_err(|error| anyhow::Error::new(Cause::Proxy).context(error.to_string()))?;
    Ok(peer::behind(early, io))
}

/// The cause of a no, by its status.
fn cause_of(status: StatusCode) -> Cause {
    match Cause::HttpStatus(status.as_u16()).may_pass() {
        true => Cause::ProxyAway,
        false => Cause::Proxy,
    }
}

fn request(authority: &str, user: Option<(&str, &str)>) -> Result<Request> {
    let uri: Uri = authority
        .parse()
        .context(Cause::Proxy)
        .with_context(|| format!("'{}' can not be asked for", authority.escape_debug()))?;
    let mut headers = vec![
        (header::HOST.into(), HeaderValue::from_str(authority)?),
        (header::USER_AGENT.into(), USER_AGENT),
    ];
    if let Some((name, password)) = user {
        let value = basic(name, password)
            .map_err(|error| anyhow::Error::new(Cause::Proxy).context(error.to_string()))?;
        headers.push((header::PROXY_AUTHORIZATION.into(), value));
    }
    Ok(Request {
        method: Method::CONNECT,
        uri,
        headers,
    })
}
