use serde_json::json;

use super::Desk;

#[tokio::test]
async fn a_route_is_created_read_edited_and_deleted() {
    let desk = Desk::new();
    let body = json!({ "hosts": ["A.example"], "paths": ["/api"], "to": "green" });
    let made = desk.json("PUT", "/v1/routes/api", body).await.is(201);
    assert_eq!(made.header("location"), "/v1/routes/api");
    insta::assert_snapshot!(made.pretty(), @r##"
{
  "changed_at": 2,
  "hosts": [
    "a.example"
  ],
  "id": "api",
  "paths": [
    "/api"
  ],
  "to": "green"
}
"##);
    let patched = desk
        .json("PATCH", "/v1/routes/api", json!({ "paths": ["=/x"] }))
        .await
        .is(200);
    assert_eq!(
        (&patched.json["paths"], patched.header("etag")),
        (&json!(["=/x"]), "\"3\"")
    );
    assert_eq!(
        desk.get("/v1/routes").await.json.as_array().unwrap().len(),
        2
    );
    desk.send("DELETE", "/v1/routes/api", &[], "").await.is(204);
    desk.get("/v1/routes/api")
        .await
        .refused(404, "route_not_found");
    let again = desk.send("DELETE", "/v1/routes/api", &[], "").await;
    again.refused(404, "route_not_found");
}

#[tokio::test]
async fn an_id_in_the_body_must_be_that_of_the_path() {
    let desk = Desk::new();
    let answer = desk
        .json(
            "PUT",
            "/v1/routes/all",
            json!({ "id": "other", "to": "blue" }),
        )
        .await;
    let answer = answer.refused(400, "invalid_field");
    assert_eq!(answer.json["errors"][0]["pointer"], "/id");
}

#[tokio::test]
async fn a_route_to_an_unknown_group_is_refused() {
    let desk = Desk::new();
    let answer = desk
        .json(
            "PUT",
            "/v1/routes/x",
            json!({ "hosts": ["x"], "to": "nowhere" }),
        )
        .await;
    let answer = answer.refused(422, "upstream_missing");
    assert_eq!(answer.json["errors"][0]["pointer"], "/routes/x/to");
    desk.form("/v1/routes/all/switch", "to=nowhere")
        .await
        .refused(422, "upstream_missing");
    desk.form("/v1/hosts/a.example/switch", "to=nowhere")
        .await
        .refused(422, "upstream_missing");
    assert_eq!(desk.revision(), 1);
}

#[tokio::test]
async fn a_route_is_switched_by_json_or_by_form() {
    let desk = Desk::new();
    let path = "/v1/routes/all/switch";
    let answer = desk
        .json("POST", path, json!({ "to": "green" }))
        .await
        .is(200);
    assert_eq!(
        (&answer.json["to"], answer.header("etag")),
        (&json!("green"), "\"2\"")
    );
    let answer = desk.form(path, "to=10.9.9.9:8080").await.is(200);
    assert_eq!(answer.json["to"], "10.9.9.9:8080");
    let answer = desk.form("/v1/routes/none/switch", "to=green").await;
    answer.refused(404, "route_not_found");
}

#[tokio::test]
async fn a_host_gets_a_route_of_its_own_and_gives_it_back() {
    let desk = Desk::new();
    let path = "/v1/hosts/A.Example:80/switch";
    let made = desk.form(path, "to=green").await.is(200);
    insta::assert_snapshot!(made.pretty(), @r##"
{
  "changed_at": 2,
  "created_by": "switch",
  "hosts": [
    "a.example"
  ],
  "id": "host:a.example",
  "paths": [
    "/"
  ],
  "to": "green"
}
"##);
    let back = desk.json("POST", path, json!({ "to": null })).await.is(200);
    assert_eq!(back.json["revision"], 3);
    assert_eq!(back.json["diff"][0]["path"], "/routes/host:a.example");
    desk.json("POST", path, json!({ "to": null }))
        .await
        .refused(404, "route_not_found");
}

#[tokio::test]
async fn only_what_a_switch_made_is_switched_to_nothing() {
    let desk = Desk::new();
    let nothing = json!({ "to": null });
    let answer = desk
        .json("POST", "/v1/routes/all/switch", nothing.clone())
        .await;
    answer.refused(409, "not_a_switch");
    desk.form("/v1/hosts/a.example/switch", "to=green")
        .await
        .is(200);
    let gone = desk
        .json("POST", "/v1/routes/host:a.example/switch", nothing)
        .await
        .is(200);
    assert_eq!(gone.json["revision"], 3);
}

#[tokio::test]
async fn a_forgotten_target_is_not_nothing() {
    let desk = Desk::new();
    desk.form("/v1/hosts/a.example/switch", "to=green")
        .await
        .is(200);
    for path in [
        "/v1/hosts/a.example/switch",
        "/v1/routes/host:a.example/switch",
    ] {
        desk.json("POST", path, json!({}))
            .await
            .refused(400, "invalid_field");
        desk.form(path, "to=").await.refused(400, "invalid_field");
        desk.form(path, "target=blue")
            .await
            .refused(400, "invalid_field");
        desk.json("POST", path, json!({ "to": 7 }))
            .await
            .refused(400, "invalid_field");
    }
    assert_eq!(desk.revision(), 2);
}

#[tokio::test]
async fn a_gradual_switch_is_not_supported_yet() {
    let desk = Desk::new();
    for (key, value) in [
        ("steps", json!([1, 100])),
        ("hold", json!("60s")),
        ("abort_if", json!({})),
    ] {
        let answer = desk.json(
            "POST",
            "/v1/routes/all/switch",
            json!({ "to": "green", key: value }),
        );
        answer.await.refused(400, "not_supported");
    }
    let weighted = json!({ "to": [{ "to": "blue", "weight": 1 }] });
    let answer = desk.json("POST", "/v1/routes/all/switch", weighted).await;
    let answer = answer.refused(400, "invalid_field");
    assert_eq!(
        answer.json["errors"][0]["message"],
        "a weighted list is not supported yet"
    );
}

#[tokio::test]
async fn a_host_in_the_path_is_one_host() {
    let desk = Desk::new();
    for host in ["*", "*.example", "a%20b", "a%2Fb"] {
        let answer = desk
            .form(&format!("/v1/hosts/{host}/switch"), "to=green")
            .await;
        answer.refused(400, "invalid_request");
    }
    desk.form("/v1/hosts/[::1]:8080/switch", "to=green")
        .await
        .is(200);
}

#[tokio::test]
async fn several_edits_happen_all_or_not_at_all() {
    let desk = Desk::new();
    let changes = json!({ "reason": "release 7", "changes": [
        { "op": "put_upstream", "name": "red", "upstream": { "name": "red", "servers": ["10.0.3.1:80"] } },
        { "op": "add_server", "upstream": "red", "server": { "address": "10.0.3.2:80" } },
        { "op": "patch_server", "upstream": "red", "address": "10.0.3.1:80", "server": { "weight": 3 } },
        { "op": "switch", "route": "all", "to": "red" },
        { "op": "delete_upstream", "name": "blue" },
    ]});
    let mut half = changes.clone();
    half["changes"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "op": "delete_route", "id": "none" }));
    let answer = desk.json("POST", "/v1/changes", half).await;
    let answer = answer.refused(404, "route_not_found");
    assert_eq!(answer.json["errors"][0]["pointer"], "/changes/5");
    assert_eq!(desk.revision(), 1);

    let done = desk.json("POST", "/v1/changes", changes).await.is(200);
    assert_eq!((&done.json["revision"], desk.revision()), (&json!(2), 2));
    let revision = desk.get("/v1/revisions/2").await.json;
    assert_eq!(
        (&revision["reason"], &revision["changes"][3]["op"]),
        (&json!("release 7"), &json!("switch"))
    );
}

#[tokio::test]
async fn an_edit_that_cannot_be_read_names_its_place() {
    let desk = Desk::new();
    for (change, pointer) in [
        (
            json!({ "op": "put_upstream", "name": "x", "upstream": { "servers": [{ "address": "10.0.0.1:0" }] } }),
            "/changes/0/upstream/servers/0/address",
        ),
        (
            json!({ "op": "put_upstream", "name": "x", "upstream": { "name": "y" } }),
            "/changes/0/upstream/name",
        ),
        (
            json!({ "op": "patch_upstream", "name": "blue", "upstream": { "keepalive": "x" } }),
            "/changes/0/upstream/keepalive",
        ),
        (
            json!({ "op": "patch_server", "upstream": "blue", "address": "10.0.0.1:80", "server": { "address": "10.0.0.9:80" } }),
            "/changes/0/server/address",
        ),
        (
            json!({ "op": "put_route", "id": "x", "route": { "to": "blue", "hosst": [] } }),
            "/changes/0/route/hosst",
        ),
        (json!({ "op": "switch", "route": "all" }), "/changes/0/to"),
        (json!({ "op": "explode" }), "/changes/0"),
        (json!({ "name": "x" }), "/changes/0"),
        (json!(7), "/changes/0"),
    ] {
        let answer = desk
            .json("POST", "/v1/changes", json!({ "changes": [change] }))
            .await;
        let answer = answer.refused(400, "invalid_field");
        let found = answer.json["errors"][0]["pointer"].as_str().unwrap();
        assert!(found.starts_with(pointer), "{pointer}: {}", answer.text);
    }
    for body in [
        json!({}),
        json!({ "changes": {} }),
        json!([]),
        json!({ "changes": [], "when": 1 }),
    ] {
        desk.json("POST", "/v1/changes", body)
            .await
            .refused(400, "invalid_field");
    }
    let many = vec![json!({ "op": "delete_route", "id": "x" }); 1001];
    desk.json("POST", "/v1/changes", json!({ "changes": many }))
        .await
        .refused(400, "invalid_field");
    assert_eq!(desk.revision(), 1);
}

#[tokio::test]
async fn a_route_may_lead_to_the_group_named_like_the_host() {
    let desk = Desk::new();
    let body = json!({ "hosts": ["*.example"], "to": "{host}" });
    let made = desk.json("PUT", "/v1/routes/own", body).await.is(201);
    assert_eq!(made.json["to"], "{host}");
    assert_eq!(made.header("pointsman-warning"), "");
    let tried = desk
        .form("/v1/routes/all/switch?dry_run=true", "to=%7Bhost%7D")
        .await
        .is(200);
    assert_eq!(
        (&tried.json["diff"][0]["after"], &tried.json["warnings"]),
        (&json!("{host}"), &json!([]))
    );
    let wrong = desk
        .json("PUT", "/v1/routes/own", json!({ "to": "{hots}" }))
        .await;
    let wrong = wrong.refused(400, "invalid_field");
    assert!(wrong.detail().contains("nor `{host}`"), "{}", wrong.text);
}
