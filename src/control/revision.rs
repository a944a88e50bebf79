use serde::Serialize;
use utoipa::ToSchema;

use crate::change::Change;
use crate::clock::Timestamp;
use crate::spec::{DiffEntry, Revision};

/// One generation of the state: what changed, by whom, when and why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Revision)]
pub(super) struct RevisionView {
    /// Counts up by one.
    number: u64,
    /// RFC 3339, in UTC.
    #[schema(format = DateTime)]
    time: String,
    /// The token's name, `anonymous` without one, `file` for the configuration file.
    author: String,
    /// The address that the request came from; empty for the process itself.
    source: String,
    /// The operator's own words.
    reason: String,
    /// Whether it passed the rails by force.
    forced: bool,
    /// The revision whose content it restored.
    reverts: Option<u64>,
    /// The edits, in order. Not in a conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<Change>>,
    /// The same as values before and after.
    diff: Vec<DiffEntry>,
}

impl RevisionView {
    pub(super) fn new(revision: Revision) -> Self {
        let Revision {
            number,
            meta,
            changes,
            diff,
            parent: _,
        } = revision;
        Self {
            number,
            time: Timestamp::from_unix_ms(meta.time).to_string(),
            author: meta.author,
            source: meta.source,
            reason: meta.reason,
            forced: meta.forced,
            reverts: meta.reverts,
            changes: Some(changes),
            diff,
        }
    }

    /// The short form: the edits, which may be a whole state, left out.
    pub(super) fn without_changes(self) -> Self {
        Self {
            changes: None,
            ..self
        }
    }
}
