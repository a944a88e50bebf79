//! Taking a server out for a while because requests to it fail: nginx's `max_fails`, and a rule by rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::spec::Percent;

/// What failed, for the rules that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The attempt: no connection, no answer in time, a broken one.
    Attempt,
    /// The server answered, with a status of 500 or above: that counts by rate alone, since one bad page is no
    /// reason to take a server out.
    Answer,
}

/// When failures eject one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EjectionRules {
    /// So many failed attempts within `fail_timeout` eject it for `fail_timeout`; 0: never.
    pub max_fails: u32,
    /// Both the time in which failures are counted together and the time out.
    pub fail_timeout: Duration,
    /// The rule by rate, if the group has one.
    pub rate: Option<RateRule>,
}

/// Ejection by the share of failures, failed attempts and answers from 500 alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateRule {
    /// Of the attempts.
    pub failure_rate: Percent,
    /// With fewer attempts in the window no rate is taken.
    pub min_requests: u32,
    /// How long attempts are counted together.
    pub window: Duration,
    /// The first time out; each further one is twice the last.
    pub eject: Duration,
    /// The longest time out; also how long a server must stay in to begin with `eject` again.
    pub eject_max: Duration,
}

/// What requests observed of one server. All times are milliseconds by a clock that only goes on and is never at 0.
#[derive(Debug, Default)]
pub struct Ejection {
    /// When it may be tried again; 0: it is in.
    until: AtomicU64,
    /// For failures only: no request that succeeds comes here unless the server was out.
    counts: Mutex<Counts>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    /// Of `max_fails`: since when, and how many.
    first_fail: u64,
    fails: u32,
    /// Of the rate: since when, the server's attempts then, and failures since.
    window_began: u64,
    attempts_before: u64,
    failures: u32,
    /// How often in a row, and for how long the last time.
    row: u32,
    length: u64,
    came_back: u64,
    /// An attempt is under way that tells whether it is back.
    on_trial: bool,
}

impl Ejection {
    /// Whether it is out at `now`.
    pub fn is_out(&self, now: u64) -> bool {
        now < self.until.load(Ordering::Relaxed)
    }

    /// Whether it was ejected and has not answered since: one load, for every request.
    pub fn is_unproven(&self) -> bool {
        self.until.load(Ordering::Relaxed) != 0
    }

    /// When it may be tried again; 0: it is in.
    pub fn until(&self) -> u64 {
        self.until.load(Ordering::Relaxed)
    }

    /// An attempt at a server whose time is over: it stays out for all others until this one has told (nginx does so
    /// too). Whichever of several comes first is that one; answers whether this is.
    pub fn try_again(&self, now: u64) -> bool {
        let mut counts = self.lock();
        let until = self.until.load(Ordering::Relaxed);
        let is_first = until != 0 && until <= now;
        if is_first {
            counts.on_trial = true;
            let next = now.saturating_add(counts.length);
            self.until.store(next, Ordering::Relaxed);
        }
        is_first
    }

    /// The attempt that was to tell whether it is back has told nothing: the next one may.
    pub fn told_nothing(&self, now: u64) {
        let mut counts = self.lock();
        if std::mem::take(&mut counts.on_trial) {
            self.until.store(now, Ordering::Relaxed);
        }
    }

    /// It answers, or its checks say so: it is in again.
    pub fn readmit(&self, now: u64) {
        if self.is_unproven() {
            let mut counts = self.lock();
            (counts.fails, counts.failures, counts.window_began) = (0, 0, 0);
            counts.on_trial = false;
            counts.came_back = now;
            self.until.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a failure at `now`, with the server's number of attempts so far. Answers for how long it is to be ejected,
    /// if it is: at once if it failed on being tried again.
    pub fn failed(
        &self,
        failure: Failure,
        rules: &EjectionRules,
        attempts: u64,
        now: u64,
    ) -> Option<Duration> {
        let mut counts = self.lock();
        if self.is_out(now) && !counts.on_trial {
            // It was under way when others ejected the server, or went there because all are out: it is no news, and a
            // crowd of such would make the next time out the longest.
            return None;
        }
        let by_number = failure == Failure::Attempt && counts.fails_reached(rules, now);
        let by_rate = rules
            .rate
            .filter(|rate| counts.rate_reached(rate, attempts, now));
        let on_trial = counts.on_trial && failure == Failure::Attempt && rules.max_fails > 0;
        match by_rate {
            Some(rate) => Some(counts.next_length(&rate, now)),
            None => (by_number || on_trial).then_some(rules.fail_timeout),
        }
        .filter(|length| !length.is_zero())
    }

    /// Takes it out for so long. The caller has made sure that its group can spare it.
    pub fn eject(&self, length: Duration, now: u64) {
        let mut counts = self.lock();
        (counts.fails, counts.failures, counts.window_began) = (0, 0, 0);
        counts.on_trial = false;
        counts.length = millis(length);
        counts.row = counts.row.saturating_add(1);
        self.until
            .store(now.saturating_add(counts.length), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn fails_reached(&mut self, rules: &EjectionRules, now: u64) -> bool {
        if now.saturating_sub(self.first_fail) > millis(rules.fail_timeout) || self.fails == 0 {
            (self.first_fail, self.fails) = (now, 0);
        }
        self.fails = self.fails.saturating_add(1);
        rules.max_fails > 0 && self.fails >= rules.max_fails
    }

    fn rate_reached(&mut self, rule: &RateRule, attempts: u64, now: u64) -> bool {
        let over = now.saturating_sub(self.window_began) > millis(rule.window);
        if over || self.window_began == 0 {
            self.window_began = now;
            // This failure's own attempt is counted already.
            self.attempts_before = attempts.saturating_sub(1);
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let attempts = attempts.saturating_sub(self.attempts_before);
        attempts >= u64::from(rule.min_requests)
            && u64::from(self.failures) * 100 >= attempts * u64::from(rule.failure_rate.get())
    }

    fn next_length(&mut self, rule: &RateRule, now: u64) -> Duration {
        if now.saturating_sub(self.came_back) > millis(rule.eject_max) {
            self.row = 0;
        }
        let doubled = 1u32.checked_shl(self.row).unwrap_or(u32::MAX);
        rule.eject.saturating_mul(doubled).min(rule.eject_max)
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn number(max_fails: u32) -> EjectionRules {
        EjectionRules {
            max_fails,
            fail_timeout: 10 * SECOND,
            rate: None,
        }
    }

    fn rate() -> EjectionRules {
        EjectionRules {
            rate: Some(RateRule {
                failure_rate: Percent::new(50),
                min_requests: 20,
                window: 10 * SECOND,
                eject: 10 * SECOND,
                eject_max: 60 * SECOND,
            }),
            ..number(0)
        }
    }

    fn fail(ejection: &Ejection, rules: &EjectionRules, now: u64) -> bool {
        let due = ejection.failed(Failure::Attempt, rules, 1, now);
        if let Some(length) = due {
            ejection.eject(length, now);
        }
        due.is_some()
    }

    #[test]
    fn so_many_failures_within_the_time_eject_for_the_time() {
        let ejection = Ejection::default();
        assert!(!fail(&ejection, &number(3), 1_000));
        assert!(!fail(&ejection, &number(3), 2_000));
        assert!(fail(&ejection, &number(3), 11_000));
        assert!(ejection.is_out(20_999) && !ejection.is_out(21_000));
    }

    #[test]
    fn failures_that_lie_further_apart_are_not_added_up() {
        let ejection = Ejection::default();
        for now in [1_000, 12_000, 23_000, 34_000] {
            assert!(!fail(&ejection, &number(2), now));
        }
    }

    #[test]
    fn zero_never_ejects_and_a_bad_answer_is_no_failed_attempt() {
        let ejection = Ejection::default();
        assert!((1..100).all(|now| !fail(&ejection, &number(0), now)));
        for now in 1..100 {
            let due = ejection.failed(Failure::Answer, &number(1), 1, now);
            assert_eq!(due, None);
        }
    }

    #[test]
    fn after_its_time_one_attempt_decides() {
        let ejection = Ejection::default();
        let rules = number(3);
        assert!((1..4).any(|now| fail(&ejection, &rules, now)));
        assert!(!ejection.is_out(10_003) && ejection.is_unproven());
        ejection.try_again(10_003);
        assert!(ejection.is_out(10_004), "out for all others meanwhile");
        assert!(
            fail(&ejection, &rules, 10_005),
            "the first failure is enough"
        );
        ejection.try_again(20_005);
        ejection.readmit(20_006);
        assert!(!ejection.is_out(20_006) && !ejection.is_unproven());
        assert!(!fail(&ejection, &rules, 20_007), "it begins at none again");
    }

    #[test]
    fn failures_of_requests_that_were_under_way_already_count_as_one_ejection() {
        let ejection = Ejection::default();
        let rules = EjectionRules {
            max_fails: 1,
            ..rate()
        };
        assert!(fail(&ejection, &rules, 1_000));
        let until = ejection.until();
        assert!((1_001..1_100).all(|now| !fail(&ejection, &rules, now)));
        assert_eq!(ejection.until(), until);
        assert!(ejection.try_again(until) && !ejection.try_again(until + 1));
        assert!(fail(&ejection, &rules, until + 1), "the one that tells");
        assert!((2..100).all(|late| !fail(&ejection, &rules, until + late)));
        assert_eq!(ejection.lock().row, 2);
    }

    #[test]
    fn a_rate_needs_enough_attempts_and_counts_bad_answers() {
        let ejection = Ejection::default();
        let answer = |attempts, now| ejection.failed(Failure::Answer, &rate(), attempts, now);
        // Each second attempt fails: 10 of 20 are reached at the tenth failure or so.
        let due: Vec<_> = (1..=11).map(|n| answer(2 * n, n)).collect();
        assert_eq!(due.iter().position(Option::is_some), Some(10), "{due:?}");
        let ejection = Ejection::default();
        let seldom = (1..100).all(|n| {
            let due = ejection.failed(Failure::Answer, &rate(), 3 * n, n);
            due.is_none()
        });
        assert!(seldom, "a third is below the rate");
    }

    #[test]
    fn each_time_out_is_twice_the_last_up_to_the_longest() {
        let ejection = Ejection::default();
        let (mut now, mut attempts, mut lengths) = (1, 0, Vec::new());
        for _ in 0..5 {
            let length = loop {
                attempts += 1;
                if let Some(length) = ejection.failed(Failure::Attempt, &rate(), attempts, now) {
                    break length;
                }
            };
            ejection.eject(length, now);
            now += millis(length);
            ejection.readmit(now);
            lengths.push(length.as_secs());
        }
        assert_eq!(lengths, [10, 20, 40, 60, 60]);
        now += 60_001;
        attempts += 20;
        assert_eq!(
            ejection.failed(Failure::Attempt, &rate(), attempts, now),
            None,
            "a new window begins"
        );
    }

    #[test]
    fn a_trial_that_tells_nothing_leaves_the_next_one_to_tell() {
        let ejection = Ejection::default();
        ejection.eject(10 * SECOND, 1);
        ejection.told_nothing(5);
        assert!(ejection.is_out(6), "nothing was on trial");
        assert!(ejection.try_again(10_001));
        assert!(ejection.is_out(10_002));
        ejection.told_nothing(10_003);
        assert!(!ejection.is_out(10_003) && ejection.try_again(10_003));
    }
}
