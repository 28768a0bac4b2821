//! The way to a server: other addresses for its name, another server in its place, an address of our own, proxies.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::proxy::{Proxies, Proxy, Traffic};
use super::tcp::{self, Connection, DialOptions};
use super::{Scheme, Settings, read_options, unix};
use crate::address::Address;
use crate::ending::Cause;
use crate::host;
use crate::peer::ByteStream;
use crate::secret::Secret;
use crate::tls::client::Client;

/// Options of everything that connects to a host and port.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Connecting")]
pub struct Options {
    /// Use this address instead of looking HOST up (repeatable)
    ///
    /// HOST may be *, for any. Several addresses stand with commas between them. Example: --resolve example.com:443:127.0.0.1
    #[arg(long, value_name = "HOST:PORT:ADDR", value_parser = parse_resolve)]
    pub resolve: Vec<Resolve>,
    /// Connect to HOST2:PORT2 where HOST1:PORT1 is wanted (repeatable)
    ///
    /// An empty HOST1 or PORT1 is any, an empty HOST2 or PORT2 leaves what was wanted. The request still names HOST1.
    #[arg(long, value_name = "HOST1:PORT1:HOST2:PORT2", value_parser = parse_connect_to)]
    pub connect_to: Vec<ConnectTo>,
    /// Connect from this address of our own
    #[arg(long, value_name = "ADDR", value_parser = parse_ip)]
    pub bind: Option<SocketAddr>,
    /// Connect to this Unix socket instead, without a proxy; @NAME is abstract
    ///
    /// The request still names the host of the URL.
    #[arg(long, value_name = "PATH")]
    pub unix_socket: Option<PathBuf>,
    /// Use IPv4 only
    #[arg(long, short = '4', conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// Use IPv6 only
    #[arg(long, short = '6')]
    pub ipv6: bool,
    /// Connect through this proxy: http, https, socks5 or socks5h
    ///
    /// With socks5h and http the proxy looks the name up. Without this option ws:// goes through what http_proxy, wss:// through
    /// what https_proxy and else what all_proxy names. Example: --proxy socks5h://user:password@localhost:1080
    #[arg(long, value_name = "URL")]
    pub proxy: Option<Secret>,
    /// Trust these and what they issued instead of whom the system trusts, of a proxy
    #[arg(long, value_name = "FILE|DIR")]
    pub proxy_cacert: Option<PathBuf>,
    /// Use no proxy, or none for these hosts
    ///
    /// HOSTS is a list of names, which stand for all below them too, addresses, networks such as 10.0.0.0/8, or *; each may have
    /// a port. Without it that list is what no_proxy says.
    #[arg(long, value_name = "HOSTS", num_args = 0..=1, require_equals = true, default_missing_value = "*")]
    pub no_proxy: Option<String>,
}

/// Addresses to use for a host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    host: String,
    port: u16,
    addrs: Vec<SocketAddr>,
}

/// Another host and port to use for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectTo {
    from: (Option<String>, Option<u16>),
    to: (Option<String>, Option<u16>),
}

fn parse_resolve(text: &str) -> Result<Resolve, String> {
    let form = || "is not written HOST:PORT:ADDR, an IPv6 address as HOST in brackets".to_owned();
    let (host, rest) = split_host(text).ok_or_else(form)?;
    let (port, addrs) = rest.split_once(':').ok_or_else(form)?;
    let addr = |text: &str| {
        let what = || format!("has '{}', which is no IP address", text.escape_debug());
        host::address(text).ok_or_else(what)
    };
    if host.is_empty() {
        return Err(form());
    }
    Ok(Resolve {
        host: parse_host(host)?,
        port: parse_port(port)?,
        addrs: addrs.split(',').map(addr).collect::<Result<_, _>>()?,
    })
}

fn parse_connect_to(text: &str) -> Result<ConnectTo, String> {
    let form = || "is not written HOST1:PORT1:HOST2:PORT2, IPv6 addresses in brackets".to_owned();
    let (from, rest) = split_host(text).ok_or_else(form)?;
    let (from_port, rest) = rest.split_once(':').ok_or_else(form)?;
    let (to, to_port) = split_host(rest).ok_or_else(form)?;
    let host = |text: &str| match text {
        "" => Ok(None),
        text => parse_host(text).map(Some),
    };
    let port = |text: &str| match text {
        "" => Ok(None),
        text => parse_port(text).map(Some),
    };
    Ok(ConnectTo {
        from: (host(from)?, port(from_port)?),
        to: (host(to)?, port(to_port)?),
    })
}

/// Cuts a host, which may be in brackets, off the rest behind its colon.
fn split_host(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(inner) => inner.split_once("]:"),
        None => text.split_once(':'),
    }
}

/// Reads a host without brackets as an address has it.
fn parse_host(text: &str) -> Result<String, String> {
    let host = host::ipv6(text).or_else(|| host::ascii(text));
    host.ok_or_else(|| format!("has '{}', which is no name of a host", text.escape_debug()))
}

fn parse_ip(text: &str) -> Result<SocketAddr, String> {
    host::address(text).ok_or_else(|| "is no IP address".to_owned())
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("has a bad port '{}'", text.escape_debug()))
}

/// How connections of an endpoint get to their place.
pub struct Route {
    deadline: Duration,
    options: Options,
    proxies: Proxies,
    /// For proxies that are spoken to over TLS.
    tls: Client,
}

impl Route {
    /// Reads the options of a way.
    ///
    /// # Errors
    /// A proxy that is none.
    pub fn read(scheme: &Scheme, address: &Address, settings: &Settings) -> Result<Route> {
        let mut options: Options = read_options(scheme, address, settings)?;
        options.ipv4 |= address.word.ends_with('4');
        options.ipv6 |= address.word.ends_with('6');
        let dial: DialOptions = read_options(scheme, address, settings)?;
        Ok(Route {
            deadline: dial.connect_timeout,
            proxies: Proxies::read(&options, &settings.variables)?,
            tls: Client::of_proxy(
                options.proxy_cacert.as_deref(),
                &["http/1.1"],
                &settings.rereads,
            )?,
            options,
        })
    }

    /// Opens a connection to a host, which is a name or an IP address without brackets, within one deadline for all: names,
    /// addresses, proxies.
    ///
    /// # Errors
    /// Where and why not, with a [`Cause`].
    pub async fn open(
        &self,
        traffic: Traffic,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn ByteStream>> {
        let proxy = match self.options.unix_socket {
            Some(_) => None,
            None => self.proxies.choose(traffic, host, port)?,
        };
        let (host, port) = self.options.instead_of(host, port);
        let reached = timeout(self.deadline, self.reach(proxy.as_ref(), host, port)).await;
        let reached = reached.unwrap_or_else(|_| {
            Err(anyhow::Error::new(Cause::Timeout)
                .context(format!("no answer within {:?}", self.deadline)))
        });
        match proxy {
            Some(proxy) => reached.with_context(|| format!("through the proxy {proxy}")),
            None => reached,
        }
    }

    async fn reach(
        &self,
        proxy: Option<&Proxy>,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn ByteStream>> {
        if let Some(place) = &self.options.unix_socket {
            let opened = unix::connect(place.as_os_str()).await;
            return opened
                .with_context(|| format!("over the Unix socket {}", Address::shown(place)));
        }
        let Some(proxy) = proxy else {
            return Ok(Box::new(Connection::new(self.connect(host, port).await?)));
        };
        let connected = self.connect(proxy.host(), proxy.port()).await;
        let stream = connected.map_err(|error| match Cause::of(&error) {
            Some(Cause::NotResolved) => {
                anyhow::Error::new(Cause::ProxyNotResolved).context(Cause::line(&error))
            }
            _ => error,
        })?;
        let mut io: Box<dyn ByteStream> = Box::new(Connection::new(stream));
        if proxy.is_secure() {
            // Its deadline is that of the whole way.
            io = self.tls.connect(io, proxy.host(), self.deadline).await?;
        }
        let addr = match proxy.resolves() {
            true => None,
            false => self.addrs(host, port).await?.first().copied(),
        };
        proxy.open(io, host, port, addr).await
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream> {
        tcp::race(self.addrs(host, port).await?, self.options.bind).await
    }

    /// The addresses of a host that may be used.
    async fn addrs(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>> {
        let mut addrs = match self.options.addrs_of(host, port) {
            Some(addrs) => addrs,
            None => tcp::resolve(host, port).await?,
        };
        let (v4, v6) = match self.options.bind {
            Some(addr) => (!addr.is_ipv6(), addr.is_ipv6()),
            None => (true, true),
        };
        let (v4, v6) = (v4 && !self.options.ipv6, v6 && !self.options.ipv4);
        addrs.retain(|addr| if addr.is_ipv6() { v6 } else { v4 });
        if addrs.is_empty() {
            let family = match (v4, v6) {
                (true, false) => "IPv4 address",
                (false, true) => "IPv6 address",
                _ => "address of the family of --bind",
            };
            return Err(anyhow::Error::new(Cause::NotResolved)
                .context(format!("looking up '{host}': it has no {family}")));
        }
        Ok(addrs)
    }
}

impl Options {
    /// The host and port to use for one, by `--connect-to`: the first row that fits.
    fn instead_of<'a>(&'a self, host: &'a str, port: u16) -> (&'a str, u16) {
        let fits = |row: &&ConnectTo| {
            let is_host = |from: &String| from.eq_ignore_ascii_case(host);
            row.from.0.as_ref().is_none_or(is_host) && row.from.1.is_none_or(|from| from == port)
        };
        match self.connect_to.iter().find(fits) {
            Some(row) => (
                row.to.0.as_deref().unwrap_or(host),
                row.to.1.unwrap_or(port),
            ),
            None => (host, port),
        }
    }

    /// The addresses that `--resolve` says for a host and port.
    fn addrs_of(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let is =
            |row: &&Resolve, name: &str| row.host.eq_ignore_ascii_case(name) && row.port == port;
        let named = self.resolve.iter().rfind(|row| is(row, host));
        let row = named.or_else(|| self.resolve.iter().rfind(|row| is(row, "*")))?;
        let addrs = row.addrs.iter();
        let at_port = |addr: &SocketAddr| {
            let mut addr = *addr;
            addr.set_port(port);
            addr
        };
        Some(addrs.map(at_port).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(resolve: &[&str], connect_to: &[&str]) -> Options {
        Options {
            resolve: resolve
                .iter()
                .map(|text| parse_resolve(text).unwrap())
                .collect(),
            connect_to: connect_to
                .iter()
                .map(|text| parse_connect_to(text).unwrap())
                .collect(),
            bind: None,
            unix_socket: None,
            ipv4: false,
            ipv6: false,
            proxy: None,
            proxy_cacert: None,
            no_proxy: None,
        }
    }

    #[test]
    fn a_name_has_the_addresses_that_it_is_given() {
        let options = options(&["Ex.test:80:[::1],127.0.0.1", "*:81:10.0.0.1"], &[]);
        let found = |host: &str, port| {
            let addrs = options.addrs_of(host, port)?;
            Some(addrs.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(found("ex.TEST", 80).unwrap(), ["[::1]:80", "127.0.0.1:80"]);
        assert_eq!(found("any", 81).unwrap(), ["10.0.0.1:81"]);
        assert_eq!(found("any", 80), None);
    }

    #[test]
    fn another_place_is_used_where_a_row_fits() {
        let options = options(&[], &["a:1:b:2", "[::1]:80:[::2]:81", ":7:c:", "d::e:9"]);
        for (wanted, used) in [
            (("a", 1), ("b", 2)),
            (("a", 2), ("a", 2)),
            (("::1", 80), ("::2", 81)),
            (("x", 7), ("c", 7)),
            (("D", 5), ("e", 9)),
        ] {
            assert_eq!(options.instead_of(wanted.0, wanted.1), used);
        }
    }

    #[test]
    fn what_has_another_form_is_refused() {
        for wrong in ["a", "a:1", "a:x:::1", "a:1:b", ":1:::1", "a:1:1.1.1.1,"] {
            assert!(parse_resolve(wrong).is_err(), "{wrong}");
        }
        for wrong in ["a:1:b", "a:x:b:1", "a:1:b:99999", ""] {
            assert!(parse_connect_to(wrong).is_err(), "{wrong}");
        }
    }
}
