use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::spec::{Address, Name};

/// What nodes (running copies of this program) keep about each other beside the log.
///
/// None of it is part of the state: losing it costs a moment, never a change. Times are
/// milliseconds since 1970-01-01T00:00:00Z and come from the caller.
pub trait Registry: Send + Sync {
    /// Takes the lease `name`, or renews it, until `now + ttl`; answers who has it now.
    /// It is the caller's if the answer's `holder` is.
    fn acquire(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: u64,
    ) -> Result<Lease, StoreError>;

    /// [`Registry::acquire`] by the store's own clock where it is far. By the nodes' clocks, a lease taken by one whose
    /// clock is an hour before the others' would outlive it by an hour.
    fn hold(&self, name: &str, holder: &str, ttl: Duration, now: u64) -> Result<Lease, StoreError> {
        self.acquire(name, holder, ttl, now)
    }

    /// Gives the lease up at once, if `holder` has it.
    fn release(&self, name: &str, holder: &str) -> Result<(), StoreError>;

    /// Writes a node's record over its last one. Records that were not renewed for a week before
    /// this one go.
    fn put_node(&self, node: &NodeRecord) -> Result<(), StoreError>;

    /// Whether other machines may keep their records here too.
    fn is_shared(&self) -> bool {
        false
    }

    /// [`Registry::put_node`], and everybody's records by the store's own clock, in one step where the store is far.
    fn sign(&self, node: &NodeRecord) -> Result<Roll, StoreError> {
        self.put_node(node)?;
        let signed = |record: NodeRecord| Signed {
            at: record.seen_at,
            record,
        };
        Ok(Roll {
            now: node.seen_at,
            nodes: self.nodes()?.into_iter().map(signed).collect(),
        })
    }

    /// Every node on record, by id.
    fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError>;

    /// Replaces what `node` last saw of its servers.
    fn put_health(&self, node: &str, seen: &HandOver) -> Result<(), StoreError>;

    /// What `node` last saw of its servers.
    fn health(&self, node: &str) -> Result<Option<HandOver>, StoreError>;
}

/// How long a node stays on record after its last sign of life: 7 days in milliseconds.
pub(super) const NODE_KEPT: u64 = 7 * 24 * 3600 * 1000;

/// The right to do something that only one node may do at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who has it.
    pub holder: String,
    /// Until when, unless renewed.
    pub until: u64,
    /// Counts up each time the holder changes: a fencing token.
    pub term: u64,
}

impl Lease {
    /// The lease after `holder` asked for it.
    pub(super) fn asked(current: Option<Self>, holder: &str, ttl: Duration, now: u64) -> Self {
        let until = now.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        match current {
            Some(lease) if lease.holder == holder => Self { until, ..lease },
            Some(lease) if lease.until > now => lease,
            other => Self {
                holder: holder.to_owned(),
                until,
                term: other.map_or(0, |lease| lease.term).saturating_add(1),
            },
        }
    }

    /// Nobody's from now on. The term stays, so that the next holder's is higher.
    pub(super) fn give_up(&mut self) {
        self.holder.clear();
        self.until = 0;
    }
}

/// Everybody's records at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roll {
    /// The moment, by the store's clock.
    pub now: u64,
    /// By id.
    pub nodes: Vec<Signed>,
}

/// A record and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// By the store's clock; the record itself has the writer's.
    pub at: u64,
    /// What was written.
    pub record: NodeRecord,
}

/// One node of the fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its name; one record each.
    pub id: String,
    /// The version it runs.
    pub version: String,
    /// Where its control API listens.
    pub address: String,
    /// The revision it serves.
    pub applied: u64,
    /// When it wrote this, by its own clock.
    pub seen_at: u64,
    /// Whether it ended, or is about to, as it was told to.
    #[serde(default, skip_serializing_if = "is_false")]
    pub has_left: bool,
    /// Whether its state is not one that the store's leads from or to.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_diverged: bool,
    /// The servers that its checks do not say `up` of, those that are down first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_up: Vec<HealthRecord>,
    /// How many more there are of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_up_more: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a node saw of its servers, for the process that takes over from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// When it was written; whoever reads decides whether that is too long ago.
    pub at: u64,
    /// The servers.
    pub servers: Vec<HealthRecord>,
    /// What their names stood for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NameRecord>,
    /// What failing requests had done to them, at that time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ejections: Vec<EjectionRecord>,
}

/// A server that failing requests have taken out, or had. All times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EjectionRecord {
    /// The group.
    pub upstream: Name,
    /// The member.
    pub address: Address,
    /// How much longer it is out; none: it is in again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_for: Option<u64>,
    /// For how long it was taken out.
    pub length: u64,
    /// The same by rate; 0: it was not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rate_length: u64,
    /// How long it has been in since.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub in_for: u64,
}

/// What the name of a server stood for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRecord {
    /// The name.
    pub name: Address,
    /// Its places: priority, address, weight.
    pub places: Vec<(u16, SocketAddr, u16)>,
}

/// What checks said of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRecord {
    /// The group.
    pub upstream: Name,
    /// The member.
    pub address: Address,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// Since when.
    pub since: u64,
}
