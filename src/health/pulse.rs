use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How much time the checks' thread has lost because others had its core, or because it was busy itself: what a probe
/// then says of its server may be about this process.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<Beats>);

#[derive(Debug, Default)]
struct Beats {
    /// When the next beat is due.
    due: Option<Instant>,
    lost: Duration,
    discarded_at: Option<Instant>,
}

impl Pulse {
    /// Beats until it is dropped.
    pub(super) async fn beat(&self) {
        loop {
            let due = Instant::now() + BEAT;
            self.lock().due = Some(due);
            sleep_until(due).await;
            let mut beats = self.lock();
            beats.lost += late(due, Instant::now());
            beats.due = None;
        }
    }

    /// The time lost so far; a beat that is late right now counts as far as it is.
    pub(super) fn lost(&self, now: Instant) -> Duration {
        let beats = self.lock();
        beats.lost + beats.due.map_or(Duration::ZERO, |due| late(due, now))
    }

    /// Notes that a result was discarded; whether it is the first one for a while.
    pub(super) fn discard(&self, now: Instant) -> bool {
        let before = self.lock().discarded_at.replace(now);
        before.is_none_or(|before| now.duration_since(before) > SILENCE)
    }

    fn lock(&self) -> MutexGuard<'_, Beats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Twenty wake-ups a second cost next to nothing, and see what matters to a probe.
const BEAT: Duration = Duration::from_millis(50);
/// A timer has a grain of 1 ms, and a thread that yields waits for its turn now and then.
const GRAIN: Duration = Duration::from_millis(5);
const SILENCE: Duration = Duration::from_secs(60);

fn late(due: Instant, now: Instant) -> Duration {
    let late = now.saturating_duration_since(due);
    if late > GRAIN { late } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn time_that_passes_without_a_beat_is_lost() {
        let pulse = Arc::new(Pulse::default());
        let beating = pulse.clone();
        tokio::spawn(async move { beating.beat().await });
        tokio::time::sleep(1000 * MS).await;
        assert_eq!(pulse.lost(Instant::now()), Duration::ZERO);
        // Nothing else runs meanwhile: the beat is late, whether or not it could say so itself.
        tokio::time::advance(700 * MS).await;
        let seen = pulse.lost(Instant::now());
        assert!((640 * MS..=700 * MS).contains(&seen), "{seen:?}");
        tokio::time::sleep(500 * MS).await;
        let later = pulse.lost(Instant::now());
        assert!((seen..=700 * MS).contains(&later), "{later:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_discarded_in_a_row_is_told_once() {
        let pulse = Pulse::default();
        let tells: Vec<bool> = [0, 59, 59, 61]
            .map(|seconds| Instant::now() + Duration::from_secs(seconds))
            .map(|now| pulse.discard(now))
            .to_vec();
        assert_eq!(tells, [true, false, false, false]);
        assert!(pulse.discard(Instant::now() + Duration::from_secs(122)));
    }
}
