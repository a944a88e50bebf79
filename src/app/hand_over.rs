use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::Notify;

use crate::clock;
use crate::domain::server::Health;
use crate::domain::snapshot::{SharedSnapshot, Snapshot};
use crate::store::{HandOver, HealthRecord, NodeRecord, Registry};

/// Keeps what checks saw for the process that comes after this one, so that a server known to be
/// down gets no request after a restart; and says that this node lives.
pub(super) struct Keeper {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) snapshot: SharedSnapshot,
    /// Told at each verdict.
    pub(super) verdicts: Arc<Notify>,
    pub(super) node: String,
    pub(super) control: String,
}

impl Keeper {
    /// Gives the servers of the first snapshot the health that the last process saw, unless that is
    /// too long ago to mean anything.
    pub(super) fn take_over(&self) {
        let seen = match self.registry.health(&self.node) {
            Ok(seen) => seen.unwrap_or_default(),
            Err(error) => {
                return log::warn!("the health that the last process saw cannot be read: {error}");
            }
        };
        if clock::unix_ms().saturating_sub(seen.at) > TOO_OLD {
            return;
        }
        let snapshot = self.snapshot.load_full();
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
    }

    fn save(&self) {
        let seen = seen(&self.snapshot.load_full());
        if let Err(error) = self.registry.put_health(&self.node, &seen) {
            log::warn!("what checks saw was not kept: {error}");
        }
    }

    fn sign(&self) {
        let record = NodeRecord {
            id: self.node.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            address: self.control.clone(),
            applied: self.snapshot.load().revision(),
            seen_at: clock::unix_ms(),
        };
        if let Err(error) = self.registry.put_node(&record) {
            log::warn!("this node's record was not kept: {error}");
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
            self.sign();
            self.save();
            tokio::select! {
                () = &mut stopping => break,
                () = tokio::time::sleep(SIGN) => {}
                () = self.verdicts.notified() => tokio::time::sleep(GATHER).await,
            }
        }
        self.save();
    }
}

/// Servers change: what was seen five minutes ago says nothing about now.
const TOO_OLD: u64 = 5 * 60 * 1000;
/// A node is taken for gone when it has not signed for a few of these.
const SIGN: Duration = Duration::from_secs(10);
/// Verdicts that come together are kept together.
const GATHER: Duration = Duration::from_millis(200);

fn seen(snapshot: &Snapshot) -> HandOver {
    let checked = snapshot
        .upstreams()
        .filter(|upstream| upstream.health().is_some());
    let record = |(upstream, server): (
        &crate::domain::upstream::Upstream,
        &crate::domain::server::Server,
    )| {
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
    }
}
