//! Where a request begins and ends, and what is refused because that cannot be told.

use super::proxying::{edge_to, skip_head};
use crate::support::{Edge, Origin, RawOrigin, Reply};
use serde_json::json;
use std::io::{BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Far longer than an answer takes, far shorter than any timeout.
const SOON: Duration = Duration::from_secs(5);

/// Sends the bytes alone on a connection and expects 400, a closed connection, and that no origin heard of it.
fn assert_refused(request: &str, reason: Option<&str>) {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    client.send(request);
    let answer = client.response();
    assert_eq!(answer.status, 400, "{request:?}");
    if let Some(reason) = reason {
        let text = answer.text();
        assert_eq!(
            text.lines().next(),
            Some(&*format!("400 {reason}")),
            "{request:?}: {text}"
        );
    }
    assert!(client.is_closed(SOON), "{request:?}: still open");
    // A request that came through would be there before the next one's answer.
    assert_eq!(edge.client().get("/after", &[]).status, 200);
    let paths: Vec<String> = origin
        .requests()
        .into_iter()
        .map(|seen| seen.path)
        .collect();
    assert_eq!(paths, ["/after"], "{request:?}");
    assert_eq!(origin.connections(), 1, "{request:?}");
}

#[test]
fn the_shortest_request_of_http_1_0_is_answered_at_once() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    let request = "GET / HTTP/1.0\r\n\r\n";
    assert_eq!(request.len(), 18);
    client.send(request);
    let answer = client.response();
    assert_eq!((answer.status, answer.text()), (200, origin.name()));
    assert!(client.is_closed(SOON));
    // HTTP/1.1 servers must refuse a request without Host.
    assert_eq!(origin.requests()[0].headers.all("host").count(), 1);
}

#[test]
fn a_host_that_stands_in_the_target_alone_reaches_the_server() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    client.send("GET http://only.example/a HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let requests = origin.requests();
    let hosts: Vec<&str> = requests[0].headers.all("host").collect();
    assert_eq!(hosts, ["only.example"]);
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks_but_a_closed_connection() {
    let origin = Origin::start();
    let chunks =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    origin.always(Reply::Raw(chunks.into()));
    let edge = Edge::to([&origin]);
    for connection in ["", "Connection: keep-alive\r\n"] {
        let mut client = edge.client();
        client.send(format!("GET / HTTP/1.0\r\nHost: a\r\n{connection}\r\n"));
        let all = String::from_utf8(client.rest()).unwrap();
        let (head, body) = all.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert_eq!(body, "abcde", "{connection:?}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        assert!(!head.contains("keep-alive"), "{head}");
    }
}

#[test]
fn a_client_of_http_1_0_may_keep_its_connection_when_the_length_is_known() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.response();
        assert_eq!(answer.text(), origin.name());
        assert!(answer.headers.keeps_connection("HTTP/1.0"), "{answer:?}");
    }
}

#[test]
fn a_client_of_http_1_0_has_bodies_both_ways() {
    let origin = Origin::start();
    origin.by(|seen| Reply::Raw(chunked(&seen.body)));
    let edge = Edge::to([&origin]);
    let body: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut client = edge.client();
    let head = format!("POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send([head.as_bytes(), &body].concat());
    client.read_to("\r\n\r\n");
    assert!(client.rest() == body);
    // Without a length there is none (RFC 9112 section 6.3), whatever comes behind the head.
    for (head, answer) in [("POST", &b""[..]), ("HEAD", b"")] {
        let mut client = edge.client();
        client.send(format!("{head} / HTTP/1.0\r\n\r\n"));
        client.read_to("\r\n\r\n");
        assert_eq!(client.rest(), answer);
        assert_eq!(origin.requests().pop().unwrap().body, b"");
    }
}

#[test]
fn a_client_of_http_1_0_does_not_take_a_part_for_the_whole() {
    let origin = Origin::start();
    let part = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    origin.always(Reply::RawThenClose(part.into()));
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let error = client.try_response("GET").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn http_1_1_without_a_host_is_refused() {
    assert_refused("GET / HTTP/1.1\r\n\r\n", Some("bad_request_host"));
    assert_refused("GET / HTTP/1.1\r\nHost:\r\n\r\n", Some("bad_request_host"));
}

#[test]
fn two_hosts_are_refused() {
    assert_refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", None);
    assert_refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", None);
    assert_refused("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", None);
}

#[test]
fn a_host_that_contradicts_the_target_is_refused() {
    assert_refused("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", None);
}

#[test]
fn a_length_together_with_chunks_is_refused() {
    let chunks = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "transfer-encoding: chunked\r\nX: y\r\ncontent-length: 5\r\n",
        "Content-Length:5\r\nTransfer-Encoding:\tchunked\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{chunks}");
        assert_refused(&request, Some("bad_request_framing"));
    }
}

#[test]
fn lengths_that_differ_or_are_no_numbers_are_refused() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
    ] {
        assert_refused(
            &format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\nhello"),
            None,
        );
    }
}

#[test]
fn codings_other_than_chunked_are_refused() {
    for fields in [
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ] {
        assert_refused(
            &format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\n"),
            None,
        );
    }
    assert_refused(
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        None,
    );
}

#[test]
fn a_head_that_is_no_http_is_refused() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nSpace : x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
        "GET /a HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/3.7\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_refused(request, None);
    }
}

#[test]
fn a_broken_chunk_ends_the_connection_and_the_origin_never_sees_a_whole_request() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    for body in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "fffffffffffffffff\r\nabc",
    ] {
        let mut client = edge.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ));
        client.finish_sending();
        let answer = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{body:?}: {answer}"
        );
    }
    assert!(origin.requests().iter().all(|seen| !seen.whole));
}

#[test]
fn a_client_that_leaves_within_its_body_is_no_whole_request_and_logged_as_499() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    client.send("POST /left HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    drop(client);
    let record = edge.record("/left");
    assert_eq!(
        (&record["status"], &record["reason"]),
        (&json!(499), &json!("client_aborted"))
    );
    assert!(origin.requests().iter().all(|seen| !seen.whole));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origins = Origin::many(2);
    for origin in &origins {
        origin.by(|seen| Reply::text(&seen.path));
    }
    // The slower server gets the first request.
    origins[0].delay(Duration::from_millis(100));
    let edge = Edge::to(&origins);
    let mut client = edge.client();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodyGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.response().text(), path);
    }
    client.send("GET /4 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "/4");
}

#[test]
fn pipelined_chunked_bodies_are_kept_apart() {
    let origin = Origin::start();
    origin.by(|seen| Reply::text(&format!("{} {}", seen.path, seen.body.len())));
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    let post = |path: &str, chunks: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        )
    };
    client.send(post("/1", "3\r\nabc\r\n") + &post("/2", "5\r\nGET /\r\n") + &post("/3", ""));
    for answer in ["/1 3", "/2 5", "/3 0"] {
        assert_eq!(client.response().text(), answer);
    }
}

#[test]
fn pipelined_requests_behind_a_generated_error_are_answered() {
    let origin = Origin::start();
    let edge = Edge::builder()
        .upstream("web", [&origin])
        .route("a", "web")
        .start();
    let mut client = edge.client();
    client.send("GET /1 HTTP/1.1\r\nHost: b\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: b\r\n\r\n");
    assert_eq!(client.response().status, 404);
    assert_eq!(client.response().text(), origin.name());
    assert_eq!(client.response().status, 404);
}

#[test]
fn a_request_that_comes_byte_by_byte_is_answered() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    // `P` is also the first byte of HTTP/2.
    for byte in b"PRI / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok" {
        client.send([*byte]);
    }
    assert_eq!(client.response().text(), origin.name());
    assert_eq!(origin.requests()[0].method, "PRI");
}

#[test]
fn bytes_after_a_response_do_not_become_the_next_response() {
    let origin = RawOrigin::start(|stream, _| {
        use std::io::{Read, Write};
        let mut stream = stream;
        while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
            let poison = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
            if stream.write_all(poison.as_bytes()).is_err() {
                return;
            }
        }
    });
    let web = json!({ "upstreams": { "web": { "servers": [origin.address()] } } });
    let edge = Edge::builder()
        .with(&web.to_string())
        .route("*", "web")
        .start();
    let mut client = edge.client();
    for _ in 0..5 {
        assert_eq!(client.get("/", &[]).text(), "ok");
    }
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut all = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(70_000) {
        all.extend(format!("{:x}\r\n", chunk.len()).bytes());
        all.extend([chunk, b"\r\n"].concat());
    }
    all.extend(b"0\r\n\r\n");
    all
}

#[test]
fn a_client_of_http_1_0_gets_no_interim_response() {
    let origin = RawOrigin::start(|mut stream: &TcpStream, _| {
        skip_head(&mut BufReader::new(stream));
        let hints = "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n";
        let answer = "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _gone = stream.write_all(format!("{hints}{answer}").as_bytes());
    });
    let edge = edge_to(origin.address());
    let ask = |version: &str| {
        let mut client = edge.client();
        client.send(format!(
            "GET / HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n"
        ));
        String::from_utf8(client.rest()).unwrap().to_lowercase()
    };
    let (old, current) = (ask("1.0"), ask("1.1"));
    assert!(
        old.starts_with("http/1.1 204") || old.starts_with("http/1.0 204"),
        "{old}"
    );
    assert!(current.starts_with("http/1.1 103"), "{current}");
    for answer in [old, current] {
        assert!(
            !answer.contains("content-length") && !answer.contains("transfer-encoding"),
            "{answer}"
        );
    }
}
