//! When results become a verdict: `fall` failures in a row, or `rise` passes in a row.

use super::server::Health;

/// Results of one kind in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streak {
    fall: u32,
    rise: u32,
    passing: bool,
    length: u32,
}

impl Streak {
    /// No results yet. A verdict needs at least one result: 0 counts as 1.
    pub fn new(fall: u32, rise: u32) -> Self {
        Self {
            fall: fall.max(1),
            rise: rise.max(1),
            passing: false,
            length: 0,
        }
    }

    /// So many passes in a row make a verdict from now on.
    pub fn set_rise(&mut self, rise: u32) {
        self.rise = rise.max(1);
    }

    /// Takes a result; answers the verdict when this result completes one.
    pub fn record(&mut self, passed: bool) -> Option<Health> {
        self.length = if self.passing == passed {
            self.length.saturating_add(1)
        } else {
            1
        };
        self.passing = passed;
        match passed {
            true if self.length >= self.rise => Some(Health::Up),
            false if self.length >= self.fall => Some(Health::Down),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule in other words: look at the last results.
    fn naive(results: &[bool], fall: usize, rise: usize) -> Option<Health> {
        let last = |count: usize, passed: bool| {
            results.len() >= count
                && results[results.len() - count..]
                    .iter()
                    .all(|&result| result == passed)
        };
        match (last(rise, true), last(fall, false)) {
            (true, _) => Some(Health::Up),
            (_, true) => Some(Health::Down),
            _ => None,
        }
    }

    proptest! {
        #[test]
        fn a_streak_is_the_naive_rule(results in prop::collection::vec(any::<bool>(), 0..60), fall in 1u32..6, rise in 1u32..6) {
            let mut streak = Streak::new(fall, rise);
            for end in 1..=results.len() {
                let verdict = streak.record(results[end - 1]);
                prop_assert_eq!(verdict, naive(&results[..end], fall as usize, rise as usize));
            }
        }
    }
}
