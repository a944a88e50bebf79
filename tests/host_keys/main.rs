//! Hosts that are switched by keys in a real Redis.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

mod faults;
mod following;
mod operators;
mod refusing;
mod resync;
mod sharing;
mod site;
#[path = "../support/mod.rs"]
mod support;
