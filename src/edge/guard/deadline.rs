use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

/// A deadline that moves often and is rarely reached: its timer is set once and looks again when it fires, so that a
/// new deadline costs no new timer.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Ready once `deadline` is over.
    pub(super) fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let deadline = deadline.into();
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// How long a client was waited for, and for how much.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waiting: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

/// So much waiting is free: a client may be slow to begin.
const GRACE: Duration = Duration::from_secs(10);

impl Pace {
    /// The client moved this many bytes.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if let Some(since) = self.waiting.take() {
            self.waited += since.elapsed();
        }
    }

    /// So many bytes more wait for the client.
    pub(super) fn owes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    #[cfg(test)]
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// The client is waited for: until when at most, with this limit for each wait and this rate over all.
    pub(super) fn limit(&mut self, pause: Option<Duration>, rate: Option<u32>) -> Option<Instant> {
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let by_rate = rate.map(|rate| {
            let earned = Duration::from_secs(self.bytes / u64::from(rate.max(1)));
            earned.max(GRACE).saturating_sub(self.waited)
        });
        let allowed = match (pause, by_rate) {
            (Some(pause), Some(by_rate)) => pause.min(by_rate),
            (one, other) => one.or(other)?,
        };
        since.checked_add(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_has_ten_seconds_and_then_must_keep_the_rate() {
        let mut pace = Pace::default();
        let left = |pace: &mut Pace| {
            let until = pace.limit(Some(30 * SECOND), Some(240)).unwrap();
            until
                .saturating_duration_since(Instant::now())
                .as_secs_f64()
                .round()
        };
        assert_eq!(left(&mut pace), 10.0);
        pace.moved(240 * 15);
        assert_eq!(left(&mut pace), 15.0);
        pace.waited = 12 * SECOND;
        assert_eq!(left(&mut pace), 3.0);
        pace.moved(1_000_000);
        assert_eq!(left(&mut pace), 30.0);
        assert!(Pace::default().limit(None, None).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_on_is_not_reached_early() {
        let mut deadline = Deadline::default();
        let start = tokio::time::Instant::now().into_std();
        let mut polled = async |at: u64| {
            std::future::poll_fn(|context| {
                Poll::Ready(deadline.poll(start + Duration::from_secs(at), context))
            })
            .await
        };
        assert!(polled(10).await.is_pending());
        tokio::time::advance(Duration::from_secs(8)).await;
        assert!(polled(18).await.is_pending());
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(polled(18).await.is_pending());
        assert!(polled(13).await.is_pending());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(polled(13).await.is_ready());
    }
}
