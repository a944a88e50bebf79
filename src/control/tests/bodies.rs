use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use hyper::body::Frame;
use serde_json::json;
use tower::ServiceExt;

use super::Desk;
use crate::control::content::LONGEST_BODY;

const WEB: &str = "/v1/upstreams/web";

#[tokio::test]
async fn json_that_is_none_is_refused_with_its_place() {
    let desk = Desk::new();
    let json = [("content-type", "application/json")];
    let answer = desk.send("PUT", WEB, &json, "{\n  \"servers\": [}\n").await;
    let answer = answer.refused(400, "invalid_json");
    assert_eq!(answer.detail(), "expected value at line 2 column 15");
    for body in [
        "{",
        "{}{}",
        "{'servers': []}",
        "\u{feff}{}",
        "{\"servers\":[],}",
    ] {
        desk.send("PUT", WEB, &json, body)
            .await
            .refused(400, "invalid_json");
    }
    let deep = format!("{{\"servers\":{}", "[".repeat(200_000));
    desk.send("PUT", WEB, &json, &deep)
        .await
        .refused(400, "invalid_json");
    assert_eq!(desk.revision(), 1);
}

#[tokio::test]
async fn a_key_that_stands_twice_is_refused() {
    let desk = Desk::new();
    let json = [("content-type", "application/json")];
    let body = r#"{"servers":["10.0.0.1:80"],"servers":["10.0.0.2:80"]}"#;
    let answer = desk.send("PUT", WEB, &json, body).await;
    let answer = answer.refused(400, "invalid_json");
    assert!(
        answer.detail().contains("`servers` stands twice"),
        "{}",
        answer.detail()
    );
    let state = r#"{"upstreams":{"web":{"servers":[]},"WEB":{"servers":[]}}}"#;
    let answer = desk.send("PUT", "/v1/state", &json, state).await;
    answer.refused(400, "invalid_field");
}

#[tokio::test]
async fn a_body_that_is_needed_must_be_there() {
    let desk = Desk::new();
    let json = [("content-type", "application/json")];
    for (method, path) in [
        ("PUT", WEB),
        ("PATCH", "/v1/upstreams/blue"),
        ("PUT", "/v1/state"),
        ("POST", "/v1/changes"),
        ("POST", "/v1/routes/all/switch"),
        ("POST", "/v1/upstreams/blue/servers"),
    ] {
        desk.send(method, path, &json, "")
            .await
            .refused(400, "empty_body");
        desk.send(method, path, &[], "")
            .await
            .refused(400, "empty_body");
    }
}

#[tokio::test]
async fn a_body_says_what_it_is() {
    let desk = Desk::new();
    let body = r#"{"servers":["10.0.0.1:80"]}"#;
    for kind in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "application/merge-patch+json",
        "application/json; charset=latin1",
        "multipart/form-data; boundary=x",
        "",
    ] {
        let answer = desk.send("PUT", WEB, &[("content-type", kind)], body).await;
        answer.refused(415, "unsupported_media_type");
    }
    desk.send("PUT", WEB, &[], body)
        .await
        .refused(415, "unsupported_media_type");
    let zipped = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    desk.send("PUT", WEB, &zipped, body)
        .await
        .refused(415, "unsupported_media_type");
    assert_eq!(desk.revision(), 1);
    for kind in [
        "application/json; charset=utf-8",
        "Application/JSON;charset=\"UTF-8\"",
    ] {
        let answer = desk.send("PUT", WEB, &[("content-type", kind)], body).await;
        assert!(answer.status < 300, "{kind}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_body_has_at_most_8_mib_also_in_chunks() {
    let desk = Desk::new();
    let json = [("content-type", "application/json")];
    let most = format!("{{\"servers\":[]{}}}", " ".repeat(LONGEST_BODY - 14));
    assert_eq!(most.len(), LONGEST_BODY);
    desk.send("PUT", WEB, &json, &most).await.is(201);
    let more = format!("{most} ");
    desk.send("PUT", WEB, &json, &more)
        .await
        .refused(413, "body_too_large");

    let chunked = Body::new(Chunks(10));
    let request = Request::put(WEB)
        .header("host", "localhost")
        .header("content-type", "application/json");
    let mut request = request.body(chunked).unwrap();
    request.extensions_mut().insert(desk.connection);
    let response = desk.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 413);
}

#[tokio::test]
async fn an_unknown_key_is_answered_with_the_nearest_known_one() {
    let desk = Desk::new();
    let answer = desk.json("PUT", WEB, json!({ "servres": [] })).await;
    insta::assert_snapshot!(answer.refused(400, "invalid_field").pretty(), @r##"
{
  "code": "invalid_field",
  "detail": "/servres: unknown key `servres`; did you mean `servers`?",
  "errors": [
    {
      "message": "unknown key `servres`; did you mean `servers`?",
      "pointer": "/servres"
    }
  ],
  "status": 400,
  "title": "A field is not valid",
  "type": "urn:pointsman:problem:invalid_field"
}
"##);
    for (body, pointer) in [
        (
            json!({ "servers": [{ "address": "10.0.0.1", "wieght": 2 }] }),
            "/servers/0/wieght",
        ),
        (
            json!({ "servers": [{ "address": "10.0.0.1", "weight": "2" }] }),
            "/servers/0/weight",
        ),
        (
            json!({ "servers": ["10.0.0.1:80", "10.0.0.1:0"] }),
            "/servers/1",
        ),
        (json!({ "health": { "interval": 5 } }), "/health/interval"),
        (json!({ "balance": "fastest" }), "/balance"),
        (json!({ "source": {} }), "/source"),
        (json!({ "min_healthy": -1 }), "/min_healthy"),
        (json!([]), ""),
        (json!("web"), ""),
        (json!(null), ""),
    ] {
        let answer = desk.json("PUT", WEB, body.clone()).await;
        let answer = answer.refused(400, "invalid_field");
        assert_eq!(
            answer.json["errors"][0]["pointer"], pointer,
            "{body}: {}",
            answer.text
        );
    }
    assert_eq!(desk.revision(), 1);
}

#[tokio::test]
async fn a_call_that_takes_no_body_gets_none() {
    let desk = Desk::new();
    for (method, path) in [
        ("DELETE", "/v1/upstreams/green"),
        ("POST", "/v1/upstreams/blue/servers/10.0.0.1:80/up"),
        ("POST", "/v1/revisions/1/restore"),
    ] {
        let answer = desk.json(method, path, json!({ "weight": 1 })).await;
        answer.refused(400, "invalid_field");
    }
    let text = [("content-type", "text/plain")];
    let answer = desk
        .send("DELETE", "/v1/upstreams/green", &text, "now")
        .await;
    answer.refused(415, "unsupported_media_type");
}

/// Ten chunks of 1 MiB whose number is not announced.
struct Chunks(u8);

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or(0);
        let chunk = || Ok(Frame::data(Bytes::from(vec![b' '; 1 << 20])));
        Poll::Ready(left.map(|_| chunk()))
    }
}

#[tokio::test]
async fn an_answer_is_no_copy_of_a_large_input() {
    let desk = Desk::new();
    let long = "a".repeat(1 << 20);
    let host = |host: &str| json!({ "op": "switch", "host": host, "to": null });
    let bodies = [
        json!({ "changes": [host(&long)] }),
        json!({ "changes": [{ "op": "put_route", "id": "a", "route": { "hosts": [long], "to": "blue" } }] }),
        json!({ "changes": [{ "op": "put_upstream", "name": long, "upstream": {} }] }),
        json!({ "changes": [{ "op": "put_upstream", "name": format!("{long} b"), "upstream": {} }] }),
        json!({ "changes": [{ "op": "put_upstream", "name": "a", "upstream": { (long.clone()): 1 } }] }),
        json!({ "changes": [{ "op": "put_upstream", "name": "a", "upstream": { "host": long } }] }),
        json!({ "changes": [{ "op": "put_upstream", "name": "a", "upstream": { "balance": long } }] }),
        json!({ "changes": [{ "op": "put_upstream", "name": "a", "upstream": { "servers": [long] } }] }),
        json!({ "changes": [{ "op": "put_upstream", "name": "a", "upstream": { "keepalive": long } }] }),
        json!({ "changes": [{ "op": "put_upstream", "name": "a", "upstream": { "timeouts": { "read": long } } }] }),
        json!({ "changes": [{ "op": "put_upstream", "name": "a", "upstream": { "health": { "statuses": [long] } } }] }),
        json!({ "changes": [{ "op": long }] }),
        json!({ "changes": long }),
        json!({ (long.clone()): 1 }),
        json!(long),
    ];
    for (number, body) in bodies.into_iter().enumerate() {
        let answer = desk.json("POST", "/v1/changes", body).await;
        assert!((400..500).contains(&answer.status), "{number}");
        assert!(answer.text.len() < 4096, "{number}: {}", answer.text.len());
    }
    let twice = format!("{{\"{long}\":1,\"{long}\":1}}").replace("aaaa", "a");
    let json = [("content-type", "application/json")];
    let answer = desk.send("PUT", "/v1/state", &json, &twice).await;
    assert!(answer.refused(400, "invalid_json").text.len() < 4096);
    let named = json!({ "name": long });
    let answer = desk.json("PUT", "/v1/upstreams/blue", named).await;
    assert!(answer.refused(400, "invalid_field").text.len() < 4096);
    let many: Vec<_> = (0..5000)
        .map(|n| json!({ "id": n.to_string(), "to": "no" }))
        .collect();
    let answer = desk
        .json("PUT", "/v1/state", json!({ "routes": many }))
        .await;
    assert!(
        answer.status == 422 && answer.text.len() < 64 * 1024,
        "{}",
        answer.text.len()
    );
}
