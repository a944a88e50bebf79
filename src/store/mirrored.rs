//! The shared store with this node's own copy beside it.
//!
//! The copy follows what the node serves, text by text, so that its chain is the fleet's. It is where a start begins:
//! the node goes on from there if what the shared store holds descends from it, and serves it otherwise. Reads of the
//! history fall back to it. Nothing is ever written to the shared store from it but by an operator's force.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::chain::{Encoded, Replay};
use super::{
    Backlog, HandOver, Head, History, HostKeyEdit, Lease, Logged, NodeRecord, Redis, Registry,
    Roll, Sqlite, Store, StoreError, Stored,
};
use crate::spec::{Digest, Revision, Span, Spec};

/// Redis, and a state file of this node's own.
pub struct Mirrored {
    shared: Arc<Redis>,
    copy: Arc<Sqlite>,
    /// Whether a checkpoint of the copy is being written.
    is_saving: Arc<AtomicBool>,
}

/// What a start waits for the shared store before it serves the copy.
const START: Duration = Duration::from_millis(500);

/// What the copy keeps of the history: enough to look up what happened while the shared store is away.
const KEPT: History = History {
    revisions: 1000,
    age: Span::from_secs(0),
    size: 64 << 20,
};

impl Mirrored {
    /// Opens the copy; nothing is connected yet.
    pub fn open(shared: Arc<Redis>, copy: &Path) -> Result<Self, StoreError> {
        let open = || {
            let copy = Sqlite::open_copy(copy)?;
            let fleet = copy.fleet()?;
            Ok((copy, fleet))
        };
        let (copy, fleet) = open().map_err(of_copy)?;
        if let Some(fleet) = fleet {
            shared.belong_to(&fleet);
        }
        Ok(Self {
            shared,
            copy: Arc::new(copy),
            is_saving: Arc::default(),
        })
    }

    /// The newest state that descends from the copy's; `None` when the shared store has no such answer in time.
    fn caught_up(&self, kept: &Stored) -> Option<(Vec<Logged>, Stored)> {
        let (tell, told) = mpsc::channel();
        let (shared, from) = (self.shared.clone(), kept.clone());
        // On a thread of its own: resolving a name has no time limit.
        let spawned = std::thread::Builder::new()
            .name("catch-up".into())
            .spawn(move || drop(tell.send(catch_up(&shared, from))));
        let number = kept.number;
        match spawned.ok().and_then(|_| told.recv_timeout(START).ok()) {
            Some(Ok(found)) => Some(found),
            Some(Err(error)) => {
                log::error!("{error}: revision {number} of the local copy serves");
                None
            }
            None => {
                log::error!(
                    "the store did not answer at the start: revision {number} of the local copy serves"
                );
                None
            }
        }
    }

    /// Appends to the copy, or begins it anew with the state where the steps are not known.
    fn follow(&self, newer: &[Logged], state: &Stored) -> Result<(), StoreError> {
        let now = Head {
            number: state.number,
            digest: state.digest,
        };
        let before = self.copy.head()?;
        if before == now {
            return Ok(());
        }
        let next: Vec<Encoded> = newer
            .iter()
            .filter(|logged| logged.revision.number > before.number)
            .map(Encoded::again)
            .collect();
        let leads_there = before
            .admit(before.newest(), &next)
            .is_ok_and(|end| end == now);
        match leads_there {
            true => self.copy.append(before, &next)?,
            false => self.copy.adopt(state)?,
        }
        self.remember_fleet()
    }

    fn remember_fleet(&self) -> Result<(), StoreError> {
        match (self.shared.fleet(), self.copy.fleet()?) {
            (Some(ours), known) if known.as_ref() != Some(&ours) => self.copy.set_fleet(&ours),
            _ => Ok(()),
        }
    }

    /// Writes a checkpoint of the copy on a thread of its own when it is due.
    fn save_if_due(&self, state: &Stored) {
        let is_due = self.copy.backlog().is_ok_and(|backlog| backlog.is_due());
        if !is_due || self.is_saving.swap(true, Ordering::AcqRel) {
            return;
        }
        let (copy, state, is_saving) = (self.copy.clone(), state.clone(), self.is_saving.clone());
        let save = move || {
            let saved = copy.checkpoint(state.number, state.digest, &state.spec);
            if let Err(error) = saved.and_then(|()| copy.prune(&KEPT, 0)) {
                log::warn!("{}", of_copy(error));
            }
            is_saving.store(false, Ordering::Release);
        };
        let spawned = std::thread::Builder::new().name("copy".into()).spawn(save);
        if let Err(error) = spawned {
            log::warn!("no thread for a checkpoint: {error}");
            self.is_saving.store(false, Ordering::Release);
        }
    }
}

fn of_copy(error: StoreError) -> StoreError {
    StoreError::LocalCopy(Box::new(error))
}

/// Goes from a state to the newest that descends from it.
fn catch_up(shared: &Redis, from: Stored) -> Result<(Vec<Logged>, Stored), StoreError> {
    let head = Head {
        number: from.number,
        digest: from.digest,
    };
    let (mut replay, mut all) = (Replay::from(from), Vec::new());
    loop {
        let newer = match shared.next(replay.head, PAGE, Duration::ZERO) {
            Err(error @ (StoreError::Pruned { .. } | StoreError::Diverged { .. })) => {
                let state = shared.successor(head)?.ok_or(error)?;
                return Ok((Vec::new(), state));
            }
            newer => newer?,
        };
        if newer.is_empty() {
            return Ok((all, replay.finish()));
        }
        for logged in &newer {
            let applied = replay.apply(logged);
            applied.map_err(|damage| StoreError::Diverged {
                number: logged.revision.number,
                why: damage.0,
            })?;
        }
        all.extend(newer);
    }
}

const PAGE: usize = 256;

impl Store for Mirrored {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        let Some(kept) = self.copy.load().map_err(of_copy)? else {
            let loaded = self.shared.load();
            let loaded = loaded.map_err(|error| StoreError::NoCopy(Box::new(error)))?;
            if let Some(state) = &loaded {
                self.keep(&[], state);
            }
            return Ok(loaded);
        };
        let Some((newer, state)) = self.caught_up(&kept) else {
            return Ok(Some(kept));
        };
        self.keep(&newer, &state);
        Ok(Some(state))
    }

    fn commit(&self, expected: Option<u64>, revisions: &[Revision]) -> Result<(), StoreError> {
        self.commit_with(expected, revisions, &[])
    }

    fn commit_with(
        &self,
        expected: Option<u64>,
        revisions: &[Revision],
        edits: &[HostKeyEdit],
    ) -> Result<(), StoreError> {
        self.shared.commit_with(expected, revisions, edits)?;
        // Stored it is; the copy is mended at the next `keep` if this fails.
        let kept = self.copy.commit(expected, revisions);
        if let Err(error) = kept.and_then(|()| self.remember_fleet()) {
            log::warn!("{}", of_copy(error));
        }
        Ok(())
    }

    fn checkpoint(&self, number: u64, digest: Digest, spec: &Spec) -> Result<(), StoreError> {
        self.shared.checkpoint(number, digest, spec)
    }

    fn backlog(&self) -> Result<Backlog, StoreError> {
        self.shared.backlog()
    }

    fn since(&self, number: u64, limit: usize) -> Result<Vec<Logged>, StoreError> {
        self.shared.since(number, limit)
    }

    fn history(&self, before: Option<u64>, limit: usize) -> Result<Vec<Revision>, StoreError> {
        match self.shared.history(before, limit) {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => self.copy.history(before, limit),
        }
    }

    fn revision(&self, number: u64) -> Result<Option<Revision>, StoreError> {
        match self.shared.revision(number) {
            Ok(Some(found)) => Ok(Some(found)),
            _ => self.copy.revision(number),
        }
    }

    fn state_at(&self, number: u64) -> Result<Option<Stored>, StoreError> {
        match self.shared.state_at(number) {
            Ok(Some(found)) => Ok(Some(found)),
            _ => self.copy.state_at(number),
        }
    }

    fn prune(&self, keep: &History, now: u64) -> Result<(), StoreError> {
        self.shared.prune(keep, now)
    }

    fn next(&self, at: Head, limit: usize, patience: Duration) -> Result<Vec<Logged>, StoreError> {
        self.shared.next(at, limit, patience)
    }

    fn successor(&self, at: Head) -> Result<Option<Stored>, StoreError> {
        self.shared.successor(at)
    }

    fn keep(&self, newer: &[Logged], state: &Stored) {
        if let Err(error) = self.follow(newer, state) {
            log::error!("{}", of_copy(error));
        }
        self.save_if_due(state);
    }

    fn highest(&self) -> Result<u64, StoreError> {
        Ok(self.shared.highest()?.max(self.copy.head()?.number))
    }

    fn establish(&self, revision: &Revision, spec: &Spec) -> Result<(), StoreError> {
        self.shared.establish(revision, spec)
    }
}

/// Leases and records are the fleet's. What this node saw of its servers is for its own next process, which must find
/// it at once, whatever the shared store does.
impl Registry for Mirrored {
    fn acquire(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: u64,
    ) -> Result<Lease, StoreError> {
        self.shared.acquire(name, holder, ttl, now)
    }

    fn hold(&self, name: &str, holder: &str, ttl: Duration, now: u64) -> Result<Lease, StoreError> {
        self.shared.hold(name, holder, ttl, now)
    }

    fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        self.shared.release(name, holder)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn sign(&self, node: &NodeRecord) -> Result<Roll, StoreError> {
        self.shared.sign(node)
    }

    fn put_node(&self, node: &NodeRecord) -> Result<(), StoreError> {
        self.shared.put_node(node)
    }

    fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        self.shared.nodes()
    }

    fn put_health(&self, node: &str, seen: &HandOver) -> Result<(), StoreError> {
        self.copy.put_health(node, seen)
    }

    fn health(&self, node: &str) -> Result<Option<HandOver>, StoreError> {
        self.copy.health(node)
    }
}
