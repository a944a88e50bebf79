use super::SplitMix;

/// A ring of hashed points (Karger et al. 1997, ketama): each server has points on it by its weight, and
/// a key belongs to the server of the next point.
///
/// Why not Maglev's table, whose shares are exact and whose lookup is one step: its size has to grow with
/// the group, and wherever it does every key moves, say with the eleventh server. A ring has no such
/// place: when a server leaves, its own keys move and no others. The price is shares that vary: of 160
/// points by 8 % (1 / sqrt(160)) for each standard deviation, which bounded loads keep from doing harm.
#[derive(Debug)]
pub(super) struct Ring(Box<[u64]>);

impl Ring {
    /// Depends on the servers' identities and weights, on nothing else; places in the order of identities.
    pub(super) fn new(identities: &[u64], weights: &[u16]) -> Self {
        let scale = Scale::of(weights);
        let mut points = Vec::with_capacity(scale.total(weights));
        for ((place, &identity), &weight) in (0u32..).zip(identities).zip(weights) {
            let mut random = SplitMix(identity);
            let own = (0..scale.points(weight)).map(|_| point(random.next(), place));
            points.extend(own);
        }
        // Two points in one spot: the server whose identity is less.
        points.sort_unstable();
        Self(points.into())
    }

    /// The place of the server that this spot of the ring belongs to.
    pub(super) fn place(&self, spot: u64) -> Option<usize> {
        let spot = point(spot, 0);
        let next = self.0.partition_point(|&point| point < spot);
        let found = self.0.get(next).or_else(|| self.0.first())?;
        Some(*found as u32 as usize)
    }
}

/// The spot by the upper half of a hash, and the place.
fn point(hash: u64, place: u32) -> u64 {
    (hash >> 32) << 32 | u64::from(place)
}

/// Points for a server of average weight, as nginx and libketama have for one of weight 1.
const POINTS: u64 = 160;

/// Points of a group in all, nearly: 32 MiB. Beyond 26,000 servers each has fewer.
const MOST: u64 = 1 << 22;

/// How many points a weight means. Halved or doubled, never anything between, and the first points of a
/// server are always the same: so a server that joins or leaves hardly ever changes the others' points.
struct Scale {
    points: u64,
    unit: u64,
}

impl Scale {
    fn of(weights: &[u16]) -> Self {
        let servers = weights.len().max(1) as u64;
        let sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let average = (sum / servers).max(1);
        let mut points = POINTS;
        while points > 1 && points * servers > MOST {
            points /= 2;
        }
        Self {
            points,
            unit: 1 << average.ilog2(),
        }
    }

    fn points(&self, weight: u16) -> u64 {
        (u64::from(weight) * self.points / self.unit).max(1)
    }

    fn total(&self, weights: &[u16]) -> usize {
        let points = weights.iter().map(|&weight| self.points(weight));
        points.sum::<u64>() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_follow_the_weights_whatever_their_size() {
        let points = |weights: &[u16]| {
            let scale = Scale::of(weights);
            weights
                .iter()
                .map(|&weight| scale.points(weight))
                .collect::<Vec<_>>()
        };
        assert_eq!(points(&[1, 1, 1]), [160, 160, 160]);
        assert_eq!(points(&[64, 64]), [160, 160]);
        assert_eq!(points(&[1, 2, 5]), [80, 160, 400]);
        assert_eq!(points(&[1, u16::MAX]), [1, 319]);
        assert!(Scale::of(&vec![u16::MAX; 100_000]).total(&vec![u16::MAX; 100_000]) < 1 << 23);
    }

    #[test]
    fn a_spot_belongs_to_the_next_point_and_the_last_ones_to_the_first() {
        let ring = Ring(Box::new([point(10 << 32, 3), point(20 << 32, 4)]));
        let place = |spot: u64| ring.place(spot << 32);
        assert_eq!(
            (place(0), place(10), place(11), place(20)),
            (Some(3), Some(3), Some(4), Some(4))
        );
        assert_eq!(place(21), Some(3));
        assert_eq!(Ring::new(&[], &[]).place(5), None);
    }
}
