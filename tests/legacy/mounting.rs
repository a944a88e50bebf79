//! Where legacy paths are answered, and to whom.

use crate::support::{Client, Edge, Origin, until};
use crate::{told, two_groups};
use std::net::TcpStream;
use std::time::Duration;

const SWITCH: &str = "/_switch_upstream?upstream=green";

#[test]
fn a_listener_without_the_key_proxies_every_path() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    for path in [
        SWITCH,
        "/upstream_switch",
        "/ups",
        "/ups/check",
        "/ups_api",
        "/healthcheck",
    ] {
        assert_eq!(client.get(path, &[]).text(), origin.name(), "{path}");
    }
    assert_eq!(edge.control().get("/v1/state").revision(), 1);
}

#[test]
fn a_listener_answers_the_interfaces_that_it_lists_and_no_other() {
    let (blue, green) = (Origin::start(), Origin::start());
    let builder = two_groups(&blue, &green).listener("legacy: [ups]");
    let edge = builder.start();
    assert_eq!(edge.client().get(SWITCH, &[]).text(), blue.name());
    assert_eq!(edge.control().get("/v1/state").revision(), 1);
}

#[test]
fn a_path_is_found_in_its_normal_form_and_only_as_a_whole() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let mut client = edge.client();
    for path in [
        "/_switch_upstream",
        "//_switch_upstream",
        "/%5fswitch%5Fupstream",
        "/x/../_switch_upstream",
        "/./_switch_upstream?",
    ] {
        assert_eq!(
            client.get(path, &[]).text(),
            "upstream is nil 1\n",
            "{path}"
        );
    }
    for path in [
        "/_switch_upstream/",
        "/_switch_upstreams",
        "/_Switch_upstream",
        "/x/_switch_upstream",
        "/_switch_upstream%3Fupstream=green",
        "/",
    ] {
        assert_eq!(client.get(path, &[]).text(), blue.name(), "{path}");
    }
}

#[test]
fn who_is_not_listed_hears_403_whatever_it_says_about_itself() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green)
        .listener("{ legacy_allow: [10.0.0.0/8], trusted_proxies: [127.0.0.1] }")
        .start();
    let mut client = edge.client();
    for header in ["X-Forwarded-For", "X-Real-IP", "Forwarded"] {
        let answer = client.get(SWITCH, &[(header, "10.0.0.1")]);
        assert_eq!(
            told(&answer),
            (
                403,
                "text/plain; charset=utf-8",
                "403 legacy_forbidden\n".into()
            )
        );
    }
    assert_eq!(client.get("/", &[]).text(), blue.name());
    assert_eq!(edge.control().get("/v1/state").revision(), 1);
    let line = edge.record(SWITCH);
    assert_eq!(
        (&line["route"], &line["reason"]),
        (&"legacy:switch".into(), &"legacy_forbidden".into())
    );
    let metrics = edge.control().get("/metrics").text;
    let counted = r#"pointsman_generated_responses_total{reason="legacy_forbidden"} 3"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn a_call_is_logged_with_its_interface_and_the_revision_that_it_made() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let answer = edge.client().host("a.example").get(SWITCH, &[]);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let line = edge.record(SWITCH);
    assert_eq!(
        (&line["route"], &line["revision"]),
        (&"legacy:switch".into(), &2.into())
    );
    assert_eq!(line["status"], 200);
    let revision = edge.control().get("/v1/revisions/2").is(200).json;
    assert_eq!(
        (&revision["author"], &revision["source"]),
        (&"legacy:switch".into(), &"127.0.0.1".into())
    );
}

#[test]
fn a_body_over_64_kib_is_413_and_nothing_changes() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let head = format!("POST {SWITCH} HTTP/1.1\r\nHost: a.example\r\n");
    let mut announced = edge.client();
    announced.send(format!("{head}Content-Length: 65537\r\n\r\n"));
    assert_eq!(announced.response().status, 413);
    let mut chunked = edge.client();
    chunked.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n10001\r\n"));
    // The answer may come before the body has gone.
    let _the_connection_may_be_gone = chunked.try_send(&vec![b'x'; 65_537]);
    assert_eq!(chunked.response().status, 413);
    assert_eq!(edge.control().get("/v1/state").revision(), 1);
    let fits = edge
        .client()
        .request("POST", SWITCH, &[], &vec![b'x'; 65_536]);
    assert_eq!(fits.status, 200);
}

#[test]
fn the_connection_goes_on_after_a_body_and_after_head() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let mut client = edge.client().host("a.example");
    let posted = client.request("POST", SWITCH, &[], b"upstream=blue");
    assert_eq!(
        (posted.status, posted.header("connection")),
        (200, Some("keep-alive"))
    );
    assert_eq!(client.get("/", &[]).text(), green.name());
    let head = client.request("HEAD", "/_switch_upstream?upstream=blue", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(client.get("/", &[]).text(), blue.name());
    assert_eq!(edge.control().get("/v1/state").revision(), 3);
}

#[test]
fn a_client_that_waits_for_100_continue_hears_it() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let mut client = edge.client();
    client.send(format!(
        "POST {SWITCH} HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    ));
    assert_eq!(client.read_to("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("x");
    assert_eq!(client.response().status, 200);
}

#[test]
fn a_body_that_does_not_come_holds_up_nobody_else() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green)
        .with("server: { threads: 1 }")
        .listener("limits: { body_timeout: 1s }")
        .start();
    let mut slow = edge.client();
    slow.send(format!(
        "POST {SWITCH} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\n"
    ));
    assert_eq!(edge.client().get("/", &[]).text(), blue.name());
    assert_eq!(slow.response().status, 408);
    assert!(slow.is_closed(Duration::from_secs(10)));
    assert_eq!(edge.control().get("/v1/state").revision(), 1);
}

#[test]
fn http_1_0_is_answered_with_a_length() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let mut client = edge.client();
    client.send(format!("GET {SWITCH} HTTP/1.0\r\nHost: a.example\r\n\r\n"));
    let answer = client.response();
    assert_eq!(
        (answer.status, answer.body.len().to_string().as_str()),
        (200, answer.header("content-length").unwrap())
    );
    assert!(client.is_closed(Duration::from_secs(10)));
}

#[test]
fn an_ambiguous_request_is_refused_before_a_legacy_path_is_looked_for() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    for head in [
        format!("GET {SWITCH} HTTP/1.1\r\n\r\n"),
        format!("GET {SWITCH} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        format!(
            "POST {SWITCH} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
    ] {
        let mut client = edge.client();
        client.send(&head);
        assert_eq!(client.response().status, 400, "{head}");
    }
    assert_eq!(edge.control().get("/v1/state").revision(), 1);
}

#[test]
fn the_last_answer_before_the_end_says_that_the_connection_closes() {
    let (blue, green) = (Origin::start(), Origin::start());
    let mut edge = two_groups(&blue, &green).start();
    let mut client = edge.client();
    client.send(format!(
        "POST {SWITCH} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\n"
    ));
    // The request is being read when the end begins.
    until("the request has arrived", || {
        (edge
            .control()
            .get("/metrics")
            .text
            .contains("pointsman_connections_open 1"))
        .then_some(())
    });
    edge.terminate();
    until("it takes no more connections", || {
        TcpStream::connect(edge.address()).is_err().then_some(())
    });
    client.send("x");
    let answer = client.response();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert!(edge.wait_exit().success());
}

#[test]
fn the_control_api_serves_every_interface_unless_told_otherwise() {
    let (blue, green) = (Origin::start(), Origin::start());
    let mut edge = two_groups(&blue, &green).start();
    let control = edge.control();
    assert_eq!(
        control.get("/_switch_upstream").is(200).text,
        "upstream is nil 1\n"
    );
    edge.terminate();
    edge.wait_exit();
    edge.reconfigure("control: { legacy: [] }");
    edge.start_again();
    assert_eq!(
        edge.control().get("/_switch_upstream").is(404).code(),
        "not_found"
    );
}

#[test]
fn what_cannot_be_mounted_is_told_with_the_reason() {
    let origin = Origin::start();
    for (keys, reason) in [
        (
            "listeners: [{ address: '127.0.0.1:1', legacy: [dyups] }]",
            "`dyups` is for `control.legacy` only: its paths are common words",
        ),
        (
            "listeners: [{ address: '127.0.0.1:1', legacy: [plus] }]",
            "`plus` is for `control.legacy` only: its paths are common words",
        ),
        (
            "listeners: [{ address: '127.0.0.1:1', legacy: [swich] }]",
            "unknown value `swich`; did you mean `switch`?",
        ),
        (
            "listeners: [{ address: 'unix:/tmp/p.sock', legacy: [ups] }]",
            "who calls over a Unix socket has no address that `legacy_allow` could list: use `control.legacy`",
        ),
        (
            "control: { legacy: [switch, plus] }",
            "`plus` is not supported yet",
        ),
        (
            "control: { legacy: [up] }",
            "unknown value `up`; did you mean `ups`?",
        ),
        (
            "listeners: [{ address: '127.0.0.1:1', legacy_allow: [here] }]",
            "`here` is neither an address nor a network such as 10.0.0.0/8",
        ),
    ] {
        let builder = Edge::builder().upstream("web", [&origin]).with(keys);
        let refused = builder.try_start().err().expect(keys);
        assert!(
            refused.stderr.contains(reason),
            "{keys}: {}",
            refused.stderr
        );
    }
}

#[test]
fn calls_on_one_connection_and_on_many_do_not_get_in_each_others_way() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let mut clients: Vec<Client> = (0..8)
        .map(|n| edge.client().host(&format!("h{n}.example")))
        .collect();
    for _ in 0..5 {
        for client in &mut clients {
            for (to, origin) in [("green", &green), ("blue", &blue)] {
                let path = format!("/upstream_switch?ups={to}");
                assert_eq!(
                    told(&client.get(&path, &[])),
                    (200, "application/octet-stream", String::new())
                );
                assert_eq!(client.get("/", &[]).text(), origin.name());
            }
        }
    }
}
