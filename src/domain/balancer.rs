//! How a group picks: one contract, one file per policy. Tables are prepared when the snapshot is
//! built and indexed when a request comes: no lock and no allocation here.

mod best;
mod fraction;
mod hash;
mod least_connections;
mod least_time;
mod random;
mod random_two;
mod ring;
mod round_robin;
mod sequence;
mod tier;

use std::sync::Arc;

use super::server::{Server, ServerId};
use crate::spec::BalanceSpec;
use fraction::Fraction;

pub use tier::Tier;

/// What a pick needs to know of its request.
#[derive(Debug, Clone, Copy)]
pub struct Pick<'a> {
    /// Servers that this request has been tried on.
    pub tried: &'a [ServerId],
    /// A random number of the request's own.
    pub random: u64,
    /// The hash of what decides where the request goes; only groups that hash look at it.
    pub key: u64,
    /// Milliseconds by a clock that goes on.
    pub now: u64,
    /// What else may be picked besides servers that are usable.
    pub accept: Accept,
}

/// What may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Accept {
    /// Servers that are up, or of which nothing is known.
    Usable,
    /// Those that failing requests have ejected too.
    Ejected,
    /// Those too that their checks have taken out.
    Unhealthy,
}

impl<'a> Pick<'a> {
    /// A pick by chance alone, for a group that asks for nothing else.
    pub fn new(tried: &'a [ServerId], random: u64) -> Self {
        Self {
            tried,
            random,
            key: random,
            now: 0,
            accept: Accept::Usable,
        }
    }
}

/// Picks one of a tier's servers: of those not tried yet, an up one before an unknown one, and
/// never one that is down. Exact in tiers of up to [`EXACT`] servers; in larger ones the best of
/// samples of at most that many, and of all only when nothing in them is usable: the cost grows with
/// the tier only where fewer than about one server in twenty can be used.
pub fn pick<'t>(policy: BalanceSpec, tier: &'t Tier, pick: &Pick<'_>) -> Option<&'t Arc<Server>> {
    if tier.is_empty() {
        return None;
    }
    let place = match policy {
        BalanceSpec::RoundRobin => round_robin::pick(tier, pick),
        BalanceSpec::Random => random::pick(tier, pick),
        BalanceSpec::RandomTwo => random_two::pick(tier, pick),
        BalanceSpec::LeastConnections => least_connections::pick(tier, pick),
        BalanceSpec::LeastTime => least_time::pick(tier, pick),
        BalanceSpec::IpHash | BalanceSpec::Hash => hash::pick(tier, pick),
    };
    tier.server(place?)
}

/// Up to this many servers are all looked at; of more, at most this many.
/// 32 servers are 32 cache lines, about as much as a request touches anyway.
pub const EXACT: usize = 32;

/// A good sequence of random numbers from one: the SplitMix64 generator (Steele, Lea, Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform below `bound` (Lemire's multiplication; the bias is below bound / 2^64).
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
