//! Redis cut off, emptied, or silent about its keys.

use std::time::Duration;

use serde_json::json;

use crate::site::{Site, keys, revision, wait_until_followed};
use crate::support::{Detour, Traffic, until};

#[test]
fn what_happened_to_keys_while_redis_was_cut_off_is_seen_afterwards() {
    let site = Site::new();
    let detour = Detour::to(site.redis.address());
    let edge = site.node_at("a", &detour.url()).start();
    for host in ["a.example", "b.example", "own.example"] {
        site.set(host, "green");
        site.wait_for(&edge, host, "green");
    }
    let traffic = Traffic::to(edge.address());
    detour.swallow();
    site.set("a.example", "blue");
    site.delete("b.example");
    site.delete("own.example");
    site.set("c.example", "green");
    until("the node has noticed", || {
        let problem = keys(&edge)["problem"].clone();
        problem.is_string().then_some(())
    });
    assert_eq!(site.group(&edge, "a.example"), "green");
    detour.cut();
    detour.delay(Duration::ZERO);
    site.wait_for(&edge, "c.example", "green");
    for host in ["a.example", "b.example", "own.example"] {
        site.wait_for(&edge, host, "blue");
    }
    wait_until_followed(&edge);
    traffic.assert_flawless();
}

#[test]
fn connections_that_end_are_made_anew() {
    let site = Site::new();
    let detour = Detour::to(site.redis.address());
    let edge = site.node_at("a", &detour.url()).start();
    wait_until_followed(&edge);
    for n in 0..10 {
        let group = if n % 2 == 0 { "green" } else { "blue" };
        detour.cut();
        site.set("a.example", group);
        site.wait_for(&edge, "a.example", group);
    }
}

#[test]
fn flushall_switches_no_host() {
    let site = Site::new();
    let edge = site.node("a").start();
    for host in ["a.example", "own.example"] {
        site.set(host, "green");
        site.wait_for(&edge, host, "green");
    }
    let traffic = Traffic::to(edge.address());
    let before = revision(&edge);
    site.redis.call(&["FLUSHALL"]);
    let status = until("the node knows that the store lost its state", || {
        let status = edge.control().get("/v1/status").is(200).json;
        (status["store"]["diverged"] == true).then_some(status)
    });
    assert_eq!(status["revision"], before);
    // Nor does a key that is written now, as long as the log is not there.
    site.set("b.example", "green");
    until("that goes on for a while", || {
        let stale = edge.control().get("/v1/status").is(200).json;
        (stale["store"]["stale_seconds"].as_f64() > Some(2.0)).then_some(())
    });
    for (host, group) in [
        ("a.example", "green"),
        ("own.example", "green"),
        ("b.example", "blue"),
    ] {
        assert_eq!(site.group(&edge, host), group, "{host}");
    }
    assert_eq!(revision(&edge), before);
    let control = edge.control().with("Pointsman-Reason", "redis was emptied");
    let forced = control.post(
        "/v1/hosts/f.example/switch?force=true",
        &json!({ "to": "green" }),
    );
    assert_eq!(forced.status, 200, "{}", forced.text);
    for host in ["a.example", "f.example"] {
        until("the key is there again", || site.value(host));
        assert_eq!(site.value(host).as_deref(), Some("green"));
    }
    site.wait_for(&edge, "b.example", "green");
    site.delete("a.example");
    site.wait_for(&edge, "a.example", "blue");
    assert_eq!(site.group(&edge, "own.example"), "green");
    traffic.assert_flawless();
}

#[test]
fn a_user_who_may_not_listen_is_told_so() {
    let site = Site::new();
    site.redis
        .call(&["ACL", "SETUSER", "default", "-client|tracking"]);
    site.set("a.example", "green");
    let edge = site.node("a").start();
    assert_eq!(site.group(&edge, "a.example"), "green");
    let problem = until("the status says so", || {
        keys(&edge)["problem"].as_str().map(str::to_owned)
    });
    assert!(problem.contains("permissions"), "{problem}");
    edge.wait_for_stderr("the keys of hosts cannot be followed");
    site.redis
        .call(&["ACL", "SETUSER", "default", "+client|tracking"]);
    site.set("a.example", "blue");
    site.wait_for(&edge, "a.example", "blue");
    wait_until_followed(&edge);
}

#[test]
fn a_user_who_may_not_write_keys_has_no_change_half_stored() {
    let site = Site::with_prefix("host:");
    let edge = site.node("a").start();
    wait_until_followed(&edge);
    let before = revision(&edge);
    site.redis.call(&["ACL", "SETUSER", "default", "-set"]);
    let switch = || {
        edge.control()
            .post("/v1/hosts/a.example/switch", &json!({ "to": "green" }))
    };
    let refused = switch();
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.text.contains("can't run"), "{}", refused.text);
    assert_eq!(site.group(&edge, "a.example"), "blue");
    site.redis.call(&["ACL", "SETUSER", "default", "+set"]);
    let switched = until("a change goes through", || {
        let answer = switch();
        (answer.status == 200).then(|| answer.revision())
    });
    assert_eq!(switched, before + 1);
    assert_eq!(site.value("a.example").as_deref(), Some("green"));
}

/// The words of the line of docs/shared-store.md that has this part.
fn rights(part: &str) -> Vec<String> {
    let page = include_str!("../../docs/shared-store.md");
    let is_it = |line: &&str| line.contains("ACL SETUSER") && line.contains(part);
    let line = page.lines().find(is_it).unwrap().trim().trim_matches('`');
    let line = line.replace("{edge}", "{pointsman}");
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn the_documented_rights_are_enough() {
    let site = Site::with_prefix("host:");
    for part in ["~{edge}:*", "~host:*"] {
        let words = rights(part);
        site.redis
            .call(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let url = format!("redis://pointsman:PASSWORD@{}/0", site.redis.address());
    site.set("a.example", "green");
    let mut edge = site.node_at("a", &url).start();
    wait_until_followed(&edge);
    for host in ["a.example", "own.example"] {
        site.set(host, "green");
        site.wait_for(&edge, host, "green");
        site.delete(host);
        site.wait_for(&edge, host, "blue");
        let path = format!("/v1/hosts/{host}/switch");
        let to = json!({ "to": "green" });
        let done = edge.control().post(&path, &to);
        assert_eq!(done.status, 200, "{}", done.text);
        assert_eq!(site.value(host).as_deref(), Some("green"));
    }
    let done = edge.control().delete("/v1/routes/own.example");
    assert_eq!(done.status, 204, "{}", done.text);
    edge.terminate();
    assert!(edge.wait_exit().success());
    assert!(!edge.stderr().contains("can't run"), "{}", edge.stderr());
}
