//! The size of a terminal, as a caller's page says it.

use serde::Deserialize;
use serde::de::Error;

use crate::caller::Caller;

/// Bytes of a message that may be a size.
pub(super) const MAX_MESSAGE: usize = 256;

/// A terminal's size in characters, as `?cols=80&rows=24` and resize messages write it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Size {
    pub(super) cols: u16,
    pub(super) rows: u16,
}

impl Size {
    /// What programs take for granted where nobody says anything.
    pub(super) const USUAL: Size = Size { cols: 80, rows: 24 };

    /// Reads a resize message: `{"cols":80,"rows":24}`.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn read(message: &[u8]) -> serde_json::Result<Size> {
        let size: Size = serde_json::from_slice(message)?;
        if size.cols == 0 || size.rows == 0 {
            return Err(serde_json::Error::custom(
                "a terminal has a column and a row",
            ));
        }
        Ok(size)
    }

    /// Returns the resize message that says it.
    pub(super) fn message(self) -> String {
        format!("{{\"cols\":{},\"rows\":{}}}", self.cols, self.rows)
    }

    /// Returns the largest size that is within both.
    pub(super) fn within(self, other: Size) -> Size {
        Size {
            cols: self.cols.min(other.cols),
            rows: self.rows.min(other.rows),
        }
    }
}

/// What a caller's page asks for in its query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// `&cols=120`, more than 0.
    pub(super) cols: Option<u16>,
    /// `&rows=40`, more than 0.
    pub(super) rows: Option<u16>,
    /// Whether its text messages are sizes, and its binary ones input: `&resize=1`.
    pub(super) resizes: bool,
}

impl Asked {
    /// Reads the query of a caller's URI.
    pub(super) fn by(caller: &Caller) -> Asked {
        let mut asked = Asked::default();
        let uri = caller.uri.as_ref();
        let query = uri.and_then(|uri| uri.query()).unwrap_or_default();
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let number = value.parse().ok().filter(|number| *number > 0);
            match (key, number) {
                ("cols", Some(cols)) => asked.cols = Some(cols),
                ("rows", Some(rows)) => asked.rows = Some(rows),
                ("resize", Some(_)) => asked.resizes = true,
                _ => {}
            }
        }
        asked
    }

    /// Returns the size that was asked for, where any was.
    pub(super) fn size(self) -> Option<Size> {
        if self.cols.is_none() && self.rows.is_none() {
            return None;
        }
        Some(Size {
            cols: self.cols.unwrap_or(Size::USUAL.cols),
            rows: self.rows.unwrap_or(Size::USUAL.rows),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, size: Option<(u16, u16)>, resizes: bool) {
        let mut caller = Caller::new("test");
        caller.uri = Some(format!("/{query}").parse().unwrap());
        let asked = Asked::by(&caller);
        let found = asked.size().map(|size| (size.cols, size.rows));
        assert_eq!((found, asked.resizes), (size, resizes), "{query}");
    }

    #[test]
    fn a_page_says_its_size_in_the_query() {
        check("", None, false);
        check("?cols=120&rows=40", Some((120, 40)), false);
        check("?rows=40&resize=1&x=y", Some((80, 40)), true);
        check("?cols=0&rows=70000&resize=no", None, false);
        check("?cols=-1&rows=&resize", None, false);
    }

    #[test]
    fn a_size_is_written_as_it_is_read() {
        let size = Size { cols: 7, rows: 300 };
        assert_eq!(Size::read(size.message().as_bytes()).unwrap(), size);
        let within = size.within(Size { cols: 80, rows: 24 });
        assert_eq!(within, Size { cols: 7, rows: 24 });
        assert!(Size::read(b"{\"cols\":1,\"rows\":2,\"x\":3}").is_err());
        assert!(Size::read(b"{\"cols\":0,\"rows\":2}").is_err());
        assert!(Size::read(b"{\"cols\":1,\"rows\":0}").is_err());
    }
}
