//! What is asked for by `--page`.

use std::ffi::OsStr;
use std::path::Path;

use crate::http::page::{Manners, Page};
use crate::word::Word;

/// A page to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageChoice {
    /// A chat.
    Chat,
    /// None: a WebSocket and nothing else.
    None,
    /// A page of the user's own.
    File(Page),
}

impl PageChoice {
    /// Reads `chat`, `none` or the path of a file, which is looked at.
    ///
    /// # Errors
    /// What else it is, and why the file can not be served.
    pub(super) fn parse(word: impl AsRef<OsStr>) -> Result<PageChoice, String> {
        let word = word.as_ref();
        match word.shown().as_ref() {
            "chat" => Ok(PageChoice::Chat),
            "none" => Ok(PageChoice::None),
            text if text.contains(['.', '/']) => {
                let page = Page::file(Path::new(word)).map(PageChoice::File);
                page.map_err(|why| format!("can not be read: {why}"))
            }
            text => Err(format!("is none of chat, none and files such as ./{text}")),
        }
    }

    /// The page that is served whatever the other side is.
    pub(super) fn page(&self) -> Option<Page> {
        match self {
            PageChoice::Chat => Some(Page::Chat(Manners::default())),
            PageChoice::None => None,
            PageChoice::File(page) => Some(page.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_page_of_ours_and_a_path_is_a_file() {
        assert_eq!(PageChoice::parse("chat"), Ok(PageChoice::Chat));
        assert_eq!(PageChoice::parse("none"), Ok(PageChoice::None));
        let bare = "is none of chat, none and files such as ./Chat";
        assert_eq!(PageChoice::parse("Chat"), Err(bare.to_owned()));
        for path in ["./chat", "none.html", "/no/such"] {
            let missing = "can not be read: no such file or directory".to_owned();
            assert_eq!(PageChoice::parse(path), Err(missing), "{path}");
        }
        let folder = PageChoice::parse("/");
        assert_eq!(folder, Err("can not be read: it is no file".to_owned()));
    }
}
