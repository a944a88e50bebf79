use super::{Fraction, Pick, Tier, best};

/// The fewest requests in flight for its weight.
pub(super) fn pick(tier: &Tier, pick: &Pick<'_>) -> Option<usize> {
    best::pick(tier, pick, |place| Fraction::from(tier.load(place)))
}
