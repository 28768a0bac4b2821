//! The pages that a listener serves to browsers: each is one file; in ours nothing comes from elsewhere.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderValue, Response, header};
use ring::digest::{SHA256, digest};
use tokio::task::spawn_blocking;

use crate::ending::errno_text;

/// A chat: what is said, and a box to say something.
const CHAT: &str = include_str!("chat.html");

/// What a page of the user's own may not: stand in a page of others, whose reader would click and type into it unseen.
const OWN_POLICY: &str = "frame-ancestors 'self'";

/// Bytes of a file that is served as a page.
const MAX_FILE: u64 = 4 << 20;

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// A chat in a room with these manners.
    Chat(Manners),
    /// A file of the user's, read anew for each browser.
    File(Arc<Path>),
}

/// What a chat page must know of its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Whether one hears what one says oneself.
    pub echoes: bool,
    /// Whether the room says who comes and goes, or what was lost.
    pub tells: bool,
    /// How a message says whose it is: `prefix`, `json` or `none`.
    pub id: &'static str,
}

impl Default for Manners {
    fn default() -> Manners {
        Manners {
            echoes: true,
            tells: false,
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
    /// Makes a page of a file of at most 4 MiB.
    ///
    /// # Errors
    /// Why it can not be served.
    pub fn file(path: &Path) -> Result<Page, String> {
        read(path)?;
        Ok(Page::File(path.into()))
    }

    /// The answer that has it.
    ///
    /// # Errors
    /// Where its file can not be read any more.
    pub(super) async fn response(self) -> Result<Response<Bytes>> {
        let (html, policy, referrer) = match self {
            Page::Chat(manners) => (manners.chat().into(), POLICY.clone(), Some("no-referrer")),
            Page::File(path) => {
                let shown = path.display().to_string();
                // A disk may be slow, and the thread has other callers.
                let text = spawn_blocking(move || read(&path)).await?;
                let html = text.map_err(|why| anyhow!(why)).context(shown)?;
                (html, HeaderValue::from_static(OWN_POLICY), None)
            }
        };
        let mut response = Response::new(html);
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::VARY, "Accept"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CONNECTION, "close"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        if let Some(referrer) = referrer {
            headers.insert(header::REFERRER_POLICY, HeaderValue::from_static(referrer));
        }
        Ok(response)
    }
}

impl Manners {
    fn chat(self) -> String {
        let echo = if self.echoes { "yes" } else { "no" };
        let tells = if self.tells { "yes" } else { "no" };
        CHAT.replacen("{echo}", echo, 1)
            .replacen("{id}", self.id, 1)
            .replacen("{tells}", tells, 1)
    }
}

/// What stands in a file.
fn read(path: &Path) -> Result<Bytes, String> {
    let failed = |error| errno_text(&error);
    // A FIFO that nobody writes to would hold up who opens it.
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = file.open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut html = Vec::new();
    let len = file.take(MAX_FILE + 1).read_to_end(&mut html);
    if len.map_err(failed)? as u64 > MAX_FILE {
        return Err("it has more than 4 MiB".to_owned());
    }
    Ok(html.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_takes_nothing_from_elsewhere() {
        let page = Manners::default().chat();
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
        assert!(page.contains("data-echo=\"yes\" data-id=\"none\" data-tells=\"no\""));
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
