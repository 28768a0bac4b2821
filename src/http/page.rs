//! The pages that a listener serves to browsers: each is one file, and nothing of it comes from elsewhere.

use std::sync::LazyLock;

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use ring::digest::{SHA256, digest};

/// A chat: what is said, and a box to say something.
const CHAT: &str = include_str!("chat.html");

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// A chat in a room with these manners.
    Chat(Manners),
}

/// What a chat page must know of its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Whether one hears what one says oneself.
    pub echoes: bool,
    /// How a message says whose it is: `prefix`, `json` or `none`.
    pub id: &'static str,
}

impl Default for Manners {
    fn default() -> Manners {
        Manners {
            echoes: true,
            id: "none",
        }
    }
}

/// Allows a page its own script and style and a connection to where it came from, and nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |tag| BASE64.encode(digest(&SHA256, element(CHAT, tag).as_bytes()).as_ref());
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style"),
    );
    // It is ASCII: words of ours and base64.
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// What stands in the only element of a page that has this tag.
fn element<'a>(page: &'a str, tag: &str) -> &'a str {
    let inside = page.split_once(&format!("<{tag}>"));
    let inside = inside.and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
    inside.map_or("", |(inside, _)| inside)
}

impl Page {
    fn html(self) -> String {
        let Page::Chat(manners) = self;
        let echo = if manners.echoes { "yes" } else { "no" };
        CHAT.replacen("{echo}", echo, 1)
            .replacen("{id}", manners.id, 1)
    }

    /// The answer that has it.
    pub(super) fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(self.html()));
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::VARY, "Accept"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CONNECTION, "close"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_takes_nothing_from_elsewhere() {
        let page = Page::Chat(Manners::default()).html();
        assert!(page.len() < 12 * 1024, "{}", page.len());
        for foreign in [
            "http://",
            "https://",
            " src=",
            "url(",
            "@import",
            "innerHTML",
            " style=",
        ] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("data-echo=\"yes\" data-id=\"none\""));
    }

    #[test]
    fn the_policy_names_script_and_style_by_what_they_are() {
        let policy = POLICY.to_str().unwrap();
        assert_eq!(policy.matches("'sha256-").count(), 2, "{policy}");
        for tag in ["script", "style"] {
            assert_eq!(CHAT.matches(&format!("<{tag}")).count(), 1, "{tag}");
            assert!(element(CHAT, tag).len() > 500, "{tag}");
        }
    }
}
