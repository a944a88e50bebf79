//! Redis away, slow, refusing: traffic is untouched, writes answer 503 in time, and all goes on afterwards.

use std::time::{Duration, Instant};

use crate::site::{Site, refused, store, switch, switched, wait_for_trouble, wait_until_in_step};
use crate::support::{Detour, Edge, RedisServer, Traffic, until};

/// Keeps what it acknowledged over its own end.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// After the fault: in step again, and a change goes through.
fn goes_on(edge: &Edge, group: &str, revision: u64) {
    wait_until_in_step(edge);
    let next = until("a change goes through", || {
        let answer = switch(edge, group);
        (answer.status == 200).then(|| answer.revision())
    });
    assert_eq!(next, revision + 1);
}

#[test]
fn away_at_the_start_the_last_good_state_serves() {
    let (site, mut redis) = (Site::new(), RedisServer::with(&DURABLE));
    let mut edge = site.node("a", &redis.url()).start();
    let revision = switched(&edge, "green");
    edge.terminate();
    edge.wait_exit();
    redis.kill();
    let begun = Instant::now();
    edge.start_again();
    println!("ready after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(2));
    let traffic = Traffic::to(edge.address());
    assert!(site.is_served_by(&edge, "green"));
    assert!(refused(&edge, "blue").contains("does not answer"));
    assert_eq!(wait_for_trouble(&edge)["diverged"], false);
    // The history is read from the copy.
    let known = edge.control().get(&format!("/v1/revisions/{revision}"));
    assert_eq!(known.is(200).json["number"], revision);
    redis.start_again();
    goes_on(&edge, "blue", revision);
    traffic.assert_flawless();
}

#[test]
fn half_open_at_the_start_the_last_good_state_serves() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let detour = Detour::to(redis.address());
    let mut edge = site.node("a", &detour.url()).start();
    let revision = switched(&edge, "green");
    edge.terminate();
    edge.wait_exit();
    detour.swallow();
    let begun = Instant::now();
    edge.start_again();
    println!("ready after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(site.is_served_by(&edge, "green"));
    refused(&edge, "blue");
    detour.delay(Duration::ZERO);
    wait_until_in_step(&edge);
    let now = edge.control().get("/v1/state").revision();
    assert!([revision, revision + 1].contains(&now), "{now}");
}

#[test]
fn a_first_start_without_redis_says_what_is_missing() {
    let (site, mut redis) = (Site::new(), RedisServer::start());
    redis.kill();
    let failure = site.node("a", &redis.url()).try_start().err().unwrap();
    assert!(failure.stderr.contains("a first start needs the store"));
}

#[test]
fn killed_in_the_middle_nothing_but_changes_stops() {
    let (site, mut redis) = (Site::new(), RedisServer::with(&DURABLE));
    let edge = site.node("a", &redis.url()).start();
    let revision = switched(&edge, "green");
    let traffic = Traffic::to(edge.address());
    redis.kill();
    refused(&edge, "blue");
    wait_for_trouble(&edge);
    let stale = until("the staleness grows", || {
        let stale = store(&edge)["stale_seconds"].as_f64().unwrap();
        (stale > 1.0).then_some(stale)
    });
    let metrics = edge.control().get("/metrics").text;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("pointsman_store_staleness_seconds "));
    let shown: f64 = line.unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    assert!(shown >= stale, "{shown} {stale}");
    edge.wait_for_stderr("goes on serving");
    redis.start_again();
    goes_on(&edge, "blue", revision);
    edge.wait_for_stderr("the store is back");
    traffic.assert_flawless();
}

#[test]
fn slow_answers_are_waited_for_no_longer_than_a_caller_would() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let detour = Detour::to(redis.address());
    let edge = site.node("a", &detour.url()).start();
    let traffic = Traffic::to(edge.address());
    detour.delay(Duration::from_millis(200));
    let revision = switched(&edge, "green");
    detour.delay(Duration::from_secs(30));
    refused(&edge, "blue");
    wait_for_trouble(&edge);
    detour.delay(Duration::ZERO);
    wait_until_in_step(&edge);
    // Whether the change that was not answered is stored, nobody could know. It may be.
    let now = edge.control().get("/v1/state").revision();
    assert!([revision, revision + 1].contains(&now), "{now}");
    traffic.assert_flawless();
}

#[test]
fn half_open_connections_are_given_up() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let detour = Detour::to(redis.address());
    let a = site.node("a", &detour.url()).start();
    let b = site.node("b", &redis.url()).start();
    let traffic = Traffic::to(a.address());
    detour.swallow();
    refused(&a, "green");
    wait_for_trouble(&a);
    let revision = switched(&b, "green");
    detour.delay(Duration::ZERO);
    // What was swallowed arrives late, and is refused: the other node's change came first.
    site.wait_for(&a, "green");
    goes_on(&a, "blue", revision);
    traffic.assert_flawless();
}

/// A fault by command: `begin`, then 503 with `reason`, then `end`.
fn refuses(begin: &[&str], reason: &str, end: &[&str]) {
    let (site, redis) = (Site::new(), RedisServer::start());
    let edge = site.node("a", &redis.url()).start();
    let revision = switched(&edge, "green");
    let traffic = Traffic::to(edge.address());
    redis.call(begin);
    let said = refused(&edge, "blue");
    assert!(said.contains(reason), "{said}");
    assert!(site.is_served_by(&edge, "green"));
    redis.call(end);
    goes_on(&edge, "blue", revision);
    traffic.assert_flawless();
}

#[test]
fn a_replica_refuses_and_serves_what_it_has() {
    refuses(
        &["REPLICAOF", "127.0.0.1", "1"],
        "READONLY",
        &["REPLICAOF", "NO", "ONE"],
    );
}

#[test]
fn a_master_without_replicas_may_refuse() {
    let option = |count| ["CONFIG", "SET", "min-replicas-to-write", count];
    refuses(&option("1"), "NOREPLICAS", &option("0"));
}

#[test]
fn out_of_memory_is_said() {
    let option = |size| ["CONFIG", "SET", "maxmemory", size];
    refuses(&option("1"), "OOM", &option("0"));
}

#[test]
fn a_user_without_the_right_is_told_so() {
    refuses(
        &["ACL", "SETUSER", "default", "-eval"],
        "permissions",
        &["ACL", "SETUSER", "default", "+eval"],
    );
}

#[test]
fn loading_passes() {
    let (site, mut redis) = (Site::new(), RedisServer::with(&["--rdbcompression", "no"]));
    let edge = site.node("a", &redis.url()).start();
    let revision = switched(&edge, "green");
    // Enough that it looks up from loading.
    for n in 0..40 {
        redis.call(&["SET", &format!("other:{n}"), &"x".repeat(2000)]);
    }
    redis.call(&["SAVE"]);
    redis.kill();
    let traffic = Traffic::to(edge.address());
    redis.argue(&[
        "--key-load-delay",
        "100000",
        "--loading-process-events-interval-bytes",
        "1024",
    ]);
    redis.spawn();
    let said = until("it says that it is loading", || {
        let answer = switch(&edge, "blue").is(503);
        let said = answer.json["detail"].as_str().unwrap().to_owned();
        said.contains("LOADING").then_some(said)
    });
    println!("{said}");
    goes_on(&edge, "blue", revision);
    traffic.assert_flawless();
}
