use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::ports::telemetry::Metrics;

/// How this node stands to its store: when it last knew that what it serves is what is stored.
#[derive(Clone)]
pub struct Standing {
    inner: Arc<Mutex<Inner>>,
    metrics: Metrics,
}

struct Inner {
    /// On the clock that only goes on.
    agreed_at: u64,
    trouble: Option<Trouble>,
    /// When the trouble was last told.
    told_at: u64,
}

#[derive(Clone)]
struct Trouble {
    reason: String,
    is_diverged: bool,
}

/// The same at one moment, for who wants to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStatus {
    /// Why the node and the store are not in step; `None` when they are.
    pub trouble: Option<String>,
    /// Whether the store answers, but holds another state than the one that this node's descends from.
    pub is_diverged: bool,
    /// For how long nobody knows what is stored.
    pub stale: Duration,
}

impl Standing {
    pub(super) fn new(metrics: Metrics) -> Self {
        metrics.store_agreed(clock::unix_ms());
        let inner = Inner {
            agreed_at: clock::monotonic_ms(),
            trouble: None,
            told_at: 0,
        };
        let inner = Arc::new(Mutex::new(inner));
        Self { inner, metrics }
    }

    /// How it is now.
    pub fn status(&self) -> StoreStatus {
        let inner = self.locked();
        let stale = clock::monotonic_ms().saturating_sub(inner.agreed_at);
        StoreStatus {
            trouble: inner.trouble.as_ref().map(|it| it.reason.clone()),
            is_diverged: inner.trouble.as_ref().is_some_and(|it| it.is_diverged),
            stale: Duration::from_millis(stale),
        }
    }

    pub(super) fn is_diverged(&self) -> bool {
        self.locked()
            .trouble
            .as_ref()
            .is_some_and(|it| it.is_diverged)
    }

    /// What is served is what is stored.
    pub(super) fn agreed(&self) {
        let mut inner = self.locked();
        let now = clock::monotonic_ms();
        if inner.trouble.take().is_some() {
            let seconds = now.saturating_sub(inner.agreed_at) / 1000;
            log::info!("the store is back after {seconds} s");
        }
        inner.agreed_at = now;
        self.metrics.store_agreed(clock::unix_ms());
    }

    /// It is not so, or nobody knows. Told at once and then once a minute.
    pub(super) fn failed(&self, reason: String, is_diverged: bool, revision: u64) {
        let told = self
            .locked()
            .fail(reason, is_diverged, clock::monotonic_ms());
        if let Some(told) = told {
            log::error!("{told}; revision {revision} goes on serving");
        }
        self.metrics.store_failed();
        self.metrics.store_diverged(is_diverged);
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Notes a failure; answers the line for the log when it is time for one.
    fn fail(&mut self, reason: String, is_diverged: bool, now: u64) -> Option<String> {
        let is_news = self
            .trouble
            .as_ref()
            .is_none_or(|known| known.is_diverged != is_diverged);
        let is_time = is_news || now.saturating_sub(self.told_at) >= MINUTE;
        let seconds = now.saturating_sub(self.agreed_at) / 1000;
        let line = || format!("not in step with the store for {seconds} s: {reason}");
        let told = is_time.then(line);
        if is_time {
            self.told_at = now;
        }
        self.trouble = Some(Trouble {
            reason,
            is_diverged,
        });
        told
    }
}

const MINUTE: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_at_once_when_it_changes_and_once_a_minute() {
        let mut inner = Inner {
            agreed_at: 0,
            trouble: None,
            told_at: 0,
        };
        let mut tell = |diverged, now| inner.fail("away".into(), diverged, now).is_some();
        let told: Vec<u64> = (1..=400)
            .map(|n| n * 500)
            .filter(|now| tell(*now > 150_000, *now))
            .collect();
        assert_eq!(told, [500, 60_500, 120_500, 150_500]);
    }
}
