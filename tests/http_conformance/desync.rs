//! Whether anything that one client or server does ends up in another client's answer.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::{
    Client, Edge, Origin, RawOrigin, Reply, read_announced_body, read_head, until,
};

const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

fn edge_to(origin: &RawOrigin) -> Edge {
    edge_with(origin, "{}")
}

/// With more settings of the group.
fn edge_with(origin: &RawOrigin, settings: &str) -> Edge {
    let web = json!({ "upstreams": { "web": { "servers": [origin.address()] } } });
    Edge::builder()
        .with(&web.to_string())
        .with(&format!("upstreams: {{ web: {settings} }}"))
        .route("*", "web")
        .start()
}

/// Answers each head with its own nonce; `behind` says what is sent after that.
fn echo(mut stream: &TcpStream, behind: impl Fn(&TcpStream)) {
    let (mut pending, mut buffer) = (Vec::new(), [0; 8192]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        pending.extend_from_slice(&buffer[..count]);
        while let Some(end) = pending.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&pending[..end]).into_owned();
            pending.drain(..end + 4);
            let nonce = head
                .lines()
                .find_map(|line| line.strip_prefix("X-Nonce: "))
                .unwrap_or("none");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{nonce}",
                nonce.len()
            );
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            behind(stream);
        }
    }
}

fn ask(client: &mut Client, number: usize) -> bool {
    let nonce = format!("{number:032x}");
    client.get("/", &[("X-Nonce", &nonce)]).text() == nonce
}

#[test]
fn what_a_server_says_unasked_never_becomes_the_next_response() {
    let said = Arc::<AtomicUsize>::default();
    let count = said.clone();
    let origin = RawOrigin::start(move |stream, _| {
        echo(stream, |mut stream| {
            let _gone = stream.write_all(POISON.as_bytes());
            count.fetch_add(1, Ordering::SeqCst);
        });
    });
    let edge = edge_to(&origin);
    let mut client = edge.client();
    for number in 0..1000 {
        assert!(ask(&mut client, number), "{number}");
        // It is in the connection's buffer before the next request is sent.
        until("the server has spoken", || {
            (said.load(Ordering::SeqCst) > number).then_some(())
        });
    }
    println!(
        "1,000 responses with another one behind them on {} connections: every client got its own",
        origin.connections()
    );
}

/// How many of 1,000 victims get another's answer while someone sends bodies that look like requests.
fn victims_of(origin: &RawOrigin, settings: &str) -> usize {
    let edge = edge_with(origin, settings);
    let (mut attacker, mut victim) = (edge.client(), edge.client());
    let body = "GET /evil HTTP/1.1\r\nHost: a\r\nX-Nonce: evil\r\n\r\n".repeat(20);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nX-Nonce: own\r\nContent-Length: ";
    let post = format!("{head}{}\r\n\r\n{body}", body.len());
    let mut wrong = 0;
    for number in 0..1000 {
        let sent = attacker.try_send(post.as_bytes());
        if sent.and_then(|()| attacker.try_response("POST")).is_err() {
            attacker = edge.client();
        }
        wrong += usize::from(!ask(&mut victim, number));
    }
    wrong
}

/// S7: the server answers without looking at the body, which it throws away.
#[test]
fn a_body_that_a_server_throws_away_poisons_no_one() {
    let origin = RawOrigin::start(|mut stream, _| {
        let mut reader = BufReader::new(stream);
        while let Ok(Some((_, headers))) = read_head(&mut reader) {
            let nonce = headers.first("x-nonce").unwrap_or("none");
            let length = nonce.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{nonce}");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            let _thrown_away = read_announced_body(&mut reader, &headers);
        }
    });
    let wrong = victims_of(&origin, "{}");
    let connections = origin.connections();
    println!("S7: 1,000 victims, {wrong} got another's answer; {connections} connections");
    assert_eq!(wrong, 0);
}

/// S7: the server takes a body for requests, and answers them. On a kept connection an answer that nobody asked for may
/// come just behind the next request; who has such a server gives each request a connection of its own.
#[test]
fn a_body_that_a_server_takes_for_requests_poisons_no_one_without_kept_connections() {
    let origin = RawOrigin::start(|stream, _| echo(stream, |_| {}));
    let kept = victims_of(&origin, "{}");
    let wrong = victims_of(&origin, "{ keepalive: 0 }");
    println!(
        "S7: 1,000 victims of such a server, {wrong} got another's answer; with kept connections {kept}"
    );
    assert_eq!(wrong, 0);
}

/// S15: answered by us before the body came.
#[test]
fn a_body_behind_an_early_answer_is_never_a_request() {
    let origin = Origin::start();
    let edge = Edge::builder()
        .upstream("web", [&origin])
        .route("known", "web")
        .start();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: known\r\n\r\n".repeat(25_000);
    for framing in [
        format!("Content-Length: {}\r\n\r\n{smuggled}", smuggled.len()),
        format!(
            "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n",
            smuggled.len()
        ),
    ] {
        let mut client = edge.client();
        let _early =
            client.try_send(format!("POST / HTTP/1.1\r\nHost: unknown\r\n{framing}").as_bytes());
        assert_eq!(
            client
                .try_response("POST")
                .map(|answer| answer.status)
                .unwrap_or(404),
            404
        );
        let _closed = client.try_get("/next", &[("Host", "known")]);
    }
    assert!(
        origin.requests().iter().all(|seen| seen.path == "/next"),
        "{:?}",
        origin.requests().len()
    );
}

/// S12: connections that were asked to become something else.
#[test]
fn a_thousand_clients_behind_upgrades_and_connects_get_their_own_answers() {
    let origin = RawOrigin::start(|stream, _| echo(stream, |_| {}));
    let edge = edge_to(&origin);
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        for _ in 0..50 {
            let mut client = edge.client();
            client.send(format!("{request}{POISON}"));
            let _first = client.try_response("GET");
        }
        let mut victim = edge.client();
        let wrong = (0..1000)
            .filter(|&number| !ask(&mut victim, number))
            .count();
        assert_eq!(wrong, 0, "{request:?}");
    }
}

/// Part 7: no nomination takes away or changes what the edge says.
#[test]
fn no_nomination_takes_away_what_the_edge_says_of_the_client() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let names = [
        "X-Real-IP",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Request-ID",
    ];
    let lower = names.map(str::to_ascii_lowercase).join(",");
    let mut passed = 0;
    let values: Vec<String> = names
        .iter()
        .flat_map(|name| {
            [
                (*name).to_owned(),
                name.to_ascii_lowercase(),
                format!("close, {name}"),
                format!("{name}, keep-alive"),
                format!(" ,,{name} ,"),
            ]
        })
        .chain([lower])
        .collect();
    for value in &values {
        let fields = [
            ("Connection", value.as_str()),
            ("X-Real-IP", "6.6.6.6"),
            ("X-Forwarded-For", "6.6.6.6"),
        ];
        let answer = edge.client().host("a").get("/", &fields);
        let Some(seen) = origin.requests().pop().filter(|_| answer.status == 200) else {
            assert!((400..500).contains(&answer.status), "{value}: {answer:?}");
            continue;
        };
        for (name, value) in names
            .into_iter()
            .zip(["127.0.0.1", "127.0.0.1", "http", "a"])
        {
            assert_eq!(
                seen.headers.all(name).collect::<Vec<_>>(),
                [value],
                "{name}"
            );
        }
        assert!(seen.headers.has("x-request-id"));
        passed += 1;
        origin.forget();
    }
    println!(
        "{} nominations, {passed} passed on with every field of ours, the others refused",
        values.len()
    );
}

/// R10: whatever a client says, a line of the log is one line of JSON of bounded length.
#[test]
fn no_client_writes_lines_into_the_log() {
    let origin = Origin::start();
    origin.always(Reply::status(200));
    let edge = Edge::to([&origin]);
    let agents: [&[u8]; 6] = [
        b"\"}\n{\"status\":1",
        b"\x1b[31m",
        "\u{2028}\u{85}".as_bytes(),
        b"\xff\xfe",
        b"\"\\\"",
        &[b'a'; 30_000],
    ];
    for (number, agent) in agents.iter().enumerate() {
        let mut client = edge.client();
        let head = format!("GET /{number} HTTP/1.1\r\nHost: a\r\nUser-Agent: ");
        client.send([head.as_bytes(), agent, b"\r\n\r\n"].concat());
        let _any = client.try_response("GET");
        client = edge.client();
        client.send([b"GET /", *agent, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        let _any = client.try_response("GET");
    }
    let lines = until("every request is in the log", || {
        let lines = edge.access_log();
        (lines.len() >= 2 * agents.len()).then_some(lines)
    });
    assert_eq!(lines.len(), 2 * agents.len());
    let longest = lines.iter().map(String::len).max();
    for line in &lines {
        let record: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            record["status"].as_u64() >= Some(200)
                && line.is_ascii() | !line.contains(['\u{2028}', '\u{85}']),
            "{line}"
        );
        assert!(line.bytes().all(|byte| byte >= b' '), "{line}");
    }
    println!("{} lines, the longest {longest:?} bytes", lines.len());
    assert!(longest <= Some(8192), "{longest:?}");
}
