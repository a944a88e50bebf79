//! The one place that reads the wall clock. Everything else takes the time as an argument.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A moment in Unix time with millisecond resolution. Displays as RFC 3339 in UTC: `2026-11-20T15:33:22.123Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `unix_ms` milliseconds after the Unix epoch.
    pub fn from_unix_ms(unix_ms: u64) -> Self {
        Self(unix_ms)
    }

    /// Now, by the system's wall clock.
    pub fn now() -> Self {
        Self(unix_ms())
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(self) -> u64 {
        self.0
    }

    /// The same moment for jiff; one beyond the year 9999 becomes jiff's last.
    pub fn to_jiff(self) -> jiff::Timestamp {
        i64::try_from(self.0)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
            .unwrap_or(jiff::Timestamp::MAX)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.to_jiff())
    }
}

/// Milliseconds of this process's own clock, which only goes on: for what lasts, not for when.
/// At least 1.
pub fn monotonic_ms() -> u64 {
    monotonic_at(Instant::now())
}

/// The same clock at a moment that was read already.
pub fn monotonic_at(moment: Instant) -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = moment.saturating_duration_since(*START.get_or_init(Instant::now));
    u64::try_from(elapsed.as_millis()).map_or(u64::MAX, |ms| ms.saturating_add(1))
}

/// Milliseconds since the Unix epoch, now. A clock set before 1970 reads as 0.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the place that every other reader of the wall clock goes through"
)]
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| {
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_displays_as_rfc_3339_with_milliseconds() {
        let text = Timestamp::from_unix_ms(1_795_188_802_045).to_string();
        assert_eq!(text, "2026-11-20T15:33:22.045Z");
    }

    #[test]
    fn a_whole_second_keeps_its_three_decimals() {
        assert_eq!(
            Timestamp::from_unix_ms(0).to_string(),
            "1970-01-01T00:00:00.000Z"
        );
    }

    #[test]
    fn a_moment_beyond_the_calendar_still_displays() {
        assert!(
            Timestamp::from_unix_ms(u64::MAX)
                .to_string()
                .starts_with("9999-12-30T")
        );
    }

    #[test]
    fn now_lies_after_this_file_was_written() {
        assert!(Timestamp::now() > Timestamp::from_unix_ms(1_700_000_000_000));
    }
}
