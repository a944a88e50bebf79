//! A damaged state file gives the right state or an error, never another state, never a panic.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

#[path = "store/file.rs"]
mod file;
#[path = "store/lineage.rs"]
mod lineage;

use std::fs;
use std::path::Path;

use file::{grown, sqlite};
use lineage::Lineage;
use pointsman::store::{Opened, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rusqlite::Connection;
use tempfile::TempDir;

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

/// For the many cases of one test: no disk is waited for, where there is a file system in memory.
fn in_memory() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let directory = TempDir::new().unwrap();
    let (path, lineage) = grown(directory.path());
    let harm = |sql: &str| {
        let file = Connection::open(&path).unwrap();
        assert!(file.execute(sql, []).unwrap() > 0, "{sql}");
    };
    let newest_part = "(SELECT parts_id FROM checkpoint WHERE number = 40)";
    harm(&format!(
        "UPDATE part SET body = x'7b7d' WHERE id = {newest_part}"
    ));
    let load = || sqlite(&path).and_then(|opened| opened.store.load());
    assert_eq!(load().unwrap(), Some(lineage.last()));
    harm("UPDATE checkpoint SET digest = zeroblob(32) WHERE number = 20");
    assert_eq!(load().unwrap(), Some(lineage.last()));
    harm("DELETE FROM revision WHERE number = 1");
    assert!(matches!(load(), Err(StoreError::Damaged { .. })));
}

#[test]
fn damage_in_the_log_is_found() {
    for harm in [
        "UPDATE revision SET body = replace(body, 'tester', 'nobody') WHERE number = 43",
        "UPDATE revision SET digest = zeroblob(32) WHERE number = 45",
        "UPDATE revision SET parent = zeroblob(32) WHERE number = 43",
        "UPDATE revision SET number = 46 WHERE number = 45",
        "UPDATE revision SET time = 5 WHERE number = 43",
        "DELETE FROM revision WHERE number = 43",
        "DELETE FROM revision WHERE number = 45",
        "DELETE FROM revision",
        "UPDATE head SET number = 44",
        "UPDATE head SET digest = zeroblob(32)",
        "DELETE FROM head",
    ] {
        let directory = TempDir::new().unwrap();
        let (path, _) = grown(directory.path());
        let file = Connection::open(&path).unwrap();
        assert!(file.execute(harm, []).unwrap() > 0, "{harm}");
        drop(file);
        let loaded = sqlite(&path).and_then(|opened| opened.store.load());
        assert!(
            matches!(loaded, Err(StoreError::Damaged { .. })),
            "{harm}: {loaded:?}"
        );
    }
}

/// Uses a file that may be damaged in every way there is; whatever it says must be true.
fn says_nothing_wrong(path: &Path, lineage: &Lineage) {
    let Ok(Opened {
        store, registry, ..
    }) = sqlite(path)
    else {
        return;
    };
    if let Ok(loaded) = store.load() {
        assert_eq!(loaded, Some(lineage.last()));
    }
    for number in [1, 20, 31, 44] {
        if let Ok(Some(state)) = store.state_at(number) {
            assert_eq!(state, lineage.at(number));
        }
        if let Ok(Some(revision)) = store.revision(number) {
            assert_eq!(revision, lineage.revision(number));
        }
    }
    for revision in store.history(None, 100).unwrap_or_default() {
        assert_eq!(revision, lineage.revision(revision.number));
    }
    for logged in store.since(0, 100).unwrap_or_default() {
        assert_eq!(logged, lineage.all[logged.revision.number as usize - 1].0);
    }
    let _ = (registry.nodes(), registry.health("edge"), store.backlog());
    lineage.goes_on_or_is_refused(&*store);
}

#[test]
fn a_file_cut_short_anywhere_says_nothing_wrong() {
    let directory = TempDir::new().unwrap();
    let (path, lineage) = grown(directory.path());
    let whole = fs::read(&path).unwrap();
    let pages = (0..=whole.len() / 4096).flat_map(|page| [page * 4096, page * 4096 + 1]);
    let lengths = (0..4096).step_by(101).chain(pages);
    for length in lengths.filter(|length| *length < whole.len()) {
        let cut = in_memory();
        let path = cut.path().join("state.db");
        fs::write(&path, &whole[..length]).unwrap();
        let loaded = sqlite(&path).and_then(|opened| opened.store.load());
        assert!(
            loaded.is_err(),
            "{length} of {} bytes: {loaded:?}",
            whole.len()
        );
        says_nothing_wrong(&path, &lineage);
    }
}

#[test]
fn a_flipped_bit_anywhere_says_nothing_wrong() {
    let directory = TempDir::new().unwrap();
    let (path, lineage) = grown(directory.path());
    let whole = fs::read(&path).unwrap();
    let mut runner = runner(700);
    let bits = whole.len() * 8;
    // A third of them in the file's header and schema, where a bit decides about everything.
    let place = prop_oneof![0..bits, 0..bits, 0..4096 * 8usize];
    runner
        .run(&place, |bit| {
            let flipped = in_memory();
            let path = flipped.path().join("state.db");
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            says_nothing_wrong(&path, &lineage);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_flipped_bit_in_the_write_ahead_log_costs_the_newest_changes_at_most() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("state.db");
    let store = sqlite(&path).unwrap().store;
    let mut lineage = Lineage::default();
    lineage.grow(&*store, 20);
    let wal = directory.path().join("state.db-wal");
    let (file, frames) = (fs::read(&path).unwrap(), fs::read(&wal).unwrap());
    let mut runner = runner(150);
    runner
        .run(&(0..frames.len() * 8), |bit| {
            let flipped = in_memory();
            let path = flipped.path().join("state.db");
            let mut bytes = frames.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &file).unwrap();
            fs::write(flipped.path().join("state.db-wal"), &bytes).unwrap();
            if let Ok(Some(state)) = sqlite(&path).and_then(|opened| opened.store.load()) {
                prop_assert_eq!(&state, &lineage.at(state.number));
            }
            Ok(())
        })
        .unwrap();
}
