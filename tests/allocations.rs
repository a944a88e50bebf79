//! A request pays for no allocation when a server is picked for it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::sync::Arc;

use pointsman::domain::balancer::Pick;
use pointsman::domain::server::Health;
use pointsman::domain::snapshot::Snapshot;
use pointsman::spec::{Name, Spec, Target};

fn snapshot(servers: usize, balance: &str) -> Snapshot {
    let addresses: Vec<String> = (0..servers)
        .map(|place| format!("10.0.{}.{}:80", place / 250, place % 250 + 1))
        .collect();
    let spec: Spec = serde_json::from_value(serde_json::json!({
        "upstreams": {"web": {"balance": balance, "servers": addresses, "health": {}}}
    }))
    .unwrap();
    Snapshot::build(1, Arc::new(spec), None)
}

#[test]
fn a_pick_allocates_nothing() {
    for balance in [
        "round_robin",
        "random",
        "least_connections",
        "random_two",
        "least_time",
        "ip_hash",
        "hash",
    ] {
        for servers in [1, 10, 32, 33, 5_000] {
            let snapshot = snapshot(servers, balance);
            let upstream = snapshot.upstream(&Name::new("web").unwrap()).unwrap();
            // Up, all unknown, all down: the last two take the longer ways.
            for health in [Health::Up, Health::Unknown, Health::Down] {
                for server in upstream.servers() {
                    server.shared().set_health(health, 1);
                }
                let tried = [upstream.servers()[0].id()];
                let counted = allocation_counter::measure(|| {
                    for random in 0..100 {
                        std::hint::black_box(upstream.pick(&Pick::new(&[], random)));
                        std::hint::black_box(upstream.pick(&Pick::new(&tried, random)));
                    }
                });
                assert_eq!(
                    counted.count_total, 0,
                    "{balance}, {servers} servers, {health:?}"
                );
            }
        }
    }
}

#[test]
fn finding_the_group_named_like_the_host_allocates_nothing() {
    let snapshot = snapshot(1, "round_robin");
    let counted = allocation_counter::measure(|| {
        for (host, is_there) in [
            ("web", true),
            ("WEB.:8080", true),
            ("web2", false),
            ("", false),
        ] {
            let found = snapshot.target(&Target::Host, host);
            assert_eq!(found.is_some(), is_there, "{host}");
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn finding_the_server_that_a_client_had_allocates_nothing() {
    let servers: Vec<String> = (1..=100).map(|n| format!("10.0.0.{n}:80")).collect();
    let sticky = serde_json::json!({"cookie": "c", "secret_file": "s"});
    let spec: Spec = serde_json::from_value(serde_json::json!({
        "upstreams": {"web": {"servers": servers, "sticky": sticky}}
    }))
    .unwrap();
    let snapshot = Snapshot::build(1, Arc::new(spec), None);
    let upstream = snapshot.upstream(&Name::new("web").unwrap()).unwrap();
    upstream.prepare_sticky(&[7; 32]);
    let sticky = upstream.sticky().unwrap();
    let value = sticky.value(&upstream.servers()[0], 1000).unwrap();
    let counted = allocation_counter::measure(|| {
        for random in 0..100 {
            let values = [b"garbage".as_slice(), value.as_bytes()];
            let bound = sticky.read(values.into_iter(), 999).unwrap();
            let begun = upstream.begin_at(&bound, &Pick::new(&[], random));
            assert!(std::hint::black_box(begun).is_some());
        }
    });
    assert_eq!(counted.count_total, 0);
}
