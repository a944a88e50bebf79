//! Nodes over one Redis, with two groups of one origin each.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Edge, EdgeBuilder, Origin, until};

/// Two origins, `blue` and `green`; every node routes to `blue` at first.
pub(crate) struct Site {
    pub(crate) blue: Origin,
    pub(crate) green: Origin,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self {
            blue: Origin::start(),
            green: Origin::start(),
        }
    }

    /// A node that is not started yet; `store` is the URL.
    pub(crate) fn node(&self, name: &str, store: &str) -> EdgeBuilder {
        let builder = Edge::builder()
            .upstream("blue", [&self.blue])
            .upstream("green", [&self.green])
            .route("*", "blue");
        let copy = builder.directory().join("last-good.db");
        builder.with(&format!(
            "server: {{node: {name}}}\nstate: {{store: '{store}', local_copy: '{}'}}",
            copy.display()
        ))
    }

    /// Whether the node's traffic goes to this group.
    pub(crate) fn is_served_by(&self, edge: &Edge, group: &str) -> bool {
        let origin = if group == "blue" {
            &self.blue
        } else {
            &self.green
        };
        let before = origin.count();
        let answer = edge.client().get("/", &[]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        origin.count() > before
    }

    pub(crate) fn wait_for(&self, edge: &Edge, group: &str) {
        until(&format!("traffic goes to {group}"), || {
            self.is_served_by(edge, group).then_some(())
        });
    }
}

/// Switches, which must succeed; answers the revision.
pub(crate) fn switched(edge: &Edge, group: &str) -> u64 {
    switch(edge, group).is(200).revision()
}

pub(crate) fn switch(edge: &Edge, group: &str) -> Answer {
    let route = &edge.control().get("/v1/routes").is(200).json;
    let id = first_id(route);
    edge.control()
        .post(&format!("/v1/routes/{id}/switch"), &json!({ "to": group }))
}

fn first_id(routes: &Value) -> String {
    let list = routes.as_array().or_else(|| routes["routes"].as_array());
    let first = list.and_then(|routes| routes.first()).expect("a route");
    first["id"].as_str().expect("an id").to_owned()
}

/// A change that must fail: 503 within 2 s (and a little for a busy machine); answers what was said.
pub(crate) fn refused(edge: &Edge, group: &str) -> String {
    let begun = Instant::now();
    let answer = switch(edge, group).is(503);
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(2500), "{took:?}");
    println!("503 after {took:?}: {}", answer.json["detail"]);
    answer.json["detail"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

pub(crate) fn store(edge: &Edge) -> Value {
    edge.control().get("/v1/status").is(200).json["store"].clone()
}

pub(crate) fn wait_until_in_step(edge: &Edge) {
    until("the node is in step with its store", || {
        (store(edge)["in_step"] == true).then_some(())
    });
}

pub(crate) fn wait_for_trouble(edge: &Edge) -> Value {
    until("the node knows that something is wrong", || {
        let store = store(edge);
        (store["in_step"] == false).then_some(store)
    })
}
