//! A history made by a test, with the state after each revision, computed without a store.

#![allow(dead_code, reason = "each test file uses a part of this module")]

use std::sync::Arc;

use pointsman::change::Change;
use pointsman::spec::{Meta, Revision, Span, Spec};
use pointsman::store::{History, Logged, Store, Stored};

/// Every revision so far and the state that it gave.
#[derive(Default)]
pub(crate) struct Lineage {
    pub(crate) all: Vec<(Logged, Arc<Spec>)>,
}

impl Lineage {
    /// The newest number, as `commit` expects it.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.all.last().map(|(logged, _)| logged.revision.number)
    }

    /// What a store holds after revision `number`.
    pub(crate) fn at(&self, number: u64) -> Stored {
        let (logged, spec) = &self.all[number as usize - 1];
        Stored {
            number,
            digest: logged.digest,
            spec: spec.clone(),
        }
    }

    pub(crate) fn last(&self) -> Stored {
        self.at(self.newest().unwrap())
    }

    pub(crate) fn revision(&self, number: u64) -> Revision {
        self.all[number as usize - 1].0.revision.clone()
    }

    /// Writes to a store that may be damaged: a commit that succeeds is there afterwards, or the damage is found.
    pub(crate) fn goes_on_or_is_refused(&self, store: &dyn Store) {
        let mut after = Self {
            all: self.all.clone(),
        };
        if store.commit(self.newest(), &after.more(1)).is_ok()
            && let Ok(loaded) = store.load()
        {
            assert_eq!(loaded, Some(after.last()));
        }
        let keep = History {
            revisions: 1,
            age: Span::from_secs(0),
            size: u64::MAX,
        };
        let _ = store.prune(&keep, 1 << 40);
        if let Ok(Some(loaded)) = store.load() {
            assert_eq!(loaded, after.at(loaded.number));
        }
    }

    /// The next revision; not stored anywhere yet.
    pub(crate) fn next(&mut self, changes: Vec<Change>) -> Revision {
        let mut spec = self
            .all
            .last()
            .map_or_else(Spec::default, |(_, spec)| Spec::clone(spec));
        let number = self.newest().unwrap_or(0) + 1;
        for change in &changes {
            change.apply(&mut spec, number).unwrap();
        }
        let revision = Revision {
            number,
            meta: Meta {
                time: number * 1000,
                author: "tester".into(),
                reason: format!("change {number} \u{1f682}"),
                ..Meta::default()
            },
            changes,
            diff: vec![],
            parent: self
                .all
                .last()
                .map_or_else(Default::default, |(logged, _)| logged.digest),
        };
        let logged = Logged::new(revision.clone());
        self.all.push((logged, Arc::new(spec)));
        revision
    }

    /// `count` small revisions of different kinds.
    pub(crate) fn more(&mut self, count: u64) -> Vec<Revision> {
        (0..count)
            .map(|_| {
                let number = self.newest().unwrap_or(0) + 1;
                self.next(vec![some_change(number)])
            })
            .collect()
    }

    /// The same, committed one by one.
    pub(crate) fn grow(&mut self, store: &dyn Store, count: u64) {
        for _ in 0..count {
            let expected = self.newest();
            store.commit(expected, &self.more(1)).unwrap();
        }
    }

    pub(crate) fn checkpoint(&self, store: &dyn Store, number: u64) {
        let Stored { digest, spec, .. } = self.at(number);
        store.checkpoint(number, digest, &spec).unwrap();
    }
}

/// Adds a group, edits it, routes to it, in turn.
fn some_change(number: u64) -> Change {
    let group = format!("group-{}", number / 4);
    let json = match number % 4 {
        0 => format!(
            r#"{{"op":"put_upstream","name":"{group}","upstream":{{"servers":["10.0.0.1:80"]}}}}"#
        ),
        1 => format!(
            r#"{{"op":"put_upstream","name":"{group}","upstream":{{"servers":["10.0.0.1:80","10.0.0.2:{number}"]}}}}"#
        ),
        2 => format!(
            r#"{{"op":"patch_server","upstream":"{group}","address":"10.0.0.1:80","server":{{"weight":{}}}}}"#,
            number % 100
        ),
        _ => format!(r#"{{"op":"put_route","id":"all","route":{{"to":"{group}"}}}}"#),
    };
    let json = if number < 4 {
        format!(
            r#"{{"op":"put_upstream","name":"first","upstream":{{"servers":["10.0.0.{number}:80"]}}}}"#
        )
    } else {
        json
    };
    serde_json::from_str(&json).unwrap()
}
