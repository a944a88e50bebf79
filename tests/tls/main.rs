//! TLS on listeners from outside: the real binary, certificates made for the test, a client of rustls.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod client;
mod flood;
mod handshakes;
mod health;
mod http2_servers;
mod misdirected;
mod origin;
mod server_files;
mod servers;
mod swapping;
mod tunnels;
