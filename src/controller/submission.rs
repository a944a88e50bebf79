use std::sync::Arc;

use crate::change::Change;
use crate::domain::rails::Rail;
use crate::domain::snapshot::Snapshot;
use crate::spec::{DiffEntry, Meta, Name, Spec};
use crate::store::HostKeyEdit;

/// Changes that are to happen together, and the conditions for it.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The edits, in order.
    pub changes: Vec<Change>,
    /// Who, when, why.
    pub meta: Meta,
    /// What must still be so.
    pub precondition: Option<Precondition>,
    /// The revision that the edits were found for, where they, or the right to make them, depend on it.
    pub found_for: Option<u64>,
    /// Plan only: nothing is stored or published.
    pub dry_run: bool,
    /// Whether routes may lead to groups that do not exist: an old state may have such.
    pub lenient: bool,
    /// Whether it comes from the source of the groups that it changes: nobody else says which servers these have.
    pub by_source: bool,
    /// What it means for the keys of hosts, if the changes themselves do not say so: where they come from these keys.
    pub host_keys: Option<Vec<HostKeyEdit>>,
}

/// What must still be so for a change to happen. It is looked at on the state that the change is planned
/// on, so that nothing can come between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precondition {
    /// What it is about.
    pub object: Object,
    /// How that must be.
    pub wanted: Wanted,
}

/// What a precondition is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// The whole state.
    State,
    /// A group.
    Upstream(Name),
    /// A route.
    Route(Name),
    /// The route that answers `GET /` for a host, whichever that is.
    RouteOfHost(String),
}

/// How an object must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// There, and last changed in one of these revisions.
    ChangedIn(Vec<u64>),
    /// There.
    Present,
    /// Not there.
    Absent,
}

impl Submission {
    /// A transaction without conditions.
    pub fn new(changes: Vec<Change>, meta: Meta) -> Self {
        Self {
            changes,
            meta,
            precondition: None,
            found_for: None,
            dry_run: false,
            lenient: false,
            by_source: false,
            host_keys: None,
        }
    }
}

/// What a change did, or would do.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The state's revision now; that of the change, if it made one.
    pub revision: u64,
    /// Whether it made a revision.
    pub is_new: bool,
    /// What it changed.
    pub diff: Vec<DiffEntry>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// The rails that a dry run hits, or that force passed.
    pub rails: Vec<Rail>,
    /// The state that it was planned on.
    pub before: Arc<Snapshot>,
    /// The state that the change led to, or would lead to.
    pub snapshot: Arc<Snapshot>,
}

impl Precondition {
    /// The revision that is in the way, if one is.
    pub(super) fn conflict(&self, spec: &Spec, revision: u64) -> Option<u64> {
        let at = self.object.changed_at(spec, revision);
        match (&self.wanted, at) {
            (Wanted::ChangedIn(numbers), Some(at)) => (!numbers.contains(&at)).then_some(at),
            // What is gone has changed, whatever number is expected.
            (Wanted::ChangedIn(_) | Wanted::Present, None) => Some(revision),
            (Wanted::Present, Some(_)) => None,
            (Wanted::Absent, at) => at,
        }
    }
}

impl Object {
    /// The revision that it was last changed in, if it is there; `revision` is that of the state.
    pub fn changed_at(&self, spec: &Spec, revision: u64) -> Option<u64> {
        match self {
            Self::State => Some(revision),
            Self::Upstream(name) => spec.upstreams.get(name).map(|found| found.changed_at),
            Self::Route(id) => spec.route(id).map(|found| found.changed_at),
            Self::RouteOfHost(host) => spec.route_of_host(host).map(|found| found.changed_at),
        }
    }
}
