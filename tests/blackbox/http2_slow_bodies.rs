//! Bodies over HTTP/2 have the time limits that bodies over HTTP/1 have; what may rest is left alone.

use super::http2::{Answer, H2, answer, runtime};
use super::http2_origin::{Call, H2Origin, edge_of};
use crate::support::{Edge, Origin, PATIENCE, RawOrigin, pause, read_head};
use bytes::Bytes;
use h2::{SendStream, client::ResponseFuture};
use http::{Request, Response};
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::time::timeout;

const TIMED_OUT: &[u8] = b"408 request_timeout";

fn edge_to(server: SocketAddr, limits: &str) -> Edge {
    let edge = Edge::builder().route("*", "web");
    edge.with(&format!(
        "upstreams: {{ web: {{ servers: ['{server}'] }} }}"
    ))
    .listener(&format!("limits: {{ {limits} }}"))
    .start()
}

impl H2 {
    /// A request whose body is left to the test.
    async fn open(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut send = timeout(PATIENCE, self.send.clone().ready())
            .await
            .unwrap()
            .unwrap();
        let mut request = Request::post(format!("http://a{path}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        send.send_request(request.body(()).unwrap(), false).unwrap()
    }
}

async fn end(response: ResponseFuture) -> Answer {
    timeout(PATIENCE, answer(response)).await.unwrap().unwrap()
}

fn assert_timed_out(answer: &Answer) {
    assert_eq!(answer.status, 408);
    assert!(answer.body.starts_with(TIMED_OUT), "{:?}", answer.body);
}

#[test]
fn a_body_that_does_not_come_or_pauses_is_408_and_the_rest_of_the_connection_goes_on() {
    let origin = Origin::start();
    let edge = edge_to(origin.address(), "body_timeout: 400ms");
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        for (path, fields, part) in [
            ("/none", &[][..], &b""[..]),
            ("/pauses", &[], b"part"),
            ("/announced", &[("content-length", "100")], b"part"),
        ] {
            let start = Instant::now();
            let (response, mut body) = h2.open(path, fields).await;
            if !part.is_empty() {
                body.send_data(Bytes::copy_from_slice(part), false).unwrap();
            }
            assert_eq!(h2.get("http://a/beside").await.status, 200);
            assert_timed_out(&end(response).await);
            let took = start.elapsed();
            assert!(took >= Duration::from_millis(390), "{took:?}");
        }
        assert_eq!(h2.get("http://a/after").await.status, 200);
    });
    for path in ["/none", "/pauses", "/announced"] {
        let record = edge.record(path);
        assert_eq!(
            (&record["status"], &record["reason"]),
            (&json!(408), &json!("request_timeout"))
        );
        let attempts = record["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "{record}");
        assert!(attempts[0]["failure"].is_null(), "{record}");
    }
    let whole = origin.requests().into_iter().filter(|seen| seen.whole);
    assert!(
        whole
            .map(|seen| seen.path)
            .all(|path| path == "/beside" || path == "/after")
    );
}

#[test]
fn a_body_in_tiny_frames_is_408_after_ten_seconds_and_a_slow_one_that_keeps_the_rate_is_not() {
    let origin = Origin::start();
    let edge = edge_to(origin.address(), "body_timeout: 30s");
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let start = Instant::now();
        let (tiny, mut tiny_body) = h2.open("/tiny", &[]).await;
        let (slow, mut slow_body) = h2.open("/slow", &[]).await;
        let feed = async {
            while start.elapsed() < Duration::from_secs(12) {
                // In the end nobody wants it any more.
                let _ = tiny_body.send_data(Bytes::from_static(b"x"), false);
                slow_body
                    .send_data(Bytes::from_static(&[b'x'; 100]), false)
                    .unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            slow_body.send_data(Bytes::new(), true).unwrap();
        };
        let cut = async {
            let answer = end(tiny).await;
            let took = start.elapsed();
            assert!(
                (9_900..11_900).contains(&took.as_millis()),
                "after {took:?}"
            );
            answer
        };
        let (tiny, (), slow) = tokio::join!(cut, feed, end(slow));
        assert_timed_out(&tiny);
        assert_eq!(slow.status, 200);
    });
}

#[test]
fn a_server_that_takes_nothing_for_long_makes_no_slow_client_over_http_2() {
    let origin = RawOrigin::start(|mut stream, _| {
        let mut reader = BufReader::new(stream);
        read_head(&mut reader).unwrap();
        pause(Duration::from_millis(3500));
        let mut body = Vec::new();
        while !body.ends_with(b"the end") && reader.read_until(b'd', &mut body).unwrap() > 0 {}
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let edge = edge_to(origin.address(), "body_timeout: 2s");
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let mut whole = vec![b'x'; 24 << 20];
        whole.extend(b"the end");
        let request = Request::post("http://a/").body(()).unwrap();
        let answer = h2.call(request, whole.into()).await.unwrap();
        assert_eq!(answer.status, 200);
    });
}

#[test]
fn a_client_may_rest_once_its_answer_has_begun() {
    let origin = RawOrigin::start(|mut stream, _| {
        let mut reader = BufReader::new(stream);
        let (head, _) = read_head(&mut reader).unwrap().unwrap();
        if head.starts_with("POST /silent") {
            let mut rest = String::new();
            let _ = reader.read_line(&mut rest);
            return;
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            .unwrap();
        let mut line = String::new();
        while line != "word\n" {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0);
        }
        stream.write_all(b"word").unwrap();
    });
    let edge = edge_to(origin.address(), "body_timeout: 300ms");
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let (response, mut body) = h2.open("/rests", &[]).await;
        let begun = timeout(PATIENCE, response).await.unwrap().unwrap();
        for _ in 0..2 {
            let (silent, _body) = h2.open("/silent", &[]).await;
            assert_timed_out(&end(silent).await);
        }
        body.send_data(Bytes::from_static(b"word\n"), true).unwrap();
        let mut answer = begun.into_body();
        let word = timeout(PATIENCE, answer.data()).await.unwrap().unwrap();
        assert_eq!(word.unwrap(), "word");
    });
}

/// Answers a call once its second message has come; everything else never.
async fn second_message(mut call: Call) {
    let is_call = call.header("content-type").as_deref() == Some("application/grpc");
    let mut respond = call.respond;
    let body = call.request.body_mut();
    let mut came = Vec::new();
    while let Some(Ok(part)) = body.data().await {
        came.extend_from_slice(&part);
        if is_call && came == b"onetwo" {
            let head = Response::builder().status(200).body(()).unwrap();
            let mut stream = respond.send_response(head, false).unwrap();
            stream.send_data(came.clone().into(), true).unwrap();
        }
    }
}

#[test]
fn a_call_of_grpc_may_rest_and_another_request_to_the_same_server_may_not() {
    let origin = H2Origin::start(second_message);
    let web = json!({ "timeouts": { "first_byte": "1s", "read": "1s" } });
    let grpc = json!({ "servers": [origin.address()], "protocol": "h2" });
    let edge = edge_of(&[origin.address()])
        .with(&format!("upstreams: {{ web: {web}, grpc: {grpc} }}"))
        .route("calls", "grpc")
        .listener("limits: { body_timeout: 300ms }")
        .start();
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let call = Request::post("http://calls/")
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let mut send = h2.send.clone().ready().await.unwrap();
        let (response, mut messages) = send.send_request(call.body(()).unwrap(), false).unwrap();
        messages
            .send_data(Bytes::from_static(b"one"), false)
            .unwrap();
        let (silent, _body) = h2.open("/silent", &[]).await;
        assert_timed_out(&end(silent).await);
        messages
            .send_data(Bytes::from_static(b"two"), true)
            .unwrap();
        assert_eq!(end(response).await.body, b"onetwo");
    });
    let record = edge.record("/silent");
    assert_eq!(record["reason"], "request_timeout");
    assert!(record["attempts"][0]["failure"].is_null(), "{record}");
}

#[test]
fn a_body_that_does_not_end_behind_its_answer_is_reset_and_the_answer_stays_whole() {
    let plain = RawOrigin::start(|stream, _| {
        let _head = read_head(&mut BufReader::new(stream));
        (&mut &*stream)
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
            .unwrap();
        let _until_cut = std::io::copy(&mut &*stream, &mut std::io::sink());
    });
    let multiplexed = H2Origin::start(|mut call: Call| async move {
        call.answer(b"early".to_vec(), None);
        let _until_cut = call.request.body_mut().data().await;
        std::future::pending::<()>().await;
    });
    let limits = "body_timeout: 400ms";
    let edges = [
        edge_to(plain.address(), limits),
        edge_of(&[multiplexed.address()])
            .listener(&format!("limits: {{ {limits} }}"))
            .start(),
    ];
    for edge in edges {
        runtime().block_on(async {
            let mut h2 = H2::connect(&edge).await;
            let start = Instant::now();
            let (response, mut body) = h2.open("/early", &[]).await;
            body.send_data(Bytes::from_static(b"part"), false).unwrap();
            let answer = end(response).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body[..]),
                (200, &b"early"[..])
            );
            let reset = std::future::poll_fn(|context| body.poll_reset(context));
            let reset = timeout(PATIENCE, reset).await.unwrap().unwrap();
            assert_eq!(reset, h2::Reason::NO_ERROR);
            let took = start.elapsed();
            assert!(took >= Duration::from_millis(390), "{took:?}");
            assert!(took < Duration::from_secs(5), "{took:?}");
            let (next, _body) = h2.open("/next", &[]).await;
            assert_eq!(end(next).await.status, 200);
        });
        let record = edge.record("/early");
        assert_eq!(
            (&record["status"], &record["reason"]),
            (&json!(200), &json!("request_timeout"))
        );
    }
}
