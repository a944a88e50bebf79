use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::Sqlite;
use super::fault::Fault;
use super::revisions::{count, int};
use crate::store::registry::NODE_KEPT;
use crate::store::{HandOver, Lease, NodeRecord, Registry, StoreError};

impl Registry for Sqlite {
    fn acquire(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: u64,
    ) -> Result<Lease, StoreError> {
        self.write(|file| {
            let lease = Lease::asked(lease(file, name)?, holder, ttl, now);
            put_lease(file, name, &lease)?;
            Ok(lease)
        })
        .map_err(|fault| self.named(fault))
    }

    fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        self.write(|file| match lease(file, name)? {
            Some(mut lease) if lease.holder == holder => {
                lease.give_up();
                put_lease(file, name, &lease)
            }
            _ => Ok(()),
        })
        .map_err(|fault| self.named(fault))
    }

    fn put_node(&self, node: &NodeRecord) -> Result<(), StoreError> {
        self.write(|file| {
            let oldest = node.seen_at.saturating_sub(NODE_KEPT);
            file.prepare_cached("DELETE FROM node WHERE seen_at < ?")?
                .execute([int(oldest)])?;
            file.prepare_cached("INSERT OR REPLACE INTO node VALUES (?, ?, ?)")?
                .execute(params![node.id, int(node.seen_at), text(node)?])?;
            Ok(())
        })
        .map_err(|fault| self.named(fault))
    }

    fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        self.read(|file| {
            let mut query = file.prepare_cached("SELECT body FROM node ORDER BY id")?;
            let mut rows = query.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(parsed(&row.get::<_, String>(0)?)?);
            }
            Ok(found)
        })
    }

    fn put_health(&self, node: &str, seen: &HandOver) -> Result<(), StoreError> {
        let write = || {
            let text = text(seen)?;
            self.write(|file| {
                file.prepare_cached("INSERT OR REPLACE INTO health VALUES (?, ?)")?
                    .execute([node, &text])?;
                Ok(())
            })
        };
        write().map_err(|fault| self.named(fault))
    }

    fn health(&self, node: &str) -> Result<Option<HandOver>, StoreError> {
        self.read(|file| {
            let mut query = file.prepare_cached("SELECT body FROM health WHERE node = ?")?;
            let found: Option<String> = query.query_row([node], |row| row.get(0)).optional()?;
            found.map(|text| parsed(&text)).transpose()
        })
    }
}

fn lease(file: &Connection, name: &str) -> Result<Option<Lease>, Fault> {
    let mut query = file.prepare_cached("SELECT holder, until, term FROM lease WHERE name = ?")?;
    let found = query.query_row([name], |row| {
        Ok(Lease {
            holder: row.get(0)?,
            until: count(row, 1)?,
            term: count(row, 2)?,
        })
    });
    Ok(found.optional()?)
}

fn put_lease(file: &Connection, name: &str, lease: &Lease) -> Result<(), Fault> {
    file.prepare_cached("INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?)")?
        .execute(params![
            name,
            lease.holder,
            int(lease.until),
            int(lease.term)
        ])?;
    Ok(())
}

fn text(record: &impl serde::Serialize) -> Result<String, Fault> {
    serde_json::to_string(record)
        .map_err(|error| Fault::Damaged(format!("a record has no JSON form: {error}")))
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::Damaged(format!("a record: {error}")))
}
