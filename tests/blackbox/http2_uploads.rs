//! Bodies that take their time on the way to a server of HTTP/2: its time begins with their end.

use super::http2::{H2, answer, runtime};
use super::http2_origin::{Call, H2Origin, edge_of, tell};
use crate::support::{Client, Edge, PATIENCE, pause};
use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::Request;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::time::timeout;

fn edge_to(origin: &H2Origin, limits: &str) -> Edge {
    edge_of(&[origin.address()])
        .with("upstreams: { web: { timeouts: { first_byte: 2s, read: 2s } } }")
        .listener(&format!("limits: {{ {limits} }}"))
        .start()
}

async fn open(h2: &H2, path: &str, kind: &str) -> (ResponseFuture, SendStream<Bytes>) {
    let mut send = h2.send.clone().ready().await.unwrap();
    let request = Request::post(format!("http://a{path}")).header("content-type", kind);
    send.send_request(request.body(()).unwrap(), false).unwrap()
}

/// For longer than the server has for its answer.
async fn send_slowly(body: &mut SendStream<Bytes>) {
    for part in 0..30 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let part = Bytes::from(vec![b'x'; 100 + part]);
        body.send_data(part, false).unwrap();
    }
    body.send_data(Bytes::new(), true).unwrap();
}

fn assert_served(edge: &Edge, path: &str) {
    let record = edge.record(path);
    assert_eq!(record["status"], 200, "{record}");
    assert_eq!(record["attempts"].as_array().unwrap().len(), 1, "{record}");
}

fn failures(edge: &Edge) -> Value {
    let shown = edge.control().get("/v1/upstreams/web").is(200).json;
    shown["servers"][0]["status"]["failures"].clone()
}

#[test]
fn a_body_that_moves_is_never_cut_however_long_it_takes() {
    let origin = H2Origin::start(tell);
    let edge = edge_to(&origin, "body_timeout: 30s");
    runtime().block_on(async {
        let h2 = H2::connect(&edge).await;
        for (path, kind) in [("/upload", "text/plain"), ("/call", "application/grpc")] {
            let (response, mut body) = open(&h2, path, kind).await;
            send_slowly(&mut body).await;
            let answer = timeout(PATIENCE, answer(response)).await.unwrap().unwrap();
            let seen: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(seen["length"], 3435);
            assert_served(&edge, path);
        }
    });
    let mut client = edge.client();
    client.send("POST /old HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..30 {
        pause(Duration::from_millis(100));
        client.send("4\r\npart\r\n");
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().json()["length"], 120);
    assert_served(&edge, "/old");
    assert_eq!(failures(&edge), json!(0));
}

#[test]
fn a_server_that_is_silent_behind_a_long_body_is_504_and_other_requests_go_on() {
    let origin = H2Origin::start(|mut call: Call| async move {
        let is_silent = call.request.uri().path() == "/silent";
        call.body().await;
        if is_silent {
            std::future::pending::<()>().await;
        }
        tell(call).await;
    });
    let edge = edge_to(&origin, "body_timeout: 30s");
    runtime().block_on(async {
        let h2 = H2::connect(&edge).await;
        let (response, mut body) = open(&h2, "/silent", "text/plain").await;
        send_slowly(&mut body).await;
        let (start, mut beside) = (Instant::now(), H2::connect(&edge).await);
        assert_eq!(beside.get("http://a/beside").await.status, 200);
        let answer = timeout(PATIENCE, answer(response)).await.unwrap().unwrap();
        assert_eq!(answer.status, 504);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(1800), "{took:?}");
        assert_eq!(beside.get("http://a/beside").await.status, 200);
    });
    let record = edge.record("/silent");
    assert_eq!(record["reason"], "upstream_timeout");
    assert_eq!(record["attempts"][0]["failure"], "upstream_timeout");
    assert_eq!(failures(&edge), json!(1));
}

#[test]
fn a_long_body_that_pauses_is_408_after_body_timeout_and_no_fault_of_the_server_s() {
    let origin = H2Origin::start(tell);
    let edge = edge_of(&[origin.address()])
        .listener("limits: { body_timeout: 400ms }")
        .start();
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let (response, mut body) = open(&h2, "/pauses", "text/plain").await;
        body.send_data(Bytes::from_static(b"part"), false).unwrap();
        let answer = timeout(PATIENCE, answer(response)).await.unwrap().unwrap();
        assert_eq!(answer.status, 408);
        assert_eq!(h2.get("http://a/after").await.status, 200);
    });
    assert_eq!(edge.record("/pauses")["reason"], "request_timeout");
    assert_eq!(failures(&edge), json!(0));
}

#[test]
fn a_server_of_http_2_that_takes_nothing_for_long_makes_no_slow_client() {
    let origin = H2Origin::start(|call: Call| async move {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        tell(call).await;
    });
    let edge = edge_of(&[origin.address()])
        .listener("limits: { body_timeout: 1s }")
        .start();
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let request = Request::post("http://a/").body(()).unwrap();
        let answer = h2.call(request, vec![b'x'; 8 << 20].into()).await.unwrap();
        let seen: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(seen["length"], 8 << 20);
    });
}

#[test]
fn a_server_of_http_2_that_takes_nothing_for_too_long_is_to_blame() {
    let origin = H2Origin::start(|call: Call| async move {
        std::future::pending::<()>().await;
        drop(call);
    });
    let edge = edge_to(&origin, "body_timeout: 30s");
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let request = Request::post("http://a/stuck").body(()).unwrap();
        let answer = h2.call(request, vec![b'x'; 8 << 20].into()).await.unwrap();
        assert_eq!(answer.status, 504);
    });
    assert_eq!(failures(&edge), json!(1));
}

#[test]
fn short_bodies_share_a_connection() {
    let origin = H2Origin::start(tell);
    let edge = edge_to(&origin, "body_timeout: 30s");
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        for kind in ["text/plain", "application/grpc"] {
            for _ in 0..20 {
                let request = Request::post("http://a/")
                    .header("content-type", kind)
                    .header("content-length", "4");
                let request = request.body(()).unwrap();
                let answer = h2.call(request, Bytes::from_static(b"body")).await.unwrap();
                assert_eq!(answer.status, 200);
            }
        }
    });
    let mut client = edge.client();
    for _ in 0..20 {
        assert_eq!(client.request("POST", "/", &[], b"body").status, 200);
    }
    // One that is late on a busy machine has its own.
    assert!(origin.connections() < 10, "{}", origin.connections());
}

#[test]
fn a_crowd_of_uploads_loses_none_and_needs_no_connection_for_each() {
    let origin = H2Origin::start(|mut call: Call| async move {
        let length = call.body().await.len();
        let number = call.header("x-number").unwrap();
        call.answer(format!("{number} {length}"), None);
    });
    let edge = edge_of(&[origin.address()]).start();
    let post = |client: &mut Client, number: usize, length: usize| {
        let number = number.to_string();
        let answer = client.request("POST", "/", &[("X-Number", &number)], &vec![b'x'; length]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.text(), format!("{number} {length}"));
    };
    let (uploads, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut took: Vec<Duration> = Vec::new();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CROWD)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = edge.client();
                    loop {
                        let number = uploads.fetch_add(1, Ordering::Relaxed);
                        if number >= UPLOADS {
                            return;
                        }
                        post(&mut client, number, 32 << 10);
                    }
                })
            })
            .collect();
        let beside = scope.spawn(|| {
            let (mut client, mut took) = (edge.client(), Vec::new());
            while !is_over.load(Ordering::Relaxed) {
                let start = Instant::now();
                post(&mut client, UPLOADS, 100);
                took.push(start.elapsed());
            }
            took
        });
        clients.into_iter().for_each(|it| it.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
        took = beside.join().unwrap();
    });
    took.sort();
    println!(
        "{UPLOADS} uploads over {} connections; {} short bodies beside them, p50 {:?}, p99 {:?}",
        origin.connections(),
        took.len(),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
    );
    assert!(origin.connections() < 3 * CROWD, "{}", origin.connections());
    assert_eq!(failures(&edge), json!(0));
}

const CROWD: usize = 64;
const UPLOADS: usize = 640;
