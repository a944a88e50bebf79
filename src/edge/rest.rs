use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep_until;

/// Since when one connection of HTTP/2 is at rest, by what is on the wire. That a request's answer was handed over to
/// be written says nothing yet: megabytes of it may lie in buffers that go with the connection.
#[derive(Debug)]
pub(super) struct Rest {
    since: Mutex<Option<Instant>>,
    begun: Notify,
}

impl Rest {
    /// At rest from now on.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: Mutex::new(Some(now)),
            begun: Notify::new(),
        }
    }

    /// Nothing is under way any more.
    pub(super) fn begin(&self, now: Instant) {
        *self.lock() = Some(now);
        self.begun.notify_one();
    }

    /// A request is under way.
    pub(super) fn end(&self) {
        *self.lock() = None;
    }

    /// None while a request is under way.
    pub(super) fn since(&self) -> Option<Instant> {
        *self.lock()
    }

    /// Until the rest has lasted for so long, counted from this time at the earliest. While requests come and go it
    /// sets no timer for each.
    pub(super) async fn lasts(&self, from: Instant, long_enough: Duration) {
        loop {
            let Some(since) = self.since() else {
                self.begun.notified().await;
                continue;
            };
            let Some(end) = since.max(from).checked_add(long_enough) else {
                return std::future::pending().await;
            };
            if Instant::now() >= end {
                return;
            }
            sleep_until(end.into()).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const MOMENT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_rest_counts_from_the_last_answer_and_ends_with_a_request() {
        let start = Instant::now();
        let rest = Rest::new(start);
        rest.lasts(start, MOMENT).await;
        assert!(start.elapsed() >= MOMENT);
        rest.lasts(start, MOMENT).await;
        rest.end();
        let waiting = rest.lasts(start, MOMENT);
        tokio::pin!(waiting);
        assert!(timeout(2 * MOMENT, &mut waiting).await.is_err());
        let begun = Instant::now();
        rest.begin(begun);
        waiting.await;
        assert!(begun.elapsed() >= MOMENT);
    }
}
