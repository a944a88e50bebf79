//! Pure rules: who is eligible, who is picked, where a request goes, what a change may not do.
//! Time and randomness are arguments.

pub mod balancer;
pub mod budget;
pub mod damping;
pub mod ejection;
pub mod hashing;
pub mod latency;
pub mod names;
pub mod queue;
pub mod rails;
pub mod ramp;
pub mod route;
pub mod server;
pub mod shards;
pub mod snapshot;
mod state;
pub mod sticky;
pub mod streak;
mod subsets;
pub mod tls;
pub mod upstream;
