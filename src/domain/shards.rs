//! A hash map whose copies share what they have in common.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, Equivalent, HashTable};

/// A hash map in parts: a copy copies the table of parts, a change one part. Of 10,000 entries that is
/// some 200 pointers instead of 10,000, and a lookup costs one pointer more than in a plain map.
#[derive(Debug, Clone)]
pub struct Shards<K, V> {
    parts: Box<[Part<K, V>]>,
    /// Entries in all: asked for with each request.
    len: usize,
    hasher: DefaultHashBuilder,
}

type Part<K, V> = Arc<HashTable<(K, V)>>;

/// A power of two. For n entries the sum of parts and entries of a part is least near sqrt(n).
const PARTS: usize = 128;

impl<K: Hash + Eq + Clone, V: Clone> Shards<K, V> {
    /// The value of a key.
    pub fn get<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<&V> {
        if self.len == 0 {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let found = self.parts.get(part(hash))?;
        let (_, value) = found.find(hash, |(other, _)| key.equivalent(other))?;
        Some(value)
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: K, value: V) {
        let hash = self.hasher.hash_one(&key);
        let hasher = &self.hasher;
        let Some(part) = self.parts.get_mut(part(hash)) else {
            return;
        };
        let part = Arc::make_mut(part);
        match part.find_mut(hash, |(other, _)| *other == key) {
            Some((_, old)) => *old = value,
            None => {
                part.insert_unique(hash, (key, value), |(key, _)| hasher.hash_one(key));
                self.len += 1;
            }
        }
    }

    /// Takes an entry out.
    pub fn remove<Q: Hash + Equivalent<K> + ?Sized>(&mut self, key: &Q) {
        if self.get(key).is_none() {
            return;
        }
        let hash = self.hasher.hash_one(key);
        if let Some(part) = self.parts.get_mut(part(hash))
            && let Ok(entry) =
                Arc::make_mut(part).find_entry(hash, |(other, _)| key.equivalent(other))
        {
            entry.remove();
            self.len -= 1;
        }
    }

    /// The values, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        let entries = self.parts.iter().flat_map(|part| part.iter());
        entries.map(|(_, value)| value)
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Bits that the tables within do not look at: they use the lowest and the highest.
fn part(hash: u64) -> usize {
    (hash >> 40) as usize % PARTS
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self {
            parts: vec![Arc::default(); PARTS].into(),
            len: 0,
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> FromIterator<(K, V)> for Shards<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut shards = Self::default();
        for (key, value) in entries {
            shards.insert(key, value);
        }
        shards
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_hash_map_and_a_copy_stays_as_it_was(
            first in prop::collection::hash_map(0u16..900, any::<u8>(), 0..500),
            edits in prop::collection::vec((0u16..900, prop::option::of(any::<u8>())), 0..60),
        ) {
            let before: Shards<u16, u8> = first.clone().into_iter().collect();
            let (mut after, mut model) = (before.clone(), first.clone());
            for (key, value) in edits {
                match value {
                    Some(value) => {
                        after.insert(key, value);
                        model.insert(key, value);
                    }
                    None => {
                        after.remove(&key);
                        model.remove(&key);
                    }
                }
            }
            let agree = |shards: &Shards<u16, u8>, model: &HashMap<u16, u8>| {
                (0..900).all(|key| shards.get(&key) == model.get(&key)) && shards.is_empty() == model.is_empty()
            };
            prop_assert!(agree(&before, &first) && agree(&after, &model));
        }
    }
}
