//! Changes to a state, as properties over random sequences of them: what a server keeps, what a difference leads
//! to, what undoing restores, and what stays shared.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

#[path = "changes/any.rs"]
mod any;

use std::collections::HashMap;
use std::sync::Arc;

use any::{GROUPS, change, state};
use pointsman::change::{self, Change};
use pointsman::domain::server::{Health, InFlight, Server, ServerId};
use pointsman::domain::snapshot::Snapshot;
use pointsman::spec::{Address, Name, Spec};
use proptest::prelude::*;

/// A state as the writer makes it: every object has its id and its revision.
fn applied(changes: &[Change]) -> Spec {
    let mut spec = Spec::default();
    for (change, at) in changes.iter().zip(1..) {
        apply(&mut spec, change, at);
    }
    spec
}

/// Applies a change, or nothing of it.
fn apply(spec: &mut Spec, change: &Change, at: u64) -> bool {
    let mut next = spec.clone();
    let done = change.apply(&mut next, at).is_ok();
    if done {
        *spec = next;
    }
    done
}

fn members(snapshot: &Snapshot) -> HashMap<(Name, Address), Arc<Server>> {
    let of_group = |upstream: &Arc<_>| {
        let upstream: &pointsman::domain::upstream::Upstream = upstream;
        let name = upstream.name().clone();
        let key =
            move |server: &Arc<Server>| ((name.clone(), server.address().clone()), server.clone());
        upstream.servers().iter().map(key).collect::<Vec<_>>()
    };
    snapshot.upstreams().flat_map(of_group).collect()
}

proptest! {
    /// The identity of a server is (upstream, address) for as long as it is a member without a gap: it keeps
    /// its health, its counters and its requests in flight through any change. Who comes back is new.
    #[test]
    fn a_server_keeps_its_state_for_as_long_as_it_is_a_member(first in state(), changes in prop::collection::vec(change(), 1..30)) {
        let mut spec = applied(&[Change::PutState { state: first }]);
        let mut snapshot = Snapshot::build(1, Arc::new(spec.clone()), None);
        let mut known: HashMap<(Name, Address), (ServerId, u64)> = HashMap::new();
        let mut seen: Vec<ServerId> = Vec::new();
        let mut held: Vec<InFlight> = Vec::new();
        for (change, at) in changes.iter().zip(2..) {
            for (key, server) in members(&snapshot) {
                let state = server.shared();
                prop_assert_eq!(known.get(&key).map_or((state.id(), 0), |known| *known), (state.id(), state.requests()));
                prop_assert_eq!((u64::from(state.in_flight()), state.failures()), (state.requests(), state.requests()));
                if state.requests() > 0 {
                    prop_assert_eq!(state.health(), Health::Down);
                }
                state.set_health(Health::Down, at);
                state.count_failure();
                held.push(InFlight::begin(server.clone()));
                known.insert(key, (state.id(), state.requests()));
            }
            apply(&mut spec, change, at);
            snapshot = Snapshot::build(at, Arc::new(spec.clone()), Some(&snapshot));
            let now = members(&snapshot);
            let (stay, go): (HashMap<_, _>, HashMap<_, _>) = known.into_iter().partition(|(key, _)| now.contains_key(key));
            known = stay;
            seen.extend(go.into_values().map(|(id, _)| id));
            prop_assert!(now.values().all(|server| !seen.contains(&server.id())), "one that had gone came back");
        }
    }

    /// The same address in two groups has two states.
    #[test]
    fn no_two_members_share_a_state(first in state(), changes in prop::collection::vec(change(), 0..20)) {
        let mut spec = applied(&[Change::PutState { state: first }]);
        let mut snapshot = Snapshot::build(1, Arc::new(spec.clone()), None);
        for (change, at) in changes.iter().zip(2..) {
            apply(&mut spec, change, at);
            snapshot = Snapshot::build(at, Arc::new(spec.clone()), Some(&snapshot));
        }
        let mut ids: Vec<String> = members(&snapshot).values().map(|server| format!("{:?}", server.id())).collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), all);
    }

    /// A snapshot that was built step by step routes like one that was built at once, and shares what no
    /// change touched.
    #[test]
    fn a_snapshot_built_step_by_step_is_the_one_built_at_once(first in state(), changes in prop::collection::vec(change(), 1..20)) {
        let mut spec = applied(&[Change::PutState { state: first }]);
        let mut snapshot = Snapshot::build(1, Arc::new(spec.clone()), None);
        for (change, at) in changes.iter().zip(2..) {
            let before = spec.clone();
            apply(&mut spec, change, at);
            let next = Snapshot::build(at, Arc::new(spec.clone()), Some(&snapshot));
            let anew = Snapshot::build(at, Arc::new(spec.clone()), None);
            for name in GROUPS.map(|name| Name::new(name).unwrap()) {
                let servers = |snapshot: &Snapshot| snapshot.upstream(&name).map(|upstream| {
                    upstream.servers().iter().map(|server| (server.address().clone(), server.weight(), server.state(0))).collect::<Vec<_>>()
                });
                prop_assert_eq!(servers(&next), servers(&anew));
                let untouched = Arc::ptr_eq(&before.defaults, &spec.defaults)
                    && matches!((before.upstreams.get(&name), spec.upstreams.get(&name)), (Some(old), Some(new)) if Arc::ptr_eq(old, new));
                if untouched {
                    prop_assert!(Arc::ptr_eq(snapshot.upstream(&name).unwrap(), next.upstream(&name).unwrap()));
                }
            }
            for (route, host) in spec.routes.iter().flat_map(|route| ["web:81", "Api.", "10.0.0.9:80"].map(|host| (route, host))) {
                let servers = |snapshot: &Snapshot| snapshot.target(&route.to, host).map(|upstream| upstream.servers().iter().map(|server| server.address().clone()).collect::<Vec<_>>());
                prop_assert_eq!(servers(&next), servers(&anew), "target {}", &route.to);
            }
            for host in ["a.example", "b.example", "c.example"] {
                let found = |snapshot: &Snapshot| snapshot.routes().find(host, "/").map(|route| (route.id().clone(), route.to().clone()));
                prop_assert_eq!(found(&next), found(&anew));
            }
            snapshot = next;
        }
    }

    #[test]
    fn a_difference_leads_from_one_state_to_the_other_and_back(first in state(), second in state(), changes in prop::collection::vec(change(), 0..10)) {
        let before = applied(&[Change::PutState { state: first }]);
        let mut after = applied(&[Change::PutState { state: second }]);
        for change in &changes {
            apply(&mut after, change, 2);
        }
        for (from, to) in [(&before, &after), (&after, &before)] {
            let mut led = from.clone();
            for change in change::diff(from, to) {
                change.apply(&mut led, 9).unwrap();
            }
            prop_assert!(led.says_the_same(to), "{:#?}\nis not\n{:#?}", led, to);
        }
    }

    /// Undoing a change is the difference back.
    #[test]
    fn a_change_is_undone_by_the_difference_back(first in state(), change in change()) {
        let before = applied(&[Change::PutState { state: first }]);
        let mut spec = before.clone();
        apply(&mut spec, &change, 2);
        for change in change::diff(&spec, &before) {
            change.apply(&mut spec, 3).unwrap();
        }
        prop_assert!(spec.says_the_same(&before));
    }

    #[test]
    fn there_are_entries_exactly_where_states_say_something_else(first in state(), changes in prop::collection::vec(change(), 0..6)) {
        let before = applied(&[Change::PutState { state: first }]);
        let mut after = before.clone();
        for change in &changes {
            apply(&mut after, change, 2);
        }
        let entries = change::entries(&before, &after);
        prop_assert_eq!(entries.is_empty(), before.says_the_same(&after), "{:?}", entries);
        prop_assert!(entries.iter().all(|entry| entry.before != entry.after));
        let back = change::entries(&after, &before);
        prop_assert_eq!(entries.len(), back.len());
    }

    /// Whatever a new whole state leaves as it is stays the very same object, with its tag.
    #[test]
    fn a_new_whole_state_keeps_the_objects_that_it_does_not_change(first in state(), changes in prop::collection::vec(change(), 0..6)) {
        let before = applied(&[Change::PutState { state: first }]);
        let mut wanted = before.clone();
        for change in &changes {
            apply(&mut wanted, change, 2);
        }
        let mut after = before.clone();
        // Through JSON, as the API does: nothing is shared with what is put.
        let state: Spec = serde_json::from_value(serde_json::to_value(&wanted).unwrap()).unwrap();
        Change::PutState { state }.apply(&mut after, 7).unwrap();
        prop_assert!(after.says_the_same(&wanted));
        for (name, upstream) in &after.upstreams {
            let old = before.upstreams.get(name);
            let same = old.is_some_and(|old| old.says_the_same(upstream));
            prop_assert_eq!(same, old.is_some_and(|old| Arc::ptr_eq(old, upstream)), "{}", name);
            prop_assert_eq!(upstream.changed_at, if same { 1 } else { 7 });
        }
        for route in after.routes.iter() {
            let old = before.route(route.id.as_ref().unwrap());
            let same = old.is_some_and(|old| old.says_the_same(route));
            prop_assert_eq!(same, old.is_some_and(|old| Arc::ptr_eq(old, route)));
        }
    }

    /// A refused edit is refused for a reason that holds, and a copy of the state is as it was.
    #[test]
    fn a_copy_of_a_state_is_not_changed_with_it(first in state(), changes in prop::collection::vec(change(), 1..10)) {
        let before = applied(&[Change::PutState { state: first }]);
        let text = serde_json::to_string(&before).unwrap();
        let mut after = before.clone();
        for change in &changes {
            let _ = change.apply(&mut after, 2);
        }
        prop_assert_eq!(serde_json::to_string(&before).unwrap(), text);
    }
}

#[test]
fn a_weight_edit_loses_neither_health_nor_counters() {
    let mut spec = applied(&[serde_json::from_str(
        r#"{"op":"put_upstream","name":"web","upstream":{"health":{},"servers":["10.0.0.1:80","10.0.0.2:80"]}}"#,
    )
    .unwrap()]);
    let before = Snapshot::build(1, Arc::new(spec.clone()), None);
    let web = Name::new("web").unwrap();
    let server = before.upstream(&web).unwrap().servers()[0].clone();
    server.shared().set_health(Health::Up, 5);
    server.shared().count_failure();
    let _held = InFlight::begin(server);
    let edit =
        r#"{"op":"patch_server","upstream":"web","address":"10.0.0.1:80","server":{"weight":9}}"#;
    assert!(apply(&mut spec, &serde_json::from_str(edit).unwrap(), 2));
    let after = Snapshot::build(2, Arc::new(spec.clone()), Some(&before));
    let server = &after.upstream(&web).unwrap().servers()[0];
    let state = server.shared();
    assert_eq!(
        (server.weight(), server.health(), state.health_since()),
        (9, Health::Up, 5)
    );
    assert_eq!(
        (state.in_flight(), state.requests(), state.failures()),
        (1, 1, 1)
    );
}
