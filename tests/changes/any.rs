//! Any change in a small world, so that changes meet the same objects again and again.

use pointsman::change::Change;
use pointsman::spec::Spec;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Some are addresses too: what a route to them means depends on whether there is such a group.
pub(crate) const GROUPS: [&str; 4] = ["web", "API", "10.0.0.9:80", "idle"];
pub(crate) const SERVERS: [&str; 4] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.9:80", "[::1]:80"];

fn group() -> impl Strategy<Value = &'static str> {
    prop::sample::select(GROUPS.to_vec())
}

fn target() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        [
            &GROUPS[..],
            &["10.0.0.8:80", "[::2]:80", "nowhere", "{host}"],
        ]
        .concat(),
    )
}

fn address() -> impl Strategy<Value = &'static str> {
    prop::sample::select(SERVERS.to_vec())
}

fn host() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a.example", "b.example", "*.example", "*"])
}

fn id() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["r1", "R2", "r3", "host:a.example"])
}

fn server() -> impl Strategy<Value = Value> {
    let admin = prop::sample::select(vec!["up", "drain", "down"]);
    (address(), 0..4u16, admin, any::<bool>()).prop_map(|(address, weight, admin, backup)| {
        json!({"address": address, "weight": weight, "admin": admin, "backup": backup})
    })
}

fn upstream() -> impl Strategy<Value = Value> {
    let servers = prop::collection::btree_map(address(), server(), 0..4);
    let health = prop_oneof![Just(Value::Null), Just(json!({"path": "/up"}))];
    (servers, health, prop::option::of(1..3u32)).prop_map(|(servers, health, least)| {
        let place = |(address, mut server): (&str, Value)| {
            server["address"] = address.into();
            server
        };
        let servers: Vec<Value> = servers.into_iter().map(place).collect();
        json!({"servers": servers, "health": health, "min_healthy": least})
    })
}

fn route(id: impl Strategy<Value = &'static str>) -> impl Strategy<Value = Value> {
    (id, prop::collection::vec(host(), 1..3), target())
        .prop_map(|(id, hosts, to)| json!({"id": id, "hosts": hosts, "to": to}))
}

/// Any state; ids and names are unique.
pub(crate) fn state() -> impl Strategy<Value = Spec> {
    let upstreams = prop::collection::btree_map(group(), upstream(), 0..4);
    let ids = Just(vec!["r1", "R2", "r3", "host:a.example"]).prop_shuffle();
    let routes = prop::collection::vec(route(Just("")), 0..4);
    let defaults = prop_oneof![3 => Just(json!({})), 1 => Just(json!({"min_healthy": 2}))];
    (upstreams, ids, routes, defaults).prop_map(|(upstreams, ids, mut routes, defaults)| {
        for (route, id) in routes.iter_mut().zip(ids) {
            route["id"] = id.into();
        }
        let state = json!({"defaults": defaults, "upstreams": upstreams, "routes": routes});
        serde_json::from_value(state).unwrap()
    })
}

/// Any change; whether it fits is another matter.
pub(crate) fn change() -> impl Strategy<Value = Change> {
    let patch = prop_oneof![
        (0..4u16).prop_map(|weight| json!({"weight": weight})),
        prop::sample::select(vec!["up", "drain", "down"]).prop_map(|admin| json!({"admin": admin})),
        any::<bool>().prop_map(|backup| json!({"backup": backup})),
    ];
    let ids = Just(vec!["r1", "R2", "r3", "host:a.example"]).prop_shuffle();
    let edit = prop_oneof![
        (group(), upstream())
            .prop_map(|(name, upstream)| json!({"op": "put_upstream", "name": name, "upstream": upstream})),
        (group(), 1..3u32).prop_map(|(name, least)| json!({"op": "patch_upstream", "name": name, "upstream": {"min_healthy": least}})),
        group().prop_map(|name| json!({"op": "delete_upstream", "name": name})),
        (group(), server())
            .prop_map(|(name, server)| json!({"op": "add_server", "upstream": name, "server": server})),
        (group(), address(), patch).prop_map(|(name, address, patch)| json!({"op": "patch_server", "upstream": name, "address": address, "server": patch})),
        (group(), address())
            .prop_map(|(name, address)| json!({"op": "remove_server", "upstream": name, "address": address})),
        route(id()).prop_map(|route| json!({"op": "put_route", "id": route["id"], "route": route})),
        (id(), target()).prop_map(|(id, to)| json!({"op": "patch_route", "id": id, "route": {"to": to}})),
        id().prop_map(|id| json!({"op": "delete_route", "id": id})),
        (id(), target()).prop_map(|(id, to)| json!({"op": "switch", "route": id, "to": to})),
        (prop::sample::select(vec!["a.example", "b.example"]), prop::option::of(target()))
            .prop_map(|(host, to)| json!({"op": "switch", "host": host, "to": to})),
        (ids, 0..4usize).prop_map(|(ids, count)| json!({"op": "order_routes", "ids": ids[..count]})),
        (0..3u32).prop_map(|least| json!({"op": "put_defaults", "defaults": {"min_healthy": least}})),
        state().prop_map(|state| json!({"op": "put_state", "state": state})),
    ];
    edit.prop_map(|edit| serde_json::from_value(edit).unwrap())
}
