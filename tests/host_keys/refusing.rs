//! What is no use in a key leaves its host where it is, and is reported.

use serde_json::json;

use crate::site::{Site, keys, refusal, revision, wait_until_accepted, wait_until_followed};

#[test]
fn an_invalid_value_keeps_the_last_good_one_and_is_reported_until_it_is_valid() {
    let site = Site::new();
    let edge = site.node("a").start();
    site.set("a.example", "green");
    site.wait_for(&edge, "a.example", "green");
    let before = revision(&edge);
    site.set("a.example", "nosuch");
    let why = refusal(&edge, "a.example");
    assert_eq!(why, "there is no upstream `nosuch`, and it is no address");
    edge.wait_for_stderr("key `a.example` is not taken, its host stays where it is: there is no");
    let status = edge.control().get("/v1/status").is(200).json;
    let told = format!("key `a.example` is not taken: {why}");
    assert!(
        status["problems"]
            .as_array()
            .unwrap()
            .contains(&json!(told))
    );
    let metrics = edge.control().get("/metrics").is(200).text;
    assert!(
        metrics.contains("pointsman_host_keys_refused 1\n"),
        "{metrics}"
    );
    for value in ["", "two words", "{host}", "127.0.0.1:70000", "green\n"] {
        site.set("a.example", value);
        refusal(&edge, "a.example");
        assert_eq!(site.group(&edge, "a.example"), "green");
    }
    assert_eq!(revision(&edge), before);
    // Valid as soon as there is such a group.
    site.set("a.example", "later");
    refusal(&edge, "a.example");
    let group = json!({ "servers": [site.blue.address().to_string()] });
    let put = edge.control().put("/v1/upstreams/later", &group);
    assert_eq!(put.status, 201, "{}", put.text);
    site.wait_for(&edge, "a.example", "blue");
    wait_until_accepted(&edge, "a.example");
    edge.wait_for_stderr("key `a.example` is not refused any more");
}

#[test]
fn what_is_no_string_too_long_or_no_host_is_refused_and_harms_nothing() {
    let site = Site::new();
    let edge = site.node("a").start();
    wait_until_followed(&edge);
    let before = revision(&edge);
    site.redis.call(&["RPUSH", "list.example", "green"]);
    site.redis.call(&["HSET", "hash.example", "green", "1"]);
    site.redis
        .call(&["SETRANGE", "long.example", "1048575", "x"]);
    for key in [
        "*.example",
        "A.Example",
        "a.example:80",
        "two words",
        "a:b",
        "ünï.example",
    ] {
        site.set(key, "green");
    }
    for (key, why) in [
        (
            "list.example",
            "it holds a list, where a string is expected",
        ),
        (
            "hash.example",
            "it holds a hash, where a string is expected",
        ),
        ("long.example", "it holds more than 512 bytes"),
        ("*.example", "`*.example` is no host: a key is for one"),
        ("A.Example", "write the key of this host as `a.example`"),
        ("a.example:80", "write the key of this host as `a.example`"),
        ("two words", "`two words` is no host"),
        ("a:b", "`a:b` is no host"),
        ("ünï.example", "`ünï.example` is no host"),
    ] {
        assert_eq!(refusal(&edge, key), why);
    }
    assert_eq!(revision(&edge), before);
    // None of our own keys is taken for a host.
    assert_eq!(keys(&edge)["refused"].as_object().unwrap().len(), 9);
    // A switch does not write over what somebody else keeps there.
    let control = edge.control();
    let to = json!({ "to": "green" });
    let switched = control.post("/v1/hosts/list.example/switch", &to);
    assert_eq!(switched.status, 200, "{}", switched.text);
    let kind: String = redis::from_redis_value(site.redis.call(&["TYPE", "list.example"])).unwrap();
    assert_eq!(kind, "list");
    site.set("good.example", "green");
    site.wait_for(&edge, "good.example", "green");
    assert_eq!(site.group(&edge, "list.example"), "green");
    site.redis.call(&["DEL", "two words"]);
    wait_until_accepted(&edge, "two words");
}

#[test]
fn one_key_that_is_refused_keeps_no_other_from_its_switch() {
    let site = Site::new();
    site.set("169.example", "169.254.169.254:80");
    site.set("bad.example", "nosuch");
    for n in 0..20 {
        site.set(&format!("h{n}.example"), "green");
    }
    let edge = site.node("a").start();
    for n in 0..20 {
        site.wait_for(&edge, &format!("h{n}.example"), "green");
    }
    assert!(refusal(&edge, "169.example").contains("metadata"));
    refusal(&edge, "bad.example");
}
