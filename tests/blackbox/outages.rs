//! Groups none of whose servers can take requests: how that is seen, and when it is over.

use serde_json::{Value, json};

use crate::support::{Edge, Origin, Port, until};

fn lines(edge: &Edge, part: &str) -> usize {
    let log = edge.stderr();
    log.lines().filter(|line| line.contains(part)).count()
}

fn gauge(edge: &Edge) -> String {
    let metrics = edge.control().get("/metrics").is(200).text;
    let mut lines = metrics.lines();
    let line = lines.find(|line| line.starts_with("pointsman_upstream_all_down{upstream=\"web\"}"));
    line.unwrap().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_group_that_is_all_down_is_one_line_in_the_log_and_a_gauge() {
    let closed = [Port::reserve(), Port::reserve()];
    let builder = Edge::builder().route("*", "web");
    let servers = json!([closed[0].address(), closed[1].address()]);
    let web = format!("{{ servers: {servers}, health: {{ type: tcp, interval: 20ms, fall: 2 }} }}");
    let edge = builder
        .with(&format!("upstreams: {{ web: {web} }}"))
        .start();
    edge.wait_for_stderr("upstream web is all down: of 2 servers 2 fail their checks");
    assert_eq!(gauge(&edge), "1");
    let response = edge.client().get("/down", &[]);
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(edge.record("/down")["reason"], "no_server");

    let status = edge.control().get("/v1/status").is(200).json;
    let server = &status["upstreams"][0]["servers"][0]["status"];
    let checks = server["last_checks"].as_array().unwrap();
    assert!((2..=20).contains(&checks.len()), "{checks:?}");
    for check in checks {
        assert_eq!(
            (&check["ok"], &check["detail"]),
            (&json!(false), &json!("connect refused"))
        );
        assert!(
            check["at"].is_string() && check["duration_ms"].is_u64(),
            "{check}"
        );
    }

    let last_checks = |server: &Value| server["status"]["last_checks"].as_array().is_some();
    let one = edge.control().get("/v1/upstreams/web").is(200).json;
    assert!(last_checks(&one["servers"][0]), "{one}");
    let all = edge.control().get("/v1/upstreams").is(200).json;
    assert!(!last_checks(&all[0]["servers"][0]), "{all}");

    let alive = Origin::start();
    let server = json!({ "address": alive.address().to_string() });
    let added = edge.control().post("/v1/upstreams/web/servers", &server);
    assert_eq!(added.status, 201, "{}", added.text);
    edge.wait_for_stderr("upstream web is no longer all down");
    until("the gauge falls", || (gauge(&edge) == "0").then_some(()));
    assert_eq!(edge.client().get("/up", &[]).status, 200);
    // Both may have been probed dozens of times: it was said once.
    assert_eq!(lines(&edge, "is all down"), 1);
    assert_eq!(lines(&edge, "is no longer all down"), 1);
}
