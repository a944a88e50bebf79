use std::sync::Arc;

use super::{Pick, Tier, Turns};
use crate::domain::server::Server;

/// nginx's smooth weighted round robin.
pub(super) fn pick<'t>(tier: &'t Tier, turns: &Turns, pick: &Pick<'_>) -> Option<&'t Arc<Server>> {
    tier.draw(pick, || turns.next())
}
