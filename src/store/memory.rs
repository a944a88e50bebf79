use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::chain::{Damage, Encoded, Head, Replay};
use super::registry::NODE_KEPT;
use super::retention::Mark;
use super::{
    Backlog, HandOver, History, Lease, Logged, NodeRecord, Registry, Store, StoreError, Stored,
    locked,
};
use crate::spec::{Digest, Revision, Spec};

/// The state in this process: for tests, for the demo, and for those who keep their state elsewhere.
#[derive(Default)]
pub struct Memory {
    log: Mutex<Log>,
    beside: Mutex<Beside>,
}

#[derive(Default)]
struct Log {
    head: Head,
    total: u64,
    revisions: BTreeMap<u64, Entry>,
    checkpoints: BTreeMap<u64, (Mark, Stored)>,
}

struct Entry {
    logged: Logged,
    total: u64,
}

#[derive(Default)]
struct Beside {
    leases: BTreeMap<String, Lease>,
    nodes: BTreeMap<String, NodeRecord>,
    health: BTreeMap<String, HandOver>,
}

impl Store for Memory {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        let log = locked(&self.log);
        log.state_at(log.head.number)
    }

    fn commit(&self, expected: Option<u64>, revisions: &[Revision]) -> Result<(), StoreError> {
        let encoded = Encoded::all(revisions)?;
        let mut log = locked(&self.log);
        log.head = log.head.admit(expected, &encoded)?;
        for (revision, encoded) in revisions.iter().zip(encoded) {
            log.total += encoded.body.len() as u64;
            let logged = Logged {
                revision: revision.clone(),
                digest: encoded.digest,
                text: encoded.body,
            };
            let total = log.total;
            log.revisions
                .insert(encoded.number, Entry { logged, total });
        }
        Ok(())
    }

    fn checkpoint(&self, number: u64, digest: Digest, spec: &Spec) -> Result<(), StoreError> {
        let mut log = locked(&self.log);
        let Some(entry) = log
            .revisions
            .get(&number)
            .filter(|entry| entry.logged.digest == digest)
        else {
            return Err(StoreError::Diverged {
                number,
                why: "the checkpoint is of another history".into(),
            });
        };
        let mark = Mark {
            number,
            bytes: POINTER_COST * (spec.upstreams.len() + spec.routes.len() + 1) as u64,
            total: entry.total,
        };
        let stored = Stored {
            number,
            digest,
            spec: Arc::new(spec.clone()),
        };
        log.checkpoints.insert(number, (mark, stored));
        Ok(())
    }

    fn backlog(&self) -> Result<Backlog, StoreError> {
        let log = locked(&self.log);
        let mark = log.checkpoints.last_key_value().map(|(_, (mark, _))| *mark);
        let mark = mark.unwrap_or_default();
        Ok(Backlog {
            revisions: log.head.number.saturating_sub(mark.number),
            bytes: log.total.saturating_sub(mark.total),
            checkpoint: mark.bytes,
        })
    }

    fn since(&self, number: u64, limit: usize) -> Result<Vec<Logged>, StoreError> {
        let log = locked(&self.log);
        if number > log.head.number {
            return Err(StoreError::Diverged {
                number,
                why: format!("the newest is {}", log.head.number),
            });
        }
        let after = log.revisions.range(number.saturating_add(1)..);
        let found: Vec<Logged> = after
            .take(limit)
            .map(|(_, entry)| entry.logged.clone())
            .collect();
        match found.first() {
            Some(first) if first.revision.number != number + 1 => {
                Err(StoreError::Pruned { after: number })
            }
            _ => Ok(found),
        }
    }

    fn history(&self, before: Option<u64>, limit: usize) -> Result<Vec<Revision>, StoreError> {
        let log = locked(&self.log);
        let before = log.revisions.range(..before.unwrap_or(u64::MAX)).rev();
        Ok(before
            .take(limit)
            .map(|(_, entry)| entry.logged.revision.clone())
            .collect())
    }

    fn revision(&self, number: u64) -> Result<Option<Revision>, StoreError> {
        let log = locked(&self.log);
        let entry = log.revisions.get(&number);
        Ok(entry.map(|entry| entry.logged.revision.clone()))
    }

    fn state_at(&self, number: u64) -> Result<Option<Stored>, StoreError> {
        locked(&self.log).state_at(number)
    }

    fn prune(&self, keep: &History, now: u64) -> Result<(), StoreError> {
        let mut log = locked(&self.log);
        let cutoff = keep.cutoff(now);
        let young = log
            .revisions
            .values()
            .find(|entry| entry.logged.revision.meta.time >= cutoff)
            .map(|entry| entry.logged.revision.number);
        let genesis = log.revisions.contains_key(&1).then(Mark::default);
        let checkpoints = log.checkpoints.values().map(|(mark, _)| *mark);
        let marks: Vec<Mark> = genesis.into_iter().chain(checkpoints).collect();
        if let Some(floor) = keep.floor(&marks, log.head.number, log.total, young) {
            log.revisions = log.revisions.split_off(&floor);
            log.checkpoints = log.checkpoints.split_off(&floor);
        }
        Ok(())
    }
}

/// Bytes that a checkpoint takes here for each object: it shares them all.
const POINTER_COST: u64 = 48;

impl Log {
    fn state_at(&self, number: u64) -> Result<Option<Stored>, StoreError> {
        let checkpoint = self.checkpoints.range(..=number).next_back();
        let start = checkpoint.map_or(0, |(number, _)| *number);
        if number == 0 || number > self.head.number || start == 0 && self.starts_late() {
            return Ok(None);
        }
        let mut replay = checkpoint.map_or_else(Replay::default, |(_, (_, stored))| {
            Replay::from(stored.clone())
        });
        let since = self.revisions.range(start + 1..);
        for (_, entry) in since.take_while(|(entry, _)| **entry <= number) {
            replay.apply(&entry.logged).map_err(damaged)?;
        }
        Ok(Some(replay.finish()))
    }

    fn starts_late(&self) -> bool {
        !self.revisions.contains_key(&1)
    }
}

fn damaged(Damage(reason): Damage) -> StoreError {
    StoreError::Damaged {
        path: "memory".into(),
        reason,
    }
}

impl Registry for Memory {
    fn acquire(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: u64,
    ) -> Result<Lease, StoreError> {
        let mut beside = locked(&self.beside);
        let lease = Lease::asked(beside.leases.get(name).cloned(), holder, ttl, now);
        beside.leases.insert(name.to_owned(), lease.clone());
        Ok(lease)
    }

    fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let mut beside = locked(&self.beside);
        if let Some(lease) = beside.leases.get_mut(name)
            && lease.holder == holder
        {
            lease.give_up();
        }
        Ok(())
    }

    fn put_node(&self, node: &NodeRecord) -> Result<(), StoreError> {
        let mut beside = locked(&self.beside);
        let oldest = node.seen_at.saturating_sub(NODE_KEPT);
        beside.nodes.retain(|_, other| other.seen_at >= oldest);
        beside.nodes.insert(node.id.clone(), node.clone());
        Ok(())
    }

    fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        Ok(locked(&self.beside).nodes.values().cloned().collect())
    }

    fn put_health(&self, node: &str, seen: &HandOver) -> Result<(), StoreError> {
        let mut beside = locked(&self.beside);
        beside.health.insert(node.to_owned(), seen.clone());
        Ok(())
    }

    fn health(&self, node: &str) -> Result<Option<HandOver>, StoreError> {
        Ok(locked(&self.beside).health.get(node).cloned())
    }
}
