//! What a group's servers become by what Consul lists, and the edits that lead there.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::answer::{Listed, Server, Settings};
use crate::change::Change;
use crate::spec::{Address, Name, ServerSpec};

/// The servers that the group is to have. What Consul says nothing about stays as it is on each, above all what its
/// operators want of it. The error says why the ones that it has stay.
pub(super) fn merged(now: &[ServerSpec], listed: &Listed) -> Result<Vec<ServerSpec>, String> {
    let by_address: HashMap<&Address, &Server> = listed
        .servers
        .iter()
        .map(|server| (&server.address, server))
        .collect();
    let kept = now.iter().filter_map(|spec| {
        match by_address.get(&spec.address).map(|server| &server.settings) {
            Some(Some(settings)) => Some(with(spec, settings)),
            // How it is to be used cannot be read: as before.
            Some(None) => Some(spec.clone()),
            None => listed.is_partial.then(|| spec.clone()),
        }
    });
    let known: HashSet<&Address> = now.iter().map(|spec| &spec.address).collect();
    let fresh = listed.servers.iter().filter_map(|server| {
        let is_new = !known.contains(&server.address);
        let settings = server.settings.as_ref().filter(|_| is_new)?;
        Some(with(&ServerSpec::new(server.address.clone()), settings))
    });
    let next: Vec<ServerSpec> = kept.chain(fresh).collect();
    match (next.is_empty(), listed.skipped.is_empty()) {
        (false, _) => Ok(next),
        (true, true) => Err("Consul lists no server for it".to_owned()),
        (true, false) => Err("Consul lists no server for it that can be taken".to_owned()),
    }
}

fn with(spec: &ServerSpec, settings: &Settings) -> ServerSpec {
    ServerSpec {
        weight: settings.weight,
        max_fails: settings.max_fails,
        fail_timeout: settings.fail_timeout,
        backup: settings.backup,
        // A backup stands in the last tier.
        tier: if settings.backup { 0 } else { spec.tier },
        down_at_source: settings.down,
        ..spec.clone()
    }
}

/// The edits that lead from one to the other: of each server by itself while these are few, so that a history says
/// what happened, and of the whole list when they are many.
pub(super) fn edits(
    group: &Name,
    now: &[ServerSpec],
    next: &[ServerSpec],
) -> Result<Vec<Change>, serde_json::Error> {
    let old: HashMap<&Address, &ServerSpec> =
        now.iter().map(|spec| (&spec.address, spec)).collect();
    let new: HashSet<&Address> = next.iter().map(|spec| &spec.address).collect();
    let mut edits = Vec::new();
    for server in next {
        match old.get(&server.address) {
            None => edits.push(Change::AddServer {
                upstream: group.clone(),
                server: server.clone(),
            }),
            Some(before) if *before != server => edits.push(Change::PatchServer {
                upstream: group.clone(),
                address: server.address.clone(),
                server: patch(before, server)?,
            }),
            Some(_) => {}
        }
    }
    let gone = now.iter().filter(|spec| !new.contains(&spec.address));
    edits.extend(gone.map(|spec| Change::RemoveServer {
        upstream: group.clone(),
        address: spec.address.clone(),
    }));
    if edits.len() <= MOST_EDITS {
        return Ok(edits);
    }
    let whole = Map::from_iter([("servers".to_owned(), serde_json::to_value(next)?)]);
    Ok(vec![Change::PatchUpstream {
        name: group.clone(),
        upstream: Value::Object(whole),
    }])
}

/// Each copies the group once.
const MOST_EDITS: usize = 32;

/// What turns one into the other, as a merge patch; null is a default.
fn patch(before: &ServerSpec, after: &ServerSpec) -> Result<Value, serde_json::Error> {
    let (before, after) = (serde_json::to_value(before)?, serde_json::to_value(after)?);
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return Ok(Value::Object(Map::new()));
    };
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let mut patch: Map<String, Value> = gone.map(|key| (key.clone(), Value::Null)).collect();
    let differs = |(key, value): &(String, Value)| before.get(key) != Some(value);
    patch.extend(after.into_iter().filter(differs));
    Ok(Value::Object(patch))
}
