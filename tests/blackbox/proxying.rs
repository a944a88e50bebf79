//! Requests and responses pass whole, whatever their size and framing.

use crate::support::{Edge, Origin, RawOrigin, Reply};
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::{Mutex, mpsc},
};

/// Ten mebibytes in which no two nearby places look alike.
fn large() -> Vec<u8> {
    (0..10u32 << 18)
        .flat_map(|place| place.wrapping_mul(0x9E37_79B1).to_le_bytes())
        .collect()
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut framed = Vec::with_capacity(body.len() + body.len() / size * 8 + 16);
    for chunk in body.chunks(size) {
        write!(framed, "{:x}\r\n", chunk.len()).unwrap();
        framed.extend(chunk);
        framed.extend(b"\r\n");
    }
    framed.extend(b"0\r\n\r\n");
    framed
}

/// A group `web` of one server at this address.
pub(crate) fn edge_to(address: impl ToString) -> Edge {
    let web = json!({ "upstreams": { "web": { "servers": [address.to_string()] } } });
    Edge::builder()
        .with(&web.to_string())
        .route("*", "web")
        .start()
}

/// Reads a head without opinion; false at the end of the connection.
pub(crate) fn skip_head(stream: &mut BufReader<&TcpStream>) -> bool {
    let mut line = String::new();
    while matches!(stream.read_line(&mut line), Ok(1..)) {
        if line == "\r\n" {
            return true;
        }
        line.clear();
    }
    false
}

#[test]
fn method_target_body_status_and_fields_pass_unchanged() {
    let origin = Origin::start();
    origin.always(Reply::Answer {
        status: 418,
        headers: vec![
            ("X-Answer".into(), "one".into()),
            ("X-Answer".into(), "two".into()),
            ("Set-Cookie".into(), "a=b; Path=/".into()),
            ("Set-Cookie".into(), "c=d".into()),
        ],
        body: b"short and stout".to_vec(),
    });
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    let fields = [("X-Twice", "1"), ("X-Twice", "2"), ("Accept", "tea")];
    for method in [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND",
    ] {
        let body: &[u8] = if method == "GET" { b"" } else { b"leaves" };
        let target = "/pot/a%2Fb/c;d?q=%00&r=a+b&%C3%A4//../";
        let answer = client.request(method, target, &fields, body);
        assert_eq!(
            (answer.status, answer.text()),
            (418, "short and stout".into())
        );
        assert_eq!(
            answer.headers.all("x-answer").collect::<Vec<_>>(),
            ["one", "two"]
        );
        assert_eq!(answer.headers.all("set-cookie").count(), 2);
        let seen = origin.requests().pop().unwrap();
        assert_eq!(
            (
                seen.method.as_str(),
                seen.path.as_str(),
                seen.version.as_str(),
                seen.body.as_slice()
            ),
            (method, target, "HTTP/1.1", body)
        );
        assert_eq!(seen.headers.all("x-twice").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(seen.header("accept"), Some("tea"));
    }
}

#[test]
fn ten_mebibytes_pass_in_both_directions_with_a_length() {
    let (origin, body) = (Origin::start(), large());
    origin.by(|seen| Reply::Answer {
        status: 200,
        headers: Vec::new(),
        body: seen.body.clone(),
    });
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    let answer = client.request("POST", "/large", &[], &body);
    assert!(origin.requests()[0].body == body, "the request's body");
    assert!(answer.body == body, "the response's body");
    assert_eq!(client.get("/", &[]).status, 200);
    assert_eq!(edge.record("/large")["bytes"], body.len());
}

#[test]
fn ten_mebibytes_pass_in_both_directions_in_chunks() {
    let (origin, body) = (Origin::start(), large());
    origin.by(|seen| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        Reply::Raw([head, chunked(&seen.body, 70_001).as_slice()].concat())
    });
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    let framed = chunked(&body, 12_345);
    let answer = client.request("POST", "/", &[("Transfer-Encoding", "chunked")], &framed);
    assert!(origin.requests()[0].body == body, "the request's body");
    assert!(answer.body == body, "the response's body");
    assert_eq!(client.get("/", &[]).status, 200);
}

#[test]
fn a_chunk_is_passed_on_before_the_next_one_exists() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = RawOrigin::start(move |stream, _| {
        let mut reader = BufReader::new(stream);
        skip_head(&mut reader);
        let mut writer = stream;
        writer
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            .unwrap();
        wait.lock().unwrap().recv().unwrap();
        writer.write_all(b"4\r\nlast\r\n0\r\n\r\n").unwrap();
    });
    let edge = edge_to(origin.address());
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_to("first\r\n");
    go_on.send(()).unwrap();
    assert!(client.read_to("0\r\n\r\n").contains("last"));
}

#[test]
fn a_response_that_ends_with_its_connection_is_ended_properly() {
    let origin = Origin::start();
    origin.once(Reply::RawThenClose(
        b"HTTP/1.1 200 OK\r\n\r\nto the end".to_vec(),
    ));
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    let answer = client.get("/", &[]);
    assert_eq!(answer.text(), "to the end");
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(client.get("/", &[]).text(), origin.name());
}

#[test]
fn a_response_of_http_1_0_is_passed_on() {
    let origin = Origin::start();
    origin.once(Reply::RawThenClose(b"HTTP/1.0 200 OK\r\n\r\nold".to_vec()));
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    let answer = client.get("/", &[]);
    assert_eq!(
        (answer.version.as_str(), answer.text()),
        ("HTTP/1.1", "old".into())
    );
    assert_eq!(client.get("/", &[]).text(), origin.name());
}

#[test]
fn head_204_and_304_have_no_body_and_keep_the_connection() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    for _ in 0..2 {
        let answer = client.request("HEAD", "/", &[], b"");
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("content-length"),
            Some(origin.name().len().to_string().as_str())
        );
        for status in [204, 304] {
            origin.once(Reply::status(status));
            assert_eq!(client.get("/", &[]).status, status);
        }
        assert_eq!(client.get("/", &[]).text(), origin.name());
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn head_of_a_chunked_resource_keeps_the_connection() {
    let origin = Origin::start();
    origin.once(Reply::Raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
    ));
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    assert_eq!(client.request("HEAD", "/", &[], b"").status, 200);
    assert_eq!(client.get("/", &[]).text(), origin.name());
}

#[test]
fn an_empty_chunked_body_and_a_length_of_zero_pass() {
    let origin = Origin::start();
    origin.always(Reply::text(""));
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    let chunked = client.request(
        "POST",
        "/",
        &[("Transfer-Encoding", "chunked")],
        b"0\r\n\r\n",
    );
    assert_eq!((chunked.status, chunked.body.len()), (200, 0));
    let length = client.request("POST", "/", &[("Content-Length", "0")], b"");
    assert_eq!(
        (length.status, length.header("content-length")),
        (200, Some("0"))
    );
    assert!(
        origin
            .requests()
            .iter()
            .all(|seen| seen.whole && seen.body.is_empty())
    );
}

#[test]
fn a_client_that_expects_100_continue_gets_it_before_it_sends_the_body() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert!(client.read_to("\r\n\r\n").starts_with("HTTP/1.1 100 "));
    client.send("body");
    assert_eq!(client.response().text(), origin.name());
    assert_eq!(origin.requests()[0].body, b"body");
}
