//! The sizes of callers' pages, where what is shared is a terminal: the smallest of all is its size.

use std::collections::BTreeMap;

use tracing::debug;

use crate::endpoint::size::{Asked, Size};

/// What callers say of their sizes, by the number of each.
#[derive(Default)]
pub(super) struct Sizes {
    callers: BTreeMap<u64, Of>,
    /// The size that the terminal has, or is about to have.
    told: Option<Size>,
}

/// What one caller says.
struct Of {
    /// Its size, once it has said one.
    size: Option<Size>,
    /// Whether its text messages are sizes.
    resizes: bool,
}

impl Sizes {
    /// Adds a caller. Returns the size that the terminal is to have now, where that is another.
    pub(super) fn enter(&mut self, id: u64, asked: Asked) -> Option<Size> {
        let of = Of {
            size: asked.size(),
            resizes: asked.resizes,
        };
        self.callers.insert(id, of);
        self.changed()
    }

    /// Removes a caller. Returns the size that the terminal is to have now, where that is another.
    pub(super) fn leave(&mut self, id: u64) -> Option<Size> {
        self.callers.remove(&id)?;
        self.changed()
    }

    /// Whether text of a caller is a size and never typed.
    pub(super) fn resizes(&self, id: u64) -> bool {
        self.callers.get(&id).is_some_and(|of| of.resizes)
    }

    /// Takes a caller's size. Returns the size that the terminal is to have now, where that is another.
    pub(super) fn resize(&mut self, id: u64, message: &[u8]) -> Option<Size> {
        match Size::read(message) {
            Ok(size) => self.callers.get_mut(&id)?.size = Some(size),
            // Input is binary here: nothing of it is lost.
            Err(error) => debug!("no size of a terminal: {error}"),
        }
        self.changed()
    }

    /// Returns the size that a terminal is to begin with.
    pub(super) fn first(&mut self) -> Size {
        let size = self.smallest().unwrap_or(Size::USUAL);
        self.told = Some(size);
        size
    }

    fn smallest(&self) -> Option<Size> {
        let sizes = self.callers.values().filter_map(|of| of.size);
        sizes.reduce(Size::within)
    }

    fn changed(&mut self) -> Option<Size> {
        // Where no caller has a size it stays as it is.
        let size = self.smallest()?;
        (self.told.replace(size) != Some(size)).then_some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(cols: u16, rows: u16) -> Option<Size> {
        Some(Size { cols, rows })
    }

    fn asked(cols: u16, rows: u16) -> Asked {
        Asked {
            cols: Some(cols),
            rows: Some(rows),
            resizes: true,
        }
    }

    #[test]
    fn the_smallest_of_all_callers_is_the_size() {
        let mut sizes = Sizes::default();
        assert_eq!(sizes.enter(1, Asked::default()), None);
        assert_eq!(sizes.enter(2, asked(120, 40)), size(120, 40));
        assert_eq!(sizes.enter(3, asked(100, 50)), size(100, 40));
        assert_eq!(sizes.resize(3, b"{\"cols\":90,\"rows\":30}"), size(90, 30));
        assert_eq!(sizes.resize(3, b"{\"cols\":90,\"rows\":30}"), None);
        assert_eq!(sizes.resize(3, b"exit\n"), None);
        assert!(sizes.resizes(3) && !sizes.resizes(1));
        assert_eq!(sizes.first(), Size { cols: 90, rows: 30 });
        assert_eq!(sizes.leave(3), size(120, 40));
        assert_eq!((sizes.leave(3), sizes.leave(1)), (None, None));
        // The last one leaves it as it is.
        assert_eq!(sizes.leave(2), None);
    }
}
