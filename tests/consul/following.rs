//! What Consul has, the group has.

use super::{
    WEB, addresses, following, from, get, key, revision, server, servers, wait_for_servers,
    wait_for_state,
};
use crate::support::{Consul, Ledger, Origin, place, until};
use serde_json::json;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

#[test]
fn a_group_has_the_servers_of_its_folder_from_the_start() {
    let consul = Consul::start();
    let origins = Origin::many(2);
    let value = r#"{"weight": 3, "max_fails": "4", "fail_timeout": 7, "down": 0, "backup": 0, "owner": "x"}"#;
    consul.put(&key(&origins[0]), value);
    consul.put(&key(&origins[1]), "");
    // Not of this folder, and the folder itself.
    consul.put("upstreams/web2/127.0.0.1:1", "");
    consul.put("upstreams/web/", "");
    let edge = from(&consul, WEB).start();
    assert_eq!(servers(&edge), addresses(&origins));
    let first = server(&edge, &origins[0]);
    assert_eq!(
        (
            &first["weight"],
            &first["max_fails"],
            &first["fail_timeout"]
        ),
        (&json!(3), &json!(4), &json!("7s"))
    );
    let second = server(&edge, &origins[1]);
    assert_eq!(
        (&second["weight"], &second["max_fails"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(get(&edge), 200);
    let history = edge.control().get("/v1/revisions").is(200).json;
    assert_eq!(history[0]["author"], "consul", "{history}");
    assert_eq!(revision(&edge), 2);
}

#[test]
fn a_key_that_comes_goes_or_changes_is_followed_within_a_second() {
    let consul = Consul::start();
    let origins = Origin::many(3);
    let edge = following(&consul, &origins[..2]);
    let within_a_second = |change: &dyn Fn(), what: &str, is_done: &dyn Fn() -> bool| {
        consul.wait_for_waiting();
        let changed = Instant::now();
        change();
        until(what, || is_done().then_some(()));
        assert!(
            changed.elapsed() < Duration::from_millis(1000),
            "{what}: {:?}",
            changed.elapsed()
        );
    };
    let is_at = |origins: &[Origin]| servers(&edge) == addresses(origins);
    let come = || consul.put(&key(&origins[2]), "");
    within_a_second(&come, "it came", &|| is_at(&origins));
    let change = || consul.put(&key(&origins[1]), r#"{"weight": 9}"#);
    let has_changed = || server(&edge, &origins[1])["weight"] == 9;
    within_a_second(&change, "it changed", &has_changed);
    let go = || consul.delete(&key(&origins[0]));
    within_a_second(&go, "it went", &|| is_at(&origins[1..]));
    assert_eq!(revision(&edge), 5);
    origins[0].forget();
    for _ in 0..10 {
        assert_eq!(get(&edge), 200);
    }
    assert_eq!(origins[0].count(), 0);
}

#[test]
fn many_changes_are_at_most_one_revision_a_second_and_what_alters_nothing_is_none() {
    let consul = Consul::start();
    let origins = Origin::many(1);
    let edge = following(&consul, &origins);
    let (begin, first) = (Instant::now(), revision(&edge));
    let mut weight = 1;
    while begin.elapsed() < Duration::from_millis(3500) {
        weight += 1;
        consul.put(&key(&origins[0]), &format!(r#"{{"weight": {weight}}}"#));
        crate::support::pause(Duration::from_millis(10));
    }
    until("the last one is there", || {
        (server(&edge, &origins[0])["weight"] == weight).then_some(())
    });
    let (made, took) = (revision(&edge) - first, begin.elapsed());
    assert!(
        weight > 50 && made >= 2,
        "{weight} changes, {made} revisions"
    );
    assert!(made <= took.as_secs() + 2, "{made} revisions in {took:?}");
    let before = revision(&edge);
    let asked = consul.asked().len();
    consul.put(
        &key(&origins[0]),
        &format!(r#"{{"weight": "{weight}", "note": 1}}"#),
    );
    until("it asks again", || {
        (consul.asked().len() >= asked + 2).then_some(())
    });
    assert_eq!(revision(&edge), before);
}

#[test]
fn no_request_fails_during_200_changes() {
    let consul = Consul::start();
    let origins = Origin::many(4);
    let edge = following(&consul, &origins);
    let (ledger, is_over) = (Ledger::new(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let requests = || {
            let mut client = edge.client();
            while !is_over.load(Ordering::SeqCst) {
                ledger
                    .record(|nonce| client.try_get("/", &[("X-Nonce", nonce)]))
                    .unwrap();
            }
        };
        let clients = [scope.spawn(requests), scope.spawn(requests)];
        for change in 0..200_usize {
            // Never all of them: each comes and goes and changes in turn.
            let origin = &origins[1 + change % 3];
            match change / 3 % 3 {
                0 => consul.delete(&key(origin)),
                1 => consul.put(&key(origin), ""),
                _ => consul.put(
                    &key(origin),
                    &format!(r#"{{"weight": {}}}"#, 2 + change % 7),
                ),
            }
            crate::support::pause(Duration::from_millis(15));
        }
        origins
            .iter()
            .for_each(|origin| consul.put(&key(origin), ""));
        wait_for_servers(&edge, &addresses(&origins));
        is_over.store(true, Ordering::SeqCst);
        assert!(clients.into_iter().all(|client| client.join().is_ok()));
    });
    ledger.settle(&origins).assert_flawless();
    assert!(revision(&edge) >= 4, "{}", revision(&edge));
}

#[test]
fn health_and_counters_stay_with_servers_that_stay() {
    let consul = Consul::start();
    let origins = Origin::many(3);
    origins[..2]
        .iter()
        .for_each(|origin| consul.put(&key(origin), ""));
    let health = json!({ "upstreams": { "web": { "health": { "interval": "50ms", "fall": 1, "rise": 1, "path": "/health" } } } });
    let edge = from(&consul, WEB).with(&health.to_string()).start();
    let is_up = |origin: &Origin| server(&edge, origin)["status"]["health"] == "up";
    until("both are up", || {
        (is_up(&origins[0]) && is_up(&origins[1])).then_some(())
    });
    for _ in 0..10 {
        assert_eq!(get(&edge), 200);
    }
    let before = server(&edge, &origins[0])["status"].clone();
    assert_eq!(before["requests"], 5);
    consul.put(&key(&origins[2]), "");
    wait_for_servers(&edge, &addresses(&origins));
    consul.put(&key(&origins[0]), r#"{"weight": 2}"#);
    until("its weight is 2", || {
        (server(&edge, &origins[0])["weight"] == 2).then_some(())
    });
    let after = server(&edge, &origins[0])["status"].clone();
    for same in ["requests", "health", "since"] {
        assert_eq!(before[same], after[same], "{after}");
    }
}

#[test]
fn the_catalogue_and_health_list_the_places_of_a_service() {
    let consul = Consul::start();
    let origins = Origin::many(2);
    let at = |checks: &[&str]| {
        consul.register(
            "web",
            &[
                place(origins[0].address(), &["weight=5", "blue"], &["passing"]),
                place(origins[1].address(), &["backup"], checks),
            ],
        );
    };
    at(&["passing", "passing"]);
    let edge = from(&consul, "/v1/catalog/service/web").start();
    assert_eq!(servers(&edge), addresses(&origins));
    assert_eq!(server(&edge, &origins[0])["weight"], 5);
    assert_eq!(server(&edge, &origins[1])["backup"], true);
    drop(edge);
    let edge = from(&consul, "/v1/health/service/web").start();
    assert_eq!(servers(&edge), addresses(&origins));
    at(&["passing", "critical"]);
    until("Consul has it down", || {
        (server(&edge, &origins[1])["down_at_source"] == true).then_some(())
    });
    let status = server(&edge, &origins[1])["status"].clone();
    assert_eq!(
        (&status["state"], &status["reason"]),
        (&json!("down"), &json!("its source has it down"))
    );
    at(&["passing"]);
    until("it is up", || {
        (server(&edge, &origins[1])["status"]["state"] != "down").then_some(())
    });
    drop(edge);
    let edge = from(&consul, "/v1/health/service/web?passing").start();
    at(&["critical"]);
    wait_for_servers(&edge, &addresses(&origins[..1]));
}

#[test]
fn an_index_that_goes_back_begins_anew() {
    let consul = Consul::start();
    let origins = Origin::many(2);
    let edge = following(&consul, &origins[..1]);
    consul.wait_for_waiting();
    consul.restore();
    until("it is asked without an index", || {
        let asked = consul.asked();
        let waits = |target: &str| target.contains("index=");
        let first = asked.iter().position(|asked| waits(&asked.target))?;
        asked[first..]
            .iter()
            .any(|asked| !waits(&asked.target))
            .then_some(())
    });
    consul.put(&key(&origins[1]), "");
    wait_for_servers(&edge, &addresses(&origins));
    wait_for_state(&edge, "following");
}
