//! When a name is asked for again.

use std::time::Duration;

/// A name server that says 0 must not be asked without a pause.
const SHORTEST: Duration = Duration::from_secs(1);
/// Whoever moves a service is not told who still has old records: they go within 5 minutes whatever their TTL.
const LONGEST: Duration = Duration::from_secs(300);
/// A pause is up to so much longer than asked for, so that names that came together do not stay together.
const JITTER: f64 = 0.1;
/// After failures: twice as long each time, up to this.
const LONGEST_AFTER_FAILURE: Duration = Duration::from_secs(15);

/// After an answer: not before its records' end. `random` is uniform in 0..1.
pub(super) fn after_answer(ttl: Duration, random: f64) -> Duration {
    let longest = LONGEST.div_f64(1.0 + JITTER);
    jittered(ttl.clamp(SHORTEST, longest), random)
}

/// After so many failures in a row.
pub(super) fn after_failure(failures: u32, random: f64) -> Duration {
    let doubled = SHORTEST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    jittered(doubled.min(LONGEST_AFTER_FAILURE), random)
}

fn jittered(pause: Duration, random: f64) -> Duration {
    pause.mul_f64(1.0 + JITTER * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(pause: Duration) -> f64 {
        (pause.as_secs_f64() * 10.0).round() / 10.0
    }

    #[test]
    fn a_ttl_is_kept_between_one_second_and_five_minutes() {
        let after = |ttl, random| seconds(after_answer(Duration::from_secs(ttl), random));
        assert_eq!((after(0, 0.0), after(1, 0.0)), (1.0, 1.0));
        assert_eq!((after(60, 0.0), after(60, 1.0)), (60.0, 66.0));
        assert_eq!((after(86_400, 0.0), after(86_400, 1.0)), (272.7, 300.0));
    }

    #[test]
    fn failures_in_a_row_are_asked_about_ever_less_often() {
        let after: Vec<f64> = (1..7).map(|n| seconds(after_failure(n, 0.0))).collect();
        assert_eq!(after, [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]);
        assert_eq!(seconds(after_failure(u32::MAX, 1.0)), 16.5);
    }
}
