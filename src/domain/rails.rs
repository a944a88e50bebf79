//! What a change may not do: leave a group without a server that could take a request.

use super::snapshot::Snapshot;
use super::upstream::Upstream;
use crate::spec::Name;

/// A rail that a change runs into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rail {
    /// The group's last usable server would go.
    #[error("upstream `{0}` would be left without a usable server")]
    LastServer(Name),
    /// Fewer than `min_healthy` usable servers would be left.
    #[error("upstream `{0}` would be left with {1} usable servers; its `min_healthy` is {2}")]
    MinHealthy(Name, usize, u32),
}

impl Rail {
    /// The stable word of the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::LastServer(_) => "rail_last_server",
            Self::MinHealthy(..) => "rail_min_healthy",
        }
    }
}

/// The rails that the step from one state to the next runs into. Only a group that is there before
/// and after, and whose usable servers become fewer, can hit one: repairing a broken group, or
/// deleting one as a whole, is no affair of the rails.
pub fn rails(before: &Snapshot, after: &Snapshot) -> Vec<Rail> {
    let changed = after.spec().changed_upstreams(before.spec());
    let pairs = changed
        .iter()
        .filter_map(|name| Some((before.upstream(name)?, after.upstream(name)?)));
    pairs.filter_map(|(old, next)| rail(old, next)).collect()
}

fn rail(old: &Upstream, next: &Upstream) -> Option<Rail> {
    let (was, left) = (old.usable(), next.usable());
    match next.min_healthy() {
        _ if left >= was => None,
        _ if left == 0 => Some(Rail::LastServer(next.name().clone())),
        least if left < least as usize => Some(Rail::MinHealthy(next.name().clone(), left, least)),
        _ => None,
    }
}
