//! Whole groups by the dyups interface, as its callers see them.

use crate::support::{Client, Edge, Origin, Response, until};
use std::fs;
use std::thread;
use std::time::Instant;

/// No group; each host goes to the group of its name, as `proxy_pass http://$dyups_host` leads it.
pub(crate) fn by_host() -> Edge {
    Edge::builder().route("*", "{host}").start()
}

/// As `curl -d` does it.
pub(crate) fn call(edge: &Edge, method: &str, path: &str, body: &str) -> Response {
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    Client::connect(edge.control_address()).request(method, path, &form, body.as_bytes())
}

pub(crate) fn told(edge: &Edge, method: &str, path: &str, body: &str) -> (u16, String) {
    let answer = call(edge, method, path, body);
    (answer.status, answer.text())
}

pub(crate) fn post(edge: &Edge, name: &str, body: &str) -> (u16, String) {
    told(edge, "POST", &format!("/upstream/{name}"), body)
}

pub(crate) fn done() -> (u16, String) {
    (200, "success".into())
}

pub(crate) fn failed() -> (u16, String) {
    (500, "add server failed".into())
}

/// Who serves this host now, or the status.
pub(crate) fn served(edge: &Edge, host: &str) -> String {
    let answer = edge.client().host(host).get("/", &[]);
    match answer.status {
        200 => answer.text(),
        status => status.to_string(),
    }
}

const BODY: &str = "server 127.0.0.1:28089;server 127.0.0.1:28088 weight=3 max_conns=9 max_fails=4 fail_timeout=7 backup;";
const DETAIL: &str = "dyhost
server 127.0.0.1:28089 weight=1 max_conns=0 max_fails=1 fail_timeout=10 backup=0 down=0
server 127.0.0.1:28088 weight=3 max_conns=9 max_fails=4 fail_timeout=7 backup=1 down=0

host1
server 127.0.0.1:28088 weight=1 max_conns=0 max_fails=1 fail_timeout=10 backup=0 down=0

";
/// One after the other: method, path, body; status, text.
const RECORDED: &[(&str, &str, &str, u16, &str)] = &[
    ("GET", "/list", "", 204, ""),
    ("GET", "/detail", "", 204, ""),
    (
        "POST",
        "/upstream/host1",
        "server 127.0.0.1:28088;",
        200,
        "success",
    ),
    ("POST", "/upstream/dyhost", BODY, 200, "success"),
    ("GET", "/list", "", 200, "dyhost\nhost1\n"),
    ("GET", "/List/more", "", 200, "dyhost\nhost1\n"),
    ("GET", "/detail", "", 200, DETAIL),
    (
        "GET",
        "/upstream/host1",
        "",
        200,
        "server 127.0.0.1:28088\n",
    ),
    ("GET", "/upstream/nosuch", "", 404, ""),
    ("GET", "/upstream", "", 404, ""),
    ("POST", "/upstream/dyhost", "", 500, "add server failed"),
    (
        "POST",
        "/upstream/dyhost",
        "server",
        500,
        "add server failed",
    ),
    (
        "POST",
        "/upstream/dyhost",
        "keepalive 1;",
        500,
        "add server failed",
    ),
    (
        "POST",
        "/upstream/dyhost",
        "server no.such.host:1;",
        500,
        "add server failed",
    ),
    (
        "POST",
        "/upstream/a/b",
        BODY,
        404,
        "not support this interface",
    ),
    ("POST", "/list/x", BODY, 404, "not support this api"),
    ("PUT", "/upstream/dyhost", BODY, 405, ""),
    ("HEAD", "/list", "", 405, ""),
    ("PATCH", "/detail", "", 405, ""),
    ("GET", "/detail", "", 200, DETAIL),
    ("DELETE", "/upstream/dyhost", "", 200, "success"),
    ("DELETE", "/upstream/dyhost", "", 404, "not found uptream"),
    ("DELETE", "/upstream", "", 405, "not support this interface"),
    ("DELETE", "/list/bar", "", 405, "not support this api"),
    ("GET", "/list", "", 200, "host1\n"),
];

#[test]
fn every_recorded_exchange_has_the_recorded_bytes() {
    let edge = by_host();
    for &(method, path, body, status, text) in RECORDED {
        let answer = call(&edge, method, path, body);
        let seen = (answer.status, answer.text());
        assert_eq!(seen, (status, text.to_owned()), "{method} {path} {body}");
        assert_eq!(answer.header("content-type"), None, "{method} {path}");
        let reason = match status {
            200 => "OK",
            204 => "No Content",
            404 => "Not Found",
            405 => "Not Allowed",
            _ => "Internal Server Error",
        };
        assert_eq!(answer.reason, reason, "{method} {path}");
        let length = (status != 204).then(|| text.len().to_string());
        assert_eq!(
            answer.header("content-length"),
            length.as_deref(),
            "{method} {path}"
        );
    }
}

#[test]
fn a_group_serves_its_host_from_the_answer_on_and_no_longer_than_it_is_there() {
    let (blue, green) = (Origin::start(), Origin::start());
    let server = |origin: &Origin| format!("server {};", origin.address());
    let edge = by_host();
    assert_eq!(served(&edge, "a.example"), "502");
    for (origin, name) in [
        (&blue, "a.example"),
        (&green, "a.example"),
        (&blue, "A.Example"),
    ] {
        assert_eq!(post(&edge, name, &server(origin)), done());
        assert_eq!(served(&edge, "a.example"), origin.name());
        assert_eq!(served(&edge, "A.EXAMPLE:8080"), origin.name());
    }
    assert_eq!(
        post(&edge, "a.example", "server 127.0.0.1:1; hash $uri;"),
        failed()
    );
    assert_eq!(served(&edge, "a.example"), blue.name());
    assert_eq!(told(&edge, "GET", "/list", ""), (200, "A.Example\n".into()));
    assert_eq!(told(&edge, "DELETE", "/upstream/a.example", ""), done());
    assert_eq!(served(&edge, "a.example"), "502");
    assert_eq!(edge.record("/")["reason"], "upstream_missing");
}

#[test]
fn a_request_that_runs_keeps_the_group_that_is_deleted_or_replaced() {
    let origin = Origin::start();
    let edge = by_host();
    for change in ["DELETE", "POST"] {
        assert_eq!(
            post(&edge, "a", &format!("server {};", origin.address())),
            done()
        );
        origin.forget();
        origin.hold();
        thread::scope(|scope| {
            let running = scope.spawn(|| served(&edge, "a"));
            origin.wait_for(1);
            assert_eq!(
                told(&edge, change, "/upstream/a", "server 127.0.0.1:1;"),
                done()
            );
            origin.release();
            assert_eq!(running.join().unwrap(), origin.name(), "{change}");
        });
        assert_eq!(served(&edge, "a"), "502", "{change}");
    }
}

#[test]
fn a_group_that_a_route_names_is_deleted_too_and_its_route_waits_for_it() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let control = edge.control();
    let refused = control.delete("/v1/upstreams/web").is(409);
    assert_eq!(refused.code(), "upstream_in_use");
    assert_eq!(told(&edge, "DELETE", "/upstream/web", ""), done());
    edge.wait_for_stderr("route `any` leads to `web`, which does not exist: its requests get 502");
    assert_eq!(served(&edge, "x"), "502");
    assert_eq!(
        post(&edge, "web", &format!("server {};", origin.address())),
        done()
    );
    assert_eq!(served(&edge, "x"), origin.name());
}

#[test]
fn what_was_answered_is_in_the_history_and_survives_a_power_cut() {
    let mut edge = by_host();
    assert_eq!(
        post(
            &edge,
            "a.example",
            "server 127.0.0.1:81 max_fails=3 max_conns=9;"
        ),
        done()
    );
    assert_eq!(post(&edge, "b.example", "server 127.0.0.1:82;"), done());
    assert_eq!(told(&edge, "DELETE", "/upstream/b.example", ""), done());
    edge.kill9();
    edge.start_again();
    let detail = "a.example\nserver 127.0.0.1:81 weight=1 max_conns=9 max_fails=3 fail_timeout=10 backup=0 down=0\n\n";
    assert_eq!(told(&edge, "GET", "/detail", ""), (200, detail.into()));
    for number in 2..=4 {
        let revision = edge
            .control()
            .get(&format!("/v1/revisions/{number}"))
            .is(200)
            .json;
        assert_eq!(revision["author"], "legacy:dyups");
        assert_eq!(revision["source"], "127.0.0.1");
    }
}

#[test]
fn the_log_says_why_a_body_was_refused_and_where() {
    let edge = by_host();
    for (body, reason) in [
        (
            "server 127.0.0.1:1;\n  sevrer 127.0.0.1:2;",
            "line 2, column 3: `sevrer`: unknown directive; did you mean `server`?",
        ),
        (
            "server 127.0.0.1:1;\nhash $uri;",
            "line 2, column 1: `hash $uri`: this key is not supported",
        ),
        (
            "server 127.0.0.1:1 weight=0;",
            "line 1, column 20: `weight=0`: write a whole number from 1",
        ),
        (
            "[\"127.0.0.1:1\"]",
            "line 1, column 16: the text ends where `;` is missing",
        ),
        (
            "server 169.254.169.254:80;",
            "`169.254.169.254:80` is link-local or a metadata service",
        ),
    ] {
        assert_eq!(post(&edge, "a", body), failed());
        edge.wait_for_stderr(&format!(
            "dyups: POST /upstream/a from 127.0.0.1 is refused: {reason}"
        ));
    }
    // Nothing that a caller sends makes a line of its own.
    assert_eq!(post(&edge, "a%0Aforged", "server 127.0.0.1:1;").0, 500);
    assert_eq!(post(&edge, "a", "server \"127.0.0.1\nforged\";").0, 500);
    edge.wait_for_stderr("a forged");
    edge.wait_for_stderr("127.0.0.1\\nforged");
    assert!(!edge.stderr().lines().any(|line| line.starts_with("forged")));
}

#[test]
fn ten_thousand_servers_are_one_group_and_one_more_are_none() {
    let edge = by_host();
    let line = |at: usize| {
        format!(
            "server 10.{}.{}.{}:80 weight={};\n",
            at / 62_500,
            at / 250 % 250,
            at % 250,
            at % 9 + 1
        )
    };
    let many: String = (0..10_000).map(line).collect();
    let began = Instant::now();
    assert_eq!(post(&edge, "many", &many), done());
    println!("10,000 servers in {:?}", began.elapsed());
    let (_, servers) = told(&edge, "GET", "/upstream/many", "");
    assert_eq!(servers.lines().count(), 10_000);
    assert_eq!(
        post(&edge, "many", &format!("{many}{}", line(10_000))),
        failed()
    );
    let (_, servers) = told(&edge, "GET", "/upstream/many", "");
    assert_eq!(servers.lines().count(), 10_000);
    // Up to 1 MiB is read at all.
    let padded = format!("{many}{}", " ".repeat((1 << 20) - many.len()));
    assert_eq!(post(&edge, "many", &padded), done());
    assert_eq!(post(&edge, "many", &format!("{padded} ")).0, 413);
}

#[test]
fn neither_answers_on_a_listener() {
    let edge = by_host();
    for path in ["/list", "/upstream_show"] {
        assert_eq!(edge.client().host("a").get(path, &[]).status, 502);
    }
    let log = until("both are logged", || {
        let log = fs::read_to_string(edge.directory().join("access.log")).unwrap_or_default();
        (log.matches("upstream_missing").count() == 2).then_some(log)
    });
    assert!(!log.contains("legacy"), "{log}");
}
