#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use pingora_load_balancing::health_check::HealthCheck;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::schedule::Schedule;
use super::{Check, HealthChecker, permits};
use crate::domain::server::{Server, ServerId};
use crate::domain::snapshot::Snapshot;
use crate::domain::upstream::Upstream;
use crate::spec::Name;

/// The groups that have checks, each with a running schedule per server.
pub(super) struct Groups {
    checker: Arc<HealthChecker>,
    by_name: HashMap<Name, Group>,
    /// Counts the snapshots followed, so that what is gone is found without a second table.
    round: u64,
}

impl Groups {
    pub(super) fn new(checker: Arc<HealthChecker>) -> Self {
        Self {
            checker,
            by_name: HashMap::new(),
            round: 0,
        }
    }

    /// Starts and ends schedules until they are those of the snapshot. A group that is the same
    /// object as before costs one comparison. The specs cannot stand in for it: a group that was
    /// removed and restored between two looks has its old spec and new server states.
    pub(super) fn follow(&mut self, snapshot: &Snapshot) {
        self.round += 1;
        let round = self.round;
        for upstream in snapshot.upstreams() {
            if let Some(group) = self.group(upstream) {
                group.round = round;
            }
        }
        self.by_name.retain(|_, group| group.round == round);
    }

    fn group(&mut self, upstream: &Arc<Upstream>) -> Option<&mut Group> {
        match self.by_name.entry(upstream.name().clone()) {
            Entry::Occupied(mut entry) => {
                let group = entry.get_mut();
                if !Arc::ptr_eq(&group.upstream, upstream) {
                    group.change(upstream, Check::of(upstream)?, &self.checker);
                }
                Some(entry.into_mut())
            }
            Entry::Vacant(entry) => {
                let check = Check::of(upstream)?;
                Some(entry.insert(Group::start(upstream, check, &self.checker)))
            }
        }
    }
}

struct Group {
    upstream: Arc<Upstream>,
    watch: Watch,
    schedules: HashMap<ServerId, Running>,
    round: u64,
}

/// What the schedules of a group have in common.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) check: Arc<Check>,
    pub(super) probe: Arc<dyn HealthCheck + Send + Sync>,
    pub(super) permits: Arc<Semaphore>,
}

impl Group {
    fn start(upstream: &Arc<Upstream>, check: Check, checker: &Arc<HealthChecker>) -> Self {
        let check = Arc::new(check);
        let mut group = Self {
            upstream: upstream.clone(),
            watch: Watch {
                probe: (checker.probes)(&check),
                permits: Arc::new(Semaphore::new(permits(check.concurrency))),
                check,
            },
            schedules: HashMap::new(),
            round: 0,
        };
        group.match_servers(checker);
        group
    }

    /// Other checks start every schedule anew (the health is kept: it is the server's); with the
    /// same checks, servers that stay keep their schedule and streak.
    fn change(&mut self, upstream: &Arc<Upstream>, check: Check, checker: &Arc<HealthChecker>) {
        if *self.watch.check != check {
            *self = Self::start(upstream, check, checker);
            return;
        }
        self.upstream = upstream.clone();
        self.match_servers(checker);
    }

    fn match_servers(&mut self, checker: &Arc<HealthChecker>) {
        let mut before = std::mem::take(&mut self.schedules);
        let upstream = &self.upstream;
        let running = |server: &Arc<Server>| {
            let id = server.id();
            let start = || Running::start(&self.watch, upstream, server, checker);
            (id, before.remove(&id).unwrap_or_else(start))
        };
        self.schedules = upstream.servers().iter().map(running).collect();
    }
}

/// A schedule at work; dropping this ends it and its probe.
struct Running(AbortHandle);

impl Running {
    fn start(
        watch: &Watch,
        upstream: &Upstream,
        server: &Arc<Server>,
        checker: &Arc<HealthChecker>,
    ) -> Self {
        let schedule = Schedule {
            checker: checker.clone(),
            watch: watch.clone(),
            upstream: upstream.name().clone(),
            address: server.address().clone(),
            found_by: server.resolved_from().cloned(),
            state: server.shared().clone(),
        };
        Self(tokio::spawn(schedule.run()).abort_handle())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
