//! What servers of HTTP/2 refuse, break or take back, and what becomes of the requests.

use super::http2::{H2, runtime};
use super::http2_origin::{Call, H2Origin, edge_of, tell};
use crate::support::{Edge, PATIENCE, Port, RawOrigin};
use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use std::{
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::time::timeout;

#[test]
fn a_refused_stream_is_sent_again_whatever_the_method() {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let origin = H2Origin::start(move |mut call: Call| {
        let is_first = count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        async move {
            match is_first {
                true => call.respond.send_reset(Reason::REFUSED_STREAM),
                false => tell(call).await,
            }
        }
    });
    let edge = origin.edge();
    let mut client = edge.client();
    for _ in 0..10 {
        let response = client.request("POST", "/", &[], b"once");
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.json()["length"], 4);
    }
    assert_eq!(origin.requests(), 20);
}

#[test]
fn a_server_that_takes_leave_loses_no_request() {
    let origin = H2Origin::leaving_after(3, tell);
    let edge = origin.edge();
    let mut client = edge.client();
    for _ in 0..100 {
        let response = client.request("POST", "/", &[], b"once");
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(origin.requests(), 100);
    assert!(origin.connections() >= 33, "{}", origin.connections());
    // With many at a time the server's end can cross requests that it never saw, and the news of that be
    // lost with the connection: then only a method that may be repeated is.
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        for _ in 0..10 {
            let mut waiting = Vec::new();
            for _ in 0..20 {
                let request = Request::get("http://a/").body(()).unwrap();
                waiting.push(h2.begin(request, Bytes::new()).await);
            }
            for response in waiting {
                let answer = super::http2::answer(response).await.unwrap();
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                assert_eq!(answer.status, 200, "{text}");
            }
        }
    });
}

#[test]
fn a_post_that_may_have_been_processed_is_not_sent_again() {
    let origin = H2Origin::start(|mut call: Call| async move {
        call.body().await;
        call.respond.send_reset(Reason::INTERNAL_ERROR);
    });
    let edge = origin.edge();
    let response = edge.client().request("POST", "/reset", &[], b"once");
    assert_eq!(response.status, 502);
    assert_eq!(edge.record("/reset")["reason"], "upstream_reset");
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_body_that_breaks_off_is_never_ended_cleanly() {
    let origin = H2Origin::start(|mut call: Call| async move {
        let head = Response::builder();
        let head = match call.request.uri().path() {
            "/short" => head.header("content-length", "9").body(()).unwrap(),
            _ => head.body(()).unwrap(),
        };
        let is_short = call.request.uri().path() == "/short";
        let mut stream = call.respond.send_response(head, false).unwrap();
        stream
            .send_data(Bytes::from_static(b"half"), is_short)
            .unwrap();
        if !is_short {
            tokio::task::yield_now().await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
    });
    let edge = origin.edge();
    for path in ["/reset", "/short"] {
        for _ in 0..10 {
            let mut client = edge.client();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let got = String::from_utf8(client.rest()).unwrap();
            assert!(!got.contains("\r\n0\r\n"), "{got}");
            let is_told = got.starts_with("HTTP/1.1 502 ");
            let is_cut =
                got.ends_with("half\r\n") || got.ends_with("half") || got.ends_with("\r\n\r\n");
            assert!(is_told || is_cut, "{got}");
        }
    }
}

#[test]
fn a_malformed_response_is_called_one() {
    let length = H2Origin::start(|mut call: Call| async move {
        let head = Response::builder().header("content-length", "9");
        let head = head.body(()).unwrap();
        let mut stream = call.respond.send_response(head, false).unwrap();
        stream.send_data(Bytes::from_static(b"half"), true).unwrap();
    });
    let field = RawOrigin::start(|mut stream, _| {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).unwrap();
        // SETTINGS, and a head of 200 with `connection: x`, which HTTP/2 does not know (RFC 9113 section 8.2.2).
        let _gone = stream.write_all(b"\0\0\0\x04\0\0\0\0\0");
        let mut frame = [0; 9];
        while frame[3] != 1 {
            stream.read_exact(&mut frame).unwrap();
            let mut payload = vec![0; usize::from(frame[1]) << 8 | usize::from(frame[2])];
            stream.read_exact(&mut payload).unwrap();
        }
        let head = b"\0\0\x0f\x01\x05\0\0\0\x01\x88\0\x0aconnection\x01x";
        let _gone = stream.write_all(head);
        let _until_gone = std::io::copy(&mut &*stream, &mut std::io::sink());
    });
    for server in [length.address(), field.address()] {
        let edge = edge_of(&[server]).start();
        let mut client = edge.client();
        client.send("GET /malformed HTTP/1.1\r\nHost: a\r\n\r\n");
        let _cut = client.try_response("GET");
        let record = edge.record("/malformed");
        assert_eq!(record["reason"], "upstream_invalid_response", "{record}");
    }
}

#[test]
fn a_server_of_http_1_is_no_server_of_http_2_today_or_later() {
    let speaks_http1 = Arc::new(AtomicBool::new(true));
    let origin = RawOrigin::start(move |mut stream, _| {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).unwrap();
        // What would be a request of HTTP/1 is none.
        speaks_http1.fetch_and(
            &preface != b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            Ordering::SeqCst,
        );
        assert!(!speaks_http1.load(Ordering::SeqCst));
        let _gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let edge = edge_of(&[origin.address()]).start();
    for _ in 0..3 {
        let response = edge.client().get("/old", &[]);
        assert_eq!(response.status, 502, "{}", response.text());
    }
}

#[test]
fn the_cancel_of_a_client_reaches_the_server() {
    let cancelled = Arc::new(AtomicBool::new(false));
    let seen = cancelled.clone();
    let origin = H2Origin::start(move |mut call: Call| {
        let seen = seen.clone();
        async move {
            let reset = std::future::poll_fn(|context| call.respond.poll_reset(context)).await;
            assert_eq!(reset.unwrap(), Reason::CANCEL);
            seen.store(true, Ordering::SeqCst);
        }
    });
    let edge = origin.edge();
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let request = Request::get("http://a/").body(()).unwrap();
        let response = h2.begin(request, Bytes::new()).await;
        let until_it_arrives = async {
            while origin.requests() == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, until_it_arrives).await.unwrap();
        drop(response);
        let until_it_is_seen = async {
            while !cancelled.load(Ordering::SeqCst) {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, until_it_is_seen).await.unwrap();
    });
}

/// Asks as a client of gRPC does; the status of the call and its message.
fn call(edge: &Edge, kind: &str) -> (u16, Option<String>, Option<String>, bool) {
    runtime().block_on(async {
        let mut h2 = H2::connect(edge).await;
        let request = Request::post("http://a.example/service/Method")
            .header("content-type", kind)
            .header("te", "trailers");
        let body = Bytes::from_static(b"\0\0\0\0\0");
        let response = h2.begin(request.body(()).unwrap(), body).await;
        let response = timeout(PATIENCE, response).await.unwrap().unwrap();
        let field = |name: &str| {
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        (
            response.status().as_u16(),
            field("grpc-status"),
            field("grpc-message"),
            response.body().is_end_stream(),
        )
    })
}

#[test]
fn a_call_of_grpc_that_fails_here_has_a_status() {
    let nobody = Port::reserve();
    let edge = edge_of(&[nobody.address()]).start();
    let failed = |reason: &str| (200, Some("14".into()), Some(reason.into()), true);
    for kind in ["application/grpc", "application/grpc+proto"] {
        assert_eq!(call(&edge, kind), failed("502 connect_failed"));
    }
    for kind in ["application/grpc-web", "text/plain"] {
        assert_eq!(call(&edge, kind), (502, None, None, false));
    }
    let empty = edge_of(&[]).start();
    assert_eq!(call(&empty, "application/grpc"), failed("503 no_server"));
    let silent = H2Origin::start(|call: Call| async move {
        std::future::pending::<()>().await;
        drop(call);
    });
    let edge = edge_of(&[silent.address()])
        .with("upstreams: { web: { timeouts: { first_byte: 300ms, read: 300ms } } }");
    assert_eq!(
        call(&edge.start(), "application/grpc"),
        failed("504 upstream_timeout")
    );
}
