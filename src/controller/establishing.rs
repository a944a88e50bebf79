//! An operator's force, where the store holds another history than this node's.

use super::plan::{Base, Plan, Step, plan};
use super::writer::{Planned, Writer};
use super::{Asked, Refusal};
use crate::store::descent;

impl Writer {
    /// While the store holds another history, an operator's force begins it anew; all else waits for that.
    pub(super) fn answers(&mut self, batch: &[Asked]) -> Planned {
        let is_forced = |asked: &Asked| {
            let submission = &asked.submission;
            submission.meta.forced && !submission.dry_run
        };
        if !self.standing.is_diverged() {
            return self.store_and_publish(batch);
        }
        let one = |asked: &Asked| {
            let alone = std::slice::from_ref(asked);
            let answers = match is_forced(asked) && self.standing.is_diverged() {
                true => self.establish(asked),
                false => self.store_and_publish(alone),
            };
            answers.into_iter()
        };
        batch.iter().flat_map(one).collect()
    }

    /// Makes the state that is served, with this change, the one that is stored.
    fn establish(&mut self, asked: &Asked) -> Planned {
        let number = match self.store.highest() {
            Ok(stored) => descent::forced_number(stored, self.base.snapshot.revision()),
            Err(error) => return vec![Err(Refusal::Store(error.to_string()))],
        };
        let base = Base {
            establishes: Some(number),
            ..self.base.clone()
        };
        let planned = plan(&base, &asked.submission, &self.forbidden, &self.server_tls);
        let (outcome, revision, next) = match planned {
            Ok(Plan {
                outcome,
                step: Some(Step { revision, next, .. }),
            }) => (outcome, revision, next),
            Ok(Plan { outcome, .. }) => return vec![Ok(outcome)],
            Err(refusal) => return vec![Err(refusal)],
        };
        match self.store.establish(&revision, next.snapshot.spec()) {
            Ok(()) => {
                log::warn!(
                    "revision {} is the fleet's, by force of {}",
                    revision.number,
                    revision.meta.author
                );
                self.publish(next, &[]);
                self.standing.agreed();
                vec![Ok(outcome)]
            }
            // Not `not_stored`: that nothing needed a change is no answer here.
            Err(error) => {
                log::error!("the state was not made the fleet's: {error}");
                self.metrics.store_failed();
                vec![Err(Refusal::Store(error.to_string()))]
            }
        }
    }
}
