use super::{Pick, Tier, best};

/// The shortest wait to expect for its weight: the time to the first byte (`domain::latency`) times the
/// requests in flight, this one included.
///
/// A server that has not answered yet is tried at once, but with one request: until that is answered it
/// is taken for as slow as [`UNTRIED`].
pub(super) fn pick(tier: &Tier, pick: &Pick<'_>) -> Option<usize> {
    best::pick(tier, pick, |place| {
        let (in_flight, _) = tier.in_flight_by_weight(place);
        let latency = tier.latency(place).map_or(0, |known| known.at(pick.now));
        let latency = match (latency, in_flight) {
            (0, 0) => 0,
            (0, _) => UNTRIED,
            (known, _) => known,
        };
        tier.cost(place, 1, pick).times(latency)
    })
}

/// In microseconds; long for a server nearby, so that it gets its second request when the others are
/// busy.
const UNTRIED: u64 = 30_000;
