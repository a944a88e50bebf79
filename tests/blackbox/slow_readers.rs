//! Clients that take a response slowly: what moves fast enough is left alone, and what is cut is logged as that.

use super::http2::{H2, runtime};
use crate::support::{Edge, Origin, PATIENCE, Reply};
use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::Request;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

const LENGTH: usize = 256 << 10;

/// A client has a second for each step, and for 64 KiB, which Pingora reads at once, two more.
fn edge_to(origin: &Origin, length: usize) -> Edge {
    origin.always(Reply::Answer {
        status: 200,
        headers: Vec::new(),
        body: vec![b'x'; length],
    });
    Edge::builder()
        .upstream("web", [origin])
        .route("*", "web")
        .listener("limits: { body_timeout: 1s, min_rate: 32768 }")
        .start()
}

const STEP: usize = 8 << 10;

/// The response to a client that takes no more than a step before it asks for more.
async fn body(edge: &Edge, path: &str) -> RecvStream {
    let stream = TcpStream::connect(edge.address()).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(STEP as u32);
    let (send, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://a{path}")).body(()).unwrap();
    let mut send = send.ready().await.unwrap();
    let (response, _) = send.send_request(request, true).unwrap();
    let response = timeout(PATIENCE, response).await.unwrap().unwrap();
    response.into_body()
}

#[test]
fn a_response_over_http_2_that_is_taken_slowly_but_at_the_rate_is_whole() {
    let origin = Origin::start();
    let edge = edge_to(&origin, LENGTH);
    runtime().block_on(async {
        let (mut body, start) = (body(&edge, "/slow").await, Instant::now());
        let mut length = 0;
        while let Some(part) = timeout(PATIENCE, body.data()).await.unwrap() {
            let count = part.unwrap().len();
            length += count;
            tokio::time::sleep(Duration::from_millis(60) * count as u32 / STEP as u32).await;
            body.flow_control().release_capacity(count).unwrap();
        }
        assert_eq!(length, LENGTH);
        assert!(start.elapsed() > Duration::from_millis(1500));
    });
    assert!(edge.record("/slow")["reason"].is_null());
}

#[test]
fn a_client_that_takes_the_last_part_late_is_no_silence_of_the_server() {
    let origin = Origin::start();
    // The end is at the edge while the window is shut.
    let length = STEP + 20_000;
    origin.always(Reply::Answer {
        status: 200,
        headers: Vec::new(),
        body: vec![b'x'; length],
    });
    let edge = Edge::builder()
        .with("upstreams: { web: { timeouts: { read: 200ms } } }")
        .upstream("web", [&origin])
        .route("*", "web")
        .start();
    runtime().block_on(async {
        let mut body = body(&edge, "/late").await;
        let (mut taken, mut rested) = (0, false);
        while let Some(part) = timeout(PATIENCE, body.data()).await.unwrap() {
            let count = part.unwrap().len();
            taken += count;
            if !std::mem::replace(&mut rested, true) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            body.flow_control().release_capacity(count).unwrap();
        }
        assert_eq!(taken, length);
    });
    let record = edge.record("/late");
    assert!(record["reason"].is_null(), "{record}");
    assert!(record["attempts"][0]["failure"].is_null(), "{record}");
}

#[test]
fn a_response_over_http_2_that_nobody_takes_is_cut_and_logged_as_a_slow_client_s() {
    let origin = Origin::start();
    let edge = edge_to(&origin, LENGTH);
    runtime().block_on(async {
        let (mut body, start) = (body(&edge, "/none").await, Instant::now());
        while let Some(Ok(_)) = timeout(PATIENCE, body.data()).await.unwrap() {}
        let took = start.elapsed();
        assert!(took > Duration::from_millis(990), "{took:?}");
    });
    let record = edge.record("/none");
    assert_eq!(record["reason"], "client_slow", "{record}");
    assert!(record["attempts"][0]["failure"].is_null(), "{record}");
}

#[test]
fn a_response_over_http_1_that_nobody_takes_is_cut_and_logged_as_a_slow_client_s() {
    let origin = Origin::start();
    // More than the sockets hold between them.
    let edge = edge_to(&origin, 32 << 20);
    let mut client = edge.client();
    client.send("GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    let record = edge.record("/none");
    assert_eq!(record["reason"], "client_slow", "{record}");
    assert!(record["attempts"][0]["failure"].is_null(), "{record}");
}

#[test]
fn a_connection_over_http_2_whose_window_nobody_opens_is_cut_as_a_slow_client_s() {
    let origin = Origin::start();
    let edge = edge_to(&origin, LENGTH);
    runtime().block_on(async {
        let stream = TcpStream::connect(edge.address()).await.unwrap();
        let mut builder = h2::client::Builder::new();
        // The connection's own window stays at 64 KiB.
        builder.initial_window_size(1 << 20);
        let (send, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut send = send.ready().await.unwrap();
        let mut answers = Vec::new();
        for path in ["/one", "/two"] {
            let request = Request::get(format!("http://a{path}")).body(()).unwrap();
            answers.push(send.send_request(request, true).unwrap().0);
        }
        let _ended = timeout(PATIENCE, connection).await.unwrap().unwrap();
    });
    for path in ["/one", "/two"] {
        assert_eq!(edge.record(path)["reason"], "client_slow");
    }
}

#[test]
fn a_stream_that_nobody_takes_is_cut_and_those_beside_it_go_on() {
    let origin = Origin::start();
    let edge = edge_to(&origin, 4 << 20);
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let request = Request::get("http://a/none").body(()).unwrap();
        let mut send = h2.send.clone().ready().await.unwrap();
        let (response, _) = send.send_request(request, true).unwrap();
        let mut body = timeout(PATIENCE, response)
            .await
            .unwrap()
            .unwrap()
            .into_body();
        let ended = async {
            while let Some(part) = body.data().await {
                if let Err(error) = part {
                    return error.reason();
                }
            }
            None
        };
        let ended = timeout(PATIENCE, ended).await.unwrap();
        assert_eq!(ended, Some(Reason::CANCEL));
        origin.always(Reply::Name);
        assert_eq!(h2.get("http://a/beside").await.status, 200);
    });
    assert_eq!(edge.record("/none")["reason"], "client_slow");
}
