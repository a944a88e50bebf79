use serde_json::json;

use super::Desk;
use super::protection::token;
use crate::control::Role;

const BLUE: &str = "/v1/upstreams/blue";

#[tokio::test]
async fn a_stale_tag_is_412_with_the_revision_that_is_in_the_way() {
    let desk = Desk::new();
    let reason = [("pointsman-reason", "canary")];
    desk.json_if("PATCH", BLUE, &reason, json!({ "balance": "random" }))
        .await
        .is(200);
    let stale = [("if-match", "\"1\"")];
    let answer = desk
        .json_if("PATCH", BLUE, &stale, json!({ "keepalive": 1 }))
        .await;
    let mut answer = answer.refused(412, "precondition_failed");
    answer.json["conflict"]["time"] = json!("-");
    insta::assert_snapshot!(answer.pretty(), @r##"
{
  "code": "precondition_failed",
  "conflict": {
    "author": "anonymous",
    "diff": [
      {
        "after": "random",
        "before": null,
        "path": "/upstreams/blue/balance"
      }
    ],
    "forced": false,
    "number": 2,
    "reason": "canary",
    "reverts": null,
    "source": "127.0.0.1",
    "time": "-"
  },
  "detail": "/upstreams/blue: revision 2 changed it last",
  "errors": [],
  "status": 412,
  "title": "It changed since",
  "type": "urn:pointsman:problem:precondition_failed"
}
"##);
    assert_eq!(desk.revision(), 2);
    let fresh = [("if-match", "\"2\"")];
    desk.json_if("PATCH", BLUE, &fresh, json!({ "keepalive": 1 }))
        .await
        .is(200);
}

#[tokio::test]
async fn a_change_elsewhere_is_not_in_the_way() {
    let desk = Desk::new();
    desk.json(
        "PATCH",
        "/v1/upstreams/green",
        json!({ "balance": "random" }),
    )
    .await
    .is(200);
    let tag = [("if-match", "\"1\"")];
    desk.json_if("PATCH", BLUE, &tag, json!({ "keepalive": 1 }))
        .await
        .is(200);
}

#[tokio::test]
async fn only_the_strong_tag_itself_matches() {
    let desk = Desk::new();
    for tag in ["W/\"1\"", "\"01\"", "\"2\"", "\"\"", "\"one\"", "\"1 \""] {
        let answer = desk
            .json_if("PATCH", BLUE, &[("if-match", tag)], json!({}))
            .await;
        answer.refused(412, "precondition_failed");
    }
    for tag in ["1", "\"1", "x"] {
        let answer = desk
            .json_if("PATCH", BLUE, &[("if-match", tag)], json!({}))
            .await;
        answer.refused(400, "invalid_request");
    }
    for tag in ["\"1\"", "*", "\"7\", \"1\""] {
        desk.json_if("PATCH", BLUE, &[("if-match", tag)], json!({}))
            .await
            .is(200);
    }
}

#[tokio::test]
async fn a_star_asks_for_an_object_that_exists() {
    let desk = Desk::new();
    let body = json!({ "servers": ["10.0.9.1:80"] });
    for tag in ["*", "\"1\""] {
        let tag = [("if-match", tag)];
        let answer = desk
            .json_if("PUT", "/v1/upstreams/new", &tag, body.clone())
            .await;
        answer.refused(412, "precondition_failed");
    }
    let answer = desk.json_if(
        "PUT",
        "/v1/routes/new",
        &[("if-match", "*")],
        json!({ "to": "blue" }),
    );
    answer.await.refused(412, "precondition_failed");
}

#[tokio::test]
async fn create_only_leaves_what_exists() {
    let desk = Desk::new();
    let create = [("if-none-match", "*")];
    let body = json!({ "servers": ["10.0.9.1:80"] });
    let answer = desk.json_if("PUT", BLUE, &create, body.clone()).await;
    answer.refused(412, "precondition_failed");
    desk.json_if("PUT", "/v1/upstreams/new", &create, body)
        .await
        .is(201);
    let answer = desk
        .json_if("PUT", "/v1/routes/all", &create, json!({ "to": "green" }))
        .await;
    answer.refused(412, "precondition_failed");
    let tag = [("if-none-match", "\"1\"")];
    let answer = desk.json_if("PUT", BLUE, &tag, json!({})).await;
    answer.refused(400, "invalid_request");
}

#[tokio::test]
async fn what_was_deleted_is_in_the_way_with_the_revision_that_did_it() {
    let desk = Desk::new();
    desk.send("DELETE", "/v1/upstreams/green", &[], "")
        .await
        .is(204);
    desk.json("PATCH", BLUE, json!({ "keepalive": 1 }))
        .await
        .is(200);
    let tag = [("if-match", "\"1\"")];
    let answer = desk
        .json_if("PATCH", "/v1/upstreams/green", &tag, json!({}))
        .await;
    let answer = answer.refused(412, "precondition_failed");
    assert_eq!(answer.json["conflict"]["number"], 2);
    assert_eq!(answer.detail(), "/upstreams/green does not exist");
}

#[tokio::test]
async fn the_state_has_the_number_of_its_revision() {
    let desk = Desk::new();
    let state = desk.get("/v1/state").await.is(200);
    assert_eq!(state.header("etag"), "\"1\"");
    desk.json("PATCH", BLUE, json!({ "keepalive": 1 }))
        .await
        .is(200);
    let stale = [("if-match", "\"1\"")];
    let answer = desk
        .json_if("PUT", "/v1/state", &stale, state.json.clone())
        .await;
    answer.refused(412, "precondition_failed");
    let put = desk.json_if(
        "PUT",
        "/v1/state",
        &[("if-match", "\"2\"")],
        state.json.clone(),
    );
    let put = put.await.is(200);
    assert_eq!(
        (put.header("etag"), &put.json["routes"]),
        (
            "\"3\"",
            &json!([
                { "id": "all", "hosts": ["*"], "paths": ["/"], "to": "blue", "changed_at": 1 }
            ])
        )
    );
}

#[tokio::test]
async fn a_get_of_what_the_caller_has_is_304() {
    let desk = Desk::new();
    for path in [
        BLUE,
        "/v1/upstreams",
        "/v1/routes/all",
        "/v1/state",
        "/v1/upstreams/blue/servers",
    ] {
        for tag in ["\"1\"", "W/\"1\"", "*"] {
            let answer = desk
                .send("GET", path, &[("if-none-match", tag)], "")
                .await
                .is(304);
            assert_eq!((answer.header("etag"), answer.text.as_str()), ("\"1\"", ""));
            assert_eq!(answer.header("pointsman-revision"), "1");
        }
        desk.send("GET", path, &[("if-none-match", "\"2\"")], "")
            .await
            .is(200);
    }
}

#[tokio::test]
async fn conditions_of_a_switch_are_about_the_route_that_answers() {
    let desk = Desk::new();
    let path = "/v1/hosts/a.example/switch";
    let to = json!({ "to": "green" });
    let answer = desk
        .json_if("POST", path, &[("if-match", "\"9\"")], to.clone())
        .await;
    answer.refused(412, "precondition_failed");
    desk.json_if("POST", path, &[("if-match", "\"1\"")], to.clone())
        .await
        .is(200);
    let answer = desk
        .json_if(
            "POST",
            path,
            &[("if-match", "\"1\"")],
            json!({ "to": "blue" }),
        )
        .await;
    answer.refused(412, "precondition_failed");
}

#[tokio::test]
async fn a_switch_compares_with_the_route_that_answers_when_it_happens() {
    for _ in 0..20 {
        let desk = Desk::new();
        let own = json!({ "hosts": ["a.example"], "to": "blue" });
        let fresh = [("if-match", "\"1\"")];
        // The route of its own comes first, and neither waits for the other.
        let (put, switch) = tokio::join!(
            desk.json("PUT", "/v1/routes/own", own),
            desk.json_if(
                "POST",
                "/v1/hosts/a.example/switch",
                &fresh,
                json!({ "to": "green" }),
            ),
        );
        put.is(201);
        let switch = switch.refused(412, "precondition_failed");
        assert_eq!(switch.json["conflict"]["number"], 2);
        assert_eq!(switch.detail(), "/routes/own: revision 2 changed it last");
    }
}

#[tokio::test]
async fn any_tag_of_a_list_may_match_when_the_change_happens() {
    let desk = Desk::new();
    let either = [("if-match", "\"1\", \"2\"")];
    let (first, second) = tokio::join!(
        desk.json("PATCH", BLUE, json!({ "keepalive": 1 })),
        desk.json_if("PATCH", BLUE, &either, json!({ "balance": "random" })),
    );
    first.is(200);
    second.is(200);
}

#[tokio::test]
async fn a_limited_token_switches_no_route_that_came_to_lead_elsewhere_meanwhile() {
    for _ in 0..20 {
        let desk = Desk::with(|settings| {
            settings.tokens = vec![
                token("root", "root", Role::Admin, &["*"]),
                token("blue", "blue", Role::Operate, &["blue"]),
            ];
        });
        let own = json!({ "hosts": ["a.example"], "to": "green" });
        let root = [("authorization", "Bearer root")];
        let blue = [
            ("authorization", "Bearer blue"),
            ("if-match", "\"1\", \"2\""),
        ];
        let (put, switch) = tokio::join!(
            desk.json_if("PUT", "/v1/routes/own", &root, own),
            desk.json_if(
                "POST",
                "/v1/hosts/a.example/switch",
                &blue,
                json!({ "to": "blue" }),
            ),
        );
        put.is(201);
        switch.refused(403, "forbidden");
    }
}
