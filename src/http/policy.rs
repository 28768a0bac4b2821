//! Who may connect: the judgement over Host and Origin, before anything else is looked at.

pub mod machine;
pub mod origin;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use self::origin::{Authority, Host, HostRule, Origin, OriginRule, default_port};
use super::hidden;
use super::server::Refusal;
use super::{has_token, tokens};
use crate::caller::Caller;
use crate::shown::Shown;

/// Names below these are given out inside a network and by nobody else: no page of the web has one.
const PRIVATE: &[&str] = &[
    "localhost",
    "local",
    "internal",
    "home.arpa",
    "lan",
    "home",
    "localdomain",
];

/// Where a request comes from, as browsers say it (Fetch Metadata).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What a request is for, as browsers say it.
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// The Host that a proxy was asked for.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What a listener allows.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Whether only this machine can call.
    pub is_loopback: bool,
    /// Host names that are answered beside those that count as ours anyway.
    pub hosts: Vec<HostRule>,
    /// Pages that may connect beside those of this very server.
    pub origins: Vec<OriginRule>,
    /// Whether no pages but those of `origins` may connect.
    pub origin_only: bool,
    /// Names of this machine.
    pub own_names: Vec<String>,
}

/// The Origin of a request.
enum Claimed<'a> {
    /// There is none: no browser, or a request that browsers send without it.
    None,
    /// One that was understood.
    One(Origin, &'a str),
    /// What no browser sends: it is not understood, or there are several.
    Wrong(&'a str),
}

impl<'a> Claimed<'a> {
    fn of(headers: &'a HeaderMap) -> Claimed<'a> {
        let mut values = headers.get_all(header::ORIGIN).iter();
        let Some(value) = values.next() else {
            return Claimed::None;
        };
        let text = value.to_str().unwrap_or("?");
        match Origin::parse(text) {
            Some(origin) if values.next().is_none() => Claimed::One(origin, text),
            _ => Claimed::Wrong(text),
        }
    }
}

impl Policy {
    /// Judges a request by its Host and its Origin. The first that fails wins.
    ///
    /// # Errors
    /// 400, 421 or 403; why, with the flag that would allow it, is for the log alone.
    pub fn judge(&self, request: &Parts, caller: &Caller) -> Result<(), Refusal> {
        let host = host_of(request, caller)?;
        let origin = Claimed::of(&request.headers);
        if let Claimed::One(origin, _) = &origin
            && self.names(origin)
        {
            return Ok(());
        }
        let is_upgrade = request.method == Method::GET
            && has_token(&request.headers, &header::UPGRADE, "websocket");
        // A tool that upgrades without an Origin is no page, and a name that was pointed here harms nobody.
        let is_tool = is_upgrade && matches!(origin, Claimed::None);
        if self.is_loopback || !self.hosts.is_empty() || !is_tool {
            self.judge_host(&host, &origin, caller)?;
        }
        match (&request.method, is_upgrade) {
            (_, true) => self.judge_origin(&host, &origin, caller),
            (&Method::GET | &Method::HEAD, _) => {
                self.judge_reading(request, &host, &origin, caller)
            }
            _ => {
                self.judge_origin(&host, &origin, caller)?;
                let is_foreign = is_one_of(&request.headers, &SITE, &["cross-site", "same-site"]);
                match (is_foreign, &origin) {
                    (true, Claimed::None) => Err(foreign("a request that changes something")),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Whether `--origin` names a page, other than by `*`.
    fn names(&self, origin: &Origin) -> bool {
        self.origins.iter().any(|rule| rule.names(origin))
    }

    /// A name that points to this machine and is not ours is a page that rebinds its name to reach us.
    fn judge_host(
        &self,
        asked: &Authority,
        origin: &Claimed<'_>,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        let of_pages = self.origins.iter().filter_map(OriginRule::host_rule);
        let is_ours = match &asked.host {
            Host::Ip(_) => true,
            Host::Name(name) => {
                !name.contains('.')
                    || PRIVATE.iter().any(|parent| asked.host.is_within(parent))
                    || self.own_names.contains(name)
                    || self.hosts.iter().any(|rule| rule.has(asked))
                    || of_pages.into_iter().any(|rule| rule.has(asked))
                    || caller.server_names.iter().any(|name| {
                        HostRule::of_certificate(name).is_some_and(|rule| rule.has(asked))
                    })
            }
        };
        let Host::Name(name) = &asked.host else {
            return Ok(());
        };
        if is_ours {
            return Ok(());
        }
        let flag = match origin {
            Claimed::One(Origin::Of { .. }, page) => {
                format!("--origin {} or --host {name} allows", quoted(page))
            }
            _ => format!("--host {name} allows"),
        };
        Err(Refusal::told(
            421,
            format!("host '{name}' is not served here; if it is yours {flag} it"),
        ))
    }

    fn judge_origin(
        &self,
        host: &Authority,
        origin: &Claimed<'_>,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        let is_any = self.origins.contains(&OriginRule::Any);
        match origin {
            Claimed::None => Ok(()),
            Claimed::One(origin, _) if is_any || self.is_own(origin, host, caller) => Ok(()),
            Claimed::One(origin, text) => {
                let which = match origin {
                    Origin::Null => " (a page of a file or a sandbox)",
                    Origin::Of { .. } => "",
                };
                let text = quoted(text);
                let why = format!(
                    "origin {text}{which} may not connect; if it is yours --origin {text} allows it"
                );
                Err(Refusal::told(403, why))
            }
            Claimed::Wrong(text) => {
                let public = hidden::origin(text);
                let why = format!(
                    "'{}' is no origin that a browser sends, which is scheme://host:port",
                    Shown::short(&public)
                );
                Err(Refusal::told(403, why))
            }
        }
    }

    /// Judges a request that is no upgrade and changes nothing. Where a browser says what it is for, a page may be opened from
    /// anywhere but not be read by another.
    fn judge_reading(
        &self,
        request: &Parts,
        host: &Authority,
        origin: &Claimed<'_>,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        let headers = &request.headers;
        if !headers.contains_key(SITE) {
            return self.judge_origin(host, origin, caller);
        }
        let is_foreign = is_one_of(headers, &SITE, &["cross-site"]);
        let is_opened = is_one_of(headers, &MODE, &["navigate"]);
        match is_foreign && !is_opened {
            true => Err(foreign("a request that opens no page")),
            false => Ok(()),
        }
    }

    /// Whether a page comes from the host and port that it calls, or from this machine to a bind on this machine.
    fn is_own(&self, origin: &Origin, asked: &Authority, caller: &Caller) -> bool {
        let Some((scheme, host, port)) = origin.web() else {
            return false;
        };
        if self.origin_only {
            return false;
        }
        // Without TLS of ours there may be a proxy before us that has it.
        let is_scheme = !caller.is_secure || scheme == "https";
        let asked_port = asked.port.or(default_port(scheme));
        let is_same = is_scheme && *host == asked.host && Some(port) == asked_port;
        is_same || (self.is_loopback && host.is_loopback())
    }
}

fn foreign(what: &str) -> Refusal {
    let why = format!("{what} comes from a page of another site; --origin names pages that may");
    Refusal::told(403, why)
}

fn is_one_of(headers: &HeaderMap, name: &HeaderName, words: &[&str]) -> bool {
    tokens(headers, name).any(|token| words.iter().any(|word| token.eq_ignore_ascii_case(word)))
}

/// The host that the request is for: exactly one, in the target or in its header (RFC 9112 3.2); behind a trusted proxy the one
/// that this was asked for.
fn host_of(request: &Parts, caller: &Caller) -> Result<Authority, Refusal> {
    let bad = || Refusal::new(400, "exactly one valid Host header is wanted");
    let only = |name: &HeaderName| {
        let mut values = request.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(host), None) => Ok(host),
            _ => Err(bad()),
        }
    };
    let parse = |value: &HeaderValue| {
        let text = value.to_str().ok();
        text.and_then(Authority::parse).ok_or_else(bad)
    };
    let host = parse(only(&header::HOST)?)?;
    if caller.is_trusted_proxy && request.headers.contains_key(FORWARDED_HOST) {
        // Of several that were added one behind the other the last is what the proxy before us has seen.
        let name = FORWARDED_HOST;
        let forwarded = tokens(&request.headers, &name).last();
        return forwarded.and_then(Authority::parse).ok_or_else(bad);
    }
    match request.uri.authority() {
        Some(authority) => Authority::parse(authority.as_str()).ok_or_else(bad),
        None => Ok(host),
    }
}

/// A host or an origin that was understood, as a shell takes it.
fn quoted(text: &str) -> String {
    match text.contains('[') {
        true => format!("'{text}'"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
