use serde_json::json;

use super::Desk;

const BLUE: &str = "/v1/upstreams/blue/servers";

#[tokio::test]
async fn the_one_liners_set_what_the_operator_wants() {
    let desk = Desk::new();
    for (action, admin, state) in [
        ("down", "down", "down"),
        ("drain", "drain", "draining"),
        ("up", "up", "up"),
    ] {
        let answer = desk
            .act(&format!("{BLUE}/10.0.0.1:80/{action}"))
            .await
            .is(200);
        assert_eq!(answer.json["admin"], admin);
        assert_eq!(answer.json["status"]["state"], state);
        assert_eq!(answer.header("etag"), format!("\"{}\"", desk.revision()));
    }
    assert_eq!(desk.revision(), 4);
    let again = desk.act(&format!("{BLUE}/10.0.0.1:80/up")).await.is(200);
    assert_eq!(again.header("pointsman-revision"), "4");
}

#[tokio::test]
async fn the_last_usable_server_stays_unless_forced_with_a_reason() {
    let desk = Desk::new();
    desk.act(&format!("{BLUE}/10.0.0.1:80/down")).await.is(200);
    let last = format!("{BLUE}/10.0.0.2:80");
    for action in ["down", "drain"] {
        let answer = desk.act(&format!("{last}/{action}")).await;
        answer.refused(409, "rail_last_server");
    }
    let answer = desk.send("DELETE", &last, &[], "").await;
    insta::assert_snapshot!(answer.refused(409, "rail_last_server").pretty(), @r##"
{
  "code": "rail_last_server",
  "detail": "upstream `blue` would be left without a usable server",
  "errors": [
    {
      "message": "upstream `blue` would be left without a usable server",
      "pointer": "/upstreams/blue"
    }
  ],
  "status": 409,
  "title": "The last usable server stays",
  "type": "urn:pointsman:problem:rail_last_server"
}
"##);

    let answer = desk.act(&format!("{last}/down?force=true")).await;
    answer.refused(400, "reason_needed");
    let reason = [("pointsman-reason", "moving house")];
    let forced = format!("{last}/down?force=true");
    let forced = desk.send("POST", &forced, &reason, "").await.is(200);
    assert_eq!(forced.json["status"]["state"], "down");
    let revision = desk.get("/v1/revisions/3").await.json;
    assert_eq!(
        (&revision["forced"], &revision["reason"]),
        (&json!(true), &json!("moving house"))
    );
    let status = desk.get("/v1/status").await.json;
    assert_eq!(
        status["problems"],
        json!(["upstream `blue`: all 2 servers are down"])
    );
}

#[tokio::test]
async fn fewer_than_min_healthy_is_a_rail_of_its_own() {
    let desk = Desk::new();
    desk.json("PATCH", "/v1/upstreams/blue", json!({ "min_healthy": 2 }))
        .await
        .is(200);
    let answer = desk.act(&format!("{BLUE}/10.0.0.1:80/down")).await;
    answer.refused(409, "rail_min_healthy");
}

#[tokio::test]
async fn a_dry_run_lists_the_rails_and_changes_nothing() {
    let desk = Desk::new();
    let answer = desk
        .act("/v1/upstreams/green/servers/10.0.1.1:80/down?dry_run=true")
        .await
        .is(200);
    insta::assert_snapshot!(answer.pretty(), @r##"
{
  "diff": [
    {
      "after": "down",
      "before": "up",
      "path": "/upstreams/green/servers/10.0.1.1:80/admin"
    }
  ],
  "rails": [
    {
      "code": "rail_last_server",
      "message": "upstream `green` would be left without a usable server",
      "upstream": "green"
    }
  ],
  "revision": null,
  "warnings": []
}
"##);
    assert_eq!(
        (answer.header("pointsman-revision"), desk.revision()),
        ("1", 1)
    );
    let answer = desk
        .send(
            "DELETE",
            &format!("{BLUE}/10.0.0.1:80?dry_run=true"),
            &[],
            "",
        )
        .await
        .is(200);
    assert_eq!(
        answer.json["diff"][0]["path"],
        "/upstreams/blue/servers/10.0.0.1:80"
    );
}

#[tokio::test]
async fn a_member_is_added_with_201_by_json_or_by_form() {
    let desk = Desk::new();
    let body = json!({ "address": "10.0.0.3", "weight": 3, "status": { "state": "up" } });
    let made = desk.json("POST", BLUE, body).await.is(201);
    assert_eq!(made.header("location"), format!("{BLUE}/10.0.0.3:80"));
    assert_eq!(
        (&made.json["address"], &made.json["weight"]),
        (&json!("10.0.0.3:80"), &json!(3))
    );

    let made = desk
        .form(BLUE, "address=10.0.0.4:80&weight=4&backup=true")
        .await
        .is(201);
    assert_eq!(
        (&made.json["weight"], &made.json["backup"]),
        (&json!(4), &json!(true))
    );
    desk.form(BLUE, "address=10.0.0.4")
        .await
        .refused(409, "server_exists");
}

#[tokio::test]
async fn a_form_value_of_the_wrong_kind_is_told_like_in_json() {
    let desk = Desk::new();
    let answer = desk.form(BLUE, "address=10.0.0.4:80&weight=heavy").await;
    let answer = answer.refused(400, "invalid_field");
    assert_eq!(answer.json["errors"][0]["pointer"], "/weight");
    let twice = desk
        .form(BLUE, "address=10.0.0.4:80&address=10.0.0.5:80")
        .await;
    twice.refused(400, "invalid_field");
    let as_form = desk.form(BLUE, r#"{"address":"10.0.0.4:80"}"#).await;
    as_form.refused(415, "unsupported_media_type");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_with_the_rule() {
    let desk = Desk::new();
    for address in [
        "10.0.0.1:0",
        "10.0.0.1:70000",
        "10.0.0",
        "",
        "a..b:80",
        "nosuch.example:0",
        "0.0.0.0:80",
        "unix:relative",
    ] {
        let answer = desk.json("POST", BLUE, json!({ "address": address })).await;
        let answer = answer.refused(400, "invalid_field");
        assert_eq!(answer.json["errors"][0]["pointer"], "/address", "{address}");
    }
    for guarded in ["169.254.169.254:80", "127.0.0.1:9900"] {
        let answer = desk.json("POST", BLUE, json!({ "address": guarded })).await;
        answer.refused(422, "invalid_state");
    }
    assert_eq!(desk.revision(), 1);
}

#[tokio::test]
async fn a_member_is_edited_and_keeps_its_identity() {
    let desk = Desk::new();
    let path = format!("{BLUE}/10.0.0.1:80");
    let answer = desk
        .json("PATCH", &path, json!({ "weight": 7 }))
        .await
        .is(200);
    assert_eq!(answer.json["weight"], 7);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = desk.send("PATCH", &path, &form, "weight=8").await.is(200);
    assert_eq!(answer.json["weight"], 8);
    let same = json!({ "address": "10.0.0.1", "status": {} });
    desk.json("PATCH", &path, same).await.is(200);
    let answer = desk
        .json("PATCH", &path, json!({ "address": "10.0.0.9:80" }))
        .await;
    let answer = answer.refused(400, "invalid_field");
    assert_eq!(answer.json["errors"][0]["pointer"], "/address");
    let answer = desk.json("PATCH", &path, json!({ "weight": 70000 })).await;
    let answer = answer.refused(400, "invalid_field");
    assert_eq!(answer.json["errors"][0]["pointer"], "/weight");
    let answer = desk.json("PATCH", &path, json!({ "max_conns": 1 })).await;
    answer.refused(400, "invalid_field");
}

#[tokio::test]
async fn an_address_in_the_path_may_be_written_in_any_of_its_forms() {
    let desk = Desk::new();
    let body = json!({ "servers": ["[2001:db8::1]:8080", "unix:/run/a.sock", "10.0.0.7:80"] });
    desk.json("PUT", "/v1/upstreams/mixed", body).await.is(201);
    for address in [
        "[2001:db8::1]:8080",
        "%5B2001:DB8::1%5D:8080",
        "unix%3A%2Frun%2Fa.sock",
        "10.0.0.7",
        "10.0.0.7%3A80",
    ] {
        desk.get(&format!("/v1/upstreams/mixed/servers/{address}"))
            .await
            .is(200);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_404() {
    let desk = Desk::new();
    for address in ["10.0.0.9:80", "nosuch", "10.0.0.1:99999"] {
        let path = format!("{BLUE}/{address}");
        desk.get(&path).await.refused(404, "server_not_found");
        desk.act(&format!("{path}/down"))
            .await
            .refused(404, "server_not_found");
        let gone = desk.send("DELETE", &path, &[], "").await;
        gone.refused(404, "server_not_found");
    }
}

#[tokio::test]
async fn a_members_tag_is_that_of_its_group() {
    let desk = Desk::new();
    desk.act(&format!("{BLUE}/10.0.0.1:80/down")).await.is(200);
    for path in [BLUE, &format!("{BLUE}/10.0.0.2:80"), "/v1/upstreams/blue"] {
        assert_eq!(
            desk.get(path).await.is(200).header("etag"),
            "\"2\"",
            "{path}"
        );
    }
    let green = desk.get("/v1/upstreams/green/servers").await.is(200);
    assert_eq!(green.header("etag"), "\"1\"");
}

#[tokio::test]
async fn a_drain_with_a_deadline_is_not_supported_yet() {
    let desk = Desk::new();
    let path = format!("{BLUE}/10.0.0.1:80/drain");
    let answer = desk
        .json("POST", &path, json!({ "deadline": "1m", "then": "remove" }))
        .await;
    let answer = answer.refused(400, "not_supported");
    assert_eq!(answer.detail(), "`deadline` is not supported yet");
    let answer = desk.json("POST", &path, json!({ "soon": true })).await;
    answer.refused(400, "invalid_field");
    desk.json("POST", &path, json!({})).await.is(200);
}
