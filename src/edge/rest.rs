use std::sync::atomic::{AtomicU64, Ordering};
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
    /// How many requests it is for.
    most: Option<u32>,
    /// How many there were.
    heads: AtomicU64,
    /// How many of them came to the proxy.
    served: AtomicU64,
    /// How many did not, as far as that was told.
    missed: AtomicU64,
    used_up: Notify,
}

impl Rest {
    /// At rest from now on, and for so many requests.
    pub(super) fn new(now: Instant, requests: Option<u32>) -> Self {
        Self {
            since: Mutex::new(Some(now)),
            begun: Notify::new(),
            most: requests,
            heads: AtomicU64::new(0),
            served: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            used_up: Notify::new(),
        }
    }

    /// One more request has begun.
    pub(super) fn count(&self) {
        let number = self.heads.fetch_add(1, Ordering::Relaxed) + 1;
        if self.most.is_some_and(|most| number == u64::from(most)) {
            self.used_up.notify_one();
        }
    }

    /// It came to the proxy.
    pub(super) fn serve(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// How many more did not, now that all have ended.
    pub(super) fn missed(&self) -> u64 {
        let served = self.served.load(Ordering::Relaxed);
        let missed = self.heads.load(Ordering::Relaxed).saturating_sub(served);
        let before = self.missed.fetch_max(missed, Ordering::Relaxed);
        missed.saturating_sub(before)
    }

    /// Until the last request that it is for has begun.
    pub(super) async fn used_up(&self) {
        self.used_up.notified().await;
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
    async fn a_connection_is_used_up_by_the_last_of_its_requests() {
        let rest = Rest::new(Instant::now(), Some(2));
        rest.count();
        assert!(timeout(MOMENT, rest.used_up()).await.is_err());
        rest.count();
        rest.used_up().await;
    }

    #[test]
    fn what_did_not_come_to_the_proxy_is_told_once() {
        let rest = Rest::new(Instant::now(), None);
        rest.count();
        rest.serve();
        assert_eq!(rest.missed(), 0);
        rest.count();
        assert_eq!((rest.missed(), rest.missed()), (1, 0));
        rest.count();
        rest.serve();
        rest.count();
        assert_eq!(rest.missed(), 1);
    }

    #[tokio::test]
    async fn a_rest_counts_from_the_last_answer_and_ends_with_a_request() {
        let start = Instant::now();
        let rest = Rest::new(start, None);
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
