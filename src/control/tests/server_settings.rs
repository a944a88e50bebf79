use serde_json::{Value, json};

use super::Desk;

const SERVER: &str = "/v1/upstreams/green/servers/10.0.1.1:80";
const KEYS: [&str; 4] = ["max_connections", "max_fails", "fail_timeout", "slow_start"];

async fn settings(desk: &Desk) -> Vec<Value> {
    let server = desk.get(SERVER).await.is(200).json;
    KEYS.map(|key| server[key].clone()).to_vec()
}

#[tokio::test]
async fn a_servers_settings_are_shown_changed_restored_and_taken_back() {
    let desk = Desk::new();
    let defaults = vec![json!(0), json!(1), json!("10s"), json!("0s")];
    assert_eq!(settings(&desk).await, defaults);
    let set = json!({ "max_connections": 9, "max_fails": 0, "fail_timeout": "1500ms", "slow_start": "1m" });
    desk.json("PATCH", SERVER, set).await.is(200);
    let changed = vec![json!(9), json!(0), json!("1500ms"), json!("1m")];
    assert_eq!(settings(&desk).await, changed);

    // Another edit of the same server, and one of its group, leave them alone.
    desk.json("PATCH", SERVER, json!({ "weight": 3 }))
        .await
        .is(200);
    desk.json("PATCH", "/v1/upstreams/green", json!({ "keepalive": 5 }))
        .await
        .is(200);
    assert_eq!(settings(&desk).await, changed);
    desk.act("/v1/revisions/1/restore").await.is(200);
    assert_eq!(settings(&desk).await, defaults);
    desk.act("/v1/revisions/2/restore").await.is(200);
    assert_eq!(settings(&desk).await, changed);
    desk.json(
        "PATCH",
        SERVER,
        json!({ "max_fails": null, "slow_start": null }),
    )
    .await
    .is(200);
    assert_eq!(
        settings(&desk).await,
        [json!(9), json!(1), json!("1500ms"), json!("0s")]
    );
}

#[tokio::test]
async fn what_a_get_shows_can_be_put() {
    let desk = Desk::new();
    let shown = desk.get("/v1/upstreams/blue").await.json;
    desk.json("PUT", "/v1/upstreams/blue", shown).await.is(200);
    assert_eq!(desk.revision(), 1);
}

#[tokio::test]
async fn a_form_sets_them_too() {
    let desk = Desk::new();
    let form = "address=10.0.1.2:80&max_connections=7&max_fails=2&fail_timeout=3s&slow_start=4s";
    let added = desk
        .form("/v1/upstreams/green/servers", form)
        .await
        .is(201)
        .json;
    assert_eq!(
        KEYS.map(|key| added[key].clone()),
        [json!(7), json!(2), json!("3s"), json!("4s")]
    );
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_named_and_nothing_changes() {
    let desk = Desk::new();
    for (key, value, told) in [
        (
            "max_fails",
            json!(-1),
            "a whole number that is not negative",
        ),
        (
            "max_connections",
            json!("many"),
            "a whole number that is not negative",
        ),
        ("fail_timeout", json!(10), "a length of time with its unit"),
        ("slow_start", json!("1y"), "`1y` is not a length of time"),
        ("tier", json!(-1), "a whole number from 0 to 65535"),
        ("labels", json!([]), "a mapping"),
        ("max_fail", json!(1), "did you mean `max_fails`?"),
    ] {
        let answer = desk.json("PATCH", SERVER, json!({ key: value })).await;
        let answer = answer.refused(400, "invalid_field");
        assert_eq!(
            answer.json["errors"][0]["pointer"],
            format!("/{key}"),
            "{}",
            answer.text
        );
        assert!(answer.detail().contains(told), "{}", answer.text);
    }
    assert_eq!(desk.revision(), 1);
}
