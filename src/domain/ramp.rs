//! Slow start: how a server's share grows to the whole when it starts to take requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A server's slow start. It begins with the first pick that could take the server, so that nothing has
/// to tell the time but picks, and a server is not warm by waiting.
#[derive(Debug, Clone)]
pub struct Ramp {
    /// In milliseconds.
    length: u64,
    start: Arc<Start>,
}

/// What survives snapshots.
#[derive(Debug)]
struct Start {
    /// In milliseconds of the picks' clock, or one of the two below.
    since: AtomicU64,
    /// How often its checks had brought the server back when this was looked at last.
    recoveries: AtomicU32,
}

/// The next pick begins it.
const DUE: u64 = 0;
/// There is nothing to begin.
const NEVER: u64 = u64::MAX;

/// A whole share.
pub const WHOLE: u64 = 1024;
/// The share that it begins with, a tenth: with less, a server of a small group would wait for its first
/// request.
const FLOOR: u64 = WHOLE / 10;

impl Ramp {
    /// A server that takes its whole share until its checks bring it back; `is_due`: it begins now.
    pub fn new(length: Duration, recoveries: u32, is_due: bool) -> Self {
        let start = Start {
            since: AtomicU64::new(if is_due { DUE } else { NEVER }),
            recoveries: AtomicU32::new(recoveries),
        };
        Self {
            length: milliseconds(length),
            start: Arc::new(start),
        }
    }

    /// The same slow start with this length.
    pub fn of_length(&self, length: Duration) -> Self {
        Self {
            length: milliseconds(length),
            start: self.start.clone(),
        }
    }

    /// The share at `now` in parts of [`WHOLE`], for a pick that could take the server: what is due begins.
    pub(super) fn share(&self, recoveries: u32, now: u64) -> u64 {
        let now = now.clamp(DUE + 1, NEVER - 1);
        let Start {
            since,
            recoveries: seen,
        } = &*self.start;
        let is_back = seen.load(Ordering::Relaxed) != recoveries
            && seen.swap(recoveries, Ordering::Relaxed) != recoveries;
        if is_back {
            since.store(now, Ordering::Relaxed);
        } else if since.load(Ordering::Relaxed) == DUE {
            // Of two picks at once the first begins it.
            let _ = since.compare_exchange(DUE, now, Ordering::Relaxed, Ordering::Relaxed);
        }
        self.grown(since.load(Ordering::Relaxed), now)
    }

    /// The share at `now`, to be looked at: nothing begins.
    pub(super) fn seen(&self, recoveries: u32, now: u64) -> u64 {
        let is_back = self.start.recoveries.load(Ordering::Relaxed) != recoveries;
        match self.start.since.load(Ordering::Relaxed) {
            _ if is_back => FLOOR,
            DUE => FLOOR,
            since => self.grown(since, now),
        }
    }

    fn grown(&self, since: u64, now: u64) -> u64 {
        if since == NEVER {
            return WHOLE;
        }
        // Threads read the clock on their own: an earlier moment is the beginning.
        let age = now.saturating_sub(since);
        if age >= self.length {
            return WHOLE;
        }
        FLOOR.max(WHOLE * age / self.length)
    }
}

fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX / WHOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    #[test]
    fn a_share_grows_evenly_from_a_tenth_to_the_whole() {
        let ramp = Ramp::new(TEN, 0, true);
        assert_eq!(ramp.seen(0, 5_000), FLOOR);
        assert_eq!(ramp.share(0, 5_000), FLOOR);
        assert_eq!(ramp.share(0, 5_500), FLOOR);
        assert_eq!(ramp.share(0, 7_500), WHOLE / 4);
        assert_eq!(ramp.share(0, 10_000), WHOLE / 2);
        assert_eq!(
            (ramp.share(0, 15_000), ramp.seen(0, 15_000)),
            (WHOLE, WHOLE)
        );
    }

    #[test]
    fn a_recovery_begins_it_once() {
        let ramp = Ramp::new(TEN, 0, false);
        assert_eq!(ramp.share(0, 5_000), WHOLE);
        assert_eq!(ramp.seen(1, 6_000), FLOOR);
        assert_eq!(ramp.share(1, 6_000), FLOOR);
        assert_eq!(ramp.share(1, 11_000), WHOLE / 2);
    }

    #[test]
    fn another_length_goes_on_from_the_same_start() {
        let ramp = Ramp::new(TEN, 0, true);
        ramp.share(0, 1_000);
        let longer = ramp.of_length(2 * TEN);
        assert_eq!(longer.share(0, 11_000), WHOLE / 2);
    }
}
