//! States to measure: so many groups of so many servers.

#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each bench uses its part; one that cannot go on may stop with a panic"
)]

use std::fmt::Write as _;
use std::sync::Arc;

use pointsman::change::Change;
use pointsman::domain::snapshot::Snapshot;
use pointsman::spec::Spec;

/// A state of so many checked groups of so many servers each, and a route for each group.
pub(crate) fn spec(groups: usize, servers: usize, balance: &str) -> Spec {
    let mut text = String::from(r#"{"upstreams":{"#);
    let comma = |index: usize| if index == 0 { "" } else { "," };
    for group in 0..groups {
        let _ = write!(
            text,
            r#"{}"group-{group}":{{"balance":"{balance}","health":{{"path":"/healthz"}},"servers":["#,
            comma(group)
        );
        for server in 0..servers {
            let _ = write!(text, r#"{}"{}""#, comma(server), address(group, server));
        }
        text.push_str("]}");
    }
    text.push_str(r#"},"routes":["#);
    for group in 0..groups {
        let _ = write!(
            text,
            r#"{}{{"id":"route-{group}","hosts":["host-{group}.example"],"to":"group-{group}"}}"#,
            comma(group)
        );
    }
    text.push_str("]}");
    let state = serde_json::from_str(&text).expect("a state");
    let mut spec = Spec::default();
    let put = Change::PutState { state };
    put.apply(&mut spec, 1).expect("applied");
    spec
}

/// The address of a group's server: groups count in the middle, servers from the end.
pub(crate) fn address(group: usize, server: usize) -> String {
    let place = group * 16 + server;
    format!(
        "10.{}.{}.{}:8080",
        (place >> 16) & 255,
        (place >> 8) & 255,
        place & 255
    )
}

/// The routing state of one group of so many servers.
pub(crate) fn group(servers: usize, balance: &str) -> Snapshot {
    Snapshot::build(1, Arc::new(spec(1, servers, balance)), None)
}
