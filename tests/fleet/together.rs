//! Two nodes, one state.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::site::{Site, switched};
use crate::support::{RedisServer, until};

#[test]
fn a_change_on_one_node_is_served_by_the_other() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let a = site.node("a", &redis.url()).start();
    let b = site.node("b", &redis.url()).start();
    assert!(site.is_served_by(&b, "blue"));
    for group in ["green", "blue", "green"] {
        let revision = switched(&a, group);
        site.wait_for(&b, group);
        assert_eq!(b.control().get("/v1/state").revision(), revision);
    }
    let revision = switched(&b, "blue");
    site.wait_for(&a, "blue");
    let history = a
        .control()
        .get(&format!("/v1/revisions/{revision}"))
        .is(200);
    assert_eq!(history.json["number"], revision);
}

#[test]
fn changes_reach_the_other_node_within_100_ms() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let a = site.node("a", &redis.url()).start();
    let b = site.node("b", &redis.url()).start();
    let mut times: Vec<Duration> = (0..100)
        .map(|n| {
            let group = if n % 2 == 0 { "green" } else { "blue" };
            let revision = switched(&a, group);
            let stored = Instant::now();
            let control = b.control();
            until("the other node has it", || {
                (control.get("/healthz").revision() >= revision).then_some(())
            });
            stored.elapsed()
        })
        .collect();
    times.sort();
    println!("median {:?}, worst {:?}", times[50], times[99]);
    assert!(times[98] < Duration::from_millis(100), "{:?}", times[98]);
}

#[test]
fn two_nodes_that_start_together_agree_on_the_first_state() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let url = redis.url();
    let nodes: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = ["a", "b", "c"]
            .map(|name| scope.spawn(|| site.node(name, &url).start()))
            .into_iter()
            .collect();
        started.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for node in &nodes {
        assert_eq!(node.control().get("/v1/state").revision(), 1);
    }
    switched(&nodes[2], "green");
    site.wait_for(&nodes[0], "green");
}

#[test]
fn no_change_of_concurrent_writers_on_two_nodes_is_lost() {
    const EACH: usize = 50;
    let (site, redis) = (Site::new(), RedisServer::start());
    let nodes = ["a", "b"].map(|name| site.node(name, &redis.url()).start());
    thread::scope(|scope| {
        for writer in 0..4 {
            let node = &nodes[writer % 2];
            scope.spawn(move || {
                for n in 0..EACH {
                    let path = format!("/v1/upstreams/w{writer}-{n}");
                    drop(node.control().put(&path, &json!({ "servers": [] })).is(201));
                }
            });
        }
    });
    let revision = 1 + 4 * EACH as u64;
    for node in &nodes {
        until("the node has every revision", || {
            (node.control().get("/v1/state").revision() == revision).then_some(())
        });
        let state = node.control().get("/v1/state").json;
        assert_eq!(state["upstreams"].as_object().unwrap().len(), 2 + 4 * EACH);
    }
}

#[test]
fn a_node_that_was_away_longer_than_the_history_catches_up() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let a = site.node("a", &redis.url()).start();
    let mut b = site.node("b", &redis.url()).start();
    b.terminate();
    b.wait_exit();
    for n in 0..30 {
        switched(&a, if n % 2 == 0 { "green" } else { "blue" });
    }
    switched(&a, "green");
    // As if the history were as short, with a checkpoint at its end.
    checkpoint_at_the_end(&redis);
    b.start_again();
    site.wait_for(&b, "green");
    let revision = switched(&b, "blue");
    assert_eq!(revision, 33);
    site.wait_for(&a, "blue");
}

/// Through the store itself, as a node does it.
fn checkpoint_at_the_end(redis: &RedisServer) {
    use pointsman::spec::Span;
    use pointsman::store::{History, Redis, Store};
    let store = Redis::new(redis.settings());
    let state = store.load().unwrap().unwrap();
    store
        .checkpoint(state.number, state.digest, &state.spec)
        .unwrap();
    let before = store.state_at(state.number - 1).unwrap().unwrap();
    store
        .checkpoint(before.number, before.digest, &before.spec)
        .unwrap();
    let keep = History {
        revisions: 1,
        age: Span::from_secs(0),
        size: 1,
    };
    store.prune(&keep, u64::MAX).unwrap();
    assert_eq!(store.history(None, 100).unwrap().len(), 2);
}
