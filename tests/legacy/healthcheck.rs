//! `/healthcheck`, `/healthcheck/metrics` and `/status_upstream`.

use crate::support::{Edge, EdgeBuilder, Origin, until};
use crate::told;
use serde_json::json;

/// `foo.com` with checks: two primaries and a backup. `plain` without: one primary. `void` has nobody.
fn groups(origins: &[Origin]) -> EdgeBuilder {
    let [a, b, c] = [0, 1, 2].map(|at: usize| origins[at].address());
    let servers = json!([a, { "address": b, "weight": 2 }, { "address": c, "backup": true }]);
    let health = json!({ "type": "tcp", "interval": "50ms", "fall": 1, "rise": 1 });
    let upstreams = json!({
        "foo.com": { "servers": servers, "health": health },
        "plain": { "servers": ["[::1]:28084"] },
        "void": {},
    });
    Edge::builder()
        .with(&json!({ "upstreams": upstreams }).to_string())
        .route("*", "foo.com")
        .listener("legacy: [ups_api]")
}

fn page(edge: &Edge, path: &str) -> String {
    let answer = edge.client().get(path, &[]);
    let (status, kind, text) = told(&answer);
    assert_eq!(
        (status, kind, answer.header("cache-control")),
        (200, "text/plain", Some("no-store"))
    );
    text
}

#[test]
fn the_pages_show_what_the_operator_and_the_checks_took_out() {
    let mut origins = Origin::many(3);
    let edge = groups(&origins).start();
    let [a, b, c] = [0, 1, 2].map(|at: usize| origins[at].address().to_string());
    let pid = edge.process_id();
    let healthcheck = |states: [&str; 3]| {
        let [x, y, z] = states;
        format!(
            "Nginx Worker PID: {pid}\nUpstream foo.com\n    Primary Peers\n        {a} {x}\n        {b} {y}\n    Backup Peers\n        {c} {z}\n\n\
             Upstream plain (NO checkers)\n    Primary Peers\n        [::1]:28084 UP\n    Backup Peers\n\n\
             Upstream void (NO checkers)\n    Primary Peers\n    Backup Peers\n"
        )
    };
    assert_eq!(page(&edge, "/healthcheck"), healthcheck(["UP"; 3]));
    origins[1].refuse();
    let seen = healthcheck(["UP", "DOWN", "UP"]);
    until("the checks saw it", || {
        (page(&edge, "/healthcheck?x=1") == seen).then_some(())
    });
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let body = format!("server={a}");
    edge.client().request(
        "POST",
        "/ups_api?act=down&ups=foo.com",
        &[form],
        body.as_bytes(),
    );
    assert_eq!(
        page(&edge, "/healthcheck"),
        healthcheck(["DOWN", "DOWN", "UP"])
    );
    let listed = edge
        .client()
        .get("/ups_api?act=list&ups=foo.com", &[])
        .json();
    assert_eq!(
        (&listed[1]["down"], &listed[2].get("down")),
        (&json!(true), &None)
    );
    let status = format!(
        "upstream name:foo.com\n\
         idx:1 name:{a} addr:{a} weight:1 max_fails:1 fail_timeout:10 down:true\n\
         idx:2 name:{b} addr:{b} weight:2 max_fails:1 fail_timeout:10 down:true\n\
         idx:3 name:{c} addr:{c} weight:1 max_fails:1 fail_timeout:10 backup:true\n\
         upstream name:plain\n\
         idx:1 name:[::1]:28084 addr:[::1]:28084 weight:1 max_fails:1 fail_timeout:10\n\
         upstream name:void\n"
    );
    assert_eq!(page(&edge, "/status_upstream"), status);
}

#[test]
fn the_page_for_prometheus_is_that_of_the_original() {
    let origins = Origin::many(3);
    let edge = groups(&origins).start();
    let [a, b, c] = [0, 1, 2].map(|at: usize| origins[at].address().to_string());
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let body = format!("server={b}");
    edge.client().request(
        "POST",
        "/ups_api?act=down&ups=foo.com",
        &[form],
        body.as_bytes(),
    );
    let server = |server: &str, role: &str, up: u8| {
        let series = |status: &str, value: u8| {
            format!(
                "nginx_upstream_status_info{{name=\"foo.com\",endpoint=\"{server}\",status=\"{status}\",role=\"{role}\"}} {value}\n"
            )
        };
        series("UP", up) + &series("DOWN", 1 - up)
    };
    let group = |name: &str, values: [u8; 3]| {
        let series = |(status, value): (&str, u8)| {
            format!("nginx_upstream_status_info{{name=\"{name}\",status=\"{status}\"}} {value}\n")
        };
        ["UP", "DOWN", "UNKNOWN"]
            .into_iter()
            .zip(values)
            .map(series)
            .collect::<String>()
    };
    let expected = [
        "# HELP nginx_upstream_status_info The running status of nginx upstream\n# TYPE nginx_upstream_status_info gauge\n".to_owned(),
        server(&a, "PRIMARY", 1),
        server(&b, "PRIMARY", 0),
        server(&c, "BACKUP", 1),
        group("foo.com", [1, 0, 0]),
        group("plain", [0, 0, 1]),
    ];
    assert_eq!(page(&edge, "/healthcheck/metrics"), expected.concat());
}

#[test]
fn who_is_not_listed_does_not_see_them() {
    let origins = Origin::many(3);
    let edge = groups(&origins)
        .listener("legacy_allow: [192.168.2.0/24]")
        .start();
    for path in [
        "/healthcheck",
        "/healthcheck/metrics",
        "/status_upstream",
        "/ups_api",
    ] {
        assert_eq!(edge.client().get(path, &[]).status, 403, "{path}");
    }
    // Only the whole path: below it everything is proxied.
    assert_eq!(edge.client().get("/healthcheck/", &[]).status, 200);
    assert_eq!(edge.client().get("/status_upstream/x", &[]).status, 200);
}
