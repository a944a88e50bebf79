use crate::domain::server::{Health, Server};
use crate::domain::snapshot::Snapshot;
use crate::domain::upstream::Upstream;
use crate::store::HealthRecord;

/// What is told of one node's servers: where more are not up, it is the node whose network is broken.
const MOST: usize = 100;

/// The servers that checks do not say `up` of, those that are down first, and how many more there are.
pub(super) fn not_up(snapshot: &Snapshot) -> (Vec<HealthRecord>, u64) {
    let checked = snapshot
        .upstreams()
        .filter(|upstream| upstream.health().is_some());
    let (mut found, mut unknown, mut all) = (Vec::new(), Vec::new(), 0);
    for upstream in checked {
        for server in upstream.servers() {
            let list = match server.health() {
                Health::Up => continue,
                Health::Down => &mut found,
                Health::Unknown => &mut unknown,
            };
            all += 1;
            if list.len() < MOST {
                list.push(record(upstream, server));
            }
        }
    }
    found.extend(unknown);
    found.truncate(MOST);
    let more = all - found.len();
    (found, more as u64)
}

fn record(upstream: &Upstream, server: &Server) -> HealthRecord {
    let state = server.shared();
    HealthRecord {
        upstream: upstream.name().clone(),
        address: server.address().clone(),
        health: state.health().as_str().into(),
        since: state.health_since(),
    }
}
