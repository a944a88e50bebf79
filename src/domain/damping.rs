//! A server that goes down again and again has to pass more often before it is up: each time twice as often, up to
//! 16 times. Two minutes without going down halve it again.

/// How often a server has gone down lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Damping {
    doublings: u32,
    /// When it went down last.
    fell: Option<u64>,
}

impl Damping {
    /// The server has gone down at `now` (milliseconds by a clock that only goes on). Once is no habit.
    pub fn fall(&mut self, now: u64) {
        let again = self
            .fell
            .is_some_and(|fell| now.saturating_sub(fell) < QUIET);
        self.doublings = (self.doublings_at(now) + u32::from(again)).min(MOST);
        self.fell = Some(now);
    }

    /// The passes in a row that make it up, where `rise` would do for another.
    pub fn passes(&self, rise: u32, now: u64) -> u32 {
        rise.saturating_mul(1 << self.doublings_at(now))
    }

    fn doublings_at(&self, now: u64) -> u32 {
        let quiet = self.fell.map_or(0, |fell| now.saturating_sub(fell) / QUIET);
        self.doublings
            .saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX))
    }
}

/// In milliseconds.
const QUIET: u64 = 120_000;
const MOST: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fall_costs_nothing_and_each_further_one_twice_as_many_passes() {
        let mut damping = Damping::default();
        let mut needed = vec![damping.passes(2, 0)];
        for fall in 0..7 {
            damping.fall(fall * 10_000);
            needed.push(damping.passes(2, fall * 10_000));
        }
        assert_eq!(needed, [2, 2, 4, 8, 16, 32, 32, 32]);
    }

    #[test]
    fn each_quiet_time_halves_them() {
        let mut damping = Damping::default();
        for now in [0, 1, 2, 3] {
            damping.fall(now);
        }
        let after = |quiet: u64| damping.passes(1, 3 + quiet * QUIET);
        assert_eq!([0, 1, 2, 3, 4, 1000].map(after), [8, 4, 2, 1, 1, 1]);
    }

    #[test]
    fn falls_far_apart_are_no_habit() {
        let mut damping = Damping::default();
        for fall in 0..10 {
            damping.fall(fall * QUIET);
        }
        assert_eq!(damping.passes(3, 9 * QUIET), 3);
        damping.fall(u64::MAX);
        assert_eq!(damping.passes(u32::MAX, u64::MAX), u32::MAX);
    }
}
