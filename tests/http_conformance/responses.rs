//! Responses as servers may send them: what a client gets, over HTTP/1 and HTTP/2, and what becomes of the connection.

mod scripted;
mod table;

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::frames::{self, Frame};
use crate::support::{Client, Edge, until};
use scripted::Scripted;
use table::{Case, Outcome};

const PATIENCE: Duration = Duration::from_secs(10);

fn edge_to(origin: &Scripted) -> Edge {
    let web = json!({ "upstreams": { "web": { "servers": [origin.address()] } } });
    Edge::builder()
        .with(&web.to_string())
        .route("*", "web")
        .start()
}

fn connect(edge: &Edge, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(edge.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

/// What a client of HTTP/1 gets.
fn over_http1(edge: &Edge, method: &str, number: usize) -> Outcome {
    let stream = connect(
        edge,
        format!("{method} /{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
    );
    let mut reader = BufReader::new(stream);
    let head = loop {
        match crate::support::read_head(&mut reader) {
            Ok(Some((line, _))) if line.starts_with("HTTP/1.1 1") => {}
            Ok(Some(head)) => break head,
            _ => return Outcome::Cut,
        }
    };
    let (line, headers) = head;
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let (lengths, codings) = (
        headers.all("content-length").count(),
        headers.all("transfer-encoding").count(),
    );
    if lengths + codings > 1
        || headers
            .0
            .iter()
            .any(|(_, value)| value.bytes().any(|byte| byte < b' ' && byte != b'\t'))
    {
        return Outcome::Odd(format!("{headers:?}"));
    }
    if method == "HEAD" || matches!(status, 204 | 304) {
        return Outcome::of(status, b"");
    }
    match crate::support::read_announced_body(&mut reader, &headers) {
        Ok(Some(body)) => Outcome::of(status, &body),
        Ok(None) => {
            let mut body = Vec::new();
            match reader.read_to_end(&mut body) {
                Ok(_) => Outcome::of(status, &body),
                Err(_) => Outcome::Cut,
            }
        }
        Err(_) => Outcome::Cut,
    }
}

/// What a client of HTTP/2 gets.
fn over_http2(edge: &Edge, method: &str, number: usize) -> Outcome {
    let path = format!("/{number}");
    let head: [(&[u8], &[u8]); 4] = [
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", b"a"),
        (b":path", path.as_bytes()),
    ];
    let mut stream = connect(
        edge,
        &frames::connection(&[frames::headers(frames::WHOLE, 1, &head)]),
    );
    let (mut status, mut body) = (0, Vec::new());
    while let Some(frame) = Frame::read(&mut stream) {
        match frame.kind {
            frames::HEADERS => status = frames::status(&frame.payload),
            frames::DATA => body.extend(&frame.payload),
            frames::RST_STREAM | frames::GOAWAY => return Outcome::Cut,
            _ => continue,
        }
        if frame.flags & frames::END_STREAM != 0 {
            return Outcome::of(status, &body);
        }
    }
    Outcome::Cut
}

/// What is wrong with how one response was treated.
fn problem(edge: &Edge, origin: &Scripted, number: usize, case: &Case) -> Vec<String> {
    let mut problems = Vec::new();
    for (version, ask) in [
        ("HTTP/1", over_http1 as fn(&Edge, &str, usize) -> Outcome),
        ("HTTP/2", over_http2),
    ] {
        let got = ask(edge, case.method, number);
        let is_right = got == case.expected;
        if !is_right {
            problems.push(format!(
                "{} ({}), {version}: {got:?}, not {:?}",
                case.name, case.source, case.expected
            ));
        }
        let after = edge.client().get("/after", &[]).text();
        if after != "after" {
            problems.push(format!(
                "{}, {version}: the next request got {after:?}",
                case.name
            ));
        }
        if case.is_last {
            until(
                &format!("the connection of {:?} is dropped", case.name),
                || origin.is_dropped(number).then_some(()),
            );
        }
    }
    problems
}

#[test]
fn every_response_reaches_clients_as_the_table_says() {
    let cases = table::all();
    let origin = Scripted::start(&cases);
    let edge = edge_to(&origin);
    let problems: Vec<String> = cases
        .iter()
        .enumerate()
        .flat_map(|(number, case)| problem(&edge, &origin, number, case))
        .collect();
    println!(
        "{} responses, each over HTTP/1 and HTTP/2; {} not as the table says",
        cases.len(),
        problems.len()
    );
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_refused_response_is_logged_with_a_reason_of_its_own() {
    let cases = table::all();
    let number = cases
        .iter()
        .position(|case| case.expected == Outcome::Invalid)
        .unwrap();
    let origin = Scripted::start(&cases);
    let edge = edge_to(&origin);
    let answer = Client::connect(edge.address()).get(&format!("/{number}"), &[]);
    assert_eq!(
        (answer.status, answer.text().lines().next()),
        (502, Some("502 upstream_invalid_response"))
    );
    assert_eq!(
        edge.record(&format!("/{number}"))["reason"],
        "upstream_invalid_response"
    );
}
