//! How long to wait before a connection is tried again: full jitter below a ceiling that doubles.

use std::time::Duration;

use rand::{Rng, RngExt};

/// The first ceiling.
const FIRST: Duration = Duration::from_secs(1);

/// The waits of one endpoint that is tried again and again.
#[derive(Clone, Debug)]
pub struct Backoff {
    /// The next wait is any time below this.
    ceiling: Duration,
    /// What the ceiling grows to.
    most: Duration,
    /// How many waits there are; `None` is without end.
    retries: Option<u32>,
    attempt: u32,
}

impl Backoff {
    pub(crate) fn new(most: Duration, retries: Option<u32>) -> Backoff {
        Backoff {
            ceiling: FIRST.min(most),
            most,
            retries,
            attempt: 0,
        }
    }

    /// The next wait and the number of the attempt that it is for, as long as there is one. What the server asked for comes
    /// first, so that those whom it sends away together do not come back together.
    pub(in crate::endpoint) fn next(
        &mut self,
        asked: Option<Duration>,
        chance: &mut impl Rng,
    ) -> Option<(Duration, u32)> {
        if self.retries.is_some_and(|most| self.attempt >= most) {
            return None;
        }
        self.attempt += 1;
        let wait = self.ceiling.mul_f64(chance.random_range(0.0..1.0));
        self.ceiling = (2 * self.ceiling).min(self.most);
        Some((asked.unwrap_or_default() + wait, self.attempt))
    }

    /// The next wait, where nothing was asked for.
    pub fn wait(&mut self) -> Option<Duration> {
        self.next(None, &mut rand::rng()).map(|(wait, _)| wait)
    }

    /// Begins anew, after a connection that lasted.
    pub(in crate::endpoint) fn reset(&mut self) {
        *self = Backoff::new(self.most, self.retries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn each_wait_is_below_a_ceiling_that_doubles_to_the_most() {
        let mut chance = SmallRng::seed_from_u64(1);
        let mut longest = [Duration::ZERO; 9];
        for _ in 0..2000 {
            let mut backoff = Backoff::new(MINUTE, None);
            for longest in &mut longest {
                *longest = backoff.next(None, &mut chance).unwrap().0.max(*longest);
            }
        }
        for (longest, ceiling) in longest.iter().zip([1, 2, 4, 8, 16, 32, 60, 60, 60]) {
            let ceiling = Duration::from_secs(ceiling);
            assert!(*longest < ceiling && *longest > ceiling.mul_f64(0.99));
        }
    }

    #[test]
    fn waits_are_numbered_counted_and_begin_anew() {
        let mut chance = SmallRng::seed_from_u64(1);
        let mut backoff = Backoff::new(Duration::from_millis(10), Some(2));
        let mut next = |backoff: &mut Backoff, asked| backoff.next(asked, &mut chance);
        let (wait, attempt) = next(&mut backoff, None).unwrap();
        assert!(wait < Duration::from_millis(10) && attempt == 1);
        let (wait, attempt) = next(&mut backoff, Some(MINUTE)).unwrap();
        assert!(wait >= MINUTE && wait < MINUTE + Duration::from_millis(10) && attempt == 2);
        assert_eq!(next(&mut backoff, None), None);
        backoff.reset();
        assert_eq!(next(&mut backoff, None).unwrap().1, 1);
    }

    /// 200 clients that lose their server in one instant, while it is away for five minutes.
    #[test]
    fn no_second_has_more_than_twice_the_mean_of_its_phase() {
        let mut chance = SmallRng::seed_from_u64(7);
        let mut attempts = vec![0_u32; 300];
        for _ in 0..200 {
            let mut backoff = Backoff::new(Duration::from_secs(2), None);
            let mut at = Duration::ZERO;
            loop {
                at += backoff.next(None, &mut chance).unwrap().0;
                match attempts.get_mut(usize::try_from(at.as_secs()).unwrap()) {
                    Some(count) => *count += 1,
                    None => break,
                }
            }
        }
        let mean = f64::from(attempts.iter().sum::<u32>()) / 300.0;
        let most = f64::from(*attempts.iter().max().unwrap());
        assert!((190.0..210.0).contains(&mean), "{mean} a second");
        assert!(most < 2.0 * mean, "{most} in one second, {mean} on average");
    }
}
