//! Active checks: each server of a group that has checks is probed on a schedule of its own, and
//! what the probes see becomes its health.
//!
//! [`HealthChecker::run`] follows the snapshots: a server that comes gets a schedule, one that goes
//! ends its schedule and the probe under way. A schedule holds the `ServerState` that it was started
//! for, so a late result has nowhere else to land, even when the address is added again meanwhile.

mod check;
mod groups;
mod outage;
mod probe;
mod pulse;
mod schedule;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pingora_load_balancing::health_check::HealthCheck;
use tokio::sync::{Semaphore, watch};

use crate::domain::server::Health;
use crate::domain::snapshot::SharedSnapshot;
use crate::spec::{Address, ForbiddenAddresses, Name};

pub use check::{Check, Question};
pub use probe::Probe;

/// What is fixed until restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// Probes at a time, all groups together; 0 means no limit.
    pub probe_concurrency: usize,
    /// Where no probe may go: the rules for changes see no address that a name comes to stand for.
    pub forbidden: ForbiddenAddresses,
}

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeEnd {
    /// The server answered as expected.
    Pass,
    /// It answered otherwise, or could not be reached.
    Fail,
    /// It did not answer before the deadline.
    Timeout,
    /// It failed while this process was late itself, which says nothing about the server.
    Discarded,
}

/// Hears what checks see, beside the log: metrics and events. Called between probes, so it must
/// not block.
pub trait Observer: Send + Sync {
    /// A probe has ended.
    fn probed(&self, end: ProbeEnd);
    /// The health of a server has changed; `reason` is for people.
    fn verdict(&self, upstream: &Name, address: &Address, health: Health, reason: &str);
}

/// Probes the servers of the current snapshot and writes their health.
pub struct HealthChecker {
    snapshot: SharedSnapshot,
    pulse: pulse::Pulse,
    outages: outage::Outages,
    permits: Semaphore,
    forbidden: ForbiddenAddresses,
    observer: Arc<dyn Observer>,
    probes: Probes,
    /// The wall clock, in milliseconds since 1970: for what people see, never for the schedule.
    clock: fn() -> u64,
    /// Uniform in 0..1: spreads the first probes, jitters the rest.
    random: fn() -> f64,
}

/// Makes the probe of a group. Tests put their own in place of the network.
type Probes = Box<dyn Fn(&Arc<Check>) -> Arc<dyn HealthCheck + Send + Sync> + Send + Sync>;

impl HealthChecker {
    /// A checker that probes over the network. `clock` tells milliseconds since 1970.
    pub fn new(
        settings: HealthSettings,
        snapshot: SharedSnapshot,
        observer: Arc<dyn Observer>,
        clock: fn() -> u64,
    ) -> Self {
        let probes: Probes = Box::new(|check| Arc::new(Probe::new(check.clone())));
        Self {
            snapshot,
            pulse: pulse::Pulse::default(),
            outages: outage::Outages::default(),
            permits: Semaphore::new(permits(settings.probe_concurrency)),
            forbidden: settings.forbidden,
            observer,
            probes,
            clock,
            random: fastrand::f64,
        }
    }

    /// Probes until `shutdown` completes; then every schedule and every probe under way ends.
    ///
    /// `revisions` says that another snapshot may have been published (after it was). Revisions that
    /// come closer together than 50 ms are taken as one, so that a storm of changes costs little here.
    pub async fn run(self, revisions: watch::Receiver<u64>, shutdown: impl Future<Output = ()>) {
        let checker = Arc::new(self);
        tokio::select! {
            () = shutdown => {}
            () = checker.pulse.beat() => {}
            () = follow(checker.clone(), revisions) => {}
        }
    }
}

async fn follow(checker: Arc<HealthChecker>, mut revisions: watch::Receiver<u64>) {
    let mut groups = groups::Groups::new(checker.clone());
    loop {
        revisions.mark_unchanged();
        let snapshot = checker.snapshot.load_full();
        groups.follow(&snapshot);
        checker.outages.look_at_all(&snapshot);
        drop(snapshot);
        tokio::time::sleep(GATHER).await;
        if revisions.changed().await.is_err() {
            // Nobody can publish any more; what is there stays under watch.
            std::future::pending::<()>().await;
        }
    }
}

/// A walk over 10,000 groups takes about 1 ms: every 50 ms at most, that is 2 % of a core.
const GATHER: Duration = Duration::from_millis(50);

/// How many permits a limit gives, where 0 means no limit.
fn permits(limit: usize) -> usize {
    match limit {
        0 => Semaphore::MAX_PERMITS,
        limit => limit.min(Semaphore::MAX_PERMITS),
    }
}

impl fmt::Debug for HealthChecker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthChecker")
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}
