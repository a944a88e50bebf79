//! What other processes stored.

use std::sync::Arc;
use std::time::Duration;

use super::follower::Taken;
use super::plan::Base;
use super::writer::{MOST_AT_ONCE, Writer};
use super::{secrets, tls};
use crate::domain::snapshot::Snapshot;
use crate::spec::{Digest, Spec};
use crate::store::{Head, Logged, StoreError, Stored, descent};

impl Writer {
    /// Takes over what another process stored first: step by step, or whole where the store vouches for it. To be so far
    /// behind is no divergence, and must not be taken for one: force would throw away what the others stored.
    pub(super) fn catch_up(&mut self) -> Result<(), StoreError> {
        let at = self.at();
        let number = at.number;
        let diverged = |why| StoreError::Diverged { number, why };
        match self.store.next(at, MOST_AT_ONCE, Duration::ZERO) {
            Err(error) if error.is_divergence() => match self.store.successor(at)? {
                Some(state) => {
                    log::warn!("revision {} is taken over whole: {error}", state.number);
                    self.succeed(at, state).map_err(diverged)
                }
                None => Err(error),
            },
            newer => self.go_on(newer?).map_err(diverged),
        }
    }

    /// What is served.
    pub(super) fn at(&self) -> Head {
        Head {
            number: self.base.snapshot.revision(),
            digest: self.base.digest,
        }
    }

    /// Applies revisions of others, as far as they are new, onto the one that they descend from.
    pub(super) fn go_on(&mut self, mut newer: Vec<Logged>) -> Taken {
        let from = self.base.snapshot.revision();
        newer.retain(|logged| logged.revision.number > from);
        let (Some(first), Some(last)) = (newer.first(), newer.last()) else {
            return Ok(());
        };
        let (number, digest) = (last.revision.number, last.digest);
        let at = self.at();
        if descent::follows(at, first.revision.number, first.revision.parent).is_err() {
            return Err(format!(
                "revision {} in the store does not descend from revision {from} here",
                first.revision.number
            ));
        }
        let mut spec = Spec::clone(self.base.snapshot.spec());
        for logged in &newer {
            let number = logged.revision.number;
            for change in &logged.revision.changes {
                change
                    .apply(&mut spec, number)
                    .map_err(|error| format!("revision {number} cannot be applied: {error}"))?;
            }
        }
        self.take_over(number, digest, Arc::new(spec), &newer);
        Ok(())
    }

    /// Goes on from a state that the store vouches for to whoever is at `at`. What was stored here since then need
    /// not be in it, whatever its number.
    pub(super) fn succeed(&mut self, at: Head, state: Stored) -> Taken {
        if self.at() != at {
            let now = self.base.snapshot.revision();
            return Err(format!("revision {now} came before the state was read"));
        }
        self.take_over(state.number, state.digest, state.spec, &[]);
        Ok(())
    }

    fn take_over(&mut self, number: u64, digest: Digest, spec: Arc<Spec>, newer: &[Logged]) {
        let snapshot = Arc::new(Snapshot::build(number, spec, Some(&self.base.snapshot)));
        let before = self.base.snapshot.spec();
        tls::read_anyway(&self.server_tls, before, &snapshot);
        secrets::read_anyway(before, &snapshot);
        let next = Base {
            digest,
            snapshot,
            establishes: None,
        };
        self.publish(next, newer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::writer::tests::{put, writer_that_cannot_store};
    use super::*;
    use crate::spec::Revision;
    use crate::store::{Backlog, History, Store};

    /// Holds a state with nothing before it, as after a pruning.
    struct Pruned(Mutex<Stored>);

    impl Store for Pruned {
        fn commit(&self, expected: Option<u64>, revisions: &[Revision]) -> Result<(), StoreError> {
            let mut stored = self.0.lock().unwrap();
            if expected != Some(stored.number) {
                let newest = Some(stored.number);
                return Err(StoreError::Conflict { newest });
            }
            stored.number += revisions.len() as u64;
            Ok(())
        }

        fn since(&self, number: u64, _: usize) -> Result<Vec<Logged>, StoreError> {
            Err(StoreError::Pruned { after: number })
        }

        fn successor(&self, _: Head) -> Result<Option<Stored>, StoreError> {
            Ok(Some(self.0.lock().unwrap().clone()))
        }

        fn backlog(&self) -> Result<Backlog, StoreError> {
            Ok(Backlog::default())
        }

        fn load(&self) -> Result<Option<Stored>, StoreError> {
            unreachable!("a start")
        }

        fn checkpoint(&self, _: u64, _: Digest, _: &Spec) -> Result<(), StoreError> {
            unreachable!("the backlog is empty")
        }

        fn history(&self, _: Option<u64>, _: usize) -> Result<Vec<Revision>, StoreError> {
            unreachable!("a reader")
        }

        fn revision(&self, _: u64) -> Result<Option<Revision>, StoreError> {
            unreachable!("a reader")
        }

        fn state_at(&self, _: u64) -> Result<Option<Stored>, StoreError> {
            unreachable!("a reader")
        }

        fn prune(&self, _: &History, _: u64) -> Result<(), StoreError> {
            unreachable!("the backlog is empty")
        }
    }

    #[test]
    fn a_change_on_a_node_far_behind_is_made_on_the_newest_state_and_no_divergence() {
        let mut writer = writer_that_cannot_store();
        writer.store = Arc::new(Pruned(Mutex::new(Stored {
            number: 5000,
            digest: Digest([1; 32]),
            spec: Arc::default(),
        })));
        let answers = writer.answers(&[put("a", false)]);
        let revision = answers[0].as_ref().map(|outcome| outcome.revision);
        assert_eq!(revision.ok(), Some(5001), "{:?}", answers[0]);
        assert!(!writer.standing.is_diverged());
    }
}
