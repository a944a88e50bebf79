//! The state in a SQLite file: one row for each revision, checkpoints in parts.
//!
//! Three connections. `log` commits revisions and waits for the disk (synchronous=FULL).
//! `background` writes what may be lost in a power cut because it can be made again (checkpoints,
//! pruning, the registry), in short transactions and never while a commit runs: whoever writes
//! holds the lock of `log`, so that two threads of this process never meet in SQLite's own lock,
//! which polls. `reader` sees the last commit (WAL) and waits for neither. Other processes may
//! share the file: every compare-and-set runs inside `BEGIN IMMEDIATE`.

mod checkpoints;
mod copy;
mod fault;
mod place;
mod registry;
mod revisions;
mod schema;

use std::path::Path;
use std::sync::Mutex;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use self::fault::Fault;
use self::place::Place;
use super::chain::{Encoded, Replay};
use super::{Backlog, History, Logged, Store, StoreError, Stored, locked};
use crate::spec::{Digest, Revision, Spec};

/// The state in a SQLite file that several processes may share.
pub struct Sqlite {
    place: Place,
    /// Its lock is the right to write.
    log: Mutex<Connection>,
    background: Mutex<Connection>,
    reader: Mutex<Connection>,
    /// One checkpoint or pruning at a time: both take parts away that no checkpoint owns.
    tidying: Mutex<()>,
}

impl Sqlite {
    /// Opens the file, creating it (mode 0600) where there is none. Not more than the last
    /// directory of the path is created (mode 0700). Symbolic links are refused.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, "FULL")
    }

    /// The same for a copy of another store, whose newest revisions may be lost in a power cut.
    pub(super) fn open_copy(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, "NORMAL")
    }

    fn open_with(path: &Path, synchronous: &str) -> Result<Self, StoreError> {
        let place = place::prepare(path)?;
        let connections = || -> Result<_, Fault> {
            Ok((
                schema::connect(&place.path, synchronous)?,
                schema::connect(&place.path, "NORMAL")?,
                schema::connect(&place.path, "NORMAL")?,
            ))
        };
        let (log, background, reader) = connections().map_err(|fault| fault.at(&place.path))?;
        let store = Self {
            place,
            log: Mutex::new(log),
            background: Mutex::new(background),
            reader: Mutex::new(reader),
            tidying: Mutex::new(()),
        };
        if let Err(fault) = checkpoints::clear_orphans(&store) {
            // Another process may be writing just now; the next start or pruning does it.
            log::debug!("half-written checkpoints stay: {}", store.named(fault));
        }
        Ok(store)
    }

    /// A write that may be lost in a power cut, but never in part.
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut background = locked(&self.background);
        let _turn = locked(&self.log);
        let transaction = background.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// A look at one consistent state of the file.
    fn read<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let mut reader = locked(&self.reader);
        let seen = || work(&reader.transaction()?);
        seen().map_err(|fault| self.named(fault))
    }

    fn named(&self, fault: Fault) -> StoreError {
        fault.at(&self.place.path)
    }
}

impl Store for Sqlite {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        self.read(|file| {
            let (head, _) = revisions::head(file)?;
            state(file, head.number)
        })
    }

    fn commit(&self, expected: Option<u64>, revisions: &[Revision]) -> Result<(), StoreError> {
        let encoded = Encoded::all(revisions)?;
        let mut log = locked(&self.log);
        self.place.is_still_ours()?;
        revisions::append(&mut log, expected, &encoded).map_err(|fault| self.named(fault))
    }

    fn checkpoint(&self, number: u64, digest: Digest, spec: &Spec) -> Result<(), StoreError> {
        checkpoints::write(self, number, digest, spec).map_err(|fault| self.named(fault))
    }

    fn backlog(&self) -> Result<Backlog, StoreError> {
        checkpoints::backlog(&locked(&self.log)).map_err(|fault| self.named(fault))
    }

    fn since(&self, number: u64, limit: usize) -> Result<Vec<Logged>, StoreError> {
        self.read(|file| revisions::since(file, number, limit))
    }

    fn history(&self, before: Option<u64>, limit: usize) -> Result<Vec<Revision>, StoreError> {
        self.read(|file| revisions::before(file, before, limit))
    }

    fn revision(&self, number: u64) -> Result<Option<Revision>, StoreError> {
        let found = self.read(|file| revisions::one(file, number))?;
        Ok(found.map(|logged| logged.revision))
    }

    fn state_at(&self, number: u64) -> Result<Option<Stored>, StoreError> {
        self.read(|file| state(file, number))
    }

    fn prune(&self, keep: &History, now: u64) -> Result<(), StoreError> {
        checkpoints::prune(self, keep, now).map_err(|fault| self.named(fault))
    }
}

/// The newest sound checkpoint up to `number`, and the revisions from there.
fn state(file: &Connection, number: u64) -> Result<Option<Stored>, Fault> {
    let (head, _) = revisions::head(file)?;
    if number == 0 || number > head.number {
        return Ok(None);
    }
    let Some(mut replay) = starting_point(file, number)? else {
        return Ok(None);
    };
    revisions::between(file, replay.head.number, number, |logged| {
        Ok(replay.apply(&logged)?)
    })?;
    if replay.head.number != number {
        let missing = replay.head.number + 1;
        return Err(Fault::Damaged(format!("revision {missing} is missing")));
    }
    let named = if number == head.number {
        Some(head.digest)
    } else {
        revisions::mark(file, number)?.map(|(digest, _)| digest)
    };
    if named.is_some_and(|digest| digest != replay.head.digest) {
        let what = format!("revision {number} is not the one that its row or the head names");
        return Err(Fault::Damaged(what));
    }
    Ok(Some(replay.finish()))
}

fn starting_point(file: &Connection, number: u64) -> Result<Option<Replay>, Fault> {
    let mut first_fault = None;
    for found in checkpoints::newest_first(file, number)? {
        match checkpoints::read(file, &found) {
            Ok(stored) => return Ok(Some(Replay::from(stored))),
            Err(fault @ Fault::Damaged(_)) => {
                log::warn!("checkpoint {} is passed over: {fault}", found.number);
                first_fault.get_or_insert(fault);
            }
            Err(fault) => return Err(fault),
        }
    }
    if revisions::mark(file, 1)?.is_some() {
        return Ok(Some(Replay::default()));
    }
    first_fault.map_or(Ok(None), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Meta;
    use crate::store::digest;

    #[test]
    fn a_full_disk_refuses_changes_and_loses_nothing() {
        let directory = tempfile::TempDir::new().unwrap();
        let store = Sqlite::open(&directory.path().join("state.db")).unwrap();
        let limit = "PRAGMA max_page_count = 40";
        locked(&store.log).query_row(limit, [], |_| Ok(())).unwrap();
        let mut head = (None, Digest::default());
        let refused = (1..1000).find_map(|number| {
            let meta = Meta {
                reason: "x".repeat(1000),
                ..Meta::default()
            };
            let revision = Revision {
                number,
                meta,
                changes: vec![],
                diff: vec![],
                parent: head.1,
            };
            let digest = digest(&revision);
            match store.commit(head.0, &[revision]) {
                Ok(()) => head = (Some(number), digest),
                Err(error) => return Some(error),
            }
            None
        });
        assert!(matches!(refused, Some(StoreError::Full { .. })));
        let stored = store.load().unwrap().unwrap();
        assert_eq!((Some(stored.number), stored.digest), head);
    }
}
