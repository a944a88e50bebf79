//! What can happen to a state file: each fault has its own clear error, none a panic, and none
//! makes a state that nobody asked for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

#[path = "store/lineage.rs"]
mod lineage;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lineage::Lineage;
use pointsman::spec::Span;
use pointsman::store::{History, Opened, Store, StoreError, StoreSettings, open};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rusqlite::Connection;
use tempfile::TempDir;

fn sqlite(path: &Path) -> Result<Opened, StoreError> {
    open(&StoreSettings::Sqlite(path.to_owned()))
}

fn refusal(path: &Path) -> StoreError {
    sqlite(path).err().expect("this must not open")
}

/// For the many cases of one test: no disk is waited for, where there is a file system in memory.
fn in_memory() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
}

/// 45 revisions with checkpoints at 20 and 40, closed.
fn grown(directory: &Path) -> (PathBuf, Lineage) {
    let path = directory.join("state.db");
    let store = sqlite(&path).unwrap().store;
    let mut lineage = Lineage::default();
    for number in [20, 40] {
        lineage.grow(&*store, 20);
        lineage.checkpoint(&*store, number);
    }
    lineage.grow(&*store, 5);
    (path, lineage)
}

#[test]
fn only_the_last_directory_is_created() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a/b/state.db");
    let refused = refusal(&path);
    assert!(
        matches!(&refused, StoreError::NoDirectory { directory } if directory.ends_with("a/b"))
    );
    assert!(refused.to_string().contains("mkdir -p"), "{refused}");
    assert!(!directory.path().join("a").exists());

    let path = directory.path().join("a/state.db");
    drop(sqlite(&path).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn files_beside_the_state_are_as_private_as_it_is() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("state.db");
    let store = sqlite(&path).unwrap().store;
    Lineage::default().grow(&*store, 1);
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn what_stands_in_the_way_is_named() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "text").unwrap();
    for path in [file.join("state.db"), file.join("x/state.db")] {
        assert!(matches!(
            refusal(&path),
            StoreError::NotA {
                wanted: "directory",
                ..
            }
        ));
    }
    assert!(matches!(
        refusal(directory.path()),
        StoreError::NotA {
            wanted: "regular file",
            ..
        }
    ));
    assert!(matches!(refusal(Path::new("/")), StoreError::NotA { .. }));
    assert_eq!(fs::read(&file).unwrap(), b"text");
}

#[test]
fn a_place_that_takes_no_files_is_not_writable() {
    if !Path::new("/proc/self").exists() {
        return;
    }
    // procfs refuses even root.
    for path in ["/proc/state.db", "/proc/new/state.db"] {
        let refused = refusal(Path::new(path));
        assert!(
            matches!(
                refused,
                StoreError::NotWritable { .. } | StoreError::NoDirectory { .. }
            ),
            "{refused:?}"
        );
    }
}

#[test]
fn links_are_refused_for_the_file_and_followed_for_its_directory() {
    let directory = TempDir::new().unwrap();
    let (path, lineage) = grown(directory.path());
    let link = directory.path().join("link.db");
    symlink(&path, &link).unwrap();
    assert!(matches!(refusal(&link), StoreError::Symlink { .. }));
    let dangling = directory.path().join("dangling.db");
    symlink(directory.path().join("nothing"), &dangling).unwrap();
    assert!(matches!(refusal(&dangling), StoreError::Symlink { .. }));
    assert!(!directory.path().join("nothing").exists());

    let elsewhere = TempDir::new().unwrap();
    let linked = elsewhere.path().join("linked");
    symlink(directory.path(), &linked).unwrap();
    let opened = sqlite(&linked.join("state.db")).unwrap();
    assert_eq!(opened.store.load().unwrap(), Some(lineage.last()));
}

#[test]
fn other_files_are_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("state.db");
    fs::write(&path, "upstreams: {}\n".repeat(1000)).unwrap();
    assert!(matches!(refusal(&path), StoreError::Foreign { .. }));
    assert_eq!(fs::read(&path).unwrap().len(), 14_000);

    fs::write(&path, "").unwrap();
    assert!(matches!(refusal(&path), StoreError::Damaged { .. }));
    fs::remove_file(&path).unwrap();

    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE t (a)").unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    assert!(matches!(refusal(&path), StoreError::Foreign { .. }));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_log_without_its_database_is_not_written_over() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("state.db");
    let wal = directory.path().join("state.db-wal");
    fs::write(&wal, "frames").unwrap();
    assert!(matches!(refusal(&path), StoreError::Damaged { .. }));
    assert!(!path.exists() && wal.exists());
}

#[test]
fn a_file_of_a_later_version_is_refused() {
    let directory = TempDir::new().unwrap();
    let (path, _) = grown(directory.path());
    let later = Connection::open(&path).unwrap();
    later.pragma_update(None, "user_version", 7).unwrap();
    drop(later);
    let refused = refusal(&path);
    assert!(matches!(
        refused,
        StoreError::FutureVersion { found: 7, .. }
    ));
    assert!(refused.to_string().contains("newer"), "{refused}");
}

#[test]
fn a_writer_that_stays_makes_commits_fail_in_time_while_reads_go_on() {
    let directory = TempDir::new().unwrap();
    let (path, mut lineage) = grown(directory.path());
    let store = sqlite(&path).unwrap().store;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let begun = Instant::now();
    let late = lineage.more(1);
    let refused = store.commit(Some(45), &late).unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(store.load().unwrap(), Some(lineage.at(45)));
    assert_eq!(
        sqlite(&path).unwrap().store.load().unwrap(),
        Some(lineage.at(45))
    );
    other.execute_batch("ROLLBACK").unwrap();
    store.commit(Some(45), &late).unwrap();
    assert_eq!(store.load().unwrap(), Some(lineage.at(46)));
}

#[test]
fn a_file_that_another_program_keeps_for_itself_is_locked() {
    let directory = TempDir::new().unwrap();
    let (path, lineage) = grown(directory.path());
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT")
        .unwrap();
    let begun = Instant::now();
    assert!(matches!(refusal(&path), StoreError::Locked { .. }));
    assert!(begun.elapsed() < Duration::from_secs(2));
    drop(other);
    let opened = sqlite(&path).unwrap();
    assert_eq!(opened.store.load().unwrap(), Some(lineage.last()));
}

#[test]
fn a_change_is_not_acknowledged_into_a_file_that_is_gone() {
    let directory = TempDir::new().unwrap();
    let (path, mut lineage) = grown(directory.path());
    let store = sqlite(&path).unwrap().store;
    let aside = directory.path().join("aside.db");
    fs::rename(&path, &aside).unwrap();
    let late = lineage.more(1);
    let refused = store.commit(Some(45), &late).unwrap_err();
    assert!(matches!(refused, StoreError::Moved { .. }));
    fs::rename(&aside, &path).unwrap();
    store.commit(Some(45), &late).unwrap();
}

#[test]
fn a_full_disk_refuses_changes_and_loses_nothing() {
    let directory = TempDir::new().unwrap();
    let mount = |args: &[&str]| {
        let ran = Command::new("mount")
            .args(args)
            .arg(directory.path())
            .output();
        ran.is_ok_and(|output| output.status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=512k", "none"]) {
        eprintln!("SKIPPED: mounting a small file system is not permitted here");
        return;
    }
    let (path, mut lineage) = grown(directory.path());
    let store = sqlite(&path).unwrap().store;
    let full = (0..2000).find_map(|_| {
        let expected = lineage.newest();
        let refused = store.commit(expected, &lineage.more(1)).err()?;
        lineage.all.pop();
        Some(refused)
    });
    let full = full.expect("512 KiB are not enough");
    assert!(matches!(full, StoreError::Full { .. }), "{full:?}");
    assert_eq!(store.load().unwrap(), Some(lineage.last()));
    drop(store);
    let again = sqlite(&path).map(|opened| opened.store.load().unwrap());
    let unmounted = Command::new("umount")
        .arg(directory.path())
        .output()
        .unwrap();
    assert!(unmounted.status.success());
    match again {
        Ok(loaded) => assert_eq!(loaded, Some(lineage.last())),
        Err(error) => assert!(matches!(error, StoreError::Full { .. }), "{error:?}"),
    }
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

#[test]
fn a_half_written_checkpoint_is_cleared_at_the_next_start() {
    let directory = TempDir::new().unwrap();
    let (path, lineage) = grown(directory.path());
    let parts = || -> i64 {
        let file = Connection::open(&path).unwrap();
        file.query_row("SELECT count(*) FROM part", [], |row| row.get(0))
            .unwrap()
    };
    let whole = parts();
    let file = Connection::open(&path).unwrap();
    for place in 0..9 {
        let sql = "INSERT INTO part VALUES (7, ?, zeroblob(1000))";
        file.execute(sql, [place]).unwrap();
    }
    drop(file);
    let opened = sqlite(&path).unwrap();
    assert_eq!(opened.store.load().unwrap(), Some(lineage.last()));
    assert_eq!(parts(), whole);
}

/// Uses a file that may be damaged in every way there is; whatever it says must be true.
fn says_nothing_wrong(path: &Path, lineage: &Lineage) {
    let Ok(Opened { store, registry }) = sqlite(path) else {
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
    write_to_it(&*store, lineage);
}

/// A commit that succeeds is there afterwards, or the damage is found.
fn write_to_it(store: &dyn Store, lineage: &Lineage) {
    let mut after = Lineage {
        all: lineage.all.clone(),
    };
    if store.commit(lineage.newest(), &after.more(1)).is_ok()
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
    let mut runner = TestRunner::new(Config::with_cases(700));
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
    let mut runner = TestRunner::new(Config::with_cases(150));
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
