//! What operators may do with a group whose servers come from Consul.

use super::{
    WEB, addresses, following, from, get, key, revision, server, servers, wait_for_servers,
};
use crate::support::{Consul, Origin, until};
use serde_json::json;

#[test]
fn which_servers_there_are_is_for_consul_to_say() {
    let consul = Consul::start();
    let origins = Origin::many(2);
    let edge = following(&consul, &origins);
    let (control, before) = (edge.control(), revision(&edge));
    let servers_path = "/v1/upstreams/web/servers";
    let first = format!("{servers_path}/{}", origins[0].address());
    let whole = control.get("/v1/upstreams/web").is(200).json;
    let source = whole["source"].clone();
    for refused in [
        control.post(servers_path, &json!({ "address": "10.0.0.1:80" })),
        control.delete(&first),
        control.patch(&first, &json!({ "weight": 7 })),
        control.patch("/v1/upstreams/web", &json!({ "servers": [] })),
        control.put(
            "/v1/upstreams/web",
            &json!({ "source": source, "servers": ["10.0.0.1:80"] }),
        ),
    ] {
        assert_eq!(
            (refused.status, refused.code()),
            (409, "servers_from_source"),
            "{}",
            refused.text
        );
        assert!(refused.text.contains(&consul.url(WEB)), "{}", refused.text);
    }
    assert_eq!(revision(&edge), before);
    // Everything else may change, also by a whole group without its servers.
    let put = control.put(
        "/v1/upstreams/web",
        &json!({ "source": source, "balance": "random" }),
    );
    assert_eq!(put.is(200).json["servers"].as_array().unwrap().len(), 2);
    let _ = control
        .post(&format!("/v1/revisions/{before}/restore"), &json!({}))
        .is(200);
    assert_eq!(servers(&edge), addresses(&origins));
}

#[test]
fn what_an_operator_takes_out_stays_out_whatever_consul_says() {
    let consul = Consul::start();
    let origins = Origin::many(3);
    let mut edge = following(&consul, &origins);
    let act = |edge: &crate::support::Edge, what: &str| {
        let path = format!("/v1/upstreams/web/servers/{}/{what}", origins[0].address());
        let _ = edge.control().act(&path).is(200);
    };
    let weight = |edge: &crate::support::Edge, weight: u16| {
        consul.put(&key(&origins[0]), &format!(r#"{{"weight": {weight}}}"#));
        until("its weight has changed", || {
            (server(edge, &origins[0])["weight"] == weight).then_some(())
        });
    };
    act(&edge, "drain");
    weight(&edge, 4);
    assert_eq!(server(&edge, &origins[0])["admin"], "drain");
    edge.restart();
    act(&edge, "down");
    weight(&edge, 5);
    // Both have it down: it is up when both let it.
    consul.put(&key(&origins[0]), r#"{"down": 1}"#);
    until("Consul has it down too", || {
        (server(&edge, &origins[0])["down_at_source"] == true).then_some(())
    });
    act(&edge, "up");
    assert_eq!(server(&edge, &origins[0])["status"]["state"], "down");
    weight(&edge, 6);
    assert_eq!(server(&edge, &origins[0])["admin"], "up");
    until("it is up", || {
        (server(&edge, &origins[0])["status"]["state"] != "down").then_some(())
    });
}

#[test]
fn a_group_gets_a_source_and_loses_it_without_losing_its_servers() {
    let consul = Consul::start();
    let origins = Origin::many(2);
    let edge = crate::support::Edge::to(&origins);
    let with = json!({ "source": { "consul": consul.url(WEB) } });
    let _ = edge.control().patch("/v1/upstreams/web", &with).is(200);
    until("it asks", || (!consul.asked().is_empty()).then_some(()));
    assert_eq!(servers(&edge), addresses(&origins));
    consul.put(&key(&origins[1]), "");
    wait_for_servers(&edge, &addresses(&origins[1..]));
    let _ = edge
        .control()
        .patch("/v1/upstreams/web", &json!({ "source": null }))
        .is(200);
    let _ = edge
        .control()
        .post(
            "/v1/upstreams/web/servers",
            &json!({ "address": origins[0].address() }),
        )
        .is(201);
    assert_eq!(servers(&edge), addresses(&origins));
    assert_eq!(get(&edge), 200);
}

#[test]
fn applying_the_file_again_keeps_the_servers() {
    let consul = Consul::start();
    let origins = Origin::many(2);
    let mut edge = following(&consul, &origins);
    let before = revision(&edge);
    let file = edge.directory().join("pointsman.yaml");
    let applied = edge.ctl(&["apply", "-f", file.to_str().unwrap()]);
    assert!(applied.status.success(), "{applied:?}");
    assert_eq!(
        (servers(&edge), revision(&edge)),
        (addresses(&origins), before)
    );
    edge.kill9();
    let bad = from(&consul, WEB).with(r#"{"upstreams": {"web": {"servers": ["10.0.0.1"]}}}"#);
    let failure = bad.try_start().err().unwrap();
    assert!(
        failure.stderr.contains("write `servers` or `source`"),
        "{}",
        failure.stderr
    );
}
