//! Limits on connections, and the PROXY header before a connection's first request.

use std::time::Duration;

use crate::support::{Client, Edge, Origin, until};

const SOON: Duration = Duration::from_secs(8);

fn edge(origin: &Origin, server: &str, listener: &str) -> Edge {
    Edge::builder()
        .upstream("web", [origin])
        .route("*", "web")
        .with(&format!("server: {server}"))
        .listener(listener)
        .start()
}

/// How many connections were rejected for this cause.
fn rejected(edge: &Edge, cause: &str) -> u64 {
    let text = edge.control().get("/metrics").text;
    let series = format!("pointsman_connections_rejected_total{{cause=\"{cause}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.unwrap().parse().unwrap()
}

/// Waits until at least so many were: a connection is closed before it is counted, and the one of the readiness check
/// may be accepted late on a busy machine.
fn was_rejected(edge: &Edge, cause: &str, count: u64) {
    until(&format!("{count} rejected for {cause}"), || {
        (rejected(edge, cause) >= count).then_some(())
    });
}

/// Waits until no connection is open: the one of the readiness check may still be.
fn idle(edge: &Edge) {
    until("no connection is open", || {
        let text = edge.control().get("/metrics").text;
        text.contains("\npointsman_connections_open 0\n")
            .then_some(())
    });
}

fn is_turned_away(mut client: Client) {
    let response = client.response();
    assert_eq!(
        (response.status, response.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(response.text(), "503 too_many_connections\n");
    assert!(client.is_closed(SOON));
}

#[test]
fn a_connection_over_the_total_gets_503_and_its_place_comes_back() {
    let origin = Origin::start();
    let edge = edge(&origin, "{ max_connections: 2 }", "{}");
    idle(&edge);
    let mut kept = [edge.client(), edge.client()];
    for client in &mut kept {
        assert_eq!(client.get("/", &[]).status, 200);
    }
    is_turned_away(edge.client());
    was_rejected(&edge, "max_connections", 1);
    assert_eq!(kept[0].get("/", &[]).status, 200);
    drop(kept);
    idle(&edge);
    assert_eq!(edge.client().get("/", &[]).status, 200);
}

#[test]
fn a_request_under_way_does_not_cost_a_turned_away_client_its_answer() {
    let origin = Origin::start();
    let edge = edge(&origin, "{ max_connections: 1 }", "{}");
    idle(&edge);
    let mut kept = edge.client();
    assert_eq!(kept.get("/", &[]).status, 200);
    let mut client = edge.client();
    let body = "x".repeat(20_000);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n{body}"
    ));
    is_turned_away(client);
}

#[test]
fn each_address_has_its_own_limit() {
    let origin = Origin::start();
    let edge = edge(
        &origin,
        "{ max_connections_per_ip: 1 }",
        "{ proxy_protocol: require, trusted_proxies: [127.0.0.1] }",
    );
    let from = |address: &str| {
        let mut client = edge.client();
        client.send(format!("PROXY TCP4 {address} 127.0.0.1 5 80\r\n"));
        client
    };
    let mut first = from("192.0.2.1");
    assert_eq!(first.get("/", &[]).status, 200);
    is_turned_away(from("192.0.2.1"));
    assert_eq!(from("192.0.2.2").get("/", &[]).status, 200);
    was_rejected(&edge, "max_connections_per_ip", 1);
    drop(first);
    until("the place is free again", || {
        let answer = from("192.0.2.1").try_get("/", &[]);
        answer.is_ok_and(|it| it.status == 200).then_some(())
    });
}

#[test]
fn without_a_header_the_limit_counts_the_connection_s_own_address() {
    let origin = Origin::start();
    let edge = edge(&origin, "{ max_connections_per_ip: 2 }", "{}");
    idle(&edge);
    let mut kept = [edge.client(), edge.client()];
    for client in &mut kept {
        assert_eq!(client.get("/", &[]).status, 200);
    }
    is_turned_away(edge.client());
}

fn version_2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    [&signature[..], &[command, family], &length, block].concat()
}

const BLOCK_4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];

const REQUIRED: &str = "{ proxy_protocol: require, trusted_proxies: [127.0.0.1] }";

#[test]
fn the_header_s_client_is_the_one_in_the_log_and_the_headers() {
    let origin = Origin::start();
    let edge = edge(&origin, "{}", REQUIRED);
    let mut block_6 = [0; 36];
    block_6[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
    block_6[15] = 9;
    let line = |text: &str| format!("PROXY {text}\r\n").into_bytes();
    let headers = [
        (line("TCP4 192.0.2.7 127.0.0.1 1 2"), "192.0.2.7"),
        (line("TCP6 2001:db8::7 ::1 1 2"), "2001:db8::7"),
        (line("UNKNOWN"), "127.0.0.1"),
        (version_2(0x21, 0x11, &BLOCK_4), "192.0.2.7"),
        (version_2(0x21, 0x21, &block_6), "2001:db8::9"),
        (version_2(0x20, 0, b""), "127.0.0.1"),
        (version_2(0x21, 0, b""), "127.0.0.1"),
    ];
    for (number, (header, address)) in headers.into_iter().enumerate() {
        let target = format!("/{number}");
        let mut client = edge.client();
        // With the request in one piece, and a second one on the same connection.
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.send([&header[..], request.as_bytes()].concat());
        assert_eq!(client.response().status, 200);
        assert_eq!(client.get("/again", &[]).status, 200);
        for seen in origin.requests().iter().rev().take(2) {
            assert_eq!(seen.header("x-forwarded-for"), Some(address));
            assert_eq!(seen.header("x-real-ip"), Some(address));
        }
        assert_eq!(edge.record(&target)["client"], address);
    }
}

#[test]
fn a_header_in_single_bytes_is_read() {
    let origin = Origin::start();
    let edge = edge(&origin, "{}", REQUIRED);
    let mut client = edge.client();
    for byte in version_2(0x21, 0x11, &BLOCK_4) {
        client.send([byte]);
    }
    assert_eq!(client.get("/", &[]).status, 200);
    let seen = origin.requests().pop().unwrap();
    assert_eq!(seen.header("x-forwarded-for"), Some("192.0.2.7"));
}

#[test]
fn what_is_no_header_is_closed_without_an_answer() {
    let origin = Origin::start();
    let edge = edge(&origin, "{}", REQUIRED);
    let oversized = version_2(0x21, 0x11, &[0; 5000]);
    let bad: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n",
        b"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
        b"\x16\x03\x01\x02\0\x01\0",
        &oversized,
    ];
    for bytes in bad {
        let mut client = edge.client();
        client.send(bytes);
        assert_eq!(client.rest(), b"");
    }
    let mut cut = edge.client();
    cut.send("PROXY TCP4 192.0.2");
    cut.finish_sending();
    assert_eq!(cut.rest(), b"");
    was_rejected(&edge, "proxy_malformed", 7);
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_header_that_does_not_end_is_closed_in_time() {
    let origin = Origin::start();
    let edge = edge(&origin, "{}", REQUIRED);
    let (mut begun, mut silent) = (edge.client(), edge.client());
    begun.send("PROXY TCP4 ");
    assert!(begun.is_closed(SOON) && silent.is_closed(SOON));
    was_rejected(&edge, "proxy_timeout", 2);
}

#[test]
fn only_a_trusted_sender_is_believed() {
    let origin = Origin::start();
    let required = edge(
        &origin,
        "{}",
        "{ proxy_protocol: require, trusted_proxies: [10.0.0.0/8] }",
    );
    let before = rejected(&required, "proxy_untrusted");
    let mut client = required.client();
    let _closed_already = client.try_send(b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n");
    assert_eq!(client.rest(), b"");
    was_rejected(&required, "proxy_untrusted", before + 1);
    let accepted = edge(
        &origin,
        "{}",
        "{ proxy_protocol: accept, trusted_proxies: [10.0.0.0/8] }",
    );
    assert_eq!(accepted.client().get("/", &[]).status, 200);
    let mut client = accepted.client();
    client.send("PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 400);
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_trusted_sender_may_leave_an_accepted_header_out() {
    let origin = Origin::start();
    let edge = edge(
        &origin,
        "{}",
        "{ proxy_protocol: accept, trusted_proxies: [127.0.0.1] }",
    );
    for (header, address) in [
        ("", "127.0.0.1"),
        ("PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n", "192.0.2.7"),
    ] {
        for request in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        ] {
            let mut client = edge.client();
            client.send(format!("{header}{request}"));
            assert_eq!(client.response().status, 200);
            let seen = origin.requests().pop().unwrap();
            assert_eq!(seen.header("x-forwarded-for"), Some(address));
        }
    }
}

#[test]
fn legacy_allow_looks_at_the_header_s_client() {
    let origin = Origin::start();
    let edge = edge(
        &origin,
        "{}",
        "{ proxy_protocol: require, trusted_proxies: [127.0.0.1], legacy: [ups], legacy_allow: [192.0.2.7] }",
    );
    for (address, status) in [("192.0.2.7", 200), ("192.0.2.8", 403)] {
        let mut client = edge.client();
        client.send(format!("PROXY TCP4 {address} 127.0.0.1 1 2\r\n"));
        assert_eq!(client.get("/ups", &[]).status, status, "{address}");
    }
}

#[test]
fn more_clients_than_descriptors_are_turned_away_and_the_operator_is_not() {
    let origin = Origin::start();
    let builder = Edge::builder().upstream("web", [&origin]).route("*", "web");
    let edge = builder.descriptors(256, 1024).start();
    edge.wait_for_stderr("the limit on open files is now 1024 instead of 256");
    edge.wait_for_stderr("918 connections are let in at most");
    let mut first = edge.client();
    assert_eq!(first.get("/", &[]).status, 200);
    let mut clients: Vec<_> = (0..1200).map(|_| edge.client()).collect();
    is_turned_away(clients.pop().unwrap());
    let _metrics = edge.control().get("/v1/status").is(200);
    assert_eq!(first.get("/", &[]).status, 200);
    clients.clear();
    until("clients are let in again", || {
        let mut client = Client::try_connect(&edge.address()).ok()?;
        client.try_get("/", &[]).ok().filter(|it| it.status == 200)
    });
}
