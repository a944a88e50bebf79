use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use pingora_core::{Error, ErrorSource, ErrorType, Result, RetryType};
use pingora_proxy::Session;

use super::{Proxy, RequestCtx, failure, pick};
use crate::clock;
use crate::domain::balancer::Pick;
use crate::domain::queue::Waiter;
use crate::domain::server::{InFlight, Server, ServerId};
use crate::domain::upstream::{NobodyLeft, Upstream};
use crate::ports::server_tls::ServerTls;
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
        if matches!(reason, Reason::UpstreamTls | Reason::UpstreamCertificate) {
            tell(ctx, &error);
        }
        // Only a kept connection of HTTP/2 fails like this: there was no room on it any more.
        let is_stale = *error.etype() == ErrorType::H2Error && ctx.stale < MOST_STALE;
        let is_fault = !is_stale && !ctx.is_cut_short();
        if is_fault {
            self.note_failure(ctx);
        }
        ctx.failed(reason.as_str(), is_fault);
        ctx.reason = Some(reason);
        let unsent = is_unanswered(session) && !session.as_ref().retry_buffer_truncated();
        if unsent && is_stale {
            ctx.forgive();
        }
        let counted = match is_stale {
            true => Counted::StaleConnection,
            false => Counted::Connect,
        };
        error.set_retry(unsent && self.retry(ctx, RetryCause::Connect, counted));
        error
    }

    /// The connection broke or fell silent. The request may have been processed, so it goes to
    /// another server only if nothing of a response was passed on, its body is still whole, and its
    /// method is idempotent (RFC 9110 section 9.2.2) or the rule allows any.
    pub(super) fn retry_broken(
        &self,
        session: &mut Session,
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
        let waited_for_more = ctx.is_silent() || *error.etype() == ErrorType::ReadTimedout;
        if ctx.is_client_late(waited_for_more && !session.as_mut().is_body_done()) {
            // No fault of the server's, and no other one would get more.
            error.set_retry(false);
            return error;
        }
        let is_silent = ctx.is_silent() || ctx.is_out_of_time() || is_timeout(&error);
        let reason = if is_silent {
            Reason::UpstreamTimeout
        } else {
            failure::reason(&error)
        };
        if reason == Reason::UpstreamTls {
            tell(ctx, &error);
        }
        // Servers close kept connections when they please: that is no fault of the server's. An answer
        // that is no HTTP is. A server that refuses a stream may take it on another connection.
        let is_refused = was_refused(&error);
        let is_stale =
            (is_refused || reused && reason == Reason::UpstreamReset) && ctx.stale < MOST_STALE;
        // A tunnel ends as its two sides please, also by falling silent: that is no fault of the server's.
        let written = session.response_written();
        let was_tunnel = written.is_some_and(|head| is_tunnel(head.status));
        let is_fault = !is_stale && !was_tunnel && !ctx.is_cut_short();
        if is_fault {
            self.note_failure(ctx);
        }
        ctx.failed(reason.as_str(), is_fault);
        ctx.reason = Some(reason);
        let (cause, counted) = match (is_silent, is_stale) {
            (true, _) => (RetryCause::Timeout, Counted::Timeout),
            (_, true) => (RetryCause::Reset, Counted::StaleConnection),
            _ => (RetryCause::Reset, Counted::Reset),
        };
        let may_repeat = may_repeat(session, ctx, is_refused);
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
        if !may_repeat(session, ctx, false) || !self.allows(ctx, cause) {
            return Ok(());
        }
        let failed = ctx.server().map(|server| server.id());
        let mut tried = ctx.tried().to_vec();
        tried.extend(failed);
        let begun = match self.next(ctx, &tried, false) {
            Some(Again::Begins(upstream, server)) => Some((upstream, server)),
            // An answer at hand is better than a wait.
            Some(Again::Waits(waiter)) => self.at_once(waiter),
            None => None,
        };
        let Some((upstream, server)) = begun else {
            return Ok(());
        };
        if !self.spend(&upstream) {
            return Ok(());
        }
        ctx.failed("status", true);
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
        // A connection that was closed already has asked nothing of its server: that is no retry by the rule.
        let is_stale = counted == Counted::StaleConnection;
        let is_allowed = is_stale && !ctx.is_out_of_time() || self.allows(ctx, cause);
        if !is_allowed {
            return false;
        }
        let Some(again) = self.next(ctx, ctx.tried(), is_stale) else {
            return false;
        };
        let (Again::Begins(upstream, _) | Again::Waits(Waiter { upstream, .. })) = &again;
        if !is_stale && !self.spend(upstream) {
            return false;
        }
        self.metrics.retried(counted);
        match again {
            Again::Begins(upstream, server) => ctx.retry_on(upstream, server),
            Again::Waits(waiter) => ctx.retry_later(waiter),
        }
        true
    }

    /// Takes one retry from the group's budget.
    fn spend(&self, upstream: &Upstream) -> bool {
        let is_allowed = upstream.spend_retry(clock::monotonic_ms());
        if !is_allowed {
            self.metrics.retry_denied();
        }
        is_allowed
    }

    /// The attempt under way failed: that may eject its server.
    fn note_failure(&self, ctx: &RequestCtx) {
        if let (Some(upstream), Some(server)) = (&ctx.upstream, ctx.server()) {
            let ejected = upstream.failed(server, ctx.began(), clock::monotonic_ms());
            self.tell_ejected(upstream, server, ejected);
        }
    }

    /// So may the status of its answer, or it shows that the server is back.
    pub(super) fn note_answer(&self, ctx: &RequestCtx, status: u16) {
        if let (Some(upstream), Some(server)) = (&ctx.upstream, ctx.server()) {
            let ejected = upstream.answered(server, status, ctx.began(), clock::monotonic_ms);
            self.tell_ejected(upstream, server, ejected);
        }
    }

    fn tell_ejected(&self, upstream: &Upstream, server: &Server, ejected: Option<Duration>) {
        let Some(length) = ejected else { return };
        self.metrics.ejected();
        self.settings.ejected.notify_one();
        let (name, address) = (upstream.name(), server.label());
        ::log::warn!("server {address} of {name} is ejected for {length:?}: requests to it fail");
    }

    fn allows(&self, ctx: &RequestCtx, cause: RetryCause) -> bool {
        let rule = ctx.upstream.as_ref().map(|upstream| upstream.retry());
        rule.is_some_and(|rule| {
            ctx.counted() < usize::from(rule.attempts) && rule.on.contains(&cause)
        }) && !ctx.is_out_of_time()
    }

    /// Another server of the same group, as it is now; none if the group is gone. A request that has asked nothing of the
    /// server whose turn it had goes before those who wait, any other stands behind them: when one server of a group that
    /// works to its limit fails, what failed there would take the others' room from those who have not been served at all.
    fn next(&self, ctx: &RequestCtx, tried: &[ServerId], goes_first: bool) -> Option<Again> {
        let snapshot = self.snapshot.load();
        let upstream = snapshot.same(ctx.upstream.as_deref()?)?;
        let pick = pick::pick(tried, ctx.key, clock::monotonic_ms());
        let begun = match upstream.has_line() && !goes_first {
            false => pick::begin(upstream, ctx.bound.as_ref(), &pick),
            true => Err(NobodyLeft::Full),
        };
        match begun {
            Ok(begun) => Some(Again::Begins(upstream.clone(), begun)),
            Err(NobodyLeft::Full) if upstream.queue_size() > 0 => Some(Again::Waits(Waiter {
                tried: tried.to_vec(),
                pick: Pick { tried: &[], ..pick },
                upstream: upstream.clone(),
                bound: ctx.bound,
                goes_first,
            })),
            Err(_) => None,
        }
    }

    /// A server with room that nobody has a use for who waits already.
    fn at_once(&self, waiter: Waiter) -> Option<(Arc<Upstream>, InFlight)> {
        let queue = waiter.upstream.queue().clone();
        let newest = |old: &Arc<Upstream>| self.snapshot.load().same(old).cloned();
        queue.at_once(waiter, clock::monotonic_ms(), newest)
    }
}

/// How a request goes on whose attempt failed.
enum Again {
    /// At this server.
    Begins(Arc<Upstream>, InFlight),
    /// At one that has room again.
    Waits(Waiter),
}

/// The operator alone can mend a handshake that fails: the log says what the access log's reason does not.
fn tell(ctx: &RequestCtx, error: &Error) {
    let tls = ctx.upstream.as_ref().and_then(|upstream| upstream.tls());
    if let (Some(used), Some(server)) = (tls.and_then(ServerTls::of), ctx.server()) {
        used.tell(server.label(), error);
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

/// Whether a server of HTTP/2 says that it has not looked at the request: it refused the stream, or
/// takes no more of them on this connection (RFC 9113 section 8.7). Pingora marks just these so.
///
/// Or it ended the stream before the end of a body that was there in whole: then Pingora does not look for the server's
/// word, which says the same most of the time. What has no end was not processed.
fn was_refused(error: &Error) -> bool {
    let context = error.context.as_ref();
    let is_unsent = || context.is_some_and(|context| context.as_str() == NO_CAPACITY);
    let is_marked = matches!(error.retry, RetryType::Decided(true));
    *error.etype() == ErrorType::H2Error && (is_marked || is_unsent())
}

/// How Pingora calls a stream that is over while a part of the request waits for it.
const NO_CAPACITY: &str = "cannot reserve capacity";

/// Whether nothing but interim responses was passed on. A tunnel is no interim response: what comes behind 101 is
/// the client's and the server's own.
pub(super) fn is_unanswered(session: &Session) -> bool {
    let is_interim = |status: StatusCode| status.is_informational() && !is_tunnel(status);
    session
        .response_written()
        .is_none_or(|head| is_interim(head.status))
}

fn is_tunnel(status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS
}

/// `unseen`: the server has not looked at the request.
fn may_repeat(session: &Session, ctx: &RequestCtx, unseen: bool) -> bool {
    let any_method = ctx
        .upstream
        .as_ref()
        .is_some_and(|upstream| upstream.retry().non_idempotent);
    is_unanswered(session)
        && !session.as_ref().retry_buffer_truncated()
        && (unseen || any_method || session.req_header().method.is_idempotent())
}
