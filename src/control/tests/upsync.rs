use serde_json::json;

use super::Desk;

async fn page(desk: &Desk, query: &str) -> String {
    let answer = desk.get(&format!("/upstream_show{query}")).await.is(200);
    assert_eq!(answer.header("content-type"), "text/plain");
    answer.text
}

#[tokio::test]
async fn a_group_and_all_groups_are_shown_as_the_module_shows_them() {
    let desk = Desk::new();
    let servers = json!({ "servers": [
        { "address": "127.0.0.1:8088", "weight": 10, "max_fails": 3 },
        { "address": "127.0.0.1:8089", "max_fails": 2, "fail_timeout": "1500ms", "admin": "down" },
        { "address": "127.0.0.1:8090", "backup": true, "admin": "drain" },
    ] });
    desk.json("PUT", "/v1/upstreams/Test", servers)
        .await
        .is(201);
    let test = "Upstream name: Test; Backend server count: 3
        server 127.0.0.1:8088 weight=10 max_fails=3 fail_timeout=10s;
        server 127.0.0.1:8089 weight=1 max_fails=2 fail_timeout=2s down;
        server 127.0.0.1:8090 weight=1 max_fails=1 fail_timeout=10s down;
";
    assert_eq!(page(&desk, "?Test").await, test);
    assert_eq!(page(&desk, "?tEST").await, test);
    let all = format!(
        "Upstream name: blue; Backend server count: 2
        server 10.0.0.1:80 weight=1 max_fails=1 fail_timeout=10s;
        server 10.0.0.2:80 weight=2 max_fails=1 fail_timeout=10s;

Upstream name: green; Backend server count: 1
        server 10.0.1.1:80 weight=1 max_fails=1 fail_timeout=10s;

{test}
"
    );
    assert_eq!(page(&desk, "").await, all);
    assert_eq!(page(&desk, "?").await, all);
}

#[tokio::test]
async fn an_unknown_group_and_no_groups_are_said_in_a_line() {
    let desk = Desk::new();
    let unknown = "The upstream you requested does not exist. Please double-check the name";
    for query in [
        "?nosuch",
        "?blue&x",
        "?name=blue",
        "?bl%75e",
        "?%00",
        "?blue%20",
    ] {
        assert_eq!(page(&desk, query).await, unknown, "{query}");
    }
    desk.json("PUT", "/v1/state", json!({})).await.is(200);
    assert_eq!(page(&desk, "").await, "No upstreams defined");
    assert_eq!(page(&desk, "?blue").await, unknown);
}

#[tokio::test]
async fn the_page_is_for_get_and_head_alone() {
    let desk = Desk::new();
    let head = desk
        .send("HEAD", "/upstream_show?blue", &[], "")
        .await
        .is(200);
    assert_eq!(head.header("content-type"), "text/plain");
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = desk
            .send(method, "/upstream_show?blue", &[], "")
            .await
            .is(405);
        assert_eq!(answer.text, "");
    }
    desk.get("/upstream_show/").await.refused(404, "not_found");
    assert_eq!(desk.revision(), 1);
}
