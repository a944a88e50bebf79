//! A hash that is the same in every process, on every machine and in every version: the nodes of a
//! fleet, and a node after its restart, lead the same key to the same server.

/// The hash of a key, in parts: FNV-1a, 64 bits (Fowler, Noll, Vo; the parameters of RFC 9923).
///
/// Whoever can choose keys can choose the server that they lead to; a better hash would not change that.
#[derive(Debug, Clone, Copy)]
pub struct StableHash(u64);

impl Default for StableHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl StableHash {
    /// The hash of one part.
    pub fn of(bytes: &[u8]) -> u64 {
        Self::default().with(bytes.iter().copied()).end()
    }

    /// The hash with more bytes behind.
    #[must_use]
    pub fn with(self, bytes: impl IntoIterator<Item = u8>) -> Self {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.into_iter().fold(self.0, step))
    }

    /// The number.
    pub fn end(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_reference() {
        assert_eq!(StableHash::of(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(StableHash::of(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(StableHash::of(b"foobar"), 0x8594_4171_f739_67e8);
        let parts = StableHash::default().with(*b"foo").with(*b"bar");
        assert_eq!(parts.end(), StableHash::of(b"foobar"));
    }
}
