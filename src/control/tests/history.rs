use serde_json::json;

use super::Desk;

async fn with_three_revisions() -> Desk {
    let desk = Desk::new();
    let reason = [("pointsman-reason", "kernel update")];
    let down = "/v1/upstreams/blue/servers/10.0.0.1:80/down";
    desk.send("POST", down, &reason, "").await.is(200);
    desk.form("/v1/routes/all/switch", "to=green").await.is(200);
    desk
}

#[tokio::test]
async fn the_history_says_who_changed_what_when_and_why() {
    let desk = with_three_revisions().await;
    let mut answer = desk.get("/v1/revisions/2").await.is(200);
    assert_eq!(answer.header("etag"), "\"2\"");
    assert!(answer.json["time"].as_str().unwrap().ends_with('Z'));
    answer.json["time"] = json!("-");
    insta::assert_snapshot!(answer.pretty(), @r##"
{
  "author": "anonymous",
  "changes": [
    {
      "address": "10.0.0.1:80",
      "op": "patch_server",
      "server": {
        "admin": "down"
      },
      "upstream": "blue"
    }
  ],
  "diff": [
    {
      "after": "down",
      "before": "up",
      "path": "/upstreams/blue/servers/10.0.0.1:80/admin"
    }
  ],
  "forced": false,
  "number": 2,
  "reason": "kernel update",
  "reverts": null,
  "source": "127.0.0.1",
  "time": "-"
}
"##);
    desk.get("/v1/revisions/9")
        .await
        .refused(404, "revision_not_found");
    desk.get("/v1/revisions/0")
        .await
        .refused(404, "revision_not_found");
    desk.get("/v1/revisions/two")
        .await
        .refused(400, "invalid_request");
}

#[tokio::test]
async fn the_history_is_listed_newest_first_in_pages() {
    let desk = with_three_revisions().await;
    let numbers = async |query: &str| {
        let answer = desk.get(&format!("/v1/revisions{query}")).await.is(200);
        let all = answer.json.as_array().unwrap().iter();
        all.map(|one| one["number"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers("").await, [3, 2, 1]);
    assert_eq!(numbers("?limit=2").await, [3, 2]);
    assert_eq!(numbers("?limit=2&before=2").await, [1]);
    for query in [
        "?limit=0",
        "?limit=1001",
        "?limit=x",
        "?before=-1",
        "?limit=%2B1",
    ] {
        let answer = desk.get(&format!("/v1/revisions{query}")).await;
        answer.refused(400, "invalid_parameter");
    }
}

#[tokio::test]
async fn two_revisions_are_compared_in_either_direction() {
    let desk = with_three_revisions().await;
    let answer = desk.get("/v1/revisions/1/diff/3").await.is(200);
    insta::assert_snapshot!(answer.pretty(), @r##"
{
  "diff": [
    {
      "after": "down",
      "before": "up",
      "path": "/upstreams/blue/servers/10.0.0.1:80/admin"
    },
    {
      "after": "green",
      "before": "blue",
      "path": "/routes/all/to"
    }
  ],
  "from": 1,
  "to": 3
}
"##);
    let back = desk.get("/v1/revisions/3/diff/1").await.is(200).json;
    assert_eq!(back["diff"][0]["after"], answer.json["diff"][0]["before"]);
    let same = desk.get("/v1/revisions/2/diff/2").await.is(200).json;
    assert_eq!(same["diff"], json!([]));
    desk.get("/v1/revisions/1/diff/9")
        .await
        .refused(404, "revision_not_found");
}

#[tokio::test]
async fn a_restore_is_a_new_revision_with_the_old_content() {
    let desk = with_three_revisions().await;
    let preview = desk
        .act("/v1/revisions/1/restore?dry_run=true")
        .await
        .is(200)
        .json;
    assert_eq!((&preview["revision"], desk.revision()), (&json!(null), 3));
    let done = desk.act("/v1/revisions/1/restore").await.is(200);
    assert_eq!(
        (&done.json["revision"], &done.json["diff"]),
        (&json!(4), &preview["diff"])
    );
    let revision = desk.get("/v1/revisions/4").await.json;
    assert_eq!(
        (
            &revision["reverts"],
            &revision["changes"].as_array().unwrap().len()
        ),
        (&json!(1), &2)
    );
    let diff = desk.get("/v1/revisions/1/diff/4").await.json;
    assert_eq!(diff["diff"], json!([]));
    let again = desk.act("/v1/revisions/1/restore").await.is(200);
    assert_eq!(
        (&again.json["revision"], &again.json["diff"]),
        (&json!(4), &json!([]))
    );
    desk.act("/v1/revisions/9/restore")
        .await
        .refused(404, "revision_not_found");
}

#[tokio::test]
async fn a_restore_obeys_the_rails_and_conditions() {
    let desk = with_three_revisions().await;
    let reason = [("pointsman-reason", "fire drill")];
    let last = "/v1/upstreams/blue/servers/10.0.0.2:80";
    let forced = format!("{last}/down?force=true");
    desk.send("POST", &forced, &reason, "").await.is(200);
    desk.act(&format!("{last}/up")).await.is(200);
    let answer = desk.act("/v1/revisions/4/restore").await;
    answer.refused(409, "rail_last_server");
    let stale = [("if-match", "\"2\"")];
    let answer = desk
        .send("POST", "/v1/revisions/1/restore", &stale, "")
        .await;
    answer.refused(412, "precondition_failed");
}

#[tokio::test]
async fn restored_routes_that_lead_nowhere_are_kept_with_a_warning() {
    let desk = Desk::new();
    let changes = json!({ "changes": [
        { "op": "put_route", "id": "old", "route": { "hosts": ["old.example"], "to": "green" } },
    ]});
    desk.json("POST", "/v1/changes", changes).await.is(200);
    let state = desk.get("/v1/state").await.json;
    desk.json("PUT", "/v1/state", state).await.is(200);
    let status = desk.get("/v1/status").await.json;
    assert!(
        status["file"]
            .as_str()
            .unwrap()
            .starts_with("the state differs")
    );
}

#[tokio::test]
async fn a_change_of_the_order_of_routes_shows_the_order() {
    let desk = Desk::new();
    for id in ["b", "c", "d"] {
        let route = json!({ "hosts": [id], "to": "blue" });
        let path = format!("/v1/routes/{id}");
        desk.json("PUT", &path, route).await.is(201);
    }
    let order = json!({ "changes": [{ "op": "order_routes", "ids": ["all", "c", "b", "d"] }] });
    let expected = json!([{ "path": "/routes", "before": ["b", "c"], "after": ["c", "b"] }]);
    let preview = desk.json("POST", "/v1/changes?dry_run=true", order.clone());
    assert_eq!(preview.await.is(200).json["diff"], expected);
    let state = desk.get("/v1/state").await.is(200).json;
    desk.json("POST", "/v1/changes", order).await.is(200);
    let revision = desk.get("/v1/revisions/5").await.is(200);
    assert_eq!(revision.json["diff"], expected);
    desk.json("PUT", "/v1/state", state).await.is(200);
    let back = desk.get("/v1/revisions/5/diff/6").await.is(200);
    let expected = json!([{ "path": "/routes", "before": ["c", "b"], "after": ["b", "c"] }]);
    assert_eq!(back.json["diff"], expected);
}
