//! The legacy interfaces from outside: the real binary, called as the scripts call it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

#[path = "../support/mod.rs"]
mod support;

mod dyups;
mod dyups_at_once;
mod healthcheck;
mod http2;
mod mounting;
mod recipes;
mod replay;
mod switch;
mod switch_state;
mod ups;
mod ups_api;
mod upsync;

use support::{Edge, EdgeBuilder, Origin, Response};

/// Two groups of one server each; everything goes to `blue`. The listener has all three interfaces.
fn two_groups(blue: &Origin, green: &Origin) -> EdgeBuilder {
    Edge::builder()
        .upstream("blue", [blue])
        .upstream("green", [green])
        .route("*", "blue")
        .listener("legacy: [switch, ups, ups_api]")
}

/// Status, content type and body.
fn told(response: &Response) -> (u16, &str, String) {
    let kind = response.header("content-type").unwrap_or_default();
    (response.status, kind, response.text())
}

/// What `/_switch_upstream` prints.
fn switched(host: &str, from: &str, to: &str) -> (u16, &'static str, String) {
    let text = format!("Current upstream is :{from}\n{host} change upstream from {from} to {to}\n");
    (200, "application/octet-stream", text)
}
