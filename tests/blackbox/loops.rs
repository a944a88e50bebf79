//! Routes that lead back to a listener of ours.

use crate::support::Edge;
use serde_json::json;

#[test]
fn a_request_that_comes_back_is_508_after_one_round() {
    let builder = Edge::builder();
    let listener = builder.address();
    let edge = builder
        .with(&format!(
            "upstreams: {{again: {{servers: ['{listener}']}}}}"
        ))
        .route("*", "again")
        .start();
    let mut client = edge.client();
    client.send("GET /round HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.response();
    assert_eq!(
        (answer.status, answer.text()),
        (508, "508 loop_detected\n".into())
    );
    edge.access_line("\"reason\":null");
    assert_eq!(edge.access_log().len(), 2, "{:#?}", edge.access_log());
}

#[test]
fn a_loop_over_a_unix_socket_is_508_also_by_another_path_to_it() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(directory.path(), directory.path().join("link")).unwrap();
    let own = directory.path().join("own.sock");
    let builder = Edge::builder();
    let listener = json!([
        { "address": builder.address() },
        { "address": format!("unix:{}", own.display()) },
    ]);
    let other = directory.path().join("link/own.sock");
    let other = other.display();
    let edge = builder
        .with(&format!(
            "{{listeners: {listener}, upstreams: {{again: {{servers: ['unix:{other}']}}}}}}"
        ))
        .route("*", "again")
        .start();
    let mut client = edge.client();
    client.send("GET /round HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 508);
    edge.access_line("\"reason\":null");
    assert_eq!(edge.access_log().len(), 2, "{:#?}", edge.access_log());
}
