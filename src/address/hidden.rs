//! Where secrets stand in a typed address.

use std::ops::Range;

use super::next_comma;

/// What stands for a secret.
pub(super) const HIDDEN: &str = "***";
/// Options whose values may be secret.
const SECRET: &[&str] = &["user", "bearer", "header", "cookie", "proxy"];

/// Where secrets stand in a typed address: user and password of URLs, and values of some options.
pub(super) fn hidden(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (at, _) in text.match_indices(['#', ',']) {
        let rest = &text[at + 1..];
        let key = rest.split('=').next().unwrap_or_default();
        if key.len() < rest.len() && SECRET.contains(&key.to_ascii_lowercase().as_str()) {
            let value_at = at + 1 + key.len() + 1;
            let end = next_comma(text, value_at);
            if value_at < end {
                ranges.push(value_at..end);
            }
        }
    }
    // A colon may have been forgotten.
    for (at, start) in text.match_indices("//") {
        let userinfo_at = at + start.len();
        let rest = &text[userinfo_at..];
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        if let Some(len) = authority.rfind('@').filter(|len| *len > 0)
            && !ranges.iter().any(|range| range.contains(&at))
        {
            ranges.push(userinfo_at..userinfo_at + len);
        }
    }
    ranges.sort_by_key(|range| range.start);
    ranges
}
