//! What a WebSocket client says of itself in its request: headers, and who it is.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use clap::Args;
use clap::error::ErrorKind;
use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderName, HeaderValue};
use tracing::{info, warn};

use super::netrc;
use crate::address::Address;
use crate::address::UserInfo;
use crate::caller::Caller;
use crate::ending::{Cause, errno_text};
use crate::endpoint::{Scheme, Settings, read_options};
use crate::http::basic;
use crate::http::client::Header;
use crate::http::name::Name;
use crate::http::policy::origin;
use crate::reread::Reread;
use crate::secret::Secret;
use crate::variables::Variables;
use crate::word::Word;

/// Options of a WebSocket client's request.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "WebSocket client")]
pub(super) struct Options {
    /// Send this header with the request (repeatable)
    ///
    /// It replaces ours of that name, Host too. The name is sent as it is typed. 'NAME:' leaves a header out, 'NAME;' sends it empty, @FILE has a header a line.
    /// Example: -H 'X-Token: abc'
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    pub header: Vec<Secret<OsString>>,
    /// Send this header of the caller on with the request (repeatable)
    ///
    /// None is without it, Cookie, Authorization and Origin least of all. The name is sent as it is typed. One of -H takes its place. Example: --forward-header Cookie
    #[arg(long, value_name = "NAME", value_parser = parse_forwarded)]
    pub forward_header: Vec<Name>,
    /// Log in with this user and password (HTTP Basic)
    ///
    /// Others can see the command line: without :PASSWORD it is read from --password-file, WSBRIDGE_PASSWORD or --netrc. A URL
    /// may have both too: ws://user:password@host/
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub user: Option<Secret>,
    /// Read the password from the first line of this file
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Log in with this token, or with that in the first line of @FILE
    #[arg(long, value_name = "TOKEN", conflicts_with = "user")]
    pub bearer: Option<Secret<OsString>>,
    /// Take user and password for the host from this file
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "~/.netrc")]
    pub netrc: Option<PathBuf>,
    /// Send these cookies (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub cookie: Vec<Secret>,
    /// Name this page as the one that connects
    #[arg(long, value_name = "URL")]
    pub origin: Option<String>,
    /// Call ourselves so
    #[arg(long, value_name = "TEXT")]
    pub user_agent: Option<String>,
    /// Go where redirects lead, at most 10 times; of a file, read on as it grows
    ///
    /// Redirects are the statuses 301, 302, 303, 307 and 308. Another host, port or scheme is not told who we are: no Authorization, no Cookie, and no header of -H or --forward-header. From wss:// none leads to ws://.
    #[arg(long)]
    pub follow: bool,
    /// Send the headers of -H and --forward-header to another host too, where a redirect leads there
    ///
    /// Authorization, Cookie and Host stay behind all the same. Example: --follow --follow-headers -H 'X-Trace: 1' ws://example.com/
    #[arg(long)]
    pub follow_headers: bool,
    /// Show the head of the answer on stderr
    #[arg(long, short = 'i')]
    pub include: bool,
}

/// Headers that tell who asks, or that are meant for one host.
const OF_ONE_SERVER: &[HeaderName] = &[AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST];

/// Headers that are between two neighbours and go no further (RFC 9110 7.6.1), or that the handshake makes itself.
const OF_ONE_HOP: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn parse_forwarded(text: &str) -> Result<Name, String> {
    let name = Name::typed(text).map_err(|_| "is no name of a header".to_owned())?;
    let header = name.header().as_str();
    if OF_ONE_HOP.contains(&header) || header.starts_with("sec-websocket-") {
        return Err("says something of one connection, and goes no further".to_owned());
    }
    Ok(name)
}

/// What is said in the request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Each of them stands for all of its name that we would send.
    pub(super) headers: Vec<Header>,
    /// Those of the caller that are sent on.
    forwards: Vec<Name>,
    /// Names of the headers that were typed.
    typed: Vec<HeaderName>,
    pub(super) follows: bool,
    /// Whether typed and forwarded headers go to another host.
    shares_headers: bool,
    pub(super) shows_head: bool,
}

/// What requests to a host say, where files say part of it as they were read last.
pub(super) struct Saying {
    options: Options,
    variables: Variables,
    host: String,
    user_info: Option<UserInfo>,
    request: Mutex<Request>,
}

impl Saying {
    /// Reads the options for a host; who asks may stand in the URL.
    ///
    /// # Errors
    /// clap's, with the option and the place in it.
    pub(super) fn read(
        scheme: &Scheme,
        address: &Address,
        settings: &Settings,
        host: &str,
        user_info: Option<UserInfo>,
    ) -> Result<Arc<Saying>> {
        let options: Options = read_options(scheme, address, settings)?;
        let variables = settings.variables.clone();
        let request = Request::read(&options, &variables, host, user_info.clone())?;
        let saying = Arc::new(Saying {
            options,
            variables,
            host: host.to_owned(),
            user_info,
            request: Mutex::new(request),
        });
        let files = saying.files();
        // A pipe says it once.
        if !files.is_empty() && files.iter().all(|file| file.is_file()) {
            settings.rereads.register(&saying);
        }
        Ok(saying)
    }

    /// What is said now.
    pub(super) fn request(&self) -> MutexGuard<'_, Request> {
        // Nothing panics while it is held.
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files that say part of it.
    fn files(&self) -> Vec<PathBuf> {
        let Options {
            header,
            password_file,
            bearer,
            ..
        } = &self.options;
        let named = header.iter().chain(bearer).filter_map(file_in);
        let password = password_file.iter().cloned();
        let netrc = self.options.netrc_file(&self.variables);
        named
            .map(PathBuf::from)
            .chain(password)
            .chain(netrc)
            .collect()
    }
}

impl Reread for Saying {
    fn read_again(&self) {
        let user_info = self.user_info.clone();
        let files: Vec<_> = self.files().iter().map(Address::shown).collect();
        let files = files.join(", ");
        match Request::read(&self.options, &self.variables, &self.host, user_info) {
            Ok(request) => {
                *self.request() = request;
                info!("headers and passwords reloaded: {files}");
            }
            Err(error) => warn!(
                "headers and passwords stay as they were: {}",
                Cause::line(&error).trim_start_matches("error: ").trim_end()
            ),
        }
    }
}

impl Request {
    fn read(
        options: &Options,
        variables: &Variables,
        host: &str,
        user_info: Option<UserInfo>,
    ) -> Result<Request> {
        let mut headers: Vec<Header> = Vec::new();
        let mut add =
            |name: HeaderName, value: HeaderValue| headers.push((name.into(), Some(value)));
        if let Some(value) = options.authorization(variables, host, user_info)? {
            add(AUTHORIZATION, value);
        }
        if !options.cookie.is_empty() {
            let cookies: Vec<_> = options.cookie.iter().map(Secret::reveal).collect();
            add(COOKIE, value("--cookie", &cookies.join("; "))?);
        }
        if let Some(origin) = &options.origin {
            add(ORIGIN, value("--origin", &origin::sent(origin))?);
        }
        if let Some(user_agent) = &options.user_agent {
            add(USER_AGENT, value("--user-agent", user_agent)?);
        }
        let mut typed = Vec::new();
        for header in &options.header {
            match file_in(header) {
                Some(file) => {
                    let name = file.shown();
                    for (index, line) in read("--header", Path::new(file))?.lines().enumerate() {
                        if !line.trim().is_empty() {
                            let place = format!("--header @{name}, line {}", index + 1);
                            typed.push(parse(&place, line)?);
                        }
                    }
                }
                None => typed.push(parse("--header", text_in("--header", header)?)?),
            }
        }
        headers.retain(|(name, _)| !has(&typed, name));
        let names = typed.iter().map(|(name, _)| name.header().clone());
        let names = names.collect();
        headers.extend(typed);
        Ok(Request {
            headers,
            forwards: options.forward_header.clone(),
            typed: names,
            follows: options.follow,
            shares_headers: options.follow_headers,
            shows_head: options.include,
        })
    }

    /// What is said for a caller: what it says itself is added, where that is sent on.
    pub(super) fn for_caller(&self, caller: &Caller) -> Request {
        let mut request = self.clone();
        for name in &self.forwards {
            if has(&self.headers, name) {
                continue;
            }
            let values = caller.headers.get_all(name.header()).iter().cloned();
            let sensitive = values.map(|mut value| {
                value.set_sensitive(true);
                (name.clone(), Some(value))
            });
            request.headers.extend(sensitive);
        }
        request
    }

    /// Forgets what only the server that it was meant for may know.
    pub(super) fn forget(&mut self) {
        let (typed, forwards) = (&self.typed, &self.forwards);
        let shares = self.shares_headers;
        self.headers.retain(|(name, value)| {
            let name = name.header();
            let is_forwarded = || forwards.iter().any(|forward| forward.header() == name);
            // What is left out tells nothing.
            let may_go = shares || value.is_none() || !(typed.contains(name) || is_forwarded());
            may_go && !OF_ONE_SERVER.contains(name)
        });
    }

    /// Whether it says who asks.
    pub(super) fn tells_who(&self) -> bool {
        let set = self.headers.iter().filter(|header| header.1.is_some());
        let mut names = set.map(|(name, _)| name).chain(&self.forwards);
        names.any(|name| [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name.header()))
    }
}

impl Options {
    /// Who asks: the URL says it before the options do, and both before the file of passwords.
    fn authorization(
        &self,
        variables: &Variables,
        host: &str,
        user_info: Option<UserInfo>,
    ) -> Result<Option<HeaderValue>> {
        if let (Some(token), None) = (&self.bearer, &user_info) {
            let token = match file_in(token) {
                Some(file) => first_line("--bearer", Path::new(file))?,
                None => text_in("--bearer", token)?.to_owned(),
            };
            return value("--bearer", &format!("Bearer {token}")).map(Some);
        }
        let given = match (user_info, &self.user) {
            (Some(info), _) => Some((info.user.reveal().to_owned(), info.password)),
            (None, Some(user)) => Some(match user.reveal().split_once(':') {
                Some((user, password)) => (user.to_owned(), Some(password.into())),
                None => (user.reveal().to_owned(), None),
            }),
            (None, None) => None,
        };
        let user = given.as_ref().map(|(user, _)| user.as_str());
        let password = match &given {
            Some((_, Some(password))) => Some(password.reveal().to_owned()),
            _ => self.password(variables)?,
        };
        let (user, password) = match (user, password, self.netrc(variables, host, user)?) {
            (Some(user), Some(password), _) => (user.to_owned(), password),
            (_, _, Some(found)) => found,
            (Some(user), None, None) => (user.to_owned(), String::new()),
            (None, _, None) if self.password_file.is_some() => {
                return Err(refused("--password-file: it needs --user"));
            }
            (None, _, None) => return Ok(None),
        };
        check("--user", &user)?;
        check("the password", &password)?;
        let value = basic(&user, &password);
        value
            .map(Some)
            .map_err(|error| refused(&format!("--user: {error}")))
    }

    fn password(&self, variables: &Variables) -> Result<Option<String>> {
        match &self.password_file {
            Some(file) => first_line("--password-file", file).map(Some),
            None => Ok(variables.get("WSBRIDGE_PASSWORD").map(str::to_owned)),
        }
    }

    fn netrc(
        &self,
        variables: &Variables,
        host: &str,
        user: Option<&str>,
    ) -> Result<Option<(String, String)>> {
        match self.netrc_file(variables) {
            Some(file) => Ok(netrc::find(&read("--netrc", &file)?, host, user)),
            None => Ok(None),
        }
    }

    /// The file of `--netrc`.
    fn netrc_file(&self, variables: &Variables) -> Option<PathBuf> {
        let file = self.netrc.as_ref()?;
        let variable = |name| variables.get(name);
        let below = file.strip_prefix("~").ok();
        Some(match (below, variable("NETRC"), variable("HOME")) {
            (Some(below), Some(file), _) if below == ".netrc" => file.into(),
            (Some(below), _, Some(home)) => Path::new(home).join(below),
            _ => file.clone(),
        })
    }
}

/// Whether one of the headers has this name.
fn has(headers: &[Header], name: &Name) -> bool {
    headers
        .iter()
        .any(|(other, _)| other.header() == name.header())
}

/// Reads `NAME: VALUE`, `NAME:` or `NAME;`.
fn parse(place: &str, text: &str) -> Result<Header> {
    let (name, value_of) = match (text.split_once(':'), text.trim_end().strip_suffix(';')) {
        (Some((name, value)), _) => (name, Some(value.trim())),
        (None, Some(name)) => (name, None),
        (None, None) => {
            return Err(refused(&format!(
                "{place}: a header is written 'Name: value'"
            )));
        }
    };
    check(place, text)?;
    let name = Name::typed(name.trim()).map_err(|_| {
        // What has no name may be a secret as a whole.
        refused(&format!("{place}: what stands before the colon is no name"))
    })?;
    Ok(match value_of {
        Some("") => (name, None),
        Some(text) => (name, Some(value(place, text)?)),
        None => (name, Some(HeaderValue::from_static(""))),
    })
}

fn value(place: &str, text: &str) -> Result<HeaderValue> {
    check(place, text)?;
    let value = HeaderValue::from_bytes(text.as_bytes());
    let mut value = value.map_err(|_| refused(&format!("{place}: no value of a header")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The file behind an `@`, where the value of an option is one.
fn file_in(value: &Secret<OsString>) -> Option<&OsStr> {
    value.reveal_word().without_prefix("@")
}

/// The value of an option that is text.
fn text_in<'a>(option: &str, value: &'a Secret<OsString>) -> Result<&'a str> {
    let text = value.reveal_word().to_str();
    text.ok_or_else(|| refused(&format!("{option}: its value is not UTF-8")))
}

/// Refuses control characters, and says where one is: not what is around it, which may be secret.
fn check(place: &str, text: &str) -> Result<()> {
    match text
        .chars()
        .position(|char| char.is_control() && char != '\t')
    {
        Some(at) => Err(refused(&format!(
            "{place}: character {} is a control character",
            at + 1
        ))),
        None => Ok(()),
    }
}

fn read(option: &str, file: &Path) -> Result<String> {
    fs::read_to_string(file).map_err(|error| {
        let reason = errno_text(&error);
        refused(&format!("{option} {}: {reason}", Address::shown(file)))
    })
}

fn first_line(option: &str, file: &Path) -> Result<String> {
    let text = read(option, file)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn refused(what: &str) -> anyhow::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{what}\n")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(text: &str, name: &str, value: Option<&str>) {
        let header = parse("--header", text).unwrap();
        assert_eq!(header.0.header(), name);
        assert_eq!(
            header.1.as_ref().map(HeaderValue::as_bytes),
            value.map(str::as_bytes)
        );
    }

    #[test]
    fn headers_are_set_left_out_or_empty() {
        parsed("X-A: b:c ", "x-a", Some("b:c"));
        parsed("X-A:b", "x-a", Some("b"));
        parsed("X-A:", "x-a", None);
        parsed("X-A: ", "x-a", None);
        parsed("X-A;", "x-a", Some(""));
        parsed("X-A: ü;", "x-a", Some("ü;"));
    }

    #[test]
    fn what_is_no_header_is_refused_and_not_shown() {
        for (text, what) in [
            (
                "secret",
                "error: --header: a header is written 'Name: value'\n",
            ),
            (
                "secret secret: b",
                "error: --header: what stands before the colon is no name\n",
            ),
            (
                ": secret",
                "error: --header: what stands before the colon is no name\n",
            ),
            (
                "X: secret\r\nB: c",
                "error: --header: character 10 is a control character\n",
            ),
            (
                "X: \0",
                "error: --header: character 4 is a control character\n",
            ),
        ] {
            assert_eq!(parse("--header", text).unwrap_err().to_string(), what);
        }
    }
}
