//! Requests that wait while every server is at its limit: none is lost, none waits for nothing.

use super::http2::{H2, answer, runtime};
use crate::support::{Client, Edge, Ledger, Origin, PATIENCE, Port, Reply, until};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(super) fn limited(origin: &Origin, most: u32) -> Value {
    json!({ "address": origin.address(), "max_connections": most })
}

fn edge(servers: &Value, queue: &Value) -> Edge {
    let web = json!({ "servers": servers, "queue": queue });
    Edge::builder()
        .with(&json!({ "upstreams": { "web": web } }).to_string())
        .route("*", "web")
        .start()
}

/// A request that is under way.
pub(super) fn sent(edge: &Edge, path: &str) -> Client {
    let mut client = edge.client();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client
}

pub(super) fn wait_for_line(edge: &Edge, length: usize) {
    let line = format!("pointsman_queue_length{{upstream=\"web\"}} {length}\n");
    until(&format!("{length} wait"), || {
        edge.control()
            .get("/metrics")
            .text
            .contains(&line)
            .then_some(())
    });
}

#[test]
fn requests_wait_for_room_and_have_it_in_their_order() {
    let origin = Origin::start();
    let edge = edge(
        &json!([limited(&origin, 1)]),
        &json!({ "size": 9, "timeout": "20s" }),
    );
    origin.hold();
    let mut clients = vec![sent(&edge, "/0")];
    origin.wait_for(1);
    for number in 1..5 {
        clients.push(sent(&edge, &format!("/{number}")));
        wait_for_line(&edge, number);
    }
    origin.release();
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    let paths: Vec<String> = origin
        .requests()
        .into_iter()
        .map(|seen| seen.path)
        .collect();
    assert_eq!(paths, ["/0", "/1", "/2", "/3", "/4"]);
    wait_for_line(&edge, 0);
    // The wait is none of the server's.
    let record = edge.record("/4");
    let [whole, attempt] = [
        &record["duration_ms"],
        &record["attempts"][0]["duration_ms"],
    ];
    assert!(
        whole.as_f64().unwrap() > attempt.as_f64().unwrap(),
        "{record}"
    );
    assert!(record["waited_ms"].as_f64().unwrap() > 0.0, "{record}");
    assert!(edge.record("/0")["waited_ms"].is_null());
}

#[test]
fn none_of_2000_requests_is_lost_at_two_at_a_time_with_64_clients() {
    let origin = Origin::start();
    let edge = edge(
        &json!([limited(&origin, 2)]),
        &json!({ "size": 64, "timeout": "20s" }),
    );
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let counted = std::sync::Arc::new((now, most));
    let inside = counted.clone();
    origin.by(move |_| {
        let (now, most) = &*inside;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        now.fetch_sub(1, Ordering::SeqCst);
        Reply::Name
    });
    let ledger = Ledger::new();
    let left = AtomicUsize::new(2000);
    std::thread::scope(|scope| {
        for who in 0..64 {
            let (ledger, left, edge) = (&ledger, &left, &edge);
            scope.spawn(move || {
                let mut kept = edge.client();
                let take = |left: usize| left.checked_sub(1);
                while left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                    .is_ok()
                {
                    let answer = ledger.record(|nonce| {
                        let headers = [("X-Nonce", nonce)];
                        match who % 2 {
                            0 => kept.try_get("/", &headers),
                            _ => edge.client().try_get("/", &headers),
                        }
                    });
                    answer.unwrap();
                }
            });
        }
    });
    let tally = ledger.settle([&origin]);
    tally.assert_flawless();
    assert_eq!(tally.sent, 2000);
    assert!(counted.1.load(Ordering::SeqCst) <= 2);
    wait_for_line(&edge, 0);
}

#[test]
fn who_waits_too_long_and_who_finds_the_line_full_are_told_so() {
    let origin = Origin::start();
    let edge = edge(
        &json!([limited(&origin, 1)]),
        &json!({ "size": 1, "timeout": "500ms" }),
    );
    origin.hold();
    let mut busy = sent(&edge, "/busy");
    origin.wait_for(1);
    let began = Instant::now();
    let mut waits = sent(&edge, "/waits");
    wait_for_line(&edge, 1);
    let full = edge.client().get("/full", &[]);
    assert_eq!(
        (full.status, full.text()),
        (503, "503 servers_full\n".into())
    );
    let answer = waits.response();
    assert!(began.elapsed() >= Duration::from_millis(500));
    assert_eq!(
        (answer.status, answer.text()),
        (503, "503 queue_timeout\n".into())
    );
    assert_eq!(answer.header("Retry-After"), Some("1"));
    assert_eq!(edge.record("/waits")["reason"], "queue_timeout");
    wait_for_line(&edge, 0);
    origin.release();
    assert_eq!(busy.response().status, 200);
    waits.send("GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(waits.response().status, 200, "its connection goes on");
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_client_that_goes_away_leaves_the_line_at_once() {
    let origin = Origin::start();
    let edge = edge(
        &json!([limited(&origin, 1)]),
        &json!({ "size": 9, "timeout": "0s" }),
    );
    origin.hold();
    let mut busy = sent(&edge, "/busy");
    origin.wait_for(1);
    let plain = sent(&edge, "/gone");
    wait_for_line(&edge, 1);
    let mut with_body = edge.client();
    with_body.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    wait_for_line(&edge, 2);
    let mut pipelined = sent(&edge, "/first");
    pipelined.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for_line(&edge, 3);
    let mut stays = sent(&edge, "/stays");
    wait_for_line(&edge, 4);
    drop(plain);
    wait_for_line(&edge, 3);
    drop(with_body);
    wait_for_line(&edge, 2);
    drop(pipelined);
    wait_for_line(&edge, 1);
    assert_eq!(edge.record("/gone")["status"], 499);
    assert_eq!(edge.record("/body")["reason"], "client_aborted");
    origin.release();
    assert_eq!(busy.response().status, 200);
    assert_eq!(stays.response().status, 200);
    let paths: Vec<String> = origin
        .requests()
        .into_iter()
        .map(|seen| seen.path)
        .collect();
    assert_eq!(paths, ["/busy", "/stays"]);
}

#[test]
fn a_change_that_makes_room_wakes_who_waits() {
    let origins = Origin::many(2);
    let edge = edge(
        &json!([limited(&origins[0], 1)]),
        &json!({ "size": 9, "timeout": "0s" }),
    );
    origins[0].hold();
    let mut clients = vec![sent(&edge, "/busy")];
    origins[0].wait_for(1);
    for number in 1..4 {
        clients.push(sent(&edge, &format!("/{number}")));
        wait_for_line(&edge, number);
    }
    let first = format!("/v1/upstreams/web/servers/{}", origins[0].address());
    let _ = edge
        .control()
        .patch(&first, &json!({ "max_connections": 2 }))
        .is(200);
    origins[0].wait_for(2);
    wait_for_line(&edge, 2);
    let _ = edge
        .control()
        .post("/v1/upstreams/web/servers", &limited(&origins[1], 1))
        .is(201);
    assert_eq!(clients[2].response().text(), origins[1].name());
    assert_eq!(clients[3].response().text(), origins[1].name());
    origins[0].release();
    assert_eq!(clients[0].response().status, 200);
    assert_eq!(clients[1].response().status, 200);
}

#[test]
fn who_waits_for_servers_that_are_taken_out_is_told_so() {
    let origin = Origin::start();
    let edge = edge(
        &json!([limited(&origin, 1)]),
        &json!({ "size": 9, "timeout": "0s" }),
    );
    origin.hold();
    let mut busy = sent(&edge, "/busy");
    origin.wait_for(1);
    let mut waits = sent(&edge, "/waits");
    wait_for_line(&edge, 1);
    let path = format!(
        "/v1/upstreams/web/servers/{}/down?force=true",
        origin.address()
    );
    let _ = edge
        .control()
        .with("Pointsman-Reason", "test")
        .act(&path)
        .is(200);
    let answer = waits.response();
    assert_eq!(
        (answer.status, answer.text()),
        (503, "503 no_server\n".into())
    );
    origin.release();
    assert_eq!(busy.response().status, 200);
}

#[test]
fn a_request_that_failed_elsewhere_waits_for_the_server_that_is_left() {
    let (origin, nobody) = (Origin::start(), Port::reserve());
    let refuses = json!({ "address": nobody.address(), "max_fails": 0 });
    let servers = json!([refuses, limited(&origin, 1)]);
    let edge = edge(&servers, &json!({ "size": 9, "timeout": "20s" }));
    origin.hold();
    let mut busy = sent(&edge, "/busy");
    origin.wait_for(1);
    let mut again = sent(&edge, "/again");
    wait_for_line(&edge, 1);
    let gone = sent(&edge, "/gone");
    wait_for_line(&edge, 2);
    drop(gone);
    wait_for_line(&edge, 1);
    origin.release();
    assert_eq!(busy.response().status, 200);
    assert_eq!(again.response().text(), origin.name());
    let record = edge.record("/again");
    let attempts = record["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{record}");
    assert_eq!(attempts[0]["failure"], "connect_failed");
    assert_eq!(edge.record("/gone")["reason"], "client_aborted");
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_retry_that_waits_in_vain_is_told_so() {
    let (origin, nobody) = (Origin::start(), Port::reserve());
    let refuses = json!({ "address": nobody.address(), "max_fails": 0 });
    let servers = json!([refuses, limited(&origin, 1)]);
    let edge = edge(&servers, &json!({ "size": 9, "timeout": "50ms" }));
    origin.hold();
    let mut busy = sent(&edge, "/busy");
    origin.wait_for(1);
    let answer = edge.client().get("/vain", &[]);
    assert_eq!(
        (answer.status, answer.text()),
        (503, "503 queue_timeout\n".into())
    );
    let record = edge.record("/vain");
    assert_eq!(record["reason"], "queue_timeout");
    assert_eq!(record["attempts"][0]["failure"], "connect_failed");
    origin.release();
    assert_eq!(busy.response().status, 200);
}

#[test]
fn a_stream_of_http_2_that_is_reset_leaves_the_line() {
    let origin = Origin::start();
    let edge = edge(
        &json!([limited(&origin, 1)]),
        &json!({ "size": 9, "timeout": "0s" }),
    );
    origin.hold();
    let mut busy = sent(&edge, "/busy");
    origin.wait_for(1);
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let get = |path: &str| Request::get(format!("http://a{path}")).body(()).unwrap();
        let resets = h2.begin(get("/resets"), Bytes::new()).await;
        line(&edge, 1).await;
        let stays = h2.begin(get("/stays"), Bytes::new()).await;
        line(&edge, 2).await;
        drop(resets);
        line(&edge, 1).await;
        origin.release();
        assert_eq!(answer(stays).await.unwrap().status, 200);
    });
    assert_eq!(busy.response().status, 200);
    let paths: Vec<String> = origin
        .requests()
        .into_iter()
        .map(|seen| seen.path)
        .collect();
    assert_eq!(paths, ["/busy", "/stays"]);
}

/// The same wait without keeping the connection's task from its work.
async fn line(edge: &Edge, length: usize) {
    let line = format!("pointsman_queue_length{{upstream=\"web\"}} {length}\n");
    let reached = async {
        while !edge.control().get("/metrics").text.contains(&line) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap();
}
