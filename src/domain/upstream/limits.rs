use std::time::Duration;

use crate::spec::{Percent, RetryCause, RetrySpec, Span, TimeoutsSpec};

/// How long each step towards a server may take; none means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Option<Duration>,
    /// Until the response's first byte.
    pub first_byte: Option<Duration>,
    /// Between two reads.
    pub read: Option<Duration>,
    /// Between two writes.
    pub write: Option<Duration>,
    /// How long an unused connection is kept.
    pub idle: Option<Duration>,
    /// The whole request with all its attempts.
    pub total: Option<Duration>,
}

/// When a request is tried on another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u8,
    /// The failures after which another server is tried.
    pub on: Vec<RetryCause>,
    /// Whether a request that may have been processed is sent again whatever its method.
    pub non_idempotent: bool,
    /// Retries as a share of the requests.
    pub budget: Percent,
    /// Whether a request whose method is not idempotent gets a connection of its own.
    pub fresh_post: bool,
}

impl Timeouts {
    /// The limit for every read from a server: the longer of the two.
    pub fn any_read(&self) -> Option<Duration> {
        self.first_byte
            .zip(self.read)
            .map(|(first, read)| first.max(read))
    }

    pub(super) fn new(spec: TimeoutsSpec) -> Self {
        let limit = |span: Option<Span>, default: Span| span.unwrap_or(default).limit();
        Self {
            connect: limit(spec.connect, Span::from_secs(2)),
            first_byte: limit(spec.first_byte, Span::from_secs(60)),
            read: limit(spec.read, Span::from_secs(60)),
            write: limit(spec.write, Span::from_secs(30)),
            idle: limit(spec.idle, Span::from_secs(30)),
            total: limit(spec.total, Span::default()),
        }
    }
}

impl Retry {
    pub(super) fn new(spec: RetrySpec) -> Self {
        use RetryCause::{Connect, Reset, Status502, Status503, Status504, Timeout};
        let every = || vec![Connect, Reset, Timeout, Status502, Status503, Status504];
        Self {
            attempts: spec.attempts.unwrap_or(2).max(1),
            on: spec.on.unwrap_or_else(every),
            non_idempotent: spec.non_idempotent.unwrap_or(false),
            budget: spec.budget.unwrap_or(Percent::new(10)),
            fresh_post: spec.fresh_post.unwrap_or(false),
        }
    }
}
