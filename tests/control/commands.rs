//! `pointsman ctl`, and tokens from the file.

use crate::support::{Edge, Origin};
use crate::two_groups;
use serde_json::json;
use std::process::Output;

fn texts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn ctl_shows_and_changes_what_the_api_does() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green);
    let (code, out, _) = texts(&edge.ctl(&["status"]));
    assert_eq!(code, Some(0));
    assert!(
        out.contains("blue") && out.contains(&blue.address().to_string()),
        "{out}"
    );
    let reason = [
        "--reason",
        "rehearsal",
        "switch",
        "--host",
        "a.example",
        "green",
    ];
    assert_eq!(texts(&edge.ctl(&reason)).0, Some(0));
    let (_, out, _) = texts(&edge.ctl(&["history"]));
    assert!(
        out.contains("rehearsal") && out.contains("anonymous"),
        "{out}"
    );
    let (_, out, _) = texts(&edge.ctl(&["get", "routes/host:a.example"]));
    assert!(out.contains("to: green"), "{out}");
    assert_eq!(texts(&edge.ctl(&["restore", "1"])).0, Some(0));
    let _ = edge.control().get("/v1/routes/host:a.example").is(404);
}

#[test]
fn ctl_ends_with_1_and_the_servers_reason_when_it_is_refused() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green);
    let server = blue.address().to_string();
    let (code, _, error) = texts(&edge.ctl(&["down", "blue", &server]));
    assert_eq!(code, Some(1));
    assert!(error.contains("rail_last_server"), "{error}");
    let forced = ["--force", "--reason", "drill", "down", "blue", &server];
    assert_eq!(texts(&edge.ctl(&forced)).0, Some(0));
    let (code, _, error) = texts(&edge.ctl(&["up", "red", &server]));
    assert_eq!(code, Some(1));
    assert!(error.contains("upstream_not_found"), "{error}");
}

#[test]
fn a_token_of_the_file_opens_what_its_role_allows() {
    let origin = Origin::start();
    // printf %s secret | sha256sum
    let sum = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let tokens = format!(
        "control: {{ tokens: [{{ name: deploy, sha256: {sum}, role: operate, upstreams: ['w*'] }}] }}"
    );
    let builder = Edge::builder().upstream("web", [&origin]).route("*", "web");
    let edge = builder.with(&tokens).start();
    let control = edge.control();
    assert_eq!(control.get("/v1/state").is(401).code(), "unauthorized");
    assert_eq!(
        control.token("guess").get("/v1/state").is(401).code(),
        "unauthorized"
    );
    let deploy = control.token("secret");
    let added = deploy.post(
        "/v1/upstreams/web/servers",
        &json!({ "address": "127.0.0.1:9" }),
    );
    assert_eq!(added.is(201).revision(), 2);
    assert_eq!(
        deploy.get("/v1/revisions/2").is(200).json["author"],
        "deploy"
    );
    let put = deploy.put("/v1/upstreams/web", &json!({ "servers": [] }));
    assert_eq!(put.is(403).code(), "forbidden");
    let (code, ..) = texts(&edge.ctl(&["--token", "secret", "status"]));
    assert_eq!(code, Some(0));
    let (code, _, error) = texts(&edge.ctl(&["status"]));
    assert_eq!(code, Some(1));
    assert!(error.contains("unauthorized"), "{error}");
}
