//! The control endpoint from outside: the real binary, called by scripts, by `ctl` and by clients that misbehave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod connections;

use serde_json::json;
use std::thread;
use support::{Edge, Origin, until};

/// Two groups of one server each; everything goes to `blue`.
fn two_groups(blue: &Origin, green: &Origin) -> Edge {
    Edge::builder()
        .upstream("blue", [blue])
        .upstream("green", [green])
        .route("*", "blue")
        .start()
}

#[test]
fn a_200_means_stored_and_seen_by_every_later_request() {
    let (blue, green) = (Origin::start(), Origin::start());
    let mut edge = two_groups(&blue, &green);
    let control = edge.control();
    for (to, origin) in [("green", &green), ("blue", &blue), ("green", &green)] {
        let switched = control.post("/v1/hosts/a.example/switch", &json!({ "to": to }));
        assert_eq!(switched.is(200).json["to"], to);
        let before = origin.requests().len();
        let answer = edge.client().host("a.example").get("/", &[]);
        assert_eq!((answer.status, origin.requests().len()), (200, before + 1));
    }
    let number = control.get("/v1/state").is(200).revision();
    edge.kill9();
    edge.start_again();
    assert_eq!(control.get("/v1/state").is(200).revision(), number);
    let before = green.requests().len();
    edge.client().host("a.example").get("/", &[]);
    assert_eq!(green.requests().len(), before + 1);
}

#[test]
fn changes_of_different_groups_at_a_time_do_not_get_in_each_others_way() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green);
    let (writers, changes) = (8, 10);
    thread::scope(|scope| {
        for writer in 0..writers {
            let control = edge.control();
            scope.spawn(move || {
                let path = format!("/v1/upstreams/group-{writer}");
                let mut tag: Option<String> = None;
                for number in 1..=changes {
                    let body = json!({ "servers": [format!("127.0.0.1:{number}")] });
                    let call = match &tag {
                        None => control.with("If-None-Match", "*"),
                        Some(tag) => control.with("If-Match", tag),
                    };
                    let answer = call.put(&path, &body);
                    assert!(answer.status < 300, "{}", answer.text);
                    tag = answer.headers.first("ETag").map(str::to_owned);
                }
            });
        }
    });
    let number = edge.control().get("/v1/state").is(200).revision();
    assert_eq!(number, 1 + writers * changes);
}

#[test]
fn a_request_shows_in_the_counters_of_its_server() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green);
    edge.client().get("/", &[]);
    // The request is over a moment after its answer has gone out.
    until("the request is counted and over", || {
        let status = edge.control().get("/v1/status").is(200).json;
        let server = &status["upstreams"][0]["servers"][0];
        assert_eq!(server["address"], blue.address().to_string());
        let live = &server["status"];
        (live["requests"] == 1 && live["in_flight"] == 0).then_some(())
    });
}
