//! Names as servers: changes address the name, views show what it stands for.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Desk;
use crate::domain::names::{Observed, Place, Resolved};
use crate::domain::server::Health;
use crate::spec::{Address, ForbiddenAddresses, Name};

const NAME: &str = "/v1/upstreams/blue/servers/app.internal:8080";

/// A desk whose group `blue` has a name beside its two addresses.
async fn desk() -> Desk {
    let desk = Desk::new();
    let server = json!({ "address": "App.Internal:8080" });
    let added = desk
        .json("POST", "/v1/upstreams/blue/servers", server)
        .await;
    assert_eq!(added.is(201).json["address"], "app.internal:8080");
    desk
}

fn app() -> Address {
    Address::new("app.internal:8080").unwrap()
}

/// DNS has answered.
async fn resolve(desk: &Desk, addresses: &[&str]) {
    let place = |text: &&str| Place {
        priority: 0,
        address: text.parse().unwrap(),
        weight: 1,
    };
    let places = addresses.iter().map(place);
    let resolved = Resolved::new(places, &ForbiddenAddresses::default()).0;
    let found = vec![(app(), Arc::new(resolved.unwrap()))];
    desk.controller.resolved(found).unwrap().await.unwrap();
    observe(
        desk,
        Observed {
            asked_at: 1_795_000_000_000,
            again_at: 1_795_000_060_000,
            ..Observed::default()
        },
    );
}

fn observe(desk: &Desk, observed: Observed) {
    let snapshot = desk.controller.snapshot().load_full();
    snapshot
        .names()
        .get(&app())
        .unwrap()
        .state()
        .observe(observed);
}

async fn status(desk: &Desk) -> Value {
    let status = desk.get("/v1/status").await.is(200).json;
    status["upstreams"][0].clone()
}

#[tokio::test]
async fn a_name_is_shown_with_what_dns_says_and_each_of_its_servers() {
    let desk = desk().await;
    let revision = desk.revision();
    let unresolved = desk.get(NAME).await.is(200).json;
    assert_eq!(unresolved["status"]["state"], "unknown");
    assert_eq!(unresolved["status"]["resolution"]["state"], "unresolved");
    resolve(&desk, &["10.0.0.7:8080", "10.0.0.8:8080"]).await;
    assert_eq!(desk.revision(), revision, "an answer of DNS is no change");
    let answer = desk.get(NAME).await.is(200);
    let mut status = answer.json["status"].clone();
    status["resolution"]["servers"]
        .as_array_mut()
        .unwrap()
        .truncate(1);
    insta::assert_snapshot!(serde_json::to_string_pretty(&status).unwrap(), @r##"
{
  "failures": 0,
  "health": "unknown",
  "in_flight": 0,
  "last_check": null,
  "reason": "2 of 2 addresses could take requests",
  "requests": 0,
  "resolution": {
    "again_at": "2026-11-18T11:07:40.000Z",
    "asked_at": "2026-11-18T11:06:40.000Z",
    "failing_since": null,
    "problem": null,
    "refused": [],
    "servers": [
      {
        "address": "10.0.0.7:8080",
        "backup": false,
        "status": {
          "failures": 0,
          "health": "unknown",
          "in_flight": 0,
          "last_check": null,
          "reason": "no checks",
          "requests": 0,
          "since": null,
          "state": "up"
        },
        "weight": 1
      }
    ],
    "state": "resolved"
  },
  "since": null,
  "state": "up"
}
"##);
}

#[tokio::test]
async fn changes_address_the_name_and_reach_all_its_servers() {
    let desk = desk().await;
    resolve(&desk, &["10.0.0.7:8080", "10.0.0.8:8080"]).await;
    let weighed = desk
        .json("PATCH", NAME, json!({ "weight": 7 }))
        .await
        .is(200);
    let servers = &weighed.json["status"]["resolution"]["servers"];
    assert_eq!(
        (&servers[0]["weight"], &servers[1]["weight"]),
        (&json!(7), &json!(7))
    );
    for (act, state) in [("drain", "draining"), ("down", "down"), ("up", "up")] {
        let acted = desk.act(&format!("{NAME}/{act}")).await.is(200).json;
        let status = &acted["status"];
        assert_eq!(status["state"], state);
        assert_eq!(status["resolution"]["servers"][1]["status"]["state"], state);
    }
    // Each of them is no member of its own.
    let child = "/v1/upstreams/blue/servers/10.0.0.7:8080";
    desk.get(child).await.refused(404, "server_not_found");
    desk.act(&format!("{child}/down"))
        .await
        .refused(404, "server_not_found");
    desk.send("DELETE", NAME, &[], "").await.is(204);
    assert_eq!(status(&desk).await["total"], 2);
}

#[tokio::test]
async fn the_status_counts_servers_and_tells_of_names_that_do_not_resolve() {
    let desk = desk().await;
    let problems = |json: &Value| json["problems"].clone();
    let all = desk.get("/v1/status").await.is(200).json;
    assert_eq!(
        problems(&all),
        json!(["upstream `blue`: `app.internal:8080` is not resolved yet: DNS was not asked yet"])
    );
    resolve(&desk, &["10.0.0.7:8080", "10.0.0.8:8080"]).await;
    let all = desk.get("/v1/status").await.is(200).json;
    assert_eq!(
        (problems(&all), &all["upstreams"][0]["usable"]),
        (json!([]), &json!(4))
    );
    observe(
        &desk,
        Observed {
            asked_at: 2,
            failing_since: Some(1),
            problem: Some("the name does not exist (NXDOMAIN)".into()),
            ..Observed::default()
        },
    );
    let all = desk.get("/v1/status").await.is(200).json;
    assert_eq!(
        problems(&all),
        json!([
            "upstream `blue`: `app.internal:8080` cannot be resolved, its last addresses stay: the name does not exist (NXDOMAIN)"
        ])
    );
    let metrics = desk.get("/metrics").await.is(200).text;
    assert!(metrics.contains("pointsman_name_resolved{name=\"app.internal:8080\"} 0"));
    assert!(metrics.contains("pointsman_name_addresses{name=\"app.internal:8080\"} 2"));
    assert!(metrics.contains("pointsman_upstream_servers{upstream=\"blue\"} 4"));
}

#[tokio::test]
async fn the_last_usable_name_is_on_the_rails() {
    let desk = Desk::new();
    let only = json!({ "servers": ["app.internal:8080"], "health": {} });
    desk.json("PUT", "/v1/upstreams/blue", only).await.is(200);
    desk.act(&format!("{NAME}/down"))
        .await
        .refused(409, "rail_last_server");
    resolve(&desk, &["10.0.0.7:8080"]).await;
    desk.act(&format!("{NAME}/down"))
        .await
        .refused(409, "rail_last_server");
    let snapshot = desk.controller.snapshot().load_full();
    let blue = snapshot.upstream(&Name::new("blue").unwrap()).unwrap();
    blue.servers()[0].shared().set_health(Health::Down, 1);
    desk.act(&format!("{NAME}/down")).await.is(200);
}

#[tokio::test]
async fn what_is_shown_can_be_sent_back() {
    let desk = desk().await;
    resolve(&desk, &["10.0.0.7:8080"]).await;
    let revision = desk.revision();
    let shown = desk.get("/v1/upstreams/blue").await.is(200).json;
    desk.json("PUT", "/v1/upstreams/blue", shown).await.is(200);
    assert_eq!(desk.revision(), revision);
}

#[tokio::test]
async fn old_interfaces_change_the_name_and_list_its_servers() {
    let desk = desk().await;
    resolve(&desk, &["10.0.0.7:8080", "10.0.0.8:8080"]).await;
    let list = desk.get("/ups_api?act=list&ups=blue").await.is(200).text;
    assert!(
        list.contains("10.0.0.7:8080") && list.contains("10.0.0.8:8080"),
        "{list}"
    );
    let page = desk.get("/upstream_show?blue").await.is(200).text;
    assert!(page.contains("server count: 4"), "{page}");
    let detail = desk.get("/detail").await.is(200).text;
    assert!(
        detail.contains("server app.internal:8080 weight=1"),
        "{detail}"
    );
    let told = desk
        .get("/ups?op=del&server=app.internal:8080")
        .await
        .is(200)
        .text;
    assert!(told.contains("A00001"), "{told}");
    assert_eq!(desk.get(NAME).await.is(200).json["admin"], "down");
    let out = desk.get("/ups/check").await.is(200).text;
    assert!(out.contains("\"app.internal:8080\":1"), "{out}");
    let told = desk
        .get("/ups?op=del&server=10.0.0.7:8080")
        .await
        .is(200)
        .text;
    assert!(told.contains("E00001"), "{told}");
}

#[tokio::test]
async fn the_names_of_metadata_services_are_refused_as_their_addresses_are() {
    let desk = Desk::new();
    let server = json!({ "address": "metadata.google.internal" });
    let answer = desk
        .json("POST", "/v1/upstreams/blue/servers", server)
        .await;
    answer.refused(422, "invalid_state");
}
