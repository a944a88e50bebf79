//! Host and path lead to the right group.

use crate::support::{Edge, Origin, Reply, until};
use serde_json::json;

/// One group for each name, whose only server answers with that name.
fn edge(groups: &[&str], routes: &str) -> (Edge, Vec<Origin>) {
    let mut builder = Edge::builder().with(routes);
    let mut origins = Vec::new();
    for group in groups {
        let origin = Origin::start();
        origin.always(Reply::text(group));
        builder = builder.upstream(group, [&origin]);
        origins.push(origin);
    }
    (builder.start(), origins)
}

#[test]
fn the_host_chooses_exact_before_the_longest_suffix_before_any() {
    let routes = "
routes:
  - { hosts: ['*'], to: any }
  - { hosts: ['*.example.org'], to: suffix }
  - { hosts: ['*.deep.example.org'], to: deep }
  - { hosts: [WWW.Example.org], to: exact }
  - { hosts: ['www.example.org:8443'], to: port }
  - { hosts: ['[::1]'], to: address }
";
    let groups = ["any", "suffix", "deep", "exact", "port", "address"];
    let (edge, _origins) = edge(&groups, routes);
    for (host, group) in [
        ("www.example.org", "exact"),
        ("WWW.EXAMPLE.ORG", "exact"),
        ("www.example.org.", "exact"),
        ("www.example.org:80", "exact"),
        ("www.example.org:443", "exact"),
        ("www.example.org:9999", "exact"),
        ("www.example.org.:9999", "exact"),
        ("www.example.org:8443", "port"),
        ("Www.Example.org:8443", "port"),
        ("a.example.org", "suffix"),
        ("a.b.example.org:81", "suffix"),
        ("x.deep.example.org", "deep"),
        ("deep.example.org", "suffix"),
        ("example.org", "any"),
        ("notexample.org", "any"),
        ("www.example.org.evil", "any"),
        ("127.0.0.1", "any"),
        ("[::1]", "address"),
        ("[::1]:8080", "address"),
        ("[::2]:8080", "any"),
    ] {
        let answer = edge.client().host(host).get("/", &[]);
        assert_eq!(
            (answer.status, answer.text()),
            (200, group.into()),
            "{host}"
        );
    }
}

#[test]
fn the_path_chooses_exact_before_the_longest_prefix_and_ignores_the_query() {
    let routes = "
routes:
  - { paths: [/], to: root }
  - { paths: [/api], to: api }
  - { paths: [/api/v2], to: v2 }
  - { paths: ['=/api'], to: exact }
";
    let (edge, _origins) = edge(&["root", "api", "v2", "exact"], routes);
    let mut client = edge.client();
    for (path, group) in [
        ("/", "root"),
        ("/x", "root"),
        ("/api", "exact"),
        ("/api?x=/api/v2", "exact"),
        ("/api/", "api"),
        ("/apis", "api"),
        ("/api/v1", "api"),
        ("/api/v2", "v2"),
        ("/api/v2/x?y", "v2"),
        ("/API", "root"),
        ("/?/api", "root"),
    ] {
        assert_eq!(client.get(path, &[]).text(), group, "{path}");
    }
}

#[test]
fn a_host_whose_routes_do_not_cover_the_path_falls_through_to_the_next() {
    let routes = "
routes:
  - { hosts: [a.example], paths: [/only], to: host }
  - { hosts: ['*'], to: any }
";
    let (edge, _origins) = edge(&["host", "any"], routes);
    let mut client = edge.client().host("a.example");
    assert_eq!(client.get("/only", &[]).text(), "host");
    assert_eq!(client.get("/else", &[]).text(), "any");
}

#[test]
fn a_target_in_absolute_form_is_routed_by_its_authority() {
    let routes = "
routes:
  - { hosts: [a.example], paths: [/p], to: host }
  - { hosts: ['*'], to: any }
";
    let (edge, _origins) = edge(&["host", "any"], routes);
    let mut client = edge.client().host("a.example");
    assert_eq!(client.get("http://a.example/p/x", &[]).text(), "host");
}

#[test]
fn a_route_may_lead_straight_to_an_address() {
    let origin = Origin::start();
    let to = json!({ "routes": [{ "to": origin.address() }] });
    let edge = Edge::builder().with(&to.to_string()).start();
    assert_eq!(edge.client().get("/straight", &[]).text(), origin.name());
    assert_eq!(
        edge.record("/straight")["upstream"],
        origin.address().to_string()
    );
}

#[test]
fn a_request_that_no_route_covers_gets_404_with_the_reason() {
    let (edge, origins) = edge(&["web"], "routes: [{ hosts: [a.example], to: web }]");
    let answer = edge.client().host("b.example").get("/none", &[]);
    assert_eq!(
        (answer.status, answer.text()),
        (404, "404 no_route\n".into())
    );
    let record = edge.record("/none");
    assert_eq!(
        (
            &record["reason"],
            &record["status"],
            &record["attempt_count"]
        ),
        (&json!("no_route"), &json!(404), &json!(0))
    );
    assert_eq!(origins[0].count(), 0);
}

#[test]
fn the_access_log_names_host_route_group_and_revision() {
    let routes = "routes: [{ id: the-one, hosts: [a.example], to: web }]";
    let (edge, origins) = edge(&["web"], routes);
    edge.client().host("a.example").get("/logged?q=1", &[]);
    let record = edge.record("/logged?q=1");
    for (key, value) in [
        ("host", json!("a.example")),
        ("route", json!("the-one")),
        ("upstream", json!("web")),
        ("revision", json!(1)),
        ("method", json!("GET")),
        ("version", json!("HTTP/1.1")),
        ("status", json!(200)),
        ("bytes", json!(3)),
        ("client", json!("127.0.0.1")),
        ("listener", json!(edge.address().to_string())),
        ("reason", json!(null)),
        ("attempt_count", json!(1)),
    ] {
        assert_eq!(record[key], value, "{key} in {record}");
    }
    let attempt = &record["attempts"][0];
    assert_eq!(
        (&attempt["server"], &attempt["status"], &attempt["failure"]),
        (
            &json!(origins[0].address().to_string()),
            &json!(200),
            &json!(null)
        )
    );
}

#[test]
fn the_access_log_can_be_written_to_standard_output_as_nginx_does() {
    let origin = Origin::start();
    let edge = Edge::builder()
        .upstream("web", [&origin])
        .route("*", "web")
        .with("access_log: { path: stdout, format: combined }")
        .start();
    let fields = [("User-Agent", "a \"quoted\" one"), ("Referer", "http://r/")];
    edge.client().get("/out?q", &fields);
    let line = until("the line is there", || {
        edge.stdout()
            .lines()
            .find(|line| line.contains("/out"))
            .map(str::to_owned)
    });
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let length = origin.name().len();
    let end =
        format!("] \"GET /out?q HTTP/1.1\" 200 {length} \"http://r/\" \"a \\x22quoted\\x22 one\"");
    assert!(line.ends_with(&end), "{line}");
}

#[test]
fn a_route_to_the_host_leads_each_request_to_the_group_named_like_its_host() {
    let routes = "
routes:
  - { hosts: ['*'], to: '{host}' }
  - { hosts: ['fixed.example'], to: Blue.example }
";
    let groups = [
        "Blue.example",
        "green.example",
        "10.0.0.9",
        "fixed.example",
        "odd:81",
    ];
    let (edge, _origins) = edge(&groups, routes);
    for (host, group) in [
        ("blue.example", "Blue.example"),
        ("BLUE.example.:8080", "Blue.example"),
        ("green.example:443", "green.example"),
        ("10.0.0.9:1", "10.0.0.9"),
        ("fixed.example", "Blue.example"),
    ] {
        let answer = edge.client().host(host).get("/", &[]);
        assert_eq!(
            (answer.status, answer.text()),
            (200, group.into()),
            "{host}"
        );
    }
    // Neither a name that nobody has nor an address is ever connected to; a port is no part of a name.
    let own = edge.control_address().to_string();
    for host in [
        "nobody.example",
        own.as_str(),
        "[::1]",
        "127.0.0.1",
        "odd:81",
        "odd",
    ] {
        let answer = edge.client().host(host).get("/", &[]);
        assert_eq!(answer.status, 502, "{host}");
        assert!(
            answer.text().contains("upstream_missing"),
            "{}",
            answer.text()
        );
    }
    let answer = edge.client().request(
        "GET",
        "/none",
        &[("Host", ""), ("Connection", "close")],
        b"",
    );
    assert_eq!(answer.status, 400);
    let mut old = edge.client();
    old.send("GET /old HTTP/1.0\r\n\r\n");
    assert_eq!(old.response().status, 502);
}

#[test]
fn a_group_that_a_route_reaches_by_the_host_alone_comes_and_goes_freely() {
    let (edge, origins) = edge(
        &["a.example"],
        "routes: [{ id: all, hosts: ['*'], to: '{host}' }]",
    );
    let control = edge.control();
    let status = |host: &str| edge.client().host(host).get("/", &[]).status;
    assert_eq!((status("a.example"), status("b.example")), (200, 502));
    let body = json!({ "servers": [origins[0].address()] });
    let _ = control.put("/v1/upstreams/B.example", &body).is(201);
    assert_eq!(status("b.example"), 200);
    let _ = control.delete("/v1/upstreams/b.example").is(204);
    let _ = control.delete("/v1/upstreams/a.example").is(204);
    assert_eq!((status("a.example"), status("b.example")), (502, 502));
    // A host of its own may be pointed there and back.
    let _ = control.put("/v1/upstreams/c.example", &body).is(201);
    let switch = "/v1/hosts/c.example/switch";
    let _ = control.post(switch, &json!({ "to": "c.example" })).is(200);
    assert_eq!(
        control.delete("/v1/upstreams/c.example").is(409).code(),
        "upstream_in_use"
    );
    let back = control.post(switch, &json!({ "to": "{host}" })).is(200);
    assert_eq!(back.json["to"], "{host}");
    assert_eq!(status("c.example"), 200);
    let history = control.get("/v1/revisions").is(200).text;
    let step = r#""before":"c.example","after":"{host}""#;
    assert!(history.contains(step), "{history}");
}
