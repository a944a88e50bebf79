//! Nodes over one Redis, and the keys that operators write there.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Edge, EdgeBuilder, Origin, RedisServer, until};

/// Two origins, `blue` and `green`; hosts go to `blue` unless they are switched.
pub(crate) struct Site {
    pub(crate) blue: Origin,
    pub(crate) green: Origin,
    pub(crate) redis: RedisServer,
    prefix: &'static str,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with_prefix("")
    }

    pub(crate) fn with_prefix(prefix: &'static str) -> Self {
        Self {
            blue: Origin::start(),
            green: Origin::start(),
            redis: RedisServer::start(),
            prefix,
        }
    }

    /// A node that follows keys, not started yet.
    pub(crate) fn node(&self, name: &str) -> EdgeBuilder {
        self.node_at(name, &self.redis.url())
    }

    pub(crate) fn node_at(&self, name: &str, store: &str) -> EdgeBuilder {
        let prefix = self.prefix;
        self.plain_node(name, store)
            .with(&format!("state: {{host_keys: {{prefix: '{prefix}'}}}}"))
    }

    /// One that does not.
    pub(crate) fn plain_node(&self, name: &str, store: &str) -> EdgeBuilder {
        let builder = Edge::builder()
            .upstream("blue", [&self.blue])
            .upstream("green", [&self.green])
            .with("routes: [{hosts: [own.example], to: blue}, {id: both, hosts: [x.example, y.example], to: blue}, {to: blue}]");
        let copy = builder.directory().join("last-good.db");
        builder.with(&format!(
            "server: {{node: {name}}}\nstate: {{store: '{store}', local_copy: '{}'}}",
            copy.display()
        ))
    }

    pub(crate) fn set(&self, host: &str, value: &str) {
        self.redis.call(&["SET", &self.key(host), value]);
    }

    pub(crate) fn delete(&self, host: &str) {
        self.redis.call(&["DEL", &self.key(host)]);
    }

    /// What the key of a host holds.
    pub(crate) fn value(&self, host: &str) -> Option<String> {
        let found = self.redis.call(&["GET", &self.key(host)]);
        redis::from_redis_value(found).unwrap()
    }

    fn key(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    /// Which group a host's requests go to.
    pub(crate) fn group(&self, edge: &Edge, host: &str) -> &'static str {
        let answer = edge.client().get("/", &[("Host", host)]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        match answer.text() {
            text if text == self.blue.name() => "blue",
            text if text == self.green.name() => "green",
            text => panic!("{text}"),
        }
    }

    /// Answers how long it took.
    pub(crate) fn wait_for(&self, edge: &Edge, host: &str, group: &str) -> Duration {
        let begun = Instant::now();
        until(&format!("{host} goes to {group}"), || {
            (self.group(edge, host) == group).then_some(())
        });
        begun.elapsed()
    }
}

pub(crate) fn revision(edge: &Edge) -> u64 {
    edge.control().get("/healthz").revision()
}

/// What the status says of the keys.
pub(crate) fn keys(edge: &Edge) -> Value {
    edge.control().get("/v1/status").is(200).json["host_keys"].clone()
}

/// Waits until a key is refused; answers why.
pub(crate) fn refusal(edge: &Edge, key: &str) -> String {
    until(&format!("the status names `{key}`"), || {
        let why = keys(edge)["refused"][key].as_str().map(str::to_owned);
        why.filter(|why| !why.is_empty())
    })
}

pub(crate) fn wait_until_accepted(edge: &Edge, key: &str) {
    until(&format!("`{key}` is refused no more"), || {
        keys(edge)["refused"][key].is_null().then_some(())
    });
}

pub(crate) fn wait_until_followed(edge: &Edge) {
    until("the node follows the keys", || {
        let keys = keys(edge);
        (keys["followed_here"] == true && keys["at"].is_string() && keys["problem"].is_null())
            .then_some(())
    });
}
