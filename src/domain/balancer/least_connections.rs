use super::{Pick, Tier, best};

/// The fewest requests in flight for its weight.
pub(super) fn pick(tier: &Tier, pick: &Pick<'_>) -> Option<usize> {
    best::pick(tier, pick, |place| tier.cost(place, 1, pick))
}
