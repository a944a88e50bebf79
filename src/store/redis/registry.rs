use std::time::Duration;

use ::redis::cmd;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::STEP;
use super::fault::Fault;
use super::log::parsed;
use super::{Redis, read, script};
use crate::store::registry::NODE_KEPT;
use crate::store::{HandOver, Lease, NodeRecord, Registry, Roll, Signed, StoreError};

impl Registry for Redis {
    fn acquire(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: u64,
    ) -> Result<Lease, StoreError> {
        self.lease(name, holder, ttl, now, "caller")
    }

    fn hold(&self, name: &str, holder: &str, ttl: Duration, now: u64) -> Result<Lease, StoreError> {
        self.lease(name, holder, ttl, now, "own")
    }

    fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        self.call(STEP, |session| {
            let mut command = script(include_str!("release.lua"), &[self.keys.lease(name)]);
            command.arg(holder);
            session.ask(&command).map(drop)
        })
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn sign(&self, node: &NodeRecord) -> Result<Roll, StoreError> {
        let oldest = node.seen_at.saturating_sub(NODE_KEPT);
        self.call(STEP, |session| {
            let places = [self.keys.nodes(), self.keys.health()];
            let mut command = script(include_str!("sign.lua"), &places);
            command.arg(&node.id).arg(text(node)?).arg(oldest);
            command.arg(node.seen_at);
            let answer: Vec<String> = read(&session.ask(&command)?, "the nodes")?;
            let (now, texts) = answer.split_first().unzip();
            let texts = texts.into_iter().flatten();
            // What a later version may write otherwise is no reason to know nothing of the others.
            let mut nodes: Vec<Signed> = texts.filter_map(|text| signed(text).ok()).collect();
            nodes.sort_by(|a, b| a.record.id.cmp(&b.record.id));
            let now = parsed(now.map(String::as_str), "the time")?;
            Ok(Roll { now, nodes })
        })
    }

    fn put_node(&self, node: &NodeRecord) -> Result<(), StoreError> {
        self.sign(node).map(drop)
    }

    fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        self.call(STEP, |session| {
            let mut command = cmd("HVALS");
            command.arg(self.keys.nodes());
            let texts: Vec<String> = read(&session.ask(&command)?, "the nodes")?;
            let nodes: Result<Vec<NodeRecord>, Fault> =
                texts.iter().map(|text| Ok(signed(text)?.record)).collect();
            let mut nodes = nodes?;
            nodes.sort_by(|a, b| a.id.cmp(&b.id));
            Ok(nodes)
        })
    }

    fn put_health(&self, node: &str, seen: &HandOver) -> Result<(), StoreError> {
        self.call(STEP, |session| {
            let mut command = cmd("HSET");
            command.arg(self.keys.health()).arg(node).arg(text(seen)?);
            session.ask(&command).map(drop)
        })
    }

    fn health(&self, node: &str) -> Result<Option<HandOver>, StoreError> {
        self.call(STEP, |session| {
            let mut command = cmd("HGET");
            command.arg(self.keys.health()).arg(node);
            let found: Option<String> = read(&session.ask(&command)?, "health")?;
            found.map(|text| value(&text)).transpose()
        })
    }
}

impl Redis {
    /// `clock` is whose: the script's `own`, if it may read it, or else the caller's.
    fn lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: u64,
        clock: &str,
    ) -> Result<Lease, StoreError> {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.call(STEP, |session| {
            let mut command = script(include_str!("lease.lua"), &[self.keys.lease(name)]);
            command.arg(holder).arg(ttl).arg(now).arg(clock);
            let [holder, until, term]: [String; 3] = read(&session.ask(&command)?, "a lease")?;
            Ok(Lease {
                holder,
                until: parsed(Some(&until), "a lease's end")?,
                term: parsed(Some(&term), "a lease's term")?,
            })
        })
    }
}

/// A node's record, behind the time at which the store took it.
pub(super) fn signed(text: &str) -> Result<Signed, Fault> {
    let (at, record) = match text.split_once(' ') {
        Some((at, record)) if at.bytes().all(|byte| byte.is_ascii_digit()) => (Some(at), record),
        // As the first versions wrote it.
        _ => (None, text),
    };
    let record: NodeRecord = value(record)?;
    let at = match at {
        Some(at) => parsed(Some(at), "the time of a record")?,
        None => record.seen_at,
    };
    Ok(Signed { at, record })
}

fn text(record: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(record)
        .map_err(|error| Fault::Damaged(format!("a record has no JSON form: {error}")))
}

fn value<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::Damaged(format!("a record: {error}")))
}
