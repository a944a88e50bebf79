use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::follower::diverged;
use super::plan::{Base, Plan, Step, plan};
use super::standing::Standing;
use super::{Asked, Job, Outcome, Refusal};
use crate::clock;
use crate::domain::names::Resolved;
use crate::domain::snapshot::Publisher;
use crate::ports::server_tls::ServerTlsTable;
use crate::ports::telemetry::{ChangeOutcome, Metrics};
use crate::spec::{Address, ForbiddenAddresses};
use crate::store::{Head, History, Logged, Store, StoreError, Stored};

/// The writer's own state. Runs on a thread of its own until every [`super::Controller`] is gone.
pub(super) struct Writer {
    pub(super) base: Base,
    /// Tells the follower what the base is.
    pub(super) serve: watch::Sender<Head>,
    pub(super) standing: Standing,
    pub(super) publisher: Publisher,
    pub(super) store: Arc<dyn Store>,
    pub(super) announce: watch::Sender<u64>,
    pub(super) metrics: Metrics,
    pub(super) forbidden: ForbiddenAddresses,
    pub(super) history: History,
    pub(super) is_saving: Arc<AtomicBool>,
    pub(super) server_tls: ServerTlsTable,
}

pub(super) type Planned = Vec<Result<Outcome, Refusal>>;

impl Writer {
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            match jobs.recv() {
                Ok(first) => self.take(first, jobs),
                Err(RecvError) => return,
            }
        }
    }

    /// Takes what is waiting, as one write.
    fn take(&mut self, first: Job, jobs: &Receiver<Job>) {
        let (mut batch, mut names, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for job in std::iter::once(first).chain(jobs.try_iter().take(MOST_AT_ONCE - 1)) {
            match job {
                Job::Change(asked) => batch.push(asked),
                Job::Names(found, reply) => {
                    names.extend(found);
                    told.push(reply);
                }
                Job::Newer(newer, reply) => drop(reply.send(self.go_on(newer))),
                Job::Successor(at, state, reply) => drop(reply.send(self.succeed(at, state))),
            }
        }
        self.resolve(&names);
        for reply in told {
            let _ = reply.send(());
        }
        if batch.is_empty() {
            return;
        }
        // Whoever stopped waiting was told that nothing is known; what is not begun is not begun.
        batch.retain(|job| !job.reply.is_closed());
        let before = self.base.snapshot.revision();
        let answers = self.answers(&batch);
        for (job, answer) in batch.into_iter().zip(answers) {
            self.metrics
                .change_ended(counted(&answer, job.submission.dry_run));
            // A caller that has gone away misses its answer, nothing else.
            let _ = job.reply.send(answer);
        }
        // Not when nothing was stored: a store that is away must not be waited for twice.
        if self.base.snapshot.revision() != before {
            self.save_checkpoint_if_due();
        }
    }

    /// Publishes what names stand for now, at the same revision.
    fn resolve(&mut self, found: &[(Address, Arc<Resolved>)]) {
        let found = found.iter().map(|(address, resolved)| (address, resolved));
        let Some(snapshot) = self.base.snapshot.resolved(found) else {
            return;
        };
        self.base.snapshot = Arc::new(snapshot);
        self.publisher.publish(self.base.snapshot.clone());
        self.announce.send_replace(self.base.snapshot.revision());
    }

    /// Plans, stores, publishes. When another process was first, what it stored is taken over and
    /// everything is planned again, preconditions too.
    pub(super) fn store_and_publish(&mut self, batch: &[Asked]) -> Planned {
        let begun = Instant::now();
        while begun.elapsed() < RACING {
            let (answers, steps) = self.plan_all(batch);
            let Some(last) = steps.last().map(|step| step.next.clone()) else {
                return answers;
            };
            let (mut revisions, mut edits) = (Vec::new(), Vec::new());
            for step in steps {
                revisions.push(step.revision);
                edits.extend(step.host_keys);
            }
            let newest = Some(self.base.snapshot.revision());
            match self.store.commit_with(newest, &revisions, &edits) {
                Ok(()) => {
                    self.publish(last, &[]);
                    self.standing.agreed();
                    return answers;
                }
                Err(StoreError::Conflict { .. } | StoreError::Diverged { .. }) => {
                    if let Err(error) = self.catch_up() {
                        return self.not_stored(batch, &error);
                    }
                }
                Err(error) => return self.not_stored(batch, &error),
            }
        }
        let lost = StoreError::Conflict {
            newest: Some(self.base.snapshot.revision()),
        };
        self.not_stored(batch, &lost)
    }

    fn plan_all(&self, batch: &[Asked]) -> (Planned, Vec<Step>) {
        let mut base = self.base.clone();
        let mut steps = Vec::new();
        let answers = batch.iter().map(|job| {
            let plan = plan(&base, &job.submission, &self.forbidden, &self.server_tls)?;
            if let Some(step) = plan.step {
                base = step.next.clone();
                steps.push(step);
            }
            Ok(plan.outcome)
        });
        (answers.collect(), steps)
    }

    /// Nothing of the batch happened. An answer may rest on an edit that was planned before it and is
    /// not stored either: only what is also true of the stored state is said.
    pub(super) fn not_stored(&self, batch: &[Asked], error: &StoreError) -> Planned {
        let mut reason = error.to_string();
        if error.is_divergence() {
            reason = diverged(error);
            let revision = self.base.snapshot.revision();
            self.standing.failed(reason.clone(), true, revision);
        }
        log::error!("changes were not stored: {reason}");
        self.metrics.store_failed();
        let answer = |job: &Asked| match plan(
            &self.base,
            &job.submission,
            &self.forbidden,
            &self.server_tls,
        ) {
            Ok(Plan {
                step: None,
                outcome,
            }) => Ok(outcome),
            _ => Err(Refusal::Store(reason.clone())),
        };
        batch.iter().map(answer).collect()
    }

    pub(super) fn publish(&mut self, next: Base, newer: &[Logged]) {
        let revision = next.snapshot.revision();
        self.publisher.publish(next.snapshot.clone());
        self.base = next;
        self.metrics.published(revision, clock::unix_ms());
        self.announce.send_replace(revision);
        let state = Stored {
            number: revision,
            digest: self.base.digest,
            spec: self.base.snapshot.spec().clone(),
        };
        self.serve.send_replace(Head {
            number: revision,
            digest: self.base.digest,
        });
        self.store.keep(newer, &state);
    }
}

/// Changes that are stored with one write.
pub(super) const MOST_AT_ONCE: usize = 256;
/// How long races with other processes are lost before the callers are told to try again.
const RACING: Duration = Duration::from_millis(1500);

fn counted(answer: &Result<Outcome, Refusal>, dry_run: bool) -> ChangeOutcome {
    match answer {
        Ok(_) if dry_run => ChangeOutcome::DryRun,
        Ok(outcome) if outcome.is_new => ChangeOutcome::Applied,
        Ok(_) => ChangeOutcome::Unchanged,
        Err(Refusal::Rails(_) | Refusal::UpstreamInUse { .. } | Refusal::Sourced { .. }) => {
            ChangeOutcome::Refused
        }
        Err(Refusal::Precondition(_) | Refusal::Outdated) => ChangeOutcome::Conflict,
        Err(Refusal::Store(_) | Refusal::StoreSilent | Refusal::Busy | Refusal::Stopping) => {
            ChangeOutcome::StoreFailed
        }
        Err(_) => ChangeOutcome::Invalid,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::change::Change;
    use crate::controller::Submission;
    use crate::domain::snapshot::{Snapshot, shared};
    use crate::spec::{Digest, Meta, Span, Spec};
    use crate::store::Memory;

    /// Its state is one that the store never had, so that no commit succeeds.
    pub(in crate::controller) fn writer_that_cannot_store() -> Writer {
        let snapshot = Arc::new(Snapshot::build(7, Arc::new(Spec::default()), None));
        let (publisher, _) = shared(Snapshot::default());
        Writer {
            base: Base {
                digest: Digest::default(),
                snapshot,
                establishes: None,
            },
            serve: watch::channel(Head::default()).0,
            standing: Standing::new(Metrics::new()),
            publisher,
            store: Arc::new(Memory::default()),
            announce: watch::channel(0).0,
            metrics: Metrics::new(),
            forbidden: ForbiddenAddresses::default(),
            history: History {
                revisions: 1,
                age: Span::from_secs(1),
                size: 1,
            },
            is_saving: Arc::default(),
            server_tls: ServerTlsTable::default(),
        }
    }

    pub(in crate::controller) fn put(name: &str, dry_run: bool) -> Asked {
        let json = format!(r#"{{"op":"put_upstream","name":"{name}","upstream":{{}}}}"#);
        let change: Change = serde_json::from_str(&json).unwrap();
        let submission = Submission {
            dry_run,
            ..Submission::new(vec![change], Meta::default())
        };
        Asked {
            submission,
            reply: oneshot::channel().0,
        }
    }

    #[test]
    fn a_state_vouched_for_before_a_change_does_not_undo_it() {
        let mut writer = writer_that_cannot_store();
        let state = Stored {
            number: 9,
            digest: Digest([9; 32]),
            spec: Arc::default(),
        };
        let before = Head {
            number: 6,
            digest: Digest([6; 32]),
        };
        assert!(writer.succeed(before, state.clone()).is_err());
        assert_eq!(writer.base.snapshot.revision(), 7);
        assert!(writer.succeed(writer.at(), state).is_ok());
        assert_eq!(writer.base.snapshot.revision(), 9);
    }

    #[test]
    fn nobody_hears_yes_because_of_an_edit_in_the_batch_that_was_not_stored() {
        let mut writer = writer_that_cannot_store();
        // The second alters nothing once the first has happened, which it has not.
        let batch = [put("a", false), put("a", false), put("b", true)];
        let answers = writer.store_and_publish(&batch);
        assert!(
            matches!(answers[0], Err(Refusal::Store(_))),
            "{:?}",
            answers[0]
        );
        assert!(
            matches!(answers[1], Err(Refusal::Store(_))),
            "{:?}",
            answers[1]
        );
        assert_eq!(
            answers[2].as_ref().map(|outcome| outcome.revision).ok(),
            Some(7)
        );
        assert_eq!(writer.base.snapshot.revision(), 7);
    }
}
