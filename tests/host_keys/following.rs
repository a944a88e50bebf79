//! What operators write with `redis-cli` is what hosts are routed by.

use std::time::Duration;

use serde_json::json;

use crate::site::{Site, keys, revision, wait_until_followed};
use crate::support::until;

#[test]
fn a_key_switches_its_host_at_once_and_each_time_by_one_revision() {
    let site = Site::new();
    let edge = site.node("a").start();
    wait_until_followed(&edge);
    let first = revision(&edge);
    let mut times: Vec<Duration> = (0..20)
        .map(|n| {
            let group = if n % 2 == 0 { "green" } else { "blue" };
            site.set("a.example", group);
            site.wait_for(&edge, "a.example", group)
        })
        .collect();
    times.sort();
    println!(
        "SET to traffic: median {:?}, worst {:?}",
        times[10], times[19]
    );
    assert_eq!(revision(&edge), first + 20);
    assert!(times[19] < Duration::from_secs(1), "{:?}", times[19]);
    assert_eq!(site.group(&edge, "b.example"), "blue");
    let last = edge.control().get(&format!("/v1/revisions/{}", first + 1));
    let last = last.is(200).json;
    assert_eq!(last["author"], "redis");
    assert_eq!(last["reason"], "key `a.example` is `green`");
}

#[test]
fn a_key_may_name_an_address() {
    let site = Site::new();
    let edge = site.node("a").start();
    site.set("a.example", &site.green.address().to_string());
    site.wait_for(&edge, "a.example", "green");
}

#[test]
fn without_its_key_a_host_goes_where_it_went_before() {
    let site = Site::new();
    let edge = site.node("a").start();
    let routes = || edge.control().get("/v1/state").is(200).json["routes"].clone();
    let hosts = |routes: &serde_json::Value, id: &str| {
        let routes = routes.as_array().unwrap().clone();
        let found = routes.into_iter().find(|route| route["id"] == id);
        found.map(|route| route["hosts"].clone())
    };
    // One without a route of its own, one with, one that shares a route with another.
    for host in ["a.example", "own.example", "x.example"] {
        site.set(host, "green");
        site.wait_for(&edge, host, "green");
        assert_eq!(site.group(&edge, "y.example"), "blue");
        site.set(host, &site.green.address().to_string());
        until("the route says the address", || {
            let text = routes().to_string();
            text.contains(&site.green.address().to_string())
                .then_some(())
        });
        site.delete(host);
        site.wait_for(&edge, host, "blue");
        assert_eq!(site.value(host), None);
    }
    let routes = routes();
    assert_eq!(hosts(&routes, "host:a.example"), None);
    assert_eq!(hosts(&routes, "host:x.example"), None);
    assert_eq!(
        hosts(&routes, "both"),
        Some(json!(["y.example", "x.example"]))
    );
    assert_eq!(hosts(&routes, "own.example"), Some(json!(["own.example"])));
}

#[test]
fn keys_that_are_there_at_the_start_count_from_the_first_request() {
    let site = Site::new();
    for host in ["a.example", "own.example"] {
        site.set(host, "green");
    }
    let edge = site.node("a").start();
    for host in ["a.example", "own.example"] {
        assert_eq!(site.group(&edge, host), "green");
        site.delete(host);
        site.wait_for(&edge, host, "blue");
    }
}

#[test]
fn keys_of_others_are_no_hosts() {
    let site = Site::with_prefix("host:");
    let edge = site.node("a").start();
    wait_until_followed(&edge);
    site.redis.call(&["SET", "a.example", "green"]);
    site.redis.call(&["RPUSH", "b.example", "green"]);
    site.set("c.example", "green");
    site.wait_for(&edge, "c.example", "green");
    assert_eq!(site.group(&edge, "a.example"), "blue");
    let keys = keys(&edge);
    assert_eq!(keys["refused"], json!({}));
    assert_eq!(keys["prefix"], "host:");
}

#[test]
fn ten_thousand_keys_are_taken_at_the_start_and_followed() {
    const MANY: usize = 10_000;
    let site = Site::new();
    let mut connection = site.redis.connection();
    let mut pipe = redis::pipe();
    for n in 0..MANY {
        pipe.set(format!("h{n}.example"), "green").ignore();
    }
    pipe.query::<()>(&mut connection).unwrap();
    let begun = std::time::Instant::now();
    let edge = site.node("a").start();
    println!("ready after {:?}", begun.elapsed());
    // In the order in which they are taken: a slow machine may need its time for each part.
    for host in ["h0", "h2", "h4", "h6", "h8", "h9999"] {
        site.wait_for(&edge, &format!("{host}.example"), "green");
    }
    wait_until_followed(&edge);
    println!("all taken after {:?}", begun.elapsed());
    assert_eq!(keys(&edge)["count"], MANY);
    let before = revision(&edge);
    site.set("h5000.example", "blue");
    let took = site.wait_for(&edge, "h5000.example", "blue");
    println!("one of them switched in {took:?}");
    site.delete("h5000.example");
    until("its route is gone", || {
        (revision(&edge) == before + 2).then_some(())
    });
    assert_eq!(site.group(&edge, "h5000.example"), "blue");
}
