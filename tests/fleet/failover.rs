//! A replica that takes over although it had not everything: what Redis acknowledged is lost there, and nowhere else.

use std::time::{Duration, Instant};

use crate::site::{Site, refused, store, switch, switched, wait_until_in_step};
use crate::support::{Detour, Edge, RedisServer, Traffic, until};

/// A master and its replica, which follows by this way.
fn pair() -> (RedisServer, RedisServer, Detour) {
    let master = RedisServer::start();
    let way = Detour::to(master.address());
    let port = way.address().port().to_string();
    let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]);
    until("the replica follows", || {
        let found = replica.call(&["INFO", "replication"]);
        let text: String = redis::from_redis_value(found).unwrap();
        text.contains("master_link_status:up").then_some(())
    });
    (master, replica, way)
}

fn revision(edge: &Edge) -> u64 {
    edge.control().get("/v1/state").revision()
}

#[test]
fn a_failover_that_lost_an_acknowledged_change_is_said_and_takes_nothing_back() {
    let (site, (mut master, replica, way)) = (Site::new(), pair());
    let url = format!("redis://{},{}/0", master.address(), replica.address());
    let a = site.node("a", &url).start();
    let b = site.node("b", &url).start();
    switched(&a, "green");
    master.call(&["WAIT", "1", "5000"]);
    // What is acknowledged now the replica does not get.
    way.swallow();
    let lost = switched(&a, "blue");
    until("the other node has it too", || {
        (revision(&b) == lost).then_some(())
    });
    let traffic = Traffic::to(b.address());
    master.kill();
    replica.call(&["REPLICAOF", "NO", "ONE"]);
    for edge in [&a, &b] {
        let said = until("the node knows what was lost", || {
            let store = store(edge);
            (store["diverged"] == true).then(|| store["reason"].to_string())
        });
        let newest = format!("the newest in the store is {}", lost - 1);
        assert!(said.contains(&newest), "{said}");
        edge.wait_for_stderr(&newest);
        assert!(site.is_served_by(edge, "blue"));
        refused(edge, "green");
    }
    let state = a.control().get("/v1/state").is(200).json;
    let forced = a
        .control()
        .with("Pointsman-Reason", "the failover lost it")
        .put("/v1/state?force=true", &state);
    assert_eq!(forced.is(200).revision(), lost + 1);
    for edge in [&a, &b] {
        wait_until_in_step(edge);
        assert_eq!(revision(edge), lost + 1);
        assert!(site.is_served_by(edge, "blue"));
    }
    assert_eq!(switched(&b, "green"), lost + 2);
    traffic.assert_flawless();
}

#[test]
fn with_min_replicas_to_write_nothing_is_acknowledged_that_no_replica_gets() {
    let (site, (master, replica, _way)) = (Site::new(), pair());
    for (name, value) in [
        ("min-replicas-to-write", "1"),
        ("min-replicas-max-lag", "1"),
    ] {
        master.call(&["CONFIG", "SET", name, value]);
    }
    let edge = site.node("a", &master.url()).start();
    let began = Instant::now();
    let revision = until("Redis knows that the replica follows", || {
        let answer = switch(&edge, "green");
        (answer.status == 200).then(|| answer.revision())
    });
    println!("writable after {:?}", began.elapsed());
    replica.signal("STOP");
    let began = Instant::now();
    let mut last = revision;
    let said = until("changes are refused", || {
        let answer = switch(&edge, if last % 2 == 0 { "blue" } else { "green" });
        match answer.status {
            200 => last = answer.revision(),
            _ => return Some(answer.is(503).text),
        }
        None
    });
    // What was acknowledged between the two may be lost with the master: so long is the window.
    let window = began.elapsed();
    println!("refused {window:?} after the replica stopped: {said}");
    assert!(said.contains("NOREPLICAS"), "{said}");
    assert!(window < Duration::from_secs(5), "{window:?}");
    replica.signal("CONT");
    until("changes go through again", || {
        (switch(&edge, "green").status == 200).then_some(())
    });
}
