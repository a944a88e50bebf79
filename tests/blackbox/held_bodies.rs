//! A client that holds its body back harms no server: it is 408, and neither a failure nor a reason to ask another.

use super::http2::{H2, answer, runtime};
use crate::support::{Edge, PATIENCE, RawOrigin, read_head};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use std::io::{BufReader, Read};
use std::time::Duration;
use tokio::time::timeout;

/// Reads what comes, and says nothing.
fn silent() -> RawOrigin {
    RawOrigin::start(|stream, _| {
        let mut reader = BufReader::new(stream);
        let _ = read_head(&mut reader);
        let _ = reader.read_to_end(&mut Vec::new());
    })
}

fn edge_to(servers: &[RawOrigin], limits: &str) -> Edge {
    let addresses: Vec<_> = servers.iter().map(RawOrigin::address).collect();
    let web = json!({
        "servers": addresses, "timeouts": { "first_byte": "1s", "read": "1s" },
        "retry": { "attempts": 2, "non_idempotent": true },
    });
    Edge::builder()
        .route("*", "web")
        .with(&format!("upstreams: {{ web: {web} }}"))
        .listener(&format!("limits: {{ {limits} }}"))
        .start()
}

fn assert_nobody_is_blamed(edge: &Edge, path: &str) {
    let record = edge.record(path);
    assert_eq!(
        (&record["status"], &record["reason"]),
        (&json!(408), &json!("request_timeout")),
        "{record}"
    );
    let attempts = record["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{record}");
    assert!(attempts[0]["failure"].is_null(), "{record}");
    let shown = edge.control().get("/v1/upstreams/web").is(200).json;
    for server in shown["servers"].as_array().unwrap() {
        assert_eq!(server["status"]["state"], Value::from("up"), "{shown}");
    }
}

#[test]
fn a_client_that_waits_in_vain_to_be_asked_for_its_body_is_408_and_ejects_no_server() {
    let servers = [silent(), silent()];
    let edge = edge_to(&servers, "body_timeout: 30s");
    for method in ["PUT", "POST"] {
        let mut client = edge.client();
        client.send(format!(
            "{method} /{method} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
        ));
        assert_eq!(client.response().status, 408);
        assert_nobody_is_blamed(&edge, &format!("/{method}"));
    }
    // It would not reach the server, and then nobody would ask.
    let mut client = edge.client();
    client.send(
        "PUT /never HTTP/1.1\r\nHost: a\r\nConnection: close, Expect\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
    );
    let refused = client.response();
    assert_eq!(
        refused.text().lines().next(),
        Some("400 bad_request_header")
    );
}

#[test]
fn a_body_that_outlasts_the_whole_request_s_limit_is_408_and_ejects_no_server() {
    let servers = [silent(), silent()];
    let edge = edge_to(&servers, "body_timeout: 30s");
    let total = json!({ "timeouts": { "total": "500ms" } });
    let changed = edge.control().patch("/v1/upstreams/web", &total);
    assert_eq!(changed.status, 200);
    let mut client = edge.client();
    client.send("PUT /held HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(client.response().status, 408);
    assert_nobody_is_blamed(&edge, "/held");
}

#[test]
fn a_silent_server_that_has_the_whole_body_is_still_504() {
    let servers = [silent()];
    let edge = edge_to(&servers, "body_timeout: 30s");
    let answer = edge.client().request("POST", "/whole", &[], b"whole");
    assert_eq!(answer.status, 504);
    assert_eq!(edge.record("/whole")["reason"], "upstream_timeout");
}

#[test]
fn what_calls_itself_grpc_has_the_limits_of_bodies_towards_servers_of_http_1() {
    let servers = [silent(), silent()];
    let edge = edge_to(&servers, "body_timeout: 300ms");
    let long = json!({ "timeouts": { "first_byte": "60s", "read": "60s" } });
    let changed = edge.control().patch("/v1/upstreams/web", &long);
    assert_eq!(changed.status, 200);
    runtime().block_on(async {
        let h2 = H2::connect(&edge).await;
        let request = Request::post("http://a/call").header("content-type", "application/grpc");
        let mut send = h2.send.clone().ready().await.unwrap();
        let (response, mut body) = send.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(Bytes::from_static(b"part"), false).unwrap();
        let answer = timeout(PATIENCE.min(Duration::from_secs(20)), answer(response));
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.headers["grpc-message"], "408 request_timeout");
    });
}
