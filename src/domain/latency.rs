//! How fast a server answers: what is remembered of its last answers.

use std::sync::atomic::{AtomicU64, Ordering};

/// The time to the first byte as a moving average that is sensitive to peaks ("peak EWMA", Finagle's):
/// a slower answer than the average counts at once, a faster one by how long ago the last one was.
///
/// What is not seen again is forgotten: half of it in 7 s, so that a server that was slow once
/// is tried again. One word, so that it needs no lock; of two answers at once one may be lost.
#[derive(Debug, Default)]
pub struct Latency(AtomicU64);

/// In milliseconds. Finagle and linkerd forget all but 1/e in 10 s, which is half in 7 s.
const HALF_LIFE: u32 = 7_000;

impl Latency {
    /// Records an answer that took so many microseconds, at `now` (milliseconds by any clock that
    /// goes on).
    pub fn observe(&self, microseconds: u64, now: u64) {
        let seen = u32::try_from(microseconds).unwrap_or(u32::MAX).max(1);
        let (last, at) = unpack(self.0.load(Ordering::Relaxed));
        let next = if seen >= faded(last, at, now) {
            seen
        } else {
            // The old average's share is what would be left of it by now.
            let kept = faded(u32::MAX, at, now);
            let mix =
                u64::from(last) * u64::from(kept) + u64::from(seen) * u64::from(u32::MAX - kept);
            (mix >> 32) as u32
        };
        self.0.store(pack(next.max(1), now), Ordering::Relaxed);
    }

    /// What to expect at `now`, in microseconds; 0: it has not answered yet, or too long ago.
    pub fn at(&self, now: u64) -> u64 {
        let (last, at) = unpack(self.0.load(Ordering::Relaxed));
        u64::from(faded(last, at, now))
    }
}

/// What is left of an average: a half for each half-life, and within one the share x of it as much as
/// 1 - ln 2 x + (ln 2 - 1/2) x^2, which is right at both ends, in slope at the first, and within 1 %
/// between.
fn faded(average: u32, at: u32, now: u64) -> u32 {
    let age = (now as u32).wrapping_sub(at);
    // Two threads read the clock on their own: a moment earlier is the same moment.
    let age = if age > u32::MAX / 2 { 0 } else { age };
    let halved = average.checked_shr(age / HALF_LIFE).unwrap_or(0);
    // In parts of 65,536.
    let x = (u64::from(age % HALF_LIFE) << 16) / u64::from(HALF_LIFE);
    let lost = (x * (45_426 - ((12_658 * x) >> 16))) >> 16;
    // At most a half, so it fits.
    halved - ((u64::from(halved) * lost) >> 16) as u32
}

/// Milliseconds are kept modulo 2^32: an average 49 days old may count as a young one.
fn pack(average: u32, now: u64) -> u64 {
    u64::from(average) << 32 | u64::from(now as u32)
}

fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slow_answer_counts_at_once_and_fades() {
        let latency = Latency::default();
        assert_eq!(latency.at(5), 0);
        latency.observe(1_000, 1_000);
        latency.observe(80_000, 1_001);
        assert_eq!(latency.at(1_001), 80_000);
        assert_eq!(latency.at(8_001), 40_000);
        assert_eq!(latency.at(15_001), 20_000);
        assert_eq!(latency.at(1_000_000), 0);
    }

    #[test]
    fn many_fast_answers_bring_it_down_as_time_goes_by() {
        let latency = Latency::default();
        latency.observe(80_000, 1_000);
        (1_000..8_000).for_each(|now| latency.observe(1_000, now));
        let after = latency.at(8_000);
        assert!((38_000..=43_000).contains(&after), "{after}");
        (8_000..80_000).for_each(|now| latency.observe(1_000, now));
        let after = latency.at(80_000);
        assert!((1_000..=1_200).contains(&after), "{after}");
    }

    proptest! {
        #[test]
        fn it_lies_between_the_fastest_and_the_slowest_answer(answers in prop::collection::vec((1u64..10_000_000, 0u64..3_000), 1..50)) {
            let (latency, mut now) = (Latency::default(), 1_000);
            for (answer, later) in &answers {
                now += later;
                latency.observe(*answer, now);
            }
            let times = answers.iter().map(|(answer, _)| *answer);
            let seen = latency.at(now);
            // Rounding takes at most 1 each time.
            prop_assert!(seen <= times.clone().max().unwrap());
            prop_assert!(seen + answers.len() as u64 >= times.min().unwrap());
        }

        #[test]
        fn a_clock_read_out_of_order_is_the_same_moment(answer in 1u64..u32::MAX.into(), now in 1_000u64..u64::MAX, earlier in 0u64..1_000) {
            let latency = Latency::default();
            latency.observe(answer, now);
            prop_assert_eq!(latency.at(now - earlier), answer);
        }
    }
}
