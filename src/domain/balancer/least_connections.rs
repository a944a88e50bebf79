use std::sync::Arc;

use super::tier::Rank;
use super::{EXACT, Pick, SplitMix, Tier};
use crate::domain::server::Server;

/// The fewest requests in flight for its weight. Up to [`EXACT`] servers all are compared; equals
/// take turns by weight, because the comparison begins at the server whose turn it is.
pub(super) fn pick<'t>(tier: &'t Tier, pick: &Pick<'_>) -> Option<&'t Arc<Server>> {
    let found = if tier.len() <= EXACT {
        let from = tier.place(tier.next_turn());
        best(tier, (from..tier.len()).chain(0..from), pick)
    } else {
        let mut random = SplitMix(pick.random);
        let mut sample = |size| best(tier, (0..size).map(|_| random.below(tier.len())), pick);
        sample(SAMPLE)
            .or_else(|| sample(EXACT))
            .or_else(|| tier.search(pick).map(|(_, place)| place))
    };
    tier.server(found?)
}

/// Of more servers the best of this many is taken, drawn evenly; of [`EXACT`] if none of them can
/// be used. Two would already make long queues exponentially rare (Mitzenmacher 2001); eight find
/// an idle server nearly always.
const SAMPLE: usize = 8;

fn best(tier: &Tier, places: impl Iterator<Item = usize>, pick: &Pick<'_>) -> Option<usize> {
    let mut best: Option<(Rank, (u64, u64), usize)> = None;
    for place in places {
        let Some(rank) = tier.rank(place, pick) else {
            continue;
        };
        let load = tier.load(place);
        let better = best.is_none_or(|(found, least, _)| {
            rank < found || (rank == found && is_less(load, least))
        });
        if better {
            best = Some((rank, load, place));
        }
    }
    best.map(|(_, _, place)| place)
}

/// Compares two fractions without dividing; each factor is below 2^33.
fn is_less((a, of): (u64, u64), (b, of_b): (u64, u64)) -> bool {
    a * of_b < b * of
}
