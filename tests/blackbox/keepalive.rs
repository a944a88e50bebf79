//! Connections are kept where that is safe, on both sides.

use super::http2::{H2, answer, runtime};
use crate::support::{Edge, Origin, RawOrigin, Reply, read_head};
use bytes::Bytes;
use http::Request;
use std::io::{BufReader, Write};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

/// `up` has this origin, `off` has none that takes requests; any other host has no route.
fn edge_with_errors(origin: &Origin) -> Edge {
    Edge::builder()
        .upstream("web", [origin])
        .with("upstreams: { down: { servers: [{ address: '127.0.0.1:1', admin: down }] } }")
        .route("up", "web")
        .route("off", "down")
        .start()
}

#[test]
fn a_hundred_requests_take_one_connection_on_either_side() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    for _ in 0..100 {
        assert_eq!(client.get("/", &[]).text(), origin.name());
    }
    assert_eq!((origin.count(), origin.connections()), (100, 1));
}

#[test]
fn connections_to_an_origin_are_shared_by_clients() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    for _ in 0..50 {
        assert_eq!(edge.client().get("/", &[]).text(), origin.name());
    }
    // A connection is back in the pool a moment after its answer has reached the client.
    assert!(origin.connections() <= 10, "{}", origin.connections());
}

#[test]
fn a_group_that_keeps_no_connections_opens_one_for_each_request_and_says_so() {
    let origin = Origin::start();
    let edge = Edge::builder()
        .with("upstreams: { web: { keepalive: 0 } }")
        .upstream("web", [&origin])
        .route("*", "web")
        .start();
    let mut client = edge.client();
    for _ in 0..5 {
        assert_eq!(client.get("/", &[]).status, 200);
    }
    assert_eq!(origin.connections(), 5);
    assert!(
        origin
            .requests()
            .iter()
            .all(|seen| seen.header("connection") == Some("close"))
    );
}

#[test]
fn connection_close_is_honoured() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    let answer = client.get("/", &[("Connection", "close")]);
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert!(client.is_closed(SOON));
}

#[test]
fn generated_errors_keep_the_connection_of_a_request_without_a_body() {
    let origin = Origin::start();
    let edge = edge_with_errors(&origin);
    let mut client = edge.client();
    for _ in 0..3 {
        for (host, status) in [("nowhere", 404), ("off", 503), ("up", 200)] {
            for method in ["GET", "HEAD"] {
                let answer = client
                    .try_request(method, "/", &[("Host", host)], b"")
                    .unwrap();
                assert_eq!(answer.status, status);
                assert!(answer.headers.keeps_connection("HTTP/1.1"), "{answer:?}");
            }
        }
    }
}

#[test]
fn a_body_that_was_not_read_never_becomes_a_request() {
    let origin = Origin::start();
    let edge = edge_with_errors(&origin);
    let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: up\r\n\r\n";
    for host in ["nowhere", "off"] {
        let mut client = edge.client();
        let answer = client.request("POST", "/", &[("Host", host)], smuggled);
        assert!(matches!(answer.status, 404 | 503));
        assert!(client.rest().is_empty() && client.is_closed(SOON));
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_connection_ends_after_keepalive_requests() {
    let origin = Origin::start();
    let edge = Edge::builder()
        .upstream("web", [&origin])
        .route("*", "web")
        .listener("limits: { keepalive_requests: 3 }")
        .start();
    let mut client = edge.client();
    for number in 1..=3 {
        let answer = client.get("/", &[]);
        assert_eq!(
            answer.headers.keeps_connection("HTTP/1.1"),
            number < 3,
            "{answer:?}"
        );
    }
    assert!(client.is_closed(SOON));
}

#[test]
fn a_connection_over_http_2_takes_leave_after_keepalive_requests_and_loses_none() {
    let origin = Origin::start();
    let edge = Edge::builder()
        .upstream("web", [&origin])
        .route("*", "web")
        .listener("limits: { keepalive_requests: 3 }")
        .start();
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        for _ in 0..2 {
            assert_eq!(h2.get("http://a/").await.status, 200);
        }
        // The third and what crosses the farewell.
        let mut waiting = Vec::new();
        for _ in 0..20 {
            let request = Request::get("http://a/").body(()).unwrap();
            waiting.push(h2.begin(request, Bytes::new()).await);
        }
        for response in waiting {
            assert_eq!(answer(response).await.unwrap().status, 200);
        }
        let ended = timeout(SOON, h2.connection).await.unwrap().unwrap();
        ended.unwrap();
    });
}

#[test]
fn an_idle_connection_ends_after_keepalive_timeout() {
    let origin = Origin::start();
    let edge = Edge::builder()
        .upstream("web", [&origin])
        .route("*", "web")
        .listener("limits: { keepalive_timeout: 1s }")
        .start();
    let mut used = edge.client();
    used.get("/", &[]);
    let mut unused = edge.client();
    assert!(!used.is_closed(Duration::from_millis(200)));
    assert!(used.is_closed(SOON) && unused.is_closed(SOON));
}

#[test]
fn an_idle_connection_to_an_origin_ends_after_the_groups_idle_timeout() {
    let origin = Origin::start();
    let edge = Edge::builder()
        .with("upstreams: { web: { timeouts: { idle: 100ms } } }")
        .upstream("web", [&origin])
        .route("*", "web")
        .start();
    let mut client = edge.client();
    client.get("/", &[]);
    crate::support::until("the idle connection was not used again", || {
        client.get("/", &[]);
        let idle = std::time::Instant::now();
        crate::support::until("150 ms have passed", || {
            (idle.elapsed() > Duration::from_millis(150)).then_some(())
        });
        (origin.connections() > 1).then_some(())
    });
}

#[test]
fn a_body_that_waits_for_100_continue_is_refused_without_it() {
    let origin = Origin::start();
    let edge = edge_with_errors(&origin);
    let mut client = edge.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: nowhere\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    let answer = client.response();
    assert_eq!((answer.status, answer.interim.len()), (404, 0));
    assert!(client.is_closed(SOON));
}

#[test]
fn the_version_of_a_server_is_not_the_clients() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    for (answer, kept) in [
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", true),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
            true,
        ),
        ("HTTP/1.0 200 OK\r\n\r\nhi", false),
    ] {
        origin.always(if kept {
            Reply::Raw(answer.into())
        } else {
            Reply::RawThenClose(answer.into())
        });
        let mut client = edge.client();
        let answer = client.get("/", &[]);
        assert_eq!((&*answer.version, answer.text()), ("HTTP/1.1", "hi".into()));
        assert!(!answer.headers.has("keep-alive"), "{answer:?}");
    }
}

#[test]
fn a_request_behind_a_closed_connection_gets_a_new_one_however_many_were_closed() {
    const KEPT: usize = 8;
    let all = Barrier::new(KEPT);
    let origin = RawOrigin::start(move |stream, number| {
        let mut from = BufReader::new(stream);
        let _asked = read_head(&mut from);
        if number <= KEPT {
            // Each request has a connection of its own, so that as many are kept.
            all.wait();
        }
        let mut to = stream;
        let _answered = to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        // The next request is the connection's end.
        let _asked = read_head(&mut from);
    });
    let edge = Edge::builder()
        .with(&format!(
            "upstreams: {{ web: {{ servers: ['{}'] }} }}",
            origin.address()
        ))
        .route("*", "web")
        .start();
    thread::scope(|scope| {
        for _ in 0..KEPT {
            scope.spawn(|| assert_eq!(edge.client().get("/", &[]).status, 200));
        }
    });
    assert_eq!(edge.client().get("/late", &[]).status, 200);
    let attempts = edge.record("/late")["attempts"].clone();
    assert_eq!(attempts.as_array().map(Vec::len), Some(2), "{attempts}");
}

#[test]
fn small_chunks_that_come_together_are_passed_on_together() {
    const CHUNKS: usize = 1000;
    let mut body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    body.extend(b"a\r\n0123456789\r\n".repeat(CHUNKS));
    body.extend(b"0\r\n\r\n");
    let origin = Origin::start();
    origin.always(Reply::Raw(body));
    let edge = Edge::to([&origin]);
    runtime().block_on(async {
        let mut client = H2::connect(&edge).await;
        let request = Request::get("http://a/").body(()).unwrap();
        let response = client.begin(request, Bytes::new()).await;
        let mut body = timeout(SOON, response).await.unwrap().unwrap().into_body();
        let (mut length, mut frames) = (0, 0);
        while let Some(part) = timeout(SOON, body.data()).await.unwrap() {
            length += part.unwrap().len();
            frames += 1;
        }
        assert_eq!(length, 10 * CHUNKS);
        assert!(frames <= CHUNKS / 10, "{frames}");
    });
}
