use super::{Pick, SplitMix, Tier};

/// The less loaded of two servers drawn by weight, by requests in flight for its weight; of equals
/// the first, so that an idle group is shared by weight. Already the second choice makes long queues
/// exponentially rare (Mitzenmacher 2001), and two nodes seldom crowd upon the same server, as they
/// would upon the least loaded of all.
pub(super) fn pick(tier: &Tier, pick: &Pick<'_>) -> Option<usize> {
    let mut random = SplitMix(pick.random);
    let first = tier.draw(pick, || random.next())?;
    let Some(second) = other(tier, first, pick, &mut random) else {
        return Some(first);
    };
    let load = |place| tier.cost(place, 0, pick);
    Some(if load(second) < load(first) {
        second
    } else {
        first
    })
}

/// Draws after which a single choice has to do. Of two equal servers one in 256 picks has one.
const DRAWS: usize = 8;

/// A second server as good as the first.
fn other(tier: &Tier, first: usize, pick: &Pick<'_>, random: &mut SplitMix) -> Option<usize> {
    if tier.len() < 2 {
        return None;
    }
    let rank = tier.rank(first, pick);
    for _ in 0..DRAWS {
        let place = tier.place(random.next());
        let fits = place != first && tier.rank(place, pick) == rank;
        if fits && !tier.sits_out(place, pick, random) {
            return Some(place);
        }
    }
    None
}
