//! Names of servers in snapshots: what they stand for, what survives when that changes, what the rails count.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

use std::sync::Arc;

use pointsman::domain::balancer::Pick;
use pointsman::domain::names::{Place, Resolved};
use pointsman::domain::rails::rails;
use pointsman::domain::server::{Health, Server};
use pointsman::domain::snapshot::Snapshot;
use pointsman::domain::upstream::Upstream;
use pointsman::spec::{Address, ForbiddenAddresses, Name, Spec};
use serde_json::{Value, json};

fn spec(upstreams: Value) -> Arc<Spec> {
    Arc::new(serde_json::from_value(json!({ "upstreams": upstreams })).unwrap())
}

fn built(servers: Value) -> Snapshot {
    let web = json!({ "servers": servers, "health": {} });
    Snapshot::build(1, spec(json!({ "web": web })), None)
}

/// `priority weight address`, or an address alone.
fn resolved(places: &[&str]) -> Arc<Resolved> {
    let place = |text: &&str| match *text.split(' ').collect::<Vec<_>>() {
        [priority, weight, address] => Place {
            priority: priority.parse().unwrap(),
            weight: weight.parse().unwrap(),
            address: address.parse().unwrap(),
        },
        _ => Place {
            priority: 0,
            weight: 1,
            address: text.parse().unwrap(),
        },
    };
    let places = places.iter().map(place);
    let resolved = Resolved::new(places, &ForbiddenAddresses::default()).0;
    Arc::new(resolved.unwrap())
}

fn answer(snapshot: &Snapshot, name: &str, places: &[&str]) -> Option<Snapshot> {
    let name = Address::new(name).unwrap();
    snapshot.resolved([(&name, &resolved(places))])
}

fn web(snapshot: &Snapshot) -> &Arc<Upstream> {
    snapshot.upstream(&Name::new("web").unwrap()).unwrap()
}

fn labels(snapshot: &Snapshot) -> Vec<&str> {
    let servers = web(snapshot).servers().iter();
    servers.map(|server| server.label()).collect()
}

fn server<'a>(snapshot: &'a Snapshot, address: &str) -> &'a Arc<Server> {
    let address = Address::new(address).unwrap();
    web(snapshot).server(&address).unwrap()
}

#[test]
fn a_name_becomes_servers_at_the_same_revision_where_it_stands() {
    let before = built(json!(["10.0.0.1", "app:8080", "10.0.0.2"]));
    assert_eq!(labels(&before), ["10.0.0.1:80", "10.0.0.2:80"]);
    let after = answer(&before, "app:8080", &["10.1.0.2:8080", "10.1.0.1:8080"]).unwrap();
    assert_eq!(after.revision(), before.revision());
    assert!(Arc::ptr_eq(after.spec(), before.spec()));
    let expected = [
        "10.0.0.1:80",
        "10.1.0.1:8080",
        "10.1.0.2:8080",
        "10.0.0.2:80",
    ];
    assert_eq!(labels(&after), expected);
    let members: Vec<usize> = web(&after).members().map(|m| m.servers().len()).collect();
    assert_eq!(members, [1, 2, 1]);
}

#[test]
fn an_answer_that_says_the_same_or_that_nobody_asked_for_changes_nothing() {
    let snapshot = answer(&built(json!(["app"])), "app", &["10.0.0.1:80"]).unwrap();
    assert!(answer(&snapshot, "app", &["10.0.0.1:80"]).is_none());
    assert!(answer(&snapshot, "other", &["10.0.0.1:80"]).is_none());
}

#[test]
fn what_is_known_of_an_address_survives_for_as_long_as_the_name_has_it() {
    let first = answer(
        &built(json!(["app"])),
        "app",
        &["10.0.0.1:80", "10.0.0.2:80"],
    )
    .unwrap();
    server(&first, "10.0.0.1")
        .shared()
        .set_health(Health::Down, 1);
    let second = answer(&first, "app", &["10.0.0.1:80", "10.0.0.3:80"]).unwrap();
    assert_eq!(server(&second, "10.0.0.1").health(), Health::Down);
    assert_eq!(
        server(&second, "10.0.0.1").id(),
        server(&first, "10.0.0.1").id()
    );
    let third = answer(&second, "app", &["10.0.0.3:80"]).unwrap();
    let fourth = answer(&third, "app", &["10.0.0.1:80", "10.0.0.3:80"]).unwrap();
    assert_eq!(server(&fourth, "10.0.0.1").health(), Health::Unknown);
}

#[test]
fn a_change_of_the_group_keeps_what_its_names_stand_for() {
    let first = answer(&built(json!(["app"])), "app", &["10.0.0.1:80"]).unwrap();
    server(&first, "10.0.0.1")
        .shared()
        .set_health(Health::Up, 1);
    let changed =
        json!({ "web": { "servers": [{ "address": "app", "weight": 5 }], "health": {} } });
    let second = Snapshot::build(2, spec(changed), Some(&first));
    assert_eq!(server(&second, "10.0.0.1").weight(), 5);
    assert_eq!(server(&second, "10.0.0.1").health(), Health::Up);
    // So does one of the defaults, which builds every group anew.
    let mut other = Spec::clone(second.spec());
    other.defaults = Arc::default();
    let third = Snapshot::build(3, Arc::new(other), Some(&second));
    assert_eq!(labels(&third), ["10.0.0.1:80"]);
}

#[test]
fn a_second_group_with_a_known_name_has_its_servers_at_once_and_their_own_states() {
    let first = answer(&built(json!(["app"])), "app", &["10.0.0.1:80"]).unwrap();
    server(&first, "10.0.0.1")
        .shared()
        .set_health(Health::Up, 1);
    let both = json!({ "web": { "servers": ["app"], "health": {} }, "api": { "servers": ["app"], "health": {} } });
    let second = Snapshot::build(2, spec(both), Some(&first));
    let api = second.upstream(&Name::new("api").unwrap()).unwrap();
    assert_eq!(api.servers()[0].health(), Health::Unknown);
    // When the last group with the name goes, what is known of it goes too.
    let app = Address::new("app").unwrap();
    let third = Snapshot::build(
        3,
        spec(json!({ "api": { "servers": ["app"] } })),
        Some(&second),
    );
    assert!(third.names().get(&app).is_some());
    let fourth = Snapshot::build(4, spec(json!({})), Some(&third));
    assert!(fourth.names().get(&app).is_none());
}

#[test]
fn an_address_counts_once_however_many_members_have_it() {
    let before = built(json!(["a:80", "10.0.0.1", "b:80"]));
    let a = answer(&before, "a:80", &["10.0.0.1:80", "10.0.0.2:80"]).unwrap();
    let b = answer(&a, "b:80", &["10.0.0.2:80", "10.0.0.3:80"]).unwrap();
    assert_eq!(labels(&b), ["10.0.0.2:80", "10.0.0.1:80", "10.0.0.3:80"]);
}

#[test]
fn the_lowest_priority_goes_first_and_the_others_back_it_up() {
    let places = &["20 1 10.0.0.3:80", "10 3 10.0.0.1:80", "10 1 10.0.0.2:80"];
    let snapshot = answer(&built(json!(["srv:app"])), "srv:app", places).unwrap();
    let pick = |random| {
        let picked = web(&snapshot).pick(&Pick::new(&[], random)).unwrap();
        picked.label().to_owned()
    };
    let picked: Vec<String> = (0..400).map(pick).collect();
    let count = |label: &str| picked.iter().filter(|picked| *picked == label).count();
    assert_eq!((count("10.0.0.1:80"), count("10.0.0.2:80")), (300, 100));
    for address in ["10.0.0.1", "10.0.0.2"] {
        server(&snapshot, address)
            .shared()
            .set_health(Health::Down, 1);
    }
    assert_eq!(pick(0), "10.0.0.3:80");
}

fn stopped_by(before: &Snapshot, servers: Value) -> Vec<&'static str> {
    let web = json!({ "servers": servers, "health": {} });
    let after = Snapshot::build(2, spec(json!({ "web": web })), Some(before));
    let rails = rails(before, &after);
    rails.iter().map(|rail| rail.code()).collect()
}

#[test]
fn the_rails_count_a_name_once_while_one_of_its_servers_is_usable_or_none_is_known() {
    let both = built(json!(["app", "10.0.0.9"]));
    let down = json!({ "address": "app", "admin": "down" });
    // Unresolved is unknown: the other may go, but not both.
    assert!(stopped_by(&both, json!(["app"])).is_empty());
    assert_eq!(
        stopped_by(&built(json!(["app"])), json!([down])),
        ["rail_last_server"]
    );
    let known = answer(&both, "app", &["10.0.0.1:80", "10.0.0.2:80"]).unwrap();
    assert_eq!((web(&known).usable(), web(&known).usable_servers()), (2, 3));
    server(&known, "10.0.0.1")
        .shared()
        .set_health(Health::Down, 1);
    assert!(stopped_by(&known, json!(["app"])).is_empty());
    server(&known, "10.0.0.2")
        .shared()
        .set_health(Health::Down, 1);
    assert_eq!(stopped_by(&known, json!(["app"])), ["rail_last_server"]);
}

#[test]
fn a_group_waits_for_a_name_only_while_the_name_would_help() {
    let waits = |servers: Value| web(&built(servers)).waits_for_a_name();
    assert!(waits(json!(["app"])));
    assert!(!waits(json!(["10.0.0.1"])));
    assert!(!waits(json!([{ "address": "app", "admin": "drain" }])));
    assert!(!waits(json!([{ "address": "app", "weight": 0 }])));
    let known = answer(&built(json!(["app"])), "app", &["10.0.0.1:80"]).unwrap();
    assert!(!web(&known).waits_for_a_name());
}
