//! The seed half of the file: each group and each route is read by itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Mark;
use super::reader::Reader;
use super::tree::{Content, Entry, Node};
use crate::spec::{Name, RouteSpec, SharedList, SharedMap, UpstreamSpec};

pub(super) fn read_upstreams(
    node: &Node,
    reader: &mut Reader,
) -> SharedMap<Name, Arc<UpstreamSpec>> {
    let mut upstreams = SharedMap::default();
    let mut places: HashMap<Name, Mark> = HashMap::new();
    if !reader.is_map(node, "upstreams") {
        return upstreams;
    }
    for Entry { key, at, value } in node.entries() {
        let name = match Name::new(key) {
            Ok(name) => name,
            Err(error) => {
                reader.note(*at, error.to_string());
                reader.holes.add(value.at);
                continue;
            }
        };
        if let Some(first) = places.insert(name.clone(), *at) {
            let message = format!("`{key}` is the upstream of line {}", first.line);
            reader.note(
                *at,
                format!("{message}: names are unique, whatever their case"),
            );
            reader.holes.add(value.at);
        }
        let upstream = read_upstream(&["upstreams", key], value, reader);
        upstreams.insert(name, Arc::new(upstream));
    }
    upstreams
}

pub(super) fn read_upstream(place: &[&str], node: &Node, reader: &mut Reader) -> UpstreamSpec {
    let name = place.last().copied().unwrap_or_default();
    if !reader.is_map(node, name) {
        return UpstreamSpec::default();
    }
    for entry in node.entries() {
        if entry.key == "health" && entry.value.is_null() {
            let message =
                "write `health: {}` for checks with the defaults, or leave it out for none";
            reader.note(entry.at, message);
            reader.holes.add(entry.value.at);
        }
    }
    refuse_own_keys(node, reader);
    let upstream: UpstreamSpec = reader.read(place, node).unwrap_or_default();
    if upstream.source.is_some() && !upstream.servers.is_empty() {
        let at = node.entries().iter().find(|entry| entry.key == "servers");
        let message = "`source` says which servers the group has: write `servers` or `source`";
        reader.note(at.map_or(node.at, |entry| entry.at), message);
    }
    upstream
}

pub(super) fn read_routes(node: &Node, reader: &mut Reader) -> SharedList<Arc<RouteSpec>> {
    let Content::List(items) = &node.content else {
        reader.note_hole(node.at, "`routes` is a list");
        return SharedList::default();
    };
    let mut routes = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let index = index.to_string();
        let holes = reader.holes.count();
        let mut route = None;
        if reader.is_map(item, "a route") {
            refuse_own_keys(item, reader);
            route = reader.read(&["routes", &index], item);
        }
        // With a default in the place of what could not be read, it would seem to collide with others.
        if reader.holes.count() > holes {
            route = None;
        }
        if route.is_none() {
            reader.holes.leave_out(item.at);
        }
        routes.extend(route);
    }
    name_routes(&mut routes);
    routes.into_iter().map(Arc::new).collect()
}

fn refuse_own_keys(node: &Node, reader: &mut Reader) {
    for entry in node.entries() {
        if matches!(entry.key.as_str(), "changed_at" | "created_by") {
            let message = format!("`{}` is kept by Pointsman itself", entry.key);
            reader.note(entry.at, message);
        }
    }
}

/// Gives every route without an id one that no other has: `any`, `any-2`, `any-3`.
fn name_routes(routes: &mut [RouteSpec]) {
    let mut taken: HashSet<Name> = routes.iter().filter_map(|route| route.id.clone()).collect();
    let mut next: HashMap<Name, usize> = HashMap::new();
    for route in routes.iter_mut().filter(|route| route.id.is_none()) {
        let base = route.id_from_patterns();
        // Room for the number: a name has at most 255 characters.
        let stem: String = base.as_str().chars().take(240).collect();
        let number = next.entry(base.clone()).or_insert(1);
        let mut id = base;
        while !taken.insert(id.clone()) {
            *number += 1;
            id = Name::from_any(&format!("{stem}-{number}"));
        }
        route.id = Some(id);
    }
}
