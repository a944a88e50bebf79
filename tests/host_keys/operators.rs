//! What the control API does to hosts stands in their keys, in the same step.

use std::thread;

use serde_json::json;

use crate::site::{Site, revision, wait_until_followed};
use crate::support::until;

#[test]
fn every_way_to_switch_a_host_writes_its_key_and_is_no_second_change() {
    let site = Site::new();
    let edge = site.node("a").start();
    wait_until_followed(&edge);
    let control = edge.control();
    let first = revision(&edge);
    let green = json!({ "to": "green" });
    for host in ["a.example", "own.example", "x.example"] {
        let path = format!("/v1/hosts/{host}/switch");
        let _done = control.post(&path, &green).is(200);
        assert_eq!(site.value(host).as_deref(), Some("green"));
        assert_eq!(site.group(&edge, host), "green");
    }
    let by_route = control.post("/v1/routes/own.example/switch", &json!({ "to": "blue" }));
    assert_eq!(by_route.status, 200, "{}", by_route.text);
    assert_eq!(site.value("own.example").as_deref(), Some("blue"));
    let legacy = control.get("/_switch_upstream?upstream=green&host=old.example");
    assert_eq!(legacy.status, 200, "{}", legacy.text);
    assert_eq!(site.value("old.example").as_deref(), Some("green"));
    let both = json!({ "changes": [
        { "op": "switch", "host": "m.example", "to": "green" },
        { "op": "switch", "host": "a.example", "to": "blue" },
        { "op": "switch", "host": "old.example", "to": null },
    ]});
    let _done = control.post("/v1/changes", &both).is(200);
    let values = ["m.example", "a.example", "old.example"].map(|host| site.value(host));
    assert_eq!(values, [Some("green".into()), Some("blue".into()), None]);
    let before_restore = revision(&edge);
    assert_eq!(before_restore, first + 6);
    // As it was before the batch.
    let restored = control.with("Pointsman-Reason", "back");
    let restored = restored.act(&format!("/v1/revisions/{}/restore", first + 5));
    assert_eq!(restored.status, 200, "{}", restored.text);
    let values = ["m.example", "a.example", "old.example"].map(|host| site.value(host));
    assert_eq!(values, [None, Some("green".into()), Some("green".into())]);
    let _done = control
        .post("/v1/hosts/a.example/switch", &json!({ "to": null }))
        .is(200);
    assert_eq!(site.value("a.example"), None);
    // All that was heard of it altered nothing: the next revision is the key's.
    let before = revision(&edge);
    assert_eq!(before, first + 8);
    site.set("last.example", "green");
    site.wait_for(&edge, "last.example", "green");
    assert_eq!(revision(&edge), before + 1);
}

#[test]
fn a_switched_host_goes_back_when_its_key_is_deleted() {
    let site = Site::new();
    let edge = site.node("a").start();
    wait_until_followed(&edge);
    for host in ["a.example", "own.example", "x.example"] {
        let path = format!("/v1/hosts/{host}/switch");
        let done = edge.control().post(&path, &json!({ "to": "green" }));
        assert_eq!(done.status, 200, "{}", done.text);
        site.delete(host);
        site.wait_for(&edge, host, "blue");
    }
}

#[test]
fn a_route_that_is_written_anew_keeps_its_key_true() {
    let site = Site::new();
    let edge = site.node("a").start();
    site.set("own.example", "green");
    site.wait_for(&edge, "own.example", "green");
    let control = edge.control();
    let patched = control.patch("/v1/routes/own.example", &json!({ "to": "blue" }));
    assert_eq!(patched.status, 200, "{}", patched.text);
    assert_eq!(site.value("own.example").as_deref(), Some("blue"));
    assert_eq!(control.delete("/v1/routes/own.example").status, 204);
    assert_eq!(site.value("own.example"), None);
    assert_eq!(site.group(&edge, "own.example"), "blue");
}

#[test]
fn hosts_that_were_switched_before_there_were_keys_get_them() {
    let site = Site::new();
    let mut edge = site.plain_node("a", &site.redis.url()).start();
    let green = json!({ "to": "green" });
    for host in ["a.example", "b.example"] {
        let path = format!("/v1/hosts/{host}/switch");
        let _done = edge.control().post(&path, &green).is(200);
        assert_eq!(site.value(host), None);
    }
    site.set("b.example", "blue");
    edge.reconfigure("state: {host_keys: {prefix: ''}}");
    edge.restart();
    until("the key is written", || site.value("a.example"));
    // What operators wrote goes first.
    site.wait_for(&edge, "b.example", "blue");
    assert_eq!(site.group(&edge, "a.example"), "green");
    assert_eq!(site.value("a.example").as_deref(), Some("green"));
}

#[test]
fn keys_and_calls_at_the_same_time_agree_in_the_end() {
    let site = Site::new();
    let edge = site.node("a").start();
    wait_until_followed(&edge);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..60 {
                let group = if n % 2 == 0 { "green" } else { "blue" };
                site.set(&format!("h{}.example", n % 3), group);
            }
        });
        scope.spawn(|| {
            for n in 0..60 {
                let group = if n % 2 == 0 { "blue" } else { "green" };
                let path = format!("/v1/hosts/h{}.example/switch", n % 3);
                let done = edge.control().post(&path, &json!({ "to": group }));
                assert_eq!(done.status, 200, "{}", done.text);
            }
        });
    });
    for n in 0..3 {
        let host = format!("h{n}.example");
        until("key and traffic agree", || {
            (site.value(&host).as_deref() == Some(site.group(&edge, &host))).then_some(())
        });
    }
}
