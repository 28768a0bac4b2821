//! Who may connect: the judgement over Host and Origin, before anything else is looked at.

use std::net::IpAddr;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Uri, header};

use super::server::Refusal;

/// What a listener allows.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Whether only this machine can call.
    pub is_loopback: bool,
    /// Host names that are answered beside IP literals and localhost.
    pub hosts: Vec<String>,
    /// Origins of pages that may connect beside those of this very server; `*` is any.
    pub origins: Vec<String>,
}

impl Policy {
    /// Judges a request by its Host and its Origin. The first that fails wins.
    ///
    /// # Errors
    /// 400, 421 or 403 with a line that names the flag that would allow it.
    pub fn judge(&self, request: &Parts) -> Result<(), Refusal> {
        let host = host_of(request)?;
        self.judge_host(&host)?;
        self.judge_origin(&request.headers, &host)
    }

    /// A name that points to this machine and is not ours is a page that rebinds its name to reach us.
    fn judge_host(&self, host: &Authority) -> Result<(), Refusal> {
        let name = bare(host);
        let is_listed = self.hosts.iter().any(|listed| {
            let listed = listed.trim_start_matches('[').trim_end_matches(']');
            listed.eq_ignore_ascii_case(name) || listed.eq_ignore_ascii_case(host.as_str())
        });
        let is_checked = self.is_loopback || !self.hosts.is_empty();
        if !is_checked || is_listed || name.parse::<IpAddr>().is_ok() || is_localhost(name) {
            return Ok(());
        }
        Err(Refusal::new(
            421,
            format!(
                "host '{}' is not served here; --host {} would allow it",
                shown(name),
                shown(name)
            ),
        ))
    }

    fn judge_origin(&self, headers: &HeaderMap, host: &Authority) -> Result<(), Refusal> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return Ok(());
        };
        let text = origin.to_str().unwrap_or("?");
        let allows = |listed: &String| listed == "*" || same_origin(listed, text);
        if origins.next().is_none() && (self.origins.iter().any(allows) || self.is_own(text, host))
        {
            return Ok(());
        }
        let which = match text {
            "null" => " (a page of a file or a sandbox)",
            _ => "",
        };
        let why = format!(
            "origin '{}'{which} may not connect; --origin {} would allow it",
            shown(text),
            shown(text)
        );
        Err(Refusal::new(403, why))
    }

    /// Whether a page comes from the host and port that it calls, or from this machine to a bind on this machine.
    fn is_own(&self, origin: &str, host: &Authority) -> bool {
        let Ok(uri) = origin.parse::<Uri>() else {
            return false;
        };
        let (Some(scheme), Some(page)) = (uri.scheme_str(), uri.authority()) else {
            return false;
        };
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
        let is_same = bare(page).eq_ignore_ascii_case(bare(host)) && port(page) == port(host);
        let is_local = bare(page)
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
            || is_localhost(bare(page));
        is_same || (self.is_loopback && is_local)
    }
}

/// Compares origins: schemes and hosts without regard to case, a trailing slash ignored.
fn same_origin(listed: &str, origin: &str) -> bool {
    listed.trim_end_matches('/').eq_ignore_ascii_case(origin)
}

/// The host that the request is for: exactly one, in the target or in its header (RFC 9112 3.2).
fn host_of(request: &Parts) -> Result<Authority, Refusal> {
    let bad = || Refusal::new(400, "exactly one valid Host header is wanted");
    let mut values = request.headers.get_all(header::HOST).iter();
    let (Some(host), None) = (values.next(), values.next()) else {
        return Err(bad());
    };
    let host = Authority::try_from(host.as_bytes()).map_err(|_| bad())?;
    let host = request.uri.authority().cloned().unwrap_or(host);
    let has_bad_port = host.port_u16().is_none() && host.as_str().len() > host.host().len();
    if has_bad_port || host.as_str().contains('@') {
        return Err(bad());
    }
    Ok(host)
}

fn bare(authority: &Authority) -> &str {
    let host = authority.host();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host)
}

fn is_localhost(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Text of a peer, safe to print and short.
fn shown(text: &str) -> String {
    text.chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(policy: &Policy, host: &str, origin: Option<&str>, expected: u16) {
        let mut request = http::Request::get("/").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let status = policy
            .judge(&parts)
            .map_or_else(|refusal| refusal.status, |()| 101);
        assert_eq!(status, expected, "host {host}, origin {origin:?}");
    }

    #[test]
    fn on_loopback_pages_of_this_machine_pass_and_others_do_not() {
        let policy = Policy {
            is_loopback: true,
            ..Policy::default()
        };
        for host in [
            "localhost:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "app.localhost",
            "192.168.1.2",
            "LOCALHOST",
        ] {
            check(&policy, host, None, 101);
        }
        for host in [
            "evil.test:8080",
            "localhost.evil.test",
            "127.0.0.1.evil.test",
            "notlocalhost",
        ] {
            check(&policy, host, None, 421);
        }
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://[::1]:1",
            "http://localhost:8080",
        ] {
            check(&policy, "localhost:8080", Some(origin), 101);
        }
        for origin in [
            "http://evil.test",
            "null",
            "http://localhost.evil.test",
            "file://",
            "",
            "http://localhost@evil.test",
            "chrome-extension://abc",
            "http://127.0.0.1.evil.test",
        ] {
            check(&policy, "localhost:8080", Some(origin), 403);
        }
        // A rebinding page has the same host and origin: its host is what gives it away.
        check(
            &policy,
            "evil.test:8080",
            Some("http://evil.test:8080"),
            421,
        );
    }

    #[test]
    fn elsewhere_only_the_same_host_and_port_or_a_listed_origin_passes() {
        let policy = Policy {
            origins: vec!["https://app.test".into(), "null".into()],
            ..Policy::default()
        };
        check(&policy, "bridge.test:8080", None, 101);
        check(
            &policy,
            "bridge.test:8080",
            Some("http://bridge.test:8080"),
            101,
        );
        check(&policy, "bridge.test", Some("https://bridge.test"), 101);
        check(&policy, "bridge.test:8080", Some("http://bridge.test"), 403);
        check(
            &policy,
            "bridge.test:8080",
            Some("http://localhost:8080"),
            403,
        );
        check(&policy, "bridge.test:8080", Some("https://app.test"), 101);
        check(
            &policy,
            "bridge.test:8080",
            Some("https://app.test.evil"),
            403,
        );
        check(&policy, "bridge.test:8080", Some("null"), 101);
    }

    #[test]
    fn a_listed_host_is_served_and_then_no_other() {
        let policy = Policy {
            hosts: vec!["bridge.test".into()],
            ..Policy::default()
        };
        check(&policy, "bridge.test:8080", None, 101);
        check(&policy, "BRIDGE.test", None, 101);
        check(&policy, "other.test", None, 421);
        check(&policy, "user@bridge.test", None, 400);
        check(&policy, "bridge.test:port", None, 400);
        check(&policy, "bridge.test:99999", None, 400);
    }
}
