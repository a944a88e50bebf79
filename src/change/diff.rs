use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Change;
use crate::spec::{DiffEntry, Name, RouteSpec, Spec};

/// The edits that turn `before` into `after`. Undoing a change is `diff(after, before)`.
pub fn diff(before: &Spec, after: &Spec) -> Vec<Change> {
    let mut changes = Vec::new();
    if !before.defaults.says_the_same(&after.defaults) {
        changes.push(Change::PutDefaults {
            defaults: (*after.defaults).clone(),
        });
    }
    // A group appears before a route leads to it and goes after the last one has left it.
    let touched = after.changed_upstreams(before);
    for (name, upstream) in touched
        .iter()
        .filter_map(|name| after.upstreams.get_key_value(name))
    {
        if !before
            .upstreams
            .get(name)
            .is_some_and(|old| old.says_the_same(upstream))
        {
            changes.push(Change::PutUpstream {
                name: name.clone(),
                upstream: (**upstream).clone(),
            });
        }
    }
    route_changes(before, after, &mut changes);
    for name in before
        .upstreams
        .keys()
        .filter(|name| !after.upstreams.contains_key(name))
    {
        changes.push(Change::DeleteUpstream { name: name.clone() });
    }
    changes
}

fn route_changes(before: &Spec, after: &Spec, changes: &mut Vec<Change>) {
    let (old, new): (Vec<_>, Vec<_>) = (
        before.routes.iter().collect(),
        after.routes.iter().collect(),
    );
    let (old, new) = (by_id(&old), by_id(&new));
    for id in ids(before).filter(|id| !new.contains_key(id)) {
        changes.push(Change::DeleteRoute { id: id.clone() });
    }
    for (id, route) in after
        .routes
        .iter()
        .filter_map(|route| Some((route.id.as_ref()?, route)))
    {
        if !old
            .get(id)
            .is_some_and(|old| Arc::ptr_eq(old, route) || old.says_the_same(route))
        {
            changes.push(Change::PutRoute {
                id: id.clone(),
                route: (**route).clone(),
            });
        }
    }
    let kept = ids(before).filter(|id| new.contains_key(id));
    let added = ids(after).filter(|id| !old.contains_key(id));
    if !kept.chain(added).eq(ids(after)) {
        changes.push(Change::OrderRoutes {
            ids: ids(after).cloned().collect(),
        });
    }
}

fn ids(spec: &Spec) -> impl Iterator<Item = &Name> {
    spec.routes.iter().filter_map(|route| route.id.as_ref())
}

fn by_id<'a>(routes: &[&'a Arc<RouteSpec>]) -> HashMap<&'a Name, &'a Arc<RouteSpec>> {
    let with_id = |route: &&'a Arc<RouteSpec>| Some((route.id.as_ref()?, *route));
    routes.iter().filter_map(with_id).collect()
}

/// What differs between two states, value by value; the order of routes as the ids of those among which
/// it differs. Costs a look at each object, and work only for
/// those that differ.
pub fn entries(before: &Spec, after: &Spec) -> Vec<DiffEntry> {
    let mut found = Vec::new();
    if !Arc::ptr_eq(&before.defaults, &after.defaults) {
        compare(
            "/defaults",
            document(&*before.defaults),
            document(&*after.defaults),
            &mut found,
        );
    }
    for name in after.changed_upstreams(before) {
        let value = |spec: &Spec| {
            spec.upstreams
                .get(&name)
                .map_or(Value::Null, |upstream| document(&**upstream))
        };
        compare(
            &format!("/upstreams/{name}"),
            value(before),
            value(after),
            &mut found,
        );
    }
    route_entries(before, after, &mut found);
    found
}

fn route_entries(before: &Spec, after: &Spec, found: &mut Vec<DiffEntry>) {
    let part = after.changed_routes(before);
    let (old, new) = (by_id(&part.old), by_id(&part.new));
    let ids = |routes: &[&'_ Arc<RouteSpec>]| -> Vec<Name> {
        routes.iter().filter_map(|route| route.id.clone()).collect()
    };
    let mut all = ids(&part.old);
    all.extend(
        ids(&part.new)
            .into_iter()
            .filter(|id| !old.contains_key(id)),
    );
    for id in &all {
        let (old, new) = (old.get(id), new.get(id));
        if let (Some(old), Some(new)) = (old, new)
            && Arc::ptr_eq(old, new)
        {
            continue;
        }
        let value = |route: Option<&&Arc<RouteSpec>>| {
            route.map_or(Value::Null, |route| document(&***route))
        };
        compare(&format!("/routes/{id}"), value(old), value(new), found);
    }
    let stay = |routes: &[&'_ Arc<RouteSpec>]| -> Vec<Name> {
        let both = |id: &Name| old.contains_key(id) && new.contains_key(id);
        ids(routes).into_iter().filter(both).collect()
    };
    // The order decides between routes that fit equally well.
    if stay(&part.old) != stay(&part.new) {
        let (old, new) = (ids(&part.old), ids(&part.new));
        let (old, new) = without_same_ends(&old, &new);
        compare("/routes", json!(old), json!(new), found);
    }
}

/// Two lists without what both begin with and what both end with.
fn without_same_ends<'a>(old: &'a [Name], new: &'a [Name]) -> (&'a [Name], &'a [Name]) {
    let same = |(old, new): &(&Name, &Name)| old == new;
    let head = old.iter().zip(new).take_while(same).count();
    let (_, old) = old.split_at(head);
    let (_, new) = new.split_at(head);
    let tail = old.iter().rev().zip(new.iter().rev());
    let tail = tail.take_while(same).count();
    let (old, _) = old.split_at(old.len() - tail);
    let (new, _) = new.split_at(new.len() - tail);
    (old, new)
}

/// An object as JSON, its servers by their address, without the keys that say only who and when.
fn document(object: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut value {
        fields.remove("changed_at");
        fields.remove("id");
        if let Some(Value::Array(servers)) = fields.get_mut("servers") {
            let by_address: Map<String, Value> = std::mem::take(servers)
                .into_iter()
                .filter_map(|mut server| {
                    let address = server.as_object_mut()?.remove("address")?;
                    Some((address.as_str()?.to_owned(), server))
                })
                .collect();
            fields.insert("servers".into(), Value::Object(by_address));
        }
    }
    value
}

fn compare(path: &str, before: Value, after: Value, found: &mut Vec<DiffEntry>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Object(mut before), Value::Object(mut after)) => {
            let mut keys: Vec<String> = before.keys().cloned().collect();
            keys.extend(
                after
                    .keys()
                    .filter(|key| !before.contains_key(*key))
                    .cloned(),
            );
            for key in keys {
                let place = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
                let taken =
                    |side: &mut Map<String, Value>| side.remove(&key).unwrap_or(Value::Null);
                compare(&place, taken(&mut before), taken(&mut after), found);
            }
        }
        (before, after) => found.push(DiffEntry {
            path: path.to_owned(),
            before,
            after,
        }),
    }
}
