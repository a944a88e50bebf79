use serde_json::json;
use sha2::{Digest, Sha256};

use super::Desk;
use crate::control::{Role, Token};
use crate::domain::server::Health;
use crate::ports::legacy::Interface;
use crate::spec::{Name, NamePattern};

const SWITCH: &str = "/_switch_upstream?upstream=green&host=a.example";

fn token(name: &str, role: Role, upstreams: &str) -> Token {
    Token {
        name: name.into(),
        sha256: Sha256::digest(name).into(),
        role,
        upstreams: vec![NamePattern::try_from(upstreams.to_owned()).unwrap()],
    }
}

#[tokio::test]
async fn a_change_by_get_is_protected_from_other_pages() {
    let desk = Desk::new();
    for header in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("referer", "http://evil.example/page"),
        ("referer", "http://127.0.0.1:8080/"),
        ("referer", "http://127.0.0.1:9900@evil.example/"),
        ("referer", "about:blank"),
        ("host", "evil.example"),
    ] {
        let answer = desk.send("GET", SWITCH, &[header], "").await;
        answer.refused(403, "forbidden");
    }
    assert_eq!(desk.revision(), 1);
    for header in [
        ("origin", "http://127.0.0.1:9900"),
        ("sec-fetch-site", "none"),
        ("referer", "http://127.0.0.1:9900/x?y"),
        ("referer", "http://127.0.0.1:9900"),
    ] {
        let answer = desk.send("GET", SWITCH, &[header], "").await.is(200);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    assert_eq!(desk.revision(), 2);
}

#[tokio::test]
async fn a_page_needs_a_token_that_may_read_and_a_change_one_that_may_operate() {
    let desk = Desk::with(|settings| {
        settings.tokens = vec![
            token("looker", Role::Read, "*"),
            token("deploy", Role::Operate, "*"),
            token("blue-only", Role::Operate, "blue"),
        ];
    });
    desk.get(SWITCH).await.refused(401, "unauthorized");
    desk.get("/_switch_upstream")
        .await
        .refused(401, "unauthorized");
    let bearing = async |secret: &str, path: &str| {
        let authorization = format!("Bearer {secret}");
        desk.send("GET", path, &[("authorization", &authorization)], "")
            .await
    };
    assert_eq!(
        bearing("looker", "/_switch_upstream").await.is(200).text,
        "upstream is nil 1\n"
    );
    let refused = bearing("looker", SWITCH).await.is(403);
    assert_eq!(
        refused.text,
        "the token `looker` has the role `read`; this needs `operate`\n"
    );
    let refused = bearing("blue-only", SWITCH).await.is(403);
    assert_eq!(
        refused.text,
        "the token `blue-only` is limited to some upstreams; this touches others\n"
    );
    assert_eq!(desk.revision(), 1);
    let switched = bearing("deploy", SWITCH).await.is(200);
    assert_eq!(switched.header("pointsman-revision"), "2");
    let revision = bearing("looker", "/v1/revisions/2").await.is(200).json;
    assert_eq!(revision["author"], "legacy:switch:deploy");
    assert_eq!(revision["source"], "127.0.0.1");
}

#[tokio::test]
async fn only_what_is_mounted_is_served() {
    let desk = Desk::with(|settings| settings.legacy = vec![Interface::Ups]);
    desk.get("/_switch_upstream")
        .await
        .refused(404, "not_found");
    let desk = Desk::new();
    for path in [
        "/_switch_upstream",
        "//_switch_upstream",
        "/%5fswitch_upstream",
    ] {
        assert_eq!(
            desk.get(path).await.is(200).text,
            "upstream is nil 1\n",
            "{path}"
        );
    }
    desk.get("/_switch_upstream/")
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn a_body_over_64_kib_is_413() {
    let desk = Desk::new();
    let answer = desk.form(SWITCH, &"x".repeat(65_537)).await;
    answer.refused(413, "body_too_large");
    desk.form(SWITCH, &"x".repeat(65_536)).await.is(200);
}

fn set_health(desk: &Desk, upstream: &str, place: usize, health: Health) {
    let snapshot = desk.controller.snapshot().load_full();
    let upstream = snapshot.upstream(&Name::new(upstream).unwrap()).unwrap();
    upstream.servers()[place].shared().set_health(health, 1);
}

#[tokio::test]
async fn what_the_operator_wants_and_what_checks_see_stay_apart() {
    let desk = Desk::new();
    let checked = json!({ "servers": ["10.0.0.1:80", "10.0.0.2:80"], "health": {} });
    desk.json("PUT", "/v1/upstreams/blue", checked)
        .await
        .is(200);
    set_health(&desk, "blue", 0, Health::Down);
    // The other one is the last that could take a request.
    let refused = desk.get("/ups?op=del&server=10.0.0.2:80").await.is(200);
    assert_eq!(
        refused.json["msg"],
        "You cat not set peer down: 10.0.0.2:80"
    );
    desk.get("/ups?op=del&server=10.0.0.1:80").await.is(200);
    desk.get("/ups?op=add&server=10.0.0.1:80").await.is(200);
    let server = desk
        .get("/v1/upstreams/blue/servers/10.0.0.1:80")
        .await
        .is(200);
    let status = &server.json["status"];
    assert_eq!(
        (&status["state"], &status["health"]),
        (&json!("unhealthy"), &json!("down"))
    );
    assert_eq!(server.json["admin"], "up");
}

#[tokio::test]
async fn min_healthy_refuses_as_the_last_server_does() {
    let desk = Desk::new();
    let careful = json!({ "servers": ["10.0.0.1:80", "10.0.0.2:80"], "min_healthy": 2 });
    desk.json("PUT", "/v1/upstreams/blue", careful)
        .await
        .is(200);
    let refused = desk.get("/ups?op=del&server=10.0.0.1:80").await.is(200);
    assert_eq!(
        refused.text,
        "{\"msg\":\"You cat not set peer down: 10.0.0.1:80\",\"data\":[\"10.0.0.1:80\"],\"code\":\"E00001\"}\n"
    );
}
