//! Servers from Consul, from outside: the real binary, a stand-in for Consul, real origins.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

#[path = "../support/mod.rs"]
mod support;

mod failures;
mod fleet;
mod following;
mod https;
mod operators;
mod sharing;

use serde_json::{Value, json};
use support::{Consul, Edge, EdgeBuilder, Origin, until};

const WEB: &str = "/v1/kv/upstreams/web";

/// One group `web` from this path of Consul's, and a route to it; a check of its servers each 50 ms.
fn from(consul: &Consul, path: &str) -> EdgeBuilder {
    let web = json!({ "source": { "consul": consul.url(path) } });
    Edge::builder()
        .with(&json!({ "upstreams": { "web": web } }).to_string())
        .route("*", "web")
}

/// Keys for these origins, and the edge that follows them.
fn following(consul: &Consul, origins: &[Origin]) -> Edge {
    origins
        .iter()
        .for_each(|origin| consul.put(&key(origin), ""));
    let edge = from(consul, WEB).start();
    assert_eq!(servers(&edge), addresses(origins));
    edge
}

fn key(origin: &Origin) -> String {
    format!("upstreams/web/{}", origin.address())
}

/// Sorted.
fn addresses<'a>(origins: impl IntoIterator<Item = &'a Origin>) -> Vec<String> {
    let addresses = origins
        .into_iter()
        .map(|origin| origin.address().to_string());
    let mut addresses: Vec<String> = addresses.collect();
    addresses.sort();
    addresses
}

/// Sorted.
fn servers(edge: &Edge) -> Vec<String> {
    let web = edge.control().get("/v1/upstreams/web").is(200).json;
    let servers = web["servers"].as_array().unwrap().iter();
    let mut servers: Vec<String> = servers
        .map(|server| server["address"].as_str().unwrap().to_owned())
        .collect();
    servers.sort();
    servers
}

fn wait_for_servers(edge: &Edge, expected: &[String]) {
    until(&format!("the servers are {expected:?}"), || {
        (servers(edge) == expected).then_some(())
    });
}

fn server(edge: &Edge, origin: &Origin) -> Value {
    let path = format!("/v1/upstreams/web/servers/{}", origin.address());
    edge.control().get(&path).is(200).json
}

/// What `/v1/status` says of the source.
fn source(edge: &Edge) -> Value {
    let status = edge.control().get("/v1/status").is(200).json;
    status["upstreams"][0]["source"].clone()
}

fn wait_for_state(edge: &Edge, state: &str) -> Value {
    until(&format!("the source is {state}"), || {
        let source = source(edge);
        (source["state"] == state).then_some(source)
    })
}

fn revision(edge: &Edge) -> u64 {
    edge.control().get("/v1/status").revision()
}

fn get(edge: &Edge) -> u16 {
    edge.client().get("/", &[]).status
}
