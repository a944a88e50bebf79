use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Answer, Desk};
use crate::control::protection::Connection;
use crate::control::{Place, Role, Token};
use crate::spec::NamePattern;

const DOWN: &str = "/v1/upstreams/blue/servers/10.0.0.1:80/down";

pub(super) fn token(name: &str, secret: &str, role: Role, upstreams: &[&str]) -> Token {
    let pattern = |text: &&str| NamePattern::try_from((*text).to_owned()).unwrap();
    Token {
        name: name.into(),
        sha256: Sha256::digest(secret).into(),
        role,
        upstreams: upstreams.iter().map(pattern).collect(),
    }
}

/// One token of each role: its secret is its name.
fn guarded() -> Desk {
    Desk::with(|settings| {
        settings.tokens = vec![
            token("looker", "looker", Role::Read, &["*"]),
            token("deploy", "deploy", Role::Operate, &["*"]),
            token("blue-only", "blue-only", Role::Operate, &["b*"]),
            token("root", "root", Role::Admin, &["*"]),
            token("blue-root", "blue-root", Role::Admin, &["blue"]),
        ];
    })
}

async fn bearing(desk: &Desk, secret: &str, method: &str, path: &str, body: &str) -> Answer {
    let authorization = format!("Bearer {secret}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    desk.send(method, path, &headers, body).await
}

#[tokio::test]
async fn only_listed_addresses_may_connect() {
    let mut desk = Desk::new();
    for (source, status) in [
        ("127.0.0.1", 200),
        ("::1", 200),
        ("10.0.0.7", 403),
        ("127.0.0.2", 403),
    ] {
        desk.connection.source = Some(source.parse().unwrap());
        assert_eq!(desk.get("/healthz").await.status, status, "{source}");
    }
    desk.connection.source = None;
    desk.get("/v1/state").await.refused(403, "forbidden");
}

#[tokio::test]
async fn a_host_that_is_not_our_own_is_refused() {
    let desk = Desk::with(|settings| settings.hosts = vec!["edge.example".into()]);
    for (host, status) in [
        ("127.0.0.1:9900", 200),
        ("127.0.0.1", 200),
        ("127.0.0.2:1", 200),
        ("[::1]:9900", 200),
        ("localhost:9900", 200),
        ("LOCALHOST", 200),
        ("edge.example", 200),
        ("Edge.Example:9900", 200),
        ("evil.example", 403),
        ("evil.example:9900", 403),
        ("localhost.evil.example", 403),
        ("10.0.0.1:9900", 403),
        ("0.0.0.0:9900", 403),
        ("127.0.0.1@evil.example", 403),
        ("", 403),
    ] {
        let answer = desk.send("GET", "/v1/state", &[("host", host)], "").await;
        assert_eq!(answer.status, status, "{host}: {}", answer.text);
    }
    let twice = [("host", "localhost"), ("host", "localhost")];
    desk.send("GET", "/v1/state", &twice, "")
        .await
        .refused(400, "invalid_request");
    let answer = desk
        .send("GET", "http://evil.example/v1/state", &[], "")
        .await;
    answer.refused(403, "forbidden");
}

#[tokio::test]
async fn a_listener_on_every_address_is_called_by_the_one_that_was_reached() {
    let place = Place::Tcp(SocketAddr::from(([0, 0, 0, 0], 9900)));
    let mut desk = Desk::with(|settings| {
        settings.place = place;
        settings.tokens = vec![token("root", "root", Role::Admin, &["*"])];
    });
    desk.connection.local = Some(IpAddr::from([10, 0, 0, 5]));
    for (host, status) in [
        ("10.0.0.5:9900", 200),
        ("10.0.0.6:9900", 403),
        ("127.0.0.1", 403),
    ] {
        let headers = [("host", host), ("authorization", "Bearer root")];
        let answer = desk.send("GET", "/v1/state", &headers, "").await;
        assert_eq!(answer.status, status, "{host}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let desk = Desk::new();
    for (name, value, status) in [
        ("origin", "http://127.0.0.1:9900", 200),
        ("origin", "http://127.0.0.1", 403),
        ("origin", "https://127.0.0.1:9900", 403),
        ("origin", "http://localhost:9900", 403),
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("origin", "", 403),
        ("sec-fetch-site", "same-origin", 200),
        ("sec-fetch-site", "none", 200),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "cross-site", 403),
    ] {
        let answer = desk.send("POST", DOWN, &[(name, value)], "").await;
        assert_eq!(answer.status, status, "{name}: {value}");
    }
    let both = [
        ("origin", "http://127.0.0.1:9900"),
        ("origin", "http://evil.example"),
    ];
    desk.send("POST", DOWN, &both, "")
        .await
        .refused(403, "forbidden");
}

#[tokio::test]
async fn without_tokens_this_machine_may_do_everything() {
    let desk = Desk::new();
    desk.act(DOWN).await.is(200);
    let revision = desk.get("/v1/revisions/2").await.json;
    assert_eq!(
        (&revision["author"], &revision["source"]),
        (&json!("anonymous"), &json!("127.0.0.1"))
    );
    let mut socket =
        Desk::with(|settings| settings.place = Place::Unix(PathBuf::from("/run/p.sock")));
    socket.connection = Connection {
        source: None,
        local: None,
        is_tls: false,
    };
    let answer = socket.send("POST", DOWN, &[("host", "anything")], "").await;
    answer.is(200);
    assert_eq!(socket.get("/v1/revisions/2").await.json["source"], "unix");
}

#[tokio::test]
async fn off_loopback_nobody_may_do_anything_without_a_token() {
    let mut desk = Desk::with(|settings| {
        settings.place = Place::Tcp(SocketAddr::from(([10, 0, 0, 5], 9900)));
        settings.allow = vec!["10.0.0.0/8".parse().unwrap()];
    });
    desk.connection.source = Some(IpAddr::from([10, 0, 0, 9]));
    let host = [("host", "10.0.0.5:9900")];
    let answer = desk.send("GET", "/v1/state", &host, "").await;
    answer.refused(401, "unauthorized");
}

#[tokio::test]
async fn a_token_is_asked_for_everywhere_but_by_probes() {
    let desk = guarded();
    for path in [
        "/v1/state",
        "/v1/status",
        "/metrics",
        "/openapi.json",
        "/",
        "/nowhere",
    ] {
        let answer = desk.get(path).await.refused(401, "unauthorized");
        assert_eq!(
            answer.header("www-authenticate"),
            "Bearer realm=\"pointsman\""
        );
    }
    desk.get("/healthz").await.is(200);
    desk.get("/readyz").await.is(200);
    for authorization in [
        "Bearer",
        "Bearer ",
        "Basic cm9vdDo=",
        "root",
        "Bearer roo",
        "Bearer root2",
    ] {
        let answer = desk
            .send("GET", "/v1/state", &[("authorization", authorization)], "")
            .await;
        answer.refused(401, "unauthorized");
    }
    let wrong = bearing(&desk, "nobody", "GET", "/v1/state", "").await;
    let wrong = wrong.refused(401, "unauthorized");
    assert!(wrong.header("www-authenticate").contains("invalid_token"));
    desk.send("GET", "/v1/state", &[("authorization", "bearer root")], "")
        .await
        .is(200);
}

#[tokio::test]
async fn a_role_may_do_what_the_one_before_may() {
    let put = r#"{"servers":["10.0.5.1:80"]}"#;
    for (role, look, operate, administrate) in [
        ("looker", 200, 403, 403),
        ("deploy", 200, 200, 403),
        ("root", 200, 200, 201),
    ] {
        let desk = guarded();
        assert_eq!(
            bearing(&desk, role, "GET", "/v1/state", "").await.status,
            look
        );
        assert_eq!(bearing(&desk, role, "POST", DOWN, "").await.status, operate);
        let made = bearing(&desk, role, "PUT", "/v1/upstreams/red", put).await;
        assert_eq!(made.status, administrate, "{}", made.text);
        let same = bearing(&desk, role, "POST", "/v1/changes", r#"{"changes":[]}"#).await;
        assert_eq!(same.status, operate, "{}", same.text);
        let desk = guarded();
        let restored = bearing(&desk, role, "POST", "/v1/revisions/1/restore", "").await;
        assert_eq!(restored.status, if role == "root" { 200 } else { 403 });
    }
}

#[tokio::test]
async fn the_tokens_name_goes_into_the_history() {
    let desk = guarded();
    bearing(&desk, "deploy", "POST", DOWN, "").await.is(200);
    let revision = bearing(&desk, "looker", "GET", "/v1/revisions/2", "").await;
    assert_eq!(revision.json["author"], "deploy");
}

#[tokio::test]
async fn a_limited_token_touches_its_own_groups_only() {
    let desk = guarded();
    let green = "/v1/upstreams/green/servers";
    bearing(&desk, "blue-only", "POST", DOWN, "").await.is(200);
    let answer = bearing(
        &desk,
        "blue-only",
        "POST",
        green,
        r#"{"address":"10.0.1.2:80"}"#,
    )
    .await;
    answer.refused(403, "forbidden");
    let both = r#"{"changes":[{"op":"remove_server","upstream":"blue","address":"10.0.0.1:80"},
        {"op":"remove_server","upstream":"green","address":"10.0.1.1:80"}]}"#;
    let answer = bearing(&desk, "blue-only", "POST", "/v1/changes", both).await;
    answer.refused(403, "forbidden");
    let switch = "/v1/routes/all/switch";
    for to in ["green", "10.0.0.9:80", "{host}"] {
        let answer = bearing(
            &desk,
            "blue-only",
            "POST",
            switch,
            &format!(r#"{{"to":"{to}"}}"#),
        )
        .await;
        answer.refused(403, "forbidden");
    }
    bearing(&desk, "deploy", "POST", switch, r#"{"to":"green"}"#)
        .await
        .is(200);
    let answer = bearing(&desk, "blue-only", "POST", switch, r#"{"to":"blue"}"#).await;
    answer.refused(403, "forbidden");
    assert_eq!(desk.revision(), 3);
}

#[tokio::test]
async fn a_limited_administrator_edits_its_own_groups_only() {
    let desk = guarded();
    let patch = r#"{"keepalive":1}"#;
    bearing(&desk, "blue-root", "PATCH", "/v1/upstreams/blue", patch)
        .await
        .is(200);
    for (method, path, body) in [
        ("PATCH", "/v1/upstreams/green", patch),
        ("PUT", "/v1/routes/all", r#"{"to":"green"}"#),
        ("PUT", "/v1/state", "{}"),
    ] {
        let answer = bearing(&desk, "blue-root", method, path, body).await;
        answer.refused(403, "forbidden");
    }
}

#[tokio::test]
async fn guessing_makes_wrong_tokens_wait_and_good_ones_never() {
    let mut desk = guarded();
    for _ in 0..10 {
        bearing(&desk, "guess", "GET", "/v1/state", "")
            .await
            .refused(401, "unauthorized");
    }
    let answer = bearing(&desk, "guess", "GET", "/v1/state", "").await;
    let answer = answer.refused(429, "too_many_attempts");
    assert!(answer.header("retry-after").parse::<u32>().unwrap() <= 60);
    bearing(&desk, "root", "GET", "/v1/state", "").await.is(200);
    desk.get("/v1/state").await.refused(401, "unauthorized");
    desk.get("/healthz").await.is(200);
    desk.connection.source = Some("::1".parse().unwrap());
    let elsewhere = bearing(&desk, "guess", "GET", "/v1/state", "").await;
    elsewhere.refused(401, "unauthorized");
}
