//! What a stranger or a broken server says that could be taken two ways, and whom it may cost.

use crate::failures::edge;
use crate::support::{Origin, Reply};
use std::time::{Duration, Instant};

#[test]
fn a_101_that_nobody_asked_for_is_an_invalid_response() {
    let origin = Origin::start();
    let raw = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\nraw";
    origin.always(Reply::Raw(raw.into()));
    let edge = edge(&[origin.address()], "");
    let answer = edge.client().get("/", &[]);
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (502, "502 upstream_invalid_response\n")
    );
}

#[test]
fn an_upgrade_header_alone_does_not_stretch_the_wait() {
    let origin = Origin::start();
    origin.hold();
    let edge = edge(
        &[origin.address()],
        "timeouts: { first_byte: 300ms, read: 10s }, retry: { attempts: 1 }",
    );
    for upgrade in ["foo", "h2c", "websocket"] {
        let began = Instant::now();
        let answer = edge
            .client()
            .get("/", &[("Upgrade", upgrade), ("Connection", "Upgrade")]);
        assert_eq!(answer.status, 504, "{upgrade}");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{upgrade}: {:?}",
            began.elapsed()
        );
    }
    origin.release();
}

#[test]
fn a_client_that_stalls_its_upload_is_not_the_servers_fault() {
    let origin = Origin::start();
    let edge = edge(
        &[origin.address()],
        "timeouts: { first_byte: 200ms, read: 10s }",
    );
    let mut client = edge.client();
    client.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
    // Longer than the server may take for its first byte: it is not its turn yet.
    assert!(!client.is_closed(Duration::from_millis(600)));
    client.send("dy");
    assert_eq!(
        client
            .try_response("POST")
            .map(|answer| answer.status)
            .unwrap(),
        200
    );
    let status = edge.control().get("/v1/status").json;
    assert_eq!(
        status["upstreams"][0]["servers"][0]["status"]["failures"], 0,
        "{status}"
    );
}

#[test]
fn a_host_that_is_none_and_lengths_that_servers_read_differently_are_refused() {
    let origin = Origin::start();
    let edge = edge(&[origin.address()], "");
    for (head, reason) in [
        ("Host: a b/c?d\r\n", "bad_request_host"),
        ("Host: a/b\r\n", "bad_request_host"),
        ("Host: a\r\nContent-Length: 4, 4\r\n", "bad_request_framing"),
        (
            "Host: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n",
            "bad_request_framing",
        ),
        ("Host: a\r\nContent-Length: 004\r\n", "bad_request_framing"),
        (
            "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n",
            "bad_request_framing",
        ),
    ] {
        let mut client = edge.client();
        client.send(format!("POST / HTTP/1.1\r\n{head}\r\nbody"));
        let answer = client.response();
        let text = answer.text();
        assert_eq!(answer.status, 400, "{head}");
        assert_eq!(
            text.lines().next(),
            Some(&*format!("400 {reason}")),
            "{head}: {text}"
        );
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_204_has_no_length_and_no_header_of_the_servers_connection_passes() {
    let origin = Origin::start();
    let raw = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nTrailer: x\r\nProxy-Authenticate: Basic\r\nX-Kept: 1\r\n\r\n";
    origin.always(Reply::Raw(raw.into()));
    let edge = edge(&[origin.address()], "");
    let answer = edge.client().get("/", &[]);
    assert_eq!((answer.status, answer.header("x-kept")), (204, Some("1")));
    for name in ["content-length", "trailer", "proxy-authenticate"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}
