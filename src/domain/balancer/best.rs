use super::tier::Rank;
use super::{EXACT, Fraction, Pick, SplitMix, Tier};

/// The server that costs least. Up to [`EXACT`] servers all are compared; equals take turns by
/// weight, because the comparison begins at the server whose turn it is. Of more servers the best of
/// [`SAMPLE`] is taken, drawn evenly; of [`EXACT`] if none of them can be used.
pub(super) fn pick(
    tier: &Tier,
    pick: &Pick<'_>,
    cost: impl Fn(usize) -> Fraction,
) -> Option<usize> {
    if tier.len() <= EXACT {
        let from = tier.place(tier.next_turn());
        return best((from..tier.len()).chain(0..from), tier, pick, cost);
    }
    let mut random = SplitMix(pick.random);
    let mut sample = |size| {
        let places = (0..size).map(|_| random.below(tier.len()));
        best(places, tier, pick, &cost)
    };
    sample(SAMPLE)
        .or_else(|| sample(EXACT))
        .or_else(|| tier.search(pick).map(|(_, place)| place))
}

/// Two would already make long queues exponentially rare (Mitzenmacher 2001); eight find an idle
/// server nearly always.
const SAMPLE: usize = 8;

fn best(
    places: impl Iterator<Item = usize>,
    tier: &Tier,
    pick: &Pick<'_>,
    cost: impl Fn(usize) -> Fraction,
) -> Option<usize> {
    let mut chance = pick.chance_of_slow_starts();
    let mut best: Option<((Rank, bool, Fraction), usize)> = None;
    for place in places {
        let Some(rank) = tier.rank(place, pick) else {
            continue;
        };
        // Who sits out is taken when there is nobody else.
        let sits_out = tier.sits_out(place, pick, &mut chance);
        let order = (rank, sits_out, cost(place));
        if best.is_none_or(|(least, _)| order < least) {
            best = Some((order, place));
        }
    }
    best.map(|(_, place)| place)
}
