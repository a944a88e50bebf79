use std::sync::Arc;
use std::time::Duration;

use super::Upstream;
use crate::domain::queue::Queue;
use crate::spec::{QueueSpec, Span};

/// How many requests wait for the group at a time, and for how long at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    size: usize,
    timeout: Option<Duration>,
}

impl Patience {
    pub(super) fn new(spec: &QueueSpec) -> Self {
        Self {
            size: spec.size.unwrap_or(0) as usize,
            timeout: spec.timeout.unwrap_or(Span::from_secs(1)).limit(),
        }
    }
}

impl Upstream {
    /// Where its requests wait, whether any may or not.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// How many may wait at a time; 0: none.
    pub fn queue_size(&self) -> usize {
        self.patience.size
    }

    /// How long each may; none: no limit.
    pub fn queue_timeout(&self) -> Option<Duration> {
        self.patience.timeout
    }

    /// Whether a request that comes now stands behind others.
    pub fn has_line(&self) -> bool {
        self.patience.size > 0 && self.queue.waiting() > 0
    }

    /// When the next of the servers that failing requests have taken out comes back, after `now`.
    pub fn next_return(&self, now: u64) -> Option<u64> {
        let ends = self
            .servers
            .iter()
            .map(|server| server.shared().ejection().until());
        ends.filter(|until| *until > now).min()
    }
}
