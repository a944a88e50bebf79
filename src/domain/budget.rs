//! How many retries a group allows: a share of its requests, so that servers that all fail are not asked much more
//! often than clients ask.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::spec::Percent;

/// Counts requests for all, and retries against them, over a window that slides. Survives snapshots.
#[derive(Debug, Default)]
pub struct Budget {
    requests: AtomicU64,
    window: Mutex<Window>,
}

/// What was counted in the window before, and where this one began.
#[derive(Debug, Default)]
struct Window {
    began: u64,
    requests_then: u64,
    retries: u64,
    last_requests: u64,
    last_retries: u64,
}

/// In milliseconds. Finagle and linkerd look at the last ten seconds too.
const WINDOW: u64 = 10_000;

/// Always allowed within a window, so that a group with few requests can retry at all: three a second.
pub const FLOOR: u64 = 30;

impl Budget {
    /// Counts a request's first attempt.
    pub fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one retry from what `share` of the requests allows at `now` (milliseconds by a clock that only goes on).
    /// Only a request that has failed comes here: the lock is held for a few additions.
    pub fn spend(&self, share: Percent, now: u64) -> bool {
        if share.get() == 100 {
            return true;
        }
        let requests = self.requests.load(Ordering::Relaxed);
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = window.slide(requests, now);
        // The share of the window before that the last ten seconds still reach into.
        let kept = |count: u64| count * (WINDOW - elapsed) / WINDOW;
        let seen = requests.saturating_sub(window.requests_then) + kept(window.last_requests);
        let allowed = (seen * u64::from(share.get()) / 100).max(FLOOR);
        let spent = window.retries + kept(window.last_retries);
        let is_allowed = spent < allowed;
        window.retries += u64::from(is_allowed);
        is_allowed
    }
}

impl Window {
    /// Begins a new window where this one is over, and answers for how long the current one lasts. Nobody asked after
    /// its end: so its retries all lie within it, and its requests are taken as evenly spread until now.
    fn slide(&mut self, requests: u64, now: u64) -> u64 {
        let elapsed = now.saturating_sub(self.began);
        if elapsed < WINDOW {
            return elapsed;
        }
        let since = u128::from(requests.saturating_sub(self.requests_then));
        self.last_requests = (since * u128::from(WINDOW) / u128::from(elapsed)) as u64;
        self.last_retries = if elapsed < 2 * WINDOW {
            self.retries
        } else {
            0
        };
        (self.began, self.requests_then, self.retries) = (now, requests, 0);
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `rate` requests a second that all want a retry, for so many seconds: attempts for each request.
    fn all_failing(budget: &Budget, rate: u64, from: u64, seconds: u64) -> f64 {
        let (mut requests, mut retries) = (0, 0);
        for millisecond in 0..seconds * 1000 {
            for _ in 0..rate / 1000 {
                budget.request();
                requests += 1;
                retries += u64::from(budget.spend(Percent::new(10), from + millisecond));
            }
        }
        (requests + retries) as f64 / requests as f64
    }

    #[test]
    fn when_all_fail_there_is_a_tenth_more_attempts_and_no_more() {
        for from in [1, 3_600_000] {
            let ratio = all_failing(&Budget::default(), 2_000, from, 60);
            assert!((1.09..=1.1).contains(&ratio), "{ratio}");
        }
    }

    #[test]
    fn a_few_retries_are_always_allowed() {
        let budget = Budget::default();
        let spent =
            |from: u64| (from..from + 1000).filter(|&now| budget.spend(Percent::new(10), now));
        assert_eq!(spent(50_000).count() as u64, FLOOR);
        assert_eq!(spent(80_000).count() as u64, FLOOR);
        assert!((1..100).all(|now| budget.spend(Percent::new(100), now)));
    }

    #[test]
    fn requests_of_an_hour_ago_pay_for_nothing_now() {
        let budget = Budget::default();
        (0..1_000_000).for_each(|_| budget.request());
        assert!(budget.spend(Percent::new(10), 3_600_000));
        let spent = (3_600_000..3_601_000).filter(|&now| budget.spend(Percent::new(10), now));
        let of_ten_seconds = 1_000_000 * 10 / 3600 / 10;
        assert!(spent.count() <= of_ten_seconds);
    }
}
