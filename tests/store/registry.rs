//! What nodes keep beside the log.

use std::time::Duration;

use pointsman::spec::{Address, Name};
use pointsman::store::{EjectionRecord, HandOver, HealthRecord, NameRecord, NodeRecord, Registry};

use crate::site::Site;

pub(crate) fn a_lease_has_one_holder_until_it_expires(site: &Site) {
    let other = site.another().registry;
    let ttl = Duration::from_secs(10);
    let take = |registry: &dyn Registry, who: &str, now: u64| {
        let lease = registry.acquire("discovery", who, ttl, now).unwrap();
        (lease.holder, lease.until, lease.term)
    };
    assert_eq!(take(site.registry(), "a", 0), ("a".into(), 10_000, 1));
    assert_eq!(take(&*other, "b", 9_999), ("a".into(), 10_000, 1));
    assert_eq!(take(site.registry(), "a", 9_999), ("a".into(), 19_999, 1));
    assert_eq!(take(&*other, "b", 19_999), ("b".into(), 29_999, 2));
    assert_eq!(take(site.registry(), "a", 20_000), ("b".into(), 29_999, 2));
    let another = other.acquire("else", "a", ttl, 20_000).unwrap();
    assert_eq!(another.holder, "a");
}

pub(crate) fn a_lease_given_up_is_free_at_once(site: &Site) {
    let take = |who: &str| {
        let ttl = Duration::from_secs(10);
        let lease = site.registry().acquire("x", who, ttl, 5).unwrap();
        (lease.holder, lease.term)
    };
    assert_eq!(take("a"), ("a".into(), 1));
    site.registry().release("x", "b").unwrap();
    assert_eq!(take("b"), ("a".into(), 1));
    site.registry().release("x", "a").unwrap();
    assert_eq!(take("b"), ("b".into(), 2));
}

pub(crate) fn nodes_are_listed_by_id_and_forgotten_after_a_week(site: &Site) {
    let node = |id: &str, seen_at: u64| NodeRecord {
        id: id.into(),
        version: "1.0.0".into(),
        address: "127.0.0.1:9900".into(),
        applied: 7,
        seen_at,
        ..NodeRecord::default()
    };
    let day = 86_400_000;
    for record in [node("b", 0), node("a", day), node("b", 2 * day)] {
        site.registry().put_node(&record).unwrap();
    }
    let listed = site.another().registry.nodes().unwrap();
    assert_eq!(listed, [node("a", day), node("b", 2 * day)]);
    site.registry().put_node(&node("c", 9 * day)).unwrap();
    let listed = site.registry().nodes().unwrap();
    assert_eq!(listed, [node("b", 2 * day), node("c", 9 * day)]);
}

pub(crate) fn health_is_handed_over(site: &Site) {
    assert_eq!(site.registry().health("edge-1").unwrap(), None);
    let seen = |health: &str, at| HandOver {
        at,
        names: vec![NameRecord {
            name: Address::new("srv:app.internal").unwrap(),
            places: vec![(10, "10.0.0.1:80".parse().unwrap(), 3)],
        }],
        servers: vec![HealthRecord {
            upstream: Name::new("web").unwrap(),
            address: Address::new("10.0.0.5:8080").unwrap(),
            health: health.into(),
            since: 3,
        }],
        ejections: vec![EjectionRecord {
            upstream: Name::new("web").unwrap(),
            address: Address::new("10.0.0.6:8080").unwrap(),
            out_for: Some(7),
            length: 10,
            rate_length: 0,
            in_for: 0,
        }],
    };
    site.registry()
        .put_health("edge-1", &seen("up", 5))
        .unwrap();
    site.registry()
        .put_health("edge-2", &seen("up", 6))
        .unwrap();
    site.registry()
        .put_health("edge-1", &seen("down", 7))
        .unwrap();
    let handed = site.another().registry.health("edge-1").unwrap();
    assert_eq!(handed, Some(seen("down", 7)));
}
