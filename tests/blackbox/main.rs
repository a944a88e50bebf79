//! The data plane from outside: the real binary between real origins and clients that send exactly what a test says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod ambiguity;
mod attempts;
mod balancing;
mod blame;
mod ejection;
mod failures;
mod framing;
mod guard;
mod headers;
mod held_bodies;
mod hostile;
mod http2;
mod http2_bodies;
mod http2_endings;
mod http2_limits;
mod http2_origin;
mod http2_servers;
mod http2_servers_faults;
mod http2_slow_bodies;
mod http2_uploads;
mod introductions;
mod keepalive;
mod ledger;
mod loops;
mod outages;
mod proxying;
mod queue;
mod queue_faults;
mod retries;
mod routing;
mod signals;
mod slow_readers;
mod start;
mod sticky;
mod timeouts;
mod tunnel_ends;
mod tunnels;
