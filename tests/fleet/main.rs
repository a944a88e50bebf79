//! Nodes that share their state through a real Redis, and what they do when it fails them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

mod failover;
mod faults;
mod histories;
mod site;
#[path = "../support/mod.rs"]
mod support;
mod together;
mod view;
