//! Proxies: which one leads to a host, and how it is asked for a connection.

mod exempt;
mod socks;

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};

use self::exempt::Exempt;
use super::route::Options;
use crate::address::{Address, UserInfo, authority};
use crate::ending::Cause;
use crate::host::without_zone;
use crate::http::connect;
use crate::peer::ByteStream;
use crate::secret::Secret;
use crate::steps::Step;
use crate::variables::Variables;

/// What is to be carried, which decides about the variable that names the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// `ws://`: that of `http_proxy`.
    Web,
    /// `wss://`: that of `https_proxy`.
    SecureWeb,
    /// Everything else: none but that of the flag.
    Other,
}

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Https,
    Socks,
    SocksByName,
}

/// Names of the kinds in URLs, and the ports that they have where the URL has none.
const KINDS: &[(&str, Kind, u16)] = &[
    ("http", Kind::Http, 80),
    ("https", Kind::Https, 443),
    ("socks5", Kind::Socks, 1080),
    ("socks5h", Kind::SocksByName, 1080),
];

/// The proxies of an endpoint.
pub(super) struct Proxies {
    /// The inner one is none where the flag is empty: no variable counts then.
    flag: Option<Option<Proxy>>,
    variables: Variables,
    exempt: Exempt,
}

impl Proxies {
    /// Reads the flags; what the variables say is read when it is needed.
    ///
    /// # Errors
    /// What is wrong with the URL of the proxy.
    pub(super) fn read(options: &Options, variables: &Variables) -> Result<Proxies> {
        let exempt = match &options.no_proxy {
            Some(hosts) => hosts,
            None => variables.get("no_proxy").unwrap_or_default(),
        };
        let flag = options.proxy.as_ref().map(Secret::reveal);
        let flag = flag.map(|url| match url {
            "" => Ok(None),
            url => Proxy::parse(url).map(Some),
        });
        Ok(Proxies {
            flag: flag.transpose().context("--proxy")?,
            variables: variables.clone(),
            exempt: Exempt::parse(exempt),
        })
    }

    /// The proxy that leads to a host, if any.
    ///
    /// # Errors
    /// What is wrong with the URL in a variable.
    pub(super) fn choose(&self, traffic: Traffic, host: &str, port: u16) -> Result<Option<Proxy>> {
        if self.exempt.has(host, port) {
            return Ok(None);
        }
        if let Some(proxy) = &self.flag {
            return Ok(proxy.clone());
        }
        let own = match traffic {
            Traffic::Other => return Ok(None),
            Traffic::Web => "http_proxy",
            Traffic::SecureWeb => "https_proxy",
        };
        let named = [own, "all_proxy"]
            .into_iter()
            .find_map(|name| Some((name, self.variables.get(name)?)));
        match named {
            Some((name, url)) if !url.is_empty() => {
                let proxy = Proxy::parse(url).map_err(|error| {
                    anyhow::Error::new(Cause::ProxyNotResolved)
                        .context(format!("the variable {name}: {error:#}"))
                })?;
                Ok(Some(proxy))
            }
            _ => Ok(None),
        }
    }
}

/// A proxy. It is shown without user and password.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    user_info: Option<UserInfo>,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KINDS
            .iter()
            .find(|row| row.1 == self.kind)
            .map_or("", |row| row.0);
        write!(f, "{name}://{}", authority(&self.host, Some(self.port)))
    }
}

impl Proxy {
    /// Reads the URL of a proxy; without a scheme it is `http`.
    fn parse(url: &str) -> Result<Proxy> {
        let url = match url.contains("://") {
            true => url.to_owned(),
            false => format!("http://{url}"),
        };
        let address = Address::parse(&url, true);
        let word = address.word.to_ascii_lowercase();
        let Some((_, kind, port)) = KINDS.iter().find(|row| row.0 == word) else {
            let names: Vec<_> = KINDS.iter().map(|row| row.0).collect();
            let what = format!("unknown kind of proxy; there is: {}", names.join(", "));
            return Err(address.error(0..address.word.len(), what).into());
        };
        let (user_info, place) = address.url_place()?;
        if !matches!(place.path.as_str(), "" | "/") {
            return Err(address.place_error("a proxy has no path").into());
        }
        Ok(Proxy {
            kind: *kind,
            host: place
                .host
                .ok_or_else(|| address.place_error("a host is missing"))?,
            port: place.port.unwrap_or(*port),
            user_info,
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is spoken to over TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.kind == Kind::Https
    }

    /// Whether it looks names up; else it is to be given an address.
    pub(super) fn resolves(&self) -> bool {
        self.kind != Kind::Socks
    }

    /// Asks it, over a connection to it, for one to a host and port, or to an address of it.
    ///
    /// # Errors
    /// Its words, with [`Cause::Proxy`] or [`Cause::ProxyAway`].
    pub(super) async fn open(
        &self,
        io: Box<dyn ByteStream>,
        host: &str,
        port: u16,
        addr: Option<SocketAddr>,
    ) -> Result<Box<dyn ByteStream>> {
        let host = without_zone(host);
        let user = self.user_info.as_ref().map(|user_info| {
            let password = user_info.password.as_ref();
            (
                user_info.user.reveal(),
                password.map_or("", |password| password.reveal()),
            )
        });
        let step = Step::begin("proxy");
        let opened = match self.kind {
            Kind::Http | Kind::Https => {
                connect::tunnel(io, &authority(host, Some(port)), user).await?
            }
            Kind::Socks | Kind::SocksByName => {
                let mut io = io;
                socks::connect(&mut io, host, port, addr, user).await?;
                io
            }
        };
        step.done(|| format!("{self} leads to {}", authority(host, Some(port))));
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(url: &str, shown: &str, user: Option<(&str, &str)>) {
        let proxy = Proxy::parse(url).unwrap();
        assert_eq!(proxy.to_string(), shown);
        let user_info = proxy.user_info.as_ref();
        let found = user_info.map(|it| (it.user.reveal(), it.password.as_ref().unwrap().reveal()));
        assert_eq!(found, user);
        assert!(!format!("{proxy:?}").contains("hush"));
    }

    #[test]
    fn urls_of_proxies() {
        parsed("http://h:3128/", "http://h:3128", None);
        parsed("h:3128", "http://h:3128", None);
        parsed("h", "http://h:80", None);
        parsed("me:pass%40hush@h", "http://h:80", Some(("me", "pass@hush")));
        parsed(
            "SOCKS5://me:hush@[::1]",
            "socks5://[::1]:1080",
            Some(("me", "hush")),
        );
        parsed("socks5h://h:1", "socks5h://h:1", None);
        for wrong in [
            "socks4://hush@h",
            "ftp://h",
            "http://",
            "h:x",
            "http://h/path",
            "http://a:hush@h:x",
        ] {
            let error = Proxy::parse(wrong).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[track_caller]
    fn chosen(variables: &[(&str, &str)], url: (Traffic, &str, u16)) -> Option<String> {
        let set = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        let proxies = Proxies {
            flag: None,
            variables: Variables::of(set),
            exempt: Exempt::parse("inner.test"),
        };
        let proxy = proxies.choose(url.0, url.1, url.2).unwrap();
        proxy.map(|proxy| proxy.host)
    }

    #[test]
    fn variables_choose_by_what_is_carried() {
        let all = [
            ("HTTP_PROXY", "plain"),
            ("HTTPS_PROXY", "secure"),
            ("ALL_PROXY", "other"),
        ];
        let host = |traffic| (traffic, "h.test", 80);
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(chosen(&all, host(Traffic::Web)), some("plain"));
        assert_eq!(chosen(&all, host(Traffic::SecureWeb)), some("secure"));
        assert_eq!(chosen(&all[1..], host(Traffic::Web)), some("other"));
        assert_eq!(chosen(&all, host(Traffic::Other)), None);
        assert_eq!(chosen(&all, (Traffic::Web, "a.inner.test", 80)), None);
        let none = [
            ("http_proxy", ""),
            ("HTTP_PROXY", "plain"),
            ("ALL_PROXY", "other"),
        ];
        assert_eq!(chosen(&none, host(Traffic::Web)), None);
    }
}
