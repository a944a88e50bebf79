//! `/_switch_upstream` and `/upstream_switch`.

use crate::support::Origin;
use crate::{switched, told, two_groups};

#[test]
fn the_first_call_names_the_group_that_answered_so_far() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let mut client = edge.client().host("lb.example");
    for path in ["/_switch_upstream", "/_switch_upstream?upstream="] {
        let usage = (
            200,
            "application/octet-stream",
            "upstream is nil 1\n".into(),
        );
        assert_eq!(told(&client.get(path, &[])), usage, "{path}");
    }
    assert_eq!(client.get("/", &[]).text(), blue.name());
    for (from, to, origin) in [
        ("blue", "green", &green),
        ("green", "blue", &blue),
        ("blue", "blue", &blue),
        ("blue", "Green", &green),
    ] {
        let answer = client.get(&format!("/_switch_upstream?upstream={to}"), &[]);
        assert_eq!(told(&answer), switched("lb.example", from, to));
        assert_eq!(client.get("/", &[]).text(), origin.name());
    }
    assert_eq!(
        edge.client().get("/", &[]).text(),
        blue.name(),
        "another host"
    );
}

#[test]
fn a_host_that_nothing_answers_for_had_nil_before() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).with("routes: []").start();
    let mut client = edge.client().host("lb.example");
    assert_eq!(client.get("/", &[]).status, 404);
    let answer = client.get("/_switch_upstream?upstream=green", &[]);
    assert_eq!(told(&answer), switched("lb.example", "nil", "green"));
    assert_eq!(client.get("/", &[]).text(), green.name());
}

#[test]
fn a_host_with_a_group_of_its_own_name_had_that_group_before() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green)
        .with("routes: [{ to: '{host}' }]")
        .start();
    let mut client = edge.client();
    assert_eq!(client.get("/", &[("Host", "green")]).text(), green.name());
    for (host, from) in [("green", "green"), ("red", "nil")] {
        let answer = client.get("/_switch_upstream?upstream=blue", &[("Host", host)]);
        assert_eq!(told(&answer), switched(host, from, "blue"));
        assert_eq!(client.get("/", &[("Host", host)]).text(), blue.name());
    }
}

#[test]
fn upstream_switch_says_nothing_when_it_has_switched() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let mut client = edge.client().host("lb.example");
    let usage = (
        200,
        "application/octet-stream",
        "usage: /upstream_switch?ups=x.x.x.x\n".into(),
    );
    assert_eq!(told(&client.get("/upstream_switch", &[])), usage);
    let answer = client.get("/upstream_switch?ups=green", &[]);
    assert_eq!(
        told(&answer),
        (200, "application/octet-stream", String::new())
    );
    assert_eq!(answer.header("content-length"), Some("0"));
    assert_eq!(client.get("/", &[]).text(), green.name());
}

#[test]
fn an_address_is_a_target_too() {
    let (blue, green, other) = (Origin::start(), Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let mut client = edge.client().host("lb.example");
    let address = other.address().to_string();
    let path = format!("/_switch_upstream?upstream={}", address.replace(':', "%3A"));
    assert_eq!(
        told(&client.get(&path, &[])),
        switched("lb.example", "blue", &address)
    );
    assert_eq!(client.get("/a%20b?c=%41", &[]).text(), other.name());
    assert_eq!(other.requests()[0].path, "/a%20b?c=%41");
    let path = "/_switch_upstream?upstream=[::1]:9";
    assert_eq!(
        told(&client.get(path, &[])),
        switched("lb.example", &address, "[::1]:9")
    );
    let path = "/_switch_upstream?upstream=unix:/tmp/none.sock";
    assert_eq!(
        told(&client.get(path, &[])),
        switched("lb.example", "[::1]:9", "unix:/tmp/none.sock")
    );
    assert_eq!(client.get("/", &[]).status, 502);
}

/// Queries with the beginning of what is said; NAME is the parameter's name, GREEN and CONTROL are addresses.
const BAD: &[(&str, &str)] = &[
    (
        "NAME=nosuch",
        "route `host:lb.example` leads to `nosuch`: there is no upstream of that name, and it is no address",
    ),
    (
        "NAME=GREEN/foo",
        "`GREEN/foo` is neither the name of an upstream nor an address",
    ),
    ("NAME=http://green", "`http://green` is neither"),
    ("NAME=green/..", "`green/..` is neither"),
    (
        "NAME=green%0d%0aX-Evil:%201",
        "`green  X-Evil: 1` is neither",
    ),
    ("NAME=green%00", "`green ` is neither"),
    ("NAME=%ff%fe", "`\u{fffd}\u{fffd}` is neither"),
    ("NAME=+green", "` green` is neither"),
    (
        "NAME=127.0.0.1:0",
        "route `host:lb.example` leads to `127.0.0.1:0`: there is no upstream",
    ),
    (
        "NAME=127.0.0.1:99999",
        "route `host:lb.example` leads to `127.0.0.1:99999`: there is no upstream",
    ),
    (
        "NAME=0.0.0.0:80",
        "route `host:lb.example` leads to `0.0.0.0:80`: there is no upstream",
    ),
    (
        "NAME=169.254.169.254:80",
        "`169.254.169.254:80` is link-local or a metadata service",
    ),
    ("NAME=CONTROL", "`CONTROL` is the control endpoint itself"),
    (
        "NAME=%7Bhost%7D",
        "`{host}` names no group: a switch is to one",
    ),
    ("NAME", "write `NAME=` and a group or `ip:port`"),
    ("NAME=a&NAME=b", "`NAME` stands twice"),
    ("NAME&NAME=blue", "`NAME` stands twice"),
    (
        "NAME=blue&host=other.example",
        "`host=` is for the control endpoint: here the Host header says which",
    ),
];

#[test]
fn bad_input_is_told_in_one_line_and_the_old_target_stays() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let mut client = edge.client().host("lb.example");
    let mut ask = |target: &str| client.get(target, &[]);
    assert_eq!(ask("/_switch_upstream?upstream=green").status, 200);
    let (green_at, control) = (
        green.address().to_string(),
        edge.control_address().to_string(),
    );
    for (path, name) in [
        ("/_switch_upstream", "upstream"),
        ("/upstream_switch", "ups"),
    ] {
        let fill = |text: &str| {
            let text = text.replace("NAME", name).replace("GREEN", &green_at);
            text.replace("CONTROL", &control)
        };
        for (query, reason) in BAD {
            let answer = ask(&format!("{path}?{}", fill(query)));
            let (status, kind, text) = told(&answer);
            assert_eq!((status, kind), (400, "text/plain"), "{query}: {text}");
            assert!(text.starts_with(&fill(reason)), "{query}: {text}");
            assert!(
                text.ends_with('\n') && text.lines().count() == 1,
                "{query}: {text:?}"
            );
        }
        let long = ask(&format!("{path}?{name}={}", "a".repeat(4000)));
        assert!(long.status == 400 && long.body.len() < 600, "not cut");
    }
    let empty = ask("/upstream_switch?ups=");
    assert_eq!(
        told(&empty),
        (
            400,
            "text/plain",
            "`ups` is empty: give a group or `ip:port`\n".into()
        )
    );
    assert_eq!(ask("/").text(), green.name());
    assert_eq!(edge.control().get("/v1/state").revision(), 2);
}

#[test]
fn the_forms_of_a_host_are_one_key_and_its_text_comes_back_as_sent() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let mut client = edge.client();
    let mut ask = |host: &str, path: &str| client.get(path, &[("Host", host)]);
    let mut from = "blue";
    for (host, to) in [
        ("lb.example", "green"),
        ("LB.Example", "blue"),
        ("lb.example:80", "green"),
        ("lb.example:443", "blue"),
        ("lb.example.", "green"),
    ] {
        let answer = ask(host, &format!("/_switch_upstream?upstream={to}"));
        assert_eq!(told(&answer), switched(host, from, to));
        from = to;
    }
    // A port of its own is a key of its own; without a switch of its own it follows the host.
    assert_eq!(ask("lb.example:8080", "/").text(), green.name());
    let answer = ask("lb.example:8080", "/_switch_upstream?upstream=blue");
    assert_eq!(told(&answer), switched("lb.example:8080", "green", "blue"));
    assert_eq!(ask("lb.example:8080", "/").text(), blue.name());
    assert_eq!(ask("lb.example", "/").text(), green.name());
    for host in ["a!b", "a(b)", &"h".repeat(300)] {
        let answer = ask(host, "/_switch_upstream?upstream=green");
        assert_eq!(
            told(&answer).2.contains("` is no host"),
            answer.status == 400,
            "{host}"
        );
    }
}

#[test]
fn a_request_without_a_host_switches_nothing() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    for path in [
        "/_switch_upstream?upstream=green",
        "/upstream_switch?ups=green",
    ] {
        let mut client = edge.client();
        client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        let reason = "the request has no Host header, and so there is nothing to switch\n";
        assert_eq!(told(&client.response()), (400, "text/plain", reason.into()));
    }
    assert_eq!(edge.control().get("/v1/state").revision(), 1);
}

#[test]
fn every_method_acts_and_a_body_is_not_looked_at() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let mut client = edge.client().host("lb.example");
    let mut groups = [("green", &green), ("blue", &blue)].into_iter().cycle();
    for method in ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "GET"] {
        let (to, origin) = groups.next().unwrap();
        let path = format!("/_switch_upstream?upstream={to}");
        let body: &[u8] = if method == "HEAD" {
            b""
        } else {
            b"upstream=zzz"
        };
        let answer = client.request(method, &path, &[], body);
        assert_eq!(
            (answer.status, answer.body.is_empty()),
            (200, method == "HEAD"),
            "{method}"
        );
        assert_eq!(
            answer.header("content-type"),
            Some("application/octet-stream")
        );
        assert_eq!(client.get("/", &[]).text(), origin.name(), "{method}");
    }
}

#[test]
fn on_the_control_side_the_host_is_named() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let control = edge.control();
    let named = control
        .get("/_switch_upstream?upstream=green&host=LB.example:80")
        .is(200);
    assert_eq!(named.text, switched("LB.example:80", "blue", "green").2);
    assert_eq!(
        edge.client().host("lb.example").get("/", &[]).text(),
        green.name()
    );
    let silent = control
        .get("/upstream_switch?ups=blue&host=lb.example")
        .is(200);
    assert_eq!((silent.text.as_str(), silent.revision()), ("", 3));
    assert_eq!(
        edge.client().host("lb.example").get("/", &[]).text(),
        blue.name()
    );
    for (query, reason) in [
        (
            "",
            "say which host: add `&host=`; the Host of this request is the control endpoint's own\n",
        ),
        ("&host=", "write `host=` and one host\n"),
        ("&host", "write `host=` and one host\n"),
        ("&host=a&host=b", "write `host=` and one host\n"),
        ("&host=*", "`*` is no host\n"),
        ("&host=*.example", "`*.example` is no host\n"),
        ("&host=a/b", "`a/b` is no host\n"),
    ] {
        for path in [
            "/_switch_upstream?upstream=green",
            "/upstream_switch?ups=green",
        ] {
            let answer = control.get(&format!("{path}{query}")).is(400);
            assert_eq!(answer.text, reason, "{query}");
        }
    }
    assert_eq!(control.get("/v1/state").revision(), 3);
}
