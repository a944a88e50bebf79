//! Taking a server out for a while because requests to it fail: nginx's `max_fails`, and a rule by rate.

mod standing;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::spec::Percent;
pub use standing::Standing;

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
    /// When it was taken out last, and for how long.
    ejected_at: u64,
    length: u64,
    /// For how long by rate the last time; 0: not yet.
    rate_length: u64,
    came_back: u64,
    /// When the attempt began that tells whether it is back; 0: none is under way.
    trial: u64,
}

/// For how long a server is to be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The time.
    pub length: Duration,
    by_rate: bool,
}

impl From<Duration> for Due {
    fn from(length: Duration) -> Self {
        Self {
            length,
            by_rate: false,
        }
    }
}

/// What an attempt at a server is that was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The one that tells whether the server is back.
    Trial,
    /// Another one is: the server stays out for this one.
    Lost,
    /// None: the server is in again.
    None,
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

    /// An attempt begins at `now` at a server whose time is over: it stays out for all others until this one has told
    /// (nginx does so too). Of several the first is that one.
    pub fn try_again(&self, now: u64) -> Claim {
        let mut counts = self.lock();
        match self.until.load(Ordering::Relaxed) {
            0 => Claim::None,
            until if until > now => Claim::Lost,
            _ => {
                counts.trial = now;
                let next = now.saturating_add(counts.length.max(1));
                self.until.store(next, Ordering::Relaxed);
                Claim::Trial
            }
        }
    }

    /// The attempt that began at `trial` and was to tell whether the server is back has told nothing: the next one may.
    /// Answers whether it was still to tell.
    pub fn told_nothing(&self, trial: u64) -> bool {
        let mut counts = self.lock();
        let is_open = counts.trial == trial;
        if is_open {
            counts.trial = 0;
            self.until.store(trial, Ordering::Relaxed);
        }
        is_open
    }

    /// Whether an attempt that began then says something about a server that was taken out: it is no news that one from
    /// before goes well.
    pub fn is_news(&self, began: u64) -> bool {
        began > self.lock().ejected_at
    }

    /// It answers, or its checks say so: it is in again.
    pub fn readmit(&self, now: u64) {
        if self.is_unproven() {
            let mut counts = self.lock();
            (counts.fails, counts.failures, counts.window_began) = (0, 0, 0);
            counts.trial = 0;
            counts.came_back = now;
            self.until.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a failure at `now` of an attempt that `began` then, with the server's number of attempts so far. Answers for
    /// how long it is to be ejected, if it is: at once if it failed on being tried again.
    pub fn failed(
        &self,
        failure: Failure,
        rules: &EjectionRules,
        attempts: u64,
        began: u64,
        now: u64,
    ) -> Option<Due> {
        let mut counts = self.lock();
        let on_trial = counts.trial != 0 && began >= counts.trial;
        let is_old = self.is_unproven() && began <= counts.ejected_at;
        if !on_trial && (is_old || self.is_out(now)) {
            // It was under way when others ejected the server, or went there because all are out: it is no news, and a
            // crowd of such would make the next time out the longest.
            return None;
        }
        let by_number = failure == Failure::Attempt && counts.fails_reached(rules, now);
        let by_rate = rules
            .rate
            .filter(|rate| counts.rate_reached(rate, attempts, began, now) || on_trial);
        let by_trial = on_trial && failure == Failure::Attempt && rules.max_fails > 0;
        let due = match by_rate {
            Some(rate) => Some(Due {
                length: counts.next_length(&rate, on_trial, now),
                by_rate: true,
            }),
            None => (by_number || by_trial).then_some(rules.fail_timeout.into()),
        };
        due.filter(|due| !due.length.is_zero())
    }

    /// Takes it out for so long. The caller has made sure that its group can spare it.
    pub fn eject(&self, due: impl Into<Due>, now: u64) {
        let due = due.into();
        let mut counts = self.lock();
        (counts.fails, counts.failures, counts.window_began) = (0, 0, 0);
        counts.trial = 0;
        counts.ejected_at = now;
        counts.length = millis(due.length);
        if due.by_rate {
            counts.rate_length = counts.length;
        }
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

    fn rate_reached(&mut self, rule: &RateRule, attempts: u64, began: u64, now: u64) -> bool {
        let over = now.saturating_sub(self.window_began) > millis(rule.window);
        if over || self.window_began == 0 {
            self.window_began = now;
            self.attempts_before = attempts.saturating_sub(1);
            self.failures = 0;
        } else if began < self.window_began {
            // A failure that is counted here is counted with its attempt.
            self.attempts_before = self.attempts_before.saturating_sub(1);
        }
        self.failures = self.failures.saturating_add(1);
        let attempts = attempts.saturating_sub(self.attempts_before);
        attempts >= u64::from(rule.min_requests)
            && u64::from(self.failures) * 100 >= attempts * u64::from(rule.failure_rate.get())
    }

    /// Twice the last time, unless the server has been in for long since.
    fn next_length(&self, rule: &RateRule, on_trial: bool, now: u64) -> Duration {
        let was_in = now.saturating_sub(self.came_back) > millis(rule.eject_max);
        if self.rate_length == 0 || was_in && !on_trial {
            return rule.eject.min(rule.eject_max);
        }
        let doubled = Duration::from_millis(self.rate_length.saturating_mul(2));
        doubled.min(rule.eject_max)
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
