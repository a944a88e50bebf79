use std::sync::atomic::Ordering;

use super::{Ejection, EjectionRules, millis};

/// How a server stands with the rules, for the process that comes after this one. All in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How much longer it is out; 0: the next request tells whether it is back. None: it is in.
    pub out_for: Option<u64>,
    /// For how long it was taken out the last time.
    pub length: u64,
    /// The same by rate, which the next time doubles; 0: not yet.
    pub rate_length: u64,
    /// How long it has been in since.
    pub in_for: u64,
}

impl Standing {
    /// The same so much later.
    pub fn after(self, passed: u64) -> Self {
        let in_for = if self.out_for.is_none() { passed } else { 0 };
        Self {
            out_for: self.out_for.map(|left| left.saturating_sub(passed)),
            in_for: self.in_for.saturating_add(in_for),
            ..self
        }
    }
}

impl Ejection {
    /// How it stands at `now`; none if it was never taken out, or that makes no difference any more.
    pub fn standing(&self, now: u64) -> Option<Standing> {
        let counts = self.lock();
        let until = self.until.load(Ordering::Relaxed);
        let is_out = until != 0;
        let in_for = now.saturating_sub(counts.came_back);
        (is_out || counts.rate_length != 0).then(|| Standing {
            out_for: is_out.then(|| until.saturating_sub(now)),
            length: counts.length,
            rate_length: counts.rate_length,
            in_for,
        })
    }

    /// Goes on at `now` where another process ended, as far as these rules take servers out. `is_spared`: asked if it is to
    /// be out, whether its group can do without it.
    pub fn go_on(
        &self,
        standing: Standing,
        rules: &EjectionRules,
        now: u64,
        is_spared: impl FnOnce() -> bool,
    ) {
        let by_number = (rules.max_fails > 0).then_some(rules.fail_timeout);
        let by_rate = rules.rate.map(|rate| rate.eject_max);
        let Some(longest) = by_number.max(by_rate).map(millis) else {
            return;
        };
        let out_for = standing.out_for.filter(|_| is_spared());
        let mut counts = self.lock();
        counts.length = standing.length.min(longest);
        counts.rate_length = by_rate.map_or(0, |most| standing.rate_length.min(millis(most)));
        counts.came_back = now.saturating_sub(standing.in_for);
        if let Some(left) = out_for {
            let until = now.saturating_add(left.min(longest));
            self.until.store(until.max(1), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::ejection::{Claim, Failure, RateRule};
    use crate::spec::Percent;

    fn rules(max_fails: u32, has_rate: bool) -> EjectionRules {
        let rate = RateRule {
            failure_rate: Percent::new(50),
            min_requests: 1,
            window: Duration::from_secs(10),
            eject: Duration::from_secs(10),
            eject_max: Duration::from_secs(300),
        };
        EjectionRules {
            max_fails,
            fail_timeout: Duration::from_secs(5),
            rate: has_rate.then_some(rate),
        }
    }

    fn ejected_at(now: u64, has_rate: bool) -> Ejection {
        let ejection = Ejection::default();
        let rules = rules(u32::from(!has_rate), has_rate);
        let due = ejection.failed(Failure::Attempt, &rules, 1, now, now);
        ejection.eject(due.unwrap(), now);
        ejection
    }

    fn taken_over(before: &Ejection, rules: &EjectionRules, at: u64, passed: u64) -> Ejection {
        let next = Ejection::default();
        let standing = before.standing(at).unwrap();
        next.go_on(standing.after(passed), rules, 1, || true);
        next
    }

    #[test]
    fn what_is_left_of_an_ejection_is_left_of_it_in_the_next_process() {
        let before = ejected_at(1000, false);
        let next = taken_over(&before, &rules(1, false), 2000, 1500);
        // 5 s, of which 1 s had passed when it was written, and 1.5 s when it was read.
        assert!(next.is_out(2500) && !next.is_out(2501));
        assert_eq!(next.try_again(2501), Claim::Trial);
        let again = next.failed(Failure::Attempt, &rules(9, false), 1, 2501, 2502);
        assert_eq!(again.unwrap().length, Duration::from_secs(5));
    }

    #[test]
    fn one_whose_time_is_over_is_tried_by_one_request() {
        let next = taken_over(&ejected_at(1000, false), &rules(1, false), 2000, 60_000);
        assert!(!next.is_out(1) && next.is_unproven());
        assert_eq!(next.try_again(1), Claim::Trial);
        assert_eq!(next.try_again(2), Claim::Lost);
    }

    #[test]
    fn the_next_time_out_doubles_as_if_nothing_had_been() {
        let before = ejected_at(1000, true);
        before.readmit(11_000);
        let next = taken_over(&before, &rules(0, true), 12_000, 1000);
        assert!(!next.is_unproven());
        let due = next.failed(Failure::Answer, &rules(0, true), 1, 5000, 5000);
        assert_eq!(due.unwrap().length, Duration::from_secs(20));
    }

    #[test]
    fn other_rules_and_groups_that_cannot_spare_it_leave_it_in() {
        let standing = ejected_at(1000, false).standing(1000).unwrap();
        let is_out = |rules: &EjectionRules, is_spared| {
            let next = Ejection::default();
            next.go_on(standing, rules, 1, || is_spared);
            next.is_out(1)
        };
        assert!(is_out(&rules(1, false), true) && is_out(&rules(0, true), true));
        assert!(!is_out(&rules(0, false), true));
        assert!(!is_out(&rules(1, false), false));
        assert_eq!(Ejection::default().standing(9), None);
    }

    #[test]
    fn a_shorter_rule_is_not_outlasted() {
        let standing = Standing {
            out_for: Some(300_000),
            length: 300_000,
            rate_length: 300_000,
            in_for: 0,
        };
        let next = Ejection::default();
        next.go_on(standing, &rules(1, false), 1, || true);
        assert!(next.is_out(5000) && !next.is_out(5001));
    }
}
