//! What one client of HTTP/2 may take, and what it may not say.

use bytes::Bytes;
use http::{Method, Request};
use std::time::{Duration, Instant};

use super::http2::{H2, runtime};
use crate::support::{Edge, Origin};

fn edge(origin: &Origin, limits: &str) -> Edge {
    let edge = Edge::builder().upstream("web", [origin]).route("*", "web");
    edge.listener(&format!("limits: {{ {limits} }}")).start()
}

fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).unwrap()
}

#[test]
fn a_body_longer_than_body_size_is_413_announced_or_not() {
    let origin = Origin::start();
    let edge = edge(&origin, "body_size: 1KiB");
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let post = || Request::post("http://a/");
        let fits = h2
            .call(post().body(()).unwrap(), vec![b'x'; 1024].into())
            .await;
        assert_eq!(fits.unwrap().status, 200);
        let announced = post().header("content-length", "1025").body(()).unwrap();
        let announced = h2.call(announced, vec![b'x'; 1025].into()).await.unwrap();
        assert_eq!(
            (announced.status.as_u16(), text(&announced.body)),
            (413, "413 body_too_large\n")
        );
        let counted = h2
            .call(post().body(()).unwrap(), vec![b'x'; 1025].into())
            .await
            .unwrap();
        assert_eq!(counted.status, 413);
        assert_eq!(
            text(&counted.body).lines().next(),
            Some("413 body_too_large")
        );
        assert_eq!(h2.get("http://a/after").await.status, 200);
    });
    let whole: Vec<_> = origin
        .requests()
        .into_iter()
        .filter(|seen| seen.whole)
        .collect();
    assert_eq!(whole.len(), 2);
}

#[test]
fn more_fields_than_header_count_or_a_larger_head_are_431() {
    let origin = Origin::start();
    let edge = edge(&origin, "header_count: 20, header_size: 4KiB");
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let with = |count: usize, length: usize| {
            let mut request = Request::get("http://a/");
            for n in 0..count {
                request = request.header(format!("x-{n}"), "y".repeat(length));
            }
            request.body(()).unwrap()
        };
        assert_eq!(
            h2.call(with(15, 1), Bytes::new()).await.unwrap().status,
            200
        );
        assert_eq!(
            h2.call(with(25, 1), Bytes::new()).await.unwrap().status,
            431
        );
        assert_eq!(
            h2.call(with(4, 2000), Bytes::new()).await.unwrap().status,
            431
        );
        assert_eq!(h2.get("http://a/after").await.status, 200);
    });
    assert_eq!(origin.count(), 2);
}

#[test]
fn methods_and_paths_that_are_not_for_servers_are_refused() {
    let origin = Origin::start();
    let edge = edge(&origin, "h2_streams: 10");
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        for (method, uri, line) in [
            (Method::TRACE, "http://a/", "405 method_not_allowed"),
            (Method::GET, "http://a/..", "400 bad_request_uri"),
            (Method::GET, "http://a/%00", "400 bad_request_uri"),
            (Method::GET, "http://a/a/..;/b", "400 bad_request_uri"),
        ] {
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            let answer = h2.call(request, Bytes::new()).await.unwrap();
            assert_eq!(text(&answer.body).lines().next(), Some(line), "{uri}");
        }
        assert_eq!(h2.get("http://a/a//./b/../c?d=..").await.status, 200);
    });
    assert_eq!(origin.requests()[0].path, "/a/c?d=..");
}

#[test]
fn a_head_that_does_not_end_is_closed_in_time_and_a_quiet_connection_is_not() {
    let origin = Origin::start();
    let edge = edge(&origin, "header_timeout: 500ms");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let begun = |bytes: &[u8]| {
        let mut client = edge.client();
        client.send([preface, bytes].concat());
        client
    };
    let mut quiet = begun(b"");
    for unfinished in [
        &b"\0\0\x10\x01"[..],
        b"\0\0\x10\x01\x05\0\0\0\x01\x82",
        b"\0\0\x01\x01\x01\0\0\0\x01\x82",
    ] {
        let start = Instant::now();
        let mut client = begun(unfinished);
        let _settings = client.rest();
        let took = start.elapsed();
        assert!(
            (Duration::from_millis(450)..Duration::from_secs(5)).contains(&took),
            "{took:?}"
        );
    }
    let acknowledged = b"\0\0\0\x04\x01\0\0\0\0";
    quiet.send(acknowledged);
    assert!(!quiet.is_closed(Duration::from_millis(300)));
}

#[test]
fn what_the_reader_of_http_2_refuses_by_itself_is_counted() {
    let origin = Origin::start();
    let edge = edge(&origin, "header_size: 4KiB, h2_streams: 1");
    let count = |series: &str| -> u64 {
        let text = edge.control().get("/metrics").text;
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap().trim().parse().unwrap()
    };
    let series = [
        "pointsman_http2_requests_refused_total",
        "pointsman_http2_streams_reset_total{code=\"protocol_error\"}",
        "pointsman_http2_connections_refused_total{code=\"protocol_error\"}",
    ];
    assert_eq!(series.map(count), [0, 0, 0]);
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        assert_eq!(h2.get("http://a/").await.status, 200);
        for value in ["x".repeat(8 << 10), " x".into()] {
            let request = Request::get("http://a/").header("x-long", value);
            let answer = h2.call(request.body(()).unwrap(), Bytes::new()).await;
            assert!(matches!(answer.unwrap().status.as_u16(), 400 | 431));
        }
        assert_eq!(h2.get("http://a/").await.status, 200);
        let request = Request::get("http://a/").header("content-length", "9");
        let answer = h2.call(request.body(()).unwrap(), Bytes::new()).await;
        assert!(answer.is_err());
    });
    assert_eq!(series.map(count), [2, 1, 0]);
    let mut client = edge.client();
    // DATA on stream 0 (RFC 9113 section 6.1).
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    client.rest();
    assert_eq!(series.map(count), [2, 1, 1]);
}
