//! How long each step may take, towards servers and clients.

use super::failures::{assert_fails, edge};
use crate::support::{Edge, Origin, RawOrigin, Reply, until};
use serde_json::json;
use socket2::{Domain, Socket, Type};
use std::{
    io::{ErrorKind, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

#[test]
fn a_server_that_does_not_answer_in_time_is_504_upstream_timeout() {
    let origin = Origin::start();
    origin.hold();
    let edge = edge(&[origin.address()], "timeouts: { first_byte: 300ms }");
    let start = Instant::now();
    assert_fails(&edge, "GET", 504, "upstream_timeout", &[origin.address()]);
    assert!(
        (Duration::from_millis(290)..Duration::from_secs(5)).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    assert_fails(&edge, "POST", 504, "upstream_timeout", &[origin.address()]);
    assert_eq!(origin.count(), 2, "each was sent once");
}

#[test]
fn a_get_that_one_server_does_not_answer_goes_to_another_and_a_post_does_not() {
    let origins = Origin::many(2);
    origins[0].hold();
    let servers = [origins[0].address(), origins[1].address()];
    let edge = edge(&servers, "timeouts: { first_byte: 300ms }");
    for _ in 0..2 {
        assert_eq!(edge.client().get("/", &[]).text(), origins[1].name());
    }
    let mut statuses: Vec<u16> = (0..2)
        .map(|_| edge.client().request("POST", "/", &[], b"x").status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 504]);
}

#[test]
fn the_first_byte_may_take_longer_than_the_gaps_after_it() {
    let origin = Origin::start();
    origin.delay(Duration::from_millis(600));
    let edge = edge(
        &[origin.address()],
        "timeouts: { first_byte: 10s, read: 200ms }",
    );
    assert_eq!(edge.client().get("/", &[]).text(), origin.name());
}

#[test]
fn a_gap_within_a_response_may_take_longer_than_the_first_byte() {
    let origin = RawOrigin::start(|mut stream: &TcpStream, _| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfour")
            .unwrap();
        let begun = Instant::now();
        until("600 ms have passed", || {
            (begun.elapsed() > Duration::from_millis(600)).then_some(())
        });
        stream.write_all(b"more").unwrap();
    });
    let edge = edge(
        &[origin.address()],
        "timeouts: { first_byte: 200ms, read: 10s }",
    );
    assert_eq!(edge.client().get("/", &[]).text(), "fourmore");
}

#[test]
fn a_response_that_falls_silent_is_cut_and_never_ended_cleanly() {
    for limits in ["first_byte: 1s, read: 1s", "read: 1s"] {
        for head in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour",
            "HTTP/1.1 200 OK\r\n\r\nfour",
        ] {
            let origin = Origin::start();
            origin.always(Reply::Raw(head.into()));
            let edge = edge(&[origin.address()], &format!("timeouts: {{ {limits} }}"));
            let error = edge.client().try_get("/silent", &[]).unwrap_err();
            assert_ne!(
                error.kind(),
                ErrorKind::WouldBlock,
                "{limits}, {head:?}: not cut at all"
            );
            let record = edge.record("/silent");
            assert_eq!(
                (&record["reason"], &record["status"]),
                (&json!("upstream_timeout"), &json!(200)),
                "{limits}, {head:?}"
            );
        }
    }
}

#[test]
fn a_client_that_reads_slowly_is_no_silence_of_the_server() {
    let origin = Origin::start();
    // More than the sockets and the edge hold between them.
    let body = vec![b'x'; 32 << 20];
    origin.always(Reply::Answer {
        status: 200,
        headers: Vec::new(),
        body: body.clone(),
    });
    let edge = edge(&[origin.address()], "timeouts: { read: 200ms }");
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_to("\r\n\r\n");
    assert!(!client.is_closed(Duration::from_millis(1)));
    let begun = Instant::now();
    until("the client has slept for a second", || {
        (begun.elapsed() > Duration::from_secs(1)).then_some(())
    });
    let mut rest = client.read_exactly(body.len());
    rest.retain(|byte| *byte != b'x');
    assert!(rest.is_empty());
}

/// Listens, but its queue is full: a connection is neither made nor refused. None where the system does not do that.
fn black_hole() -> Option<(Socket, Vec<TcpStream>, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queue = Vec::new();
    for _ in 0..16 {
        match TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            Ok(stream) => queue.push(stream),
            Err(_) => return Some((socket, queue, address)),
        }
    }
    None
}

#[test]
fn a_connection_that_does_not_come_about_in_time_is_504_connect_timeout() {
    let Some((_socket, _queue, address)) = black_hole() else {
        return;
    };
    let edge = edge(&[address], "timeouts: { connect: 300ms }");
    for method in ["GET", "POST"] {
        assert_fails(&edge, method, 504, "connect_timeout", &[address]);
    }
}

#[test]
fn a_connection_that_does_not_come_about_in_time_is_made_up_for() {
    let Some((_socket, _queue, address)) = black_hole() else {
        return;
    };
    let origin = Origin::start();
    let edge = edge(&[address, origin.address()], "timeouts: { connect: 300ms }");
    for _ in 0..2 {
        assert_eq!(
            edge.client().request("POST", "/", &[], b"x").text(),
            origin.name()
        );
    }
    edge.access_line("\"failure\":\"connect_timeout\"");
}

#[test]
fn a_server_that_does_not_take_the_request_in_time_is_logged_as_upstream_timeout() {
    // Listens, and nobody takes connections out of its queue: they stand, and nothing is read from them.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let edge = edge(
        &[address],
        "timeouts: { write: 300ms, first_byte: 10s, read: 10s }",
    );
    let mut client = edge.client();
    client.send("PUT /much HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    let block = vec![b'x'; 1 << 20];
    while client.try_send(&block).is_ok() {}
    let record = edge.record("/much");
    assert_eq!(record["reason"], "upstream_timeout", "{record}");
}

#[test]
fn a_client_that_falls_silent_within_its_body_is_cut_after_body_timeout() {
    let origin = Origin::start();
    let edge = Edge::builder()
        .upstream("web", [&origin])
        .route("*", "web")
        .listener("limits: { body_timeout: 300ms }")
        .start();
    let mut client = edge.client();
    client.send("POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    let answer = client.response();
    assert_eq!(answer.status, 408);
    assert!(client.is_closed(Duration::from_secs(5)));
    assert_eq!(edge.record("/silent")["reason"], "request_timeout");
    assert!(origin.requests().iter().all(|seen| !seen.whole));
}
