//! Servers of groups from Consul, in nginx-upsync-module's layout of keys or from its catalogue: what Consul lists is
//! submitted as a change like any other.
//!
//! [`Consul::run`] follows the snapshots. What several groups can wait for together is waited for once. An
//! answer that is of no use (none, an error, nothing) changes nothing. Of several nodes with one store the one that has
//! the lease asks and submits; that two did for a moment would do no harm, since a change that alters nothing is none.

mod answer;
mod base64;
mod connection;
mod members;
mod plans;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as channel;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::dns::Hickory;
use super::lease::{Lease, Terms};
use super::watch::Settling;
use super::{DiscoverySettings, GATHER};
use crate::controller::Controller;
use crate::ports::sources::SourceTable;
use crate::ports::telemetry::Metrics;
use crate::spec::{ForbiddenAddresses, Name, SourceSpec, Spec};
use crate::store::Registry;
use connection::{Ask, Connections};
use plans::{Plan, plans};
use watch::Watch;

/// Follows Consul for the groups of the current snapshot that have it as their source.
pub struct Consul {
    shared: Arc<Shared>,
    registry: Arc<dyn Registry>,
    node: String,
}

/// What all watches use.
struct Shared {
    consul: Box<dyn Ask>,
    controller: Controller,
    forbidden: ForbiddenAddresses,
    table: SourceTable,
    metrics: Metrics,
    /// The wall clock, in milliseconds since 1970.
    clock: fn() -> u64,
    /// Uniform in 0..1: jitters the pauses.
    random: fn() -> f64,
}

impl Consul {
    /// Asks over the network. `clock` tells milliseconds since 1970; `node` is this node's name in the registry, and
    /// `environment` tells the values of variables.
    pub fn new(
        settings: DiscoverySettings,
        controller: Controller,
        (registry, node): (Arc<dyn Registry>, String),
        metrics: Metrics,
        clock: fn() -> u64,
        environment: fn(&str) -> Option<String>,
    ) -> Self {
        let dns = Arc::new(Hickory::new(settings.servers));
        let consul = Connections::new(dns, settings.forbidden.clone(), environment);
        let shared = Shared {
            consul: Box::new(consul),
            controller,
            forbidden: settings.forbidden,
            table: metrics.sources().clone(),
            metrics,
            clock,
            random: fastrand::f64,
        };
        Self {
            shared: Arc::new(shared),
            registry,
            node,
        }
    }

    /// Follows Consul until `shutdown` completes. `revisions` says that another snapshot may have been published.
    /// `settled` becomes true when each source that was there at the start has had its first answer, of use or not.
    pub async fn run(
        self,
        revisions: channel::Receiver<u64>,
        settled: channel::Sender<bool>,
        shutdown: impl Future<Output = ()>,
    ) {
        let registry = (self.registry.clone(), self.node.clone());
        let lease = Lease::new(registry, self.shared.clock, LEASE);
        tokio::select! {
            () = shutdown => {}
            () = follow(self, revisions, settled, lease.clone()) => {}
        }
        lease.give_up().await;
    }
}

async fn follow(
    consul: Consul,
    mut revisions: channel::Receiver<u64>,
    settled: channel::Sender<bool>,
    mut lease: Lease,
) {
    let mut followed = Followed::new(consul.shared.clone());
    let mut settling = Some(Arc::new(Settling(settled)));
    let mut is_ours = false;
    let mut renew_at = Instant::now();
    loop {
        revisions.mark_unchanged();
        let snapshot = consul.shared.controller.snapshot().load_full();
        followed.look(snapshot.spec());
        drop(snapshot);
        let is_needed = !followed.groups.is_empty();
        if is_needed && Instant::now() >= renew_at {
            is_ours = lease.is_ours().await.unwrap_or(is_ours);
            renew_at = Instant::now() + RENEW;
        }
        followed.follow(is_needed && is_ours, settling.take());
        tokio::time::sleep(GATHER).await;
        tokio::select! {
            changed = revisions.changed() => if changed.is_err() {
                // Nobody can publish any more; what is there stays as it is.
                std::future::pending::<()>().await;
            },
            () = tokio::time::sleep_until(renew_at), if is_needed => {}
        }
    }
}

const LEASE: Terms = Terms {
    name: "consul",
    of: "Consul",
    held: Duration::from_secs(15),
};
const RENEW: Duration = Duration::from_secs(5);

/// The groups with a source, and the watches at work for them.
struct Followed {
    shared: Arc<Shared>,
    seen: Arc<Spec>,
    groups: BTreeMap<Name, SourceSpec>,
    running: Vec<Running>,
}

impl Followed {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            seen: Arc::default(),
            groups: BTreeMap::new(),
            running: Vec::new(),
        }
    }

    /// Looks at the groups that have changed.
    fn look(&mut self, spec: &Arc<Spec>) {
        for name in spec.changed_upstreams(&self.seen) {
            let upstream = spec.upstreams.get(&name);
            match upstream.and_then(|upstream| upstream.source.as_ref()) {
                Some(source) => drop(self.groups.insert(name, source.clone())),
                None => {
                    self.groups.remove(&name);
                    self.shared.table.forget(&name);
                }
            }
        }
        self.seen = spec.clone();
    }

    /// Begins and ends watches until they are those that are needed. One that stays the same goes on.
    fn follow(&mut self, is_ours: bool, settling: Option<Arc<Settling>>) {
        let wanted = match is_ours {
            true => plans(&self.groups),
            false => Vec::new(),
        };
        self.running
            .retain(|running| wanted.contains(&running.plan));
        for plan in wanted {
            if self.running.iter().any(|running| running.plan == plan) {
                continue;
            }
            let watch = Watch::new(self.shared.clone(), plan.clone(), settling.clone());
            let task = tokio::spawn(watch.run()).abort_handle();
            self.running.push(Running { plan, task });
        }
    }
}

/// A watch at work; dropping this ends it.
struct Running {
    plan: Plan,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Consul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consul").finish_non_exhaustive()
    }
}
