use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::ETAG;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use super::conditions::place_of;
use super::edit::{Edit, Look};
use super::outcome::{Done, REVISION, etag, json};
use super::problem::{Code, Problem};
use super::protection::Protection;
use super::refusal;
use super::revision::RevisionView;
use super::settings::{ControlSettings, Role};
use crate::change::Change;
use crate::clock;
use crate::controller::{Controller, Object, Outcome, Precondition, Refusal, Submission};
use crate::discovery::Lookup;
use crate::domain::snapshot::Snapshot;
use crate::fleet::Fleet;
use crate::ports::telemetry::Metrics;
use crate::spec::{Meta, Revision};
use crate::store::{Store, StoreError};

/// What the calls of the API share.
pub(super) struct Api {
    pub(super) settings: ControlSettings,
    pub(super) controller: Controller,
    pub(super) fleet: Fleet,
    pub(super) metrics: Metrics,
    pub(super) ready: watch::Receiver<bool>,
    pub(super) protection: Protection,
    pub(super) started: Instant,
    pub(super) description: Bytes,
    pub(super) lookup: Lookup,
    /// Reads of the store that may wait at a time; a store that hangs holds no more threads.
    readers: Arc<Semaphore>,
}

impl Api {
    pub(super) fn new(
        settings: ControlSettings,
        controller: Controller,
        fleet: Fleet,
        metrics: Metrics,
        ready: watch::Receiver<bool>,
        description: Bytes,
    ) -> Self {
        Self {
            protection: Protection::new(&settings),
            lookup: Lookup::new(&settings.name_servers),
            settings,
            controller,
            fleet,
            metrics,
            ready,
            started: Instant::now(),
            description,
            readers: Arc::new(Semaphore::new(MOST_READERS)),
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.controller.snapshot().load_full()
    }

    /// Submits one edit of one object. `place` is where the object stands in the state.
    pub(super) async fn submit(
        &self,
        edit: &Edit,
        change: Change,
        object: &Object,
        place: &[&str],
    ) -> Result<Done, Problem> {
        let plan = Plan {
            edit,
            object,
            reverts: None,
            is_lenient: false,
        };
        let result = self.change(&plan, |_| vec![change.clone()]).await?;
        match result {
            Ok(done) => Ok(done),
            Err(refusal) => Err(self.explained(refusal, object, place).await),
        }
    }

    /// Submits the edits that `changes` finds for a state; finds them again when they depend on the
    /// state, or the caller's rights do, and the state has changed meanwhile.
    pub(super) async fn change(
        &self,
        plan: &Plan<'_>,
        changes: impl Fn(&Snapshot) -> Vec<Change>,
    ) -> Result<Result<Done, Refusal>, Problem> {
        let edit = plan.edit;
        edit.check_reason()?;
        for _ in 0..MOST_RACES {
            let snapshot = self.snapshot();
            let changes = changes(&snapshot);
            edit.caller
                .may(plan.least_role(), &changes, snapshot.spec())?;
            let depends = plan.reverts.is_some() || edit.caller.is_limited();
            let submission = Submission {
                found_for: depends.then(|| snapshot.revision()),
                ..plan.submission(changes, edit.conditions.precondition(plan.object)?)
            };
            match self.controller.submit(submission).await {
                Err(Refusal::Outdated) => {}
                Err(refusal) => return Ok(Err(refusal)),
                Ok(outcome) => return Ok(Ok(self.done(edit, outcome).await)),
            }
        }
        Ok(Err(Refusal::Busy))
    }

    async fn done(&self, edit: &Edit, outcome: Outcome) -> Done {
        if outcome.is_new {
            let (author, source) = (edit.caller.author(), &edit.caller.source);
            let (number, label, reason) = (outcome.revision, &edit.label, &edit.reason);
            log::info!("revision {number}: {label} by {author} from {source}: {reason:?}");
        }
        let waited = match edit.wait {
            Some(limit) if !edit.dry_run => Some(self.fleet.wait(outcome.revision, limit).await),
            _ => None,
        };
        Done {
            outcome,
            dry_run: edit.dry_run,
            waited,
        }
    }

    /// The refusal as a problem; with 412 it shows the revision that is in the way.
    pub(super) async fn explained(
        &self,
        refusal: Refusal,
        object: &Object,
        place: &[&str],
    ) -> Problem {
        let Refusal::Precondition(number) = refusal else {
            return refusal::problem(refusal, place);
        };
        let snapshot = self.snapshot();
        let path = place_of(object, snapshot.spec());
        let now = object.changed_at(snapshot.spec(), snapshot.revision());
        let (sought, is_there) = (path.clone(), now.is_some());
        let found = self.read(move |store| conflicting(store, number, &sought, is_there));
        // Without the store there is the number at least.
        let conflict = found.await.ok().flatten().map(RevisionView::new);
        let detail = match is_there {
            true => format!("{path}: revision {number} changed it last"),
            false => format!("{path} does not exist"),
        };
        Problem::new(Code::PreconditionFailed, detail.trim_start_matches(": "))
            .with_conflict(conflict.map(RevisionView::without_changes))
    }

    /// Reads the history away from the threads that serve, for a limited time.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let (store, readers) = (self.controller.store().clone(), self.readers.clone());
        let reading = async move {
            let turn = readers.acquire_owned().await.ok();
            let read = move || {
                let _turn = turn;
                read(&*store)
            };
            tokio::task::spawn_blocking(read).await
        };
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(unavailable(error.to_string())),
            Ok(Err(_)) => Err(Problem::new(Code::Internal, "reading the history failed")),
            Err(_) => Err(unavailable("the store did not answer within 2 s".into())),
        }
    }

    /// Answers a GET from one snapshot; `show` may take long and runs away from the threads that serve.
    pub(super) async fn show<T, F>(&self, look: &Look, show: F) -> Result<Response, Problem>
    where
        T: Serialize,
        F: FnOnce(&Snapshot) -> Result<(u64, T), Problem> + Send + 'static,
    {
        let (snapshot, conditions) = (self.snapshot(), look.conditions.clone());
        let answer = move || {
            let (tag, value) = show(&snapshot)?;
            let mut response = match conditions.has(tag) {
                true => StatusCode::NOT_MODIFIED.into_response(),
                false => json(StatusCode::OK, &value),
            };
            let headers = response.headers_mut();
            headers.insert(ETAG, etag(tag));
            headers.insert(REVISION, snapshot.revision().into());
            Ok(response)
        };
        tokio::task::spawn_blocking(answer)
            .await
            .unwrap_or_else(|_| Err(Problem::new(Code::Internal, "showing the state failed")))
    }
}

/// How a change is to be submitted.
pub(super) struct Plan<'a> {
    pub(super) edit: &'a Edit,
    /// What its conditions are about.
    pub(super) object: &'a Object,
    /// The revision that it restores.
    pub(super) reverts: Option<u64>,
    /// Whether routes may lead nowhere, as they did in an old state.
    pub(super) is_lenient: bool,
}

impl Plan<'_> {
    /// The role that it takes also when nothing differs.
    fn least_role(&self) -> Role {
        match self.reverts {
            Some(_) => Role::Admin,
            None => Role::Operate,
        }
    }

    fn submission(&self, changes: Vec<Change>, precondition: Option<Precondition>) -> Submission {
        let edit = self.edit;
        let meta = Meta {
            time: clock::unix_ms(),
            author: edit.caller.author().to_owned(),
            source: edit.caller.source.clone(),
            reason: edit.reason.clone(),
            forced: edit.force,
            reverts: self.reverts,
        };
        Submission {
            precondition,
            dry_run: edit.dry_run,
            lenient: self.is_lenient,
            ..Submission::new(changes, meta)
        }
    }
}

/// The revision that changed the object last. An object that is gone has no number to say which:
/// the newest that names its path did it.
fn conflicting(
    store: &dyn Store,
    number: u64,
    path: &str,
    is_there: bool,
) -> Result<Option<Revision>, StoreError> {
    if is_there {
        return store.revision(number);
    }
    let below = format!("{path}/").to_ascii_lowercase();
    let names = |place: &str| {
        let place = place.to_ascii_lowercase();
        place.starts_with(&below) || place.len() + 1 == below.len() && below.starts_with(&place)
    };
    let recent = store.history(None, SEARCHED)?;
    let touched = |revision: &Revision| revision.diff.iter().any(|entry| names(&entry.path));
    Ok(recent.into_iter().find(touched))
}

fn unavailable(detail: String) -> Problem {
    Problem::new(Code::StoreUnavailable, detail).retry_after(5)
}

/// For a read of the store.
const PATIENCE: Duration = Duration::from_secs(2);
const MOST_READERS: usize = 4;
/// Lost races with other changes before the caller is told to try again.
const MOST_RACES: usize = 8;
/// How far back a deletion is searched for.
const SEARCHED: usize = 200;
