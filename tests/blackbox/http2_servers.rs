//! HTTP/2 to servers, from clients of either version: framing, trailers, connections.

use super::http2::{H2, runtime};
use super::http2_origin::{Call, H2Origin, edge_of, tell};
use crate::support::{Client, PATIENCE, RawOrigin, read_head};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use std::io::{BufRead, BufReader, Write};
use tokio::time::timeout;

fn large() -> Vec<u8> {
    (0..3 << 20_u32).map(|place| (place % 251) as u8).collect()
}

fn sum(body: &[u8]) -> u64 {
    body.iter().map(|byte| u64::from(*byte)).sum()
}

#[test]
fn a_request_of_http_1_reaches_a_server_of_http_2_whole() {
    let origin = H2Origin::start(tell);
    let edge = origin.edge();
    let mut client = edge.client().host("A.example:81");
    let body = large();
    let chunked = [&b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"[..]].concat();
    for (method, fields, sent, body) in [
        ("GET", &[][..], &b""[..], &b""[..]),
        ("POST", &[], &body, &body),
        (
            "PUT",
            &[("Transfer-Encoding", "chunked")],
            &chunked,
            b"abcde",
        ),
        ("POST", &[("Content-Length", "0")], b"", b""),
    ] {
        let response = client.request(method, "/path?q=1", fields, sent);
        assert_eq!(response.status, 200, "{}", response.text());
        let seen = response.json();
        assert_eq!(seen["method"], method);
        assert_eq!(seen["uri"], "http://a.example:81/path?q=1");
        assert_eq!(
            (seen["length"].as_u64(), seen["sum"].as_u64()),
            (Some(body.len() as u64), Some(sum(body)))
        );
        assert_eq!(seen["client"], "127.0.0.1");
        for absent in ["host", "framing", "hop", "te"] {
            assert!(seen[absent].is_null(), "{absent} in {seen}");
        }
        if body.is_empty() {
            assert_eq!(seen["connection"], 1);
        }
    }
}

#[test]
fn a_response_of_http_2_has_one_framing_for_http_1() {
    let origin = H2Origin::start(|mut call: Call| async move {
        let path = call.request.uri().path().to_owned();
        let (status, length) = match path.as_str() {
            "/length" => (200, Some("4")),
            "/empty" => (204, None),
            "/unmodified" => (304, None),
            _ => (200, None),
        };
        let mut head = Response::builder().status(status);
        if let Some(length) = length {
            head = head.header("content-length", length);
        }
        let has_body = status == 200 && call.request.method() != "HEAD";
        let head = head.body(()).unwrap();
        let mut stream = call.respond.send_response(head, !has_body).unwrap();
        if has_body {
            stream.send_data(Bytes::from_static(b"bo"), false).unwrap();
            stream.send_data(Bytes::from_static(b"dy"), true).unwrap();
        }
    });
    let edge = origin.edge();
    let mut client = edge.client();
    for (method, path, body, length, framing) in [
        ("GET", "/", "body", None, Some("chunked")),
        ("GET", "/length", "body", Some("4"), None),
        ("HEAD", "/length", "", Some("4"), None),
        ("HEAD", "/", "", None, None),
        ("GET", "/empty", "", None, None),
        ("GET", "/unmodified", "", None, None),
        ("GET", "/", "body", None, Some("chunked")),
    ] {
        let response = client.request(method, path, &[], b"");
        assert_eq!(response.text(), body, "{method} {path}");
        assert_eq!(response.header("content-length"), length, "{method} {path}");
        assert_eq!(
            response.header("transfer-encoding"),
            framing,
            "{method} {path}"
        );
    }
    let old = |path: &str| {
        let mut client: Client = edge.client();
        client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        String::from_utf8(client.rest()).unwrap()
    };
    let whole = old("/length");
    assert!(whole.ends_with("\r\n\r\nbody"), "{whole}");
    // Neither version has a framing for it.
    let unframed = old("/");
    assert!(unframed.starts_with("HTTP/1.1 505 "), "{unframed}");
    assert!(unframed.ends_with("505 http_version\n"), "{unframed}");
}

#[test]
fn trailers_pass_and_so_does_an_answer_of_trailers_alone() {
    let origin = H2Origin::start(|mut call: Call| async move {
        let asks = call.header("x-client").is_none().then_some("trailers");
        assert_eq!(call.header("te").as_deref(), asks);
        if call.request.uri().path() == "/only" {
            let head = Response::builder().header("grpc-status", "5").body(());
            call.respond.send_response(head.unwrap(), true).unwrap();
            return;
        }
        let body = call.body().await;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "7".parse().unwrap());
        call.answer(body, Some(trailers));
    });
    let edge = origin.edge();
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let request = |path: &str| {
            let request = Request::post(format!("http://a.example{path}"));
            request.header("te", "trailers").body(()).unwrap()
        };
        let response = h2.begin(request("/"), Bytes::from_static(b"call")).await;
        let (_, mut body) = timeout(PATIENCE, response)
            .await
            .unwrap()
            .unwrap()
            .into_parts();
        assert_eq!(body.data().await.unwrap().unwrap(), "call");
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "7");
        let response = h2
            .begin(request("/only"), Bytes::from_static(b"call"))
            .await;
        let response = timeout(PATIENCE, response).await.unwrap().unwrap();
        assert_eq!(response.headers()["grpc-status"], "5");
        assert!(response.body().is_end_stream());
    });
    // To HTTP/1 the body alone passes, and ends cleanly.
    let mut client = edge.client();
    for _ in 0..2 {
        let fields = [("TE", "trailers"), ("Connection", "TE"), ("X-Client", "1")];
        let response = client.request("POST", "/", &fields, b"call");
        assert_eq!((response.status, response.text()), (200, "call".to_owned()));
    }
}

#[test]
fn many_requests_share_a_connection_and_none_without_keepalive() {
    let origin = H2Origin::start(tell);
    let edge = origin.edge();
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        h2.get("http://a/").await;
        let mut waiting = Vec::new();
        for _ in 0..200 {
            let request = Request::get("http://a/").body(()).unwrap();
            waiting.push(h2.begin(request, Bytes::new()).await);
        }
        for response in waiting {
            assert_eq!(super::http2::answer(response).await.unwrap().status, 200);
        }
    });
    // Two that ask at the same moment may not see each other's connection; those after them do.
    assert!(origin.connections() < 100, "{}", origin.connections());
    let alone = H2Origin::start(tell);
    let edge = edge_of(&[alone.address()]).with("upstreams: { web: { keepalive: 0 } }");
    let edge = edge.start();
    let mut client = edge.client();
    for number in 1..=3 {
        assert_eq!(client.get("/", &[]).json()["connection"], number);
    }
}

#[test]
fn bodies_pass_both_ways_at_the_same_time() {
    let origin = H2Origin::start(|mut call: Call| async move {
        let head = Response::builder().body(()).unwrap();
        let mut stream = call.respond.send_response(head, false).unwrap();
        let body = call.request.body_mut();
        while let Some(Ok(part)) = body.data().await {
            body.flow_control().release_capacity(part.len()).unwrap();
            stream.send_data(part, false).unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
    });
    let edge = origin.edge();
    runtime().block_on(async {
        let h2 = H2::connect(&edge).await;
        let request = Request::post("http://a/").body(()).unwrap();
        let mut send = h2.send.clone().ready().await.unwrap();
        let (response, mut stream) = send.send_request(request, false).unwrap();
        let response = timeout(PATIENCE, response).await.unwrap().unwrap();
        let mut body = response.into_body();
        for word in ["one", "two", "three"] {
            stream.send_data(Bytes::from(word), false).unwrap();
            let echoed = timeout(PATIENCE, body.data())
                .await
                .unwrap()
                .unwrap()
                .unwrap();
            assert_eq!(echoed, word);
            body.flow_control().release_capacity(echoed.len()).unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
        while let Some(rest) = timeout(PATIENCE, body.data()).await.unwrap() {
            assert!(rest.unwrap().is_empty());
        }
        assert!(body.is_end_stream());
    });
}

#[test]
fn a_client_that_waits_to_be_told_is_told_to_go_on() {
    let origin = H2Origin::start(tell);
    let edge = origin.edge();
    let mut client = edge.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert!(client.read_to("\r\n\r\n").starts_with("HTTP/1.1 100 "));
    client.send("body");
    assert_eq!(client.response().json()["length"], 4);
}

#[test]
fn a_websocket_goes_over_http_1_to_a_group_of_http_2() {
    let origin = RawOrigin::start(|mut stream, _| {
        let mut reader = BufReader::new(stream);
        let (first, _) = read_head(&mut reader).unwrap().unwrap();
        assert_eq!(first, "GET / HTTP/1.1");
        let agree = "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(agree.as_bytes()).unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        stream.write_all(line.to_uppercase().as_bytes()).unwrap();
    });
    let edge = edge_of(&[origin.address()]).start();
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(client.read_to("\r\n\r\n").starts_with("HTTP/1.1 101 "));
    client.send("one\n");
    assert_eq!(client.read_to("\n"), "ONE\n");
}
