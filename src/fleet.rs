//! The nodes that serve the same state: who they are, what each serves, and what each sees of the servers.
//!
//! Each node signs a record in the store every second, and at once when it serves another revision; what it gets back
//! is everybody's records. Nothing here decides anything: what others see of a server is shown, and never acted on,
//! so that the broken network of one node takes no server out anywhere else.

mod observed;
mod roster;
mod watching;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::clock;
use crate::controller::Controller;
use crate::store::{NodeRecord, Registry, Roll, Signed};
use watching::Watching;

pub use roster::{Disagreement, Node, NodeState, Roster};

/// Who this node is.
#[derive(Debug, Clone)]
pub struct FleetSettings {
    /// Its name.
    pub node: String,
    /// Where its control API listens.
    pub address: String,
}

/// This node's part in the fleet, and what it knows of the others. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

struct Inner {
    settings: FleetSettings,
    registry: Arc<dyn Registry>,
    controller: Controller,
    /// The last that was learnt, and when the asking began.
    known: watch::Sender<(Instant, Arc<Roster>)>,
    /// Calls that wait for the others.
    waiting: AtomicUsize,
    hurry: Notify,
    signing: Mutex<Signing>,
}

#[derive(Default)]
struct Signing {
    has_left: bool,
    watching: Watching,
}

/// What came of waiting for the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waited {
    /// The live nodes of which it is not known that they serve the revision.
    pub missing: Vec<String>,
    /// Whether the store said meanwhile who is there.
    pub is_certain: bool,
}

impl Waited {
    /// Whether every live node serves the revision.
    pub fn is_everywhere(&self) -> bool {
        self.missing.is_empty() && self.is_certain
    }
}

/// How often a node signs.
const EVERY: Duration = Duration::from_secs(1);
/// Between two signs, however fast the revisions come.
const GAP: Duration = Duration::from_millis(25);

impl Fleet {
    /// Nothing is asked yet.
    pub fn new(
        settings: FleetSettings,
        registry: Arc<dyn Registry>,
        controller: Controller,
    ) -> Self {
        let nobody = (Instant::now(), Arc::new(Roster::default()));
        let inner = Inner {
            settings,
            registry,
            controller,
            known: watch::channel(nobody).0,
            waiting: AtomicUsize::new(0),
            hurry: Notify::new(),
            signing: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Signs until `stopping`, and says then that the node leaves. Its calls wait for the store: for a thread of its own.
    pub async fn run(&self, stopping: impl Future<Output = ()>) {
        let mut revisions = self.inner.controller.revisions();
        let mut stopping = std::pin::pin!(stopping);
        loop {
            revisions.mark_unchanged();
            let began = Instant::now();
            self.look();
            let next = async {
                tokio::time::sleep_until(began + GAP).await;
                if self.inner.waiting.load(Ordering::Acquire) > 0 {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep_until(began + EVERY) => {}
                    () = self.inner.hurry.notified() => {}
                    Ok(()) = revisions.changed(), if self.inner.registry.is_shared() => {}
                }
            };
            tokio::select! {
                () = &mut stopping => break,
                () = next => {}
            }
        }
        self.leave();
    }

    /// Says that this node leaves, if it has not been said; nothing is signed afterwards.
    pub fn leave(&self) {
        let mut signing = self.signing();
        if std::mem::replace(&mut signing.has_left, true) || !self.inner.registry.is_shared() {
            return;
        }
        let is_away = self.inner.controller.standing().status().trouble.is_some();
        let record = NodeRecord {
            has_left: true,
            not_up: Vec::new(),
            ..self.record()
        };
        // A store that is away is not waited for: the others will miss this node in a few seconds anyway.
        if !is_away && let Err(error) = self.inner.registry.put_node(&record) {
            log::debug!("the others were not told that this node leaves: {error}");
        }
    }

    /// What is known of the nodes. `age` of it: how long ago that was learnt.
    pub fn roster(&self) -> (Arc<Roster>, Duration) {
        if !self.inner.registry.is_shared() {
            return (Arc::new(self.alone()), Duration::ZERO);
        }
        let (learnt, roster) = self.inner.known.borrow().clone();
        (roster, learnt.elapsed())
    }

    /// This node's name.
    pub fn node(&self) -> &str {
        &self.inner.settings.node
    }

    /// Waits until every live node serves the revision, which this one does.
    pub async fn wait(&self, revision: u64, limit: Duration) -> Waited {
        let inner = &*self.inner;
        let mut waited = Waited {
            missing: Vec::new(),
            is_certain: true,
        };
        if !inner.registry.is_shared() {
            return waited;
        }
        let (began, mut known) = (Instant::now(), inner.known.subscribe());
        let _waiting = Waiting::new(inner);
        let all = async {
            loop {
                let (asked, roster) = known.borrow_and_update().clone();
                waited.missing = roster.missing(revision, self.node());
                waited.is_certain = asked >= began;
                if waited.is_everywhere() || known.changed().await.is_err() {
                    return;
                }
            }
        };
        // Who is missing when the time is over is in the answer.
        let _ = tokio::time::timeout(limit, all).await;
        waited
    }

    /// Signs once, and learns what the others signed.
    fn look(&self) {
        if !self.inner.registry.is_shared() {
            return;
        }
        let began = Instant::now();
        let mut signing = self.signing();
        if signing.has_left {
            return;
        }
        match self.inner.registry.sign(&self.record()) {
            Ok(roll) => {
                let now = clock::monotonic_ms();
                let (roster, news) = signing.watching.look(roll, self.node(), now);
                for (level, line) in news {
                    log::log!(level, "fleet: {line}");
                }
                self.inner.known.send_replace((began, Arc::new(roster)));
            }
            Err(error) => {
                signing.watching.lost_touch();
                // While the store is away the log says so anyway, once a minute.
                log::debug!("this node's record was not kept: {error}");
            }
        }
    }

    fn record(&self) -> NodeRecord {
        let controller = &self.inner.controller;
        let snapshot = controller.snapshot().load_full();
        let (not_up, not_up_more) = observed::not_up(&snapshot);
        NodeRecord {
            id: self.inner.settings.node.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            address: self.inner.settings.address.clone(),
            applied: snapshot.revision(),
            seen_at: clock::unix_ms(),
            has_left: false,
            is_diverged: controller.standing().status().is_diverged,
            not_up,
            not_up_more,
        }
    }

    /// The roster of a store that is this node's alone.
    fn alone(&self) -> Roster {
        let record = self.record();
        let now = record.seen_at;
        let nodes = vec![Signed { at: now, record }];
        let roll = Roll { now, nodes };
        Watching::default().look(roll, self.node(), 0).0
    }

    fn signing(&self) -> MutexGuard<'_, Signing> {
        let signing = self.inner.signing.lock();
        signing.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a call that waits, as long as it does.
struct Waiting<'a>(&'a Inner);

impl<'a> Waiting<'a> {
    fn new(inner: &'a Inner) -> Self {
        inner.waiting.fetch_add(1, Ordering::AcqRel);
        inner.hurry.notify_one();
        Self(inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
