//! What an origin is told about a request, and what concerns only one connection.

use crate::support::{Client, Edge, Origin, Port, Reply, Seen};
use serde_json::json;

/// With these keys of the group and of the listener.
fn edge(origin: &Origin, group: &str, listener: &str) -> Edge {
    Edge::builder()
        .with(&format!("upstreams: {{ web: {{ {group} }} }}"))
        .upstream("web", [origin])
        .route("*", "web")
        .listener(&format!("{{ {listener} }}"))
        .start()
}

/// What the origin saw of a request that a client sent with these fields.
fn seen(edge: &Edge, origin: &Origin, host: &str, fields: &[(&str, &str)]) -> Seen {
    assert_eq!(edge.client().host(host).get("/", fields).status, 200);
    origin.requests().pop().unwrap()
}

const TRUSTING: &str = "trusted_proxies: [127.0.0.0/8]";

#[test]
fn host_received_is_passed_on_in_lower_case_with_its_port() {
    let origin = Origin::start();
    let edge = edge(&origin, "host: received", "");
    for (sent, received) in [
        ("WWW.Example.org", "www.example.org"),
        ("a.example:8080", "a.example:8080"),
        ("A.example:80", "a.example:80"),
    ] {
        assert_eq!(
            seen(&edge, &origin, sent, &[]).header("host"),
            Some(received)
        );
    }
}

#[test]
fn host_without_port_is_passed_on_without_its_port() {
    let origin = Origin::start();
    let edge = edge(&origin, "host: without_port", "");
    for (sent, received) in [
        ("WWW.Example.org:8080", "www.example.org"),
        ("a.example", "a.example"),
        ("[::1]:8080", "[::1]"),
        ("[::1]", "[::1]"),
    ] {
        assert_eq!(
            seen(&edge, &origin, sent, &[]).header("host"),
            Some(received)
        );
    }
}

#[test]
fn a_host_by_name_replaces_the_received_one() {
    let origin = Origin::start();
    let edge = edge(&origin, "host: inner.example:81", "");
    let request = seen(&edge, &origin, "outer.example", &[]);
    assert_eq!(
        request.headers.all("host").collect::<Vec<_>>(),
        ["inner.example:81"]
    );
    assert_eq!(request.header("x-forwarded-host"), Some("outer.example"));
}

#[test]
fn a_host_by_name_also_replaces_the_authority_of_a_target_in_absolute_form() {
    let origin = Origin::start();
    let edge = edge(&origin, "host: inner.example", "");
    let mut client = edge.client().host("outer.example");
    assert_eq!(client.get("http://outer.example/a?b", &[]).status, 200);
    let request = origin.requests().pop().unwrap();
    assert_eq!(
        request.headers.all("host").collect::<Vec<_>>(),
        ["inner.example"]
    );
    assert_eq!(request.header("x-forwarded-host"), Some("outer.example"));
}

#[test]
fn a_target_in_absolute_form_is_passed_on_in_origin_form() {
    let origin = Origin::start();
    let edge = edge(&origin, "", "");
    let mut client = edge.client().host("Outer.example");
    assert_eq!(client.get("http://Outer.example/a?b", &[]).status, 200);
    let request = origin.requests().pop().unwrap();
    assert_eq!(
        (request.path.as_str(), request.header("host")),
        ("/a?b", Some("outer.example"))
    );
}

#[test]
fn what_an_untrusted_sender_says_about_the_client_is_replaced() {
    let origin = Origin::start();
    let edge = edge(&origin, "", "");
    let given = [
        ("X-Real-IP", "6.6.6.6"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-For", "7.7.7.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=6.6.6.6;host=evil.example"),
        ("X-Forwarded-Port", "1"),
        ("X-Forwarded-Prefix", "/admin"),
        ("X-Forwarded-Server", "evil"),
        ("X-Forwarded-Ssl", "on"),
        ("X-Client-IP", "6.6.6.6"),
        ("X-Original-URL", "/admin"),
        ("Proxy", "http://evil.example"),
        ("X-Request-ID", "chosen"),
    ];
    let request = seen(&edge, &origin, "a.example:81", &given);
    for (name, value) in [
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a.example:81"),
    ] {
        assert_eq!(
            request.headers.all(name).collect::<Vec<_>>(),
            [value],
            "{name}"
        );
    }
    for name in [
        "forwarded",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-server",
        "x-forwarded-ssl",
        "x-client-ip",
        "x-original-url",
        "proxy",
    ] {
        assert_eq!(request.header(name), None, "{name}");
    }
    let id = request.header("x-request-id").unwrap();
    assert!(
        id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()),
        "{id}"
    );
}

#[test]
fn what_a_trusted_sender_says_about_the_client_is_kept_and_the_sender_appended() {
    let origin = Origin::start();
    let edge = edge(&origin, "", TRUSTING);
    let given = [
        ("X-Real-IP", "6.6.6.6"),
        ("X-Forwarded-For", "1.1.1.1, 2.2.2.2"),
        ("X-Forwarded-For", "127.0.0.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "outer.example"),
        ("X-Request-ID", "abc-123"),
        ("Forwarded", "for=1.1.1.1"),
    ];
    let request = seen(&edge, &origin, "a.example", &given);
    let forwarded: Vec<&str> = request.headers.all("forwarded").collect();
    assert_eq!(forwarded.join(", "), "for=1.1.1.1, for=127.0.0.1");
    for (name, value) in [
        // The last one that is no trusted proxy's.
        ("x-real-ip", "2.2.2.2"),
        ("x-forwarded-for", "1.1.1.1, 2.2.2.2, 127.0.0.9, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "outer.example"),
        ("x-request-id", "abc-123"),
    ] {
        assert_eq!(
            request.headers.all(name).collect::<Vec<_>>(),
            [value],
            "{name}"
        );
    }
}

#[test]
fn a_trusted_sender_that_says_nothing_is_itself_the_client() {
    let origin = Origin::start();
    let edge = edge(&origin, "", TRUSTING);
    let request = seen(&edge, &origin, "a.example", &[]);
    for (name, value) in [
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a.example"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
}

#[test]
fn an_invalid_request_id_of_a_trusted_sender_is_replaced() {
    let origin = Origin::start();
    let edge = edge(&origin, "", TRUSTING);
    let long = "x".repeat(129);
    for given in ["", "a b", "a\"b", "<script>", long.as_str()] {
        let request = seen(&edge, &origin, "a", &[("X-Request-ID", given)]);
        assert_eq!(request.headers.all("x-request-id").count(), 1);
        assert_eq!(
            request.header("x-request-id").unwrap().len(),
            32,
            "{given:?}"
        );
    }
}

#[test]
fn every_request_has_an_id_of_its_own_which_the_log_names() {
    let origin = Origin::start();
    let edge = edge(&origin, "", "");
    let mut client = edge.client();
    client.get("/1", &[]);
    client.get("/2", &[]);
    let ids: Vec<_> = origin
        .requests()
        .iter()
        .map(|seen| seen.header("x-request-id").unwrap().to_owned())
        .collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(edge.record("/1")["request_id"], ids[0]);
    assert_eq!(edge.record("/2")["request_id"], ids[1]);
}

#[test]
fn hop_by_hop_fields_of_a_request_stay_behind() {
    let origin = Origin::start();
    let edge = edge(&origin, "", "");
    let given = [
        ("Connection", "keep-alive, X-Nominated, x-other"),
        ("Connection", "X-Third"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic abc"),
        ("TE", "trailers"),
        ("Trailer", "X-T"),
        ("Upgrade", "h2c"),
        ("X-Nominated", "1"),
        ("X-Other", "2"),
        ("X-Third", "3"),
        ("X-Kept", "4"),
    ];
    let request = seen(&edge, &origin, "a", &given);
    for gone in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        "x-nominated",
        "x-other",
        "x-third",
    ] {
        assert!(!request.headers.has(gone), "{gone}: {:?}", request.headers);
    }
    assert_eq!(request.header("x-kept"), Some("4"));
}

#[test]
fn a_client_cannot_nominate_away_what_the_edge_says() {
    let origin = Origin::start();
    let edge = edge(&origin, "", "");
    let answer = edge.client().host("a").get(
        "/",
        &[
            ("Connection", "X-Real-IP, X-Request-ID, Cookie"),
            ("Cookie", "c=d"),
        ],
    );
    assert_eq!(answer.status, 200);
    let request = origin.requests().pop().unwrap();
    assert_eq!(request.header("x-real-ip"), Some("127.0.0.1"));
    assert!(request.headers.has("x-request-id"));
}

#[test]
fn hop_by_hop_fields_of_a_response_stay_behind() {
    let origin = Origin::start();
    let fields = [
        ("Connection", "X-Nominated, keep-alive"),
        ("Connection", "X-Second"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Upgrade", "h2c"),
        ("TE", "trailers"),
        ("X-Nominated", "1"),
        ("X-Second", "2"),
        ("X-Kept", "3"),
    ];
    origin.always(Reply::Answer {
        status: 200,
        headers: fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        body: b"body".to_vec(),
    });
    let edge = edge(&origin, "", "");
    let mut client = edge.client();
    let answer = client.get("/", &[]);
    for gone in [
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "te",
        "x-nominated",
        "x-second",
    ] {
        assert!(!answer.headers.has(gone), "{gone}: {:?}", answer.headers);
    }
    assert!(
        answer
            .headers
            .all("connection")
            .all(|value| value == "keep-alive"),
        "{:?}",
        answer.headers
    );
    assert_eq!(
        (answer.header("x-kept"), answer.text()),
        (Some("3"), "body".into())
    );
    assert_eq!(client.get("/", &[]).status, 200);
}

#[test]
fn the_order_in_which_a_response_nominates_does_not_matter() {
    let origin = Origin::start();
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: X-Nominated\r\nX-Nominated: 1\r\nContent-Length: 0\r\n\r\n";
    origin.always(Reply::RawThenClose(head.into()));
    let edge = edge(&origin, "", "");
    let mut client = edge.client();
    let answer = client.get("/", &[]);
    assert!(!answer.headers.has("x-nominated"), "{:?}", answer.headers);
    // The origin's wish to close is about its own connection.
    assert_eq!(client.get("/", &[]).status, 200);
}

#[test]
fn a_response_cannot_nominate_its_own_framing_away() {
    let origin = Origin::start();
    let head = "HTTP/1.1 200 OK\r\nConnection: Content-Length, Transfer-Encoding\r\nContent-Length: 4\r\n\r\nbody";
    origin.once(Reply::Raw(head.into()));
    let edge = edge(&origin, "", "");
    let mut client = edge.client();
    assert_eq!(client.get("/", &[]).text(), "body");
    assert_eq!(client.get("/", &[]).text(), origin.name());
}

#[test]
fn each_listener_trusts_whom_it_says() {
    let (origin, second) = (Origin::start(), Port::reserve());
    let builder = Edge::builder().upstream("web", [&origin]).route("*", "web");
    let listeners = json!({ "listeners": [
        { "address": builder.address() },
        { "address": format!("0.0.0.0:{}", second.number()), "trusted_proxies": ["127.0.0.1"] },
    ] });
    let edge = builder.with(&listeners.to_string()).start();
    for (address, id_is_kept) in [(edge.address(), false), (second.address(), true)] {
        let mut client = Client::connect(address);
        assert_eq!(client.get("/", &[("X-Request-ID", "given")]).status, 200);
        let seen = origin.requests().pop().unwrap();
        assert_eq!(
            seen.header("x-request-id") == Some("given"),
            id_is_kept,
            "{address}"
        );
    }
}
