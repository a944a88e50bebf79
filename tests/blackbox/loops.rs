//! Routes that lead back to a listener of ours.

use crate::support::Edge;

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
