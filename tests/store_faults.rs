//! What can happen to a state file: each fault has its own clear error, none a panic, and none
//! makes a state that nobody asked for.

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
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use file::{grown, sqlite};
use lineage::Lineage;
use pointsman::store::StoreError;
use rusqlite::Connection;
use tempfile::TempDir;

fn refusal(path: &Path) -> StoreError {
    sqlite(path).err().expect("this must not open")
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

/// A small file system of its own, where that is permitted.
fn mounted(directory: &TempDir, arguments: &[&str]) -> bool {
    let ran = Command::new("mount")
        .args(arguments)
        .arg(directory.path())
        .output();
    let done = ran.is_ok_and(|output| output.status.success());
    if !done {
        eprintln!("SKIPPED: mounting a small file system is not permitted here");
    }
    done
}

fn unmount(directory: &TempDir) {
    let ran = Command::new("umount").arg(directory.path()).output();
    assert!(ran.unwrap().status.success());
}

#[test]
fn a_disk_that_fills_up_refuses_changes_and_loses_nothing() {
    let directory = TempDir::new().unwrap();
    if !mounted(&directory, &["-t", "tmpfs", "-o", "size=512k", "none"]) {
        return;
    }
    let (path, mut lineage) = grown(directory.path());
    let store = sqlite(&path).unwrap().store;
    let refused = (0..2000).find_map(|_| {
        let expected = lineage.newest();
        let refused = store.commit(expected, &lineage.more(1)).err()?;
        lineage.all.pop();
        Some(refused)
    });
    let loaded = store.load();
    drop(store);
    let again = sqlite(&path).and_then(|opened| opened.store.load());
    unmount(&directory);
    assert!(
        matches!(refused, Some(StoreError::Full { .. })),
        "{refused:?}"
    );
    assert_eq!(loaded.unwrap(), Some(lineage.last()));
    match again {
        Ok(loaded) => assert_eq!(loaded, Some(lineage.last())),
        Err(error) => assert!(matches!(error, StoreError::Full { .. }), "{error:?}"),
    }
}

#[test]
fn a_read_only_file_system_is_not_writable() {
    let directory = TempDir::new().unwrap();
    if !mounted(&directory, &["-t", "tmpfs", "-o", "size=2m", "none"]) {
        return;
    }
    let (path, _) = grown(directory.path());
    let is_read_only = mounted(&directory, &["-o", "remount,ro"]);
    let there = sqlite(&path).err();
    let new = sqlite(&directory.path().join("new.db")).err();
    let below = sqlite(&directory.path().join("new/state.db")).err();
    unmount(&directory);
    assert!(is_read_only);
    for refused in [there, new, below] {
        assert!(
            matches!(refused, Some(StoreError::NotWritable { .. })),
            "{refused:?}"
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
