use std::time::Instant;

use http::header::{REFERER, USER_AGENT};
use http::{HeaderName, HeaderValue};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::context::Attempt;
use super::{RequestCtx, forward};
use crate::clock;
use crate::ports::access_log::{self, AccessLog};
use crate::ports::telemetry::Metrics;

/// Where the requests of one listener are counted and logged when they are over.
pub(super) struct Journal {
    pub(super) listener: String,
    pub(super) scheme: &'static str,
    pub(super) metrics: Metrics,
    pub(super) access_log: AccessLog,
}

/// What was answered.
pub(super) struct Answered {
    /// The status; none if the client left before there was one.
    pub(super) status: Option<u16>,
    pub(super) body_bytes: u64,
}

impl Answered {
    pub(super) fn of(session: &Session) -> Self {
        Self {
            status: session.response_written().map(|head| head.status.as_u16()),
            body_bytes: session.body_bytes_sent() as u64,
        }
    }
}

impl Journal {
    /// Counts the request and writes its line.
    pub(super) fn log(&self, head: &RequestHeader, answered: &Answered, ctx: &RequestCtx) {
        let now = Instant::now();
        let duration = now.saturating_duration_since(ctx.started);
        let status = answered.status.unwrap_or(CLIENT_CLOSED);
        self.metrics.request_ended(status, duration);
        if !self.access_log.is_on() {
            return;
        }
        let attempts: Vec<access_log::Attempt<'_>> = ctx
            .attempts
            .iter()
            .map(|attempt| line_of(attempt, now))
            .collect();
        let refused = ctx.refusal.as_ref().and_then(|it| it.head.as_deref());
        let header = |name: HeaderName| head.headers.get(name).map(HeaderValue::as_bytes);
        self.access_log.log(&access_log::Record {
            unix_ms: clock::unix_ms(),
            client: ctx.client.address,
            listener: &self.listener,
            scheme: self.scheme,
            request_id: ctx.request_id.as_str(),
            method: refused.map_or(head.method.as_str(), |refused| &refused.method),
            target: refused.map_or(head.raw_path(), |refused| refused.target.as_bytes()),
            version: head.version,
            host: refused
                .map_or(forward::received_host(head), |refused| &refused.host)
                .as_bytes(),
            status,
            body_bytes: answered.body_bytes,
            duration,
            waited: ctx.waited,
            referer: header(REFERER),
            user_agent: match refused {
                Some(refused) => Some(refused.user_agent.as_bytes()).filter(|it| !it.is_empty()),
                None => header(USER_AGENT),
            },
            x_forwarded_for: header(forward::X_FORWARDED_FOR),
            route: ctx
                .legacy
                .or_else(|| ctx.route.as_ref().map(|route| route.id().as_str())),
            upstream: ctx
                .upstream
                .as_ref()
                .map(|upstream| upstream.name().as_str()),
            revision: ctx.revision,
            reason: ctx.reason.map(|reason| reason.as_str()),
            attempts: &attempts,
        });
    }
}

/// nginx's status for a client that left before it was answered.
const CLIENT_CLOSED: u16 = 499;

fn line_of(attempt: &Attempt, now: Instant) -> access_log::Attempt<'_> {
    access_log::Attempt {
        server: attempt.server.label(),
        status: attempt.status,
        failure: attempt.failure,
        duration: attempt
            .ended
            .unwrap_or(now)
            .saturating_duration_since(attempt.began),
    }
}
