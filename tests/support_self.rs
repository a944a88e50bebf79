//! The test support, tested by itself: what it reports about the edge must not be its own fault.

mod support;

use std::time::Duration;
use support::{Client, Control, Edge, Headers, Ledger, Origin, Port, Reply, until};

#[test]
fn an_origin_names_itself_echoes_the_nonce_and_remembers_the_request() {
    let origin = Origin::start();
    let mut client = Client::connect(origin.address());

    let response = client.request(
        "POST",
        "/a?b=c",
        &[("X-Nonce", "42"), ("X-Twice", "1"), ("x-twice", "2")],
        b"body",
    );

    assert_eq!((response.status, response.text()), (200, origin.name()));
    assert_eq!(response.header("x-nonce"), Some("42"));
    let seen = &origin.requests()[0];
    assert_eq!(
        (
            seen.method.as_str(),
            seen.path.as_str(),
            seen.body.as_slice()
        ),
        ("POST", "/a?b=c", &b"body"[..])
    );
    assert_eq!(seen.headers.all("X-Twice").collect::<Vec<_>>(), ["1", "2"]);
    assert!(seen.whole && seen.answered);
}

#[test]
fn a_connection_carries_many_requests_and_pipelined_ones() {
    let origin = Origin::start();
    let mut client = Client::connect(origin.address());
    client.get("/1", &[]);
    client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(client.try_response("HEAD").unwrap().body, b"");
    assert_eq!((origin.count(), origin.connections()), (3, 1));
}

#[test]
fn http_1_0_and_connection_close_end_the_connection() {
    let origin = Origin::start();
    for request in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        let mut client = Client::connect(origin.address());
        client.send(request);
        assert_eq!(client.response().header("connection"), Some("close"));
        assert!(client.is_closed(Duration::from_secs(5)));
    }
}

#[test]
fn chunked_bodies_are_read_in_both_directions() {
    let origin = Origin::start();
    origin.once(Reply::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n".to_vec()));
    let mut client = Client::connect(origin.address());
    let chunks = b"5\r\nhello\r\n0\r\n\r\n";
    let response = client.request("POST", "/", &[("Transfer-Encoding", "chunked")], chunks);
    assert_eq!(response.text(), "abcde");
    assert_eq!(origin.requests()[0].body, b"hello");
    assert_eq!(client.get("/", &[]).text(), origin.name());
}

#[test]
fn interim_responses_are_noted_and_skipped() {
    let origin = Origin::start();
    let mut client = Client::connect(origin.address());
    let response = client.request("POST", "/", &[("Expect", "100-continue")], b"x");
    assert_eq!((response.interim, response.status), (vec![100], 200));
}

#[test]
fn replies_follow_the_script() {
    let origin = Origin::start();
    origin.always(Reply::status(503));
    origin.once(Reply::text("once"));
    let mut client = Client::connect(origin.address());
    assert_eq!(client.get("/", &[]).text(), "once");
    assert_eq!(client.get("/", &[]).status, 503);
    origin.by(|seen| Reply::text(&seen.path));
    assert_eq!(client.get("/path", &[]).text(), "/path");
}

#[test]
fn a_reset_and_a_close_are_told_apart_and_both_are_recorded_as_unanswered() {
    let origin = Origin::start();
    for (reply, kind) in [
        (Reply::Reset, std::io::ErrorKind::ConnectionReset),
        (Reply::Close, std::io::ErrorKind::UnexpectedEof),
    ] {
        origin.once(reply);
        let error = Client::connect(origin.address())
            .try_get("/", &[])
            .unwrap_err();
        assert_eq!(error.kind(), kind);
    }
    assert!(origin.requests().iter().all(|seen| !seen.answered));
    assert_eq!(origin.count(), 2);
}

#[test]
fn connections_end_when_told() {
    let origin = Origin::start();
    origin.close_after(2);
    let mut client = Client::connect(origin.address());
    assert!(client.get("/", &[]).headers.keeps_connection("HTTP/1.1"));
    assert!(!client.is_closed(Duration::from_millis(20)));
    client.get("/", &[]);
    assert!(client.is_closed(Duration::from_secs(5)));

    let mut client = Client::connect(origin.address());
    client.get("/", &[]);
    origin.close_idle();
    assert!(client.is_closed(Duration::from_secs(5)));
}

#[test]
fn an_origin_refuses_and_comes_back_on_its_port() {
    let mut origin = Origin::start();
    let mut old = Client::connect(origin.address());
    old.get("/", &[]);
    for _ in 0..3 {
        origin.refuse();
        assert!(old.is_closed(Duration::from_secs(5)));
        let error = Client::try_connect(&origin.address()).err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        origin.come_back();
        old = Client::connect(origin.address());
        assert_eq!(old.get("/", &[]).text(), origin.name());
    }
}

#[test]
fn answers_wait_while_the_origin_holds_them() {
    let origin = Origin::start();
    origin.hold();
    let mut client = Client::connect(origin.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait_for(1);
    assert!(!origin.requests()[0].answered);
    origin.release();
    assert_eq!(client.response().status, 200);
}

#[test]
fn a_delay_comes_before_the_answer() {
    let origin = Origin::start();
    origin.delay(Duration::from_millis(50));
    let start = std::time::Instant::now();
    Client::connect(origin.address()).get("/", &[]);
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[test]
fn a_reserved_port_refuses_connections_and_can_be_listened_on_twice() {
    let port = Port::reserve();
    for _ in 0..2 {
        assert!(Client::try_connect(&port.address()).is_err());
        let listener = port.listen();
        assert!(Client::try_connect(&port.address()).is_ok());
        drop(listener);
    }
}

#[test]
fn a_control_call_sends_json_and_reads_json() {
    let origin = Origin::start();
    let reply = |status, body: &str| Reply::Answer {
        status,
        headers: vec![("Pointsman-Revision".into(), "7".into())],
        body: body.into(),
    };
    origin.once(reply(412, r#"{"code":"precondition_failed"}"#));
    let control = Control::at(origin.address())
        .with("If-Match", "\"6\"")
        .token("secret");

    let answer = control
        .put("/v1/upstreams/web", &serde_json::json!({ "servers": [] }))
        .is(412);

    assert_eq!(
        (answer.code(), answer.revision()),
        ("precondition_failed", 7)
    );
    let seen = &origin.requests()[0];
    assert_eq!(
        (seen.method.as_str(), seen.body.as_slice()),
        ("PUT", &br#"{"servers":[]}"#[..])
    );
    assert_eq!(seen.header("authorization"), Some("Bearer secret"));
    assert_eq!(
        (seen.header("if-match"), seen.header("content-type")),
        (Some("\"6\""), Some("application/json"))
    );
    assert!(control.act("/v1/x/up").json.is_null());
}

#[test]
fn the_ledger_balances_when_every_request_was_seen_once() {
    let origins = Origin::many(2);
    let ledger = Ledger::new();
    std::thread::scope(|scope| {
        for origin in &origins {
            scope.spawn(|| {
                let mut client = Client::connect(origin.address());
                for _ in 0..50 {
                    ledger
                        .record(|nonce| client.try_get("/", &[("X-Nonce", nonce)]))
                        .unwrap();
                }
            });
        }
    });
    let tally = ledger.settle(&origins);
    tally.assert_flawless();
    assert_eq!((tally.sent, tally.answered), (100, 100));
}

#[test]
fn the_ledger_tells_failures_refusals_and_retries_apart() {
    let origin = Origin::start();
    let ledger = Ledger::new();
    let call = |nonce: &str| Client::connect(origin.address()).try_get("/", &[("X-Nonce", nonce)]);
    origin.once(Reply::Reset);
    let _retried = ledger.record(|nonce| call(nonce).or_else(|_| call(nonce)));
    origin.once(Reply::Close);
    let _failed = ledger.record(call);
    let refused = ledger.send();
    ledger.answered(refused, 503, None);
    let tally = ledger.settle([&origin]);
    tally.assert_accounted();
    assert_eq!(
        (
            tally.sent,
            tally.answered,
            tally.refused,
            tally.failed,
            tally.retried
        ),
        (3, 1, 1, 1, 1)
    );
    assert_eq!(tally.faults.len(), 2);
}

#[test]
fn the_ledger_finds_doubled_unseen_crossed_and_foreign_requests() {
    let origin = Origin::start();
    let call = |nonce: &str| Client::connect(origin.address()).try_get("/", &[("X-Nonce", nonce)]);
    let ledger = Ledger::new();
    ledger
        .record(|nonce| call(nonce).and_then(|_| call(nonce)))
        .unwrap();
    let unseen = ledger.send();
    ledger.answered(unseen, 200, Some(&unseen.to_string()));
    ledger
        .record(|nonce| {
            call(nonce).map(|mut response| {
                response.headers = Headers(vec![("X-Nonce".into(), "another".into())]);
                response
            })
        })
        .unwrap();
    call("nobody's").unwrap();
    let tally = ledger.settle([&origin]);
    assert_eq!(
        (
            tally.doubled.len(),
            tally.unseen.len(),
            tally.crossed.len(),
            tally.foreign
        ),
        (1, 1, 1, 1)
    );
    assert!(std::panic::catch_unwind(|| tally.assert_accounted()).is_err());
}

#[test]
fn an_edge_that_cannot_start_says_why_in_time() {
    let Err(failure) = Edge::builder().with("surprise: true").try_start() else {
        panic!("it started")
    };
    assert!(
        failure.status.is_some(),
        "still running: {}",
        failure.stderr
    );
}

#[test]
fn polling_ends_with_the_first_answer() {
    let mut calls = 0;
    assert_eq!(
        until("three", || {
            calls += 1;
            (calls == 3).then_some(calls)
        }),
        3
    );
}
