use std::sync::Arc;

use super::{Pick, SplitMix, Tier};
use crate::domain::server::Server;

/// By chance: a random turn of the round robin's table, which holds each server by its weight.
pub(super) fn pick<'t>(tier: &'t Tier, pick: &Pick<'_>) -> Option<&'t Arc<Server>> {
    let mut random = SplitMix(pick.random);
    tier.draw(pick, || random.next())
}
