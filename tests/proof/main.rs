//! The claims that take time to prove: small here, at full size by `make proof`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a proof that cannot go on fails where it stands"
)]

#[path = "../support/mod.rs"]
mod support;

mod changes;
mod checks;
mod crowds;
mod durability;
mod faults;
mod fleet;
mod groups;
mod slow_heads;
mod start;

use std::env;

/// The full size under `make proof`, the small one otherwise.
fn size(small: usize, full: usize) -> usize {
    if env::var_os("POINTSMAN_PROOF").is_some() {
        full
    } else {
        small
    }
}
