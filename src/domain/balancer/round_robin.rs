use std::sync::Arc;

use super::{Pick, Tier};
use crate::domain::server::Server;

/// nginx's smooth weighted round robin.
pub(super) fn pick<'t>(tier: &'t Tier, pick: &Pick<'_>) -> Option<&'t Arc<Server>> {
    tier.draw(pick, || tier.next_turn())
}
