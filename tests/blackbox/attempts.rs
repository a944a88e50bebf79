//! What a request may cost: connections of its own, a time for all its attempts, and servers that are down.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Edge, Ledger, Origin, RawOrigin, pause, until};

fn edge(servers: &[std::net::SocketAddr], keys: &str) -> Edge {
    let web = json!({ "upstreams": { "web": { "servers": servers } } });
    Edge::builder()
        .with(&web.to_string())
        .with(&format!("upstreams: {{ web: {{ {keys} }} }}"))
        .route("*", "web")
        .start()
}

/// 500 POSTs by two clients, while the origin closes each connection after a few answers without a word.
fn posts_to_a_server_that_closes(keys: &str) -> (usize, usize) {
    let origin = Origin::start();
    origin.close_after(3);
    let edge = edge(&[origin.address()], keys);
    let ledger = Ledger::new();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..250 {
                    let _refused = ledger.record(|nonce| {
                        let headers = [("X-Nonce", nonce)];
                        edge.client().try_request("POST", "/", &headers, b"x")
                    });
                }
            });
        }
    });
    let tally = ledger.settle([&origin]);
    println!("{keys}: {tally}");
    assert!(tally.doubled.is_empty() && tally.retried == 0, "{tally}");
    (tally.sent, tally.refused + tally.failed)
}

#[test]
fn a_fresh_connection_for_each_post_loses_none_to_a_server_that_closes() {
    let fresh = posts_to_a_server_that_closes("retry: { fresh_post: true }");
    assert_eq!(fresh, (500, 0));
    let kept = posts_to_a_server_that_closes("");
    println!("without fresh_post {} of {} fail", kept.1, kept.0);
}

#[test]
fn a_fresh_connection_serves_one_post_and_gets_share_theirs() {
    let origin = Origin::start();
    let edge = edge(&[origin.address()], "retry: { fresh_post: true }");
    let mut client = edge.client();
    for _ in 0..5 {
        assert_eq!(client.request("POST", "/", &[], b"x").status, 200);
    }
    assert_eq!(origin.connections(), 5);
    for _ in 0..5 {
        assert_eq!(client.get("/", &[]).status, 200);
    }
    assert_eq!(origin.connections(), 6);
}

#[test]
fn all_attempts_together_have_one_time() {
    let origins = Origin::many(3);
    for origin in &origins {
        origin.hold();
    }
    let servers: Vec<_> = origins.iter().map(Origin::address).collect();
    let edge = edge(
        &servers,
        "timeouts: { total: 700ms, first_byte: 300ms }, retry: { attempts: 9 }",
    );
    let start = Instant::now();
    let answer = edge.client().get("/", &[]);
    assert_eq!(
        (answer.status, answer.text()),
        (504, "504 upstream_timeout\n".into())
    );
    let took = start.elapsed();
    assert!(
        (Duration::from_millis(690)..Duration::from_secs(5)).contains(&took),
        "{took:?}"
    );
    assert_eq!(edge.record("/")["attempt_count"], 3);
}

#[test]
fn a_response_that_trickles_is_cut_at_the_end_of_the_whole_time() {
    let origin = RawOrigin::start(|mut stream: &TcpStream, _| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            .unwrap();
        // The origin's pace, not a wait for something: it ends with the connection.
        while stream.write_all(b"x").is_ok() {
            pause(Duration::from_millis(50));
        }
    });
    let edge = edge(&[origin.address()], "timeouts: { total: 500ms }");
    let start = Instant::now();
    let cut = edge.client().try_get("/", &[]);
    assert!(cut.is_err(), "a response that was cut was ended cleanly");
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn when_every_server_is_down_they_are_tried_only_if_that_is_wanted() {
    let origin = Origin::start();
    // The checks ask where nothing answers; requests do not.
    let checks = "health: { type: tcp, port: 1, interval: 50ms, fall: 1 }";
    for (keys, status) in [("", 503), ("when_all_down: try_any, ", 200)] {
        let edge = edge(&[origin.address()], &format!("{keys}{checks}"));
        until("the server is down", || {
            let shown = edge.control().get("/v1/upstreams/web").is(200).json;
            (shown["servers"][0]["status"]["state"] == "unhealthy").then_some(())
        });
        let answer = edge.client().get("/", &[]);
        assert_eq!(answer.status, status);
        let waits = answer.header("retry-after").is_some();
        assert_eq!(waits, status == 503);
    }
}

#[test]
fn servers_that_all_fail_get_a_tenth_more_than_was_asked() {
    // Each attempt is a connection, since none of them outlives a request.
    let reset = |stream: &TcpStream, _| {
        let mut head = [0; 1024];
        let _ = std::io::Read::read(&mut &*stream, &mut head);
    };
    let origins: Vec<_> = (0..4).map(|_| RawOrigin::start(reset)).collect();
    let servers: Vec<_> = origins.iter().map(RawOrigin::address).collect();
    let edge = edge(&servers, "retry: { attempts: 3 }");
    let requests = 3_000;
    let failed: usize = std::thread::scope(|scope| {
        let edge = &edge;
        let bad = move |_: &usize| edge.client().get("/", &[]).status == 502;
        let ask = move || (0..requests / 4).filter(bad).count();
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        clients.into_iter().map(|one| one.join().unwrap()).sum()
    });
    let attempts: usize = origins.iter().map(RawOrigin::connections).sum();
    let load = attempts as f64 / requests as f64;
    println!(
        "{requests} requests to four servers that reset each: {failed} answered 502, {attempts} attempts, {load:.3} for each"
    );
    assert_eq!(failed, requests);
    let shown = edge.control().get("/v1/upstreams/web").is(200).json;
    let counted = shown["servers"].as_array().unwrap().iter();
    let counted = counted.filter_map(|server| server["status"]["requests"].as_u64());
    assert_eq!(
        counted.sum::<u64>(),
        attempts as u64,
        "no more than were made"
    );
    assert!((1.02..=1.10).contains(&load), "{load}");
}
