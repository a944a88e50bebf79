//! One request through Pingora's phases: route, pick, forward, retry, log.

mod ahead;
mod answer;
mod context;
mod exchange;
mod failure;
mod forward;
mod hop_by_hop;
mod http2;
mod introduced_connection;
mod key;
mod legacy;
mod log;
mod loops;
mod misdirected;
mod pick;
mod request_id;
mod retry;
mod settings;
mod silence;
mod sticky;
mod strictness;
mod tunnel;
mod upload;
mod upstream_connection;
mod wait;

use std::os::fd::RawFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::domain::snapshot::SharedSnapshot;
use crate::ports::access_log::AccessLog;
use crate::ports::server_tls::CONNECTOR;
use crate::ports::telemetry::{Metrics, Reason};

use ahead::Ahead;
use answer::{AtOnce, at_once};
use log::{Answered, Journal};
use pick::Next;

pub use context::RequestCtx;
pub use exchange::Pool;
pub use legacy::LegacyMount;
pub use loops::LoopGuard;
pub use settings::{ClientLimits, ProxySettings};
#[cfg(fuzzing)]
pub use strictness::routed_and_forwarded;

/// The proxy behind one listener.
pub struct Proxy {
    settings: ProxySettings,
    snapshot: SharedSnapshot,
    metrics: Metrics,
    journal: Arc<Journal>,
    legacy: Option<LegacyMount>,
    pool: Arc<Pool>,
}

impl Proxy {
    /// A proxy that routes by `snapshot`.
    pub fn new(
        settings: ProxySettings,
        snapshot: SharedSnapshot,
        metrics: Metrics,
        access_log: AccessLog,
        pool: Arc<Pool>,
    ) -> Self {
        // Read now, so that no request waits for it.
        LazyLock::force(&CONNECTOR);
        let journal = Journal {
            listener: settings.listener.clone(),
            scheme: settings.scheme,
            metrics: metrics.clone(),
            access_log,
        };
        Self {
            settings,
            snapshot,
            metrics,
            journal: Arc::new(journal),
            legacy: None,
            pool,
        }
    }

    /// The same with legacy interfaces, which are answered before routing.
    pub fn with_legacy(self, legacy: Option<LegacyMount>) -> Self {
        Self { legacy, ..self }
    }

    /// A response that goes out while the process ends is its connection's last.
    fn close_if_stopping(&self, session: &mut Session) {
        if self.settings.is_stopping.load(Ordering::Relaxed) {
            session.set_keepalive(None);
        }
    }

    /// Answers in our own name; the request is over.
    async fn refuse(
        &self,
        reason: Reason,
        session: &mut Session,
        ctx: &mut RequestCtx,
    ) -> Result<bool> {
        ctx.reason = Some(reason);
        self.metrics.generated(reason);
        self.close_if_stopping(session);
        let rule = ctx.refusal.as_ref().map(|refusal| refusal.rule);
        failure::respond(session, reason, rule).await?;
        Ok(true)
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = RequestCtx;

    fn new_ctx(&self) -> RequestCtx {
        RequestCtx::new()
    }

    /// None: Pingora's own choice is a compressor, switched off but asked in every phase.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(
        &self,
        session: &mut Session,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        self.settings.limits.apply(session);
        if let Some(connection) = strictness::connection(session) {
            connection.begin();
        }
        ctx.refusal = strictness::refusal(session);
        ctx.client = forward::client(session, &self.settings.trusted_proxies);
        ctx.request_id = request_id::of(session.req_header(), ctx.client.is_trusted);
        ctx.asks_for_tunnel = forward::asks_for_websocket(session);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestCtx) -> Result<bool> {
        let refused = strictness::refused(session, ctx, &self.settings.limits)
            .or_else(|| misdirected::reason(session, ctx));
        if refused.is_none()
            && let Some(legacy) = &self.legacy
            && let Some(found) = legacy.find(session)
        {
            // Boxed: every request would carry what only these need.
            return Box::pin(self.answer_legacy(legacy, found, session, ctx)).await;
        }
        let reason = match refused {
            Some(reason) => reason,
            None => match self.route(session, ctx) {
                Ok(Next::Begins) => return self.exchange(session, ctx).await,
                // Boxed: every request would carry what only these need.
                Ok(Next::Waits(waiter)) => match Box::pin(self.wait(waiter, session, ctx)).await? {
                    Ok(()) => return self.exchange(session, ctx).await,
                    Err(reason) => reason,
                },
                Err(reason) => reason,
            },
        };
        self.refuse(reason, session, ctx).await
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut RequestCtx,
    ) -> Result<Box<HttpPeer>> {
        self.wait_again(session, ctx).await?;
        ctx.ahead = Ahead::Nothing;
        if ctx.has_body_for_http2(session) {
            ctx.ahead = Box::pin(Ahead::of(session)).await?;
        }
        self.peer(session, ctx)
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        _reused: bool,
        _to: &HttpPeer,
        connection: RawFd,
        _digest: Option<&Digest>,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        ctx.connected(connection);
        ctx.expect_body(session, self.settings.limits.pace());
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        is_end: bool,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        self.body_came(session, body, is_end, ctx)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        forward::request(session, request, ctx, self.settings.scheme)?;
        self.settings.loops.mark(request, ctx)?;
        if ctx.speaks_http2() {
            // Boxed: every request would carry what only these need.
            Box::pin(http2::send(session, request)).await?;
        }
        Ok(())
    }

    fn upstream_response_filter<'a, 'b, 'c, 'd, 'out>(
        &'a self,
        session: &'b mut Session,
        response: &'c mut ResponseHeader,
        ctx: &'d mut RequestCtx,
    ) -> AtOnce<'out>
    where
        'a: 'out,
        'b: 'out,
        'c: 'out,
        'd: 'out,
        Self: 'out,
    {
        at_once(self.answered(session, response, ctx))
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        is_end: bool,
        ctx: &mut RequestCtx,
    ) -> Result<Option<Duration>> {
        if is_end && ctx.is_silent() {
            // The end that we made ourselves is not the end of a body without a length.
            return Err(
                Error::explain(ErrorType::ReadTimedout, "silent for timeouts.read").into_up(),
            );
        }
        ctx.moved();
        Ok(None)
    }

    fn response_filter<'a, 'b, 'c, 'd, 'out>(
        &'a self,
        session: &'b mut Session,
        response: &'c mut ResponseHeader,
        ctx: &'d mut RequestCtx,
    ) -> AtOnce<'out>
    where
        'a: 'out,
        'b: 'out,
        'c: 'out,
        'd: 'out,
        Self: 'out,
    {
        at_once(self.pass_on(session, response, ctx))
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _to: &HttpPeer,
        ctx: &mut RequestCtx,
        error: Box<Error>,
    ) -> Box<Error> {
        self.retry_connect(session, ctx, error)
    }

    fn error_while_proxy(
        &self,
        _to: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut RequestCtx,
        client_reused: bool,
    ) -> Box<Error> {
        self.retry_broken(session, ctx, error, client_reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut RequestCtx,
    ) -> FailToProxy {
        // A body that breaks a rule ends here: what its head said is in the log already.
        let rule = strictness::rule(session, ctx);
        let of_edge = rule.map(Reason::from).or_else(|| failure::cut(session));
        let reason = of_edge
            .or(ctx.reason)
            .unwrap_or_else(|| failure::reason(error));
        ctx.reason = Some(reason);
        self.metrics.generated(reason);
        let is_gone = rule.is_none() && failure::is_client_gone(error);
        let is_open = retry::is_unanswered(session);
        let reached = is_open && !is_gone;
        let written = session.response_written();
        if written.is_some_and(|head| !is_open && failure::ends_with_connection(session, head))
            && let Some(connection) = strictness::connection(session)
        {
            connection.break_off();
        }
        // Pingora closes the connection after a failed attempt, so the response says so.
        session.set_keepalive(None);
        if reached && let Err(error) = failure::respond(session, reason, rule).await {
            ::log::debug!("cannot tell the client about {}: {error}", reason.as_str());
        }
        FailToProxy {
            error_code: if reached { reason.status() } else { 0 },
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut RequestCtx) {
        if ctx.reason.is_none() {
            ctx.reason = error.map(failure::reason);
        }
        if !tunnel::open(self, session, error, ctx) {
            let answered = Answered::of(session);
            self.journal.log(session.req_header(), &answered, ctx);
        }
        if let Some(connection) = strictness::connection(session) {
            connection.end();
        }
    }

    /// The access log has each attempt with its failure; Pingora's own lines would say it again,
    /// at the rate at which a stranger can fail.
    fn suppress_error_log(&self, _session: &Session, _ctx: &RequestCtx, error: &Error) -> bool {
        *error.esource() != ErrorSource::Internal
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &RequestCtx,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
