use std::sync::PoisonError;
use std::time::Duration;

use super::Upstream;
use crate::domain::ejection::{EjectionRules, Failure, RateRule};
use crate::domain::server::Server;
use crate::spec::{OutlierSpec, Percent, Span};

impl Upstream {
    /// Counts a failed attempt at a server at `now` (milliseconds by a clock that only goes on). Answers for how long the
    /// server is taken out, if that ejects it.
    pub fn failed(&self, server: &Server, now: u64) -> Option<Duration> {
        self.record(server, Failure::Attempt, now)
    }

    /// Counts an answer. One that is no failure by the group's rules puts a server that was out in again.
    pub fn answered(
        &self,
        server: &Server,
        status: u16,
        now: impl FnOnce() -> u64,
    ) -> Option<Duration> {
        if status < 500 || self.rate.is_none() {
            if server.shared().ejection().is_unproven() {
                server.shared().readmit(now());
            }
            return None;
        }
        self.record(server, Failure::Answer, now())
    }

    fn record(&self, server: &Server, failure: Failure, now: u64) -> Option<Duration> {
        let rules = EjectionRules {
            max_fails: server.spec().max_fails,
            fail_timeout: server.spec().fail_timeout.duration(),
            rate: self.rate,
        };
        let state = server.shared();
        let length = state
            .ejection()
            .failed(failure, &rules, state.requests(), now)?;
        // One ejection of a group at a time, or two could each leave the other's server as the last.
        let one = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_spared = self.can_spare(server, now);
        if is_spared {
            state.ejection().eject(length, now);
        }
        drop(one);
        is_spared.then(|| {
            // Those who wait have to know when it comes back.
            self.queue.changed();
            length
        })
    }

    /// An attempt at a server that was out begins at `now`: it is the one that tells whether the server is back.
    pub fn tries_again(&self, server: &Server, now: u64) {
        if server.shared().ejection().try_again(now) {
            self.queue.changed();
        }
    }

    /// Whether a server may go out too: no more than the group's share of its usable servers, one at least, and never the
    /// last one. Looks at every server, which only a failure that ejects pays for.
    fn can_spare(&self, server: &Server, now: u64) -> bool {
        let usable = self.servers.iter().filter(|server| server.is_usable());
        let (mut all, mut out) = (0, 0);
        for other in usable {
            all += 1;
            out += usize::from(other.id() != server.id() && other.shared().ejection().is_out(now));
        }
        let most = (all * usize::from(self.max_ejected.get()) / 100).max(1);
        // One that is not counted (its checks say that it is down) can go out freely.
        let last = !server.is_usable() || out + 1 < all;
        last && out < most
    }
}

/// Half of the servers: what is left of a group can carry at most about twice its load.
pub(super) const MAX_EJECTED: Percent = Percent::new(50);

impl RateRule {
    pub(super) fn new(spec: &OutlierSpec) -> Self {
        let or = |span: Option<Span>, seconds| span.unwrap_or(Span::from_secs(seconds)).duration();
        Self {
            failure_rate: spec.failure_rate.unwrap_or(Percent::new(50)),
            min_requests: spec.min_requests.unwrap_or(20),
            window: or(spec.window, 10),
            eject: or(spec.eject, 10),
            eject_max: or(spec.eject_max, 300),
        }
    }
}
