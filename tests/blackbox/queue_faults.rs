//! Requests that wait while servers fail, or while others fill the line.

use super::queue::{limited, sent, wait_for_line};
use crate::support::{Edge, Origin, Reply, until};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn the_end_of_an_ejection_wakes_who_waits() {
    let origins = Origin::many(2);
    let mut servers = json!([limited(&origins[0], 1), limited(&origins[1], 1)]);
    servers[0]["fail_timeout"] = json!("2s");
    let web = json!({ "servers": servers, "queue": { "size": 9, "timeout": "0s" }, "retry": { "attempts": 1 } });
    let edge = Edge::builder()
        .with(&json!({ "upstreams": { "web": web } }).to_string())
        .route("*", "web")
        .start();
    origins[0].by(|_| Reply::Reset);
    let failed = until("the first server fails", || {
        (edge.client().get("/", &[]).status == 502).then(Instant::now)
    });
    origins[0].by(|_| Reply::Name);
    origins[1].hold();
    let mut busy = sent(&edge, "/busy");
    origins[1].wait_for(1);
    let mut waits = sent(&edge, "/waits");
    assert_eq!(waits.response().text(), origins[0].name());
    assert!(failed.elapsed() >= Duration::from_millis(1900));
    assert!(edge.record("/waits")["waited_ms"].as_f64().unwrap() > 0.0);
    origins[1].release();
    assert_eq!(busy.response().status, 200);
}

#[test]
fn a_line_full_of_requests_for_one_part_of_a_group_sheds_none_for_another() {
    let origins = Origin::many(2);
    // Two, since an answer is there a moment before its end is counted.
    let mut servers = json!([limited(&origins[0], 1), limited(&origins[1], 2)]);
    servers[0]["labels"] = json!({ "rack": "a" });
    servers[1]["labels"] = json!({ "rack": "b" });
    let route = |rack: &str| json!({ "hosts": [rack], "to": "web", "labels": { "rack": rack } });
    let web = json!({ "servers": servers, "queue": { "size": 1, "timeout": "0s" } });
    let edge = Edge::builder()
        .with(
            &json!({ "upstreams": { "web": web }, "routes": [route("a"), route("b")] }).to_string(),
        )
        .start();
    origins[0].hold();
    let mut busy = sent(&edge, "/busy");
    origins[0].wait_for(1);
    let mut waits = sent(&edge, "/waits");
    wait_for_line(&edge, 1);
    for _ in 0..3 {
        let mut other = edge.client();
        other.send("GET / HTTP/1.1\r\nHost: b\r\n\r\n");
        assert_eq!(other.response().text(), origins[1].name());
    }
    origins[0].release();
    assert_eq!(busy.response().status, 200);
    assert_eq!(waits.response().status, 200);
}

/// Its time is over: one request finds out that it is still down, not all who wait.
#[test]
fn the_end_of_an_ejection_sends_one_request_and_not_the_line() {
    let (mut dead, origin) = (Origin::start(), Origin::start());
    dead.refuse();
    origin.delay(Duration::from_millis(50));
    let mut servers = json!([limited(&dead, 100), limited(&origin, 1)]);
    servers[0]["fail_timeout"] = json!("500ms");
    let web = json!({ "servers": servers, "queue": { "size": 100, "timeout": "0s" } });
    let edge = Edge::builder()
        .with(&json!({ "upstreams": { "web": web } }).to_string())
        .route("*", "web")
        .start();
    until("the dead one is ejected", || {
        assert_eq!(edge.client().get("/", &[]).status, 200);
        edge.stderr().contains("is ejected").then_some(())
    });
    let mut waiting: Vec<_> = (0..40).map(|at| sent(&edge, &format!("/{at}"))).collect();
    let statuses: Vec<u16> = waiting
        .iter_mut()
        .map(|client| client.response().status)
        .collect();
    assert_eq!(statuses, [200; 40]);
    let shown = edge.control().get("/v1/upstreams/web").is(200).json;
    let tried = shown["servers"][0]["status"]["requests"].as_u64().unwrap();
    // About 2 s for all, and a trial each half second.
    assert!(tried <= 10, "{tried}");
}

#[test]
fn a_request_whose_kept_connection_was_closed_keeps_its_turn() {
    let origin = Origin::start();
    let servers = json!([limited(&origin, 1)]);
    let web = json!({ "servers": servers, "queue": { "size": 9, "timeout": "20s" } });
    let edge = Edge::builder()
        .with(&json!({ "upstreams": { "web": web } }).to_string())
        .route("*", "web")
        .start();
    assert_eq!(edge.client().get("/0", &[]).status, 200);
    let is_first = AtomicBool::new(true);
    origin.by(move |seen| match seen.path.as_str() {
        "/1" if is_first.swap(false, Ordering::Relaxed) => Reply::Close,
        _ => Reply::Name,
    });
    origin.hold();
    let mut clients = vec![sent(&edge, "/1")];
    origin.wait_for(2);
    for number in 2..5 {
        clients.push(sent(&edge, &format!("/{number}")));
        wait_for_line(&edge, number - 1);
    }
    origin.release();
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    // The place that it left goes to the first in line, the next one is its own.
    let seen = origin.requests().into_iter();
    let paths: Vec<String> = seen.map(|seen| seen.path).collect();
    assert_eq!(paths, ["/0", "/1", "/2", "/1", "/3", "/4"]);
    assert_eq!(
        edge.record("/1")["attempts"][0]["failure"],
        "upstream_reset"
    );
}
