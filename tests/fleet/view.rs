//! What the nodes know of each other, and waiting for all of them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::site::{Site, switched};
use crate::support::{Edge, Origin, RedisServer, until};

fn fleet(edge: &Edge) -> Value {
    edge.control().get("/v1/fleet").is(200).json
}

fn node<'a>(fleet: &'a Value, id: &str) -> Option<&'a Value> {
    fleet["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|node| node["id"] == id)
}

/// Waits until `on` sees `id` in this state; answers the node.
fn wait_for(on: &Edge, id: &str, state: &str) -> Value {
    until(&format!("{id} is {state}"), || {
        let fleet = fleet(on);
        node(&fleet, id)
            .filter(|node| node["state"] == state)
            .cloned()
    })
}

/// Switches and waits for the fleet.
fn switch_everywhere(edge: &Edge, group: &str, query: &str) -> crate::support::Answer {
    let path = format!("/v1/routes/any/switch?wait=fleet{query}");
    edge.control().post(&path, &json!({ "to": group }))
}

#[test]
fn each_node_knows_the_others_and_what_they_serve() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let nodes = ["a", "b", "c"].map(|name| site.node(name, &redis.url()).start());
    let revision = switched(&nodes[0], "green");
    for on in &nodes {
        for id in ["a", "b", "c"] {
            let shown = until("the node is shown with the revision", || {
                let fleet = fleet(on);
                node(&fleet, id)
                    .filter(|node| node["applied"] == revision)
                    .cloned()
            });
            assert_eq!(shown["state"], "live");
            assert_eq!(shown["lag"], 0);
            assert_eq!(shown["version"], env!("CARGO_PKG_VERSION"));
            assert!(shown["contact_seconds"].as_f64().unwrap() < 5.0, "{shown}");
            let apart = shown["clock_difference_seconds"].as_f64().unwrap();
            assert!(apart.abs() < 1.0, "{shown}");
            assert!(shown["address"].as_str().unwrap().starts_with("127.0.0.1:"));
        }
    }
}

#[test]
fn a_change_that_waits_for_the_fleet_is_served_by_all_when_it_is_answered() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let nodes = ["a", "b", "c"].map(|name| site.node(name, &redis.url()).start());
    for id in ["b", "c"] {
        wait_for(&nodes[0], id, "live");
    }
    let mut slowest = Duration::ZERO;
    for n in 0..20 {
        let group = if n % 2 == 0 { "green" } else { "blue" };
        let begun = Instant::now();
        let revision = switch_everywhere(&nodes[0], group, "").is(200).revision();
        slowest = slowest.max(begun.elapsed());
        for node in &nodes {
            assert_eq!(node.control().get("/healthz").revision(), revision);
            assert!(site.is_served_by(node, group));
        }
    }
    println!("slowest of 20: {slowest:?}");
}

#[test]
fn a_node_that_does_not_follow_is_named_and_lost_after_a_while() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let (a, b) = (
        site.node("a", &redis.url()).start(),
        site.node("b", &redis.url()).start(),
    );
    wait_for(&a, "b", "live");
    b.signal("STOP");
    let begun = Instant::now();
    let answer = switch_everywhere(&a, "green", "&timeout=500ms").is(202);
    assert!(begun.elapsed() >= Duration::from_millis(500));
    assert_eq!(answer.json["missing"], json!(["b"]));
    assert!(site.is_served_by(&a, "green"));
    let lost = wait_for(&a, "b", "lost");
    assert!(lost["contact_seconds"].as_f64().unwrap() > 5.0, "{lost}");
    a.wait_for_stderr("fleet: node b was last heard of");
    let problems = &a.control().get("/v1/status").is(200).json["problems"];
    assert!(
        problems.to_string().contains("node b is lost"),
        "{problems}"
    );
    // Who is lost is waited for no more.
    let answer = switch_everywhere(&a, "blue", "").is(200);
    b.signal("CONT");
    wait_for(&a, "b", "live");
    a.wait_for_stderr("fleet: node b is back");
    site.wait_for(&b, "blue");
    assert!(b.control().get("/healthz").revision() >= answer.revision());
}

#[test]
fn a_node_that_ends_says_so() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let a = site.node("a", &redis.url()).start();
    let mut b = site.node("b", &redis.url()).start();
    wait_for(&a, "b", "live");
    b.terminate();
    b.wait_exit();
    wait_for(&a, "b", "left");
    a.wait_for_stderr("fleet: node b has left");
    drop(switch_everywhere(&a, "green", "").is(200));
    b.start_again();
    wait_for(&a, "b", "live");
    a.wait_for_stderr("fleet: node b is back");
}

/// The value of a series in `/metrics`.
fn metric(edge: &Edge, series: &str) -> f64 {
    let text = edge.control().get("/metrics").is(200).text;
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{series} ")));
    let line = line.unwrap_or_else(|| panic!("no {series} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_metrics_count_the_nodes_by_how_they_do() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let a = site.node("a", &redis.url()).start();
    let mut b = site.node("b", &redis.url()).start();
    let mut c = site.node("c", &redis.url()).start();
    let count = |state: &str| {
        let series = format!("pointsman_fleet_nodes{{state=\"{state}\"}}");
        metric(&a, &series)
    };
    let wait = |state: &str, wanted: f64| {
        until(&format!("{wanted} are {state}"), || {
            (count(state) == wanted).then_some(())
        });
    };
    wait("live", 3.0);
    switched(&a, "green");
    until("nobody lags", || {
        (metric(&a, "pointsman_fleet_lag") == 0.0).then_some(())
    });
    c.terminate();
    c.wait_exit();
    wait("left", 1.0);
    b.kill9();
    wait("lost", 1.0);
    assert_eq!((count("live"), count("diverged")), (1.0, 0.0));
    assert!(metric(&a, "pointsman_fleet_age_seconds") < 5.0);
    assert_eq!(metric(&a, "pointsman_fleet_disagreements"), 0.0);
    redis.call(&["FLUSHALL"]);
    wait("diverged", 1.0);
}

#[test]
fn what_only_one_node_sees_down_is_shown_and_stays_its_own_affair() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let (one, two) = (Origin::start(), Origin::start());
    let url = redis.url();
    let checked = |name: &str| {
        let builder = Edge::builder()
            .upstream("blue", [&site.blue])
            .upstream("green", [&site.green])
            .route("*", "blue");
        let copy = builder.directory().join("last-good.db");
        let servers = json!([one.address().to_string(), two.address().to_string()]);
        builder.with(&format!(
            "server: {{node: {name}}}\nstate: {{store: '{url}', local_copy: '{}'}}\nupstreams: {{web: {{servers: {servers}, health: {{path: '/', interval: 100ms, timeout: 50ms, fall: 2, rise: 1}}}}}}",
            copy.display()
        ))
    };
    let (a, b) = (checked("a").start(), checked("b").start());
    let server = format!("/v1/upstreams/web/servers/{}", one.address());
    let health = |edge: &Edge| edge.control().get(&server).is(200).json["status"]["health"].clone();
    for edge in [&a, &b] {
        until("both are up", || (health(edge) == "up").then_some(()));
    }
    // What a broken network of `b` would make it write.
    let nodes = "{pointsman}:nodes";
    b.signal("STOP");
    let record = until("b's record is there", || {
        let found: Option<String> =
            redis::from_redis_value(redis.call(&["HGET", nodes, "b"])).unwrap();
        found
    });
    let (at, text) = record.split_once(' ').unwrap();
    let mut record: Value = serde_json::from_str(text).unwrap();
    record["not_up"] = json!([{
        "upstream": "web", "address": one.address().to_string(), "health": "down", "since": 0
    }]);
    redis.call(&["HSET", nodes, "b", &format!("{at} {record}")]);
    let found = until("a shows the disagreement", || {
        let found = fleet(&a)["disagreements"][0].clone();
        found.is_object().then_some(found)
    });
    assert_eq!(found["server"], one.address().to_string());
    assert_eq!(found["down_on"], json!(["b"]));
    assert_eq!(found["not_down_on"], json!(["a"]));
    let problems = a.control().get("/v1/status").is(200).json["problems"].to_string();
    assert!(problems.contains("is down as seen by b"), "{problems}");
    assert_eq!(health(&a), "up", "each goes by what it sees itself");
    b.signal("CONT");
    until("b has its own say again", || {
        let fleet = fleet(&a);
        (fleet["disagreements"] == json!([])).then_some(())
    });
}

#[test]
fn a_node_with_a_store_of_its_own_is_a_fleet_of_one() {
    let origin = Origin::start();
    let edge = Edge::builder()
        .upstream("blue", [&origin])
        .upstream("green", [&origin])
        .route("*", "blue")
        .with("server: {node: alone}")
        .start();
    let begun = Instant::now();
    let revision = switch_everywhere(&edge, "green", "").is(200).revision();
    assert!(begun.elapsed() < Duration::from_secs(1));
    let fleet = fleet(&edge);
    assert_eq!(fleet["nodes"].as_array().unwrap().len(), 1);
    let node = node(&fleet, "alone").unwrap();
    assert_eq!(
        (&node["state"], &node["applied"]),
        (&json!("live"), &json!(revision))
    );
}

#[test]
fn waiting_for_something_else_is_refused_and_nothing_changes() {
    let edge = Edge::builder()
        .upstream("blue", [&Origin::start()])
        .route("*", "blue")
        .start();
    for query in [
        "wait=all",
        "timeout=5s",
        "wait=fleet&timeout=0s",
        "wait=fleet&timeout=1h",
    ] {
        let path = format!("/v1/routes/any/switch?{query}");
        let answer = edge.control().post(&path, &json!({ "to": "blue" })).is(400);
        assert_eq!(answer.code(), "invalid_parameter", "{query}");
        assert_eq!(answer.revision(), 1);
    }
}
