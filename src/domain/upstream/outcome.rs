use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Upstream;
use crate::domain::ejection::{EjectionRules, Failure, RateRule, Standing};
use crate::domain::server::Server;
use crate::spec::{OutlierSpec, Percent, Span};

impl Upstream {
    /// Counts a failed attempt at a server, which `began` and ended at `now` (milliseconds by a clock that only goes on).
    /// Answers for how long the server is taken out, if that ejects it.
    pub fn failed(&self, server: &Server, began: u64, now: u64) -> Option<Duration> {
        self.record(server, Failure::Attempt, began, now)
    }

    /// Counts an answer to an attempt that `began` then. One that is no failure by the group's rules puts a server that was
    /// out in again, if the attempt is from after that.
    pub fn answered(
        &self,
        server: &Server,
        status: u16,
        began: u64,
        now: impl FnOnce() -> u64,
    ) -> Option<Duration> {
        if status < 500 || self.rate.is_none() {
            let ejection = server.shared().ejection();
            if ejection.is_unproven() && ejection.is_news(began) {
                server.shared().readmit(now());
            }
            return None;
        }
        self.record(server, Failure::Answer, began, now())
    }

    fn record(&self, server: &Server, failure: Failure, began: u64, now: u64) -> Option<Duration> {
        let rules = self.rules(server);
        let state = server.shared();
        let due = state
            .ejection()
            .failed(failure, &rules, state.requests(), began, now)?;
        // One ejection of a group at a time, or two could each leave the other's server as the last.
        let one = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_spared = self.can_spare(server, now);
        if is_spared {
            state.ejection().eject(due, now);
        }
        drop(one);
        is_spared.then(|| {
            // Those who wait have to know when it comes back.
            self.queue.changed();
            due.length
        })
    }

    /// Goes on with an ejection where the process before this one ended.
    pub fn go_on(&self, server: &Server, standing: Standing, now: u64) {
        let one = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let ejection = server.shared().ejection();
        let is_spared = || self.can_spare(server, now);
        ejection.go_on(standing, &self.rules(server), now, is_spared);
        drop(one);
    }

    fn rules(&self, server: &Server) -> EjectionRules {
        EjectionRules {
            max_fails: server.spec().max_fails,
            fail_timeout: server.spec().fail_timeout.duration(),
            rate: self.rate,
        }
    }

    /// Whether a server may go out too: no more than the group's share of its usable servers, one at least if any, and never
    /// the last one, nor the last one of a part of the group. Looks at every server, which only a failure that ejects pays
    /// for.
    fn can_spare(&self, server: &Server, now: u64) -> bool {
        let beside = |servers: &[Arc<Server>]| {
            let usable = servers.iter().filter(|server| server.is_usable());
            usable.fold((0, 0), |(all, out), other| {
                let is_out = other.id() != server.id() && other.shared().ejection().is_out(now);
                (all + 1, out + usize::from(is_out))
            })
        };
        let (all, out) = beside(self.siblings.as_ref().unwrap_or(&self.servers));
        let share = usize::from(self.max_ejected.get());
        let most = (all * share / 100).max(share.min(1));
        let (own, own_out) = beside(&self.servers);
        // One that is not counted (its checks say that it is down) can go out freely.
        let is_not_last = !server.is_usable() || own_out + 1 < own;
        is_not_last && out < most
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::snapshot::Snapshot;
    use crate::domain::state::State;
    use crate::spec::{Name, Spec};

    /// Six servers, two of each rack, with a route to each rack.
    fn snapshot(max_ejected: &str) -> Snapshot {
        let rack = |at: usize| ["a", "b", "c"][at / 2];
        let server = |at| serde_json::json!({"address": format!("10.0.0.{at}"), "labels": {"rack": rack(at)}});
        let route =
            |rack| serde_json::json!({"hosts": [rack], "to": "web", "labels": {"rack": rack}});
        let spec: Spec = serde_json::from_value(serde_json::json!({
            "upstreams": {"web": {"max_ejected": max_ejected, "servers": (0..6).map(server).collect::<Vec<_>>()}},
            "routes": (["a", "b", "c"].map(route)),
        }))
        .unwrap();
        Snapshot::build(1, Arc::new(spec), None)
    }

    /// How many are ejected when every server fails, each seen by the part of the group that its rack is.
    fn ejected_by_parts(max_ejected: &str) -> usize {
        let snapshot = snapshot(max_ejected);
        let parts = ["a", "b", "c"].map(|rack| {
            let route = snapshot.routes().find(rack, "/").unwrap();
            snapshot.serving(route, rack).unwrap()
        });
        let fails = parts
            .iter()
            .flat_map(|part| part.servers().iter().map(move |server| (part, server)));
        fails
            .filter(|(part, server)| part.failed(server, 1, 1).is_some())
            .count()
    }

    #[test]
    fn parts_of_a_group_eject_no_more_than_the_group_spares() {
        let parts = ["1%", "34%", "50%", "100%"].map(ejected_by_parts);
        // With 100 % each part keeps its last one.
        assert_eq!(parts, [1, 2, 3, 3]);
    }

    #[test]
    fn zero_percent_ejects_none() {
        assert_eq!(ejected_by_parts("0%"), 0);
        let whole = snapshot("0%");
        let web = whole.upstream(&Name::new("web").unwrap()).unwrap();
        assert!(
            web.servers()
                .iter()
                .all(|server| web.failed(server, 1, 1).is_none())
        );
    }

    #[test]
    fn who_is_back_from_an_ejection_begins_slowly() {
        let spec: Spec = serde_json::from_str(
            r#"{"upstreams": {"web": {"servers": [{"address": "10.0.0.1", "slow_start": "10s"}, "10.0.0.2"]}}}"#,
        )
        .unwrap();
        let snapshot = Snapshot::build(1, Arc::new(spec), None);
        let web = snapshot.upstream(&Name::new("web").unwrap()).unwrap();
        let server = &web.servers()[0];
        assert_eq!(server.state(5), State::Up);
        assert!(web.failed(server, 5, 5).is_some());
        assert_eq!(server.state(5), State::Ejected);
        // It answers: without a rule by rate whatever it answers.
        assert_eq!(web.answered(server, 500, 10_005, || 10_005), None);
        assert_eq!(server.state(10_005), State::SlowStart);
    }
}
