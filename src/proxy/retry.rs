use std::sync::Arc;

use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;

use super::{Proxy, RequestCtx, failure};
use crate::domain::server::InFlight;
use crate::domain::upstream::Upstream;
use crate::ports::telemetry::{Reason, RetryCause as Counted};
use crate::spec::RetryCause;

impl Proxy {
    /// No connection: nothing was sent, so any request may go to another server.
    pub(super) fn retry_connect(
        &self,
        session: &Session,
        ctx: &mut RequestCtx,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let reason = failure::reason(&error);
        ctx.failed(reason.as_str());
        ctx.reason = Some(reason);
        let unsent =
            session.response_written().is_none() && !session.as_ref().retry_buffer_truncated();
        error.set_retry(unsent && self.retry(ctx, RetryCause::Connect, Counted::Connect));
        error
    }

    /// The connection broke or fell silent. The request may have been processed, so it goes to
    /// another server only if nothing of a response was passed on, its body is still whole, and its
    /// method is idempotent (RFC 9110 section 9.2.2) or the rule allows any.
    pub(super) fn retry_broken(
        &self,
        session: &Session,
        ctx: &mut RequestCtx,
        mut error: Box<Error>,
        reused: bool,
    ) -> Box<Error> {
        if *error.esource() != ErrorSource::Upstream {
            error.set_retry(false);
            return error;
        }
        if *error.etype() == STATUS {
            // Decided, with the next server picked, when the status was seen.
            error.set_retry(true);
            return error;
        }
        let is_silent = ctx.is_silent() || is_timeout(&error);
        let reason = if is_silent {
            Reason::UpstreamTimeout
        } else {
            failure::reason(&error)
        };
        ctx.failed(reason.as_str());
        ctx.reason = Some(reason);
        // Servers close kept connections when they please: that is no fault of the server's. An answer
        // that is no HTTP is.
        let is_stale = reused && reason == Reason::UpstreamReset && ctx.stale < MOST_STALE;
        let (cause, counted) = match (is_silent, is_stale) {
            (true, _) => (RetryCause::Timeout, Counted::Timeout),
            (_, true) => (RetryCause::Reset, Counted::StaleConnection),
            _ => (RetryCause::Reset, Counted::Reset),
        };
        let may_repeat = may_repeat(session, ctx);
        if may_repeat && is_stale {
            ctx.forgive();
        }
        let again = may_repeat && self.retry(ctx, cause, counted);
        error.set_retry(again);
        error
    }

    /// The server answered with a status that the rule names: the response is dropped if the request
    /// may be repeated and another server can be had; otherwise it is passed on.
    pub(super) fn retry_status(
        &self,
        session: &Session,
        status: u16,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        let cause = match status {
            502 => RetryCause::Status502,
            503 => RetryCause::Status503,
            504 => RetryCause::Status504,
            _ => return Ok(()),
        };
        if !may_repeat(session, ctx) || !self.allows(ctx, cause) {
            return Ok(());
        }
        let failed = ctx.server().map(|server| server.id());
        let mut tried = ctx.tried().to_vec();
        tried.extend(failed);
        let Some((upstream, server)) = self.next(ctx, &tried) else {
            return Ok(());
        };
        ctx.failed("status");
        self.metrics.retried(match cause {
            RetryCause::Status502 => Counted::BadGateway,
            RetryCause::Status503 => Counted::ServiceUnavailable,
            _ => Counted::GatewayTimeout,
        });
        ctx.retry_on(upstream, server);
        let mut error = Error::explain(STATUS, "the server's status is retried");
        error.as_up();
        error.set_retry(true);
        Err(error)
    }

    /// Whether there is another attempt; if so, its server is picked.
    fn retry(&self, ctx: &mut RequestCtx, cause: RetryCause, counted: Counted) -> bool {
        if !self.allows(ctx, cause) {
            return false;
        }
        let Some((upstream, server)) = self.next(ctx, ctx.tried()) else {
            return false;
        };
        self.metrics.retried(counted);
        ctx.retry_on(upstream, server);
        true
    }

    fn allows(&self, ctx: &RequestCtx, cause: RetryCause) -> bool {
        let rule = ctx.upstream.as_ref().map(|upstream| upstream.retry());
        rule.is_some_and(|rule| {
            ctx.counted() < usize::from(rule.attempts) && rule.on.contains(&cause)
        })
    }

    /// Another server of the same group, as it is now; none if the group is gone.
    fn next(
        &self,
        ctx: &RequestCtx,
        tried: &[crate::domain::server::ServerId],
    ) -> Option<(Arc<Upstream>, InFlight)> {
        let snapshot = self.snapshot.load();
        let upstream = snapshot.same(ctx.upstream.as_deref()?)?;
        let begun = upstream.begin(&super::pick(upstream, tried, ctx.key));
        Some((upstream.clone(), begun.ok()?))
    }
}

/// A status that is retried; never seen outside these hooks.
const STATUS: ErrorType = ErrorType::Custom("RetriedStatus");

/// Kept connections of one request that may turn out closed: with more, something else is wrong.
const MOST_STALE: u8 = 3;

fn is_timeout(error: &Error) -> bool {
    matches!(
        error.etype(),
        ErrorType::ReadTimedout | ErrorType::WriteTimedout
    )
}

fn may_repeat(session: &Session, ctx: &RequestCtx) -> bool {
    let any_method = ctx
        .upstream
        .as_ref()
        .is_some_and(|upstream| upstream.retry().non_idempotent);
    let nothing_passed_on = session
        .response_written()
        .is_none_or(|head| head.status.is_informational());
    nothing_passed_on
        && !session.as_ref().retry_buffer_truncated()
        && (any_method || session.req_header().method.is_idempotent())
}
