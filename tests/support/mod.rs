//! What the black-box tests are built from: real origins, the real binary, a client that sends any bytes, and a ledger of requests.
//! Each test file says `mod support;`. Nothing here waits a fixed time; `until` polls with a deadline.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test file uses a part of this module"
)]
#![allow(unreachable_pub, reason = "the module is private to each test file")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

mod client;
mod consul;
mod control;
mod detour;
mod edge;
mod ledger;
mod name_server;
mod origin;
mod port;
mod process;
mod raw_origin;
mod redis;
mod traffic;
mod wire;

pub use client::Client;
pub use consul::{Consul, Fault, place};
pub use control::{Answer, Control};
pub use detour::Detour;
pub use edge::{Edge, EdgeBuilder};
pub use ledger::{Ledger, Nonce, Tally};
pub use name_server::{A, AAAA, NameServer, SRV, Says};
pub use origin::{Origin, Reply, Seen};
pub use port::Port;
pub use process::{NotStarted, pointsman};
pub use raw_origin::RawOrigin;
pub use redis::RedisServer;
pub use traffic::Traffic;
pub use wire::{Headers, Response, read_announced_body, read_head};

use std::time::{Duration, Instant};

/// How long anything may take that should happen at once; far above what a loaded machine needs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `found` answers, and fails the test with `what` after `PATIENCE`.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain until {what}"
        );
        pause(Duration::from_millis(5));
    }
}

/// Only for the step of a poll, for an origin that is told to be slow, and for clients that ask at a pace.
#[allow(
    clippy::disallowed_methods,
    reason = "polling the outside of another process has no event to wait for"
)]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
