//! Durable state: the log of revisions, and what nodes keep about each other beside it.
//!
//! The log is append-only and each revision carries its parent's digest, so that a store hands out
//! one line of descent or an error, never a state that nobody asked for. A full checkpoint is
//! written now and then, so that a commit costs what the change is worth and a start stays short.
//!
//! All calls block: the one writer calls from its own thread, readers through `spawn_blocking`.

mod chain;
pub mod descent;
mod error;
mod host_keys;
mod memory;
mod mirrored;
mod redis;
mod registry;
mod retention;
mod sqlite;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::spec::{Digest, Revision, Spec};

pub use chain::{Head, Logged, digest};
pub use error::StoreError;
pub use host_keys::{HostKey, HostKeyEdit, HostKeyTable, HostKeyValue};
pub use memory::Memory;
pub use mirrored::Mirrored;
pub use redis::{HostKeys, News, Redis, RedisSettings, Secret, Tracking};
pub use registry::{
    EjectionRecord, HandOver, HealthRecord, Lease, NameRecord, NodeRecord, Registry, Roll, Signed,
};
pub use retention::{Backlog, History, checkpoint_due};
pub use sqlite::Sqlite;

/// The log of revisions. One contract for every implementation: `tests/store_contract.rs`.
pub trait Store: Send + Sync {
    /// The newest state; `None` when nothing was ever committed.
    ///
    /// The chain is verified from the checkpoint used to the newest revision. A damaged checkpoint
    /// is passed over for the one before it, as long as the revisions since are there.
    fn load(&self) -> Result<Option<Stored>, StoreError>;

    /// Appends revisions, all or none; they survive a power cut once this returns.
    ///
    /// `expected` is the number of the newest stored revision, `None` for an empty store. Another
    /// newest one is [`StoreError::Conflict`]; a revision that does not descend from it is
    /// [`StoreError::Diverged`]. The first revision ever has number 1 and an all-zero parent.
    /// After any other error nothing is visible; after [`StoreError::Io`] it may still turn up at
    /// the next start, so load before trying again.
    fn commit(&self, expected: Option<u64>, revisions: &[Revision]) -> Result<(), StoreError>;

    /// [`Store::commit`], and in the same step what the revisions mean for the keys of hosts.
    fn commit_with(
        &self,
        expected: Option<u64>,
        revisions: &[Revision],
        edits: &[HostKeyEdit],
    ) -> Result<(), StoreError> {
        let _ = edits;
        self.commit(expected, revisions)
    }

    /// Writes the whole state at revision `number`, in steps so short that commits from another
    /// thread hardly wait. `digest` is that revision's. Due when [`Backlog::is_due`].
    fn checkpoint(&self, number: u64, digest: Digest, spec: &Spec) -> Result<(), StoreError>;

    /// What a start would have to replay. Cheap enough to ask after each commit, from the thread
    /// that commits.
    fn backlog(&self) -> Result<Backlog, StoreError>;

    /// At most `limit` revisions after `number`, oldest first, their chain verified: the way to
    /// follow another writer. [`StoreError::Pruned`] when some of them are no longer kept (load
    /// instead), [`StoreError::Diverged`] when `number` is not reached yet.
    fn since(&self, number: u64, limit: usize) -> Result<Vec<Logged>, StoreError>;

    /// At most `limit` revisions before number `before` (`None`: from the newest on), newest first; fewer
    /// when they are large (some MiB a page). The next page begins before the last one given.
    fn history(&self, before: Option<u64>, limit: usize) -> Result<Vec<Revision>, StoreError>;

    /// One revision; `None` when it is not kept.
    fn revision(&self, number: u64) -> Result<Option<Revision>, StoreError>;

    /// The state as of revision `number`; `None` when it is not kept.
    fn state_at(&self, number: u64) -> Result<Option<Stored>, StoreError>;

    /// Forgets old revisions by the rule of [`History`]. `now` in milliseconds since 1970.
    fn prune(&self, keep: &History, now: u64) -> Result<(), StoreError>;

    /// What came after `at`, as [`Store::since`], for whoever has nothing else to do: where the store can
    /// wait for the first one it does so, for `patience` at most. [`StoreError::Diverged`] when what is stored does not
    /// descend from `at`.
    fn next(&self, at: Head, limit: usize, patience: Duration) -> Result<Vec<Logged>, StoreError> {
        let _ = patience;
        self.since(at.number, limit)
    }

    /// A newer state for whoever is at `at` and cannot go on step by step, if the store vouches for it: the steps
    /// are no longer kept, or an operator's force began a new line after `at`.
    fn successor(&self, at: Head) -> Result<Option<Stored>, StoreError> {
        let _ = at;
        Ok(None)
    }

    /// Told after each publishing: the state that is served, and the revisions that led there if others made
    /// them. A store with a copy of its own keeps it.
    fn keep(&self, newer: &[Logged], state: &Stored) {
        let _ = (newer, state);
    }

    /// The highest number that this store or anyone who uses it has seen; what it holds may be damaged.
    fn highest(&self) -> Result<u64, StoreError> {
        Ok(self.load()?.map_or(0, |stored| stored.number))
    }

    /// Throws away what is stored and begins anew with `revision`, which leads to `spec`: an operator's force,
    /// after the store lost or mixed up its state. The number is above [`Store::highest`].
    fn establish(&self, revision: &Revision, spec: &Spec) -> Result<(), StoreError> {
        let _ = spec;
        Err(StoreError::Diverged {
            number: revision.number,
            why: "this store cannot be established anew".into(),
        })
    }
}

/// A state with its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The revision's number.
    pub number: u64,
    /// The revision's digest: the `parent` of the next one.
    pub digest: Digest,
    /// The state.
    pub spec: Arc<Spec>,
}

/// Where the state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreSettings {
    /// In this process; gone with it.
    Memory,
    /// In a SQLite file. Its directory is created if the directory above exists.
    Sqlite(PathBuf),
    /// In Redis, shared by many nodes.
    Redis(Box<RedisSettings>),
}

/// A store that is ready for use: both sides of one place.
#[derive(Clone)]
pub struct Opened {
    /// The log.
    pub store: Arc<dyn Store>,
    /// What nodes keep beside it.
    pub registry: Arc<dyn Registry>,
    /// Where it can hold keys of hosts, if it can.
    pub redis: Option<Arc<Redis>>,
}

/// Opens the store, creating it where there is none. Nothing that exists is ever overwritten.
pub fn open(settings: &StoreSettings) -> Result<Opened, StoreError> {
    fn both<T: Store + Registry + 'static>(one: T) -> Opened {
        let one = Arc::new(one);
        Opened {
            store: one.clone(),
            registry: one,
            redis: None,
        }
    }
    match settings {
        StoreSettings::Memory => Ok(both(Memory::default())),
        StoreSettings::Sqlite(path) => Ok(both(Sqlite::open(path)?)),
        StoreSettings::Redis(settings) => {
            let redis = Arc::new(Redis::new(RedisSettings::clone(settings)));
            let opened = match &settings.local_copy {
                Some(copy) => both(Mirrored::open(redis.clone(), copy)?),
                None => Opened {
                    store: redis.clone(),
                    registry: redis.clone(),
                    redis: None,
                },
            };
            let redis = Some(redis);
            Ok(Opened { redis, ..opened })
        }
    }
}

/// A panic elsewhere leaves whole values behind these locks (a transaction is rolled back by its
/// guard), so the next caller may go on.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
