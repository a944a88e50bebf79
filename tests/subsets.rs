//! Labels of a route restrict it to a part of a group, which is prepared when the snapshot is built.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use pointsman::change::Change;
use pointsman::domain::balancer::Pick;
use pointsman::domain::snapshot::Snapshot;
use pointsman::spec::Spec;
use proptest::prelude::*;
use serde_json::{Value, json};

fn applied(spec: &Spec, change: Value) -> Spec {
    let mut next = spec.clone();
    let change: Change = serde_json::from_value(change).unwrap();
    let _ = change.apply(&mut next, 2);
    next
}

fn start(upstreams: Value, routes: Value) -> Spec {
    let state = json!({"upstreams": upstreams, "routes": routes});
    applied(&Spec::default(), json!({"op": "put_state", "state": state}))
}

fn built(spec: &Spec, before: Option<&Snapshot>) -> Snapshot {
    Snapshot::build(1, Arc::new(spec.clone()), before)
}

/// The addresses that requests for this host reach.
fn reached(snapshot: &Snapshot, host: &str) -> Option<BTreeSet<String>> {
    let route = snapshot.routes().find(host, "/")?;
    let upstream = snapshot.serving(route, host)?;
    let pick = |random: u64| upstream.pick(&Pick::new(&[], random));
    let picks = (0..50u64).filter_map(|n| pick(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    Some(picks.map(|server| server.label().to_owned()).collect())
}

fn set<const N: usize>(labels: [&str; N]) -> Option<BTreeSet<String>> {
    Some(labels.map(|label| format!("{label}:80")).into())
}

fn sample() -> Spec {
    let web = json!({"servers": [
        {"address": "10.0.0.1", "labels": {"rack": "a", "kind": "new"}},
        {"address": "10.0.0.2", "labels": {"rack": "a"}},
        {"address": "10.0.0.3", "labels": {"rack": "b"}},
        "10.0.0.4",
    ]});
    start(
        json!({"web": web}),
        json!([
            {"id": "a", "hosts": ["a"], "to": "web", "labels": {"rack": "a"}},
            {"id": "both", "hosts": ["both"], "to": "web", "labels": {"kind": "new", "rack": "a"}},
            {"id": "none", "hosts": ["none"], "to": "web", "labels": {"rack": "z"}},
            {"id": "all", "to": "web"},
        ]),
    )
}

#[test]
fn a_route_reaches_the_servers_that_have_all_of_its_labels() {
    let snapshot = built(&sample(), None);
    assert_eq!(reached(&snapshot, "a"), set(["10.0.0.1", "10.0.0.2"]));
    assert_eq!(reached(&snapshot, "both"), set(["10.0.0.1"]));
    assert_eq!(reached(&snapshot, "none"), set([]));
    let all = set(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    assert_eq!(reached(&snapshot, "x"), all);
}

#[test]
fn a_part_follows_its_group_and_its_route() {
    let mut spec = sample();
    let mut snapshot = built(&spec, None);
    for (change, host, after) in [
        (
            json!({"op": "patch_server", "upstream": "web", "address": "10.0.0.3:80", "server": {"labels": {"rack": "a"}}}),
            "a",
            set(["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        ),
        (
            json!({"op": "patch_server", "upstream": "web", "address": "10.0.0.1:80", "server": {"admin": "drain"}}),
            "both",
            set([]),
        ),
        (
            json!({"op": "remove_server", "upstream": "web", "address": "10.0.0.2:80"}),
            "a",
            set(["10.0.0.3"]),
        ),
        (
            json!({"op": "patch_route", "id": "none", "route": {"labels": {"rack": "a"}}}),
            "none",
            set(["10.0.0.3"]),
        ),
        (
            json!({"op": "patch_route", "id": "a", "route": {"labels": null}}),
            "a",
            set(["10.0.0.3", "10.0.0.4"]),
        ),
        (
            json!({"op": "delete_upstream", "name": "web"}),
            "none",
            None,
        ),
        (
            json!({"op": "put_upstream", "name": "web", "upstream": {"servers": [{"address": "10.0.0.9", "labels": {"rack": "a"}}]}}),
            "none",
            set(["10.0.0.9"]),
        ),
    ] {
        spec = applied(&spec, change);
        snapshot = built(&spec, Some(&snapshot));
        assert_eq!(reached(&snapshot, host), after, "{host}");
    }
}

#[test]
fn a_part_shares_the_states_of_its_group_and_is_found_again_for_a_retry() {
    let spec = sample();
    let first = built(&spec, None);
    let route = first.routes().find("a", "/").unwrap();
    let part = first.serving(route, "a").unwrap().clone();
    let group = first.target(route.to(), "a").unwrap();
    assert_eq!(part.servers()[0].id(), group.servers()[0].id());
    let change = json!({"op": "patch_server", "upstream": "web", "address": "10.0.0.1:80", "server": {"weight": 2}});
    let second = built(&applied(&spec, change), Some(&first));
    let now = second.same(&part).unwrap();
    assert_eq!(now.servers().len(), 2);
    assert_eq!(now.servers()[0].id(), part.servers()[0].id());
    assert_eq!(now.servers()[0].weight(), 2);
}

/// What no change touched is shared: the part of another group is the same object.
#[test]
fn a_change_builds_only_the_parts_of_its_group() {
    let group = json!({"servers": [{"address": "10.0.0.1", "labels": {"x": "y"}}]});
    let route = |id: &str| json!({"id": id, "hosts": [id], "to": id, "labels": {"x": "y"}});
    let spec = start(
        json!({"a": group, "b": group}),
        json!([route("a"), route("b")]),
    );
    let first = built(&spec, None);
    let change = json!({"op": "patch_upstream", "name": "a", "upstream": {"min_healthy": 0}});
    let second = built(&applied(&spec, change), Some(&first));
    let part = |snapshot: &Snapshot, host: &str| {
        let route = snapshot.routes().find(host, "/").unwrap();
        snapshot.serving(route, host).unwrap().clone()
    };
    assert!(!Arc::ptr_eq(&part(&first, "a"), &part(&second, "a")));
    assert!(Arc::ptr_eq(&part(&first, "b"), &part(&second, "b")));
}

fn change() -> impl Strategy<Value = Value> {
    let name = || prop::sample::select(vec!["web", "api"]);
    let labels = || {
        prop::sample::select(vec![
            json!({}),
            json!({"a": "1"}),
            json!({"a": "1", "b": "2"}),
        ])
    };
    let server = (1..5u8, labels())
        .prop_map(|(ip, labels)| json!({"address": format!("10.0.0.{ip}"), "labels": labels}));
    let id = || prop::sample::select(vec!["r", "s"]);
    prop_oneof![
        (name(), prop::collection::vec(server.clone(), 0..3)).prop_map(|(name, servers)| json!({"op": "put_upstream", "name": name, "upstream": {"servers": servers}})),
        (name(), server).prop_map(|(name, server)| json!({"op": "add_server", "upstream": name, "server": server})),
        name().prop_map(|name| json!({"op": "delete_upstream", "name": name})),
        (id(), name(), labels()).prop_map(|(id, name, labels)| json!({"op": "put_route", "id": id, "route": {"hosts": [id], "to": name, "labels": labels}})),
        id().prop_map(|id| json!({"op": "delete_route", "id": id})),
        (0..3u32).prop_map(|least| json!({"op": "put_defaults", "defaults": {"min_healthy": least}})),
    ]
}

proptest! {
    #[test]
    fn edited_parts_are_the_parts_built_anew(changes in prop::collection::vec(change(), 1..20)) {
        let mut spec = Spec::default();
        let mut snapshot = built(&spec, None);
        for change in changes {
            spec = applied(&spec, change);
            snapshot = built(&spec, Some(&snapshot));
            let anew = built(&spec, None);
            for host in ["r", "s"] {
                prop_assert_eq!(reached(&snapshot, host), reached(&anew, host));
            }
        }
    }
}
