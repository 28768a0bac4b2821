//! How a TCP connection is dialled: a name is looked up and its addresses race (RFC 8305).

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::address::parse_duration;
use crate::ending::{Cause, errno_text};
use crate::steps::Step;

/// Options of everything that opens a TCP connection.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct DialOptions {
    /// Give up connecting after this time
    ///
    /// It covers looking up names, trying all of their addresses, and the words with a proxy. Where the right side listens a
    /// caller waits this long for one of that side, and 15s without it.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration, help_heading = "Connecting")]
    pub connect_timeout: Duration,
}

/// The next address is tried when one has not answered for this time (RFC 8305 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Opens a connection to the first of some addresses that answers (RFC 8305), from an address of our own where one is given.
/// It has no deadline.
///
/// # Errors
/// The system's reason with all addresses that were tried, with [`Cause::Refused`].
pub async fn race(addrs: Vec<SocketAddr>, from: Option<SocketAddr>) -> Result<TcpStream> {
    let step = Step::begin("connect");
    let mut waiting = interleave(addrs);
    let mut running = Vec::new();
    let mut failures: Vec<(SocketAddr, io::Error)> = Vec::new();
    loop {
        if let Some(addr) = waiting.pop_front() {
            running.push((addr, Box::pin(attempt(addr, from))));
        }
        let next = if waiting.is_empty() {
            first(&mut running).await
        } else {
            match timeout(STAGGER, first(&mut running)).await {
                Ok(next) => next,
                Err(_) => continue,
            }
        };
        match next {
            Some((addr, Ok(stream))) => {
                step.done(|| addr.to_string());
                // What can not be set on a connection shows at its first read.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Some((addr, Err(error))) => failures.push((addr, error)),
            None if waiting.is_empty() => return Err(all_failed(&failures)),
            None => {}
        }
    }
}

async fn attempt(addr: SocketAddr, from: Option<SocketAddr>) -> io::Result<TcpStream> {
    let Some(from) = from else {
        return TcpStream::connect(addr).await;
    };
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(from)?;
    socket.connect(addr).await
}

/// Waits for the first of some attempts, in this task: tasks of their own would cost more than connecting does. Cancel-safe.
async fn first<F>(running: &mut Vec<(SocketAddr, Pin<Box<F>>)>) -> Option<(SocketAddr, F::Output)>
where
    F: Future,
{
    poll_fn(|cx| {
        for index in 0..running.len() {
            let (addr, attempt) = &mut running[index];
            if let Poll::Ready(done) = attempt.as_mut().poll(cx) {
                let addr = *addr;
                drop(running.swap_remove(index));
                return Poll::Ready(Some((addr, done)));
            }
        }
        match running.is_empty() {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    })
    .await
}

fn all_failed(failures: &[(SocketAddr, io::Error)]) -> anyhow::Error {
    let mut tried: Vec<_> = failures.iter().map(|(addr, _)| addr.ip()).collect();
    tried.sort_unstable();
    let tried: Vec<_> = tried.iter().map(IpAddr::to_string).collect();
    let reason = failures
        .first()
        .map_or_else(|| "no address".to_owned(), |(_, error)| errno_text(error));
    anyhow::Error::new(Cause::Refused).context(format!("{reason} ({})", tried.join(", ")))
}

/// Looks up the addresses of a name or reads an IP literal.
///
/// # Errors
/// The resolver's reason, with [`Cause::NotResolved`].
pub async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let step = Step::begin("resolve");
    let found = tokio::net::lookup_host((host, port)).await;
    let addrs: Vec<_> = found
        .map_err(|error| {
            let text = error.to_string();
            let reason = text.rsplit(": ").next().unwrap_or_default().to_lowercase();
            anyhow::Error::new(Cause::NotResolved).context(format!("looking up '{host}': {reason}"))
        })?
        .collect();
    if addrs.is_empty() {
        return Err(anyhow::Error::new(Cause::NotResolved)
            .context(format!("looking up '{host}': no address")));
    }
    step.done(|| {
        let mut ips: Vec<_> = addrs.iter().map(|addr| addr.ip().to_string()).collect();
        ips.dedup();
        format!("{host} is {}", ips.join(", "))
    });
    Ok(addrs)
}

/// Alternates the families, beginning with that of the first address (RFC 8305 4).
fn interleave(addrs: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addrs.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addrs
        .into_iter()
        .partition(|addr| addr.is_ipv6() == first_is_v6);
    let mut mixed = VecDeque::new();
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let pair = (first.next(), second.next());
        mixed.extend(pair.0);
        mixed.extend(pair.1);
        if pair == (None, None) {
            return mixed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn the_families_alternate() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mixed = interleave(vec![
            addr("[::1]:1"),
            addr("[::2]:1"),
            addr("1.1.1.1:1"),
            addr("[::3]:1"),
        ]);
        assert_eq!(
            mixed,
            [
                addr("[::1]:1"),
                addr("1.1.1.1:1"),
                addr("[::2]:1"),
                addr("[::3]:1")
            ]
        );
    }

    #[tokio::test]
    async fn a_refusal_names_the_addresses_and_the_reason() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let addrs = resolve("127.0.0.1", port).await.unwrap();
        let error = race(addrs, None).await.unwrap_err();
        assert_eq!(error.to_string(), "connection refused (127.0.0.1)");
        assert_eq!(Cause::of(&error), Some(Cause::Refused));
    }
}
