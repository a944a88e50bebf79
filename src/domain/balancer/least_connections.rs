use std::sync::Arc;

use super::tier::{Rank, rank};
use super::{EXACT, Pick, SplitMix, Tier, Turns};
use crate::domain::server::Server;

/// The fewest requests in flight for its weight. Up to [`EXACT`] servers all are compared; equals
/// take turns by weight, because the comparison begins at the server whose turn it is.
pub(super) fn pick<'t>(tier: &'t Tier, turns: &Turns, pick: &Pick<'_>) -> Option<&'t Arc<Server>> {
    if tier.len() <= EXACT {
        let (before, from) = tier.servers().split_at_checked(tier.place(turns.next()))?;
        return best(from.iter().chain(before), pick);
    }
    let mut random = SplitMix(pick.random);
    let sample = (0..SAMPLE).filter_map(|_| tier.server(random.below(tier.len())));
    best(sample, pick).or_else(|| tier.search(pick))
}

/// Of more servers the best of this many is taken, drawn evenly. Two would already make long
/// queues exponentially rare (Mitzenmacher 2001); eight find an idle server nearly always.
const SAMPLE: usize = 8;

fn best<'t>(
    servers: impl Iterator<Item = &'t Arc<Server>>,
    pick: &Pick<'_>,
) -> Option<&'t Arc<Server>> {
    let mut best: Option<(Rank, &Arc<Server>)> = None;
    for server in servers {
        let Some(rank) = rank(server, pick) else {
            continue;
        };
        let better = best.is_none_or(|(found, current)| {
            rank < found || (rank == found && is_less_loaded(server, current))
        });
        if better {
            best = Some((rank, server));
        }
    }
    best.map(|(_, server)| server)
}

/// Compares (in flight + 1) / weight without dividing: the load that each would have with this request.
fn is_less_loaded(a: &Server, b: &Server) -> bool {
    let load = |server: &Server| u64::from(server.shared().in_flight()) + 1;
    load(a) * u64::from(b.weight()) < load(b) * u64::from(a.weight())
}
