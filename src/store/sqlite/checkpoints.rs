use std::io;
use std::sync::Arc;

use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

use super::fault::Fault;
use super::revisions::{self, count, digest, int};
use super::{Sqlite, locked};
use crate::spec::{Digest, Spec};
use crate::store::retention::Mark;
use crate::store::{Backlog, History, StoreError, Stored};

/// Small enough that a commit hardly waits for the part before it: some 70 pages into the WAL,
/// well under 2 ms.
pub(super) const PART: usize = 256 << 10;
/// The WAL is copied into the file after so many parts (2 MB), without holding up commits.
const PARTS_BETWEEN_COPIES: u64 = 8;
/// Revisions deleted at a time, for the same reason.
const ROWS_AT_A_TIME: u64 = 500;

/// A complete checkpoint, unread.
pub(super) struct Found {
    pub(super) number: u64,
    digest: Digest,
    id: i64,
    parts: u64,
    bytes: u64,
    total: u64,
    content: Digest,
}

/// Writes the state part by part while it is turned into text, then the row that makes it count.
pub(super) fn write(store: &Sqlite, number: u64, digest: Digest, spec: &Spec) -> Result<(), Fault> {
    let _alone = locked(&store.tidying);
    let (mark, id) = {
        let background = locked(&store.background);
        let id: i64 = background.query_row("SELECT random()", [], |row| row.get(0))?;
        (revisions::mark(&background, number)?, id)
    };
    let Some((_, total)) = mark.filter(|(known, _)| *known == digest) else {
        let why = "the checkpoint is of another history".into();
        return Err(StoreError::Diverged { number, why }.into());
    };
    let mut text = Parts::new(store, id);
    let written = serde_json::to_writer(&mut text, spec)
        .map_err(|error| Fault::Damaged(format!("the state has no JSON form: {error}")))
        .and_then(|()| text.finish(number, digest, total))
        .map_err(|fault| text.fault.take().unwrap_or(fault));
    match written {
        Ok(()) => copy_wal(store, true),
        // What is left is cleared at the next pruning or start, if not now.
        Err(_) => drop(clear(store)),
    }
    written
}

/// Cuts a text into parts and stores each as soon as it is full.
struct Parts<'a> {
    store: &'a Sqlite,
    id: i64,
    part: Vec<u8>,
    written: u64,
    bytes: u64,
    hash: Sha256,
    /// `io::Write` has no room for it.
    fault: Option<Fault>,
}

impl<'a> Parts<'a> {
    fn new(store: &'a Sqlite, id: i64) -> Self {
        Self {
            store,
            id,
            part: Vec::with_capacity(PART),
            written: 0,
            bytes: 0,
            hash: Sha256::new(),
            fault: None,
        }
    }

    fn store_part(&mut self) -> Result<(), Fault> {
        self.hash.update(&self.part);
        self.bytes += self.part.len() as u64;
        self.store.write(|file| {
            let mut insert = file.prepare_cached("INSERT INTO part VALUES (?, ?, ?)")?;
            insert.execute(params![self.id, int(self.written), self.part])?;
            Ok(())
        })?;
        self.written += 1;
        self.part.clear();
        if self.written.is_multiple_of(PARTS_BETWEEN_COPIES) {
            copy_wal(self.store, false);
        }
        Ok(())
    }

    fn finish(&mut self, number: u64, digest: Digest, total: u64) -> Result<(), Fault> {
        self.store_part()?;
        let (id, parts, bytes) = (self.id, self.written, self.bytes);
        let content = content(self.hash.clone(), number, digest, parts);
        self.store.write(|file| {
            let there: i64 =
                file.query_row("SELECT count(*) FROM part WHERE id = ?", [id], |row| {
                    row.get(0)
                })?;
            if there != int(parts) {
                return Err(StoreError::Interrupted.into());
            }
            file.prepare_cached("INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?, ?, ?, ?, ?)")?
                .execute(params![
                    int(number),
                    digest.0,
                    id,
                    int(parts),
                    int(bytes),
                    int(total),
                    content.0
                ])?;
            Ok(())
        })
    }
}

impl io::Write for Parts<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PART.saturating_sub(self.part.len());
        let (now, _) = bytes.split_at(bytes.len().min(room));
        self.part.extend_from_slice(now);
        if self.part.len() == PART
            && let Err(fault) = self.store_part()
        {
            self.fault = Some(fault);
            return Err(io::Error::other("a part was not stored"));
        }
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a checkpoint is checked by: its text, and which state it says it is.
pub(super) fn content(mut hash: Sha256, number: u64, digest: Digest, parts: u64) -> Digest {
    hash.update(number.to_be_bytes());
    hash.update(digest.0);
    hash.update(parts.to_be_bytes());
    Digest(hash.finalize().into())
}

/// Copies the WAL into the file, as far as nobody reads it. Not in a commit's way; at the `last`
/// time with the right to write, so that the little that came meanwhile goes too and the WAL
/// starts again from its beginning. A failure only means that the WAL stays longer.
fn copy_wal(store: &Sqlite, last: bool) {
    let background = locked(&store.background);
    let copy = || {
        let pragma = "PRAGMA wal_checkpoint(PASSIVE)";
        if let Err(error) = background.query_row(pragma, [], |_| Ok(())) {
            log::debug!("the WAL was not copied: {error}");
        }
    };
    copy();
    if last {
        let _turn = locked(&store.log);
        copy();
    }
}

/// The complete checkpoints up to `number`.
pub(super) fn newest_first(file: &Connection, number: u64) -> Result<Vec<Found>, Fault> {
    let mut query = file.prepare_cached(
        "SELECT number, digest, parts_id, parts, bytes, total, content FROM checkpoint
         WHERE number <= ? ORDER BY number DESC",
    )?;
    let rows = query.query_map([int(number)], |row| {
        Ok(Found {
            number: count(row, 0)?,
            digest: digest(row, 1)?,
            id: row.get(2)?,
            parts: count(row, 3)?,
            bytes: count(row, 4)?,
            total: count(row, 5)?,
            content: digest(row, 6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The state of a checkpoint, if its text is the one that was written.
pub(super) fn read(file: &Connection, found: &Found) -> Result<Stored, Fault> {
    let damaged = |what: &str| Fault::Damaged(format!("checkpoint {}: {what}", found.number));
    let mut query = file.prepare_cached("SELECT body FROM part WHERE id = ? ORDER BY place")?;
    let mut rows = query.query([found.id])?;
    let mut text = Vec::new();
    let mut parts = 0;
    while let Some(row) = rows.next()? {
        let part = row.get_ref(0)?.as_blob();
        text.extend_from_slice(part.map_err(|_| damaged("a part is no text"))?);
        parts += 1;
    }
    let hash = Sha256::new().chain_update(&text);
    if content(hash, found.number, found.digest, parts) != found.content || parts != found.parts {
        return Err(damaged("its text does not match its digest"));
    }
    let spec: Spec =
        serde_json::from_slice(&text).map_err(|error| damaged(&format!("unreadable: {error}")))?;
    Ok(Stored {
        number: found.number,
        digest: found.digest,
        spec: Arc::new(spec),
    })
}

/// What a start would replay.
pub(super) fn backlog(file: &Connection) -> Result<Backlog, Fault> {
    let (head, total) = revisions::head(file)?;
    let mut query = file.prepare_cached(
        "SELECT number, bytes, total FROM checkpoint ORDER BY number DESC LIMIT 1",
    )?;
    let mut rows = query.query([])?;
    let last = match rows.next()? {
        None => Mark::default(),
        Some(row) => Mark {
            number: count(row, 0)?,
            bytes: count(row, 1)?,
            total: count(row, 2)?,
        },
    };
    Ok(Backlog {
        revisions: head.number.saturating_sub(last.number),
        bytes: total.saturating_sub(last.total),
        checkpoint: last.bytes,
    })
}

/// Takes away what `keep` does not ask for: checkpoints first, so that none is left below a gap,
/// then revisions from the oldest on, then the parts. Wherever it is interrupted, what is left is whole.
pub(super) fn prune(store: &Sqlite, keep: &History, now: u64) -> Result<(), Fault> {
    let _alone = locked(&store.tidying);
    let floor = {
        let background = locked(&store.background);
        floor(&background, keep, now)?
    };
    if let Some(floor) = floor.filter(|floor| *floor > 0) {
        store.write(|file| {
            file.execute("DELETE FROM checkpoint WHERE number < ?", [int(floor)])?;
            Ok(())
        })?;
        delete_revisions(store, floor)?;
    }
    clear(store)?;
    copy_wal(store, true);
    Ok(())
}

fn floor(file: &Connection, keep: &History, now: u64) -> Result<Option<u64>, Fault> {
    let (head, total) = revisions::head(file)?;
    let genesis = revisions::mark(file, 1)?.map(|_| Mark::default());
    let checkpoints = newest_first(file, head.number)?;
    let marks: Vec<Mark> = genesis
        .into_iter()
        .chain(checkpoints.iter().rev().map(|found| Mark {
            number: found.number,
            bytes: found.bytes,
            total: found.total,
        }))
        .collect();
    let young = revisions::first_from(file, keep.cutoff(now))?;
    Ok(keep.floor(&marks, head.number, total, young))
}

fn delete_revisions(store: &Sqlite, floor: u64) -> Result<(), Fault> {
    loop {
        let deleted = store.write(|file| {
            let mut delete = file.prepare_cached(
                "DELETE FROM revision WHERE number IN
                 (SELECT number FROM revision WHERE number < ? ORDER BY number LIMIT ?)",
            )?;
            Ok(delete.execute([int(floor), int(ROWS_AT_A_TIME)])?)
        })?;
        if deleted == 0 {
            return Ok(());
        }
    }
}

/// Removes the parts of checkpoints that were never completed or are gone.
pub(super) fn clear_orphans(store: &Sqlite) -> Result<(), Fault> {
    let _alone = locked(&store.tidying);
    clear(store)
}

fn clear(store: &Sqlite) -> Result<(), Fault> {
    const ORPHAN: &str = "SELECT rowid FROM part
        WHERE id NOT IN (SELECT parts_id FROM checkpoint) LIMIT 4";
    loop {
        // Looked for first without the right to write, which an opening process need not get.
        if !locked(&store.background)
            .prepare_cached(ORPHAN)?
            .exists([])?
        {
            return Ok(());
        }
        store.write(|file| {
            let delete = format!("DELETE FROM part WHERE rowid IN ({ORPHAN})");
            file.prepare_cached(&delete)?.execute([])?;
            Ok(())
        })?;
    }
}
