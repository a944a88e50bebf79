//! Names of servers, resolved in the background: no request, no change and no start waits for DNS.
//!
//! [`Discovery::run`] follows the snapshots. A name that comes is asked for at once and then again and again,
//! as its records' TTL says; one that goes is forgotten. What an answer says goes to the controller, which
//! publishes it at the same revision. An answer that is of no use (none, an error, nothing) keeps what the last
//! good one said, for each host and family of addresses by itself.

pub mod consul;
mod dns;
pub mod host_keys;
mod lease;
mod lookup;
mod pace;
mod questions;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot, watch as channel};
use tokio::task::AbortHandle;

use crate::controller::Controller;
use crate::domain::names::{NameState, Resolved};
use crate::domain::snapshot::{SharedSnapshot, Snapshot};
use crate::ports::telemetry::Metrics;
use crate::spec::{Address, DnsName, ForbiddenAddresses};

use dns::Hickory;
pub use lookup::Lookup;
use watch::{Settling, Watch};

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameServers {
    /// As `/etc/resolv.conf` and `/etc/hosts` say, also when they change.
    System,
    /// These, and nobody else: no hosts file, no search domains.
    These(Vec<SocketAddr>),
}

/// What is fixed until restart.
#[derive(Debug, Clone)]
pub struct DiscoverySettings {
    /// Who is asked.
    pub servers: NameServers,
    /// Which addresses no server may have, whatever DNS says.
    pub forbidden: ForbiddenAddresses,
}

/// The questions. Each answers within some seconds.
#[async_trait]
trait Dns: Send + Sync {
    /// The addresses of a host.
    async fn addresses(&self, host: &DnsName) -> Addresses;
    /// The SRV records of a name.
    async fn services(&self, name: &DnsName) -> Result<Answer<Service>, Miss>;
}

/// What the two families of addresses are, each from a question of its own.
struct Addresses {
    v4: Result<Answer<IpAddr>, Miss>,
    v6: Result<Answer<IpAddr>, Miss>,
}

/// Records, at least one, and how long they hold.
struct Answer<T> {
    records: Vec<T>,
    ttl: Duration,
}

/// One SRV record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Service {
    priority: u16,
    target: DnsName,
    port: u16,
    weight: u16,
}

/// Why there are no records, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Miss {
    /// The answer is that there are none.
    Empty(String),
    /// There is no answer of use.
    Failed(String),
}

/// Resolves the names of the current snapshot's servers.
pub struct Discovery {
    dns: Arc<dyn Dns>,
    /// Questions at a time. Each takes a socket while it waits.
    permits: Semaphore,
    forbidden: ForbiddenAddresses,
    snapshot: SharedSnapshot,
    publish: Publish,
    metrics: Metrics,
    /// The wall clock, in milliseconds since 1970: for what people see, never for the schedule.
    clock: fn() -> u64,
    /// Uniform in 0..1: jitters the pauses.
    random: fn() -> f64,
}

/// Brings what a name stands for to the writer, who answers when requests go by it; none if that cannot be now.
type Publish = Box<dyn Fn(Address, Arc<Resolved>) -> Option<oneshot::Receiver<()>> + Send + Sync>;

impl Discovery {
    /// Resolves over the network. `clock` tells milliseconds since 1970; `on_news` is called when a name comes
    /// to stand for other addresses, and must not block.
    pub fn new(
        settings: DiscoverySettings,
        controller: &Controller,
        metrics: Metrics,
        clock: fn() -> u64,
        on_news: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        let snapshot = controller.snapshot().clone();
        let controller = controller.clone();
        let publish = move |name, resolved| {
            let done = controller.resolved(vec![(name, resolved)]).ok();
            on_news();
            done
        };
        Self {
            dns: Arc::new(Hickory::new(settings.servers)),
            permits: Semaphore::new(MOST_AT_ONCE),
            forbidden: settings.forbidden,
            snapshot,
            publish: Box::new(publish),
            metrics,
            clock,
            random: fastrand::f64,
        }
    }

    /// Resolves until `shutdown` completes. `revisions` says that another snapshot may have been published.
    /// `settled` becomes true when each name that was there at the start has had its first answer, of use or not.
    pub async fn run(
        self,
        revisions: channel::Receiver<u64>,
        settled: channel::Sender<bool>,
        shutdown: impl Future<Output = ()>,
    ) {
        tokio::select! {
            () = shutdown => {}
            () = follow(Arc::new(self), revisions, settled) => {}
        }
    }
}

async fn follow(
    discovery: Arc<Discovery>,
    mut revisions: channel::Receiver<u64>,
    settled: channel::Sender<bool>,
) {
    let mut watched = Watched::new(discovery);
    let mut settling = Some(Arc::new(Settling(settled)));
    loop {
        revisions.mark_unchanged();
        let snapshot = watched.discovery.snapshot.load_full();
        watched.follow(&snapshot, settling.as_ref());
        settling = None;
        drop(snapshot);
        tokio::time::sleep(GATHER).await;
        if revisions.changed().await.is_err() {
            // Nobody can publish any more; what is there stays as it is.
            std::future::pending::<()>().await;
        }
    }
}

/// Names that come together are looked for together: a walk over 10,000 of them takes about 1 ms.
const GATHER: Duration = Duration::from_millis(50);

/// As many as a name server takes from one client without losing some.
const MOST_AT_ONCE: usize = 64;

/// The names that are being resolved.
struct Watched {
    discovery: Arc<Discovery>,
    by_name: HashMap<Address, Running>,
    /// Counts the snapshots followed, so that what is gone is found without a second table.
    round: u64,
}

impl Watched {
    fn new(discovery: Arc<Discovery>) -> Self {
        Self {
            discovery,
            by_name: HashMap::new(),
            round: 0,
        }
    }

    /// Begins and ends watches until they are those of the snapshot. A name that went and came again has
    /// another state, and is asked for anew.
    fn follow(&mut self, snapshot: &Snapshot, settling: Option<&Arc<Settling>>) {
        self.round += 1;
        for named in snapshot.names().iter() {
            let same = |running: &&mut Running| Arc::ptr_eq(&running.state, named.state());
            if let Some(running) = self.by_name.get_mut(named.address()).filter(same) {
                running.round = self.round;
                continue;
            }
            let watch = Watch::new(self.discovery.clone(), named, settling.cloned());
            let running = Running {
                state: named.state().clone(),
                task: tokio::spawn(watch.run()).abort_handle(),
                round: self.round,
            };
            self.by_name.insert(named.address().clone(), running);
        }
        let round = self.round;
        self.by_name.retain(|_, running| running.round == round);
    }
}

/// A watch at work; dropping this ends it.
struct Running {
    state: Arc<NameState>,
    task: AbortHandle,
    round: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery")
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}
