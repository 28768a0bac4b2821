//! When sessions have ended in such numbers that the memory which they leave behind is worth giving back.

/// Sessions up to which nothing is given back: they leave less behind than is kept for the next ones.
const FEW: usize = 64;

/// The sessions that there are, as they are counted from time to time.
#[derive(Debug, Default)]
pub(super) struct Ebb {
    /// The most since memory was last given back.
    most: usize,
    /// How many there were at the last look.
    seen: usize,
    /// Whether more have ended, or may have, since memory was last given back.
    is_falling: bool,
}

impl Ebb {
    /// Notes that there are more.
    pub(super) fn rise(&mut self, count: usize) {
        self.most = self.most.max(count);
    }

    /// Whether there is anything to look for.
    pub(super) fn is_watched(&self) -> bool {
        self.most > FEW || self.is_falling
    }

    /// Looks at how many there are. Memory is to be given back each time they have become half as many, and once more when no
    /// further ones end: the last ones have borrowed buffers to say their goodbyes.
    pub(super) fn is_due(&mut self, count: usize) -> bool {
        let is_still = std::mem::replace(&mut self.seen, count) == count;
        if self.most > FEW && count < self.most / 2 {
            (self.most, self.is_falling) = (count, true);
            return true;
        }
        is_still && std::mem::take(&mut self.is_falling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions at each look, after so many at most, and whether memory is given back then.
    #[track_caller]
    fn check(most: usize, looks: &[(usize, bool)]) {
        let mut ebb = Ebb::default();
        ebb.rise(most);
        for (at, (count, is_due)) in looks.iter().enumerate() {
            assert_eq!(
                ebb.is_watched() && ebb.is_due(*count),
                *is_due,
                "look {at} of {looks:?}"
            );
        }
    }

    #[test]
    fn memory_is_given_back_at_each_half_and_when_all_is_still() {
        check(5000, &[(5000, false), (3000, false), (2400, true)]);
        check(5000, &[(2400, true), (2000, false), (1100, true)]);
        // The last few are no half of anything that counts.
        check(
            5000,
            &[(60, true), (20, false), (0, false), (0, true), (0, false)],
        );
        check(5000, &[(0, true), (0, true), (0, false), (0, false)]);
        check(5000, &[(2400, true), (2400, true), (2400, false)]);
        check(FEW, &[(FEW, false), (0, false), (0, false)]);
    }
}
