use axum::http::header::ALLOW;
use serde_json::json;

use super::Desk;

#[tokio::test]
async fn the_status_is_the_live_picture() {
    let desk = Desk::new();
    let mut answer = desk.get("/v1/status").await.is(200);
    answer.json["uptime"] = json!("-");
    answer.json["uptime_seconds"] = json!(0);
    answer.json["version"] = json!("-");
    answer.json["store"]["stale_seconds"] = json!(0);
    answer.json["upstreams"].as_array_mut().unwrap().truncate(1);
    answer.json["upstreams"][0]["servers"]
        .as_array_mut()
        .unwrap()
        .truncate(1);
    insta::assert_snapshot!(answer.pretty(), @r##"
{
  "file": "the state is as the file has it",
  "node": "edge-1",
  "problems": [],
  "ready": true,
  "revision": 1,
  "store": {
    "diverged": false,
    "in_step": true,
    "reason": null,
    "stale_seconds": 0
  },
  "upstreams": [
    {
      "all_down": false,
      "name": "blue",
      "servers": [
        {
          "address": "10.0.0.1:80",
          "admin": "up",
          "backup": false,
          "fail_timeout": "10s",
          "labels": {},
          "max_connections": 0,
          "max_fails": 1,
          "slow_start": "0s",
          "status": {
            "failures": 0,
            "health": "unknown",
            "in_flight": 0,
            "last_check": null,
            "reason": "no checks",
            "requests": 0,
            "since": null,
            "state": "up"
          },
          "tier": 0,
          "weight": 1
        }
      ],
      "total": 2,
      "usable": 2
    }
  ],
  "uptime": "-",
  "uptime_seconds": 0,
  "version": "-"
}
"##);
}

#[tokio::test]
async fn probes_are_answered_as_their_names_say() {
    let desk = Desk::new();
    assert_eq!(desk.get("/healthz").await.is(200).text, "ok\n");
    assert_eq!(desk.get("/readyz").await.is(200).text, "ready\n");
    desk.ready.send_replace(false);
    desk.get("/readyz").await.refused(503, "not_ready");
    desk.get("/healthz").await.is(200);
}

#[tokio::test]
async fn metrics_have_a_series_for_each_server_and_group() {
    let desk = Desk::new();
    desk.act("/v1/upstreams/blue/servers/10.0.0.1:80/down")
        .await
        .is(200);
    let answer = desk.get("/metrics").await.is(200);
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    for line in [
        r#"pointsman_server_up{upstream="blue",server="10.0.0.1:80"} 0"#,
        r#"pointsman_server_up{upstream="blue",server="10.0.0.2:80"} 1"#,
        r#"pointsman_server_in_flight{upstream="green",server="10.0.1.1:80"} 0"#,
        r#"pointsman_server_requests_total{upstream="green",server="10.0.1.1:80"} 0"#,
        r#"pointsman_server_failures_total{upstream="green",server="10.0.1.1:80"} 0"#,
        r#"pointsman_upstream_usable_servers{upstream="blue"} 1"#,
        r#"pointsman_upstream_usable_servers{upstream="green"} 1"#,
    ] {
        assert!(
            answer.text.lines().any(|found| found == line),
            "{line}\n{}",
            answer.text
        );
    }
    assert!(answer.text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn nothing_else_is_here() {
    let desk = Desk::new();
    for path in [
        "/v1",
        "/v2/state",
        "/v1/state/",
        "/v1//state",
        "/favicon.ico",
        "/V1/state",
        "/v1/upstreams/blue/servers/10.0.0.1:80/explode",
    ] {
        desk.get(path).await.refused(404, "not_found");
    }
    assert!(desk.get("/").await.is(200).text.contains("/v1/status"));
}

#[tokio::test]
async fn a_known_path_says_which_methods_it_takes() {
    let desk = Desk::new();
    for (method, path, allow) in [
        ("POST", "/v1/state", "GET,HEAD,PUT"),
        ("DELETE", "/v1/upstreams", "GET,HEAD"),
        ("POST", "/v1/upstreams/blue", "GET,HEAD,PUT,PATCH,DELETE"),
        ("GET", "/v1/upstreams/blue/servers/10.0.0.1:80/down", "POST"),
        ("PURGE", "/v1/routes", "GET,HEAD"),
        ("OPTIONS", "/v1/changes", "POST"),
        ("TRACE", "/healthz", "GET,HEAD"),
    ] {
        let answer = desk.send(method, path, &[], "").await;
        let answer = answer.refused(405, "method_not_allowed");
        let mut found: Vec<_> = answer.headers[ALLOW].to_str().unwrap().split(',').collect();
        let mut allow: Vec<_> = allow.split(',').collect();
        found.sort_unstable();
        allow.sort_unstable();
        assert_eq!(found, allow, "{path}");
    }
    let head = desk.send("HEAD", "/v1/state", &[], "").await.is(200);
    assert_eq!((head.text.as_str(), head.header("etag")), ("", "\"1\""));
}

#[tokio::test]
async fn a_parameter_that_would_do_nothing_is_refused() {
    let desk = Desk::new();
    let down = "/v1/upstreams/blue/servers/10.0.0.1:80/down";
    for (query, code) in [
        ("?ttl=10m", "not_supported"),
        ("?confirm_within=60s", "not_supported"),
        ("?wait=all", "invalid_parameter"),
        ("?dry_run=true&timeout=5s", "invalid_parameter"),
        ("?wait=fleet&timeout=0s", "invalid_parameter"),
        ("?wait=fleet&timeout=31s", "invalid_parameter"),
        ("?dryrun=true", "unknown_parameter"),
        ("?dry_run=true&dry_run=true", "unknown_parameter"),
        ("?dry_run=true&dry%5Frun=false", "unknown_parameter"),
        ("?dry_run=1", "invalid_parameter"),
        ("?dry_run", "invalid_parameter"),
        ("?force=yes", "invalid_parameter"),
    ] {
        desk.act(&format!("{down}{query}")).await.refused(400, code);
    }
    for path in [
        "/v1/state",
        "/v1/status",
        "/v1/upstreams/blue",
        "/healthz",
        "/metrics",
        "/openapi.json",
        "/v1/revisions/1",
        "/v1/revisions",
    ] {
        let answer = desk.get(&format!("{path}?pretty=1")).await;
        let answer = answer.refused(400, "unknown_parameter");
        assert!(answer.detail().contains("`pretty`"), "{}", answer.detail());
    }
    desk.act(&format!("{down}?dry_run=false&force=false"))
        .await
        .is(200);
    assert_eq!(desk.revision(), 2);
}

#[tokio::test]
async fn a_reason_is_one_line_of_text() {
    let desk = Desk::new();
    let path = "/v1/upstreams/blue/servers/10.0.0.1:80/down";
    let long = "x".repeat(1025);
    let answer = desk
        .send("POST", path, &[("pointsman-reason", &long)], "")
        .await;
    answer.refused(400, "invalid_request");
    let twice = [("pointsman-reason", "a"), ("pointsman-reason", "b")];
    desk.send("POST", path, &twice, "")
        .await
        .refused(400, "invalid_request");
    let blank = [("pointsman-reason", "  ")];
    let answer = desk
        .send("POST", &format!("{path}?force=true"), &blank, "")
        .await;
    answer.refused(400, "reason_needed");
    let body = json!({ "changes": [], "reason": "two\nlines" });
    desk.json("POST", "/v1/changes", body)
        .await
        .refused(400, "invalid_field");
    let both = json!({ "changes": [], "reason": "a" });
    let header = [("pointsman-reason", "b")];
    let answer = desk.json_if("POST", "/v1/changes", &header, both).await;
    answer.refused(400, "invalid_field");
    let umlaut = [("pointsman-reason", "Kernel-Ãnderung")];
    desk.send("POST", path, &umlaut, "").await.is(200);
}

#[tokio::test]
async fn every_answer_carries_the_number_and_is_kept_by_nobody() {
    let desk = Desk::new();
    for path in [
        "/v1/state",
        "/healthz",
        "/nowhere",
        "/metrics",
        "/v1/upstreams/none",
    ] {
        let answer = desk.get(path).await;
        assert_eq!(answer.header("pointsman-revision"), "1", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
}
