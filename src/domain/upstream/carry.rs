//! What a group that is built anew keeps of the one before.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Upstream;
use super::members::Listed;
use crate::domain::balancer::Tier;
use crate::domain::queue::Queue;
use crate::domain::ramp::Ramp;
use crate::domain::server::{Server, ServerState};
use crate::spec::{Address, BalanceSpec, HealthSpec};

/// Each tier with its turns going on from the one of its number before.
pub(super) fn tiers(
    policy: BalanceSpec,
    servers: &[Arc<Server>],
    before: Option<&Upstream>,
) -> Box<[(u64, Tier)]> {
    let numbers: BTreeSet<u64> = servers.iter().map(|server| server.tier()).collect();
    let tier = |number| {
        let members = servers.iter().filter(|server| server.tier() == number);
        let mut old = before.iter().flat_map(|before| &before.tiers);
        let old = old.find(|(its, _)| *its == number).map(|(_, tier)| tier);
        (number, Tier::new(policy, members, old))
    };
    numbers.into_iter().map(tier).collect()
}

pub(super) fn carried_over(
    listed: Vec<Listed<'_>>,
    health: Option<&HealthSpec>,
    queue: &Arc<Queue>,
    before: Option<&Upstream>,
) -> Vec<Arc<Server>> {
    let old: HashMap<&Address, &Arc<Server>> = before
        .into_iter()
        .flat_map(|before| &before.servers)
        .map(|server| (server.address(), server))
        .collect();
    let start = health.and_then(|health| health.start).unwrap_or_default();
    let new = || Arc::new(ServerState::with_queue(start, queue.clone()));
    let server = |Listed { spec, found }: Listed<'_>| {
        let old = old.get(&spec.address).copied();
        let state = old.map_or_else(new, |old| old.shared().clone());
        let server = Server::new(&spec, health.is_some(), state);
        let ramp = ramp(&server, old, before.is_some());
        let server = server.with_ramp(ramp);
        Arc::new(match found {
            Some((name, rank)) => server.found_by(name, rank),
            None => server,
        })
    };
    listed.into_iter().map(server).collect()
}

/// The slow start of a server: due when it joins a group that is there already, or when the operator lets
/// it take requests again; else it goes on. A group that comes with all of its servers has nobody to
/// spare them.
fn ramp(server: &Server, old: Option<&Arc<Server>>, has_group: bool) -> Option<Ramp> {
    let length = server.spec().slow_start.limit()?;
    let recoveries = server.shared().recoveries();
    Some(match old {
        None => Ramp::new(length, recoveries, has_group),
        Some(old) if server.is_let() && !old.is_let() => Ramp::new(length, recoveries, true),
        Some(old) => match old.ramp() {
            Some(ramp) => ramp.of_length(length),
            None => Ramp::new(length, recoveries, false),
        },
    })
}
