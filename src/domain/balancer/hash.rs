use super::tier::Rank;
use super::{Pick, SplitMix, Tier, best};

/// The server that the request's key leads to, unless it is crowded.
///
/// A key has its own sequence of spots on the ring. If the server of one cannot be used, the next is asked: the keys
/// of a server that is down spread over all others by weight and come back with it, and no other key
/// moves. So it is with a server that is crowded: consistent hashing with bounded loads (Mirrokni et al.
/// 2016), so that one popular key does not take its server down.
pub(super) fn pick(tier: &Tier, pick: &Pick<'_>) -> Option<usize> {
    let mut key = SplitMix(pick.key);
    let mut average = None;
    let (mut unknown, mut crowded) = (None, false);
    for _ in 0..CHOICES {
        let place = tier.spot(key.next());
        match tier.rank(place, pick) {
            // By its key and the server: a request stays where it is while the share grows.
            Some(Rank::Up) if tier.sits_out(place, pick, &mut own_chance(tier, place, pick)) => {}
            Some(Rank::Up) if !is_crowded(tier, place, pick, &mut average) => return Some(place),
            Some(Rank::Up) => crowded = true,
            Some(Rank::Unknown) => unknown = unknown.or(Some(place)),
            None => {}
        }
    }
    if crowded {
        return best::pick(tier, pick, |place| tier.cost(place, 1, pick));
    }
    // Chance is the key's own here too, so that its requests stay together.
    let own = Pick {
        random: pick.key,
        ..*pick
    };
    let found = tier.draw(&own, || key.next());
    match unknown {
        Some(_) if found.is_none_or(|place| tier.rank(place, pick) != Some(Rank::Up)) => unknown,
        _ => found,
    }
}

fn own_chance(tier: &Tier, place: usize, pick: &Pick<'_>) -> SplitMix {
    SplitMix(pick.key ^ tier.identity(place))
}

/// Spots that a key asks before chance decides. With half of the servers down one key in 65,536 comes
/// to their end.
const CHOICES: usize = 16;

/// Whether a server has more than 5/4 of the average in flight for its weight, and two more: with few
/// requests about, a key keeps its server.
fn is_crowded(
    tier: &Tier,
    place: usize,
    pick: &Pick<'_>,
    average: &mut Option<(u64, u64)>,
) -> bool {
    let (in_flight, weight) = tier.in_flight_by_weight(place);
    if in_flight < SPARE {
        return false;
    }
    let (all, of) = *average.get_or_insert_with(|| tier.average(pick));
    // At most 2^37 requests and 2^21 of weight: nothing overflows.
    4 * (in_flight - SPARE) * of > 5 * all * weight
}

/// Requests that a server may have in flight whatever the average.
const SPARE: u64 = 2;
