//! Two nodes over one Redis: one of them follows Consul, and the other takes over when it dies.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{WEB, addresses, from, key, servers, source, wait_for_servers};
use crate::support::{Consul, Edge, Origin, RedisServer, until};

fn node(name: &str, consul: &Consul, redis: &RedisServer) -> Edge {
    let builder = from(consul, WEB);
    let copy = builder.directory().join("last-good.db");
    let with = json!({
        "server": { "node": name },
        "state": { "store": redis.url(), "local_copy": copy },
    });
    builder.with(&with.to_string()).start()
}

/// Waits in vain for nobody: a lease ends 15 s after its holder was last heard of, and is asked for every 5 s.
fn take_over(edge: &Edge, expected: &[String]) -> Duration {
    let began = Instant::now();
    let deadline = began + Duration::from_secs(40);
    while servers(edge) != expected {
        assert!(Instant::now() < deadline, "nobody takes over");
        crate::support::pause(Duration::from_millis(20));
    }
    began.elapsed()
}

#[test]
fn of_two_nodes_over_one_redis_one_asks_and_both_have_it() {
    let (consul, redis) = (Consul::start(), RedisServer::start());
    let origins = Origin::many(2);
    consul.put(&key(&origins[0]), "");
    let (a, b) = (node("a", &consul, &redis), node("b", &consul, &redis));
    for edge in [&a, &b] {
        wait_for_servers(edge, &addresses(&origins[..1]));
    }
    consul.put(&key(&origins[1]), "");
    for edge in [&a, &b] {
        wait_for_servers(edge, &addresses(&origins));
    }
    assert_eq!(consul.accepted(), 1, "{:?}", consul.asked());
    let record = b.control().get("/v1/revisions").is(200).text;
    assert!(record.contains("consul"), "{record}");
    // An orderly end hands it over at once.
    let mut a = a;
    a.terminate();
    assert!(a.wait_exit().success());
    consul.delete(&key(&origins[0]));
    wait_for_servers(&b, &addresses(&origins[1..]));
}

#[test]
fn a_node_that_dies_loses_consul_to_another() {
    let (consul, redis) = (Consul::start(), RedisServer::start());
    let origins = Origin::many(2);
    consul.put(&key(&origins[0]), "");
    let (mut a, b) = (node("a", &consul, &redis), node("b", &consul, &redis));
    wait_for_servers(&b, &addresses(&origins[..1]));
    a.kill9();
    consul.put(&key(&origins[1]), "");
    let took = take_over(&b, &addresses(&origins));
    println!("taken over after {took:?}");
    assert!(took < Duration::from_secs(25), "{took:?}");
    let last = source(&b);
    until("the other says what it heard", || {
        (source(&b)["state"] == "following").then_some(())
    });
    println!("{last}");
    // The one that comes back serves what the other stored.
    a.start_again();
    wait_for_servers(&a, &addresses(&origins));
}

#[test]
fn while_redis_is_away_nothing_from_consul_is_stored_and_afterwards_it_is() {
    let consul = Consul::start();
    let mut redis = RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let origins = Origin::many(2);
    consul.put(&key(&origins[0]), "");
    let (a, b) = (node("a", &consul, &redis), node("b", &consul, &redis));
    for edge in [&a, &b] {
        wait_for_servers(edge, &addresses(&origins[..1]));
    }
    redis.kill();
    consul.put(&key(&origins[1]), "");
    until("the node could not store it", || {
        let said = [&a, &b].map(Edge::stderr).concat();
        said.contains("were not stored").then_some(())
    });
    for edge in [&a, &b] {
        assert_eq!(servers(edge), addresses(&origins[..1]));
    }
    redis.start_again();
    for edge in [&a, &b] {
        take_over(edge, &addresses(&origins));
    }
}
