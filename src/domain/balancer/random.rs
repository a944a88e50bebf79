use super::{Pick, SplitMix, Tier};

/// By chance: a random turn of the round robin's table, which holds each server by its weight.
pub(super) fn pick(tier: &Tier, pick: &Pick<'_>) -> Option<usize> {
    let mut random = SplitMix(pick.random);
    tier.draw(pick, || random.next())
}
