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
        let mut inner = self.locked();
        let now = clock::monotonic_ms();
        let is_news = inner
            .trouble
            .as_ref()
            .is_none_or(|known| known.is_diverged != is_diverged);
        if is_news || now.saturating_sub(inner.told_at) >= MINUTE {
            let seconds = now.saturating_sub(inner.agreed_at) / 1000;
            log::error!(
                "not in step with the store for {seconds} s, revision {revision} goes on serving: {reason}"
            );
            inner.told_at = now;
        }
        inner.trouble = Some(Trouble {
            reason,
            is_diverged,
        });
        self.metrics.store_failed();
        self.metrics.store_diverged(is_diverged);
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MINUTE: u64 = 60_000;
