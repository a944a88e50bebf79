//! What makes a state file the copy of another store: it can begin anywhere in the log, and knows whose log it is.

use rusqlite::{OptionalExtension, Transaction, params};
use sha2::{Digest as _, Sha256};

use super::checkpoints::{PART, content};
use super::fault::Fault;
use super::revisions::{self, int};
use super::{Sqlite, locked};
use crate::store::chain::{Encoded, Head};
use crate::store::{StoreError, Stored};

impl Sqlite {
    /// The newest revision that it has.
    pub(in crate::store) fn head(&self) -> Result<Head, StoreError> {
        self.read(|file| Ok(revisions::head(file)?.0))
    }

    /// Appends texts as another store has them.
    pub(in crate::store) fn append(&self, after: Head, next: &[Encoded]) -> Result<(), StoreError> {
        let mut log = locked(&self.log);
        revisions::append(&mut log, after.newest(), next).map_err(|fault| self.named(fault))
    }

    /// Holds nothing but this state from now on.
    pub(in crate::store) fn adopt(&self, state: &Stored) -> Result<(), StoreError> {
        let text = || {
            serde_json::to_vec(&*state.spec)
                .map_err(|error| Fault::Damaged(format!("the state has no JSON form: {error}")))
        };
        let adopted = text().and_then(|text| self.write(|file| replace(file, state, &text)));
        adopted.map_err(|fault| self.named(fault))
    }

    /// Whose log it copies, once that is known.
    pub(in crate::store) fn fleet(&self) -> Result<Option<String>, StoreError> {
        self.read(|file| {
            if !has_fleet(file)? {
                return Ok(None);
            }
            let found = file.query_row("SELECT id FROM fleet", [], |row| row.get(0));
            Ok(found.optional()?)
        })
    }

    pub(in crate::store) fn set_fleet(&self, id: &str) -> Result<(), StoreError> {
        let set = self.write(|file| {
            // Beside the tables of every state file: another version reads the file all the same.
            file.execute_batch(
                "CREATE TABLE IF NOT EXISTS fleet (id TEXT NOT NULL) STRICT; DELETE FROM fleet;",
            )?;
            file.execute("INSERT INTO fleet VALUES (?)", [id])?;
            Ok(())
        });
        set.map_err(|fault| self.named(fault))
    }
}

fn has_fleet(file: &Transaction<'_>) -> Result<bool, Fault> {
    let named = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'fleet'";
    Ok(file.prepare_cached(named)?.exists([])?)
}

/// All in one transaction: a copy is never half of one state.
fn replace(file: &Transaction<'_>, state: &Stored, text: &[u8]) -> Result<(), Fault> {
    let Stored { number, digest, .. } = state;
    file.execute_batch("DELETE FROM checkpoint; DELETE FROM part; DELETE FROM revision;")?;
    let parts = text.chunks(PART).len();
    let mut insert = file.prepare_cached("INSERT INTO part VALUES (1, ?, ?)")?;
    for (place, part) in (0_u64..).zip(text.chunks(PART)) {
        insert.execute(params![int(place), part])?;
    }
    let content = content(
        Sha256::new().chain_update(text),
        *number,
        *digest,
        parts as u64,
    );
    file.execute(
        "INSERT INTO checkpoint VALUES (?, ?, 1, ?, ?, 0, ?)",
        params![
            int(*number),
            digest.0,
            int(parts as u64),
            int(text.len() as u64),
            content.0
        ],
    )?;
    file.execute(
        "UPDATE head SET number = ?, digest = ?, total = 0 WHERE id = 1",
        params![int(*number), digest.0],
    )?;
    Ok(())
}
