//! The single writer. Every change, whoever asks for it, goes one way:
//! plan -> rails -> store -> publish -> announce.
//!
//! One thread of its own owns the `Publisher` and talks to the store, so that a slow disk holds up
//! changes and nothing else. Changes that arrive while it works are planned one after the other and
//! stored together: one write to the disk for all of them.
//!
//! What other processes stored in the same place comes the same way: a follower on a thread of its own waits for it.
//! It is published only if it descends from what is served (or the store vouches for it).
//!
//! What DNS says of the servers' names comes the same way, but is no change: nobody asked for it, nothing is
//! stored, and the next snapshot has the same revision.

mod checkpoint;
mod establishing;
mod follower;
pub mod host_keys;
mod others;
mod plan;
mod refusal;
mod secrets;
mod standing;
mod start;
mod submission;
mod tls;
mod writer;

use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender, TrySendError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::domain::names::Resolved;
use crate::domain::snapshot::SharedSnapshot;
use crate::ports::server_tls::ServerTlsTable;
use crate::spec::Address;
use crate::store::{Head, Logged, Store, Stored};
use follower::Taken;

pub use refusal::Refusal;
pub use standing::{Standing, StoreStatus};
pub use start::{StartError, StartSettings, start};
pub use submission::{Object, Outcome, Precondition, Submission, Wanted};

/// The way in for changes. Cheap to clone.
#[derive(Clone)]
pub struct Controller {
    jobs: Arc<SyncSender<Job>>,
    revisions: watch::Receiver<u64>,
    standing: Standing,
    /// Dropped with the last handle, which ends the follower.
    _alive: Arc<Sender<()>>,
    snapshot: SharedSnapshot,
    server_tls: ServerTlsTable,
    store: Arc<dyn Store>,
}

/// What is on its way to the writer.
enum Job {
    Change(Asked),
    Names(Vec<(Address, Arc<Resolved>)>, oneshot::Sender<()>),
    /// What other processes stored.
    Newer(Vec<Logged>, oneshot::Sender<Taken>),
    /// A state to go on from, that the store vouches for to whoever is at this place.
    Successor(Head, Stored, oneshot::Sender<Taken>),
}

/// A submission, and where its answer goes.
struct Asked {
    submission: Submission,
    reply: oneshot::Sender<Result<Outcome, Refusal>>,
}

impl Controller {
    /// Submits changes as one transaction. When this answers [`Outcome`] the change is stored, and
    /// every request that is routed from now on sees it.
    ///
    /// Answers within 2 s, also when the store hangs.
    pub async fn submit(&self, submission: Submission) -> Result<Outcome, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.jobs
            .try_send(Job::Change(Asked { submission, reply }))
            .map_err(refused)?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Refusal::Stopping),
            Err(_) => Err(Refusal::StoreSilent),
        }
    }

    /// Takes in what names stand for now. When the receiver has its answer, every request that is routed from
    /// now on sees it. Names that no server has are passed over.
    pub fn resolved(
        &self,
        found: Vec<(Address, Arc<Resolved>)>,
    ) -> Result<oneshot::Receiver<()>, Refusal> {
        let (reply, done) = oneshot::channel();
        self.jobs
            .try_send(Job::Names(found, reply))
            .map_err(refused)?;
        Ok(done)
    }

    /// The snapshot that requests are routed by.
    pub fn snapshot(&self) -> &SharedSnapshot {
        &self.snapshot
    }

    /// Announces the number of each revision that is published, and again when a name of its servers came to
    /// stand for other places.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.revisions.clone()
    }

    /// What was read for TLS to servers, to be watched.
    pub fn server_tls(&self) -> &ServerTlsTable {
        &self.server_tls
    }

    /// How this node stands to its store.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The history. Its calls wait for the disk: not for a thread that serves others.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
}

fn refused(error: TrySendError<Job>) -> Refusal {
    match error {
        TrySendError::Full(_) => Refusal::Busy,
        TrySendError::Disconnected(_) => Refusal::Stopping,
    }
}

/// How long a change waits for the store. After it the caller hears 503, within 2 s.
const PATIENCE: Duration = Duration::from_millis(1900);

/// Changes that may wait for the writer; at 1,000 a second about as many as fit into [`PATIENCE`].
const WAITING: usize = 2048;
