//! What a client gets, and what the log says, when no server can be made to answer.

use crate::support::{Edge, Origin, Port, RawOrigin, Reply};
use serde_json::{Value, json};
use std::{
    io::{ErrorKind, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

/// A group `web` of these servers with these keys, and a route for everything to it.
pub(crate) fn edge(servers: &[SocketAddr], keys: &str) -> Edge {
    // None is ever ejected: here each request meets the same servers.
    let member = |address| json!({ "address": address, "max_fails": 0 });
    let servers: Vec<Value> = servers.iter().map(member).collect();
    let web = json!({ "upstreams": { "web": { "servers": servers } } });
    Edge::builder()
        .with(&web.to_string())
        .with(&format!("upstreams: {{ web: {{ {keys} }} }}"))
        .route("*", "web")
        .start()
}

/// The generated answer, and its line in the log with one failure for each server.
pub(crate) fn assert_fails(
    edge: &Edge,
    method: &str,
    status: u16,
    reason: &str,
    servers: &[SocketAddr],
) {
    let path = format!("/{method}/{reason}");
    let body: &[u8] = if method == "POST" { b"body" } else { b"" };
    let answer = edge.client().request(method, &path, &[], body);
    assert_eq!(
        (answer.status, answer.text()),
        (status, format!("{status} {reason}\n"))
    );
    let record = edge.record(&path);
    for (key, value) in [
        ("status", json!(status)),
        ("reason", json!(reason)),
        ("upstream", json!("web")),
        ("route", json!("any")),
        ("revision", json!(1)),
        ("attempt_count", json!(servers.len())),
    ] {
        assert_eq!(record[key], value, "{key} in {record}");
    }
    assert_eq!(
        record["request_id"].as_str().map(str::len),
        Some(32),
        "{record}"
    );
    let attempts = record["attempts"].as_array().unwrap();
    let mut tried: Vec<&str> = attempts
        .iter()
        .map(|attempt| attempt["server"].as_str().unwrap())
        .collect();
    let mut expected: Vec<String> = servers.iter().map(ToString::to_string).collect();
    tried.sort_unstable();
    expected.sort();
    assert_eq!(tried, expected);
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt["failure"] == reason && attempt["status"] == json!(null)),
        "{record}"
    );
}

#[test]
fn when_every_server_refuses_the_answer_is_502_connect_failed() {
    let ports = [Port::reserve(), Port::reserve()];
    let servers = ports.each_ref().map(Port::address);
    let edge = edge(&servers, "");
    for method in ["GET", "POST"] {
        assert_fails(&edge, method, 502, "connect_failed", &servers);
    }
}

#[test]
fn a_server_that_closes_or_resets_instead_of_answering_is_502_upstream_reset() {
    for reply in [Reply::Reset, Reply::Close] {
        let origin = Origin::start();
        origin.always(reply);
        let edge = edge(&[origin.address()], "");
        for method in ["GET", "POST"] {
            assert_fails(&edge, method, 502, "upstream_reset", &[origin.address()]);
        }
        assert_eq!(origin.count(), 2);
    }
}

#[test]
fn an_answer_that_is_no_http_is_502_upstream_invalid_response() {
    for garbage in [
        "garbage\r\n\r\n",
        "HTTP/1.1 twohundred OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "\0\0\0\0\0\0\0\0\r\n\r\n",
    ] {
        let origin = Origin::start();
        origin.always(Reply::RawThenClose(garbage.into()));
        let edge = edge(&[origin.address()], "");
        for method in ["GET", "POST"] {
            assert_fails(
                &edge,
                method,
                502,
                "upstream_invalid_response",
                &[origin.address()],
            );
        }
    }
}

#[test]
fn garbage_on_a_kept_connection_is_no_stale_connection() {
    let origin = Origin::start();
    origin.by(|seen| match seen.path.as_str() {
        "/fine" => Reply::Name,
        _ => Reply::RawThenClose(b"garbage\r\n\r\n".to_vec()),
    });
    let edge = edge(&[origin.address()], "");
    assert_eq!(edge.client().get("/fine", &[]).status, 200);
    assert_fails(
        &edge,
        "GET",
        502,
        "upstream_invalid_response",
        &[origin.address()],
    );
}

#[test]
fn a_body_that_is_cut_short_is_never_ended_cleanly() {
    for (begun, name) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
            "length",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
            "chunks",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nshort",
            "chunk",
        ),
    ] {
        let origins = Origin::many(2);
        for origin in &origins {
            origin.always(Reply::RawThenClose(begun.into()));
        }
        let edge = Edge::to(&origins);
        let path = format!("/{name}");
        let error = edge.client().try_get(&path, &[]).unwrap_err();
        assert_ne!(
            error.kind(),
            ErrorKind::WouldBlock,
            "{name}: not cut at all"
        );
        let record = edge.record(&path);
        assert_eq!(
            (&record["reason"], &record["status"]),
            (&json!("upstream_reset"), &json!(200)),
            "{record}"
        );
        assert_eq!(
            origins[0].count() + origins[1].count(),
            1,
            "a response that has begun is not retried"
        );
    }
}

#[test]
fn a_body_that_is_cut_short_behind_its_head_reaches_the_client_as_far_as_it_came() {
    let origin = Origin::start();
    origin.always(Reply::RawThenClose(
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_vec(),
    ));
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_to("\r\n\r\nshort");
    assert!(client.rest().is_empty());
}

#[test]
fn an_origin_that_answers_before_it_has_read_the_body_is_heard() {
    let origin = RawOrigin::start(|mut stream: &TcpStream, _| {
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // A close with unread data would be a reset.
        std::io::copy(&mut { stream }, &mut std::io::sink()).ok();
    });
    let edge = edge(&[origin.address()], "");
    let mut client = edge.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let answer = client.response();
    assert_eq!((answer.status, answer.text()), (413, "large".into()));
}

#[test]
fn a_client_that_leaves_before_the_answer_is_logged_as_499() {
    let origin = Origin::start();
    origin.hold();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    client.send("GET /left HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait_for(1);
    drop(client);
    origin.release();
    let record: Value = edge.record("/left");
    assert!(
        record["status"] == 499 && record["reason"] == "client_aborted" || record["status"] == 200,
        "{record}"
    );
    assert_eq!(origin.count(), 1);
}

#[test]
fn after_a_failure_the_group_serves_again_as_soon_as_its_server_does() {
    let mut origin = Origin::start();
    let edge = Edge::to([&origin]);
    for _ in 0..3 {
        origin.refuse();
        assert_eq!(edge.client().get("/", &[]).status, 502);
        origin.come_back();
        assert_eq!(edge.client().get("/", &[]).text(), origin.name());
    }
}
