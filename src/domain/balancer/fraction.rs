use std::cmp::Ordering;

/// What is compared between servers: so much for a weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fraction {
    much: u64,
    weight: u64,
}

impl Fraction {
    /// So many times as much.
    pub(super) fn times(self, factor: u64) -> Self {
        Self {
            much: self.much.saturating_mul(factor),
            ..self
        }
    }
}

impl From<(u64, u64)> for Fraction {
    fn from((much, weight): (u64, u64)) -> Self {
        Self { much, weight }
    }
}

impl Ord for Fraction {
    /// Without dividing, and without overflow.
    fn cmp(&self, other: &Self) -> Ordering {
        let crossed = |a: &Self, b: &Self| u128::from(a.much) * u128::from(b.weight);
        crossed(self, other).cmp(&crossed(other, self))
    }
}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Fraction {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Fraction {}
