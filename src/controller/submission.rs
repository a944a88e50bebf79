use std::sync::Arc;

use crate::change::Change;
use crate::domain::rails::Rail;
use crate::domain::snapshot::Snapshot;
use crate::spec::{DiffEntry, Meta, Name, Spec};

/// Changes that are to happen together, and the conditions for it.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The edits, in order.
    pub changes: Vec<Change>,
    /// Who, when, why.
    pub meta: Meta,
    /// What must still be so.
    pub precondition: Option<Precondition>,
    /// Plan only: nothing is stored or published.
    pub dry_run: bool,
    /// Whether routes may lead to groups that do not exist: an old state may have such.
    pub lenient: bool,
}

/// What must still be so for a change to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// The state is at this revision.
    State(u64),
    /// The group was last changed in this revision.
    Upstream(Name, u64),
    /// The route was last changed in this revision.
    Route(Name, u64),
    /// There is such a group.
    SomeUpstream(Name),
    /// There is such a route.
    SomeRoute(Name),
    /// There is no such group yet.
    NoUpstream(Name),
    /// There is no such route yet.
    NoRoute(Name),
}

impl Submission {
    /// A transaction without conditions.
    pub fn new(changes: Vec<Change>, meta: Meta) -> Self {
        Self {
            changes,
            meta,
            precondition: None,
            dry_run: false,
            lenient: false,
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
        let upstream = |name: &Name| spec.upstreams.get(name).map(|upstream| upstream.changed_at);
        let route = |id: &Name| spec.route(id).map(|route| route.changed_at);
        // What is gone has changed, whatever number is expected.
        let conflict = |at: Option<u64>, expected: u64| match at {
            Some(at) => (at != expected).then_some(at),
            None => Some(revision),
        };
        match self {
            Self::State(expected) => (*expected != revision).then_some(revision),
            Self::Upstream(name, expected) => conflict(upstream(name), *expected),
            Self::Route(id, expected) => conflict(route(id), *expected),
            Self::SomeUpstream(name) => upstream(name).is_none().then_some(revision),
            Self::SomeRoute(id) => route(id).is_none().then_some(revision),
            Self::NoUpstream(name) => upstream(name),
            Self::NoRoute(id) => route(id),
        }
    }
}
