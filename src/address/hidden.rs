//! Where secrets stand in a typed address.

use std::ops::Range;

use super::next_comma;
use crate::secret;

/// Where secrets stand in a typed address: user and password of URLs, also of mistyped ones, values of secret options, and what
/// looks like one in a query.
pub(super) fn hidden(text: &str) -> Vec<Range<usize>> {
    let mut ranges = options(text);
    for range in user_info(text).into_iter().chain(parameters(text)) {
        if !ranges
            .iter()
            .any(|own| own.start <= range.start && range.start < own.end)
        {
            ranges.push(range);
        }
    }
    ranges.sort_by_key(|range| range.start);
    // One may reach into the next.
    let mut end = 0;
    ranges.retain_mut(|range| {
        range.start = range.start.max(end);
        end = end.max(range.end);
        range.start < range.end
    });
    ranges
}

/// Values of secret options. A `:` may have been typed for the `=`.
fn options(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (at, _) in text.match_indices(['#', ',']) {
        let rest = &text[at + 1..];
        let key_end = rest.find(['=', ':', ',', '/']).unwrap_or(rest.len());
        let is_valued = rest[key_end..].starts_with(['=', ':']);
        if !is_valued {
            continue;
        }
        let value_at = at + 1 + key_end + 1;
        let end = next_comma(text, value_at);
        let secret_at = match &rest[..key_end] {
            "protocol" => secret::in_protocol(&text[value_at..end]).map(|at| value_at + at),
            key => is_secret(key).then_some(value_at),
        };
        if let Some(begin) = secret_at.filter(|begin| *begin < end) {
            ranges.push(begin..end);
        }
    }
    ranges
}

/// Whether a typed key is that of a secret option, or of one with a typing error.
fn is_secret(typed: &str) -> bool {
    let typed = typed.to_ascii_lowercase();
    secret::is_like_key(|key| strsim::osa_distance(&typed, key) <= 1)
}

/// User and password before an `@`, in each word of a text.
fn user_info(text: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<_> = with_blank(text).into_iter().collect();
    let mut begin = 0;
    while begin < text.len() {
        let end = text[begin..].find(char::is_whitespace);
        let end = end.map_or(text.len(), |len| begin + len);
        match text[begin..end].contains("//") {
            true => ranges.extend(in_url(text, begin, end)),
            false => ranges.extend(in_word(text, begin, end)),
        }
        begin = end + text[end..].chars().next().map_or(1, char::len_utf8);
    }
    ranges
}

/// Those of a URL that is all of the text, with a blank among them.
fn with_blank(text: &str) -> Option<Range<usize>> {
    let begin = text.find("//")? + 2;
    let authority = &text[begin..];
    let authority = &authority[..authority.find(['/', '?', '#']).unwrap_or(authority.len())];
    let is_url = !text[..begin].contains(char::is_whitespace);
    let at = authority.rfind('@').filter(|_| is_url)?;
    authority[..at]
        .contains(char::is_whitespace)
        .then(|| begin..begin + at)
}

/// Those behind slashes; a colon before these may have been forgotten.
fn in_url(text: &str, begin: usize, end: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (at, slashes) in text[begin..end].match_indices("//") {
        let begin = begin + at + slashes.len();
        let rest = &text[begin..end];
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let len = match authority.rfind('@') {
            Some(len) => Some(len),
            // In a password a slash, a question mark or a hash is no end of the authority.
            None if has_bad_port(authority) => rest.rfind('@'),
            None => None,
        };
        ranges.extend(len.filter(|len| *len > 0).map(|len| begin..begin + len));
    }
    ranges
}

/// Those without slashes, which were forgotten: `ws:user:password@host`, `ws:/user:password@host`.
fn in_word(text: &str, begin: usize, end: usize) -> Option<Range<usize>> {
    let word = &text[begin..end];
    let (colon, at) = (word.find(':')? + 1, word.rfind('@')?);
    let has_password = word.get(colon..at)?.contains(':');
    has_password.then(|| begin + colon..begin + at)
}

fn has_bad_port(authority: &str) -> bool {
    let port = authority.split_once(':').map(|(_, port)| port);
    port.is_some_and(|port| !authority.starts_with('[') && port.parse::<u16>().is_err())
}

/// Values of parameters of a query, however they are set apart.
fn parameters(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let is_end = |c: char| c.is_whitespace() || matches!(c, '&' | '#');
    for (at, _) in text.match_indices(['?', '&', ';']) {
        let begin = at + 1;
        let rest = &text[begin..];
        let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        let (name, value) = word.split_once('=').unwrap_or(("", word));
        let value_at = begin + word.len() - value.len();
        let mut end = begin + word.len();
        if value.is_empty() && !name.is_empty() {
            // A blank may have been typed behind the sign.
            let behind = text[end..].trim_start();
            let begin = text.len() - behind.len();
            end = begin + behind.find(is_end).unwrap_or(behind.len());
        }
        let is_encoded = name.contains('%') || value.to_ascii_lowercase().contains("%3d");
        let is_secret = secret::is_parameter(name, &text[value_at..end]);
        if (is_secret || is_encoded) && value_at < end {
            ranges.push(value_at..end);
        }
    }
    ranges
}
