//! Several nodes, one of which follows the keys for all.

use std::time::Instant;

use serde_json::json;

use crate::site::{Site, keys, revision, wait_until_followed};
use crate::support::{Edge, until};

/// The one that follows, and the other.
fn by_lease(a: Edge, b: Edge) -> (Edge, Edge) {
    let a_follows = until("one of them follows the keys", || {
        let follows = [&a, &b].map(|edge| keys(edge)["followed_here"] == true);
        (follows[0] != follows[1]).then_some(follows[0])
    });
    if a_follows { (a, b) } else { (b, a) }
}

#[test]
fn of_two_nodes_one_makes_one_revision_for_each_change_and_the_other_takes_over_when_it_dies() {
    let site = Site::new();
    let (a, b) = (site.node("a").start(), site.node("b").start());
    let (mut holder, other) = by_lease(a, b);
    wait_until_followed(&holder);
    let before = revision(&other);
    for n in 1..=10 {
        let group = if n % 2 == 0 { "blue" } else { "green" };
        site.set("a.example", group);
        site.wait_for(&other, "a.example", group);
        site.wait_for(&holder, "a.example", group);
        assert_eq!(revision(&other), before + n);
    }
    holder.kill9();
    // Meanwhile nobody listens.
    site.set("a.example", "green");
    site.set("b.example", "green");
    let died = Instant::now();
    site.wait_for(&other, "b.example", "green");
    println!("taken over after {:?}", died.elapsed());
    assert_eq!(site.group(&other, "a.example"), "green");
    wait_until_followed(&other);
    assert_eq!(revision(&other), before + 11);
    holder.start_again();
    site.delete("b.example");
    site.wait_for(&holder, "b.example", "blue");
    assert_eq!(revision(&holder), before + 12);
    assert_eq!(keys(&holder)["followed_here"], false);
}

#[test]
fn a_default_is_known_to_whoever_takes_over() {
    let site = Site::new();
    let (a, b) = (site.node("a").start(), site.node("b").start());
    let (mut holder, other) = by_lease(a, b);
    for host in ["own.example", "x.example"] {
        site.set(host, "green");
        site.wait_for(&other, host, "green");
    }
    holder.terminate();
    holder.wait_exit();
    for host in ["own.example", "x.example"] {
        site.delete(host);
        site.wait_for(&other, host, "blue");
    }
}

#[test]
fn a_node_that_follows_no_keys_writes_them_all_the_same() {
    let site = Site::new();
    let follows = site.node("a").start();
    wait_until_followed(&follows);
    let plain = site.plain_node("b", &site.redis.url()).start();
    let to = |group| json!({ "to": group });
    for group in ["green", "blue"] {
        let done = plain
            .control()
            .post("/v1/hosts/a.example/switch", &to(group));
        assert_eq!(done.status, 200, "{}", done.text);
        assert_eq!(site.value("a.example").as_deref(), Some(group));
        site.wait_for(&follows, "a.example", group);
    }
    assert!(keys(&plain).is_null());
    assert_eq!(revision(&plain), revision(&follows));
}
