//! What the end of a request's whole time does not say of the server that has it then.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Edge, Origin, Reply, until};

fn edge(web: &Value) -> Edge {
    Edge::builder()
        .with(&json!({ "upstreams": { "web": web } }).to_string())
        .route("*", "web")
        .start()
}

fn states(edge: &Edge) -> Vec<String> {
    let shown = edge.control().get("/v1/upstreams/web").is(200).json;
    let servers = shown["servers"].as_array().unwrap();
    let state = |server: &Value| server["status"]["state"].as_str().unwrap().to_owned();
    servers.iter().map(state).collect()
}

#[test]
fn a_server_is_not_ejected_for_the_time_that_a_request_waited_in_line() {
    let origins = Origin::many(3);
    origins
        .iter()
        .for_each(|it| it.delay(Duration::from_millis(1200)));
    let limited = |it: &Origin| json!({ "address": it.address(), "max_connections": 1 });
    let servers: Vec<Value> = origins.iter().map(limited).collect();
    let edge = edge(&json!({
        "servers": servers, "queue": { "size": 9, "timeout": "0s" }, "timeouts": { "total": "2s" },
    }));
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || edge.client().get("/", &[]).status;
        let asked: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|it| it.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 504, 504, 504]);
    assert_eq!(states(&edge), ["up"; 3]);
}

#[test]
fn a_server_is_not_ejected_for_the_time_that_another_one_took() {
    let origins = Origin::many(3);
    origins.iter().for_each(Origin::hold);
    let backup = |it: &Origin| json!({ "address": it.address(), "backup": true });
    let edge = edge(&json!({
        "servers": [origins[0].address(), backup(&origins[1]), backup(&origins[2])], "max_ejected": "100%",
        "timeouts": { "first_byte": "1200ms", "total": "2s" },
    }));
    let answer = edge.client().get("/late", &[]);
    assert_eq!(
        (answer.status, answer.text()),
        (504, "504 upstream_timeout\n".into())
    );
    let attempts = &edge.record("/late")["attempts"];
    assert_eq!(attempts.as_array().unwrap().len(), 2, "{attempts}");
    assert_eq!(states(&edge), ["ejected", "up", "up"]);
    origins.iter().for_each(Origin::release);
}

#[test]
fn a_server_is_not_ejected_for_the_time_that_a_client_takes_to_read() {
    let origins = Origin::many(2);
    let large = "x".repeat(25_000_000);
    origins.iter().for_each(|it| it.always(Reply::text(&large)));
    let servers: Vec<_> = origins.iter().map(Origin::address).collect();
    let edge = edge(&json!({ "servers": servers, "timeouts": { "total": "2s" } }));
    for number in 0..2 {
        let mut slow = TcpStream::connect(edge.address()).unwrap();
        write!(slow, "GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let began = Instant::now();
        until("its time is over", || {
            (began.elapsed() > Duration::from_millis(2200)).then_some(())
        });
        let mut read = Vec::new();
        let _end = slow.read_to_end(&mut read);
        assert!(read.len() < large.len());
        assert_eq!(
            edge.record(&format!("/{number}"))["reason"],
            "upstream_timeout"
        );
    }
    assert_eq!(states(&edge), ["up"; 2]);
}

#[test]
fn a_server_is_not_ejected_for_the_time_that_a_body_took_to_come() {
    let origins = Origin::many(2);
    origins.iter().for_each(Origin::hold);
    let servers: Vec<_> = origins.iter().map(Origin::address).collect();
    let edge = edge(&json!({ "servers": servers, "timeouts": { "total": "2s" } }));
    let mut slow = edge.client();
    slow.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx");
    let began = Instant::now();
    until("more than half of its time is over", || {
        (began.elapsed() > Duration::from_millis(1200)).then_some(())
    });
    slow.send("y");
    assert_eq!(slow.response().status, 504);
    assert_eq!(states(&edge), ["up"; 2]);
    // Who has the request at once and says nothing is ejected.
    assert_eq!(edge.client().get("/", &[]).status, 504);
    let mut states = states(&edge);
    states.sort_unstable();
    assert_eq!(states, ["ejected", "up"]);
    origins.iter().for_each(Origin::release);
}
