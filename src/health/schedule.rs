#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use pingora_core::Error;
use tokio::time::{Instant, sleep_until, timeout};

use super::groups::Watch;
use super::probe::Aim;
use super::{HealthChecker, ProbeEnd};
use crate::clock;
use crate::domain::damping::Damping;
use crate::domain::server::{Health, LastCheck, ServerState};
use crate::domain::streak::Streak;
use crate::spec::{Address, Name};

/// The probes of one server, one after the other.
pub(super) struct Schedule {
    pub(super) checker: Arc<HealthChecker>,
    pub(super) watch: Watch,
    pub(super) upstream: Name,
    pub(super) address: Address,
    /// The name that it was found by.
    pub(super) found_by: Option<Address>,
    pub(super) state: Arc<ServerState>,
}

/// What the probes of one server have come to so far.
struct Course {
    streak: Streak,
    damping: Damping,
    begun: Instant,
}

/// What one probe came to.
struct Outcome {
    end: ProbeEnd,
    detail: String,
    took: Duration,
}

impl Schedule {
    /// Probes until it is dropped: first at a random point of the first interval, so that servers
    /// that came together are not probed together; then an interval, give or take 10 %, after the
    /// start of the probe before.
    pub(super) async fn run(self) {
        let aim = match self.aim() {
            Ok(aim) => aim,
            Err(reason) => {
                log::error!(
                    "server {} of {} cannot be probed: {reason}",
                    self.address,
                    self.upstream
                );
                return;
            }
        };
        let check = &self.watch.check;
        let mut course = Course {
            streak: Streak::new(check.fall, check.rise),
            damping: Damping::default(),
            begun: Instant::now(),
        };
        let mut due = Instant::now() + check.interval.mul_f64((self.checker.random)());
        loop {
            let late = wait_until(due).await;
            // The group's permit first: servers of a group that waits for itself must not hold the
            // permits that other groups could use.
            let permits = (
                self.watch.permits.acquire().await,
                self.checker.permits.acquire().await,
            );
            let started = Instant::now();
            let outcome = self.probe(&aim, late).await;
            drop(permits);
            let end = outcome.end;
            self.record(&mut course, outcome);
            due = started + self.jittered(self.pause(end));
        }
    }

    fn aim(&self) -> Result<Aim, String> {
        let port = self.watch.check.port;
        let probed = self.address.ip().zip(port);
        let probed = probed.map(|(server, port)| Address::Ip((server.ip(), port).into()));
        let forbidden = &self.checker.forbidden;
        match probed.and_then(|address| forbidden.reason(&address)) {
            Some(reason) => Err(reason),
            None => match Aim::new(&self.address, port) {
                Ok(aim) => Ok(aim.found_by(self.found_by.as_ref())),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    /// The time until the next probe. A result that differs from the verdict is looked into sooner: the server may be on
    /// its way out, or back. One that does not count says neither.
    fn pause(&self, end: ProbeEnd) -> Duration {
        let check = &self.watch.check;
        match (self.state.health(), end) {
            (Health::Up, ProbeEnd::Pass | ProbeEnd::Discarded) => check.interval,
            (Health::Unknown, ProbeEnd::Discarded) => check.interval,
            (Health::Down, ProbeEnd::Fail | ProbeEnd::Timeout | ProbeEnd::Discarded) => {
                check.interval_down
            }
            _ => check.interval_changing,
        }
    }

    fn jittered(&self, pause: Duration) -> Duration {
        let jitter = (self.checker.random)() * 2.0 - 1.0;
        pause.mul_f64(1.0 + JITTER * jitter)
    }

    async fn probe(&self, aim: &Aim, late: Duration) -> Outcome {
        let deadline = self.watch.check.timeout;
        let started = Instant::now();
        let lost = self.checker.pulse.lost(started);
        let answer = timeout(deadline, self.watch.probe.check(aim.target())).await;
        let took = started.elapsed();
        let (end, detail) = match answer {
            Ok(Ok(())) => (ProbeEnd::Pass, aim.seen()),
            Ok(Err(error)) => (ProbeEnd::Fail, reason(&error)),
            Err(_) => (ProbeEnd::Timeout, format!("timeout after {deadline:?}")),
        };
        let lost = self.checker.pulse.lost(Instant::now()).saturating_sub(lost);
        // A beat may have been late as long as the probe's own timers were: it is one delay, not two.
        let late = lost.max(late.max(took.saturating_sub(deadline)));
        if end != ProbeEnd::Pass && late > deadline / TOO_LATE {
            return self.discarded(&detail, took, late);
        }
        Outcome { end, detail, took }
    }

    /// A pass is a pass, however late; whatever else was seen may be this process's own doing.
    fn discarded(&self, detail: &str, took: Duration, late: Duration) -> Outcome {
        let late = late.as_millis();
        if self.checker.pulse.discard(Instant::now()) {
            log::warn!(
                "this process is too busy to judge servers: a probe of {} of {} ({detail}) was {late} ms late, and as long as that is so none that fails counts",
                self.address,
                self.upstream
            );
        }
        Outcome {
            end: ProbeEnd::Discarded,
            detail: format!("{detail}; not counted: this process was {late} ms late"),
            took,
        }
    }

    fn record(&self, course: &mut Course, outcome: Outcome) {
        let at = (self.checker.clock)();
        let passed = outcome.end == ProbeEnd::Pass;
        self.state.add_check(LastCheck {
            at,
            ok: passed,
            duration_ms: u32::try_from(outcome.took.as_millis()).unwrap_or(u32::MAX),
            detail: outcome.detail.as_str().into(),
        });
        self.checker.observer.probed(outcome.end);
        let now = u64::try_from(course.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let rise = self.passes_needed(&course.damping, now);
        course.streak.set_rise(rise);
        if outcome.end != ProbeEnd::Discarded
            && let Some(health) = course.streak.record(passed)
            && self.state.set_health(health, at)
        {
            if health == Health::Down {
                course.damping.fall(now);
            }
            if health == Health::Up {
                // Two in a row and more have passed since it was down: that says more than requests before.
                self.state.readmit(clock::monotonic_ms());
            }
            self.announce(health, rise, &outcome.detail);
        }
    }

    /// A server that flaps has to pass more often, unless nothing better is left.
    fn passes_needed(&self, damping: &Damping, now: u64) -> u32 {
        let rise = self.watch.check.rise;
        let passes = damping.passes(rise, now);
        if passes == rise || self.state.health() != Health::Down {
            return rise;
        }
        let snapshot = self.checker.snapshot.load_full();
        let upstream = snapshot.upstream(&self.upstream);
        match upstream.is_none_or(|upstream| upstream.is_all_down()) {
            true => rise,
            false => passes,
        }
    }

    fn announce(&self, health: Health, rise: u32, detail: &str) {
        let (upstream, address) = (&self.upstream, &self.address);
        let check = &self.watch.check;
        let reason = if health == Health::Down {
            let reason = format!("{}, last: {detail}", counted(check.fall, "failure", "s"));
            log::warn!("server {address} of {upstream} is down: {reason}");
            reason
        } else {
            let reason = format!("{}, last: {detail}", counted(rise, "pass", "es"));
            log::info!("server {address} of {upstream} is up: {reason}");
            reason
        };
        let checker = &self.checker;
        checker.observer.verdict(upstream, address, health, &reason);
        if let Some(upstream) = checker.snapshot.load_full().upstream(upstream) {
            checker.outages.look(upstream);
        }
    }
}

/// A probe that fails counts for nothing if more than the deadline divided by this was lost.
const TOO_LATE: u32 = 4;

/// An interval varies by so much of itself, both ways.
const JITTER: f64 = 0.1;

/// Waits, and answers how much too late the timer fired: how busy this process is. A moment already
/// past when the wait begins is the probe's doing (it took longer than an interval), not a delay.
async fn wait_until(due: Instant) -> Duration {
    let due = due.max(Instant::now());
    sleep_until(due).await;
    due.elapsed()
}

fn reason(error: &Error) -> String {
    let explained = error.context.as_ref().map(|context| context.as_str());
    explained.unwrap_or(error.reason_str()).to_owned()
}

/// A streak needs at least one result, also when 0 were asked for.
fn counted(count: u32, noun: &str, plural: &str) -> String {
    match count {
        0 | 1 => format!("1 {noun}"),
        _ => format!("{count} {noun}{plural}"),
    }
}
