use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::fault::Fault;
use crate::spec::{Digest, Revision};
use crate::store::chain::{Encoded, Head};
use crate::store::{Logged, StoreError};

/// The newest revision, and the bytes of all up to it.
pub(super) fn head(file: &Connection) -> Result<(Head, u64), Fault> {
    let mut query = file.prepare_cached("SELECT number, digest, total FROM head WHERE id = 1")?;
    query
        .query_row([], |row| {
            let head = Head {
                number: count(row, 0)?,
                digest: digest(row, 1)?,
            };
            Ok((head, count(row, 2)?))
        })
        .map_err(Fault::from)
}

/// Appends in one transaction, if `expected` still is the newest. In WAL mode the transaction costs
/// one write and one sync, however many revisions it has.
pub(super) fn append(
    file: &mut Connection,
    expected: Option<u64>,
    revisions: &[Encoded],
) -> Result<(), Fault> {
    let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (head, mut total) = head(&transaction)?;
    let newest = head.admit(expected, revisions)?;
    {
        let mut insert =
            transaction.prepare_cached("INSERT INTO revision VALUES (?, ?, ?, ?, ?, ?)")?;
        for revision in revisions {
            total = total.saturating_add(revision.body.len() as u64);
            insert.execute(params![
                int(revision.number),
                int(revision.time),
                revision.digest.0,
                revision.parent.0,
                int(total),
                revision.body,
            ])?;
        }
        transaction
            .prepare_cached("UPDATE head SET number = ?, digest = ?, total = ? WHERE id = 1")?
            .execute(params![int(newest.number), newest.digest.0, int(total)])?;
    }
    transaction.commit()?;
    Ok(())
}

/// Each revision after `first` up to `last`, in order.
pub(super) fn between(
    file: &Connection,
    first: u64,
    last: u64,
    mut each: impl FnMut(Logged) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut query = file.prepare_cached(
        "SELECT number, time, digest, parent, body FROM revision
         WHERE number > ? AND number <= ? ORDER BY number",
    )?;
    let mut rows = query.query(params![int(first), int(last)])?;
    while let Some(row) = rows.next()? {
        each(encoded(row)?.decode()?)?;
    }
    Ok(())
}

/// At most `limit` after `number`, oldest first.
pub(super) fn since(file: &Connection, number: u64, limit: usize) -> Result<Vec<Logged>, Fault> {
    let (newest, _) = head(file)?;
    if number > newest.number {
        return Err(Fault::Store(StoreError::Diverged {
            number,
            why: format!("the newest is {}", newest.number),
        }));
    }
    let last = number.saturating_add(limit as u64).min(newest.number);
    let mut found: Vec<Logged> = Vec::new();
    between(file, number, last, |logged| {
        if let Some(before) = found.last() {
            let head = Head {
                number: before.revision.number,
                digest: before.digest,
            };
            let revision = &logged.revision;
            head.step(revision.number, revision.parent, logged.digest)
                .map_err(Fault::Damaged)?;
        }
        found.push(logged);
        Ok(())
    })?;
    let starts_right = found
        .first()
        .map_or(last == number, |first| first.revision.number == number + 1);
    if !starts_right {
        return Err(Fault::Store(StoreError::Pruned { after: number }));
    }
    Ok(found)
}

/// Revisions that replaced a large state are large: a page of the history ends after the first that
/// brings it here, so that reading it never takes much memory.
const PAGE: usize = 4 << 20;

/// At most `limit` before `before`, newest first, and no more after [`PAGE`] bytes of them.
pub(super) fn before(
    file: &Connection,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<Revision>, Fault> {
    let mut query = file.prepare_cached(
        "SELECT number, time, digest, parent, body FROM revision
         WHERE number < ? ORDER BY number DESC LIMIT ?",
    )?;
    let mut rows = query.query(params![before.map_or(i64::MAX, int), int(limit as u64)])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let encoded = encoded(row)?;
        bytes += encoded.body.len();
        found.push(encoded.decode()?.revision);
        if bytes >= PAGE {
            break;
        }
    }
    Ok(found)
}

/// One revision, if it is kept.
pub(super) fn one(file: &Connection, number: u64) -> Result<Option<Logged>, Fault> {
    let mut found = None;
    if let Some(before) = number.checked_sub(1) {
        between(file, before, number, |logged| {
            found = Some(logged);
            Ok(())
        })?;
    }
    Ok(found)
}

/// A revision's digest and the bytes of all up to it, if it is kept.
pub(super) fn mark(file: &Connection, number: u64) -> Result<Option<(Digest, u64)>, Fault> {
    let mut query = file.prepare_cached("SELECT digest, total FROM revision WHERE number = ?")?;
    let found = query.query_row([int(number)], |row| Ok((digest(row, 0)?, count(row, 1)?)));
    Ok(found.optional()?)
}

/// The first revision that is not older than `cutoff`.
pub(super) fn first_from(file: &Connection, cutoff: u64) -> Result<Option<u64>, Fault> {
    // In this order the look ends at the first that is kept: it reads no more than what goes.
    let mut query =
        file.prepare_cached("SELECT number FROM revision WHERE time >= ? ORDER BY number LIMIT 1")?;
    Ok(query
        .query_row([int(cutoff)], |row| count(row, 0))
        .optional()?)
}

fn encoded(row: &Row<'_>) -> rusqlite::Result<Encoded> {
    Ok(Encoded {
        number: count(row, 0)?,
        time: count(row, 1)?,
        digest: digest(row, 2)?,
        parent: digest(row, 3)?,
        body: row.get(4)?,
    })
}

/// SQLite's integers are signed. Ours stay far below; a number that does not is never found.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

pub(super) fn digest(row: &Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    match row.get_ref(column)? {
        ValueRef::Blob(bytes) => bytes.try_into().map(Digest).ok(),
        _ => None,
    }
    .ok_or_else(|| {
        rusqlite::Error::InvalidColumnType(column, "digest".into(), rusqlite::types::Type::Blob)
    })
}
