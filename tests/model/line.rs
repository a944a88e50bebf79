//! A history of a few revisions in one word.

use std::fmt;

use pointsman::spec::Digest;
use pointsman::store::Head;

/// A state by the revisions that led to it, the oldest first: of each the number and what it does. It stands for the
/// digest too: two are equal if all that led to them is.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Line(u64);

/// What a revision does, in four bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    First,
    Write(u8),
    Force(u8),
}

impl Line {
    /// Of an empty store.
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) fn first() -> Self {
        Self::EMPTY.and(1, Deed::First)
    }

    fn length(self) -> u32 {
        (self.0 & 0xff) as u32
    }

    /// This and one revision more.
    pub(crate) fn and(self, number: u8, deed: Deed) -> Self {
        let deed = match deed {
            Deed::First => 0,
            Deed::Write(write) => 1 + write,
            Deed::Force(force) => 8 + force,
        };
        let length = self.length() + 1;
        assert!(length < 8 && number < 16 && deed < 16, "too long a history");
        let entry = u64::from(number << 4 | deed);
        Self((self.0 & !0xff) | entry << (8 * length) | u64::from(length))
    }

    fn entry(self, place: u32) -> u8 {
        (self.0 >> (8 * (place + 1)) & 0xff) as u8
    }

    /// The number of the newest revision; 0 without one.
    pub(crate) fn number(self) -> u8 {
        match self.length() {
            0 => 0,
            length => self.entry(length - 1) >> 4,
        }
    }

    fn cut(self, length: u32) -> Self {
        let kept = match length {
            7.. => u64::MAX,
            length => (1 << (8 * (length + 1))) - 1,
        };
        Self((self.0 & kept & !0xff) | u64::from(length))
    }

    /// The line up to each of its revisions, the oldest first.
    pub(crate) fn steps(self) -> impl Iterator<Item = Self> {
        (1..=self.length()).map(move |length| self.cut(length))
    }

    /// The line up to the revision with this number, if it has one.
    pub(crate) fn up_to(self, number: u8) -> Option<Self> {
        self.steps().find(|step| step.number() == number)
    }

    /// Without the newest revision.
    pub(crate) fn parent(self) -> Self {
        self.cut(self.length().saturating_sub(1))
    }

    /// Whether all that led to `other` led here too.
    pub(crate) fn descends_from(self, other: Self) -> bool {
        self.length() >= other.length() && self.cut(other.length()) == other
    }

    /// The number of the newest force; 0 without one.
    pub(crate) fn forced(self) -> u8 {
        let forces = self.steps().filter(|step| step.is_force());
        forces.last().map_or(0, Self::number)
    }

    /// Whether a force led here that did not lead to `other`.
    pub(crate) fn has_another_force_than(self, other: Self) -> bool {
        self.steps()
            .any(|step| step.is_force() && !other.descends_from(step))
    }

    fn is_force(self) -> bool {
        self.length() > 0 && self.entry(self.length() - 1) & 0xf >= 8
    }

    /// As the crate knows it.
    pub(crate) fn head(self) -> Head {
        Head {
            number: u64::from(self.number()),
            digest: self.digest(),
        }
    }

    pub(crate) fn digest(self) -> Digest {
        let mut digest = Digest::default();
        digest.0[..8].copy_from_slice(&self.0.to_le_bytes());
        digest
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        for place in 0..self.length() {
            let (number, deed) = (self.entry(place) >> 4, self.entry(place) & 0xf);
            words.push(match deed {
                0 => format!("{number}"),
                8.. => format!("{number}:force{}", deed - 8),
                _ => format!("{number}:w{deed}"),
            });
        }
        write!(f, "[{}]", words.join(" "))
    }
}
