//! Where the records of TLS begin and end in a stream of bytes.

/// Bytes before each record: its type, its version, and how many follow (RFC 8446 5.1).
const HEADER: usize = 5;
/// Bytes of the longest record (RFC 5246 6.2.3).
const LONGEST: usize = HEADER + 16 * 1024 + 2048;

/// Looks only at lengths: what a record says is judged by who is given it.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Bytes of the record that was given in part.
    missing: usize,
}

impl Records {
    /// How many of these bytes belong to the first record: all that have come of it, and none before its length is known.
    pub(super) fn first(&mut self, bytes: &[u8]) -> usize {
        if self.missing == 0 {
            self.missing = length(bytes).map_or(0, |length| HEADER + length);
        }
        // One that is too long is refused by its header.
        bytes.len().min(self.missing).min(LONGEST)
    }

    /// The same, and where the record is whole the header that follows it, if that has come.
    pub(super) fn first_and_header(&mut self, bytes: &[u8]) -> usize {
        let count = self.first(bytes);
        // rustls has room for the longest record, and may hold the header of this one already.
        let has_header = (1..=LONGEST - 2 * HEADER).contains(&count)
            && count == self.missing
            && bytes.len() >= count + HEADER;
        count + if has_header { HEADER } else { 0 }
    }

    /// Goes on behind what was given.
    pub(super) fn advance(&mut self, given: &[u8]) {
        self.missing = match given.split_at_checked(self.missing) {
            Some((_, header)) => length(header).unwrap_or(0),
            None => self.missing - given.len(),
        };
    }
}

/// How many bytes follow the header that these begin with.
fn length(bytes: &[u8]) -> Option<usize> {
    let [_, _, _, high, low] = bytes.first_chunk::<HEADER>()?;
    Some(usize::from(u16::from_be_bytes([*high, *low])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives all away that comes in pieces of these sizes, and says where it was cut.
    fn cuts(wire: &[u8], sizes: &[usize], with_header: bool) -> Vec<usize> {
        let (mut records, mut at, mut come, mut cuts) = (Records::default(), 0, 0, vec![]);
        for size in sizes.iter().chain([&wire.len()]) {
            come = wire.len().min(come + size);
            loop {
                let bytes = &wire[at..come];
                let count = match with_header {
                    true => records.first_and_header(bytes),
                    false => records.first(bytes),
                };
                if count == 0 {
                    break;
                }
                records.advance(&bytes[..count]);
                at += count;
                cuts.push(at);
            }
        }
        cuts
    }

    proptest! {
        #[test]
        fn no_piece_crosses_the_end_of_a_record_and_none_is_left(
            lengths in prop::collection::vec(prop_oneof![0_u16..8, 0_u16..18_432], 1..8),
            sizes in prop::collection::vec(prop_oneof![1_usize..8, 1_usize..40_000], 0..20),
            with_header: bool,
        ) {
            let (mut wire, mut ends) = (Vec::new(), Vec::new());
            for length in &lengths {
                wire.extend([23, 3, 3]);
                wire.extend(length.to_be_bytes());
                wire.extend(vec![7; usize::from(*length)]);
                ends.push(wire.len());
            }
            let cuts = cuts(&wire, &sizes, with_header);
            prop_assert_eq!(cuts.last(), ends.last());
            let mut begin = 0;
            for cut in cuts {
                let crossed = ends.iter().filter(|end| begin < **end && **end < cut);
                for end in crossed {
                    prop_assert!(with_header && cut == end + HEADER, "{begin} {end} {cut}");
                }
                begin = cut;
            }
        }
    }

    #[test]
    fn a_length_that_no_record_has_is_given_as_far_as_it_matters() {
        let mut records = Records::default();
        let wire = [0xFF; 100_000];
        assert_eq!(records.first_and_header(&wire), LONGEST);
    }
}
