use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::fault::Fault;

/// The format of the tables below. Stands in the file's header as its `user_version`.
pub(super) const VERSION: i64 = 1;

/// "PNTM": which program a file belongs to.
const APPLICATION: i64 = 0x504e_544d;

/// Longer than any commit of another process takes; short enough that an API call, which may wait
/// twice, is answered within the usual client's 5 s.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A commit copies the WAL into the file when it is this long (4 MB), some 250 commits apart, and
/// the WAL begins anew: a WAL that no longer grows is the cheapest to sync. Checkpoints, which write
/// much, copy it themselves after each few parts without holding up commits.
const WAL_PAGES: i64 = 1000;

/// `head` names the newest revision, so that lost rows are noticed. `total` counts the bytes of all
/// revisions up to one, those pruned since included. A row in `checkpoint` means that all its parts
/// are there; parts that no row owns are half-written.
const TABLES: &str = "
CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL,
    digest BLOB NOT NULL,
    total INTEGER NOT NULL
) STRICT;
INSERT INTO head VALUES (1, 0, zeroblob(32), 0);
CREATE TABLE revision (
    number INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    digest BLOB NOT NULL,
    parent BLOB NOT NULL,
    total INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE TABLE checkpoint (
    number INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    parts_id INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    total INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE TABLE part (
    id INTEGER NOT NULL,
    place INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (id, place)
) STRICT;
CREATE TABLE lease (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until INTEGER NOT NULL,
    term INTEGER NOT NULL
) STRICT;
CREATE TABLE node (
    id TEXT PRIMARY KEY,
    seen_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE TABLE health (
    node TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;
";

/// Makes an empty file a state file.
pub(super) fn create(path: &Path) -> Result<(), Fault> {
    let mut file = open(path)?;
    write_ahead(&file)?;
    let transaction = file.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    file.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// Opens a state file. `synchronous`: FULL waits for the disk at each commit, NORMAL does not, and
/// keeps the order of commits all the same.
pub(super) fn connect(path: &Path, synchronous: &str) -> Result<Connection, Fault> {
    let file = open(path)?;
    belongs_here(&file)?;
    if file.is_readonly("main")? {
        return Err(Fault::Sql(
            rusqlite::ffi::SQLITE_READONLY,
            "permission denied".into(),
        ));
    }
    write_ahead(&file)?;
    file.pragma_update(None, "synchronous", synchronous)?;
    file.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    // Damaged pages are noticed when they are read; functions in a damaged schema are not called.
    file.pragma_update(None, "cell_size_check", true)?;
    file.pragma_update(None, "trusted_schema", false)?;
    // macOS: a plain fsync there does not reach the disk.
    file.pragma_update(None, "fullfsync", true)?;
    Ok(file)
}

fn open(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let file = Connection::open_with_flags(path, flags)?;
    file.busy_timeout(PATIENCE)?;
    Ok(file)
}

/// Before anything is written: whose file this is, and of which version.
fn belongs_here(file: &Connection) -> Result<(), Fault> {
    let header = |name| file.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (header("application_id")?, header("user_version")?);
    if application != APPLICATION {
        return Err(Fault::Foreign("the database of another program".into()));
    }
    match version {
        VERSION => Ok(()),
        newer if newer > VERSION => Err(Fault::Future(newer)),
        other => Err(Fault::Damaged(format!("there never was a format {other}"))),
    }
}

fn write_ahead(file: &Connection) -> Result<(), Fault> {
    let mode: String =
        file.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(Fault::Sql(
        rusqlite::ffi::SQLITE_IOERR,
        "its file system has no shared memory, as a network file system: put it on a local disk"
            .into(),
    ))
}
