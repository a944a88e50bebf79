use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::shared_list::SharedList;

/// A map in the order of its keys, whose copies share what they have in common. See [`SharedList`].
#[derive(Clone)]
pub struct SharedMap<K, V>(SharedList<(K, V)>);

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.get_key_value(key).map(|(_, value)| value)
    }

    /// A key as it stands here (equal keys need not look the same), with its value.
    pub fn get_key_value(&self, key: &K) -> Option<(&K, &V)> {
        let place = self.0.search(|(other, _)| other.cmp(key)).ok()?;
        self.0.at(place).map(|(key, value)| (key, value))
    }

    /// The value of a key, to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.0.search(|(other, _)| other.cmp(key)).ok()?;
        self.0.at_mut(place).map(|(_, value)| value)
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of a key; answers the one before. A key that is there stays as it stands.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.0.search(|(other, _)| other.cmp(&key)) {
            Ok(place) => {
                let (_, old) = self.0.at_mut(place)?;
                Some(std::mem::replace(old, value))
            }
            Err(place) => {
                self.0.insert_at(place, (key, value));
                None
            }
        }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.0.search(|(other, _)| other.cmp(key)).ok()?;
        self.0.remove_at(place).map(|(_, value)| value)
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The entries that differ from an older map by `same`: each key with its value before and now,
    /// in order. Costs a look at the chunks that are not one and the same object in both.
    pub fn difference<'a>(
        &'a self,
        before: &'a Self,
        same: impl Fn(&V, &V) -> bool,
    ) -> Vec<Changed<'a, K, V>> {
        // Where keys are added or removed the rest of the part is shifted: paired by key again.
        let part = self
            .0
            .difference(&before.0, |(a, x), (b, y)| a == b && same(x, y));
        let (mut old, mut new) = (
            part.old.into_iter().peekable(),
            part.new.into_iter().peekable(),
        );
        let mut found = Vec::new();
        loop {
            let key = match (old.peek(), new.peek()) {
                (None, None) => return found,
                (Some((a, _)), Some((b, _))) => a.min(b),
                (Some((key, _)), None) | (None, Some((key, _))) => key,
            };
            let was = old
                .next_if(|(other, _)| other == key)
                .map(|(_, value)| value);
            let is = new
                .next_if(|(other, _)| other == key)
                .map(|(_, value)| value);
            if !matches!((was, is), (Some(was), Some(is)) if same(was, is)) {
                found.push((key, was, is));
            }
        }
    }
}

/// A key with its value before and now.
pub type Changed<'a, K, V> = (&'a K, Option<&'a V>, Option<&'a V>);

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self(SharedList::default())
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let sorted: BTreeMap<K, V> = entries.into_iter().collect();
        Self(sorted.into_iter().collect())
    }
}

impl<K: Ord + Clone, V: Clone, const N: usize> From<[(K, V); N]> for SharedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<'a, K, V> IntoIterator for &'a SharedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::iter::Map<
        <&'a SharedList<(K, V)> as IntoIterator>::IntoIter,
        fn(&'a (K, V)) -> (&'a K, &'a V),
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|(key, value)| (key, value))
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K: Debug, V: Debug> Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<K: Serialize, V: Serialize> Serialize for SharedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de, K: Ord + Clone + Deserialize<'de>, V: Clone + Deserialize<'de>> Deserialize<'de>
    for SharedMap<K, V>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sorted = BTreeMap::deserialize(deserializer)?;
        Ok(Self(sorted.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_btreemap_whose_difference_is_that_of_all_entries(
            first in prop::collection::btree_map(0u16..900, any::<u8>(), 0..500),
            edits in prop::collection::vec((0u16..900, prop::option::of(any::<u8>())), 0..60),
        ) {
            let before: SharedMap<u16, u8> = first.clone().into_iter().collect();
            let (mut after, mut model) = (before.clone(), first.clone());
            for (key, value) in edits {
                prop_assert_eq!(after.get(&key), model.get(&key));
                match value {
                    Some(value) => prop_assert_eq!(after.insert(key, value), model.insert(key, value)),
                    None => prop_assert_eq!(after.remove(&key), model.remove(&key)),
                }
                prop_assert_eq!(after.len(), model.len());
            }
            prop_assert!(after.iter().eq(&model) && before.iter().eq(&first));
            let keys: std::collections::BTreeSet<&u16> = first.keys().chain(model.keys()).collect();
            let expected: Vec<Changed<'_, u16, u8>> = keys
                .into_iter()
                .map(|key| (key, first.get(key), model.get(key)))
                .filter(|(_, was, is)| was != is)
                .collect();
            prop_assert_eq!(after.difference(&before, |a, b| a == b), expected);
        }
    }
}
