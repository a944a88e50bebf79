//! Names as servers, from outside: the real binary, a real name server over UDP and TCP, real origins.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod failures;

use serde_json::{Value, json};
use std::net::Ipv4Addr;
use support::{Edge, NameServer, Origin, until};

const HOST: &str = "app.example";
const SERVICE: &str = "_http._tcp.app.example";

/// One group `web` of these servers, a route to it, and this name server.
fn edge(dns: &NameServer, servers: &Value) -> Edge {
    let web = json!({ "upstreams": { "web": { "servers": servers } } });
    Edge::builder()
        .with(&web.to_string())
        .with(&dns.yaml())
        .route("*", "web")
        .start()
}

/// `app.example` with the port that all of these listen on.
fn by_host(dns: &NameServer, origins: &[Origin]) -> Edge {
    edge(dns, &json!([format!("{HOST}:{}", origins[0].port())]))
}

fn by_service(dns: &NameServer) -> Edge {
    edge(dns, &json!([format!("srv:{SERVICE}")]))
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

/// The origins as SRV records of one priority and weight.
fn publish(dns: &NameServer, ttl: u32, origins: &[&Origin]) {
    let target = |origin: &Origin| format!("o{}.example", origin.port());
    let targets: Vec<(u16, String)> = origins.iter().map(|o| (o.port(), target(o))).collect();
    for (_, target) in &targets {
        dns.a(target, ttl, &[ip(1)]);
    }
    let records = targets
        .iter()
        .map(|(port, target)| (1, 1, *port, target.as_str()));
    dns.srv(SERVICE, ttl, &records.collect::<Vec<_>>());
}

/// What `/v1/status` says of the one member.
fn member(edge: &Edge) -> Value {
    let status = edge.control().get("/v1/status").is(200).json;
    status["upstreams"][0]["servers"][0]["status"].clone()
}

fn resolved(edge: &Edge) -> Vec<String> {
    let member = member(edge);
    let servers = member["resolution"]["servers"].as_array().cloned();
    let servers = servers.unwrap_or_default();
    servers
        .iter()
        .map(|server| server["address"].as_str().unwrap().to_owned())
        .collect()
}

fn wait_for_state(edge: &Edge, state: &str) -> Value {
    until(&format!("the name is {state}"), || {
        let resolution = member(edge)["resolution"].clone();
        (resolution["state"] == state).then_some(resolution)
    })
}

fn lines(edge: &Edge, part: &str) -> usize {
    edge.stderr().matches(part).count()
}
