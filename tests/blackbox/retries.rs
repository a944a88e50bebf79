//! Which failed attempts are made up for by another server, and which must not be.

use crate::support::{Edge, Origin, Port, RawOrigin, Reply, read_announced_body, read_head};
use serde_json::{Value, json};
use std::{
    io::{BufReader, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A group `web` with these servers, in file order, and keys.
fn edge(servers: &[std::net::SocketAddr], keys: &str) -> Edge {
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

/// Server, status and failure of each attempt.
fn attempts(record: &Value) -> Vec<(String, Value, Value)> {
    let attempts = record["attempts"].as_array().unwrap().iter();
    attempts
        .map(|attempt| {
            let server = attempt["server"].as_str().unwrap().to_owned();
            (
                server,
                attempt["status"].clone(),
                attempt["failure"].clone(),
            )
        })
        .collect()
}

#[test]
fn a_refused_connection_is_made_up_for_whatever_the_method() {
    let (nobody, origin) = (Port::reserve(), Origin::start());
    let edge = edge(&[nobody.address(), origin.address()], "");
    let mut client = edge.client();
    for (number, method) in ["GET", "POST", "PUT", "PATCH", "DELETE", "GET", "POST"]
        .iter()
        .enumerate()
    {
        let body: &[u8] = if *method == "GET" { b"" } else { b"body" };
        let answer = client.request(method, &format!("/{number}"), &[], body);
        assert_eq!(
            (answer.status, answer.text()),
            (200, origin.name()),
            "{method}"
        );
        assert_eq!(origin.requests().pop().unwrap().body, body);
    }
    assert_eq!(origin.count(), 7);
    let retried: Vec<Value> = (0..7)
        .map(|number| edge.record(&format!("/{number}")))
        .filter(|record| record["attempt_count"] == 2)
        .collect();
    assert!(!retried.is_empty());
    for record in retried {
        assert_eq!(
            attempts(&record),
            [
                (
                    nobody.address().to_string(),
                    json!(null),
                    json!("connect_failed")
                ),
                (origin.address().to_string(), json!(200), json!(null)),
            ]
        );
        assert_eq!(
            (&record["reason"], &record["status"]),
            (&json!(null), &json!(200))
        );
    }
}

#[test]
fn a_large_body_survives_a_refused_connection() {
    let (nobody, origin) = (Port::reserve(), Origin::start());
    let edge = edge(&[nobody.address(), origin.address()], "");
    let body: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    for _ in 0..2 {
        assert_eq!(edge.client().request("POST", "/", &[], &body).status, 200);
        assert!(origin.requests().pop().unwrap().body == body);
    }
}

#[test]
fn one_attempt_means_never_again() {
    let (nobody, origin) = (Port::reserve(), Origin::start());
    let edge = edge(
        &[nobody.address(), origin.address()],
        "retry: { attempts: 1 }",
    );
    let mut statuses: Vec<u16> = (0..4)
        .map(|_| edge.client().get("/once", &[]).status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502]);
    assert!(
        edge.access_line("connect_failed")
            .contains("\"attempt_count\":1")
    );
}

#[test]
fn as_many_servers_are_tried_as_there_are_attempts() {
    let nobody: Vec<Port> = (0..3).map(|_| Port::reserve()).collect();
    let origin = Origin::start();
    let mut servers: Vec<_> = nobody.iter().map(Port::address).collect();
    servers.push(origin.address());
    let edge = edge(&servers, "retry: { attempts: 4 }");
    for number in 0..8 {
        let path = format!("/{number}");
        assert_eq!(edge.client().get(&path, &[]).text(), origin.name());
        let mut tried: Vec<String> = attempts(&edge.record(&path))
            .into_iter()
            .map(|(server, ..)| server)
            .collect();
        tried.sort();
        tried.dedup();
        assert_eq!(
            edge.record(&path)["attempt_count"],
            tried.len(),
            "a server was tried twice"
        );
    }
}

#[test]
fn a_cause_that_the_rule_does_not_name_is_not_retried() {
    let (nobody, origin) = (Port::reserve(), Origin::start());
    let edge = edge(
        &[nobody.address(), origin.address()],
        "retry: { on: [reset, '503'] }",
    );
    let mut statuses: Vec<u16> = (0..2).map(|_| edge.client().get("/", &[]).status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);
}

#[test]
fn a_reset_before_the_answer_is_made_up_for_if_the_method_is_idempotent() {
    let origins = Origin::many(2);
    origins[0].always(Reply::Reset);
    let edge = edge(&[origins[0].address(), origins[1].address()], "");
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "GET"] {
        let body: &[u8] = if method == "PUT" { b"body" } else { b"" };
        let answer = edge.client().try_request(method, "/", &[], body).unwrap();
        assert_eq!(answer.status, 200, "{method}");
    }
    assert!(origins[0].count() >= 3);
    assert_eq!(origins[1].count(), 6);
    let put = origins[1]
        .requests()
        .into_iter()
        .find(|seen| seen.method == "PUT");
    assert_eq!(put.unwrap().body, b"body");
    let record: Value = serde_json::from_str(&edge.access_line("upstream_reset")).unwrap();
    let (server, status, failure) = attempts(&record).remove(0);
    assert_eq!(
        (server, status, failure),
        (
            origins[0].address().to_string(),
            json!(null),
            json!("upstream_reset")
        )
    );
    assert_eq!(record["reason"], json!(null));
}

#[test]
fn a_post_that_was_reset_is_executed_once_and_answered_502() {
    let origins = Origin::many(2);
    for origin in &origins {
        origin.always(Reply::Reset);
    }
    let edge = edge(&[origins[0].address(), origins[1].address()], "");
    for method in ["POST", "PATCH"] {
        let answer = edge
            .client()
            .request(method, &format!("/{method}"), &[], b"body");
        assert_eq!(
            (answer.status, answer.text()),
            (502, "502 upstream_reset\n".into())
        );
        let record = edge.record(&format!("/{method}"));
        assert_eq!(
            (&record["attempt_count"], &record["reason"]),
            (&json!(1), &json!("upstream_reset"))
        );
    }
    assert_eq!(origins[0].count() + origins[1].count(), 2);
}

#[test]
fn a_post_is_repeated_where_the_rule_says_that_this_is_safe() {
    let origins = Origin::many(2);
    origins[0].always(Reply::Reset);
    let edge = edge(
        &[origins[0].address(), origins[1].address()],
        "retry: { non_idempotent: true }",
    );
    for _ in 0..2 {
        assert_eq!(
            edge.client().request("POST", "/", &[], b"body").text(),
            origins[1].name()
        );
    }
    assert!(
        origins[1]
            .requests()
            .iter()
            .all(|seen| seen.body == b"body")
    );
}

#[test]
fn a_body_that_is_too_large_to_keep_is_not_sent_again() {
    let origins = Origin::many(2);
    for origin in &origins {
        origin.always(Reply::Reset);
    }
    let edge = edge(&[origins[0].address(), origins[1].address()], "");
    let answer = edge.client().request("PUT", "/", &[], &vec![b'x'; 1 << 20]);
    assert_eq!(answer.status, 502);
    assert_eq!(origins[0].count() + origins[1].count(), 1);
}

/// Answers the first request of each connection; at the second it closes, as if it had done so just before.
fn forgetful(requests: &Arc<AtomicUsize>) -> RawOrigin {
    let requests = Arc::clone(requests);
    RawOrigin::start(move |mut stream: &TcpStream, _| {
        let mut reader = BufReader::new(stream);
        for answer in [
            Some("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh"),
            None,
        ] {
            let Ok(Some((_, headers))) = read_head(&mut reader) else {
                return;
            };
            read_announced_body(&mut reader, &headers).unwrap();
            requests.fetch_add(1, Ordering::SeqCst);
            if let Some(answer) = answer {
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    })
}

#[test]
fn a_kept_connection_that_turns_out_closed_is_made_up_for_on_the_same_server() {
    let requests = Arc::default();
    let origin = forgetful(&requests);
    // Even one attempt: the server has not failed, only the connection.
    let edge = edge(&[origin.address()], "retry: { attempts: 1 }");
    let mut client = edge.client();
    for number in 0..10 {
        let answer = client.get(&format!("/{number}"), &[]);
        assert_eq!(
            (answer.status, answer.text()),
            (200, "fresh".into()),
            "request {number}"
        );
    }
    let record: Value = serde_json::from_str(&edge.access_line("\"attempt_count\":2")).unwrap();
    let failures: Vec<Value> = attempts(&record)
        .into_iter()
        .map(|(.., failure)| failure)
        .collect();
    assert_eq!(failures, [json!("upstream_reset"), json!(null)]);
}

#[test]
fn a_post_on_a_kept_connection_that_turns_out_closed_is_not_sent_twice() {
    let requests = Arc::<AtomicUsize>::default();
    let origin = forgetful(&requests);
    let edge = edge(&[origin.address()], "");
    let mut client = edge.client();
    assert_eq!(client.get("/", &[]).status, 200);
    crate::support::until("the connection was used again", || {
        let before = (requests.load(Ordering::SeqCst), origin.connections());
        let answer = edge.client().request("POST", "/", &[], b"x");
        assert_eq!(requests.load(Ordering::SeqCst), before.0 + 1);
        (origin.connections() == before.1)
            .then(|| assert_eq!(answer.text(), "502 upstream_reset\n"))
    });
}

#[test]
fn an_origin_that_closes_after_each_answer_without_a_word_costs_no_get() {
    let origin = Origin::start();
    origin.close_after(1);
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    for number in 0..200 {
        assert_eq!(client.get("/", &[]).status, 200, "request {number}");
    }
}

#[test]
fn idle_connections_that_the_origin_closed_are_not_used() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    for _ in 0..20 {
        assert_eq!(client.get("/", &[]).status, 200);
        origin.close_idle();
    }
}

#[test]
fn a_502_503_or_504_is_made_up_for_by_another_server() {
    let origins = Origin::many(2);
    let edge = edge(&[origins[0].address(), origins[1].address()], "");
    for status in [502, 503, 504] {
        origins[0].always(Reply::status(status));
        for number in 0..2 {
            let path = format!("/{status}/{number}");
            assert_eq!(edge.client().get(&path, &[]).text(), origins[1].name());
        }
        let line = edge.access_line(&format!("\"status\":{status},\"failure\":\"status\""));
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            attempts(&record),
            [
                (
                    origins[0].address().to_string(),
                    json!(status),
                    json!("status")
                ),
                (origins[1].address().to_string(), json!(200), json!(null)),
            ]
        );
        assert_eq!(
            (&record["status"], &record["reason"]),
            (&json!(200), &json!(null))
        );
    }
}

#[test]
fn a_503_is_passed_on_when_there_is_no_other_server() {
    let origin = Origin::start();
    origin.always(Reply::status(503));
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    for _ in 0..2 {
        let answer = client.get("/passed-on", &[]);
        assert_eq!((answer.status, answer.text()), (503, "status 503".into()));
    }
    assert_eq!((origin.count(), origin.connections()), (2, 1));
    assert_eq!(edge.record("/passed-on")["reason"], json!(null));
}

#[test]
fn the_last_503_is_passed_on_when_every_server_says_so() {
    let origins = Origin::many(3);
    for origin in &origins {
        origin.always(Reply::status(503));
    }
    let edge = Edge::to(&origins);
    let answer = edge.client().get("/", &[]);
    assert_eq!((answer.status, answer.text()), (503, "status 503".into()));
    assert_eq!(
        origins.iter().map(Origin::count).sum::<usize>(),
        2,
        "retry.attempts is 2 by default"
    );
}

#[test]
fn a_503_to_a_post_is_passed_on_and_other_statuses_are_never_retried() {
    let origins = Origin::many(2);
    for origin in &origins {
        origin.by(|seen| Reply::status(seen.path[1..].parse().unwrap()));
    }
    let edge = Edge::to(&origins);
    let mut client = edge.client();
    assert_eq!(
        client.request("POST", "/503", &[], b"x").text(),
        "status 503"
    );
    for status in [400, 404, 429, 500, 501, 505] {
        assert_eq!(
            client.get(&format!("/{status}"), &[]).text(),
            format!("status {status}")
        );
    }
    assert_eq!(origins.iter().map(Origin::count).sum::<usize>(), 7);
}
