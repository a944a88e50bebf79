//! Spreading hot state over threads, so that two cores seldom write the same cache line.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A value alone on its cache lines. 128 bytes: x86 fetches lines of 64 in pairs, and Apple's and
/// some Arm cores have lines of 128.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Padded<T>(pub(super) T);

/// One padded `T` for each shard.
#[derive(Debug)]
pub(super) struct Shards<T>(Box<[Padded<T>]>);

impl<T> Shards<T> {
    pub(super) fn new(make: impl FnMut() -> T) -> Self {
        Self::with_count(shard_count(), make)
    }

    /// `count` shards, at least one.
    pub(super) fn with_count(count: usize, mut make: impl FnMut() -> T) -> Self {
        Self((0..count.max(1)).map(|_| Padded(make())).collect())
    }

    /// The calling thread's own shard first, then the others.
    pub(super) fn mine_first(&self) -> impl Iterator<Item = &T> {
        let (before, from) = self
            .0
            .split_at_checked(my_slot() % self.0.len())
            .unwrap_or((&[], &self.0));
        from.iter().chain(before).map(|padded| &padded.0)
    }

    /// The calling thread's own shard. `None` never happens, since there is at least one.
    pub(super) fn mine(&self) -> Option<&T> {
        self.0.get(my_slot() % self.0.len()).map(|padded| &padded.0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// As many as hardware threads, rounded up to a power of two and at most 16: more would cost memory and scrape time for
/// contention that is already rare. The same for the life of the process, also when its CPU limits change.
pub(super) fn shard_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        threads.next_power_of_two().min(MAX_SHARDS)
    })
}

const MAX_SHARDS: usize = 16;

/// Threads number themselves at their first use. A thread that is being torn down counts as the first.
fn my_slot() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOT: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    SLOT.try_with(|slot| *slot).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_is_visited_once_starting_with_mine() {
        let mut next = 0;
        let shards = Shards::with_count(4, || {
            next += 1;
            next
        });
        let mut seen: Vec<_> = shards.mine_first().copied().collect();
        assert_eq!(seen.first(), shards.mine());
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3, 4]);
    }

    #[test]
    fn a_thread_keeps_its_shard() {
        let shards = Shards::new(|| ());
        assert!(std::ptr::eq(shards.mine().unwrap(), shards.mine().unwrap()));
    }
}
