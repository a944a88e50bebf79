use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::Notify;

use crate::clock;
use crate::controller::Controller;
use crate::domain::ejection::Standing;
use crate::domain::names::{Named, Place, Resolved};
use crate::domain::server::{Health, Server};
use crate::domain::snapshot::Snapshot;
use crate::domain::upstream::Upstream;
use crate::spec::{Address, ForbiddenAddresses};
use crate::store::{EjectionRecord, HandOver, HealthRecord, NameRecord, Registry};

/// Keeps what checks, failing requests and DNS said for the process that comes after this one, so that a server known to be
/// down gets no request after a restart, and one whose name DNS does not tell just then gets its own.
#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) controller: Controller,
    /// Which addresses no server may have: the last process may have had other rules.
    pub(super) forbidden: ForbiddenAddresses,
    /// Told at each verdict and ejection, and when a name comes to stand for other addresses.
    pub(super) observed: Arc<Notify>,
    pub(super) node: String,
}

impl Keeper {
    /// Gives the names of the first snapshot the addresses, and its servers the health, that the last process
    /// saw, unless that is too long ago to mean anything.
    pub(super) fn take_over(&self) {
        let seen = match self.registry.health(&self.node) {
            Ok(seen) => seen.unwrap_or_default(),
            Err(error) => {
                return log::warn!("the health that the last process saw cannot be read: {error}");
            }
        };
        let age = clock::unix_ms().saturating_sub(seen.at);
        if age <= NAMES_TOO_OLD {
            self.take_over_names(&seen.names);
        }
        if age > TOO_OLD {
            return;
        }
        let snapshot = self.controller.snapshot().load_full();
        for record in &seen.servers {
            let upstream = snapshot
                .upstream(&record.upstream)
                .filter(|upstream| upstream.health().is_some());
            let server = upstream.and_then(|upstream| upstream.server(&record.address));
            let health = [Health::Up, Health::Down]
                .into_iter()
                .find(|health| health.as_str() == record.health);
            if let (Some(server), Some(health)) = (server, health) {
                server.shared().set_health(health, record.since);
            }
        }
        // Behind the health, since no group's last usable server is taken out.
        for record in &seen.ejections {
            let upstream = snapshot.upstream(&record.upstream);
            let server = upstream.and_then(|upstream| upstream.server(&record.address));
            if let Some((upstream, server)) = upstream.zip(server) {
                let standing = standing(record).after(age);
                upstream.go_on(server, standing, clock::monotonic_ms());
            }
        }
    }

    /// Before the first request, and before DNS is asked again. Runs outside of any runtime.
    fn take_over_names(&self, names: &[NameRecord]) {
        let found = names.iter().filter_map(|record| {
            let place = |&(priority, address, weight): &_| Place {
                priority,
                address,
                weight,
            };
            let places = record.places.iter().map(place);
            let resolved = Resolved::new(places, &self.forbidden).0?;
            Some((record.name.clone(), Arc::new(resolved)))
        });
        let found: Vec<(Address, Arc<Resolved>)> = found.collect();
        if let Ok(done) = self.controller.resolved(found) {
            let _ = done.blocking_recv();
        }
    }

    /// Writes what is seen now.
    pub(super) fn save(&self) {
        let seen = seen(&self.controller.snapshot().load_full());
        if let Err(error) = self.registry.put_health(&self.node, &seen) {
            log::warn!("what checks saw was not kept: {error}");
        }
    }
}

#[async_trait]
impl BackgroundService for Keeper {
    /// Runs on a thread of its own: the registry's calls wait for the disk.
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let stopping = async move {
            let _ = shutdown.wait_for(|stopping| *stopping).await;
        };
        tokio::pin!(stopping);
        loop {
            self.save();
            tokio::select! {
                () = &mut stopping => break,
                () = tokio::time::sleep(GATHER) => {}
            }
            tokio::select! {
                () = &mut stopping => break,
                () = tokio::time::sleep(SAVE) => {}
                () = self.observed.notified() => {}
            }
        }
    }
}

/// Servers change: what was seen five minutes ago says nothing about now.
const TOO_OLD: u64 = 5 * 60 * 1000;
/// Old addresses are better than none for as long as RFC 8767 section 5 lets resolvers give such: a day.
const NAMES_TOO_OLD: u64 = 24 * 60 * 60 * 1000;
/// What was seen when nobody told of a verdict.
const SAVE: Duration = Duration::from_secs(10);
/// The first verdict is kept at once; those that come within this time after it are kept together, so that an outage of many
/// servers writes five times a second and not once for each. A process that is killed loses what it saw within this time; one
/// that ends as it is told writes once more.
const GATHER: Duration = Duration::from_millis(200);

fn seen(snapshot: &Snapshot) -> HandOver {
    let checked = snapshot
        .upstreams()
        .filter(|upstream| upstream.health().is_some());
    let record = |(upstream, server): (&Upstream, &Server)| {
        let state = server.shared();
        let record = HealthRecord {
            upstream: upstream.name().clone(),
            address: server.address().clone(),
            health: state.health().as_str().into(),
            since: state.health_since(),
        };
        (state.health() != Health::Unknown).then_some(record)
    };
    let pairs = checked.flat_map(|upstream| {
        upstream
            .servers()
            .iter()
            .map(move |server| (&**upstream, &**server))
    });
    HandOver {
        at: clock::unix_ms(),
        servers: pairs.filter_map(record).collect(),
        names: snapshot.names().iter().filter_map(|it| name(it)).collect(),
        ejections: ejections(snapshot),
    }
}

fn ejections(snapshot: &Snapshot) -> Vec<EjectionRecord> {
    let now = clock::monotonic_ms();
    let of_group = |upstream: &Arc<Upstream>| {
        let record = |server: &Arc<Server>| {
            let standing = server.shared().ejection().standing(now)?;
            Some(EjectionRecord {
                upstream: upstream.name().clone(),
                address: server.address().clone(),
                out_for: standing.out_for,
                length: standing.length,
                rate_length: standing.rate_length,
                in_for: standing.in_for,
            })
        };
        upstream
            .servers()
            .iter()
            .filter_map(record)
            .collect::<Vec<_>>()
    };
    snapshot.upstreams().flat_map(of_group).collect()
}

fn standing(record: &EjectionRecord) -> Standing {
    Standing {
        out_for: record.out_for,
        length: record.length,
        rate_length: record.rate_length,
        in_for: record.in_for,
    }
}

fn name(named: &Named) -> Option<NameRecord> {
    let places = named.resolved()?.places().iter();
    Some(NameRecord {
        name: named.address().clone(),
        places: places
            .map(|place| (place.priority, place.address, place.weight))
            .collect(),
    })
}
