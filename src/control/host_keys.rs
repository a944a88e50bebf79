use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::ports::host_keys::{HostKeysTold, plain};
use crate::ports::telemetry::Metrics;
use crate::spec::shortened;

/// The keys in Redis that switch hosts.
#[derive(Serialize, ToSchema)]
#[schema(as = HostKeysStatus)]
pub(super) struct HostKeysView {
    /// What they begin with.
    prefix: String,
    /// Whether this node follows them: one of those that share the store does, and has the rest of this object.
    followed_here: bool,
    /// When all of them were read last; null if never.
    #[schema(format = DateTime)]
    at: Option<String>,
    /// How many there were.
    count: usize,
    /// Why not all that they say is known or done.
    problem: Option<String>,
    /// Keys that are not taken, and why: their hosts lead where they did.
    refused: BTreeMap<String, String>,
    /// How many more of those there are.
    refused_more: usize,
}

impl HostKeysView {
    /// None if hosts have no keys.
    pub(super) fn of(metrics: &Metrics) -> Option<Self> {
        let HostKeysTold {
            prefix,
            is_followed,
            at,
            count,
            problem,
            deaf,
            refused,
            refused_more,
        } = metrics.host_keys().told();
        Some(Self {
            prefix: prefix?,
            followed_here: is_followed,
            at: (at > 0).then(|| Timestamp::from_unix_ms(at).to_string()),
            count,
            problem: problem.or(deaf),
            refused,
            refused_more,
        })
    }

    /// What needs somebody's attention.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        let problem = self.problem.iter();
        let whole = problem.map(|why| format!("the keys of hosts cannot be followed: {why}"));
        let named = self.refused.iter().take(MOST_TOLD);
        let refused = named.map(|(key, why)| {
            let key = plain(&shortened(key));
            format!("key `{key}` is not taken: {why}")
        });
        let more = (self.refused.len() + self.refused_more).saturating_sub(MOST_TOLD);
        let rest = (more > 0).then(|| format!("{more} more keys of hosts are not taken"));
        whole.chain(refused).chain(rest)
    }
}

/// Keys that are named; the object itself has them all.
const MOST_TOLD: usize = 20;
