use serde_json::json;

use super::{Answer, Desk};
use crate::nginx::LONGEST_TEXT;

const DYHOST: &str = "server 127.0.0.1:28089;server 127.0.0.1:28088 weight=3 max_conns=9 max_fails=4 fail_timeout=7 backup;";

/// A state without groups.
async fn empty() -> Desk {
    let desk = Desk::new();
    desk.json("PUT", "/v1/state", json!({})).await.is(200);
    desk
}

/// No answer of dyups has a content type.
async fn call(desk: &Desk, method: &str, path: &str, body: &str) -> (u16, String) {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer: Answer = desk.send(method, path, &form, body).await;
    assert_eq!(answer.header("content-type"), "", "{method} {path}");
    (answer.status, answer.text)
}

async fn post(desk: &Desk, name: &str, body: &str) -> (u16, String) {
    call(desk, "POST", &format!("/upstream/{name}"), body).await
}

const SUCCESS: &str = "success";
const FAILED: &str = "add server failed";

/// One after the other: method, path, body; status, text.
const RECORDED: &[(&str, &str, &str, u16, &str)] = &[
    ("GET", "/list", "", 204, ""),
    ("GET", "/detail", "", 204, ""),
    (
        "POST",
        "/upstream/host1",
        "server 127.0.0.1:28088;",
        200,
        SUCCESS,
    ),
    ("POST", "/upstream/dyhost", DYHOST, 200, SUCCESS),
    ("GET", "/list", "", 200, "dyhost\nhost1\n"),
    (
        "GET",
        "/detail",
        "",
        200,
        "dyhost
server 127.0.0.1:28089 weight=1 max_conns=0 max_fails=1 fail_timeout=10 backup=0 down=0
server 127.0.0.1:28088 weight=3 max_conns=9 max_fails=4 fail_timeout=7 backup=1 down=0

host1
server 127.0.0.1:28088 weight=1 max_conns=0 max_fails=1 fail_timeout=10 backup=0 down=0

",
    ),
    (
        "GET",
        "/upstream/host1",
        "",
        200,
        "server 127.0.0.1:28088\n",
    ),
    ("GET", "/upstream/nosuch", "", 404, ""),
    ("GET", "/upstream", "", 404, ""),
    ("GET", "/upstream/host1/x", "", 404, ""),
    ("POST", "/upstream/dyhost", "", 500, FAILED),
    (
        "POST",
        "/upstream/dyhost",
        "sevrer 127.0.0.1:1;",
        500,
        FAILED,
    ),
    ("POST", "/upstream/dyhost", "ntlm;", 500, FAILED),
    (
        "POST",
        "/upstream/a/b",
        DYHOST,
        404,
        "not support this interface",
    ),
    (
        "POST",
        "/upstream",
        DYHOST,
        404,
        "not support this interface",
    ),
    ("POST", "/list", DYHOST, 404, "not support this interface"),
    ("POST", "/list/x", DYHOST, 404, "not support this api"),
    ("PUT", "/list", "", 405, ""),
    ("HEAD", "/list", "", 405, ""),
    ("PATCH", "/upstream/dyhost", DYHOST, 405, ""),
    ("PUT", "/upstream/dyhost", DYHOST, 405, ""),
    ("OPTIONS", "/detail", "", 405, ""),
    ("DELETE", "/upstream", "", 405, "not support this interface"),
    (
        "DELETE",
        "/upstream/a/b",
        "",
        405,
        "not support this interface",
    ),
    ("DELETE", "/list", "", 405, "not support this interface"),
    ("DELETE", "/detail/bar", "", 405, "not support this api"),
    ("DELETE", "/upstream/dyhost", "", 200, SUCCESS),
    ("DELETE", "/upstream/dyhost", "", 404, "not found uptream"),
    ("DELETE", "/upstream/unknown", "", 404, "not found uptream"),
    ("GET", "/list", "", 200, "host1\n"),
];

#[tokio::test]
async fn every_recorded_exchange_is_answered_as_recorded() {
    let desk = empty().await;
    for (method, path, body, status, text) in RECORDED {
        let answer = call(&desk, method, path, body).await;
        assert_eq!(
            answer,
            (*status, (*text).to_owned()),
            "{method} {path} {body}"
        );
    }
}

#[tokio::test]
async fn a_body_that_fails_leaves_the_old_group() {
    let desk = empty().await;
    post(&desk, "a", DYHOST).await;
    let (_, before) = call(&desk, "GET", "/detail", "").await;
    let revision = desk.revision();
    let long = format!("{}{}", DYHOST, " ".repeat(LONGEST_TEXT - DYHOST.len()));
    for bad in [
        "server 127.0.0.1:1",
        "server 127.0.0.1:1; server",
        "server 127.0.0.1:1; server 127.0.0.1:1;",
        "server 127.0.0.1:1 weight=0;",
        "server 127.0.0.1:1 weight=65536;",
        "server 127.0.0.1:0;",
        "server 127.0.0.1:1 backup;",
        "server 127.0.0.1:1; ntlm;",
        "server 127.0.0.1:1; hash $uri;",
        "server 127.0.0.1:1; sticky cookie a;",
        "upstream a { server 127.0.0.1:1; }",
        r#"{"servers":["127.0.0.1:1"]}"#,
        r#"["127.0.0.1:1"]"#,
        "server=127.0.0.1:1",
        "server 169.254.169.254:80;",
        "server 127.0.0.1:9900;",
        "server 127.0.0.1:1; check interval=90000000;",
        "server \"127.0.0.1:1;",
        "\u{0}",
        &long[1..],
    ] {
        assert_eq!(
            post(&desk, "a", bad).await,
            (500, FAILED.into()),
            "{bad:.60}"
        );
    }
    let answer = desk
        .send("POST", "/upstream/a", &[], &format!("{long} "))
        .await;
    answer.refused(413, "body_too_large");
    assert_eq!(desk.revision(), revision);
    assert_eq!(call(&desk, "GET", "/detail", "").await, (200, before));
    // To the last byte of the limit it is taken.
    assert_eq!(post(&desk, "b", &long).await, (200, SUCCESS.into()));
}

#[tokio::test]
async fn a_block_is_stored_with_all_that_it_says() {
    let desk = empty().await;
    let body = "least_conn;\nserver 10.0.0.1 slow_start=5s down; server unix:/a max_conns=3;\nkeepalive 8; # kept\ncheck interval=3000 type=http;";
    assert_eq!(post(&desk, "web", body).await, (200, SUCCESS.into()));
    let state = desk.get("/v1/state").await.json;
    assert_eq!(
        state["upstreams"]["web"],
        json!({
            "balance": "least_connections",
            "servers": [
                { "address": "10.0.0.1:80", "weight": 1, "admin": "down", "backup": false, "slow_start": "5s" },
                { "address": "unix:/a", "weight": 1, "admin": "up", "backup": false, "max_connections": 3 },
            ],
            "keepalive": 8,
            "health": { "type": "http", "request": "GET / HTTP/1.0\r\n\r\n", "interval": "3s", "timeout": "1s",
                "fall": 5, "rise": 2, "statuses": ["200-299", "300-399"], "start": "down" },
            "changed_at": desk.revision(),
        })
    );
}

#[tokio::test]
async fn a_group_keeps_what_nginx_says_outside_of_its_block() {
    let desk = empty().await;
    let old = json!({
        "host": "without_port", "retry": { "attempts": 1 }, "min_healthy": 1,
        "timeouts": { "connect": "1s", "idle": "9s" },
        "balance": "random", "keepalive": 5, "health": {}, "servers": ["10.0.0.1"],
    });
    desk.json("PUT", "/v1/upstreams/web", old).await.is(201);
    post(&desk, "WEB", "server 10.0.0.1; server 10.0.0.2;").await;
    let server =
        |address: &str| json!({ "address": address, "weight": 1, "admin": "up", "backup": false });
    let state = desk.get("/v1/state").await.json;
    assert_eq!(
        state["upstreams"]["WEB"],
        json!({
            "host": "without_port", "retry": { "attempts": 1 }, "min_healthy": 1,
            "timeouts": { "connect": "1s" },
            "servers": [server("10.0.0.1:80"), server("10.0.0.2:80")],
            "changed_at": desk.revision(),
        })
    );
    let said = "server 10.0.0.1; least_conn; keepalive 3; keepalive_timeout 4;";
    post(&desk, "web", said).await;
    let web = &desk.get("/v1/state").await.json["upstreams"]["web"];
    assert_eq!(web["timeouts"], json!({ "connect": "1s", "idle": "4s" }));
    assert_eq!(
        (&web["balance"], &web["keepalive"]),
        (&json!("least_connections"), &json!(3))
    );
}

#[tokio::test]
async fn what_the_operator_and_rest_say_is_shown_as_nginx_would() {
    let desk = empty().await;
    let servers = json!([
        { "address": "10.0.0.1", "admin": "drain", "fail_timeout": "1500ms" },
        { "address": "10.0.0.2", "admin": "down", "max_fails": 0, "fail_timeout": "0s" },
        { "address": "[::1]:81", "weight": 0 },
    ]);
    desk.json("PUT", "/v1/upstreams/web", json!({ "servers": servers }))
        .await
        .is(201);
    desk.json("PUT", "/v1/upstreams/Idle", json!({}))
        .await
        .is(201);
    let (_, text) = call(&desk, "GET", "/detail", "").await;
    assert_eq!(
        text,
        "Idle

web
server 10.0.0.1:80 weight=1 max_conns=0 max_fails=1 fail_timeout=2 backup=0 down=1
server 10.0.0.2:80 weight=1 max_conns=0 max_fails=0 fail_timeout=0 backup=0 down=1
server [::1]:81 weight=0 max_conns=0 max_fails=1 fail_timeout=10 backup=0 down=0

"
    );
    assert_eq!(
        call(&desk, "GET", "/upstream/idle", "").await,
        (200, String::new())
    );
}

#[tokio::test]
async fn names_and_paths_are_read_as_nginx_reads_them() {
    let desk = empty().await;
    let body = "server 127.0.0.1:1;";
    for (path, status) in [
        ("/upstream/a", 200),
        ("/Upstream/A", 200),
        ("/upstream/%62", 200),
        ("//upstream//c/", 200),
        ("/x/../upstream/d?x=y", 200),
        ("/upstream/10.0.0.1:80", 200),
        ("/upstream/a%2Fb", 404),
        ("/upstream/%20", 500),
        ("/upstream/a%0Ab", 500),
        ("/upstream/%C3%A9", 500),
        ("/upstream/a%00", 500),
    ] {
        assert_eq!(call(&desk, "POST", path, body).await.0, status, "{path}");
    }
    let long = "n".repeat(255);
    assert_eq!(post(&desk, &long, body).await.0, 200);
    assert_eq!(post(&desk, &format!("{long}n"), body).await.0, 500);
    let (_, list) = call(&desk, "GET", "/LIST/whatever", "").await;
    assert_eq!(list, format!("10.0.0.1:80\nA\nb\nc\nd\n{long}\n"));
    assert_eq!(
        call(&desk, "GET", "/upstream/%41", "").await,
        (200, "server 127.0.0.1:1\n".into())
    );
    for path in ["/upstream/%20", "/upstream/a%00"] {
        assert_eq!(call(&desk, "GET", path, "").await, (404, String::new()));
        assert_eq!(
            call(&desk, "DELETE", path, "").await,
            (404, "not found uptream".into())
        );
    }
    desk.get("/upstreams").await.refused(404, "not_found");
    desk.get("/listing").await.refused(404, "not_found");
}

#[tokio::test]
async fn a_group_goes_by_the_name_that_was_posted_last() {
    let desk = empty().await;
    let body = "server 127.0.0.1:1;";
    for name in ["host1", "HOST1", "Host1"] {
        post(&desk, name, body).await;
        assert_eq!(call(&desk, "GET", "/list", "").await.1, format!("{name}\n"));
        let (_, detail) = call(&desk, "GET", "/detail", "").await;
        assert!(detail.starts_with(name), "{detail}");
    }
    let revision = desk.revision();
    post(&desk, "Host1", body).await;
    assert_eq!(desk.revision(), revision);
}

#[tokio::test]
async fn a_group_in_use_is_deleted_here_and_kept_by_rest() {
    let desk = Desk::new();
    let delete = desk.send("DELETE", "/v1/upstreams/blue", &[], "").await;
    delete.refused(409, "upstream_in_use");
    assert_eq!(
        call(&desk, "DELETE", "/upstream/blue", "").await,
        (200, SUCCESS.into())
    );
    let revision = desk.get("/v1/revisions/2").await.json;
    assert_eq!(revision["author"], "legacy:dyups");
    assert_eq!(revision["source"], "127.0.0.1");
    assert_eq!(desk.get("/v1/routes/all").await.json["to"], "blue");
    // Its return needs nothing else.
    assert_eq!(
        post(&desk, "blue", "server 10.0.0.1;").await,
        (200, SUCCESS.into())
    );
}

#[tokio::test]
async fn a_rail_refuses_as_a_failure_does() {
    let desk = Desk::new();
    let down = "server 10.0.0.1 down; server 10.0.0.3 down;";
    assert_eq!(post(&desk, "blue", down).await, (500, FAILED.into()));
    // Servers that wait for their checks are none that could take a request.
    let checked = "server 10.0.0.3; check interval=3000";
    assert_eq!(
        post(&desk, "blue", &format!("{checked};")).await,
        (500, FAILED.into())
    );
    let beside = format!("server 10.0.0.1; {checked};");
    assert_eq!(post(&desk, "blue", &beside).await, (200, SUCCESS.into()));
    let at_once = format!("{checked} default_down=false;");
    assert_eq!(post(&desk, "green", &at_once).await, (200, SUCCESS.into()));
    // A new group has nothing to lose.
    assert_eq!(post(&desk, "new", down).await, (200, SUCCESS.into()));
}

/// The original's listener is its own; here other paths are what they are without it.
#[tokio::test]
async fn paths_beside_its_own_are_answered_as_always() {
    let desk = Desk::new();
    for (method, path) in [
        ("GET", "/zzz"),
        ("GET", "/lists"),
        ("POST", "/foo/x"),
        ("DELETE", "/foo/bar"),
    ] {
        let answer = desk.send(method, path, &[], "").await;
        answer.refused(404, "not_found");
    }
    desk.get("/v1/upstreams/blue").await.is(200);
}
