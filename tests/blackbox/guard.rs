//! What the strict guard refuses, and that it is in nobody's way otherwise.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use crate::support::{Edge, Origin, RawOrigin, Reply, pause, until};

use super::hostile::{POST, hostile};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn no_byte_of_a_hostile_message_reaches_a_server() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let messages = hostile();
    assert!(messages.len() > 75, "{} messages", messages.len());
    for (message, answer) in &messages {
        let shown = &message[..message.len().min(200)];
        let mut client = edge.client();
        // The rest may be refused while it is still being sent.
        let _ = client.try_send(message.as_bytes());
        let refused = client.response();
        assert_eq!(refused.text().lines().next(), Some(*answer), "{shown:?}");
        assert_eq!(
            Some(refused.status.to_string().as_str()),
            answer.split(' ').next()
        );
        assert!(client.is_closed(SOON), "still open: {shown:?}");
        assert_eq!(origin.connections(), 0, "{shown:?}");
    }
    assert_eq!(edge.client().get("/after", &[]).status, 200);
    assert_eq!(origin.count(), 1);
    println!("{} messages refused", messages.len());
}

#[test]
fn a_hostile_head_is_refused_however_slowly_it_comes() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    for (message, answer) in hostile().iter().filter(|(message, _)| message.len() < 100) {
        let mut client = edge.client();
        for byte in message.as_bytes() {
            if client.try_send(&[*byte]).is_err() {
                break;
            }
        }
        assert_eq!(
            client.response().text().lines().next(),
            Some(*answer),
            "{message:?}"
        );
    }
    // A chunk that breaks a rule after its head has gone: the head may arrive, no request does.
    assert!(origin.requests().iter().all(|seen| !seen.whole));
}

#[test]
fn a_refusal_is_answered_behind_the_requests_before_it() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    let get = "GET /one HTTP/1.1\r\nHost: a\r\n\r\n";
    let post =
        "POST /two HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    client.send(format!(
        "{get}{post}GET /three HTTP/1.1\nHost: a\r\n\r\n{get}"
    ));
    let answers: Vec<_> = (0..3).map(|_| client.response().status).collect();
    assert_eq!(answers, [200, 200, 400]);
    assert!(client.is_closed(SOON));
    let paths: Vec<_> = origin
        .requests()
        .into_iter()
        .map(|seen| (seen.path, seen.whole))
        .collect();
    assert_eq!(paths, [("/one".into(), true), ("/two".into(), true)]);
    let record = edge.record("/three");
    assert_eq!(
        (&record["status"], &record["reason"], &record["method"]),
        (&400.into(), &"bad_request_line_end".into(), &"GET".into())
    );
}

#[test]
fn the_log_says_of_a_refused_message_what_it_said_and_nothing_of_what_stood_in_for_it() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let fields = "User-Agent: scanner/1\r\nHost: shop.example\r\nX-Y : 1\r\n";
    let mut client = edge.client();
    client.send(format!("GET /odd HTTP/1.1\r\n{fields}\r\n"));
    assert_eq!(client.response().status, 400);
    let record = edge.record("/odd");
    assert_eq!(
        (&record["host"], &record["user_agent"]),
        (&"shop.example".into(), &"scanner/1".into())
    );

    let mut client = edge.client();
    client.send(b"\x16\r\n\r\n");
    assert_eq!(client.response().status, 400);
    let record: serde_json::Value =
        serde_json::from_str(&edge.access_line("bad_request_l")).unwrap();
    assert_eq!(
        (&record["target"], &record["host"], &record["user_agent"]),
        (&"".into(), &"".into(), &serde_json::Value::Null)
    );
}

#[test]
fn a_body_that_breaks_a_rule_midway_is_refused_and_its_server_connection_not_used_again() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    for _ in 0..5 {
        let mut client = edge.client();
        client.send(format!(
            "{POST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        ));
        until("the head is under way to the server", || {
            let status = edge.control().get("/v1/status").json;
            let server = &status["upstreams"][0]["servers"][0]["status"];
            (server["in_flight"] == 1).then_some(())
        });
        client.send("nonsense\r\n");
        assert_eq!(
            client.response().text().lines().next(),
            Some("400 bad_request_framing")
        );
        assert_eq!(edge.client().get("/after", &[]).text(), origin.name());
    }
    assert!(
        origin
            .requests()
            .iter()
            .all(|seen| seen.whole == (seen.path == "/after"))
    );
}

fn edge_with(origin: &Origin, limits: &str) -> Edge {
    let edge = Edge::builder().upstream("web", [origin]).route("*", "web");
    edge.listener(&format!("limits: {{ {limits} }}")).start()
}

#[test]
fn a_head_has_one_deadline_however_often_a_byte_comes() {
    let origin = Origin::start();
    let edge = edge_with(&origin, "header_timeout: 500ms");
    let mut client = edge.client();
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\nX: ");
    // A hundred bytes over 5 s: the connection must be over long before.
    let drip = (0..100).take_while(|_| {
        client.try_send(b"x").is_ok() && !client.has_answer(Duration::from_millis(50))
    });
    assert!(drip.count() < 60);
    assert_eq!(client.response().status, 408);
    assert!(client.is_closed(SOON));
    assert_eq!(edge.record("/slow")["reason"], "request_timeout");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn the_beginning_of_http_2_has_the_same_deadline() {
    let origin = Origin::start();
    let edge = edge_with(&origin, "header_timeout: 500ms");
    for beginning in ["PRI * HTTP/2.0\r\n", "PRIVATE / HTTP/1.1\r\nHost: a\r\nX: "] {
        let mut client = edge.client();
        let bytes = beginning.bytes().chain(std::iter::repeat(b'x'));
        let drip = bytes.take(100).take_while(|byte| {
            client.try_send(&[*byte]).is_ok() && !client.has_answer(Duration::from_millis(150))
        });
        assert!(drip.count() < 20);
        assert_eq!(client.response().status, 408, "{beginning:?}");
        assert!(client.is_closed(SOON));
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_connection_without_a_request_is_closed_in_silence_and_a_slow_answer_is_waited_for() {
    let origin = Origin::start();
    let edge = edge_with(
        &origin,
        "keepalive_timeout: 300ms, header_timeout: 200ms, body_timeout: 200ms",
    );
    assert!(edge.client().is_closed(SOON));
    origin.delay(Duration::from_millis(900));
    let mut client = edge.client();
    assert_eq!(client.get("/", &[]).status, 200);
    assert!(client.is_closed(SOON));
}

#[test]
fn a_body_longer_than_body_size_is_413() {
    let origin = Origin::start();
    let edge = edge_with(&origin, "body_size: 1KiB");
    let fits = "x".repeat(1024);
    assert_eq!(
        edge.client()
            .request("POST", "/", &[], fits.as_bytes())
            .status,
        200
    );
    origin.forget();
    for message in [
        format!("{POST}Content-Length: 1025\r\n\r\n"),
        format!("{POST}Transfer-Encoding: chunked\r\n\r\n401\r\n"),
    ] {
        let mut client = edge.client();
        client.send(&message);
        assert_eq!(
            client.response().text().lines().next(),
            Some("413 body_too_large")
        );
        assert!(client.is_closed(SOON));
    }
    assert_eq!(origin.count(), 0);
    let mut client = edge.client();
    client.send(format!(
        "{POST}Transfer-Encoding: chunked\r\n\r\n400\r\n{fits}\r\n1\r\nx\r\n0\r\n\r\n"
    ));
    assert_eq!(client.response().status, 413);
    assert!(origin.requests().iter().all(|seen| !seen.whole));
}

#[test]
fn a_server_that_takes_nothing_for_long_is_no_slow_client() {
    // Longer than the 10 s that a client has in any case, by a server that a client cannot hurry.
    let stall = Duration::from_millis(11_500);
    let origin = RawOrigin::start(move |mut stream, _| {
        let mut head = [0; 4096];
        let _ = stream.read(&mut head);
        pause(stall);
        let mut rest = BufReader::new(stream);
        let mut body = Vec::new();
        while !body.ends_with(b"the end") && rest.read_until(b'd', &mut body).is_ok_and(|n| n > 0) {
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let edge = Edge::builder()
        .route("*", "web")
        .with(&format!(
            "upstreams: {{ web: {{ servers: ['{}'] }} }}",
            origin.address()
        ))
        .listener("limits: { min_rate: 100000000 }")
        .start();
    let mut body = vec![b'x'; 24 << 20];
    body.extend(b"the end");
    assert_eq!(edge.client().request("POST", "/", &[], &body).status, 200);
}

#[test]
fn a_client_that_waits_to_be_asked_for_its_body_is_not_slow_before_it_was_asked() {
    let origin = RawOrigin::start(|mut stream, _| {
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes);
        pause(Duration::from_millis(900));
        let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        if stream.read(&mut bytes).is_ok_and(|count| count > 0) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let edge = Edge::builder()
        .route("*", "web")
        .with(&format!(
            "upstreams: {{ web: {{ servers: ['{}'] }} }}",
            origin.address()
        ))
        .listener("limits: { body_timeout: 300ms }")
        .start();
    let head = format!("{POST}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    for (body, status) in [("body", 200), ("", 408)] {
        let mut client = edge.client();
        client.send(&head);
        assert_eq!(client.read_to("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
        client.send(body);
        assert_eq!(client.response().status, status);
    }
    // Whoever has begun with the body waits for nothing.
    let mut client = edge.client();
    client.send(head + "b");
    assert_eq!(client.response().status, 408);
}

#[test]
fn a_request_behind_one_for_a_tunnel_is_a_request_if_the_server_declines() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let upgrade =
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut client = edge.client();
    client.send(format!(
        "{upgrade}GET /next HTTP/1.1\r\nHost: a\r\n\r\n{upgrade}\0\0\0\r\n\r\n"
    ));
    let statuses: Vec<_> = (0..4).map(|_| client.response().status).collect();
    assert_eq!(statuses, [200, 200, 200, 400]);
    let paths: Vec<_> = origin
        .requests()
        .into_iter()
        .map(|seen| seen.path)
        .collect();
    assert_eq!(paths, ["/chat", "/next", "/chat"]);
}

#[test]
fn the_path_that_is_routed_by_is_the_path_that_the_server_gets() {
    let (web, admin) = (Origin::start(), Origin::start());
    let edge = Edge::builder()
        .upstream("web", [&web])
        .upstream("admin", [&admin])
        .with("routes: [{ paths: [/admin], to: admin }, { to: web }]")
        .start();
    for (sent, normal) in [
        ("/a/../admin", "/admin"),
        ("//admin", "/admin"),
        ("/a/%2e%2e/admin/x?..//", "/admin/x?..//"),
        ("/./admin", "/admin"),
        ("http://a/a/../admin", "/admin"),
    ] {
        let mut client = edge.client();
        client.send(format!("GET {sent} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.response().text(), admin.name(), "{sent}");
        assert_eq!(admin.requests().pop().unwrap().path, normal, "{sent}");
    }
    assert_eq!(edge.client().get("/a%2fadmin", &[]).text(), web.name());
    assert_eq!(web.requests().pop().unwrap().path, "/a%2fadmin");
    assert_eq!(edge.client().get("/a%2f../admin", &[]).status, 400);
}

#[test]
fn a_large_body_passes_whole_in_either_framing() {
    let origin = Origin::start();
    origin.by(|seen| Reply::text(&seen.body.len().to_string()));
    let edge = Edge::to([&origin]);
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut client = edge.client();
    for _ in 0..3 {
        assert_eq!(client.request("PUT", "/", &[], &body).text(), "3000000");
        let mut chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for (n, chunk) in body.chunks(70_001).enumerate() {
            chunked.extend(format!("{:x};n={n}\r\n", chunk.len()).bytes());
            chunked.extend(chunk);
            chunked.extend(b"\r\n");
        }
        client.send([&chunked[..], b"0\r\nTrailer: x\r\n\r\n"].concat());
        assert_eq!(client.response().text(), "3000000");
        assert_eq!(origin.requests().pop().unwrap().body, body);
    }
}

#[test]
fn every_character_of_a_target_arrives_as_it_was_sent_or_is_refused_with_a_reason() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut refused = String::new();
    for sign in ' '..='~' {
        for target in [format!("/a{sign}b"), format!("/a?{sign}b")] {
            let mut client = edge.client();
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let answer = client.response();
            if answer.status == 200 {
                assert_eq!(origin.requests().pop().unwrap().path, target);
                continue;
            }
            assert_eq!(answer.status, 400, "{target}");
            assert!(answer.text().starts_with("400 bad_request_"), "{target}");
            refused.push(sign);
        }
    }
    // In paths, in queries: an escape is looked at in paths only.
    assert_eq!(refused, "  \"\"##%<<>>\\\\``");
}
