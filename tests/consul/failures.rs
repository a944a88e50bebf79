//! What Consul does not say changes nothing.

use super::{
    WEB, addresses, following, from, get, key, revision, server, servers, source, wait_for_servers,
    wait_for_state,
};
use crate::support::{Consul, Fault, Origin, until};
use serde_json::json;
use std::time::Duration;

#[test]
fn all_keys_gone_keeps_the_last_servers_and_says_so() {
    let consul = Consul::start();
    let origins = Origin::many(2);
    let edge = following(&consul, &origins);
    origins
        .iter()
        .for_each(|origin| consul.delete(&key(origin)));
    let said = wait_for_state(&edge, "failing");
    assert_eq!(said["problem"], "Consul lists no server for it");
    // One may have gone by itself before.
    assert!(!servers(&edge).is_empty());
    assert_eq!(get(&edge), 200);
    edge.wait_for_stderr("upstream `web` keeps its servers: Consul lists no server for it");
    let metrics = edge.control().get("/metrics").text;
    assert!(metrics.contains("pointsman_sources_failing 1"), "{metrics}");
    consul.put(&key(&origins[1]), "");
    wait_for_servers(&edge, &addresses(&origins[1..]));
    edge.wait_for_stderr("upstream `web` follows Consul again");
}

#[test]
fn no_answer_of_no_use_changes_anything() {
    let consul = Consul::start();
    let origins = Origin::many(2);
    let edge = following(&consul, &origins);
    let before = revision(&edge);
    let faults = [
        (
            Fault::Status(500, "No cluster leader"),
            "Consul answers 500: No cluster leader",
        ),
        (
            Fault::Status(403, "Permission denied"),
            "Consul answers 403: Permission denied",
        ),
        (
            Fault::Body(b"<html>".to_vec()),
            "the answer is no list in JSON",
        ),
        (Fault::Body(b"{}".to_vec()), "the answer is no list in JSON"),
        (Fault::Body(b"[]".to_vec()), "Consul lists no server for it"),
        (Fault::Body(b"[7]".to_vec()), "an item has no `Key`"),
        (Fault::Body(vec![b' '; 9 << 20]), "more than 8 MiB"),
        (Fault::Truncated, ""),
        (Fault::Index(Some(0)), "its X-Consul-Index is 0"),
        (Fault::Index(None), "it has no X-Consul-Index"),
    ];
    for (fault, why) in faults {
        let shown = format!("{fault:?}").chars().take(60).collect::<String>();
        consul.fail(fault);
        until(&format!("{shown} is said: {why}"), || {
            let source = source(&edge);
            let said = source["problem"].as_str().unwrap_or_default().to_owned()
                + &source["skipped"].to_string();
            (said.contains(why) && said != "[]").then_some(())
        });
        assert_eq!(servers(&edge), addresses(&origins), "{shown}");
        assert_eq!(get(&edge), 200);
        consul.recover();
        until("it is over", || {
            let source = source(&edge);
            (source["state"] == "following" && source["skipped"] == json!([])).then_some(())
        });
    }
    assert_eq!(revision(&edge), before);
}

#[test]
fn a_consul_that_hangs_or_is_slow_holds_nothing_up() {
    let consul = Consul::start();
    let origins = Origin::many(2);
    consul.put(&key(&origins[0]), "");
    consul.fail(Fault::Hang);
    // Ready all the same, without a server.
    let edge = from(&consul, WEB).start();
    assert_eq!(get(&edge), 503);
    assert_eq!(edge.record("/")["reason"], "no_server");
    consul.fail(Fault::Slow(Duration::from_millis(300)));
    wait_for_servers(&edge, &addresses(&origins[..1]));
    assert_eq!(get(&edge), 200);
    consul.put(&key(&origins[1]), "");
    wait_for_servers(&edge, &addresses(&origins));
}

#[test]
fn a_bad_entry_is_told_and_the_rest_is_taken() {
    let consul = Consul::start();
    let origins = Origin::many(3);
    let edge = following(&consul, &origins[..2]);
    consul.put("upstreams/web/nonsense", "");
    consul.put("upstreams/web/169.254.169.254:80", "");
    // A server that is there stays as it was; one that is not does not come.
    consul.put(&key(&origins[0]), r#"{"weight": "heavy"}"#);
    consul.put("upstreams/web/127.0.0.9:1", "no JSON");
    consul.put(&key(&origins[2]), r#"{"weight": 4}"#);
    wait_for_servers(&edge, &addresses(&origins));
    let said = until("all four are told", || {
        let source = source(&edge);
        (source["skipped"].as_array()?.len() == 4).then_some(source)
    });
    let said = said["skipped"].to_string();
    for part in [
        "`nonsense` is no `ip:port`",
        "169.254.169.254:80` is link-local",
        "`weight` is a number, not",
        "its value is no JSON",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(server(&edge, &origins[0])["weight"], 1);
    edge.wait_for_stderr("not all is taken");
}

#[test]
fn the_last_servers_serve_when_consul_is_away_at_a_start() {
    let mut consul = Consul::start();
    let origins = Origin::many(2);
    let mut edge = following(&consul, &origins);
    consul.go_away();
    edge.restart();
    assert_eq!(servers(&edge), addresses(&origins));
    assert_eq!(get(&edge), 200);
    assert!(
        edge.stderr().contains("as the file has it"),
        "{}",
        edge.stderr()
    );
    wait_for_state(&edge, "failing");
    edge.kill9();
    edge.start_again();
    assert_eq!(servers(&edge), addresses(&origins));
    consul.delete(&key(&origins[0]));
    consul.come_back();
    wait_for_servers(&edge, &addresses(&origins[1..]));
}

#[test]
fn the_last_usable_server_stays() {
    let consul = Consul::start();
    let origins = Origin::many(2);
    let edge = following(&consul, &origins);
    for origin in &origins {
        consul.put(&key(origin), r#"{"down": 1}"#);
    }
    let said = wait_for_state(&edge, "failing");
    assert!(
        said["problem"].as_str().unwrap().contains("usable"),
        "{said}"
    );
    assert_eq!(get(&edge), 200);
    consul.put(&key(&origins[1]), r#"{"down": "0"}"#);
    until("one is down", || {
        (server(&edge, &origins[0])["status"]["state"] == "down").then_some(())
    });
    wait_for_state(&edge, "following");
}
