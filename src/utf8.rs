//! UTF-8 checked as it arrives, in pieces of any size, failing at the first byte that can not be right.

use std::str;

/// An incremental UTF-8 check (RFC 3629). It remembers at most three bytes: a character that is not complete yet.
#[derive(Clone, Debug, Default)]
pub struct Utf8 {
    partial: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// Takes the next bytes of the text.
    ///
    /// # Errors
    /// The offset into `bytes` of the character that is wrong; 0 where it had begun in an earlier piece.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), usize> {
        let mut before = 0;
        while self.len > 0 {
            let Some((&first, rest)) = bytes.split_first() else {
                return Ok(());
            };
            self.partial[self.len] = first;
            self.len += 1;
            bytes = rest;
            before += 1;
            match str::from_utf8(&self.partial[..self.len]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => return Err(0),
                Err(_) => {}
            }
        }
        match str::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(before + error.valid_up_to()),
            Err(error) => {
                let tail = &bytes[error.valid_up_to()..];
                self.partial[..tail.len()].copy_from_slice(tail);
                self.len = tail.len();
                Ok(())
            }
        }
    }

    /// Whether the text may end here.
    pub fn is_complete(&self) -> bool {
        self.len == 0
    }

    /// How many bytes of a character have come that is not complete, 0 to 3.
    pub fn partial_len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(pieces: &[&[u8]], expected: Result<bool, (usize, usize)>) {
        let mut utf8 = Utf8::default();
        for (index, piece) in pieces.iter().enumerate() {
            if let Err(at) = utf8.feed(piece) {
                assert_eq!(Err((index, at)), expected);
                return;
            }
        }
        assert_eq!(Ok(utf8.is_complete()), expected);
    }

    #[test]
    fn text_is_judged_byte_by_byte() {
        check(&[b"hello", b""], Ok(true));
        check(&["é".as_bytes()], Ok(true));
        check(&[&[0xc3], &[0xa9]], Ok(true));
        check(&[&[0xf0, 0x9f], &[0x98], &[0x80]], Ok(true));
        check(&[b"a", &[0xf0, 0x9f, 0x98]], Ok(false));
        check(&[b"ab\xff"], Err((0, 2)));
        // Fails at the byte that makes it impossible, not at the end of the character (Autobahn 6.4).
        check(&[&[0xf4], &[0x90]], Err((1, 0)));
        check(&[&[0xed, 0xa0]], Err((0, 0)));
        check(&[&[0xc0]], Err((0, 0)));
        check(&[&[0xe2, 0x82], b"a"], Err((1, 0)));
        check(&[&[0xe2], &[0x82, 0xac, 0xff]], Err((1, 2)));
    }

    proptest! {
        #[test]
        fn pieces_are_judged_as_the_whole(bytes: Vec<u8>, text: String, cuts: Vec<prop::sample::Index>, valid: bool) {
            let bytes = if valid { text.into_bytes() } else { bytes };
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let mut utf8 = Utf8::default();
            let (mut from, mut good) = (0, true);
            for to in cuts {
                good &= utf8.feed(&bytes[from..to]).is_ok();
                if !good { break; }
                from = to;
            }
            prop_assert_eq!(good && utf8.is_complete(), str::from_utf8(&bytes).is_ok());
        }
    }
}
