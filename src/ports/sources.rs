//! What was last heard from the sources of groups, for people to see.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::spec::Name;

/// Each group that has a source. Cheap to clone, and all clones are one.
#[derive(Clone, Debug, Default)]
pub struct SourceTable(Arc<Mutex<HashMap<Name, Told>>>);

/// What was last heard. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// When.
    pub at: u64,
    /// Why the servers are not what the source says now, if they are not.
    pub problem: Option<String>,
    /// Since when that is so.
    pub failing_since: Option<u64>,
    /// What the source lists and is not taken, and why.
    pub skipped: Vec<String>,
}

impl SourceTable {
    /// What was last heard for a group, if anything was.
    pub fn get(&self, group: &Name) -> Option<Told> {
        self.lock().get(group).cloned()
    }

    /// Groups whose servers are not what their source says now.
    pub fn failing(&self) -> usize {
        let table = self.lock();
        table.values().filter(|told| told.problem.is_some()).count()
    }

    /// Something was heard: what is not taken, or why nothing is. Answers what was there before.
    pub fn told(&self, group: &Name, what: Result<&[String], &str>, now: u64) -> Told {
        let mut table = self.lock();
        let told = table.entry(group.clone()).or_default();
        let next = match what {
            Ok(skipped) => Told {
                at: now,
                skipped: skipped.to_vec(),
                ..Told::default()
            },
            Err(problem) => Told {
                at: now,
                problem: Some(problem.to_owned()),
                failing_since: told.failing_since.or(Some(now)),
                skipped: told.skipped.clone(),
            },
        };
        std::mem::replace(told, next)
    }

    /// The group has no source any more.
    pub fn forget(&self, group: &Name) {
        self.lock().remove(group);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
