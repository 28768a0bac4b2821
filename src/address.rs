//! What the user typed for one side: the grammar of addresses, and errors that point at the place.

mod comma;
mod hidden;
mod network;

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display};
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use self::comma::next_comma;
use self::hidden::hidden;
pub(crate) use self::network::Network;
use crate::host;
use crate::secret::{HIDDEN, Secret};
use crate::shown::is_harmful;
use crate::word::{Word, joined};

/// A typed address, cut into its parts: `ws-l:8080/chat,protocol=x` or `ws://host/path#ping=0`.
#[derive(Clone, Debug)]
pub struct Address {
    /// All of it, as typed.
    pub text: OsString,
    /// The word that names the kind of endpoint, as typed, without its colon; `-` is a word of its own.
    pub word: String,
    /// What stands between the word and the options.
    pub place: OsString,
    /// Where in the text the place begins, in bytes.
    pub place_at: usize,
    /// The options in their order.
    pub options: Vec<AddressOption>,
    /// Whether it was written with `://`.
    pub is_url: bool,
}

/// One option of an address: `key` or `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressOption {
    /// The key.
    pub key: String,
    /// The value, where there is one.
    pub value: Option<OsString>,
    /// Where it stands in the text, in bytes.
    pub at: Range<usize>,
}

/// An address that makes no sense: what is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    /// What is wrong, in one line.
    pub what: String,
    /// The address as typed.
    pub text: OsString,
    /// The bytes of it that are wrong.
    pub at: Range<usize>,
    /// Whether a word is unknown (exit status 2) rather than a place malformed (3).
    pub is_usage: bool,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = hidden(&self.text.outline());
        let (mut shown, mut before, mut under) = (String::new(), 0, 0);
        for (at, character) in self.text.characters() {
            let is_hidden = hidden.iter().any(|range| range.contains(&at));
            let piece = match hidden.iter().any(|range| range.start == at) {
                true => HIDDEN.to_owned(),
                false if is_hidden => String::new(),
                false => printable(character),
            };
            let count = piece.chars().count();
            shown += &piece;
            before += if at < self.at.start { count } else { 0 };
            under += if self.at.contains(&at) { count } else { 0 };
        }
        if self.text.is_empty() {
            return f.write_str(&self.what);
        }
        let carets = "^".repeat(under.max(1));
        write!(f, "{}\n  {shown}\n  {:before$}{carets}", self.what, "")
    }
}

impl Error for AddressError {}

/// A character to show, in one column, or a byte that is not UTF-8, in four.
fn printable(character: Result<char, u8>) -> String {
    match character {
        Ok(char) if is_harmful(char) => "?".to_owned(),
        Ok(char) => char.to_string(),
        Err(byte) => format!("\\x{byte:02x}"),
    }
}

impl AddressError {
    /// The same error about a text of which the address is the end, from a byte on.
    pub fn within(mut self, text: &OsStr, from: usize) -> AddressError {
        text.clone_into(&mut self.text);
        self.at = self.at.start + from..self.at.end + from;
        self
    }

    /// An error about a word that stands outside of every address.
    pub fn elsewhere(what: String) -> AddressError {
        AddressError {
            what,
            text: OsString::new(),
            at: 0..0,
            is_usage: true,
        }
    }

    /// The exit status: 2 for an unknown word, 3 for a malformed place.
    pub fn exit_status(&self) -> u8 {
        if self.is_usage { 2 } else { 3 }
    }
}

/// A host and a port, and what followed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The host without brackets, a name in ASCII, an IPv6 address with its zone behind a `%`; `*` is every interface, `None`
    /// was not typed.
    pub host: Option<String>,
    /// The port, where one was typed.
    pub port: Option<u16>,
    /// From the first `/` on; empty where there was none.
    pub path: String,
}

/// Who asks, as a URL says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// The user, decoded.
    pub user: Secret,
    /// The password, decoded, where there is one.
    pub password: Option<Secret>,
}

impl Address {
    /// The word before the first colon: what kind of endpoint this is.
    pub fn word_of(text: &str) -> &str {
        text.split(':').next().unwrap_or(text)
    }

    /// The address as messages show it: of a URL neither user nor options nor query, which may be secret.
    pub fn shown(text: &(impl AsRef<OsStr> + ?Sized)) -> String {
        shown(text.as_ref())
    }

    /// The address with all that it says but secrets: for a command line that can be run again.
    pub fn public(text: &(impl AsRef<OsStr> + ?Sized)) -> OsString {
        let text = text.as_ref();
        without_secrets(text, text.len())
    }

    /// [`public`](Address::public) of a text, which stays one: what is hidden begins and ends at ASCII.
    pub fn public_text(text: &str) -> String {
        Address::public(text).to_string_lossy().into_owned()
    }

    /// A text that is no address as it should be, without what stands before an `@` and may be a password.
    pub fn without_password(text: &(impl AsRef<OsStr> + ?Sized)) -> OsString {
        let text = text.as_ref();
        let outline = text.outline();
        let at = match outline.split_once(':') {
            // What stands behind slashes is hidden where it is shown.
            Some((word, rest)) if !outline.contains("//") => {
                rest.rfind('@').map(|at| (word, word.len() + 1 + at))
            }
            _ => None,
        };
        let Some((word, at)) = at else {
            return text.to_owned();
        };
        let mut shown = OsString::from(format!("{word}:{HIDDEN}"));
        shown.push(text.part(at..text.len()));
        shown
    }

    /// Cuts an address into its parts. One that `is_raw` has no options: all behind the word is its place.
    pub fn parse(text: &(impl AsRef<OsStr> + ?Sized), is_raw: bool) -> Address {
        Address::cut(text.as_ref(), is_raw)
    }

    fn cut(text: &OsStr, is_raw: bool) -> Address {
        let outline = text.outline();
        let word = Address::word_of(&outline);
        let rest_at = text.len().min(word.len() + 1);
        let is_url = outline[rest_at..].starts_with("//");
        let place_at = if is_url { rest_at + 2 } else { rest_at };
        let (place_end, options) = if is_raw {
            (text.len(), Vec::new())
        } else if is_url {
            let end = outline[place_at..]
                .find('#')
                .map_or(text.len(), |at| place_at + at);
            (end, options(text, end))
        } else {
            let end = next_comma(&outline, rest_at.min(text.len()));
            (end, options(text, end))
        };
        let place = text.part(place_at..place_end);
        Address {
            text: text.to_owned(),
            word: word.to_owned(),
            place: if is_raw || is_url {
                place.to_owned()
            } else {
                unescape(place)
            },
            place_at,
            options,
            is_url,
        }
    }

    /// The place at the end of a text, from a byte on, under a word that was not typed; and its options.
    pub fn behind(word: &str, text: &OsStr, from: usize) -> (Address, Vec<AddressOption>) {
        let behind = [OsStr::new(":"), text.part(from..text.len())];
        let typed = Address::parse(&joined(behind), false);
        let (mut address, mut options) = typed.within(text, from);
        word.clone_into(&mut address.word);
        address.place_at -= 1;
        for option in &mut options {
            option.at = option.at.start - 1..option.at.end - 1;
        }
        (address, options)
    }

    /// The same address as the end of a text, from a byte on; and its options.
    pub fn within(mut self, text: &OsStr, from: usize) -> (Address, Vec<AddressOption>) {
        text.clone_into(&mut self.text);
        self.place_at += from;
        let mut options = std::mem::take(&mut self.options);
        for option in &mut options {
            option.at = option.at.start + from..option.at.end + from;
        }
        (self, options)
    }

    /// Checks that nothing stands behind the word.
    ///
    /// # Errors
    /// Where something does.
    pub fn expect_no_place(&self) -> Result<(), AddressError> {
        if self.place.is_empty() {
            return Ok(());
        }
        Err(self.place_error(format!("'{}:' takes nothing behind the colon", self.word)))
    }

    /// Returns the place as text.
    ///
    /// # Errors
    /// Where it is not UTF-8, with the word for what it is.
    pub fn place_text(&self, what: &str) -> Result<&str, AddressError> {
        let text = self.place.to_str();
        text.ok_or_else(|| self.place_error(format!("{what} is UTF-8")))
    }

    /// Makes an error about a part of this address's text.
    pub fn error(&self, at: Range<usize>, what: impl Into<String>) -> AddressError {
        AddressError {
            what: what.into(),
            text: self.text.clone(),
            at,
            is_usage: false,
        }
    }

    /// Makes an error about the place as a whole.
    pub fn place_error(&self, what: impl Into<String>) -> AddressError {
        self.error(self.place_at..self.place_at + self.place.len(), what)
    }

    /// Reads the place as `[host:]port[path]` or, in a URL, as `host[:port][path]`.
    ///
    /// # Errors
    /// What is wrong with the host or the port, and where.
    pub fn host_port(&self) -> Result<Place, AddressError> {
        match self.url_place()? {
            (None, place) => Ok(place),
            (Some(_), _) => {
                let place = self.place.outline();
                let at = place.find(['/', '?']).unwrap_or(place.len());
                let end = place[..at].rfind('@').unwrap_or(at);
                let what = format!("a user means nothing to {}:", self.word);
                Err(self.error(self.place_at..self.place_at + end, what))
            }
        }
    }

    /// Whether what stands at a byte is hidden.
    fn hides_at(&self, at: usize) -> bool {
        let hidden = hidden(&self.text.outline());
        hidden.iter().any(|range| range.contains(&at))
    }

    /// Reads the place as [`host_port`](Address::host_port) does, with a user and a password before an `@`.
    ///
    /// # Errors
    /// What is wrong with the user, the host or the port, and where.
    pub fn url_place(&self) -> Result<(Option<UserInfo>, Place), AddressError> {
        let place = self.place_text("an address of hosts and ports")?;
        let path_at = place.find(['/', '?']).unwrap_or(place.len());
        // What stands for a path or a query begins one.
        let path_at = ["{path}", "{query}"]
            .iter()
            .filter_map(|word| place.find(word))
            .fold(path_at, usize::min);
        let (authority, path) = place.split_at(path_at);
        let (user_info, host_at) = match authority.rsplit_once('@') {
            Some((text, _)) => (Some(self.user_info(text)?), text.len() + 1),
            None => (None, 0),
        };
        let authority = &authority[host_at..];
        let at = self.place_at + host_at;
        if authority.contains(' ') && !self.is_url {
            let what = "an address has no blank; were two quoted as one word?";
            return Err(self.error(at..at + authority.len(), what));
        }
        let (host, port) = self.split_authority(authority, at)?;
        let port = match port {
            None => None,
            // What was taken for a port may be a piece of a password.
            Some((text, _)) if self.hides_at(at) && text.parse::<u16>().is_err() => {
                return Err(AddressError {
                    what: "in a password '/' is written %2F and '?' %3F".to_owned(),
                    text: joined([self.text.part(0..self.place_at), HIDDEN.as_ref()]),
                    at: self.place_at..self.place_at + HIDDEN.len(),
                    is_usage: false,
                });
            }
            Some((text, 0)) if text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let what = format!("a port is missing: {}:{text}:PORT", self.word);
                return Err(self.place_error(what));
            }
            Some((text, port_at)) => Some(text.parse().map_err(|_| {
                self.error(
                    at + port_at..at + port_at + text.len(),
                    format!("bad port '{text}': a number from 0 to 65535 is wanted"),
                )
            })?),
        };
        let is_wrong = |c: char| c.is_whitespace() || c.is_control() || "<>\"\\^`{|},".contains(c);
        if let Some(host) = host
            && (host.is_empty()
                || host.contains(is_wrong)
                || host.bytes().all(|byte| byte.is_ascii_digit()))
        {
            let slashes = if self.is_url { "//" } else { "" };
            let form = format!("{}:{slashes}HOST:PORT", self.word);
            let what = match host {
                "" => format!("a host is missing: {form}"),
                host if self.is_url && host.contains(',') => {
                    format!("options of a URL stand behind a '#': {form}#KEY=VALUE")
                }
                host => format!("bad host '{}' in {form}", host.escape_debug()),
            };
            return Err(self.error(at..at + authority.len(), what));
        }
        let ascii = |host: &str| {
            let found = host::ipv6(host).or_else(|| host::ascii(host));
            found.ok_or_else(|| {
                let what = format!("'{}' is no name of a host", host.escape_debug());
                self.error(at..at + authority.len(), what)
            })
        };
        let place = Place {
            host: host.map(ascii).transpose()?,
            port,
            path: path.to_owned(),
        };
        Ok((user_info, place))
    }

    /// Reads `user` or `user:password`, percent-encoded (RFC 3986 3.2.1).
    fn user_info(&self, text: &str) -> Result<UserInfo, AddressError> {
        let wrong = |what: &str| self.error(self.place_at..self.place_at + text.len(), what);
        let decode = |part: &str| {
            let decoded = percent_decoded(part)
                .ok_or_else(|| wrong("user and password are percent-encoded UTF-8"))?;
            match decoded.contains(char::is_control) {
                true => Err(wrong("user and password have no control characters")),
                false => Ok(decoded),
            }
        };
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (user, Some(decode(password)?.into())),
            None => (text, None),
        };
        Ok(UserInfo {
            user: decode(user)?.into(),
            password,
        })
    }

    /// Cuts an authority, which begins at a byte of the text, into host and port, the port with its offset.
    #[allow(clippy::type_complexity)]
    fn split_authority<'a>(
        &self,
        authority: &'a str,
        at: usize,
    ) -> Result<(Option<&'a str>, Option<(&'a str, usize)>), AddressError> {
        let wrong = |what: String| self.error(at..at + authority.len(), what);
        if let Some(inner) = authority.strip_prefix('[') {
            let Some((host, rest)) = inner.split_once(']') else {
                return Err(wrong("an IPv6 address ends with ']'".to_owned()));
            };
            if host::ipv6(host).is_none() {
                return Err(wrong(format!("bad IPv6 address '{host}'")));
            }
            return match rest.strip_prefix(':') {
                Some(port) => Ok((Some(host), Some((port, authority.len() - port.len())))),
                None if rest.is_empty() => Ok((Some(host), None)),
                None => Err(wrong(format!(
                    "unexpected '{rest}' behind the IPv6 address"
                ))),
            };
        }
        match authority.rsplit_once(':') {
            Some((host, port)) if host::ipv6(host).is_some() => {
                let what = format!("an IPv6 address stands in brackets: [{host}]:{port}");
                Err(wrong(what))
            }
            Some((host, _)) if host.contains(':') => {
                let what = "there is one ':' at most: HOST:PORT, or an IPv6 address in brackets";
                Err(wrong(what.to_owned()))
            }
            Some((host, port)) => Ok((Some(host), Some((port, authority.len() - port.len())))),
            None if self.is_url => Ok((Some(authority), None)),
            None if authority.is_empty() => {
                Err(wrong(format!("a port is missing: {}:PORT", self.word)))
            }
            None => Ok((None, Some((authority, 0)))),
        }
    }
}

fn shown(text: &OsStr) -> String {
    let outline = text.outline();
    let end = if outline.contains("://") {
        outline.find(['?', '#'])
    } else {
        None
    };
    let name = without_secrets(text, end.unwrap_or(text.len()));
    if name == "-" {
        return "stdio".to_owned();
    }
    let characters = name.characters().into_iter();
    characters.map(|(_, it)| printable(it)).collect()
}

/// A text up to a byte, without what is secret in it.
fn without_secrets(text: &OsStr, end: usize) -> OsString {
    let (mut name, mut from) = (OsString::new(), 0);
    let hidden = hidden(&text.outline());
    for range in hidden.iter().filter(|range| range.end <= end) {
        name.push(text.part(from..range.start));
        from = range.end;
        match text.part(from..text.len()).without_prefix("@") {
            Some(_) => from += 1,
            None => name.push(HIDDEN),
        }
    }
    name.push(text.part(from..end));
    name
}

/// Cuts `,key=value,key` behind `from` into options.
fn options(text: &OsStr, from: usize) -> Vec<AddressOption> {
    let (mut options, outline) = (Vec::new(), text.outline());
    let mut at = from;
    while at < text.len() {
        let start = at + 1;
        at = next_comma(&outline, start);
        let option = unescape(text.part(start..at));
        let (key, value) = match option.cut_at('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (option.as_os_str(), None),
        };
        options.push(AddressOption {
            key: key.shown().into_owned(),
            value,
            at: start..at,
        });
    }
    options
}

/// A host and a port as one word: an IPv6 address in brackets, the port where there is one.
pub(crate) fn authority(host: &str, port: Option<u16>) -> String {
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// Decodes `%XX`; `None` where that is not UTF-8 or a `%` has no two hexadecimal digits behind it.
fn percent_decoded(text: &str) -> Option<String> {
    let has_digits = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    let is_encoded = text.split('%').skip(1).all(has_digits);
    is_encoded.then(|| decoded.into_owned())
}

fn unescape(text: &OsStr) -> OsString {
    text.replaced("\\,", ",")
}

/// The known word that is nearest to what was typed, where one is near: at most two typing errors, or a third of it.
pub(crate) fn nearest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed = typed.to_ascii_lowercase();
    let allowed = typed.chars().count().div_ceil(3).min(2);
    known
        .into_iter()
        .map(|word| (strsim::osa_distance(&typed, word), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

const NO_DURATION: &str = "is no duration; 500ms, 3s, 2m and 1h are";

/// Reads a duration: `500ms`, `3s`, `2m`, `1h`, or a number of seconds, fractions allowed; at most a year.
///
/// # Errors
/// What would have been understood.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let unit_at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(NO_DURATION.to_owned()),
    };
    match number.parse::<f64>() {
        Ok(number) if (0.0..=31_536_000.0).contains(&(number * factor)) => {
            Ok(Duration::from_secs_f64(number * factor))
        }
        _ => Err(NO_DURATION.to_owned()),
    }
}

/// Reads a number of bytes: `4096`, or with K, M or G for 1024, 1024² or 1024³ of them; from 1 to 2³¹.
///
/// # Errors
/// What would have been understood.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let (number, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let size = number
        .parse()
        .ok()
        .and_then(|size: usize| size.checked_mul(factor));
    size.filter(|size| (1..=1 << 31).contains(size))
        .ok_or_else(|| "is no size; 4096 bytes, 64K, 16M and 1G are".to_owned())
}

/// Makes a reader of whole numbers of a range.
pub(crate) fn number<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let (start, end) = (range.start(), range.end().to_string());
            // What only the computer's own limit ends has none for people.
            match end.len() {
                ..=9 => format!("is no number from {start} to {end}"),
                _ => format!("is no number from {start} on"),
            }
        })
    }
}

#[cfg(test)]
mod tests;
