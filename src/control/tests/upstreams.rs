use serde_json::json;

use super::Desk;

#[tokio::test]
async fn a_group_is_shown_with_what_is_stored_and_what_was_observed() {
    let answer = Desk::new().get("/v1/upstreams/green").await.is(200);
    assert_eq!(answer.header("etag"), "\"1\"");
    insta::assert_snapshot!(answer.pretty(), @r##"
{
  "changed_at": 1,
  "name": "green",
  "servers": [
    {
      "address": "10.0.1.1:80",
      "admin": "up",
      "backup": false,
      "fail_timeout": "10s",
      "labels": {},
      "max_connections": 0,
      "max_fails": 1,
      "slow_start": "0s",
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
      "tier": 0,
      "weight": 1
    }
  ]
}
"##);
}

#[tokio::test]
async fn every_group_is_listed_in_the_order_of_names() {
    let answer = Desk::new().get("/v1/upstreams").await.is(200);
    let names: Vec<_> = answer
        .json
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["blue", "green"]);
    assert_eq!(answer.header("etag"), "\"1\"");
}

#[tokio::test]
async fn put_creates_with_201_and_replaces_with_200() {
    let desk = Desk::new();
    let body = json!({ "servers": ["10.0.2.1"], "balance": "random" });
    let made = desk.json("PUT", "/v1/upstreams/red", body).await.is(201);
    assert_eq!(made.header("location"), "/v1/upstreams/red");
    assert_eq!(made.header("etag"), "\"2\"");
    assert_eq!(made.header("pointsman-revision"), "2");
    assert_eq!(made.json["servers"][0]["address"], "10.0.2.1:80");

    let replaced = desk.json(
        "PUT",
        "/v1/upstreams/red",
        json!({ "servers": ["10.0.2.2:80"] }),
    );
    let replaced = replaced.await.is(200);
    assert_eq!(replaced.header("etag"), "\"3\"");
    assert_eq!(replaced.json.get("balance"), None);
}

#[tokio::test]
async fn what_a_get_shows_can_be_put_back() {
    let desk = Desk::new();
    for path in ["/v1/upstreams/blue", "/v1/routes/all", "/v1/state"] {
        let shown = desk.get(path).await.is(200).json;
        let back = desk.json("PUT", path, shown.clone()).await.is(200);
        assert_eq!(back.json, shown);
        assert_eq!(
            back.header("pointsman-revision"),
            "1",
            "{path} made a revision"
        );
    }
}

#[tokio::test]
async fn a_name_in_the_body_must_be_that_of_the_path() {
    let desk = Desk::new();
    let body = json!({ "name": "green", "servers": ["10.0.0.9:80"] });
    let answer = desk.json("PUT", "/v1/upstreams/blue", body).await;
    let answer = answer.refused(400, "invalid_field");
    assert_eq!(answer.json["errors"][0]["pointer"], "/name");
    let body = json!({ "name": "BLUE", "servers": ["10.0.0.9:80"] });
    desk.json("PUT", "/v1/upstreams/blue", body).await.is(200);
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_names_and_null_removes() {
    let desk = Desk::new();
    let patch = json!({ "balance": "random", "timeouts": { "connect": "1s" } });
    let answer = desk
        .json("PATCH", "/v1/upstreams/blue", patch)
        .await
        .is(200);
    assert_eq!(answer.json["balance"], "random");
    assert_eq!(answer.json["servers"].as_array().unwrap().len(), 2);

    let merge = [("content-type", "application/merge-patch+json")];
    let answer = desk
        .send("PATCH", "/v1/upstreams/blue", &merge, r#"{"balance":null}"#)
        .await;
    assert_eq!(answer.is(200).json.get("balance"), None);
}

#[tokio::test]
async fn a_wrong_value_in_a_patch_names_its_place() {
    let desk = Desk::new();
    let patch = json!({ "timeouts": { "connect": "soon" } });
    let answer = desk.json("PATCH", "/v1/upstreams/blue", patch).await;
    let answer = answer.refused(400, "invalid_field");
    insta::assert_snapshot!(answer.pretty(), @r##"
{
  "code": "invalid_field",
  "detail": "/timeouts/connect: `soon` is not a length of time: write a whole number with ms, s, m, h or d, at most 3650d",
  "errors": [
    {
      "message": "`soon` is not a length of time: write a whole number with ms, s, m, h or d, at most 3650d",
      "pointer": "/timeouts/connect"
    }
  ],
  "status": 400,
  "title": "A field is not valid",
  "type": "urn:pointsman:problem:invalid_field"
}
"##);
    let answer = desk.json("PATCH", "/v1/upstreams/blue", json!([])).await;
    answer.refused(400, "invalid_field");
    assert_eq!(desk.revision(), 1);
}

#[tokio::test]
async fn a_group_in_use_stays() {
    let desk = Desk::new();
    let answer = desk.send("DELETE", "/v1/upstreams/blue", &[], "").await;
    let answer = answer.refused(409, "upstream_in_use");
    assert!(
        answer.detail().contains("route `all`"),
        "{}",
        answer.detail()
    );
    let gone = desk
        .send("DELETE", "/v1/upstreams/green", &[], "")
        .await
        .is(204);
    assert_eq!(
        (gone.header("pointsman-revision"), gone.text.as_str()),
        ("2", "")
    );
    desk.get("/v1/upstreams/green")
        .await
        .refused(404, "upstream_not_found");
}

#[tokio::test]
async fn an_unknown_group_is_404_whatever_is_asked_of_it() {
    let desk = Desk::new();
    for (method, path) in [
        ("GET", "/v1/upstreams/none"),
        ("PATCH", "/v1/upstreams/none"),
        ("DELETE", "/v1/upstreams/none"),
        ("GET", "/v1/upstreams/no%20name"),
        ("GET", "/v1/upstreams/none/servers"),
        ("GET", "/v1/upstreams/none/servers/10.0.0.1:80"),
        ("POST", "/v1/upstreams/none/servers/10.0.0.1:80/down"),
    ] {
        let headers = [("content-type", "application/json")];
        let body = if method == "PATCH" { "{}" } else { "" };
        let answer = desk.send(method, path, &headers, body).await;
        answer.refused(404, "upstream_not_found");
    }
    let answer = desk
        .json("PUT", "/v1/upstreams/no%20name", json!({ "servers": [] }))
        .await;
    answer.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_change_that_alters_nothing_makes_no_revision() {
    let desk = Desk::new();
    let same = json!({ "servers": ["10.0.1.1:80"] });
    let answer = desk.json("PUT", "/v1/upstreams/green", same).await.is(200);
    assert_eq!(answer.header("pointsman-revision"), "1");
    assert_eq!(answer.header("etag"), "\"1\"");
}

#[tokio::test]
async fn a_state_that_breaks_rules_is_422_with_each_of_them() {
    let desk = Desk::new();
    let body = json!({ "servers": ["10.0.0.1:80", "10.0.0.1", { "address": "127.0.0.1:9900" }] });
    let answer = desk.json("PUT", "/v1/upstreams/blue", body).await;
    insta::assert_snapshot!(answer.refused(422, "invalid_state").pretty(), @r##"
{
  "code": "invalid_state",
  "detail": "server `10.0.0.1:80` is listed twice; `127.0.0.1:9900` is the control endpoint itself",
  "errors": [
    {
      "message": "server `10.0.0.1:80` is listed twice",
      "pointer": "/upstreams/blue/servers/1/address"
    },
    {
      "message": "`127.0.0.1:9900` is the control endpoint itself",
      "pointer": "/upstreams/blue/servers/2/address"
    }
  ],
  "status": 422,
  "title": "The resulting state is not valid",
  "type": "urn:pointsman:problem:invalid_state"
}
"##);
    let none = json!({ "servers": [{ "address": "10.0.0.1:80", "weight": 0 }] });
    desk.json("PUT", "/v1/upstreams/blue", none)
        .await
        .refused(422, "invalid_state");
    assert_eq!(desk.revision(), 1);
}

#[tokio::test]
async fn a_name_that_no_url_could_lead_to_is_refused() {
    let desk = Desk::new();
    for name in [".", ".."] {
        let rule = format!("`{name}` is no name: no URL could lead to it");
        for (path, body) in [
            (format!("/v1/upstreams/{name}"), json!({})),
            (format!("/v1/routes/{name}"), json!({ "to": "blue" })),
        ] {
            let put = desk.json("PUT", &path, body).await;
            assert_eq!(put.refused(400, "invalid_request").detail(), rule);
        }
        for change in [
            json!({ "op": "put_upstream", "name": name, "upstream": {} }),
            json!({ "op": "put_route", "id": name, "route": { "to": "blue" } }),
        ] {
            let body = json!({ "changes": [change] });
            let answer = desk.json("POST", "/v1/changes", body).await;
            let answer = answer.refused(400, "invalid_field");
            assert!(answer.detail().ends_with(&rule), "{}", answer.detail());
        }
        let state = json!({ "upstreams": { name: {} } });
        let answer = desk.json("PUT", "/v1/state", state).await;
        let answer = answer.refused(400, "invalid_field");
        assert!(answer.detail().ends_with(&rule), "{}", answer.detail());
    }
    assert_eq!(desk.revision(), 1);
}

#[tokio::test]
async fn probes_are_not_sent_to_the_control_api() {
    let desk = Desk::new();
    let near = json!({ "servers": ["127.0.0.1:8081"] });
    desk.json("PUT", "/v1/upstreams/near", near).await.is(201);
    let own_port = json!({ "health": { "port": 9900 } });
    let mut state = desk.get("/v1/state").await.is(200).json;
    state["defaults"] = own_port.clone();
    for (method, path, body, pointer) in [
        (
            "PATCH",
            "/v1/upstreams/near",
            own_port,
            "/upstreams/near/health/port",
        ),
        ("PUT", "/v1/state", state, "/defaults/health/port"),
    ] {
        let answer = desk.json(method, path, body).await;
        let answer = answer.refused(422, "invalid_state");
        assert_eq!(answer.json["errors"][0]["pointer"], pointer);
    }
    let far = json!({ "servers": ["10.0.0.1"], "health": { "port": 9900 } });
    desk.json("PUT", "/v1/upstreams/far", far).await.is(201);
    let server = json!({ "address": "127.0.0.1:8081" });
    let answer = desk.json("POST", "/v1/upstreams/far/servers", server).await;
    assert_eq!(
        answer.refused(422, "invalid_state").detail(),
        "probes would go to `127.0.0.1:9900`, the control endpoint itself"
    );
    assert_eq!(desk.revision(), 3);
}

#[tokio::test]
async fn what_a_group_and_the_defaults_do_not_say_together_is_refused_wherever_it_comes_from() {
    let desk = Desk::new();
    let mut state = desk.get("/v1/state").await.is(200).json;
    state["defaults"] =
        json!({ "health": { "interval_changing": "5s" }, "outlier": { "eject": "10s" } });
    desk.json("PUT", "/v1/state", state.clone()).await.is(200);
    let quick = json!({ "servers": ["10.0.0.1"], "health": { "interval": "1s" } });
    let short = json!({ "outlier": { "eject_max": "5s" } });
    let put = json!({ "op": "put_upstream", "name": "red", "upstream": quick });
    let of_defaults = "/defaults/health/interval_changing";
    let changes = json!({ "changes": [put] });
    for (method, path, body, pointer) in [
        ("PUT", "/v1/upstreams/red", quick.clone(), of_defaults),
        (
            "PATCH",
            "/v1/upstreams/blue",
            short,
            "/upstreams/blue/outlier/eject_max",
        ),
        ("POST", "/v1/changes", changes, of_defaults),
    ] {
        let answer = desk.json(method, path, body).await;
        let answer = answer.refused(422, "invalid_state");
        assert_eq!(answer.json["errors"][0]["pointer"], pointer);
        assert!(
            answer.detail().ends_with(" from `defaults`)"),
            "{}",
            answer.detail()
        );
        assert_eq!(desk.revision(), 2);
    }
    // The group was there first.
    let own = json!({ "servers": ["10.0.0.1"], "health": { "interval": "1s", "fall": 1 } });
    state["defaults"] = json!({});
    state["upstreams"]["red"] = own;
    desk.json("PUT", "/v1/state", state.clone()).await.is(200);
    state["defaults"] = json!({ "health": { "interval_changing": "5s" } });
    let answer = desk.json("PUT", "/v1/state", state).await;
    let answer = answer.refused(422, "invalid_state");
    assert_eq!(
        answer.detail(),
        "it hastens a verdict: at most as long as `interval` (`red` has `interval_changing` from `defaults`)"
    );
    assert_eq!(desk.revision(), 3);
}
