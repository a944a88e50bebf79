//! One contract for every store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

#[path = "store/lineage.rs"]
mod lineage;
#[path = "store/pruning.rs"]
mod pruning;
#[path = "store/registry.rs"]
mod registry;
#[path = "store/site.rs"]
mod site;
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lineage::Lineage;
use pointsman::change::Change;
use pointsman::spec::{Address, Digest, Name};
use pointsman::store::{Store, StoreError};
use pruning::*;
use registry::*;
use site::Site;

macro_rules! contract {
    ($($claim:ident)*) => {
        mod memory {
            $(#[test] fn $claim() { super::$claim(&super::Site::memory()); })*
        }
        mod sqlite {
            $(#[test] fn $claim() { super::$claim(&super::Site::sqlite()); })*
        }
        mod redis {
            $(#[test] fn $claim() { super::$claim(&super::Site::redis()); })*
        }
    };
}

contract! {
    an_empty_store_has_no_state
    what_is_committed_is_loaded
    a_group_of_revisions_is_stored_as_one
    a_lost_race_is_a_conflict_and_changes_nothing
    a_revision_of_another_descent_is_refused
    a_revision_that_could_not_be_read_again_is_refused
    a_follower_reads_what_came_since
    history_is_read_backwards_in_pages
    every_state_of_the_past_can_be_built
    a_checkpoint_changes_no_answer
    a_checkpoint_of_another_history_is_refused
    the_backlog_counts_from_the_newest_checkpoint
    pruning_keeps_what_was_asked_for
    pruning_without_a_checkpoint_keeps_everything
    pruning_by_age_keeps_the_young
    pruning_by_size_makes_room
    commits_pass_a_checkpoint_of_a_large_state
    no_commit_of_racing_writers_is_lost
    a_lease_has_one_holder_until_it_expires
    a_lease_given_up_is_free_at_once
    nodes_are_listed_by_id_and_forgotten_after_a_week
    health_is_handed_over
}

fn an_empty_store_has_no_state(site: &Site) {
    assert_eq!(site.store().load().unwrap(), None);
    assert_eq!(site.store().state_at(0).unwrap(), None);
    assert_eq!(site.store().state_at(1).unwrap(), None);
    assert_eq!(site.store().history(None, 10).unwrap(), []);
    assert_eq!(site.store().since(0, 10).unwrap(), []);
    site.store().prune(&history(0), 0).unwrap();
}

fn what_is_committed_is_loaded(site: &Site) {
    let mut lineage = Lineage::default();
    lineage.grow(site.store(), 30);
    assert_eq!(site.store().load().unwrap(), Some(lineage.last()));
    assert_eq!(site.another().store.load().unwrap(), Some(lineage.last()));
}

fn a_group_of_revisions_is_stored_as_one(site: &Site) {
    let mut lineage = Lineage::default();
    let group = lineage.more(64);
    site.store().commit(None, &group).unwrap();
    assert_eq!(site.store().load().unwrap(), Some(lineage.last()));

    let mut torn = lineage.more(3);
    torn[2].parent = Digest([7; 32]);
    let refused = site.store().commit(Some(64), &torn).unwrap_err();
    assert!(matches!(refused, StoreError::Diverged { number: 67, .. }));
    assert_eq!(site.store().load().unwrap(), Some(lineage.at(64)));
    assert_eq!(site.store().revision(65).unwrap(), None);
}

fn a_lost_race_is_a_conflict_and_changes_nothing(site: &Site) {
    let mut lineage = Lineage::default();
    lineage.grow(site.store(), 5);
    let late = lineage.more(1);
    for expected in [None, Some(0), Some(4), Some(6)] {
        let refused = site.store().commit(expected, &late).unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { newest: Some(5) }));
    }
    assert_eq!(site.store().load().unwrap(), Some(lineage.at(5)));
    site.store().commit(Some(5), &late).unwrap();
    assert_eq!(site.store().load().unwrap(), Some(lineage.at(6)));
}

fn a_revision_of_another_descent_is_refused(site: &Site) {
    let (mut ours, mut theirs) = (Lineage::default(), Lineage::default());
    let not_first = theirs.more(2).remove(1);
    let refused = site.store().commit(None, &[not_first]).unwrap_err();
    assert!(matches!(refused, StoreError::Diverged { number: 2, .. }));
    ours.grow(site.store(), 3);
    let reset = serde_json::from_str(r#"{"op":"put_state","state":{}}"#).unwrap();
    theirs.next(vec![reset]);
    let stranger = theirs.more(1).remove(0);
    assert_eq!(stranger.number, 4);
    let refused = site.store().commit(Some(3), &[stranger]).unwrap_err();
    assert!(matches!(refused, StoreError::Diverged { number: 4, .. }));
    assert_eq!(site.store().load().unwrap(), Some(ours.last()));
}

fn a_revision_that_could_not_be_read_again_is_refused(site: &Site) {
    let mut lineage = Lineage::default();
    lineage.grow(site.store(), 3);
    let expected = lineage.last();
    // No text gives this address.
    let server = serde_json::from_str(
        r#"{"op":"put_upstream","name":"web","upstream":{"servers":["10.0.0.1:80"]}}"#,
    );
    let mut change = server.unwrap();
    let Change::PutUpstream { upstream, .. } = &mut change else {
        panic!("{change:?}");
    };
    upstream.servers[0].address = Address::Unix("relative".into());
    let bad = lineage.next(vec![change]);
    let refused = site.store().commit(Some(3), &[bad]).unwrap_err();
    assert!(matches!(refused, StoreError::Unreadable { number: 4, .. }));
    assert!(refused.to_string().contains("unix:relative"), "{refused}");
    assert_eq!(site.store().load().unwrap(), Some(expected));
}

fn a_follower_reads_what_came_since(site: &Site) {
    let mut lineage = Lineage::default();
    lineage.grow(site.store(), 20);
    let follower = site.another().store;
    let logged: Vec<_> = lineage
        .all
        .iter()
        .map(|(logged, _)| logged.clone())
        .collect();
    assert_eq!(follower.since(0, 100).unwrap(), logged);
    assert_eq!(follower.since(12, 100).unwrap(), logged[12..]);
    assert_eq!(follower.since(12, 3).unwrap(), logged[12..15]);
    assert_eq!(follower.since(20, 3).unwrap(), []);
    assert!(matches!(
        follower.since(21, 3),
        Err(StoreError::Diverged { number: 21, .. })
    ));
}

fn history_is_read_backwards_in_pages(site: &Site) {
    let mut lineage = Lineage::default();
    lineage.grow(site.store(), 9);
    let numbers = |before, limit| -> Vec<u64> {
        let page = site.store().history(before, limit).unwrap();
        page.iter().map(|revision| revision.number).collect()
    };
    assert_eq!(numbers(None, 4), [9, 8, 7, 6]);
    assert_eq!(numbers(Some(6), 4), [5, 4, 3, 2]);
    assert_eq!(numbers(Some(2), 4), [1]);
    assert_eq!(numbers(Some(1), 4), [0u64; 0]);
    assert_eq!(site.store().revision(7).unwrap(), Some(lineage.revision(7)));
    assert_eq!(site.store().revision(0).unwrap(), None);
    assert_eq!(site.store().revision(10).unwrap(), None);
}

fn every_state_of_the_past_can_be_built(site: &Site) {
    let mut lineage = Lineage::default();
    lineage.grow(site.store(), 12);
    lineage.checkpoint(site.store(), 12);
    lineage.grow(site.store(), 12);
    lineage.checkpoint(site.store(), 20);
    for number in 1..=24 {
        let built = site.store().state_at(number).unwrap();
        assert_eq!(built, Some(lineage.at(number)), "{number}");
    }
    assert_eq!(site.store().state_at(25).unwrap(), None);
}

fn a_checkpoint_changes_no_answer(site: &Site) {
    let mut lineage = Lineage::default();
    lineage.grow(site.store(), 10);
    lineage.checkpoint(site.store(), 10);
    assert_eq!(site.store().load().unwrap(), Some(lineage.last()));
    lineage.checkpoint(site.store(), 10);
    lineage.grow(site.store(), 10);
    assert_eq!(site.store().load().unwrap(), Some(lineage.last()));
    assert_eq!(site.another().store.load().unwrap(), Some(lineage.last()));
}

fn a_checkpoint_of_another_history_is_refused(site: &Site) {
    let mut lineage = Lineage::default();
    lineage.grow(site.store(), 3);
    let state = lineage.last();
    for (number, digest) in [(3, Digest([1; 32])), (2, state.digest), (4, state.digest)] {
        let refused = site.store().checkpoint(number, digest, &state.spec);
        assert!(matches!(refused, Err(StoreError::Diverged { .. })));
    }
    assert_eq!(site.store().load().unwrap(), Some(state));
}

fn the_backlog_counts_from_the_newest_checkpoint(site: &Site) {
    let mut lineage = Lineage::default();
    assert_eq!(site.store().backlog().unwrap().revisions, 0);
    lineage.grow(site.store(), 5);
    let before = site.store().backlog().unwrap();
    assert_eq!((before.revisions, before.checkpoint), (5, 0));
    assert!(before.bytes > 500 && !before.is_due());
    lineage.checkpoint(site.store(), 4);
    let after = site.store().backlog().unwrap();
    assert_eq!(after.revisions, 1);
    assert!(after.checkpoint > 0 && after.bytes < before.bytes);
}

fn commits_pass_a_checkpoint_of_a_large_state(site: &Site) {
    let mut lineage = Lineage::default();
    let groups: Vec<String> = (0..2000)
        .map(|n| {
            format!(
                r#""g{n}":{{"servers":["10.1.{}.{}:80","10.2.0.1:80"]}}"#,
                n / 250,
                n % 250
            )
        })
        .collect();
    let large = format!(
        r#"{{"op":"put_state","state":{{"upstreams":{{{}}}}}}}"#,
        groups.join(",")
    );
    let large: Change = serde_json::from_str(&large).unwrap();
    site.store()
        .commit(None, &[lineage.next(vec![large])])
        .unwrap();
    let state = lineage.last();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..3 {
                let written = site.store().checkpoint(1, state.digest, &state.spec);
                done.store(true, Ordering::SeqCst);
                written.unwrap();
            }
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done.load(Ordering::SeqCst) && Instant::now() < deadline {
            lineage.grow(site.store(), 1);
        }
    });
    assert!(done.load(Ordering::SeqCst));
    assert_eq!(site.store().load().unwrap(), Some(lineage.last()));
    assert_eq!(site.another().store.load().unwrap(), Some(lineage.last()));
}

fn no_commit_of_racing_writers_is_lost(site: &Site) {
    const EACH: u64 = 250;
    let handles = [site.another(), site.another()];
    thread::scope(|scope| {
        for (writer, handle) in [0, 1, 2, 3].into_iter().zip(handles.iter().cycle()) {
            scope.spawn(move || (0..EACH).for_each(|n| race(&*handle.store, writer, n)));
        }
    });
    let newest = site.store().load().unwrap().unwrap();
    assert_eq!(newest.number, 4 * EACH);
    assert_eq!(site.store().since(0, 5000).unwrap().len() as u64, 4 * EACH);
    for writer in 0..4 {
        for n in 0..EACH {
            let name = Name::new(&format!("w{writer}-{n}")).unwrap();
            assert!(newest.spec.upstreams.contains_key(&name), "{name}");
        }
    }
}

/// Commits one change on top of whatever is newest, again and again until it is in.
fn race(store: &dyn Store, writer: u32, n: u64) {
    let mut lineage = Lineage::default();
    loop {
        let newest = store.history(None, 1).unwrap().pop();
        let expected = newest.as_ref().map(|revision| revision.number);
        let json = format!(r#"{{"op":"put_upstream","name":"w{writer}-{n}","upstream":{{}}}}"#);
        let mut mine = lineage.next(vec![serde_json::from_str(&json).unwrap()]);
        mine.number = expected.unwrap_or(0) + 1;
        mine.parent = newest
            .as_ref()
            .map_or_else(Digest::default, pointsman::store::digest);
        match store.commit(expected, &[mine]) {
            Ok(()) => return,
            // SQLite's lock is not fair: on a slow disk one of four may wait longer than its patience.
            Err(StoreError::Conflict { .. } | StoreError::Locked { .. }) => {
                lineage = Lineage::default();
            }
            Err(error) => panic!("{error}"),
        }
    }
}
