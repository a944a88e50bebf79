use super::{Pick, Tier};

/// nginx's smooth weighted round robin.
pub(super) fn pick(tier: &Tier, pick: &Pick<'_>) -> Option<usize> {
    tier.draw(pick, || tier.next_turn())
}
