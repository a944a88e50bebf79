//! Counters as plain atomics: one per label value, and those of a request together.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::labels::{Label, StatusClass};

/// A counter for each value of `L`.
#[derive(Debug)]
pub(super) struct CounterSet<L> {
    counts: Box<[AtomicU64]>,
    label: PhantomData<L>,
}

impl<L: Label> Default for CounterSet<L> {
    fn default() -> Self {
        Self {
            counts: L::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            label: PhantomData,
        }
    }
}

impl<L: Label> CounterSet<L> {
    pub(super) fn increment(&self, label: L) {
        if let Some(count) = self.counts.get(label.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (L, u64)> {
        L::ALL.iter().copied().zip(
            self.counts
                .iter()
                .map(|count| count.load(Ordering::Relaxed)),
        )
    }
}

/// What every request adds to: its status class and its duration. One of these per shard.
#[derive(Debug, Default)]
pub(super) struct RequestCounters {
    classes: [AtomicU64; 6],
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    total_us: AtomicU64,
}

impl RequestCounters {
    pub(super) fn add(&self, class: StatusClass, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        let class = self.classes.get(class.index());
        for counter in class.into_iter().chain(self.buckets.get(bucket)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.total_us.fetch_add(us, Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, totals: &mut RequestTotals) {
        let counts = totals.classes.iter_mut().zip(&self.classes);
        let buckets = totals.buckets.iter_mut().zip(&self.buckets);
        for (total, count) in counts.chain(buckets) {
            *total += count.load(Ordering::Relaxed);
        }
        totals.total_us = totals
            .total_us
            .wrapping_add(self.total_us.load(Ordering::Relaxed));
    }
}

/// The sum of all shards' [`RequestCounters`].
#[derive(Debug, Default)]
pub(super) struct RequestTotals {
    pub(super) classes: [u64; 6],
    buckets: [u64; BOUNDS_US.len() + 1],
    total_us: u64,
}

impl RequestTotals {
    /// The sum of all durations, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.total_us as f64 / 1e6
    }

    /// The number of requests: that of the buckets, so that the two always agree within one scrape.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Upper bound in seconds and number of requests in each bucket alone; the last one has no bound.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        BOUNDS_US
            .iter()
            .map(|bound| *bound as f64 / 1e6)
            .chain([f64::INFINITY])
            .zip(self.buckets)
            .collect()
    }
}

/// Upper bounds in microseconds, each inclusive: Prometheus's usual 1-2.5-5 steps, begun at 250 µs since a server in the
/// same rack answers faster than 5 ms, and ended at 60 s, where the default timeouts end a request.
const BOUNDS_US: [u64; 17] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_counter_for_every_status_class() {
        let counters = RequestCounters::default();
        assert_eq!(counters.classes.len(), StatusClass::ALL.len());
    }

    #[test]
    fn a_duration_on_a_bound_belongs_to_the_bucket_that_ends_there() {
        let counters = RequestCounters::default();
        counters.add(StatusClass::Success, Duration::from_micros(250));
        counters.add(StatusClass::Success, Duration::from_micros(251));
        let mut totals = RequestTotals::default();
        counters.add_to(&mut totals);
        assert_eq!(totals.buckets()[..2], [(0.000_25, 1), (0.000_5, 1)]);
    }

    #[test]
    fn a_duration_beyond_the_last_bound_is_counted_without_bound() {
        let counters = RequestCounters::default();
        counters.add(StatusClass::Success, Duration::from_secs(61));
        let mut totals = RequestTotals::default();
        counters.add_to(&mut totals);
        assert_eq!(totals.buckets().last(), Some(&(f64::INFINITY, 1)));
        assert_eq!(totals.count(), 1);
    }
}
