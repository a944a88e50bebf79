use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list whose copies share what they have in common: it is kept in chunks, and a change copies one
/// chunk and the table of chunks. Of 10,000 elements that is some 200 pointers instead of 10,000.
#[derive(Clone)]
pub struct SharedList<T> {
    /// None is empty.
    chunks: Vec<Chunk<T>>,
}

type Chunk<T> = Arc<Vec<T>>;

/// Where an element is, or would be: its chunk and its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(usize, usize);

/// The part in which two lists differ: what stands before and after it is the same in both.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference<'a, T> {
    /// How many elements stand before it.
    pub start: usize,
    /// What the older list has there.
    pub old: Vec<&'a T>,
    /// What the newer list has there.
    pub new: Vec<&'a T>,
}

/// A chunk that grows longer is split. A copy costs one chunk and a table of all: for n elements the
/// sum is least near chunks of sqrt(n), and this is that of 10,000.
const LONGEST: usize = 128;

impl<T: Clone> SharedList<T> {
    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The elements in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.at(self.place(index))
    }

    /// Appends an element.
    pub fn push(&mut self, element: T) {
        self.insert_at(self.place(self.len()), element);
    }

    /// Puts another element into the place of the one at `index`; nothing happens where there is none.
    pub fn replace(&mut self, index: usize, element: T) {
        let place = self.place(index);
        if let Some(old) = self.at_mut(place) {
            *old = element;
        }
    }

    /// Takes the element at `index` out.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        self.remove_at(self.place(index))
    }

    /// What differs from the older list, by `same`. Costs a look at the chunks that are not one
    /// and the same object in both.
    pub fn difference<'a>(
        &'a self,
        before: &'a Self,
        same: impl Fn(&T, &T) -> bool,
    ) -> Difference<'a, T> {
        let (first, old, new) = self.differing_chunks(before);
        let elements = |chunks: &'a [Chunk<T>]| -> Vec<&'a T> {
            chunks.iter().flat_map(|chunk| chunk.iter()).collect()
        };
        let (mut old, mut new) = (elements(old), elements(new));
        let pairs = old.iter().zip(&new);
        let start = pairs.take_while(|(old, new)| same(old, new)).count();
        old.drain(..start);
        new.drain(..start);
        let pairs = old.iter().rev().zip(new.iter().rev());
        let end = pairs.take_while(|(old, new)| same(old, new)).count();
        old.truncate(old.len() - end);
        new.truncate(new.len() - end);
        Difference {
            start: first + start,
            old,
            new,
        }
    }

    /// Without the chunks that are one and the same object at the start and at the end of both:
    /// how many elements those at the start have, the older rest, the newer rest.
    fn differing_chunks<'a>(&'a self, before: &'a Self) -> (usize, &'a [Chunk<T>], &'a [Chunk<T>]) {
        let (mut old, mut new) = (&*before.chunks, &*self.chunks);
        let mut first = 0;
        while let ([a, old_rest @ ..], [b, new_rest @ ..]) = (old, new)
            && Arc::ptr_eq(a, b)
        {
            first += a.len();
            (old, new) = (old_rest, new_rest);
        }
        while let ([old_rest @ .., a], [new_rest @ .., b]) = (old, new)
            && Arc::ptr_eq(a, b)
        {
            (old, new) = (old_rest, new_rest);
        }
        (first, old, new)
    }

    /// Where an ordered list has the element, or would have it: `order` compares one to what is sought.
    pub(super) fn search(&self, order: impl Fn(&T) -> std::cmp::Ordering) -> Result<Place, Place> {
        let is_before = |chunk: &Chunk<T>| chunk.last().is_some_and(|last| order(last).is_lt());
        let chunk = self.chunks.partition_point(is_before);
        match self.chunks.get(chunk) {
            Some(elements) => elements
                .binary_search_by(&order)
                .map(|at| Place(chunk, at))
                .map_err(|at| Place(chunk, at)),
            // After all: into the last chunk.
            None => Err(self.end()),
        }
    }

    pub(super) fn at(&self, Place(chunk, at): Place) -> Option<&T> {
        self.chunks.get(chunk)?.get(at)
    }

    pub(super) fn at_mut(&mut self, Place(chunk, at): Place) -> Option<&mut T> {
        let elements = self.chunks.get_mut(chunk)?;
        Arc::make_mut(elements).get_mut(at)
    }

    pub(super) fn insert_at(&mut self, Place(chunk, at): Place, element: T) {
        let Some(elements) = self.chunks.get_mut(chunk) else {
            self.chunks.push(Arc::new(vec![element]));
            return;
        };
        let elements = Arc::make_mut(elements);
        elements.insert(at.min(elements.len()), element);
        if elements.len() > LONGEST {
            let second = elements.split_off(LONGEST / 2);
            self.chunks.insert(chunk + 1, Arc::new(second));
        }
    }

    pub(super) fn remove_at(&mut self, place: Place) -> Option<T> {
        self.at(place)?;
        let Place(chunk, at) = place;
        let elements = Arc::make_mut(self.chunks.get_mut(chunk)?);
        let element = elements.remove(at);
        if elements.is_empty() {
            self.chunks.remove(chunk);
        }
        Some(element)
    }

    fn place(&self, index: usize) -> Place {
        let mut rest = index;
        for (number, chunk) in self.chunks.iter().enumerate() {
            if rest < chunk.len() {
                return Place(number, rest);
            }
            rest -= chunk.len();
        }
        self.end()
    }

    /// Behind the last element.
    fn end(&self) -> Place {
        let last = self.chunks.last().map_or(0, |chunk| chunk.len());
        Place(self.chunks.len().saturating_sub(1), last)
    }
}

impl<T> Default for SharedList<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T: Clone> FromIterator<T> for SharedList<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let elements: Vec<T> = elements.into_iter().collect();
        let chunks = elements.chunks(LONGEST / 2);
        Self {
            chunks: chunks.map(|chunk| Arc::new(chunk.to_vec())).collect(),
        }
    }
}

impl<T: Clone> From<Vec<T>> for SharedList<T> {
    fn from(elements: Vec<T>) -> Self {
        elements.into_iter().collect()
    }
}

impl<'a, T> IntoIterator for &'a SharedList<T> {
    type Item = &'a T;
    type IntoIter = std::iter::FlatMap<
        std::slice::Iter<'a, Chunk<T>>,
        std::slice::Iter<'a, T>,
        fn(&'a Chunk<T>) -> std::slice::Iter<'a, T>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

impl<T: Clone + PartialEq> PartialEq for SharedList<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for SharedList<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<T: Serialize> Serialize for SharedList<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de, T: Clone + Deserialize<'de>> Deserialize<'de> for SharedList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Edit {
        Push(u16),
        Replace(usize, u16),
        Remove(usize),
    }

    fn edits() -> impl Strategy<Value = Vec<Edit>> {
        let edit = prop_oneof![
            any::<u16>().prop_map(Edit::Push),
            (0..600usize, any::<u16>()).prop_map(|(at, value)| Edit::Replace(at, value)),
            (0..600usize).prop_map(Edit::Remove),
        ];
        prop::collection::vec(edit, 0..40)
    }

    fn apply(list: &mut SharedList<u16>, model: &mut Vec<u16>, edit: &Edit) {
        match *edit {
            Edit::Push(value) => {
                list.push(value);
                model.push(value);
            }
            Edit::Replace(at, value) => {
                list.replace(at, value);
                if let Some(old) = model.get_mut(at) {
                    *old = value;
                }
            }
            Edit::Remove(at) => {
                let removed = list.remove(at);
                assert_eq!(removed, (at < model.len()).then(|| model.remove(at)));
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_a_vec(first in prop::collection::vec(any::<u16>(), 0..500), edits in edits()) {
            let mut list = SharedList::from(first.clone());
            let mut model = first;
            for edit in &edits {
                apply(&mut list, &mut model, edit);
                prop_assert_eq!(list.len(), model.len());
            }
            prop_assert!(list.iter().eq(&model) && list.iter().rev().eq(model.iter().rev()));
            prop_assert_eq!(list.get(model.len() / 2), model.get(model.len() / 2));
            prop_assert!(list.chunks.iter().all(|chunk| (1..=LONGEST).contains(&chunk.len())));
        }

        #[test]
        fn a_copy_stays_as_it_was_and_the_difference_leads_from_one_to_the_other(first in prop::collection::vec(any::<u16>(), 0..500), edits in edits()) {
            let before = SharedList::from(first.clone());
            let (mut after, mut model) = (before.clone(), first.clone());
            edits.iter().for_each(|edit| apply(&mut after, &mut model, edit));
            prop_assert!(before.iter().eq(&first));
            let Difference { start, old, new } = after.difference(&before, |a, b| a == b);
            let mut led = first;
            let replaced: Vec<u16> = led.splice(start..start + old.len(), new.into_iter().copied()).collect();
            prop_assert_eq!(replaced, old.into_iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(led, model);
        }
    }

    #[test]
    fn a_change_copies_one_chunk() {
        let before: SharedList<u32> = (0..10_000).collect();
        let mut after = before.clone();
        after.replace(5_000, 1);
        let pairs = before.chunks.iter().zip(&after.chunks);
        assert_eq!(pairs.filter(|(a, b)| !Arc::ptr_eq(a, b)).count(), 1);
    }
}
