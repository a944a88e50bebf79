//! How the process ends, and the signals that do not end it.

use crate::support::{Client, Edge, EdgeBuilder, Origin, until};
use std::{
    fs,
    time::{Duration, Instant},
};

/// With a grace period that a test never waits for.
fn builder(origin: &Origin) -> EdgeBuilder {
    Edge::builder()
        .upstream("web", [origin])
        .route("*", "web")
        .with("server: { shutdown_grace: 60s }")
}

/// Far below the grace period; a machine may be busy.
const SOON: Duration = Duration::from_secs(3);

fn assert_exits_soon(edge: &mut Edge) {
    let start = Instant::now();
    let status = edge.wait_exit();
    assert!(status.success(), "{status}");
    assert!(
        start.elapsed() < SOON,
        "{:?} after the last request",
        start.elapsed()
    );
}

#[test]
fn sigterm_finishes_the_request_that_is_under_way_and_then_exits_at_once() {
    let origin = Origin::start();
    origin.delay(Duration::from_millis(300));
    let mut edge = builder(&origin).start();
    let mut client = edge.client();
    client.send("GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait_for(1);
    edge.terminate();
    let answer = client.response();
    assert_eq!((answer.status, answer.text()), (200, origin.name()));
    assert!(!answer.headers.keeps_connection("HTTP/1.1"), "{answer:?}");
    assert_exits_soon(&mut edge);
    assert!(edge.access_line("/last").contains("\"status\":200"));
}

#[test]
fn sigterm_finishes_a_body_that_is_still_being_sent() {
    let origin = Origin::start();
    let mut edge = builder(&origin).start();
    let mut client = edge.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n");
    client.read_to("\r\n\r\n");
    client.send("half");
    edge.terminate();
    edge.wait_for_stderr("stopping");
    client.send("more");
    assert_eq!(client.response().text(), origin.name());
    assert_eq!(origin.requests()[0].body, b"halfmore");
    assert_exits_soon(&mut edge);
}

#[test]
fn after_sigterm_new_connections_are_refused_while_a_request_is_finished() {
    let origin = Origin::start();
    origin.hold();
    let mut edge = builder(&origin).start();
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait_for(1);
    edge.terminate();
    until("new connections are refused", || {
        Client::try_connect(&edge.address()).is_err().then_some(())
    });
    origin.release();
    assert_eq!(client.response().text(), origin.name());
    assert_exits_soon(&mut edge);
}

#[test]
fn requests_that_are_in_the_sockets_when_sigterm_comes_are_served() {
    let origin = Origin::start();
    let mut edge = builder(&origin).start();
    for _ in 0..3 {
        let mut clients: Vec<Client> = (0..40).map(|_| edge.client()).collect();
        for client in &mut clients {
            client.get("/", &[]);
        }
        // All at once, as for a machine that did other things.
        edge.signal("STOP");
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        edge.terminate();
        edge.signal("CONT");
        for client in &mut clients {
            assert_eq!(client.response().text(), origin.name());
        }
        assert_exits_soon(&mut edge);
        edge.start_again();
    }
}

#[test]
fn idle_connections_do_not_delay_the_end() {
    let origin = Origin::start();
    let mut edge = builder(&origin).start();
    let mut idle: Vec<Client> = (0..3).map(|_| edge.client()).collect();
    for client in &mut idle {
        client.get("/", &[]);
    }
    edge.terminate();
    assert_exits_soon(&mut edge);
    assert!(idle.iter_mut().all(|client| client.is_closed(SOON)));
}

#[test]
fn connections_that_never_sent_anything_do_not_delay_the_end() {
    let origin = Origin::start();
    for protocols in ["http/1.1", "http/1.1, h2", "h2"] {
        let mut edge = builder(&origin)
            .listener(&format!("protocols: [{protocols}]"))
            .start();
        let _silent = edge.client();
        let mut begun = edge.client();
        begun.send("P");
        let marker = Client::connect(edge.address());
        drop(marker);
        edge.terminate();
        assert_exits_soon(&mut edge);
    }
}

#[test]
fn a_head_that_is_half_sent_does_not_delay_the_end() {
    let origin = Origin::start();
    let mut edge = builder(&origin).start();
    let mut client = edge.client();
    client.get("/", &[]);
    client.send("GET / HTTP/1.1\r\nHost:");
    edge.terminate();
    assert_exits_soon(&mut edge);
}

#[test]
fn a_head_whose_rest_comes_just_after_sigterm_is_served() {
    let origin = Origin::start();
    let mut edge = builder(&origin).start();
    for is_first in [true, false] {
        if !is_first {
            edge.wait_exit();
            edge.start_again();
        }
        let mut client = edge.client();
        if !is_first {
            client.get("/", &[]);
        }
        client.send("GET /half HTTP/1.1\r\nHost:");
        // It has been read by the time that others are served.
        (0..3).for_each(|_| drop(edge.client().get("/beside", &[])));
        edge.terminate();
        edge.wait_for_stderr("stopping");
        client.send(" a\r\n\r\n");
        let answer = client.response();
        assert_eq!(answer.text(), origin.name());
        assert!(!answer.headers.keeps_connection("HTTP/1.1"), "{answer:?}");
    }
    assert_exits_soon(&mut edge);
}

#[test]
fn clients_of_http_2_that_say_no_more_do_not_delay_the_end() {
    let origin = Origin::start();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for more in [&b""[..], b"\0\0\x10\x01\x05\0\0\0\x01\x82"] {
        let mut edge = builder(&origin).start();
        let mut client = edge.client();
        client.send([preface, more].concat());
        // Its settings have been read once they are acknowledged.
        client.read_to("\0\0\0\x04\x01\0\0\0\0");
        edge.terminate();
        assert_exits_soon(&mut edge);
    }
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let origin = Origin::start();
    origin.hold();
    let mut edge = builder(&origin).start();
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait_for(1);
    edge.terminate();
    edge.wait_for_stderr("stopping");
    edge.terminate();
    let start = Instant::now();
    edge.wait_exit();
    assert!(start.elapsed() < SOON);
    assert!(client.try_response("GET").is_err());
}

#[test]
fn the_grace_period_ends_what_does_not_end_by_itself() {
    let origin = Origin::start();
    origin.hold();
    let mut edge = builder(&origin)
        .with("server: { shutdown_grace: 1s }")
        .start();
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait_for(1);
    let start = Instant::now();
    edge.terminate();
    let status = edge.wait_exit();
    assert!(status.success(), "{status}");
    let taken = start.elapsed();
    assert!(
        (Duration::from_millis(990)..Duration::from_secs(4)).contains(&taken),
        "{taken:?}"
    );
}

#[test]
fn sigint_and_sigquit_end_with_exit_code_0() {
    let origin = Origin::start();
    for signal in ["INT", "QUIT"] {
        let mut edge = builder(&origin).start();
        edge.client().get("/", &[]);
        edge.signal(signal);
        assert_exits_soon(&mut edge);
    }
}

#[test]
fn sigusr1_opens_the_access_log_anew() {
    let origin = Origin::start();
    let edge = builder(&origin).start();
    let (log, old) = (
        edge.directory().join("access.log"),
        edge.directory().join("access.log.1"),
    );
    edge.client().get("/before", &[]);
    edge.access_line("/before");
    fs::rename(&log, &old).unwrap();
    edge.signal("USR1");
    until("there is a new log", || log.exists().then_some(()));
    edge.client().get("/after", &[]);
    edge.access_line("/after");
    assert!(
        !edge
            .access_log()
            .iter()
            .any(|line| line.contains("/before"))
    );
    assert!(!fs::read_to_string(&old).unwrap().contains("/after"));
}

#[test]
fn a_request_that_is_logged_while_the_log_is_renamed_is_in_one_of_the_two() {
    let origin = Origin::start();
    let edge = builder(&origin).start();
    let (log, old) = (
        edge.directory().join("access.log"),
        edge.directory().join("access.log.1"),
    );
    let mut client = edge.client();
    for number in 0..100 {
        client.get(&format!("/request-{number}-"), &[]);
        if number == 50 {
            fs::rename(&log, &old).unwrap();
            edge.signal("USR1");
        }
    }
    edge.access_line("/request-99-");
    let all = fs::read_to_string(&old).unwrap() + &edge.access_log().join("\n");
    for number in 0..100 {
        assert_eq!(
            all.matches(&format!("/request-{number}-")).count(),
            1,
            "{number}"
        );
    }
}

#[test]
fn sighup_changes_nothing() {
    let origin = Origin::start();
    let mut edge = builder(&origin).start();
    let mut client = edge.client();
    client.get("/", &[]);
    edge.signal("HUP");
    edge.wait_for_stderr("SIGHUP");
    assert_eq!(client.get("/", &[]).text(), origin.name());
    assert_eq!(edge.client().get("/", &[]).text(), origin.name());
    edge.terminate();
    assert_exits_soon(&mut edge);
}
